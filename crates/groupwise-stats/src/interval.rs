//! Interval estimates and the Student-t interval of a mean.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{StatsError, check_open_unit, check_values};
use crate::summary::{mean, standard_error};

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalMethod {
    /// Student's t on the mean.
    StudentT,
    /// Quantiles of the bootstrap distribution.
    Percentile,
    /// Bias-corrected and accelerated bootstrap.
    Bca,
}

/// An estimate with an interval around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The point estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Nominal coverage, in (0, 1).
    pub confidence: f64,
    /// How it was made.
    pub method: IntervalMethod,
}

impl Interval {
    /// True if `value` lies outside; false if an end is NaN.
    pub fn excludes(&self, value: f64) -> bool {
        value < self.low || value > self.high
    }

    /// Upper minus lower end.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// Quantile of Student's t; NaN for parameters outside its domain, which callers have checked.
pub(crate) fn student_quantile(p: f64, freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |t| t.inverse_cdf(p))
}

/// Student-t interval of a mean.
///
/// # Formula
/// `mean +- t(1 - alpha / 2, n - 1) * sd / sqrt(n)`, with `alpha = 1 - confidence`.
/// # Shapes
/// `values`: one number per seed, independent; the interval has their unit.
/// # Edge cases
/// Exact for normal values at every `n >= 2`, and honest for few seeds: the factor is 12.7 for 2, 4.3 for 3, 2.8
/// for 5.  Values that are all equal give an interval of width 0, which is an absence of information about
/// spread, not certainty.
/// # Errors
/// Fewer than two values, a value that is not finite, `confidence` not strictly between 0 and 1.
/// # Source
/// Student 1908; `scipy.stats.t.interval` gives the same numbers.
/// # Example
/// ```
/// let interval = groupwise_stats::student_t_interval(&[0.031, 0.052, 0.040], 0.95).unwrap();
/// assert!((interval.low - 0.014_827_985).abs() < 1e-8);
/// assert!((interval.high - 0.067_172_015).abs() < 1e-8);
/// ```
pub fn student_t_interval(values: &[f64], confidence: f64) -> Result<Interval, StatsError> {
    check_values("values", values, 2)?;
    check_open_unit("confidence", confidence)?;
    let estimate = mean(values);
    let t = student_quantile(0.5 + confidence / 2.0, values.len() as f64 - 1.0);
    let half = t * standard_error(values);
    Ok(Interval {
        estimate,
        low: estimate - half,
        high: estimate + half,
        confidence,
        method: IntervalMethod::StudentT,
    })
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Key, Stream};
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal};

    use super::*;

    #[test]
    fn quantiles_equal_scipy() {
        // scipy.stats.t.ppf(p, df)
        for (p, df, expected) in [
            (0.975, 1.0, 12.706_204_736_432_095),
            (0.975, 2.0, 4.302_652_729_911_275),
            (0.975, 4.0, 2.776_445_105_197_798_7),
            (0.995, 9.0, 3.249_835_541_592_141_5),
            (0.8, 2.0, 1.060_660_171_779_821_2),
            (0.9, 30.0, 1.310_415_025_391_371),
        ] {
            let found = student_quantile(p, df);
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "t({p}, {df}) = {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        assert_eq!(
            student_t_interval(&[1.0], 0.95).unwrap_err().to_string(),
            "`values` has 1 values, needs at least 2"
        );
        assert_eq!(
            student_t_interval(&[1.0, 2.0], 95.0).unwrap_err().to_string(),
            "`confidence` = 95: must be strictly between 0 and 1"
        );
    }

    #[test]
    fn an_interval_excludes_what_lies_outside_and_nothing_if_it_is_nan() {
        let mut interval = student_t_interval(&[1.0, 2.0, 3.0], 0.5).unwrap();
        assert!(interval.excludes(0.0) && !interval.excludes(2.0));
        interval.low = f64::NAN;
        interval.high = f64::NAN;
        assert!(!interval.excludes(0.0));
        assert_eq!(student_t_interval(&[0.5; 3], 0.95).unwrap().width(), 0.0);
    }

    #[test]
    fn coverage_is_nominal_for_every_number_of_seeds() {
        // 4,000 simulations: the share has a standard error of 0.0034; 3.3 of them is alpha 0.001.
        let normal = Normal::new(0.3, 2.0).unwrap();
        for n in [2usize, 3, 5, 10] {
            let covered = (0..4_000u64)
                .filter(|i| {
                    let mut rng = Key::new(n as u64, Stream::Bootstrap)
                        .named("coverage of t", *i)
                        .rng();
                    let values: Vec<f64> = (0..n).map(|_| normal.sample(&mut rng)).collect();
                    !student_t_interval(&values, 0.95).unwrap().excludes(0.3)
                })
                .count();
            let share = covered as f64 / 4_000.0;
            assert!((share - 0.95).abs() < 3.3 * 0.0034, "n {n}: {share}");
        }
    }

    proptest! {
        #[test]
        fn width_grows_with_confidence_and_the_middle_is_the_mean(
            values in prop::collection::vec(-10.0..10.0f64, 2..12),
        ) {
            let narrow = student_t_interval(&values, 0.8).unwrap();
            let wide = student_t_interval(&values, 0.95).unwrap();
            prop_assert!(wide.width() >= narrow.width());
            prop_assert!(((wide.low + wide.high) / 2.0 - mean(&values)).abs() < 1e-9);
        }

        #[test]
        fn negated_values_give_the_mirrored_interval(values in prop::collection::vec(-10.0..10.0f64, 2..12)) {
            let negated: Vec<f64> = values.iter().map(|v| -v).collect();
            let (a, b) = (student_t_interval(&values, 0.9).unwrap(), student_t_interval(&negated, 0.9).unwrap());
            prop_assert!((a.low + b.high).abs() < 1e-9 && (a.high + b.low).abs() < 1e-9);
        }
    }
}
