//! What can be wrong with rows that come from elsewhere, each with the line it stands on.

use std::io;
use std::path::PathBuf;

use groupwise_core::ParamError;

/// Why verifying stopped.  Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A family that is not there.
    #[error("unknown family `{name}`; known are {}", known.join(", "))]
    UnknownFamily {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Settings a family does not take.
    #[error("family `{family}`: {what}")]
    Settings {
        /// Which family.
        family: String,
        /// What is wrong.
        what: String,
    },
    /// A setting that cannot be read.
    #[error("setting `{pair}`: {what}")]
    Pair {
        /// As given.
        pair: String,
        /// What is wrong.
        what: String,
    },
    /// A setting out of range.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A line that is no row.
    #[error("{}line {line}: {what}", file.as_ref().map(|f| format!("{}, ", f.display())).unwrap_or_default())]
    Line {
        /// File, where it is one.
        file: Option<PathBuf>,
        /// Line of the input.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The input cannot be read.
    #[error("after line {after}: cannot read: {source}")]
    Read {
        /// Last line that was read.
        after: u64,
        /// Why.
        source: io::Error,
    },
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder without rows.
    #[error("{}: holds no .jsonl file", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
}

impl VerifyError {
    pub(crate) fn line(line: u64, what: impl Into<String>) -> Self {
        Self::Line {
            file: None,
            line,
            what: what.into(),
        }
    }

    /// True if settings or data are at fault, false if it is the system.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Write(_))
    }

    /// True if whoever reads the output went away, as `head` does.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }
}
