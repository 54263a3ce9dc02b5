//! Edges that every objective shares: nothing counted, trajectories longer than a block, ratios beyond the clamp.

use std::sync::Arc;

use groupwise_core::testing::{Sample, evaluate_whole};
use groupwise_core::{Advantages, Evaluation, Key, Offsets, Part, Stream, TokenBatch};
use groupwise_objective::aggregate::Aggregation;
use groupwise_objective::objectives::{ObjectiveSpec, PolicyGradientConfig};
use groupwise_objective::regularizer::{KlCorrection, KlEstimator};
use groupwise_objective::surrogate::{CispoParams, ClipParams, SurrogateConfig};
use proptest::prelude::*;

/// Groups of trajectories of these lengths; everything about a token is drawn by its place in the batch.
fn sample(groups: &[&[usize]], seed: u64) -> Sample {
    let lengths = groups.concat();
    let n = lengths.iter().sum();
    let key = Key::new(seed, Stream::Rollout);
    let column = |stream: u64, low: f64, width: f64| -> Vec<f64> {
        (0..n)
            .map(|t| low + width * key.step(stream).token(t as u64).uniform())
            .collect()
    };
    let old = column(0, -3.0, 2.5);
    let batch = TokenBatch {
        groups: Offsets::from_lengths(groups.iter().map(|g| g.len())),
        tokens: Offsets::from_lengths(lengths.iter().copied()),
        prompts: vec![Arc::from([]); lengths.len()],
        ids: vec![0; n],
        mask: column(1, 0.0, 1.0).iter().map(|u| *u < 0.8).collect(),
        logp_sampler: old.clone(),
        logp_ref: Some(old.iter().zip(column(2, -0.5, 1.0)).map(|(l, d)| l + d).collect()),
        segments: Some(vec![0; n]),
        advantages: Advantages::Token(column(3, -1.5, 3.0)),
        temperature: 1.0,
        logp_old: Some(old.clone()),
    };
    Sample {
        batch,
        entropy: vec![0.5; n],
        value: vec![0.0; n],
        logp: old.iter().zip(column(4, -1.0, 2.0)).map(|(l, d)| l + d).collect(),
    }
}

fn evaluate(config: &PolicyGradientConfig, sample: &Sample) -> Evaluation {
    let objective = config.build(&()).expect("a valid combination");
    evaluate_whole(objective.as_ref(), &sample.batch, &sample.inputs()).expect("fits")
}

