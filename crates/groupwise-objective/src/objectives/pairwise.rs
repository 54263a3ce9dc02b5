//! Pairwise surrogate: for any two answers to a prompt, reward less tau times the log-ratio should be equal.
//!
//! That equality is the optimum of reward minus tau KL to an anchor policy; its squared violation over all pairs of a
//! group has, at the anchor, the gradient of REINFORCE with the group mean as baseline, whoever sampled the answers.
//! Source: arXiv 2509.24203, section 3.

use groupwise_core::stats::Moments;
use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::answers::{answers, check_loss, constants, log_ratio_sum};
use super::engine::check_view;
use crate::ratio::{has_slope, log_ratio};

/// The policy the log-ratio is taken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// The policy that sampled.
    #[default]
    Old,
    /// The reference policy.
    Reference,
}

/// Parameters of the pairwise surrogate.
///
/// # Formula
/// `loss = mean over groups of 1/K^2 sum_{i < j} (a_i - a_j)^2`, `a_i = r_i - tau sum_t (logp_t - logp_anchor_t)`.
///
/// # Shapes
/// Log-probabilities in nats per token; one reward per trajectory in the place of the advantage.  Only differences
/// inside a group count, so `[advantage.raw]` and `[advantage.dr-grpo]` give the same loss.
///
/// # Edge cases
/// A group of one adds 0.  A trajectory without counted tokens is left out of its group; a group without any is not
/// counted.  Token log-ratios are clamped to +-20, where the derivative is 0.
///
/// # Errors
/// Building: `tau <= 0`.  Data: a missing `logp_ref`; a number that is not finite, by trajectory and token.
///
/// # Terms
/// `policy_loss`.
///
/// # Source
/// arXiv 2509.24203, section 3.
///
/// # Example
/// ```
/// let (a, mut slopes) = ([1.0, 0.0, 0.5], [0.0; 3]);
/// let loss = groupwise_objective::objectives::pairwise_loss(&a, 0.5, &mut slopes)?;
/// assert!((loss - 1.0 / 6.0).abs() < 1e-15);
/// assert!((slopes[0] + 1.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairwiseConfig {
    /// Weight of the KL to the anchor, > 0.
    pub tau: f64,
    /// The policy the log-ratio is taken to.
    pub anchor: Anchor,
}

impl Default for PairwiseConfig {
    fn default() -> Self {
        Self {
            tau: 1.0,
            anchor: Anchor::Old,
        }
    }
}

impl Part<dyn Objective> for PairwiseConfig {
    const SOURCE: &'static str = "arXiv 2509.24203, section 3: the surrogate behind group-relative REINFORCE";

    fn formula(&self) -> String {
        let anchor = match self.anchor {
            Anchor::Old => "logp_old",
            Anchor::Reference => "logp_ref",
        };
        format!(
            "loss = mean over groups of 1/K^2 sum_{{i < j}} (a_i - a_j)^2; a_i = A_i - {} sum_t clamp(logp - \
             {anchor}, -20, 20)",
            self.tau
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        let holds = self.tau > 0.0 && self.tau.is_finite();
        ParamError::check(holds, "tau", self.tau, "a finite number > 0")?;
        Ok(Box::new(Pairwise {
            tau: self.tau,
            anchor: self.anchor,
        }))
    }
}

/// The surrogate of one group, with its derivative by the log-probability of each answer.
///
/// # Formula
/// `1/K^2 sum_{i < j} (a_i - a_j)^2`, which is the variance of a with divisor K; derivative
/// `-(2 tau / K) (a_i - mean a)`.
///
/// # Shapes
/// One entry per answer; `slopes` is overwritten.
///
/// # Edge cases
/// No answer: 0.
///
/// # Errors
/// [`DataError::Length`] if the lengths differ.
///
/// # Source
/// arXiv 2509.24203, section 3.
///
/// # Example
/// See [`PairwiseConfig`].
pub fn pairwise_loss(a: &[f64], tau: f64, slopes: &mut [f64]) -> Result<f64, DataError> {
    DataError::check_len("slopes", slopes.len(), a.len())?;
    let (moments, n) = (Moments::of(a), a.len() as f64);
    for (slope, a) in slopes.iter_mut().zip(a) {
        *slope = -2.0 * tau * (a - moments.mean()) / n;
    }
    Ok(moments.population_variance())
}

/// `Denominators` and `Frozen`: `scalars` the weight of a group.
#[derive(Debug)]
struct Pairwise {
    tau: f64,
    anchor: Anchor,
}

impl Objective for Pairwise {
    fn needs(&self) -> Needs {
        Needs::TOKENS
            | match self.anchor {
                Anchor::Old => Needs::LOGP_OLD,
                Anchor::Reference => Needs::LOGP_REF,
            }
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let counts =
            |g: &std::ops::Range<usize>| batch.mask[batch.tokens.range_of(g.clone())].contains(&true);
        let groups = batch.groups.spans().iter().filter(counts).count();
        Ok(Denominators {
            trajectory: Vec::new(),
            scalars: vec![1.0 / groups.max(1) as f64],
        })
    }

    fn freeze(&self, denominators: &Denominators, _: &TokenView<'_>) -> Result<Frozen, DataError> {
        Ok(Frozen {
            scalars: denominators.scalars.clone(),
            ..Frozen::default()
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        let [weight] = constants(&frozen.scalars)?;
        let (name, anchor) = match self.anchor {
            Anchor::Old => ("logp_old", view.logp_old),
            Anchor::Reference => (
                "logp_ref",
                view.logp_ref.ok_or(DataError::Missing {
                    what: "logp_ref",
                    part: "the anchor of the objective",
                })?,
            ),
        };
        let (mut members, mut a, mut slopes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut loss, mut d_logp) = (0.0, vec![0.0; view.logp.len()]);
        for group in view.groups.spans().iter() {
            answers(view, group, &mut members)?;
            a.clear();
            for answer in &members {
                let x = log_ratio_sum(view, answer.index, (name, anchor))?;
                let value = answer.advantage - self.tau * x;
                // A variance would hide the overflow of a single answer.
                if !value.is_finite() {
                    return Err(DataError::NonFinite {
                        place: format!("trajectory {}", view.first_trajectory + answer.index),
                        what: "reward less tau times the log-ratio".into(),
                        value: value.to_string(),
                    });
                }
                a.push(value);
            }
            slopes.resize(a.len(), 0.0);
            loss += weight * pairwise_loss(&a, self.tau, &mut slopes)?;
            for (answer, slope) in members.iter().zip(&slopes) {
                let open = |t: &usize| view.mask[*t] && has_slope(log_ratio(view.logp[*t], anchor[*t]));
                for t in view.tokens.range(answer.index).filter(open) {
                    d_logp[t] = weight * slope;
                }
            }
        }
        Ok(Evaluation {
            loss: check_loss(loss)?,
            grads: TokenGrads {
                d_logp,
                d_entropy: None,
                d_value: None,
            },
            terms: vec![("policy_loss", loss)],
        })
    }
}

#[cfg(test)]
#[path = "pairwise_tests.rs"]
mod tests;
