//! The published rows of instruction checks, where the folder is at hand.

mod common;

use groupwise_reward::verifiers::ifeval::{Strictness, check_instruction};
use serde_json::Map;

#[test]
fn every_row_agrees_strictly_and_loosely() {
    let Some(rows) = common::rows("verifiers/ifeval_examples.jsonl") else {
        return;
    };
    let none = Map::new();
    let mut wrong = Vec::new();
    for row in &rows {
        let text = |key: &str| row[key].as_str().expect("a text");
        let args = row["args"].as_object().unwrap_or(&none);
        for (key, strictness) in [("strict", Strictness::Strict), ("loose", Strictness::Loose)] {
            let verdict = check_instruction(text("instruction"), args, text("response"), strictness);
            let expected = row[key].as_bool().map(|follows| f64::from(u8::from(follows)));
            if verdict.score != expected && row["tier"] != "disputed" {
                wrong.push(format!("{key} {row}: {verdict:?}"));
            }
        }
    }
    assert!(!rows.is_empty());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}
