//! Clipped ratio (PPO), with dual clip and TRL's upper bound `delta` as options.

use groupwise_core::ParamError;
use serde::{Deserialize, Serialize};

use super::{ClipCounts, Point};
use crate::block::{BLOCK, clamp};
use crate::ratio::LOG_RATIO_CLAMP;

/// Parameters of the clipped ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipParams {
    /// The ratio is cut below `1 - epsilon`; in (0, 1).
    pub epsilon: f64,
    /// The ratio is cut above `1 + epsilon_high`; > 0.  Absent: as `epsilon`.
    pub epsilon_high: Option<f64>,
    /// TRL's upper bound on the unclipped ratio, for both signs of the advantage; > 1.  Absent: off.
    pub delta: Option<f64>,
    /// Dual clip: bound on the loss where the advantage is negative, `-A dual_clip`; > 1.  Absent: off.
    pub dual_clip: Option<f64>,
}

impl Default for ClipParams {
    fn default() -> Self {
        Self {
            epsilon: 0.2,
            epsilon_high: None,
            delta: None,
            dual_clip: None,
        }
    }
}

/// The clipped ratio, valid by construction.
///
/// # Formula
/// With `rho' = min(rho, delta)`: `l = max(-A rho', -A clip(rho, 1 - epsilon, 1 + epsilon_high))`, and where
/// `A < 0` then `l = min(l, -A dual_clip)`.  Written out by the sign of A this is `l = -A clamp(rho, a, b)` with
///
/// | | a | b |
/// |---|---|---|
/// | `A >= 0` | 0 | `min(1 + epsilon_high, delta)` |
/// | `A < 0` | `1 - epsilon` | `min(max(delta, 1 + epsilon_high), dual_clip)` |
///
/// so the derivative by the log-ratio is `-A rho` inside `[a, b]` (bounds included) and 0 outside.
///
/// `delta` and `dual_clip` are two options with two histories, yet one function as long as both are at least
/// `1 + epsilon_high`: there `delta = c` and `dual_clip = c` give the same loss.  Below that bound they differ:
/// `delta` then also tightens the clip of positive advantages.
///
/// # Edge cases
/// `A = 0`: loss 0.  `delta` without `dual_clip` off means no bound at all for `A < 0`: the loss grows with rho.
///
/// # Errors
/// `epsilon` outside (0, 1), `epsilon_high <= 0`, `delta <= 1`, `dual_clip <= 1`, or NaN.
///
/// # Source
/// PPO (arXiv 1707.06347), equation 7; dual clip (1912.09729), equation 5, as verl's `clip_ratio_c`; separate
/// bounds as DAPO (2503.14476), equation 5; `delta` as TRL's `grpo_trainer.py`.
///
/// # Example
/// ```
/// use groupwise_objective::surrogate::{Clip, ClipParams, Point};
/// let clip = Clip::new(&ClipParams::default())?;
/// assert_eq!(clip.evaluate(1.0, 1.5), Point { loss: -1.2, slope: 0.0 });
/// assert_eq!(clip.evaluate(-1.0, 1.5), Point { loss: 1.5, slope: 1.5 });
/// let dual = Clip::new(&ClipParams { dual_clip: Some(3.0), ..ClipParams::default() })?;
/// assert_eq!(dual.evaluate(-1.0, 4.0), Point { loss: 3.0, slope: 0.0 });
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// `[a, b]` for advantages that are not negative.
    gain: (f64, f64),
    /// `[a, b]` for negative advantages.
    loss: (f64, f64),
}

impl Clip {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(params: &ClipParams) -> Result<Self, ParamError> {
        let (low, high) = (params.epsilon, params.epsilon_high.unwrap_or(params.epsilon));
        ParamError::check(low > 0.0 && low < 1.0, "epsilon", low, "a number > 0 and < 1")?;
        let positive = high > 0.0 && high.is_finite();
        ParamError::check(positive, "epsilon_high", high, "a finite number > 0")?;
        for (key, bound) in [("delta", params.delta), ("dual_clip", params.dual_clip)] {
            if let Some(bound) = bound {
                let holds = bound > 1.0 && bound.is_finite();
                ParamError::check(
                    holds,
                    key,
                    bound,
                    "a finite number > 1 (leave the key out to switch it off)",
                )?;
            }
        }
        let delta = params.delta.unwrap_or(f64::INFINITY);
        let dual_clip = params.dual_clip.unwrap_or(f64::INFINITY);
        Ok(Self {
            gain: (0.0, (1.0 + high).min(delta)),
            loss: (1.0 - low, delta.max(1.0 + high).min(dual_clip)),
        })
    }

    /// True if negative advantages have an upper bound.
    pub fn has_cap(&self) -> bool {
        self.loss.1.is_finite()
    }

