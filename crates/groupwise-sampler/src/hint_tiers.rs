//! Hints in tiers, from abstract to concrete, for a group in which every member failed: Scaf-GRPO.
//!
//! After a share of the training without hints, a group whose members all failed gets rollouts under ever larger hints,
//! one per level, until one succeeds; that one takes the place of a failed member.  Trajectory and ratio are both taken
//! under the hinted prompt, so the update stays on policy.
//!
//! These are the functions; `[repair.scaf-grpo]` ([`crate::repairs::scaf_grpo`]) drives rollouts by them.

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

use crate::group_repair::{Repaired, ReplaceIndex, all_failed, repair};

/// Parameters of Scaf-GRPO.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScafGrpoConfig {
    /// Share of the training steps without hints, in [0, 1).
    pub exemption: f64,
    /// Tiers of hints (knowledge, planning, solution), >= 1.  The authors' code leaves planning out.
    pub tiers: usize,
    /// Cumulative chunks of each tier, >= 1.
    pub chunks: usize,
    /// Which failed member gives way.
    pub replace_index: ReplaceIndex,
}

impl Default for ScafGrpoConfig {
    fn default() -> Self {
        Self {
            exemption: 0.15,
            tiers: 3,
            chunks: 4,
            replace_index: ReplaceIndex::First,
        }
    }
}

/// One level of a search: the first chunks of one tier, and nothing of the tiers before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintLevel<'a, T> {
    /// Number of the level, from 1.
    pub level: usize,
    /// Its tier, from 0.
    pub tier: usize,
    /// Chunks it shows.
    pub shown: &'a [T],
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct ScafGroup {
    /// True if hints were tried.
    pub triggered: bool,
    /// Level of the first success.
    pub hint_level: Option<usize>,
    /// Member whose place it took.
    pub replaced: Option<usize>,
    /// Rewards that advantages are computed from.
    pub rewards: Vec<Option<f64>>,
    /// Rollouts under hints, all of them billed.
    pub extra_rollouts: usize,
}

/// Scaf-GRPO between rollout and advantage, valid by construction.
///
/// # Formula
/// Step t of T, from 1: hints are tried if `t > floor(exemption T)` and no reward is above 0.  Level `v = 1, 2, ..` is
/// rolled out once each, up to the first reward above 0, which [`repair`] puts in the place of a failed member.
/// Advantages and loss are those of GRPO on the rewards that come out; for the replaced member current, old and
/// reference log-probabilities are all those under the hinted prompt.
///
/// # Shapes
/// Rewards per member; outcomes per level, the reward its one rollout gets.
///
/// # Edge cases
/// - No level succeeds: the group stays as it is, its advantages are 0, and all levels are billed.
/// - An unscorable rollout of a level is no success.
/// - Partial rewards above 0 keep a group from being helped: use correctness.
///
/// # Errors
/// Building refuses an `exemption` outside [0, 1), `tiers` = 0 and `chunks` = 0.  Data: an empty group, a triggered
/// group without levels, a reward that is not finite, texts that are not `tiers` tiers of `chunks` chunks.
///
/// # Source
/// Scaf-GRPO (arXiv 2510.19807), sections 3.1 and 3.2; JIA-Lab-research/Scaf-GRPO @ac9f99ef,
/// `hint_mix_grpo/trainer/ray_trainer.py`.  The paper searches level by level, and so do we; the code rolls out all
/// levels at once and takes the lowest success: the same in distribution, at the price of all of them.
///
/// # Example
/// ```
/// use groupwise_sampler::hint_tiers::{ScafGrpo, ScafGrpoConfig};
/// let scaf = ScafGrpo::new(&ScafGrpoConfig::default())?;
/// let levels = [Some(0.0), Some(0.0), Some(1.0), Some(1.0)];
/// let group = scaf.step(200, scaf.exemption_steps(1000), &[Some(0.0); 8], &levels, 0.0)?;
/// assert_eq!((group.hint_level, group.replaced, group.extra_rollouts), (Some(3), Some(0), 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScafGrpo {
    config: ScafGrpoConfig,
}

