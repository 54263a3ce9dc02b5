//! Errors and their exit codes: 1 a run failed, 2 bad input, 130 interrupted.

use std::process::ExitCode;

use groupwise_core::ParamError;
use groupwise_pipeline::PipelineError;
use groupwise_recipe::RecipeError;
use groupwise_report::ReportError;
use groupwise_score::ScoreError;
use groupwise_verify::VerifyError;

/// What a command can end with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A recipe that cannot be used.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A value out of range.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A run that failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A report that could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Rollouts that cannot be scored.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// Responses that cannot be judged.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Verifiers that do not agree with rows they must agree with.
    #[error("rows of tier `core` disagree, or families are unknown; the report names them")]
    Disagree,
    /// A file or process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Bad usage.
    #[error("{0}")]
    Usage(String),
    /// Some cells of an ablation failed; the others are kept.
    #[error("{failed} of {total} cells failed; the same command tries them again")]
    Cells {
        /// How many failed.
        failed: usize,
        /// Of how many.
        total: usize,
    },
    /// Ctrl-C.
    #[error("interrupted; the same command goes on where it stopped")]
    Interrupted,
}

impl CliError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Recipe(_) | Self::Param(_) | Self::Usage(_) | Self::Report(_) => 2,
            Self::Score(error) => {
                if error.is_bad_input() {
                    2
                } else {
                    1
                }
            }
            Self::Verify(error) => {
                if error.is_bad_input() {
                    2
                } else {
                    1
                }
            }
            Self::Pipeline(PipelineError::Tasks(_) | PipelineError::Param(_)) => 2,
            Self::Pipeline(_) | Self::Io { .. } | Self::Cells { .. } | Self::Disagree => 1,
            Self::Interrupted => 130,
        })
    }
}
