//! ReMax: reward less the reward of one greedy rollout of the same prompt.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope,
};
use serde::{Deserialize, Serialize};

use crate::inputs;

/// ReMax's advantage.
///
/// # Formula
/// `A_i = r_i - r_greedy(group)`.
///
/// # Shapes
/// One advantage per trajectory; `greedy_rewards`: one per group.  The greedy rollout is scored by the same
/// verifier and is no member of the group.
///
/// # Edge cases
/// - Unscorable trajectory: 0.
/// - A group of one is an ordinary group: the baseline does not come from its members.
/// - Equal rewards keep a common advantage where they differ from the greedy one.
///
/// # Errors
/// Data: missing or non-finite greedy rewards, a difference that is not finite.
///
/// # Source
/// ReMax, arXiv 2310.10505, section 4; `compute_remax_outcome_advantage` of verl.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let groups = Offsets::from_lengths([3]);
/// let rewards = [Some(1.0), Some(0.0), Some(0.5)];
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// batch.greedy_rewards = Some(&[0.4]);
/// let a = AdvantageSpec::Remax(Default::default()).build(&())?.estimate(&batch)?;
/// assert_eq!(a, Advantages::Trajectory(vec![0.6, -0.4, 0.09999999999999998]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemaxConfig {}

impl Part<dyn AdvantageEstimator> for RemaxConfig {
    const SOURCE: &'static str = "ReMax, arXiv 2310.10505, section 4; verl core_algos.py";

    fn formula(&self) -> String {
        "A_i = r_i - r_greedy".to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(Remax))
    }
}

#[derive(Debug)]
struct Remax;

impl AdvantageEstimator for Remax {
    fn needs(&self) -> Needs {
        Needs::GREEDY_REWARDS
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let greedy = batch.greedy_rewards.ok_or(DataError::Missing {
            what: "greedy_rewards",
            part: "remax",
        })?;
        DataError::check_finite("greedy_rewards", greedy)?;
        let mut a = vec![0.0; batch.rewards.len()];
        for (members, baseline) in batch.groups.iter().zip(greedy) {
            for i in members {
                a[i] = batch.rewards[i].map_or(0.0, |r| r - baseline);
            }
        }
        inputs::check_result(&a)?;
        Ok(Advantages::Trajectory(a))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;

    use super::*;

    #[test]
    fn each_group_has_its_own_baseline() {
        let groups = Offsets::from_lengths([2, 1]);
        let rewards = [Some(1.0), None, Some(1.0)];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.greedy_rewards = Some(&[0.25, 1.0]);
        let part = RemaxConfig::default().build(&()).unwrap();
        assert_eq!(part.needs(), Needs::GREEDY_REWARDS);
        assert_eq!(
            part.estimate(&batch).unwrap(),
            Advantages::Trajectory(vec![0.75, 0.0, 0.0])
        );
    }

    #[test]
    fn bad_greedy_rewards_are_named() {
        let groups = Offsets::from_lengths([1]);
        let part = RemaxConfig::default().build(&()).unwrap();
        let mut batch = RewardBatch::new(groups.spans(), &[Some(1.0)]);
        let text = |batch: &RewardBatch<'_>| part.estimate(batch).unwrap_err().to_string();
        assert_eq!(text(&batch), "`greedy_rewards` is missing, and `remax` needs it");
        batch.greedy_rewards = Some(&[f64::INFINITY]);
        assert_eq!(text(&batch), "index 0: `greedy_rewards` is inf");
        batch.greedy_rewards = Some(&[0.0, 0.0]);
        assert_eq!(text(&batch), "`greedy_rewards` has 2 entries, expected 1");
    }
}
