//! The published rows of digit completion, where the data folder is at hand.

use std::path::PathBuf;

use groupwise_reward::{digit_completion_rewards, digit_completion_target};
use serde_json::Value;

/// Folder of task data: `GROUPWISE_DATA`, or `shared/data` beside the workspace.
fn data() -> PathBuf {
    std::env::var_os("GROUPWISE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    )
}

/// Rows of a file of the folder; `Err` holds the reason to skip.
fn rows(file: &str) -> Result<Vec<Value>, String> {
    let path = data().join("digit_completion").join(file);
    let text =
        std::fs::read_to_string(&path).map_err(|_| format!("skipped: no data at {}", path.display()))?;
    let rows = text.lines().filter(|l| !l.trim().is_empty());
    Ok(rows
        .map(|l| serde_json::from_str(l).expect("a JSON row"))
        .collect())
}

#[test]
fn every_reward_example_agrees() {
    let rows = match rows("reward_examples.jsonl") {
        Ok(rows) => rows,
        Err(reason) => return println!("{reason}"),
    };
    assert_eq!(rows.len(), 15);
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap();
        let (prompt, response) = (text("prompt"), text("response"));
        assert_eq!(
            digit_completion_target(prompt).unwrap(),
            text("target"),
            "{prompt}"
        );
        let found = digit_completion_rewards(prompt, response).unwrap();
        let expected = row["token_rewards"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{prompt} {response}");
        // The examples are written in single precision.
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b.as_f64().unwrap()).abs() < 1e-7, "{prompt} {response}");
        }
        let total = row["total"].as_f64().unwrap();
        assert!(
            (found.iter().sum::<f64>() - total).abs() < 1e-6,
            "{prompt} {response}"
        );
    }
}

#[test]
fn every_training_target_agrees() {
    let rows = match rows("train.jsonl") {
        Ok(rows) => rows,
        Err(reason) => return println!("{reason}"),
    };
    assert_eq!(rows.len(), 800);
    for row in rows {
        let prompt = row["prompt"].as_str().unwrap();
        assert_eq!(
            digit_completion_target(prompt).unwrap(),
            row["target"].as_str().unwrap(),
            "{prompt}"
        );
    }
}
