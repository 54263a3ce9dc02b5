//! Hi-Agent: subgoals ranked by how their executions went, executions ranked within their subgoal.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spans, Spread,
    Trajectory, stats,
};
use serde::{Deserialize, Serialize};

use crate::delegation::Delegation;
use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;
use crate::nested::NestedRollouts;

const NAME: &str = "hi-agent";

/// Hi-Agent's advantages for both levels of the hierarchy, without a critic.
///
/// # Formula
/// Subgoal i of a state: `R_i = w_f f_i + f_i (w_e mean_e x_ie + w_j j_i)` ([`foresight_rewards`]),
/// `A_i = (R_i - mean(R)) / (s(R) + eps)` over the subgoals of the state.  Execution e of subgoal i:
/// `A_ie = (x_ie - mean(x_i)) / (s(x_i) + eps)` over the executions of that subgoal.
///
/// # Shapes
/// One advantage per trajectory.  A group is one state; it holds trajectories of both agents ([`Delegation`]): a
/// subgoal's carries no agent or `high_agent`, an execution's carries `low_agent` and the `sample` of its subgoal.
/// `x` is the reward of an execution, `j` the reward of a subgoal's trajectory (read only with `judge_weight > 0`),
/// `f` whether all of its turns were valid, and there was one.
///
/// # Edge cases
/// - No spread, or one subgoal: 0; no execution of a subgoal: its mean is 0.
/// - Unscorable execution: 0, and left out of its subgoal's mean.  Unscorable subgoal: 0, and in no statistic; its
///   executions are compared all the same.
/// - Without executions only format and judge rank the subgoals (the paper's ablation "format reward only").
///
/// # Errors
/// Parameters: a weight or `eps` negative or not finite, the same name for both agents.  Data: no trajectories; those
/// of [`Delegation`] and [`GroupRelative`].
///
/// # Source
/// "Hi-Agent", arXiv 2510.14388.  Reconstructed from its abstract and a review: no code, and the weights and the
/// exact mix of rewards were not seen; all numbers are this project's choices.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch, StopReason, Trajectory, Turn};
/// let trajectory = |agent: &str, sample| Trajectory {
///     task: 0, sample, agent: Some(agent.into()), prompt: [1].into(), completion: vec![], mask: vec![],
///     logp: vec![], entropy: vec![], version: 0, stop: StopReason::EndToken,
///     turns: vec![Turn { anchor: None, action: String::new(), tokens: 0..0, reward: 0.0, valid: true }],
/// };
/// // Two subgoals of one state; the executions of the first succeed once, those of the second never.
/// let all = [
///     trajectory("high", 0), trajectory("high", 1), trajectory("low", 0), trajectory("low", 0), trajectory("low", 1),
/// ];
/// let groups = Offsets::from_lengths([5]);
/// let rewards = [Some(0.0), Some(0.0), Some(1.0), Some(0.0), Some(0.0)];
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// batch.trajectories = Some(&all);
/// let spec: AdvantageSpec = serde_json::from_str(r#"{"hi-agent": {"eps": 0.0}}"#)?;
/// let Advantages::Trajectory(a) = spec.build(&())?.estimate(&batch)? else { unreachable!("per trajectory") };
/// let one = 0.5_f64.sqrt();
/// for (found, expected) in a.iter().zip([one, -one, one, -one, 0.0]) {
///     assert!((found - expected).abs() < 1e-12);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HiAgentConfig {
    /// Weight of the subgoal's format, >= 0.
    pub format_weight: f64,
    /// Weight of the mean reward of its executions, >= 0.
    pub execution_weight: f64,
    /// Weight of its judge's score, >= 0.
    pub judge_weight: f64,
    /// What the centred reward is divided by.
    #[serde(alias = "std")]
    pub spread: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
    /// Name of the agent that proposes subgoals.
    pub high_agent: String,
    /// Name of the agent that executes them.
    pub low_agent: String,
}

impl Default for HiAgentConfig {
    fn default() -> Self {
        Self {
            format_weight: 0.1,
            execution_weight: 1.0,
            judge_weight: 0.0,
            spread: Spread::Sample,
            eps: 1e-6,
            high_agent: "high".to_owned(),
            low_agent: "low".to_owned(),
        }
    }
}

impl HiAgentConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            spread: self.spread,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        }
    }
}

impl Part<dyn AdvantageEstimator> for HiAgentConfig {
    const SOURCE: &'static str = "Hi-Agent, arXiv 2510.14388 (reconstructed; no code was released)";

