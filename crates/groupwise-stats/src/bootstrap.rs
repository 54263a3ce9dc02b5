//! Bootstrap intervals: percentile and BCa, over seeds or over seeds within tasks.
//!
//! Resample `b` draws from `key.named("resample", b)`: the same key, values and settings give the same interval
//! to the last bit, whatever else was computed before.

use groupwise_core::{Key, ParamError};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::error::{StatsError, check_open_unit, check_values};
use crate::interval::{Interval, IntervalMethod};
use crate::summary::quantile_of_sorted;

/// Which bootstrap interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootstrapMethod {
    /// Quantiles of the bootstrap distribution.
    Percentile,
    /// Bias-corrected and accelerated: quantiles shifted by median bias and by the jackknife's skewness.
    #[default]
    Bca,
}

/// Settings of a bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapConfig {
    /// Nominal coverage, strictly between 0 and 1.
    pub confidence: f64,
    /// Number of resamples, at least 100.
    pub resamples: u32,
    /// Which interval.
    pub method: BootstrapMethod,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            resamples: 10_000,
            method: BootstrapMethod::Bca,
        }
    }
}

impl BootstrapConfig {
    fn check(&self) -> Result<(), StatsError> {
        check_open_unit("confidence", self.confidence)?;
        ParamError::check(self.resamples >= 100, "resamples", self.resamples, "at least 100")?;
        Ok(())
    }
}

/// Bootstrap interval of a statistic of independent values, one per seed.
///
/// # Formula
/// `theta_b = statistic(values drawn n times with replacement)`, `b = 1..B`; with `alpha = 1 - confidence`:
/// percentile: quantiles of `theta_b` at `alpha / 2` and `1 - alpha / 2`;
/// BCa: quantiles at `Phi(z0 + (z0 + z) / (1 - a (z0 + z)))`, `z = Phi^-1(alpha / 2)` and `Phi^-1(1 - alpha / 2)`,
/// `z0 = Phi^-1(share of theta_b below theta, ties by half)`, `a = sum(d^3) / (6 sum(d^2)^1.5)`,
/// `d_i = mean(theta_(.)) - theta_(i)` over the leave-one-out values.
/// # Shapes
/// `values`: one number per seed; `statistic` sees slices of that length (and one shorter, for the jackknife).
/// # Edge cases
/// Too narrow for few seeds: see the table in the crate's documentation.  All values equal: width 0.  A bootstrap
/// distribution on one side of the estimate, or a jackknife without spread, leaves BCa undefined: it then falls
/// back to the percentile interval, and [`Interval::method`] says so.
/// # Errors
/// Fewer than two values, a value that is not finite, a setting outside its range, a statistic that is not finite
/// on the values themselves or on a resample.
/// # Source
/// Efron, "Better bootstrap confidence intervals", JASA 1987, equations 6.5 and 6.6; ties in `z0` counted by half
/// as `scipy.stats.bootstrap` does (with few seeds a resample equals the original often).
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_stats::{BootstrapConfig, bootstrap_interval, mean};
/// let key = Key::new(0, Stream::Bootstrap);
/// let values = [0.1, 0.5, 0.2, 0.9, 0.4, 0.3, 0.8, 0.6];
/// let interval = bootstrap_interval(&values, mean, &BootstrapConfig::default(), key).unwrap();
/// assert_eq!((interval.low, interval.high), (0.3, 0.675));
/// ```
pub fn bootstrap_interval(
    values: &[f64],
    statistic: impl Fn(&[f64]) -> f64,
    config: &BootstrapConfig,
    key: Key,
) -> Result<Interval, StatsError> {
    stratified_bootstrap_interval(&[values], |strata| statistic(&strata[0]), config, key)
}

