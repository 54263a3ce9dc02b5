//! Tests that assume little: sign flips of paired differences, probability of improvement, Holm's correction.

use groupwise_core::{Key, ParamError};
use serde::{Deserialize, Serialize};

use crate::error::{StatsError, check_values};

/// Settings of the sign-flip test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignFlipConfig {
    /// Largest number of pairs for which all `2^n` sign patterns are enumerated, at most 24.
    pub exact_up_to: u32,
    /// Sign patterns drawn for more pairs than that, at least 1000.
    pub draws: u32,
}

impl Default for SignFlipConfig {
    fn default() -> Self {
        Self {
            exact_up_to: 16,
            draws: 100_000,
        }
    }
}

/// Two-sided p-value of the hypothesis that paired differences are symmetric around 0.
///
/// # Formula
/// `p = #{s in {-1, +1}^n : |sum(s_i d_i)| >= |sum(d_i)|} / 2^n`, enumerated up to
/// [`SignFlipConfig::exact_up_to`] pairs; for more, `(1 + hits) / (1 + draws)` over drawn sign patterns.
/// # Shapes
/// `differences`: one per seed, treatment minus baseline, any unit.
/// # Edge cases
/// Never below `2^(1 - n)`: 3 seeds cannot give less than 0.25, whatever the effect.  Differences that are all 0
/// give 1.  Sums within `1e-12` of the scale count as equal (rounding must not decide a tie).
/// # Errors
/// No difference, one that is not finite, a setting outside its range.
/// # Source
/// Fisher, "The design of experiments", 1935, section 21; `scipy.stats.permutation_test` with
/// `permutation_type="samples"` gives the same numbers.
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_stats::{SignFlipConfig, sign_flip_p_value};
/// let key = Key::new(0, Stream::Bootstrap);
/// let p = sign_flip_p_value(&[0.04, 0.03, 0.05], &SignFlipConfig::default(), key).unwrap();
/// assert_eq!(p, 0.25);
/// ```
pub fn sign_flip_p_value(differences: &[f64], config: &SignFlipConfig, key: Key) -> Result<f64, StatsError> {
    check_values("differences", differences, 1)?;
    ParamError::check(
        config.exact_up_to <= 24,
        "exact_up_to",
        config.exact_up_to,
        "at most 24",
    )?;
    ParamError::check(config.draws >= 1000, "draws", config.draws, "at least 1000")?;
    let scale: f64 = differences.iter().map(|d| d.abs()).sum();
    let observed = differences.iter().sum::<f64>().abs() - 1e-12 * scale;
    let n = differences.len();
    if n <= config.exact_up_to as usize {
        // A pattern and its negation have the same absolute sum: the first sign is fixed.
        let half = 1u64 << (n - 1);
        let hits = (0..half)
            .filter(|pattern| flipped_sum(differences, *pattern).abs() >= observed)
            .count();
        return Ok(hits as f64 / half as f64);
    }
    let mut rng = key.named("sign flips", 0).rng();
    let hits = (0..config.draws)
        .filter(|_| {
            let sum: f64 = differences
                .iter()
                .map(|d| if rng.below(2) == 0 { *d } else { -*d })
                .sum();
            sum.abs() >= observed
        })
        .count();
    Ok((1.0 + hits as f64) / (1.0 + f64::from(config.draws)))
}

/// Sum with the signs of all but the first value given by the bits of `pattern`.
fn flipped_sum(differences: &[f64], pattern: u64) -> f64 {
    differences
        .iter()
        .enumerate()
        .map(|(i, d)| {
            if i > 0 && pattern >> (i - 1) & 1 == 1 {
                -*d
            } else {
                *d
            }
        })
        .sum()
}

