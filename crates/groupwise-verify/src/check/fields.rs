//! Typed access to the fields of a row.

use serde_json::{Map, Value};

/// Numbers that differ by less, absolutely or in relation to the expected one, agree: rows hold rounded values.
const TOLERANCE: f64 = 1e-9;

/// A field whose value is not the expected one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mismatch {
    pub(super) field: String,
    pub(super) expected: Value,
    pub(super) found: Value,
}

/// Fields of a row, or of an object inside one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub(super) fn new(row: &'a Map<String, Value>) -> Self {
        Self(row)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn id(&self, line: u64) -> String {
        match self.0.get("id") {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => format!("line {line}"),
        }
    }

    pub(super) fn value(&self, key: &str) -> Result<&'a Value, String> {
        self.0.get(key).ok_or_else(|| format!("has no `{key}`"))
    }

    fn typed<T>(&self, key: &str, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<T, String> {
        read(self.value(key)?).ok_or_else(|| format!("`{key}` is no {what}"))
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, String> {
        self.typed(key, "text", Value::as_str)
    }

    pub(super) fn optional_text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).and_then(Value::as_str)
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, String> {
        self.typed(key, "number", Value::as_f64)
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, String> {
        self.typed(key, "size", |v| v.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    pub(super) fn list(&self, key: &str) -> Result<&'a [Value], String> {
        self.typed(key, "list", |v| v.as_array().map(Vec::as_slice))
    }

    pub(super) fn object(&self, key: &str) -> Result<Fields<'a>, String> {
        self.typed(key, "object", |v| v.as_object().map(Fields))
    }

    /// A list whose entries are all of one kind.
    pub(super) fn list_of<T>(
        &self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        let entries = self.list(key)?.iter().map(read);
        entries
            .collect::<Option<_>>()
            .ok_or_else(|| format!("`{key}` is no list of {what}"))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'a str>, String> {
        self.list_of(key, "texts", Value::as_str)
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Vec<f64>, String> {
        self.list_of(key, "numbers", Value::as_f64)
    }

    /// Compares what was found with the field, if the row has it; true if it has.
    pub(super) fn compare(&self, key: &str, found: impl Into<Value>, out: &mut Vec<Mismatch>) -> bool {
        let Some(expected) = self.0.get(key) else {
            return false;
        };
        let found = found.into();
        if !agree(expected, &found) {
            out.push(Mismatch {
                field: key.to_owned(),
                expected: expected.clone(),
                found,
            });
        }
        true
    }
}

/// Equality of values; numbers within [`TOLERANCE`], true being 1 and false 0.
fn agree(expected: &Value, found: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        other => other.as_f64(),
    };
    match (expected, found) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        _ => match (number(expected), number(found)) {
            (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(1.0),
            _ => expected == found,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_agree_within_rounding_and_nothing_else_does() {
        for (expected, found, same) in [
            (json!(1), json!(1.0), true),
            (json!(0.666666666667), json!(2.0 / 3.0), true),
            (json!(0.6667), json!(2.0 / 3.0), false),
            (json!(true), json!(1.0), true),
            (json!(0), json!(false), true),
            (json!(null), json!(0), false),
            (json!(null), json!(null), true),
            (json!([1, null]), json!([1.0, null]), true),
            (json!([1]), json!([1, 1]), false),
            (json!("a"), json!("a"), true),
            (json!("1"), json!(1), false),
        ] {
            assert_eq!(agree(&expected, &found), same, "{expected} {found}");
        }
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        let row = json!({"a": "x", "b": [1, "y"]});
        let fields = Fields::new(row.as_object().unwrap());
        assert_eq!(fields.text("c").unwrap_err(), "has no `c`");
        assert_eq!(fields.number("a").unwrap_err(), "`a` is no number");
        assert_eq!(fields.numbers("b").unwrap_err(), "`b` is no list of numbers");
        let mut out = Vec::new();
        assert!(!fields.compare("c", 1, &mut out) && fields.compare("a", "z", &mut out));
        assert_eq!(out[0].found, "z");
    }
}
