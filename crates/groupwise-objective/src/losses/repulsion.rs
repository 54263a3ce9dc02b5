//! Repulsion by the log-ratio to a reference: push stored actions down that were found to be mistakes.

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

use super::dpo::log_sigmoid;

/// What a token's log-ratio costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepulsionForm {
    /// `-log sigma(-d)`: bounded below by 0, and the push fades once the action is unlikely (authors' code).
    #[default]
    #[serde(alias = "logsigmoid")]
    LogSigmoid,
    /// `d`: pushes for ever, and diverges; kept as an ablation.
    Linear,
}

/// Parameters of the repulsion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepulsionConfig {
    /// Weight of the loss; >= 0.
    pub gamma: f64,
    /// What a token's log-ratio costs.
    pub form: RepulsionForm,
}

impl Default for RepulsionConfig {
    fn default() -> Self {
        Self {
            gamma: 0.2,
            form: RepulsionForm::LogSigmoid,
        }
    }
}

/// Loss and derivative of a run of rejected tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct RepulsionEvaluation {
    /// The scalar to minimize.
    pub loss: f64,
    /// Derivative by each token's log-probability.
    pub d_logp: Vec<f64>,
    /// Mean log-ratio to the reference over counted tokens, nats: how far the actions have been pushed down.
    pub mean_log_ratio: f64,
}

/// Repulsion, valid by construction: SEAgent's adversarial imitation, the one-sided part of DPO.
///
/// # Formula
/// `d_t = logp_t - logp_ref_t`; `loss = gamma mean_t softplus(d_t)` over the counted tokens of all actions,
/// `softplus(d) = -log sigma(-d)`, derivative `gamma sigma(d_t) / n`.  Linear: `gamma mean_t d_t`, `gamma / n`.
///
/// # Shapes
/// Log-probabilities in nats, one entry per token of the rejected actions, in any order.
///
/// # Edge cases
/// No counted token: loss 0.  At the reference the loss is `gamma ln 2`.  Any finite d is safe; there is no clamp.
///
/// # Errors
/// Lengths that differ; a counted log-probability that is not finite, by its index.
///
/// # Source
/// `grpo_trainer.py` of SEAgent (SunzeY/SEAgent at c8887f15; arXiv 2508.04700).  The paper prints
/// `E[-log(pi(a | s) / pi_ref(a_F | s))]`, whose sign and arguments cannot be followed; the code's form is the default.
///
/// # Example
/// ```
/// use groupwise_objective::losses::{Repulsion, RepulsionConfig};
/// let at = Repulsion::new(&RepulsionConfig::default())?.evaluate(
///     &[-1.0, -0.5, -2.0, -0.1], &[-1.2, -0.5, -1.0, -0.7], &[true; 4])?;
/// assert!((at.loss - 0.1421017844).abs() < 1e-9);
/// assert!((at.d_logp[1] - 0.025).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Repulsion {
    gamma: f64,
    form: RepulsionForm,
}

impl Repulsion {
    /// Validates.
    ///
    /// # Errors
    /// `gamma` negative or not finite.
    pub fn new(config: &RepulsionConfig) -> Result<Self, ParamError> {
        let gamma = config.gamma;
        ParamError::check_coefficient("gamma", gamma)?;
        Ok(Self {
            gamma,
            form: config.form,
        })
    }

