//! A decoder-only transformer on burn: parameters, training forward, and generation with key-value caches.
//!
//! Two forward passes compute the same function.  [`forward`] is written in tensor operations that burn
//! differentiates, for the learner.  The generator behind [`TransformerPolicy`] works on ragged rows without
//! padding, encodes a group's prompt once, and lets finished sequences leave; only its matrix products are
//! tensor operations.  Tests hold the two, and a naive f64 implementation, together.
//!
//! Nothing here knows a training method.  `Device` is chosen by the learner crate.

mod decoder;
pub mod forward;
mod kernels;
pub mod layout;
mod policy;
pub mod rope;
pub mod scores;
pub mod tokenizer;
pub mod weights;

pub use groupwise_core::architecture::TransformerConfig;
pub use policy::TransformerPolicy;
pub use tokenizer::CharTokenizer;
pub use weights::{SharedWeights, Weights};
