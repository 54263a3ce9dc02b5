use crate::State;
use crate::error::DataError;
use crate::key::Key;
use crate::trajectory::GroupOutcome;

/// Chooses the prompts of a batch.
///
/// *Implementers*: draws come from the key only; `save` and `load` carry all memory, so that a resumed run
/// chooses what an uninterrupted one would have chosen.
/// *Called* by the pipeline: `next` before each generation batch (several times per step when a filter refills,
/// each with its own key), `observe` once per training step with every group rolled out in it.
///
/// # Example
/// ```
/// use groupwise_core::{DataError, GroupOutcome, Key, PromptSampler, State, Stream};
///
/// /// Round robin.
/// #[derive(Debug)]
/// struct RoundRobin { n_tasks: usize, cursor: usize }
///
/// impl PromptSampler for RoundRobin {
///     fn next(&mut self, n: usize, _: Key) -> Result<Vec<usize>, DataError> {
///         let chosen = (self.cursor..self.cursor + n).map(|i| i % self.n_tasks).collect();
///         self.cursor += n;
///         Ok(chosen)
///     }
///     fn observe(&mut self, _: u64, _: &[GroupOutcome]) -> Result<(), DataError> {
///         Ok(())
///     }
///     fn save(&self) -> State {
///         self.cursor.into()
///     }
///     fn load(&mut self, state: &State) -> Result<(), DataError> {
///         let cursor = state.as_u64().ok_or_else(|| DataError::value("round robin", "state is no number"))?;
///         self.cursor = cursor as usize;
///         Ok(())
///     }
/// }
///
/// let mut sampler = RoundRobin { n_tasks: 3, cursor: 0 };
/// assert_eq!(sampler.next(4, Key::new(0, Stream::Sampler))?, [0, 1, 2, 0]);
/// # Ok::<(), DataError>(())
/// ```
pub trait PromptSampler: std::fmt::Debug + Send {
    /// Indices of `n` tasks (fewer only if the method says so).
    ///
    /// # Errors
    /// An empty pool.
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError>;

    /// Learns from the groups of one training step.
    ///
    /// # Errors
    /// A task outside the pool, rewards the method cannot use.
    fn observe(&mut self, step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError>;

    /// All memory.
    fn save(&self) -> State;

    /// Restores [`PromptSampler::save`].
    ///
    /// # Errors
    /// A state that does not fit.
    fn load(&mut self, state: &State) -> Result<(), DataError>;

    /// Estimated success rate of a task, where the method keeps one (for calibration reports).
    fn estimate(&self, task: usize) -> Option<f64> {
        let _ = task;
        None
    }
}
