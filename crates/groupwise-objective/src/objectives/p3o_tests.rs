use groupwise_core::Advantages;
use groupwise_core::testing::{
    Sample, check_gradient_away_from, check_padding, check_permutation, check_split, evaluate_whole, reorder,
    samples,
};
use proptest::prelude::*;

use super::*;
use crate::losses::{Dpo, DpoConfig, PairLogps};

const VARIANTS: [P3oVariant; 3] = [P3oVariant::V1, P3oVariant::V2, P3oVariant::None];

fn rule(variant: P3oVariant, epsilon: f64) -> P3o {
    P3o::new(variant, epsilon).expect("valid")
}

#[test]
fn joint_clip_on_either_side() {
    let pair = |difference: f64, u: f64| rule(P3oVariant::V2, 0.25).pair(difference, [u, 0.0], [2.0, 0.5]);
    for (difference, u, value, slope, clipped) in [
        (1.0, 0.5, 0.125, 0.0, 1.0),
        (1.0, 0.25, 0.125, 0.5, 0.0),
        (1.0, -0.5, -0.25, 0.5, 0.0),
        (-1.0, -0.5, 0.125, 0.0, 1.0),
        (-1.0, -0.25, 0.125, -0.5, 0.0),
        (-1.0, 0.5, -0.25, -0.5, 0.0),
        (0.0, 0.5, 0.0, 0.0, 0.0),
    ] {
        let expected = PairTerm {
            value,
            slopes: [slope, -slope],
            clipped,
        };
        assert_eq!(pair(difference, u), expected, "D = {difference}, u = {u}");
    }
}

#[test]
fn separate_clips_on_either_side() {
    // Ratios 2 and 1/2 against a clip of 1/4: the first is above, the second below.
    let (l, rho) = (2f64.ln(), [2.0, 0.5]);
    let near = |a: PairTerm, value: f64, slopes: [f64; 2], clipped: f64| {
        assert!((a.value - value).abs() < 1e-12, "{a:?}");
        assert!(
            (a.slopes[0] - slopes[0]).abs() < 1e-12 && (a.slopes[1] - slopes[1]).abs() < 1e-12,
            "{a:?}"
        );
        assert_eq!(a.clipped, clipped);
    };
    let pair = |difference: f64| rule(P3oVariant::V1, 0.25).pair(difference, [l, -l], rho);
    // D > 0: k_1 = 1/2 is cut at 1.25; k_2 = -2 is cut at 0.75.
    near(pair(1.0), 0.5 * (0.5 * 1.25 - 2.0 * 0.75), [0.0, 0.0], 1.0);
    // D < 0: both move the wrong way and stay open.
    near(pair(-1.0), 0.5 * (-0.5 * 2.0 + 2.0 * 0.5), [-0.5, 0.5], 0.0);
    // Only the first has moved.
    let half = rule(P3oVariant::V1, 0.25).pair(1.0, [l, 0.0], [2.0, 1.0]);
    near(half, 0.5 * (1.25 - 2.0), [0.0, -1.0], 0.5);
}

#[test]
fn a_width_above_one_leaves_the_ratio_free_below() {
    let pair = rule(P3oVariant::V1, 1.5).pair(-1.0, [-9.0, 0.0], [0.5, 1.0]);
    assert!(pair.slopes[0] < 0.0);
    assert_eq!(pair.clipped, 0.0);
}

#[test]
fn a_clamped_ratio_has_no_derivative_but_a_clamped_pair_has() {
    let far = ratio(25.0);
    assert_eq!(far, ratio(20.0));
    assert_eq!(ratio(-25.0), ratio(-20.0));
    let wrong_way = rule(P3oVariant::V1, 0.2).pair(-1.0, [25.0, 0.0], [far, 1.0]);
    assert_eq!(wrong_way.slopes[0], 0.0);
    let edge = rule(P3oVariant::V1, 0.2).pair(-1.0, [20.0, 0.0], [far, 1.0]);
    assert_eq!(edge.slopes[0], 0.0, "the bound itself is clamped");
    assert_eq!(wrong_way.value, 0.5 * (-far + far));
    assert!(
        rule(P3oVariant::V1, 0.2)
            .pair(-1.0, [19.9, 0.0], [far, 1.0])
            .slopes[0]
            < 0.0
    );
    assert_eq!(
        rule(P3oVariant::None, 0.2)
            .pair(1.0, [25.0, 0.0], [2.0, 1.0])
            .value,
        25.0
    );
}