    /// Loss of one token and its derivative by the log-ratio.
    #[inline(always)]
    pub fn evaluate(&self, advantage: f64, ratio: f64) -> Point {
        let (low, high) = if advantage < 0.0 { self.loss } else { self.gain };
        let kept = clamp(ratio, low, high);
        Point {
            loss: -advantage * kept,
            slope: if kept == ratio { -advantage * ratio } else { 0.0 },
        }
    }

    /// Log-ratios at which the loss has a kink, for tests that compare derivatives with differences.
    pub fn kinks(&self) -> Vec<f64> {
        [self.gain.1, self.loss.0, self.loss.1]
            .into_iter()
            .map(f64::ln)
            .chain([-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP])
            .collect()
    }

    /// One block: writes loss and slope, counts what is cut.
    #[inline(always)]
    pub(crate) fn block(
        &self,
        advantage: impl Fn(usize) -> f64,
        mask: &[bool],
        ratio: &[f64; BLOCK],
        (loss, slope): (&mut [f64; BLOCK], &mut [f64; BLOCK]),
    ) -> ClipCounts {
        let mut counts = ClipCounts::default();
        for (t, &counted) in mask[..mask.len().min(BLOCK)].iter().enumerate() {
            let (a, rho) = (advantage(t), ratio[t]);
            let point = self.evaluate(a, rho);
            loss[t] = if counted { point.loss } else { 0.0 };
            slope[t] = if counted { point.slope } else { 0.0 };
            counts.low += u64::from(counted & (a < 0.0) & (rho < self.loss.0));
            counts.high += u64::from(counted & (a > 0.0) & (rho > self.gain.1));
            counts.cap += u64::from(counted & (a < 0.0) & (rho > self.loss.1));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clip(params: ClipParams) -> Clip {
        Clip::new(&params).expect("valid parameters")
    }

    /// The definition, literally.
    fn defined(p: &ClipParams, a: f64, rho: f64) -> f64 {
        let cut = rho.clamp(1.0 - p.epsilon, 1.0 + p.epsilon_high.unwrap_or(p.epsilon));
        let loss = (-a * rho.min(p.delta.unwrap_or(f64::INFINITY))).max(-a * cut);
        match p.dual_clip {
            Some(c) if a < 0.0 => loss.min(-a * c),
            _ => loss,
        }
    }

    #[test]
    fn four_corners_of_the_clip() {
        let clip = clip(ClipParams {
            epsilon_high: Some(0.28),
            ..ClipParams::default()
        });
        assert_eq!(
            clip.evaluate(2.0, 1.0),
            Point {
                loss: -2.0,
                slope: -2.0
            }
        );
        assert_eq!(
            clip.evaluate(2.0, 1.5),
            Point {
                loss: -2.56,
                slope: 0.0
            }
        );
        assert_eq!(
            clip.evaluate(2.0, 0.5),
            Point {
                loss: -1.0,
                slope: -1.0
            }
        );
        assert_eq!(
            clip.evaluate(-2.0, 0.5),
            Point {
                loss: 1.6,
                slope: 0.0
            }
        );
        assert_eq!(
            clip.evaluate(-2.0, 5.0),
            Point {
                loss: 10.0,
                slope: 10.0
            }
        );
        assert_eq!(clip.evaluate(0.0, 9.0).loss, 0.0);
        assert!(clip.evaluate(1.0, f64::NAN).loss.is_nan());
        assert!(!clip.has_cap());
    }

    #[test]
    fn what_is_cut_is_counted_by_side_and_what_lies_at_a_bound_is_not() {
        let clip = clip(ClipParams {
            epsilon: 0.25,
            epsilon_high: Some(0.5),
            dual_clip: Some(4.0),
            ..ClipParams::default()
        });
        assert!(clip.has_cap());
        // By advantage: ratios below 0.75, at it, at 1.5, above it, at 4 and above it; the last is masked.
        let given = [0.5, 0.75, 1.5, 2.0, 4.0, 5.0, 6.0, 7.0];
        let mut ratio = [1.0; BLOCK];
        ratio[..8].copy_from_slice(&given);
        let mask = [true, true, true, true, true, true, true, false];
        let count = |a: f64| {
            let (mut loss, mut slope) = ([0.0; BLOCK], [0.0; BLOCK]);
            clip.block(|_| a, &mask, &ratio, (&mut loss, &mut slope))
        };
        let counts = |low, high, cap| ClipCounts { low, high, cap };
        assert_eq!(count(1.0), counts(0, 4, 0));
        assert_eq!(count(-1.0), counts(1, 0, 2));
        assert_eq!(count(0.0), counts(0, 0, 0));
        let mut sum = count(-1.0);
        sum.add(count(-1.0));
        sum.add(count(1.0));
        assert_eq!(sum, counts(2, 4, 4));
    }

    #[test]
    fn kinks_are_where_the_slope_jumps() {
        for params in [
            ClipParams::default(),
            ClipParams {
                epsilon_high: Some(0.5),
                dual_clip: Some(4.0),
                ..ClipParams::default()
            },
        ] {
            let clip = clip(params);
            let kinks = clip.kinks();
            let (open, clamps) = kinks.split_at(3);
            assert_eq!(clamps, [-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP]);
            for kink in open.iter().filter(|k| k.is_finite()) {
                let slope = |a: f64, d: f64| clip.evaluate(a, (kink + d).exp()).slope;
                let jumps = |a: f64| (slope(a, 1e-6) == 0.0) != (slope(a, -1e-6) == 0.0);
                assert!(jumps(1.0) || jumps(-1.0), "{kink}");
            }
            let top = 1.0 + params.epsilon_high.unwrap_or(params.epsilon);
            let cap = params.dual_clip.unwrap_or(f64::INFINITY);
            assert_eq!(open, [top, 1.0 - params.epsilon, cap].map(f64::ln));
        }
    }

    #[test]
    fn delta_below_the_clip_also_tightens_positive_advantages() {
        let tight = clip(ClipParams {
            delta: Some(1.1),
            ..ClipParams::default()
        });
        assert_eq!(
            tight.evaluate(1.0, 1.15),
            Point {
                loss: -1.1,
                slope: 0.0
            }
        );
        let dual = clip(ClipParams {
            dual_clip: Some(1.1),
            ..ClipParams::default()
        });
        assert_eq!(
            dual.evaluate(1.0, 1.15),
            Point {
                loss: -1.15,
                slope: -1.15
            }
        );
        assert_eq!(
            dual.evaluate(-1.0, 1.15),
            Point {
                loss: 1.1,
                slope: 0.0
            }
        );
    }

    #[test]
    fn refused_parameters() {
        let refuse = |p: ClipParams| Clip::new(&p).expect_err("refused").to_string();
        let base = ClipParams::default();
        assert_eq!(
            refuse(ClipParams { epsilon: 0.0, ..base }),
            "`epsilon` = 0: must be a number > 0 and < 1"
        );
        assert_eq!(
            refuse(ClipParams {
                epsilon: f64::NAN,
                ..base
            }),
            "`epsilon` = NaN: must be a number > 0 and < 1"
        );
        assert_eq!(
            refuse(ClipParams {
                epsilon_high: Some(-0.1),
                ..base
            }),
            "`epsilon_high` = -0.1: must be a finite number > 0"
        );
        assert_eq!(
            refuse(ClipParams {
                delta: Some(1.0),
                ..base
            }),
            "`delta` = 1: must be a finite number > 1 (leave the key out to switch it off)"
        );
        assert_eq!(
            refuse(ClipParams {
                dual_clip: Some(0.5),
                ..base
            }),
            "`dual_clip` = 0.5: must be a finite number > 1 (leave the key out to switch it off)"
        );
    }

    fn params() -> impl Strategy<Value = ClipParams> {
        let bound = || prop::option::of(1.01..4.0f64);
        (0.01..0.9f64, prop::option::of(0.01..2.0f64), bound(), bound()).prop_map(
            |(epsilon, epsilon_high, delta, dual_clip)| ClipParams {
                epsilon,
                epsilon_high,
                delta,
                dual_clip,
            },
        )
    }

    proptest! {
        #[test]
        fn the_interval_form_is_the_definition(p in params(), a in -2.0..2.0f64, d in -3.0..3.0f64) {
            let rho = d.exp();
            prop_assert!((clip(p).evaluate(a, rho).loss - defined(&p, a, rho)).abs() < 1e-14 * (1.0 + rho));
        }

        #[test]
        fn delta_is_the_dual_clip_from_the_upper_clip_on(
            a in -2.0..2.0f64, d in -3.0..3.0f64, epsilon in 0.01..0.9f64, beyond in 0.001..3.0f64,
        ) {
            let base = ClipParams { epsilon, ..ClipParams::default() };
            let bound = Some(1.0 + epsilon + beyond);
            let one = clip(ClipParams { delta: bound, ..base }).evaluate(a, d.exp());
            prop_assert_eq!(one, clip(ClipParams { dual_clip: bound, ..base }).evaluate(a, d.exp()));
        }

        #[test]
        fn the_slope_is_the_central_difference(p in params(), a in -2.0..2.0f64, d in -3.0..3.0f64) {
            let clip = clip(p);
            prop_assume!(clip.kinks().iter().all(|k| (k - d).abs() > 1e-4));
            let at = |d: f64| clip.evaluate(a, d.exp()).loss;
            let numeric = (at(d + 1e-5) - at(d - 1e-5)) / 2e-5;
            prop_assert!((clip.evaluate(a, d.exp()).slope - numeric).abs() < 1e-6 * (1.0 + numeric.abs()));
        }
    }
}
