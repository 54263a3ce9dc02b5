//! The named rows of off-policy REINFORCE: masks (REC), added terms (AsymRE, OPMD) and weights (RED-Weight).
//!
//! | name | mask | weight | added | aggregation |
//! |---|---|---|---|---|
//! | `rec-one-side-is` | one-side 0.2 / 0.2 | token ratio | - | `token-mean` |
//! | `rec-one-side-no-is` | one-side 0.2 / 0.2 | - | - | `token-mean` |
//! | `rec-two-side-is` | two-side 0.2 / 0.2 | token ratio | - | `token-mean` |
//! | `rec-ring-no-is` | ring 0.2 / 0.2, 0.6 / 2 | - | - | `token-mean` |
//! | `rec-gspo-is` | one-side of s, 3e-4 / 4e-4 | s | - | `seq-mean-token-mean` |
//! | `rec-gspo-no-is` | one-side of s, 3e-4 / 4e-4 | - | - | `seq-mean-token-mean` |
//! | `asymre` | - | - | `-0.1 logp` | `token-mean` |
//! | `opmd` | - | - | `0.1 d^2` | `token-mean` |
//! | `red-weight` | - | `exp(A)` | - | `token-mean` |
//!
//! REINFORCE is [`off-policy-reinforce`](OffPolicyReinforceConfig) at its default; GRPO is `rec-one-side-is` with
//! `[advantage.rec] scale_rewards = "group"`; RED-Drop is the estimator `red-drop` with REINFORCE.  The paper's wide
//! setting is `epsilon = 0.6`, `epsilon_high = 2.0`.

use groupwise_core::{Objective, ParamError, Part};
use serde::{Deserialize, Serialize};

use super::off_policy_reinforce::{ClipMode, K2Level, OffPolicyReinforceConfig, Regularizer, Weight};

macro_rules! row {
    (
        $(#[$doc:meta])*
        pub struct $config:ident { $( $(#[$field_doc:meta])* $field:ident: $kind:ty = $value:expr, )* }
        $( $fixed:ident: $choice:expr ),* $(,)?
    ) => {
        $(#[$doc])*
        ///
        /// # Formula, shapes, edge cases, errors, source
        /// Those of [`OffPolicyReinforceConfig`].
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $config { $( $(#[$field_doc])* pub $field: $kind, )* }

        impl Default for $config {
            fn default() -> Self {
                Self { $( $field: $value, )* }
            }
        }

        impl $config {
            /// The same objective in the general form.
            pub fn general(&self) -> OffPolicyReinforceConfig {
                OffPolicyReinforceConfig {
                    $( $field: self.$field, )*
                    $( $fixed: $choice, )*
                    ..OffPolicyReinforceConfig::default()
                }
            }
        }

        impl Part<dyn Objective> for $config {
            const SOURCE: &'static str = <OffPolicyReinforceConfig as Part<dyn Objective>>::SOURCE;

            fn formula(&self) -> String {
                self.general().formula()
            }

            fn build(&self, context: &()) -> Result<Box<dyn Objective>, ParamError> {
                self.general().build(context)
            }
        }
    };
}

row! {
    /// REC-OneSide-IS: the gradient of PPO's clip, token by token.
    pub struct RecOneSideIsConfig {
        /// el: how far below 1 a ratio may be; in (0, 1].
        epsilon: f64 = 0.2,
        /// eh: how far above 1 a ratio may be; > 0.
        epsilon_high: f64 = 0.2,
    }
    clip_mode: ClipMode::OneSide,
    weight: Weight::ImportanceSampling,
}

row! {
    /// REC-OneSide-NoIS: the clip as a mask, no importance weight.
    pub struct RecOneSideNoIsConfig {
        /// el: how far below 1 a ratio may be; in (0, 1].
        epsilon: f64 = 0.2,
        /// eh: how far above 1 a ratio may be; > 0.
        epsilon_high: f64 = 0.2,
    }
    clip_mode: ClipMode::OneSide,
}

row! {
    /// REC-TwoSide-IS: tokens outside the range are masked whatever their sign.
    pub struct RecTwoSideIsConfig {
        /// el: how far below 1 a ratio may be; in (0, 1].
        epsilon: f64 = 0.2,
        /// eh: how far above 1 a ratio may be; > 0.
        epsilon_high: f64 = 0.2,
    }
    clip_mode: ClipMode::TwoSide,
    weight: Weight::ImportanceSampling,
}

row! {
    /// REC-Ring-NoIS: two-side, and far tokens whose gradient pulls back.
    pub struct RecRingNoIsConfig {
        /// el: how far below 1 a ratio may be; in (0, 1].
        epsilon: f64 = 0.2,
        /// eh: how far above 1 a ratio may be; > 0.
        epsilon_high: f64 = 0.2,
        /// el': how far below 1 a ratio must be to be admitted again; in (0, 1].
        epsilon_low_prime: f64 = 0.6,
        /// eh': how far above 1 a ratio must be to be admitted again; > 0.
        epsilon_high_prime: f64 = 2.0,
    }
    clip_mode: ClipMode::Ring,
}

row! {
    /// REC-GSPO-IS: one-side on the geometric mean of a trajectory, which is also the weight.
    pub struct RecGspoIsConfig {
        /// el: how far below 1 the mean ratio may be; in (0, 1].
        epsilon: f64 = 3e-4,
        /// eh: how far above 1 the mean ratio may be; > 0.
        epsilon_high: f64 = 4e-4,
    }
    clip_mode: ClipMode::GspoOneSide,
    weight: Weight::GspoImportanceSampling,
}

row! {
    /// REC-GSPO-NoIS: one-side on the geometric mean of a trajectory.
    pub struct RecGspoNoIsConfig {
        /// el: how far below 1 the mean ratio may be; in (0, 1].
        epsilon: f64 = 3e-4,
        /// eh: how far above 1 the mean ratio may be; > 0.
        epsilon_high: f64 = 4e-4,
    }
    clip_mode: ClipMode::GspoOneSide,
}

row! {
    /// AsymRE: REINFORCE with `-c logp` added, the same as every advantage raised by c.
    pub struct AsymreConfig {
        /// c, >= 0.
        regularizer_coef: f64 = 0.1,
    }
    regularizer: Regularizer::ForwardKl,
}

row! {
    /// OPMD as Kimi uses it: REINFORCE with the squared log-ratio added.
    pub struct OpmdConfig {
        /// c, >= 0; the paper's factor is `beta / 2`.
        regularizer_coef: f64 = 0.1,
        /// Token (authors' code) or sequence (paper).
        k2_level: K2Level = K2Level::Token,
    }
    regularizer: Regularizer::K2,
}

row! {
    /// RED-Weight: REINFORCE with each answer weighted by the exponential of its advantage.
    pub struct RedWeightConfig {
        /// Temperature, > 0; small: only the best answers count.
        temp: f64 = 1.0,
    }
    weight: Weight::Advantage,
}
