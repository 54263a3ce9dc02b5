//! GRPO: reward less the group mean, divided by the group's standard deviation.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spread,
};
use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::group_relative::{GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton, ZeroSpread};

/// GRPO's advantage: the dialect sets every number, and any key written out beside it overrides that number.
///
/// # Formula
/// `A_i = (r_i - mean(r)) / (std(r) + eps)` over the scorable rewards of a group (house dialect).
///
/// # Shapes
/// One advantage per trajectory.
///
/// # Edge cases
/// Those of [`GroupRelative`].
///
/// # Errors
/// Parameters: those of [`GroupRelative::new`], and a `spread` written out where nothing is divided.  Data:
/// those of [`GroupRelative`].
///
/// # Source
/// DeepSeekMath, arXiv 2402.03300, section 4.1.2.  The paper leaves divisor and eps open; the house default is
/// verl's (sample deviation, 1e-6) with groups of one at 0 as in TRL.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::GrpoConfig;
/// use groupwise_advantage::{AdvantageSpec, Dialect};
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let spec = AdvantageSpec::Grpo(GrpoConfig { dialect: Dialect::Trl, eps: Some(1e-6), ..Default::default() });
/// let groups = Offsets::from_lengths([4]);
/// let rewards = [Some(1.0), Some(0.0), Some(0.0), Some(1.0)];
/// let a = spec.build(&())?.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
/// let Advantages::Trajectory(a) = a else { unreachable!("GRPO is per trajectory") };
/// assert!((a[0] - 0.8660239037870368).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoConfig {
    /// Whose GRPO.
    pub dialect: Dialect,
    /// Overrides what is subtracted from a reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub centre: Option<Centre>,
    /// Overrides what the centred reward is divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Overrides over which rewards the spread is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_rewards: Option<ScaleRewards>,
    /// Overrides what is added to the spread, >= 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Overrides what a lone scorable member gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub singleton: Option<Singleton>,
    /// Overrides what happens when the spread is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_spread: Option<ZeroSpread>,
}

impl GrpoConfig {
    /// The dialect's settings with the keys written out put over them.
    pub fn resolve(&self) -> GroupRelativeConfig {
        let base = self.dialect.settings();
        GroupRelativeConfig {
            centre: self.centre.unwrap_or(base.centre),
            spread: self.spread.unwrap_or(base.spread),
            scale_rewards: self.scale_rewards.unwrap_or(base.scale_rewards),
            eps: self.eps.unwrap_or(base.eps),
            singleton: self.singleton.unwrap_or(base.singleton),
            zero_spread: self.zero_spread.unwrap_or(base.zero_spread),
        }
    }

    /// A spread that would never be used is a mistake of the recipe, not a preference.
    fn check_spread_is_used(&self, resolved: &GroupRelativeConfig) -> Result<(), ParamError> {
        let given = match self.spread {
            None | Some(Spread::None) => return Ok(()),
            Some(Spread::Sample) => "sample",
            Some(Spread::Population) => "population",
            Some(Spread::LeaveOneOut) => "leave-one-out",
            Some(Spread::Mean) => "mean",
        };
        ParamError::check(
            resolved.divides(),
            "spread",
            given,
            "unset where `scale_rewards` is none",
        )
    }
}

impl Part<dyn AdvantageEstimator> for GrpoConfig {
    const SOURCE: &'static str =
        "DeepSeekMath, arXiv 2402.03300, section 4.1.2; numbers by dialect, see groupwise_advantage::Dialect";

    fn formula(&self) -> String {
        let formula = self.resolve().formula();
        match self.dialect {
            Dialect::House => formula,
            other => format!("{formula}; dialect {}", other.name()),
        }
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        let resolved = self.resolve();
        self.check_spread_is_used(&resolved)?;
        Ok(Box::new(Grpo(GroupRelative::new(resolved)?)))
    }
}

#[derive(Debug)]
struct Grpo(GroupRelative);

impl AdvantageEstimator for Grpo {
    fn needs(&self) -> Needs {
        Needs::empty()
    }

    fn scope(&self) -> Scope {
        self.0.config().scope()
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let a = self.0.advantages(batch.groups, batch.rewards)?;
        Ok(Advantages::Trajectory(a))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_written_out_override_the_dialect_and_only_those() {
        let config: GrpoConfig =
            serde_json::from_str(r#"{"dialect": "nemo-rl", "eps": 0.5, "centre": "mean"}"#).unwrap();
        let expected = GroupRelativeConfig {
            centre: Centre::Mean,
            eps: 0.5,
            ..Dialect::NemoRl.settings()
        };
        assert_eq!(config.resolve(), expected);
        assert_eq!(GrpoConfig::default().resolve(), GroupRelativeConfig::default());
        for dialect in Dialect::ALL {
            let config = GrpoConfig {
                dialect,
                ..Default::default()
            };
            assert_eq!(config.resolve(), dialect.settings());
            assert!(config.build(&()).is_ok());
        }
    }

    #[test]
    fn a_division_can_be_switched_on_where_the_dialect_has_none() {
        let config: GrpoConfig =
            serde_json::from_str(r#"{"dialect": "prime-rl", "scale_rewards": "group"}"#).unwrap();
        assert!(config.resolve().divides());
        assert_eq!(
            config.formula(),
            "A_i = (r_i - mean(r)) / (std(r; n - 1) + 1e-6); equal rewards: 0; spread 0: undivided; lone member: 0; \
             dialect prime-rl"
        );
        assert!(!GrpoConfig::default().formula().contains("dialect"));
    }

    #[test]
    fn bad_parameters_are_refused() {
        let refused = |json: &str| {
            let config: GrpoConfig = serde_json::from_str(json).unwrap();
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(r#"{"eps": -1e-6}"#),
            "`eps` = -0.000001: must be a finite number >= 0"
        );
        assert_eq!(
            refused(r#"{"dialect": "tinker", "spread": "population"}"#),
            "`spread` = population: must be unset where `scale_rewards` is none"
        );
        assert_eq!(
            refused(r#"{"scale_rewards": "batch", "spread": "leave-one-out"}"#),
            "`spread` = leave-one-out: must be sample or population where `scale_rewards` is batch"
        );
    }

    #[test]
    fn a_typo_is_answered_with_the_known_names() {
        let error = serde_json::from_str::<GrpoConfig>(r#"{"dialect": "verll"}"#).unwrap_err();
        assert!(error.to_string().contains("`skyrl`"), "{error}");
        let error = serde_json::from_str::<GrpoConfig>(r#"{"epsilon": 1.0}"#).unwrap_err();
        assert!(error.to_string().contains("`scale_rewards`"), "{error}");
    }
}
