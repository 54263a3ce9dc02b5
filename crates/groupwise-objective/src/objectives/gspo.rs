//! GSPO: one geometric-mean ratio per trajectory.
//!
//! Its bounds are far tighter than those of a token ratio, since a mean of log-ratios moves little.

use super::PolicyGradientConfig;
use super::preset::clip_preset;
use crate::ratio::ImportanceSamplingLevel;

clip_preset! {
    /// Parameters of GSPO; the default is the row of that name.
    ///
    /// # Formula
    /// `s_i = exp(sum_t d_t / n_i)`; `loss = 1/B sum_i max(-A s_i, -A clip(s_i, 1 - 3e-4, 1 + 4e-4))`; each token gets `-A s_i / (B n_i)`.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// GSPO (arXiv 2507.18071), equations 5 to 7; bounds as its section 5.1.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::GspoConfig;
    /// let objective = GspoConfig::default().build(&())?;
    /// let batch = worked_example();
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss - 0.058263335).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    GspoConfig
    source: "GSPO (arXiv 2507.18071), equations 5 to 7; bounds as its section 5.1",
    epsilon: 3e-4,
    epsilon_high: Some(4e-4),
    common: PolicyGradientConfig {
        importance_sampling_level: ImportanceSamplingLevel::Sequence,
        ..PolicyGradientConfig::default()
    },
}
