//! Token log-ratios.

use groupwise_core::DataError;

use super::LOG_RATIO_CLAMP;
use crate::block::clamp;

/// `clamp(logp - logp_old, -20, 20)`; NaN stays NaN.
#[inline(always)]
pub fn log_ratio(logp: f64, logp_old: f64) -> f64 {
    clamp(logp - logp_old, -LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)
}

/// True where the clamped log-ratio still moves with `logp`.
#[inline(always)]
pub(crate) fn has_slope(log_ratio: f64) -> bool {
    log_ratio.abs() < LOG_RATIO_CLAMP
}

/// Log-ratio of every token.
///
/// # Formula
/// `d_t = clamp(logp_t - logp_old_t, -20, 20)` where counted, 0 where masked.  `d d_t / d logp_t` is 1 where
/// `|d_t| < 20`, else 0.
///
/// # Shapes
/// `logp`, `logp_old`: nats per token; `mask`, `out`: per token.
///
/// # Edge cases
/// A masked token may hold anything, NaN included.
///
/// # Errors
/// [`DataError::Length`] if the lengths differ.
///
/// # Source
/// DeepSeekMath (arXiv 2402.03300), equation 3; the clamp is verl's (`core_algos.py`), TRL has none.
///
/// # Example
/// ```
/// let mut d = [0.0; 3];
/// groupwise_objective::ratio::token_log_ratios(&[-0.5, -1.0, -50.0], &[-0.75, 0.0, -1.0], &[true, false, true], &mut d)?;
/// assert_eq!(d, [0.25, 0.0, -20.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn token_log_ratios(
    logp: &[f64],
    logp_old: &[f64],
    mask: &[bool],
    out: &mut [f64],
) -> Result<(), DataError> {
    for (name, found) in [
        ("logp_old", logp_old.len()),
        ("mask", mask.len()),
        ("out", out.len()),
    ] {
        DataError::check_len(name, found, logp.len())?;
    }
    block_log_ratios(logp, logp_old, mask, out);
    Ok(())
}

/// As [`token_log_ratios`], lengths known to agree; returns how many tokens hit the clamp.
#[inline(always)]
pub(crate) fn block_log_ratios(logp: &[f64], logp_old: &[f64], mask: &[bool], out: &mut [f64]) -> u64 {
    let n = out.len();
    let (logp, logp_old, mask) = (&logp[..n], &logp_old[..n], &mask[..n]);
    let mut clamped = 0;
    for t in 0..n {
        let d = if mask[t] {
            log_ratio(logp[t], logp_old[t])
        } else {
            0.0
        };
        clamped += u64::from(d.abs() >= LOG_RATIO_CLAMP);
        out[t] = d;
    }
    clamped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clamp_cuts_both_sides_and_keeps_nan() {
        assert_eq!(log_ratio(-1.0, -30.0), 20.0);
        assert_eq!(log_ratio(-30.0, -1.0), -20.0);
        assert_eq!(log_ratio(f64::NEG_INFINITY, -1.0), -20.0);
        assert!(log_ratio(f64::NAN, -1.0).is_nan());
        assert!(has_slope(19.9) && !has_slope(20.0) && !has_slope(-20.0) && !has_slope(f64::NAN));
    }

    #[test]
    fn masked_tokens_may_hold_anything_and_clamped_ones_are_counted() {
        let mut d = [1.0; 3];
        let hits = block_log_ratios(
            &[f64::NAN, -30.0, -1.0],
            &[0.0, 0.0, -1.5],
            &[false, true, true],
            &mut d,
        );
        assert_eq!((d, hits), ([0.0, -20.0, 0.5], 1));
    }

    #[test]
    fn lengths_must_agree() {
        let error = token_log_ratios(&[0.0; 2], &[0.0; 3], &[true; 2], &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "`logp_old` has 3 entries, expected 2");
    }
}
