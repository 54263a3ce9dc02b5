//! The seams: one small trait for each place where methods differ.
//!
//! | trait | who calls it, when | memory |
//! |---|---|---|
//! | [`PromptSampler`] | pipeline, before and after each batch | own |
//! | [`BudgetAllocator`] | pipeline, per batch | none |
//! | [`GroupRepair`] | pipeline, per generation batch and per step | own |
//! | [`GroupFilter`] | pipeline, per rolled-out group | none |
//! | [`Scaffold`] | pipeline, before and between rounds of a rollout | argument |
//! | [`World`], [`Environment`] | rollout, per episode and turn | own, discarded |
//! | [`Verifier`], [`RewardShaper`] | pipeline, per trajectory and per group, in recipe order | none |
//! | [`AdvantageEstimator`] | pipeline, per update batch | none |
//! | [`Objective`] | learner through the pipeline, per view of an update batch | none |
//! | [`Schedule`] | pipeline, per optimizer step | own |
//! | [`Policy`], [`Learner`] | rollout; pipeline | own |
//!
//! Implementers without memory are pure: `&self`, no generator, no clock.  Implementers with memory save and
//! load all of it, so that a resumed run equals an uninterrupted one bit for bit.

mod advantage;
mod allocator;
mod environment;
mod features;
mod filter;
mod objective;
mod policy;
mod repair;
mod reward;
mod sampler;
mod scaffold;
mod schedule;

pub use advantage::AdvantageEstimator;
pub use allocator::{Allocation, BudgetAllocator};
pub use environment::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
pub use features::Features;
pub use filter::GroupFilter;
pub use objective::{Objective, Scope};
pub use policy::{
    Continuation, Learner, Member, Policy, PolicyError, Prefix, Sampling, StepReport, TokenLoss, TokenScores,
};
pub use repair::{GroupRepair, Placement, Repair, RolledGroup, Substitute};
pub use reward::{RewardShaper, Score, Verifier};
pub use sampler::{PromptSampler, Surveyed};
pub use scaffold::{Rendered, Scaffold, SharedTurns};
pub use schedule::Schedule;
