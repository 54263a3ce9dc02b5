//! Temporal-R1: shuffled epochs over the tasks whose rewards vary under the start model.
//!
//! Symbols: k answers per task in the selection pass, mean and population standard deviation of their rewards.

use groupwise_core::seams::Surveyed;
use groupwise_core::stats::Moments;
use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State};
use serde::{Deserialize, Serialize};

use super::shuffled::{ShuffledConfig, check_tasks};
use super::{SamplerContext, check_pool};
use crate::topk::top_k;

/// What the rewards of a task look like, and so when they count as varied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardKind {
    /// Right or wrong: varied if neither all are 1 nor all 0.
    #[default]
    Discrete,
    /// Graded: varied if the deviation reaches `std_min`.
    Continuous,
}

/// Trains on the tasks that moved a group-relative method at the start, and on no others.
///
/// # Formula
/// Kept are the tasks of [`select`] over `repeats` answers each of the start model; then as `shuffled`: every kept task
/// once per epoch, in an order keyed by (seed, epoch).
///
/// # Shapes
/// `std_min` in units of reward; the answers are billed as start-up.
///
/// # Edge cases
/// - Unscorable answers are left out; a task with fewer than two scorable ones is not kept.
/// - The choice is made once and goes stale as the policy learns; `vade` follows it.
///
/// # Errors
/// `std_min` negative or not finite, `top` of 0, `repeats` < 2, when built.  A survey after which no task is kept; a
/// batch before any survey.
///
/// # Source
/// "Reinforcement Learning Tuning for VideoLLMs", arXiv 2506.01908.  The code of the selection was not available: the
/// rule is reconstructed from the abstract, `repeats` and `std_min` are ours.  The method selects by the outcome alone,
/// without the reward for format; here the run's reward is what is seen, so a format that varies keeps a task, too.
///
/// # Example
/// ```
/// use groupwise_sampler::samplers::temporal_r1::{RewardKind, Selection, select};
/// let rewards = [vec![0.5, 0.5, 0.52, 0.5], vec![0.1, 0.9, 0.5, 0.2], vec![0.0, 0.0, 0.0, 0.3]];
/// let rule = Selection { kind: RewardKind::Continuous, ..Selection::default() };
/// let found = select(&rewards, &rule)?;
/// assert!((found.stds[1] - 0.311247).abs() < 1e-6);
/// assert_eq!(found.selected, [1, 2]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemporalR1Config {
    /// When rewards count as varied.
    pub kind: RewardKind,
    /// Least standard deviation of graded rewards, >= 0.
    pub std_min: f64,
    /// Most tasks kept, >= 1; those of the largest deviation.
    pub top: Option<usize>,
    /// Answers per task of the start model, >= 2.
    pub repeats: u32,
}

impl Default for TemporalR1Config {
    fn default() -> Self {
        let Selection { kind, std_min, top } = Selection::default();
        Self {
            kind,
            std_min,
            top,
            repeats: 8,
        }
    }
}

/// Which tasks are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection {
    /// When rewards count as varied.
    pub kind: RewardKind,
    /// Least standard deviation of graded rewards, >= 0.
    pub std_min: f64,
    /// Most tasks kept, >= 1; those of the largest deviation.
    pub top: Option<usize>,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            kind: RewardKind::Discrete,
            std_min: 0.1,
            top: None,
        }
    }
}

impl Selection {
    /// Checks the parameters.
    ///
    /// # Errors
    /// `std_min` negative or not finite; `top` of 0.
    pub fn validate(&self) -> Result<(), ParamError> {
        let std_min = self.std_min;
        ParamError::check_coefficient("std_min", std_min)?;
        ParamError::check(self.top != Some(0), "top", 0, ">= 1")
    }

    fn keeps(&self, moments: &Moments) -> bool {
        match self.kind {
            RewardKind::Discrete => moments.mean() > 0.0 && moments.mean() < 1.0,
            RewardKind::Continuous => deviation(moments) >= self.std_min,
        }
    }

