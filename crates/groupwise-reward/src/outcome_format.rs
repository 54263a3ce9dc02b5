//! Outcome of an episode plus credit for its format (ARPO).

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

/// Weight of the format, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutcomeFormatConfig {
    /// What a right format adds, >= 0.
    pub format_weight: f64,
}

impl Default for OutcomeFormatConfig {
    fn default() -> Self {
        Self { format_weight: 0.5 }
    }
}

/// Reward of an episode that the environment checked.
///
/// # Formula
/// `R = o + w f`.
///
/// # Shapes
/// Outcome o in [0, 1], format f 0 or 1; the reward lies in [0, 1 + w].
///
/// # Edge cases
/// The format is paid whatever the outcome, so a failed group need not have equal rewards: judge failure by o.
///
/// # Errors
/// - When built: `format_weight` negative or not finite.
/// - In use: an outcome outside [0, 1].
///
/// # Source
/// ARPO, arXiv 2505.16282; weight of `examples/osworld_full_arpo.sh` in dvlab-research/ARPO at 7489ae30.
///
/// # Example
/// ```
/// use groupwise_reward::outcome_format::{OutcomeFormat, OutcomeFormatConfig};
/// let reward = OutcomeFormat::new(OutcomeFormatConfig::default())?;
/// assert_eq!((reward.score(1.0, true)?, reward.score(0.0, true)?, reward.score(0.0, false)?), (1.5, 0.5, 0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutcomeFormat(OutcomeFormatConfig);

impl OutcomeFormat {
    /// Validates the weight.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: OutcomeFormatConfig) -> Result<Self, ParamError> {
        let weight = config.format_weight;
        ParamError::check_coefficient("format_weight", weight)?;
        Ok(Self(config))
    }

    /// Reward of one episode.
    ///
    /// # Errors
    /// An outcome outside [0, 1].
    pub fn score(&self, outcome: f64, format: bool) -> Result<f64, DataError> {
        if (0.0..=1.0).contains(&outcome) {
            Ok(outcome + if format { self.0.format_weight } else { 0.0 })
        } else {
            let what = format!("outcome {outcome} is outside [0, 1]");
            Err(DataError::value("episode", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reward(format_weight: f64) -> Result<OutcomeFormat, ParamError> {
        OutcomeFormat::new(OutcomeFormatConfig { format_weight })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_right_format_adds_its_weight_and_nothing_else_changes_the_outcome(o in 0.0..=1.0f64, w in 0.0..3.0f64) {
            let reward = reward(w)?;
            prop_assert_eq!(reward.score(o, false)?, o);
            prop_assert_eq!(reward.score(o, true)?, o + w);
        }
    }

    #[test]
    fn bad_weights_and_outcomes_are_refused() {
        for bad in [-0.5, f64::NAN, f64::INFINITY] {
            assert_eq!(
                reward(bad).unwrap_err().to_string(),
                format!("`format_weight` = {bad}: must be a finite number >= 0")
            );
        }
        let reward = reward(0.0).unwrap();
        assert_eq!(reward.score(1.0, true), Ok(1.0));
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!(
                reward.score(bad, true).unwrap_err().to_string(),
                format!("episode: outcome {bad} is outside [0, 1]")
            );
        }
    }
}
