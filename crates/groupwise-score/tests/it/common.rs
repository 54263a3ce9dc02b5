//! Scoring of texts.

use std::num::NonZeroUsize;

use groupwise_recipe::Parts;
use groupwise_score::{Options, ScoreError, run};
use serde_json::Value;

/// Options as they stand on a command line.
pub(crate) fn options(advantage: Option<&str>, objective: Option<&str>, batch: usize) -> Options {
    let parts = Parts::read(None, advantage, objective, &[]).unwrap();
    Options {
        advantage: parts.advantage,
        objective: parts.objective,
        batch: NonZeroUsize::new(batch),
    }
}

/// The lines that come out.
pub(crate) fn score(text: &str, options: &Options) -> Result<Vec<Value>, ScoreError> {
    let mut out = Vec::new();
    run(text.as_bytes(), &mut out, options)?;
    let lines = String::from_utf8(out).unwrap();
    Ok(lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect())
}

/// The message of what goes wrong.
pub(crate) fn refused(text: &str, options: &Options) -> String {
    score(text, options)
        .map(|lines| format!("accepted: {lines:?}"))
        .unwrap_err()
        .to_string()
}

/// Numbers of a value at any nesting, in reading order.
pub(crate) fn leaves(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}