    /// The kept tasks, in order of index; none without moments is.
    fn choose(&self, moments: &[Option<Moments>]) -> Vec<usize> {
        let kept = |i: &usize| moments[*i].is_some_and(|m| self.keeps(&m));
        let kept: Vec<usize> = (0..moments.len()).filter(kept).collect();
        let Some(top) = self.top else { return kept };
        // The same rewards in another order may differ in the last bits, and must tie.
        let rank = |i: &usize| moments[*i].map_or(0.0, |m| (deviation(&m) / ROUNDING).round());
        let ranks: Vec<f64> = kept.iter().map(rank).collect();
        let mut best: Vec<usize> = top_k(&ranks, top).into_iter().map(|place| kept[place]).collect();
        best.sort_unstable();
        best
    }
}

/// Deviations that differ by less are equal.
const ROUNDING: f64 = 1e-12;

fn deviation(moments: &Moments) -> f64 {
    moments.population_variance().sqrt()
}

/// What a selection pass found.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// Mean reward of every task.
    pub means: Vec<f64>,
    /// Population standard deviation of every task.
    pub stds: Vec<f64>,
    /// Indices of the kept tasks, rising.
    pub selected: Vec<usize>,
}

/// The tasks whose rewards vary.
///
/// # Formula
/// Discrete: kept if `0 < mean < 1`.  Continuous: kept if `std >= std_min`, std with divisor k.  Of these the `top` of
/// the largest std, equal ones by index; listed in order of index.
///
/// # Shapes
/// One row of rewards per task; rows may differ in length.
///
/// # Edge cases
/// Deviations within 1e-12 tie for `top`.  With `std_min` of 0 a constant graded task is kept.
///
/// # Errors
/// A row of fewer than two rewards, a reward that is not finite, no task kept, a parameter out of range.
///
/// # Source
/// As [`TemporalR1Config`], with an example.
pub fn select<R: AsRef<[f64]>>(rewards: &[R], rule: &Selection) -> Result<Selected, DataError> {
    rule.validate()
        .map_err(|e| DataError::value("selection", e.to_string()))?;
    let mut moments = Vec::with_capacity(rewards.len());
    for (i, row) in rewards.iter().enumerate() {
        let row = row.as_ref();
        if row.len() < 2 {
            let what = format!("has {} rewards, and their spread needs 2", row.len());
            return Err(DataError::value(format!("task {i}"), what));
        }
        DataError::check_finite(&format!("rewards of task {i}"), row)?;
        moments.push(Some(Moments::of(row)));
    }
    let selected = refuse_none(rule.choose(&moments), moments.len())?;
    let moments = || moments.iter().flatten();
    Ok(Selected {
        means: moments().map(Moments::mean).collect(),
        stds: moments().map(deviation).collect(),
        selected,
    })
}

fn refuse_none(selected: Vec<usize>, n_tasks: usize) -> Result<Vec<usize>, DataError> {
    if selected.is_empty() {
        let what = format!("the rewards of none of {n_tasks} tasks vary enough, so none is kept");
        return Err(DataError::value("selection", what));
    }
    Ok(selected)
}

impl Part<dyn PromptSampler, SamplerContext> for TemporalR1Config {
    const SOURCE: &'static str = "arXiv 2506.01908 (Temporal-R1), selection reconstructed from the abstract";

    fn formula(&self) -> String {
        let varied = match self.kind {
            RewardKind::Discrete => "0 < mean reward < 1".to_owned(),
            RewardKind::Continuous => format!("population std of the rewards >= {}", self.std_min),
        };
        let top = match self.top {
            None => String::new(),
            Some(top) => format!(", of these the {top} of the largest std"),
        };
        format!(
            "shuffled epochs over the tasks with {varied} in {} answers before step 1{top}",
            self.repeats
        )
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        let rule = Selection {
            kind: self.kind,
            std_min: self.std_min,
            top: self.top,
        };
        rule.validate()?;
        ParamError::check(self.repeats >= 2, "repeats", self.repeats, ">= 2")?;
        check_pool(context)?;
        Ok(Box::new(TemporalR1 {
            context: *context,
            rule,
            repeats: self.repeats,
            chosen: None,
        }))
    }
}

