use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn build(config: ReplyLabelsConfig) -> Result<Box<dyn World>, ParamError> {
    config.build(&WorldContext::default())
}

#[test]
fn bad_parameters_are_refused_by_name() {
    let refused = |change: fn(&mut ReplyLabelsConfig)| {
        let mut config = ReplyLabelsConfig::default();
        change(&mut config);
        build(config).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(refused(|c| c.n_slots = 0), "`n_slots` = 0: must be in 1..=64");
    assert_eq!(refused(|c| c.n_objects = 1), "`n_objects` = 1: must be in 2..=64");
    let range = "must be at least 1 and below `n_objects` = 6";
    assert_eq!(
        refused(|c| c.n_forbidden = 6),
        format!("`n_forbidden` = 6: {range}")
    );
    assert_eq!(
        refused(|c| c.n_forbidden = 0),
        format!("`n_forbidden` = 0: {range}")
    );
    assert_eq!(
        refused(|c| c.n_fillers = 5000),
        "`n_fillers` = 5000: must be at most 4096"
    );
    assert_eq!(refused(|c| c.n_turns = 5), "`n_turns` = 5: must be in 6..=64");
    assert_eq!(
        refused(|c| c.habit = -1.0),
        "`habit` = -1: must be a finite number >= 0"
    );
}

#[test]
fn there_are_forty_words_and_a_third_of_the_prompts_is_in_conflict() {
    let world = build(ReplyLabelsConfig::default()).unwrap();
    let Symbols::Words { states, actions } = world.symbols() else {
        panic!("a table")
    };
    assert_eq!((states.len(), actions.len()), (24 * 6, 40));
    let tasks = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap();
    assert_eq!(tasks.iter().filter(|t| t.difficulty == 2.0).count(), 8);
    assert_eq!(tasks[7].columns["slot"], "slot1");
    let rows = world.initial_logits(Key::new(0, Stream::Init)).unwrap();
    let ahead = |row: &[f64]| -> Vec<&str> {
        let words = row.iter().zip(&actions).filter(|(x, _)| **x == 3.0);
        words.map(|(_, word)| word.as_str()).collect()
    };
    let usual: Vec<Vec<&str>> = rows[42..48].iter().map(|row| ahead(row)).collect();
    let verbs = vec!["verb0", "verb1", "verb2", "verb3"];
    let (slot, object) = (vec!["slot1"], vec!["object1"]);
    let expected = [
        vec!["opener0", "opener1"],
        slot.clone(),
        slot,
        verbs,
        object,
        vec!["closer0", "closer1"],
    ];
    assert_eq!(usual, expected);
}

#[test]
fn an_episode_is_as_many_words_as_it_has_turns() {
    let world = build(ReplyLabelsConfig::default()).unwrap();
    let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(9);
    let mut episode = world.start(&task, Key::new(0, Stream::Environment)).unwrap();
    for turn in 0..6 {
        assert_eq!(episode.observe().text, format!("s1/o3/t{turn}"));
        let outcome = episode.step(if turn == 2 { "knife" } else { "verb1" }).unwrap();
        assert_eq!((outcome.reward, outcome.valid), (0.0, turn != 2));
        assert_eq!(outcome.stop, (turn == 5).then_some(StopReason::Terminal));
    }
    assert_eq!(episode.step("verb1").unwrap_err().0, "the episode is over");
    let error = world
        .start(&Task::new("t", "s4/o0/t0", ""), Key::new(0, Stream::Environment))
        .unwrap_err();
    assert_eq!(
        error.0,
        "task t: \"s4/o0/t0\" is no prompt of 4 slots and 6 objects"
    );
}

/// The labels of a reply, read from its words.
fn judge(words: &[&str], slot: &str, forbidden: &str) -> [bool; 4] {
    let starts = |word: &str, kind: &str| word.starts_with(kind);
    [
        starts(words[0], "opener") && starts(words[5], "closer"),
        words.contains(&slot),
        words
            .windows(2)
            .any(|two| starts(two[0], "verb") && starts(two[1], "object")),
        !words.contains(&forbidden),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn exact_labels_are_the_sum_over_all_replies(weights in prop::collection::vec(0.05..1.0f64, 6 * 7)) {
        // Seven words at each of six places that may have any weight; all others have none: 7^6 replies.
        let config = ReplyLabelsConfig { n_slots: 2, n_objects: 3, n_forbidden: 1, n_fillers: 1, ..Default::default() };
        let chosen = ["opener1", "closer0", "verb2", "slot1", "object0", "object2", "filler0"];
        let words = config.words();
        let world = build(config).unwrap();
        let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(5);
        let rows: Vec<Vec<f64>> = weights.chunks(7).map(|w| {
            let total: f64 = w.iter().sum();
            w.iter().map(|x| x / total).collect()
        }).collect();
        let policy = |state: &str| {
            let row = &rows[state.split("/t").nth(1)?.parse::<usize>().ok()?];
            let p = |word: &String| chosen.iter().position(|c| c == word).map_or(0.0, |k| row[k]);
            Some(words.iter().map(p).collect::<Vec<f64>>())
        };
        let mut expected = [0.0; 4];
        for code in 0..7usize.pow(6) {
            let picks: Vec<usize> = (0..6u32).map(|t| code / 7usize.pow(t) % 7).collect();
            let p: f64 = picks.iter().zip(&rows).map(|(k, row)| row[*k]).product();
            let reply: Vec<&str> = picks.iter().map(|k| chosen[*k]).collect();
            for (sum, holds) in expected.iter_mut().zip(judge(&reply, "slot1", "object2")) {
                *sum += p * f64::from(u8::from(holds));
            }
        }
        let found = world.exact_measures(&task, &policy);
        for (name, p) in ["polite", "meaningful", "actionable", "safe"].into_iter().zip(expected) {
            prop_assert!((found[name] - p).abs() < 1e-9, "{name}: {} {p}", found[name]);
        }
        let least = expected.into_iter().fold(1.0, f64::min);
        prop_assert!((found["least"] - least).abs() < 1e-9);
        prop_assert!((found["volume"] - expected.iter().product::<f64>()).abs() < 1e-9);
        prop_assert!((world.exact_success(&task, &policy).unwrap() - expected.iter().sum::<f64>() / 4.0).abs() < 1e-9);
        prop_assert!(found.contains_key("safe/conflict"), "object 2 of 3 is forbidden");
    }
}
