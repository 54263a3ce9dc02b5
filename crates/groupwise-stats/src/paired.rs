//! The comparison of two arms that ran under the same seeds.

use groupwise_core::Key;
use serde::{Deserialize, Serialize};

use crate::bootstrap::{BootstrapConfig, BootstrapMethod, bootstrap_interval};
use crate::error::{StatsError, check_length, check_values};
use crate::interval::{Interval, student_t_interval};
use crate::permutation::{SignFlipConfig, paired_improvement, sign_flip_p_value};
use crate::power::minimum_detectable_effect;
use crate::summary::{mean, standard_deviation};

/// Below this number of pairs the Student-t interval decides; from here on the BCa bootstrap does.
///
/// A bootstrap over 3 seeds covers 74% where it says 95%; see the crate's documentation for the measured table.
pub const SMALL_SAMPLE: usize = 8;

/// Settings of a paired comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairedConfig {
    /// Nominal coverage of every interval, strictly between 0 and 1.
    pub confidence: f64,
    /// Number of bootstrap resamples, at least 100.
    pub resamples: u32,
    /// Power at which the minimum detectable effect is stated, between `1 - confidence` and 1.
    pub power: f64,
    /// Settings of the sign-flip test.
    pub sign_flip: SignFlipConfig,
}

impl Default for PairedConfig {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            resamples: 10_000,
            power: 0.8,
            sign_flip: SignFlipConfig::default(),
        }
    }
}

/// What the deciding interval says about the sign of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval lies above 0.
    Higher,
    /// The interval lies below 0.
    Lower,
    /// The interval contains 0.
    Unresolved,
    /// All differences are equal, so the interval has no width: the seeds say nothing about spread.
    Degenerate,
}

impl Verdict {
    /// True if the sign of the difference is known at the stated confidence.
    pub fn is_resolved(self) -> bool {
        matches!(self, Self::Higher | Self::Lower)
    }
}

/// Everything known about the difference between two arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedComparison {
    /// Number of pairs (seeds).
    pub n: usize,
    /// Treatment minus baseline, per seed, in the order given.
    pub differences: Vec<f64>,
    /// Mean difference.
    pub mean: f64,
    /// Sample standard deviation of the differences.
    pub sd: f64,
    /// Student-t interval.
    pub student_t: Interval,
    /// Percentile bootstrap interval: too narrow for few seeds.
    pub percentile: Interval,
    /// BCa bootstrap interval: too narrow for few seeds.
    pub bca: Interval,
    /// Two-sided sign-flip p-value; never below `2^(1 - n)`.
    pub p_value: f64,
    /// Share of seeds that improved, ties by half.
    pub improvement: f64,
    /// Difference that this number of seeds detects at the configured power, given the observed spread.
    pub detectable: f64,
    /// What [`PairedComparison::interval`] says.
    pub verdict: Verdict,
}

impl PairedComparison {
    /// The interval that decides: Student-t below [`SMALL_SAMPLE`] pairs, BCa from there on.
    pub fn interval(&self) -> &Interval {
        if self.n < SMALL_SAMPLE {
            &self.student_t
        } else {
            &self.bca
        }
    }

    /// True if the deciding interval excludes 0 and has a width.
    pub fn is_resolved(&self) -> bool {
        self.verdict.is_resolved()
    }
}

