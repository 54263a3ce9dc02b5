//! The learner of a transformer policy: micro-batches, injected derivatives, AdamW, checkpoints.
//!
//! An objective is a function of per-token scalars.  The learner computes those scalars, asks for the
//! derivatives and back-propagates `sum(d_logp * logp + d_entropy * entropy)` with the derivatives held
//! constant, which by the chain rule is the gradient of the objective.  No method is known here.
//!
//! # Determinism
//! A step is a function of weights, batch and derivatives.  Work is cut into pieces by a rule that looks at
//! lengths only; threads take pieces, and gradients are added in the order of pieces.

mod adamw;
mod checkpoint;
mod engine;
mod learner;
mod pieces;

use std::sync::Arc;

use burn::tensor::Device;
use groupwise_core::Key;
use groupwise_core::seams::{PolicyError, Symbols};
use groupwise_model::{CharTokenizer, SharedWeights, TransformerConfig, TransformerPolicy, Weights};

pub use engine::Engine;
pub use groupwise_core::architecture::AdamWConfig;
pub use learner::TransformerLearner;

/// A policy and its learner over the same fresh weights.
///
/// `device` is `"flex"`, burn's processor backend.
///
/// # Errors
/// [`PolicyError::Data`] for sizes or optimizer values that do not fit, [`PolicyError::Unavailable`] for a
/// device this build does not have or a world of whole words.
///
/// # Example
/// ```
/// use groupwise_core::seams::{Policy, Symbols};
/// use groupwise_core::{Key, Stream};
/// use groupwise_learner::{AdamWConfig, transformer};
/// use groupwise_model::TransformerConfig;
///
/// let symbols = Symbols::Characters("0123456789+=".into());
/// let (config, optimizer) = (TransformerConfig::default(), AdamWConfig::default());
/// let (policy, _learner) =
///     transformer(&config, &optimizer, &symbols, "flex", Key::new(1, Stream::Init))?;
/// assert_eq!(policy.encode("1+1=")?.len(), 4);
/// # Ok::<(), groupwise_core::seams::PolicyError>(())
/// ```
pub fn transformer(
    model: &TransformerConfig,
    optimizer: &AdamWConfig,
    symbols: &Symbols,
    device: &str,
    key: Key,
) -> Result<(TransformerPolicy, TransformerLearner), PolicyError> {
    let device = self::device(device)?;
    model.validate().map_err(adamw::as_data)?;
    let tokenizer = CharTokenizer::new(symbols)?;
    let weights = SharedWeights::new(Weights::new(model, tokenizer.vocab_size(), key, &device));
    let learner = TransformerLearner::new(weights.clone(), optimizer, Engine::Host)?;
    Ok((TransformerPolicy::new(weights, Arc::new(tokenizer)), learner))
}

/// The device of that name.
///
/// # Errors
/// [`PolicyError::Unavailable`] naming the feature that this build lacks, or the known devices.
pub fn device(name: &str) -> Result<Device, PolicyError> {
    let feature = name.split(':').next().unwrap_or(name);
    match feature {
        "flex" if name == "flex" => Ok(Device::flex()),
        "cuda" | "tch" => Err(PolicyError::Unavailable(format!(
            "device `{name}` needs the feature `{feature}`, which this build does not have"
        ))),
        _ => Err(PolicyError::Unavailable(format!(
            "unknown device `{name}`; known are flex, cuda and tch"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_are_not_built_name_their_feature() {
        assert!(device("flex").is_ok());
        assert_eq!(
            device("cuda:0").unwrap_err().to_string(),
            "device `cuda:0` needs the feature `cuda`, which this build does not have"
        );
        assert_eq!(
            device("tpu").unwrap_err().to_string(),
            "unknown device `tpu`; known are flex, cuda and tch"
        );
    }
}
