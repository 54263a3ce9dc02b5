//! Why a report could not be made: always with the file, and the line where there is one.

use std::path::PathBuf;

use groupwise_core::event::EVENT_VERSION;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The folder is neither a run nor an ablation.
    #[error(
        "`{dir}` is no run: it holds neither `ablation.json` (an ablation) nor `run.json` (a single run)"
    )]
    NotARun {
        /// The folder.
        dir: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read`, `write`, `create` or `rename`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{path}`: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A line does not hold what it should.
    #[error("`{path}`, line {line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A result was asked for before every cell had finished.
    #[error("`{name}` has {cells} cells that have not finished, so that nothing can be judged")]
    Unfinished {
        /// The ablation.
        name: String,
        /// How many.
        cells: usize,
    },
    /// The events were written by a newer version.
    #[error("`{path}` holds events of version {found}; this build reads versions up to {EVENT_VERSION}")]
    Version {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u64,
    },
}
