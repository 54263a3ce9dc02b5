//! What can stop a run.

use std::path::PathBuf;

use groupwise_core::seams::PolicyError;
use groupwise_core::{DataError, ParamError};
use groupwise_rollout::RolloutError;

/// Why a run stopped.  What was written before stays readable, and the run can be started again.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A part could not be built.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A file of the run folder.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the run folder that cannot be understood.
    #[error("{}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process works on this run.
    #[error("{}: another process is working on this run", path.display())]
    Busy {
        /// The run folder.
        path: PathBuf,
    },
    /// The tasks could not be made or read.
    #[error("tasks: {0}")]
    Tasks(DataError),
    /// The policy could not be made.
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
    /// Something failed inside a step.
    #[error("step {step}, {phase}: {source}")]
    Step {
        /// Training step, from 1; 0 is before training.
        step: u64,
        /// What the step was doing.
        phase: &'static str,
        /// What failed.
        source: StepError,
    },
    /// A group filter admitted too little.
    #[error(
        "step {step}: after {batches} generation batches only {found} of {wanted} groups were admitted by the filter"
    )]
    Starved {
        /// Training step.
        step: u64,
        /// Generation batches made.
        batches: u32,
        /// Groups admitted.
        found: usize,
        /// Groups wanted.
        wanted: usize,
    },
}

/// What failed inside a step.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Data a part could not use.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Policy or learner.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Rollout engine.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}

/// Puts a step and a phase to an error.
pub(crate) fn at<E: Into<StepError>>(step: u64, phase: &'static str) -> impl FnOnce(E) -> PipelineError {
    move |source| PipelineError::Step {
        step,
        phase,
        source: source.into(),
    }
}
