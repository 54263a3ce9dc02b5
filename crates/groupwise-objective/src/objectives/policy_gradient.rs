//! The general objective: every choice of ratio, surrogate, aggregation and KL is free.

use groupwise_core::{Objective, ParamError, Part};
use serde::{Deserialize, Serialize};

use super::engine::{LossKl, PolicyGradient};
use crate::aggregate::Aggregation;
use crate::ratio::ImportanceSamplingLevel;
use crate::regularizer::{KlCorrection, KlEstimator, KlPenalty, KlPlace};
use crate::surrogate::{Surrogate, SurrogateConfig};

/// Parameters of the general objective; the default is `grpo`.
///
/// # Formula
/// `loss = sum_i w_i sum_t mask_it l(A_it, rho_it) + beta sum_i w_i sum_t mask_it k_it`, with the weights w of the
/// aggregation, the surrogate l, the ratio rho of the level and the KL estimate k.
///
/// # Shapes
/// Log-probabilities in nats per token; advantages per trajectory or per token.  With a ratio of the whole
/// trajectory and advantages per token, each token's loss has its own advantage and the common ratio.
///
/// # Edge cases
/// A trajectory without counted tokens has weight 0.  Log-ratios are clamped to +-20, where the derivative is 0.
///
/// # Errors
/// Building refuses parameters out of range.  Evaluating refuses slices that do not fit, a missing `logp_ref`
/// where a KL term needs it, and names trajectory and token of a number that is not finite.
///
/// # Terms
/// `policy_loss`; `approx_kl` (mean k3 to the old policy); `clip_ratio/low_mean`, `/high_mean`, `/region_mean`
/// (share of counted tokens below with `A < 0`, above with `A > 0`, either; for `cispo` the share of capped
/// weights of any sign); `clip_ratio/cap_mean` with `delta` or `dual_clip` (tokens above the cap, `A < 0`);
/// `kl` (mean k3 to the reference) where `logp_ref` is there; `kl_loss`, the summand of the loss, with `beta > 0`.
///
/// # Source
/// The decomposition is verl's and TRL's common ground; each part names its own.
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
/// use groupwise_objective::objectives::PolicyGradientConfig;
/// let objective = PolicyGradientConfig::default().build(&())?;
/// let at = evaluate_nested(objective.as_ref(), &NestedBatch {
///     logp: vec![vec![vec![-0.6914, -1.2118]]],
///     logp_old: Some(vec![vec![vec![-0.5383, -1.1224]]]),
///     logp_ref: None,
///     mask: None,
///     advantages: NestedAdvantages::Trajectory(vec![vec![1.0]]),
/// })?;
/// assert!((at.loss + 0.886261).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyGradientConfig {
    /// What the ratio is taken over.
    pub importance_sampling_level: ImportanceSamplingLevel,
    /// What a token contributes.
    pub surrogate: SurrogateConfig,
    /// How tokens are averaged.
    pub aggregation: Aggregation,
    /// Generation limit; needed by `seq-mean-token-sum-const`, unused by the others.
    pub max_completion_length: Option<usize>,
    /// Coefficient of the KL penalty, >= 0; 0 switches it off.
    pub beta: f64,
    /// Which estimate of KL.
    pub kl_estimator: KlEstimator,
    /// Whether the penalty is a term of the loss or taken off the reward.
    pub kl_in: KlPlace,
    /// How a KL term of the loss accounts for older samples.
    pub kl_correction: KlCorrection,
}

impl PolicyGradientConfig {
    /// The penalty to take off rewards, where `kl_in` says so and `beta > 0`.
    ///
    /// # Errors
    /// `beta` out of range.
    pub fn kl_penalty(&self) -> Result<Option<KlPenalty>, ParamError> {
        let penalty = KlPenalty::new(self.kl_estimator, self.beta)?;
        Ok((self.kl_in == KlPlace::Reward && self.beta > 0.0).then_some(penalty))
    }

