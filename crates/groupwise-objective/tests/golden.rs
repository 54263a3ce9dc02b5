//! Every loss, KL, value and DPO case of the baselines' golden file: value and derivative.

use groupwise_core::stats::{mean, sample_std};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::losses::{Dpo, DpoConfig, PairLogps, ValueClip, ValueClipConfig};
use groupwise_objective::nested::{Nested, NestedAdvantages, NestedBatch, evaluate_nested};
use groupwise_objective::regularizer::{KlEstimator, kl_estimates};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const GOLDEN: &str = include_str!("../../../tests/golden/baselines.json");

fn case(name: &str) -> Value {
    let file: Value = serde_json::from_str(GOLDEN).expect("the golden file is JSON");
    let cases = file["cases"].as_array().expect("cases").clone();
    cases
        .into_iter()
        .find(|case| case["name"] == name)
        .expect("the case is there")
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("the field has the expected shape")
}

fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (f, e) in found.iter().zip(expected) {
        assert!(
            (f - e).abs() <= tolerance * e.abs().max(1.0),
            "{name}: {f} and {e}"
        );
    }
}

/// A1: centred in the group, divided by the sample deviation plus 1e-6 unless `scale` is `none`.
fn advantages(case: &Value) -> Vec<Vec<f64>> {
    let rewards: Vec<Vec<f64>> = read(&case["input"]["rewards"]);
    let scaled = case["params"]["scale"] != "none";
    let center = |group: &Vec<f64>| {
        let (m, s) = (mean(group), sample_std(group));
        group
            .iter()
            .map(|r| if scaled { (r - m) / (s + 1e-6) } else { r - m })
            .collect()
    };
    rewards.iter().map(center).collect()
}

fn check_loss(name: &str, spec: &ObjectiveSpec) {
    let case = case(name);
    let advantages = advantages(&case);
    let expected: Vec<Vec<f64>> = read(&case["expect"]["advantages"]);
    assert_close(name, &advantages.concat(), &expected.concat(), 1e-12);
    let mask: Vec<Vec<Vec<u8>>> = read(&case["input"]["mask"]);
    let flags = |row: Vec<u8>| row.into_iter().map(|m| m == 1).collect();
    let input = NestedBatch {
        logp: read(&case["input"]["logp"]),
        logp_old: read(&case["input"]["logp_old"]),
        logp_ref: read(&case["input"]["logp_ref"]),
        mask: Some(
            mask.into_iter()
                .map(|g| g.into_iter().map(flags).collect())
                .collect(),
        ),
        advantages: NestedAdvantages::Trajectory(advantages),
    };
    let objective = spec.build(&()).expect("valid parameters");
    let at = evaluate_nested(objective.as_ref(), &input).expect("the case fits");
    // The file states 1e-6; nothing in the computation needs that much.
    assert_close(name, &[at.loss], &[read(&case["expect"]["loss"])], 1e-12);
    let grad: Nested = read(&case["expect"]["grad_logp"]);
    assert_close(
        name,
        &at.grad_logp.concat().concat(),
        &grad.concat().concat(),
        1e-12,
    );
}

fn spec(value: Value) -> ObjectiveSpec {
    serde_json::from_value(value).expect("a spec")
}

#[test]
fn loss_grpo_with_kl() {
    check_loss("loss_grpo_with_kl", &spec(json!({"grpo": {"beta": 0.04}})));
}

#[test]
fn loss_dr_grpo() {
    check_loss(
        "loss_dr_grpo",
        &spec(json!({"dr-grpo": {"max_completion_length": 8}})),
    );
}

#[test]
fn loss_dapo() {
    check_loss("loss_dapo", &spec(json!({"dapo": {}})));
}

#[test]
fn loss_gspo() {
    check_loss("loss_gspo", &spec(json!({"gspo": {}})));
}

#[test]
fn loss_cispo() {
    check_loss("loss_cispo", &spec(json!({"cispo": {"ratio_max": 1.2}})));
}

#[test]
fn loss_sequence_ratio() {
    check_loss("loss_sequence_ratio", &spec(json!({"rloo": {}})));
}

#[test]
fn kl_estimators() {
    let case = case("kl_estimators_1");
    let (logp, logp_ref): (Vec<f64>, Vec<f64>) =
        (read(&case["input"]["logp"]), read(&case["input"]["logp_ref"]));
    for (name, estimator) in [
        ("k1", KlEstimator::K1),
        ("k2", KlEstimator::K2),
        ("k3", KlEstimator::K3),
    ] {
        let points = kl_estimates(estimator, &logp, &logp_ref).expect("equal lengths");
        let values: Vec<f64> = points.iter().map(|p| p.value).collect();
        let slopes: Vec<f64> = points.iter().map(|p| p.slope).collect();
        assert_close(name, &values, &read::<Vec<f64>>(&case["expect"][name]), 1e-12);
        assert_close(
            name,
            &slopes,
            &read::<Vec<f64>>(&case["expect"][format!("grad_{name}")]),
            1e-12,
        );
    }
}

#[test]
fn value_clip() {
    let case = case("value_clip");
    let field = |name: &str| read::<Vec<f64>>(&case["input"][name]);
    let values = field("values");
    let loss = ValueClip::new(&ValueClipConfig {
        value_clip: read(&case["params"]["value_clip"]),
    });
    let at = loss
        .expect("valid")
        .evaluate(
            &values,
            &field("values_old"),
            &field("returns"),
            &vec![true; values.len()],
        )
        .expect("equal lengths");
    assert_close("value loss", &[at.loss], &[read(&case["expect"]["loss"])], 1e-12);
    assert_close(
        "value gradient",
        &at.d_value,
        &read::<Vec<f64>>(&case["expect"]["grad_values"]),
        1e-12,
    );
}

#[test]
fn loss_dpo() {
    let case = case("loss_dpo");
    let field = |name: &str| read::<Vec<f64>>(&case["input"][name]);
    let config: DpoConfig = read(&case["params"]);
    let at = Dpo::new(&config)
        .expect("valid")
        .evaluate(PairLogps {
            chosen: &field("logp_chosen"),
            rejected: &field("logp_rejected"),
            ref_chosen: &field("ref_chosen"),
            ref_rejected: &field("ref_rejected"),
        })
        .expect("equal lengths");
    assert_close("dpo loss", &[at.loss], &[read(&case["expect"]["loss"])], 1e-12);
    assert_close(
        "dpo chosen",
        &at.d_chosen,
        &read::<Vec<f64>>(&case["expect"]["grad_chosen"]),
        1e-12,
    );
    assert_close(
        "dpo rejected",
        &at.d_rejected,
        &read::<Vec<f64>>(&case["expect"]["grad_rejected"]),
        1e-12,
    );
}

#[test]
fn no_loss_case_is_left_out() {
    let file: Value = serde_json::from_str(GOLDEN).expect("the golden file is JSON");
    let names: Vec<&str> = file["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| {
            ["loss", "k3", "grad_values"]
                .iter()
                .any(|key| case["expect"].get(key).is_some())
        })
        .filter_map(|case| case["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "kl_estimators_1",
            "loss_grpo_with_kl",
            "loss_dr_grpo",
            "loss_dapo",
            "loss_gspo",
            "loss_cispo",
            "loss_sequence_ratio",
            "value_clip",
            "loss_dpo"
        ]
    );
}
