//! Rows of tool calls.

use groupwise_reward::tool_calls::{Call, CallVerdict, ExpectedCalls, FunctionNames, parse_calls};

use super::answers::expects;
use super::fields::{Fields, Mismatch};

/// `functions`, `accepted`, `calls` with `expected`; kind `call_text`: `text` with `valid_json_call`, `calls`.
pub(super) fn calls(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let mut out = Vec::new();
    if row.optional_text("kind") == Some("call_text") {
        let calls = parse_calls(row.text("text")?).unwrap_or_default();
        let mut any = row.compare("valid_json_call", !calls.is_empty(), &mut out);
        any |= row.compare("calls", calls.len(), &mut out);
        return expects(any, out);
    }
    let list = |key: &str| match row.has(key) {
        true => row.list(key),
        false => Ok(&[][..]),
    };
    let expected = ExpectedCalls::new(list("functions")?, list("accepted")?)?;
    let calls: Result<Vec<Call>, String> = row.list("calls")?.iter().map(Call::of_pair).collect();
    // Calls that cannot be read are not accepted.
    let right = calls.is_ok_and(|calls| expected.check(&calls, FunctionNames::Exact) == CallVerdict::Right);
    let any = row.compare("expected", right, &mut out);
    expects(any, out)
}
