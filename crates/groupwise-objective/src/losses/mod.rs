//! Losses on other inputs than an update batch: value estimates, preference pairs, rejected actions.

mod dpo;
mod repulsion;
mod value;

pub use dpo::{Dpo, DpoConfig, DpoEvaluation, PairLogps};
pub use repulsion::{Repulsion, RepulsionConfig, RepulsionEvaluation, RepulsionForm};
pub use value::{ValueClip, ValueClipConfig, ValueEvaluation};
