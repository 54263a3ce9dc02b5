//! Numbers that sum up a sample: location, spread, and the robust aggregates of rliable.

use crate::error::{StatsError, check_values};

/// Arithmetic mean.
///
/// # Formula
/// `sum(x) / n`, corrected once by the mean of the residuals.
/// # Shapes
/// `values`: any unit, the result has the same.
/// # Edge cases
/// NaN for an empty slice; a NaN value gives NaN.
/// # Source
/// [`groupwise_core::stats::mean`], re-exported so that reports and estimators share one implementation.
/// # Example
/// ```
/// assert_eq!(groupwise_stats::mean(&[1.0, 2.0, 6.0]), 3.0);
/// ```
pub fn mean(values: &[f64]) -> f64 {
    groupwise_core::stats::mean(values)
}

/// Sample standard deviation.
///
/// # Formula
/// `sqrt(sum((x - mean)^2) / (n - 1))`
/// # Shapes
/// `values`: any unit, the result has the same.
/// # Edge cases
/// NaN for fewer than two values: one seed says nothing about spread, and 0 would claim certainty.
/// # Source
/// Two-pass form of [`groupwise_core::stats::sample_std`].
/// # Example
/// ```
/// let sd = groupwise_stats::standard_deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
/// assert!((sd - 2.138_089_935_299_395).abs() < 1e-14);
/// ```
pub fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    groupwise_core::stats::sample_std(values)
}

/// Standard error of the mean.
///
/// # Formula
/// `sd / sqrt(n)`, with `sd` of [`standard_deviation`].
/// # Shapes
/// `values`: any unit, the result has the same.
/// # Edge cases
/// NaN for fewer than two values.
/// # Source
/// Textbook; `scipy.stats.sem` gives the same numbers.
/// # Example
/// ```
/// let se = groupwise_stats::standard_error(&[1.0, 2.0, 3.0, 4.0]);
/// assert!((se - 0.645_497_224_367_902_8).abs() < 1e-15);
/// ```
pub fn standard_error(values: &[f64]) -> f64 {
    standard_deviation(values) / (values.len() as f64).sqrt()
}

/// Quantile by linear interpolation between order statistics.
///
/// # Formula
/// With `h = (n - 1) * p` and values sorted from index 0: `x[floor(h)] + (h - floor(h)) * (x[floor(h) + 1] - x[floor(h)])`.
/// # Shapes
/// `values`: any order and unit; `p`: probability in [0, 1].
/// # Edge cases
/// One value is every quantile of itself.
/// # Errors
/// No value, a value that is not finite, `p` outside [0, 1] or NaN.
/// # Source
/// Type 7 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996: the default of NumPy and R.
/// # Example
/// ```
/// assert_eq!(groupwise_stats::quantile(&[4.0, 1.0, 3.0, 2.0], 0.25).unwrap(), 1.75);
/// ```
pub fn quantile(values: &[f64], p: f64) -> Result<f64, StatsError> {
    check_values("values", values, 1)?;
    groupwise_core::ParamError::check((0.0..=1.0).contains(&p), "p", p, "in [0, 1]")?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(quantile_of_sorted(&sorted, p))
}

/// [`quantile`] of values that are sorted, not empty and finite.
pub(crate) fn quantile_of_sorted(sorted: &[f64], p: f64) -> f64 {
    let last = sorted.len() - 1;
    let h = last as f64 * p.clamp(0.0, 1.0);
    let low = (h.floor() as usize).min(last);
    let high = (low + 1).min(last);
    sorted[low] + (h - low as f64) * (sorted[high] - sorted[low])
}

/// Median: the [`quantile`] at 0.5.
///
/// # Formula
/// Middle value, or mean of the two middle values.
/// # Shapes
/// `values`: any order and unit.
/// # Errors
/// No value, or a value that is not finite.
/// # Source
/// Textbook.
/// # Example
/// ```
/// assert_eq!(groupwise_stats::median(&[5.0, 1.0, 2.0, 4.0]).unwrap(), 3.0);
/// ```
pub fn median(values: &[f64]) -> Result<f64, StatsError> {
    quantile(values, 0.5)
}

/// Interquartile mean: mean of the middle half, less sensitive to one lucky seed than the mean and more
/// efficient than the median.
///
/// # Formula
/// Sort, drop `floor(n / 4)` values at either end, average the rest.
/// # Shapes
/// `values`: any order and unit; scores of all runs (and tasks, normalized) pooled.
/// # Edge cases
/// Fewer than four values: nothing is dropped, the result is the mean.
/// # Errors
/// No value, or a value that is not finite.
/// # Source
/// Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021, section 4;
/// their code calls `scipy.stats.trim_mean(x, 0.25)`, whose integer trimming we follow (the other reading weights
/// the two values at the edges by a fraction).
/// # Example
/// ```
/// // scipy.stats.trim_mean([0, 1, 2, 3, 4, 50], 0.25)
/// assert_eq!(groupwise_stats::interquartile_mean(&[50.0, 0.0, 1.0, 2.0, 3.0, 4.0]).unwrap(), 2.5);
/// ```
pub fn interquartile_mean(values: &[f64]) -> Result<f64, StatsError> {
    check_values("values", values, 1)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    Ok(mean(&sorted[cut..sorted.len() - cut]))
}

