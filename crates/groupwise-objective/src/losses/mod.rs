//! Losses on other inputs than an update batch: value estimates, preference pairs, rejected actions, reference answers,
//! auxiliary samples, hint tokens, weights per token, rollouts of turns.

mod dpo;
mod repulsion;
mod token_weighted;
mod turns;
mod value;

mod aepo;
mod grao;
mod hint_imitation;
mod likelihood;

pub use dpo::{Dpo, DpoConfig, DpoEvaluation, PairLogps};
pub use repulsion::{Repulsion, RepulsionConfig, RepulsionEvaluation, RepulsionForm};
pub use token_weighted::{TokenWeighted, TokenWeightedConfig, TokenWeightedEvaluation};
pub use turns::{TurnBatch, TurnLoss};
pub use value::{ValueClip, ValueClipConfig, ValueEvaluation};

pub use aepo::{Aepo, AepoConfig, AepoMode, AepoPlan, AuxiliarySelection, EntropySource, replace_head};
pub use grao::{
    Grao, GraoAdvantages, GraoBatch, GraoConfig, GraoEvaluation, MissingReference, NormalizationPool, Texts,
};
pub use hint_imitation::{HintImitation, HintImitationConfig, hint_tokens};
pub use likelihood::{LikelihoodEvaluation, weighted_likelihood};
