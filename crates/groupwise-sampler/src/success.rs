//! What is known of a prompt's success rate: decayed counts ([`SuccessStats`]) and windowed rates ([`Window`]).

use std::collections::BTreeMap;

use groupwise_core::{DataError, GroupOutcome, ParamError, PromptStats, State};
use serde::{Deserialize, Serialize};

use crate::power::power;

/// How fast counts forget: `fast` for prompts rolled out in a step, `slow` for the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    fast: f64,
    slow: f64,
}

impl Decay {
    /// Validates the factors; 1 forgets nothing, 0 everything.
    ///
    /// # Errors
    /// A factor outside [0, 1].
    pub fn new(fast: f64, slow: f64) -> Result<Self, ParamError> {
        for (key, value) in [("fast_decay", fast), ("slow_decay", slow)] {
            ParamError::check((0.0..=1.0).contains(&value), key, value, "in [0, 1]")?;
        }
        Ok(Self { fast, slow })
    }
}

/// Decayed counts of one prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Right rollouts, >= 0.
    pub right: f64,
    /// Wrong rollouts, >= 0.
    pub wrong: f64,
}

impl Counts {
    /// Parameters of the posterior Beta(right + 1, wrong + 1): the flat prior is added here and never stored,
    /// so that it does not decay.
    pub fn posterior(self) -> (f64, f64) {
        (self.right + 1.0, self.wrong + 1.0)
    }

    /// Mean of the posterior, `(right + 1) / (right + wrong + 2)`.
    pub fn mean(self) -> f64 {
        (self.right + 1.0) / (self.right + self.wrong + 2.0)
    }

    fn times(self, factor: f64) -> Self {
        Self {
            right: self.right * factor,
            wrong: self.wrong * factor,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            right: self.right + other.right,
            wrong: self.wrong + other.wrong,
        }
    }
}

/// Results of one prompt in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    /// Index of the task in the pool.
    pub task: usize,
    /// Successes, or the sum of partial rewards; in [0, `attempts`].
    pub right: f64,
    /// Rollouts that came back; 0 if all were aborted.
    pub attempts: u32,
}

impl Tally {
    /// Sums the scored rewards of a group; unscorable and aborted members are left out.
    ///
    /// # Errors
    /// A reward outside [0, 1] (NaN included): names task, member and value.
    pub fn of(outcome: &GroupOutcome) -> Result<Self, DataError> {
        let (mut right, mut attempts) = (0.0, 0);
        for (i, reward) in outcome.rewards.iter().enumerate() {
            let Some(reward) = *reward else { continue };
            if !(0.0..=1.0).contains(&reward) {
                return Err(DataError::value(
                    format!("task {}, trajectory {i}", outcome.task),
                    format!("reward {reward} is outside [0, 1]"),
                ));
            }
            right += reward;
            attempts += 1;
        }
        Ok(Self {
            task: outcome.task,
            right,
            attempts,
        })
    }
}

/// Decayed counts of right and wrong rollouts of every prompt of a pool.
///
/// # Formula
/// Once per training step: rolled out, `c <- fast * c + result`; idle, `c <- slow * c`.  Kept lazily: a prompt
/// stores the step of its last touch and is multiplied by `slow^(idle steps)` when read, so that a step costs
/// only the prompts it touched.  Equal to the eager form up to rounding.
///
/// # Edge cases
/// A prompt that was rolled out but whose members were all aborted decays fast and gains nothing.  Several
/// groups of one prompt in one step decay once and add up.  Steps may be skipped: they count as idle.
///
/// # Example
/// ```
/// use groupwise_sampler::success::{Decay, SuccessStats, Tally};
/// let decay = Decay::new(0.2, 0.999).unwrap();
/// let mut stats = SuccessStats::from_counts(vec![0.1, 9.0], vec![8.4, 0.2], decay)?;
/// stats.record(1, &[Tally { task: 0, right: 1.0, attempts: 8 }])?;
/// assert!((stats.right()[0] - 1.02).abs() < 1e-12 && (stats.wrong()[0] - 8.68).abs() < 1e-12);
/// assert!((stats.right()[1] - 8.991).abs() < 1e-12 && (stats.wrong()[1] - 0.1998).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SuccessStats {
    decay: Decay,
    memory: Memory,
}

/// What a checkpoint holds: counts as of each prompt's own last touch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// Last step recorded; none before the first.
    clock: Option<u64>,
    right: Vec<f64>,
    wrong: Vec<f64>,
    touched: Vec<u64>,
}

impl SuccessStats {
    /// Empty counts for a pool of `n_tasks`.
    pub fn new(n_tasks: usize, decay: Decay) -> Self {
        let memory = Memory {
            clock: None,
            right: vec![0.0; n_tasks],
            wrong: vec![0.0; n_tasks],
            touched: vec![0; n_tasks],
        };
        Self { decay, memory }
    }

