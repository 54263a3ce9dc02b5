use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn build(config: EffortChoiceConfig) -> Result<Box<dyn World>, ParamError> {
    config.build(&WorldContext::default())
}

fn refused(change: impl FnOnce(&mut EffortChoiceConfig)) -> String {
    let mut config = EffortChoiceConfig::default();
    change(&mut config);
    build(config).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn bad_levels_and_starts_are_refused_by_name() {
    let range = "must be two or more increasing numbers in 0..=4096";
    for bad in [vec![], vec![3], vec![1, 1], vec![2, 1], vec![1, 5000]] {
        let text = format!("`levels` = {bad:?}: {range}");
        assert_eq!(refused(|c| c.levels = bad), text);
    }
    assert_eq!(
        refused(|c| c.unit = EffortUnit::Tokens),
        "`levels` = [0, 1, 2, 3, 4, 5, 6]: must be two or more increasing numbers in 1..=4096"
    );
    for bad in [f64::NAN, 72.0, -72.0] {
        let range = "must be such that its product with the number of levels is in [-500, 500]";
        let text = format!("`start.tilt` = {bad}: {range}");
        assert_eq!(refused(|c| c.start = EffortStart::Tilt(bad)), text);
    }
    for bad in [
        vec![0.5, 0.5],
        vec![0.2; 7],
        vec![-1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ] {
        let text = format!("`start.probabilities` = {bad:?}: must be 7 probabilities that sum to 1");
        assert_eq!(refused(|c| c.start = EffortStart::Probabilities(bad)), text);
    }
}

#[test]
fn bad_strata_are_refused_by_name() {
    let range = "must be one or more distinct names of letters, digits and `-`";
    assert_eq!(
        refused(|c| c.strata.clear()),
        format!("`strata.name` = []: {range}")
    );
    for bad in ["", "a/b", "a b"] {
        let text = format!("`strata.name` = [{bad:?}]: {range}");
        assert_eq!(refused(|c| c.strata[0].name = bad.into()), text);
    }
    assert_eq!(
        refused(|c| c.strata = vec![c.strata[0].clone(); 2]),
        format!("`strata.name` = [\"plain\", \"plain\"]: {range}")
    );
    assert_eq!(
        refused(|c| c.strata[0].n_tasks = 0),
        "`strata.n_tasks` = 0: must be in 1..=65535"
    );
    assert_eq!(
        refused(|c| c.strata[0].min_need = 4),
        "`strata.max_need` = 3: must be at least `min_need` and at most 4096"
    );
    assert_eq!(
        refused(|c| c.strata[0].enough = 1.5),
        "`strata.enough` = 1.5: must be in [0, 1]"
    );
    assert_eq!(
        refused(|c| c.strata[0].short = f64::NAN),
        "`strata.short` = NaN: must be in [0, 1]"
    );
}

fn stratum(name: &str, need: (usize, usize), enough: f64, short: f64) -> Stratum {
    Stratum {
        name: name.into(),
        n_tasks: 3,
        min_need: need.0,
        max_need: need.1,
        enough,
        short,
    }
}

fn lengths(levels: &[usize], start: EffortStart) -> Box<dyn World> {
    build(EffortChoiceConfig {
        unit: EffortUnit::Tokens,
        levels: levels.to_vec(),
        start,
        strata: vec![stratum("a", (1, 1), 1.0, 0.0), stratum("b", (3, 3), 0.9, 0.2)],
    })
    .unwrap()
}

fn key(sample: u64) -> Key {
    Key::new(5, Stream::Environment).sample(sample)
}

#[test]
fn a_level_of_tokens_is_an_answer_of_that_many_turns() {
    let world = lengths(&[1, 4], EffortStart::Tilt(0.0));
    let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(0);
    assert_eq!((task.prompt.as_str(), world.max_turns()), ("a-0", 4));
    for (word, turns) in [("l1", 1), ("l4", 4)] {
        let mut episode = world.start(&task, key(0)).unwrap();
        assert_eq!(episode.observe().text, "a-0");
        for turn in 1..=turns {
            let outcome = episode.step(if turn == 1 { word } else { "." }).unwrap();
            assert_eq!(episode.observe().text, "/writing");
            let last = turn == turns;
            let stop = last.then_some(StopReason::Terminal);
            assert_eq!(
                (outcome.reward, outcome.stop, outcome.valid),
                (f64::from(u8::from(last)), stop, true)
            );
        }
        assert_eq!(episode.step(".").unwrap_err().0, "the episode is over");
    }
    // Filler and unknown words are no choice.
    for word in [".", "l2"] {
        let outcome = world.start(&task, key(0)).unwrap().step(word).unwrap();
        assert_eq!(
            (outcome.reward, outcome.stop, outcome.valid),
            (0.0, Some(StopReason::Terminal), false)
        );
    }
}

#[test]
fn calls_stand_in_the_action_as_shapers_read_them() {
    let world = build(EffortChoiceConfig::default()).unwrap();
    let Symbols::Words { actions, .. } = world.symbols() else {
        panic!("a tabular world");
    };
    let counts: Vec<usize> = actions.iter().map(|a| a.matches("<tool_call>").count()).collect();
    assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6]);
    let mut task = Task::new("t", "plain-0", "");
    task.columns.insert("stratum".into(), 0.into());
    task.columns.insert("need".into(), 2.into());
    for (word, reward) in [(&actions[1], 0.0), (&actions[2], 1.0), (&actions[6], 1.0)] {
        let mut episode = world.start(&task, key(1)).unwrap();
        let outcome = episode.step(word).unwrap();
        assert_eq!(
            (outcome.reward, outcome.stop),
            (reward, Some(StopReason::Terminal))
        );
        assert_eq!(episode.observe().text, "plain-0");
    }
}