    fn ratio_formula(&self) -> &'static str {
        match self.importance_sampling_level {
            ImportanceSamplingLevel::Token => "rho = exp(d_t)",
            ImportanceSamplingLevel::Sequence => "rho = exp(sum_t d_t / n_i)",
            ImportanceSamplingLevel::SequenceSum => "rho = exp(clamp(sum_t d_t, -20, 20))",
        }
    }

    fn surrogate_formula(&self) -> String {
        match &self.surrogate {
            SurrogateConfig::Clip(p) => {
                let high = p.epsilon_high.unwrap_or(p.epsilon);
                let rho = p.delta.map_or("rho".into(), |delta| format!("min(rho, {delta})"));
                let clip = format!("max(-A {rho}, -A clip(rho, 1 - {}, 1 + {high}))", p.epsilon);
                match p.dual_clip {
                    Some(c) => format!("A < 0: min({clip}, -A {c}), else {clip}"),
                    None => clip,
                }
            }
            SurrogateConfig::Cispo(p) => format!("-sg(clip(rho, {}, {})) A logp", p.ratio_min, p.ratio_max),
            SurrogateConfig::Reinforce => "-A logp".into(),
        }
    }

    fn kl_formula(&self) -> String {
        if self.beta == 0.0 {
            return String::new();
        }
        let k = self.kl_estimator.formula();
        let beta = self.beta;
        match (self.kl_in, self.kl_correction) {
            (KlPlace::Reward, _) => {
                format!("; reward -= {beta} sum_t ({k}), u = clamp(logp_ref - logp_old, -20, 20)")
            }
            (KlPlace::Loss, correction) => {
                let weight = match correction {
                    KlCorrection::None => "",
                    KlCorrection::Ratio => "exp(d_t) ",
                    KlCorrection::FrozenRatio => "sg(exp(d_t)) ",
                };
                let u = "u = clamp(logp_ref - logp, -20, 20)";
                format!(" + {beta} sum_i w_i sum_t {weight}({k}), {u}")
            }
        }
    }
}

impl Part<dyn Objective> for PolicyGradientConfig {
    const SOURCE: &'static str =
        "common ground of TRL `grpo_trainer.py` and verl `core_algos.py`; parts name theirs";

    fn formula(&self) -> String {
        let has_ratio = !matches!(self.surrogate, SurrogateConfig::Reinforce);
        let ratio = match has_ratio || (self.beta > 0.0 && self.kl_correction != KlCorrection::None) {
            true => format!(
                "{}, d_t = clamp(logp - logp_old, -20, 20); ",
                self.ratio_formula()
            ),
            false => String::new(),
        };
        format!(
            "loss = sum_i w_i sum_t l_it{}; l = {}; {ratio}{}",
            self.kl_formula(),
            self.surrogate_formula(),
            self.aggregation.formula(self.max_completion_length)
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        let surrogate = self.surrogate.build()?;
        let weights = self.aggregation.with_max_length(self.max_completion_length)?;
        // Checks beta; where the penalty belongs to the reward there is no term here.
        let in_reward = self.kl_penalty()?.is_some();
        if matches!(surrogate, Surrogate::Reinforce) && self.importance_sampling_level != Default::default() {
            let level = serde_name(&self.importance_sampling_level);
            let range = "token: `reinforce` has no ratio";
            return Err(ParamError::new("importance_sampling_level", level, range));
        }
        if self.kl_in == KlPlace::Reward && self.kl_correction != KlCorrection::None {
            let range = "none where `kl_in` = reward: the penalty is computed at the old log-probabilities";
            return Err(ParamError::new(
                "kl_correction",
                serde_name(&self.kl_correction),
                range,
            ));
        }
        let kl = (!in_reward && self.beta > 0.0).then_some(LossKl {
            estimator: self.kl_estimator,
            beta: self.beta,
            correction: self.kl_correction,
        });
        Ok(Box::new(PolicyGradient {
            level: self.importance_sampling_level,
            surrogate,
            weights,
            kl,
            wants_reference: self.beta > 0.0,
        }))
    }
}

/// A unit variant as it stands in a recipe.
fn serde_name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Needs;

    use super::*;
    use crate::surrogate::ClipParams;

    fn refuse(config: PolicyGradientConfig) -> String {
        config.build(&()).expect_err("refused").to_string()
    }

