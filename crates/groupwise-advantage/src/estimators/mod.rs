//! The named estimators, one file each, and the closed list of them.

use groupwise_core::{AdvantageEstimator, registry};

mod areal;
mod curriculum_length;
mod dr_grpo;
mod dr_irl;
mod flow_grpo;
mod gae;
mod gigpo;
mod grao;
mod grpo;
mod grpo_process;
mod gtpo;
mod hi_agent;
mod hrpo;
mod m_grpo;
mod mapo;
mod max_rl;
mod pta_grpo;
mod rank_grpo;
mod raw;
mod rec;
mod reinforce_plus_plus;
mod reinforce_plus_plus_baseline;
mod remax;
mod rloo;
mod salt;
mod seed_grpo;
mod shifted;
mod step_grpo;
mod tempsamp_r1;
mod tw_grpo;

pub use areal::ArealConfig;
pub use curriculum_length::{CurriculumLengthConfig, root_variance_advantages};
pub use dr_grpo::DrGrpoConfig;
pub use dr_irl::{
    Assignment, Combine, DrIrlConfig, ModelCoefficient, clause_similarity, cosine, data_coefficients,
    model_coefficient,
};
pub use flow_grpo::{FlowGrpoConfig, folded_turn_weights};
pub use gae::{GaeConfig, RewardSource, Whitening};
pub use gigpo::{EpisodeStats, Gigpo, GigpoAdvantages, GigpoConfig, Repetition, StepBatch, step_clusters};
pub use grao::{Grao, GraoConfig};
pub use grpo::GrpoConfig;
pub use grpo_process::GrpoProcessConfig;
pub use gtpo::{
    CombineRuns, ConflictRuns, DivideByConflicts, Gtpo, GtpoConfig, GtpoMember, GtpoShaped, Side,
    conflict_runs,
};
pub use hi_agent::{HiAgentConfig, Subgoals, foresight_rewards};
pub use hrpo::{
    ActionReward, ActionRewardConfig, Constructions, Hrpo, HrpoAdvantages, HrpoConfig, legal_log_probability,
};
pub use m_grpo::{Alignment, MGrpoConfig, SubGrouping, align_calls, aligned_advantages};
pub use mapo::{MapoConfig, mapo_lambda};
pub use max_rl::MaxRlConfig;
pub use pta_grpo::PtaGrpoConfig;
pub use rank_grpo::{
    LengthShaping, RankGrpoConfig, RankReward, rank_advantages, rank_rewards, rank_token_advantages,
};
pub use raw::RawConfig;
pub use rec::{Drop, RecConfig, RedDropConfig, surplus_below_mean};
pub use reinforce_plus_plus::ReinforcePlusPlusConfig;
pub use reinforce_plus_plus_baseline::ReinforcePlusPlusBaselineConfig;
pub use remax::RemaxConfig;
pub use rloo::RlooConfig;
pub use salt::{ActionKey, SaltConfig, SharedAdvantages, Transitions, share_edges};
pub use seed_grpo::{Attenuation, ClusterProbability, SeedGrpoConfig, seed_entropy, seed_factor};
pub use shifted::{AsymreConfig, OpmdBaseline, OpmdConfig, log_mean_exp};
pub use step_grpo::{StepGrpoConfig, StepLayout};
pub use tempsamp_r1::{Mode, TempsampR1, TempsampR1Config, TempsampShaped, soft_reward};
pub use tw_grpo::{
    Divergence, DivergenceWeights, GroupDistributions, TokenDivergence, TokenDivergenceConfig,
};