fn batch<'a>(
    groups: &'a Offsets,
    tokens: &'a Offsets,
    logp: &'a [f64],
    rewards: &'a [Option<f64>],
) -> P3oBatch<'a> {
    P3oBatch {
        groups: groups.spans(),
        tokens: tokens.spans(),
        mask: &[true; 4][..logp.len()],
        logp,
        logp_old: &[-1.0; 4][..logp.len()],
        rewards,
    }
}

#[test]
fn unscorable_answers_are_in_no_pair() {
    let (groups, tokens) = (Offsets::from_lengths([3]), Offsets::from_lengths([1, 1, 1]));
    let logp = [-1.5, f64::NAN, -0.75];
    let rewards = [Some(1.0), None, Some(-1.0)];
    let found = rule(P3oVariant::V2, 0.2).evaluate(&batch(&groups, &tokens, &logp, &rewards));
    let two = Offsets::from_lengths([2]);
    let alone = [-1.5, -0.75];
    let expected = rule(P3oVariant::V2, 0.2).evaluate(&batch(
        &two,
        &tokens.clone_first(2),
        &alone,
        &[Some(1.0), Some(-1.0)],
    ));
    let (found, expected) = (found.expect("not read"), expected.expect("fits"));
    assert_eq!(found.loss, expected.loss);
    assert_eq!(found.d_logp, [expected.d_logp[0], 0.0, expected.d_logp[1]]);
    assert_ne!(found.loss, 0.0);
}

/// The first items of some offsets.
trait CloneFirst {
    fn clone_first(&self, n: usize) -> Offsets;
}

impl CloneFirst for Offsets {
    fn clone_first(&self, n: usize) -> Offsets {
        Offsets::from_lengths((0..n).map(|i| self.range(i).len()))
    }
}

#[test]
fn a_group_without_a_pair_is_left_out_of_the_mean() {
    let (groups, tokens) = (Offsets::from_lengths([2, 2]), Offsets::from_lengths([1, 1, 1, 1]));
    let logp = [-1.5, -0.75, -0.2, -0.3];
    let with = |rewards: &[Option<f64>]| {
        let found = rule(P3oVariant::None, 0.2).evaluate(&batch(&groups, &tokens, &logp, rewards));
        found.expect("fits")
    };
    // l = -0.5 and 0.25: k = 2 rho_1 rho_2, u = -0.75.
    let expected = 0.75 * (-0.25_f64).exp();
    assert!((with(&[Some(1.0), Some(-1.0), None, Some(3.0)]).loss - expected).abs() < 1e-12);
    assert_eq!(with(&[None, Some(-1.0), None, Some(3.0)]).loss, 0.0);
}

#[test]
fn an_answer_without_counted_tokens_still_compares_where_its_reward_is_known() {
    let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([1, 1]));
    let logp = [-1.5, f64::NAN];
    let rewards = [Some(1.0), Some(0.0)];
    let silent = P3oBatch {
        mask: &[true, false],
        ..batch(&groups, &tokens, &logp, &rewards)
    };
    let at = rule(P3oVariant::None, 0.2)
        .evaluate(&silent)
        .expect("masked tokens are not read");
    let k = (-0.5_f64).exp();
    assert!((at.loss - 0.5 * k * 0.5).abs() < 1e-12);
    assert_eq!(at.d_logp, [-0.5 * ratio(-0.5), 0.0]);
}

