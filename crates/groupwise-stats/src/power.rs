//! What a number of seeds can detect: power of the paired t test, exact by the noncentral t distribution.

use groupwise_core::ParamError;
use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use crate::error::{StatsError, check_open_unit};
use crate::interval::student_quantile;

/// Power of the two-sided paired t test: probability that the interval excludes 0.
///
/// # Formula
/// `P(|T| > t(1 - alpha / 2, n - 1))`, `T` noncentral t with `n - 1` degrees of freedom and noncentrality
/// `effect * sqrt(n) / sd`; `alpha = 1 - confidence`.  `P(T <= t)` is the integral of
/// `Phi(t s - delta)` over the law of `s = sqrt(chi^2 / (n - 1))`, by Simpson's rule.
/// # Shapes
/// `effect` and `sd` (spread of paired differences between seeds) in the same unit; `n` seeds.
/// # Edge cases
/// An effect of 0 gives `alpha`.  Power is the same for both signs of an effect.
/// # Errors
/// `n` below 2, `sd` not above 0, `effect` not finite, `confidence` not strictly between 0 and 1.
/// # Source
/// Johnson, Kotz and Balakrishnan, "Continuous univariate distributions" vol. 2, chapter 31; `scipy.stats.nct` agrees
/// to 1e-8.
/// # Example
/// ```
/// // 1 - nct.cdf(t, 4, 2 * sqrt(5)) + nct.cdf(-t, 4, 2 * sqrt(5)), t = t.ppf(0.975, 4)
/// let power = groupwise_stats::paired_power(2.0, 1.0, 5, 0.95).unwrap();
/// assert!((power - 0.908_884_868_1).abs() < 1e-7);
/// ```
pub fn paired_power(effect: f64, sd: f64, n: usize, confidence: f64) -> Result<f64, StatsError> {
    check_common(sd, n, confidence)?;
    ParamError::check(effect.is_finite(), "effect", effect, "finite")?;
    let critical = student_quantile(0.5 + confidence / 2.0, n as f64 - 1.0);
    Ok(two_sided_power(
        effect.abs() * (n as f64).sqrt() / sd,
        n,
        critical,
    ))
}

