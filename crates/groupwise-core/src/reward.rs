//! What reward shapers and advantage estimators see.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::DataError;
use crate::spans::Spans;
use crate::task::Task;
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
        /// The trajectories themselves.
        const TRAJECTORIES = 1 << 9;
        /// The task of each group.
        const TASKS = 1 << 10;
        /// Segment of each token.
        const SEGMENTS = 1 << 11;
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
    /// Segment of every token: the judged step it belongs to, counted from 0 in its trajectory.
    ///
    /// # Formula
    /// Token t belongs to the first step that ends at t or later; tokens behind the last step belong to one further
    /// segment.
    ///
    /// # Shapes
    /// `tokens`: trajectory -> tokens; one segment per token.
    ///
    /// # Edge cases
    /// A trajectory without steps is one segment.
    ///
    /// # Errors
    /// Steps of other trajectories than `tokens`; an end that does not ascend or leaves the trajectory, named.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::{JudgedStep, Offsets, ProcessRewards};
    /// let (tokens, spans) = (Offsets::from_lengths([4, 2]), Offsets::from_lengths([2, 0]));
    /// let steps = [JudgedStep { end: 1, reward: 1.0 }, JudgedStep { end: 2, reward: 0.0 }];
    /// let process = ProcessRewards { spans: spans.spans(), steps: &steps };
    /// assert_eq!(process.segments(tokens.spans())?, [0, 0, 1, 2, 0, 0]);
    /// # Ok::<(), groupwise_core::DataError>(())
    /// ```
    pub fn segments(&self, tokens: Spans<'_>) -> Result<Vec<u32>, DataError> {
        self.check(tokens.len())?;
        let mut out = vec![0; tokens.total()];
        for (i, span) in tokens.iter().enumerate() {
            let row = &mut out[span];
            let mut lower = 0;
            for (k, step) in (1..).zip(&self.steps[self.spans.range(i)]) {
                if step.end < lower || step.end >= row.len() {
                    let place = format!("trajectory {i}");
                    let range = format!("{lower}..{}", row.len());
                    let what = format!("a judged step ends at token {}, expected in {range}", step.end);
                    return Err(DataError::value(place, what));
                }
                lower = step.end + 1;
                row[lower..].fill(k);
            }
        }
        Ok(out)
    }

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
    /// The task of each group, for estimators that compare with its reference or read its columns.
    pub tasks: Option<&'a [&'a Task]>,
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
            tasks: None,
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
        self.check_trajectories()?;
        self.check_tokens()
    }

    /// Lengths of what stands beside the rewards, and of the steps.
    fn check_trajectories(&self) -> Result<(), DataError> {
        if let Some(greedy) = self.greedy_rewards {
            DataError::check_len("greedy_rewards", greedy.len(), self.groups.len())?;
        }
        if let Some(trajectories) = self.trajectories {
            DataError::check_len("trajectories", trajectories.len(), self.rewards.len())?;
        }
        if let Some(tasks) = self.tasks {
            DataError::check_len("tasks", tasks.len(), self.groups.len())?;
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
        Ok(())
    }

    /// Lengths and values of what stands beside the tokens.
    fn check_tokens(&self) -> Result<(), DataError> {
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
    fn every_need_has_a_bit_of_its_own() {
        use bitflags::Flags;
        let bits: u32 = Needs::FLAGS.iter().map(|f| f.value().bits()).sum();
        assert_eq!(bits, Needs::all().bits());
        assert_eq!(bits.count_ones() as usize, Needs::FLAGS.len());
    }

    #[test]
    fn segments_follow_the_judged_steps_and_bad_ends_are_named() {
        let tokens = Offsets::from_lengths([3, 2, 0]);
        let run = |lengths: [usize; 3], ends: &[usize]| {
            let steps: Vec<JudgedStep> = ends
                .iter()
                .map(|end| JudgedStep {
                    end: *end,
                    reward: 0.0,
                })
                .collect();
            let spans = Offsets::from_lengths(lengths);
            let process = ProcessRewards {
                spans: spans.spans(),
                steps: &steps,
            };
            process.segments(tokens.spans()).map_err(|e| e.to_string())
        };
        assert_eq!(run([3, 1, 0], &[0, 1, 2, 1]), Ok(vec![0, 1, 2, 0, 0]));
        assert_eq!(run([1, 0, 0], &[0]), Ok(vec![0, 1, 1, 0, 0]));
        for (ends, message) in [
            (
                [0, 2],
                "trajectory 1: a judged step ends at token 2, expected in 1..2",
            ),
            (
                [1, 1],
                "trajectory 1: a judged step ends at token 1, expected in 2..2",
            ),
        ] {
            assert_eq!(run([0, 2, 0], &ends), Err(message.to_owned()));
        }
        assert_eq!(
            run([0, 0, 1], &[0]),
            Err("trajectory 2: a judged step ends at token 0, expected in 0..0".to_owned())
        );
    }

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
    fn trajectories_and_tasks_must_fit_rewards_and_groups() {
        let groups = Offsets::from_lengths([2]);
        let rewards = [Some(1.0), None];
        let task = Task::new("t", "", "");
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.trajectories = Some(&[]);
        assert_eq!(
            batch.check().unwrap_err().to_string(),
            "`trajectories` has 0 entries, expected 2"
        );
        batch.trajectories = None;
        let tasks = [&task, &task];
        batch.tasks = Some(&tasks);
        assert_eq!(
            batch.check().unwrap_err().to_string(),
            "`tasks` has 2 entries, expected 1"
        );
        batch.tasks = Some(&tasks[..1]);
        assert_eq!(batch.check(), Ok(()));
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
