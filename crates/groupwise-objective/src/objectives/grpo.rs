//! GRPO: clipped token ratio, mean over trajectories of token means.
//!
//! The default has no KL term; DeepSeekMath sets `beta = 0.04`, DeepSeek-R1 is quoted with 0.001, both k3 in the
//! loss.  TRL's trainer of that name averages over tokens by default: that is [`ppo`](super::ppo) here.

use super::PolicyGradientConfig;
use super::preset::clip_preset;

clip_preset! {
    /// Parameters of GRPO; the default is the row of that name.
    ///
    /// # Formula
    /// `loss = 1/B sum_i 1/n_i sum_t max(-A rho_t, -A clip(rho_t, 1 - epsilon, 1 + epsilon_high)) + beta k3`.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// DeepSeekMath (arXiv 2402.03300), equation 3; clip 0.2 as TRL and verl.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::GrpoConfig;
    /// let objective = GrpoConfig { beta: 0.04, ..GrpoConfig::default() }.build(&())?;
    /// let batch = worked_example();
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss - 0.061528372).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    GrpoConfig
    source: "DeepSeekMath (arXiv 2402.03300), equation 3; clip 0.2 as TRL and verl",
    epsilon: 0.2,
    epsilon_high: None,
    common: PolicyGradientConfig::default(),
}
