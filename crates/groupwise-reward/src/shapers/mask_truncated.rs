//! Mask truncated: answers that were cut off stay out of the loss.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::check_group;

/// TRL's `mask_truncated_completions`.
///
/// # Formula
/// `trained_i = trained_i and not truncated_i`; truncated: the token limit or the turn limit was reached.
///
/// # Edge cases
/// - Rewards are untouched: a truncated member still counts in mean and spread of its group.
/// - A member that was masked before stays masked.
/// - All members truncated: the group trains nothing.
///
/// # Errors
/// Data: rewards and members that differ in number.
///
/// # Source
/// Overlong filtering of DAPO, arXiv 2503.14476, section 3.4; `mask_truncated_completions` of TRL.  How the
/// denominators of the loss treat such members is the objective's matter.
///
/// # Example
/// ```
/// use groupwise_reward::ShaperSpec;
/// let spec: ShaperSpec = serde_json::from_str(r#"{"mask-truncated": {}}"#)?;
/// assert_eq!(spec.formula(), "trained_i = trained_i and not truncated_i");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskTruncatedConfig {}

impl Part<dyn RewardShaper> for MaskTruncatedConfig {
    const SOURCE: &'static str = "DAPO, arXiv 2503.14476, section 3.4; TRL mask_truncated_completions";

    fn formula(&self) -> String {
        "trained_i = trained_i and not truncated_i".to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        Ok(Box::new(MaskTruncated))
    }
}

#[derive(Debug)]
struct MaskTruncated;

impl RewardShaper for MaskTruncated {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        for (trained, member) in rewards.trained.iter_mut().zip(members) {
            *trained &= !member.stop.is_truncation();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;

    use super::super::testing::member;
    use super::*;

    #[test]
    fn only_truncated_members_are_masked_and_rewards_stay() {
        use StopReason::{Aborted, EndToken, Length, Terminal, TurnLimit};
        let members = [EndToken, Length, Terminal, TurnLimit, Aborted, EndToken].map(|s| member(1, 0, s));
        let scores = vec![Some(1.0), Some(0.5), None, Some(0.0), None, Some(1.0)];
        let mut rewards = GroupRewards::new("v", scores.clone());
        rewards.trained[5] = false;
        let shaper = MaskTruncatedConfig::default().build(&()).unwrap();
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        shaper.shape(&task, &members, &mut rewards, &memory).unwrap();
        assert_eq!(rewards.trained, [true, false, true, false, true, false]);
        assert_eq!(rewards.rewards, scores);
    }
}
