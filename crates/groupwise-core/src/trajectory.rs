//! Trajectories: what a policy did about a task.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::stats;

/// Why a turn or an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The policy emitted an end token.
    EndToken,
    /// The limit of new tokens was reached: the answer is truncated.
    Length,
    /// The environment reached a terminal state.
    Terminal,
    /// The limit of turns was reached.
    TurnLimit,
    /// The rollout could not be finished (environment or engine failure); left out of every statistic.
    Aborted,
}

impl StopReason {
    /// True if the policy was cut off rather than finished.
    pub fn is_truncation(self) -> bool {
        matches!(self, Self::Length | Self::TurnLimit)
    }
}

/// One exchange with the environment: the observation put to the policy and the action it answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// State string by which estimators group steps; a pure function of what the policy sees now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
    /// The action, decoded, without end token.
    pub action: String,
    /// Tokens of this turn's action inside the trajectory's completion.
    pub tokens: Range<usize>,
    /// Reward the environment gave for this step.
    pub reward: f64,
    /// False if the environment could not understand the action.
    pub valid: bool,
}

/// One sampled episode.
///
/// `completion` starts after the first prompt and holds every later token in order, the policy's and the
/// environment's; `mask` is true where the policy chose the token.  The other per-token vectors run along it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// Index of the task in the pool.
    pub task: usize,
    /// Member number inside its group.
    pub sample: u64,
    /// Name of the agent that acted, where several do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Tokens of the first prompt, shared by the members of a group.
    pub prompt: Arc<[u32]>,
    /// All tokens after the first prompt.
    pub completion: Vec<u32>,
    /// True where the policy chose the token.
    pub mask: Vec<bool>,
    /// Log-probability of each token under the sampler, nats; 0 where masked.
    pub logp: Vec<f64>,
    /// Entropy of the sampler's distribution at each token, nats; 0 where masked.
    pub entropy: Vec<f64>,
    /// Turns in order.
    pub turns: Vec<Turn>,
    /// Version of the policy that sampled it.
    pub version: u64,
    /// Why it ended.
    pub stop: StopReason,
}

impl Trajectory {
    /// A finished trajectory of one turn and `n_tokens` counted tokens that holds nothing but its answer: for parts that
    /// read text, without a policy.  Ids, log-probabilities and entropies are 0, the prompt is one token.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Trajectory;
    /// let two = Trajectory { sample: 1, ..Trajectory::of_reply("42", 2) };
    /// assert_eq!((two.answer(), two.n_policy_tokens()), ("42", 2));
    /// ```
    pub fn of_reply(text: &str, n_tokens: usize) -> Self {
        Self {
            task: 0,
            sample: 0,
            agent: None,
            prompt: Arc::from([0]),
            completion: vec![0; n_tokens],
            mask: vec![true; n_tokens],
            logp: vec![0.0; n_tokens],
            entropy: vec![0.0; n_tokens],
            turns: vec![Turn {
                anchor: None,
                action: text.to_owned(),
                tokens: 0..n_tokens,
                reward: 0.0,
                valid: true,
            }],
            version: 0,
            stop: StopReason::EndToken,
        }
    }

    /// Number of tokens the policy chose.
    pub fn n_policy_tokens(&self) -> usize {
        self.mask.iter().filter(|m| **m).count()
    }

    /// The last action: the answer of a single-turn task.
    pub fn answer(&self) -> &str {
        self.turns.last().map_or("", |turn| turn.action.as_str())
    }

    /// Sum of the environment's rewards.
    pub fn environment_return(&self) -> f64 {
        self.turns.iter().map(|turn| turn.reward).sum()
    }
}

/// Result of one group, as stateful samplers, filters and the prompt memory see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// Index of the task in the pool.
    pub task: usize,
    /// Reward of each member; `None` where it could not be scored.
    pub rewards: Vec<Option<f64>>,
    /// Tokens each member cost.
    pub lengths: Vec<usize>,
}

impl GroupOutcome {
    /// Rewards that could be scored.
    pub fn scored(&self) -> Vec<f64> {
        self.rewards.iter().flatten().copied().collect()
    }

    /// True if the scorable rewards differ, so that a group-relative method has a gradient.
    pub fn is_mixed(&self) -> bool {
        !stats::is_constant(&self.scored())
    }
}
