//! RLOO: clipped ratio of the whole trajectory, KL off the reward.
//!
//! The leave-one-out baseline is the estimator's; the KL penalty (k1 summed over the trajectory, 0.05) is taken off
//! the reward by whoever prepares rewards, from [`ObjectiveSpec::kl_penalty`](super::ObjectiveSpec::kl_penalty).

use super::PolicyGradientConfig;
use super::preset::clip_preset;
use crate::ratio::ImportanceSamplingLevel;
use crate::regularizer::{KlEstimator, KlPlace};

clip_preset! {
    /// Parameters of RLOO; the default is the row of that name.
    ///
    /// # Formula
    /// `s_i = exp(clamp(sum_t d_t, -20, 20))`; `loss = 1/B sum_i max(-A s_i, -A clip(s_i, 1 - 0.2, 1 + 0.2))`; each token gets `-A s_i / B`.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// RLOO (arXiv 2402.14740); sequence ratio, clip and 0.05 as TRL `rloo_trainer.py`; the clamp on the sum is ours.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::RlooConfig;
    /// let objective = RlooConfig::default().build(&())?;
    /// let third = 1.0 / 3.0;
    /// let advantages = NestedAdvantages::Trajectory(vec![vec![2.0 * third, -third, -third], vec![0.5, -0.5]]);
    /// let batch = NestedBatch { advantages, ..worked_example() };
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss - 0.078577161).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    RlooConfig
    source: "RLOO (arXiv 2402.14740); sequence ratio, clip and 0.05 as TRL `rloo_trainer.py`; the clamp on the sum is ours",
    epsilon: 0.2,
    epsilon_high: None,
    common: PolicyGradientConfig {
        importance_sampling_level: ImportanceSamplingLevel::SequenceSum,
        beta: 0.05,
        kl_estimator: KlEstimator::K1,
        kl_in: KlPlace::Reward,
        ..PolicyGradientConfig::default()
    },
}
