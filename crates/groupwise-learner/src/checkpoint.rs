//! Checkpoints: safetensors, weights under their Hugging Face names.

use std::fmt::Write;

use burn::tensor::Tensor;
use groupwise_core::seams::PolicyError;
use groupwise_model::Weights;
use groupwise_model::layout::Layout;
use groupwise_model::weights::{SavedTensor, export, import};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

use crate::adamw::Moments;
use crate::learner::TransformerLearner;

/// Number of updates, steps of the optimizer.
const COUNTERS: &str = "groupwise.counters";
const MEAN: &str = "optimizer.exp_avg.";
const SQUARE: &str = "optimizer.exp_avg_sq.";
const REFERENCE: &str = "reference.";

/// Everything that a resumed run needs; equal state gives equal bytes (safetensors sorts by type and name).
pub(crate) fn save(learner: &TransformerLearner) -> Result<Vec<u8>, PolicyError> {
    let weights = learner.weights.read();
    let layout = weights.layout();
    let mut entries: Vec<(String, Vec<usize>, Vec<u8>, Dtype)> = Vec::new();
    let mut add = |prefix: &str, tensors: Vec<SavedTensor>| {
        for t in tensors {
            let bytes = t.values.iter().flat_map(|x| x.to_le_bytes()).collect();
            entries.push((format!("{prefix}{}", t.name), t.shape, bytes, Dtype::F32));
        }
    };
    add("", export(layout, weights.tensors())?);
    let optimizer = &learner.optimizer;
    if !optimizer.moments.is_empty() {
        let pick = |f: fn(&Moments) -> Tensor<2>| optimizer.moments.iter().map(f).collect::<Vec<_>>();
        add(MEAN, export(layout, &pick(|m| m.mean.clone()))?);
        add(SQUARE, export(layout, &pick(|m| m.square.clone()))?);
    }
    if let Some(reference) = &learner.reference {
        add(REFERENCE, export(layout, reference)?);
    }
    let counters = [weights.version(), optimizer.steps];
    let bytes = counters.iter().flat_map(|x| x.to_le_bytes()).collect();
    entries.push((COUNTERS.into(), vec![2], bytes, Dtype::U64));
    let views = entries
        .iter()
        .map(|(name, shape, bytes, dtype)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(misfit)?;
    safetensors::serialize(views, None).map_err(misfit)
}

/// Restores [`save`]; on an error nothing has changed.
pub(crate) fn load(learner: &mut TransformerLearner, bytes: &[u8]) -> Result<(), PolicyError> {
    let file = SafeTensors::deserialize(bytes).map_err(misfit)?;
    let [version, steps] = counters(&file)?;
    let mut weights = learner.weights.write();
    let (layout, device) = (weights.layout(), weights.device());
    let take = |prefix: &str| import(layout, device, |name| floats(&file, &format!("{prefix}{name}")));
    let has = |prefix: &str| file.names().iter().any(|name| name.starts_with(prefix));
    refuse_strangers(&file, layout)?;
    let params = take("")?;
    let moments = match has(MEAN) || has(SQUARE) {
        true => take(MEAN)?
            .into_iter()
            .zip(take(SQUARE)?)
            .map(|(mean, square)| Moments { mean, square })
            .collect(),
        false => Vec::new(),
    };
    let reference = match has(REFERENCE) {
        true => Some(take(REFERENCE)?),
        false => None,
    };
    weights.replace(params);
    weights.set_version(version);
    learner.reference = reference;
    learner.optimizer.moments = moments;
    learner.optimizer.steps = steps;
    Ok(())
}

/// SHA-256 over names, shapes and numbers of the weights, in hexadecimal.
pub(crate) fn digest(weights: &Weights) -> Result<String, PolicyError> {
    let mut hash = Sha256::new();
    for t in weights.export()? {
        hash.update(t.name.as_bytes());
        for n in &t.shape {
            hash.update((*n as u64).to_le_bytes());
        }
        let bytes: Vec<u8> = t.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn refuse_strangers(file: &SafeTensors<'_>, layout: &Layout) -> Result<(), PolicyError> {
    let mut names = file.names();
    names.sort_unstable();
    let is_known = |name: &str| {
        let bare = [MEAN, SQUARE, REFERENCE]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        name == COUNTERS || layout.params.iter().any(|p| p.name == bare)
    };
    match names.into_iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(PolicyError::Checkpoint(format!(
            "the model has no tensor `{name}`"
        ))),
    }
}

fn counters(file: &SafeTensors<'_>) -> Result<[u64; 2], PolicyError> {
    let view = file.tensor(COUNTERS).map_err(misfit)?;
    let numbers: Vec<u64> = view
        .data()
        .chunks_exact(8)
        .map(|b| b.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
        .collect();
    numbers
        .try_into()
        .map_err(|_| PolicyError::Checkpoint(format!("`{COUNTERS}` must hold two counters")))
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), PolicyError> {
    let view = file.tensor(name).map_err(misfit)?;
    if view.dtype() != Dtype::F32 {
        return Err(PolicyError::Checkpoint(format!("`{name}` is not of type F32")));
    }
    let values = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    Ok((view.shape().to_vec(), values))
}

fn misfit(error: safetensors::SafeTensorError) -> PolicyError {
    PolicyError::Checkpoint(error.to_string())
}
