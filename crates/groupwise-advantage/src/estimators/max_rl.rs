//! MaxRL: reward less the group mean, divided by the group mean.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton, ZeroSpread};

/// MaxRL's advantage: a prompt solved rarely weighs about one over its pass rate.
///
/// # Formula
/// `A_i = (r_i - mean(r)) / (mean(r) + eps)` over the scorable rewards of a group, rewards >= 0.
///
/// # Shapes
/// One advantage per trajectory, without unit.
///
/// # Edge cases
/// - All rewards equal, all 0 included: 0.
/// - Those of [`GroupRelative`].
///
/// # Errors
/// Parameters: `eps` negative or not finite.  Data: a negative reward (the mean is no likelihood then; prime-rl
/// gives such a group zeros only if its mean is <= 0); those of [`GroupRelative`].
///
/// # Source
/// "Maximum likelihood reinforcement learning", arXiv 2602.02710; `algo/max_rl.py` of prime-rl, which adds no
/// eps and is followed (the authors' code adds 1e-6).
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let groups = Offsets::from_lengths([8]);
/// let mut rewards = [Some(0.0); 8];
/// rewards[0] = Some(1.0);
/// let max_rl = AdvantageSpec::MaxRl(Default::default()).build(&())?;
/// let a = max_rl.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
/// assert_eq!(a, Advantages::Trajectory(vec![7.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaxRlConfig {
    /// Added to the mean, >= 0.
    pub eps: f64,
    /// What a lone scorable member gets.
    pub singleton: Singleton,
}

impl MaxRlConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            centre: Centre::Mean,
            spread: Spread::Mean,
            scale_rewards: ScaleRewards::Group,
            eps: self.eps,
            singleton: self.singleton,
            zero_spread: ZeroSpread::Skip,
        }
    }
}

impl Part<dyn AdvantageEstimator> for MaxRlConfig {
    const SOURCE: &'static str = "MaxRL, arXiv 2602.02710; prime-rl algo/max_rl.py";

    fn formula(&self) -> String {
        self.settings().formula()
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(MaxRl(GroupRelative::new(self.settings())?)))
    }
}

#[derive(Debug)]
struct MaxRl(GroupRelative);

impl AdvantageEstimator for MaxRl {
    fn needs(&self) -> Needs {
        Needs::empty()
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let a = self.0.advantages(batch.groups, batch.rewards)?;
        Ok(Advantages::Trajectory(a))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;

    use super::*;

    #[test]
    fn unsolved_solved_and_mixed_groups() {
        let groups = Offsets::from_lengths([2, 2, 3]);
        let rewards = [0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.0].map(Some);
        let part = MaxRlConfig::default().build(&()).unwrap();
        assert_eq!(part.needs(), Needs::empty());
        let a = part
            .estimate(&RewardBatch::new(groups.spans(), &rewards))
            .unwrap();
        assert_eq!(
            a,
            Advantages::Trajectory(vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0])
        );
    }

    #[test]
    fn bad_parameters_and_negative_rewards_are_refused() {
        let config = MaxRlConfig {
            eps: -1.0,
            ..Default::default()
        };
        assert_eq!(
            config.build(&()).unwrap_err().to_string(),
            "`eps` = -1: must be a finite number >= 0"
        );
        let groups = Offsets::from_lengths([2]);
        let part = MaxRlConfig::default().build(&()).unwrap();
        let error = part
            .estimate(&RewardBatch::new(groups.spans(), &[Some(-1.0), Some(1.0)]))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "group 0: reward -1 is negative, and dividing by the mean needs rewards >= 0"
        );
    }

    #[test]
    fn the_formula_prints_the_numbers() {
        assert_eq!(
            MaxRlConfig::default().formula(),
            "A_i = (r_i - mean(r)) / (mean(r)); equal rewards: 0; spread 0: undivided; lone member: 0"
        );
    }
}
