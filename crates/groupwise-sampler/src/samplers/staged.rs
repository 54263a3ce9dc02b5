//! Staged sampling: easy stages of the pool first, shuffled epochs inside a stage (CRAFT-GUI).

use groupwise_core::{DataError, GroupOutcome, Key, PromptSampler, State};
use serde::{Deserialize, Serialize};

use super::shuffled::{check_tasks, epoch_key, new_epoch};
use crate::length_stages::{LengthStages, StagePlan, TaskLength};
use crate::stages::StageMode;

/// Draws from the stage of the training step, in shuffled epochs without replacement.
///
/// # Formula
/// Stages are those of [`LengthStages`], their steps those of [`StagePlan`].  An epoch visits the tasks that are active
/// in the order of a uniform permutation keyed by (seed, stage, epoch); the seed is taken from the key of the first call.
///
/// # Shapes
/// The training step is the last one observed plus 1, so that batches that refill a step stay in its stage.
///
/// # Edge cases
/// - A new stage begins a new epoch: no task of the old order is carried over.
/// - A batch that crosses the end of an epoch holds no task twice unless it is larger than what is active.
/// - Mode `joint` is the `shuffled` sampler, draw for draw: the baseline is paired.
/// - In `cumulative` a new stage shuffles all active tasks anew.
///
/// # Errors
/// - When built: no task, or one of 0 steps.
/// - In use: a task outside the pool; a state that does not fit.
///
/// # Source
/// CRAFT-GUI, arXiv 2508.11360.  Steps of one task are different prompts: group rollouts by prompt, and let a task here
/// be a prompt with the length of its whole trajectory.
///
/// # Example
/// ```
/// use groupwise_core::{Key, PromptSampler, Stream};
/// use groupwise_sampler::length_stages::{LengthStages, TaskKind, TaskLength};
/// use groupwise_sampler::samplers::staged::StagedSampler;
/// use groupwise_sampler::stages::StageMode;
/// let tasks = [9, 1, 5, 2].map(|steps| TaskLength { steps, kind: TaskKind::Action });
/// let mut sampler = StagedSampler::new(&LengthStages::new(vec![3, 8])?, StageMode::Replace, &tasks, 4)?;
/// let mut batches = Vec::new();
/// for step in 1..=4 {
///     let mut batch = sampler.next(2, Key::new(0, Stream::Sampler).step(step))?;
///     batch.sort_unstable();
///     batches.push(batch);
///     sampler.observe(step, &[])?;
/// }
/// assert_eq!(batches, [[1, 3], [1, 3], [2, 2], [0, 0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StagedSampler {
    n_tasks: usize,
    pools: Vec<Vec<usize>>,
    mode: StageMode,
    plan: StagePlan,
    memory: Memory,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// Root of all permutations; none before the first call.
    seed: Option<u64>,
    /// Training steps that ended.
    ended: u64,
    /// Stage of the current epoch.
    stage: Option<usize>,
    /// Epochs begun in that stage.
    epochs: u64,
    /// Tasks of the current epoch that are still to come, in order.
    to_come: Vec<usize>,
}

impl StagedSampler {
    /// A sampler for these tasks and a run of this many training steps.
    ///
    /// # Errors
    /// See [`StagedSampler`].
    pub fn new(
        stages: &LengthStages,
        mode: StageMode,
        tasks: &[TaskLength],
        total_steps: u64,
    ) -> Result<Self, DataError> {
        let pools = stages.pools(tasks)?;
        let sizes: Vec<usize> = pools.iter().map(Vec::len).collect();
        Ok(Self {
            n_tasks: tasks.len(),
            plan: StagePlan::new(&sizes, total_steps, mode)?,
            pools,
            mode,
            memory: Memory::default(),
        })
    }

    /// Stage of the next batch, from 0.
    pub fn stage(&self) -> usize {
        self.plan.stage(self.memory.ended)
    }

    /// Steps of every stage.
    pub fn plan(&self) -> &StagePlan {
        &self.plan
    }

    /// Tasks that are drawn from at a stage, in order of index.
    fn active(&self, stage: usize) -> Vec<usize> {
        let mut tasks: Vec<usize> = self.pools[self.plan.active_at(stage)].concat();
        tasks.sort_unstable();
        tasks
    }

    /// The stage an epoch belongs to: all of them are one if everything is always active.
    fn epoch_stage(&self) -> usize {
        match self.mode {
            StageMode::Joint => 0,
            _ => self.stage(),
        }
    }
}

impl PromptSampler for StagedSampler {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        let seed = *self.memory.seed.get_or_insert_with(|| key.bits());
        let stage = self.epoch_stage();
        if self.memory.stage != Some(stage) {
            self.memory.stage = Some(stage);
            self.memory.epochs = 0;
            self.memory.to_come.clear();
        }
        let active = self.active(stage);
        let mut batch = Vec::with_capacity(n);
        while batch.len() < n {
            if self.memory.to_come.is_empty() {
                let key = match self.mode {
                    StageMode::Joint => epoch_key(seed, self.memory.epochs),
                    _ => epoch_key(seed, self.memory.epochs).named("stage", stage as u64),
                };
                // Places among the active tasks, which rise: a place is found by search.
                let place = |task: &usize| active.partition_point(|other| other < task);
                let held = if n <= active.len() { &batch[..] } else { &[] };
                let earlier: Vec<usize> = held.iter().map(place).collect();
                let order = new_epoch(active.len(), key, &earlier, n - batch.len());
                self.memory.to_come = order.into_iter().map(|place| active[place]).collect();
                self.memory.epochs += 1;
            }
            let taken = self.memory.to_come.len().min(n - batch.len());
            batch.extend(self.memory.to_come.drain(..taken));
        }
        Ok(batch)
    }

    fn observe(&mut self, step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        check_tasks(self.n_tasks, outcomes)?;
        self.memory.ended = self.memory.ended.max(step);
        Ok(())
    }

    fn save(&self) -> State {
        serde_json::to_value(&self.memory).unwrap_or_default()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        let refuse = |what: String| DataError::value("staged sampler", what);
        let loaded = Memory::deserialize(state).map_err(|e| refuse(e.to_string()))?;
        let n_stages = self.pools.len();
        let active = match loaded.stage {
            None => Vec::new(),
            Some(stage) if stage < n_stages => self.active(stage),
            Some(stage) => return Err(refuse(format!("stage {stage} of {n_stages}"))),
        };
        let mut seen = vec![false; active.len()];
        for task in &loaded.to_come {
            let place = active.binary_search(task).ok();
            let Some(place) = place.filter(|place| !seen[*place]) else {
                let what = format!("task {task} stands twice in the epoch or is not in its stage");
                return Err(refuse(what));
            };
            seen[place] = true;
        }
        self.memory = loaded;
        Ok(())
    }
}

#[cfg(test)]
#[path = "staged_tests.rs"]
mod tests;
