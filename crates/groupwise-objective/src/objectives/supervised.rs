//! Supervised: minus the mean log-probability; advantages are not read.

use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::engine::check_view;
use crate::aggregate::{Aggregation, Weights};

/// Parameters of the supervised objective; the default is the mean over all counted tokens.
///
/// # Formula
/// `loss = -sum_i w_i sum_t mask_it logp_it`, `d loss / d logp_it = -w_i`.
///
/// # Shapes
/// Log-probabilities in nats per token.
///
/// # Edge cases
/// No counted token: loss 0.
///
/// # Errors
/// A counted log-probability that is not finite, named with trajectory and token.
///
/// # Source
/// Maximum likelihood; used for the supervised warm start.
///
/// # Example
/// ```
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
/// let at = evaluate_nested(groupwise_objective::objectives::supervised().as_ref(), &NestedBatch {
///     logp: vec![vec![vec![-0.5, -1.0], vec![-1.5]]],
///     logp_old: None,
///     logp_ref: None,
///     mask: None,
///     advantages: NestedAdvantages::Trajectory(vec![vec![0.0, 0.0]]),
/// })?;
/// assert_eq!(at.loss, 1.0);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisedConfig {
    /// How tokens are averaged.
    pub aggregation: Aggregation,
    /// Generation limit; needed by `seq-mean-token-sum-const`, unused by the others.
    pub max_completion_length: Option<usize>,
}

impl Default for SupervisedConfig {
    fn default() -> Self {
        Self {
            aggregation: Aggregation::TokenMean,
            max_completion_length: None,
        }
    }
}

/// The supervised objective at its default: minus the mean log-probability over counted tokens.
pub fn supervised() -> Box<dyn Objective> {
    Box::new(Supervised {
        weights: Weights::token_mean(),
    })
}

impl Part<dyn Objective> for SupervisedConfig {
    const SOURCE: &'static str = "maximum likelihood";

    fn formula(&self) -> String {
        format!(
            "loss = -sum_i w_i sum_t logp_it; {}",
            self.aggregation.formula(self.max_completion_length)
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        let weights = self.aggregation.with_max_length(self.max_completion_length)?;
        Ok(Box::new(Supervised { weights }))
    }
}

#[derive(Debug)]
struct Supervised {
    weights: Weights,
}

impl Objective for Supervised {
    fn needs(&self) -> Needs {
        Needs::TOKENS
    }

    fn scope(&self) -> Scope {
        Scope::Token
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let (trajectory, _) = self.weights.weigh_batch(batch)?;
        Ok(Denominators {
            trajectory,
            scalars: Vec::new(),
        })
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        let weights = denominators.of_view(view)?;
        Ok(Frozen {
            trajectory: weights.to_vec(),
            ..Frozen::default()
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        DataError::check_len("frozen weights", frozen.trajectory.len(), view.n_trajectories())?;
        let (mut loss, mut d_logp) = (0.0, vec![0.0; view.logp.len()]);
        for ((i, tokens), w) in view.tokens.iter().enumerate().zip(&frozen.trajectory) {
            let mut row = 0.0;
            for t in tokens.clone().filter(|t| view.mask[*t]) {
                if !view.logp[t].is_finite() {
                    return Err(DataError::NonFinite {
                        place: format!(
                            "trajectory {}, token {}",
                            view.first_trajectory + i,
                            t - tokens.start
                        ),
                        what: "logp".into(),
                        value: view.logp[t].to_string(),
                    });
                }
                row -= view.logp[t];
                d_logp[t] = -w;
            }
            loss += w * row;
        }
        let grads = TokenGrads {
            d_logp,
            d_entropy: None,
            d_value: None,
        };
        Ok(Evaluation {
            loss,
            grads,
            terms: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::{Inputs, check_gradient, check_invariance, samples};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gradient_split_order_and_padding(sample in samples()) {
            let objective = supervised();
            let inputs = Inputs { logp: &sample.logp, entropy: None, value: None };
            check_gradient(objective.as_ref(), &sample.batch, &sample.logp, None)?;
            check_invariance(objective.as_ref(), &sample.batch, &inputs)?;
        }
    }

    #[test]
    fn tokens_and_their_mask_are_all_it_asks_for() {
        assert_eq!(
            (supervised().needs(), supervised().scope()),
            (Needs::TOKENS, Scope::Token)
        );
        assert_eq!(
            SupervisedConfig::default().formula(),
            "loss = -sum_i w_i sum_t logp_it; w_i = 1 / sum_j n_j"
        );
    }
}