#[test]
fn filler_is_certain_and_no_prompt_can_pick_it() {
    let world = lengths(&[2, 5], EffortStart::Probabilities(vec![0.25, 0.75]));
    let rows = world.initial_logits(Key::new(0, Stream::Init)).unwrap();
    let law = |row: &[f64]| {
        let total: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x.exp() / total).collect::<Vec<f64>>()
    };
    assert_eq!(rows.len(), 7);
    assert_eq!(law(&rows[0]), [0.25, 0.75, 0.0]);
    assert_eq!(law(&rows[6]), [0.0, 0.0, 1.0]);
    let never = lengths(&[2, 5], EffortStart::Probabilities(vec![0.0, 1.0]));
    let rows = never.initial_logits(Key::new(0, Stream::Init)).unwrap();
    assert_eq!(law(&rows[0]), [0.0, 1.0, 0.0]);
}

#[test]
fn answers_are_right_as_often_as_their_stratum_says() {
    // 3.29 standard errors of a binomial share: alpha 0.001.
    let world = lengths(&[1, 4], EffortStart::Tilt(0.0));
    let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(3);
    for (word, turns, rate) in [("l1", 1, 0.2), ("l4", 4, 0.9)] {
        let n = 20_000;
        let wins: f64 = (0..n)
            .map(|i| {
                let mut episode = world.start(&task, key(i)).unwrap();
                let rewards =
                    (0..turns).map(|t| episode.step(if t == 0 { word } else { "." }).unwrap().reward);
                rewards.sum::<f64>()
            })
            .sum();
        let (found, error) = (wins / n as f64, (rate * (1.0 - rate) / n as f64).sqrt());
        assert!((found - rate).abs() < 3.29 * error, "{word}: {found}");
    }
}

#[test]
fn needs_are_uniform_in_their_range() {
    // Chi-square at alpha 0.001 with 3 degrees of freedom: 16.3.
    let mut config = EffortChoiceConfig::default();
    config.strata[0].n_tasks = 8000;
    let mut counts = [0.0; 4];
    for task in build(config)
        .unwrap()
        .train_tasks(Key::new(0, Stream::Tasks))
        .unwrap()
    {
        counts[task.columns["need"].as_u64().unwrap() as usize] += 1.0;
    }
    let chi: f64 = counts.iter().map(|c| (c - 2000.0f64).powi(2) / 2000.0).sum();
    assert!(chi < 16.3, "{counts:?}");
}

#[test]
fn a_task_of_another_world_is_refused() {
    let world = build(EffortChoiceConfig::default()).unwrap();
    let mut odd = Task::new("t", "plain-0", "");
    odd.columns.insert("stratum".into(), 1.into());
    odd.columns.insert("need".into(), 1.into());
    for bad in [Task::new("t", "plain-0", ""), odd] {
        let error = world.start(&bad, key(0)).unwrap_err();
        assert_eq!(
            error.0,
            "task t: columns `stratum` and `need` do not name one of 1 strata and a number"
        );
        assert_eq!(world.exact_success(&bad, &|_| Some(vec![1.0])), None);
        assert!(world.exact_measures(&bad, &|_| Some(vec![1.0])).is_empty());
    }
}

proptest! {
    #[test]
    fn exact_figures_are_sums_over_the_levels(
        weights in prop::collection::vec(0.01..1.0f64, 4), need in 0..6usize, enough in 0.0..1.0f64, short in 0.0..1.0f64,
    ) {
        let levels = [0, 2, 3, 5];
        let world = build(EffortChoiceConfig {
            levels: levels.to_vec(),
            strata: vec![stratum("x", (need, need), enough, short)],
            ..EffortChoiceConfig::default()
        }).unwrap();
        let total: f64 = weights.iter().sum();
        let law: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(0);
        let policy = |_: &str| Some(law.clone());
        let measures = world.exact_measures(&task, &policy);
        let mean = |f: &dyn Fn(usize) -> f64| -> f64 { levels.iter().zip(&law).map(|(l, p)| p * f(*l)).sum() };
        let success = mean(&|l| if l >= need { enough } else { short });
        prop_assert!((world.exact_success(&task, &policy).unwrap() - success).abs() < 1e-12);
        for (name, expected) in [
            ("success/x", success),
            ("effort", mean(&|l| l as f64)),
            ("effort/x", mean(&|l| l as f64)),
            ("excess/x", mean(&|l| (l as f64 - need as f64).max(0.0))),
            ("lowest/x", law[0]),
            ("moved/x", (law[0] - 0.25).abs()),
        ] {
            prop_assert!((measures[name] - expected).abs() < 1e-12, "{}", name);
        }
        prop_assert_eq!(measures.len(), 6);
    }

    #[test]
    fn the_logits_are_those_of_the_starting_law(tilt in -60.0..60.0f64) {
        let config = EffortChoiceConfig { start: EffortStart::Tilt(tilt), ..EffortChoiceConfig::default() };
        let law = config.start_law();
        let row = build(config).unwrap().initial_logits(Key::new(0, Stream::Init)).unwrap().remove(0);
        let top = row.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = row.iter().map(|x| (x - top).exp()).sum();
        for (x, p) in row.iter().zip(&law) {
            prop_assert!(((x - top).exp() / total - p).abs() < 1e-12);
        }
    }
}