registry! {
    /// Every named advantage estimator.
    ///
    /// # Example
    /// ```
    /// use groupwise_advantage::AdvantageSpec;
    /// use groupwise_core::{Advantages, Offsets, RewardBatch};
    /// let spec: AdvantageSpec = serde_json::from_str(r#"{"grpo": {"dialect": "trl"}}"#)?;
    /// let groups = Offsets::from_lengths([2]);
    /// let rewards = [Some(1.0), Some(0.0)];
    /// let advantages = spec.build(&())?.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
    /// let Advantages::Trajectory(a) = advantages else { unreachable!("GRPO is per trajectory") };
    /// assert!((a[0] - 0.7070067953).abs() < 1e-9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub enum AdvantageSpec => dyn AdvantageEstimator, () {
        /// Reward less the group mean, divided by the group's deviation.
        Grpo = "grpo": GrpoConfig,
        /// Rewards of judged steps, normalized over the group, summed from each token to the end.
        GrpoProcess = "grpo-process": GrpoProcessConfig,
        /// Reward less the group mean.
        DrGrpo = "dr-grpo": DrGrpoConfig,
        /// Reward less the mean of the other members.
        Rloo = "rloo": RlooConfig,
        /// Return to go, whitened over the tokens of the batch.
        ReinforcePlusPlus = "reinforce-plus-plus": ReinforcePlusPlusConfig,
        /// Reward less the group mean, whitened over the tokens of the batch.
        ReinforcePlusPlusBaseline = "reinforce-plus-plus-baseline": ReinforcePlusPlusBaselineConfig,
        /// Reward less the reward of one greedy rollout.
        Remax = "remax": RemaxConfig,
        /// Generalized advantage estimation with a value function.
        Gae = "gae": GaeConfig,
        /// Reward less the group mean, divided by the group mean.
        MaxRl = "max-rl": MaxRlConfig,
        /// The reward itself.
        Raw = "raw": RawConfig,
        /// Reward less the group mean, scaled down where the group's answers scatter.
        SeedGrpo = "seed-grpo": SeedGrpoConfig,
        /// GRPO's advantage times a coefficient of the prompt (GRPO-S).
        DrIrl = "dr-irl": DrIrlConfig,
        /// Deviation by the spread or by the mean, mixed by how decided the group is.
        Mapo = "mapo": MapoConfig,
        /// Each rank of a list compared with the same rank of the group's other lists.
        RankGrpo = "rank-grpo": RankGrpoConfig,
        /// Reward less the group mean, divided by the root of variance plus eps.
        CurriculumLength = "curriculum-length": CurriculumLengthConfig,
        /// AReaL's GRPO: normalized over the group, then over the tokens of the batch.
        Areal = "areal": ArealConfig,
        /// Reward less the group mean and a price on entropy, weighed by what good and bad answers share.
        Gtpo = "gtpo": GtpoConfig,
        /// Compressed rewards normalized over the group, an injected reference among them.
        TempsampR1 = "tempsamp-r1": TempsampR1Config,
        /// Episode return, plus return to go less the mean of all steps taken from the same state.
        Gigpo = "gigpo": GigpoConfig,
        /// Another estimator's advantage, averaged over steps that rollouts take in the same way.
        Salt = "salt": SaltConfig,
        /// Outcome less cost in the group, plus an absolute reward for each action.
        Hrpo = "hrpo": HrpoConfig,
        /// The outcome of a rollout of turns, compared over rollouts or turns and copied to the turns.
        FlowGrpo = "flow-grpo": FlowGrpoConfig,
        /// GRPO for a main agent, and for the calls of its sub-agent aligned to a fixed number.
        MGrpo = "m-grpo": MGrpoConfig,
        /// One group per step.
        StepGrpo = "step-grpo": StepGrpoConfig,
        /// Subgoals ranked by how their executions went, executions ranked within their subgoal.
        HiAgent = "hi-agent": HiAgentConfig,
        /// Reward less the group mean, surplus answers below it dropped on request.
        Rec = "rec": RecConfig,
        /// Reward less the group mean, surplus answers below it dropped.
        RedDrop = "red-drop": RedDropConfig,
        /// Reward less the group mean and a constant.
        Asymre = "asymre": AsymreConfig,
        /// Reward less the mean or the log of the mean exponential, for the OPMD that divides by 1 + tau.
        Opmd = "opmd": OpmdConfig,
        /// Exploration and imitation of a reference answer in one weight.
        Grao = "grao": GraoConfig,
        /// Plans compared with plans, solutions with those under the same plan.
        PtaGrpo = "pta-grpo": PtaGrpoConfig,
    }
}
