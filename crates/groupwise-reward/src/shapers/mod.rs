//! The named reward shapers, one file each, and the closed list of them.

use groupwise_core::{DataError, GroupRewards, RewardShaper, Trajectory, registry};

mod accuracy;
mod conciser;
mod cosine_length;
mod curriculum_length;
mod e_grpo;
mod gcpo;
mod kimi_length;
mod listener_reward;
mod mask_truncated;
mod multi_objective_grpo;
mod multirole_r1;
mod open_rs;
mod otc_po;
mod outcome_ladder;
mod overlong;
mod pta_grpo;
mod pta_grpo_shaper;
mod repetition;
mod rule_labels;
mod text_shape;
mod ttrv;
mod unlikeliness;

pub use conciser::{Conciser, ConciserConfig, ConciserShaped, MixedGroups, all_correct};
pub use cosine_length::{Clamp, CosineLengthConfig, LengthUnit};
pub use curriculum_length::CurriculumLengthConfig;
pub use e_grpo::{
    EGrpo, EGrpoConfig, EGrpoMember, EGrpoShaped, EGrpoStatus, EntityMatches, entity_matches,
    group_normalized_bonus, thoughts,
};
pub use gcpo::{AuxiliaryReward, Contrast, Gcpo, GcpoConfig, GcpoMember, GcpoShaped};
pub use kimi_length::{KimiLengthConfig, kimi_length_rewards};
pub use listener_reward::ListenerRewardConfig;
pub use mask_truncated::MaskTruncatedConfig;
pub use multi_objective_grpo::{
    LabelRegression, LabelScale, MultiObjective, MultiObjectiveGrpoConfig, label_regression,
};
pub use multirole_r1::{MultiroleR1Config, diversity_shaped_rewards};
pub use open_rs::{OpenRsConfig, OpenRsWeights, closing_tag_format};
pub use otc_po::{OtcMember, OtcPo, OtcPoConfig, OtcShaped, OtcVariant, tool_productivity};
pub use outcome_ladder::{OutcomeLadderConfig, check_format_score, main_reward, sub_reward};
pub use overlong::{OverlongConfig, overlong_penalty};
pub use pta_grpo::{PlanAdvantages, PlanCredit, PlanRewards, PtaGrpo, PtaGrpoConfig};
pub use pta_grpo_shaper::PlanRewardConfig;
pub use repetition::{RepetitionConfig, RepetitionUnit};
pub use rule_labels::{LabelRule, RuleLabelsConfig};
pub use text_shape::{ShapeRule, TextShapeConfig};
pub use ttrv::{Ttrv, TtrvConfig, VoteEntropy, VoteReward, VoteRewards};
pub use unlikeliness::{
    FilterUniform, RankBy, RankOffset, UnlikelinessConfig, answer_log_probability, unlikeliness_rewards,
};

