//! One ratio for a span of tokens: a trajectory, or a segment of one (a rank, a turn, an action).

use groupwise_core::{DataError, Spans};

use super::{LOG_RATIO_CLAMP, log_ratio};
use crate::block::{LANES, clamp, fold};

/// How the log-ratios of a span become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanReduction {
    /// Mean over counted tokens: the geometric mean of the token ratios.
    Mean,
    /// Sum over counted tokens, clamped to +-20 once more: the product of the token ratios.
    Sum,
}

/// Log-ratio of a span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanRatio {
    /// The log-ratio, nats.
    pub log_ratio: f64,
    /// Derivative of the log-ratio by `logp` of each counted token whose own log-ratio is inside the clamp.
    pub share: f64,
    /// Tokens that count.
    pub counted: usize,
}

impl SpanRatio {
    /// From the sum of the clamped log-ratios of the counted tokens, and their number.
    #[inline(always)]
    pub(crate) fn of_sum(sum: f64, counted: usize, reduction: SpanReduction) -> Self {
        let (log_ratio, share) = match reduction {
            _ if counted == 0 => (0.0, 0.0),
            SpanReduction::Mean => (sum / counted as f64, 1.0 / counted as f64),
            SpanReduction::Sum => {
                let inside = f64::from(u8::from(sum.abs() < LOG_RATIO_CLAMP));
                (clamp(sum, -LOG_RATIO_CLAMP, LOG_RATIO_CLAMP), inside)
            }
        };
        Self {
            log_ratio,
            share,
            counted,
        }
    }

    /// The ratio itself.
    pub fn ratio(&self) -> f64 {
        crate::exp::exp(self.log_ratio)
    }
}

/// One log-ratio for all tokens given.
///
/// # Formula
/// Mean: `s = sum(mask d) / n`, each counted token's share `1 / n`.  Sum: `s = clamp(sum(mask d), -20, 20)`,
/// share 1, or 0 where the sum is clamped.  With `l(s)` the loss, `d loss / d logp_t = share * dl/ds` for counted
/// tokens with `|d_t| < 20`, else 0.
///
/// # Shapes
/// Slices of one span, equally long; nats.
///
/// # Edge cases
/// No counted token: log-ratio 0, share 0.
///
/// # Errors
/// [`DataError::Length`] if the lengths differ.
///
/// # Source
/// GSPO (arXiv 2507.18071), equation 7, for the mean; RLOO (2402.14740, TRL `rloo_trainer.py`) for the sum, where
/// the clamp on the sum is ours: 20 tokens at the bound would overflow.
///
/// # Example
/// ```
/// use groupwise_objective::ratio::{SpanReduction, span_ratio};
/// let ratio = span_ratio(&[-0.5, -1.0], &[-0.75, -0.5], &[true, true], SpanReduction::Mean)?;
/// assert_eq!((ratio.log_ratio, ratio.share), (-0.125, 0.5));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn span_ratio(
    logp: &[f64],
    logp_old: &[f64],
    mask: &[bool],
    reduction: SpanReduction,
) -> Result<SpanRatio, DataError> {
    DataError::check_len("logp_old", logp_old.len(), logp.len())?;
    DataError::check_len("mask", mask.len(), logp.len())?;
    Ok(reduce(logp, logp_old, mask, reduction))
}

/// As [`span_ratio`], lengths known to agree.
#[inline(always)]
pub(crate) fn reduce(logp: &[f64], logp_old: &[f64], mask: &[bool], reduction: SpanReduction) -> SpanRatio {
    let counted = mask.iter().filter(|m| **m).count();
    let mut lanes = [0.0; LANES];
    let term = |t: usize| {
        if mask[t] {
            log_ratio(logp[t], logp_old[t])
        } else {
            0.0
        }
    };
    for start in (0..mask.len()).step_by(LANES) {
        for t in start..mask.len().min(start + LANES) {
            lanes[t - start] += term(t);
        }
    }
    SpanRatio::of_sum(fold(lanes), counted, reduction)
}

