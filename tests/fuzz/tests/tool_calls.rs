//! Tool calls in text: strict JSON between tags.

use groupwise_reward::strict_json;
use groupwise_reward::tool_calls::{ExpectedCalls, FunctionNames, parse_calls};
use serde_json::{Value, json};

const FRAGMENTS: &[&str] = &[
    "<tool_call>",
    "</tool_call>",
    "\n",
    " ",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"name\"",
    "\"arguments\"",
    "\"f\"",
    "{\"name\": \"f\", \"arguments\": {}}",
    "{\"name\": \"g\", \"arguments\": {\"a\": ",
    "}}",
    "1",
    "-0",
    "1.5",
    "1e9",
    "1e999",
    "NaN",
    "true",
    "null",
    "\"x\"",
    "\"\\u00e9\"",
    "\"\\ud800\"",
    "\\",
    "\\u",
    "'",
    "<think>",
    "</think>",
    "\"a\": 1",
    "\"a\": 2,",
    "[[",
    "{\"a\":",
    "0123",
    "	",
    "<tool_call>{",
    "text",
    "18446744073709551616",
    "\"\"",
];

/// Calls that were read can be written and read again; strict JSON is JSON; a check never depends on the order of calls.
fn target(bytes: &[u8]) {
    let response = groupwise_fuzz::text(bytes, FRAGMENTS);
    if let Ok(value) = strict_json::parse(&response) {
        assert_eq!(serde_json::from_str::<Value>(&response).ok(), Some(value));
    }
    let Ok(calls) = parse_calls(&response) else {
        return;
    };
    let written = calls.iter().map(|call| {
        let call = json!({"name": call.name, "arguments": call.arguments});
        format!("<tool_call>{call}</tool_call>")
    });
    let written: String = written.collect();
    if !written.contains("<think>")
        && !written.contains("</think>")
        && written.matches("tool_call>").count() == 2 * calls.len()
    {
        assert_eq!(parse_calls(&written).as_ref(), Ok(&calls), "{written}");
    }
    let function = |name: &str| json!({"name": name, "parameters": {"type": "dict", "properties": {"a": {"type": "integer"}}, "required": []}});
    let accepted = [json!({"f": {"a": [1, ""]}}), json!({"g": {"a": [1, 2]}})];
    let expected = ExpectedCalls::new(&[function("f"), function("g")], &accepted).expect("a sound task");
    let verdict = expected.check(&calls, FunctionNames::default());
    let reversed: Vec<_> = calls.iter().rev().cloned().collect();
    let other = expected.check(&reversed, FunctionNames::default());
    assert_eq!(
        format!("{verdict:?}").starts_with("Valid"),
        format!("{other:?}").starts_with("Valid")
    );
}

groupwise_fuzz::tests!("tool_calls", target);
