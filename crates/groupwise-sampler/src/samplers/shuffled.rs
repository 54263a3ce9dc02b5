//! Shuffled epochs: every task once, in random order, then again in a new order.

use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State, Stream};
use serde::{Deserialize, Serialize};

use super::{SamplerContext, check_pool};

/// Shuffled epochs, the usual baseline.
///
/// # Formula
/// Epoch e visits the tasks in the order of a uniform permutation keyed by (seed, e); the seed is taken from the
/// key of the very first call.  So two arms of a run seed see the same order however many prompts per step they
/// use up (refills, other batch sizes): they stay paired.
///
/// # Edge cases
/// A batch may cross the end of an epoch.  As long as it asks for no more tasks than the pool holds it never
/// holds a task twice: tasks of the new epoch that are already in it wait for the next batch, and each epoch still
/// holds every task exactly once, in an order that is uniform by itself.  A larger batch repeats tasks.
///
/// # Errors
/// An empty pool, when built.
///
/// # Source
/// Common practice (TRL's and verl's loaders shuffle per epoch; both drop or pad the last batch, this does not).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShuffledConfig {}

impl Part<dyn PromptSampler, SamplerContext> for ShuffledConfig {
    const SOURCE: &'static str = "common practice: a new uniform order per epoch";

    fn formula(&self) -> String {
        "epoch e: every task once, in the order of a uniform permutation keyed by (seed, e)".to_owned()
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        Ok(Box::new(Shuffled {
            n_tasks: check_pool(context)?,
            memory: Memory::default(),
        }))
    }
}

#[derive(Debug)]
struct Shuffled {
    n_tasks: usize,
    memory: Memory,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// Root of all permutations; none before the first call.
    seed: Option<u64>,
    /// Epochs begun.
    epoch: u64,
    /// Tasks of the current epoch that are still to come, in order.
    remaining: Vec<usize>,
}

impl PromptSampler for Shuffled {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        let seed = *self.memory.seed.get_or_insert_with(|| key.bits());
        let mut batch = Vec::with_capacity(n);
        while batch.len() < n {
            if self.memory.remaining.is_empty() {
                let missing = n - batch.len();
                let earlier: &[usize] = if n <= self.n_tasks { &batch } else { &[] };
                let key = epoch_key(seed, self.memory.epoch);
                self.memory.remaining = new_epoch(self.n_tasks, key, earlier, missing);
                self.memory.epoch += 1;
            }
            let taken = self.memory.remaining.len().min(n - batch.len());
            batch.extend(self.memory.remaining.drain(..taken));
        }
        Ok(batch)
    }

    fn observe(&mut self, _step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        check_tasks(self.n_tasks, outcomes)
    }

    fn save(&self) -> State {
        serde_json::to_value(&self.memory).unwrap_or_default()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        let loaded =
            Memory::deserialize(state).map_err(|e| DataError::value("shuffled sampler", e.to_string()))?;
        let mut seen = vec![false; self.n_tasks];
        for task in &loaded.remaining {
            match seen.get_mut(*task) {
                Some(seen) if !*seen => *seen = true,
                _ => {
                    return Err(DataError::value(
                        "shuffled sampler",
                        format!(
                            "task {task} stands twice in the epoch or is not in the pool of {}",
                            self.n_tasks
                        ),
                    ));
                }
            }
        }
        self.memory = loaded;
        Ok(())
    }
}

/// Key of the permutation of an epoch.
pub(super) fn epoch_key(seed: u64, epoch: u64) -> Key {
    Key::new(seed, Stream::Sampler).named("epoch", epoch)
}

/// Order of an epoch.  Its first `missing` places complete a batch that holds `earlier`: those tasks move behind
/// them, in their own order.
pub(super) fn new_epoch(n_tasks: usize, key: Key, earlier: &[usize], missing: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n_tasks).collect();
    key.rng().shuffle(&mut order);
    if earlier.is_empty() {
        return order;
    }
    let mut held = vec![false; n_tasks];
    for task in earlier {
        held[*task] = true;
    }
    let (mut first, mut later) = (Vec::with_capacity(n_tasks), Vec::new());
    for task in order {
        if first.len() < missing && !held[task] {
            first.push(task);
        } else {
            later.push(task);
        }
    }
    first.append(&mut later);
    first
}

/// Refuses outcomes of tasks outside the pool.
pub(super) fn check_tasks(n_tasks: usize, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
    match outcomes.iter().find(|o| o.task >= n_tasks) {
        None => Ok(()),
        Some(outcome) => Err(DataError::value(
            format!("task {}", outcome.task),
            format!("is not in the pool of {n_tasks}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sampler(n_tasks: usize) -> Box<dyn PromptSampler> {
        let context = SamplerContext {
            n_tasks,
            num_generations: 8,
        };
        ShuffledConfig {}.build(&context).unwrap()
    }

    fn key(step: u64) -> Key {
        Key::new(1, Stream::Sampler).step(step)
    }

    proptest! {
        #[test]
        fn every_task_comes_once_per_epoch(n_tasks in 1usize..20, sizes in prop::collection::vec(0usize..25, 1..12)) {
            let mut sampler = sampler(n_tasks);
            let mut drawn = Vec::new();
            for (step, n) in sizes.iter().enumerate() {
                let batch = sampler.next(*n, key(step as u64)).unwrap();
                prop_assert_eq!(batch.len(), *n);
                drawn.extend(batch);
            }
            for epoch in drawn.chunks_exact(n_tasks) {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                prop_assert!(epoch.iter().enumerate().all(|(i, task)| i == *task));
            }
        }

        #[test]
        fn batch_no_larger_than_the_pool_holds_no_task_twice(n_tasks in 1usize..20, n in 0usize..20, steps in 1u64..12) {
            let n = n.min(n_tasks);
            let mut sampler = sampler(n_tasks);
            for step in 0..steps {
                let mut batch = sampler.next(n, key(step)).unwrap();
                batch.sort_unstable();
                batch.dedup();
                prop_assert_eq!(batch.len(), n);
            }
        }

        #[test]
        fn order_does_not_depend_on_batch_sizes_that_divide_the_pool(epochs in 1usize..4) {
            let (mut small, mut large) = (sampler(12), sampler(12));
            let mut a = small.next(3, key(0)).unwrap();
            for step in 1..4 * epochs {
                a.extend(small.next(3, key(step as u64)).unwrap());
            }
            let mut b = large.next(6, key(0)).unwrap();
            for step in 1..2 * epochs {
                b.extend(large.next(6, key(100 + step as u64)).unwrap());
            }
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn refused_data_is_named() {
        let mut sampler = sampler(3);
        let outcome = GroupOutcome {
            task: 3,
            rewards: vec![],
            lengths: vec![],
        };
        let error = sampler.observe(1, &[outcome]).unwrap_err();
        assert_eq!(error.to_string(), "task 3: is not in the pool of 3");
        for remaining in [vec![0, 0], vec![3]] {
            let bad = serde_json::json!({ "seed": 1, "epoch": 1, "remaining": remaining });
            let error = sampler.load(&bad).unwrap_err().to_string();
            assert!(
                error.contains("stands twice in the epoch or is not in the pool of 3"),
                "{error}"
            );
        }
        let error = sampler.load(&State::Null).unwrap_err().to_string();
        assert_eq!(
            error,
            "shuffled sampler: invalid type: null, expected struct Memory"
        );
    }
}
