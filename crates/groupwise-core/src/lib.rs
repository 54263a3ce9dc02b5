//! The common ground of `groupwise`: data types, keyed randomness, group statistics, events and the seams.
//!
//! A training step moves data through ten seams ([`seams`]); this crate holds what crosses them and nothing
//! that does the work.  It performs no I/O, reads no clock and holds no global state.
//!
//! | module | holds |
//! |---|---|
//! | [`task`], [`trajectory`] | what is asked, and what a policy did about it |
//! | [`architecture`] | what a policy and its optimizer look like, as data |
//! | [`batch`] | ragged token batches and the views objectives see |
//! | [`turns`] | how token losses of rollouts made of turns are averaged |
//! | [`reward`] | what reward shapers and advantage estimators see |
//! | [`answers`] | answers of a group: clusters of equal ones, semantic entropy |
//! | [`shared_prefix`] | a group's answers behind one copy of their prompt |
//! | [`ranks`] | ranks inside a group, with a rule for ties |
//! | [`key`] | counter-based randomness by key |
//! | [`stats`] | the one implementation of group statistics |
//! | [`memory`] | per-prompt history of results |
//! | [`event`] | the closed set of events a run consists of |
//! | [`schedule`] | values that change with training progress |
//! | [`dense`] | small vectors and matrices |
//! | [`seams`] | the traits |
//! | [`part`] | named parts and the closed list of each seam |

pub mod answers;
pub mod architecture;
pub mod batch;
pub mod dense;
pub mod error;
pub mod event;
pub mod key;
pub mod memory;
pub mod part;
pub mod ranks;
pub mod reward;
pub mod schedule;
pub mod seams;
pub mod shared_prefix;
pub mod spans;
pub mod stats;
pub mod task;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trajectory;
pub mod turns;

pub use batch::{Advantages, Denominators, Evaluation, Frozen, TokenBatch, TokenGrads, TokenView};
pub use error::{DataError, ParamError};
pub use event::Event;
pub use key::{Key, Stream};
pub use memory::{PromptMemory, PromptStats};
pub use part::Part;
pub use reward::{GroupRewards, JudgedStep, Needs, ProcessRewards, RewardBatch};
pub use seams::{
    AdvantageEstimator, Allocation, BudgetAllocator, Environment, GroupFilter, Learner, Objective, Policy,
    PromptSampler, RewardShaper, Scaffold, Schedule, Scope, Score, Verifier, World,
};
pub use spans::{Offsets, Spans};
pub use stats::{Centre, Spread};
pub use task::Task;
pub use trajectory::{GroupOutcome, StopReason, Trajectory, Turn};
pub use turns::TurnAggregation;

/// State of a stateful part, as saved in a checkpoint.  JSON with exact round trip of every finite `f64`.
pub type State = serde_json::Value;
