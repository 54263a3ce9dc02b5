//! Responses as JSON lines to verdicts: whoever trains elsewhere can judge answers here, and see why.
//!
//! A line is one response with what it is judged by; [`run`] reads lines from a stream and writes a verdict for each.
//! Columns are those of TRL's reward functions, or of the rows in [`check`]'s files:
//!
//! | field in | what |
//! |---|---|
//! | `completion` (or `response`) | text, or a list of messages of which the assistant's last one is judged |
//! | `prompt` | text or messages; may be missing |
//! | `solution` (or `answer`, `reference`, `gold`) | the reference: text, or any JSON that the family reads |
//! | `id` | a text or a number, given back; else the number of the line |
//! | others | columns of the task: `golds`, `options`, `numbers`, `target`, `functions`, `accepted`, .. |
//!
//! | field out | what |
//! |---|---|
//! | `id` | as given |
//! | `score` | the reward; null where there is nothing to judge by, which is not 0 |
//! | `reason` | the step that decided |
//! | `extracted`, `normal_form`, `reference` | what was read and compared; only if asked for ([`Options::explain`]) |
//!
//! [`check`] runs the verifiers over rows whose verdicts are known, and counts where they agree.

mod check;
mod error;
mod family;
mod row;
mod stream;

pub use check::{Agreement, CHECKED, Cell, Disagreement, FamilyReport, check, check_rows};
pub use error::VerifyError;
pub use family::{FAMILIES, Family, settings};
pub use row::Row;
pub use stream::{Options, Progress, run};