/// Bootstrap interval of a statistic of runs within tasks: every task keeps its number of runs.
///
/// # Formula
/// As [`bootstrap_interval`]; each stratum is resampled from itself.  The jackknife leaves out one run at a time.
/// # Shapes
/// `strata`: for each task, one number per seed; `statistic` sees strata in the same order.
/// # Edge cases
/// Strata of one value never vary: with only such strata the width is 0.
/// # Errors
/// No stratum, an empty one, fewer than two values in all, a value that is not finite, a setting outside its
/// range, a statistic that is not finite.
/// # Source
/// Agarwal et al. 2021, section 4.1 (stratified bootstrap over runs and tasks).
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_stats::{BootstrapConfig, interquartile_mean, stratified_bootstrap_interval};
/// let (easy, hard) = ([0.8, 0.9, 0.85, 0.7], [0.1, 0.3, 0.2, 0.4]);
/// let iqm = |strata: &[Vec<f64>]| interquartile_mean(&strata.concat()).unwrap_or(f64::NAN);
/// let key = Key::new(0, Stream::Bootstrap);
/// let interval = stratified_bootstrap_interval(&[&easy, &hard], iqm, &BootstrapConfig::default(), key).unwrap();
/// assert!((interval.estimate - 0.55).abs() < 1e-12 && interval.low < 0.55 && interval.high > 0.55);
/// ```
pub fn stratified_bootstrap_interval(
    strata: &[&[f64]],
    statistic: impl Fn(&[Vec<f64>]) -> f64,
    config: &BootstrapConfig,
    key: Key,
) -> Result<Interval, StatsError> {
    config.check()?;
    for stratum in strata {
        check_values("values", stratum, 1)?;
    }
    let found = strata.iter().map(|s| s.len()).sum();
    if found < 2 {
        return Err(StatsError::TooFew {
            what: "values",
            found,
            needed: 2,
        });
    }
    let original: Vec<Vec<f64>> = strata.iter().map(|s| s.to_vec()).collect();
    let estimate = statistic(&original);
    check_values("statistic", &[estimate], 1)?;
    let mut draws = resample(&original, &statistic, config.resamples, key);
    check_values("statistic of resamples", &draws, 1)?;
    draws.sort_by(f64::total_cmp);
    let alpha = 1.0 - config.confidence;
    let levels = (alpha / 2.0, 1.0 - alpha / 2.0);
    let shifted = match config.method {
        BootstrapMethod::Percentile => None,
        BootstrapMethod::Bca => shift_levels(&draws, estimate, &jackknife(&original, &statistic), levels),
    };
    let (low, high) = shifted.unwrap_or(levels);
    Ok(Interval {
        estimate,
        low: quantile_of_sorted(&draws, low),
        high: quantile_of_sorted(&draws, high),
        confidence: config.confidence,
        method: if shifted.is_some() {
            IntervalMethod::Bca
        } else {
            IntervalMethod::Percentile
        },
    })
}

/// Statistic of each resample, in the order of their keys.
fn resample(
    original: &[Vec<f64>],
    statistic: impl Fn(&[Vec<f64>]) -> f64,
    resamples: u32,
    key: Key,
) -> Vec<f64> {
    let mut drawn = original.to_vec();
    (0..u64::from(resamples))
        .map(|b| {
            let mut rng = key.named("resample", b).rng();
            for (to, from) in drawn.iter_mut().zip(original) {
                for value in to.iter_mut() {
                    *value = from[rng.below(from.len() as u64) as usize];
                }
            }
            statistic(&drawn)
        })
        .collect()
}

/// Statistic with one value left out at a time; strata of one are kept whole.
fn jackknife(original: &[Vec<f64>], statistic: impl Fn(&[Vec<f64>]) -> f64) -> Vec<f64> {
    let mut left_out = Vec::new();
    for (s, stratum) in original.iter().enumerate() {
        if stratum.len() < 2 {
            continue;
        }
        for i in 0..stratum.len() {
            let mut rest = original.to_vec();
            rest[s].remove(i);
            left_out.push(statistic(&rest));
        }
    }
    left_out
}

