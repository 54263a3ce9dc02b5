//! Section 10 of the specification, its edge cases, and every refusal.

use groupwise_core::testing::{
    CheckFailure, Sample, check_gradient_away_from, check_invariance, evaluate_whole, samples,
};
use groupwise_core::{Advantages, Offsets, TokenBatch};
use proptest::prelude::*;

use super::*;

/// One reward per trajectory, at either level; at least one group of two or more.
fn rewarded() -> impl Strategy<Value = Sample> {
    let several = |sample: &Sample| sample.batch.groups.spans().iter().any(|g| g.len() > 1);
    let rewards = prop::collection::vec(prop::sample::select(vec![0.0, 0.5, 1.0, 3.0]), 25);
    (
        samples().prop_filter("every group holds one trajectory", several),
        rewards,
        any::<bool>(),
    )
        .prop_map(|(mut sample, rewards, each)| {
            let batch = &mut sample.batch;
            let n = batch.n_trajectories();
            batch.advantages = if each {
                let copies = (0..n).flat_map(|i| vec![rewards[i]; batch.tokens.range(i).len()]);
                Advantages::Token(copies.collect())
            } else {
                Advantages::Trajectory(rewards[..n].to_vec())
            };
            sample
        })
}

fn configs() -> impl Strategy<Value = RegGrpoConfig> {
    (
        0.5..2.0f64,
        prop_oneof![Just(1e-6), 0.1..1.0f64],
        0.2..1.0f64,
        prop::option::of(prop_oneof![0.01..0.1f64, 0.5..3.0f64]),
        prop_oneof![Just(0.0), 0.01..1.0f64],
        prop::sample::select(vec![KlEstimator::K1, KlEstimator::K2, KlEstimator::K3]),
    )
        .prop_map(
            |(scale, eps_adv, eps_rho, sigma_floor, beta, kl_estimator)| RegGrpoConfig {
                scale,
                eps_adv,
                eps_rho,
                sigma_floor,
                beta,
                kl_estimator,
            },
        )
}

fn build(config: &RegGrpoConfig) -> Box<dyn Objective> {
    config.build(&()).expect("valid")
}

fn evaluate(config: &RegGrpoConfig, sample: &Sample) -> Result<Evaluation, CheckFailure> {
    evaluate_whole(build(config).as_ref(), &sample.batch, &sample.inputs())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn std(values: &[f64]) -> f64 {
    let m = mean(values);
    mean(&values.iter().map(|v| (v - m).powi(2)).collect::<Vec<_>>()).sqrt()
}

/// Rewards and log-ratios of the answers of every group that is regressed.
fn regressed(sample: &Sample) -> Vec<(Vec<f64>, Vec<f64>)> {
    let batch = &sample.batch;
    let old = batch.logp_old.as_ref().unwrap_or(&sample.logp);
    let mut out = vec![];
    for members in batch.groups.spans().iter() {
        let (mut rewards, mut x) = (vec![], vec![]);
        for i in members {
            let tokens: Vec<usize> = batch.tokens.range(i).filter(|t| batch.mask[*t]).collect();
            if let Some(t) = tokens.first() {
                rewards.push(match &batch.advantages {
                    Advantages::Trajectory(a) => a[i],
                    Advantages::Token(a) => a[*t],
                });
                x.push(tokens.iter().map(|t| sample.logp[*t] - old[*t]).sum());
            }
        }
        if rewards.iter().any(|r| *r != rewards[0]) {
            out.push((rewards, x));
        }
    }
    out
}

/// The loss by the definition, written out.
fn by_definition(config: &RegGrpoConfig, sample: &Sample) -> (f64, f64) {
    let groups = regressed(sample);
    let mut policy = 0.0;
    for (rewards, x) in &groups {
        let spread = config.sigma_floor.map_or(std(x), |floor| std(x).max(floor)) + config.eps_rho;
        let divisor = std(rewards) + config.eps_adv;
        let squares: Vec<f64> = (rewards.iter().zip(x))
            .map(|(r, x_i)| ((r - mean(rewards)) / divisor - config.scale * (x_i - mean(x)) / spread).powi(2))
            .collect();
        policy += mean(&squares) / groups.len() as f64;
    }
    let batch = &sample.batch;
    let reference = batch.logp_ref.as_ref().expect("generated with one");
    let means: Vec<f64> = (0..batch.n_trajectories())
        .filter_map(|i| {
            let tokens: Vec<usize> = batch.tokens.range(i).filter(|t| batch.mask[*t]).collect();
            let kl = |t: &usize| config.kl_estimator.evaluate(sample.logp[*t], reference[*t]).value;
            (!tokens.is_empty()).then(|| mean(&tokens.iter().map(kl).collect::<Vec<_>>()))
        })
        .collect();
    let kl = if means.is_empty() {
        0.0
    } else {
        config.beta * mean(&means)
    };
    (policy, kl)
}

/// Rewards that differ, and log-ratios that do.
fn group_of(sizes: std::ops::Range<usize>) -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    prop::collection::vec((-2.0..2.0f64, -3.0..3.0f64), sizes)
        .prop_map(|pairs| pairs.into_iter().unzip::<f64, f64, Vec<f64>, Vec<f64>>())
        .prop_filter("equal", |(r, x)| std(r) > 1e-3 && std(x) > 1e-3)
}

