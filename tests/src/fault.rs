//! Why a case gave no answer.

use groupwise_core::{DataError, ParamError};
use groupwise_stats::StatsError;

/// Why a case gave no answer; only a refusal can be what a case expects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The method, or the reading of a value, refused the case: right where `expect.error` stands.
    #[error("refused: {0}")]
    Refused(String),
    /// The adapter cannot run the case: a failure, whatever is expected.
    #[error("{0}")]
    Adapter(String),
}

impl Fault {
    /// A refusal, in words.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    /// A case the adapter does not understand, in words.
    pub fn adapter(why: impl Into<String>) -> Self {
        Self::Adapter(why.into())
    }
}

impl From<ParamError> for Fault {
    fn from(error: ParamError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<StatsError> for Fault {
    fn from(error: StatsError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<DataError> for Fault {
    fn from(error: DataError) -> Self {
        Self::Refused(error.to_string())
    }
}
