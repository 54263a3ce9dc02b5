//! Expected against found.

use std::fmt;

use serde_json::{Number, Value};

/// Relative part of the tolerance: what two float64 sums of different order may differ by.
const RELATIVE: f64 = 1e-12;

/// The first place where two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Path from the root, for example `advantages[0][2]`.
    pub path: String,
    /// What must stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            found,
        } = self;
        write!(f, "{path}: expected {expected}, found {found}")
    }
}

/// Compares entry by entry; objects may hold more than is expected.
///
/// # Formula
/// Numbers agree if `|found - expected| <= tolerance + 1e-12 * |expected|`.
///
/// # Edge cases
/// Two integers must be equal whatever the tolerance; `null`, booleans and strings must be identical; arrays
/// must have equal length.
///
/// # Errors
/// The first difference in reading order.
///
/// # Example
/// ```
/// use groupwise_tests::compare;
/// use serde_json::json;
/// assert!(compare(&json!({"a": [1.0, null]}), &json!({"a": [1.0000001, null], "b": 2}), 1e-6).is_ok());
/// let difference = compare(&json!({"a": [1.0, null]}), &json!({"a": [1.0, 0.0]}), 1e-6).unwrap_err();
/// assert_eq!(difference.to_string(), "a[1]: expected null, found 0.0");
/// ```
pub fn compare(expected: &Value, found: &Value, tolerance: f64) -> Result<(), Difference> {
    walk(&mut String::new(), expected, found, tolerance)
}

fn walk(path: &mut String, expected: &Value, found: &Value, tolerance: f64) -> Result<(), Difference> {
    let depth = path.len();
    match (expected, found) {
        (Value::Object(e), Value::Object(f)) => {
            for (key, value) in e {
                if depth > 0 {
                    path.push('.');
                }
                path.push_str(key);
                let Some(other) = f.get(key) else {
                    return Err(differ(path, brief(value), "nothing".into()));
                };
                walk(path, value, other, tolerance)?;
                path.truncate(depth);
            }
            Ok(())
        }
        (Value::Array(e), Value::Array(f)) if e.len() == f.len() => {
            for (i, (value, other)) in e.iter().zip(f).enumerate() {
                path.push_str(&format!("[{i}]"));
                walk(path, value, other, tolerance)?;
                path.truncate(depth);
            }
            Ok(())
        }
        (Value::Number(e), Value::Number(f)) if agree(e, f, tolerance) => Ok(()),
        (e, f) if !e.is_number() && e == f => Ok(()),
        _ => Err(differ(path, brief(expected), brief(found))),
    }
}

fn agree(expected: &Number, found: &Number, tolerance: f64) -> bool {
    if let (Some(e), Some(f)) = (expected.as_i64(), found.as_i64()) {
        return e == f;
    }
    match (expected.as_f64(), found.as_f64()) {
        (Some(e), Some(f)) => (f - e).abs() <= tolerance + RELATIVE * e.abs(),
        _ => false,
    }
}

fn differ(path: &str, expected: String, found: String) -> Difference {
    Difference {
        path: path.to_owned(),
        expected,
        found,
    }
}

/// A value in few words.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(map) => format!("an object of {} keys", map.len()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(expected: Value, found: Value, tolerance: f64) -> String {
        match compare(&expected, &found, tolerance) {
            Ok(()) => "same".into(),
            Err(difference) => difference.to_string(),
        }
    }

    #[test]
    fn numbers_agree_within_absolute_and_tiny_relative_tolerance() {
        assert_eq!(message(json!(1.0), json!(1.0 + 9e-7), 1e-6), "same");
        assert_eq!(
            message(json!([-4.0]), json!([-4.0000011]), 1e-6),
            "[0]: expected -4.0, found -4.0000011"
        );
        assert_eq!(message(json!(1e6), json!(1e6 + 1e-7), 0.0), "same");
        assert_eq!(message(json!(0.0), json!(-0.0), 0.0), "same");
        assert!(message(json!(0.0), json!(1e-12), 0.0).contains("found"));
    }

    #[test]
    fn an_integer_may_be_met_by_a_float_but_not_by_another_integer() {
        assert_eq!(message(json!(3), json!(3.0), 1e-9), "same");
        assert_eq!(message(json!(3.0), json!(3), 1e-9), "same");
        assert_eq!(message(json!([3]), json!([4]), 10.0), "[0]: expected 3, found 4");
    }

    #[test]
    fn kinds_are_not_mixed() {
        for (expected, found) in [
            (json!(null), json!(0)),
            (json!(true), json!(1)),
            (json!(1.0), json!(null)),
            (json!(1.0), json!("NaN")),
            (json!(null), json!("NaN")),
            (json!("a"), json!("b")),
            (json!([1]), json!(1)),
            (json!({"a": 1}), json!([1])),
        ] {
            assert!(compare(&expected, &found, 1e9).is_err(), "{expected} and {found}");
        }
        for value in [json!(null), json!(true), json!("a"), json!([]), json!({})] {
            assert!(compare(&value, &value, 0.0).is_ok());
        }
    }

    #[test]
    fn the_path_of_the_first_difference_is_given() {
        let expected = json!({"advantages": [[1.0, 2.0], [3.0]], "loss": 1.0});
        assert_eq!(
            message(
                expected.clone(),
                json!({"advantages": [[1.0, 2.5], [0.0]], "loss": 0.0}),
                0.1
            ),
            "advantages[0][1]: expected 2.0, found 2.5"
        );
        assert_eq!(
            message(expected.clone(), json!({"advantages": [[1.0, 2.0]]}), 0.1),
            "advantages: expected an array of 2, found an array of 1"
        );
        assert_eq!(
            message(expected, json!({"advantages": [[1.0, 2.0], [3.0]]}), 0.1),
            "loss: expected 1.0, found nothing"
        );
        assert_eq!(
            message(json!({"a": {"b": [1]}}), json!({"a": {"b": [2]}}), 0.0),
            "a.b[0]: expected 1, found 2"
        );
    }
}
