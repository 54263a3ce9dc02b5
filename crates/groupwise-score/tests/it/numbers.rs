//! Numbers worked out by hand, and gradients against central differences.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{leaves, options, score};

fn close(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0))
}

#[test]
fn dialects_give_the_numbers_of_their_libraries() {
    let text = json!({"rewards": [1, 0, 0, 0, 0, 0, 0, 0]}).to_string();
    let winner =
        |advantage| leaves(&score(&text, &options(Some(advantage), None, 0)).unwrap()[0]["advantages"])[0];
    let std = 0.125_f64.sqrt();
    assert!((winner("grpo.dialect = 'trl'") - 0.875 / (std + 1e-4)).abs() < 1e-12);
    assert!((winner("grpo.dialect = 'verl'") - 0.875 / (std + 1e-6)).abs() < 1e-12);
    assert!((winner("rloo") - 1.0).abs() < 1e-12);
}

#[test]
fn denominators_are_counted_over_the_update_batch() {
    let line = |n: usize| json!({"tokens": {"logp": [vec![-1.0; n]]}, "advantages": [1.0]}).to_string();
    let text = format!("{}\n{}\n", line(1), line(3));
    // Alone: 1 token and 3 tokens; together 4.
    let alone = score(&text, &options(None, Some("dapo"), 0)).unwrap();
    assert_eq!(leaves(&alone[0]["grad_logp"]), [-1.0]);
    assert!(close(&leaves(&alone[1]["grad_logp"]), &[-1.0 / 3.0; 3]));
    let together = score(&text, &options(None, Some("dapo"), 2)).unwrap();
    assert_eq!(leaves(&together[0]["grad_logp"]), [-0.25]);
    assert_eq!(leaves(&together[1]["grad_logp"]), [-0.25; 3]);
    for line in &together {
        assert_eq!(line["loss"], json!(-1.0));
        assert_eq!(line["terms"], together[0]["terms"]);
        assert!(line.get("advantages").is_none());
    }
    assert_eq!(
        [&together[0]["loss_share"], &together[1]["loss_share"]],
        [&json!(-0.25), &json!(-0.75)]
    );
}

#[test]
fn an_unscorable_member_and_masked_tokens_take_no_part() {
    let text = json!({
        "rewards": [1, 0, null],
        "tokens": {"logp": [[-1.0, -1.0], [-1.0], [-1.0, -1.0, -1.0]], "mask": [[1, 0], [1], [1, 1, 1]]},
    })
    .to_string();
    let found = &score(&text, &options(Some("dr-grpo"), Some("dapo"), 0)).unwrap()[0];
    assert_eq!(found["advantages"], json!([0.5, -0.5, 0.0]));
    assert_eq!(found["grad_logp"], json!([[-0.25, 0.0], [0.25], [0.0, 0.0, 0.0]]));
    assert_eq!(found["loss"], json!(0.0));
}

#[test]
fn clipping_follows_the_old_log_probabilities() {
    let (d, old) = (0.5_f64, -1.0);
    let line = |advantage: f64| {
        json!({"tokens": {"logp": [[old + d]], "logp_old": [[old]]}, "advantages": [advantage]}).to_string()
    };
    let loss = |text: &str| score(text, &options(None, Some("grpo"), 0)).unwrap().remove(0);
    // Ratio e^0.5 > 1.2: a gain is clipped, a loss is not.
    let gain = loss(&line(1.0));
    assert!(close(&leaves(&gain["loss"]), &[-1.2]) && leaves(&gain["grad_logp"]) == [0.0]);
    let down = loss(&line(-1.0));
    assert!(close(&leaves(&down["loss"]), &[d.exp()]) && close(&leaves(&down["grad_logp"]), &[d.exp()]));
    assert_eq!(gain["terms"]["policy_loss"], gain["loss"]);
}

#[test]
fn advantages_per_token_are_taken_as_they_are() {
    let text =
        json!({"tokens": {"logp": [[-1.0, -2.0], [-1.0]]}, "advantages": [[1.0, 0.0], [-4.0]]}).to_string();
    let found = score(&text, &options(None, Some("reinforce"), 0))
        .unwrap()
        .remove(0);
    assert_eq!(found["grad_logp"], json!([[-0.5, 0.0], [2.0]]));
}

#[test]
fn likelihood_asks_for_no_advantages() {
    let text = json!({"tokens": {"logp": [[-1.0, -2.0], [-3.0]]}}).to_string();
    let found = score(&text, &options(None, Some("supervised"), 0))
        .unwrap()
        .remove(0);
    assert_eq!(found["loss"], json!(2.0));
    assert!(close(&leaves(&found["grad_logp"]), &[-1.0 / 3.0; 3]));
}

