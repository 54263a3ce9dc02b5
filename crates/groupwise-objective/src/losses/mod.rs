//! Losses on other inputs than an update batch: value estimates and preference pairs.

mod dpo;
mod value;

pub use dpo::{Dpo, DpoConfig, DpoEvaluation, PairLogps};
pub use value::{ValueClip, ValueClipConfig, ValueEvaluation};
