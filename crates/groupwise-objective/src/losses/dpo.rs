//! Direct preference optimization on pairs of whole answers.

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

use crate::exp::exp;

/// Parameters of DPO.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DpoConfig {
    /// Inverse temperature of the implied reward; > 0.
    pub beta: f64,
    /// Probability that a label is wrong; in [0, 0.5).
    pub label_smoothing: f64,
}

impl Default for DpoConfig {
    fn default() -> Self {
        Self {
            beta: 0.1,
            label_smoothing: 0.0,
        }
    }
}

/// Log-probabilities of whole answers, nats, one entry per pair.
#[derive(Clone, Copy, Debug)]
pub struct PairLogps<'a> {
    /// Chosen answers, current policy.
    pub chosen: &'a [f64],
    /// Rejected answers, current policy.
    pub rejected: &'a [f64],
    /// Chosen answers, reference policy.
    pub ref_chosen: &'a [f64],
    /// Rejected answers, reference policy.
    pub ref_rejected: &'a [f64],
}

/// DPO loss and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct DpoEvaluation {
    /// The scalar to minimize, mean over pairs.
    pub loss: f64,
    /// Derivative by each chosen answer's log-probability.
    pub d_chosen: Vec<f64>,
    /// Derivative by each rejected answer's log-probability.
    pub d_rejected: Vec<f64>,
    /// Share of pairs with `h > 0`.
    pub accuracy: f64,
}

/// DPO, valid by construction.
///
/// # Formula
/// `h = beta [(w - w_ref) - (l - l_ref)]`; loss `mean(-(1 - e) log sigma(h) - e log sigma(-h))`.
/// `d loss / d w = beta (e - sigma(-h)) / pairs`, `d loss / d l` its negative.
///
/// # Shapes
/// Sequence sums of log-probabilities, one per pair.
///
/// # Edge cases
/// No pair: loss 0, accuracy 0.  Any finite h is safe: `log sigma` is computed as `-log1p(e^-|h|) + min(h, 0)`.
///
/// # Errors
/// Lengths that differ; a margin that is not finite.
///
/// # Source
/// DPO (arXiv 2305.18290), equation 7; label smoothing as TRL's `dpo_trainer.py` (conservative DPO).
///
/// # Example
/// ```
/// use groupwise_objective::losses::{Dpo, DpoConfig, PairLogps};
/// let at = Dpo::new(&DpoConfig::default())?.evaluate(PairLogps {
///     chosen: &[-12.0, -30.5], rejected: &[-14.0, -29.0], ref_chosen: &[-12.5, -30.0], ref_rejected: &[-13.0, -30.0],
/// })?;
/// assert!((at.loss - 0.695957048).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dpo {
    beta: f64,
    smoothing: f64,
}

/// `log sigma(h)` and `sigma(-h)`.
pub(super) fn log_sigmoid(h: f64) -> (f64, f64) {
    // Below -700 the exponential is 0 in double precision next to 1, and ours is not made for it.
    let e = if h.abs() > 700.0 { 0.0 } else { exp(-h.abs()) };
    let other = if h >= 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) };
    (h.min(0.0) - e.ln_1p(), other)
}

