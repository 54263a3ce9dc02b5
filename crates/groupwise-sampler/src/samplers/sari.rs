//! SARI: every task once, from easy to hard by how often the start model solves it.
//!
//! Symbols: s_i of n_i start-up attempts of task i succeed; its rate is s_i / n_i.

use std::cmp::Ordering;

use groupwise_core::seams::Surveyed;
use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State, Stream};
use serde::{Deserialize, Serialize};

use super::shuffled::check_tasks;
use super::{SamplerContext, check_pool};

/// Which end of the order comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The highest rate, as the paper.
    #[default]
    #[serde(alias = "easy_first")]
    EasyFirst,
    /// The lowest rate: an ablation.
    #[serde(alias = "hard_first")]
    HardFirst,
    /// No order by rate, but a uniform permutation: the ablation of the paper.
    Shuffled,
}

/// What becomes of tasks that no attempt solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsolved {
    /// Left out, as the paper.
    #[default]
    Drop,
    /// Kept, as the hardest ones: better where the test holds hard tasks, too.
    Keep,
}

/// The order cut into blocks that are trained one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// Blocks, >= 1, of as equal sizes as possible.
    pub count: u32,
    /// Batches drawn from a block before the next one, >= 1.
    pub batches: u32,
}

/// One pass over the tasks in the order of the start model's success rates, in consecutive batches.
///
/// # Formula
/// The order is [`order`] of the rates `s_i / n_i` over `attempts` answers per task of the start model, s counting
/// rewards above `success_threshold`; it is walked `passes` times and never shuffled again.  With `blocks` it is cut into
/// `count` blocks, block j the places from `floor(j L / count)` of L; `batches` batches walk round in each.
///
/// # Shapes
/// Rates have no unit; the attempts are billed as start-up.
///
/// # Edge cases
/// - The last batch is smaller if the last pass ends in it.
/// - A task none of whose answers could be scored counts as never solved.
/// - A block smaller than a batch is walked several times in it; an empty block, where more blocks than tasks are left,
///   hands over to the one before it.
/// - Task indices decide between equal rates.  Where the order of a pool tells its sources apart, shuffle the pool.
///
/// # Errors
/// `attempts`, `passes` or a number of `blocks` of 0, `success_threshold` not finite, when built.  When a batch is wanted: no survey yet, no
/// task left after dropping, or an order that is used up.
///
/// # Source
/// "SARI", arXiv 2504.15900; no code.  Certain are the order by the base model's pass rate and the removal of tasks
/// that were never solved; attempts, passes and the rule for ties are reconstructed.  A reward of 1 each for layout and
/// answer cannot tell one from the other: give the answer more weight, and set `success_threshold` between the weights.
///
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_sampler::samplers::sari::{Direction, Unsolved, order};
/// let key = Key::new(0, Stream::Sampler);
/// let (s, n) = ([0, 3, 8, 5, 3], [8; 5]);
/// assert_eq!(order(&s, &n, Direction::EasyFirst, Unsolved::Drop, key)?, [2, 3, 1, 4]);
/// assert_eq!(order(&s, &n, Direction::HardFirst, Unsolved::Keep, key)?, [0, 1, 4, 3, 2]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SariConfig {
    /// Which end of the order comes first.
    pub direction: Direction,
    /// What becomes of tasks that no attempt solved.
    pub unsolved: Unsolved,
    /// Answers per task of the start model, >= 1.
    pub attempts: u32,
    /// Walks through the order, >= 1.
    pub passes: u32,
    /// Blocks trained one after the other; absent: consecutive batches, each once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Blocks>,
    /// Reward that an answer must exceed to be a success.
    pub success_threshold: f64,
}

impl Default for SariConfig {
    fn default() -> Self {
        Self {
            direction: Direction::EasyFirst,
            unsolved: Unsolved::Drop,
            attempts: 8,
            passes: 1,
            blocks: None,
            success_threshold: 0.5,
        }
    }
}

impl Part<dyn PromptSampler, SamplerContext> for SariConfig {
    const SOURCE: &'static str = "arXiv 2504.15900 (SARI), reconstructed: order by the base model's pass rate, never \
        solved tasks dropped";

