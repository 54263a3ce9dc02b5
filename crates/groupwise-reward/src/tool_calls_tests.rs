use proptest::prelude::*;
use serde_json::json;

use super::*;

fn call(name: &str, arguments: Value) -> Call {
    Call::of_pair(&json!({ name: arguments })).unwrap()
}

/// The fault of one call of `f`, whose argument `x` has a type and accepted values.
fn fault_of(x: Value, accepted: Value, value: Value) -> Option<FaultKind> {
    let functions = [json!({"name": "f", "parameters": {"properties": {"x": x}, "required": ["x"]}})];
    let expected = ExpectedCalls::new(&functions, &[json!({"f": {"x": accepted}})]).unwrap();
    match expected.check(&[call("f", json!({"x": value}))], FunctionNames::Exact) {
        CallVerdict::Right => None,
        CallVerdict::Wrong(fault) => Some(fault.kind),
        CallVerdict::Limit => panic!("limit"),
    }
}

#[test]
fn calls_are_strict_json_in_their_tags() {
    let good = r#"<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>"#;
    let count = |text: &str| parse_calls(text).map(|calls| calls.len());
    assert_eq!(count(good), Ok(1));
    assert_eq!(count(&format!("so {good}\n{good} done")), Ok(2));
    assert_eq!(
        count("<tool_call>\n {\"arguments\": {}, \"name\": \"f\"}\n</tool_call>"),
        Ok(1)
    );
    assert_eq!(count("```json\n{\"name\": \"f\"}\n```"), Ok(0));
    assert_eq!(count(&format!("<think>{good}</think>")), Ok(0));
    for (text, what) in [
        ("<tool_call>", "call 1 is never closed"),
        ("</tool_call>", "a closing tag without an opening one"),
        ("</tool_call><tool_call>", "a closing tag without an opening one"),
        ("<tool_call></tool_call>", "call 1: EOF"),
        ("<tool_call>[]</tool_call>", "call 1: not an object"),
        ("<tool_call>{}</tool_call>", "call 1: `name` is no text"),
        (
            r#"<tool_call>{"name": "f"}</tool_call>"#,
            "call 1: `arguments` is missing",
        ),
        (
            r#"<tool_call>{"name": "f", "arguments": "{}"}</tool_call>"#,
            "call 1: `arguments` is no object",
        ),
        (
            r#"<tool_call>{"name": 1, "arguments": {}}</tool_call>"#,
            "call 1: `name` is no text",
        ),
        (
            r#"<tool_call>{"name": "f", "arguments": {}, "id": 1}</tool_call>"#,
            "call 1: more than",
        ),
        (
            r#"<tool_call>{"name": "f", "arguments": {"a": 1, "a": 1}}</tool_call>"#,
            "call 1: the key `a` occurs twice",
        ),
        ("<think><tool_call>", "the thinking part is never closed"),
    ] {
        let error = parse_calls(text).unwrap_err();
        assert!(error.starts_with(what), "{text}: {error}");
        assert!(
            parse_calls(&format!("{good}{text}")).is_err() || text.contains("think"),
            "{text}"
        );
    }
}

/// Faults of values of one type: accepted, value, fault.
fn faults(x: Value, cases: &[(Value, Value, Option<FaultKind>)]) {
    for (accepted, value, fault) in cases {
        let found = fault_of(x.clone(), accepted.clone(), value.clone());
        assert_eq!(found, *fault, "{x} {accepted} {value}");
    }
}

#[test]
fn numbers_and_truths_have_the_type_described() {
    let (wrong_value, wrong_type) = (Some(FaultKind::WrongValue), Some(FaultKind::WrongType));
    faults(
        json!({"type": "integer"}),
        &[
            (json!([5]), json!(5), None),
            (json!([5]), json!(6), wrong_value),
            (json!([5]), json!("5"), wrong_type),
            (json!([5]), json!(5.0), wrong_type),
            (json!([1]), json!(true), wrong_type),
            (json!([5]), json!(null), wrong_type),
            // The accepted values are names of variables.
            (json!(["n"]), json!("n"), None),
            (json!(["n"]), json!("N"), wrong_value),
        ],
    );
    faults(
        json!({"type": "float"}),
        &[
            (json!([5.0]), json!(5), None),
            (json!([5]), json!(5.0), None),
            (json!([0.1]), json!(0.1), None),
            (json!([5]), json!("5"), wrong_type),
        ],
    );
    faults(
        json!({"type": "boolean"}),
        &[
            (json!([true]), json!(true), None),
            (json!([true]), json!(false), wrong_value),
        ],
    );
    faults(json!({"type": "any"}), &[(json!([5]), json!(5), None)]);
}

