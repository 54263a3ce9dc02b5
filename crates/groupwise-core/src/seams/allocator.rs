use crate::error::DataError;
use crate::memory::PromptStats;

/// How many rollouts each prompt of a batch gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Group size per prompt, in the order given.
    pub counts: Vec<u32>,
    /// Rollouts that found no place (all prompts at their cap).
    pub unspent: u32,
    /// Rollouts that left the method's optimization and went to its fallback pool; 0 where a method has none.
    ///
    /// For the log: `counts` holds them already.
    pub surplus: u32,
}

/// Splits the rollout budget of a batch among its prompts.
///
/// *Implementers*: pure; `counts` and `unspent` sum to the budget.
/// *Called* once per batch, after the sampler, before the rollout.
///
/// # Example
/// ```
/// use groupwise_core::{Allocation, BudgetAllocator, DataError, PromptMemory, PromptStats};
///
/// /// Everything to the first prompt.
/// #[derive(Debug)]
/// struct First;
///
/// impl BudgetAllocator for First {
///     fn allocate(&self, prompts: &[PromptStats<'_>], budget: u32) -> Result<Allocation, DataError> {
///         let counts = (0..prompts.len()).map(|i| if i == 0 { budget } else { 0 }).collect();
///         Ok(Allocation { counts, unspent: 0, surplus: 0 })
///     }
/// }
///
/// let memory = PromptMemory::new(2, 16);
/// let allocation = First.allocate(&[memory.stats(0), memory.stats(1)], 16)?;
/// assert_eq!(allocation.counts, [16, 0]);
/// # Ok::<(), DataError>(())
/// ```
pub trait BudgetAllocator: std::fmt::Debug + Send + Sync {
    /// Group sizes for these prompts.
    ///
    /// # Errors
    /// An empty batch, a budget below the least the method may hand out, results it cannot use.
    fn allocate(&self, prompts: &[PromptStats<'_>], budget: u32) -> Result<Allocation, DataError>;

    /// Success rate by which the method splits, where it has one for this prompt (for calibration reports).
    fn estimate(&self, prompt: &PromptStats<'_>) -> Option<f64> {
        let _ = prompt;
        None
    }
}