    fn formula(&self) -> String {
        let order = match self.direction {
            Direction::EasyFirst => "highest rate first",
            Direction::HardFirst => "lowest rate first",
            Direction::Shuffled => "in the order of one uniform permutation",
        };
        let unsolved = match self.unsolved {
            Unsolved::Drop => "tasks of rate 0 dropped",
            Unsolved::Keep => "tasks of rate 0 kept",
        };
        let walk = match self.blocks {
            None => format!("{} x every task", self.passes),
            Some(Blocks { count, batches }) => {
                format!("{} x {count} blocks of {batches} batches", self.passes)
            }
        };
        format!(
            "{walk}, {order}, {unsolved}; rate = share of rewards > {} in {} answers per task before step 1",
            self.success_threshold, self.attempts
        )
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        ParamError::check(self.attempts >= 1, "attempts", self.attempts, ">= 1")?;
        ParamError::check(self.passes >= 1, "passes", self.passes, ">= 1")?;
        if let Some(Blocks { count, batches }) = self.blocks {
            ParamError::check(count >= 1, "blocks.count", count, ">= 1")?;
            ParamError::check(batches >= 1, "blocks.batches", batches, ">= 1")?;
        }
        let threshold = self.success_threshold;
        ParamError::check(
            threshold.is_finite(),
            "success_threshold",
            threshold,
            "a finite number",
        )?;
        Ok(Box::new(Sari {
            n_tasks: check_pool(context)?,
            config: self.clone(),
            memory: Memory::default(),
        }))
    }
}

/// Order of a curriculum by success rate.
///
/// # Formula
/// The tasks sorted by `s_i / n_i`, falling for [`Direction::EasyFirst`] and rising for [`Direction::HardFirst`], equal
/// rates by index; for [`Direction::Shuffled`] a uniform permutation under `key`.  [`Unsolved::Drop`] leaves out those
/// with `s_i = 0`.
///
/// # Shapes
/// One count of successes and of attempts per task; the result holds task indices.
///
/// # Edge cases
/// Everything dropped: an empty order.  Rates are compared exactly, as fractions.
///
/// # Errors
/// Inputs of different length, a task without attempts or with more successes than attempts.
///
/// # Source
/// As [`SariConfig`], with an example.
pub fn order(
    successes: &[u64],
    attempts: &[u64],
    direction: Direction,
    unsolved: Unsolved,
    key: Key,
) -> Result<Vec<usize>, DataError> {
    DataError::check_len("attempts", attempts.len(), successes.len())?;
    for (i, (s, n)) in successes.iter().zip(attempts).enumerate() {
        let refuse = |what: String| Err(DataError::value(format!("task {i}"), what));
        if *n == 0 {
            return refuse("has no attempt".to_owned());
        }
        if s > n {
            return refuse(format!("has {s} successes of {n} attempts"));
        }
    }
    let mut order: Vec<usize> = (0..successes.len())
        .filter(|i| unsolved == Unsolved::Keep || successes[*i] > 0)
        .collect();
    // s_a / n_a against s_b / n_b without rounding.
    let product = |s: usize, n: usize| u128::from(successes[s]) * u128::from(attempts[n]);
    let by_rate = |a: &usize, b: &usize| -> Ordering { product(*a, *b).cmp(&product(*b, *a)) };
    match direction {
        // The sorts are stable and start in order of index.
        Direction::EasyFirst => order.sort_by(|a, b| by_rate(b, a)),
        Direction::HardFirst => order.sort_by(by_rate),
        Direction::Shuffled => key.rng().shuffle(&mut order),
    }
    Ok(order)
}

#[derive(Debug)]
struct Sari {
    n_tasks: usize,
    config: SariConfig,
    memory: Memory,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// Results of the survey; none before it.
    start: Option<Counts>,
    /// Root of the permutation; none before the first batch.
    order_seed: Option<u64>,
    /// Places of the order that were passed, over all passes.
    places: u64,
    /// Batches that were drawn, where the order is cut into blocks.
    #[serde(default)]
    batches: u64,
}

/// Successes and attempts of every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    successes: Vec<u64>,
    attempts: Vec<u64>,
}

