use groupwise_core::StopReason;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::verifiers::testing::trajectory;

#[test]
fn the_verifier_reads_three_forms_of_reference() {
    let score = |config: Value, reference: &str, reply: &str| {
        let config: IfevalConfig = serde_json::from_value(config).unwrap();
        let reply = trajectory(&[(reply, 0.0)], StopReason::EndToken);
        config
            .build(&())
            .unwrap()
            .score(&Task::new("t", "", reference), &reply)
    };
    let row = r#"{"instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, null], "key": 7}"#;
    let list =
        r#"[{"instruction": "punctuation:no_comma"}, {"instruction": "startend:quotation", "args": null}]"#;
    for reference in [row, list] {
        assert_eq!(score(json!({}), reference, "\"a\""), Score::Value(1.0));
        assert_eq!(score(json!({}), reference, "\"a"), Score::Value(0.0));
        assert_eq!(
            score(json!({"credit": "share"}), reference, "\"a"),
            Score::Value(0.5)
        );
        let thought = "<think>\",\"</think>\"a\"";
        assert_eq!(score(json!({}), reference, thought), Score::Value(1.0));
        assert_eq!(
            score(json!({"thinking": "keep"}), reference, thought),
            Score::Value(0.0)
        );
        assert_eq!(score(json!({}), reference, "<think>\"a\""), Score::Value(0.0));
        assert_eq!(
            score(json!({"strictness": "loose"}), reference, "Sure, so:\n\"a\""),
            Score::Value(1.0)
        );
    }
    let one = r#"{"instruction": "punctuation:no_comma", "args": {}}"#;
    assert_eq!(score(json!({}), one, "a"), Score::Value(1.0));
    for reference in [
        "no comma",
        "[]",
        r#"{"instruction": "punctuation:no_comma", "arg": {}}"#,
        r#"{"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}"#,
        r#"[{"instruction": "punctuation:no_comma"}, {"instruction": "unknown"}]"#,
    ] {
        assert!(
            matches!(score(json!({}), reference, "a"), Score::Unscorable(r) if r.starts_with("task `t`: "))
        );
    }
}

/// Instructions without arguments, and whether the reply below follows them.
const CHECKS: [(&str, bool); 4] = [
    ("punctuation:no_comma", false),
    ("startend:quotation", false),
    ("change_case:english_lowercase", true),
    ("detectable_format:title", false),
];

proptest! {
    #[test]
    fn credit_counts_what_is_followed_whatever_the_order(chosen in prop::collection::vec(0..5usize, 1..6)) {
        let reply = "we have had a very good day at the lake, \"and we will be back again\" she said to me";
        // One more that is always followed.
        let check = |at: &usize| CHECKS.get(*at).copied().unwrap_or(("change_case:english_lowercase", true));
        let judged = |order: &[usize], credit| {
            let list: Vec<Value> = order.iter().map(|at| json!({"instruction": check(at).0})).collect();
            let config = IfevalConfig { credit, ..IfevalConfig::default() };
            check_instructions(&Value::from(list).to_string(), reply, &config).score.unwrap()
        };
        let followed = chosen.iter().filter(|at| check(at).1).count();
        let reversed: Vec<usize> = chosen.iter().rev().copied().collect();
        prop_assert_eq!(judged(&chosen, Credit::Share), followed as f64 / chosen.len() as f64);
        prop_assert_eq!(judged(&reversed, Credit::Share), judged(&chosen, Credit::Share));
        prop_assert_eq!(judged(&chosen, Credit::All), f64::from(u8::from(followed == chosen.len())));
    }
}
