//! Nesting: group > trajectory > step or token as JSON arrays, flattened for the crates and rebuilt after.

use groupwise_core::Offsets;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fault::Fault;

/// The leaves of an array nested exactly `depth` deep, in reading order.
///
/// # Errors
/// [`Fault::Refused`] if an array stands where a leaf should or the other way round, or a leaf has another type.
pub fn leaves<T: DeserializeOwned>(what: &str, value: &Value, depth: usize) -> Result<Vec<T>, Fault> {
    let mut out = Vec::new();
    collect(what, value, depth, &mut |leaf| {
        out.push(T::deserialize(leaf).map_err(|e| Fault::refused(format!("`{what}`: {e}")))?);
        Ok(())
    })?;
    Ok(out)
}

/// Offsets of the arrays at `level` (0: the outermost) of nested arrays.
///
/// # Errors
/// [`Fault::Refused`] if the nesting is not that deep everywhere.
pub fn offsets(what: &str, value: &Value, level: usize) -> Result<Offsets, Fault> {
    let mut out = Offsets::default();
    collect(what, value, level + 1, &mut |inner| {
        let items = inner
            .as_array()
            .ok_or_else(|| Fault::refused(format!("`{what}` is not nested {} deep", level + 2)))?;
        out.push(items.len());
        Ok(())
    })?;
    Ok(out)
}

/// Zeros and ones, or booleans, as flags.
///
/// # Errors
/// As [`leaves`]; another number.
pub fn flags(what: &str, value: &Value, depth: usize) -> Result<Vec<bool>, Fault> {
    let flag = |leaf: Value| match leaf.as_bool().or(leaf.as_f64().map(|x| x == 1.0)) {
        Some(false) if leaf.as_f64().is_some_and(|x| x != 0.0) => None,
        flag => flag,
    };
    leaves::<Value>(what, value, depth)?
        .into_iter()
        .map(|leaf| flag(leaf).ok_or_else(|| Fault::refused(format!("`{what}` must hold 0 and 1"))))
        .collect()
}

/// Group > trajectory > token structure of a case, read off one of its inputs.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    /// The input it was read off; results are nested like it.
    pub template: &'a Value,
    /// Group -> trajectories.
    pub groups: Offsets,
    /// Trajectory -> tokens.
    pub tokens: Offsets,
}

impl<'a> Tokens<'a> {
    /// Reads the structure off an input nested three deep.
    ///
    /// # Errors
    /// [`Fault::Refused`] if it is nested otherwise.
    pub fn of(what: &str, template: &'a Value) -> Result<Self, Fault> {
        Ok(Self {
            template,
            groups: offsets(what, template, 0)?,
            tokens: offsets(what, template, 1)?,
        })
    }

    /// The numbers of another input of the same structure.
    ///
    /// # Errors
    /// [`Fault::Refused`] if its structure differs.
    pub fn numbers(&self, what: &str, value: &Value) -> Result<Vec<f64>, Fault> {
        self.check(what, value)?;
        leaves(what, value, 3)
    }

    /// The mask of the case; without one every token counts.
    ///
    /// # Errors
    /// [`Fault::Refused`] if its structure differs or it holds anything but 0 and 1.
    pub fn mask(&self, mask: Option<&Value>) -> Result<Vec<bool>, Fault> {
        match mask {
            None => Ok(vec![true; self.tokens.total()]),
            Some(mask) => {
                self.check("mask", mask)?;
                flags("mask", mask, 3)
            }
        }
    }

    /// One value per token, nested.
    pub fn nest<T: Copy>(&self, flat: &[T]) -> Vec<Vec<Vec<T>>> {
        let row = |i: usize| flat[self.tokens.range(i)].to_vec();
        self.groups
            .spans()
            .iter()
            .map(|members| members.map(row).collect())
            .collect()
    }

    /// One value per trajectory, nested.
    pub fn nest_outer<T: Copy>(&self, flat: &[T]) -> Vec<Vec<T>> {
        self.groups
            .spans()
            .iter()
            .map(|members| flat[members].to_vec())
            .collect()
    }

    /// Checks that an input of one value per trajectory fits.
    ///
    /// # Errors
    /// [`Fault::Refused`] if it does not.
    pub fn check_groups(&self, what: &str, groups: &Offsets) -> Result<(), Fault> {
        if *groups == self.groups {
            Ok(())
        } else {
            Err(Fault::refused(format!(
                "`{what}` has other groups than the tokens"
            )))
        }
    }

    fn check(&self, what: &str, value: &Value) -> Result<(), Fault> {
        self.check_groups(what, &offsets(what, value, 0)?)?;
        if offsets(what, value, 1)? == self.tokens {
            Ok(())
        } else {
            Err(Fault::refused(format!(
                "`{what}` has other lengths than the other inputs"
            )))
        }
    }
}

