//! Invariants of section 10, edge cases of section 5.

use groupwise_core::StopReason;
use groupwise_core::stats::{mean, sample_std};
use proptest::prelude::*;

use super::super::testing::member;
use super::*;

fn config(weights: &[f64], normalise: LabelScale) -> MultiObjectiveGrpoConfig {
    MultiObjectiveGrpoConfig {
        labels: (0..weights.len()).map(|k| format!("l{k}")).collect(),
        weights: weights.to_vec(),
        normalise,
        ..MultiObjectiveGrpoConfig::default()
    }
}

fn totals(config: &MultiObjectiveGrpoConfig, labels: &[Vec<f64>]) -> Vec<f64> {
    let labels: Vec<Vec<Option<f64>>> = labels
        .iter()
        .map(|label| label.iter().copied().map(Some).collect())
        .collect();
    let model = MultiObjective::new(config).expect("valid");
    let combined = model.scalarize(&labels).expect("data");
    combined
        .totals
        .into_iter()
        .map(|t| t.expect("all are there"))
        .collect()
}

/// Advantages as GRPO forms them, without eps.
fn advantages(rewards: &[f64]) -> Vec<f64> {
    let (mean, std) = (mean(rewards), sample_std(rewards));
    rewards.iter().map(|r| (r - mean) / std).collect()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        prop_assert!((a - b).abs() <= tolerance, "{} and {}", a, b);
    }
    Ok(())
}

/// Three labels of five members, their weights, and spread enough to divide by.
fn labeled() -> impl Strategy<Value = (Vec<f64>, Vec<Vec<f64>>)> {
    let label = prop::collection::vec(0.0..1.0f64, 5).prop_filter("spread", |l| sample_std(l) > 0.1);
    (
        prop::collection::vec(0.1..2.0f64, 3),
        prop::collection::vec(label, 3),
    )
        .prop_filter("spread", |(w, l)| {
            sample_std(&totals(&config(w, LabelScale::None), l)) > 0.05
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn scaling_all_weights_leaves_advantages((weights, labels) in labeled(), a in 0.1..10.0f64) {
        let scaled: Vec<f64> = weights.iter().map(|w| w * a).collect();
        let here = totals(&config(&weights, LabelScale::None), &labels);
        let there = totals(&config(&scaled, LabelScale::None), &labels);
        close(&advantages(&here), &advantages(&there), 1e-9)?;
    }

    #[test]
    fn a_constant_added_to_one_label_leaves_advantages((weights, labels) in labeled(), shift in -5.0..5.0f64) {
        let mut moved = labels.clone();
        moved[1].iter_mut().for_each(|s| *s += shift);
        let of = |scale, labels: &[Vec<f64>]| totals(&config(&weights, scale), labels);
        let (here, there) = (of(LabelScale::None, &labels), of(LabelScale::None, &moved));
        close(&advantages(&here), &advantages(&there), 1e-9)?;
        close(&of(LabelScale::PerLabel, &labels), &of(LabelScale::PerLabel, &moved), 1e-9)?;
    }

    #[test]
    fn per_label_the_scale_of_a_label_does_not_matter((weights, labels) in labeled(), a in 0.5..10.0f64) {
        let mut scaled = labels.clone();
        scaled[2].iter_mut().for_each(|s| *s *= a);
        let per_label = config(&weights, LabelScale::PerLabel);
        close(&totals(&per_label, &labels), &totals(&per_label, &scaled), 1e-3)?;
        let exact = MultiObjectiveGrpoConfig { eps: 0.0, ..per_label };
        close(&totals(&exact, &labels), &totals(&exact, &scaled), 1e-9)?;
    }

    #[test]
    fn of_one_label_both_modes_agree_up_to_the_weight((weights, labels) in labeled()) {
        let (w, label) = (&weights[..1], &labels[..1]);
        let exact = MultiObjectiveGrpoConfig { eps: 0.0, ..config(w, LabelScale::PerLabel) };
        let weighed: Vec<f64> = advantages(&totals(&config(w, LabelScale::None), label))
            .iter()
            .map(|a| a * w[0])
            .collect();
        close(&totals(&exact, label), &weighed, 1e-9)?;
    }

    #[test]
    fn per_label_rewards_sum_to_0((weights, labels) in labeled()) {
        let sum: f64 = totals(&config(&weights, LabelScale::PerLabel), &labels).iter().sum();
        prop_assert!(sum.abs() < 1e-9);
    }

    #[test]
    fn the_derivative_is_a_central_difference(
        predicted in prop::collection::vec(-1.0..1.0f64, 6),
        targets in prop::collection::vec(prop::option::weighted(0.7, -1.0..1.0f64), 6),
        weights in prop::collection::vec(0.1..2.0f64, 3),
    ) {
        prop_assume!(targets.iter().any(Option::is_some));
        let loss = |p: &[f64]| label_regression(p, &targets, &weights).map(|at| at.loss);
        let at = label_regression(&predicted, &targets, &weights)?;
        for j in 0..6 {
            let h = 1e-5;
            let (mut up, mut down) = (predicted.clone(), predicted.clone());
            up[j] += h;
            down[j] -= h;
            let numeric = (loss(&up)? - loss(&down)?) / (2.0 * h);
            prop_assert!((at.d_predicted[j] - numeric).abs() < 1e-7);
        }
    }
}

#[test]
fn a_label_without_spread_and_a_lone_member_contribute_nothing() {
    let per_label = config(&[1.0, 1.0], LabelScale::PerLabel);
    let found = totals(&per_label, &[vec![0.1, 0.1, 0.1], vec![1.0, 2.0, 3.0]]);
    close(&found, &[-1.0, 0.0, 1.0], 1e-5).expect("close");
    assert_eq!(totals(&per_label, &[vec![3.0], vec![4.0]]), [0.0]);
}

#[test]
fn the_population_deviation_divides_by_n() {
    let population = MultiObjectiveGrpoConfig {
        spread: Spread::Population,
        eps: 0.5,
        ..config(&[2.0], LabelScale::PerLabel)
    };
    // Deviation 1, plus eps 0.5.
    assert_eq!(totals(&population, &[vec![1.0, 3.0]]), [-2.0 / 1.5, 2.0 / 1.5]);
}

#[test]
fn the_loss_of_the_worked_example() {
    let targets = [Some(1.0), Some(0.0), None, Some(1.0)];
    let at = label_regression(&[0.5, 0.1, 0.2, 0.9], &targets, &[1.0, 2.0]).expect("data");
    assert!((at.loss - 0.058).abs() < 1e-15);
    for (d, e) in at.d_predicted.iter().zip([-0.2, 0.08, 0.0, -0.08]) {
        assert!((d - e).abs() < 1e-15);
    }
}

#[test]
fn regression_refuses_what_it_cannot_use() {
    let refused =
        |p: &[f64], t: &[Option<f64>], v: &[f64]| label_regression(p, t, v).expect_err("refused").to_string();
    assert_eq!(
        refused(&[0.5], &[], &[1.0]),
        "`targets` has 0 entries, expected 1"
    );
    assert_eq!(
        refused(&[0.5; 3], &[None; 3], &[1.0; 2]),
        "predictions: 3 do not make rows of 2 labels"
    );
    assert_eq!(
        refused(&[], &[], &[]),
        "predictions: 0 do not make rows of 0 labels"
    );
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            refused(&[0.5; 2], &[Some(1.0); 2], &[1.0, bad]),
            format!("label 1: weight {bad} must be a finite number >= 0")
        );
    }
    let nothing = "targets: no label with weight was observed";
    assert_eq!(refused(&[0.5; 2], &[None; 2], &[1.0; 2]), nothing);
    assert_eq!(refused(&[0.5; 2], &[Some(1.0), None], &[0.0, 1.0]), nothing);
    assert_eq!(
        refused(&[0.0, 0.0, 0.0, f64::NAN], &[Some(1.0); 4], &[1.0; 2]),
        "response 1, label 1: `prediction` is NaN"
    );
    assert_eq!(
        refused(&[0.0; 3], &[Some(1.0), Some(f64::INFINITY), None], &[1.0; 3]),
        "response 0, label 1: `target` is inf"
    );
    // Of a label that was not observed anything may be predicted.
    assert!(label_regression(&[f64::NAN, 1.0], &[None, Some(1.0)], &[1.0; 2]).is_ok());
}

