use std::collections::BTreeMap;

use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

const CONTEXT: SamplerContext = SamplerContext {
    n_tasks: 4,
    num_generations: 4,
};

fn key(step: u64) -> Key {
    Key::new(9, Stream::Sampler).step(step)
}

fn surveyed(task: usize, rewards: [Option<f64>; 4], answers: [&[u32]; 4]) -> Surveyed {
    Surveyed {
        outcome: GroupOutcome {
            task,
            rewards: rewards.to_vec(),
            lengths: answers.iter().map(|a| a.len()).collect(),
        },
        completions: answers.iter().map(|a| a.to_vec()).collect(),
    }
}

/// The worked example, and a task none of whose answers could be scored.
fn survey() -> Vec<Surveyed> {
    let (one, zero) = (Some(1.0), Some(0.0));
    vec![
        surveyed(
            0,
            [one, zero, one, zero],
            [&[1, 2, 3, 4], &[1, 2, 3, 5], &[6, 7, 8, 9], &[1, 2, 3, 4]],
        ),
        surveyed(1, [one; 4], [&[5; 4], &[5; 4], &[5; 4], &[5; 4]]),
        surveyed(2, [zero, zero, zero, one], [&[1, 2], &[3], &[], &[4, 5, 6]]),
        surveyed(3, [None; 4], [&[], &[], &[], &[]]),
    ]
}

#[test]
fn surveys_come_first_and_at_intervals() {
    let due = |every: u64| -> Vec<u64> {
        let config = VasConfig {
            refresh_every: every,
            ..VasConfig::default()
        };
        let sampler = config.build(&CONTEXT).unwrap();
        (1..=12).filter(|step| sampler.survey(*step) == Some(8)).collect()
    };
    assert_eq!(due(5), [1, 5, 10]);
    assert_eq!(due(0), [1]);
}

#[test]
fn weights_follow_the_worked_example() {
    let mut sampler = VasConfig::default().build(&CONTEXT).unwrap();
    assert_eq!(sampler.estimate(0), None);
    sampler.observe_survey(1, &survey()).unwrap();
    let weights: Vec<f64> = serde_json::from_value(sampler.save()["weights"].clone()).unwrap();
    for (weight, expected) in weights.iter().zip([0.325, 0.025, 0.35, 0.0]) {
        assert!((weight - expected).abs() < 1e-12, "{weights:?}");
    }
    let rates: Vec<_> = (0..4).map(|task| sampler.estimate(task)).collect();
    assert_eq!(rates, [Some(0.5), Some(1.0), Some(0.25), None]);
    let error = sampler.observe_survey(2, &survey()[..2]).unwrap_err();
    assert_eq!(error.to_string(), "`survey` has 2 entries, expected 4");
}

#[test]
fn momentum_keeps_a_share_of_the_old_weights() {
    let config = VasConfig {
        momentum: 0.25,
        ..VasConfig::default()
    };
    let mut sampler = config.build(&CONTEXT).unwrap();
    sampler.observe_survey(1, &survey()).unwrap();
    let mut second = survey();
    second.swap(0, 1);
    second[0].outcome.task = 0;
    second[1].outcome.task = 1;
    sampler.observe_survey(28, &second).unwrap();
    let weights: Vec<f64> = serde_json::from_value(sampler.save()["weights"].clone()).unwrap();
    assert!((weights[0] - (0.25 * 0.325 + 0.75 * 0.025)).abs() < 1e-12);
}

#[test]
fn a_batch_is_weighted_first_and_then_walks_through_the_pool() {
    let config = VasConfig {
        beta: 0.0,
        ..VasConfig::default()
    };
    let mut sampler = config.build(&CONTEXT).unwrap();
    sampler.observe_survey(1, &survey()).unwrap();
    let (mut weighted, mut walked) = (BTreeMap::new(), Vec::new());
    for step in 1..=200 {
        let batch = sampler.next(9, key(step)).unwrap();
        assert_eq!(batch.len(), 9);
        for task in &batch[..4] {
            *weighted.entry(*task).or_insert(0) += 1;
        }
        walked.extend_from_slice(&batch[4..]);
    }
    // Tasks 1 and 3 have no variance: never drawn by weight.  0.25 against 0.1875.
    assert_eq!(weighted.keys().copied().collect::<Vec<_>>(), [0, 2]);
    let share = f64::from(weighted[&0]) / 800.0;
    let sd = (4.0 / 7.0 * 3.0 / 7.0 / 800.0_f64).sqrt();
    assert!((share - 4.0 / 7.0).abs() < 3.3 * sd, "{share}");
    for round in walked.chunks(4) {
        assert_eq!(round, &walked[..4], "one fixed shuffle, again and again");
    }
    let mut once = walked[..4].to_vec();
    once.sort_unstable();
    assert_eq!(once, [0, 1, 2, 3]);
}

