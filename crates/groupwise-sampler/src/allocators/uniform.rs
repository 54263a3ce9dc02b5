//! The same group size for every prompt.

use groupwise_core::{Allocation, BudgetAllocator, DataError, ParamError, Part, PromptStats};
use serde::{Deserialize, Serialize};

use super::{AllocatorContext, check_batch, check_group};
use crate::apportion::equal_parts;

/// Every prompt gets the same number of rollouts: the GRPO baseline.
///
/// # Formula
/// `floor(budget / M)` each; the remainder goes to the prompts of lower index, one each.  With the usual budget
/// `M * num_generations` every prompt gets `num_generations`.
///
/// # Edge cases
/// A budget below M leaves the last prompts without a rollout.
///
/// # Errors
/// An empty batch.
///
/// # Source
/// DeepSeekMath (arXiv 2402.03300): a fixed group size.
///
/// # Example
/// ```
/// use groupwise_core::PromptMemory;
/// use groupwise_sampler::{AllocatorContext, AllocatorSpec};
/// let uniform = AllocatorSpec::named("uniform").unwrap();
/// let uniform = uniform.build(&AllocatorContext { num_generations: 4 }).unwrap();
/// let memory = PromptMemory::new(3, 16);
/// let allocation = uniform.allocate(&[0, 1, 2].map(|task| memory.stats(task)), 11)?;
/// assert_eq!(allocation.counts, [4, 4, 3]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UniformConfig {}

impl Part<dyn BudgetAllocator, AllocatorContext> for UniformConfig {
    const SOURCE: &'static str = "arXiv 2402.03300 (GRPO): a fixed group size";

    fn formula(&self) -> String {
        "N_i = floor(budget / M), the remainder one each to the lower indices".to_owned()
    }

    fn build(&self, context: &AllocatorContext) -> Result<Box<dyn BudgetAllocator>, ParamError> {
        check_group(context.num_generations)?;
        Ok(Box::new(Uniform))
    }
}

#[derive(Debug)]
struct Uniform;

impl BudgetAllocator for Uniform {
    fn allocate(&self, prompts: &[PromptStats<'_>], budget: u32) -> Result<Allocation, DataError> {
        check_batch(prompts.len())?;
        Ok(Allocation {
            counts: equal_parts(prompts.len(), budget),
            unspent: 0,
            surplus: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::PromptMemory;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_sum_to_the_budget_and_differ_by_at_most_one(n in 1usize..40, budget in 0u32..1_000) {
            let memory = PromptMemory::new(n, 16);
            let prompts: Vec<_> = (0..n).map(|task| memory.stats(task)).collect();
            let allocation = Uniform.allocate(&prompts, budget).unwrap();
            prop_assert_eq!(allocation.counts.iter().sum::<u32>() + allocation.unspent, budget);
            prop_assert!(allocation.counts.windows(2).all(|w| w[0] == w[1] || w[0] == w[1] + 1));
            prop_assert!(allocation.counts[0] - allocation.counts[n - 1] <= 1);
        }
    }
}
