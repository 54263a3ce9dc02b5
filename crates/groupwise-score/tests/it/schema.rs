//! The schema in `docs/` and the reader know the same fields.

use std::collections::BTreeSet;

use groupwise_recipe::Unknown;
use groupwise_score::Line;
use serde_json::{Value, json};

use crate::common::{options, score};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/score.schema.json")).unwrap()
}

/// Names that the reader offers in place of an unknown one.
fn known(path: &[&str]) -> BTreeSet<String> {
    let unknown = path
        .iter()
        .rev()
        .fold(json!({"?": 0}), |inner, key| json!({*key: inner}));
    let error = serde_json::from_str::<Line<'_>>(&unknown.to_string()).unwrap_err();
    Unknown::parse(&error.to_string())
        .unwrap()
        .known
        .into_iter()
        .collect()
}

fn properties(object: &Value) -> BTreeSet<String> {
    object["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// Other names the reader takes, with ours.
const ALIASES: &[(&str, &str, &str)] = &[
    ("steps", "states", "anchors"),
    ("tokens", "completion_mask", "mask"),
    ("tokens", "entropies", "entropy"),
    ("tokens", "old_per_token_logps", "logp_old"),
    ("tokens", "per_token_logps", "logp"),
    ("tokens", "ref_per_token_logps", "logp_ref"),
];

#[test]
fn every_field_stands_in_the_schema_and_no_other() {
    let schema = schema();
    assert_eq!(properties(&schema), known(&[]));
    for part in ["steps", "judged_steps", "tokens"] {
        assert_eq!(properties(&schema["$defs"][part]), known(&[part]), "{part}");
        assert_eq!(schema["$defs"][part]["additionalProperties"], json!(false));
    }
    assert_eq!(schema["additionalProperties"], json!(false));
}

#[test]
fn another_name_is_the_same_field() {
    for (part, theirs, ours) in ALIASES {
        let both = format!(r#"{{"{part}": {{"{ours}": [], "{theirs}": []}}}}"#);
        let error = serde_json::from_str::<Line<'_>>(&both).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("duplicate field `{ours}`")),
            "{theirs}: {error}"
        );
    }
}

#[test]
fn every_example_is_read_and_something_can_be_computed_of_it() {
    let schema = schema();
    let examples = schema["examples"].as_array().unwrap();
    assert!(examples.len() >= 5);
    for example in examples {
        let text = example.to_string();
        Line::parse(text.as_bytes(), 1).unwrap();
        let options = match example.get("rewards") {
            Some(_) => options(Some("grpo"), None, 0),
            None => options(None, Some("grpo"), 0),
        };
        let found = score(&text, &options).unwrap().remove(0);
        assert_eq!(found["id"], example["id"]);
    }
    let used: BTreeSet<&String> = examples
        .iter()
        .flat_map(|e| e.as_object().unwrap().keys())
        .collect();
    assert_eq!(
        used.len(),
        properties(&schema).len(),
        "an example for every field"
    );
}

#[test]
fn every_field_that_comes_out_stands_in_the_schema() {
    let described = properties(&schema()["$defs"]["result"]);
    let text = json!({"rewards": [1, 0], "tokens": {"logp": [[-1.0], [-1.0]]}}).to_string();
    let found = score(&text, &options(Some("grpo"), Some("grpo"), 0))
        .unwrap()
        .remove(0);
    let fields: BTreeSet<String> = found.as_object().unwrap().keys().cloned().collect();
    let optional = ["grad_entropy", "grad_values"].map(str::to_owned);
    assert_eq!(described, fields.into_iter().chain(optional).collect());
}
