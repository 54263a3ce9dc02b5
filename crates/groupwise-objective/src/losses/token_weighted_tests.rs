//! Gradient, invariants and refusals of the weighted loss.

use groupwise_core::testing::{Inputs, Sample, evaluate_whole, samples};
use groupwise_core::{Advantages, Part};
use proptest::prelude::*;

use super::*;
use crate::nested::worked_example;
use crate::objectives::PolicyGradientConfig;
use crate::surrogate::SurrogateConfig;

fn configs() -> impl Strategy<Value = TokenWeightedConfig> {
    (
        0.05..0.5f64,
        prop::option::of(0.05..1.0f64),
        prop_oneof![Just(0.0), 0.01..1.0f64],
        prop::sample::select(vec![Aggregation::TokenMean, Aggregation::SeqMeanTokenMean]),
    )
        .prop_map(|(epsilon, epsilon_high, beta, aggregation)| TokenWeightedConfig {
            epsilon,
            epsilon_high,
            beta,
            aggregation,
            max_completion_length: None,
        })
}

/// The same choices without weights.
fn unweighted(config: &TokenWeightedConfig) -> PolicyGradientConfig {
    PolicyGradientConfig {
        surrogate: SurrogateConfig::Clip(ClipParams {
            epsilon: config.epsilon,
            epsilon_high: config.epsilon_high,
            ..ClipParams::default()
        }),
        aggregation: config.aggregation,
        beta: config.beta,
        ..PolicyGradientConfig::default()
    }
}

/// One weight per token, some of them 0.
fn weights(sample: &Sample) -> Vec<f64> {
    let weight = |t: usize| (1.0 + sample.value[t]).clamp(0.0, 2.0);
    (0..sample.logp.len()).map(weight).collect()
}

