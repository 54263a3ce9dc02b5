//! Advantage estimators: the rewards of an update batch to advantages per trajectory or per token.
//!
//! Every named estimator is one file of [`estimators`] and stands in [`AdvantageSpec`], the closed list that
//! recipes choose from.  They share these blocks, which are public because other crates build on them:
//!
//! | block | holds |
//! |---|---|
//! | [`group_relative`] | centre x spread x scope: everything that compares the members of a group |
//! | [`dialect`] | the settings that frameworks ship under the name "GRPO", with their numbers |
//! | [`returns`] | token rewards, returns to go, generalized advantage estimation |
//! | [`keyed`] | group by key, centre, scale: steps of one state, samples of one step |
//! | [`nested`] | rollouts made of turns: statistics over rollouts or turns, broadcasting |
//! | [`delegation`] | trajectories of a leading and a following agent |
//! | [`whitening`] | whitening over the tokens of a batch |
//! | [`broadcast`] | one advantage per trajectory to one per token |
//! | [`multiplier`] | one factor per prompt on the advantages of its group |
//! | [`clauses`] | clauses of a text and their word counts |
//! | [`token_weights`] | weights per token folded into advantages |
//! | [`interner`] | strings to small numbers: equal states |
//! | [`similarity`] | near-equal texts: the Ratcliff-Obershelp ratio, and greedy groups by it |
//!
//! All of it is pure: no generator, no clock, no I/O; `f64` throughout; an unscorable member gets 0 and changes
//! nobody else's advantage.

pub mod broadcast;
pub mod clauses;
pub mod delegation;
pub mod dialect;
pub mod estimators;
pub mod group_relative;
mod inputs;
pub mod interner;
pub mod keyed;
pub mod multiplier;
pub mod nested;
pub mod returns;
pub mod similarity;
mod steps;
#[cfg(test)]
mod steps_fixture;
pub mod token_weights;
pub mod whitening;

pub use broadcast::spread_to_tokens;
pub use delegation::Delegation;
pub use dialect::Dialect;
pub use estimators::AdvantageSpec;
pub use group_relative::{GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton, ZeroSpread};
pub use interner::Interner;
pub use keyed::Clusters;
pub use multiplier::scale_groups;
pub use nested::{EpisodeStats, NestedRollouts, ObjectiveAggregation};
pub use returns::{Gae, KlPenalty, MaskedTokens, discounted_returns, gae, sequence_kl, token_rewards};
pub use similarity::Similarity;
pub use token_weights::weigh_tokens;
pub use whitening::whiten;