#[test]
fn a_penalty_that_belongs_to_the_reward_is_taken_off_before_the_estimate() {
    let text = json!({
        "rewards": [1.0, 0.0],
        "tokens": {"logp": [[-9.0, -9.0], [-9.0]], "logp_old": [[-1.0, -0.5], [-0.25]],
                   "logp_ref": [[-2.0, -1.0], [-0.5]], "mask": [[1, 0], [1]]},
    })
    .to_string();
    // k1 of counted tokens: 1 and 0.25; rewards 1 - 0.1 and 0 - 0.025.
    let found = score(&text, &options(Some("rloo"), Some("rloo.beta = 0.1"), 0))
        .unwrap()
        .remove(0);
    assert!(close(&leaves(&found["advantages"]), &[0.925, -0.925]), "{found}");
    let without = score(&text, &options(Some("rloo"), None, 0)).unwrap().remove(0);
    assert!(close(&leaves(&without["advantages"]), &[1.0, -1.0]));
    // On policy the current log-probabilities are the old ones.
    let mut on_policy: Value = serde_json::from_str(&text).unwrap();
    on_policy["tokens"]["logp"] = on_policy["tokens"]["logp_old"].take();
    let found = score(
        &on_policy.to_string(),
        &options(Some("rloo"), Some("rloo.beta = 0.1"), 0),
    )
    .unwrap()
    .remove(0);
    assert!(close(&leaves(&found["advantages"]), &[0.925, -0.925]), "{found}");
}

#[test]
fn an_estimator_on_policy_takes_the_current_log_probabilities_for_the_old_ones() {
    let line = |key: &str| {
        json!({"rewards": [1.0, 0.0], "tokens": {key: [[-1.0, -0.5], [-0.25]], "logp_ref": [[-2.0, -3.0], [-0.5]]}})
            .to_string()
    };
    let part = options(Some("reinforce-plus-plus.kl_coef = 0.5"), None, 1);
    let found = score(&line("logp"), &part).unwrap();
    assert_eq!(found, score(&line("logp_old"), &part).unwrap());
}

#[test]
fn steps_stand_on_their_tokens() {
    let gae = "gae = { rewards = 'steps', whiten = 'none', lam = 1.0 }";
    let text = json!({
        "rewards": [1.0],
        "steps": {"rewards": [[2.0, 3.0]], "n_tokens": [[2, 1]]},
        "tokens": {"values": [[0.0, 0.0, 0.0]]},
    });
    let found = score(&text.to_string(), &options(Some(gae), None, 0))
        .unwrap()
        .remove(0);
    assert_eq!(found["advantages"], json!([[5.0, 5.0, 3.0]]));
    let other = json!({
        "rewards": [1.0],
        "steps": {"rewards": [[2.0, 3.0]], "n_tokens": [[1, 2]]},
        "tokens": {"values": [[0.0, 0.0, 0.0]]},
    });
    let found = score(&other.to_string(), &options(Some(gae), None, 0))
        .unwrap()
        .remove(0);
    assert_eq!(found["advantages"], json!([[5.0, 3.0, 3.0]]));
}

#[test]
fn the_greedy_reward_is_each_group_s_own() {
    let text = "{\"rewards\": [1, 0], \"greedy_reward\": 0.25}\n{\"rewards\": [1], \"greedy_reward\": 1}\n";
    for batch in [0, 2] {
        let found = score(text, &options(Some("remax"), None, batch)).unwrap();
        assert_eq!(found[0]["advantages"], json!([0.75, -0.25]));
        assert_eq!(found[1]["advantages"], json!([0.0]));
    }
}

/// Log-probabilities now and before, of two trajectories.
fn pairs() -> impl Strategy<Value = Vec<Vec<(f64, f64)>>> {
    let token = (-3.0..-0.01f64, -0.15..0.15f64).prop_map(|(old, d)| (old + d, old));
    prop::collection::vec(prop::collection::vec(token, 1..4), 2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn grad_logp_is_the_derivative_of_loss(groups in prop::collection::vec(pairs(), 1..4), a in -2.0..2.0f64) {
        let text = |shift: Option<(usize, f64)>| {
            let mut t = 0;
            let lines: Vec<String> = groups.iter().map(|rows| {
                let mut logp: Vec<Vec<f64>> = rows.iter().map(|r| r.iter().map(|p| p.0).collect()).collect();
                for value in logp.iter_mut().flatten() {
                    if let Some((_, h)) = shift.filter(|(at, _)| *at == t) {
                        *value += h;
                    }
                    t += 1;
                }
                let old: Vec<Vec<f64>> = rows.iter().map(|r| r.iter().map(|p| p.1).collect()).collect();
                json!({"tokens": {"logp": logp, "logp_old": old}, "advantages": [a, 1.0 - a]}).to_string()
            }).collect();
            lines.join("\n")
        };
        for objective in ["dapo", "grpo", "gspo.epsilon = 0.2"] {
            let options = options(None, Some(objective), groups.len());
            let loss = |shift| score(&text(shift), &options).unwrap()[0]["loss"].as_f64().unwrap();
            let grads: Vec<f64> =
                score(&text(None), &options).unwrap().iter().flat_map(|line| leaves(&line["grad_logp"])).collect();
            let h = 1e-6;
            for (t, grad) in grads.iter().enumerate() {
                let slope = (loss(Some((t, h))) - loss(Some((t, -h)))) / (2.0 * h);
                prop_assert!((slope - grad).abs() < 1e-6, "{objective}, token {t}: {slope} and {grad}");
            }
        }
    }
}
