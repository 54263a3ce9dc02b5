//! The invariants of the surrogate, its edge cases, and every refusal.

use groupwise_core::testing::{
    CheckFailure, Inputs, Sample, check_gradient, check_invariance, evaluate_whole, samples,
};
use groupwise_core::{Advantages, Offsets};
use proptest::prelude::*;

use super::*;

/// One reward per trajectory, at either level.
fn rewarded() -> impl Strategy<Value = Sample> {
    (samples(), prop::collection::vec(-2.0..2.0f64, 25), any::<bool>()).prop_map(
        |(mut sample, rewards, each)| {
            let batch = &mut sample.batch;
            let n = batch.n_trajectories();
            let copies = |i: usize| vec![rewards[i]; batch.tokens.range(i).len()];
            batch.advantages = match each {
                true => Advantages::Token((0..n).flat_map(copies).collect()),
                false => Advantages::Trajectory(rewards[..n].to_vec()),
            };
            sample
        },
    )
}

fn configs() -> impl Strategy<Value = PairwiseConfig> {
    (
        0.1..2.0f64,
        prop::sample::select(vec![Anchor::Old, Anchor::Reference]),
    )
        .prop_map(|(tau, anchor)| PairwiseConfig { tau, anchor })
}

fn build(config: &PairwiseConfig) -> Box<dyn Objective> {
    config.build(&()).expect("valid")
}

fn evaluate(config: &PairwiseConfig, sample: &Sample) -> Result<Evaluation, CheckFailure> {
    evaluate_whole(build(config).as_ref(), &sample.batch, &sample.inputs())
}

