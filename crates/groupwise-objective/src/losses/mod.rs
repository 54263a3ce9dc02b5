//! Losses on other inputs than an update batch: value estimates, preference pairs, reference answers, auxiliary samples.

mod dpo;
mod value;

mod aepo;
mod grao;
mod likelihood;

pub use dpo::{Dpo, DpoConfig, DpoEvaluation, PairLogps};
pub use value::{ValueClip, ValueClipConfig, ValueEvaluation};

pub use aepo::{Aepo, AepoConfig, AepoMode, AepoPlan, AuxiliarySelection, EntropySource, replace_head};
pub use grao::{
    Grao, GraoAdvantages, GraoBatch, GraoConfig, GraoEvaluation, MissingReference, NormalizationPool, Texts,
};
pub use likelihood::{LikelihoodEvaluation, weighted_likelihood};
