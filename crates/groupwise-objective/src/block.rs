//! Blocks: the inner loops work on short stack buffers, pass by pass, so that each pass is plain vector code and
//! nothing is allocated per token.

/// Tokens per block; the buffers of a block stay in the first-level cache.
pub(crate) const BLOCK: usize = 256;

/// Partial sums kept side by side: a fixed order of additions that vector code can follow.
pub(crate) const LANES: usize = 8;

/// `x` held inside `low..=high`; NaN stays NaN.  The standard method asserts the order of the bounds per call.
#[inline(always)]
pub(crate) fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// Adds the lanes pairwise.
#[inline(always)]
pub(crate) fn fold(lanes: [f64; LANES]) -> f64 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (b + f)) + ((c + g) + (d + h))
}

/// Sum of a slice, in lanes.
#[inline(always)]
pub(crate) fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    fold(lanes)
}

/// The buffers of one block.
pub(crate) struct Buffers {
    /// Token log-ratios, 0 where masked.
    pub(crate) log_ratio: [f64; BLOCK],
    /// Their exponentials.
    pub(crate) ratio: [f64; BLOCK],
    /// The ratio of the span, copied to its tokens.
    pub(crate) span: [f64; BLOCK],
    /// Advantages, where they differ between tokens.
    pub(crate) advantage: [f64; BLOCK],
    /// Log-ratios of the reference to the current policy, 0 where masked.
    pub(crate) reference: [f64; BLOCK],
    /// Loss per token, 0 where masked.
    pub(crate) loss: [f64; BLOCK],
    /// Derivative of the loss by the log-ratio (or by `logp`), 0 where masked.
    pub(crate) slope: [f64; BLOCK],
}

impl Buffers {
    pub(crate) fn new() -> Self {
        let zeros = [0.0; BLOCK];
        Self {
            log_ratio: zeros,
            ratio: zeros,
            span: zeros,
            advantage: zeros,
            reference: zeros,
            loss: zeros,
            slope: zeros,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn clamp_keeps_nan() {
        assert!(clamp(f64::NAN, 0.0, 1.0).is_nan());
        assert_eq!(
            (clamp(-1.0, 0.0, 1.0), clamp(2.0, 0.0, 1.0), clamp(0.5, 0.0, 1.0)),
            (0.0, 1.0, 0.5)
        );
    }

    proptest! {
        #[test]
        fn sums_in_lanes_equal_sums_in_order(values in prop::collection::vec(-1.0..1.0f64, 0..40)) {
            prop_assert!((sum(&values) - values.iter().sum::<f64>()).abs() < 1e-12);
        }
    }
}