impl Sari {
    fn order(&self, counts: &Counts, seed: u64) -> Result<Vec<usize>, DataError> {
        let key = Key::new(seed, Stream::Sampler).named("order", 0);
        let SariConfig {
            direction, unsolved, ..
        } = self.config;
        order(&counts.successes, &counts.attempts, direction, unsolved, key)
    }

    /// The next batch, where the order is cut into blocks.
    fn block_batch(&self, order: &[usize], blocks: Blocks, n: usize) -> Result<Vec<usize>, DataError> {
        let (count, batches) = (u64::from(blocks.count), u64::from(blocks.batches));
        let passed = self.memory.batches / batches;
        if passed >= count * u64::from(self.config.passes) {
            let what = format!(
                "the order is used up: {count} blocks of {batches} batches in {} passes; set fewer steps, or more \
                 `passes` or `blocks.batches`",
                self.config.passes
            );
            return Err(DataError::value("sari sampler", what));
        }
        let edge = |block: u64| (u128::from(block) * order.len() as u128 / u128::from(count)) as usize;
        let block = passed % count;
        let end = edge(block + 1).max(1);
        let start = edge(block).min(end - 1);
        let members = order.get(start..end).unwrap_or(order);
        let first = (self.memory.batches % batches) as usize * n;
        Ok((first..first + n).map(|i| members[i % members.len()]).collect())
    }
}

impl PromptSampler for Sari {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        let refuse = |what: String| Err(DataError::value("sari sampler", what));
        let Some(counts) = &self.memory.start else {
            return refuse("has no start-up survey to order the tasks by".to_owned());
        };
        let seed = self.memory.order_seed.unwrap_or_else(|| key.bits());
        let order = self.order(counts, seed)?;
        if order.is_empty() {
            return refuse(format!(
                "no task is left: none of {} was ever solved by the start model",
                self.n_tasks
            ));
        }
        if let Some(blocks) = self.config.blocks {
            let batch = self.block_batch(&order, blocks, n)?;
            self.memory.order_seed = Some(seed);
            self.memory.batches += 1;
            return Ok(batch);
        }
        let length = order.len() as u64;
        let end = length * u64::from(self.config.passes);
        let first = self.memory.places;
        let last = end.min(first.saturating_add(n as u64));
        if first >= end && n > 0 {
            return refuse(format!(
                "the order is used up: {length} tasks in {} passes; set fewer steps or more `passes`",
                self.config.passes
            ));
        }
        self.memory.order_seed = Some(seed);
        self.memory.places = last;
        Ok((first..last).map(|i| order[(i % length) as usize]).collect())
    }

    fn observe(&mut self, _: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        check_tasks(self.n_tasks, outcomes)
    }

    fn survey(&self, step: u64) -> Option<u32> {
        (step == 1).then_some(self.config.attempts)
    }

    fn observe_survey(&mut self, _: u64, results: &[Surveyed]) -> Result<(), DataError> {
        DataError::check_len("survey", results.len(), self.n_tasks)?;
        // A task without a scorable answer: one failed attempt.
        let (mut successes, mut attempts) = (vec![0; self.n_tasks], vec![1; self.n_tasks]);
        for result in results {
            check_tasks(self.n_tasks, std::slice::from_ref(&result.outcome))?;
            let task = result.outcome.task;
            let scored = result.outcome.scored();
            let solved = scored.iter().filter(|r| **r > self.config.success_threshold);
            successes[task] = solved.count() as u64;
            attempts[task] = scored.len().max(1) as u64;
        }
        self.memory.start = Some(Counts { successes, attempts });
        Ok(())
    }

    fn save(&self) -> State {
        serde_json::to_value(&self.memory).unwrap_or_default()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        let loaded =
            Memory::deserialize(state).map_err(|e| DataError::value("sari sampler", e.to_string()))?;
        if let Some(counts) = &loaded.start {
            DataError::check_len("sari successes", counts.successes.len(), self.n_tasks)?;
            self.order(counts, 0)?;
        }
        self.memory = loaded;
        Ok(())
    }

    fn estimate(&self, task: usize) -> Option<f64> {
        let counts = self.memory.start.as_ref()?;
        let (s, n) = (counts.successes.get(task)?, counts.attempts.get(task)?);
        Some(*s as f64 / *n as f64)
    }
}

#[cfg(test)]
#[path = "sari_tests.rs"]
mod tests;
