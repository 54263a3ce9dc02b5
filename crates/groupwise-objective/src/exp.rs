//! The exponential of the inner loops: no branch, no table, so that a loop over a slice becomes vector code, and
//! the same bits on every machine (the system's `exp` differs between platforms).

/// `1 / k!` for k = 2..=13.
const TAYLOR: [f64; 12] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// Leading bits of ln 2, few enough that a product with an integer below 2^20 is exact.
const LN_2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
/// ln 2 minus [`LN_2_HIGH`].
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// Adding this rounds to an integer, which then stands in the low bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// `e^x` for `|x| <= 700`, within 1 ulp; NaN stays NaN.  Outside that range the result is meaningless.
///
/// # Formula
/// `x = k ln 2 + r`, `|r| <= ln 2 / 2`; `e^r` by its Taylor series to degree 13 (remainder below 2^-57), times
/// `2^k` by putting k into the exponent bits.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let mut p = TAYLOR[11];
    for c in TAYLOR[..11].iter().rev() {
        p = p * r + c;
    }
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0_f64.to_bits()));
    (1.0 + (r + r * r * p)) * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ulps(a: f64, b: f64) -> i64 {
        (a.to_bits() as i64 - b.to_bits() as i64).abs()
    }

    #[test]
    fn agrees_with_the_standard_library_to_one_ulp_on_a_grid() {
        let n = 400_000;
        for i in 0..=n {
            let x = -20.0 + 40.0 * f64::from(i) / f64::from(n);
            assert!(ulps(exp(x), x.exp()) <= 1, "{x}: {:e} and {:e}", exp(x), x.exp());
        }
    }

    #[test]
    fn fixed_points() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert!(ulps(exp(1.0), std::f64::consts::E) <= 1);
        assert!(exp(f64::NAN).is_nan());
        assert!(ulps(exp(700.0), 700.0_f64.exp()) <= 1);
        assert!(ulps(exp(-700.0), (-700.0_f64).exp()) <= 1);
    }

    /// The exact bits are part of the contract: runs are compared byte for byte across machines.
    #[test]
    fn bits_are_pinned() {
        let bits: Vec<u64> = [-19.5, -0.3, 1e-9, 0.7, 20.0]
            .iter()
            .map(|x| exp(*x).to_bits())
            .collect();
        assert_eq!(bits, PINNED);
    }
    const PINNED: [u64; 5] = [
        4_480_290_937_396_808_723,
        4_604_847_916_870_499_333,
        4_607_182_418_804_521_008,
        4_611_716_986_771_507_591,
        4_736_919_330_018_093_060,
    ];

    proptest! {
        #[test]
        fn agrees_with_the_standard_library_to_one_ulp(x in -700.0..700.0f64) {
            prop_assert!(ulps(exp(x), x.exp()) <= 1);
        }
    }
}
