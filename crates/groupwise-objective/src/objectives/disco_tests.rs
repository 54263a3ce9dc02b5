//! Section 10 of the specification, its edge cases, and every refusal.

use groupwise_core::testing::{
    CheckFailure, Sample, check_gradient_away_from, check_invariance, evaluate_whole, samples,
};
use groupwise_core::{Advantages, Offsets, TokenBatch};
use proptest::prelude::*;

use super::*;

/// Rewards 0 and 1 in the place of the advantages, per trajectory or per token.
fn labeled() -> impl Strategy<Value = Sample> {
    (samples(), prop::collection::vec(any::<bool>(), 25), any::<bool>()).prop_map(
        |(mut sample, right, each)| {
            let batch = &mut sample.batch;
            let reward = |i: usize| f64::from(u8::from(right[i]));
            let per_trajectory: Vec<f64> = (0..batch.n_trajectories()).map(reward).collect();
            batch.advantages = if each {
                let copies =
                    (0..batch.n_trajectories()).flat_map(|i| vec![reward(i); batch.tokens.range(i).len()]);
                Advantages::Token(copies.collect())
            } else {
                Advantages::Trajectory(per_trajectory)
            };
            sample
        },
    )
}

fn configs() -> impl Strategy<Value = DiscoConfig> {
    (
        prop::sample::select(vec![Score::LogL, Score::Lratio]),
        prop::option::of(0.2..20.0f64),
        prop_oneof![Just(0.0), 1e-3..0.5f64],
        prop_oneof![Just(0.0), 0.5..20.0f64],
        prop::sample::select(vec![KlEstimator::K1, KlEstimator::K3]),
        prop::sample::select(vec![Penalty::Code, Penalty::Paper]),
    )
        .prop_map(|(score, tau, delta, beta, kl, penalty)| DiscoConfig {
            score,
            negatives: if tau.is_some() {
                Negatives::Robust
            } else {
                Negatives::Mean
            },
            tau,
            delta,
            beta,
            kl,
            penalty,
        })
}

fn build(config: &DiscoConfig) -> Box<dyn Objective> {
    config.build(&()).expect("valid")
}

fn evaluate(config: &DiscoConfig, sample: &Sample) -> Result<Evaluation, CheckFailure> {
    evaluate_whole(build(config).as_ref(), &sample.batch, &sample.inputs())
}

fn term(at: &Evaluation, name: &str) -> f64 {
    at.term(name).expect("listed")
}

fn reward(batch: &TokenBatch, i: usize) -> f64 {
    match &batch.advantages {
        Advantages::Trajectory(a) => a[i],
        Advantages::Token(a) => a[batch.tokens.range(i).start],
    }
}

