//! Losses on other inputs than an update batch: value estimates, preference pairs, rollouts of turns.

mod dpo;
mod turns;
mod value;

pub use dpo::{Dpo, DpoConfig, DpoEvaluation, PairLogps};
pub use turns::{TurnBatch, TurnLoss};
pub use value::{ValueClip, ValueClipConfig, ValueEvaluation};
