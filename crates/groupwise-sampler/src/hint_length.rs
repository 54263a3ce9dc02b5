//! Length of a hint: from a share of a solution to a number of its units, and the search for the share that holds a
//! prompt's accuracy at a target.
//!
//! A hint is the first part of a reference solution.  The rollouts of a step are spent in rounds: after each, a
//! [`ResponseCurve`](crate::item_response::ResponseCurve) is refitted to what this prompt did in this step and inverted
//! at the target.

use groupwise_core::{DataError, ParamError, stats};

use crate::item_response::{CurveBounds, Measured, fit_curve};

/// Hint rate at a first visit: all of the solution but its last unit.
///
/// # Formula
/// `(n - 1) / n`.
///
/// # Shapes
/// `n_units` of the solution: tokens, characters, steps.
///
/// # Edge cases
/// One unit: 0.
///
/// # Errors
/// A solution of 0 units.
///
/// # Source
/// SEELE (arXiv 2509.06923), algorithm 1.
///
/// # Example
/// ```
/// use groupwise_sampler::hint_length::cold_start_rate;
/// assert_eq!(cold_start_rate(8)?, 0.875);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn cold_start_rate(n_units: usize) -> Result<f64, DataError> {
    check_units(n_units)?;
    Ok((n_units - 1) as f64 / n_units as f64)
}

/// Units of a solution shown at a hint rate; never all of them.
///
/// # Formula
/// `min(round(p n), n - 1)`, halves to the even number.
///
/// # Shapes
/// `rate` in [0, 1]; the result in units of the solution.
///
/// # Edge cases
/// One unit: 0 at every rate.
///
/// # Errors
/// A rate outside [0, 1], NaN included; a solution of 0 units.
///
/// # Source
/// SEELE (arXiv 2509.06923), section 4.2; that the last unit stays hidden is ours: the whole solution leaves nothing to
/// generate.
///
/// # Example
/// ```
/// use groupwise_sampler::hint_length::hint_length;
/// assert_eq!((hint_length(0.875, 8)?, hint_length(0.25, 10)?, hint_length(1.0, 4)?), (7, 2, 3));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn hint_length(rate: f64, n_units: usize) -> Result<usize, DataError> {
    check_units(n_units)?;
    if !(0.0..=1.0).contains(&rate) {
        return Err(DataError::value("hint rate", format!("{rate} is outside [0, 1]")));
    }
    let length = (rate * n_units as f64).round_ties_even() as usize;
    Ok(length.min(n_units - 1))
}

fn check_units(n_units: usize) -> Result<(), DataError> {
    if n_units == 0 {
        return Err(DataError::value("solution", "has no units to show"));
    }
    Ok(())
}

/// Accuracy that hints aim at, valid by construction.
///
/// # Errors
/// Building refuses a target outside (0, 1), NaN included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HintTarget(f64);

impl HintTarget {
    /// Validates.
    ///
    /// # Errors
    /// See [`HintTarget`].
    pub fn new(target: f64) -> Result<Self, ParamError> {
        let inside = target > 0.0 && target < 1.0;
        ParamError::check(inside, "target", target, "a number > 0 and < 1")?;
        Ok(Self(target))
    }

    /// The accuracy.
    pub fn accuracy(self) -> f64 {
        self.0
    }
}

/// Rounds of one prompt inside one step: what was tried, and what to try next.
///
/// # Formula
/// The hint of a round is [`hint_length`] of the rate wanted; after the round the point (rate shown, mean reward) joins
/// the memory, the curve is fitted to it by [`fit_curve`], and the next rate wanted is the curve's inverse at the
/// target.
///
/// # Shapes
/// Lengths in units of the solution, rates as shares of it.
///
/// # Edge cases
/// - A round without a scorable rollout leaves memory and rate as they were.
/// - One unit: no hint in any round.
///
/// # Errors
/// A solution of 0 units, a first rate or a reward outside [0, 1].
///
/// # Source
/// SEELE (arXiv 2509.06923), algorithm 1.  Memory holds the rate that was shown, not the one that was wanted, and lives
/// for one step: accuracies of an older policy would mix two curves.  Only the rate may be carried to the next visit.
///
/// # Example
/// ```
/// use groupwise_sampler::hint_length::{HintRounds, HintTarget, cold_start_rate};
/// let mut rounds = HintRounds::new(HintTarget::new(0.5)?, 10, cold_start_rate(10)?)?;
/// assert_eq!((rounds.length(), rounds.rate()), (9, 0.9));
/// rounds.record(&[Some(1.0); 8])?;
/// // Right with nearly everything shown: show less.
/// assert!(rounds.length() < 9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HintRounds {
    target: HintTarget,
    n_units: usize,
    wanted: f64,
    length: usize,
    measured: Vec<Measured>,
}

impl HintRounds {
    /// Rounds whose first is shown at `first_rate`: the rate carried from the last visit, or [`cold_start_rate`].
    ///
    /// # Errors
    /// See [`HintRounds`].
    pub fn new(target: HintTarget, n_units: usize, first_rate: f64) -> Result<Self, DataError> {
        Ok(Self {
            target,
            n_units,
            wanted: first_rate,
            length: hint_length(first_rate, n_units)?,
            measured: Vec::new(),
        })
    }

    /// Units to show in the round that comes next.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Share of the solution these units are.
    pub fn rate(&self) -> f64 {
        self.length as f64 / self.n_units as f64
    }

    /// Rate at which the accuracy is the target, as far as the last fit knows; after the last round it is what is
    /// carried to the next visit.
    pub fn wanted_rate(&self) -> f64 {
        self.wanted
    }

    /// Rates shown so far with their mean rewards, in the order of the rounds.
    pub fn measured(&self) -> &[Measured] {
        &self.measured
    }

    /// Takes in the rewards of the round that was shown [`HintRounds::length`] units.
    ///
    /// # Errors
    /// A reward outside [0, 1], NaN included; names the round and the rollout.
    pub fn record(&mut self, rewards: &[Option<f64>]) -> Result<(), DataError> {
        let outside = |r: &Option<f64>| r.is_some_and(|r| !(0.0..=1.0).contains(&r));
        if let Some(i) = rewards.iter().position(outside) {
            return Err(DataError::value(
                format!("round {}, rollout {i}", self.measured.len() + 1),
                format!("reward {} is outside [0, 1]", rewards[i].unwrap_or(f64::NAN)),
            ));
        }
        let scored: Vec<f64> = rewards.iter().flatten().copied().collect();
        if scored.is_empty() {
            return Ok(());
        }
        self.measured.push(Measured {
            rate: self.rate(),
            // A mean of ones may round to just above 1.
            accuracy: stats::mean(&scored).clamp(0.0, 1.0),
        });
        let fit = fit_curve(&self.measured, &CurveBounds::default())?;
        self.wanted = fit.curve.hint_rate(self.target.accuracy());
        self.length = hint_length(self.wanted, self.n_units)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "hint_length_tests.rs"]
mod tests;