#[derive(Debug)]
struct TemporalR1 {
    context: SamplerContext,
    rule: Selection,
    repeats: u32,
    /// None before the survey.
    chosen: Option<Chosen>,
}

/// The kept tasks and the epochs over their places.
#[derive(Debug)]
struct Chosen {
    tasks: Vec<usize>,
    epochs: Box<dyn PromptSampler>,
}

/// What a checkpoint holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    kept_tasks: Option<Vec<usize>>,
    epochs: State,
}

impl TemporalR1 {
    fn chosen(&self, tasks: Vec<usize>) -> Result<Chosen, DataError> {
        let context = SamplerContext {
            n_tasks: tasks.len(),
            ..self.context
        };
        let epochs = ShuffledConfig {}
            .build(&context)
            .map_err(|e| DataError::value("temporal-r1 sampler", e.to_string()))?;
        Ok(Chosen { tasks, epochs })
    }
}

impl PromptSampler for TemporalR1 {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        let Some(Chosen { tasks, epochs }) = &mut self.chosen else {
            let what = "has no start-up survey to select tasks by";
            return Err(DataError::value("temporal-r1 sampler", what));
        };
        let places = epochs.next(n, key)?;
        Ok(places.into_iter().map(|place| tasks[place]).collect())
    }

    fn observe(&mut self, _: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        check_tasks(self.context.n_tasks, outcomes)
    }

    fn survey(&self, step: u64) -> Option<u32> {
        (step == 1).then_some(self.repeats)
    }

    fn observe_survey(&mut self, _: u64, results: &[Surveyed]) -> Result<(), DataError> {
        let n_tasks = self.context.n_tasks;
        DataError::check_len("survey", results.len(), n_tasks)?;
        let mut moments = vec![None; n_tasks];
        for result in results {
            check_tasks(n_tasks, std::slice::from_ref(&result.outcome))?;
            let (task, scored) = (result.outcome.task, result.outcome.scored());
            DataError::check_finite(&format!("rewards of task {task}"), &scored)?;
            moments[task] = (scored.len() >= 2).then(|| Moments::of(&scored));
        }
        let tasks = refuse_none(self.rule.choose(&moments), n_tasks)?;
        self.chosen = Some(self.chosen(tasks)?);
        Ok(())
    }

    fn save(&self) -> State {
        let memory = Memory {
            kept_tasks: self.chosen.as_ref().map(|c| c.tasks.clone()),
            epochs: self.chosen.as_ref().map_or(State::Null, |c| c.epochs.save()),
        };
        serde_json::to_value(memory).unwrap_or_default()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        let refuse = |what: String| DataError::value("temporal-r1 sampler", what);
        let loaded = Memory::deserialize(state).map_err(|e| refuse(e.to_string()))?;
        self.chosen = match loaded.kept_tasks {
            None => None,
            Some(tasks) => {
                let n_tasks = self.context.n_tasks;
                let rising = tasks.windows(2).all(|w| w[0] < w[1]);
                if !rising || tasks.last().is_none_or(|last| *last >= n_tasks) {
                    let what = format!("the kept tasks are not a rising list out of a pool of {n_tasks}");
                    return Err(refuse(what));
                }
                let mut chosen = self.chosen(tasks)?;
                chosen.epochs.load(&loaded.epochs)?;
                Some(chosen)
            }
        };
        Ok(())
    }
}

#[cfg(test)]
#[path = "temporal_r1_tests.rs"]
mod tests;