/// Every surrogate under every form of the penalty.
fn configs() -> Vec<PolicyGradientConfig> {
    let clip = ClipParams {
        epsilon_high: Some(0.28),
        dual_clip: Some(1.75),
        ..ClipParams::default()
    };
    let cispo = CispoParams {
        ratio_min: 0.7,
        ratio_max: 1.4,
    };
    let surrogates = [
        SurrogateConfig::Clip(clip),
        SurrogateConfig::Cispo(cispo),
        SurrogateConfig::Reinforce,
    ];
    let corrections = [KlCorrection::None, KlCorrection::Ratio, KlCorrection::FrozenRatio];
    let with = |surrogate| {
        corrections.map(|kl_correction| PolicyGradientConfig {
            surrogate,
            aggregation: Aggregation::TokenMean,
            beta: 0.5,
            kl_estimator: KlEstimator::K3,
            kl_correction,
            ..Default::default()
        })
    };
    surrogates.map(with).concat()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * (1.0 + b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Tokens are worked on in blocks; where ratio, weight and advantage are a token's own, it is all the same how
    /// many trajectories they stand in.
    #[test]
    fn cutting_a_long_trajectory_into_short_ones_changes_nothing(n in 520usize..800, seed in any::<u64>()) {
        let whole = sample(&[&[n]], seed);
        let cut = sample(&[&[100, 200, 210, n - 510]], seed);
        for config in configs() {
            let (one, other) = (evaluate(&config, &whole), evaluate(&config, &cut));
            prop_assert!(near(one.loss, other.loss), "{config:?}");
            for (a, b) in one.grads.d_logp.iter().zip(&other.grads.d_logp) {
                prop_assert!(near(*a, *b), "{config:?}");
            }
            for (a, b) in one.terms.iter().zip(&other.terms) {
                prop_assert_eq!(a.0, b.0);
                prop_assert!(near(a.1, b.1), "{} of {config:?}", a.0);
            }
        }
    }

    #[test]
    fn clipped_tokens_are_counted_by_side_whatever_the_surrogate(seed in any::<u64>()) {
        let given = sample(&[&[40, 3], &[60]], seed);
        let batch = &given.batch;
        let Advantages::Token(a) = &batch.advantages else {
            return Err(TestCaseError::fail("per token"));
        };
        let counted: Vec<usize> = (0..batch.n_tokens()).filter(|t| batch.mask[*t]).collect();
        let rho = |t: usize| (given.logp[t] - batch.logp_sampler[t]).exp();
        let share = |holds: &dyn Fn(usize) -> bool| {
            counted.iter().filter(|t| holds(**t)).count() as f64 / counted.len() as f64
        };
        for config in configs() {
            let at = evaluate(&config, &given);
            let [low, high, cap] = match config.surrogate {
                SurrogateConfig::Clip(_) => [
                    Some(share(&|t| a[t] < 0.0 && rho(t) < 0.8)),
                    Some(share(&|t| a[t] > 0.0 && rho(t) > 1.28)),
                    Some(share(&|t| a[t] < 0.0 && rho(t) > 1.75)),
                ],
                SurrogateConfig::Cispo(_) => [Some(share(&|t| rho(t) < 0.7)), Some(share(&|t| rho(t) > 1.4)), None],
                SurrogateConfig::Reinforce => [None; 3],
            };
            prop_assert_eq!(at.term("clip_ratio/low_mean"), low);
            prop_assert_eq!(at.term("clip_ratio/high_mean"), high);
            prop_assert_eq!(at.term("clip_ratio/cap_mean"), cap);
        }
    }
}

#[test]
fn a_batch_in_which_nothing_counts_costs_nothing() {
    let mut given = sample(&[&[2, 3], &[1, 2]], 7);
    given.batch.mask.fill(false);
    given.batch.advantages = Advantages::Trajectory(vec![1.0, 0.0, 0.5, -0.5]);
    for name in ObjectiveSpec::NAMES {
        let spec = match *name {
            "dr-grpo" => {
                serde_json::from_str(r#"{"dr-grpo": {"max_completion_length": 8}}"#).expect("parses")
            }
            name => ObjectiveSpec::named(name).expect("listed"),
        };
        let objective = spec.build(&()).expect("valid");
        let at = evaluate_whole(objective.as_ref(), &given.batch, &given.inputs());
        let at = at.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(at.loss, 0.0, "{name}");
        assert!(at.grads.d_logp.iter().all(|d| *d == 0.0), "{name}");
        for (term, value) in &at.terms {
            assert_eq!(*value, 0.0, "{term} of {name}");
        }
    }
}

#[test]
fn finite_numbers_beyond_the_clamp_are_no_error() {
    let mut given = sample(&[&[4]], 3);
    given.batch.mask.fill(true);
    given.logp[0] = -90.0;
    if let Some(reference) = &mut given.batch.logp_ref {
        reference[2] = -90.0;
    }
    for config in configs() {
        let at = evaluate(&config, &given);
        assert!(
            at.loss.is_finite() && at.grads.d_logp.iter().all(|d| d.is_finite()),
            "{config:?}"
        );
    }
}

#[test]
fn nothing_is_frozen_for_a_loss_that_holds_nothing() {
    let given = sample(&[&[2, 3]], 5);
    let view = given.batch.view(0..2, &given.logp, None).expect("fits");
    let held = |config: &PolicyGradientConfig| {
        let objective = config.build(&()).expect("valid");
        let denominators = objective.denominators(&given.batch).expect("fits");
        objective.freeze(&denominators, &view).expect("fits").token.len()
    };
    let lengths: Vec<usize> = configs().iter().map(held).collect();
    // Clip, CISPO and REINFORCE; without, with a live and with a frozen ratio in the penalty.
    assert_eq!(lengths, [0, 0, 5, 5, 5, 10, 0, 0, 5]);
    assert_eq!(held(&PolicyGradientConfig::default()), 0);
}

#[test]
fn a_loss_that_overflows_is_named_with_its_value() {
    let mut given = sample(&[&[2]], 1);
    given.batch.mask.fill(true);
    given.logp = vec![-0.5, -5.0];
    for (a, value) in [(f64::MAX, "inf"), (f64::MIN, "-inf")] {
        given.batch.advantages = Advantages::Token(vec![0.0, a]);
        let config = PolicyGradientConfig {
            surrogate: SurrogateConfig::Reinforce,
            ..Default::default()
        };
        let objective = config.build(&()).expect("valid");
        let error = evaluate_whole(objective.as_ref(), &given.batch, &given.inputs()).expect_err("refused");
        assert_eq!(
            error.to_string(),
            format!("the objective refused the batch: trajectory 0, token 1: `loss` is {value}")
        );
    }
}
