//! JSON read to the letter: no key twice, nothing that is not JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads one JSON value, with nothing but white space around it.
///
/// # Edge cases
/// A key that occurs twice in one object, a number beyond `f64`, `NaN`, single quotes, a trailing comma: refused.  So are
/// values nested deeper than 128 levels.
///
/// # Errors
/// What is wrong and where.
///
/// # Example
/// ```
/// use groupwise_reward::strict_json;
/// assert_eq!(strict_json::parse(r#"{"a": [1]}"#)?["a"][0], 1);
/// let twice = strict_json::parse(r#"{"a": 1, "a": 2}"#).unwrap_err();
/// assert!(twice.to_string().starts_with("the key `a` occurs twice"));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str::<Strict>(text).map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is not finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` occurs twice")));
            }
            let Strict(value) = map.next_value()?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{'a': 1}",
            "{\"a\": NaN}",
            "{\"a\": Infinity}",
            "{\"a\": 1e999}",
            "{\"a\": 1,}",
            "[1, 2",
            "{\"a\": 1} x",
            "{a: 1}",
            "{\"a\": 01}",
            "{\"a\": True}",
            "{\"a\": {\"b\": 1, \"b\": 1}}",
            "[{\"b\": 1, \"\\u0062\": 1}]",
            "\"\\ud800\"",
            "\"a\nb\"",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(parse(&deep(100)).is_ok() && parse(&deep(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn text_without_double_keys_reads_as_usual(text in "[\\[\\]{}:,a\"0-9e.\\- ]{0,24}", other in any::<String>()) {
            for text in [text, other] {
                let usual = serde_json::from_str::<Value>(&text);
                if let Ok(strict) = parse(&text) {
                    prop_assert_eq!(Some(strict), usual.ok());
                }
            }
        }
    }
}
