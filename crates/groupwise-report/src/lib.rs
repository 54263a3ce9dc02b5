//! Reports of ablations: run folders in; one self-contained HTML file, Markdown and JSON out.
//!
//! A report is a pure function of the folders: no clock, no generator without a key, no external resource.  The
//! same folders give the same bytes.  Figures are inline SVG from a writer of our own ([`svg`]).
//!
//! ```text
//! read_ablation(dir) -> Ablation -> summarize -> Summary -> render_html | render_markdown | render_text | JSON
//! ```
//!
//! What is compared, and how: [`summary`](mod@summary).  How a folder may be damaged and still be read: [`read`].
//!
//! # Example
//! ```no_run
//! let paths = groupwise_report::write_report("runs/ablations/quickstart".as_ref())?;
//! # Ok::<(), groupwise_report::ReportError>(())
//! ```

mod calibration;
pub mod claim;
mod collect;
mod compare;
pub mod difficulty;
pub mod error;
pub mod figures;
mod format;
mod html;
pub mod manifest;
mod markdown;
pub mod read;
pub mod recipe;
pub mod reproduction;
mod say;
mod summarize;
pub mod summary;
pub mod svg;
mod text;
mod write;

pub use claim::{Claim, ClaimSummary, ClaimVerdict};
pub use error::ReportError;
pub use html::render_html;
pub use manifest::{CellRef, Manifest, RunInfo};
pub use markdown::render_markdown;
pub use read::{Ablation, Cell, CellState, Record, Timing, read_ablation};
pub use reproduction::{Reproduction, Standing};
pub use summarize::summarize;
pub use summary::Summary;
pub use text::render_text;
pub use write::{ReportPaths, write_report};
