//! Budget allocators: how many rollouts each prompt of a batch gets.

use groupwise_core::{BudgetAllocator, DataError, ParamError, registry};
use serde::{Deserialize, Serialize};

pub mod knapsack;
pub mod programme;
pub mod square_root;
pub mod uniform;

/// What building an allocator needs besides its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocatorContext {
    /// Mean group size of the run, at least 1.
    pub num_generations: u32,
}

registry! {
    /// Every budget allocator, `[allocator.<name>]` in a recipe.
    pub enum AllocatorSpec => dyn BudgetAllocator, AllocatorContext {
        /// The same group size for every prompt.
        Uniform = "uniform": uniform::UniformConfig,
        /// The group sizes that promise the largest gain in success.
        Knapsack = "knapsack": knapsack::KnapsackConfig,
        /// In proportion to the standard deviation of a prompt's reward.
        SquareRoot = "square-root": square_root::SquareRootConfig,
    }
}

/// Refuses a group size of 0, once for all allocators.
fn check_group(num_generations: u32) -> Result<(), ParamError> {
    ParamError::check(num_generations >= 1, "num_generations", num_generations, ">= 1")
}

/// The error of a batch without prompts.
fn check_batch(n_prompts: usize) -> Result<(), DataError> {
    if n_prompts == 0 {
        return Err(DataError::value("batch", "holds no prompt"));
    }
    Ok(())
}

/// Refuses a budget that does not cover what every prompt gets at least.
fn check_budget(budget: u32, least: u64) -> Result<u32, DataError> {
    match u64::from(budget).checked_sub(least) {
        Some(rest) => Ok(rest as u32),
        None => Err(DataError::value(
            "batch",
            format!("budget {budget} is below the {least} rollouts its prompts get at least"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::PromptMemory;

    use super::*;

    #[test]
    fn every_allocator_spends_the_budget_and_refuses_an_empty_batch() {
        let context = AllocatorContext { num_generations: 4 };
        let memory = PromptMemory::new(3, 16);
        let prompts = [0, 1, 2].map(|task| memory.stats(task));
        for name in AllocatorSpec::NAMES {
            let spec = AllocatorSpec::named(name).unwrap();
            let allocator = spec.build(&context).unwrap();
            let allocation = allocator.allocate(&prompts, 12).unwrap();
            assert_eq!(allocation.counts, [4, 4, 4], "{name}: nothing is known yet");
            assert_eq!((allocation.unspent, allocation.surplus), (0, 0));
            let error = allocator.allocate(&[], 12).unwrap_err();
            assert_eq!(error.to_string(), "batch: holds no prompt");
            let error = spec.build(&AllocatorContext { num_generations: 0 }).unwrap_err();
            assert_eq!(error.to_string(), "`num_generations` = 0: must be >= 1");
            assert!(!spec.formula().is_empty() && !spec.source().is_empty());
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<AllocatorSpec>(&text).unwrap(), spec);
        }
    }
}
