use crate::State;
use crate::error::DataError;
use crate::key::Key;
use crate::task::Task;
use crate::trajectory::GroupOutcome;

/// Results of one task in a survey: rollouts that a sampler asked for and nothing is trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Surveyed {
    /// Scores and lengths.
    pub outcome: GroupOutcome,
    /// Tokens of each member, in the order of the scores.
    pub completions: Vec<Vec<u32>>,
}

/// Chooses the prompts of a batch.
///
/// *Implementers*: draws come from the key only; `save` and `load` carry all memory, so that a resumed run
/// chooses what an uninterrupted one would have chosen.
/// *Called* by the pipeline: `prepare` once, before anything else; at the start of a training step `survey`, and where it asks for rollouts
/// `observe_survey` with their results (they are billed); `next` before each generation batch (several times per step
/// when a filter refills, each with its own key); `observe` once per training step with every group rolled out in it.
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
    /// Sees the pool and the number of training steps of the run.
    ///
    /// # Errors
    /// A task without what the method orders by.
    fn prepare(&mut self, tasks: &[Task], steps: u64) -> Result<(), DataError> {
        let _ = (tasks, steps);
        Ok(())
    }

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

    /// Rollouts of *every* task of the pool that this sampler needs before the batch of `step` (from 1) is chosen.
    ///
    /// They are billed as start-up before the first step and as refreshes later.
    fn survey(&self, step: u64) -> Option<u32> {
        let _ = step;
        None
    }

    /// Learns from a survey.
    ///
    /// # Errors
    /// As [`PromptSampler::observe`].
    fn observe_survey(&mut self, step: u64, results: &[Surveyed]) -> Result<(), DataError> {
        let _ = (step, results);
        Ok(())
    }

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
