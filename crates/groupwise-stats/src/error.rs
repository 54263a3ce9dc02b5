//! What statistics refuse: bad parameters, too few values, values that are no numbers.

use groupwise_core::ParamError;

/// Why a statistic could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatsError {
    /// A parameter outside its range.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// Fewer values than the statistic needs.
    #[error("`{what}` has {found} values, needs at least {needed}")]
    TooFew {
        /// Name of the input.
        what: &'static str,
        /// Values given.
        found: usize,
        /// Values needed.
        needed: usize,
    },
    /// Two inputs that must have the same length differ.
    #[error("`{what}` has {found} values, expected {expected}")]
    Length {
        /// Name of the input.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A value that is not finite, or lies outside its domain.
    #[error("`{what}`, entry {index}: {value} is not {domain}")]
    Value {
        /// Name of the input.
        what: &'static str,
        /// Index of the entry.
        index: usize,
        /// The value, printed.
        value: String,
        /// What is allowed, in words that follow "is not".
        domain: &'static str,
    },
}

/// Checks that `values` holds at least `needed` numbers, all finite.
pub(crate) fn check_values(what: &'static str, values: &[f64], needed: usize) -> Result<(), StatsError> {
    if values.len() < needed {
        return Err(StatsError::TooFew {
            what,
            found: values.len(),
            needed,
        });
    }
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(StatsError::Value {
            what,
            index,
            value: values[index].to_string(),
            domain: "finite",
        }),
    }
}

/// Checks that two inputs have the same length.
pub(crate) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), StatsError> {
    if found == expected {
        return Ok(());
    }
    Err(StatsError::Length {
        what,
        found,
        expected,
    })
}

/// Checks that a probability lies strictly between 0 and 1.
pub(crate) fn check_open_unit(key: &str, value: f64) -> Result<(), StatsError> {
    ParamError::check(value > 0.0 && value < 1.0, key, value, "strictly between 0 and 1")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_input_entry_and_domain() {
        assert_eq!(
            check_values("values", &[1.0], 2).unwrap_err().to_string(),
            "`values` has 1 values, needs at least 2"
        );
        assert_eq!(
            check_values("values", &[1.0, f64::NAN], 2)
                .unwrap_err()
                .to_string(),
            "`values`, entry 1: NaN is not finite"
        );
        assert_eq!(
            check_length("treatment", 2, 3).unwrap_err().to_string(),
            "`treatment` has 2 values, expected 3"
        );
        assert_eq!(
            check_open_unit("confidence", f64::NAN).unwrap_err().to_string(),
            "`confidence` = NaN: must be strictly between 0 and 1"
        );
    }
}