    /// Loss and derivatives.
    ///
    /// # Errors
    /// See the type.
    pub fn evaluate(
        &self,
        logp: &[f64],
        logp_ref: &[f64],
        mask: &[bool],
    ) -> Result<RepulsionEvaluation, DataError> {
        DataError::check_len("logp_ref", logp_ref.len(), logp.len())?;
        DataError::check_len("mask", mask.len(), logp.len())?;
        let counted = mask.iter().filter(|m| **m).count().max(1) as f64;
        let mut d_logp = vec![0.0; logp.len()];
        let (mut cost, mut total) = (0.0, 0.0);
        for t in (0..logp.len()).filter(|t| mask[*t]) {
            for (what, value) in [("logp", logp[t]), ("logp_ref", logp_ref[t])] {
                if !value.is_finite() {
                    return Err(DataError::NonFinite {
                        place: format!("token {t}"),
                        what: what.into(),
                        value: value.to_string(),
                    });
                }
            }
            let d = logp[t] - logp_ref[t];
            let (value, slope) = match self.form {
                RepulsionForm::LogSigmoid => {
                    let (log_other, sigma) = log_sigmoid(-d);
                    (-log_other, sigma)
                }
                RepulsionForm::Linear => (d, 1.0),
            };
            cost += value;
            total += d;
            d_logp[t] = self.gamma * slope / counted;
        }
        Ok(RepulsionEvaluation {
            loss: self.gamma * cost / counted,
            d_logp,
            mean_log_ratio: total / counted,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repulsion(gamma: f64, form: RepulsionForm) -> Repulsion {
        Repulsion::new(&RepulsionConfig { gamma, form }).expect("valid")
    }

    fn tokens() -> impl Strategy<Value = Vec<(f64, f64, bool)>> {
        prop::collection::vec((-6.0..0.0f64, -6.0..0.0f64, any::<bool>()), 0..9)
    }

    fn columns(tokens: &[(f64, f64, bool)]) -> (Vec<f64>, Vec<f64>, Vec<bool>) {
        (
            tokens.iter().map(|t| t.0).collect(),
            tokens.iter().map(|t| t.1).collect(),
            tokens.iter().map(|t| t.2).collect(),
        )
    }

    const FORMS: [RepulsionForm; 2] = [RepulsionForm::LogSigmoid, RepulsionForm::Linear];

    proptest! {
        #[test]
        fn at_the_reference_the_loss_is_gamma_ln_2(n in 1usize..9, gamma in 0.0..3.0f64) {
            let logp = vec![-0.7; n];
            let at = repulsion(gamma, RepulsionForm::LogSigmoid).evaluate(&logp, &logp, &vec![true; n])?;
            prop_assert!((at.loss - gamma * std::f64::consts::LN_2).abs() < 1e-12);
            prop_assert_eq!(at.mean_log_ratio, 0.0);
        }

        #[test]
        fn every_gradient_lies_between_zero_and_gamma_over_n(tokens in tokens(), gamma in 0.01..3.0f64) {
            let (logp, reference, mask) = columns(&tokens);
            let n = mask.iter().filter(|m| **m).count() as f64;
            let at = repulsion(gamma, RepulsionForm::LogSigmoid).evaluate(&logp, &reference, &mask)?;
            for (d, counted) in at.d_logp.iter().zip(&mask) {
                let inside = *d > 0.0 && *d < gamma / n;
                prop_assert!(inside || (!counted && *d == 0.0));
            }
            prop_assert!(at.loss >= 0.0);
        }

        #[test]
        fn gamma_scales_loss_and_gradient(tokens in tokens(), gamma in 0.01..3.0f64) {
            let (logp, reference, mask) = columns(&tokens);
            for form in FORMS {
                let one = repulsion(1.0, form).evaluate(&logp, &reference, &mask)?;
                let scaled = repulsion(gamma, form).evaluate(&logp, &reference, &mask)?;
                prop_assert!((scaled.loss - gamma * one.loss).abs() < 1e-12 * (1.0 + scaled.loss.abs()));
                for (s, o) in scaled.d_logp.iter().zip(&one.d_logp) {
                    prop_assert!((s - gamma * o).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn the_gradient_is_the_central_difference(tokens in tokens(), gamma in 0.01..3.0f64) {
            let (logp, reference, mask) = columns(&tokens);
            for form in FORMS {
                let repulsion = repulsion(gamma, form);
                let at = repulsion.evaluate(&logp, &reference, &mask)?;
                for t in 0..logp.len() {
                    let loss = |x: f64| {
                        let mut moved = logp.clone();
                        moved[t] = x;
                        repulsion.evaluate(&moved, &reference, &mask).expect("finite").loss
                    };
                    let numeric = (loss(logp[t] + 1e-5) - loss(logp[t] - 1e-5)) / 2e-5;
                    prop_assert!((at.d_logp[t] - numeric).abs() < 1e-8, "{form:?} {t}");
                }
            }
        }
    }

    #[test]
    fn the_push_fades_and_the_linear_one_does_not() {
        let far = ([-800.0, 0.0], [0.0, -800.0], [true; 2]);
        let soft = repulsion(1.0, RepulsionForm::LogSigmoid).evaluate(&far.0, &far.1, &far.2);
        let soft = soft.expect("any finite ratio is safe");
        assert_eq!((soft.loss, soft.d_logp), (400.0, vec![0.0, 0.5]));
        let linear = repulsion(1.0, RepulsionForm::Linear).evaluate(&far.0, &far.1, &far.2);
        assert_eq!(linear.expect("safe").d_logp, [0.5, 0.5]);
        let one = repulsion(2.0, RepulsionForm::Linear).evaluate(&[-1.0], &[-1.5], &[true]);
        let one = one.expect("valid");
        assert_eq!((one.loss, one.mean_log_ratio), (1.0, 0.5));
        // Log-ratios 0.5 and -2; the masked 9 is in no mean.
        let two = repulsion(2.0, RepulsionForm::Linear).evaluate(
            &[-1.0, -3.0, 9.0],
            &[-1.5, -1.0, 0.0],
            &[true, true, false],
        );
        let two = two.expect("valid");
        assert_eq!((two.loss, two.mean_log_ratio), (-1.5, -0.75));
    }

    #[test]
    fn nothing_counted_costs_nothing_and_masked_tokens_may_hold_anything() {
        let at = repulsion(1.0, RepulsionForm::LogSigmoid).evaluate(&[f64::NAN], &[0.0], &[false]);
        assert_eq!(at.map(|at| (at.loss, at.d_logp)), Ok((0.0, vec![0.0])));
    }

    #[test]
    fn bad_input_is_named() {
        let refuse = |gamma| {
            let form = RepulsionForm::LogSigmoid;
            Repulsion::new(&RepulsionConfig { gamma, form })
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(refuse(-0.1), "`gamma` = -0.1: must be a finite number >= 0");
        assert_eq!(refuse(f64::NAN), "`gamma` = NaN: must be a finite number >= 0");
        assert_eq!(
            refuse(f64::INFINITY),
            "`gamma` = inf: must be a finite number >= 0"
        );
        let one = repulsion(1.0, RepulsionForm::Linear);
        let text = |r: Result<RepulsionEvaluation, DataError>| r.expect_err("refused").to_string();
        assert_eq!(
            text(one.evaluate(&[0.0], &[f64::NAN], &[true])),
            "token 0: `logp_ref` is NaN"
        );
        assert_eq!(
            text(one.evaluate(&[-1.0, f64::NEG_INFINITY], &[0.0; 2], &[true; 2])),
            "token 1: `logp` is -inf"
        );
        assert_eq!(
            text(one.evaluate(&[0.0], &[], &[true])),
            "`logp_ref` has 0 entries, expected 1"
        );
        assert_eq!(
            text(one.evaluate(&[0.0], &[0.0], &[])),
            "`mask` has 0 entries, expected 1"
        );
    }
}