fn shape(config: &MultiObjectiveGrpoConfig, rewards: &mut GroupRewards) -> Result<(), DataError> {
    let members = vec![member(1, 0, StopReason::EndToken); rewards.rewards.len()];
    let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
    let shaper = config.build(&()).expect("valid");
    shaper.shape(&task, &members, rewards, &memory)
}

/// A verifier's component and one more.
fn two(first: Vec<Option<f64>>, second: Vec<Option<f64>>) -> GroupRewards {
    let mut rewards = GroupRewards::new("l0", first);
    rewards.components.insert("l1".into(), second);
    rewards
}

#[test]
fn components_are_added_up_and_logged() {
    let mut rewards = two(
        vec![Some(1.0), Some(0.0), None, Some(1.0)],
        vec![Some(0.5), Some(1.0), Some(9.0), None],
    );
    let both = config(&[2.0, 4.0], LabelScale::None);
    shape(&both, &mut rewards).expect("data");
    assert_eq!(rewards.rewards, [Some(4.0), Some(4.0), None, None]);
    assert_eq!(
        rewards.components["multi-objective-grpo/l0"],
        [Some(2.0), Some(0.0), None, Some(2.0)]
    );
    assert_eq!(
        rewards.components["multi-objective-grpo/l1"],
        [Some(2.0), Some(4.0), None, None]
    );
    assert_eq!(rewards.trained, [true; 4]);
    assert_eq!(
        shape(&both, &mut rewards).expect_err("refused").to_string(),
        "component `multi-objective-grpo/l0`: is already there: labels would be added up twice"
    );
}

