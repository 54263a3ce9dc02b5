//! Section 10 of the specification, its edge cases, every refusal, and the named rows.

use groupwise_core::testing::{
    CheckFailure, Sample, check_gradient, check_invariance, evaluate_whole, samples,
};
use groupwise_core::{Advantages, Offsets, TokenBatch};
use proptest::prelude::*;

use super::*;
use crate::objectives::rec::*;
use crate::objectives::{ObjectiveSpec, PolicyGradientConfig, PpoConfig};
use crate::surrogate::SurrogateConfig;

const MODES: [ClipMode; 5] = [
    ClipMode::None,
    ClipMode::OneSide,
    ClipMode::TwoSide,
    ClipMode::Ring,
    ClipMode::GspoOneSide,
];
const WEIGHTS: [Weight; 4] = [
    Weight::None,
    Weight::ImportanceSampling,
    Weight::GspoImportanceSampling,
    Weight::Advantage,
];

fn configs() -> impl Strategy<Value = OffPolicyReinforceConfig> {
    (
        prop::sample::select(MODES.to_vec()),
        prop::sample::select(WEIGHTS.to_vec()),
        prop::sample::select(vec![Regularizer::None, Regularizer::ForwardKl, Regularizer::K2]),
        prop_oneof![Just(0.0), 0.05..1.0f64],
        prop::sample::select(vec![K2Level::Token, K2Level::Sequence]),
        0.3..3.0f64,
        (0.05..0.6f64, 0.05..1.0f64, 0.6..1.0f64, 1.0..3.0f64),
        prop::option::of(prop::sample::select(vec![
            Aggregation::TokenMean,
            Aggregation::SeqMeanTokenSum,
        ])),
    )
        .prop_map(
            |(clip_mode, weight, regularizer, regularizer_coef, k2_level, temp, e, aggregation)| {
                OffPolicyReinforceConfig {
                    clip_mode,
                    weight,
                    regularizer,
                    regularizer_coef,
                    k2_level,
                    temp,
                    epsilon: e.0,
                    epsilon_high: e.1,
                    epsilon_low_prime: e.2,
                    epsilon_high_prime: e.3,
                    aggregation,
                    max_completion_length: None,
                }
            },
        )
}

fn build(config: &OffPolicyReinforceConfig) -> Box<dyn Objective> {
    config.build(&()).expect("valid")
}

fn evaluate(config: &OffPolicyReinforceConfig, sample: &Sample) -> Result<Evaluation, CheckFailure> {
    evaluate_whole(build(config).as_ref(), &sample.batch, &sample.inputs())
}

fn term(at: &Evaluation, name: &str) -> f64 {
    at.term(name).expect("listed")
}

/// Advantages, each changed by a function.
fn with_advantages(sample: &Sample, change: impl Fn(f64) -> f64) -> Sample {
    let mut sample = sample.clone();
    let (Advantages::Trajectory(values) | Advantages::Token(values)) = &mut sample.batch.advantages;
    values.iter_mut().for_each(|a| *a = change(*a));
    sample
}

/// True where the definition keeps a token of advantage `a`, ratio `rho` and sequence ratio `s`.
fn keeps(c: &OffPolicyReinforceConfig, a: f64, rho: f64, s: f64) -> bool {
    let (low, high) = (1.0 - c.epsilon, 1.0 + c.epsilon_high);
    let two = (low..=high).contains(&rho);
    match c.clip_mode {
        ClipMode::None => true,
        ClipMode::TwoSide => two,
        ClipMode::OneSide => (a >= 0.0 && rho <= high) || (a <= 0.0 && rho >= low),
        ClipMode::GspoOneSide => (a >= 0.0 && s <= high) || (a <= 0.0 && s >= low),
        ClipMode::Ring => {
            two || (a >= 0.0 && rho <= 1.0 - c.epsilon_low_prime)
                || (a <= 0.0 && rho >= 1.0 + c.epsilon_high_prime)
        }
    }
}