    fn formula(&self) -> String {
        format!(
            "{}; `{}`: r_i = {} f_i + f_i ({} mean_e x_ie + {} j_i), over the state; `{}`: r = x, over the subgoal",
            self.settings().formula(),
            self.high_agent,
            self.format_weight,
            self.execution_weight,
            self.judge_weight,
            self.low_agent
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        for (key, value) in [
            ("format_weight", self.format_weight),
            ("execution_weight", self.execution_weight),
            ("judge_weight", self.judge_weight),
        ] {
            ParamError::check_coefficient(key, value)?;
        }
        ParamError::check(
            self.high_agent != self.low_agent,
            "low_agent",
            &self.low_agent,
            "another name than `high_agent`",
        )?;
        Ok(Box::new(HiAgent {
            relative: GroupRelative::new(self.settings())?,
            config: self.clone(),
        }))
    }
}

/// What is known about subgoals and their executions.
#[derive(Clone, Copy, Debug)]
pub struct Subgoals<'a> {
    /// Subgoal -> executions.
    pub executions: Spans<'a>,
    /// True where a subgoal is well formed.
    pub format_ok: &'a [bool],
    /// Reward of each execution; `None`: unscorable.
    pub execution_rewards: &'a [Option<f64>],
    /// Judge's score of each subgoal, where there is a judge.
    pub judge: Option<&'a [f64]>,
}

/// Rewards of subgoals: format, foresight (how their executions went) and judge.
///
/// # Formula
/// `R_i = w_f f_i + f_i (w_e mean_e x_ie + w_j j_i)`, weights of the configuration.
///
/// # Shapes
/// The result: one per subgoal.
///
/// # Edge cases
/// No scorable execution: the mean is 0.  No judge: its term is 0.  A badly formed subgoal: exactly 0.
///
/// # Errors
/// Counts that disagree; an execution reward or a score that is not finite.
///
/// # Source
/// That of [`HiAgentConfig`].
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{HiAgentConfig, Subgoals, foresight_rewards};
/// use groupwise_core::Offsets;
/// let executions = Offsets::from_lengths([2, 2, 0]);
/// let rewards = foresight_rewards(&HiAgentConfig::default(), &Subgoals {
///     executions: executions.spans(),
///     format_ok: &[true, false, true],
///     execution_rewards: &[Some(1.0), Some(0.0), Some(1.0), Some(1.0)],
///     judge: None,
/// })?;
/// assert_eq!(rewards, [0.6, 0.0, 0.1]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn foresight_rewards(config: &HiAgentConfig, subgoals: &Subgoals<'_>) -> Result<Vec<f64>, DataError> {
    let Subgoals {
        executions,
        format_ok,
        execution_rewards,
        judge,
    } = subgoals;
    DataError::check_len("format_ok", format_ok.len(), executions.len())?;
    executions.check_covers("execution rewards", execution_rewards.len())?;
    if let Some(judge) = judge {
        DataError::check_len("judge", judge.len(), executions.len())?;
        DataError::check_finite("judge", judge)?;
    }
    let mut scored = Vec::new();
    let mut rewards = Vec::with_capacity(format_ok.len());
    for (i, (own, well_formed)) in executions.iter().zip(*format_ok).enumerate() {
        scored.clear();
        scored.extend(execution_rewards[own].iter().flatten());
        DataError::check_finite(&format!("execution rewards of subgoal {i}"), &scored)?;
        let mean = if scored.is_empty() {
            0.0
        } else {
            stats::mean(&scored)
        };
        let score = judge.map_or(0.0, |judge| judge[i]);
        rewards.push(if *well_formed {
            config.format_weight + (config.execution_weight * mean + config.judge_weight * score)
        } else {
            0.0
        });
    }
    Ok(rewards)
}

#[derive(Debug)]
struct HiAgent {
    relative: GroupRelative,
    config: HiAgentConfig,
}

/// A subgoal is well formed if the environment understood all of it.
fn well_formed(subgoal: &Trajectory) -> bool {
    !subgoal.turns.is_empty() && subgoal.turns.iter().all(|turn| turn.valid)
}

impl AdvantageEstimator for HiAgent {
    fn needs(&self) -> Needs {
        Needs::TRAJECTORIES
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let trajectories = inputs::trajectories(batch, NAME)?;
        let HiAgentConfig {
            high_agent,
            low_agent,
            ..
        } = &self.config;
        let split = Delegation::of(batch.groups, trajectories, high_agent, low_agent)?;
        let of =
            |members: &[usize]| -> Vec<Option<f64>> { members.iter().map(|i| batch.rewards[*i]).collect() };
        let (judged, executed) = (of(split.leaders()), of(split.followers()));
        let judge: Vec<f64> = judged.iter().map(|j| j.unwrap_or(0.0)).collect();
        let format_ok: Vec<bool> = split
            .leaders()
            .iter()
            .map(|i| well_formed(&trajectories[*i]))
            .collect();
        let rewards = foresight_rewards(
            &self.config,
            &Subgoals {
                executions: split.calls(),
                format_ok: &format_ok,
                execution_rewards: &executed,
                judge: Some(&judge),
            },
        )?;
        let high: Vec<Option<f64>> = rewards.iter().zip(&judged).map(|(r, j)| j.map(|_| *r)).collect();
        let high = self.relative.advantages(split.groups(), &high)?;
        let low = NestedRollouts::new(split.groups(), split.calls())?;
        let low = low.advantages_within(&self.relative, &executed)?;
        let mut out = vec![0.0; batch.rewards.len()];
        for (i, a) in split
            .leaders()
            .iter()
            .zip(high)
            .chain(split.followers().iter().zip(low))
        {
            out[*i] = a;
        }
        Ok(Advantages::Trajectory(out))
    }
}

#[cfg(test)]
#[path = "hi_agent_tests.rs"]
mod tests;