    /// Given counts, as of step 0.
    ///
    /// # Errors
    /// Lengths that differ, a count that is negative or not finite.
    pub fn from_counts(right: Vec<f64>, wrong: Vec<f64>, decay: Decay) -> Result<Self, DataError> {
        let memory = Memory {
            clock: Some(0),
            touched: vec![0; right.len()],
            right,
            wrong,
        };
        memory.check()?;
        Ok(Self { decay, memory })
    }

    /// Number of tasks in the pool.
    pub fn n_tasks(&self) -> usize {
        self.memory.right.len()
    }

    /// Last step recorded; none before the first.
    pub fn clock(&self) -> Option<u64> {
        self.memory.clock
    }

    /// Counts of one task as of the last step; none outside the pool.
    pub fn counts(&self, task: usize) -> Option<Counts> {
        (task < self.n_tasks()).then(|| self.at(task, self.memory.clock.unwrap_or(0)))
    }

    /// Counts of every task as of the last step.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Counts> + '_ {
        let clock = self.memory.clock.unwrap_or(0);
        (0..self.n_tasks()).map(move |task| self.at(task, clock))
    }

    /// Decayed right rollouts of every task.
    pub fn right(&self) -> Vec<f64> {
        self.iter().map(|c| c.right).collect()
    }

    /// Decayed wrong rollouts of every task.
    pub fn wrong(&self) -> Vec<f64> {
        self.iter().map(|c| c.wrong).collect()
    }

    /// Posterior mean of every task.
    pub fn means(&self) -> Vec<f64> {
        self.iter().map(Counts::mean).collect()
    }

    /// Records the groups of one training step; prompts without a group idle.
    ///
    /// # Errors
    /// As [`SuccessStats::record`] and [`Tally::of`]; nothing is recorded then.
    pub fn observe(&mut self, step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        let tallies = outcomes.iter().map(Tally::of).collect::<Result<Vec<_>, _>>()?;
        self.record(step, &tallies)
    }

    /// Records the results of one training step; prompts without a tally idle.
    ///
    /// # Errors
    /// A task outside the pool, successes outside 0..attempts, a step that is not after the last one; nothing is
    /// recorded then.
    pub fn record(&mut self, step: u64, tallies: &[Tally]) -> Result<(), DataError> {
        if let Some(last) = self.memory.clock.filter(|last| step <= *last) {
            return Err(DataError::value(
                format!("step {step}"),
                format!("does not come after step {last}"),
            ));
        }
        let n_tasks = self.n_tasks();
        let mut gained: BTreeMap<usize, Counts> = BTreeMap::new();
        for tally in tallies {
            let attempts = f64::from(tally.attempts);
            if tally.task >= n_tasks {
                return Err(DataError::value(
                    format!("task {}", tally.task),
                    format!("is not in the pool of {n_tasks}"),
                ));
            }
            if !(0.0..=attempts).contains(&tally.right) {
                return Err(DataError::value(
                    format!("task {}", tally.task),
                    format!("{} successes are outside 0..{attempts}", tally.right),
                ));
            }
            let result = Counts {
                right: tally.right,
                wrong: attempts - tally.right,
            };
            let sum = gained.entry(tally.task).or_default();
            *sum = sum.plus(result);
        }
        for (task, result) in gained {
            // The step itself is not idle: the fast factor takes its place.
            let counts = self.at(task, step.saturating_sub(1)).times(self.decay.fast);
            let counts = counts.plus(result);
            self.memory.right[task] = counts.right;
            self.memory.wrong[task] = counts.wrong;
            self.memory.touched[task] = step;
        }
        self.memory.clock = Some(step);
        Ok(())
    }

    /// State for a checkpoint; exact.
    pub fn save(&self) -> State {
        // Counts are finite by construction, which is all that JSON asks for.
        serde_json::to_value(&self.memory).unwrap_or_default()
    }

    /// Restores [`SuccessStats::save`].
    ///
    /// # Errors
    /// Another form, another number of tasks, counts that are negative or not finite; nothing changes then.
    pub fn load(&mut self, state: &State) -> Result<(), DataError> {
        let loaded =
            Memory::deserialize(state).map_err(|e| DataError::value("success counts", e.to_string()))?;
        DataError::check_len("success counts", loaded.right.len(), self.n_tasks())?;
        loaded.check()?;
        self.memory = loaded;
        Ok(())
    }

    fn at(&self, task: usize, step: u64) -> Counts {
        let stored = Counts {
            right: self.memory.right[task],
            wrong: self.memory.wrong[task],
        };
        let idle = step.saturating_sub(self.memory.touched[task]);
        if idle == 0 || stored == Counts::default() {
            return stored;
        }
        stored.times(power(self.decay.slow, idle))
    }
}