impl ScafGrpo {
    /// Validates.
    ///
    /// # Errors
    /// See [`ScafGrpo`].
    pub fn new(config: &ScafGrpoConfig) -> Result<Self, ParamError> {
        let ScafGrpoConfig {
            exemption,
            tiers,
            chunks,
            ..
        } = *config;
        ParamError::check(
            (0.0..1.0).contains(&exemption),
            "exemption",
            exemption,
            "in [0, 1)",
        )?;
        ParamError::check(tiers >= 1, "tiers", tiers, ">= 1")?;
        ParamError::check(chunks >= 1, "chunks", chunks, ">= 1")?;
        Ok(Self { config: *config })
    }

    /// Steps at the beginning of a training in which no hint is given: `floor(exemption T)`.
    pub fn exemption_steps(&self, total_steps: u64) -> u64 {
        (self.config.exemption * total_steps as f64) as u64
    }

    /// Most rollouts under hints that a group can cost.
    pub fn n_levels(&self) -> usize {
        self.config.tiers * self.config.chunks
    }

    /// All levels of a task, from abstract to concrete: level `u C + c` shows the first c chunks of tier u.
    ///
    /// # Errors
    /// Texts that are not as many tiers of as many chunks as the configuration says.
    pub fn levels<'a, T>(&self, tiers: &'a [Vec<T>]) -> Result<Vec<HintLevel<'a, T>>, DataError> {
        let chunks = self.config.chunks;
        DataError::check_len("tiers", tiers.len(), self.config.tiers)?;
        for (u, tier) in tiers.iter().enumerate() {
            DataError::check_len(&format!("chunks of tier {u}"), tier.len(), chunks)?;
        }
        let of_tier = |(tier, texts): (usize, &'a Vec<T>)| {
            (1..=chunks).map(move |c| HintLevel {
                level: tier * chunks + c,
                tier,
                shown: &texts[..c],
            })
        };
        Ok(tiers.iter().enumerate().flat_map(of_tier).collect())
    }

    /// True if hints are tried for a group at a step, from 1.
    ///
    /// # Errors
    /// See [`all_failed`].
    pub fn triggers(
        &self,
        step: u64,
        exemption_steps: u64,
        rewards: &[Option<f64>],
    ) -> Result<bool, DataError> {
        Ok(all_failed(rewards)? && step > exemption_steps)
    }

    /// What becomes of a group, given what the one rollout of each level would get.
    ///
    /// # Errors
    /// See [`ScafGrpo`].
    pub fn step(
        &self,
        step: u64,
        exemption_steps: u64,
        rewards: &[Option<f64>],
        hint_outcomes: &[Option<f64>],
        uniform: f64,
    ) -> Result<ScafGroup, DataError> {
        let mut group = ScafGroup {
            triggered: self.triggers(step, exemption_steps, rewards)?,
            hint_level: None,
            replaced: None,
            rewards: rewards.to_vec(),
            extra_rollouts: 0,
        };
        if !group.triggered {
            return Ok(group);
        }
        if hint_outcomes.is_empty() {
            return Err(DataError::value("hints", "have no levels"));
        }
        for outcome in hint_outcomes {
            group.extra_rollouts += 1;
            let Some(success) = outcome.filter(|r| *r > 0.0 || r.is_nan()) else {
                continue;
            };
            let Repaired { replaced, rewards } =
                repair(rewards, success, self.config.replace_index, uniform)?;
            group.hint_level = Some(group.extra_rollouts);
            group.replaced = Some(replaced);
            group.rewards = rewards;
            break;
        }
        Ok(group)
    }
}

#[cfg(test)]
#[path = "hint_tiers_tests.rs"]
mod tests;