fn reference(config: &PolicyGradientConfig, sample: &Sample) -> groupwise_core::Evaluation {
    let inputs = Inputs {
        logp: &sample.logp,
        entropy: None,
        value: None,
    };
    evaluate_whole(config.build(&()).expect("valid").as_ref(), &sample.batch, &inputs).expect("finite")
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= 1e-12 * (1.0 + b.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_derivative_is_the_central_difference_with_weights_held(sample in samples(), config in configs()) {
        let (loss, omega) = (TokenWeighted::new(&config)?, weights(&sample));
        // Kinks and the clamp, in log-ratios.
        let kinks = loss.clip.kinks();
        let at = loss.evaluate(&sample.batch, &sample.logp, &omega)?;
        let mut batch = sample.batch.clone();
        // On policy the old log-probabilities are constants too.
        batch.logp_old.get_or_insert_with(|| sample.logp.clone());
        let old = batch.logp_old.clone().unwrap();
        for t in 0..sample.logp.len() {
            let d = sample.logp[t] - old[t];
            if kinks.iter().any(|k| (k - d).abs() < 1e-4) {
                continue;
            }
            let mut moved = sample.logp.clone();
            let mut loss_at = |x: f64| {
                moved[t] = x;
                loss.evaluate(&batch, &moved, &omega).map(|e| e.loss)
            };
            let numeric = (loss_at(sample.logp[t] + 1e-5)? - loss_at(sample.logp[t] - 1e-5)?) / 2e-5;
            let scale = 1.0 + numeric.abs();
            prop_assert!((at.d_logp[t] - numeric).abs() < 1e-6 * scale, "{} {}", at.d_logp[t], numeric);
            prop_assert!(sample.batch.mask[t] || at.d_logp[t] == 0.0);
        }
    }

    #[test]
    fn weights_of_1_give_the_unweighted_loss(sample in samples(), config in configs()) {
        let at = TokenWeighted::new(&config)?.evaluate(&sample.batch, &sample.logp, &vec![1.0; sample.logp.len()])?;
        let plain = reference(&unweighted(&config), &sample);
        prop_assert!((at.loss - plain.loss).abs() < 1e-12 * (1.0 + plain.loss.abs()));
        prop_assert!(close(&at.d_logp, &plain.grads.d_logp));
    }

    #[test]
    fn without_kl_weights_are_a_matter_of_advantages(sample in samples(), config in configs()) {
        let (config, omega) = (TokenWeightedConfig { beta: 0.0, ..config }, weights(&sample));
        let at = TokenWeighted::new(&config)?.evaluate(&sample.batch, &sample.logp, &omega)?;
        let view = sample.batch.view(0..sample.batch.n_trajectories(), &sample.logp, None)?;
        let folded = view.tokens.iter().enumerate().flat_map(|(i, tokens)| {
            let (row, omega) = (view.advantage_row(i), &omega);
            tokens.clone().map(move |t| omega[t] * row.at(t - tokens.start))
        });
        let mut folded_sample = sample.clone();
        folded_sample.batch.advantages = Advantages::Token(folded.collect());
        let plain = reference(&unweighted(&config), &folded_sample);
        prop_assert!((at.loss - plain.loss).abs() < 1e-12 * (1.0 + plain.loss.abs()));
        prop_assert!(close(&at.d_logp, &plain.grads.d_logp));
        prop_assert_eq!(at.kl_loss, 0.0);
    }

    #[test]
    fn a_common_weight_scales_everything_kl_included(sample in samples(), config in configs(), factor in 0.0..3.0f64) {
        let loss = TokenWeighted::new(&config)?;
        let omega = weights(&sample);
        let scaled: Vec<f64> = omega.iter().map(|w| factor * w).collect();
        let (one, other) =
            (loss.evaluate(&sample.batch, &sample.logp, &omega)?, loss.evaluate(&sample.batch, &sample.logp, &scaled)?);
        prop_assert!((other.loss - factor * one.loss).abs() < 1e-9);
        prop_assert!((other.kl_loss - factor * one.kl_loss).abs() < 1e-9);
        prop_assert!(one.kl_loss >= 0.0);
    }
}

#[test]
fn the_kl_summand_is_part_of_the_loss() {
    let (batch, logp) = worked_example().to_batch().expect("fits");
    let omega: Vec<f64> = (0..logp.len()).map(|t| 1.0 + t as f64).collect();
    let with = |beta| {
        let config = TokenWeightedConfig {
            beta,
            ..TokenWeightedConfig::default()
        };
        TokenWeighted::new(&config)
            .expect("valid")
            .evaluate(&batch, &logp, &omega)
            .expect("finite")
    };
    let (plain, penalized) = (with(0.0), with(0.5));
    let reference = batch.logp_ref.clone().expect("there");
    let k3 = |t: usize| {
        let u: f64 = reference[t] - logp[t];
        u.exp() - u - 1.0
    };
    let expected = 0.5 * (0..logp.len()).map(|t| omega[t] * k3(t)).sum::<f64>() / logp.len() as f64;
    assert!((penalized.kl_loss - expected).abs() < 1e-12);
    assert!((penalized.loss - plain.loss - expected).abs() < 1e-12);
}

#[test]
fn bad_data_is_named() {
    let (batch, logp) = worked_example().to_batch().expect("fits");
    let n = logp.len();
    let loss = TokenWeighted::new(&TokenWeightedConfig::default()).expect("valid");
    let refuse = |batch: &TokenBatch, logp: &[f64], omega: &[f64]| {
        loss.evaluate(batch, logp, omega)
            .expect_err("refused")
            .to_string()
    };
    let with_kl = TokenWeighted::new(&TokenWeightedConfig {
        beta: 0.1,
        ..TokenWeightedConfig::default()
    })
    .expect("valid");
    assert_eq!(
        refuse(&batch, &logp, &[1.0]),
        format!("`weights` has 1 entries, expected {n}")
    );
    assert_eq!(
        refuse(&batch, &logp[1..], &[1.0]),
        format!("`logp` has {} entries, expected {n}", n - 1)
    );
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        let mut omega = vec![1.0; n];
        omega[3] = bad;
        assert_eq!(
            refuse(&batch, &logp, &omega),
            format!("trajectory 1, token 1: weight {bad} must be a finite number >= 0")
        );
        let mut masked = batch.clone();
        masked.mask[3] = false;
        assert!(loss.evaluate(&masked, &logp, &omega).is_ok());
    }
    for bad in [f64::NAN, f64::NEG_INFINITY] {
        let mut moved = logp.clone();
        moved[3] = bad;
        let expected = format!("trajectory 1, token 1: `loss or one of its log-probabilities` is {bad}");
        assert_eq!(refuse(&batch, &moved, &vec![1.0; n]), expected);
        let mut old = batch.clone();
        old.logp_old.as_mut().expect("there")[3] = bad;
        assert_eq!(refuse(&old, &logp, &vec![1.0; n]), expected);
        let mut reference = batch.clone();
        reference.logp_ref.as_mut().expect("there")[3] = bad;
        assert!(loss.evaluate(&reference, &logp, &vec![1.0; n]).is_ok());
        let error = with_kl
            .evaluate(&reference, &logp, &vec![1.0; n])
            .expect_err("refused");
        assert_eq!(error.to_string(), expected);
    }
    let mut alone = batch.clone();
    alone.logp_ref = None;
    assert_eq!(
        with_kl
            .evaluate(&alone, &logp, &vec![1.0; n])
            .expect_err("refused")
            .to_string(),
        "`logp_ref` is missing, and `the KL term of the objective` needs it"
    );
    assert!(loss.evaluate(&alone, &logp, &vec![1.0; n]).is_ok());
}

#[test]
fn beyond_the_clamp_the_surrogate_has_no_slope() {
    let (mut batch, mut logp) = worked_example().to_batch().expect("fits");
    logp[0] = -30.0;
    batch.mask.fill(false);
    batch.mask[0] = true;
    let loss = TokenWeighted::new(&TokenWeightedConfig::default()).expect("valid");
    let at = loss
        .evaluate(&batch, &logp, &vec![1.0; logp.len()])
        .expect("finite");
    assert_eq!(at.d_logp, vec![0.0; logp.len()]);
    batch.mask.fill(false);
    let none = loss
        .evaluate(&batch, &logp, &vec![1.0; logp.len()])
        .expect("finite");
    assert_eq!(none.loss, 0.0);
}

#[test]
fn refused_parameters() {
    let refuse = |config: TokenWeightedConfig| TokenWeighted::new(&config).expect_err("refused").to_string();
    let base = TokenWeightedConfig::default();
    for beta in [-0.1, f64::NAN, f64::INFINITY] {
        assert_eq!(
            refuse(TokenWeightedConfig { beta, ..base }),
            format!("`beta` = {beta}: must be a finite number >= 0")
        );
    }
    assert_eq!(
        refuse(TokenWeightedConfig { epsilon: 1.0, ..base }),
        "`epsilon` = 1: must be a number > 0 and < 1"
    );
    let constant = TokenWeightedConfig {
        aggregation: Aggregation::SeqMeanTokenSumConst,
        ..base
    };
    assert!(refuse(constant).starts_with("`max_completion_length` = none"));
}
