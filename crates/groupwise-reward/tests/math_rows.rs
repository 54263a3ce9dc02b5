//! The rows of the shared folder, where it is there: every core row, the speed pairs, the MATH references.
//!
//! The rows are no part of the project: without them these tests have nothing to do.

mod common;

use groupwise_reward::verifiers::gsm8k::{self, Gsm8kMethod};
use groupwise_reward::verifiers::math::{self, BoxPriority, MathConfig, RelationForSet, Variables};
use serde_json::Value;

/// Rows of a file; none if it is not at hand.
fn rows(path: &str) -> Vec<Value> {
    common::rows(path).unwrap_or_default()
}

/// The response of a row, written out if the row says how to build it.
fn response(row: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if row["build"].is_object() {
        let times = row["build"]["times"].as_u64().expect("a row as described") as usize;
        let part = |key: &str| text(&row["build"][key]);
        return part("head").repeat(times) + &part("core") + &part("tail").repeat(times);
    }
    text(
        row.get("answer")
            .or_else(|| row.get("response"))
            .unwrap_or(&Value::Null),
    )
}

fn config(row: &Value) -> MathConfig {
    let opts = &row["opts"];
    MathConfig {
        decimals: opts["decimals"].as_u64().unwrap_or(6) as u32,
        variables: if opts["strict"] == false {
            Variables::ByPosition
        } else {
            Variables::Named
        },
        relation_for_set: if opts["set_vs_relation"] == true {
            RelationForSet::Accepted
        } else {
            RelationForSet::Refused
        },
        boxes: if opts["boxed_first"] == false {
            BoxPriority::Shared
        } else {
            BoxPriority::First
        },
        ..MathConfig::flexible()
    }
}

/// Core rows that are judged otherwise than expected.
fn failures(path: &str, whole_responses: bool) -> Vec<String> {
    let judge = |row: &Value| {
        let (gold, response) = (row["gold"].as_str().expect("a row as described"), response(row));
        if whole_responses {
            math::verify(gold, &response, &config(row))
        } else {
            math::compare(gold, &response, &config(row))
        }
    };
    let core = rows(path).into_iter().filter(|row| row["tier"] == "core");
    let wrong =
        core.filter(|row| judge(row).is_correct() != row["expected"].as_bool().expect("a row as described"));
    wrong
        .map(|row| format!("{} {:?}", row["id"], judge(&row).reason))
        .collect()
}

#[test]
fn core_rows_of_bare_pairs() {
    for family in [
        "math_own",
        "math_rewrites",
        "math_reported",
        "math_other",
        "math_hostile",
    ] {
        let found = failures(&format!("verifiers/{family}_examples.jsonl"), false);
        assert!(found.is_empty(), "{family}: {found:#?}");
    }
}

#[test]
fn core_rows_of_texts() {
    for family in ["math", "math_responses"] {
        let found = failures(&format!("verifiers/{family}_examples.jsonl"), true);
        assert!(found.is_empty(), "{family}: {found:#?}");
    }
}

#[test]
fn markers_of_gsm8k() {
    for row in rows("verifiers/gsm8k_extract_examples.jsonl") {
        let text = row["response"].as_str().unwrap();
        for (key, method) in [
            ("strict", Gsm8kMethod::Strict),
            ("flexible", Gsm8kMethod::Flexible),
        ] {
            if let Some(expected) = row.get(key) {
                assert_eq!(
                    gsm8k::extract(text, method).as_deref(),
                    expected.as_str(),
                    "{}",
                    row["id"]
                );
            }
        }
    }
}

#[test]
fn labels_of_the_speed_pairs() {
    for row in rows("bench/math_pairs.jsonl") {
        let (gold, output) = (row["gold"].as_str().unwrap(), row["output"].as_str().unwrap());
        let verdict = math::verify(gold, output, &MathConfig::flexible());
        assert_eq!(
            verdict.is_correct(),
            row["label"].as_bool().unwrap(),
            "{row} {verdict:?}"
        );
    }
}
