//! Quantiles of the Beta distribution, for draws from given uniforms.

use groupwise_core::DataError;
use statrs::function::beta::checked_beta_reg;

/// Largest parameter for which the incomplete beta function of `statrs` still converges.
const LARGEST: f64 = 1e5;

/// The `u` quantile of Beta(a, b): the p with P(X <= p) = u.
///
/// # Formula
/// Root in p of `I_p(a, b) = u`, I the regularised incomplete beta function, by bisection.  Absolute error below
/// 1e-12 for parameters up to 30,000 and below 1e-9 up to the largest allowed; tens of microseconds.
///
/// # Edge cases
/// u = 0 gives 0, u = 1 gives 1.
///
/// # Errors
/// `a` or `b` outside (0, 100000] (beyond, `statrs` stops its continued fraction early and errors reach 1e-5), `u`
/// outside [0, 1].
///
/// # Source
/// Definition.  `statrs::distribution::Beta::inverse_cdf` is faster, but promises no accuracy.
///
/// # Example
/// ```
/// use groupwise_sampler::quantile::beta_quantile;
/// // Beta(1, 2) has distribution function 1 - (1 - p)^2.
/// assert!((beta_quantile(1.0, 2.0, 0.75)? - 0.5).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn beta_quantile(a: f64, b: f64, u: f64) -> Result<f64, DataError> {
    if !(0.0..=1.0).contains(&u) {
        return Err(DataError::value("quantile", format!("{u} is outside [0, 1]")));
    }
    if !(a > 0.0 && b > 0.0 && a <= LARGEST && b <= LARGEST) {
        return Err(DataError::value(
            "quantile",
            format!("Beta({a}, {b}) has a parameter outside (0, {LARGEST}]"),
        ));
    }
    if u == 0.0 || u == 1.0 {
        return Ok(u);
    }
    // The smaller tail is the accurate one.
    if u > 0.5 {
        return Ok(1.0 - beta_quantile(b, a, 1.0 - u)?);
    }
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    while high - low > 1e-13 {
        let middle = 0.5 * (low + high);
        let below =
            checked_beta_reg(a, b, middle).map_err(|e| DataError::value("quantile", e.to_string()))?;
        if below < u {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn closed_forms_and_edges() {
        for u in [1e-9, 0.02, 0.3, 0.5, 0.97, 1.0 - 1e-9] {
            let flat = beta_quantile(1.0, 1.0, u).unwrap();
            assert!((flat - u).abs() < 1e-12);
            for n in [1.7, 8.0, 40.5, 300.0, 3_000.0] {
                let rising = beta_quantile(n, 1.0, u).unwrap();
                let falling = beta_quantile(1.0, n, u).unwrap();
                assert!((rising - u.powf(1.0 / n)).abs() < 1e-12, "{n} {u}");
                assert!(
                    (falling - (1.0 - (1.0 - u).powf(1.0 / n))).abs() < 1e-11,
                    "{n} {u}"
                );
            }
        }
        for (n, tolerance) in [(10.0, 1e-12), (1e3, 1e-12), (3e4, 1e-12), (1e5, 1e-9)] {
            assert!((beta_quantile(n, n, 0.5).unwrap() - 0.5).abs() < tolerance, "{n}");
        }
        assert_eq!(beta_quantile(3.0, 2.0, 0.0), Ok(0.0));
        assert_eq!(beta_quantile(3.0, 2.0, 1.0), Ok(1.0));
        // Beta(2, 2): 3 p^2 - 2 p^3, so p = 1/4 has probability 5/32.
        assert!((beta_quantile(2.0, 2.0, 5.0 / 32.0).unwrap() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn refuses_what_is_no_quantile() {
        let message = |a, b, u| beta_quantile(a, b, u).unwrap_err().to_string();
        assert_eq!(message(1.0, 1.0, 1.5), "quantile: 1.5 is outside [0, 1]");
        assert_eq!(message(1.0, 1.0, f64::NAN), "quantile: NaN is outside [0, 1]");
        assert_eq!(
            message(0.0, 1.0, 0.5),
            "quantile: Beta(0, 1) has a parameter outside (0, 100000]"
        );
        assert_eq!(
            message(1.0, f64::INFINITY, 0.5),
            "quantile: Beta(1, inf) has a parameter outside (0, 100000]"
        );
    }

    proptest! {
        #[test]
        fn quantile_inverts_the_distribution_function(
            a in 1.0..60.0f64, b in 1.0..60.0f64, u in 0.001..0.999f64,
        ) {
            let p = beta_quantile(a, b, u).unwrap();
            let back = statrs::function::beta::beta_reg(a, b, p);
            prop_assert!((back - u).abs() < 1e-9, "{back} {u}");
        }

        #[test]
        fn quantile_rises_with_its_probability(a in 1.0..60.0f64, b in 1.0..60.0f64, u in 0.0..0.99f64) {
            prop_assert!(beta_quantile(a, b, u).unwrap() <= beta_quantile(a, b, u + 0.01).unwrap());
        }
    }
}
