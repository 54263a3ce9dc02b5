//! Tool use: the expected calls, in any order.

use std::borrow::Cow;

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::response::{Fuel, Judge, Judged};
use crate::tool_calls::{Call, CallVerdict, ExpectedCalls, FunctionNames, parse_calls};
use crate::verdict::Verdict;

/// 1 if a response calls exactly what is expected, else 0.
///
/// # Formula
/// `r = [the calls of the response pair off with the accepted ones]`; text form: [`parse_calls`]; rules:
/// [`ExpectedCalls::check`].
///
/// # Shapes
/// A task has columns `functions` and `accepted` in the form of [`ExpectedCalls::new`], as JSON or as text of JSON, or a
/// reference `{"functions": [..], "accepted": [..]}`.
///
/// # Edge cases
/// - `accepted` empty or missing beside `functions`: no tool fits, and no call is right.
/// - A call that is no strict JSON: 0, even where no call is right.
/// - Neither `functions` nor `accepted`, or accepted calls that do not fit the functions: unscorable.
///
/// # Source
/// Berkeley Function-Calling Leaderboard, ShishirPatil/gorilla @6ea57973c7a6, `ast_checker.py`.
///
/// # Example
/// ```
/// use groupwise_reward::tool_calls::ExpectedCalls;
/// use groupwise_reward::verifiers::ToolUseConfig;
/// use serde_json::json;
/// let functions = [json!({"name": "add", "parameters": {"properties": {"n": {"type": "integer"}}}})];
/// let expected = ExpectedCalls::new(&functions, &[json!({"add": {"n": [5]}})])?;
/// let score = |text| ToolUseConfig::default().verdict(text, &expected).score;
/// assert_eq!(score(r#"<tool_call>{"name": "add", "arguments": {"n": 5}}</tool_call>"#), Some(1.0));
/// assert_eq!(score(r#"<tool_call>{"name": "add", "arguments": {"n": "5"}}</tool_call>"#), Some(0.0));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolUseConfig {
    /// How names of functions are compared.
    pub names: FunctionNames,
}

impl ToolUseConfig {
    /// Verdict on a response; see the type for rules and example.
    pub fn verdict(&self, response: &str, expected: &ExpectedCalls) -> Verdict {
        match parse_calls(response) {
            Ok(calls) => self.verdict_on_calls(&calls, expected),
            Err(reason) => Verdict::judged(false, reason),
        }
    }

    /// Verdict on calls that were read already.
    pub fn verdict_on_calls(&self, calls: &[Call], expected: &ExpectedCalls) -> Verdict {
        let verdict = match expected.check(calls, self.names) {
            CallVerdict::Right => Verdict::judged(true, "every call fits"),
            CallVerdict::Wrong(fault) => Verdict::judged(false, fault.to_string()),
            CallVerdict::Limit => {
                let mut spent = Fuel::new(0);
                spent
                    .spend(1)
                    .map_or_else(Verdict::from, |()| Verdict::judged(false, "limit"))
            }
        };
        verdict.extracted(serde_json::to_string(calls).unwrap_or_default())
    }
}

/// What a task expects.
fn expected(task: &Task) -> Result<ExpectedCalls, String> {
    let reference: Value = serde_json::from_str(&task.reference).unwrap_or_default();
    let list = |key: &str| -> Result<Option<Vec<Value>>, String> {
        let field = task.columns.get(key).or_else(|| reference.get(key));
        let value = match field {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => {
                Cow::Owned(serde_json::from_str(text).map_err(|e| format!("`{key}`: {e}"))?)
            }
            Some(value) => Cow::Borrowed(value),
        };
        match value.as_ref() {
            Value::Array(list) => Ok(Some(list.clone())),
            _ => Err(format!("`{key}` is no list")),
        }
    };
    match (list("functions")?, list("accepted")?) {
        (None, None) => Err("no `functions` and `accepted`".to_owned()),
        (functions, accepted) => {
            ExpectedCalls::new(&functions.unwrap_or_default(), &accepted.unwrap_or_default())
        }
    }
}