/// Levels of the BCa interval, `None` where it is undefined.
fn shift_levels(draws: &[f64], estimate: f64, jackknife: &[f64], levels: (f64, f64)) -> Option<(f64, f64)> {
    // Sums of the same values in another order differ in the last bits: those are ties.
    let slack = 1e-12 * estimate.abs().max(1e-300);
    let below = draws.iter().filter(|d| **d < estimate - slack).count() as f64;
    let upto = draws.iter().filter(|d| **d <= estimate + slack).count() as f64;
    let share = (below + upto) / (2.0 * draws.len() as f64);
    let normal = Normal::standard();
    let bias = normal.inverse_cdf(share);
    let centre = crate::mean(jackknife);
    let squares: f64 = jackknife.iter().map(|t| (centre - t).powi(2)).sum();
    let cubes: f64 = jackknife.iter().map(|t| (centre - t).powi(3)).sum();
    let acceleration = cubes / (6.0 * squares.powf(1.5));
    if !(share > 0.0 && share < 1.0 && acceleration.is_finite()) {
        return None;
    }
    let shift = |level: f64| {
        let z = bias + normal.inverse_cdf(level);
        let denominator = 1.0 - acceleration * z;
        (denominator > 0.0).then(|| normal.cdf(bias + z / denominator))
    };
    Some((shift(levels.0)?, shift(levels.1)?))
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal as NormalLaw};

    use super::*;
    use crate::{mean, median};

    fn key() -> Key {
        Key::new(0, Stream::Bootstrap)
    }

    fn percentile() -> BootstrapConfig {
        BootstrapConfig {
            method: BootstrapMethod::Percentile,
            ..BootstrapConfig::default()
        }
    }

    #[test]
    fn bad_settings_are_refused_by_name() {
        let refused = |config: BootstrapConfig| {
            bootstrap_interval(&[1.0, 2.0], mean, &config, key())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(BootstrapConfig {
                confidence: 1.0,
                ..percentile()
            }),
            "`confidence` = 1: must be strictly between 0 and 1"
        );
        assert_eq!(
            refused(BootstrapConfig {
                resamples: 99,
                ..percentile()
            }),
            "`resamples` = 99: must be at least 100"
        );
        assert_eq!(
            bootstrap_interval(&[1.0], mean, &percentile(), key())
                .unwrap_err()
                .to_string(),
            "`values` has 1 values, needs at least 2"
        );
        assert_eq!(
            bootstrap_interval(&[1.0, 2.0], |_| f64::NAN, &percentile(), key())
                .unwrap_err()
                .to_string(),
            "`statistic`, entry 0: NaN is not finite"
        );
        assert_eq!(
            serde_json::from_str::<BootstrapConfig>(r#"{"resample": 5}"#)
                .unwrap_err()
                .to_string(),
            "unknown field `resample`, expected one of `confidence`, `resamples`, `method` at line 1 column 11"
        );
    }

    #[test]
    fn percentile_quantiles_equal_the_enumerated_distribution_of_three_values() {
        // All 27 resamples of {0, 1, 5}: cumulative 1/27 at 0, 4/27 at 1/3, 7/27 at 2/3, 8/27 at 1, ...
        let config = BootstrapConfig {
            confidence: 0.8,
            ..percentile()
        };
        let interval = bootstrap_interval(&[0.0, 1.0, 5.0], mean, &config, key()).unwrap();
        let mut all = Vec::new();
        for a in [0.0, 1.0, 5.0] {
            for b in [0.0, 1.0, 5.0] {
                for c in [0.0, 1.0, 5.0] {
                    all.push((a + b + c) / 3.0);
                }
            }
        }
        all.sort_by(f64::total_cmp);
        // Level 0.1 falls inside the atom at index 1..4, level 0.9 inside the one at 23..26.
        assert!((interval.low - all[2]).abs() < 1e-12);
        assert!((interval.high - all[24]).abs() < 1e-12);
    }

    #[test]
    fn bca_shifts_towards_the_long_tail() {
        // scipy.stats.bootstrap((x,), np.mean, n_resamples=1_000_000): BCa [0.455, 2.11], percentile [0.365, 1.785].
        let values = [0.1, 0.2, 0.25, 0.3, 0.4, 0.45, 0.7, 1.1, 2.2, 4.0];
        let config = BootstrapConfig {
            resamples: 100_000,
            ..BootstrapConfig::default()
        };
        let bca = bootstrap_interval(&values, mean, &config, key()).unwrap();
        let plain = bootstrap_interval(
            &values,
            mean,
            &BootstrapConfig {
                method: BootstrapMethod::Percentile,
                ..config
            },
            key(),
        )
        .unwrap();
        assert_eq!(bca.method, IntervalMethod::Bca);
        assert!(bca.low > plain.low && bca.high > plain.high);
        for (found, expected) in [
            (plain.low, 0.365),
            (plain.high, 1.785),
            (bca.low, 0.455),
            (bca.high, 2.11),
        ] {
            assert!((found - expected).abs() < 0.02, "{found} against {expected}");
        }
    }

    #[test]
    fn draws_are_pinned() {
        // Value stability: a change of these numbers changes every report and is a decision.
        let interval = bootstrap_interval(
            &[0.03, 0.05, 0.04, 0.09, 0.01],
            mean,
            &BootstrapConfig::default(),
            key(),
        )
        .unwrap();
        assert_eq!((interval.low, interval.high), (0.024, 0.072));
    }

    #[test]
    fn constant_values_fall_back_to_a_percentile_interval_without_width() {
        let interval = bootstrap_interval(&[0.5; 4], mean, &BootstrapConfig::default(), key()).unwrap();
        assert_eq!(
            (interval.low, interval.high, interval.method),
            (0.5, 0.5, IntervalMethod::Percentile)
        );
    }

    #[test]
    fn coverage_is_short_for_few_seeds_as_documented() {
        let normal = NormalLaw::new(0.0, 1.0).unwrap();
        let config = BootstrapConfig {
            resamples: 400,
            ..percentile()
        };
        for (n, expected) in [(3usize, 0.74), (5, 0.82), (10, 0.89)] {
            let covered = (0..4_000u64)
                .filter(|i| {
                    let at = Key::new(n as u64, Stream::Bootstrap).named("coverage", *i);
                    let mut rng = at.rng();
                    let values: Vec<f64> = (0..n).map(|_| normal.sample(&mut rng)).collect();
                    !bootstrap_interval(&values, mean, &config, at)
                        .unwrap()
                        .excludes(0.0)
                })
                .count();
            let share = covered as f64 / 4_000.0;
            assert!(
                (share - expected).abs() < 0.01,
                "n {n}: {share}, documented {expected}"
            );
        }
    }

    #[test]
    fn strata_are_resampled_from_themselves() {
        // Between-stratum spread must not enter: both strata are constant.
        let interval = stratified_bootstrap_interval(
            &[&[0.0, 0.0], &[1.0, 1.0]],
            |s| mean(&s.concat()),
            &BootstrapConfig::default(),
            key(),
        )
        .unwrap();
        assert_eq!((interval.estimate, interval.width()), (0.5, 0.0));
        assert_eq!(
            stratified_bootstrap_interval(&[], |_| 0.0, &percentile(), key())
                .unwrap_err()
                .to_string(),
            "`values` has 0 values, needs at least 2"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn intervals_lie_within_the_values(values in prop::collection::vec(-10.0..10.0f64, 2..10), seed: u64) {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for method in [BootstrapMethod::Percentile, BootstrapMethod::Bca] {
                let config = BootstrapConfig { resamples: 200, method, ..BootstrapConfig::default() };
                let i = bootstrap_interval(&values, |v| median(v).unwrap(), &config, Key::new(seed, Stream::Bootstrap)).unwrap();
                prop_assert!(low <= i.low && i.low <= i.high && i.high <= high);
            }
        }

        #[test]
        fn an_interval_moves_with_its_values(values in prop::collection::vec(-10.0..10.0f64, 2..10), shift in -5.0..5.0f64) {
            let moved: Vec<f64> = values.iter().map(|v| v + shift).collect();
            let config = BootstrapConfig { resamples: 200, ..percentile() };
            let (a, b) = (bootstrap_interval(&values, mean, &config, key()).unwrap(), bootstrap_interval(&moved, mean, &config, key()).unwrap());
            prop_assert!((a.low + shift - b.low).abs() < 1e-9 && (a.high + shift - b.high).abs() < 1e-9);
        }
    }
}
