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
    use proptest::prelude::*;

    use super::super::testing::member;
    use super::*;

    fn shape(members: &[Trajectory], rewards: &mut GroupRewards) {
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let shaper = MaskTruncatedConfig::default().build(&()).unwrap();
        shaper.shape(&task, members, rewards, &memory).unwrap();
    }

    fn stop_reasons() -> impl Strategy<Value = StopReason> {
        use StopReason::{Aborted, EndToken, Length, Terminal, TurnLimit};
        prop::sample::select(vec![EndToken, Length, Terminal, TurnLimit, Aborted])
    }

    /// Stop reason, score and `trained` of a member.
    type Draw = (StopReason, Option<f64>, bool);

    /// A group, and another order of its members.
    fn groups() -> impl Strategy<Value = (Vec<Draw>, Vec<usize>)> {
        let one = (
            stop_reasons(),
            prop::option::weighted(0.8, -1.0..1.0f64),
            any::<bool>(),
        );
        prop::collection::vec(one, 1..12).prop_flat_map(|group| {
            let order = Just((0..group.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(group), order)
        })
    }

    fn build(group: &[Draw]) -> (Vec<Trajectory>, GroupRewards) {
        let members = group.iter().map(|(stop, ..)| member(1, 0, *stop)).collect();
        let mut rewards = GroupRewards::new("v", group.iter().map(|m| m.1).collect());
        rewards.trained = group.iter().map(|m| m.2).collect();
        (members, rewards)
    }

    proptest! {
        #[test]
        fn only_truncated_members_lose_trained_and_none_gains_it((group, _) in groups()) {
            let (members, mut rewards) = build(&group);
            shape(&members, &mut rewards);
            for ((stop, _, before), after) in group.iter().zip(&rewards.trained) {
                let cut_off = matches!(stop, StopReason::Length | StopReason::TurnLimit);
                prop_assert_eq!(*after, *before && !cut_off);
            }
        }

        #[test]
        fn rewards_and_components_are_untouched((group, _) in groups()) {
            let (members, mut rewards) = build(&group);
            let before = rewards.clone();
            shape(&members, &mut rewards);
            prop_assert_eq!(rewards.rewards, before.rewards);
            prop_assert_eq!(rewards.components, before.components);
        }

        #[test]
        fn the_order_of_members_is_carried_along((group, order) in groups()) {
            let moved: Vec<_> = order.iter().map(|i| group[*i]).collect();
            let ((members, mut rewards), (moved_members, mut moved_rewards)) = (build(&group), build(&moved));
            shape(&members, &mut rewards);
            shape(&moved_members, &mut moved_rewards);
            let expected: Vec<bool> = order.iter().map(|i| rewards.trained[*i]).collect();
            prop_assert_eq!(moved_rewards.trained, expected);
        }

        #[test]
        fn shaping_twice_is_shaping_once((group, _) in groups()) {
            let (members, mut rewards) = build(&group);
            shape(&members, &mut rewards);
            let once = rewards.clone();
            shape(&members, &mut rewards);
            prop_assert_eq!(rewards, once);
        }
    }

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
