//! The named estimators, one file each, and the closed list of them.

use groupwise_core::{AdvantageEstimator, registry};

mod dr_grpo;
mod gae;
mod grpo;
mod grpo_process;
mod max_rl;
mod raw;
mod rec;
mod reinforce_plus_plus;
mod reinforce_plus_plus_baseline;
mod remax;
mod rloo;
mod shifted;

pub use dr_grpo::DrGrpoConfig;
pub use gae::{GaeConfig, RewardSource, Whitening};
pub use grpo::GrpoConfig;
pub use grpo_process::GrpoProcessConfig;
pub use max_rl::MaxRlConfig;
pub use raw::RawConfig;
pub use rec::{Drop, RecConfig, RedDropConfig, surplus_below_mean};
pub use reinforce_plus_plus::ReinforcePlusPlusConfig;
pub use reinforce_plus_plus_baseline::ReinforcePlusPlusBaselineConfig;
pub use remax::RemaxConfig;
pub use rloo::RlooConfig;
pub use shifted::{AsymreConfig, OpmdBaseline, OpmdConfig, log_mean_exp};

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
        /// Reward less the group mean, surplus answers below it dropped on request.
        Rec = "rec": RecConfig,
        /// Reward less the group mean, surplus answers below it dropped.
        RedDrop = "red-drop": RedDropConfig,
        /// Reward less the group mean and a constant.
        Asymre = "asymre": AsymreConfig,
        /// Reward less the mean or the log of the mean exponential, for the OPMD that divides by 1 + tau.
        Opmd = "opmd": OpmdConfig,
    }
}
