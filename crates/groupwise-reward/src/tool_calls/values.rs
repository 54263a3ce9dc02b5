//! Values of arguments: their types, and equality with what is accepted.

use serde_json::{Map, Value};

use super::FaultKind;
use crate::response::{Fuel, OutOfFuel};

/// Type of a value, or the type asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Text,
    Whole,
    Float,
    Truth,
    List,
    Object,
}

impl Kind {
    /// The type of that name in a description; `any` is read as text.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "string" | "any" => Self::Text,
            "integer" => Self::Whole,
            "float" | "number" => Self::Float,
            "boolean" => Self::Truth,
            "array" | "tuple" => Self::List,
            "dict" | "object" => Self::Object,
            _ => return None,
        })
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Truth,
            Value::Number(n) if n.is_f64() => Self::Float,
            Value::Number(_) => Self::Whole,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// Type of a value where `asked` is asked for: a whole number is a float, too.
    fn of_for(value: &Value, asked: Self) -> Self {
        match (Self::of(value), asked) {
            (Self::Whole, Self::Float) => Self::Float,
            (kind, _) => kind,
        }
    }
}

/// Type of an argument as described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParameterType {
    pub(super) outer: Kind,
    /// Of the elements of a list.
    pub(super) inner: Option<Kind>,
}

/// How a value that has a fine type is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fine {
    /// As the described type asks for.
    Described,
    /// As it is: the accepted values are of another type.
    AsIs,
}

/// Checks type and value of an argument.
pub(super) fn check_value(
    value: &Value,
    described: ParameterType,
    accepted: &[Value],
    fuel: &mut Fuel,
) -> Result<Result<(), FaultKind>, OutOfFuel> {
    let fine = match check_type(value, described, accepted, fuel)? {
        Ok(fine) => fine,
        Err(kind) => return Ok(Err(kind)),
    };
    let is_list_of_objects = described.inner == Some(Kind::Object);
    let mut found = false;
    for candidate in accepted {
        found |= match (fine, described.outer, value, candidate) {
            (Fine::AsIs, ..) => same(value, candidate, fuel)?,
            (_, Kind::Object, Value::Object(value), Value::Object(candidate)) => {
                object_fits(value, candidate, fuel)?
            }
            (_, Kind::List, Value::Array(values), Value::Array(candidates)) if is_list_of_objects => {
                objects_fit(values, candidates, fuel)?
            }
            (_, Kind::Object, ..) => false,
            _ => same_loosely(value, candidate, fuel)?,
        };
    }
    Ok(if found { Ok(()) } else { Err(FaultKind::WrongValue) })
}

fn check_type(
    value: &Value,
    described: ParameterType,
    accepted: &[Value],
    fuel: &mut Fuel,
) -> Result<Result<Fine, FaultKind>, OutOfFuel> {
    let kind = Kind::of_for(value, described.outer);
    let accepted_kind = kind_of_accepted(accepted);
    let fine = match accepted_kind {
        Some(accepted) if accepted != described.outer => Fine::AsIs,
        _ => Fine::Described,
    };
    if kind != described.outer {
        return Ok(match accepted_kind == Some(kind) {
            true => Ok(Fine::AsIs),
            false => Err(FaultKind::WrongType),
        });
    }
    let (Some(inner), Value::Array(items)) = (described.inner, value) else {
        return Ok(Ok(fine));
    };
    for candidate in accepted {
        let Value::Array(candidates) = candidate else {
            return Ok(Ok(fine));
        };
        fuel.spend(items.len() as u64)?;
        let accepted_kind = kind_of_accepted(candidates);
        let item_is_fine = |item: &Value| {
            let kind = Kind::of_for(item, inner);
            kind == inner || accepted_kind == Some(kind)
        };
        if items.iter().all(item_is_fine) {
            return Ok(Ok(fine));
        }
    }
    Ok(Err(FaultKind::WrongItemType))
}

/// Type of the accepted values: that of the first one that is not "", the mark of what may be left out.
fn kind_of_accepted(accepted: &[Value]) -> Option<Kind> {
    let first = accepted.iter().find(|v| v.as_str() != Some(""));
    first.map(Kind::of)
}

/// A text without what does not count.
fn standard(text: &str) -> String {
    let kept = text
        .chars()
        .filter(|c| !matches!(c, ' ' | ',' | '.' | '/' | '-' | '_' | '*' | '^'));
    kept.collect::<String>().to_lowercase().replace('\'', "\"")
}

/// Equality of values, texts at the top and in a list compared loosely.
fn same_loosely(a: &Value, b: &Value, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    Ok(match (a, b) {
        (Value::String(a), Value::String(b)) => {
            fuel.spend((a.len() + b.len()) as u64)?;
            standard(a) == standard(b)
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b) {
                let equal = match (a, b) {
                    (Value::String(a), Value::String(b)) => {
                        fuel.spend((a.len() + b.len()) as u64)?;
                        standard(a) == standard(b)
                    }
                    _ => same(a, b, fuel)?,
                };
                if !equal {
                    return Ok(false);
                }
            }
            true
        }
        _ => same(a, b, fuel)?,
    })
}

/// Equality of values as they are, 1 and 1.0 being equal.
fn same(a: &Value, b: &Value, fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    let mut pairs = vec![(a, b)];
    while let Some((a, b)) = pairs.pop() {
        fuel.spend(1)?;
        let equal = match (a, b) {
            (Value::Number(x), Value::Number(y)) => {
                x == y || (x.is_f64() != y.is_f64() && x.as_f64() == y.as_f64())
            }
            (Value::Array(x), Value::Array(y)) => {
                pairs.extend(x.iter().zip(y));
                x.len() == y.len()
            }
            (Value::Object(x), Value::Object(y)) => {
                let found = x.iter().filter_map(|(key, value)| Some((value, y.get(key)?)));
                let before = pairs.len();
                pairs.extend(found);
                x.len() == y.len() && pairs.len() - before == x.len()
            }
            _ => a == b,
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if an object has only accepted keys, each with an accepted value, and leaves out none that must be there.
fn object_fits(
    value: &Map<String, Value>,
    accepted: &Map<String, Value>,
    fuel: &mut Fuel,
) -> Result<bool, OutOfFuel> {
    let options = |values: &Value| match values {
        Value::Array(values) => values.clone(),
        one => vec![one.clone()],
    };
    for (key, value) in value {
        let Some(values) = accepted.get(key) else {
            return Ok(false);
        };
        let mut found = false;
        for option in options(values) {
            found |= same_loosely(value, &option, fuel)?;
        }
        if !found {
            return Ok(false);
        }
    }
    let must_be_there = |(key, values): (&String, &Value)| {
        !value.contains_key(key) && !options(values).iter().any(|v| v.as_str() == Some(""))
    };
    Ok(!accepted.iter().any(must_be_there))
}

fn objects_fit(values: &[Value], accepted: &[Value], fuel: &mut Fuel) -> Result<bool, OutOfFuel> {
    if values.len() != accepted.len() {
        return Ok(false);
    }
    for pair in values.iter().zip(accepted) {
        let fits = match pair {
            (Value::Object(value), Value::Object(accepted)) => object_fits(value, accepted, fuel)?,
            _ => false,
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}
