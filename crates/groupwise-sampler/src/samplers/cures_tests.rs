use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

const CONTEXT: SamplerContext = SamplerContext {
    n_tasks: 5,
    num_generations: 4,
};

fn key(step: u64) -> Key {
    Key::new(9, Stream::Sampler).step(step)
}

fn outcome(task: usize, rewards: &[Option<f64>]) -> GroupOutcome {
    GroupOutcome {
        task,
        rewards: rewards.to_vec(),
        lengths: vec![1; rewards.len()],
    }
}

fn surveyed(task: usize, right: usize) -> Surveyed {
    let rewards: Vec<Option<f64>> = (0..4).map(|i| Some(f64::from(u8::from(i < right)))).collect();
    Surveyed {
        outcome: outcome(task, &rewards),
        completions: vec![vec![]; 4],
    }
}

#[test]
fn the_start_is_surveyed_once_and_training_adds_to_it() {
    let mut sampler = CuresConfig::default().build(&CONTEXT).unwrap();
    assert_eq!((sampler.survey(1), sampler.survey(2)), (Some(4), None));
    let results: Vec<Surveyed> = (0..5).map(|task| surveyed(task, task.min(4))).collect();
    sampler.observe_survey(1, &results).unwrap();
    assert_eq!(sampler.estimate(1), Some(2.0 / 6.0));
    // Above 0.5 is a success, 0.5 is none, what cannot be scored is nothing.
    let rewards = [Some(0.9), Some(0.5), None];
    sampler.observe(1, &[outcome(1, &rewards)]).unwrap();
    let (right, wrong) = (0.2 * 1.0 + 1.0, 0.2 * 3.0 + 1.0);
    assert_eq!(sampler.estimate(1), Some((right + 1.0) / (right + wrong + 2.0)));
    let error = sampler.observe(2, &[outcome(7, &[Some(1.0)])]).unwrap_err();
    assert_eq!(error.to_string(), "task 7: is not in the pool of 5");
}

#[test]
fn an_epoch_draws_no_task_twice() {
    let config = CuresConfig {
        replacement: Replacement::Epoch,
        ..CuresConfig::default()
    };
    let mut sampler = config.build(&CONTEXT).unwrap();
    let mut seen = sampler.next(2, key(1)).unwrap();
    seen.extend(sampler.next(2, key(2)).unwrap());
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4);
    // One is left, fewer than a batch: all come back.
    let state = sampler.save();
    assert_eq!(sampler.next(2, key(3)).unwrap().len(), 2);
    let mut whole = sampler.next(5, key(4)).unwrap();
    whole.sort_unstable();
    assert_eq!(whole, [0, 1, 2, 3, 4]);
    let mut again = config.build(&CONTEXT).unwrap();
    again.load(&state).unwrap();
    assert_eq!(again.save(), state);
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut sampler = CuresConfig::default().build(&CONTEXT).unwrap();
    let mut state = sampler.save();
    state["drawn"] = serde_json::json!([3, 3]);
    let text = "cures sampler: drawn tasks do not ascend inside the pool of 5";
    assert_eq!(sampler.load(&state).unwrap_err().to_string(), text);
    state["drawn"] = serde_json::json!([5]);
    assert_eq!(sampler.load(&state).unwrap_err().to_string(), text);
    assert!(sampler.load(&State::Null).is_err());
}

#[test]
fn refused_parameters_are_named() {
    for (text, message) in [
        (
            r#"{"temperature": 0.0}"#,
            "`temperature` = 0: must be a finite number > 0",
        ),
        (r#"{"n_min": 0}"#, "`n_min` = 0: must be >= 1"),
        (r#"{"fast_decay": 1.5}"#, "`fast_decay` = 1.5: must be in [0, 1]"),
        (
            r#"{"slow_decay": -0.1}"#,
            "`slow_decay` = -0.1: must be in [0, 1]",
        ),
    ] {
        let config: CuresConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.build(&CONTEXT).unwrap_err().to_string(), message);
    }
    let config = CuresConfig {
        success_threshold: f64::NAN,
        ..CuresConfig::default()
    };
    assert_eq!(
        config.build(&CONTEXT).unwrap_err().to_string(),
        "`success_threshold` = NaN: must be a number"
    );
    let table = |a: &[u32], n: &[u32], t| sampling(a, n, CuresMode::Paper, t).unwrap_err().to_string();
    assert_eq!(table(&[5], &[4], 1.0), "task 0: 5 successes are outside 0..4");
    assert_eq!(table(&[], &[], 1.0), "successes: must hold at least one entry");
    assert_eq!(table(&[1], &[], 1.0), "`attempts` has 0 entries, expected 1");
    assert_eq!(
        table(&[1], &[2], -1.0),
        "temperature: `temperature` = -1: must be a finite number > 0"
    );
}

#[test]
fn a_small_temperature_does_not_overflow() {
    let table = sampling(&[0, 2], &[4, 4], CuresMode::Paper, 1e-4).unwrap();
    assert_eq!(table.probabilities[1], 1.0);
    assert!(table.probabilities[0] < 1e-300);
}

#[test]
fn the_released_constants_prefer_what_was_never_solved() {
    let table = sampling(&[0, 1, 2, 3, 4], &[4; 5], CuresMode::Authors, 0.25).unwrap();
    assert!(table.probabilities.is_sorted_by(|a, b| a > b));
    assert!(table.probabilities.iter().all(|p| (p - 0.2).abs() < 0.002));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn probabilities_sum_to_one_and_follow_the_deviation(
        counts in prop::collection::vec((0u32..9, 0u32..9), 1..12), temperature in 0.01..10.0f64,
    ) {
        let (right, attempts): (Vec<u32>, Vec<u32>) = counts.iter().map(|(a, b)| (*a, a + b)).unzip();
        let table = sampling(&right, &attempts, CuresMode::Paper, temperature)?;
        prop_assert!((table.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for i in 1..right.len() {
            let (a, b) = (table.scores[0], table.scores[i]);
            let ratio = (table.log_probabilities[0] - table.log_probabilities[i]) * temperature;
            prop_assert!((ratio - (a - b)).abs() < 1e-9);
            prop_assert!(table.scores[i] <= 0.5);
        }
    }

    #[test]
    fn right_and_wrong_are_symmetric(counts in prop::collection::vec((0u32..9, 0u32..9), 1..12)) {
        let attempts: Vec<u32> = counts.iter().map(|(a, b)| a + b).collect();
        let of = |right: Vec<u32>| sampling(&right, &attempts, CuresMode::Paper, 0.25);
        let one = of(counts.iter().map(|(a, _)| *a).collect())?;
        let other = of(counts.iter().map(|(_, b)| *b).collect())?;
        for (a, b) in one.probabilities.iter().zip(other.probabilities) {
            prop_assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn a_large_temperature_is_uniform(counts in prop::collection::vec((0u32..9, 0u32..9), 1..12)) {
        let (right, attempts): (Vec<u32>, Vec<u32>) = counts.iter().map(|(a, b)| (*a, a + b)).unzip();
        let table = sampling(&right, &attempts, CuresMode::Paper, 1e9)?;
        prop_assert!(table.probabilities.iter().all(|p| (p - 1.0 / right.len() as f64).abs() < 1e-8));
    }
}
