//! Errors: bad parameters are refused when a part is built, later errors are about data only.

use std::fmt;

/// A parameter outside its range: which one, what was given, what is allowed.
///
/// Displays as `` `clip_low` = -0.2: must be a finite number > 0 ``.
///
/// # Example
/// ```
/// use groupwise_core::ParamError;
/// let error = ParamError::new("clip_low", -0.2, "a finite number > 0");
/// assert_eq!(error.to_string(), "`clip_low` = -0.2: must be a finite number > 0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` = {value}: must be {range}")]
pub struct ParamError {
    /// Name of the key as it stands in a recipe.
    pub key: String,
    /// The value given, printed.
    pub value: String,
    /// What is allowed, in words that follow "must be".
    pub range: String,
}

impl ParamError {
    /// Names key, value and range.
    pub fn new(key: impl Into<String>, value: impl fmt::Display, range: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            range: range.into(),
        }
    }

    /// `Ok` if `holds`; write the condition NaN-safe, so that NaN is refused: `value > 0.0`, not `!(value <= 0.0)`.
    ///
    /// # Errors
    /// The parameter error built from the other arguments, if `holds` is false.
    pub fn check(holds: bool, key: &str, value: impl fmt::Display, range: &str) -> Result<(), Self> {
        if holds {
            Ok(())
        } else {
            Err(Self::new(key, value, range))
        }
    }

    /// A coefficient: finite, not negative.
    ///
    /// # Errors
    /// Names key and value.
    pub fn check_coefficient(key: &str, value: f64) -> Result<(), Self> {
        Self::check(
            value.is_finite() && value >= 0.0,
            key,
            value,
            "a finite number >= 0",
        )
    }
}

/// Something wrong with the data handed to a part: names where (group, trajectory, step, token) and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// Two inputs that must have the same length differ.
    #[error("`{what}` has {found} entries, expected {expected}")]
    Length {
        /// Name of the input.
        what: String,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
    },
    /// An input that this part needs is absent.
    #[error("`{what}` is missing, and `{part}` needs it")]
    Missing {
        /// Name of the input.
        what: &'static str,
        /// The part that needs it.
        part: &'static str,
    },
    /// A value that cannot be used, with its place.
    #[error("{place}: {what}")]
    Value {
        /// Where, for example `group 3, trajectory 1`.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// A NaN or infinity where a finite number must stand.
    #[error("{place}: `{what}` is {value}")]
    NonFinite {
        /// Where, for example `trajectory 7, token 12`.
        place: String,
        /// Name of the tensor or array.
        what: String,
        /// The value found, printed.
        value: String,
    },
}

impl DataError {
    /// A value that cannot be used, with its place.
    pub fn value(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Value {
            place: place.into(),
            what: what.into(),
        }
    }

    /// `Ok` if both lengths agree.
    ///
    /// # Errors
    /// [`DataError::Length`] naming `what`, if they differ.
    pub fn check_len(what: &str, found: usize, expected: usize) -> Result<(), Self> {
        if found == expected {
            Ok(())
        } else {
            Err(Self::Length {
                what: what.into(),
                found,
                expected,
            })
        }
    }

    /// `Ok` if every value is finite.
    ///
    /// # Errors
    /// [`DataError::NonFinite`] naming the array and the index of the first offender.
    pub fn check_finite(what: &str, values: &[f64]) -> Result<(), Self> {
        // Without an early exit the usual case is a vectorized scan.
        if values.iter().fold(true, |finite, v| finite & v.is_finite()) {
            return Ok(());
        }
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(index) => Err(Self::NonFinite {
                place: format!("index {index}"),
                what: what.into(),
                value: values[index].to_string(),
            }),
        }
    }
}
