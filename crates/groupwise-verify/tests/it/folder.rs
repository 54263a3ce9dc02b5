//! Checks of files and folders, with rows of our own.

use std::fs;
use std::path::Path;

use groupwise_verify::{Agreement, VerifyError, check};
use serde_json::{Value, json};
use tempfile::TempDir;

fn write(folder: &TempDir, file: &str, rows: &[Value]) {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(folder.path().join(file), text).unwrap();
}

fn report(path: &Path) -> Result<(Agreement, String), VerifyError> {
    let mut out = Vec::new();
    let agreement = check(path, &mut out)?;
    Ok((agreement, String::from_utf8(out).unwrap()))
}

fn choice(id: &str, tier: &str, expected: &str) -> Value {
    json!({"id": id, "tier": tier, "response": "The answer is B.", "expected": expected})
}

#[test]
fn files_are_checked_in_order_and_core_rows_decide() {
    let folder = TempDir::new().unwrap();
    write(
        &folder,
        "choice_kept.jsonl",
        &[choice("a", "core", "B"), choice("b", "convention", "C")],
    );
    let box_row = json!({"id": "c", "tier": "core", "pred": [0, 0, 1, 1], "gold": [0, 0, 1, 2], "iou": 0.5, "giou": 0.5});
    write(&folder, "iou.jsonl", &[box_row]);
    fs::write(folder.path().join("README.md"), "no rows").unwrap();
    let (agreement, text) = report(folder.path()).unwrap();
    assert!(agreement.is_good());
    assert_eq!(
        text,
        "choice: 1 of 2 rows agree\n  convention  -                             0 of 1  disagree: b\n  core        -                             1 of 1\n  \
         b (convention): expected \"B\" instead of \"C\"\niou: 1 of 1 rows agree\n  core        -                             1 of 1\n\
         passed: 2 of 3 rows agree, 2 of 2 core\n"
    );
    write(&folder, "choice_kept.jsonl", &[choice("a", "core", "C")]);
    assert!(!report(folder.path()).unwrap().0.is_good());
    let (one, _) = report(&folder.path().join("iou.jsonl")).unwrap();
    assert!(one.is_good());
}

#[test]
fn an_unknown_family_is_named_and_fails() {
    let folder = TempDir::new().unwrap();
    write(&folder, "choice.jsonl", &[choice("a", "core", "B")]);
    write(&folder, "poetry_examples.jsonl", &[json!({"id": 1})]);
    let (agreement, text) = report(folder.path()).unwrap();
    assert!(!agreement.is_good());
    assert_eq!(agreement.unknown, ["poetry"]);
    assert!(text.ends_with(
        "unknown family `poetry`: its rows cannot be checked\nFAILED: 1 of 1 rows agree, 1 of 1 core\n"
    ));
}

#[test]
fn every_error_names_file_and_line() {
    let folder = TempDir::new().unwrap();
    let error = report(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("holds no .jsonl file"), "{error}");
    let missing = report(&folder.path().join("choice.jsonl"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("choice.jsonl: "), "{missing}");
    for (row, what) in [
        (
            json!({"id": "a", "tier": "core", "expected": "B"}),
            "row `a`: has no `response`",
        ),
        (
            json!({"id": "a", "response": "B", "expected": "B"}),
            "has no `tier`",
        ),
        (
            json!({"id": "a", "tier": "core", "response": "B"}),
            "row `a`: expects nothing that can be checked",
        ),
        (
            json!({"tier": "core", "response": "B", "options": "AB", "expected": "B"}),
            "row `line 2`: `options` is no list",
        ),
    ] {
        write(&folder, "choice.jsonl", &[choice("first", "core", "B"), row]);
        let error = report(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("choice.jsonl, line 2: {what}")),
            "{error}"
        );
    }
}