impl Judge for ToolUseConfig {
    fn name(&self) -> &'static str {
        "tool-use"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        match expected(task) {
            Ok(expected) => self.verdict(response, &expected),
            Err(what) => Verdict::unscorable(format!("task `{}`: {what}", task.id)),
        }
    }
}

impl Part<dyn Verifier> for ToolUseConfig {
    const SOURCE: &'static str = "Berkeley Function-Calling Leaderboard, ShishirPatil/gorilla @6ea57973c7a6 ast_checker.py; calls are matched";

    fn formula(&self) -> String {
        let names = match self.names {
            FunctionNames::Exact => "as they are",
            FunctionNames::Underscored => "with dots as underscores",
        };
        format!("r = [the calls pair off with the accepted ones], names {names}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn judge(reference: &str, columns: Value, response: &str) -> Verdict {
        let mut task = Task::new("t", "", reference);
        if let Value::Object(columns) = columns {
            task.columns = columns;
        }
        ToolUseConfig::default().judge(&task, response)
    }

    fn lamp() -> Value {
        json!({
            "functions": [{"name": "lamp.set", "parameters": {"properties": {"on": {"type": "boolean"}}, "required": ["on"]}}],
            "accepted": [{"lamp.set": {"on": [true]}}],
        })
    }

    const CALL: &str = r#"<tool_call>{"name": "lamp.set", "arguments": {"on": true}}</tool_call>"#;

    #[test]
    fn what_is_expected_stands_in_columns_texts_or_the_reference() {
        assert_eq!(judge("", lamp(), CALL).score, Some(1.0));
        assert_eq!(judge(&lamp().to_string(), json!({}), CALL).score, Some(1.0));
        let texts = json!({
            "functions": lamp()["functions"].to_string(),
            "accepted": lamp()["accepted"].to_string(),
        });
        assert_eq!(judge("", texts, CALL).score, Some(1.0));
        let right = judge("", lamp(), CALL);
        assert_eq!(
            right.extracted.as_deref(),
            Some(r#"[{"name":"lamp.set","arguments":{"on":true}}]"#)
        );
        for (columns, what) in [
            (json!({}), "task `t`: no `functions` and `accepted`"),
            (
                json!({"functions": 5, "accepted": []}),
                "task `t`: `functions` is no list",
            ),
            (
                json!({"functions": [], "accepted": [{"f": {}}]}),
                "task `t`: accepted: `f` is not described",
            ),
        ] {
            let verdict = judge("7", columns, CALL);
            assert_eq!((verdict.score, verdict.reason.as_ref()), (None, what));
        }
    }

    #[test]
    fn where_no_tool_fits_no_call_is_right() {
        let none = json!({"functions": lamp()["functions"].clone(), "accepted": []});
        assert_eq!(judge("", none.clone(), "I cannot.").score, Some(1.0));
        assert_eq!(
            judge("", none.clone(), CALL).reason,
            "wrong count: 1 instead of 0"
        );
        assert_eq!(
            judge("", none.clone(), "<tool_call>{</tool_call>").score,
            Some(0.0)
        );
        let thought = format!("<think>{CALL}</think>No tool.");
        assert_eq!(judge("", none, &thought).score, Some(1.0));
    }

    #[test]
    fn dots_may_be_underscores() {
        let expected = expected(&Task::new("t", "", lamp().to_string())).unwrap();
        let call = CALL.replace("lamp.set", "lamp_set");
        let underscored = ToolUseConfig {
            names: FunctionNames::Underscored,
        };
        assert_eq!(underscored.verdict(&call, &expected).score, Some(1.0));
        let exact = ToolUseConfig::default().verdict(&call, &expected);
        assert_eq!(
            (exact.score, exact.reason.as_ref()),
            (Some(0.0), "wrong function `lamp_set`")
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "(<tool_call>|</tool_call>|\\{\"name\": \"f\"|, \"arguments\": \\{\\}|\\}){0,9}") {
            for text in [text, near] {
                let score = judge("", lamp(), &text).score;
                prop_assert_eq!(score, Some(0.0));
            }
        }
    }
}
