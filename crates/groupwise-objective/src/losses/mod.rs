//! Losses on other inputs than an update batch: value estimates, preference pairs, rejected actions, weights per
//! token, rollouts of turns.

mod dpo;
mod repulsion;
mod token_weighted;
mod turns;
mod value;

pub use dpo::{Dpo, DpoConfig, DpoEvaluation, PairLogps};
pub use repulsion::{Repulsion, RepulsionConfig, RepulsionEvaluation, RepulsionForm};
pub use token_weighted::{TokenWeighted, TokenWeightedConfig, TokenWeightedEvaluation};
pub use turns::{TurnBatch, TurnLoss};
pub use value::{ValueClip, ValueClipConfig, ValueEvaluation};