/// J, K and the share of mixed groups by the definition, written out.
fn by_definition(config: &DiscoConfig, sample: &Sample) -> (f64, f64, f64) {
    let batch = &sample.batch;
    let old = batch.logp_old.as_ref().unwrap_or(&sample.logp);
    let counted = |i: usize| {
        batch
            .tokens
            .range(i)
            .filter(|t| batch.mask[*t])
            .collect::<Vec<_>>()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mut objective, mut mixed) = (0.0, 0.0);
    for members in batch.groups.spans().iter() {
        let (mut right, mut wrong) = (vec![], vec![]);
        for i in members {
            let scores: Vec<f64> = counted(i)
                .into_iter()
                .map(|t| match config.score {
                    Score::LogL => sample.logp[t],
                    Score::Lratio => (sample.logp[t] - old[t]).exp(),
                })
                .collect();
            if !scores.is_empty() {
                let kind = if reward(batch, i) == 1.0 {
                    &mut right
                } else {
                    &mut wrong
                };
                kind.push(mean(&scores));
            }
        }
        if right.is_empty() || wrong.is_empty() {
            continue;
        }
        mixed += 1.0;
        let base = match config.tau {
            None => mean(&wrong),
            Some(tau) => tau * mean(&wrong.iter().map(|s| (s / tau).exp()).collect::<Vec<_>>()).ln(),
        };
        objective += mean(&right) - base;
    }
    let groups = batch.groups.len() as f64;
    let all: Vec<f64> = (0..batch.n_trajectories())
        .flat_map(counted)
        .map(|t| {
            let d = sample.logp[t] - old[t];
            match config.kl {
                KlEstimator::K1 => -d,
                _ => d.exp() - d - 1.0,
            }
        })
        .collect();
    let kl = if all.is_empty() { 0.0 } else { mean(&all) };
    (objective / groups, kl, mixed / groups)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn derivatives_are_central_differences(sample in labeled(), config in configs()) {
        let (_, kl, _) = by_definition(&config, &sample);
        let counted = sample.batch.mask.iter().filter(|m| **m).count() as f64;
        // The hinge has a kink in its second derivative at K = delta.
        let away = |_: &TokenView<'_>, _: usize| (kl - config.delta).abs() * counted;
        check_gradient_away_from(build(&config).as_ref(), &sample.batch, &sample.inputs(), &away)?;
    }

    #[test]
    fn order_padding_and_the_only_cut_change_nothing(sample in labeled(), config in configs()) {
        let objective = build(&config);
        check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn loss_and_terms_are_the_definition(sample in labeled(), config in configs()) {
        let (objective, kl, mixed) = by_definition(&config, &sample);
        let factor = match config.penalty { Penalty::Code => 0.5, Penalty::Paper => 1.0 };
        let penalty = factor * config.beta * (kl - config.delta).max(0.0).powi(2);
        let at = evaluate(&config, &sample)?;
        let scale = 1.0 + penalty.abs() + objective.abs();
        prop_assert!((at.loss - (penalty - objective)).abs() < 1e-10 * scale);
        prop_assert!((term(&at, "policy_loss") + objective).abs() < 1e-10 * scale);
        prop_assert!((term(&at, "approx_kl") - kl).abs() < 1e-10 * (1.0 + kl.abs()));
        prop_assert!((term(&at, "kl_loss") - penalty).abs() < 1e-10 * scale);
        prop_assert!((term(&at, "frac_groups_mixed") - mixed).abs() < 1e-12);
    }

    #[test]
    fn kl_within_delta_leaves_minus_j(sample in labeled(), config in configs()) {
        let (_, kl, _) = by_definition(&config, &sample);
        let at = evaluate(&DiscoConfig { delta: kl.max(0.0), ..config }, &sample)?;
        prop_assert!((at.loss - term(&at, "policy_loss")).abs() < 1e-20);
    }

    #[test]
    fn without_the_penalty_every_mixed_group_has_weight_one_over_q_whatever_its_success_rate(
        sample in labeled(), tau in prop::option::of(0.2..20.0f64),
    ) {
        // logL: the derivative by a score is the sum of the derivatives by its tokens.
        let negatives = if tau.is_some() { Negatives::Robust } else { Negatives::Mean };
        let config = DiscoConfig { tau, negatives, beta: 0.0, ..Default::default() };
        let at = evaluate(&config, &sample)?;
        let batch = &sample.batch;
        for members in batch.groups.spans().iter() {
            let (mut right, mut wrong, mut kinds) = (0.0, 0.0, (false, false));
            for i in members {
                let tokens = batch.tokens.range(i);
                if !batch.mask[tokens.clone()].contains(&true) {
                    continue;
                }
                let weight: f64 = at.grads.d_logp[tokens].iter().sum();
                if reward(batch, i) == 1.0 {
                    (right, kinds.0) = (right + weight, true);
                } else {
                    (wrong, kinds.1) = (wrong + weight, true);
                }
            }
            let expected = if kinds == (true, true) { 1.0 / batch.groups.len() as f64 } else { 0.0 };
            prop_assert!((right + expected).abs() < 1e-12, "{right} {expected}");
            prop_assert!((wrong - expected).abs() < 1e-12, "{wrong} {expected}");
        }
    }

    #[test]
    fn a_constant_on_all_scores_of_a_group_changes_nothing(group in answers_of(), shift in -50.0..50.0f64) {
        let (scores, right, tau) = group;
        let moved: Vec<f64> = scores.iter().map(|s| s + shift).collect();
        let ((j, slopes), (k, others)) = (of(&scores, &right, tau), of(&moved, &right, tau));
        prop_assert!((j - k).abs() < 1e-11 * (1.0 + shift.abs()));
        for (a, b) in slopes.iter().zip(others) {
            prop_assert!((a - b).abs() < 1e-10);
        }
    }

    #[test]
    fn slopes_are_central_differences_and_sum_to_zero(group in answers_of()) {
        let (mut scores, right, tau) = group;
        let (_, slopes) = of(&scores, &right, tau);
        prop_assert!(slopes.iter().sum::<f64>().abs() < 1e-12);
        for i in 0..scores.len() {
            let here = scores[i];
            scores[i] = here + 1e-5;
            let up = of(&scores, &right, tau).0;
            scores[i] = here - 1e-5;
            let down = of(&scores, &right, tau).0;
            scores[i] = here;
            prop_assert!((slopes[i] - (up - down) / 2e-5).abs() < 1e-6);
        }
    }

    #[test]
    fn b_falls_with_tau_from_the_maximum_to_the_mean(group in answers_of(), tau in 0.05..5.0f64, more in 1.05..4.0f64) {
        let (scores, right, _) = group;
        let j = |tau| of(&scores, &right, tau).0;
        prop_assert!(j(Some(tau * more)) >= j(Some(tau)) - 1e-12);
        prop_assert!((j(Some(1e7)) - j(None)).abs() < 1e-6);
        if right.contains(&true) && right.contains(&false) {
            let wrong = || (0..scores.len()).filter(|i| !right[*i]).map(|i| scores[i]);
            let top = wrong().fold(f64::NEG_INFINITY, f64::max);
            let above: Vec<f64> = (0..scores.len()).filter(|i| right[*i]).map(|i| scores[i]).collect();
            let mean = above.iter().sum::<f64>() / above.len() as f64;
            // B = max - tau log(number of wrong answers) at most, for small tau.
            let bound = 1e-6 * (wrong().count() as f64).ln() + 1e-12;
            prop_assert!((j(Some(1e-6)) - (mean - top)).abs() <= bound);
        }
    }

    #[test]
    fn duplicating_every_answer_of_a_group_changes_nothing(group in answers_of()) {
        let (scores, right, tau) = group;
        let (j, slopes) = of(&scores, &right, tau);
        let (k, twice) = of(&[scores.clone(), scores].concat(), &[right.clone(), right].concat(), tau);
        prop_assert!((j - k).abs() < 1e-12);
        for (i, slope) in slopes.iter().enumerate() {
            prop_assert!((slope - twice[i] - twice[i + slopes.len()]).abs() < 1e-12);
        }
    }

    #[test]
    fn the_score_of_an_answer_is_what_the_objective_compares(
        tokens in prop::collection::vec((any::<bool>(), -3.0..0.0f64, -3.0..0.0f64), 0..9),
    ) {
        let mask: Vec<bool> = tokens.iter().map(|t| t.0).collect();
        let (logp, old): (Vec<f64>, Vec<f64>) = tokens.iter().map(|t| (t.1, t.2)).unzip();
        let n = mask.iter().filter(|m| **m).count();
        for (score, one) in [(Score::LogL, [0.0, 1.0]), (Score::Lratio, [1.0, 0.0])] {
            let sum: f64 = (0..logp.len())
                .filter(|t| mask[*t])
                .map(|t| one[0] * (logp[t] - old[t]).exp() + one[1] * logp[t])
                .sum();
            let found = answer_score(score, &logp, &old, &mask)?;
            prop_assert_eq!(found.is_some(), n > 0);
            prop_assert!((found.unwrap_or(0.0) - sum / n.max(1) as f64).abs() < 1e-12);
        }
    }
}

fn answers_of() -> impl Strategy<Value = (Vec<f64>, Vec<bool>, Option<f64>)> {
    let answers = prop::collection::vec((-5.0..0.0f64, any::<bool>()), 1..8);
    (answers, prop::option::of(0.2..20.0f64)).prop_map(|(answers, tau)| {
        let (scores, right) = answers.into_iter().unzip();
        (scores, right, tau)
    })
}

fn of(scores: &[f64], right: &[bool], tau: Option<f64>) -> (f64, Vec<f64>) {
    let mut slopes = vec![f64::NAN; scores.len()];
    let j = contrast(scores, right, tau, &mut slopes).expect("equal lengths");
    (j, slopes)
}

/// One group of two right answers and one wrong one, one token each.
fn tiny(logp: [f64; 3], old: [f64; 3]) -> Sample {
    Sample {
        batch: TokenBatch {
            segments: None,
            groups: Offsets::from_lengths([3]),
            tokens: Offsets::from_lengths([1; 3]),
            prompts: vec![std::sync::Arc::from([]); 3],
            ids: vec![0; 3],
            mask: vec![true; 3],
            logp_sampler: old.to_vec(),
            logp_old: Some(old.to_vec()),
            logp_ref: None,
            advantages: Advantages::Trajectory(vec![1.0, 1.0, 0.0]),
            temperature: 1.0,
        },
        logp: logp.to_vec(),
        entropy: vec![0.0; 3],
        value: vec![0.0; 3],
    }
}

#[test]
fn a_negative_estimate_of_kl_costs_nothing() {
    let sample = tiny([-1.0; 3], [-1.5; 3]);
    let config = DiscoConfig {
        delta: 0.0,
        ..Default::default()
    };
    let at = evaluate(&config, &sample).expect("finite");
    assert_eq!((term(&at, "approx_kl"), term(&at, "kl_loss")), (-0.5, 0.0));
    assert_eq!(at.grads.d_logp, [-0.5, -0.5, 1.0]);
    // k3 is not negative there: e^0.5 - 1.5.
    let k3 = DiscoConfig {
        kl: KlEstimator::K3,
        ..config
    };
    let at = evaluate(&k3, &sample).expect("finite");
    assert!((term(&at, "approx_kl") - 0.148_721_270_700_128_2).abs() < 1e-12);
}

#[test]
fn without_a_mixed_group_only_the_penalty_acts() {
    let mut sample = tiny([-1.5; 3], [-1.0; 3]);
    sample.batch.advantages = Advantages::Trajectory(vec![1.0; 3]);
    let config = DiscoConfig {
        delta: 0.25,
        beta: 8.0,
        ..Default::default()
    };
    let at = evaluate(&config, &sample).expect("finite");
    // K = 0.5: 4 * 0.25^2, and -8 * 0.25 / 3 for each token.
    assert_eq!(at.loss, 0.25);
    for d in &at.grads.d_logp {
        assert!((d + 2.0 / 3.0).abs() < 1e-15);
    }
    sample.batch.groups = Offsets::from_lengths([1; 3]);
    sample.batch.advantages = Advantages::Trajectory(vec![1.0, 0.0, 1.0]);
    let alone = evaluate(&config, &sample).expect("finite");
    assert_eq!(alone.loss, 0.25, "a group of one is never mixed");
    sample.batch.mask = vec![false; 3];
    let silent = evaluate(&config, &sample).expect("finite");
    assert_eq!((silent.loss, silent.grads.d_logp), (0.0, vec![0.0; 3]));
}

#[test]
fn groups_of_one_kind_count_in_q() {
    let sample = tiny([-1.0, -2.0, -4.0], [-1.0, -2.0, -4.0]);
    let one = evaluate(&DiscoBConfig::default().general(), &sample).expect("finite");
    assert_eq!(one.loss, -2.5);
    let mut two = sample.clone();
    two.batch.groups = Offsets::from_lengths([3, 0, 0, 0]);
    let four = evaluate(&DiscoBConfig::default().general(), &two).expect("finite");
    assert_eq!((four.loss, term(&four, "frac_groups_mixed")), (-0.625, 0.25));
}

#[test]
fn a_silent_answer_is_left_out_of_its_group() {
    let mut sample = tiny([-1.0, -2.0, -4.0], [-1.0, -2.0, -4.0]);
    sample.batch.mask[0] = false;
    sample.batch.advantages = Advantages::Trajectory(vec![0.5, 1.0, 0.0]);
    let at = evaluate(&DiscoConfig::default(), &sample).expect("its reward is not read");
    assert_eq!((at.loss, at.grads.d_logp), (-2.0, vec![0.0, -1.0, 1.0]));
}

#[test]
fn beyond_the_clamp_a_ratio_has_no_slope() {
    let sample = tiny([-1.0, -30.0, -1.0], [-1.0, -1.0, -30.0]);
    let config = DiscoConfig {
        score: Score::Lratio,
        ..Default::default()
    };
    let at = evaluate(&config, &sample).expect("finite");
    assert_eq!(at.grads.d_logp, [-0.5, 0.0, 0.0]);
}

#[test]
fn a_tiny_tau_neither_overflows_nor_loses_the_top_answer() {
    let (j, slopes) = of(&[0.0, -3.0, -1.0], &[true, false, false], Some(1e-12));
    assert!((j - 1.0).abs() < 1e-9);
    assert_eq!(slopes[2], -1.0);
    assert!(slopes[1].abs() < 1e-300);
}

#[test]
fn rewards_other_than_zero_and_one_are_refused() {
    let mut sample = tiny([-1.0; 3], [-1.0; 3]);
    for (reward, shown) in [(0.5, "0.5"), (-1.0, "-1"), (2.0, "2")] {
        sample.batch.advantages = Advantages::Trajectory(vec![1.0, reward, 0.0]);
        assert_eq!(
            evaluate(&DiscoConfig::default(), &sample)
                .expect_err("refused")
                .to_string(),
            format!(
                "the objective refused the batch: trajectory 1: reward {shown}: must be 0 or 1, as \
                 `[advantage.raw]` hands it over"
            )
        );
    }
}

#[test]
fn numbers_that_are_not_finite_are_named_and_masked_ones_are_not_read() {
    let refuse = |sample: &Sample| {
        let error = evaluate(&DiscoConfig::default(), sample)
            .expect_err("refused")
            .to_string();
        error.replace("the objective refused the batch: ", "")
    };
    let bad = tiny([-1.0, f64::NAN, -1.0], [-1.0; 3]);
    assert_eq!(refuse(&bad), "trajectory 1, token 0: `logp` is NaN");
    let old = tiny([-1.0; 3], [-1.0, -1.0, f64::NEG_INFINITY]);
    assert_eq!(refuse(&old), "trajectory 2, token 0: `logp_old` is -inf");
    let mut masked = bad;
    masked.batch.mask[1] = false;
    assert!(evaluate(&DiscoConfig::default(), &masked).is_ok());
    let huge = tiny([-1e200, -1.0, -1.0], [-1e200, -1.0, -1.0]);
    let config = DiscoConfig {
        beta: f64::MAX,
        delta: 0.0,
        ..Default::default()
    };
    let mut far = huge;
    far.batch.logp_old = Some(vec![-1.0, 19.0, 19.0]);
    let error = evaluate(&config, &far).expect_err("refused").to_string();
    assert!(error.ends_with("sum over trajectories: `loss` is inf"), "{error}");
}

#[test]
fn part_of_a_batch_is_refused() {
    let mut sample = tiny([-1.0; 3], [-1.0; 3]);
    sample.batch.groups = Offsets::from_lengths([2, 1]);
    let objective = build(&DiscoConfig::default());
    assert_eq!(objective.scope(), Scope::Batch);
    assert_eq!(objective.needs(), Needs::TOKENS | Needs::LOGP_OLD);
    let whole = objective.denominators(&sample.batch).expect("fits");
    let part = sample.batch.view(0..2, &sample.logp[..2], None).expect("fits");
    let frozen = objective.freeze(&whole, &part).expect("fits");
    assert_eq!(
        objective
            .evaluate(&frozen, &part)
            .expect_err("refused")
            .to_string(),
        "view: 2 counted tokens of 3: the constraint on KL, and mixed groups, need the whole batch"
    );
    assert_eq!(
        objective
            .evaluate(&Frozen::default(), &part)
            .expect_err("refused")
            .to_string(),
        "`frozen constants` has 0 entries, expected 2"
    );
}

#[test]
fn refused_parameters() {
    let refuse = |text: &str| {
        let config: DiscoConfig = toml::from_str(text).expect("parses");
        config.build(&()).expect_err("refused").to_string()
    };
    for (text, message) in [
        ("tau = 0.0", "`tau` = 0: must be a finite number > 0"),
        ("tau = nan", "`tau` = NaN: must be a finite number > 0"),
        ("tau = inf", "`tau` = inf: must be a finite number > 0"),
        ("delta = -0.1", "`delta` = -0.1: must be a finite number >= 0"),
        ("delta = inf", "`delta` = inf: must be a finite number >= 0"),
        ("beta = -1.0", "`beta` = -1: must be a finite number >= 0"),
        ("beta = nan", "`beta` = NaN: must be a finite number >= 0"),
        ("kl = 'k2'", "`kl` = k2: must be k1 or k3"),
        (
            "negatives = 'mean'\ntau = 1.0",
            "`tau` = 1: must be absent where `negatives` = mean",
        ),
    ] {
        assert_eq!(refuse(text), message);
    }
    for zero in ["delta = 0.0", "beta = 0.0", "kl = 'k3'\nscore = 'Lratio'"] {
        let config: DiscoConfig = toml::from_str(zero).expect("parses");
        assert!(config.build(&()).is_ok(), "{zero}");
    }
    assert!(answer_score(Score::LogL, &[0.0], &[], &[true]).is_err());
    assert!(answer_score(Score::LogL, &[0.0], &[0.0], &[]).is_err());
    assert!(contrast(&[0.0], &[], None, &mut [0.0]).is_err());
    assert!(contrast(&[0.0], &[true], None, &mut []).is_err());
}

#[test]
fn the_formula_says_which_form_is_active() {
    assert_eq!(
        DiscoConfig::default().formula(),
        "loss = -J + 500 max(K - 0.0001, 0)^2; J = 1/Q sum_g (mean_{r = 1} s - 10 log mean_{r = 0} exp(s / 10)), \
         groups of one kind add 0; s_i = mean_t logp_t; K = mean over all tokens of -d_t, d_t = clamp(logp - \
         logp_old, -20, 20); r = advantage, 0 or 1"
    );
    let config: DiscoBConfig =
        toml::from_str("score = 'Lratio'\nkl = 'k3'\npenalty = 'paper'\nbeta = 2.0\ndelta = 0.5")
            .expect("parses");
    assert_eq!(
        config.formula(),
        "loss = -J + 2 max(K - 0.5, 0)^2; J = 1/Q sum_g (mean_{r = 1} s - mean_{r = 0} s), groups of one kind add \
         0; s_i = mean_t exp(d_t); K = mean over all tokens of exp(d_t) - d_t - 1, d_t = clamp(logp - logp_old, \
         -20, 20); r = advantage, 0 or 1"
    );
    let robust = DiscoConfig {
        score: Score::Lratio,
        ..Default::default()
    };
    assert!(robust.formula().contains("1 log mean_{r = 0} exp(s / 1)"));
}

/// The temperature that is used where none is written out.
#[test]
fn tau_follows_the_score_unless_given() {
    let sample = tiny([-1.0, -2.0, -4.0], [-1.5, -2.0, -3.0]);
    for (score, tau) in [(Score::LogL, 10.0), (Score::Lratio, 1.0)] {
        let mut wide = sample.clone();
        wide.batch.advantages = Advantages::Trajectory(vec![1.0, 0.0, 0.0]);
        let config = DiscoConfig {
            score,
            ..Default::default()
        };
        let given = DiscoConfig {
            tau: Some(tau),
            ..config.clone()
        };
        let other = DiscoConfig {
            tau: Some(tau * 1.5),
            ..config.clone()
        };
        let loss = |config| evaluate(config, &wide).expect("finite").loss;
        assert_eq!(loss(&config), loss(&given));
        assert_ne!(loss(&config), loss(&other));
    }
}