registry! {
    /// Every named reward shaper.
    ///
    /// # Example
    /// ```
    /// use groupwise_reward::ShaperSpec;
    /// let spec: ShaperSpec = serde_json::from_str(r#"{"overlong": {"max_completion_length": 64, "cache": 16}}"#)?;
    /// assert!(spec.build(&()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub enum ShaperSpec => dyn RewardShaper, () {
        /// Soft penalty in front of the length limit.
        Overlong = "overlong": OverlongConfig,
        /// Truncated answers stay out of the loss.
        MaskTruncated = "mask-truncated": MaskTruncatedConfig,
        /// Right answers count less the likelier they were within their group.
        Unlikeliness = "unlikeliness": UnlikelinessConfig,
        /// The verdict graded by length, along half a cosine.
        CosineLength = "cosine-length": CosineLengthConfig,
        /// One closing tag of the thought, and the verdict graded by length.
        OpenRs = "open-rs": OpenRsConfig,
        /// An optional behavior is rewarded in the groups that it helped.
        Gcpo = "gcpo": GcpoConfig,
        /// Rewards of a main agent and of the sub-agents it called.
        OutcomeLadder = "outcome-ladder": OutcomeLadderConfig,
        /// Right answers count less the more tool calls beyond the fewest that sufficed.
        OtcPo = "otc-po": OtcPoConfig,
        /// Wrong answers earn a little by the entities named in thoughts.
        EGrpo = "e-grpo": EGrpoConfig,
        /// Shorter is better where the whole group is right.
        Conciser = "conciser": ConciserConfig,
        /// Weighted sum of several components.
        MultiObjectiveGrpo = "multi-objective-grpo": MultiObjectiveGrpoConfig,
        /// Accuracy mixed with the diversity of the reply.
        MultiroleR1 = "multirole-r1": MultiroleR1Config,
        /// The group's own votes instead of a label.
        Ttrv = "ttrv": TtrvConfig,
        /// Shorter than the rest of the group is better, more so if right.
        KimiLength = "kimi-length": KimiLengthConfig,
        /// Penalty for repeated n-grams.
        Repetition = "repetition": RepetitionConfig,
        /// Bonus for the shape of the text: tags, steps, code fences.
        TextShape = "text-shape": TextShapeConfig,
        /// Correctness, closeness to a shrinking token budget, and format.
        CurriculumLength = "curriculum-length": CurriculumLengthConfig,
        /// A solution earns what its plan achieved, beside its own outcome.
        PtaGrpo = "pta-grpo": PlanRewardConfig,
        /// What a frozen listener makes of the reasoning.
        ListenerReward = "listener-reward": ListenerRewardConfig,
        /// Labels of a text by rules, as components.
        RuleLabels = "rule-labels": RuleLabelsConfig,
    }
}

/// Rewards and members must belong together.
fn check_group(members: &[Trajectory], rewards: &GroupRewards) -> Result<(), DataError> {
    DataError::check_len("rewards", rewards.rewards.len(), members.len())?;
    DataError::check_len("trained", rewards.trained.len(), members.len())
}

/// Refuses rewards that already hold the component a shaper would add.
fn check_first(rewards: &GroupRewards, name: &str, otherwise: &str) -> Result<(), DataError> {
    if rewards.components.contains_key(name) {
        return Err(DataError::value(
            format!("component `{name}`"),
            format!("is already there: {otherwise}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod testing {

    use groupwise_core::{
        DataError, GroupRewards, Part, PromptMemory, RewardShaper, StopReason, Task, Trajectory,
    };

    /// Shapes the rewards of a group by a configuration's shaper, with an empty task and memory.
    pub(super) fn shape(
        config: &impl Part<dyn RewardShaper>,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
    ) -> Result<(), DataError> {
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        config.build(&()).unwrap().shape(&task, members, rewards, &memory)
    }

    /// A trajectory of `n_policy` policy tokens behind `n_masked` tokens of the environment.
    pub(super) fn member(n_policy: usize, n_masked: usize, stop: StopReason) -> Trajectory {
        let n = n_policy + n_masked;
        let mut mask = vec![false; n_masked];
        mask.resize(n, true);
        Trajectory {
            mask,
            turns: Vec::new(),
            stop,
            ..Trajectory::of_reply("", n)
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{PromptMemory, StopReason, Task};

    use super::*;

    #[test]
    fn every_shaper_refuses_rewards_of_another_group() {
        let members = [testing::member(1, 0, StopReason::EndToken)];
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        for name in ShaperSpec::NAMES {
            let shaper = ShaperSpec::named(name).unwrap().build(&()).unwrap();
            let mut rewards = GroupRewards::new("v", vec![Some(1.0); 2]);
            let error = shaper.shape(&task, &members, &mut rewards, &memory).unwrap_err();
            assert_eq!(error.to_string(), "`rewards` has 2 entries, expected 1");
            let mut rewards = GroupRewards::new("v", vec![Some(1.0)]);
            rewards.trained.clear();
            let error = shaper.shape(&task, &members, &mut rewards, &memory).unwrap_err();
            assert_eq!(error.to_string(), "`trained` has 0 entries, expected 1");
        }
    }

    #[test]
    fn the_catalogue_describes_every_shaper() {
        let catalogue = ShaperSpec::catalogue();
        assert_eq!(
            catalogue.iter().map(|p| p.name).collect::<Vec<_>>(),
            ShaperSpec::NAMES
        );
        assert!(
            catalogue
                .iter()
                .all(|p| !p.formula.is_empty() && !p.source.is_empty())
        );
    }
}
