//! TTRV and TTRL: rewards without labels, from the votes of the model itself.

use groupwise_core::answers::{AnswerClusters, AnswerPart, EntropyEstimator, semantic_entropy};
use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, StopReason, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::check_group;

const NAME: &str = "ttrv";

/// What an answer earns by its votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteReward {
    /// Its share of the votes (TTRV).
    #[default]
    Frequency,
    /// 1 for the answer with most votes, of several the earliest drawn, else 0 (TTRL); no entropy term.
    Majority,
}

/// How the entropy of the vote enters the reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoteEntropy {
    /// `H / ln M` is taken off every reward, as in the authors' code; no effect on group-relative advantages.
    #[default]
    #[serde(alias = "normalised")]
    Normalized,
    /// `H` is taken off every reward, as in the paper; no effect on group-relative advantages.
    Raw,
    /// Each answer is paid for the entropy that it takes out of the vote: this workspace's arm.
    #[serde(alias = "leave_one_out")]
    LeaveOneOut,
}

/// Rewards of one vote; see [`TtrvConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct VoteRewards {
    /// Share of the votes that each vote's answer got; 0 for an unreadable one.
    pub frequencies: Vec<f64>,
    /// Entropy of the readable votes: `H / ln M` if normalized, else `H`, nats.
    pub entropy: f64,
    /// Reward of each vote.
    pub rewards: Vec<f64>,
}

/// Reward by the votes of the group; the verdict of the verifier is logged and not read.
///
/// # Formula
/// With `f_j` the share of all N votes that went to the answer of j, `H` the entropy of the readable votes over their M
/// distinct answers: `frequency`: `R_j = f_j - alpha T`, `T = H / ln M` (`normalized`) or `H` (`raw`), and
/// `R_j = f_j + alpha N (H without j - H)` (`leave-one-out`).  `majority`: `R_j = [a_j has most votes]`.
///
/// # Shapes
/// Entropies in nats; f in [0, 1].  The rewards are logged as component `ttrv`, the accuracy of the answers under the
/// verifier's name.
///
/// # Edge cases
/// - `T` is one constant of the group: under a group-relative estimator `normalized` and `raw` are training on `f`
///   alone, whatever `alpha` is.  It acts where rewards of different prompts meet (batch statistics, no baseline).
/// - Unreadable: f = 0, in N but not in H, never the majority; no leave-one-out term.  In a run an empty answer is
///   unreadable.  No readable vote: all 0.
/// - One distinct answer: T = 0.  The only readable vote of a group leaves an entropy of 0 behind.
/// - `n_train`: later members vote, but have no reward and are not trained on.
/// - An aborted member does not vote.  Every other one is rewarded, even where the verifier had no label to judge it.
///
/// # Errors
/// Parameters: `alpha` negative or not finite, `n_train` 0.  Data: no vote; fewer votes than `n_train`; rewards and
/// members that differ in number; a component `ttrv` already there.
///
/// # Source
/// TTRV, arXiv 2510.06783; `ttt_metrics.py` of Akshit21112002/TTRV at b9cf778a, followed for the normalization (default).
/// TTRL, arXiv 2504.16084.  The authors' code lets an unreadable answer, as the empty string, win the vote; not here.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::{Ttrv, TtrvConfig};
/// let ttrv = Ttrv::new(&TtrvConfig::default())?;
/// let voted = ttrv.vote(&["7", "7", "3", "7", "5", "3", "7", "9"].map(Some))?;
/// assert_eq!(voted.frequencies, [0.5, 0.5, 0.25, 0.5, 0.125, 0.25, 0.5, 0.125]);
/// assert!((voted.entropy - 0.875).abs() < 1e-12);
/// assert!((voted.rewards[0] + 0.15625).abs() < 1e-12 && (voted.rewards[4] + 0.53125).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TtrvConfig {
    /// What an answer earns by its votes.
    pub kind: VoteReward,
    /// How the entropy enters.
    pub entropy: VoteEntropy,
    /// Weight of the entropy, >= 0.
    pub alpha: f64,
    /// How many of a group's votes are trained on, the first ones, >= 1; absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_train: Option<usize>,
    /// Where the answer stands in a reply.
    pub answer: AnswerPart,
}

impl Default for TtrvConfig {
    fn default() -> Self {
        Self {
            kind: VoteReward::Frequency,
            entropy: VoteEntropy::Normalized,
            alpha: 0.75,
            n_train: None,
            answer: AnswerPart::Whole,
        }
    }
}

/// The vote, valid by construction; see [`TtrvConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct Ttrv(TtrvConfig);