    #[test]
    fn without_a_coefficient_there_is_no_penalty_and_no_reference() {
        for kl_in in [KlPlace::Loss, KlPlace::Reward] {
            let config = PolicyGradientConfig {
                kl_in,
                ..Default::default()
            };
            assert_eq!((config.beta, config.kl_penalty()), (0.0, Ok(None)));
            let needs = |beta| {
                let config = PolicyGradientConfig {
                    beta,
                    ..config.clone()
                };
                config.build(&()).expect("valid").needs()
            };
            assert_eq!(needs(0.0), Needs::TOKENS | Needs::LOGP_OLD);
            assert_eq!(needs(0.5), Needs::TOKENS | Needs::LOGP_OLD | Needs::LOGP_REF);
        }
    }

    #[test]
    fn the_formula_defines_the_ratio_where_something_reads_it() {
        let formula = |beta, kl_correction| {
            let config = PolicyGradientConfig {
                surrogate: SurrogateConfig::Reinforce,
                beta,
                kl_correction,
                ..Default::default()
            };
            config.formula().contains("rho = exp(d_t)")
        };
        assert!(formula(0.1, KlCorrection::Ratio));
        assert!(!formula(0.1, KlCorrection::None));
        assert!(!formula(0.0, KlCorrection::Ratio));
        assert!(
            PolicyGradientConfig::default()
                .formula()
                .contains("rho = exp(d_t)")
        );
    }

    #[test]
    fn refused_parameters() {
        let base = PolicyGradientConfig::default();
        assert_eq!(
            refuse(PolicyGradientConfig {
                beta: -0.1,
                ..base.clone()
            }),
            "`beta` = -0.1: must be a finite number >= 0"
        );
        assert_eq!(
            refuse(PolicyGradientConfig {
                beta: f64::NAN,
                ..base.clone()
            }),
            "`beta` = NaN: must be a finite number >= 0"
        );
        assert_eq!(
            refuse(PolicyGradientConfig {
                surrogate: SurrogateConfig::Reinforce,
                importance_sampling_level: ImportanceSamplingLevel::SequenceSum,
                ..base.clone()
            }),
            "`importance_sampling_level` = sequence-sum: must be token: `reinforce` has no ratio"
        );
        assert_eq!(
            refuse(PolicyGradientConfig {
                kl_in: KlPlace::Reward,
                kl_correction: KlCorrection::FrozenRatio,
                ..base
            }),
            "`kl_correction` = frozen-ratio: must be none where `kl_in` = reward: the penalty is computed at the \
             old log-probabilities"
        );
    }

    #[test]
    fn a_recipe_reads_as_nested_tables() {
        let text = "aggregation = 'token-mean'\nbeta = 0.01\nkl_estimator = 'k2'\n\
                    [surrogate.clip]\nepsilon = 0.1\nepsilon_high = 0.3\ndual_clip = 3.0";
        let config: PolicyGradientConfig = toml::from_str(text).expect("parses");
        let clip = ClipParams {
            epsilon: 0.1,
            epsilon_high: Some(0.3),
            delta: None,
            dual_clip: Some(3.0),
        };
        assert_eq!(config.surrogate, SurrogateConfig::Clip(clip));
        assert_eq!(
            config.formula(),
            "loss = sum_i w_i sum_t l_it + 0.01 sum_i w_i sum_t (u^2 / 2), u = clamp(logp_ref - logp, -20, 20); \
             l = A < 0: min(max(-A rho, -A clip(rho, 1 - 0.1, 1 + 0.3)), -A 3), else \
             max(-A rho, -A clip(rho, 1 - 0.1, 1 + 0.3)); rho = exp(d_t), d_t = clamp(logp - logp_old, -20, 20); \
             w_i = 1 / sum_j n_j"
        );
        let typo = toml::from_str::<PolicyGradientConfig>("kl_coef = 0.1")
            .expect_err("refused")
            .to_string();
        assert!(
            typo.contains("unknown field `kl_coef`, expected one of `importance_sampling_level`"),
            "{typo}"
        );
    }
}