/// The effect that `n` seeds detect with the given power.
///
/// # Formula
/// The smallest `effect > 0` with [`paired_power`]`(effect, sd, n, confidence) = power`.
/// # Shapes
/// `sd`: spread of paired differences between seeds; the result has its unit.
/// # Edge cases
/// `sd` = 0 gives 0: nothing varied in the sample it was estimated from.  An `sd` estimated from few seeds is itself
/// uncertain (from 3 seeds: by a factor between 0.5 and 6.3), so the result is an order of magnitude.
/// # Errors
/// `n` below 2, `sd` negative or not finite, `confidence` not strictly between 0 and 1, `power` not between
/// `1 - confidence` and 1.
/// # Source
/// Inversion of [`paired_power`] by bisection.
/// # Example
/// ```
/// // Three seeds at 80% power: more than three standard deviations of the paired difference.
/// let effect = groupwise_stats::minimum_detectable_effect(0.02, 3, 0.95, 0.8).unwrap();
/// assert!((effect / 0.02 - 3.264_043_55).abs() < 1e-6);
/// ```
pub fn minimum_detectable_effect(sd: f64, n: usize, confidence: f64, power: f64) -> Result<f64, StatsError> {
    ParamError::check(sd >= 0.0 && sd.is_finite(), "sd", sd, "finite and at least 0")?;
    check_common(1.0, n, confidence)?;
    let range = format!("strictly between {} and 1", 1.0 - confidence);
    ParamError::check(power > 1.0 - confidence && power < 1.0, "power", power, &range)?;
    let critical = student_quantile(0.5 + confidence / 2.0, n as f64 - 1.0);
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided_power(high, n, critical) < power && high < 1e6 {
        high *= 2.0;
    }
    if high > 1.0 {
        low = 0.5 * high;
    }
    for _ in 0..44 {
        let middle = 0.5 * (low + high);
        if two_sided_power(middle, n, critical) < power {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(high * sd / (n as f64).sqrt())
}

/// How many seeds detect an effect with the given power; `None` if more than `at_most`.
///
/// # Formula
/// The smallest `n >= 2` with [`paired_power`]`(effect, sd, n, confidence) >= power`.
/// # Shapes
/// `effect` and `sd` in the same unit.
/// # Edge cases
/// An effect of 0 needs more than any number of seeds, unless `power <= 1 - confidence`.
/// # Errors
/// As [`paired_power`]; `power` not strictly between 0 and 1.
/// # Source
/// [`paired_power`], which rises with `n`; found by bisection.
/// # Example
/// ```
/// assert_eq!(groupwise_stats::seeds_needed(0.05, 0.05, 0.95, 0.8, 1000).unwrap(), Some(10));
/// ```
pub fn seeds_needed(
    effect: f64,
    sd: f64,
    confidence: f64,
    power: f64,
    at_most: usize,
) -> Result<Option<usize>, StatsError> {
    check_open_unit("power", power)?;
    ParamError::check(at_most >= 2, "at_most", at_most, "at least 2")?;
    if paired_power(effect, sd, at_most, confidence)? < power {
        return Ok(None);
    }
    let (mut low, mut high) = (1, at_most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if paired_power(effect, sd, middle, confidence)? < power {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Some(high))
}

fn check_common(sd: f64, n: usize, confidence: f64) -> Result<(), StatsError> {
    ParamError::check(sd > 0.0 && sd.is_finite(), "sd", sd, "finite and above 0")?;
    ParamError::check(n >= 2, "n", n, "at least 2")?;
    check_open_unit("confidence", confidence)
}

fn two_sided_power(noncentrality: f64, n: usize, critical: f64) -> f64 {
    let freedom = n as f64 - 1.0;
    let upper = noncentral_t_cdf(critical, freedom, noncentrality);
    let lower = noncentral_t_cdf(-critical, freedom, noncentrality);
    (1.0 - upper + lower).clamp(0.0, 1.0)
}

/// `P(T <= t)` for noncentral t, by Simpson's rule over `x`, `s = x^2 = sqrt(chi^2 / freedom)`.
///
/// The square puts points where the integrand turns fast, near s = 0 when `t` is large.
fn noncentral_t_cdf(t: f64, freedom: f64, noncentrality: f64) -> f64 {
    const INTERVALS: usize = 800;
    let normal = Normal::standard();
    // Beyond twelve standard deviations of s the density is below 1e-30.
    let spread = (0.5 / freedom).sqrt();
    let (from, to) = (
        (1.0 - 12.0 * spread).max(0.0).sqrt(),
        (1.0 + 12.0 * spread).sqrt(),
    );
    let half = 0.5 * freedom;
    let log_scale = std::f64::consts::LN_2 + half * half.ln() - ln_gamma(half);
    let integrand = |x: f64| {
        let s = x * x;
        if s <= 0.0 {
            return 0.0;
        }
        let density = (log_scale + (freedom - 1.0) * s.ln() - half * s * s).exp();
        2.0 * x * density * normal.cdf(t * s - noncentrality)
    };
    let step = (to - from) / INTERVALS as f64;
    let inner: f64 = (1..INTERVALS)
        .map(|i| if i % 2 == 1 { 4.0 } else { 2.0 } * integrand(from + i as f64 * step))
        .sum();
    (integrand(from) + inner + integrand(to)) * step / 3.0
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Key, Stream};
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal as NormalLaw};

    use super::*;
    use crate::student_t_interval;

    #[test]
    fn the_noncentral_distribution_equals_scipy() {
        // scipy.stats.nct.cdf(t, df, nc)
        for (t, df, nc, expected) in [
            (4.302_652_729_911_275, 2.0, 0.0, 0.975),
            (4.302_652_729_911_275, 2.0, 5.0, 0.280_819_464_667_564_97),
            (-4.302_652_729_911_275, 2.0, 1.5, 0.001_189_539_551_478_617_6),
            (12.706_204_736_432_095, 1.0, 20.0, 0.116_605_557_074_324_25),
            (2.776_445_105_197_798_7, 4.0, 3.5, 0.255_130_401_554_270_9),
            (2.0, 9.0, 2.5, 0.306_636_883_071_444_1),
            (1.96, 200.0, 3.0, 0.149_755_177_823_462_48),
        ] {
            let found = noncentral_t_cdf(t, df, nc);
            assert!(
                (found - expected).abs() < 1e-8,
                "nct({t}, {df}, {nc}) = {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn detectable_effects_equal_scipy_by_root_finding() {
        // brentq over scipy.stats.nct, in units of sd.
        for (n, expected) in [
            (2, 11.549_888_435_882_353),
            (3, 3.264_043_549_699_575_7),
            (4, 2.127_949_343_257_801_4),
            (5, 1.681_996_965_955_554_5),
            (8, 1.156_034_677_994_733_5),
            (10, 0.996_001_371_455_443_8),
            (30, 0.529_235_615_112_952),
        ] {
            let found = minimum_detectable_effect(1.0, n, 0.95, 0.8).unwrap();
            assert!(
                (found / expected - 1.0).abs() < 1e-6,
                "n {n}: {found}, expected {expected}"
            );
        }
    }

    #[test]
    fn an_effect_of_that_size_is_resolved_at_the_stated_rate() {
        let effect = minimum_detectable_effect(1.0, 4, 0.95, 0.8).unwrap();
        let normal = NormalLaw::new(effect, 1.0).unwrap();
        let resolved = (0..4_000u64)
            .filter(|i| {
                let mut rng = Key::new(3, Stream::Bootstrap).named("power", *i).rng();
                let d: Vec<f64> = (0..4).map(|_| normal.sample(&mut rng)).collect();
                student_t_interval(&d, 0.95).unwrap().excludes(0.0)
            })
            .count();
        let share = resolved as f64 / 4_000.0;
        assert!((share - 0.8).abs() < 3.3 * 0.0063, "{share}");
    }

    #[test]
    fn bad_input_is_refused_by_name() {
        let refused = |e: Result<f64, StatsError>| e.unwrap_err().to_string();
        assert_eq!(
            refused(paired_power(1.0, 0.0, 3, 0.95)),
            "`sd` = 0: must be finite and above 0"
        );
        assert_eq!(
            refused(paired_power(1.0, 1.0, 1, 0.95)),
            "`n` = 1: must be at least 2"
        );
        assert_eq!(
            refused(paired_power(f64::NAN, 1.0, 3, 0.95)),
            "`effect` = NaN: must be finite"
        );
        assert_eq!(
            refused(minimum_detectable_effect(-1.0, 3, 0.95, 0.8)),
            "`sd` = -1: must be finite and at least 0"
        );
        assert_eq!(
            refused(minimum_detectable_effect(1.0, 3, 0.5, 0.4)),
            "`power` = 0.4: must be strictly between 0.5 and 1"
        );
        assert_eq!(
            seeds_needed(0.1, 1.0, 0.95, 0.8, 1).unwrap_err().to_string(),
            "`at_most` = 1: must be at least 2"
        );
        assert_eq!(seeds_needed(0.0, 1.0, 0.95, 0.8, 50).unwrap(), None);
        assert_eq!(minimum_detectable_effect(0.0, 3, 0.95, 0.8).unwrap(), 0.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn power_rises_with_effect_and_seeds(effect in 0.1..2.0f64, n in 2usize..12) {
            let power = |e: f64, n: usize| paired_power(e, 1.0, n, 0.95).unwrap();
            prop_assert!(power(effect * 1.2, n) >= power(effect, n) - 1e-9);
            prop_assert!(power(effect, n + 1) >= power(effect, n) - 1e-9);
            prop_assert!((power(0.0, n) - 0.05).abs() < 1e-8);
            prop_assert_eq!(power(-effect, n), power(effect, n));
        }

        #[test]
        fn detectable_effect_scales_with_the_spread(sd in 0.01..10.0f64, n in 2usize..10) {
            let unit = minimum_detectable_effect(1.0, n, 0.95, 0.8).unwrap();
            let found = minimum_detectable_effect(sd, n, 0.95, 0.8).unwrap();
            prop_assert!((found / (sd * unit) - 1.0).abs() < 1e-9);
        }
    }
}
