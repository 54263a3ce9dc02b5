//! How a named row becomes a part: a flat config with the row as its default, read as the general objective.

/// A config of its own fields plus the common ones, read as a [`PolicyGradientConfig`](super::PolicyGradientConfig).
macro_rules! preset {
    (
        $(#[$doc:meta])*
        $config:ident {
            $( $(#[$field_doc:meta])* $field:ident: $kind:ty = $value:expr, )*
        }
        source: $source:expr,
        surrogate: |$this:ident| $surrogate:expr,
        common: $common:expr $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $config {
            $( $(#[$field_doc])* pub $field: $kind, )*
            /// What the ratio is taken over.
            pub importance_sampling_level: $crate::ratio::ImportanceSamplingLevel,
            /// How tokens are averaged.
            pub aggregation: $crate::aggregate::Aggregation,
            /// Generation limit; needed by `seq-mean-token-sum-const`, unused by the others.
            pub max_completion_length: Option<usize>,
            /// Coefficient of the KL penalty, >= 0; 0 switches it off.
            pub beta: f64,
            /// Which estimate of KL.
            pub kl_estimator: $crate::regularizer::KlEstimator,
            /// Whether the penalty is a term of the loss or taken off the reward.
            pub kl_in: $crate::regularizer::KlPlace,
            /// How a KL term of the loss accounts for older samples.
            pub kl_correction: $crate::regularizer::KlCorrection,
        }

        impl Default for $config {
            fn default() -> Self {
                let common: $crate::objectives::PolicyGradientConfig = $common;
                Self {
                    $( $field: $value, )*
                    importance_sampling_level: common.importance_sampling_level,
                    aggregation: common.aggregation,
                    max_completion_length: common.max_completion_length,
                    beta: common.beta,
                    kl_estimator: common.kl_estimator,
                    kl_in: common.kl_in,
                    kl_correction: common.kl_correction,
                }
            }
        }

        impl $config {
            /// The same objective in the general form.
            pub fn general(&self) -> $crate::objectives::PolicyGradientConfig {
                let $this = self;
                $crate::objectives::PolicyGradientConfig {
                    surrogate: $surrogate,
                    importance_sampling_level: self.importance_sampling_level,
                    aggregation: self.aggregation,
                    max_completion_length: self.max_completion_length,
                    beta: self.beta,
                    kl_estimator: self.kl_estimator,
                    kl_in: self.kl_in,
                    kl_correction: self.kl_correction,
                }
            }
        }

        impl ::groupwise_core::Part<dyn ::groupwise_core::Objective> for $config {
            const SOURCE: &'static str = $source;

            fn formula(&self) -> String {
                ::groupwise_core::Part::formula(&self.general())
            }

            fn build(
                &self,
                context: &(),
            ) -> Result<Box<dyn ::groupwise_core::Objective>, ::groupwise_core::ParamError> {
                ::groupwise_core::Part::build(&self.general(), context)
            }
        }
    };
}

/// A [`preset!`] with the clipped ratio.
macro_rules! clip_preset {
    (
        $(#[$doc:meta])*
        $config:ident
        source: $source:expr,
        epsilon: $epsilon:expr,
        epsilon_high: $epsilon_high:expr,
        common: $common:expr $(,)?
    ) => {
        $crate::objectives::preset::preset! {
            $(#[$doc])*
            $config {
                /// The ratio is cut below `1 - epsilon`; in (0, 1).
                epsilon: f64 = $epsilon,
                /// The ratio is cut above `1 + epsilon_high`; > 0.  Absent: as `epsilon`.
                epsilon_high: Option<f64> = $epsilon_high,
                /// TRL's upper bound on the unclipped ratio; > 1.  Absent: off.
                delta: Option<f64> = None,
                /// Dual clip: bound on the loss where the advantage is negative; > 1.  Absent: off.
                dual_clip: Option<f64> = None,
            }
            source: $source,
            surrogate: |this| $crate::surrogate::SurrogateConfig::Clip($crate::surrogate::ClipParams {
                epsilon: this.epsilon,
                epsilon_high: this.epsilon_high,
                delta: this.delta,
                dual_clip: this.dual_clip,
            }),
            common: $common,
        }
    };
}

pub(crate) use {clip_preset, preset};