/// One geometric-mean ratio for each segment of a run of tokens, appended to `out`.
///
/// # Formula
/// As [`span_ratio`] with [`SpanReduction::Mean`], for each segment.  Segments as long as one token give the token
/// level, segments as long as a trajectory the sequence level.
///
/// # Shapes
/// `segments`: segment -> tokens, covering the slices.
///
/// # Edge cases
/// An empty or fully masked segment has log-ratio 0 and share 0.
///
/// # Errors
/// [`DataError::Length`] if slices or segments do not cover the same tokens.
///
/// # Source
/// Rank-GRPO's ratio per rank, where the tokens of a rank stand together.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// let segments = Offsets::from_lengths([1, 2]);
/// let mut ratios = Vec::new();
/// groupwise_objective::ratio::segment_ratios(
///     segments.spans(), &[-0.5, -1.0, -1.0], &[-0.75, -0.5, -1.25], &[true; 3], &mut ratios)?;
/// assert_eq!(ratios.iter().map(|r| r.log_ratio).collect::<Vec<_>>(), [0.25, -0.125]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn segment_ratios(
    segments: Spans<'_>,
    logp: &[f64],
    logp_old: &[f64],
    mask: &[bool],
    out: &mut Vec<SpanRatio>,
) -> Result<(), DataError> {
    segments.check_covers("logp", logp.len())?;
    segments.check_covers("logp_old", logp_old.len())?;
    segments.check_covers("mask", mask.len())?;
    out.extend(segments.iter().map(|span| {
        reduce(
            &logp[span.clone()],
            &logp_old[span.clone()],
            &mask[span],
            SpanReduction::Mean,
        )
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sum_at_its_bound_is_clamped() {
        for (sum, log_ratio, share) in [
            (20.0, 20.0, 0.0),
            (-20.0, -20.0, 0.0),
            (19.5, 19.5, 1.0),
            (31.0, 20.0, 0.0),
        ] {
            let expected = SpanRatio {
                log_ratio,
                share,
                counted: 2,
            };
            assert_eq!(SpanRatio::of_sum(sum, 2, SpanReduction::Sum), expected);
        }
    }

    #[test]
    fn masked_tokens_do_not_count() {
        let ratio = span_ratio(
            &[-1.0, f64::NAN, -3.0],
            &[-1.5, 0.0, -2.0],
            &[true, false, true],
            SpanReduction::Mean,
        );
        assert_eq!(
            ratio,
            Ok(SpanRatio {
                log_ratio: -0.25,
                share: 0.5,
                counted: 2
            })
        );
        let none = span_ratio(&[-1.0], &[-2.0], &[false], SpanReduction::Sum);
        assert_eq!(
            none,
            Ok(SpanRatio {
                log_ratio: 0.0,
                share: 0.0,
                counted: 0
            })
        );
    }

    #[test]
    fn a_sum_beyond_the_clamp_has_no_share() {
        let far = span_ratio(&[0.0; 3], &[-9.0; 3], &[true; 3], SpanReduction::Sum);
        assert_eq!(
            far,
            Ok(SpanRatio {
                log_ratio: 20.0,
                share: 0.0,
                counted: 3
            })
        );
        let near = span_ratio(&[0.0; 3], &[-2.0; 3], &[true; 3], SpanReduction::Sum);
        assert_eq!(
            near,
            Ok(SpanRatio {
                log_ratio: 6.0,
                share: 1.0,
                counted: 3
            })
        );
    }

    #[test]
    fn segments_must_cover_the_tokens() {
        let mut out = Vec::new();
        let segments = Offsets::from_lengths([2, 2]);
        let error = segment_ratios(segments.spans(), &[0.0; 3], &[0.0; 3], &[true; 3], &mut out);
        assert_eq!(error.unwrap_err().to_string(), "`logp` has 3 entries, expected 4");
        assert!(span_ratio(&[0.0], &[0.0; 2], &[true], SpanReduction::Sum).is_err());
    }

    proptest! {
        #[test]
        fn segments_of_one_token_are_token_ratios_and_one_segment_is_the_sequence(
            tokens in prop::collection::vec((any::<bool>(), -3.0..0.0f64, -3.0..0.0f64), 1..40),
        ) {
            let mask: Vec<bool> = tokens.iter().map(|t| t.0).collect();
            let logp: Vec<f64> = tokens.iter().map(|t| t.1).collect();
            let old: Vec<f64> = tokens.iter().map(|t| t.2).collect();
            let (mut ones, mut whole) = (Vec::new(), Vec::new());
            let singles = Offsets::from_lengths(vec![1; tokens.len()]);
            segment_ratios(singles.spans(), &logp, &old, &mask, &mut ones)?;
            let mut sum = 0.0;
            for t in 0..tokens.len() {
                let d = if mask[t] { logp[t] - old[t] } else { 0.0 };
                prop_assert_eq!(ones[t].log_ratio, d);
                sum += d;
            }
            segment_ratios(Offsets::from_lengths([tokens.len()]).spans(), &logp, &old, &mask, &mut whole)?;
            let n = mask.iter().filter(|m| **m).count().max(1) as f64;
            prop_assert!((whole[0].log_ratio - sum / n).abs() < 1e-12);
        }
    }
}
