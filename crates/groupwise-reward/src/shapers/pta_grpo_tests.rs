//! Invariants of section 10, edge cases of section 5.

use groupwise_core::stats;
use proptest::prelude::*;

use super::*;

fn method(w_outcome: f64, w_plan: f64, w_format: f64, credit: PlanCredit) -> PtaGrpo {
    let config = PtaGrpoConfig {
        w_outcome,
        w_plan,
        w_format,
        credit,
    };
    PtaGrpo::new(&config).unwrap()
}

/// Rewards without the mean of their group.
fn centred(groups: Spans<'_>, rewards: &[f64]) -> Result<Vec<f64>, DataError> {
    let mut out = rewards.to_vec();
    for members in groups.iter() {
        let mean = stats::mean(&rewards[members.clone()]);
        for r in &mut out[members] {
            *r -= mean;
        }
    }
    Ok(out)
}

/// m, z, and outcome and format of every solution.
fn prompts() -> impl Strategy<Value = (usize, usize, Vec<f64>, Vec<f64>)> {
    (1usize..5, 1usize..5).prop_flat_map(|(m, z)| {
        let flags = || prop::collection::vec(prop::sample::select(vec![0.0, 1.0]), m * z);
        (Just(m), Just(z), flags(), flags())
    })
}

fn plans(m: usize, z: usize) -> Offsets {
    Offsets::from_lengths(vec![z; m])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn plan_weight_zero_is_grpo_on_all_samples((m, z, c, f) in prompts(), wo in 0.0..2.0f64, wf in 0.0..2.0f64) {
        let plans = plans(m, z);
        let method = method(wo, 0.0, wf, PlanCredit::Joint);
        let found = method.rewards(plans.spans(), &c, &f).unwrap();
        let flat: Vec<f64> = c.iter().zip(&f).map(|(c, f)| wo * c + wf * f).collect();
        prop_assert_eq!(&found.total, &flat);
        let a = method.advantages(plans.spans(), &found, centred).unwrap();
        let all = Offsets::from_lengths([m * z]);
        prop_assert_eq!(a, PlanAdvantages { plans: None, solutions: centred(all.spans(), &flat).unwrap() });
    }

    #[test]
    fn advantages_sum_to_zero_over_all_or_within_each_plan((m, z, c, f) in prompts()) {
        let plans = plans(m, z);
        for credit in [PlanCredit::Joint, PlanCredit::Split] {
            let method = method(1.0, 0.5, 0.25, credit);
            let found = method.rewards(plans.spans(), &c, &f).unwrap();
            let a = method.advantages(plans.spans(), &found, centred).unwrap();
            prop_assert!(a.solutions.iter().sum::<f64>().abs() < 1e-12);
            match credit {
                PlanCredit::Joint => prop_assert!(a.plans.is_none()),
                PlanCredit::Split => {
                    prop_assert!(a.plans.unwrap().iter().sum::<f64>().abs() < 1e-12);
                    for members in plans.spans().iter() {
                        prop_assert!(a.solutions[members].iter().sum::<f64>().abs() < 1e-12);
                    }
                }
            }
        }
    }

    #[test]
    fn permuting_plans_permutes_outputs((m, z, c, f) in prompts(), by in 0usize..4) {
        let by = by % m;
        let turn = |v: &[f64], n: usize| { let mut v = v.to_vec(); v.rotate_left(by * n); v };
        let plans = plans(m, z);
        let method = method(1.0, 0.5, 0.25, PlanCredit::Split);
        let found = method.rewards(plans.spans(), &c, &f).unwrap();
        let turned = method.rewards(plans.spans(), &turn(&c, z), &turn(&f, z)).unwrap();
        prop_assert_eq!(&turned.plan_scores, &turn(&found.plan_scores, 1));
        prop_assert_eq!(&turned.total, &turn(&found.total, z));
        prop_assert_eq!(&turned.own, &turn(&found.own, z));
    }

    #[test]
    fn plan_scores_do_not_depend_on_the_order_of_solutions((m, z, c, f) in prompts()) {
        let plans = plans(m, z);
        let mut turned = c.clone();
        for members in plans.spans().iter() {
            turned[members].reverse();
        }
        let score = |c: &[f64]| method(1.0, 1.0, 1.0, PlanCredit::Joint).rewards(plans.spans(), c, &f).unwrap().plan_scores;
        let q = score(&c);
        prop_assert_eq!(&q, &score(&turned));
        for (members, q) in plans.spans().iter().zip(q) {
            let right = c[members].iter().filter(|c| **c == 1.0).count();
            prop_assert!((q - right as f64 / z as f64).abs() < 1e-15);
        }
    }

    #[test]
    fn one_solution_per_plan_makes_plan_and_outcome_coincide((m, _, c, f) in prompts(), w in 0.0..2.0f64) {
        let (c, f) = (&c[..m], &f[..m]);
        let plans = plans(m, 1);
        let found = method(1.0, w, 1.0, PlanCredit::Joint).rewards(plans.spans(), c, f).unwrap();
        prop_assert_eq!(&found.plan_scores, &c.to_vec());
        for (r, (c, f)) in found.total.iter().zip(c.iter().zip(f)) {
            prop_assert!((r - ((1.0 + w) * c + f)).abs() < 1e-12);
        }
    }
}