fn exact() -> Regression {
    Regression::new(&RegGrpoConfig {
        eps_adv: 0.0,
        eps_rho: 0.0,
        ..Default::default()
    })
    .expect("valid")
}

fn fit(regression: &Regression, rewards: &[f64], x: &[f64]) -> (f64, Vec<f64>) {
    let mut slopes = vec![f64::NAN; x.len()];
    let targets = regression.targets(rewards);
    let loss = regression
        .evaluate(&targets, x, regression.held_spread(x), &mut slopes)
        .expect("fits");
    (loss, slopes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn derivatives_are_central_differences(sample in rewarded(), config in configs()) {
        // Where all log-ratios are equal the second derivative has no bound; that point has a test of its own.
        let flat = regressed(&sample).iter().any(|(_, x)| std(x) < 1e-3) && config.sigma_floor.is_none();
        let away = |_: &TokenView<'_>, _: usize| if flat { 0.0 } else { 1.0 };
        check_gradient_away_from(build(&config).as_ref(), &sample.batch, &sample.inputs(), &away)?;
    }

    #[test]
    fn micro_batches_order_and_padding_change_nothing(sample in rewarded(), config in configs()) {
        let objective = build(&config);
        check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn targets_that_are_not_centred_have_the_derivatives_of_their_loss(
        rows in prop::collection::vec((-2.0..2.0f64, -3.0..3.0f64), 2..8), floor in prop::option::of(0.5..2.0f64),
    ) {
        let (targets, x): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
        prop_assume!(std(&x) > 0.1);
        let config = RegGrpoConfig { eps_rho: 0.25, scale: 1.5, sigma_floor: floor, ..Default::default() };
        let regression = Regression::new(&config)?;
        let held = regression.held_spread(&x);
        let loss = |x: &[f64], slopes: &mut [f64]| regression.evaluate(&targets, x, held, slopes);
        let (mut slopes, mut unused) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        loss(&x, &mut slopes)?;
        for i in 0..x.len() {
            let mut at = |h: f64| {
                let mut moved = x.clone();
                moved[i] += h;
                loss(&moved, &mut unused)
            };
            let numeric = (at(1e-5)? - at(-1e-5)?) / 2e-5;
            prop_assert!((slopes[i] - numeric).abs() < 1e-6 * (1.0 + numeric.abs()), "{} {numeric}", slopes[i]);
        }
    }

    #[test]
    fn loss_and_terms_are_the_definition(sample in rewarded(), config in configs()) {
        let (policy, kl) = by_definition(&config, &sample);
        let at = evaluate(&config, &sample)?;
        prop_assert!((at.loss - policy - kl).abs() < 1e-9 * (1.0 + policy + kl.abs()));
        prop_assert_eq!(at.terms[0].0, "policy_loss");
        prop_assert!((at.terms[0].1 - policy).abs() < 1e-9 * (1.0 + policy));
        prop_assert_eq!(at.terms.get(1).map(|t| t.0), (config.beta > 0.0).then_some("kl_loss"));
        prop_assert!((at.terms.get(1).map_or(0.0, |t| t.1) - kl).abs() < 1e-9 * (1.0 + kl.abs()));
    }

    #[test]
    fn the_loss_is_twice_one_minus_the_correlation_and_lies_in_zero_to_four(group in group_of(2..8)) {
        let (rewards, x) = group;
        let (loss, _) = fit(&exact(), &rewards, &x);
        let n = x.len() as f64;
        let covariance: f64 = rewards.iter().zip(&x).map(|(r, x_i)| (r - mean(&rewards)) * (x_i - mean(&x))).sum();
        let correlation = covariance / (n * std(&rewards) * std(&x));
        prop_assert!((loss - 2.0 * (1.0 - correlation)).abs() < 1e-9);
        prop_assert!((-1e-12..=4.0 + 1e-12).contains(&loss));
    }

    #[test]
    fn increasing_lines_in_either_argument_change_nothing(
        group in group_of(2..8), a in 0.1..10.0f64, b in -5.0..5.0f64, c in 0.1..10.0f64, e in -5.0..5.0f64,
    ) {
        let (rewards, x) = group;
        let (loss, _) = fit(&exact(), &rewards, &x);
        let (r, y): (Vec<f64>, Vec<f64>) = rewards.iter().zip(&x).map(|(r, x_i)| (a * r + b, c * x_i + e)).unzip();
        prop_assert!((fit(&exact(), &r, &y).0 - loss).abs() < 1e-8);
        let turned: Vec<f64> = x.iter().map(|x_i| -x_i).collect();
        prop_assert!((fit(&exact(), &rewards, &turned).0 - (4.0 - loss)).abs() < 1e-8);
    }

    #[test]
    fn slopes_sum_to_zero_and_are_orthogonal_to_the_log_ratios(group in group_of(2..8)) {
        let (rewards, x) = group;
        let (_, slopes) = fit(&exact(), &rewards, &x);
        let size: f64 = 1.0 + slopes.iter().map(|s| s.abs()).sum::<f64>();
        prop_assert!(slopes.iter().sum::<f64>().abs() < 1e-9 * size);
        let along: f64 = slopes.iter().zip(&x).map(|(s, x_i)| s * (x_i - mean(&x))).sum();
        prop_assert!(along.abs() < 1e-9 * size);
    }

    #[test]
    fn a_group_of_two_has_loss_zero_or_four_and_no_gradient(group in group_of(2..3)) {
        let (rewards, x) = group;
        let (loss, slopes) = fit(&exact(), &rewards, &x);
        let same = (rewards[0] < rewards[1]) == (x[0] < x[1]);
        let expected = if same { 0.0 } else { 4.0 };
        prop_assert!((loss - expected).abs() < 1e-9);
        let bound = 1e-9 / std(&x);
        prop_assert!(slopes.iter().all(|s| s.abs() < bound), "{slopes:?}");
    }

    #[test]
    fn at_the_old_policy_the_gradient_is_reinforce_over_eps(
        group in group_of(2..8), eps_rho in 1e-3..1.0f64, scale in 0.5..2.0f64, floor in prop::option::of(0.1..1.0f64),
    ) {
        let (rewards, x) = group;
        let config = RegGrpoConfig { eps_rho, scale, sigma_floor: floor, ..Default::default() };
        let regression = Regression::new(&config)?;
        let targets = regression.targets(&rewards);
        let (_, slopes) = fit(&regression, &rewards, &vec![0.7; x.len()]);
        let bound = eps_rho + floor.unwrap_or(0.0);
        for (slope, a) in slopes.iter().zip(&targets) {
            let expected = -2.0 * scale * a / (x.len() as f64 * bound);
            prop_assert!((slope - expected).abs() < 1e-9 * (1.0 + expected.abs()));
        }
    }

    #[test]
    fn uniform_groups_have_no_gradient_from_the_regression(sample in samples(), reward in -2.0..2.0f64) {
        prop_assume!(sample.batch.groups.spans().iter().any(|g| g.len() > 1));
        let mut sample = sample;
        sample.batch.advantages = Advantages::Trajectory(vec![reward; sample.batch.n_trajectories()]);
        let at = evaluate(&RegGrpoConfig::default(), &sample)?;
        prop_assert_eq!(at.loss, 0.0);
        prop_assert!(at.grads.d_logp.iter().all(|d| *d == 0.0));
    }

    #[test]
    fn advantages_that_are_lines_of_the_reward_inside_a_group_give_the_same_loss(
        sample in rewarded(), a in 0.5..4.0f64, b in -2.0..2.0f64,
    ) {
        let config = RegGrpoConfig { eps_adv: 0.0, eps_rho: 0.1, ..Default::default() };
        let mut moved = sample.clone();
        let (Advantages::Trajectory(values) | Advantages::Token(values)) = &mut moved.batch.advantages;
        values.iter_mut().for_each(|v| *v = a * *v + b);
        let (at, other) = (evaluate(&config, &sample)?, evaluate(&config, &moved)?);
        prop_assert!((at.loss - other.loss).abs() < 1e-9 * (1.0 + at.loss));
    }
}

/// Groups of one-token answers.
fn tiny(groups: &[&[(f64, f64)]]) -> Sample {
    let flat: Vec<(f64, f64)> = groups.concat();
    let n = flat.len();
    Sample {
        batch: TokenBatch {
            segments: None,
            groups: Offsets::from_lengths(groups.iter().map(|g| g.len())),
            tokens: Offsets::from_lengths(vec![1; n]),
            prompts: vec![std::sync::Arc::from([]); n],
            ids: vec![0; n],
            mask: vec![true; n],
            logp_sampler: vec![-2.0; n],
            logp_old: Some(vec![-2.0; n]),
            logp_ref: None,
            advantages: Advantages::Trajectory(flat.iter().map(|a| a.0).collect()),
            temperature: 1.0,
        },
        logp: flat.iter().map(|a| a.1 - 2.0).collect(),
        entropy: vec![0.0; n],
        value: vec![0.0; n],
    }
}

fn no_eps() -> RegGrpoConfig {
    RegGrpoConfig {
        eps_adv: 0.0,
        eps_rho: 0.0,
        ..Default::default()
    }
}

fn message(config: &RegGrpoConfig, sample: &Sample) -> String {
    let error = evaluate(config, sample).expect_err("refused").to_string();
    error.replace("the objective refused the batch: ", "")
}

#[test]
fn uniform_groups_and_groups_of_one_are_left_out_of_the_mean() {
    let opposed: &[(f64, f64)] = &[(0.0, 0.6), (1.0, 0.4), (3.0, 0.0)];
    let alone = evaluate(&no_eps(), &tiny(&[opposed])).expect("fits");
    assert!((alone.loss - 4.0).abs() < 1e-12);
    let among = tiny(&[&[(1.0, 0.5), (1.0, -0.5)], opposed, &[(7.0, 0.1)]]);
    let at = evaluate(&no_eps(), &among).expect("fits");
    assert!((at.loss - 4.0).abs() < 1e-12);
    assert_eq!((at.grads.d_logp[0], at.grads.d_logp[5]), (0.0, 0.0));
}

#[test]
fn without_a_mixed_group_the_kl_term_remains() {
    let mut sample = tiny(&[&[(1.0, 0.5), (1.0, -0.5)]]);
    sample.batch.logp_ref = Some(vec![-2.0; 2]);
    let config = RegGrpoConfig {
        beta: 0.1,
        kl_estimator: KlEstimator::K2,
        ..Default::default()
    };
    let at = evaluate(&config, &sample).expect("fits");
    assert!((at.loss - 0.1 * 0.125).abs() < 1e-15);
    assert!((at.grads.d_logp[0] - 0.1 * 0.25).abs() < 1e-15);
}

#[test]
fn a_silent_answer_is_left_out_of_its_group() {
    let mut sample = tiny(&[&[(0.0, 0.0), (1.0, 0.2), (3.0, 0.6), (9.0, -5.0)]]);
    sample.batch.mask[3] = false;
    let at = evaluate(&no_eps(), &sample).expect("fits");
    assert!(at.loss < 1e-25);
    sample.batch.mask[1] = false;
    sample.batch.mask[2] = false;
    let lone = evaluate(&no_eps(), &sample).expect("nothing is regressed");
    assert_eq!((lone.loss, lone.grads.d_logp), (0.0, vec![0.0; 4]));
}

#[test]
fn groups_of_one_throughout_are_refused() {
    let sample = tiny(&[&[(0.0, 0.1)], &[(1.0, 0.2)]]);
    assert_eq!(
        message(&RegGrpoConfig::default(), &sample),
        "batch: every group holds one trajectory: there is nothing to regress on"
    );
    assert!(evaluate(&RegGrpoConfig::default(), &tiny(&[])).is_ok());
}

#[test]
fn a_quotient_without_a_bound_is_refused_with_its_place() {
    let sample = tiny(&[&[(1.0, 0.3), (1.0, 0.1)], &[(0.0, 0.25), (1.0, 0.25)]]);
    assert_eq!(
        message(&no_eps(), &sample),
        "group 1 of the view, from trajectory 2: log-ratios: all are equal, and eps_rho is 0: the gradient has no \
         bound"
    );
    let floor = RegGrpoConfig {
        sigma_floor: Some(0.5),
        ..no_eps()
    };
    let at = evaluate(&floor, &sample).expect("bounded");
    // A = -1, 1 and z = 0: loss 1, and -(2 / 2) A / 0.5.
    assert_eq!((at.loss, &at.grads.d_logp[2..]), (1.0, [2.0, -2.0].as_slice()));
}

#[test]
fn the_floor_gives_way_to_a_larger_deviation() {
    let regression = |floor| {
        Regression::new(&RegGrpoConfig {
            eps_rho: 0.125,
            sigma_floor: floor,
            ..Default::default()
        })
        .expect("valid")
    };
    let x = [0.0, 2.0];
    assert_eq!(regression(None).held_spread(&x), None);
    assert_eq!(regression(Some(0.5)).held_spread(&x), Some(1.125));
    assert_eq!(regression(Some(4.0)).held_spread(&x), Some(4.125));
}

#[test]
fn beyond_the_clamp_a_token_has_no_slope_but_a_long_answer_keeps_its_own() {
    let mut sample = tiny(&[&[(0.0, 25.0), (1.0, 0.5), (2.0, 0.0)]]);
    let at = evaluate(&RegGrpoConfig::default(), &sample).expect("fits");
    assert_eq!(at.grads.d_logp[0], 0.0);
    assert_ne!(at.grads.d_logp[1], 0.0);
    // Two tokens of 15 nats each: their sum is beyond 20 and still moves.
    sample.batch.groups = Offsets::from_lengths([2]);
    sample.batch.tokens = Offsets::from_lengths([2, 1]);
    sample.batch.prompts.pop();
    sample.batch.advantages = Advantages::Trajectory(vec![0.0, 1.0]);
    sample.logp = vec![13.0, 13.0, -2.0];
    let config = RegGrpoConfig {
        eps_rho: 5.0,
        ..Default::default()
    };
    let at = evaluate(&config, &sample).expect("fits");
    // std x = 15, so z = +-0.75 against A = -1, 1.
    assert!((at.loss - 1.75_f64.powi(2)).abs() < 1e-5);
    assert!(at.grads.d_logp[0] > 0.0);
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let config = RegGrpoConfig {
        beta: 0.1,
        ..Default::default()
    };
    let mut sample = tiny(&[&[(0.0, 0.1), (1.0, 0.2)]]);
    assert_eq!(
        message(&config, &sample),
        "`logp_ref` is missing, and `the KL term of the objective` needs it"
    );
    sample.batch.logp_ref = Some(vec![-1.0, f64::INFINITY]);
    assert_eq!(
        message(&config, &sample),
        "trajectory 1, token 0: `logp_ref` is inf"
    );
    sample.logp[0] = f64::NAN;
    assert_eq!(
        message(&RegGrpoConfig::default(), &sample),
        "trajectory 0, token 0: `logp` is NaN"
    );
    let mut uniform = tiny(&[&[(1.0, 0.1), (1.0, f64::NAN)]]);
    uniform.batch.logp_ref = Some(vec![-1.0; 2]);
    assert_eq!(message(&config, &uniform), "trajectory 1, token 0: `logp` is NaN");
    let huge = tiny(&[&[(0.0, 0.1), (1.0, 0.2)]]);
    let steep = RegGrpoConfig {
        scale: 1e200,
        ..Default::default()
    };
    assert_eq!(message(&steep, &huge), "sum over trajectories: `loss` is inf");
}

#[test]
fn what_it_needs_and_what_must_stay_together() {
    let plain = build(&RegGrpoConfig::default());
    assert_eq!(plain.scope(), Scope::Group);
    assert_eq!(plain.needs(), Needs::TOKENS | Needs::LOGP_OLD);
    let with_kl = build(&RegGrpoConfig {
        beta: 0.1,
        ..Default::default()
    });
    assert_eq!(with_kl.needs(), Needs::TOKENS | Needs::LOGP_OLD | Needs::LOGP_REF);
    let sample = tiny(&[&[(0.0, 0.1), (1.0, 0.2)]]);
    let view = sample.batch.view(0..2, &sample.logp, None).expect("fits");
    let refuse = |frozen: &Frozen| plain.evaluate(frozen, &view).expect_err("refused").to_string();
    assert_eq!(
        refuse(&Frozen::default()),
        "`frozen weights` has 0 entries, expected 2"
    );
    let short = Frozen {
        trajectory: vec![0.5; 2],
        ..Frozen::default()
    };
    assert_eq!(refuse(&short), "`frozen constants` has 0 entries, expected 1");
}

#[test]
fn refused_parameters() {
    for (text, message) in [
        ("scale = 0.0", "`scale` = 0: must be a finite number > 0"),
        ("scale = nan", "`scale` = NaN: must be a finite number > 0"),
        ("scale = inf", "`scale` = inf: must be a finite number > 0"),
        ("eps_adv = -1.0", "`eps_adv` = -1: must be a finite number >= 0"),
        ("eps_rho = nan", "`eps_rho` = NaN: must be a finite number >= 0"),
        ("eps_rho = inf", "`eps_rho` = inf: must be a finite number >= 0"),
        (
            "sigma_floor = 0.0",
            "`sigma_floor` = 0: must be a finite number > 0",
        ),
        ("beta = -0.5", "`beta` = -0.5: must be a finite number >= 0"),
        ("kl_coef = inf", "`beta` = inf: must be a finite number >= 0"),
    ] {
        let config: RegGrpoConfig = toml::from_str(text).expect("parses");
        assert_eq!(config.build(&()).expect_err("refused").to_string(), message);
    }
    let zeros: RegGrpoConfig = toml::from_str("eps_adv = 0.0\neps_rho = 0.0\nbeta = 0.0").expect("parses");
    assert!(zeros.build(&()).is_ok());
    let regression = exact();
    assert!(regression.evaluate(&[0.0], &[], None, &mut [0.0]).is_err());
    assert!(regression.evaluate(&[0.0], &[0.0], None, &mut []).is_err());
    assert_eq!(regression.targets(&[0.1; 3]), [0.0; 3]);
}

#[test]
fn the_formula_carries_the_numbers() {
    assert_eq!(
        RegGrpoConfig::default().formula(),
        "loss = mean over mixed groups of 1/G sum_i (A_i - z_i)^2; A_i = (r_i - mean(r)) / (std(r; n) + 1e-6), z_i = \
         (x_i - mean(x)) / (std(x) + 1e-6), x_i = sum_t clamp(logp - logp_old, -20, 20)"
    );
    let config = RegGrpoConfig {
        scale: 0.5,
        sigma_floor: Some(0.25),
        beta: 0.04,
        ..Default::default()
    };
    assert_eq!(
        config.formula(),
        "loss = mean over mixed groups of 1/G sum_i (A_i - 0.5 z_i)^2 + 0.04 mean_i mean_t (exp(u) - u - 1), u = \
         clamp(logp_ref - logp, -20, 20); A_i = (r_i - mean(r)) / (std(r; n) + 1e-6), z_i = (x_i - mean(x)) / \
         (sg(max(std(x), 0.25)) + 1e-6), x_i = sum_t clamp(logp - logp_old, -20, 20)"
    );
}
