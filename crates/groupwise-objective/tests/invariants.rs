//! Section 10 of the baselines, for every combination of parts.

use groupwise_core::testing::{
    CheckFailure, Sample, check_gradient_away_from, check_padding, check_permutation, check_split,
    evaluate_whole, samples,
};
use groupwise_core::{Advantages, Evaluation, Objective, Offsets, Part, Scope, TokenBatch, TokenView};
use groupwise_objective::aggregate::Aggregation;
use groupwise_objective::objectives::{ObjectiveSpec, PolicyGradientConfig};
use groupwise_objective::ratio::{ImportanceSamplingLevel as Level, log_ratio, span_ratio};
use groupwise_objective::regularizer::{KlCorrection, KlEstimator, KlPlace};
use groupwise_objective::surrogate::{CispoParams, Clip, ClipParams, SurrogateConfig};
use proptest::prelude::*;

const LEVELS: [Level; 3] = [Level::Token, Level::Sequence, Level::SequenceSum];
const AGGREGATIONS: [Aggregation; 5] = [
    Aggregation::TokenMean,
    Aggregation::SeqMeanTokenMean,
    Aggregation::SeqMeanTokenSum,
    Aggregation::SeqMeanTokenSumConst,
    Aggregation::PromptMean,
];

fn surrogates() -> impl Strategy<Value = SurrogateConfig> {
    let bound = || prop::option::of(1.1..3.0f64);
    prop_oneof![
        3 => (0.05..0.5f64, prop::option::of(0.05..1.0f64), bound(), bound()).prop_map(
            |(epsilon, epsilon_high, delta, dual_clip)| {
                SurrogateConfig::Clip(ClipParams { epsilon, epsilon_high, delta, dual_clip })
            }
        ),
        1 => (0.0..0.9f64, 1.0..2.0f64)
            .prop_map(|(ratio_min, ratio_max)| SurrogateConfig::Cispo(CispoParams { ratio_min, ratio_max })),
        1 => Just(SurrogateConfig::Reinforce),
    ]
}

/// Any combination that builds.
fn configs() -> impl Strategy<Value = PolicyGradientConfig> {
    (
        prop::sample::select(LEVELS.to_vec()),
        surrogates(),
        prop::sample::select(AGGREGATIONS.to_vec()),
        prop_oneof![Just(0.0), 0.01..1.0f64],
        prop::sample::select(vec![KlEstimator::K1, KlEstimator::K2, KlEstimator::K3]),
        prop::sample::select(vec![
            KlCorrection::None,
            KlCorrection::Ratio,
            KlCorrection::FrozenRatio,
        ]),
    )
        .prop_map(
            |(level, surrogate, aggregation, beta, kl_estimator, kl_correction)| PolicyGradientConfig {
                importance_sampling_level: match surrogate {
                    SurrogateConfig::Reinforce => Level::Token,
                    _ => level,
                },
                surrogate,
                aggregation,
                max_completion_length: Some(6),
                beta,
                kl_estimator,
                kl_in: KlPlace::Loss,
                kl_correction,
            },
        )
}

fn build(config: &PolicyGradientConfig) -> Box<dyn Objective> {
    config.build(&()).expect("a valid combination")
}

fn evaluate(config: &PolicyGradientConfig, sample: &Sample) -> Result<Evaluation, CheckFailure> {
    evaluate_whole(build(config).as_ref(), &sample.batch, &sample.inputs())
}

/// How far token `t` is from a kink of the clip, in nats of its own log-probability.
fn distance(config: &PolicyGradientConfig, view: &TokenView<'_>, t: usize) -> f64 {
    let SurrogateConfig::Clip(params) = &config.surrogate else {
        return f64::INFINITY;
    };
    let clip = Clip::new(params).expect("valid");
    let tokens = view
        .tokens
        .iter()
        .find(|tokens| tokens.contains(&t))
        .expect("a token of the view");
    let log_ratio = match config.importance_sampling_level.reduction() {
        None => log_ratio(view.logp[t], view.logp_old[t]),
        Some(reduction) => {
            let (logp, old) = (&view.logp[tokens.clone()], &view.logp_old[tokens.clone()]);
            span_ratio(logp, old, &view.mask[tokens], reduction)
                .expect("equal lengths")
                .log_ratio
        }
    };
    clip.kinks()
        .iter()
        .map(|kink| (kink - log_ratio).abs())
        .fold(f64::INFINITY, f64::min)
}