#[test]
fn bad_input_is_named() {
    let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([1, 2]));
    let refuse = |change: &dyn Fn(&mut P3oBatch<'_>)| {
        let (logp, rewards) = ([-1.0; 3], [Some(1.0), Some(0.0)]);
        let mut batch = batch(&groups, &tokens, &logp, &rewards);
        change(&mut batch);
        rule(P3oVariant::V2, 0.2)
            .evaluate(&batch)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(refuse(&|b| b.mask = &[true]), "`mask` has 1 entries, expected 3");
    assert_eq!(refuse(&|b| b.logp = &[0.0]), "`logp` has 1 entries, expected 3");
    assert_eq!(
        refuse(&|b| b.logp_old = &[0.0]),
        "`logp_old` has 1 entries, expected 3"
    );
    assert_eq!(
        refuse(&|b| b.rewards = &[None]),
        "`rewards` has 1 entries, expected 2"
    );
    assert_eq!(
        refuse(&|b| b.logp = &[-1.0, -1.0, f64::NAN]),
        "trajectory 1, token 1: `logp` is NaN"
    );
    assert_eq!(
        refuse(&|b| b.logp_old = &[f64::NEG_INFINITY, -1.0, -1.0]),
        "trajectory 0, token 0: `logp_old` is -inf"
    );
    assert_eq!(
        refuse(&|b| b.rewards = &[Some(f64::NAN), Some(0.0)]),
        "sum over pairs: `loss` is NaN"
    );
    let lone = Offsets::from_lengths([1, 1]);
    let error = rule(P3oVariant::V2, 0.2).evaluate(&P3oBatch {
        groups: lone.spans(),
        ..batch(&groups, &tokens, &[-1.0; 3], &[Some(1.0), Some(0.0)])
    });
    assert_eq!(
        error.expect_err("refused").to_string(),
        "group 0: has 1 of the two or more trajectories a pair needs"
    );
    let few = Offsets::from_lengths([3]);
    let error = rule(P3oVariant::V2, 0.2).evaluate(&P3oBatch {
        groups: few.spans(),
        ..batch(&groups, &tokens, &[-1.0; 3], &[Some(1.0), Some(0.0)])
    });
    assert_eq!(
        error.expect_err("refused").to_string(),
        "`answers` has 2 entries, expected 3"
    );
}

