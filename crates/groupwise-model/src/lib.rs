//! A decoder-only transformer on burn: parameters, training forward, and generation with key-value caches.
//!
//! One function, three implementations, held together by tests with a naive f64 one:
//!
//! | where | for | how |
//! |---|---|---|
//! | [`TransformerPolicy`] | generation | ragged rows, a group's prompt encoded once, finished sequences leave |
//! | [`backprop`] | training on the processor | forward and backward written out, no padding |
//! | [`forward`] | training on any device | tensor operations that burn differentiates, padded |
//!
//! In the first two only the large matrix products are tensor operations; the rest works on slices.  Every order
//! of summation is fixed: neither the number of threads nor the width of vectors changes a bit.  Nothing here
//! knows a training method.

pub mod backprop;
mod decoder;
pub mod forward;
mod head;
mod kernels;
pub mod layout;
pub mod packed;
mod policy;
pub mod rope;
pub mod scores;
mod tiles;
pub mod tokenizer;
mod unfold;
pub mod weights;

pub use groupwise_core::architecture::TransformerConfig;
pub use policy::TransformerPolicy;
pub use tokenizer::CharTokenizer;
pub use weights::{SharedWeights, Weights};