impl Ttrv {
    /// Validates the parameters.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &TtrvConfig) -> Result<Self, ParamError> {
        ParamError::check_coefficient("alpha", config.alpha)?;
        ParamError::check(config.n_train != Some(0), "n_train", 0, ">= 1")?;
        Ok(Self(config.clone()))
    }

    /// How many of `n_votes` are trained on, the first ones.
    ///
    /// # Errors
    /// Fewer votes than `n_train`.
    pub fn n_trained(&self, n_votes: usize) -> Result<usize, DataError> {
        match self.0.n_train {
            Some(n) if n > n_votes => Err(DataError::value(
                "votes",
                format!("`n_train` = {n} of {n_votes} votes"),
            )),
            n => Ok(n.unwrap_or(n_votes)),
        }
    }

    /// Rewards of the votes of one prompt, in the order they were drawn; `None`: unreadable.
    ///
    /// Answers are compared as they stand: put "0.5" and "1/2" into one form first.
    ///
    /// # Errors
    /// No vote.
    pub fn vote<S: AsRef<str>>(&self, answers: &[Option<S>]) -> Result<VoteRewards, DataError> {
        if answers.is_empty() {
            return Err(DataError::value("votes", "there is none"));
        }
        let n = answers.len() as f64;
        let clusters = AnswerClusters::of(answers.iter().flatten().map(Some));
        let counts = clusters.counts();
        let raw = semantic_entropy(&clusters.log_shares(), EntropyEstimator::Shannon);
        let entropy = match self.0.entropy {
            VoteEntropy::Normalized if counts.len() > 1 => raw / (counts.len() as f64).ln(),
            VoteEntropy::Normalized => 0.0,
            VoteEntropy::Raw | VoteEntropy::LeaveOneOut => raw,
        };
        let per_answer: Vec<f64> = (0..counts.len())
            .map(|k| match (self.0.kind, self.0.entropy) {
                (VoteReward::Majority, _) => f64::from(u8::from(clusters.majority() == Some(k))),
                (VoteReward::Frequency, VoteEntropy::LeaveOneOut) => {
                    counts[k] as f64 / n + self.0.alpha * n * (entropy_without(counts, k) - raw)
                }
                (VoteReward::Frequency, _) => counts[k] as f64 / n - self.0.alpha * entropy,
            })
            .collect();
        let unread = match (self.0.kind, self.0.entropy) {
            (VoteReward::Majority, _) | (_, VoteEntropy::LeaveOneOut) => 0.0,
            (VoteReward::Frequency, _) => 0.0 - self.0.alpha * entropy,
        };
        let mut ids = clusters.ids().iter();
        let id_of: Vec<Option<usize>> = answers
            .iter()
            .map(|a| a.as_ref().and_then(|_| ids.next().copied()))
            .collect();
        Ok(VoteRewards {
            frequencies: id_of
                .iter()
                .map(|id| id.map_or(0.0, |k| counts[k] as f64 / n))
                .collect(),
            entropy,
            rewards: id_of
                .iter()
                .map(|id| id.map_or(unread, |k| per_answer[k]))
                .collect(),
        })
    }
}

/// Entropy of the votes without one of those in cluster `k`, nats.
fn entropy_without(counts: &[usize], k: usize) -> f64 {
    let others = counts.iter().sum::<usize>() as f64 - 1.0;
    let log_p: Vec<f64> = counts
        .iter()
        .enumerate()
        .map(|(j, count)| if j == k { count - 1 } else { *count })
        .filter(|count| *count > 0)
        .map(|count| (count as f64 / others).ln())
        .collect();
    semantic_entropy(&log_p, EntropyEstimator::Shannon)
}

impl Part<dyn RewardShaper> for TtrvConfig {
    const SOURCE: &'static str = "TTRV, arXiv 2510.06783; Akshit21112002/TTRV at b9cf778a, ttt_metrics.py; TTRL, arXiv \
                                  2504.16084; leave-one-out is an arm of this workspace";

    fn formula(&self) -> String {
        let alpha = self.alpha;
        let reward = match (self.kind, self.entropy) {
            (VoteReward::Majority, _) => "R_j = [a_j has most votes]".to_owned(),
            (_, VoteEntropy::Normalized) => format!("R_j = votes of a_j / N - {alpha} H / ln M"),
            (_, VoteEntropy::Raw) => format!("R_j = votes of a_j / N - {alpha} H"),
            (_, VoteEntropy::LeaveOneOut) => {
                format!("R_j = votes of a_j / N + {alpha} N (H without j - H)")
            }
        };
        let answer = match self.answer {
            AnswerPart::Whole => "the whole reply",
            AnswerPart::AnswerTag => "the first answer tag",
        };
        let trained = match self.n_train {
            Some(n) => format!("the first {n} votes"),
            None => "all votes".to_owned(),
        };
        format!("{reward}; a_j: {answer}; trained on: {trained}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        Ok(Box::new(Ttrv::new(self)?))
    }
}

impl RewardShaper for Ttrv {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        if rewards.components.contains_key(NAME) {
            return Err(DataError::value(
                format!("component `{NAME}`"),
                "is already there: the group would vote twice",
            ));
        }
        let voters: Vec<usize> = (0..members.len())
            .filter(|i| members[*i].stop != StopReason::Aborted)
            .collect();
        let answers: Vec<Option<&str>> = voters
            .iter()
            .map(|i| self.0.answer.of(members[*i].answer()))
            .map(|answer| answer.filter(|a| !a.is_empty()))
            .collect();
        let voted = self.vote(&answers)?;
        let n_trained = self.n_trained(voters.len())?;
        rewards.rewards.fill(None);
        for (i, reward) in voters.iter().zip(&voted.rewards).take(n_trained) {
            rewards.rewards[*i] = Some(*reward);
        }
        for (trained, reward) in rewards.trained.iter_mut().zip(&rewards.rewards) {
            *trained &= reward.is_some();
        }
        rewards
            .components
            .insert(NAME.to_owned(), rewards.rewards.clone());
        Ok(())
    }
}

#[cfg(test)]
#[path = "ttrv_tests.rs"]
mod tests;
