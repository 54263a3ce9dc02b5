use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn build(config: OpinionTableConfig) -> Result<Box<dyn World>, ParamError> {
    config.build(&WorldContext::default())
}

fn key() -> Key {
    Key::new(0, Stream::Tasks)
}

#[test]
fn bad_parameters_are_refused_by_name() {
    let refused = |change: fn(&mut OpinionTableConfig)| {
        let mut config = OpinionTableConfig::default();
        change(&mut config);
        build(config).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|c| c.n_questions = 65),
        "`n_questions` = 65: must be in 1..=64"
    );
    assert_eq!(refused(|c| c.n_roles = 13), "`n_roles` = 13: must be in 1..=12");
    assert_eq!(refused(|c| c.n_answers = 1), "`n_answers` = 1: must be in 2..=4");
    assert_eq!(
        refused(|c| c.contested = 1.5),
        "`contested` = 1.5: must be in [0, 1]"
    );
    assert_eq!(
        refused(|c| c.n_segments = 0),
        "`n_segments` = 0: must be in 1..=8"
    );
    assert_eq!(
        refused(|c| c.n_warm_start = 0),
        "`n_warm_start` = 0: must be >= 1"
    );
}

#[test]
fn sentences_are_a_role_fillers_and_an_answer_with_a_mark() {
    let sentence = |role, answer, n_fillers| Sentence {
        role,
        answer,
        n_fillers,
    };
    assert_eq!(
        read_reply("a w. l m p z! c x?"),
        Some(vec![sentence(0, 0, 0), sentence(11, 3, 2), sentence(2, 1, 0)])
    );
    assert_eq!(read_reply(""), Some(vec![]));
    for bad in [
        "a w", "a w. b", "w.", "a .", "m w.", "a b w.", "a w x.", "ab w.", "a wx.", "a w.. ",
    ] {
        assert_eq!(read_reply(bad), None, "{bad}");
    }
}

#[test]
fn contested_questions_have_opinions_and_the_others_one() {
    let world = build(OpinionTableConfig::default()).unwrap();
    let tasks = world.train_tasks(key()).unwrap();
    let contested: Vec<&Task> = tasks.iter().filter(|t| t.difficulty == 2.0).collect();
    assert_eq!((tasks.len(), contested.len()), (60, 30));
    assert_eq!(
        (tasks[0].prompt.as_str(), tasks[59].prompt.as_str()),
        ("00=", "73=")
    );
    // Opinions on contested questions: chi-square over 4 answers, 3 degrees of freedom: 16.3 at alpha 0.001.
    let mut counts = BTreeMap::new();
    for task in &tasks {
        let opinions = task.columns["opinions"].as_str().unwrap();
        let different: BTreeSet<char> = opinions.chars().collect();
        assert_eq!(opinions.len(), 12);
        if task.difficulty == 1.0 {
            assert_eq!(different.len(), 1);
            continue;
        }
        for c in opinions.chars() {
            *counts.entry(c).or_insert(0.0) += 1.0;
        }
    }
    let chi: f64 = counts.values().map(|c: &f64| (c - 90.0).powi(2) / 90.0).sum();
    assert!(counts.len() == 4 && chi < 16.3, "{chi}");
}

fn score(world: &dyn World, task: &Task, reply: &str) -> (f64, bool, BTreeMap<String, f64>) {
    let mut episode = world.start(task, Key::new(0, Stream::Environment)).unwrap();
    let outcome = episode.step(reply).unwrap();
    let measures = world.measures(task, &Trajectory::of_reply(reply, 1));
    (outcome.reward, outcome.valid, measures)
}

#[test]
fn replies_earn_the_share_of_sentences_that_say_their_roles_opinion() {
    let config = OpinionTableConfig {
        n_roles: 3,
        ..Default::default()
    };
    let world = build(config).unwrap();
    let mut task = Task::new("t", "00=", "");
    task.difficulty = 2.0;
    task.columns.insert("opinions".into(), "wxw".into());
    let (reward, valid, measures) = score(world.as_ref(), &task, "a w. b m n x? c y!");
    assert!((reward - 2.0 / 3.0).abs() < 1e-12 && valid);
    let expected = [
        ("accuracy", 2.0 / 3.0),
        ("fillers", 2.0),
        ("opinions", 2.0),
        ("roles", 3.0),
        ("variety", 1.0),
        ("well-formed", 1.0),
        ("words", 8.0),
    ];
    assert_eq!(
        measures,
        BTreeMap::from(expected.map(|(name, value)| (name.to_owned(), value)))
    );
    let (reward, _, measures) = score(world.as_ref(), &task, "a w. a w. c w.");
    assert_eq!((reward, measures["opinions"], measures["roles"]), (1.0, 1.0, 2.0));
    // Two sentences, four sentences, and a role that is not there.
    for bad in ["a w. b x.", "a w. b x. a w. b x.", "a w. b x. d w.", ""] {
        let (reward, valid, measures) = score(world.as_ref(), &task, bad);
        assert_eq!(
            (reward, valid, measures["well-formed"], measures.len()),
            (0.0, false, 0.0, 2)
        );
    }
    task.columns.insert("opinions".into(), "wx".into());
    let error = world.start(&task, Key::new(0, Stream::Environment)).unwrap_err();
    assert_eq!(
        error.0,
        "task t: column `opinions` does not hold an answer of each role"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn demonstrations_are_right_replies_of_one_voice_in_known_symbols(
        seed in any::<u64>(), n_questions in 1..=64usize, n_roles in 1..=12usize, n_answers in 2..=4usize,
        contested in 0.0..=1.0f64, n_segments in 1..=8usize,
    ) {
        let config = OpinionTableConfig { n_questions, n_roles, n_answers, contested, n_segments, n_warm_start: 80 };
        let world = build(config).unwrap();
        let key = Key::new(seed, Stream::Tasks);
        let Symbols::Characters(symbols) = world.symbols() else {
            panic!("characters")
        };
        let tasks = world.train_tasks(key).unwrap();
        for (i, task) in world.warm_start_tasks(key).unwrap().iter().enumerate() {
            prop_assert_eq!(&task.columns, &tasks[i % n_questions].columns);
            let reply = world.demonstration(task).unwrap();
            prop_assert!(reply.chars().chain(task.prompt.chars()).all(|c| symbols.contains(c)));
            let (reward, valid, measures) = score(world.as_ref(), task, &reply);
            prop_assert_eq!((reward, valid, measures["roles"]), (1.0, true, 1.0));
        }
    }
}