impl Memory {
    fn check(&self) -> Result<(), DataError> {
        DataError::check_len("wrong", self.wrong.len(), self.right.len())?;
        DataError::check_len("touched", self.touched.len(), self.right.len())?;
        for (task, (right, wrong)) in self.right.iter().zip(&self.wrong).enumerate() {
            for count in [right, wrong] {
                if !(*count >= 0.0 && count.is_finite()) {
                    return Err(DataError::value(
                        format!("task {task}"),
                        format!("count {count} is not a finite number >= 0"),
                    ));
                }
            }
        }
        let clock = self.clock.unwrap_or(0);
        if let Some(task) = self.touched.iter().position(|step| *step > clock) {
            return Err(DataError::value(
                format!("task {task}"),
                format!("was touched at step {}, after step {clock}", self.touched[task]),
            ));
        }
        Ok(())
    }
}

/// What counts as a success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Success {
    /// Reward 1; 0 and -1 are failures, anything else is an error.
    Binary,
    /// Any reward above this threshold.
    Above(f64),
}

/// Estimated success rate of one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateEstimate {
    /// True once enough results were seen.
    pub known: bool,
    /// The rate; none without any result.
    pub rate: Option<f64>,
}

impl RateEstimate {
    /// The rate, if it is known.
    pub fn if_known(self) -> Option<f64> {
        self.rate.filter(|_| self.known)
    }
}

/// Success rate over the most recent results of a prompt.
///
/// # Formula
/// The mean of the last group if it has at least `window` results; otherwise the mean of the `window` most
/// recent results across visits (all, if there are fewer).  Known once `min_count` results were seen.  Neither
/// smoothed nor clipped: 0 and 1 are reached.
///
/// # Source
/// Authors' code of Knapsack RL, `liziniu/KnapsackRL` @ca5d5f5b `verl/utils/dataset/rl_dataset.py`.
///
/// # Example
/// ```
/// use groupwise_sampler::success::{Success, Window};
/// let window = Window::new(16, 8).unwrap();
/// let visits: [&[f64]; 3] =
///     [&[0., 0., 0., 0., 1., 0., 0., 0.], &[1., 0., 1., 0., 0., 0.], &[1., 1., 0., 0.]];
/// let estimate = window.estimate(0, visits, Success::Binary)?;
/// assert_eq!((estimate.known, estimate.rate), (true, Some(0.3125)));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    window: usize,
    min_count: u64,
}

impl Window {
    /// Validates the lengths, in results.
    ///
    /// # Errors
    /// `window` or `min_count` below 1.
    pub fn new(window: u32, min_count: u32) -> Result<Self, ParamError> {
        ParamError::check(window >= 1, "window", window, ">= 1")?;
        ParamError::check(min_count >= 1, "min_count", min_count, ">= 1")?;
        Ok(Self {
            window: window as usize,
            min_count: u64::from(min_count),
        })
    }

    /// Estimate from the rewards of each visit, oldest first.
    ///
    /// # Errors
    /// A reward that `success` cannot judge: names task and value.
    pub fn estimate<'a, V>(&self, task: usize, visits: V, success: Success) -> Result<RateEstimate, DataError>
    where
        V: IntoIterator<Item = &'a [f64]>,
        V::IntoIter: DoubleEndedIterator,
    {
        let (mut n_seen, mut n_used, mut n_right) = (0_u64, 0_usize, 0_usize);
        for (age, rewards) in visits.into_iter().rev().enumerate() {
            // A last group that fills the window is used whole.
            let room = match age {
                0 if rewards.len() >= self.window => rewards.len(),
                _ => self.window.saturating_sub(n_used),
            };
            for (i, reward) in rewards.iter().rev().enumerate() {
                let right = success.judge(task, *reward)?;
                if i < room {
                    n_used += 1;
                    n_right += usize::from(right);
                }
            }
            n_seen += rewards.len() as u64;
        }
        Ok(RateEstimate {
            known: n_seen >= self.min_count,
            rate: (n_used > 0).then(|| n_right as f64 / n_used as f64),
        })
    }

    /// Estimate from a prompt's history; results that the memory no longer holds still count towards
    /// `min_count`.  The memory's capacity should be at least `window`.
    ///
    /// # Errors
    /// As [`Window::estimate`].
    pub fn of(&self, prompt: &PromptStats<'_>, success: Success) -> Result<RateEstimate, DataError> {
        let visits = prompt.history.visits.iter().map(|visit| visit.rewards.as_slice());
        let estimate = self.estimate(prompt.task, visits, success)?;
        Ok(RateEstimate {
            known: estimate.known || prompt.history.n_results >= self.min_count,
            ..estimate
        })
    }
}

impl Success {
    fn judge(self, task: usize, reward: f64) -> Result<bool, DataError> {
        match self {
            Self::Binary if reward == 1.0 => Ok(true),
            Self::Binary if reward == 0.0 || reward == -1.0 => Ok(false),
            Self::Binary => Err(DataError::value(
                format!("task {task}"),
                format!("reward {reward} is not binary (1, or 0, or -1 for 0)"),
            )),
            Self::Above(_) if reward.is_nan() => {
                Err(DataError::value(format!("task {task}"), "reward is NaN"))
            }
            Self::Above(threshold) => Ok(reward > threshold),
        }
    }
}

#[cfg(test)]
#[path = "success_tests.rs"]
mod tests;
