//! Tests of Rank-GRPO's objective: sections 5 and 10 of its specification.

use std::sync::Arc;

use groupwise_core::testing::{Sample, check_gradient_away_from, check_invariance, evaluate_whole, samples};
use groupwise_core::{Advantages, Offsets};
use proptest::prelude::*;

use super::*;
use crate::objectives::PolicyGradientConfig;
use crate::ratio::ImportanceSamplingLevel;
use crate::surrogate::{ClipParams, SurrogateConfig};

fn configs() -> impl Strategy<Value = RankGrpoConfig> {
    (
        1u32..5,
        prop::sample::select(vec![RankRatio::Rank, RankRatio::Token, RankRatio::Sequence]),
        prop_oneof![Just(0.0), 0.01..0.5f64],
        prop_oneof![Just(0.0), 0.01..0.5f64],
        prop::sample::select(vec![RankAggregation::RankMean, RankAggregation::TokenMean]),
        prop::sample::select(vec![Overflow::LeftOut, Overflow::Segment]),
        prop_oneof![Just(0.0), 0.01..1.0f64],
        prop::sample::select(vec![KlEstimator::K1, KlEstimator::K2, KlEstimator::K3]),
    )
        .prop_map(
            |(n_ranks, ratio, epsilon, epsilon_high, aggregation, overflow, beta, kl_estimator)| {
                RankGrpoConfig {
                    n_ranks,
                    ratio,
                    epsilon,
                    epsilon_high,
                    aggregation,
                    overflow,
                    beta,
                    kl_estimator,
                }
            },
        )
}

fn build(config: &RankGrpoConfig) -> Box<dyn Objective> {
    config.build(&()).expect("a valid combination")
}

fn evaluate(config: &RankGrpoConfig, sample: &Sample) -> Evaluation {
    evaluate_whole(build(config).as_ref(), &sample.batch, &sample.inputs()).expect("evaluates")
}

/// Counted tokens of trajectory `tokens` with the segment of token `t`.
fn companions(
    config: &RankGrpoConfig,
    tokens: Range<usize>,
    mask: &[bool],
    segments: &[u32],
    t: usize,
) -> Vec<usize> {
    let rank = |u: usize| segments[u].min(config.n_ranks);
    tokens
        .filter(|u| mask[*u])
        .filter(|u| match config.ratio {
            RankRatio::Token => *u == t,
            RankRatio::Rank => rank(*u) == rank(t),
            RankRatio::Sequence => true,
        })
        .collect()
}

/// Log-ratio of token `t` by the definition.
fn log_weight(config: &RankGrpoConfig, view: &TokenView<'_>, t: usize) -> f64 {
    let tokens = view.tokens.iter().find(|r| r.contains(&t)).expect("a token");
    let of = companions(config, tokens, view.mask, view.segments.expect("there"), t);
    let sum: f64 = of
        .iter()
        .map(|u| (view.logp[*u] - view.logp_old[*u]).clamp(-20.0, 20.0))
        .sum();
    sum / of.len().max(1) as f64
}

