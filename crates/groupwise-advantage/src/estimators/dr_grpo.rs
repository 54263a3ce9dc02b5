//! Dr. GRPO: reward less the group mean, without division.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Scope,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, Singleton};

/// Dr. GRPO's advantage; its other half, the constant length normalizer, is an aggregation of the objective.
///
/// # Formula
/// `A_i = r_i - mean(r)` over the scorable rewards of a group.
///
/// # Shapes
/// One advantage per trajectory, in the unit of the reward.
///
/// # Edge cases
/// Those of [`GroupRelative`].
///
/// # Errors
/// Data: those of [`GroupRelative`].
///
/// # Source
/// "Understanding R1-Zero-like training", arXiv 2503.20783, section 3.2; `norm_adv_by_std_in_grpo=False` of verl.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let groups = Offsets::from_lengths([3]);
/// let rewards = [Some(0.2), Some(0.9), Some(0.4)];
/// let dr_grpo = AdvantageSpec::DrGrpo(Default::default()).build(&())?;
/// let a = dr_grpo.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
/// let Advantages::Trajectory(a) = a else { unreachable!("Dr. GRPO is per trajectory") };
/// assert!((a[1] - 0.4).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrGrpoConfig {
    /// What a lone scorable member gets.
    pub singleton: Singleton,
}

impl DrGrpoConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig::centred(Centre::Mean, self.singleton)
    }
}

impl Part<dyn AdvantageEstimator> for DrGrpoConfig {
    const SOURCE: &'static str = "Dr. GRPO, arXiv 2503.20783, section 3.2";

    fn formula(&self) -> String {
        self.settings().formula()
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(DrGrpo(GroupRelative::new(self.settings())?)))
    }
}

#[derive(Debug)]
struct DrGrpo(GroupRelative);

impl AdvantageEstimator for DrGrpo {
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
    fn it_is_grpo_without_division() {
        let groups = Offsets::from_lengths([3, 1]);
        let rewards = [Some(1.0), None, Some(0.0), Some(2.0)];
        let batch = RewardBatch::new(groups.spans(), &rewards);
        let estimate = |singleton| {
            let part = DrGrpoConfig { singleton }.build(&()).unwrap();
            assert_eq!(part.needs(), Needs::empty());
            part.estimate(&batch).unwrap()
        };
        assert_eq!(
            estimate(Singleton::Zero),
            Advantages::Trajectory(vec![0.5, 0.0, -0.5, 0.0])
        );
        assert_eq!(
            estimate(Singleton::Raw),
            Advantages::Trajectory(vec![0.5, 0.0, -0.5, 2.0])
        );
        assert_eq!(
            DrGrpoConfig::default().formula(),
            "A_i = r_i - mean(r); lone member: 0"
        );
    }
}