#[test]
fn refused_parameters_are_named() {
    for (text, message) in [
        (r#"{"alpha": -1.0}"#, "`alpha` = -1: must be a finite number >= 0"),
        (r#"{"beta": -1.0}"#, "`beta` = -1: must be a finite number >= 0"),
        (
            r#"{"alpha": 0.0, "beta": 0.0}"#,
            "`alpha` = 0: must be > 0 where `beta` is 0",
        ),
        (
            r#"{"mixture_ratio": 1.1}"#,
            "`mixture_ratio` = 1.1: must be in [0, 1]",
        ),
        (r#"{"rollouts": 1}"#, "`rollouts` = 1: must be >= 2"),
        (r#"{"momentum": 1.0}"#, "`momentum` = 1: must be in [0, 1)"),
    ] {
        let config: VasConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.build(&CONTEXT).unwrap_err().to_string(), message);
    }
}

#[test]
fn data_that_cannot_be_used_are_named() {
    let proportional = Normalization::Proportional;
    let text = |result: Result<Mixture, DataError>| result.unwrap_err().to_string();
    assert_eq!(
        text(mixture(&[0.1, -0.1], None, 0.0, proportional, 4, 0.5)),
        "task 1: weight -0.1 is not a finite number >= 0"
    );
    assert_eq!(
        text(mixture(&[0.1], None, 0.0, proportional, 0, 0.5)),
        "batch: is 0, must be >= 1"
    );
    assert_eq!(
        text(mixture(&[0.1], Some(&[]), 0.5, proportional, 4, 0.5)),
        "`previous weights` has 0 entries, expected 1"
    );
    assert_eq!(
        text(mixture(&[0.1], None, 0.0, proportional, 4, 1.5)),
        "mixture: `mixture_ratio` = 1.5: must be in [0, 1]"
    );
    let mut sampler = VasConfig::default().build(&CONTEXT).unwrap();
    let mut state = sampler.save();
    state["weights"] = serde_json::json!([1.0]);
    assert_eq!(
        sampler.load(&state).unwrap_err().to_string(),
        "`vas weights` has 1 entries, expected 4"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn outcome_variance_is_at_most_a_quarter(rewards in prop::collection::vec(0.0..=1.0f64, 0..9)) {
        let found = score(&rewards, &[&[1, 2, 3], &[1, 2, 4]], &VasConfig::default());
        prop_assert!((0.0..=0.25).contains(&found.outcome_variance));
        prop_assert!((0.0..=1.0).contains(&found.diversity));
    }

    #[test]
    fn parts_make_up_the_batch_and_scaling_scores_changes_nothing(
        scores in prop::collection::vec(0.0..1.0f64, 1..9), batch in 1usize..40, ratio in 0.0..=1.0f64,
        scale in 0.01..100.0f64,
    ) {
        let of = |scores: &[f64]| mixture(scores, None, 0.0, Normalization::Proportional, batch, ratio);
        let found = of(&scores)?;
        prop_assert_eq!(found.weighted_draws + found.uniform_draws, batch);
        prop_assert!((found.expected_share.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let scaled: Vec<f64> = scores.iter().map(|s| s * scale).collect();
        for (a, b) in found.expected_share.iter().zip(of(&scaled)?.expected_share) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }

    #[test]
    fn a_mixture_ratio_of_zero_is_uniform(scores in prop::collection::vec(0.0..1.0f64, 1..9)) {
        let found = mixture(&scores, None, 0.0, Normalization::Proportional, 6, 0.0)?;
        prop_assert!(found.expected_share.iter().all(|s| (s - 1.0 / scores.len() as f64).abs() < 1e-12));
    }
}
