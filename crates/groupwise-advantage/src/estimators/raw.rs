//! Raw: the reward itself, no baseline.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Scope,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, Singleton};

/// Plain REINFORCE: the reward is the advantage; the arm that shows what a baseline buys.
///
/// # Formula
/// `A_i = r_i`.
///
/// # Shapes
/// One advantage per trajectory, in the unit of the reward.
///
/// # Edge cases
/// - Unscorable trajectory: 0.
/// - Equal rewards keep their value: nothing is compared.
///
/// # Errors
/// Data: an empty group, a non-finite reward.
///
/// # Source
/// Williams, "Simple statistical gradient-following algorithms", Machine Learning 8, 1992, without baseline;
/// "raw reward" of NeMo-RL, `reinforce` of OpenRLHF.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let groups = Offsets::from_lengths([2]);
/// let raw = AdvantageSpec::Raw(Default::default()).build(&())?;
/// let a = raw.estimate(&RewardBatch::new(groups.spans(), &[Some(1.0), None]))?;
/// assert_eq!(a, Advantages::Trajectory(vec![1.0, 0.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawConfig {}

fn settings() -> GroupRelativeConfig {
    GroupRelativeConfig::centred(Centre::None, Singleton::Raw)
}

impl Part<dyn AdvantageEstimator> for RawConfig {
    const SOURCE: &'static str = "REINFORCE, Williams 1992, without baseline";

    fn formula(&self) -> String {
        settings().formula()
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(Raw(GroupRelative::new(settings())?)))
    }
}

#[derive(Debug)]
struct Raw(GroupRelative);

impl AdvantageEstimator for Raw {
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
    fn nothing_is_compared() {
        let groups = Offsets::from_lengths([3, 1]);
        let rewards = [Some(-2.5), None, Some(-2.5), Some(7.0)];
        let part = RawConfig::default().build(&()).unwrap();
        assert_eq!(part.needs(), Needs::empty());
        let a = part
            .estimate(&RewardBatch::new(groups.spans(), &rewards))
            .unwrap();
        assert_eq!(a, Advantages::Trajectory(vec![-2.5, 0.0, -2.5, 7.0]));
        assert_eq!(RawConfig::default().formula(), "A_i = r_i");
    }
}
