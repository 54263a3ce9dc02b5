//! Clipped weight (CISPO): the ratio weighs the token from behind a stop-gradient.

use groupwise_core::ParamError;
use serde::{Deserialize, Serialize};

use super::{ClipCounts, Point};
use crate::block::{BLOCK, clamp};

/// Parameters of the clipped weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CispoParams {
    /// Least weight; >= 0.
    pub ratio_min: f64,
    /// Largest weight: the cap itself, not `1 + epsilon`; > 0, at least `ratio_min`.
    pub ratio_max: f64,
}

impl Default for CispoParams {
    fn default() -> Self {
        Self {
            ratio_min: 0.0,
            ratio_max: 5.0,
        }
    }
}

/// The clipped weight, valid by construction.
///
/// # Formula
/// `l = -sg(clip(rho, ratio_min, ratio_max)) A logp`, so `dl / d logp = -clip(rho) A`: every token keeps a
/// gradient, also where its ratio is capped.
///
/// # Errors
/// `ratio_min < 0`, `ratio_max <= 0`, `ratio_min > ratio_max`, or NaN.
///
/// # Source
/// MiniMax-M1 (arXiv 2506.13585), equation 5; cap 5 as ScaleRL (2510.13786).  TRL's `epsilon_high` is this
/// `ratio_max`; verl's `clip_ratio_high` is `ratio_max - 1`.
///
/// # Example
/// ```
/// use groupwise_objective::surrogate::{Cispo, CispoParams};
/// let cispo = Cispo::new(&CispoParams { ratio_min: 0.0, ratio_max: 1.2 })?;
/// let weight = cispo.weight(1.5);
/// assert_eq!(weight, 1.2);
/// assert_eq!(cispo.evaluate(2.0, weight, -0.5).slope, -2.4);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Cispo {
    low: f64,
    high: f64,
}

impl Cispo {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(params: &CispoParams) -> Result<Self, ParamError> {
        let (low, high) = (params.ratio_min, params.ratio_max);
        ParamError::check(
            high > 0.0 && high.is_finite(),
            "ratio_max",
            high,
            "a finite number > 0",
        )?;
        let fits = low >= 0.0 && low <= high;
        ParamError::check(
            fits,
            "ratio_min",
            low,
            &format!("a number >= 0 and <= ratio_max = {high}"),
        )?;
        Ok(Self { low, high })
    }

    /// The weight that stands behind the stop-gradient.
    #[inline(always)]
    pub fn weight(&self, ratio: f64) -> f64 {
        clamp(ratio, self.low, self.high)
    }

    /// Loss of one token and its derivative by `logp`, the weight held.
    #[inline(always)]
    pub fn evaluate(&self, advantage: f64, weight: f64, logp: f64) -> Point {
        Point {
            loss: -weight * advantage * logp,
            slope: -weight * advantage,
        }
    }

    /// One block: writes loss and slope, counts capped weights.
    #[inline(always)]
    pub(crate) fn block(
        &self,
        advantage: impl Fn(usize) -> f64,
        mask: &[bool],
        logp: &[f64],
        weight: &[f64],
        ratio: &[f64; BLOCK],
        (loss, slope): (&mut [f64; BLOCK], &mut [f64; BLOCK]),
    ) -> ClipCounts {
        let mut counts = ClipCounts::default();
        let n = mask.len().min(BLOCK);
        let (logp, weight) = (&logp[..n], &weight[..n]);
        for (t, &counted) in mask[..n].iter().enumerate() {
            let point = self.evaluate(advantage(t), weight[t], logp[t]);
            loss[t] = if counted { point.loss } else { 0.0 };
            slope[t] = if counted { point.slope } else { 0.0 };
            counts.low += u64::from(counted & (ratio[t] < self.low));
            counts.high += u64::from(counted & (ratio[t] > self.high));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_held_at_both_caps() {
        let cispo = Cispo::new(&CispoParams {
            ratio_min: 0.5,
            ratio_max: 2.0,
        })
        .expect("valid");
        assert_eq!(
            (cispo.weight(0.1), cispo.weight(1.3), cispo.weight(9.0)),
            (0.5, 1.3, 2.0)
        );
        assert!(cispo.weight(f64::NAN).is_nan());
        assert_eq!(
            cispo.evaluate(-1.0, 2.0, -0.25),
            Point {
                loss: -0.5,
                slope: 2.0
            }
        );
    }

    #[test]
    fn counted_weights_beyond_the_caps_are_counted_and_those_at_them_are_not() {
        let params = CispoParams {
            ratio_min: 0.5,
            ratio_max: 2.0,
        };
        let cispo = Cispo::new(&params).expect("valid");
        let given = [0.25, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 0.25];
        let mut ratio = [1.0; BLOCK];
        ratio[..9].copy_from_slice(&given);
        let mask = [true, true, true, true, true, true, true, true, false];
        let (mut loss, mut slope) = ([0.0; BLOCK], [0.0; BLOCK]);
        let counts = cispo.block(
            |_| 1.0,
            &mask,
            &[-1.0; 9],
            &[1.0; 9],
            &ratio,
            (&mut loss, &mut slope),
        );
        assert_eq!(
            counts,
            ClipCounts {
                low: 2,
                high: 3,
                cap: 0
            }
        );
        assert_eq!((loss[7], loss[8], slope[7], slope[8]), (1.0, 0.0, -1.0, 0.0));
    }

    #[test]
    fn refused_parameters() {
        let refuse = |ratio_min, ratio_max| {
            Cispo::new(&CispoParams { ratio_min, ratio_max })
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(refuse(0.0, 0.0), "`ratio_max` = 0: must be a finite number > 0");
        assert_eq!(
            refuse(0.0, f64::NAN),
            "`ratio_max` = NaN: must be a finite number > 0"
        );
        assert_eq!(
            refuse(3.0, 2.0),
            "`ratio_min` = 3: must be a number >= 0 and <= ratio_max = 2"
        );
        assert_eq!(
            refuse(-1.0, 2.0),
            "`ratio_min` = -1: must be a number >= 0 and <= ratio_max = 2"
        );
    }
}
