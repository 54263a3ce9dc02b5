//! Rollouts as JSON lines to advantages, losses and gradients: whoever trains elsewhere can check numbers here.
//!
//! A line is one group of rollouts of one prompt ([`Line`]; `docs/score.schema.json` describes it, `docs/score.md`
//! explains it).  [`run`] reads groups from a stream, scores them with an estimator, an objective or both
//! ([`Options`]), and writes one line per group:
//!
//! | field | what |
//! |---|---|
//! | `id` | as given, else the number of the line |
//! | `advantages` | one per trajectory, or a list per trajectory, as the estimator computes them |
//! | `loss` | of the whole update batch the group belongs to |
//! | `loss_share` | the group's addend of it, where the objective can be split |
//! | `grad_logp`, `grad_entropy`, `grad_values` | derivatives of the batch's loss, a list per trajectory |
//! | `terms` | named figures of the batch |
//!
//! What a loss is divided by is counted over the update batch, [`Options::batch`] lines of input.  Numbers are
//! exact `f64` and printed so that they read back as the same; a result that is not finite is an error, never null.

mod batch;
mod error;
mod line;
mod output;
mod ragged;
mod scorer;
mod shape;
mod stream;

pub use error::ScoreError;
pub use line::{Id, JudgedSteps, Line, Steps, Tokens};
pub use ragged::{Flag, Given, Ragged};
pub use scorer::Options;
pub use stream::{Progress, run, run_watched};
