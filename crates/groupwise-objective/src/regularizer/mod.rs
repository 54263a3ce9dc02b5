//! Distance to the reference policy: estimators of KL, as a term of the loss or as a penalty on the reward.
//!
//! **Two places.**  `kl_in = "loss"` adds `beta * aggregate(kl)` to the loss; `kl_in = "reward"` takes
//! `beta * kl` at the *old* log-probabilities off the reward before advantages are computed, so it belongs to the
//! advantage side of the pipeline: [`KlPenalty`] computes it, [`ObjectiveSpec::kl_penalty`] hands it out, and the
//! objective itself then has no KL term.
//!
//! **What is unbiased.**  As a loss on samples of the current policy, k1 has an expected gradient of zero and k3
//! has that of the *forward* KL; only k2 has the gradient of `KL(current || reference)`.  With
//! `kl_correction = "ratio"` the estimate is weighted by `pi / pi_old`, with gradient, and k1 and k3 both have the
//! right one, on and off policy.
//!
//! [`ObjectiveSpec::kl_penalty`]: crate::objectives::ObjectiveSpec::kl_penalty

mod adaptive;
mod kl;
mod reward;

use serde::{Deserialize, Serialize};

pub use adaptive::AdaptiveCoefficient;
pub use kl::{KlEstimator, KlPoint, kl_estimates};
pub(crate) use kl::{block_kl, block_log_ratios_to_reference};
pub use reward::KlPenalty;

/// Where the KL penalty acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlPlace {
    /// A term of the loss.
    #[default]
    Loss,
    /// Taken off the reward, before advantages; see [`KlPenalty`].
    Reward,
}

/// How a KL term of the loss accounts for tokens sampled by an older policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlCorrection {
    /// Not at all.
    #[default]
    None,
    /// Times the token ratio `pi / pi_old`, which carries gradient (the score term): TRL's
    /// `use_bias_correction_kl`.
    Ratio,
    /// Times the token ratio behind a stop-gradient.
    FrozenRatio,
}