impl Dpo {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &DpoConfig) -> Result<Self, ParamError> {
        let (beta, e) = (config.beta, config.label_smoothing);
        ParamError::check(
            beta > 0.0 && beta.is_finite(),
            "beta",
            beta,
            "a finite number > 0",
        )?;
        ParamError::check(
            (0.0..0.5).contains(&e),
            "label_smoothing",
            e,
            "a number >= 0 and < 0.5",
        )?;
        Ok(Self { beta, smoothing: e })
    }

    /// Loss and derivatives.
    ///
    /// # Errors
    /// See the type.
    pub fn evaluate(&self, pairs: PairLogps<'_>) -> Result<DpoEvaluation, DataError> {
        let n = pairs.chosen.len();
        for (name, found) in [
            ("rejected", pairs.rejected.len()),
            ("ref_chosen", pairs.ref_chosen.len()),
            ("ref_rejected", pairs.ref_rejected.len()),
        ] {
            DataError::check_len(name, found, n)?;
        }
        let (mut loss, mut right, weight) = (0.0, 0.0, 1.0 / n.max(1) as f64);
        let mut d_chosen = Vec::with_capacity(n);
        for i in 0..n {
            let h = self.beta
                * ((pairs.chosen[i] - pairs.ref_chosen[i]) - (pairs.rejected[i] - pairs.ref_rejected[i]));
            if !h.is_finite() {
                return Err(DataError::NonFinite {
                    place: format!("pair {i}"),
                    what: "margin".into(),
                    value: h.to_string(),
                });
            }
            let ((log_right, sigma_minus), (log_wrong, _)) = (log_sigmoid(h), log_sigmoid(-h));
            loss -= weight * ((1.0 - self.smoothing) * log_right + self.smoothing * log_wrong);
            d_chosen.push(self.beta * weight * (self.smoothing - sigma_minus));
            right += if h > 0.0 { weight } else { 0.0 };
        }
        let d_rejected = d_chosen.iter().map(|d| -d).collect();
        Ok(DpoEvaluation {
            loss,
            d_chosen,
            d_rejected,
            accuracy: right,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(pairs: &[[f64; 4]], k: usize) -> Vec<f64> {
        pairs.iter().map(|pair| pair[k]).collect()
    }

    fn dpo(label_smoothing: f64) -> Dpo {
        Dpo::new(&DpoConfig {
            beta: 0.5,
            label_smoothing,
        })
        .expect("valid")
    }

    #[test]
    fn huge_margins_stay_finite() {
        for (chosen, loss) in [(1e6, 0.0), (-1e6, 5e5)] {
            let at = dpo(0.0)
                .evaluate(PairLogps {
                    chosen: &[chosen],
                    rejected: &[0.0],
                    ref_chosen: &[0.0],
                    ref_rejected: &[0.0],
                })
                .expect("finite");
            assert_eq!(at.loss, loss);
        }
    }

    #[test]
    fn the_accuracy_is_the_share_of_pairs_told_apart() {
        // Margins 0.5, -0.5, 0 and 1: a tie is not told apart.
        let at = dpo(0.0).evaluate(PairLogps {
            chosen: &[-1.0, -2.0, -1.0, -1.0],
            rejected: &[-2.0, -1.0, -1.0, -3.0],
            ref_chosen: &[-1.0; 4],
            ref_rejected: &[-1.0; 4],
        });
        assert_eq!(at.expect("finite").accuracy, 0.5);
    }

    #[test]
    fn the_far_tail_keeps_its_derivative_as_long_as_the_exponential_has_one() {
        assert_eq!(log_sigmoid(700.0), (-exp(-700.0), exp(-700.0)));
        assert_eq!(log_sigmoid(701.0), (0.0, 0.0));
        assert_eq!(log_sigmoid(-701.0), (-701.0, 1.0));
    }

    #[test]
    fn bad_input_is_named() {
        let refuse = |c: DpoConfig| Dpo::new(&c).expect_err("refused").to_string();
        assert_eq!(
            refuse(DpoConfig {
                beta: 0.0,
                ..DpoConfig::default()
            }),
            "`beta` = 0: must be a finite number > 0"
        );
        assert_eq!(
            refuse(DpoConfig {
                label_smoothing: 0.5,
                ..DpoConfig::default()
            }),
            "`label_smoothing` = 0.5: must be a number >= 0 and < 0.5"
        );
        let nan = PairLogps {
            chosen: &[f64::NAN],
            rejected: &[0.0],
            ref_chosen: &[0.0],
            ref_rejected: &[0.0],
        };
        assert_eq!(
            dpo(0.0).evaluate(nan).expect_err("refused").to_string(),
            "pair 0: `margin` is NaN"
        );
        let short = PairLogps {
            chosen: &[0.0],
            rejected: &[],
            ref_chosen: &[0.0],
            ref_rejected: &[0.0],
        };
        let error = dpo(0.0).evaluate(short).expect_err("refused").to_string();
        assert_eq!(error, "`rejected` has 0 entries, expected 1");
        let none = PairLogps {
            chosen: &[],
            rejected: &[],
            ref_chosen: &[],
            ref_rejected: &[],
        };
        assert_eq!(dpo(0.0).evaluate(none).expect("empty is fine").loss, 0.0);
    }

    proptest! {
        #[test]
        fn derivatives_are_central_differences(
            pairs in prop::collection::vec(prop::array::uniform4(-9.0..0.0f64), 1..5),
            smoothing in 0.0..0.5f64,
        ) {
                        let (w, l, rw, rl) = (column(&pairs, 0), column(&pairs, 1), column(&pairs, 2), column(&pairs, 3));
            let loss = |w: &[f64], l: &[f64]| {
                dpo(smoothing).evaluate(PairLogps { chosen: w, rejected: l, ref_chosen: &rw, ref_rejected: &rl })
            };
            let at = loss(&w, &l)?;
            for i in 0..pairs.len() {
                let shifted = |v: &[f64], h: f64| {
                    let mut v = v.to_vec();
                    v[i] += h;
                    v
                };
                let by_w = (loss(&shifted(&w, 1e-5), &l)?.loss - loss(&shifted(&w, -1e-5), &l)?.loss) / 2e-5;
                let by_l = (loss(&w, &shifted(&l, 1e-5))?.loss - loss(&w, &shifted(&l, -1e-5))?.loss) / 2e-5;
                prop_assert!((at.d_chosen[i] - by_w).abs() < 1e-8);
                prop_assert!((at.d_rejected[i] - by_l).abs() < 1e-8);
            }
        }
    }
}
