//! Whole powers by repeated squaring.

/// `base^exponent` with multiplications only, so that the result is the same on every platform (`f64::powi`
/// promises no precision).  The relative error is below `exponent` units of rounding.
pub(crate) fn power(base: f64, mut exponent: u64) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        exponent >>= 1;
        if exponent > 0 {
            square *= square;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn agrees_with_the_standard_power() {
        assert_eq!(power(0.0, 0), 1.0);
        assert_eq!(power(0.0, 3), 0.0);
        assert_eq!(power(1.0, u64::MAX), 1.0);
        assert_eq!(power(0.5, 10), 1.0 / 1024.0);
        for n in [1u64, 7, 100, 693, 10_000] {
            let expected = 0.999_f64.powf(n as f64);
            assert!((power(0.999, n) - expected).abs() <= 1e-12 * expected, "{n}");
        }
    }
}
