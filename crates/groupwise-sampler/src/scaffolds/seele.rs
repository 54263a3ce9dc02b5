//! SEELE: hints whose length holds a prompt's accuracy at a target.

use groupwise_core::seams::Rendered;
use groupwise_core::{DataError, GroupOutcome, ParamError, Part, PromptMemory, Scaffold, Task, Trajectory};
use serde::{Deserialize, Serialize};

use crate::hint_length::{HintRounds, HintTarget, cold_start_rate};
use crate::hint_prefix::{HintUnit, first_units, unit_ends};

/// Rounds of rollouts with the first part of the reference as the beginning of the answer.
///
/// # Formula
/// Round 1 shows `l = round(p n)` of the n units of `reference`, `p` the first rate; after round i the curve
/// `f(p) = b + (1 - b) / (1 + exp(-k (p + mu)))` is fitted to the rounds so far and round i + 1 shows
/// `p = f^-1(target)`.
///
/// # Shapes
/// Every round has the number of rollouts that the allocator gave the prompt, so a prompt costs `rounds` times that.
/// All rounds form one group: `advantage.dr-grpo` gives the paper's advantages, reward minus the mean over all rounds.
///
/// # Edge cases
/// - No reference, or none with a word where units are words: as many rounds, without a hint.
/// - One unit: no hint.
/// - A round without a scorable rollout is repeated at the same length.
/// - The hint is forced and masked: it has no policy gradient.  The paper's imitation term on it is not here but in
///   `groupwise_objective::losses::hint_imitation`.
///
/// # Errors
/// Building refuses `rounds` = 0, a `target` outside (0, 1) and a `first_rate` outside [0, 1].  Data: a score outside
/// [0, 1]; names task, round and rollout.
///
/// # Source
/// SEELE (arXiv 2509.06923), sections 4.2 and 4.3, algorithm 1.  The paper carries the last rate of a prompt to its next
/// visit; what a scaffold may remember holds rewards but no rates, so a visit starts at `first_rate` each time.
///
/// # Example
/// ```
/// use groupwise_sampler::ScaffoldSpec;
/// let spec: ScaffoldSpec = serde_json::from_str(r#"{"seele": {"rounds": 3}}"#).unwrap();
/// assert!(spec.build(&()).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeeleConfig {
    /// Rounds m of a step, >= 1; 1 fits no curve.
    pub rounds: u32,
    /// Accuracy that hints aim at, in (0, 1).
    pub target: f64,
    /// What the solution is counted in.
    pub unit: HintUnit,
    /// Share of the solution shown in round 1, in [0, 1]; absent: all but the last unit.
    pub first_rate: Option<f64>,
}

impl Default for SeeleConfig {
    fn default() -> Self {
        Self {
            rounds: 4,
            target: 0.5,
            unit: HintUnit::Character,
            first_rate: None,
        }
    }
}

impl Part<dyn Scaffold> for SeeleConfig {
    const SOURCE: &'static str = "arXiv 2509.06923 (SEELE), sections 4.2 and 4.3, algorithm 1";

    fn formula(&self) -> String {
        let first = match self.first_rate {
            Some(rate) => rate.to_string(),
            None => "(n - 1) / n".to_owned(),
        };
        format!(
            "{} rounds; hint = first round(p n) of the n {} of the reference, at most n - 1; round 1: p = {first}, then \
             p = f^-1({}), f(p) = b + (1 - b) / (1 + exp(-k (p + mu))) fitted to the rounds of this step",
            self.rounds,
            self.unit.plural(),
            self.target,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Scaffold>, ParamError> {
        ParamError::check(self.rounds >= 1, "rounds", self.rounds, ">= 1")?;
        if let Some(rate) = self.first_rate {
            ParamError::check((0.0..=1.0).contains(&rate), "first_rate", rate, "in [0, 1]")?;
        }
        Ok(Box::new(Seele {
            rounds: self.rounds,
            target: HintTarget::new(self.target)?,
            unit: self.unit,
            first_rate: self.first_rate,
        }))
    }
}

/// The validated scaffold.
#[derive(Debug)]
struct Seele {
    rounds: u32,
    target: HintTarget,
    unit: HintUnit,
    first_rate: Option<f64>,
}

impl Seele {
    /// How the task is put after the rounds whose rewards are given, in order.
    fn after<'a>(
        &self,
        task: &Task,
        rounds: impl Iterator<Item = &'a [Option<f64>]>,
    ) -> Result<Rendered, DataError> {
        let ends = unit_ends(&task.reference, self.unit);
        if ends.is_empty() {
            return Ok(Rendered::plain());
        }
        let first = match self.first_rate {
            Some(rate) => rate,
            None => cold_start_rate(ends.len())?,
        };
        let mut search = HintRounds::new(self.target, ends.len(), first)?;
        for rewards in rounds {
            search.record(rewards).map_err(|e| of_task(task, &e))?;
        }
        Ok(Rendered {
            prefix: String::new(),
            forced_answer: first_units(&task.reference, &ends, search.length()).to_owned(),
            hinted: search.length() > 0,
            shared: None,
        })
    }
}

fn of_task(task: &Task, error: &DataError) -> DataError {
    DataError::value(format!("task {}", task.id), error.to_string())
}

impl Scaffold for Seele {
    fn render(&self, task: &Task, _: &PromptMemory) -> Result<Rendered, DataError> {
        self.after(task, std::iter::empty())
    }

    // What was shown in earlier rounds follows from their rewards, so nothing needs to be remembered.
    fn next_round(
        &self,
        task: &Task,
        members: &[Trajectory],
        outcome: &GroupOutcome,
        round: u32,
    ) -> Result<Option<Rendered>, DataError> {
        if round >= self.rounds {
            return Ok(None);
        }
        DataError::check_len("rewards", outcome.rewards.len(), members.len())?;
        let n_rounds = round as usize;
        if n_rounds == 0 || members.is_empty() || !members.len().is_multiple_of(n_rounds) {
            return Err(DataError::value(
                format!("task {}", task.id),
                format!("{} members are not {round} rounds of equal size", members.len()),
            ));
        }
        let rounds = outcome.rewards.chunks(members.len() / n_rounds);
        self.after(task, rounds).map(Some)
    }
}

#[cfg(test)]
#[path = "seele_tests.rs"]
mod tests;