/// The loss, written out rank by rank.
fn defined(config: &RankGrpoConfig, sample: &Sample) -> f64 {
    let batch = &sample.batch;
    let view = batch
        .view(0..batch.n_trajectories(), &sample.logp, None)
        .expect("fits");
    let token_loss = |i: usize, t: usize| {
        let w = log_weight(config, &view, t).exp();
        let a = view.advantage_row(i).at(t - view.tokens.range(i).start);
        let cut = w.clamp(1.0 - config.epsilon, 1.0 + config.epsilon_high);
        let kl = config
            .kl_estimator
            .evaluate(view.logp[t], view.logp_ref.expect("there")[t]);
        -(w * a).min(cut * a) + config.beta * kl.value
    };
    let rows: Vec<Vec<usize>> = view
        .tokens
        .iter()
        .map(|r| r.filter(|t| view.mask[*t]).collect())
        .collect();
    let last = match config.overflow {
        Overflow::LeftOut => config.n_ranks,
        Overflow::Segment => config.n_ranks + 1,
    };
    let mut total = 0.0;
    for (i, row) in rows.iter().enumerate() {
        match config.aggregation {
            RankAggregation::TokenMean => total += row.iter().map(|t| token_loss(i, *t)).sum::<f64>(),
            RankAggregation::RankMean => {
                for k in 0..last {
                    let mine: Vec<f64> = row
                        .iter()
                        .filter(|t| view.segments.expect("there")[**t].min(config.n_ranks) == k)
                        .map(|t| token_loss(i, *t))
                        .collect();
                    if !mine.is_empty() {
                        total += mine.iter().sum::<f64>() / mine.len() as f64;
                    }
                }
            }
        }
    }
    match config.aggregation {
        RankAggregation::TokenMean => total / rows.iter().map(Vec::len).sum::<usize>().max(1) as f64,
        RankAggregation::RankMean => total / (rows.len() as f64 * f64::from(config.n_ranks)),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_loss_is_its_definition(config in configs(), sample in samples()) {
        let (found, expected) = (evaluate(&config, &sample).loss, defined(&config, &sample));
        prop_assert!(close(found, expected), "{found} {expected}");
    }

    #[test]
    fn the_gradient_is_the_central_difference(config in configs(), sample in samples()) {
        let distance = |view: &TokenView<'_>, t: usize| {
            let at = log_weight(&config, view, t);
            let kinks = [1.0 - config.epsilon, 1.0 + config.epsilon_high];
            // All tokens of the ratio's span move with this one, so any of them may cross a bound: they share `at`.
            kinks.iter().map(|k| (k.ln() - at).abs()).fold(f64::INFINITY, f64::min)
        };
        check_gradient_away_from(build(&config).as_ref(), &sample.batch, &sample.inputs(), &distance)?;
    }

    #[test]
    fn split_order_and_padding_change_nothing(config in configs(), sample in samples()) {
        let objective = build(&config);
        check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn one_rank_is_grpo_with_the_sequence_ratio(config in configs(), sample in samples()) {
        let mut sample = sample;
        sample.batch.segments = Some(vec![0; sample.batch.n_tokens()]);
        // Lists that are masked throughout stay in the divisor here and leave it there.
        sample.batch.mask.fill(true);
        let one = RankGrpoConfig {
            n_ranks: 1,
            ratio: RankRatio::Rank,
            aggregation: RankAggregation::RankMean,
            epsilon: 0.06,
            epsilon_high: 0.08,
            ..config
        };
        let grpo = PolicyGradientConfig {
            importance_sampling_level: ImportanceSamplingLevel::Sequence,
            surrogate: SurrogateConfig::Clip(ClipParams {
                epsilon: 0.06,
                epsilon_high: Some(0.08),
                ..ClipParams::default()
            }),
            beta: one.beta,
            kl_estimator: one.kl_estimator,
            ..PolicyGradientConfig::default()
        };
        let grpo = grpo.build(&()).expect("valid");
        let expected = evaluate_whole(grpo.as_ref(), &sample.batch, &sample.inputs())?;
        let found = evaluate(&one, &sample);
        prop_assert!(close(found.loss, expected.loss));
        for (f, e) in found.grads.d_logp.iter().zip(&expected.grads.d_logp) {
            prop_assert!(close(*f, *e));
        }
    }

    #[test]
    fn on_policy_the_three_ratios_have_the_same_loss(config in configs(), sample in samples()) {
        let mut sample = sample;
        sample.batch.logp_old = None;
        let with = |ratio| evaluate(&RankGrpoConfig { ratio, ..config.clone() }, &sample);
        let rank = with(RankRatio::Rank);
        for other in [RankRatio::Token, RankRatio::Sequence] {
            prop_assert!(close(rank.loss, with(other).loss));
        }
    }

    #[test]
    fn on_policy_rank_and_token_ratio_have_the_same_gradient_where_a_rank_has_one_advantage(
        config in configs(), sample in samples(), per_rank in prop::collection::vec(-2.0..2.0f64, 7),
    ) {
        let mut sample = sample;
        sample.batch.logp_old = None;
        let segments = sample.batch.segments.clone().expect("there");
        let advantages = segments.iter().map(|k| per_rank[k.min(&config.n_ranks).to_owned() as usize]).collect();
        sample.batch.advantages = Advantages::Token(advantages);
        let with = |ratio| evaluate(&RankGrpoConfig { ratio, ..config.clone() }, &sample).grads.d_logp;
        for (rank, token) in with(RankRatio::Rank).iter().zip(with(RankRatio::Token)) {
            prop_assert!(close(*rank, token));
        }
    }

    #[test]
    fn splitting_an_item_into_more_tokens_of_the_same_mean_leaves_its_weight(
        d in prop::collection::vec(-0.3..0.3f64, 1..5), a in -2.0..2.0f64, other in -0.3..0.3f64,
    ) {
        let config = RankGrpoConfig { n_ranks: 2, beta: 0.0, ..RankGrpoConfig::default() };
        let mean = d.iter().sum::<f64>() / d.len() as f64;
        let list = |item: &[f64]| {
            let mut logp: Vec<f64> = item.iter().map(|d| d - 1.0).collect();
            logp.push(other - 1.0);
            let mut segments = vec![0; item.len()];
            segments.push(1);
            evaluate(&config, &sample_of(&[logp], &[segments], Advantages::Trajectory(vec![a]))).loss
        };
        prop_assert!(close(list(&d), list(&[mean])));
    }
}

/// A batch of one group with old log-probabilities of -1.
fn sample_of(logp: &[Vec<f64>], segments: &[Vec<u32>], advantages: Advantages) -> Sample {
    let n = logp.iter().map(Vec::len).sum();
    Sample {
        batch: TokenBatch {
            groups: Offsets::from_lengths([logp.len()]),
            tokens: Offsets::from_lengths(logp.iter().map(Vec::len)),
            prompts: vec![Arc::from([1u32]); logp.len()],
            ids: vec![0; n],
            mask: vec![true; n],
            logp_sampler: vec![-1.0; n],
            logp_old: Some(vec![-1.0; n]),
            logp_ref: Some(vec![-1.0; n]),
            segments: Some(segments.concat()),
            advantages,
            temperature: 1.0,
        },
        logp: logp.concat(),
        entropy: vec![0.0; n],
        value: vec![0.0; n],
    }
}

#[test]
fn overflow_is_left_out_or_one_segment_of_the_weight_of_a_rank() {
    let advantages = Advantages::Token(vec![1.0, -0.5, -0.25]);
    let sample = sample_of(&[vec![-1.0, -0.98, -1.04]], &[vec![0, 1, 4]], advantages);
    let config = RankGrpoConfig {
        n_ranks: 1,
        beta: 0.0,
        ..RankGrpoConfig::default()
    };
    let left_out = evaluate(&config, &sample);
    assert_eq!(
        (left_out.loss, left_out.grads.d_logp),
        (-1.0, vec![-1.0, 0.0, 0.0])
    );
    let segment = RankGrpoConfig {
        overflow: Overflow::Segment,
        ..config.clone()
    };
    // One ratio for both overflow tokens: exp((0.02 - 0.04) / 2).
    let w = (-0.01_f64).exp();
    let at = evaluate(&segment, &sample);
    assert!((at.loss - (-1.0 + w * 0.375)).abs() < 1e-12);
    let pull = w * 0.375 / 2.0;
    for (found, expected) in at.grads.d_logp.iter().zip([-1.0, pull, pull]) {
        assert!((found - expected).abs() < 1e-12);
    }
    // Under the token mean overflow counts like any token.
    let mean = RankGrpoConfig {
        aggregation: RankAggregation::TokenMean,
        ..config
    };
    assert!((evaluate(&mean, &sample).loss - (-1.0 + w * 0.75) / 3.0).abs() < 1e-12);
}

#[test]
fn empty_ranks_and_empty_lists_stay_in_the_divisor() {
    let config = RankGrpoConfig {
        n_ranks: 4,
        beta: 0.0,
        ..RankGrpoConfig::default()
    };
    let advantages = Advantages::Trajectory(vec![2.0, 1.0]);
    let sample = sample_of(&[vec![-1.0], vec![]], &[vec![2], vec![]], advantages);
    let at = evaluate(&config, &sample);
    assert_eq!((at.loss, at.grads.d_logp), (-0.25, vec![-0.25]));
    let nothing = sample_of(&[vec![]], &[vec![]], Advantages::Trajectory(vec![1.0]));
    for aggregation in [RankAggregation::RankMean, RankAggregation::TokenMean] {
        let config = RankGrpoConfig {
            aggregation,
            ..config.clone()
        };
        assert_eq!(evaluate(&config, &nothing).loss, 0.0);
    }
}

#[test]
fn figures_count_what_is_cut() {
    let config = RankGrpoConfig {
        n_ranks: 2,
        beta: 0.5,
        ..RankGrpoConfig::default()
    };
    // Log-ratios 0.1 (above, A > 0), -0.1 (below, A < 0).
    let logp = [vec![-0.9, -1.1]];
    let sample = sample_of(&logp, &[vec![0, 1]], Advantages::Token(vec![1.0, -1.0]));
    let at = evaluate(&config, &sample);
    let term = |name| at.term(name);
    assert_eq!(term("clip_ratio/low_mean"), Some(0.5));
    assert_eq!(term("clip_ratio/high_mean"), Some(0.5));
    assert_eq!(term("clip_ratio/region_mean"), Some(1.0));
    assert!((term("policy_loss").unwrap() - (-1.08 + 0.94) / 2.0).abs() < 1e-12);
    let k3 = [(-0.1_f64).exp() + 0.1 - 1.0, 0.1_f64.exp() - 0.1 - 1.0];
    assert!((term("kl").unwrap() - (k3[0] + k3[1]) / 2.0).abs() < 1e-12);
    assert!((term("kl_loss").unwrap() - 0.5 * (k3[0] + k3[1]) / 2.0).abs() < 1e-12);
    // With the signs turned nothing is cut.
    let turned = sample_of(&logp, &[vec![0, 1]], Advantages::Token(vec![-1.0, 1.0]));
    let at = evaluate(&config, &turned);
    assert_eq!(at.terms[3], ("clip_ratio/region_mean", 0.0));
    // Nor is what has no advantage, on whichever side of the clip it lies.
    let idle = sample_of(&logp, &[vec![0, 1]], Advantages::Token(vec![0.0, 0.0]));
    assert_eq!(evaluate(&config, &idle).terms[3], ("clip_ratio/region_mean", 0.0));
    let off = evaluate(&RankGrpoConfig { beta: 0.0, ..config }, &turned);
    assert!(off.terms.iter().all(|t| t.0 != "kl_loss"));
}

#[test]
fn the_bounds_themselves_are_inside() {
    let config = RankGrpoConfig {
        n_ranks: 1,
        epsilon: 0.0,
        epsilon_high: 0.0,
        beta: 0.0,
        ..RankGrpoConfig::default()
    };
    for a in [1.0, -1.0] {
        let sample = sample_of(&[vec![-1.0]], &[vec![0]], Advantages::Trajectory(vec![a]));
        assert_eq!(evaluate(&config, &sample).grads.d_logp, [-a]);
    }
}

#[test]
fn beyond_the_clamp_nothing_moves() {
    let config = RankGrpoConfig {
        n_ranks: 1,
        beta: 0.0,
        ..RankGrpoConfig::default()
    };
    for ratio in [RankRatio::Rank, RankRatio::Token, RankRatio::Sequence] {
        let config = RankGrpoConfig {
            ratio,
            ..config.clone()
        };
        let mut sample = sample_of(
            &[vec![-31.0, -1.0]],
            &[vec![0, 0]],
            Advantages::Trajectory(vec![1.0]),
        );
        sample.batch.logp_ref = None;
        let at = evaluate(&config, &sample).grads.d_logp;
        assert_eq!(at[0], 0.0, "{ratio:?}");
        assert!(at[1] < 0.0, "{ratio:?}");
    }
}

#[test]
fn what_is_missing_or_not_finite_is_named() {
    let objective = build(&RankGrpoConfig::default());
    let refuse = |sample: &Sample| {
        evaluate_whole(objective.as_ref(), &sample.batch, &sample.inputs())
            .expect_err("refused")
            .to_string()
            .replace("the objective refused the batch: ", "")
    };
    let sample = || {
        let advantages = Advantages::Trajectory(vec![1.0, 2.0]);
        sample_of(
            &[vec![-1.0], vec![-1.0, -2.0]],
            &[vec![0], vec![0, 1]],
            advantages,
        )
    };
    let mut bare = sample();
    bare.batch.segments = None;
    assert_eq!(refuse(&bare), "`segments` is missing, and `rank-grpo` needs it");
    let mut bare = sample();
    bare.batch.logp_ref = None;
    assert_eq!(refuse(&bare), "`logp_ref` is missing, and `rank-grpo` needs it");
    let mut short = sample();
    short.batch.segments = Some(vec![0; 2]);
    assert!(short.batch.check().is_err());
    for (field, what) in [(0, "logp"), (1, "logp_old"), (2, "logp_ref"), (3, "advantage")] {
        let mut spoiled = sample();
        match field {
            0 => spoiled.logp[2] = f64::NAN,
            1 => spoiled.batch.logp_old = Some(vec![-1.0, -1.0, f64::NAN]),
            2 => spoiled.batch.logp_ref = Some(vec![-1.0, -1.0, f64::NAN]),
            _ => spoiled.batch.advantages = Advantages::Token(vec![0.0, 0.0, f64::NAN]),
        }
        assert_eq!(
            refuse(&spoiled),
            format!("trajectory 1, token 1: `{what}` is NaN")
        );
        spoiled.batch.mask[2] = false;
        assert!(evaluate(&RankGrpoConfig::default(), &spoiled).loss.is_finite());
    }
    let mut huge = sample();
    huge.batch.advantages = Advantages::Trajectory(vec![-f64::MAX, -f64::MAX]);
    huge.logp = vec![0.0; 3];
    let one = build(&RankGrpoConfig {
        n_ranks: 1,
        ..RankGrpoConfig::default()
    });
    let error = evaluate_whole(one.as_ref(), &huge.batch, &huge.inputs()).expect_err("refused");
    assert!(
        error
            .to_string()
            .ends_with("sum over trajectories: `loss` is inf")
    );
}

#[test]
fn refused_parameters() {
    let refuse = |text: &str| {
        let config: RankGrpoConfig = toml::from_str(text).expect("parses");
        config.build(&()).expect_err("refused").to_string()
    };
    assert_eq!(
        refuse("n_ranks = 0"),
        "`n_ranks` = 0: must be a number in 1..=1048576"
    );
    assert_eq!(
        refuse("n_ranks = 1048577"),
        "`n_ranks` = 1048577: must be a number in 1..=1048576"
    );
    assert_eq!(
        refuse("epsilon = 1.0"),
        "`epsilon` = 1: must be a number in [0, 1)"
    );
    assert_eq!(
        refuse("epsilon_high = -0.1"),
        "`epsilon_high` = -0.1: must be a number in [0, 1)"
    );
    assert_eq!(
        refuse("epsilon = nan"),
        "`epsilon` = NaN: must be a number in [0, 1)"
    );
    assert_eq!(refuse("beta = -1.0"), "`beta` = -1: must be a finite number >= 0");
    assert_eq!(refuse("beta = inf"), "`beta` = inf: must be a finite number >= 0");
    assert!(
        RankGrpoConfig {
            n_ranks: 1_048_576,
            ..RankGrpoConfig::default()
        }
        .build(&())
        .is_ok()
    );
}

#[test]
fn the_formula_shows_what_is_active() {
    assert_eq!(
        RankGrpoConfig::default().formula(),
        "loss = 1/lists 1/20 sum_(k < 20) mean of l over rank k; l = max(-A w, -A clip(w, 1 - 0.06, 1 + 0.08)) + 0.001 \
         (exp(u) - u - 1), u = clamp(logp_ref - logp, -20, 20); w = exp(mean of d over the tokens of rank min(k, 20)), \
         d = clamp(logp - logp_old, -20, 20)"
    );
    let other = RankGrpoConfig {
        ratio: RankRatio::Token,
        aggregation: RankAggregation::TokenMean,
        beta: 0.0,
        ..RankGrpoConfig::default()
    };
    assert_eq!(
        other.formula(),
        "loss = 1/tokens sum l; l = max(-A w, -A clip(w, 1 - 0.06, 1 + 0.08)); w = exp(d_t), d = clamp(logp - logp_old, \
         -20, 20)"
    );
    let third = RankGrpoConfig {
        ratio: RankRatio::Sequence,
        overflow: Overflow::Segment,
        ..other.clone()
    };
    assert!(third.formula().contains("w = exp(mean of d over the list)"));
    let fourth = RankGrpoConfig {
        aggregation: RankAggregation::RankMean,
        ..third
    };
    assert!(
        fourth
            .formula()
            .contains("sum_(k <= 20) mean of l over rank k, 20 all overflow")
    );
}

#[test]
fn needs_follow_the_coefficient() {
    let with = |beta| {
        build(&RankGrpoConfig {
            beta,
            ..RankGrpoConfig::default()
        })
        .needs()
    };
    let base = Needs::TOKENS | Needs::LOGP_OLD | Needs::SEGMENTS;
    assert_eq!(with(0.0), base);
    assert_eq!(with(0.1), base | Needs::LOGP_REF);
}
