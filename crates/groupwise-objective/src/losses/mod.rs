//! Losses on other inputs than an update batch: value estimates, preference pairs, weights per token.

mod dpo;
mod token_weighted;
mod value;

pub use dpo::{Dpo, DpoConfig, DpoEvaluation, PairLogps};
pub use token_weighted::{TokenWeighted, TokenWeightedConfig, TokenWeightedEvaluation};
pub use value::{ValueClip, ValueClipConfig, ValueEvaluation};