#[test]
fn texts_compare_loosely() {
    let wrong_value = Some(FaultKind::WrongValue);
    faults(
        json!({"type": "string"}),
        &[
            (json!(["Apr 1, 2024"]), json!("april"), wrong_value),
            (json!(["Apr 1, 2024"]), json!("apr-1 2024."), None),
            (json!(["the \"X\""]), json!("The 'x'"), None),
            (json!(["a\tb"]), json!("ab"), wrong_value),
        ],
    );
}

#[test]
fn lists_have_elements_of_the_type_described() {
    let (wrong_value, wrong_item) = (Some(FaultKind::WrongValue), Some(FaultKind::WrongItemType));
    let list = |of: &str| json!({"type": "array", "items": {"type": of}});
    faults(
        list("string"),
        &[
            (json!([["a", "b"], ["c"]]), json!(["A", "b."]), None),
            (json!([["a", "b"]]), json!(["b", "a"]), wrong_value),
            (json!([["a", "b"]]), json!(["a", 1]), wrong_item),
            (json!([["a"], ""]), json!([]), wrong_value),
        ],
    );
    faults(
        list("float"),
        &[
            (json!([[1.5, 2]]), json!([1.5, 2]), None),
            (json!([[1.5, 2.0]]), json!([1.5, 2]), None),
        ],
    );
    faults(list("integer"), &[(json!([[1, 2]]), json!([1, 2.0]), wrong_item)]);
    let nested = json!([[[1, 2], [3]]]);
    faults(list("array"), &[(nested, json!([[1, 2], [3]]), None)]);
    let pair = json!({"type": "tuple", "items": {"type": "float"}});
    faults(pair, &[(json!([[4.5, 1.0]]), json!([4.5, 1.0]), None)]);
    faults(json!({"type": "array"}), &[(json!([[1]]), json!([1]), None)]);
}

#[test]
fn objects_match_key_by_key() {
    use FaultKind::*;
    let object = json!({"type": "dict"});
    let accepted = json!([{"city": ["Rome", "Roma"], "days": [3, ""]}]);
    for (value, fault) in [
        (json!({"city": "ROMA", "days": 3}), None),
        (json!({"city": "Rome"}), None),
        (json!({"city": "Rome", "days": 4}), Some(WrongValue)),
        (json!({"days": 3}), Some(WrongValue)),
        (json!({"city": "Rome", "x": 1}), Some(WrongValue)),
        (json!(["Rome"]), Some(WrongType)),
    ] {
        assert_eq!(
            fault_of(object.clone(), accepted.clone(), value.clone()),
            fault,
            "{value}"
        );
    }
    let list = json!({"type": "array", "items": {"type": "dict"}});
    let accepted = json!([[{"n": [1]}, {"n": [2]}]]);
    for (value, fault) in [
        (json!([{"n": 1}, {"n": 2}]), None),
        (json!([{"n": 2}, {"n": 1}]), Some(WrongValue)),
        (json!([{"n": 1}]), Some(WrongValue)),
        (json!([{"n": 1}, 2]), Some(WrongItemType)),
    ] {
        assert_eq!(
            fault_of(list.clone(), accepted.clone(), value.clone()),
            fault,
            "{value}"
        );
    }
}

#[test]
fn arguments_are_required_optional_or_unknown() {
    let functions = [json!({"name": "f", "parameters": {
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}, "d": {"type": "integer"}},
        "required": ["a"],
    }})];
    let accepted = [json!({"f": {"a": [1], "b": [2, ""], "c": [3]}})];
    let expected = ExpectedCalls::new(&functions, &accepted).unwrap();
    let message = |arguments: Value| match expected.check(&[call("f", arguments)], FunctionNames::Exact) {
        CallVerdict::Wrong(fault) => fault.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(message(json!({"a": 1, "c": 3})), "Right");
    assert_eq!(message(json!({"a": 1, "b": 2, "c": 3})), "Right");
    assert_eq!(message(json!({"c": 3})), "required argument `a` is missing");
    assert_eq!(message(json!({"a": 1})), "argument `c` may not be left out here");
    assert_eq!(
        message(json!({"a": 1, "c": 3, "d": 4})),
        "unexpected argument `d`"
    );
    assert_eq!(
        message(json!({"a": 1, "c": 3, "e": 4})),
        "unexpected argument `e`"
    );
    assert_eq!(
        message(json!({"a": 1, "b": 9, "c": 3})),
        "the value of argument `b` is not accepted"
    );
}

