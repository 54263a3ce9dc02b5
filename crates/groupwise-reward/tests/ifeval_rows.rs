//! The published rows of instruction checks, where the folder is at hand.

use std::path::{Path, PathBuf};

use groupwise_reward::verifiers::ifeval::{Strictness, check_instruction};
use serde_json::{Map, Value};

/// Rows of a file of verifier examples: below or beside `GROUPWISE_DATA`, or in `shared` beside the workspace.
fn rows(file: &str) -> Option<Vec<Value>> {
    let given = std::env::var_os("GROUPWISE_DATA").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let roots = given
        .iter()
        .flat_map(|g| [g.clone(), g.join("..")])
        .chain([beside]);
    let text = roots
        .map(|root| root.join("verifiers").join(file))
        .find_map(|path| std::fs::read_to_string(path).ok())?;
    let rows = text.lines().filter(|line| !line.trim().is_empty());
    Some(
        rows.map(|line| serde_json::from_str(line).expect("a JSON row"))
            .collect(),
    )
}

#[test]
fn every_row_agrees_strictly_and_loosely() {
    let Some(rows) = rows("ifeval_examples.jsonl") else {
        return println!("skipped: no verifier examples at GROUPWISE_DATA or beside the workspace");
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