#[test]
fn an_unscorable_member_stays_so_and_is_in_no_statistic() {
    let second = vec![Some(1.0), Some(3.0), Some(1000.0)];
    let mut rewards = two(vec![Some(1.0), Some(1.0), None], second.clone());
    // A label of weight 0 may be missing; what the verifier could not score has no reward all the same.
    let per_label = config(&[0.0, 1.0], LabelScale::PerLabel);
    shape(&per_label, &mut rewards).expect("data");
    let a = 1.0 / (2.0_f64.sqrt() + 1e-6);
    assert_eq!(rewards.rewards, [Some(-a), Some(a), None]);
    let mut rewards = two(vec![Some(1.0), Some(1.0), None], second);
    rewards.rewards[2] = Some(0.0);
    shape(&config(&[0.0, 1.0], LabelScale::None), &mut rewards).expect("data");
    assert_eq!(rewards.rewards, [Some(1.0), Some(3.0), Some(1000.0)]);
}

#[test]
fn labels_that_are_no_components_are_named() {
    let mut rewards = two(vec![Some(1.0)], vec![Some(1.0)]);
    assert_eq!(
        shape(&config(&[1.0; 3], LabelScale::None), &mut rewards)
            .expect_err("refused")
            .to_string(),
        "component `l2`: is not there, but: l0, l1"
    );
    rewards.components.insert("l1".into(), vec![]);
    assert_eq!(
        shape(&config(&[1.0; 2], LabelScale::None), &mut rewards)
            .expect_err("refused")
            .to_string(),
        "`l1` has 0 entries, expected 1"
    );
    rewards.components.insert("l1".into(), vec![Some(f64::NAN)]);
    for scale in [LabelScale::None, LabelScale::PerLabel] {
        assert_eq!(
            shape(&config(&[1.0; 2], scale), &mut rewards)
                .expect_err("refused")
                .to_string(),
            "trajectory 0: `component 1` is NaN"
        );
    }
}

#[test]
fn bad_parameters_are_refused() {
    let refused =
        |config: MultiObjectiveGrpoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    let weights = |weights: &[f64]| MultiObjectiveGrpoConfig {
        weights: weights.to_vec(),
        ..config(&[1.0, 1.0], LabelScale::None)
    };
    assert_eq!(
        refused(weights(&[0.5])),
        "`weights` = [0.5]: must be one weight per label: 2"
    );
    assert_eq!(
        refused(weights(&[0.5, -0.5])),
        "`weights` = [0.5, -0.5]: must be finite numbers >= 0"
    );
    assert_eq!(
        refused(weights(&[0.5, f64::INFINITY])),
        "`weights` = [0.5, inf]: must be finite numbers >= 0"
    );
    assert_eq!(
        refused(weights(&[0.5, f64::NAN])),
        "`weights` = [0.5, NaN]: must be finite numbers >= 0"
    );
    assert_eq!(
        refused(weights(&[0.0, 0.0])),
        "`weights` = [0.0, 0.0]: must be not all 0"
    );
    assert_eq!(
        refused(config(&[], LabelScale::None)),
        "`labels` = []: must be at least one component"
    );
    let twice = MultiObjectiveGrpoConfig {
        labels: ["a", "b", "a"].map(str::to_owned).to_vec(),
        ..config(&[1.0; 3], LabelScale::None)
    };
    assert_eq!(refused(twice), "`labels` = a: must be named once");
}

#[test]
fn spreads_and_eps_out_of_range_are_refused() {
    let refused =
        |config: MultiObjectiveGrpoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    for (spread, name) in [
        (Spread::LeaveOneOut, "leave-one-out"),
        (Spread::Mean, "mean"),
        (Spread::None, "none"),
    ] {
        let config = MultiObjectiveGrpoConfig {
            spread,
            ..MultiObjectiveGrpoConfig::default()
        };
        assert_eq!(
            refused(config),
            format!("`spread` = {name}: must be sample or population")
        );
    }
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let config = MultiObjectiveGrpoConfig {
            eps: bad,
            ..MultiObjectiveGrpoConfig::default()
        };
        assert_eq!(
            refused(config),
            format!("`eps` = {bad}: must be a finite number >= 0")
        );
    }
    assert!(config(&[0.0, 1.0], LabelScale::None).build(&()).is_ok());
}

#[test]
fn the_formula_prints_what_is_active() {
    assert_eq!(
        config(&[1.0, 0.5], LabelScale::None).formula(),
        "r_i = 1 l0 + 0.5 l1"
    );
    let per_label: MultiObjectiveGrpoConfig = serde_json::from_str(
        r#"{"labels": ["a"], "weights": [2], "normalise": "per_label", "std": "population", "eps": 0.5}"#,
    )
    .expect("parses");
    assert_eq!(
        per_label.formula(),
        "r_i = 2 z(a); z(s) = (s - mean s) / (std(s; n) + 5e-1) in the group, 0 for equal s; an estimator that divides \
         would do so twice"
    );
    assert!(
        config(&[1.0], LabelScale::PerLabel)
            .formula()
            .contains("std(s; n - 1)")
    );
}