/// Probability that a run of the first arm beats a run of the second.
///
/// # Formula
/// `mean over all pairs of (1 if x > y, 1/2 if x = y, 0 otherwise)`: the Mann-Whitney statistic divided by `n m`.
/// # Shapes
/// Two samples, possibly of different size, same unit.
/// # Edge cases
/// 0.5 for equal samples.  Ignores pairing: for the same seeds see [`paired_improvement`].
/// # Errors
/// An empty sample, a value that is not finite.
/// # Source
/// Agarwal et al. 2021, section 4.3 (`probability_of_improvement` of rliable, averaged over tasks there).
/// # Example
/// ```
/// // U = 4 + 4 + 3.5 of 3 x 4 pairs.
/// let p = groupwise_stats::probability_of_improvement(&[0.9, 0.8, 0.5], &[0.1, 0.5, 0.4, 0.3]).unwrap();
/// assert!((p - 11.5 / 12.0).abs() < 1e-15);
/// ```
pub fn probability_of_improvement(treatment: &[f64], baseline: &[f64]) -> Result<f64, StatsError> {
    check_values("treatment", treatment, 1)?;
    check_values("baseline", baseline, 1)?;
    let mut wins = 0.0;
    for x in treatment {
        wins += baseline.iter().map(|y| score_sign(x - y)).sum::<f64>();
    }
    Ok(wins / (treatment.len() * baseline.len()) as f64)
}

/// Share of seeds on which the first arm beats the second.
///
/// # Formula
/// `mean(1 if d > 0, 1/2 if d = 0, 0 otherwise)` over paired differences `d`.
/// # Shapes
/// `differences`: one per seed.
/// # Edge cases
/// 0.5 if all differences are 0.
/// # Errors
/// No difference, or one that is not finite.
/// # Source
/// Paired form of [`probability_of_improvement`].
/// # Example
/// ```
/// assert_eq!(groupwise_stats::paired_improvement(&[0.1, -0.2, 0.3, 0.0]).unwrap(), 0.625);
/// ```
pub fn paired_improvement(differences: &[f64]) -> Result<f64, StatsError> {
    check_values("differences", differences, 1)?;
    Ok(differences.iter().map(|d| score_sign(*d)).sum::<f64>() / differences.len() as f64)
}

fn score_sign(difference: f64) -> f64 {
    if difference > 0.0 {
        1.0
    } else if difference < 0.0 {
        0.0
    } else {
        0.5
    }
}