/// How deep arrays are nested, by the first entry of each; 0 for a scalar.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// `values` in the nesting of `template`; surplus leaves become `null`, so that they equal no number.
pub fn like(template: &Value, values: &[f64]) -> Value {
    refill(template, &mut values.iter().copied())
}

/// A number, or a string where JSON has no word for it, so that it equals nothing that is expected.
pub fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// Numbers as an array.
pub fn numbers(values: &[f64]) -> Value {
    values.iter().copied().map(number).collect()
}

fn collect<'a>(
    what: &str,
    value: &'a Value,
    depth: usize,
    visit: &mut dyn FnMut(&'a Value) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if depth == 0 {
        return visit(value);
    }
    let items = value
        .as_array()
        .ok_or_else(|| Fault::refused(format!("`{what}` is not nested as deep as it must be")))?;
    items
        .iter()
        .try_for_each(|item| collect(what, item, depth - 1, &mut *visit))
}

fn refill(template: &Value, values: &mut dyn Iterator<Item = f64>) -> Value {
    match template {
        Value::Array(items) => items.iter().map(|item| refill(item, values)).collect(),
        _ => values.next().map_or(Value::Null, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn nesting_is_flattened_and_rebuilt() {
        let value = json!([[[1.0, 2.0], []], [[3.0]]]);
        assert_eq!(depth(&value), 3);
        assert_eq!(leaves::<f64>("logp", &value, 3).unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(offsets("logp", &value, 0).unwrap(), Offsets::from_lengths([2, 1]));
        assert_eq!(
            offsets("logp", &value, 1).unwrap(),
            Offsets::from_lengths([2, 0, 1])
        );
        assert_eq!(like(&value, &[4.0, 5.0, 6.0]), json!([[[4.0, 5.0], []], [[6.0]]]));
    }

    #[test]
    fn wrong_depth_and_type_are_refused() {
        assert_eq!(
            leaves::<f64>("mask", &json!([1, [2]]), 2).unwrap_err(),
            Fault::refused("`mask` is not nested as deep as it must be")
        );
        assert!(leaves::<f64>("mask", &json!(["a"]), 1).is_err());
        assert!(offsets("mask", &json!([1]), 0).is_err());
        assert_eq!(
            leaves::<Option<f64>>("r", &json!([null, 1]), 1).unwrap(),
            [None, Some(1.0)]
        );
    }

    #[test]
    fn inputs_of_another_structure_are_refused() {
        let logp = json!([[[-1.0, -2.0], [-3.0]]]);
        let tokens = Tokens::of("logp", &logp).unwrap();
        assert_eq!(tokens.mask(None).unwrap(), [true; 3]);
        assert_eq!(
            tokens.mask(Some(&json!([[[1, 0], [true]]]))).unwrap(),
            [true, false, true]
        );
        assert_eq!(tokens.numbers("logp_old", &logp).unwrap(), [-1.0, -2.0, -3.0]);
        for other in [
            json!([[[1, 0]]]),
            json!([[[1], [0, 1]]]),
            json!([[1, 0]]),
            json!([[[1, 0], [2]]]),
        ] {
            assert!(
                matches!(tokens.mask(Some(&other)), Err(Fault::Refused(_))),
                "{other}"
            );
        }
        assert_eq!(tokens.nest(&[1, 2, 3]), [[vec![1, 2], vec![3]]]);
        assert_eq!(tokens.nest_outer(&[4, 5]), [[4, 5]]);
        assert!(Tokens::of("logp", &json!([[1.0]])).is_err());
        assert!(
            tokens
                .check_groups("rewards", &Offsets::from_lengths([1, 1]))
                .is_err()
        );
    }

    #[test]
    fn numbers_json_cannot_carry_equal_nothing() {
        assert_eq!(number(f64::NAN), json!("NaN"));
        assert_eq!(numbers(&[1.0, f64::INFINITY]), json!([1.0, "inf"]));
        assert_eq!(like(&json!([0, 0]), &[1.0]), json!([1.0, null]));
    }

    proptest! {
        #[test]
        fn like_undoes_leaves(rows in prop::collection::vec(prop::collection::vec(-1e6f64..1e6, 0..5), 0..5)) {
            let value = json!(rows);
            let flat = leaves::<f64>("x", &value, 2).unwrap();
            prop_assert_eq!(like(&value, &flat), value.clone());
            let lengths = offsets("x", &value, 0).unwrap();
            prop_assert_eq!(lengths.total(), flat.len());
        }
    }
}
