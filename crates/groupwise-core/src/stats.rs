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
    count_and_mean(&values.iter()).1
}

fn count_and_mean<'a>(values: &(impl Iterator<Item = &'a f64> + Clone)) -> (usize, f64) {
    let (count, sum) = values.clone().fold((0, 0.0), |(n, sum), x| (n + 1, sum + x));
    let n = count as f64;
    let first = sum / n;
    (count, first + values.clone().map(|x| x - first).sum::<f64>() / n)
}

/// Number, mean and squared deviations of values: what every spread is made of, computed once.
///
/// # Formula
/// `mean` as in [`mean`]; the squares are those of the deviations from it, corrected for its rounding.
///
/// # Edge cases
/// No values: the mean is NaN, both variances are 0.
///
/// # Example
/// ```
/// use groupwise_core::stats::Moments;
/// // Three of four values, without a copy of them.
/// let (values, counted) = ([1.0, 9.0, 0.0, 2.0], [true, false, true, true]);
/// let kept = values.iter().zip(counted).filter(|(_, c)| *c).map(|(x, _)| x);
/// let moments = Moments::of(kept);
/// assert_eq!((moments.mean(), moments.sample_variance()), (1.0, 1.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Walks the values three times, in order.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a f64, IntoIter: Clone>) -> Self {
        let values = values.into_iter();
        let (count, mean) = count_and_mean(&values);
        let (squares, residual) = values.fold((0.0, 0.0), |(squares, residual), x| {
            let d = x - mean;
            (squares + d * d, residual + d)
        });
        Self {
            count,
            mean,
            squares: (squares - residual * residual / count as f64).max(0.0),
        }
    }

    /// Mean; NaN if there are no values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Divisor n - 1; 0 for fewer than two values.
    pub fn sample_variance(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        self.squares / (self.count as f64 - 1.0)
    }

    /// Divisor n; 0 for no values.
    pub fn population_variance(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.squares / self.count as f64
    }
}

/// Sample variance, divisor n - 1; 0 for fewer than two values.
pub fn sample_variance(values: &[f64]) -> f64 {
    Moments::of(values).sample_variance()
}

/// Sample standard deviation, divisor n - 1; 0 for fewer than two values.
pub fn sample_std(values: &[f64]) -> f64 {
    sample_variance(values).sqrt()
}

/// Population standard deviation, divisor n; 0 for an empty slice.
pub fn population_std(values: &[f64]) -> f64 {
    Moments::of(values).population_variance().sqrt()
}

/// Part of the scale by which equal values may differ.
const EQUAL: f64 = 1e-12;

/// True if all values are equal up to rounding: largest deviation from the first within `1e-12` of the scale.
///
/// The mean of equal rewards such as 0.1 is not exact, so a spread of exactly 0 cannot be asked for.
/// Values that are not finite are equal to nothing.
pub fn is_constant<'a>(values: impl IntoIterator<Item = &'a f64, IntoIter: Clone>) -> bool {
    let values = values.into_iter();
    let Some(first) = values.clone().next() else {
        return true;
    };
    // Usual data leave at the first other value: one so far off exceeds the tolerance whatever the scale is, for
    // a value that raises the scale by more than rounding is itself further off.
    let far = 2.0 * EQUAL * first.abs().max(1.0);
    if values.clone().any(|v| (v - first).abs() > far) {
        return false;
    }
    let scale = values.clone().fold(1.0_f64, |m, v| m.max(v.abs()));
    values.into_iter().all(|v| (v - first).abs() <= EQUAL * scale)
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
    let Moments {
        mean, squares: all, ..
    } = Moments::of(values);
    let d = values[i] - mean;
    // Removing one member takes d^2 n/(n-1) off the sum of squares.
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

/// Discount of a rank in cumulative gain: `1 / log2(rank + 2)`, ranks counted from 0.
///
/// # Source
/// Järvelin and Kekäläinen 2002 with the logarithm of base 2, as `sklearn.metrics.dcg_score`.
///
/// # Example
/// ```
/// use groupwise_core::stats::rank_discount;
/// assert_eq!((rank_discount(0), rank_discount(2)), (1.0, 0.5));
/// ```
pub fn rank_discount(rank: usize) -> f64 {
    (rank as f64 + 2.0).log2().recip()
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
        fn skipped_values_are_as_if_absent(values in prop::collection::vec((-10.0..10.0f64, any::<bool>()), 0..9)) {
            let kept: Vec<f64> = values.iter().filter(|v| v.1).map(|v| v.0).collect();
            let moments = Moments::of(values.iter().filter(|v| v.1).map(|v| &v.0));
            prop_assert_eq!(moments.mean().to_bits(), mean(&kept).to_bits());
            prop_assert_eq!(moments.sample_variance(), sample_variance(&kept));
            prop_assert_eq!(moments.population_variance().sqrt(), population_std(&kept));
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
    fn the_tolerance_of_equality_goes_with_the_largest_value() {
        for scale in [1.0, 1e3, 1e9] {
            assert!(is_constant(&[scale, scale + 0.9e-12 * scale]), "{scale}");
            assert!(!is_constant(&[scale, scale + 1.1e-12 * scale]), "{scale}");
            assert!(!is_constant(&[scale, scale + 3e-12 * scale]), "{scale}");
            assert!(!is_constant(&[0.0, scale]));
        }
        assert!(is_constant(&[0.0, 0.9e-12]));
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!is_constant(&[1.0, odd]) && !is_constant(&[odd, 1.0]) && !is_constant(&[odd, odd]));
        }
    }

    #[test]
    fn known_values() {
        assert!((sample_std(&[1.0, 0.0, 0.0, 1.0]) - 0.577_350_269_189_625_7).abs() < 1e-15);
        assert!((population_std(&[1.0, 0.0, 0.0, 1.0]) - 0.5).abs() < 1e-15);
        assert!((leave_one_out_mean(&[1.0, 0.0, 0.0], 1) - 0.5).abs() < 1e-15);
    }
}
