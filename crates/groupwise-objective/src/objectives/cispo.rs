//! CISPO: capped weight behind a stop-gradient, mean over all tokens.
//!
//! `ratio_max` is the cap itself: TRL's `epsilon_high`, verl's `clip_ratio_high + 1`.

use super::PolicyGradientConfig;
use super::preset::preset;
use crate::aggregate::Aggregation;
use crate::surrogate::{CispoParams, SurrogateConfig};

preset! {
    /// Parameters of CISPO; the default is the row of that name.
    ///
    /// # Formula
    /// `loss = -1/(sum n_i) sum_i sum_t sg(clip(rho_t, ratio_min, ratio_max)) A logp_t`.
    ///
    /// # Shapes, edge cases, errors
    /// Those of [`PolicyGradientConfig`].
    ///
    /// # Source
    /// MiniMax-M1 (arXiv 2506.13585), equation 5; cap 5 as ScaleRL (2510.13786).
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Part;
    /// use groupwise_objective::nested::{evaluate_nested, worked_example};
    /// use groupwise_objective::objectives::CispoConfig;
    /// let objective = CispoConfig { ratio_max: 1.2, ..CispoConfig::default() }.build(&())?;
    /// let batch = worked_example();
    /// let at = evaluate_nested(objective.as_ref(), &batch)?;
    /// assert!((at.loss - 0.126963445).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    CispoConfig {
        /// Least weight; >= 0.
        ratio_min: f64 = 0.0,
        /// Largest weight, the cap itself; > 0, at least `ratio_min`.
        ratio_max: f64 = 5.0,
    }
    source: "MiniMax-M1 (arXiv 2506.13585), equation 5; cap 5 as ScaleRL (2510.13786)",
    surrogate: |this| SurrogateConfig::Cispo(CispoParams {
        ratio_min: this.ratio_min,
        ratio_max: this.ratio_max,
    }),
    common: PolicyGradientConfig {
        aggregation: Aggregation::TokenMean,
        ..PolicyGradientConfig::default()
    },
}