/// Holm's step-down adjustment: p-values that may be compared with alpha although several were computed.
///
/// # Formula
/// With p-values in rising order `p_(1) <= .. <= p_(m)`: `adjusted_(i) = min(1, max over j <= i of (m - j + 1) p_(j))`.
/// # Shapes
/// One p-value per comparison, in [0, 1]; the result keeps their order.
/// # Edge cases
/// One p-value is unchanged; none give none.  Valid under any dependence, and never less powerful than Bonferroni.
/// # Errors
/// A p-value outside [0, 1] or NaN.
/// # Source
/// Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 1979; R's
/// `p.adjust(method = "holm")` gives the same numbers.
/// # Example
/// ```
/// let adjusted = groupwise_stats::holm(&[0.01, 0.04, 0.03]).unwrap();
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    if let Some(index) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(StatsError::Value {
            what: "p_values",
            index,
            value: p_values[index].to_string(),
            domain: "in [0, 1]",
        });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut floor = 0.0_f64;
    for (rank, i) in order.into_iter().enumerate() {
        floor = floor.max((p_values.len() - rank) as f64 * p_values[i]).min(1.0);
        adjusted[i] = floor;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal};

    use super::*;

    fn key() -> Key {
        Key::new(0, Stream::Bootstrap)
    }

    fn p_value(differences: &[f64]) -> f64 {
        sign_flip_p_value(differences, &SignFlipConfig::default(), key()).unwrap()
    }

    #[test]
    fn p_values_equal_the_enumerated_ones() {
        // Sums of +-1 +-2 +-4 +-8: 15, 13 with either sign -> 4 of 16 reach 13.
        assert_eq!(p_value(&[-1.0, 2.0, 4.0, 8.0]), 0.25);
        // scipy.stats.permutation_test((d,), np.mean, permutation_type='samples')
        assert!((p_value(&[0.5, 0.2, -0.1, 0.4, 0.3, 0.6]) - 0.0625).abs() < 1e-15);
        assert_eq!(p_value(&[0.0, 0.0]), 1.0);
        assert_eq!(p_value(&[5.0]), 1.0);
    }

    #[test]
    fn drawn_sign_patterns_agree_with_all_of_them() {
        let d = [0.5, 0.2, -0.1, 0.4, 0.3, 0.6, -0.2, 0.1];
        let drawn = sign_flip_p_value(
            &d,
            &SignFlipConfig {
                exact_up_to: 4,
                draws: 1_000_000,
            },
            key(),
        )
        .unwrap();
        // Standard error of the drawn share: below 0.0003.
        assert!(
            (drawn - p_value(&d)).abs() < 0.001,
            "{drawn} against {}",
            p_value(&d)
        );
        assert_eq!(drawn, 0.085_789_914_210_085_79, "value stability");
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        let refused = |c: SignFlipConfig| sign_flip_p_value(&[1.0], &c, key()).unwrap_err().to_string();
        assert_eq!(
            refused(SignFlipConfig {
                exact_up_to: 25,
                draws: 1000
            }),
            "`exact_up_to` = 25: must be at most 24"
        );
        assert_eq!(
            refused(SignFlipConfig {
                exact_up_to: 2,
                draws: 10
            }),
            "`draws` = 10: must be at least 1000"
        );
        assert_eq!(
            holm(&[0.1, 1.5]).unwrap_err().to_string(),
            "`p_values`, entry 1: 1.5 is not in [0, 1]"
        );
        assert_eq!(
            probability_of_improvement(&[], &[1.0]).unwrap_err().to_string(),
            "`treatment` has 0 values, needs at least 1"
        );
        assert!(holm(&[]).unwrap().is_empty());
    }

    #[test]
    fn false_alarms_stay_at_the_nominal_rate() {
        // Under the null P(p <= 0.05) <= 0.05; 3,000 simulations, alpha 0.001.
        let normal = Normal::new(0.0, 1.0).unwrap();
        let alarms = (0..3_000u64)
            .filter(|i| {
                let mut rng = Key::new(1, Stream::Bootstrap).named("null", *i).rng();
                let d: Vec<f64> = (0..8).map(|_| normal.sample(&mut rng)).collect();
                p_value(&d) <= 0.05
            })
            .count();
        let share = alarms as f64 / 3_000.0;
        assert!(share < 0.05 + 3.1 * 0.004 && share > 0.03, "{share}");
    }

    #[test]
    fn holm_equals_r() {
        // p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
        let adjusted = holm(&[0.05, 0.02, 0.03, 0.04, 0.01]).unwrap();
        for (found, expected) in adjusted.iter().zip([0.09, 0.08, 0.09, 0.09, 0.05]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn p_is_at_least_two_to_the_one_minus_n(d in prop::collection::vec(-1.0..1.0f64, 1..10)) {
            let p = p_value(&d);
            prop_assert!(p >= 2.0_f64.powi(1 - d.len() as i32) && p <= 1.0);
        }

        #[test]
        fn p_ignores_sign_and_scale(d in prop::collection::vec(-1.0..1.0f64, 1..10), scale in 0.1..10.0f64) {
            let other: Vec<f64> = d.iter().map(|v| -scale * v).collect();
            prop_assert_eq!(p_value(&d), p_value(&other));
        }

        #[test]
        fn improvement_of_swapped_arms_is_the_complement(
            a in prop::collection::vec(0u8..5, 1..8), b in prop::collection::vec(0u8..5, 1..8),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = (a.into_iter().map(f64::from).collect(), b.into_iter().map(f64::from).collect());
            let (ab, ba) = (probability_of_improvement(&a, &b).unwrap(), probability_of_improvement(&b, &a).unwrap());
            prop_assert!((ab + ba - 1.0).abs() < 1e-12);
        }

        #[test]
        fn holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p in prop::collection::vec(0.0..=1.0f64, 1..8)) {
            let adjusted = holm(&p).unwrap();
            for i in 0..p.len() {
                prop_assert!(adjusted[i] >= p[i] && adjusted[i] <= (p[i] * p.len() as f64).min(1.0) + 1e-15);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
