//! DAPO: clip-higher, mean over all tokens, no KL.
//!
//! The objective only; overlong shaping and dynamic sampling are parts of other seams.

use super::PolicyGradientConfig;
use super::preset::clip_preset;
use crate::aggregate::Aggregation;

clip_preset! {
    /// Parameters of DAPO; the default is the row of that name.
    ///
    /// # Formula
    /// `loss = 1/(sum n_i) sum_i sum_t max(-A rho_t, -A clip(rho_t, 1 - 0.2, 1 + 0.28))`.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// DAPO (arXiv 2503.14476), equation 8; 0.2 and 0.28 as its section 3.1 and verl's recipe.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::DapoConfig;
    /// let objective = DapoConfig::default().build(&())?;
    /// let batch = worked_example();
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss + 0.065951762).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    DapoConfig
    source: "DAPO (arXiv 2503.14476), equation 8; 0.2 and 0.28 as its section 3.1 and verl's recipe",
    epsilon: 0.2,
    epsilon_high: Some(0.28),
    common: PolicyGradientConfig {
        aggregation: Aggregation::TokenMean,
        ..PolicyGradientConfig::default()
    },
}