/// Compares two arms that ran under the same seeds.
///
/// # Formula
/// `d_i = treatment_i - baseline_i`; then [`student_t_interval`], [`bootstrap_interval`] (percentile and BCa of the
/// mean), [`sign_flip_p_value`], [`paired_improvement`] and [`minimum_detectable_effect`] of `d`.
/// # Shapes
/// Both slices: one number per seed, in the same order of seeds, same unit.
/// # Edge cases
/// All differences equal (up to rounding): intervals have no width, the verdict is [`Verdict::Degenerate`], even if
/// the mean is far from 0 - success rates over few tasks produce such ties by chance.
/// # Errors
/// Slices of different length, fewer than two pairs, a value that is not finite, a setting outside its range.
/// # Source
/// Paired design with common random numbers; Agarwal et al. 2021 for intervals over seeds in place of bare means.
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_stats::{PairedConfig, Verdict, compare_paired};
/// let (knapsack, uniform) = ([0.61, 0.64, 0.58], [0.57, 0.61, 0.53]);
/// let key = Key::new(0, Stream::Bootstrap);
/// let found = compare_paired(&knapsack, &uniform, &PairedConfig::default(), key).unwrap();
/// assert!((found.mean - 0.04).abs() < 1e-12);
/// assert!((found.interval().low - 0.015_159).abs() < 1e-6 && (found.interval().high - 0.064_841).abs() < 1e-6);
/// assert_eq!(found.verdict, Verdict::Higher);
/// assert_eq!(found.p_value, 0.25); // the least that 3 seeds can give
/// ```
pub fn compare_paired(
    treatment: &[f64],
    baseline: &[f64],
    config: &PairedConfig,
    key: Key,
) -> Result<PairedComparison, StatsError> {
    check_length("treatment", treatment.len(), baseline.len())?;
    check_values("treatment", treatment, 2)?;
    check_values("baseline", baseline, 2)?;
    let differences: Vec<f64> = treatment.iter().zip(baseline).map(|(t, b)| t - b).collect();
    let bootstrap = |method| {
        let settings = BootstrapConfig {
            confidence: config.confidence,
            resamples: config.resamples,
            method,
        };
        bootstrap_interval(&differences, mean, &settings, key)
    };
    // Equal up to the rounding of the two subtractions.
    let scale = treatment
        .iter()
        .chain(baseline)
        .fold(0.0_f64, |m, v| m.max(v.abs()));
    let degenerate = differences
        .iter()
        .all(|d| (d - differences[0]).abs() <= 1e-12 * scale);
    let sd = if degenerate {
        0.0
    } else {
        standard_deviation(&differences)
    };
    let mut found = PairedComparison {
        n: differences.len(),
        mean: mean(&differences),
        sd,
        student_t: student_t_interval(&differences, config.confidence)?,
        percentile: bootstrap(BootstrapMethod::Percentile)?,
        bca: bootstrap(BootstrapMethod::Bca)?,
        p_value: sign_flip_p_value(&differences, &config.sign_flip, key)?,
        improvement: paired_improvement(&differences)?,
        detectable: minimum_detectable_effect(sd, differences.len(), config.confidence, config.power)?,
        verdict: Verdict::Degenerate,
        differences,
    };
    if !degenerate {
        found.verdict = judge(found.interval());
    }
    Ok(found)
}

