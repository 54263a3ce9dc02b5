//! Per-prompt history of results: the only memory that allocators, scaffolds and shapers may read.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::State;
use crate::error::DataError;
use crate::trajectory::GroupOutcome;

/// Results of one visit to a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// Training step.
    pub step: u64,
    /// Rewards that could be scored, in sample order.
    pub rewards: Vec<f64>,
}

/// Visits of one prompt, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptHistory {
    /// Kept visits, oldest first.
    pub visits: VecDeque<Visit>,
    /// Visits ever made.
    pub n_visits: u64,
    /// Scored results ever seen.
    pub n_results: u64,
}

/// History of every prompt of a pool; visits are kept while fewer than `capacity` newer results exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptMemory {
    capacity: usize,
    prompts: Vec<PromptHistory>,
}

/// What an allocator sees of one prompt of the batch.
#[derive(Clone, Copy, Debug)]
pub struct PromptStats<'a> {
    /// Index of the task in the pool.
    pub task: usize,
    /// Its history.
    pub history: &'a PromptHistory,
}

impl PromptMemory {
    /// Empty memory for a pool of `n_tasks`.
    pub fn new(n_tasks: usize, capacity: usize) -> Self {
        Self {
            capacity,
            prompts: vec![PromptHistory::default(); n_tasks],
        }
    }

    /// Number of tasks in the pool.
    pub fn n_tasks(&self) -> usize {
        self.prompts.len()
    }

    /// Share of the pool that was visited at least once.
    pub fn coverage(&self) -> f64 {
        let seen = self.prompts.iter().filter(|p| p.n_visits > 0).count();
        seen as f64 / self.prompts.len().max(1) as f64
    }

    /// Latest training step whose results were recorded; 0 before the first.
    pub fn last_step(&self) -> u64 {
        let latest = |p: &PromptHistory| p.visits.back().map(|v| v.step);
        self.prompts.iter().filter_map(latest).max().unwrap_or(0)
    }

    /// History of one task.
    pub fn history(&self, task: usize) -> &PromptHistory {
        &self.prompts[task]
    }

    /// What an allocator sees of one task.
    pub fn stats(&self, task: usize) -> PromptStats<'_> {
        PromptStats {
            task,
            history: &self.prompts[task],
        }
    }

    /// Records the groups of one step.
    ///
    /// # Errors
    /// [`DataError::Value`] if a task is not in the pool; nothing is recorded then.
    pub fn observe(&mut self, step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        let n = self.prompts.len();
        if let Some(o) = outcomes.iter().find(|o| o.task >= n) {
            return Err(DataError::value(
                format!("task {}", o.task),
                format!("is not in the pool of {n}"),
            ));
        }
        for outcome in outcomes {
            let history = &mut self.prompts[outcome.task];
            let rewards = outcome.scored();
            history.n_visits += 1;
            history.n_results += rewards.len() as u64;
            history.visits.push_back(Visit { step, rewards });
            while history
                .visits
                .iter()
                .skip(1)
                .map(|v| v.rewards.len())
                .sum::<usize>()
                >= self.capacity
            {
                history.visits.pop_front();
            }
        }
        Ok(())
    }

    /// State for a checkpoint.
    ///
    /// # Errors
    /// If the history holds a number JSON cannot carry.
    pub fn save(&self) -> Result<State, serde_json::Error> {
        serde_json::to_value(self)
    }

    /// Restores [`PromptMemory::save`].
    ///
    /// # Errors
    /// If the state has another form or another number of tasks.
    pub fn load(&mut self, state: &State) -> Result<(), DataError> {
        let loaded: Self = serde_json::from_value(state.clone())
            .map_err(|e| DataError::value("prompt memory", e.to_string()))?;
        DataError::check_len("prompt memory", loaded.prompts.len(), self.prompts.len())?;
        *self = loaded;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(task: usize, rewards: &[f64]) -> GroupOutcome {
        GroupOutcome {
            task,
            rewards: rewards.iter().map(|r| Some(*r)).collect(),
            lengths: vec![1; rewards.len()],
        }
    }

    #[test]
    fn keeps_enough_results_and_restores_exactly() {
        let mut memory = PromptMemory::new(2, 4);
        for step in 0..5 {
            memory.observe(step, &[outcome(1, &[0.1, 1.0])]).unwrap();
        }
        assert_eq!(memory.history(1).visits.len(), 2);
        assert_eq!(memory.history(1).n_results, 10);
        assert_eq!(memory.coverage(), 0.5);
        let mut other = PromptMemory::new(2, 4);
        other.load(&memory.save().unwrap()).unwrap();
        assert_eq!(other, memory);
        assert!(PromptMemory::new(3, 4).load(&memory.save().unwrap()).is_err());
        assert!(memory.observe(6, &[outcome(2, &[0.0])]).is_err());
    }
}