/// Loss, derivative and share of masked tokens by the definition, written out.
fn by_definition(c: &OffPolicyReinforceConfig, sample: &Sample) -> (f64, Vec<f64>, f64) {
    let batch = &sample.batch;
    let old = batch.logp_old.as_ref().unwrap_or(&sample.logp);
    let counted = |i: usize| {
        batch
            .tokens
            .range(i)
            .filter(|t| batch.mask[*t])
            .collect::<Vec<_>>()
    };
    let all: usize = (0..batch.n_trajectories()).map(|i| counted(i).len()).sum();
    let filled = (0..batch.n_trajectories())
        .filter(|i| !counted(*i).is_empty())
        .count() as f64;
    let (mut loss, mut grad, mut masked) = (0.0, vec![0.0; sample.logp.len()], 0.0);
    for i in 0..batch.n_trajectories() {
        let tokens = counted(i);
        let n = tokens.len() as f64;
        let d: Vec<f64> = tokens.iter().map(|t| sample.logp[*t] - old[*t]).collect();
        let sum: f64 = d.iter().sum();
        let s = (sum / n).exp();
        let w = match (c.aggregation, c.clip_mode) {
            (Some(Aggregation::SeqMeanTokenSum), _) => 1.0 / filled,
            (None, ClipMode::GspoOneSide) => 1.0 / (filled * n),
            _ => 1.0 / all as f64,
        };
        let squares = c.regularizer == Regularizer::K2 && c.k2_level == K2Level::Sequence;
        if squares && n > 0.0 {
            loss += c.regularizer_coef * sum * sum / filled;
        }
        for (t, d) in tokens.into_iter().zip(d) {
            let a = match &batch.advantages {
                Advantages::Trajectory(a) => a[i],
                Advantages::Token(a) => a[t],
            };
            let rho = d.exp();
            let kept = keeps(c, a, rho, s);
            let v = match c.weight {
                Weight::None => 1.0,
                Weight::ImportanceSampling => rho,
                Weight::GspoImportanceSampling => s,
                Weight::Advantage => (a / c.temp).min(20.0).exp(),
            };
            let f = if kept { v } else { 0.0 };
            masked += f64::from(u8::from(!kept)) / all as f64;
            let (reg, slope) = match c.regularizer {
                Regularizer::None => (0.0, 0.0),
                Regularizer::ForwardKl => (-sample.logp[t], -1.0),
                Regularizer::K2 if squares => (0.0, 2.0 * sum / (filled * w)),
                Regularizer::K2 => (d * d, 2.0 * d),
            };
            loss += w * (-a * f * sample.logp[t] + c.regularizer_coef * reg);
            grad[t] = w * (-a * f + c.regularizer_coef * slope);
        }
    }
    (loss, grad, masked)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn derivatives_are_central_differences(sample in samples(), config in configs()) {
        check_gradient(build(&config).as_ref(), &sample.batch, &sample.logp, None)?;
    }

    #[test]
    fn micro_batches_order_and_padding_change_nothing(sample in samples(), config in configs()) {
        let objective = build(&config);
        check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn loss_derivative_and_terms_are_the_definition(sample in samples(), config in configs()) {
        let (loss, grad, masked) = by_definition(&config, &sample);
        let at = evaluate(&config, &sample)?;
        prop_assert!((at.loss - loss).abs() < 1e-9 * (1.0 + loss.abs()), "{} {loss}", at.loss);
        for (found, expected) in at.grads.d_logp.iter().zip(&grad) {
            prop_assert!((found - expected).abs() < 1e-9 * (1.0 + expected.abs()));
        }
        let regularizer = at.term("kl_loss");
        prop_assert_eq!(
            regularizer.is_some(), config.regularizer != Regularizer::None && config.regularizer_coef > 0.0);
        let parts = term(&at, "policy_loss") + regularizer.unwrap_or(0.0);
        prop_assert!((parts - at.loss).abs() < 1e-12 * (1.0 + at.loss.abs()));
        prop_assert!((term(&at, "clip_ratio/region_mean") - masked).abs() < 1e-12);
        let batch = &sample.batch;
        let old = batch.logp_old.as_ref().unwrap_or(&sample.logp);
        let k3: Vec<f64> = (0..batch.n_tokens())
            .filter(|t| batch.mask[*t])
            .map(|t| { let u = old[t] - sample.logp[t]; u.exp() - u - 1.0 })
            .collect();
        let mean = k3.iter().sum::<f64>() / k3.len().max(1) as f64;
        prop_assert!((term(&at, "approx_kl") - mean).abs() < 1e-9 * (1.0 + mean));
    }

    #[test]
    fn asymre_is_reinforce_with_every_advantage_raised(sample in samples(), c in 0.0..1.0f64) {
        let asymre = evaluate(&AsymreConfig { regularizer_coef: c }.general(), &sample)?;
        let raised = evaluate(&OffPolicyReinforceConfig::default(), &with_advantages(&sample, |a| a + c))?;
        prop_assert!((asymre.loss - raised.loss).abs() < 1e-12 * (1.0 + raised.loss.abs()));
        for (a, b) in asymre.grads.d_logp.iter().zip(&raised.grads.d_logp) {
            prop_assert!((a - b).abs() < 1e-14);
        }
    }

    #[test]
    fn on_policy_every_mask_is_one_and_importance_weights_change_nothing(
        sample in samples(), mode in prop::sample::select(MODES.to_vec()),
    ) {
        let mut sample = sample;
        sample.batch.logp_old = None;
        let aggregation = Some(Aggregation::TokenMean);
        let base = OffPolicyReinforceConfig { aggregation, ..Default::default() };
        let plain = evaluate(&base, &sample)?;
        for weight in [Weight::None, Weight::ImportanceSampling, Weight::GspoImportanceSampling] {
            let at = evaluate(&OffPolicyReinforceConfig { clip_mode: mode, weight, ..base.clone() }, &sample)?;
            prop_assert_eq!(term(&at, "clip_ratio/region_mean"), 0.0);
            prop_assert_eq!(&at.grads.d_logp, &plain.grads.d_logp);
        }
    }

    #[test]
    fn one_side_with_the_token_ratio_has_the_gradient_of_the_ppo_clip(
        sample in samples(), epsilon in 0.05..0.6f64, epsilon_high in 0.05..1.0f64,
    ) {
        let at = evaluate(&RecOneSideIsConfig { epsilon, epsilon_high }.general(), &sample)?;
        let ppo = PpoConfig { epsilon, epsilon_high: Some(epsilon_high), ..Default::default() }.build(&())?;
        let clip = evaluate_whole(ppo.as_ref(), &sample.batch, &sample.inputs())?;
        for (a, b) in at.grads.d_logp.iter().zip(&clip.grads.d_logp) {
            prop_assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()));
        }
    }

    #[test]
    fn two_side_admits_no_more_than_one_side_and_no_more_than_the_ring(
        a in -2.0..2.0f64, log_ratio in -3.0..3.0f64, config in configs(),
    ) {
        let ratios = Ratios { token: log_ratio.exp(), sequence: 1.0 };
        let admits = |clip_mode| {
            let config = OffPolicyReinforceConfig { clip_mode, ..config.clone() };
            OffPolicyGate::new(&config).map(|gate| gate.admits(a, ratios))
        };
        if admits(ClipMode::TwoSide)? {
            prop_assert!(admits(ClipMode::OneSide)? && admits(ClipMode::Ring)?);
        }
    }

    #[test]
    fn opmd_is_the_kl_block_with_the_sampler_as_reference(sample in samples(), c in 0.05..1.0f64) {
        let mut sample = sample;
        sample.batch.logp_ref = Some(sample.batch.logp_old.clone().unwrap_or_else(|| sample.logp.clone()));
        let opmd = evaluate(&OpmdConfig { regularizer_coef: c, ..Default::default() }.general(), &sample)?;
        let general = PolicyGradientConfig {
            surrogate: SurrogateConfig::Reinforce,
            aggregation: Aggregation::TokenMean,
            beta: 2.0 * c,
            kl_estimator: KlEstimator::K2,
            ..Default::default()
        };
        let engine = evaluate_whole(general.build(&())?.as_ref(), &sample.batch, &sample.inputs())?;
        prop_assert!((opmd.loss - engine.loss).abs() < 1e-12 * (1.0 + engine.loss.abs()));
        for (a, b) in opmd.grads.d_logp.iter().zip(&engine.grads.d_logp) {
            prop_assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()));
        }
    }
}

