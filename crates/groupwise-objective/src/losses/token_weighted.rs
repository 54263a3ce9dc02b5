//! Clipped surrogate and KL under a weight per token: TW-GRPO's loss.

use groupwise_core::{DataError, ParamError, TokenBatch};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregation, Weights};
use crate::exp::exp;
use crate::ratio::{has_slope, log_ratio};
use crate::regularizer::KlEstimator;
use crate::surrogate::{Clip, ClipParams};

/// Parameters of the weighted loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenWeightedConfig {
    /// The ratio is cut below `1 - epsilon`; in (0, 1).
    pub epsilon: f64,
    /// The ratio is cut above `1 + epsilon_high`; > 0.  Absent: as `epsilon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_high: Option<f64>,
    /// Coefficient of the KL term (k3), >= 0; 0 switches it off.
    pub beta: f64,
    /// How tokens are averaged.
    pub aggregation: Aggregation,
    /// Generation limit; needed by `seq-mean-token-sum-const`, unused by the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_length: Option<usize>,
}

impl Default for TokenWeightedConfig {
    fn default() -> Self {
        Self {
            epsilon: 0.2,
            epsilon_high: None,
            beta: 0.0,
            aggregation: Aggregation::TokenMean,
            max_completion_length: None,
        }
    }
}

/// Loss and its derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenWeightedEvaluation {
    /// The scalar to minimize.
    pub loss: f64,
    /// Its derivative by each log-probability.
    pub d_logp: Vec<f64>,
    /// Summand of the KL term.
    pub kl_loss: f64,
}

/// The weighted loss, valid by construction.
///
/// # Formula
/// `sum_i w_i sum_t mask_it omega_it (max(-A rho, -A clip(rho, 1 - epsilon, 1 + epsilon_high)) + beta k3)`, with the
/// weights `w_i` of the aggregation (token mean: `1 / sum mask`; it does not divide by the sum of `omega`), the given
/// weights `omega` held constant, `rho = exp(logp - logp_old)` and k3 to the reference.
///
/// Without KL it is the clipped loss with advantages `omega A`; the KL term is what such advantages cannot express.
///
/// # Shapes
/// `logp` and `omega`: one per token of the batch; log-probabilities in nats, weights without unit.
///
/// # Edge cases
/// No counted token: loss 0.  A masked token may have any weight.  Log-ratios are clamped to +-20, where the
/// derivative is 0.
///
/// # Errors
/// Parameters: those of [`Clip::new`], `beta` negative or not finite, no generation limit where one is needed.  Data:
/// lengths that disagree; `beta > 0` without reference; a weight of a counted token that is negative or not finite; a
/// loss that is not finite, named by trajectory and token.
///
/// # Source
/// TW-GRPO (arXiv 2505.24718); `src/open_r1/trainer/grpo_trainer.py` of longmalongma/TW-GRPO, where the KL is inside
/// what is weighed and the released script sets `beta = 0`.
///
/// # Example
/// ```
/// use groupwise_objective::losses::{TokenWeighted, TokenWeightedConfig};
/// use groupwise_objective::nested::worked_example;
/// let (batch, logp) = worked_example().to_batch()?;
/// let loss = TokenWeighted::new(&TokenWeightedConfig::default())?;
/// let plain = loss.evaluate(&batch, &logp, &vec![1.0; logp.len()])?;
/// let doubled = loss.evaluate(&batch, &logp, &vec![2.0; logp.len()])?;
/// assert!((doubled.loss - 2.0 * plain.loss).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokenWeighted {
    clip: Clip,
    beta: f64,
    weights: Weights,
}

impl TokenWeighted {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &TokenWeightedConfig) -> Result<Self, ParamError> {
        let beta = config.beta;
        ParamError::check_coefficient("beta", beta)?;
        Ok(Self {
            clip: Clip::new(&ClipParams {
                epsilon: config.epsilon,
                epsilon_high: config.epsilon_high,
                ..ClipParams::default()
            })?,
            beta,
            weights: config.aggregation.with_max_length(config.max_completion_length)?,
        })
    }

    /// Loss and derivative, the weights held.
    ///
    /// # Errors
    /// See the type.
    pub fn evaluate(
        &self,
        batch: &TokenBatch,
        logp: &[f64],
        omega: &[f64],
    ) -> Result<TokenWeightedEvaluation, DataError> {
        let view = batch.view(0..batch.n_trajectories(), logp, None)?;
        crate::objectives::check_view(&view)?;
        DataError::check_len("weights", omega.len(), logp.len())?;
        if self.beta > 0.0 && view.logp_ref.is_none() {
            return Err(DataError::Missing {
                what: "logp_ref",
                part: "the KL term of the objective",
            });
        }
        let (trajectory, _) = self.weights.weigh_batch(batch)?;
        let mut out = TokenWeightedEvaluation {
            loss: 0.0,
            d_logp: vec![0.0; logp.len()],
            kl_loss: 0.0,
        };
        for ((i, tokens), w) in view.tokens.iter().enumerate().zip(trajectory) {
            let advantages = view.advantage_row(i);
            for t in tokens.clone().filter(|t| view.mask[*t]) {
                let place = || format!("trajectory {i}, token {}", t - tokens.start);
                // NaN is refused with the negative ones.
                if !(omega[t] >= 0.0 && omega[t].is_finite()) {
                    let what = format!("weight {} must be a finite number >= 0", omega[t]);
                    return Err(DataError::value(place(), what));
                }
                let d = log_ratio(logp[t], view.logp_old[t]);
                let point = self.clip.evaluate(advantages.at(t - tokens.start), exp(d));
                let weight = w * omega[t];
                let mut slope = if has_slope(d) { point.slope } else { 0.0 };
                let reference = view.logp_ref.filter(|_| self.beta > 0.0).map(|r| r[t]);
                let mut kl_loss = 0.0;
                if let Some(reference) = reference {
                    let kl = KlEstimator::K3.evaluate(logp[t], reference);
                    kl_loss = weight * self.beta * kl.value;
                    slope += self.beta * kl.slope;
                }
                let loss = weight * point.loss + kl_loss;
                // A log-probability that is not finite vanishes in the clamps: each is looked at as well.
                let read = [loss, logp[t], view.logp_old[t], reference.unwrap_or(0.0)];
                if let Some(bad) = read.iter().find(|x| !x.is_finite()) {
                    return Err(DataError::NonFinite {
                        place: place(),
                        what: "loss or one of its log-probabilities".into(),
                        value: bad.to_string(),
                    });
                }
                out.loss += loss;
                out.kl_loss += kl_loss;
                out.d_logp[t] = weight * slope;
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
#[path = "token_weighted_tests.rs"]
mod tests;
