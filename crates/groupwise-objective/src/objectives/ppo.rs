//! PPO: clipped token ratio, mean over all tokens.
//!
//! The objective of PPO, REINFORCE++ and ReMax, which differ in the advantage, and of TRL's and verl's trainers at
//! their defaults (verl adds `dual_clip = 3`).  The critic's loss is [`ValueClip`](crate::losses::ValueClip).

use super::PolicyGradientConfig;
use super::preset::clip_preset;
use crate::aggregate::Aggregation;

clip_preset! {
    /// Parameters of PPO; the default is the row of that name.
    ///
    /// # Formula
    /// `loss = 1/(sum n_i) sum_i sum_t max(-A rho_t, -A clip(rho_t, 1 - 0.2, 1 + 0.2))`.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// PPO (arXiv 1707.06347), equation 7; token mean as TRL and verl.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::PpoConfig;
    /// let objective = PpoConfig::default().build(&())?;
    /// let batch = worked_example();
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss + 0.061237723).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    PpoConfig
    source: "PPO (arXiv 1707.06347), equation 7; token mean as TRL and verl",
    epsilon: 0.2,
    epsilon_high: None,
    common: PolicyGradientConfig {
        aggregation: Aggregation::TokenMean,
        ..PolicyGradientConfig::default()
    },
}