#[test]
fn weights_fall_on_their_terms() {
    let plans = plans(2, 2);
    let found = method(2.0, 4.0, 0.5, PlanCredit::Joint)
        .rewards(plans.spans(), &[1.0, 0.0, 0.0, 0.0], &[1.0, 0.0, 1.0, 0.0])
        .unwrap();
    assert_eq!(found.plan_scores, [0.5, 0.0]);
    assert_eq!(found.own, [2.5, 0.0, 0.5, 0.0]);
    assert_eq!(found.total, [4.5, 2.0, 0.5, 0.0]);
}

#[test]
fn split_credit_compares_plans_with_plans_and_solutions_within_theirs() {
    let plans = plans(2, 2);
    let method = method(1.0, 9.0, 1.0, PlanCredit::Split);
    let found = method
        .rewards(plans.spans(), &[1.0, 0.0, 0.0, 0.0], &[0.0; 4])
        .unwrap();
    let a = method.advantages(plans.spans(), &found, centred).unwrap();
    assert_eq!(a.plans, Some(vec![0.25, -0.25]));
    assert_eq!(a.solutions, [0.5, -0.5, 0.0, 0.0]);
}

#[test]
fn data_that_does_not_fit_is_refused() {
    let method = method(1.0, 1.0, 1.0, PlanCredit::Joint);
    let refused = |lengths: &[usize], c: &[f64], f: &[f64]| {
        let plans = Offsets::from_lengths(lengths.iter().copied());
        method.rewards(plans.spans(), c, f).unwrap_err().to_string()
    };
    assert_eq!(refused(&[], &[], &[]), "prompt: has no plan");
    assert_eq!(refused(&[1, 0], &[1.0], &[1.0]), "plan 1: has no solution");
    assert_eq!(refused(&[0, 1], &[1.0], &[1.0]), "plan 0: has no solution");
    assert_eq!(
        refused(&[2, 1], &[1.0; 3], &[1.0; 3]),
        "plan 1: has 1 solutions, plan 0 has 2: every plan needs the same number of solutions"
    );
    assert_eq!(
        refused(&[2], &[1.0; 2], &[1.0]),
        "`formats` has 1 entries, expected 2"
    );
    assert_eq!(
        refused(&[2], &[1.0; 3], &[1.0; 3]),
        "`outcomes` has 3 entries, expected 2"
    );
    assert_eq!(refused(&[1], &[f64::NAN], &[1.0]), "index 0: `outcomes` is NaN");
    assert_eq!(
        refused(&[1], &[1.0], &[f64::INFINITY]),
        "index 0: `formats` is inf"
    );
    assert_eq!(
        refused(&[2], &[f64::MAX; 2], &[1.0; 2]),
        "index 0: `total` is inf"
    );

    let plans = plans(2, 1);
    let good = PlanRewards {
        plan_scores: vec![0.0; 2],
        total: vec![0.0; 2],
        own: vec![0.0; 2],
    };
    let short = |what: &str| {
        let mut rewards = good.clone();
        match what {
            "plan_scores" => rewards.plan_scores.clear(),
            "total" => rewards.total.clear(),
            _ => rewards.own.clear(),
        }
        method
            .advantages(plans.spans(), &rewards, centred)
            .unwrap_err()
            .to_string()
    };
    for what in ["plan_scores", "total", "own"] {
        assert_eq!(short(what), format!("`{what}` has 0 entries, expected 2"));
    }
}

#[test]
fn bad_weights_are_refused_and_the_formula_prints_the_numbers() {
    for w in [-1.0, f64::NAN, f64::INFINITY] {
        for (weights, key) in [
            ((w, 1.0, 1.0), "w_outcome"),
            ((1.0, w, 1.0), "w_plan"),
            ((1.0, 1.0, w), "w_format"),
        ] {
            let config = PtaGrpoConfig {
                w_outcome: weights.0,
                w_plan: weights.1,
                w_format: weights.2,
                ..PtaGrpoConfig::default()
            };
            assert_eq!(
                PtaGrpo::new(&config).unwrap_err().to_string(),
                format!("`{key}` = {w}: must be a finite number >= 0")
            );
        }
    }
    assert_eq!(
        method(0.0, 2.0, 0.5, PlanCredit::Joint).formula(),
        "r_ab = 0 c_ab + 2 q_a + 0.5 f_ab, q_a = mean_b c_ab; r compared over all solutions"
    );
    assert_eq!(
        method(0.0, 2.0, 0.5, PlanCredit::Split).formula(),
        "r_ab = 0 c_ab + 2 q_a + 0.5 f_ab, q_a = mean_b c_ab; q compared over plans, the rest within each plan"
    );
}