/// The loss by its definition over pairs.
fn by_definition(config: &PairwiseConfig, sample: &Sample) -> f64 {
    let batch = &sample.batch;
    let anchor = match config.anchor {
        Anchor::Old => batch.logp_old.as_ref().unwrap_or(&sample.logp),
        Anchor::Reference => batch.logp_ref.as_ref().expect("generated with one"),
    };
    let mut losses = vec![];
    for members in batch.groups.spans().iter() {
        let mut a = vec![];
        for i in members {
            let tokens: Vec<usize> = batch.tokens.range(i).filter(|t| batch.mask[*t]).collect();
            if let Some(t) = tokens.first() {
                let reward = match &batch.advantages {
                    Advantages::Trajectory(r) => r[i],
                    Advantages::Token(r) => r[*t],
                };
                let x: f64 = tokens.iter().map(|t| sample.logp[*t] - anchor[*t]).sum();
                a.push(reward - config.tau * x);
            }
        }
        if !a.is_empty() {
            let pairs = (0..a.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
            let sum: f64 = pairs.map(|(i, j)| (a[i] - a[j]).powi(2)).sum();
            losses.push(sum / (a.len() * a.len()) as f64);
        }
    }
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn derivatives_are_central_differences(sample in rewarded(), config in configs()) {
        check_gradient(build(&config).as_ref(), &sample.batch, &sample.logp, None)?;
    }

    #[test]
    fn micro_batches_order_and_padding_change_nothing(sample in rewarded(), config in configs()) {
        let objective = build(&config);
        check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn the_loss_is_the_sum_over_pairs(sample in rewarded(), config in configs()) {
        let expected = by_definition(&config, &sample);
        let at = evaluate(&config, &sample)?;
        prop_assert!((at.loss - expected).abs() < 1e-10 * (1.0 + expected));
        prop_assert_eq!(at.terms, vec![("policy_loss", at.loss)]);
    }

    #[test]
    fn at_the_anchor_the_gradient_is_two_tau_times_that_of_reinforce(
        rewards in prop::collection::vec(-2.0..2.0f64, 2..9), tau in 0.1..2.0f64,
    ) {
        let mut slopes = vec![f64::NAN; rewards.len()];
        pairwise_loss(&rewards, tau, &mut slopes)?;
        let k = rewards.len() as f64;
        let mean = rewards.iter().sum::<f64>() / k;
        for (slope, r) in slopes.iter().zip(&rewards) {
            let reinforce = -(r - mean) / k;
            prop_assert!((slope - 2.0 * tau * reinforce).abs() < 1e-12);
        }
    }

    #[test]
    fn a_shift_of_the_rewards_of_a_group_changes_nothing(sample in rewarded(), config in configs(), shift in -5.0..5.0f64) {
        let mut moved = sample.clone();
        let (Advantages::Trajectory(values) | Advantages::Token(values)) = &mut moved.batch.advantages;
        values.iter_mut().for_each(|v| *v += shift);
        let (at, other) = (evaluate(&config, &sample)?, evaluate(&config, &moved)?);
        prop_assert!((at.loss - other.loss).abs() < 1e-10 * (1.0 + at.loss));
    }
}

#[test]
fn a_silent_answer_is_left_out_and_a_silent_group_is_not_counted() {
    let nested = crate::nested::NestedBatch {
        advantages: crate::nested::NestedAdvantages::Trajectory(vec![vec![1.0, 0.0, 9.0], vec![5.0, 7.0]]),
        ..crate::nested::worked_example()
    };
    let (mut batch, logp) = nested.to_batch().expect("fits");
    batch.logp_old = None;
    for i in 2..5 {
        batch.mask[batch.tokens.range(i)].fill(false);
    }
    let n = logp.len();
    let sample = Sample {
        batch,
        logp,
        entropy: vec![0.0; n],
        value: vec![0.0; n],
    };
    let at = evaluate(&PairwiseConfig::default(), &sample).expect("finite");
    assert_eq!(at.loss, 0.25);
    assert_eq!(at.grads.d_logp[..4], [-0.5, -0.5, 0.5, 0.5]);
    assert!(at.grads.d_logp[4..].iter().all(|d| *d == 0.0));
    assert_eq!(pairwise_loss(&[], 1.0, &mut []), Ok(0.0));
    assert_eq!(pairwise_loss(&[3.0], 1.0, &mut [f64::NAN]), Ok(0.0));
    assert!(pairwise_loss(&[3.0], 1.0, &mut []).is_err());
}

#[test]
fn beyond_the_clamp_a_token_has_no_slope() {
    let (mut batch, mut logp) = crate::nested::worked_example().to_batch().expect("fits");
    batch.groups = Offsets::from_lengths([5]);
    logp[0] = 30.0;
    let n = logp.len();
    let sample = Sample {
        batch,
        logp,
        entropy: vec![0.0; n],
        value: vec![0.0; n],
    };
    let at = evaluate(&PairwiseConfig::default(), &sample).expect("finite");
    assert_eq!(at.grads.d_logp[0], 0.0);
    assert_ne!(at.grads.d_logp[1], 0.0);
}

#[test]
fn what_it_needs_and_refuses() {
    let old = build(&PairwiseConfig::default());
    assert_eq!(
        (old.scope(), old.needs()),
        (Scope::Group, Needs::TOKENS | Needs::LOGP_OLD)
    );
    let config = PairwiseConfig {
        anchor: Anchor::Reference,
        ..Default::default()
    };
    assert_eq!(build(&config).needs(), Needs::TOKENS | Needs::LOGP_REF);
    let (mut batch, mut logp) = crate::nested::worked_example().to_batch().expect("fits");
    let evaluate = |config: &PairwiseConfig, batch: &TokenBatch, logp: &[f64]| {
        let inputs = Inputs {
            logp,
            entropy: None,
            value: None,
        };
        let error = evaluate_whole(build(config).as_ref(), batch, &inputs).expect_err("refused");
        error.to_string().replace("the objective refused the batch: ", "")
    };
    batch.logp_ref = Some(vec![f64::NAN; logp.len()]);
    assert_eq!(
        evaluate(&config, &batch, &logp),
        "trajectory 0, token 0: `logp_ref` is NaN"
    );
    batch.logp_ref = None;
    assert_eq!(
        evaluate(&config, &batch, &logp),
        "`logp_ref` is missing, and `the anchor of the objective` needs it"
    );
    logp[3] = f64::INFINITY;
    assert_eq!(
        evaluate(&PairwiseConfig::default(), &batch, &logp),
        "trajectory 1, token 1: `logp` is inf"
    );
    logp[3] = -1.0;
    let huge = PairwiseConfig {
        tau: 1e200,
        ..Default::default()
    };
    assert_eq!(
        evaluate(&huge, &batch, &logp),
        "sum over trajectories: `loss` is inf"
    );
    let beyond = PairwiseConfig {
        tau: f64::MAX,
        ..Default::default()
    };
    logp[0] = 5.0;
    assert_eq!(
        evaluate(&beyond, &batch, &logp),
        "trajectory 0: `reward less tau times the log-ratio` is -inf"
    );
}

#[test]
fn frozen_constants_must_be_there() {
    let old = build(&PairwiseConfig::default());
    let (batch, logp) = crate::nested::worked_example().to_batch().expect("fits");
    let view = batch.view(0..5, &logp, None).expect("fits");
    assert_eq!(
        old.evaluate(&Frozen::default(), &view)
            .expect_err("refused")
            .to_string(),
        "`frozen constants` has 0 entries, expected 1"
    );
}

#[test]
fn a_tau_out_of_range_is_refused() {
    for (tau, message) in [
        (0.0, "`tau` = 0: must be a finite number > 0"),
        (f64::NAN, "`tau` = NaN: must be a finite number > 0"),
        (f64::INFINITY, "`tau` = inf: must be a finite number > 0"),
    ] {
        let config = PairwiseConfig {
            tau,
            ..Default::default()
        };
        assert_eq!(config.build(&()).expect_err("refused").to_string(), message);
    }
}

#[test]
fn the_formula_names_the_anchor() {
    let config: PairwiseConfig = toml::from_str("tau = 0.5\nanchor = 'reference'").expect("parses");
    assert_eq!(
        config.formula(),
        "loss = mean over groups of 1/K^2 sum_{i < j} (a_i - a_j)^2; a_i = A_i - 0.5 sum_t clamp(logp - logp_ref, \
         -20, 20)"
    );
    assert!(
        PairwiseConfig::default()
            .formula()
            .contains("1 sum_t clamp(logp - logp_old")
    );
}