#[test]
fn refused_parameters() {
    let refuse = |config: P3oConfig| config.build(&()).expect_err("refused").to_string();
    for (epsilon, printed) in [
        (0.0, "0"),
        (-0.1, "-0.1"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
    ] {
        let config = P3oConfig {
            epsilon,
            ..P3oConfig::default()
        };
        assert_eq!(
            refuse(config),
            format!("`epsilon` = {printed}: must be a finite number > 0")
        );
    }
    let config = P3oConfig {
        beta: -0.1,
        ..P3oConfig::default()
    };
    assert_eq!(refuse(config), "`beta` = -0.1: must be a finite number >= 0");
    assert_eq!(
        config.kl_penalty().expect_err("refused").to_string(),
        "`beta` = -0.1: must be a finite number >= 0"
    );
}

#[test]
fn the_penalty_is_k1_off_the_reward() {
    let penalty = P3oConfig::default().kl_penalty().expect("valid").expect("on");
    assert_eq!(Ok(penalty), KlPenalty::new(KlEstimator::K1, 0.1));
    let free = P3oConfig {
        beta: 0.0,
        ..P3oConfig::default()
    };
    assert_eq!(free.kl_penalty(), Ok(None));
    let needs = |config: P3oConfig| config.build(&()).expect("valid").needs();
    assert_eq!(needs(free), Needs::TOKENS | Needs::LOGP_OLD);
    assert_eq!(
        needs(P3oConfig::default()),
        Needs::TOKENS | Needs::LOGP_OLD | Needs::LOGP_REF
    );
}

#[test]
fn the_formula_names_the_variant() {
    let formula = |variant, beta| {
        P3oConfig {
            variant,
            epsilon: 0.3,
            beta,
        }
        .formula()
    };
    let ends = "; D = A_1 - A_2, u = l_1 - l_2, l = sum_t (logp - logp_old), rho = exp(clamp(l, -20, 20))";
    let begins = "loss = -mean over groups of mean over pairs O; O = ";
    assert_eq!(
        formula(P3oVariant::V2, 0.0),
        format!("{begins}1/2 min(k u, k clip(u, -0.3, 0.3)), k = sg(D rho_1 rho_2){ends}")
    );
    assert_eq!(
        formula(P3oVariant::None, 0.5),
        format!("{begins}1/2 k u, k = sg(D rho_1 rho_2){ends}; reward -= 0.5 sum_t (logp_old - logp_ref)")
    );
    assert_eq!(
        formula(P3oVariant::V1, 0.0),
        format!(
            "{begins}1/2 sum_{{i in pair}} min(k_i rho_i, k_i clip(rho_i, 1 - 0.3, 1 + 0.3)), \
             k_i = sg(D_i rho_other){ends}"
        )
    );
}

/// Batches without lone members, and with one advantage per trajectory.
fn paired() -> impl Strategy<Value = Sample> {
    samples().prop_filter_map("no group has two members", |sample| {
        let spans = sample.batch.groups.spans();
        let kept: Vec<Vec<usize>> = spans
            .iter()
            .filter(|g| g.len() > 1)
            .map(Iterator::collect)
            .collect();
        let (mut batch, map) = reorder(&sample.batch, &kept);
        if let Advantages::Token(a) = &batch.advantages {
            let first = |i: usize| a[batch.tokens.range(i).start];
            batch.advantages = Advantages::Trajectory((0..batch.n_trajectories()).map(first).collect());
        }
        let pick = |values: &[f64]| map.iter().map(|t| values[*t]).collect();
        (!kept.is_empty()).then(|| Sample {
            logp: pick(&sample.logp),
            entropy: pick(&sample.entropy),
            value: pick(&sample.value),
            batch,
        })
    })
}

fn configs() -> impl Strategy<Value = P3oConfig> {
    (prop::sample::select(VARIANTS.to_vec()), 0.05..1.5f64).prop_map(|(variant, epsilon)| P3oConfig {
        variant,
        epsilon,
        beta: 0.0,
    })
}

fn build(config: &P3oConfig) -> Box<dyn Objective> {
    config.build(&()).expect("valid")
}

fn advantages(sample: &Sample) -> Vec<f64> {
    match &sample.batch.advantages {
        Advantages::Trajectory(a) => a.clone(),
        Advantages::Token(_) => Vec::new(),
    }
}

fn pure(sample: &Sample, config: &P3oConfig, rewards: &[f64]) -> Result<P3oEvaluation, DataError> {
    let batch = &sample.batch;
    let in_pairs = |i: usize| speaks(batch.tokens.range(i), &batch.mask);
    let rewards: Vec<Option<f64>> = rewards
        .iter()
        .enumerate()
        .map(|(i, r)| in_pairs(i).then_some(*r))
        .collect();
    P3o::new(config.variant, config.epsilon)
        .expect("valid")
        .evaluate(&P3oBatch {
            groups: batch.groups.spans(),
            tokens: batch.tokens.spans(),
            mask: &batch.mask,
            logp: &sample.logp,
            logp_old: batch.logp_old.as_deref().unwrap_or(&sample.logp),
            rewards: &rewards,
        })
}

/// Distance of token `t` from the nearest kink, in nats of its own log-probability.
fn distance(config: &P3oConfig, view: &TokenView<'_>, t: usize) -> f64 {
    let all = vec![1.0; view.n_trajectories()];
    let l = answers(view)
        .log_ratios(view.logp, view.logp_old, &all)
        .expect("finite");
    let i = view
        .tokens
        .iter()
        .position(|tokens| tokens.contains(&t))
        .expect("a token");
    let e = config.epsilon;
    let to = |kinks: &[f64], x: f64| kinks.iter().map(|k| (k - x).abs()).fold(f64::INFINITY, f64::min);
    match config.variant {
        P3oVariant::None => f64::INFINITY,
        P3oVariant::V1 => to(&[(1.0 - e).max(1e-12).ln(), e.ln_1p(), 20.0, -20.0], l[i]),
        P3oVariant::V2 => (0..l.len())
            .map(|j| to(&[e, -e], l[i] - l[j]))
            .fold(f64::INFINITY, f64::min),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn derivatives_are_central_differences(sample in paired(), config in configs()) {
        let away = |view: &TokenView<'_>, t: usize| distance(&config, view, t);
        check_gradient_away_from(build(&config).as_ref(), &sample.batch, &sample.inputs(), &away)?;
    }

    #[test]
    fn micro_batches_order_and_padding(sample in paired(), config in configs()) {
        let objective = build(&config);
        prop_assert_eq!(objective.scope(), Scope::Group);
        check_split(objective.as_ref(), &sample.batch, &sample.inputs())?;
        // Members change places too: swapping the two answers of a pair changes nothing.
        check_permutation(objective.as_ref(), &sample.batch, &sample.inputs())?;
        check_padding(objective.as_ref(), &sample.batch, &sample.inputs())?;
    }

    #[test]
    fn the_objective_is_the_pure_function(sample in paired(), config in configs()) {
        let at = evaluate_whole(build(&config).as_ref(), &sample.batch, &sample.inputs())?;
        let pure = pure(&sample, &config, &advantages(&sample))?;
        prop_assert_eq!(at.loss, pure.loss);
        prop_assert_eq!(&at.grads.d_logp, &pure.d_logp);
        prop_assert_eq!(at.terms[0], ("policy_loss", at.loss));
    }

    #[test]
    fn a_constant_per_group_changes_nothing(
        sample in paired(), config in configs(), shifts in prop::collection::vec(-8i32..8, 5),
    ) {
        // Binary fractions, so that the shifted rewards are exact.
        let rewards: Vec<f64> = advantages(&sample).iter().map(|a| (a * 64.0).round() / 64.0).collect();
        let mut shifted = rewards.clone();
        for (g, members) in sample.batch.groups.spans().iter().enumerate() {
            for i in members {
                shifted[i] += f64::from(shifts[g % shifts.len()]);
            }
        }
        prop_assert_eq!(pure(&sample, &config, &shifted)?, pure(&sample, &config, &rewards)?);
    }

    #[test]
    fn swapping_the_answers_of_a_pair_changes_nothing(
        difference in -2.0..2.0f64, l in prop::array::uniform2(-2.0..2.0f64),
        frozen in prop::array::uniform2(0.1..4.0f64), config in configs(),
    ) {
        let rule = P3o::new(config.variant, config.epsilon)?;
        let (pair, swapped) = (rule.pair(difference, l, frozen), rule.pair(-difference, [l[1], l[0]], [frozen[1], frozen[0]]));
        prop_assert!((pair.value - swapped.value).abs() < 1e-12);
        prop_assert!((pair.slopes[0] - swapped.slopes[1]).abs() < 1e-12);
        prop_assert!((pair.slopes[1] - swapped.slopes[0]).abs() < 1e-12);
        prop_assert_eq!(pair.clipped, swapped.clipped);
    }

    #[test]
    fn joint_and_plain_gradients_are_antisymmetric(
        difference in -2.0..2.0f64, l in prop::array::uniform2(-2.0..2.0f64),
        frozen in prop::array::uniform2(0.1..4.0f64), epsilon in 0.05..1.5f64,
    ) {
        for variant in [P3oVariant::V2, P3oVariant::None] {
            let [first, second] = rule(variant, epsilon).pair(difference, l, frozen).slopes;
            prop_assert_eq!(first, -second);
        }
    }

    #[test]
    fn the_joint_clip_holds_beyond_its_width_on_the_side_that_gains(
        difference in -2.0..2.0f64, l in prop::array::uniform2(-2.0..2.0f64), epsilon in 0.05..1.5f64,
    ) {
        let u = l[0] - l[1];
        let pair = rule(P3oVariant::V2, epsilon).pair(difference, l, [1.0, 1.0]);
        let holds = difference * u > 0.0 && u.abs() > epsilon;
        prop_assert_eq!(pair.slopes[0], if holds { 0.0 } else { 0.5 * difference });
        prop_assert_eq!(pair.clipped, f64::from(u8::from(holds)));
        prop_assert!(pair.value <= 0.5 * difference * u + 1e-12);
    }

    #[test]
    fn on_policy_every_variant_is_the_leave_one_out_gradient(sample in paired(), epsilon in 0.05..0.9f64) {
        let mut sample = sample;
        sample.batch.logp_old = None;
        let (batch, rewards) = (&sample.batch, advantages(&sample));
        let groups: Vec<Vec<usize>> = batch.groups.spans().iter()
            .map(|g| g.filter(|i| speaks(batch.tokens.range(*i), &batch.mask)).collect::<Vec<_>>())
            .filter(|g| g.len() > 1)
            .collect();
        let mut expected = vec![0.0; batch.n_tokens()];
        for members in &groups {
            let n = members.len() as f64;
            let mean = members.iter().map(|i| rewards[*i]).sum::<f64>() / n;
            for i in members {
                for t in batch.tokens.range(*i).filter(|t| batch.mask[*t]) {
                    expected[t] = -(rewards[*i] - mean) / (n - 1.0) / groups.len() as f64;
                }
            }
        }
        for variant in VARIANTS {
            let at = pure(&sample, &P3oConfig { variant, epsilon, beta: 0.0 }, &rewards)?;
            prop_assert!(at.loss.abs() < 1e-12);
            for (d, e) in at.d_logp.iter().zip(&expected) {
                prop_assert!((d - e).abs() < 1e-12, "{variant:?}: {d} and {e}");
            }
        }
    }

    #[test]
    fn with_the_weight_of_dpo_the_gradient_is_that_of_dpo(
        l in prop::array::uniform2(-2.0..2.0f64), reference in prop::array::uniform2(-2.0..2.0f64), beta in 0.05..2.0f64,
    ) {
        let dpo = Dpo::new(&DpoConfig { beta, label_smoothing: 0.0 })?;
        let at = dpo.evaluate(PairLogps {
            chosen: &l[..1], rejected: &l[1..], ref_chosen: &reference[..1], ref_rejected: &reference[1..],
        })?;
        let u = (l[0] - reference[0]) - (l[1] - reference[1]);
        let weight = beta / (1.0 + (beta * u).exp());
        let pair = rule(P3oVariant::None, 0.2).pair(weight, l, [1.0, 1.0]);
        prop_assert!((-2.0 * pair.slopes[0] - at.d_chosen[0]).abs() < 1e-12);
        prop_assert!((-2.0 * pair.slopes[1] - at.d_rejected[0]).abs() < 1e-12);
    }

    #[test]
    fn the_terms_are_means_over_groups_of_pairs(sample in paired(), config in configs()) {
        let at = evaluate_whole(build(&config).as_ref(), &sample.batch, &sample.inputs())?;
        let [_, (_, clipped), (_, product)] = at.terms.as_slice() else {
            return Err(TestCaseError::fail("three terms"));
        };
        prop_assert!((0.0..=1.0 + 1e-12).contains(clipped));
        let mut first = sample.clone();
        first.batch.logp_old = None;
        let on_policy = evaluate_whole(build(&config).as_ref(), &first.batch, &first.inputs())?;
        let any = on_policy.terms[2].1;
        prop_assert!(any == 0.0 || (any - 1.0).abs() < 1e-12);
        prop_assert!(*product >= 0.0 && on_policy.terms[1].1 == 0.0);
    }

    #[test]
    fn lone_members_and_advantages_per_token_are_refused(sample in samples(), config in configs()) {
        let objective = build(&config);
        let lone = sample.batch.groups.spans().iter().position(|g| g.len() < 2);
        let found = evaluate_whole(objective.as_ref(), &sample.batch, &sample.inputs());
        let expected = match (lone, &sample.batch.advantages) {
            (Some(g), _) => format!("group {g}: has 1 of the two or more trajectories a pair needs"),
            (None, Advantages::Token(_)) => "advantages: stand per token, and P3O compares whole trajectories".into(),
            (None, Advantages::Trajectory(_)) => {
                prop_assert!(found.is_ok());
                return Ok(());
            }
        };
        let message = found.expect_err("refused").to_string();
        prop_assert_eq!(message, format!("the objective refused the batch: {expected}"));
    }
}

/// Two answers of one token.
fn tiny() -> Sample {
    Sample {
        batch: TokenBatch {
            segments: None,
            groups: Offsets::from_lengths([2]),
            tokens: Offsets::from_lengths([1, 1]),
            prompts: vec![std::sync::Arc::from([]); 2],
            ids: vec![0; 2],
            mask: vec![true; 2],
            logp_sampler: vec![-1.0; 2],
            logp_old: Some(vec![-1.0; 2]),
            logp_ref: None,
            advantages: Advantages::Trajectory(vec![1.0, -1.0]),
            temperature: 1.0,
        },
        logp: vec![-1.25, -1.0],
        entropy: vec![0.0; 2],
        value: vec![0.0; 2],
    }
}

fn found(sample: &Sample) -> Evaluation {
    evaluate_whole(
        build(&P3oConfig::default()).as_ref(),
        &sample.batch,
        &sample.inputs(),
    )
    .expect("pairs")
}

#[test]
fn the_figures_of_a_pair_by_hand() {
    // The better answer rose by 0.25, beyond the width of 0.2; the product of the ratios is e^0.25.
    let mut sample = tiny();
    sample.logp[0] = -0.75;
    let at = found(&sample);
    assert_eq!(at.terms[1], ("clip_ratio/region_mean", 1.0));
    assert_eq!(at.terms[2].0, "p3o/ratio_product_mean");
    assert!((at.terms[2].1 - 0.25_f64.exp()).abs() < 1e-12);
}

#[test]
fn an_answer_without_counted_tokens_is_in_no_pair_of_an_update_batch() {
    let two = tiny();
    let mut three = tiny();
    three.batch.groups = Offsets::from_lengths([3]);
    three.batch.tokens = Offsets::from_lengths([1, 1, 1]);
    three.batch.prompts = vec![std::sync::Arc::from([]); 3];
    three.batch.ids = vec![0; 3];
    three.batch.mask = vec![true, true, false];
    three.batch.logp_sampler = vec![-1.0; 3];
    three.batch.logp_old = Some(vec![-1.0; 3]);
    three.batch.advantages = Advantages::Trajectory(vec![1.0, -1.0, 5.0]);
    three.logp = vec![-1.25, -1.0, -1.0];
    (three.entropy, three.value) = (vec![0.0; 3], vec![0.0; 3]);
    let (two, three) = (found(&two), found(&three));
    assert_eq!((three.loss, &three.terms), (two.loss, &two.terms));
    assert_eq!(three.grads.d_logp, [two.grads.d_logp, vec![0.0]].concat());
}

#[test]
fn slices_that_do_not_fit_are_refused() {
    let sample = tiny();
    let objective = build(&P3oConfig::default());
    let view = sample.batch.view(0..2, &sample.logp, None).expect("fits");
    let whole = objective.denominators(&sample.batch).expect("fits");
    let frozen = objective.freeze(&whole, &view).expect("fits");
    let late = TokenView {
        first_trajectory: 1,
        ..view.clone()
    };
    let message = |result: Result<Frozen, DataError>| result.expect_err("refused").to_string();
    assert_eq!(
        message(objective.freeze(&whole, &late)),
        "`denominators` has 2 entries, expected 3"
    );
    let short = TokenView {
        logp_old: &view.logp_old[..1],
        ..view.clone()
    };
    assert_eq!(
        message(objective.freeze(&whole, &short)),
        "`logp_old` has 1 entries, expected 2"
    );
    let refuse = |frozen: &Frozen, view: &TokenView<'_>| {
        objective.evaluate(frozen, view).expect_err("refused").to_string()
    };
    assert_eq!(refuse(&frozen, &short), "`logp_old` has 1 entries, expected 2");
    assert_eq!(
        refuse(&Frozen::default(), &view),
        "`frozen weights` has 0 entries, expected 2"
    );
    let without = Frozen {
        scalars: Vec::new(),
        ..frozen.clone()
    };
    assert_eq!(
        refuse(&without, &view),
        "`frozen ratios` has 0 entries, expected 2"
    );
    let infinite = Frozen {
        scalars: vec![f64::INFINITY; 2],
        ..frozen
    };
    assert_eq!(refuse(&infinite, &view), "sum over pairs: `loss` is inf");
}
