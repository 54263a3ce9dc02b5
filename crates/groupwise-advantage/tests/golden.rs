//! Every advantage case of the baselines' golden file, through the parts that recipes name.

use groupwise_advantage::estimators::{
    DrGrpoConfig, GaeConfig, GrpoConfig, ReinforcePlusPlusConfig, RewardSource, Whitening,
};
use groupwise_advantage::{AdvantageSpec, ScaleRewards, Singleton, gae};
use groupwise_core::{Advantages, Offsets, RewardBatch, Spread};
use serde_json::Value;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/baselines.json");
    let file: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("golden file")).expect("JSON");
    file["cases"].as_array().expect("cases").clone()
}

/// Nested rows of numbers, flattened; `null` is `None`.
fn flat(value: &Value) -> Vec<Option<f64>> {
    match value {
        Value::Array(items) => items.iter().flat_map(flat).collect(),
        other => vec![other.as_f64()],
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    flat(value).into_iter().map(|x| x.expect("a number")).collect()
}

/// Lengths of the innermost arrays.
fn lengths(value: &Value) -> Vec<usize> {
    let items = value.as_array().expect("an array");
    if items.iter().any(Value::is_array) {
        items.iter().flat_map(lengths).collect()
    } else {
        vec![items.len()]
    }
}

fn spec(case: &Value) -> AdvantageSpec {
    let params = &case["params"];
    let number = |key: &str| params[key].as_f64().expect("a number");
    match case["method"].as_str().expect("a method") {
        "grpo" => {
            assert_eq!(
                (params["scale"].as_str(), params["singleton"].as_str()),
                (Some("group"), Some("zero"))
            );
            AdvantageSpec::Grpo(GrpoConfig {
                spread: Some(match params["std"].as_str() {
                    Some("population") => Spread::Population,
                    _ => Spread::Sample,
                }),
                scale_rewards: Some(ScaleRewards::Group),
                eps: Some(number("eps")),
                singleton: Some(Singleton::Zero),
                ..Default::default()
            })
        }
        "dr-grpo" => AdvantageSpec::DrGrpo(DrGrpoConfig::default()),
        "reinforce++" => AdvantageSpec::ReinforcePlusPlus(ReinforcePlusPlusConfig {
            gamma: number("gamma"),
            kl_coef: number("kl_coef"),
            ..Default::default()
        }),
        "reinforce++-baseline" => AdvantageSpec::ReinforcePlusPlusBaseline(Default::default()),
        "ppo" => AdvantageSpec::Gae(GaeConfig {
            gamma: number("gamma"),
            lam: number("lam"),
            rewards: RewardSource::Steps,
            ..Default::default()
        }),
        name => AdvantageSpec::named(name).expect("a part of that name"),
    }
}

/// Runs the named part on the case's input.
fn estimate(case: &Value, spec: &AdvantageSpec) -> Vec<f64> {
    let input = &case["input"];
    let token_input = ["logp_old", "step_rewards"]
        .iter()
        .find(|k| !input[**k].is_null());
    let tokens = token_input.map(|k| Offsets::from_lengths(lengths(&input[*k])));
    let n_tokens = tokens.as_ref().map_or(0, Offsets::total);
    let gae_case = !input["step_rewards"].is_null();
    let (groups, rewards) = if gae_case {
        let n = tokens.as_ref().map_or(0, Offsets::len);
        (Offsets::from_lengths([n]), vec![Some(0.0); n])
    } else {
        (
            Offsets::from_lengths(lengths(&input["rewards"])),
            flat(&input["rewards"]),
        )
    };
    let column = |key: &str| (!input[key].is_null()).then(|| numbers(&input[key]));
    let (logp_old, logp_ref, values) = (column("logp_old"), column("logp_ref"), column("values"));
    let (greedy, step_rewards) = (column("greedy_rewards"), column("step_rewards"));
    let mask = vec![true; n_tokens];
    // One step per token: a reward on every token.
    let step_tokens: Vec<_> = (0..n_tokens).map(|t| t..t + 1).collect();
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    batch.tokens = tokens.as_ref().map(Offsets::spans);
    batch.mask = tokens.as_ref().map(|_| mask.as_slice());
    batch.logp_old = logp_old.as_deref();
    batch.logp_ref = logp_ref.as_deref();
    batch.values = values.as_deref();
    batch.greedy_rewards = greedy.as_deref();
    if gae_case {
        batch.steps = batch.tokens;
        batch.step_rewards = step_rewards.as_deref();
        batch.step_tokens = Some(&step_tokens);
    }
    match spec
        .build(&())
        .expect("valid")
        .estimate(&batch)
        .expect("advantages")
    {
        Advantages::Trajectory(a) | Advantages::Token(a) => a,
    }
}

fn assert_close(case: &Value, found: &[f64], key: &str) {
    let (name, expected) = (&case["name"], numbers(&case["expect"][key]));
    let tolerance = case["tolerance"].as_f64().expect("a number");
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (a - b).abs() <= tolerance,
            "{name}, {key}, entry {i}: {a} instead of {b}"
        );
    }
}

#[test]
fn every_advantage_case_of_the_baselines_agrees() {
    let mut seen = 0;
    for case in cases() {
        if case["expect"]["advantages"].is_null() || !case["expect"]["loss"].is_null() {
            continue;
        }
        seen += 1;
        let spec = spec(&case);
        let found = estimate(&case, &spec);
        if let AdvantageSpec::Gae(config) = spec {
            assert_close(&case, &found, "advantages_whitened");
            let whiten = Whitening::None;
            let bare = AdvantageSpec::Gae(GaeConfig { whiten, ..config });
            assert_close(&case, &estimate(&case, &bare), "advantages");
        } else {
            assert_close(&case, &found, "advantages");
        }
    }
    assert_eq!(seen, 9);
}

#[test]
fn the_advantages_inside_the_loss_cases_agree() {
    let mut seen = 0;
    for case in cases() {
        if case["expect"]["advantages"].is_null() || case["expect"]["loss"].is_null() {
            continue;
        }
        seen += 1;
        // A loss case computes its advantages by A1, sample deviation and 1e-6, at the given scale.
        let spec = match case["params"]["scale"].as_str() {
            Some("none") => AdvantageSpec::named("dr-grpo").unwrap(),
            _ => AdvantageSpec::named("grpo").unwrap(),
        };
        assert_close(&case, &estimate(&case, &spec), "advantages");
    }
    assert_eq!(seen, 6);
}

#[test]
fn the_value_targets_of_gae_agree() {
    let case = cases().into_iter().find(|c| c["name"] == "gae").unwrap();
    let (rewards, values) = (
        numbers(&case["input"]["step_rewards"]),
        numbers(&case["input"]["values"]),
    );
    let mut returns = Vec::new();
    for row in [0..4, 4..8] {
        let out = gae(&rewards[row.clone()], &values[row], &[true; 4], 1.0, 0.95).unwrap();
        returns.extend(out.returns);
    }
    assert_close(&case, &returns, "returns");
}
