//! How good stated probabilities are.

use crate::error::{StatsError, check_length, check_values};
use crate::summary::mean;

/// Brier score: mean squared error of probabilities.
///
/// # Formula
/// `mean((p - o)^2)` with outcomes `o` in {0, 1}.
/// # Shapes
/// One probability and one outcome per prediction; the result lies in [0, 1], lower is better.
/// # Edge cases
/// 0 for certain and right predictions, 0.25 for `p` = 1/2 throughout.
/// # Errors
/// Different lengths, no prediction, a probability outside [0, 1] or NaN.
/// # Source
/// Brier, "Verification of forecasts expressed in terms of probability", 1950, halved for two classes as usual
/// (`sklearn.metrics.brier_score_loss`).
/// # Example
/// ```
/// let score = groupwise_stats::brier_score(&[0.9, 0.2, 0.6], &[true, false, false]).unwrap();
/// assert!((score - 0.41 / 3.0).abs() < 1e-15);
/// ```
pub fn brier_score(probabilities: &[f64], outcomes: &[bool]) -> Result<f64, StatsError> {
    check_length("probabilities", probabilities.len(), outcomes.len())?;
    check_values("probabilities", probabilities, 1)?;
    if let Some(index) = probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(StatsError::Value {
            what: "probabilities",
            index,
            value: probabilities[index].to_string(),
            domain: "in [0, 1]",
        });
    }
    let errors: Vec<f64> = probabilities
        .iter()
        .zip(outcomes)
        .map(|(p, o)| (p - f64::from(u8::from(*o))).powi(2))
        .collect();
    Ok(mean(&errors))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_input_is_refused_by_name() {
        let refused = |p: &[f64], o: &[bool]| brier_score(p, o).unwrap_err().to_string();
        assert_eq!(
            refused(&[], &[]),
            "`probabilities` has 0 values, needs at least 1"
        );
        assert_eq!(
            refused(&[1.5], &[true]),
            "`probabilities`, entry 0: 1.5 is not in [0, 1]"
        );
        assert_eq!(refused(&[0.5], &[]), "`probabilities` has 1 values, expected 0");
    }

    proptest! {
        #[test]
        fn the_score_is_least_at_the_observed_rate(
            outcomes in prop::collection::vec(any::<bool>(), 1..30), other in 0.0..1.0f64,
        ) {
            let rate = outcomes.iter().filter(|o| **o).count() as f64 / outcomes.len() as f64;
            let best = brier_score(&vec![rate; outcomes.len()], &outcomes).unwrap();
            let found = brier_score(&vec![other; outcomes.len()], &outcomes).unwrap();
            prop_assert!((0.0..=1.0).contains(&found) && best <= found + 1e-12);
            prop_assert!((best - rate * (1.0 - rate)).abs() < 1e-12);
        }
    }
}
