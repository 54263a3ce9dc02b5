//! Independent uniform batches.

use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State};
use serde::{Deserialize, Serialize};

use super::shuffled::check_tasks;
use super::{SamplerContext, check_pool};

/// Every batch is a uniform draw of distinct tasks, independent of all other batches.
///
/// # Formula
/// All ordered selections of `n` distinct tasks are equally likely.
///
/// # Edge cases
/// `n` beyond the pool gives the whole pool, in random order.
///
/// # Errors
/// An empty pool, when built.
///
/// # Source
/// Definition.  The memoryless counterpart of `shuffled`: some tasks come late by chance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UniformConfig {}

impl Part<dyn PromptSampler, SamplerContext> for UniformConfig {
    const SOURCE: &'static str = "definition: simple random sampling without replacement inside a batch";

    fn formula(&self) -> String {
        "batch = n distinct tasks, every selection equally likely, batches independent".to_owned()
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        Ok(Box::new(Uniform {
            n_tasks: check_pool(context)?,
        }))
    }
}

#[derive(Debug)]
struct Uniform {
    n_tasks: usize,
}

impl PromptSampler for Uniform {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        let mut rng = key.rng();
        let mut tasks: Vec<usize> = (0..self.n_tasks).collect();
        let n = n.min(self.n_tasks);
        for i in 0..n {
            let j = i + rng.below((self.n_tasks - i) as u64) as usize;
            tasks.swap(i, j);
        }
        tasks.truncate(n);
        Ok(tasks)
    }

    fn observe(&mut self, _step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        check_tasks(self.n_tasks, outcomes)
    }

    fn save(&self) -> State {
        State::Null
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        if state.is_null() {
            Ok(())
        } else {
            Err(DataError::value(
                "uniform sampler",
                "has no memory, but the state holds some",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batch_holds_distinct_tasks_of_the_pool(n_tasks in 1usize..30, n in 0usize..40, step in 0u64..1_000) {
            let context = SamplerContext { n_tasks, num_generations: 8 };
            let mut sampler = UniformConfig {}.build(&context).unwrap();
            let mut batch = sampler.next(n, Key::new(3, Stream::Sampler).step(step)).unwrap();
            prop_assert_eq!(batch.len(), n.min(n_tasks));
            batch.sort_unstable();
            batch.dedup();
            prop_assert_eq!(batch.len(), n.min(n_tasks));
            prop_assert!(batch.iter().all(|task| *task < n_tasks));
        }
    }

    #[test]
    fn a_foreign_state_is_refused() {
        let context = SamplerContext {
            n_tasks: 2,
            num_generations: 8,
        };
        let mut sampler = UniformConfig {}.build(&context).unwrap();
        assert!(sampler.load(&sampler.save()).is_ok());
        assert_eq!(
            sampler.load(&State::from(1)).unwrap_err().to_string(),
            "uniform sampler: has no memory, but the state holds some"
        );
    }
}
