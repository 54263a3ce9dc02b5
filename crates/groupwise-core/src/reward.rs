//! What reward shapers and advantage estimators see.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::DataError;
use crate::spans::Spans;
use crate::trajectory::Trajectory;

bitflags::bitflags! {
    /// Inputs a part cannot do without; checked before a run starts, not when the first batch arrives.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Needs: u32 {
        /// Reward per environment step.
        const STEP_REWARDS = 1;
        /// Anchor state per step.
        const ANCHORS = 1 << 1;
        /// Token structure and mask.
        const TOKENS = 1 << 2;
        /// Log-probabilities at the start of the update.
        const LOGP_OLD = 1 << 3;
        /// Log-probabilities under the reference policy.
        const LOGP_REF = 1 << 4;
        /// Entropy per token.
        const ENTROPY = 1 << 5;
        /// Value estimates per token.
        const VALUES = 1 << 6;
        /// Reward of one greedy rollout per group.
        const GREEDY_REWARDS = 1 << 7;
        /// Rewards of judged steps inside an answer.
        const PROCESS_REWARDS = 1 << 8;
        /// Which trajectories the policy did not sample.
        const OFF_POLICY = 1 << 13;
    }
}

/// Rewards of one group while shapers work on them, in recipe order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupRewards {
    /// Total reward of each member; `None`: cannot be scored, left out of every statistic.
    pub rewards: Vec<Option<f64>>,
    /// Raw components by name, for the log (`rewards/<name>/mean`).
    pub components: BTreeMap<String, Vec<Option<f64>>>,
    /// False where a member must not enter the loss (it still counts in the statistics).
    pub trained: Vec<bool>,
}

impl GroupRewards {
    /// Starts from a verifier's scores, logged under its name.
    pub fn new(name: &str, scores: Vec<Option<f64>>) -> Self {
        let trained = vec![true; scores.len()];
        Self {
            components: BTreeMap::from([(name.to_owned(), scores.clone())]),
            rewards: scores,
            trained,
        }
    }
}

/// One judged step inside an answer (process supervision).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JudgedStep {
    /// Last token of the step, counted from the start of the trajectory's completion.
    pub end: usize,
    /// Its reward.
    pub reward: f64,
}

/// Judged steps of every trajectory of a batch.
#[derive(Clone, Copy, Debug)]
pub struct ProcessRewards<'a> {
    /// Trajectory -> judged steps.
    pub spans: Spans<'a>,
    /// The steps; ends ascend within a trajectory.
    pub steps: &'a [JudgedStep],
}

impl ProcessRewards<'_> {
    fn check(&self, n_trajectories: usize) -> Result<(), DataError> {
        DataError::check_len("process rewards", self.spans.len(), n_trajectories)?;
        self.spans.check_covers("judged steps", self.steps.len())?;
        match self.steps.iter().position(|s| !s.reward.is_finite()) {
            None => Ok(()),
            Some(k) => Err(DataError::NonFinite {
                place: format!("judged step {k}"),
                what: "reward".into(),
                value: self.steps[k].reward.to_string(),
            }),
        }
    }
}

/// Rewards of a whole update batch, as an estimator sees them: slices, and `None` for what a run does not have.
///
/// Build with [`RewardBatch::new`] and fill in what is there.
#[derive(Clone, Copy, Debug)]
pub struct RewardBatch<'a> {
    /// Group -> trajectories.
    pub groups: Spans<'a>,
    /// Outcome reward per trajectory; `None`: unscorable.
    pub rewards: &'a [Option<f64>],
    /// Reward of one greedy rollout per group.
    pub greedy_rewards: Option<&'a [f64]>,
    /// Trajectory -> steps.
    pub steps: Option<Spans<'a>>,
    /// Reward per step.
    pub step_rewards: Option<&'a [f64]>,
    /// Anchor state per step.
    pub anchors: Option<&'a [String]>,
    /// Tokens of each step, counted over the batch.
    pub step_tokens: Option<&'a [Range<usize>]>,
    /// Trajectory -> tokens.
    pub tokens: Option<Spans<'a>>,
    /// True where a token counts.
    pub mask: Option<&'a [bool]>,
    /// Log-probability per token at the start of the update, nats.
    pub logp_old: Option<&'a [f64]>,
    /// Log-probability per token under the reference policy, nats.
    pub logp_ref: Option<&'a [f64]>,
    /// Entropy per token, nats.
    pub entropy: Option<&'a [f64]>,
    /// Value estimate per token.
    pub values: Option<&'a [f64]>,
    /// Judged steps inside the answers.
    pub process: Option<ProcessRewards<'a>>,
    /// True where the policy did not sample the trajectory: a reference solution put into its group.
    pub off_policy: Option<&'a [bool]>,
    /// The trajectories themselves, for estimators that read text or turns.
    pub trajectories: Option<&'a [Trajectory]>,
}