fn on_policy(mut sample: Sample) -> Sample {
    sample.batch.logp_old = None;
    sample
}

fn weights(aggregation: Aggregation, batch: &TokenBatch) -> Vec<f64> {
    let weights = aggregation.with_max_length(Some(6)).expect("valid");
    weights.weigh_batch(batch).expect("fits").0
}

fn all_surrogates() -> [SurrogateConfig; 3] {
    [
        SurrogateConfig::Clip(ClipParams::default()),
        SurrogateConfig::Cispo(CispoParams::default()),
        SurrogateConfig::Reinforce,
    ]
}

proptest! {
    #[test]
    fn derivatives_are_central_differences(sample in samples(), config in configs()) {
        let away = |view: &TokenView<'_>, t: usize| distance(&config, view, t);
        check_gradient_away_from(build(&config).as_ref(), &sample.batch, &sample.inputs(), &away)?;
    }

    #[test]
    fn micro_batches_add_up(sample in samples(), config in configs()) {
        check_split(build(&config).as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn order_of_groups_and_members_changes_nothing(sample in samples(), config in configs()) {
        check_permutation(build(&config).as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn padding_changes_nothing(sample in samples(), config in configs()) {
        check_padding(build(&config).as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn masked_tokens_may_hold_anything(sample in samples(), config in configs()) {
        let expected = evaluate(&config, &sample)?;
        let mut spoiled = sample.clone();
        for t in (0..sample.logp.len()).filter(|t| !sample.batch.mask[*t]) {
            spoiled.logp[t] = f64::NAN;
            for field in [&mut spoiled.batch.logp_old, &mut spoiled.batch.logp_ref].into_iter().flatten() {
                field[t] = f64::INFINITY;
            }
            if let Advantages::Token(a) = &mut spoiled.batch.advantages {
                a[t] = f64::NAN;
            }
        }
        prop_assert_eq!(evaluate(&config, &spoiled)?, expected);
    }

    #[test]
    fn on_policy_every_surrogate_has_the_gradient_of_reinforce(
        sample in samples().prop_map(on_policy), aggregation in prop::sample::select(AGGREGATIONS.to_vec()),
    ) {
        let batch = &sample.batch;
        let w = weights(aggregation, batch);
        for surrogate in all_surrogates() {
            let base = PolicyGradientConfig {
                surrogate, aggregation, max_completion_length: Some(6), ..Default::default()
            };
            let at = evaluate(&base, &sample)?;
            let plain_ratio = matches!(surrogate, SurrogateConfig::Clip(_));
            let sequence = PolicyGradientConfig { importance_sampling_level: Level::Sequence, ..base.clone() };
            let whole = if plain_ratio { Some(evaluate(&sequence, &sample)?) } else { None };
            for (i, weight) in w.iter().enumerate() {
                let tokens = batch.tokens.range(i);
                let counted: Vec<usize> = tokens.clone().filter(|t| batch.mask[*t]).collect();
                let advantage = |t: usize| match &batch.advantages {
                    Advantages::Trajectory(a) => a[i],
                    Advantages::Token(a) => a[t],
                };
                for t in &counted {
                    prop_assert!((at.grads.d_logp[*t] + weight * advantage(*t)).abs() < 1e-14);
                }
                // The sequence ratio spreads the trajectory's mean advantage over its tokens.
                let mean = counted.iter().map(|t| advantage(*t)).sum::<f64>() / counted.len().max(1) as f64;
                for t in counted {
                    let found = whole.as_ref().map_or(-weight * mean, |whole| whole.grads.d_logp[t]);
                    prop_assert!((found + weight * mean).abs() < 1e-14);
                }
            }
        }
    }

    #[test]
    fn aggregations_agree_at_equal_lengths(
        sizes in (1usize..4, 1usize..4, 1usize..7), seed in prop::collection::vec(-1.0..0.0f64, 54),
    ) {
        let (groups, members, n) = sizes;
        let trajectories = groups * members;
        let tokens = trajectories * n;
        let batch = TokenBatch {
            groups: Offsets::from_lengths(vec![members; groups]),
            tokens: Offsets::from_lengths(vec![n; trajectories]),
            prompts: vec![std::sync::Arc::from([]); trajectories],
            ids: vec![0; tokens],
            mask: vec![true; tokens],
            logp_sampler: vec![-1.0; tokens],
            logp_old: Some(vec![-0.5; tokens]),
            logp_ref: None,
            segments: None,
            advantages: Advantages::Trajectory((0..trajectories).map(|i| seed[i] + 0.4).collect()),
            temperature: 1.0,
        };
        let sample = Sample {
            logp: seed.iter().cycle().take(tokens).copied().collect(),
            entropy: vec![0.0; tokens],
            value: vec![0.0; tokens],
            batch,
        };
        let loss = |aggregation| {
            evaluate(&PolicyGradientConfig { aggregation, max_completion_length: Some(6), ..Default::default() }, &sample)
        };
        let expected = loss(Aggregation::TokenMean)?.loss;
        for (aggregation, scale) in [
            (Aggregation::SeqMeanTokenMean, 1.0),
            (Aggregation::PromptMean, 1.0),
            (Aggregation::SeqMeanTokenSum, n as f64),
            (Aggregation::SeqMeanTokenSumConst, n as f64 / 6.0),
        ] {
            prop_assert!((loss(aggregation)?.loss - scale * expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_terms_are_what_they_say(sample in samples(), config in configs()) {
        let at = evaluate(&config, &sample)?;
        let term = |name: &str| at.terms.iter().find(|t| t.0 == name).map(|t| t.1);
        let policy = term("policy_loss").expect("always there");
        prop_assert!((policy + term("kl_loss").unwrap_or(0.0) - at.loss).abs() < 1e-12);
        prop_assert_eq!(term("kl_loss").is_some(), config.beta > 0.0);
        let batch = &sample.batch;
        let counted: Vec<usize> = (0..batch.n_tokens()).filter(|t| batch.mask[*t]).collect();
        let mean = |f: &dyn Fn(usize) -> f64| {
            counted.iter().map(|t| f(*t)).sum::<f64>() / counted.len().max(1) as f64
        };
        let k3 = |u: f64| u.exp() - u - 1.0;
        let old = batch.logp_old.as_ref().unwrap_or(&sample.logp);
        let reference = batch.logp_ref.as_ref().expect("generated with one");
        let kl = mean(&|t| k3(reference[t] - sample.logp[t]));
        let approx = mean(&|t| k3(old[t] - sample.logp[t]));
        prop_assert!((term("kl").expect("with a reference") - kl).abs() < 1e-9);
        prop_assert!((term("approx_kl").expect("always there") - approx).abs() < 1e-9);
        if let (SurrogateConfig::Clip(p), Level::Token, Advantages::Token(a)) =
            (&config.surrogate, config.importance_sampling_level, &batch.advantages)
        {
            let rho = |t: usize| (sample.logp[t] - old[t]).exp();
            let top = (1.0 + p.epsilon_high.unwrap_or(p.epsilon)).min(p.delta.unwrap_or(f64::INFINITY));
            let low = mean(&|t| f64::from(u8::from(a[t] < 0.0 && rho(t) < 1.0 - p.epsilon)));
            let high = mean(&|t| f64::from(u8::from(a[t] > 0.0 && rho(t) > top)));
            prop_assert!((term("clip_ratio/low_mean").expect("clips") - low).abs() < 1e-12);
            prop_assert!((term("clip_ratio/high_mean").expect("clips") - high).abs() < 1e-12);
            prop_assert!((term("clip_ratio/region_mean").expect("clips") - low - high).abs() < 1e-12);
        }
    }

    /// The block code against the definition, written out token by token.
    #[test]
    fn long_trajectories_cross_blocks(
        n in 250usize..800, a in -2.0..2.0f64, sequence in any::<bool>(), seed in any::<u64>(),
    ) {
        let key = groupwise_core::Key::new(seed, groupwise_core::Stream::Rollout);
        let draw = |stream: u64, t: usize| key.step(stream).token(t as u64).uniform();
        let old: Vec<f64> = (0..n).map(|t| -3.0 * draw(0, t)).collect();
        let logp: Vec<f64> = (0..n).map(|t| old[t] + 0.8 * draw(1, t) - 0.4).collect();
        let mask: Vec<bool> = (0..n).map(|t| draw(2, t) < 0.7).collect();
        let count = mask.iter().filter(|m| **m).count() as f64;
        let batch = TokenBatch {
            groups: Offsets::from_lengths([1]),
            tokens: Offsets::from_lengths([n]),
            prompts: vec![std::sync::Arc::from([])],
            ids: vec![0; n],
            mask: mask.clone(),
            logp_sampler: old.clone(),
            logp_old: Some(old.clone()),
            logp_ref: None,
            segments: None,
            advantages: Advantages::Trajectory(vec![a]),
            temperature: 1.0,
        };
        let config = PolicyGradientConfig {
            importance_sampling_level: if sequence { Level::Sequence } else { Level::Token },
            ..Default::default()
        };
        let sample = Sample { batch, entropy: vec![0.0; n], value: vec![0.0; n], logp: logp.clone() };
        let at = evaluate(&config, &sample)?;
        let whole = (0..n).filter(|t| mask[*t]).map(|t| logp[t] - old[t]).sum::<f64>() / count;
        let mut expected = 0.0;
        for t in (0..n).filter(|t| mask[*t]) {
            let rho = if sequence { whole } else { logp[t] - old[t] }.exp();
            let loss = (-a * rho).max(-a * rho.clamp(0.8, 1.2));
            expected += loss / count;
            let open = loss == -a * rho;
            let slope = if open { -a * rho / count } else { 0.0 };
            prop_assert!((at.grads.d_logp[t] - slope).abs() < 1e-12);
        }
        prop_assert!((at.loss - expected).abs() < 1e-12);
    }
}

#[test]
fn scopes_follow_the_ratio() {
    for (level, scope) in [
        (Level::Token, Scope::Token),
        (Level::Sequence, Scope::Trajectory),
        (Level::SequenceSum, Scope::Trajectory),
    ] {
        let config = PolicyGradientConfig {
            importance_sampling_level: level,
            ..Default::default()
        };
        assert_eq!(build(&config).scope(), scope);
    }
}

fn tiny(logp: Vec<f64>, old: Vec<f64>) -> Sample {
    let n = logp.len();
    let batch = TokenBatch {
        groups: Offsets::from_lengths([1, 1]),
        tokens: Offsets::from_lengths([1, n - 1]),
        prompts: vec![std::sync::Arc::from([]); 2],
        ids: vec![0; n],
        mask: vec![true; n],
        logp_sampler: old.clone(),
        logp_old: Some(old),
        logp_ref: None,
        segments: None,
        advantages: Advantages::Trajectory(vec![1.0, -1.0]),
        temperature: 1.0,
    };
    Sample {
        batch,
        entropy: vec![0.0; n],
        value: vec![0.0; n],
        logp,
    }
}

#[test]
fn a_number_that_is_not_finite_is_named_with_its_place() {
    let refuse = |config: &PolicyGradientConfig, sample: &Sample| {
        let error = evaluate(config, sample).expect_err("refused").to_string();
        error.replace("the objective refused the batch: ", "")
    };
    let grpo = PolicyGradientConfig::default();
    let gspo = PolicyGradientConfig {
        importance_sampling_level: Level::Sequence,
        ..grpo.clone()
    };
    let cispo = PolicyGradientConfig {
        surrogate: all_surrogates()[1],
        ..grpo.clone()
    };
    let plain = PolicyGradientConfig {
        surrogate: SurrogateConfig::Reinforce,
        ..grpo.clone()
    };
    for config in [&grpo, &gspo, &cispo, &plain] {
        for bad in [f64::NAN, f64::NEG_INFINITY] {
            let sample = tiny(vec![-1.0, -1.0, bad, -1.0], vec![-1.0; 4]);
            assert_eq!(
                refuse(config, &sample),
                format!("trajectory 1, token 1: `logp` is {bad}")
            );
        }
        let mut sample = tiny(vec![-1.0; 3], vec![-1.0; 3]);
        sample.batch.advantages = Advantages::Trajectory(vec![1.0, f64::NAN]);
        assert_eq!(
            refuse(config, &sample),
            "trajectory 1, token 0: `advantage` is NaN"
        );
    }
    let old = tiny(vec![-1.0; 3], vec![-1.0, -1.0, f64::NEG_INFINITY]);
    assert_eq!(refuse(&grpo, &old), "trajectory 1, token 1: `logp_old` is -inf");
    let mut reference = tiny(vec![-1.0; 3], vec![-1.0; 3]);
    reference.batch.logp_ref = Some(vec![-1.0, f64::NEG_INFINITY, -1.0]);
    let with_kl = PolicyGradientConfig {
        beta: 0.1,
        ..grpo.clone()
    };
    assert_eq!(
        refuse(&with_kl, &reference),
        "trajectory 1, token 0: `logp_ref` is -inf"
    );
    let mut huge = tiny(vec![0.0, 0.0, 0.0], vec![0.0, 0.0, -5.0]);
    huge.batch.advantages = Advantages::Trajectory(vec![1.0, f64::MIN]);
    assert_eq!(refuse(&grpo, &huge), "trajectory 1, token 1: `loss` is inf");
}

#[test]
fn a_missing_reference_is_an_error_only_where_the_loss_needs_it() {
    let sample = tiny(vec![-1.0; 3], vec![-1.0; 3]);
    let with_kl = PolicyGradientConfig {
        beta: 0.1,
        ..Default::default()
    };
    assert_eq!(
        evaluate(&with_kl, &sample).expect_err("refused").to_string(),
        "the objective refused the batch: `logp_ref` is missing, and `the KL term of the objective` needs it"
    );
    let rloo = ObjectiveSpec::named("rloo")
        .and_then(|spec| spec.general())
        .expect("general");
    assert!(evaluate(&rloo, &sample).is_ok());
}

#[test]
fn beyond_the_clamp_the_derivative_is_zero() {
    let sample = tiny(vec![-1.0, -30.0, -1.0], vec![-1.0, -1.0, -30.0]);
    for level in LEVELS {
        let config = PolicyGradientConfig {
            importance_sampling_level: level,
            ..Default::default()
        };
        let at = evaluate(&config, &sample).expect("finite");
        assert_eq!(at.grads.d_logp[1..], [0.0, 0.0]);
        assert!(at.loss.is_finite());
    }
}

#[test]
fn slices_that_do_not_fit_are_refused() {
    let sample = tiny(vec![-1.0; 3], vec![-1.0; 3]);
    let objective = build(&PolicyGradientConfig::default());
    let view = sample.batch.view(0..2, &sample.logp, None).expect("fits");
    let frozen = objective
        .freeze(&objective.denominators(&sample.batch).expect("fits"), &view)
        .expect("fits");
    let short = TokenView {
        logp_old: &view.logp_old[..2],
        ..view.clone()
    };
    let error = objective
        .evaluate(&frozen, &short)
        .expect_err("refused")
        .to_string();
    assert_eq!(error, "`logp_old` has 2 entries, expected 3");
    let late = TokenView {
        first_trajectory: 1,
        ..view.clone()
    };
    let denominators = objective.denominators(&sample.batch).expect("fits");
    let error = objective
        .freeze(&denominators, &late)
        .expect_err("refused")
        .to_string();
    assert_eq!(error, "`denominators` has 2 entries, expected 3");
    let error = objective
        .evaluate(&Default::default(), &view)
        .expect_err("refused")
        .to_string();
    assert_eq!(error, "`frozen weights` has 0 entries, expected 2");
}

/// Rows of the table that differ in one choice must not agree where they must differ.
#[test]
fn rows_that_differ_in_one_choice_have_different_gradients() {
    let sample = {
        let mut sample = tiny(vec![-0.7, -1.9, -0.4, -1.0], vec![-0.92, -1.5, -1.1, -1.05]);
        sample.batch.advantages = Advantages::Trajectory(vec![1.0, -0.5]);
        sample
    };
    let gradients: Vec<(&str, Vec<f64>)> = ObjectiveSpec::NAMES
        .iter()
        // Two of them are other rows by default.
        .filter(|name| !["policy-gradient", "dialect"].contains(name))
        .filter_map(|name| {
            let mut config = ObjectiveSpec::named(name)?.general()?;
            config.max_completion_length = Some(6);
            Some((*name, evaluate(&config, &sample).expect("finite").grads.d_logp))
        })
        .collect();
    assert_eq!(gradients.len(), 8);
    for (k, (name, gradient)) in gradients.iter().enumerate() {
        for (other, theirs) in &gradients[..k] {
            assert_ne!(gradient, theirs, "{name} and {other}");
        }
    }
}
