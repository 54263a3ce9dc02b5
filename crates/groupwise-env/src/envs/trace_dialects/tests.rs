use std::collections::BTreeSet;

use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn build(config: TraceDialectsConfig) -> Result<Box<dyn World>, ParamError> {
    config.build(&WorldContext::default())
}

#[test]
fn bad_parameters_are_refused_by_name() {
    let refused = |change: fn(&mut TraceDialectsConfig)| {
        let mut config = TraceDialectsConfig::default();
        change(&mut config);
        build(config).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(refused(|c| c.base = 11), "`base` = 11: must be in 2..=10");
    assert_eq!(refused(|c| c.min_length = 1), "`min_length` = 1: must be >= 2");
    assert_eq!(
        refused(|c| c.max_length = 1),
        "`max_length` = 1: must be at least `min_length`"
    );
    let range = "must be above `max_length` and at most 32";
    assert_eq!(
        refused(|c| c.ood_length = 4),
        format!("`ood_length` = 4: {range}")
    );
    assert_eq!(
        refused(|c| c.ood_length = 33),
        format!("`ood_length` = 33: {range}")
    );
    assert_eq!(refused(|c| c.n_eval = 0), "`n_eval` = 0: must be >= 1");
    assert_eq!(
        refused(|c| c.expert = -0.1),
        "`expert` = -0.1: must be a finite number >= 0"
    );
    assert_eq!(refused(|c| c.detours = 2.0), "`detours` = 2: must be in [0, 1]");
    assert_eq!(
        refused(|c| (c.plain, c.native) = (0.0, 0.0)),
        "`native` = 0: must be so that not all weights are 0"
    );
}

fn judge(prompt: &str, reply: &str) -> (f64, bool, BTreeMap<String, f64>) {
    let world = build(TraceDialectsConfig::default()).unwrap();
    let task = Task::new("t", prompt, "");
    let outcome = world
        .start(&task, Key::new(0, Stream::Environment))
        .unwrap()
        .step(reply)
        .unwrap();
    (
        outcome.reward,
        outcome.valid,
        world.measures(&task, &Trajectory::of_reply(reply, 1)),
    )
}

#[test]
fn one_right_digit_behind_the_last_mark_is_an_answer_in_any_dialect() {
    let figures = |measures: &BTreeMap<String, f64>| {
        ["in-domain", "out-of-domain", "trace", "detours", "expert"].map(|name| measures.get(name).copied())
    };
    let (reward, valid, measures) = judge("3142=", "3413#3");
    assert_eq!((reward, valid), (1.0, true));
    assert_eq!(
        figures(&measures),
        [Some(1.0), None, Some(4.0), Some(0.0), Some(0.0)]
    );
    let (reward, _, measures) = judge("314211=", "3+1=4?3+1=4#5");
    assert_eq!(reward, 1.0);
    assert_eq!(
        figures(&measures),
        [None, Some(1.0), Some(11.0), Some(1.0), Some(1.0)]
    );
    for (wrong, valid) in [
        ("#4", true),
        ("3", false),
        ("#33", true),
        ("#", true),
        ("#3#", true),
        ("", false),
    ] {
        let (reward, found, measures) = judge("3142=", wrong);
        assert_eq!(
            (reward, found, measures["in-domain"]),
            (0.0, valid, 0.0),
            "{wrong}"
        );
    }
    assert_eq!(judge("3142=", "#4#3").0, 1.0);
    let world = build(TraceDialectsConfig::default()).unwrap();
    for bad in ["3742=", "314", "="] {
        let error = world
            .start(&Task::new("t", bad, ""), Key::new(0, Stream::Environment))
            .unwrap_err();
        assert_eq!(
            error.0,
            format!("task t: {bad:?} is no prompt of digits to base 7")
        );
        assert!(
            world
                .measures(&Task::new("t", bad, ""), &Trajectory::of_reply("#3", 1))
                .is_empty()
        );
    }
}

#[test]
fn dialects_have_their_shares_and_detours_theirs() {
    let config = TraceDialectsConfig {
        plain: 1.0,
        native: 2.0,
        expert: 1.0,
        ..Default::default()
    };
    let tasks = build(config)
        .unwrap()
        .warm_start_tasks(Key::new(0, Stream::Tasks))
        .unwrap();
    let n = tasks.len() as f64;
    let (mut counts, mut sums, mut detours) = ([0.0; 3], 0.0, 0.0);
    for task in &tasks {
        let text = task.columns["demonstration"].as_str().unwrap();
        if text.starts_with('#') {
            counts[0] += 1.0;
        } else if text.contains('+') {
            counts[2] += 1.0;
            sums += task.difficulty - 1.0;
            detours += text.matches('?').count() as f64;
        } else {
            counts[1] += 1.0;
        }
    }
    // Within 3.29 standard deviations at alpha 0.001.
    for (count, p) in counts.into_iter().zip([0.25, 0.5, 0.25]) {
        assert!(
            (count / n - p).abs() < 3.29 * f64::sqrt(p * (1.0 - p) / n),
            "{count} of {n}"
        );
    }
    assert!(
        (detours / sums - 0.5).abs() < 3.29 * f64::sqrt(0.25 / sums),
        "{detours} of {sums}"
    );
}

#[test]
fn a_pool_that_is_too_large_is_refused() {
    let config = TraceDialectsConfig {
        base: 2,
        max_length: 2,
        ood_length: 3,
        n_tasks: 5,
        ..Default::default()
    };
    let error = build(config)
        .unwrap()
        .train_tasks(Key::new(0, Stream::Tasks))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("trace-dialects, train tasks: no prompt is left for task "),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn demonstrations_are_right_and_splits_disjoint(
        seed in any::<u64>(), base in 4..=10u8, max_length in 4..8usize, expert in 0.0..1.0f64,
    ) {
        let config = TraceDialectsConfig {
            base, max_length, ood_length: max_length + 2, expert, n_tasks: 60, n_eval: 20, n_warm_start: 100,
            ..Default::default()
        };
        let world = build(config).unwrap();
        let (key, other) = (Key::new(seed, Stream::Tasks), Key::new(seed ^ 1, Stream::Tasks));
        let Symbols::Characters(symbols) = world.symbols() else {
            panic!("characters")
        };
        let eval: BTreeSet<String> = world.eval_tasks(other).unwrap().into_iter().map(|t| t.prompt).collect();
        prop_assert_eq!(eval.len(), 40);
        let train = world.train_tasks(key).unwrap();
        for task in train.iter().chain(&world.warm_start_tasks(key).unwrap()) {
            prop_assert!(!eval.contains(&task.prompt));
            // Independent of the running sums.
            let sum: u32 = task.prompt.trim_end_matches('=').chars().map(|c| c.to_digit(10).unwrap()).sum();
            prop_assert_eq!(&task.reference, &(sum % u32::from(base)).to_string());
            let Some(text) = world.demonstration(task) else { continue };
            prop_assert!(text.chars().chain(task.prompt.chars()).all(|c| symbols.contains(c)));
            let mut episode = world.start(task, key).unwrap();
            prop_assert_eq!(episode.step(&text).unwrap().reward, 1.0);
        }
    }
}