/// Optimality gap: how far runs fall short of a target on average, with nothing gained by exceeding it.
///
/// # Formula
/// `target - mean(min(x, target))`
/// # Shapes
/// `values` and `target` in the same unit; the result too, at least 0.
/// # Edge cases
/// 0 if every value reaches the target.
/// # Errors
/// No value, a value or a target that is not finite.
/// # Source
/// Agarwal et al. 2021, section 4 (there `gamma` = 1, human-normalized score).
/// # Example
/// ```
/// assert!((groupwise_stats::optimality_gap(&[0.5, 1.5, 0.9], 1.0).unwrap() - 0.2).abs() < 1e-15);
/// ```
pub fn optimality_gap(values: &[f64], target: f64) -> Result<f64, StatsError> {
    check_values("values", values, 1)?;
    groupwise_core::ParamError::check(target.is_finite(), "target", target, "finite")?;
    let capped: Vec<f64> = values.iter().map(|v| v.min(target)).collect();
    Ok(target - mean(&capped))
}

/// Performance profile: the share of runs that score above each threshold.
///
/// # Formula
/// `F(tau) = #{x > tau} / n`
/// # Shapes
/// `values` and `thresholds` in the same unit; one share in [0, 1] per threshold.
/// # Edge cases
/// No threshold gives no share.
/// # Errors
/// No value, a value or threshold that is not finite.
/// # Source
/// Agarwal et al. 2021, section 4 (run-score distribution; strict inequality as in `run_score_deviation`).
/// # Example
/// ```
/// assert_eq!(groupwise_stats::performance_profile(&[0.1, 0.5, 0.9, 0.9], &[0.5, 0.8]).unwrap(), [0.5, 0.5]);
/// ```
pub fn performance_profile(values: &[f64], thresholds: &[f64]) -> Result<Vec<f64>, StatsError> {
    check_values("values", values, 1)?;
    check_values("thresholds", thresholds, 0)?;
    let n = values.len() as f64;
    Ok(thresholds
        .iter()
        .map(|tau| values.iter().filter(|v| *v > tau).count() as f64 / n)
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spread_of_one_value_is_unknown_not_zero() {
        assert!(standard_deviation(&[1.0]).is_nan());
        assert!(standard_error(&[1.0]).is_nan());
        assert!(standard_error(&[]).is_nan());
    }

    #[test]
    fn quantiles_equal_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], p)
        let values = [16.0, 1.0, 8.0, 2.0, 4.0];
        for (p, expected) in [(0.0, 1.0), (0.1, 1.4), (0.5, 4.0), (0.9, 12.8), (1.0, 16.0)] {
            assert!((quantile(&values, p).unwrap() - expected).abs() < 1e-12, "p {p}");
        }
        assert_eq!(quantile(&[3.0], 0.3).unwrap(), 3.0);
    }

    #[test]
    fn interquartile_mean_trims_whole_values() {
        assert_eq!(interquartile_mean(&[1.0, 2.0, 9.0]).unwrap(), 4.0);
        assert_eq!(interquartile_mean(&[-100.0, 1.0, 3.0, 100.0]).unwrap(), 2.0);
        // scipy.stats.trim_mean(range(10), 0.25): floor(2.5) = 2 values at either end.
        let ten: Vec<f64> = (0..10).map(f64::from).collect();
        assert_eq!(interquartile_mean(&ten).unwrap(), 4.5);
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        assert_eq!(
            quantile(&[1.0], f64::NAN).unwrap_err().to_string(),
            "`p` = NaN: must be in [0, 1]"
        );
        assert_eq!(
            interquartile_mean(&[]).unwrap_err().to_string(),
            "`values` has 0 values, needs at least 1"
        );
        assert_eq!(
            optimality_gap(&[1.0], f64::INFINITY).unwrap_err().to_string(),
            "`target` = inf: must be finite"
        );
        assert_eq!(
            performance_profile(&[1.0], &[0.0, f64::NAN])
                .unwrap_err()
                .to_string(),
            "`thresholds`, entry 1: NaN is not finite"
        );
    }

    proptest! {
        #[test]
        fn aggregates_commute_with_affine_maps(
            values in prop::collection::vec(-10.0..10.0f64, 1..20), scale in 0.1..5.0f64, shift in -5.0..5.0f64,
        ) {
            let mapped: Vec<f64> = values.iter().map(|v| scale * v + shift).collect();
            for f in [interquartile_mean, median] {
                let (a, b) = (f(&values).unwrap(), f(&mapped).unwrap());
                prop_assert!((scale * a + shift - b).abs() < 1e-9);
            }
        }

        #[test]
        fn aggregates_lie_within_the_range(values in prop::collection::vec(-10.0..10.0f64, 1..20)) {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for f in [interquartile_mean, median] {
                let v = f(&values).unwrap();
                prop_assert!(v >= low - 1e-12 && v <= high + 1e-12);
            }
        }

        #[test]
        fn optimality_gap_is_positive_and_falls_as_a_value_rises(
            mut values in prop::collection::vec(-2.0..2.0f64, 1..10), rise in 0.0..1.0f64,
        ) {
            let before = optimality_gap(&values, 1.0).unwrap();
            prop_assert!(before >= -1e-12);
            values[0] += rise;
            prop_assert!(optimality_gap(&values, 1.0).unwrap() <= before + 1e-12);
        }

        #[test]
        fn a_performance_profile_falls(values in prop::collection::vec(0.0..1.0f64, 1..20)) {
            let thresholds: Vec<f64> = (0..=10).map(|i| f64::from(i) / 10.0).collect();
            let profile = performance_profile(&values, &thresholds).unwrap();
            prop_assert!(profile.windows(2).all(|w| w[0] >= w[1]));
            prop_assert_eq!(profile[10], 0.0);
        }
    }
}