/// Rows whose expectations are all wrong, and how many these are.
fn wrong_rows() -> Vec<(&'static str, Value, usize)> {
    vec![
        (
            "qa_em_f1",
            json!({"prediction": "a lamp", "golds": ["lamp"], "em": 0, "f1_hotpot": 0, "f1_squad": 0, "sub_em": 0, "normalised": "x"}),
            5,
        ),
        (
            "qa_em_f1",
            json!({"response": "<answer>lamp</answer>", "golds": ["lamp"], "format_score": 0.1, "score_em": 0.1, "score_sub_em": 0}),
            2,
        ),
        (
            "countdown",
            json!({"response": "<answer>1 + 2</answer>", "numbers": [1, 2], "target": 3, "expected": "wrong"}),
            1,
        ),
        (
            "entity_match",
            json!({"predicted": ["a b"], "gold": ["b"], "exact": false, "f1": 0.5}),
            2,
        ),
        (
            "iou",
            json!({"pred_span": [0, 2], "gold_span": [1, 2], "tiou": 0.4}),
            1,
        ),
        (
            "ranking",
            json!({"hits": [0, 1], "relevant": 3, "k": 5, "recall": 1, "ndcg": 1, "ndcg_standard": 1}),
            3,
        ),
        (
            "ranking",
            json!({"recommended": [["Up", 2009]], "relevant_items": [["Up", 2010]], "seen": [], "slots": 2,
            "hits": [0, 0], "log_decay_returns": [0, 1], "exp_inf_returns": [0, 0]}),
            3,
        ),
        (
            "tool_calls",
            json!({"kind": "call_text", "text": "<tool_call>{}</tool_call>", "valid_json_call": true, "calls": 1}),
            2,
        ),
        (
            "tool_calls",
            json!({"kind": "as_is", "functions": [], "accepted": [], "calls": [], "expected": false}),
            1,
        ),
        (
            "ifeval",
            json!({"instruction": "punctuation:no_comma", "args": {}, "response": "a", "strict": false, "loose": false}),
            2,
        ),
    ]
}

/// A check that compares nothing would let such a row pass.
#[test]
fn every_kind_of_row_can_disagree() {
    for (family, mut row, n_wrong) in wrong_rows() {
        row["tier"] = json!("core");
        row["id"] = json!("x");
        let report = groupwise_verify::check_rows(family, row.to_string().as_bytes()).unwrap();
        assert_eq!(report.disagreements.len(), 1, "{family}");
        let told = &report.disagreements[0].what;
        assert_eq!(told.matches(" instead of ").count(), n_wrong, "{family}: {told}");
    }
}

#[test]
fn every_kind_of_shape_is_known() {
    for (kind, inputs) in shapes() {
        let row = json!({"id": "x", "tier": "core", "kind": kind, "inputs": inputs, "expected": "never"});
        let report = groupwise_verify::check_rows("shape_rewards", row.to_string().as_bytes()).unwrap();
        assert!(
            !report.disagreements[0].what.contains("a kind that is known"),
            "{kind}"
        );
    }
}

fn shapes() -> Vec<(&'static str, Value)> {
    let cosine = json!({"length": 5, "length_tokens": 5, "correct": true, "min_value_wrong": -1, "max_value_wrong": -0.5,
        "min_value_correct": 0.5, "max_value_correct": 1, "max_len": 100});
    vec![
        ("format", json!({"text": "a"})),
        ("think_format", json!({"text": "a"})),
        ("tag_count", json!({"text": "a"})),
        ("reasoning_steps", json!({"text": "a"})),
        ("code_format", json!({"text": "a", "language": "python"})),
        ("code_extract", json!({"text": "a", "language": "python"})),
        ("repetition", json!({"text": "a", "ngram": 2, "max_penalty": -1})),
        (
            "repetition_tokens",
            json!({"ids": [1], "ngram": 2, "max_penalty": -1}),
        ),
        ("cosine", cosine.clone()),
        ("cosine_clamped", cosine),
        ("length_kimi", json!({"lengths": [1, 2], "correct": [true, null]})),
        ("soft_overlong", json!({"length": 5, "max_len": 10, "cache": 2})),
    ]
}
