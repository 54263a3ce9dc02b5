//! REINFORCE: no ratio, mean over trajectories of token sums.
//!
//! The plain policy gradient; right only while the sampler is the current policy.

use super::PolicyGradientConfig;
use super::preset::preset;
use crate::aggregate::Aggregation;
use crate::surrogate::SurrogateConfig;

preset! {
    /// Parameters of REINFORCE; the default is the row of that name.
    ///
    /// # Formula
    /// `loss = -1/B sum_i sum_t A logp_t`.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// Williams 1992 (Machine Learning 8), equation 11 as a loss.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::ReinforceConfig;
    /// let objective = ReinforceConfig::default().build(&())?;
    /// let batch = worked_example();
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss - 0.405829567).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ReinforceConfig {}
    source: "Williams 1992 (Machine Learning 8), equation 11 as a loss",
    surrogate: |_this| SurrogateConfig::Reinforce,
    common: PolicyGradientConfig {
        aggregation: Aggregation::SeqMeanTokenSum,
        ..PolicyGradientConfig::default()
    },
}
