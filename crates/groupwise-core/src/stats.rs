//! Group statistics: one numerically stable implementation, used by every estimator.
//!
//! Two passes, never `E[x^2] - E[x]^2`: that form returned an advantage of -2075 for rewards near one another
//! in single precision in a system that shipped it.

use serde::{Deserialize, Serialize};

/// What is subtracted from a reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Centre {
    /// Mean of the group.
    #[default]
    Mean,
    /// Mean of the other members.
    LeaveOneOut,
    /// Nothing.
    None,
}

/// What a centred reward is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Sample standard deviation, divisor n - 1.
    #[default]
    Sample,
    /// Population standard deviation, divisor n.
    Population,
    /// Sample standard deviation of the other members.
    LeaveOneOut,
    /// The mean itself.
    Mean,
    /// Nothing.
    None,
}

/// Mean of the values; NaN if there are none.
///
/// # Formula
/// `sum(x) / n`, corrected once by the mean of the residuals.
pub fn mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let first = values.iter().sum::<f64>() / n;
    first + values.iter().map(|x| x - first).sum::<f64>() / n
}

/// Sum of squared deviations from the mean, corrected for the rounding of the mean.
fn squared_deviations(values: &[f64], mean: f64) -> f64 {
    let (mut squares, mut residual) = (0.0, 0.0);
    for x in values {
        let d = x - mean;
        squares += d * d;
        residual += d;
    }
    (squares - residual * residual / values.len() as f64).max(0.0)
}

/// Sample variance, divisor n - 1; 0 for fewer than two values.
pub fn sample_variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    squared_deviations(values, mean(values)) / (values.len() as f64 - 1.0)
}

/// Sample standard deviation, divisor n - 1; 0 for fewer than two values.
pub fn sample_std(values: &[f64]) -> f64 {
    sample_variance(values).sqrt()
}

/// Population standard deviation, divisor n; 0 for an empty slice.
pub fn population_std(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    (squared_deviations(values, mean(values)) / values.len() as f64).sqrt()
}

/// True if all values are equal up to rounding: largest deviation from the first within `1e-12` of the scale.
///
/// The mean of equal rewards such as 0.1 is not exact, so a spread of exactly 0 cannot be asked for.
pub fn is_constant(values: &[f64]) -> bool {
    let Some(first) = values.first() else { return true };
    let scale = values.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    values.iter().all(|v| (v - first).abs() <= 1e-12 * scale)
}

/// Mean of the members other than `i`; NaN for a group of one.
pub fn leave_one_out_mean(values: &[f64], i: usize) -> f64 {
    let n = values.len() as f64;
    let m = mean(values);
    m - (values[i] - m) / (n - 1.0)
}

/// Sample standard deviation of the members other than `i`; 0 if fewer than two others.
pub fn leave_one_out_std(values: &[f64], i: usize) -> f64 {
    let others = values.len().saturating_sub(1);
    if others < 2 {
        return 0.0;
    }
    let n = values.len() as f64;
    let m = mean(values);
    let d = values[i] - m;
    // Removing one member takes d^2 n/(n-1) off the sum of squares.
    let all = squared_deviations(values, m);
    let rest = all - d * d * n / (n - 1.0);
    if rest > 1e-9 * all {
        return (rest / (others as f64 - 1.0)).sqrt();
    }
    // Cancellation: compute it from the members themselves.
    let kept: Vec<f64> = values
        .iter()
        .enumerate()
        .filter(|(j, _)| *j != i)
        .map(|(_, v)| *v)
        .collect();
    sample_std(&kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn leave_one_out_equals_the_direct_computation(
            values in prop::collection::vec(-10.0..10.0f64, 2..9), offset in -1e6..1e6f64,
        ) {
            let values: Vec<f64> = values.iter().map(|v| v + offset).collect();
            for i in 0..values.len() {
                let mut others = values.clone();
                others.remove(i);
                prop_assert!((leave_one_out_mean(&values, i) - mean(&others)).abs() <= 1e-9 * (1.0 + offset.abs()));
                prop_assert!((leave_one_out_std(&values, i) - sample_std(&others)).abs() <= 1e-6);
            }
        }

        #[test]
        fn spread_ignores_a_shift(values in prop::collection::vec(-1.0..1.0f64, 2..9), shift in -1e8..1e8f64) {
            let shifted: Vec<f64> = values.iter().map(|v| v + shift).collect();
            prop_assert!((sample_std(&values) - sample_std(&shifted)).abs() < 1e-6);
        }
    }

    #[test]
    fn equal_rewards_are_constant_though_their_mean_is_inexact() {
        assert!(is_constant(&[0.1; 7]));
        assert!(is_constant(&[]));
        assert!(!is_constant(&[0.1, 0.1, 0.1 + 1e-9]));
        assert_eq!(leave_one_out_std(&[1.0, 0.0, 0.0, 0.0], 0), 0.0);
    }

    #[test]
    fn known_values() {
        assert!((sample_std(&[1.0, 0.0, 0.0, 1.0]) - 0.577_350_269_189_625_7).abs() < 1e-15);
        assert!((population_std(&[1.0, 0.0, 0.0, 1.0]) - 0.5).abs() < 1e-15);
        assert!((leave_one_out_mean(&[1.0, 0.0, 0.0], 1) - 0.5).abs() < 1e-15);
    }
}