/// Trajectories of one token each in one group.
fn tiny(tokens: &[(f64, f64, f64)]) -> Sample {
    let n = tokens.len();
    let old: Vec<f64> = tokens.iter().map(|t| t.2).collect();
    Sample {
        batch: TokenBatch {
            segments: None,
            groups: Offsets::from_lengths([n]),
            tokens: Offsets::from_lengths(vec![1; n]),
            prompts: vec![std::sync::Arc::from([]); n],
            ids: vec![0; n],
            mask: vec![true; n],
            logp_sampler: old.clone(),
            logp_old: Some(old),
            logp_ref: None,
            advantages: Advantages::Trajectory(tokens.iter().map(|t| t.0).collect()),
            temperature: 1.0,
        },
        logp: tokens.iter().map(|t| t.1).collect(),
        entropy: vec![0.0; n],
        value: vec![0.0; n],
    }
}

#[test]
fn bounds_are_inside_and_both_signs_hold_at_zero() {
    let config = OffPolicyReinforceConfig {
        epsilon: 0.5,
        epsilon_high: 1.0,
        epsilon_low_prime: 0.75,
        epsilon_high_prime: 3.0,
        ..Default::default()
    };
    let ratios = [0.2, 0.25, 0.4, 0.5, 2.0, 2.5, 4.0, 5.0];
    let table = |clip_mode, advantage: f64| {
        let config = OffPolicyReinforceConfig {
            clip_mode,
            ..config.clone()
        };
        let gate = OffPolicyGate::new(&config).expect("valid");
        // The ratio that must not be read is put where it would change the answer.
        let admit = |r: f64| {
            let (token, sequence) = if clip_mode == ClipMode::GspoOneSide {
                (1.0 / r, r)
            } else {
                (r, 1.0 / r)
            };
            u8::from(gate.admits(advantage, Ratios { token, sequence }))
        };
        ratios.map(admit)
    };
    for mode in [ClipMode::OneSide, ClipMode::GspoOneSide] {
        assert_eq!(table(mode, 1.0), [1, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(table(mode, -1.0), [0, 0, 0, 1, 1, 1, 1, 1]);
        assert_eq!(table(mode, 0.0), [1; 8]);
    }
    for a in [1.0, 0.0, -1.0] {
        assert_eq!(table(ClipMode::None, a), [1; 8]);
        assert_eq!(table(ClipMode::TwoSide, a), [0, 0, 0, 1, 1, 0, 0, 0]);
    }
    assert_eq!(table(ClipMode::Ring, 1.0), [1, 1, 0, 1, 1, 0, 0, 0]);
    assert_eq!(table(ClipMode::Ring, -1.0), [0, 0, 0, 1, 1, 0, 1, 1]);
    assert_eq!(table(ClipMode::Ring, 0.0), [1, 1, 0, 1, 1, 0, 1, 1]);
}

#[test]
fn the_exponent_of_the_advantage_weight_is_clamped_from_above_only() {
    let config = RedWeightConfig { temp: 0.01 }.general();
    let gate = OffPolicyGate::new(&config).expect("valid");
    let weight = |a| {
        gate.weight(
            a,
            Ratios {
                token: 3.0,
                sequence: 5.0,
            },
        )
    };
    assert!((weight(5.0) / 20.0_f64.exp() - 1.0).abs() < 1e-15);
    assert!((weight(0.1) / 10.0_f64.exp() - 1.0).abs() < 1e-14);
    assert!((weight(-1.0) / (-100.0_f64).exp() - 1.0).abs() < 1e-13);
    assert!(weight(-1e6) < 1e-300);
    let at = |weight| {
        let config = OffPolicyReinforceConfig {
            weight,
            ..config.clone()
        };
        OffPolicyGate::new(&config).expect("valid").weight(
            2.0,
            Ratios {
                token: 3.0,
                sequence: 5.0,
            },
        )
    };
    assert_eq!(
        [
            Weight::None,
            Weight::ImportanceSampling,
            Weight::GspoImportanceSampling
        ]
        .map(at),
        [1.0, 3.0, 5.0]
    );
}

#[test]
fn a_regularizer_acts_on_answers_without_advantage_and_on_masked_tokens() {
    let sample = tiny(&[(0.0, -1.0, -2.0), (1.0, -1.0, -2.0)]);
    let config = OffPolicyReinforceConfig {
        clip_mode: ClipMode::OneSide,
        regularizer: Regularizer::K2,
        regularizer_coef: 0.5,
        ..Default::default()
    };
    let at = evaluate(&config, &sample).expect("finite");
    // Both d are 1; the second token is masked for rho = e.
    assert_eq!(at.grads.d_logp, [0.5, 0.5]);
    assert_eq!((at.loss, term(&at, "clip_ratio/region_mean")), (0.5, 0.5));
}

#[test]
fn beyond_the_clamp_of_a_token_the_squares_are_flat() {
    let sample = tiny(&[(0.0, 0.0, -30.0)]);
    for k2_level in [K2Level::Token, K2Level::Sequence] {
        let config = OpmdConfig {
            k2_level,
            ..Default::default()
        };
        let at = evaluate(&config.general(), &sample).expect("finite");
        assert!((at.loss - 40.0).abs() < 1e-12);
        assert_eq!(at.grads.d_logp, [0.0]);
    }
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let refuse = |sample: &Sample, config: &OffPolicyReinforceConfig| {
        let error = evaluate(config, sample).expect_err("refused").to_string();
        error.replace("the objective refused the batch: ", "")
    };
    for clip_mode in MODES {
        for regularizer in [Regularizer::None, Regularizer::K2] {
            let config = OffPolicyReinforceConfig {
                clip_mode,
                regularizer,
                regularizer_coef: 0.1,
                k2_level: K2Level::Sequence,
                ..Default::default()
            };
            let good = (1.0, -1.0, -1.0);
            for (bad, what) in [
                ((1.0, f64::NAN, -1.0), "`logp` is NaN"),
                ((1.0, -1.0, f64::NEG_INFINITY), "`logp_old` is -inf"),
                ((f64::NAN, -1.0, -1.0), "`advantage` is NaN"),
            ] {
                assert_eq!(
                    refuse(&tiny(&[good, bad]), &config),
                    format!("trajectory 1, token 0: {what}")
                );
                let mut masked = tiny(&[good, bad]);
                masked.batch.mask[1] = false;
                assert!(
                    evaluate(&config, &masked).is_ok(),
                    "a masked token may hold anything"
                );
            }
        }
    }
    let huge = tiny(&[(1e300, -1e10, -1e10), (1.0, -1.0, -1.0)]);
    assert_eq!(
        refuse(&huge, &OffPolicyReinforceConfig::default()),
        "sum over trajectories: `loss` is -inf".replace("-inf", "inf")
    );
}

#[test]
fn scope_and_needs_follow_the_switches() {
    let spec = |name: &str| {
        ObjectiveSpec::named(name)
            .expect("listed")
            .build(&())
            .expect("valid")
    };
    let old = Needs::TOKENS | Needs::LOGP_OLD;
    for (name, scope, needs) in [
        ("off-policy-reinforce", Scope::Token, Needs::TOKENS),
        ("rec-one-side-is", Scope::Token, old),
        ("rec-one-side-no-is", Scope::Token, old),
        ("rec-two-side-is", Scope::Token, old),
        ("rec-ring-no-is", Scope::Token, old),
        ("rec-gspo-is", Scope::Trajectory, old),
        ("rec-gspo-no-is", Scope::Trajectory, old),
        ("asymre", Scope::Token, Needs::TOKENS),
        ("opmd", Scope::Token, old),
        ("red-weight", Scope::Token, Needs::TOKENS),
    ] {
        assert_eq!((spec(name).scope(), spec(name).needs()), (scope, needs), "{name}");
    }
    let sequence: OpmdConfig = toml::from_str("k2_level = 'sequence'").expect("parses");
    assert_eq!(sequence.build(&()).expect("valid").scope(), Scope::Trajectory);
    let weighted = OffPolicyReinforceConfig {
        weight: Weight::GspoImportanceSampling,
        ..Default::default()
    };
    assert_eq!(
        (build(&weighted).scope(), build(&weighted).needs()),
        (Scope::Trajectory, old)
    );
    let ratio = OffPolicyReinforceConfig {
        weight: Weight::ImportanceSampling,
        ..Default::default()
    };
    assert_eq!(build(&ratio).needs(), old);
}

#[test]
fn named_rows_are_what_their_table_says() {
    let base = OffPolicyReinforceConfig::default;
    let one_side = OffPolicyReinforceConfig {
        clip_mode: ClipMode::OneSide,
        ..base()
    };
    assert_eq!(RecOneSideNoIsConfig::default().general(), one_side);
    let with_ratio = OffPolicyReinforceConfig {
        weight: Weight::ImportanceSampling,
        ..one_side
    };
    assert_eq!(RecOneSideIsConfig::default().general(), with_ratio);
    let two_side = OffPolicyReinforceConfig {
        clip_mode: ClipMode::TwoSide,
        ..with_ratio
    };
    assert_eq!(RecTwoSideIsConfig::default().general(), two_side);
    let ring = OffPolicyReinforceConfig {
        clip_mode: ClipMode::Ring,
        ..base()
    };
    assert_eq!(RecRingNoIsConfig::default().general(), ring);
    let gspo = OffPolicyReinforceConfig {
        clip_mode: ClipMode::GspoOneSide,
        epsilon: 3e-4,
        epsilon_high: 4e-4,
        ..base()
    };
    assert_eq!(RecGspoNoIsConfig::default().general(), gspo);
    assert_eq!(gspo.resolved_aggregation(), Aggregation::SeqMeanTokenMean);
    let with_mean = OffPolicyReinforceConfig {
        weight: Weight::GspoImportanceSampling,
        ..gspo
    };
    assert_eq!(RecGspoIsConfig::default().general(), with_mean);
    let asymre = OffPolicyReinforceConfig {
        regularizer: Regularizer::ForwardKl,
        regularizer_coef: 0.1,
        ..base()
    };
    assert_eq!(AsymreConfig::default().general(), asymre);
    let opmd = OffPolicyReinforceConfig {
        regularizer: Regularizer::K2,
        ..asymre
    };
    assert_eq!(OpmdConfig::default().general(), opmd);
    let weighted = OffPolicyReinforceConfig {
        weight: Weight::Advantage,
        ..base()
    };
    assert_eq!(RedWeightConfig::default().general(), weighted);
}

#[test]
fn refused_parameters() {
    for (text, message) in [
        ("epsilon = 0.0", "`epsilon` = 0: must be a number in (0, 1]"),
        ("epsilon_low = 1.5", "`epsilon` = 1.5: must be a number in (0, 1]"),
        ("epsilon = nan", "`epsilon` = NaN: must be a number in (0, 1]"),
        (
            "epsilon_low_prime = 0.0",
            "`epsilon_low_prime` = 0: must be a number in (0, 1]",
        ),
        (
            "epsilon_high = 0.0",
            "`epsilon_high` = 0: must be a finite number > 0",
        ),
        (
            "epsilon_high = inf",
            "`epsilon_high` = inf: must be a finite number > 0",
        ),
        (
            "epsilon_high_prime = -1.0",
            "`epsilon_high_prime` = -1: must be a finite number > 0",
        ),
        ("temp = 0.0", "`temp` = 0: must be a finite number > 0"),
        (
            "regularizer_coef = -0.1",
            "`regularizer_coef` = -0.1: must be a finite number >= 0",
        ),
        (
            "regularizer_coef = inf",
            "`regularizer_coef` = inf: must be a finite number >= 0",
        ),
        (
            "aggregation = 'seq-mean-token-sum-const'",
            "`max_completion_length` = none: must be a number >= 1: the generation limit, which the loss divides by",
        ),
    ] {
        let config: OffPolicyReinforceConfig = toml::from_str(text).expect("parses");
        assert_eq!(config.build(&()).expect_err("refused").to_string(), message);
    }
    let edge: OffPolicyReinforceConfig =
        toml::from_str("epsilon = 1.0\nepsilon_low_prime = 1.0\nregularizer_coef = 0.0").expect("parses");
    assert!(edge.build(&()).is_ok());
    let aliases: OffPolicyReinforceConfig =
        toml::from_str("weight = 'importance_sampling'\nclip_mode = 'one-side'").expect("parses");
    assert_eq!(aliases, RecOneSideIsConfig::default().general());
    let typo = toml::from_str::<RedWeightConfig>("temperature = 1.0")
        .expect_err("refused")
        .to_string();
    assert!(
        typo.contains("unknown field `temperature`, expected `temp`"),
        "{typo}"
    );
}

#[test]
fn frozen_parts_that_do_not_fit_are_refused() {
    let sample = tiny(&[(1.0, -1.0, -1.0)]);
    let objective = build(&OffPolicyReinforceConfig::default());
    let view = sample.batch.view(0..1, &sample.logp, None).expect("fits");
    let refuse = |frozen: &Frozen| {
        objective
            .evaluate(frozen, &view)
            .expect_err("refused")
            .to_string()
    };
    let mut frozen = Frozen::default();
    assert_eq!(refuse(&frozen), "`frozen weights` has 0 entries, expected 1");
    frozen.trajectory = vec![1.0];
    assert_eq!(refuse(&frozen), "`frozen tokens` has 0 entries, expected 1");
    frozen.token = vec![1.0];
    assert_eq!(refuse(&frozen), "`frozen constants` has 0 entries, expected 3");
}

#[test]
fn formulas_carry_the_active_choices() {
    let d = "; d_t = clamp(logp - logp_old, -20, 20), rho = exp(d_t), s = exp(mean_t d_t); ";
    let token_mean = "w_i = 1 / sum_j n_j";
    for (name, body) in [
        ("off-policy-reinforce", "(-A logp)"),
        (
            "rec-one-side-is",
            "(-A sg(M rho) logp); M = A >= 0 and rho <= 1 + 0.2, or A <= 0 and rho >= 1 - 0.2",
        ),
        (
            "rec-two-side-is",
            "(-A sg(M rho) logp); M = 1 - 0.2 <= rho <= 1 + 0.2",
        ),
        (
            "rec-ring-no-is",
            "(-A sg(M) logp); M = 1 - 0.2 <= rho <= 1 + 0.2, or A >= 0 and rho <= 1 - 0.6, or A <= 0 and rho >= 1 + 2",
        ),
        ("asymre", "(-A logp - 0.1 logp)"),
        ("opmd", "(-A logp + 0.1 d_t^2)"),
        ("red-weight", "(-A sg(exp(min(A / 1, 20))) logp)"),
    ] {
        let formula = ObjectiveSpec::named(name).expect("listed").formula();
        assert_eq!(formula, format!("loss = sum_i w_i sum_t {body}{d}{token_mean}"));
    }
    let gspo = ObjectiveSpec::named("rec-gspo-is").expect("listed").formula();
    assert_eq!(
        gspo,
        format!(
            "loss = sum_i w_i sum_t (-A sg(M s) logp); M = A >= 0 and s <= 1 + 0.0004, or A <= 0 and s >= 1 - \
             0.0003{d}w_i = 1 / (B n_i)"
        )
    );
    let sequence = OpmdConfig {
        k2_level: K2Level::Sequence,
        ..Default::default()
    };
    assert_eq!(
        sequence.formula(),
        format!("loss = sum_i w_i sum_t (-A logp) + 0.1 mean_i (sum_t d_t)^2{d}{token_mean}")
    );
    let off = OpmdConfig {
        regularizer_coef: 0.0,
        ..Default::default()
    };
    assert_eq!(off.formula(), OffPolicyReinforceConfig::default().formula());
}
