//! The loop: a validated [`Plan`](groupwise_recipe::Plan) in, a run folder of events and checkpoints out.
//!
//! One training step: sampler, allocator, scaffold, rollout, verifier, shapers, filter, estimator, objective,
//! learner; then everything that has memory observes the groups.  The loop knows the seams and no method.
//!
//! **Invariants.**  Events carry no wall-clock time and a checkpoint remembers how far each log was written, so
//! a run that was killed at any moment and started again leaves the same bytes as one that was not.  Every
//! rollout is billed under its kind.  A run folder is named by the content of everything that determines it.

mod assemble;
mod error;
mod evaluate;
mod folder;
mod generate;
mod identity;
mod metrics;
mod repair;
mod run;
mod update;
mod warm_start;

pub use error::PipelineError;
pub use folder::{Checkpoint, RunFolder, RunInfo, Timing};
pub use identity::{NUMERICS_VERSION, Prepared, run_id};
pub use run::{Clock, Ending, Pair, PolicyFactory, Run, RunOptions, Trained};
