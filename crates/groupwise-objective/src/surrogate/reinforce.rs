//! Plain policy gradient: no ratio.

use super::Point;
use crate::block::BLOCK;

/// Loss of one token and its derivative by `logp`.
///
/// # Formula
/// `l = -A logp`, `dl / d logp = -A`.
///
/// # Source
/// Williams 1992; the form NeMo-RL calls "no-ratio".  Right only while the sampler is the current policy.
///
/// # Example
/// ```
/// use groupwise_objective::surrogate::{Point, reinforce};
/// assert_eq!(reinforce::evaluate(2.0, -0.25), Point { loss: 0.5, slope: -2.0 });
/// ```
#[inline(always)]
pub fn evaluate(advantage: f64, logp: f64) -> Point {
    Point {
        loss: -advantage * logp,
        slope: -advantage,
    }
}

/// One block: writes loss and slope.
#[inline(always)]
pub(crate) fn block(
    advantage: impl Fn(usize) -> f64,
    mask: &[bool],
    logp: &[f64],
    (loss, slope): (&mut [f64; BLOCK], &mut [f64; BLOCK]),
) {
    let n = mask.len().min(BLOCK);
    for (t, (&counted, &logp)) in mask[..n].iter().zip(&logp[..n]).enumerate() {
        let point = evaluate(advantage(t), logp);
        loss[t] = if counted { point.loss } else { 0.0 };
        slope[t] = if counted { point.slope } else { 0.0 };
    }
}