impl<'a> RewardBatch<'a> {
    /// A batch with outcome rewards only.
    pub fn new(groups: Spans<'a>, rewards: &'a [Option<f64>]) -> Self {
        Self {
            groups,
            rewards,
            greedy_rewards: None,
            steps: None,
            step_rewards: None,
            anchors: None,
            step_tokens: None,
            tokens: None,
            mask: None,
            logp_old: None,
            logp_ref: None,
            entropy: None,
            values: None,
            process: None,
            off_policy: None,
            trajectories: None,
        }
    }

    /// Checks every length that is present, that rewards are finite and that no group is empty.
    ///
    /// # Errors
    /// Names the first array, or the first group or trajectory, that does not fit.
    pub fn check(&self) -> Result<(), DataError> {
        self.groups.check_covers("rewards", self.rewards.len())?;
        for (g, members) in self.groups.iter().enumerate() {
            if members.is_empty() {
                return Err(DataError::value(format!("group {g}"), "holds no trajectory"));
            }
            for i in members {
                if let Some(r) = self.rewards[i].filter(|r| !r.is_finite()) {
                    let place = format!("group {g}, trajectory {i}");
                    return Err(DataError::NonFinite {
                        place,
                        what: "reward".into(),
                        value: r.to_string(),
                    });
                }
            }
        }
        if let Some(greedy) = self.greedy_rewards {
            DataError::check_len("greedy_rewards", greedy.len(), self.groups.len())?;
        }
        if let Some(off_policy) = self.off_policy {
            DataError::check_len("off_policy", off_policy.len(), self.rewards.len())?;
        }
        if let Some(process) = &self.process {
            process.check(self.rewards.len())?;
        }
        if let Some(steps) = self.steps {
            DataError::check_len("steps", steps.len(), self.rewards.len())?;
            let n = steps.total();
            for (name, found) in [
                ("step_rewards", self.step_rewards.map(<[f64]>::len)),
                ("anchors", self.anchors.map(<[String]>::len)),
                ("step_tokens", self.step_tokens.map(<[Range<usize>]>::len)),
            ] {
                DataError::check_len(name, found.unwrap_or(n), n)?;
            }
        }
        if let Some(tokens) = self.tokens {
            DataError::check_len("tokens", tokens.len(), self.rewards.len())?;
            let n = tokens.total();
            DataError::check_len("mask", self.mask.map_or(n, <[bool]>::len), n)?;
            for (name, values) in [
                ("logp_old", self.logp_old),
                ("logp_ref", self.logp_ref),
                ("entropy", self.entropy),
                ("values", self.values),
            ] {
                if let Some(values) = values {
                    DataError::check_len(name, values.len(), n)?;
                    DataError::check_finite(name, values)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offsets;

    #[test]
    fn check_names_group_and_trajectory() {
        let groups = Offsets::from_lengths([2, 1]);
        let rewards = [Some(1.0), None, Some(f64::NAN)];
        let batch = RewardBatch::new(groups.spans(), &rewards);
        assert_eq!(
            batch.check().unwrap_err().to_string(),
            "group 1, trajectory 2: `reward` is NaN"
        );
        let groups = Offsets::from_lengths([3, 0]);
        let rewards = [Some(1.0), None, Some(0.0)];
        let batch = RewardBatch::new(groups.spans(), &rewards);
        assert_eq!(
            batch.check().unwrap_err().to_string(),
            "group 1: holds no trajectory"
        );
    }

    #[test]
    fn off_policy_flags_must_cover_the_trajectories() {
        let groups = Offsets::from_lengths([2]);
        let rewards = [Some(1.0), None];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.off_policy = Some(&[true]);
        assert_eq!(
            batch.check().unwrap_err().to_string(),
            "`off_policy` has 1 entries, expected 2"
        );
        batch.off_policy = Some(&[true, false]);
        assert_eq!(batch.check(), Ok(()));
    }
}
