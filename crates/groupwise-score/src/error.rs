//! What can be wrong with rollouts that come from elsewhere, each with the line it stands on.

use std::io;

use groupwise_core::{DataError, ParamError};

/// Why scoring stopped.  Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// Options that make no sense, whatever the data.
    #[error("{0}")]
    Options(String),
    /// A parameter of a part out of range.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// A line that is no group, or a group that does not fit.
    #[error("line {line}{}: {what}", column.map(|c| format!(", column {c}")).unwrap_or_default())]
    Line {
        /// Line of the input.
        line: u64,
        /// Byte of the line, from 1, where the text itself is at fault.
        column: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// Data that a part refuses.
    #[error("{}: {part}: {source}", lines(*first, *last))]
    Part {
        /// First line of the batch.
        first: u64,
        /// Last line of the batch.
        last: u64,
        /// Which part, for example "advantage `grpo`".
        part: String,
        /// What it says; groups and trajectories count from 0 within the batch.
        source: DataError,
    },
    /// The input cannot be read.
    #[error("after line {after}: cannot read: {source}")]
    Read {
        /// Last line that was read.
        after: u64,
        /// Why.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Write(io::Error),
}

impl ScoreError {
    pub(crate) fn line(line: u64, what: impl Into<String>) -> Self {
        Self::Line {
            line,
            column: None,
            what: what.into(),
        }
    }

    /// True if options or data are at fault, false if it is the system.
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Write(_))
    }

    /// True if whoever reads the output went away, as `head` does.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn lines(first: u64, last: u64) -> String {
    if first == last {
        format!("line {first}")
    } else {
        format!("lines {first} to {last}")
    }
}
