//! Dr.GRPO: clipped token ratio, token sums over a constant, no KL.
//!
//! `max_completion_length` has no default: the loss divides by it, so it must be the generation limit of the run.
//! Advantages come from the estimator with `scale_rewards = "none"`.

use super::PolicyGradientConfig;
use super::preset::clip_preset;
use crate::aggregate::Aggregation;

clip_preset! {
    /// Parameters of Dr.GRPO; the default is the row of that name.
    ///
    /// # Formula
    /// `loss = 1/(N max_completion_length) sum_i sum_t max(-A rho_t, -A clip(rho_t))`, N every trajectory.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// Dr.GRPO (arXiv 2503.20783), section 3; divisor as TRL (`loss_type = dr_grpo`), not verl, whose scale grows with the batch.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::DrGrpoConfig;
    /// let objective = DrGrpoConfig { max_completion_length: Some(8), ..DrGrpoConfig::default() }.build(&())?;
    /// let third = 1.0 / 3.0;
    /// let advantages = NestedAdvantages::Trajectory(vec![vec![2.0 * third, -third, -third], vec![0.5, -0.5]]);
    /// let batch = NestedBatch { advantages, ..worked_example() };
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss + 0.014266483).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    DrGrpoConfig
    source: "Dr.GRPO (arXiv 2503.20783), section 3; divisor as TRL (`loss_type = dr_grpo`), not verl, whose scale grows with the batch",
    epsilon: 0.2,
    epsilon_high: None,
    common: PolicyGradientConfig {
        aggregation: Aggregation::SeqMeanTokenSumConst,
        ..PolicyGradientConfig::default()
    },
}