fn judge(interval: &Interval) -> Verdict {
    if !interval.excludes(0.0) {
        Verdict::Unresolved
    } else if interval.low > 0.0 {
        Verdict::Higher
    } else {
        Verdict::Lower
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal};

    use super::*;
    use crate::IntervalMethod;

    fn compare(treatment: &[f64], baseline: &[f64]) -> Result<PairedComparison, StatsError> {
        let config = PairedConfig {
            resamples: 200,
            ..PairedConfig::default()
        };
        compare_paired(treatment, baseline, &config, Key::new(0, Stream::Bootstrap))
    }

    #[test]
    fn equal_differences_are_degenerate_not_resolved() {
        let found = compare(&[0.6, 0.7, 0.8], &[0.35, 0.45, 0.55]).unwrap();
        assert_eq!(
            (found.verdict, found.sd, found.detectable),
            (Verdict::Degenerate, 0.0, 0.0)
        );
        assert!(!found.is_resolved());
        let same = compare(&[0.6, 0.7], &[0.6, 0.7]).unwrap();
        assert_eq!(
            (same.verdict, same.p_value, same.improvement),
            (Verdict::Degenerate, 1.0, 0.5)
        );
    }

    #[test]
    fn the_number_of_pairs_decides_which_interval_decides() {
        let baseline = [0.0; 8];
        let treatment = [0.1, 0.2, 0.15, 0.3, 0.12, 0.22, 0.18, 0.05];
        assert_eq!(
            compare(&treatment[..7], &baseline[..7])
                .unwrap()
                .interval()
                .method,
            IntervalMethod::StudentT
        );
        assert_eq!(
            compare(&treatment, &baseline).unwrap().interval().method,
            IntervalMethod::Bca
        );
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        assert_eq!(
            compare(&[1.0, 2.0], &[1.0]).unwrap_err().to_string(),
            "`treatment` has 2 values, expected 1"
        );
        assert_eq!(
            compare(&[1.0], &[1.0]).unwrap_err().to_string(),
            "`treatment` has 1 values, needs at least 2"
        );
        assert_eq!(
            compare(&[1.0, 2.0], &[1.0, f64::NAN]).unwrap_err().to_string(),
            "`baseline`, entry 1: NaN is not finite"
        );
    }

    #[test]
    fn verdicts_at_three_seeds_are_false_at_the_nominal_rate() {
        // A large effect common to both arms of a seed must not matter; only the paired difference does.
        let (seed_effect, noise) = (Normal::new(0.0, 10.0).unwrap(), Normal::new(0.0, 1.0).unwrap());
        let config = PairedConfig {
            resamples: 100,
            ..PairedConfig::default()
        };
        let false_alarms = (0..2_000u64)
            .filter(|i| {
                let key = Key::new(9, Stream::Bootstrap).named("paired null", *i);
                let mut rng = key.rng();
                let (mut treatment, mut baseline) = (Vec::new(), Vec::new());
                for _ in 0..3 {
                    let shared = seed_effect.sample(&mut rng);
                    treatment.push(shared + noise.sample(&mut rng));
                    baseline.push(shared + noise.sample(&mut rng));
                }
                compare_paired(&treatment, &baseline, &config, key)
                    .unwrap()
                    .is_resolved()
            })
            .count();
        let share = false_alarms as f64 / 2_000.0;
        assert!((share - 0.05).abs() < 3.3 * 0.0049, "{share}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn swapping_the_arms_mirrors_the_comparison(
            pairs in prop::collection::vec((-1.0..1.0f64, -1.0..1.0f64), 2..7),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (ab, ba) = (compare(&a, &b).unwrap(), compare(&b, &a).unwrap());
            prop_assert!((ab.mean + ba.mean).abs() < 1e-12);
            prop_assert!((ab.student_t.low + ba.student_t.high).abs() < 1e-9);
            prop_assert_eq!(ab.p_value, ba.p_value);
            prop_assert!((ab.improvement + ba.improvement - 1.0).abs() < 1e-12);
            prop_assert_eq!(ab.is_resolved(), ba.is_resolved());
        }

        #[test]
        fn a_common_effect_of_the_seed_changes_nothing(
            pairs in prop::collection::vec((-1.0..1.0f64, -1.0..1.0f64), 2..7), shared in -5.0..5.0f64,
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let (c, d): (Vec<f64>, Vec<f64>) = pairs.iter().enumerate()
                .map(|(i, (a, b))| (a + shared * i as f64, b + shared * i as f64)).unzip();
            let (plain, shifted) = (compare(&a, &b).unwrap(), compare(&c, &d).unwrap());
            prop_assert!((plain.mean - shifted.mean).abs() < 1e-9);
            prop_assert!((plain.student_t.width() - shifted.student_t.width()).abs() < 1e-6);
        }

        #[test]
        fn resolved_means_that_the_interval_excludes_zero(
            pairs in prop::collection::vec((-1.0..1.0f64, -1.0..1.0f64), 2..12),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let found = compare(&a, &b).unwrap();
            prop_assert_eq!(found.is_resolved(), found.interval().excludes(0.0));
            if found.is_resolved() {
                prop_assert_eq!(found.verdict == Verdict::Higher, found.interval().low > 0.0);
            }
        }

        #[test]
        fn a_comparison_survives_json(pairs in prop::collection::vec((-1.0..1.0f64, -1.0..1.0f64), 2..7)) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let found = compare(&a, &b).unwrap();
            let text = serde_json::to_string(&found).unwrap();
            prop_assert_eq!(serde_json::from_str::<PairedComparison>(&text).unwrap(), found);
        }
    }
}