#[test]
fn tasks_that_cannot_be_checked_are_refused() {
    let functions = [json!({"name": "f", "parameters": {"properties": {"x": {"type": "colour"}}}})];
    for (accepted, what) in [
        (json!({"g": {}}), "accepted: `g` is not described"),
        (json!({"f": {}}), "`f`: `x` has no known type"),
        (json!({}), "accepted: a call is no object of one name"),
        (json!({"f": 1}), "accepted: the arguments of `f` are no object"),
    ] {
        assert_eq!(ExpectedCalls::new(&functions, &[accepted]).unwrap_err(), what);
    }
    let bare = [json!({"name": "f"})];
    assert_eq!(
        ExpectedCalls::new(&bare, &[json!({"f": {"x": 1}})]).unwrap_err(),
        "accepted: `f`: `x` is no list of values"
    );
}

/// Expected calls of `f` with sets of accepted numbers, and calls with one number each.
fn check_sets(sets: &[Vec<u8>], numbers: &[u8]) -> CallVerdict {
    let functions = [json!({"name": "f", "parameters": {"properties": {"n": {"type": "integer"}}}})];
    let accepted: Vec<Value> = sets.iter().map(|set| json!({"f": {"n": set}})).collect();
    let calls: Vec<Call> = numbers.iter().map(|n| call("f", json!({"n": n}))).collect();
    let expected = ExpectedCalls::new(&functions, &accepted).unwrap();
    expected.check(&calls, FunctionNames::Exact)
}

#[test]
fn overlapping_sets_need_a_matching() {
    assert_eq!(check_sets(&[vec![1, 2], vec![1]], &[1, 2]), CallVerdict::Right);
    assert_eq!(
        check_sets(&[vec![1, 2], vec![2, 3], vec![1]], &[1, 2, 3]),
        CallVerdict::Right
    );
    let CallVerdict::Wrong(fault) = check_sets(&[vec![1, 2], vec![1, 2], vec![3]], &[1, 3, 3]) else {
        panic!("two calls for one place");
    };
    assert_eq!(fault.kind, FaultKind::NoPairing);
    let large: Vec<Vec<u8>> = vec![(0..200).collect(); 120];
    assert_eq!(check_sets(&large, &[7; 120]), CallVerdict::Right);
    assert_eq!(check_sets(&vec![vec![1]; 3000], &[2; 3000]), CallVerdict::Limit);
}

/// Whether a pairing exists, by trying every order.
fn by_force(sets: &[Vec<u8>], numbers: &[u8]) -> bool {
    let Some((set, rest)) = sets.split_first() else {
        return true;
    };
    numbers.iter().enumerate().any(|(i, n)| {
        let mut left = numbers.to_vec();
        left.remove(i);
        set.contains(n) && by_force(rest, &left)
    })
}

proptest! {
    #[test]
    fn the_matching_is_that_of_brute_force_in_any_order(
        sets in prop::collection::vec(prop::collection::vec(0u8..5, 0..4), 1..6), numbers in prop::collection::vec(0u8..5, 6),
        turn in 0usize..6,
    ) {
        let mut numbers = numbers[..sets.len()].to_vec();
        let right = by_force(&sets, &numbers);
        prop_assert_eq!(check_sets(&sets, &numbers) == CallVerdict::Right, right);
        numbers.rotate_left(turn % sets.len());
        prop_assert_eq!(check_sets(&sets, &numbers) == CallVerdict::Right, right);
        let mut sets = sets;
        sets.reverse();
        prop_assert_eq!(check_sets(&sets, &numbers) == CallVerdict::Right, right);
    }

    #[test]
    fn no_text_panics(text in any::<String>(), json in "[\\[\\]{}:,\"a0-9]{0,20}") {
        let _ = parse_calls(&text);
        let _ = parse_calls(&format!("<tool_call>{json}</tool_call>"));
    }
}
