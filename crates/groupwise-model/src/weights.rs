//! The parameters of a transformer: keyed initialization, exchange with checkpoints.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use burn::tensor::{Device, Tensor, TensorData};
use groupwise_core::Key;
use groupwise_core::seams::PolicyError;
use rand_distr::{Distribution, StandardNormal};

use crate::layout::{Kind, Layout, Param};
use groupwise_core::architecture::TransformerConfig;

/// One parameter as it stands in a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTensor {
    /// Hugging Face name.
    pub name: String,
    /// Hugging Face shape.
    pub shape: Vec<usize>,
    /// Numbers, row-major.
    pub values: Vec<f32>,
}

/// Parameters on a device.
#[derive(Clone, Debug)]
pub struct Weights {
    config: TransformerConfig,
    layout: Arc<Layout>,
    vocab_size: usize,
    device: Device,
    tensors: Vec<Tensor<2>>,
    version: u64,
    revision: u64,
}

/// Parameters that a policy reads and a learner changes.
#[derive(Clone, Debug)]
pub struct SharedWeights(Arc<RwLock<Weights>>);

impl SharedWeights {
    /// Shares parameters.
    pub fn new(weights: Weights) -> Self {
        Self(Arc::new(RwLock::new(weights)))
    }

    /// Read access.
    pub fn read(&self) -> RwLockReadGuard<'_, Weights> {
        // Writers replace whole values, so a panic elsewhere leaves nothing half-written.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Write access.
    pub fn write(&self) -> RwLockWriteGuard<'_, Weights> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weights {
    /// Fresh parameters: matrices normal with standard deviation `initial_std`, norms 1, biases 0.
    ///
    /// Every number is a function of the key, the parameter's name and its place in the checkpoint's layout.
    pub fn new(config: &TransformerConfig, vocab_size: usize, key: Key, device: &Device) -> Self {
        let layout = Layout::new(config, vocab_size);
        let tensors = layout
            .params
            .iter()
            .map(|p| hold(p, initial(p, config.initial_std(), key), device))
            .collect();
        Self {
            config: config.clone(),
            layout: Arc::new(layout),
            vocab_size,
            device: device.clone(),
            tensors,
            version: 0,
            revision: 0,
        }
    }

    /// Size and form.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// Names, shapes, order.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Tokens of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Where the parameters live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The parameters, in the layout's order.
    pub fn tensors(&self) -> &[Tensor<2>] {
        &self.tensors
    }

    /// Number of updates so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Sets the number of updates.
    pub fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    /// Changes whenever the parameters do, for caches made from them.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Replaces all parameters by tensors of the same shapes.
    pub fn replace(&mut self, tensors: Vec<Tensor<2>>) {
        self.tensors = tensors;
        self.revision += 1;
    }

    /// The parameters as they stand in a checkpoint.
    ///
    /// # Errors
    /// [`PolicyError::Checkpoint`] if a tensor cannot be read back.
    pub fn export(&self) -> Result<Vec<SavedTensor>, PolicyError> {
        export(&self.layout, &self.tensors)
    }

    /// Replaces the parameters by those of a checkpoint, found by name; `values` returns them with their shape.
    ///
    /// # Errors
    /// [`PolicyError::Checkpoint`] for a missing tensor or another shape; nothing changes then.
    pub fn import<F>(&mut self, values: F) -> Result<(), PolicyError>
    where
        F: Fn(&str) -> Result<(Vec<usize>, Vec<f32>), PolicyError>,
    {
        let tensors = import(&self.layout, &self.device, values)?;
        self.replace(tensors);
        Ok(())
    }
}

/// Tensors of this layout as they stand in a checkpoint.
///
/// # Errors
/// [`PolicyError::Checkpoint`] if a tensor cannot be read back.
pub fn export(layout: &Layout, tensors: &[Tensor<2>]) -> Result<Vec<SavedTensor>, PolicyError> {
    let read = |(param, tensor): (&Param, &Tensor<2>)| {
        let tensor = match param.kind {
            Kind::Linear => tensor.clone().transpose(),
            _ => tensor.clone(),
        };
        Ok(SavedTensor {
            name: param.name.clone(),
            shape: param.saved_shape(),
            values: read_values(tensor)?,
        })
    };
    layout.params.iter().zip(tensors).map(read).collect()
}

/// Tensors of this layout from a checkpoint.
///
/// # Errors
/// [`PolicyError::Checkpoint`] for a missing tensor or another shape.
pub fn import<F>(layout: &Layout, device: &Device, values: F) -> Result<Vec<Tensor<2>>, PolicyError>
where
    F: Fn(&str) -> Result<(Vec<usize>, Vec<f32>), PolicyError>,
{
    let place = |param: &Param| {
        let (shape, values) = values(&param.name)?;
        let expected = param.saved_shape();
        if shape == expected {
            Ok(hold(param, values, device))
        } else {
            Err(PolicyError::Checkpoint(format!(
                "`{}` has shape {shape:?}, the model needs {expected:?}",
                param.name
            )))
        }
    };
    layout.params.iter().map(place).collect()
}

/// Numbers of a tensor, row-major.
///
/// # Errors
/// [`PolicyError::Checkpoint`] if the device cannot give them.
pub fn read_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, PolicyError> {
    tensor
        .try_into_vec_as::<f32>()
        .map_err(|e| PolicyError::Checkpoint(format!("a tensor could not be read back: {e:?}")))
}

/// Puts checkpoint values on the device, the way the model multiplies by them.
fn hold(param: &Param, values: Vec<f32>, device: &Device) -> Tensor<2> {
    let (rows, columns) = (param.rows, param.columns);
    let values = match param.kind {
        Kind::Linear => transpose(&values, columns, rows),
        _ => values,
    };
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for c in 0..columns {
        out.extend((0..rows).map(|r| values[r * columns + c]));
    }
    out
}

fn initial(param: &Param, range: f64, key: Key) -> Vec<f32> {
    let n = param.rows * param.columns;
    match param.kind {
        Kind::Scale => vec![1.0; n],
        Kind::Bias => vec![0.0; n],
        Kind::Linear | Kind::Embedding => {
            let mut rng = key.named(&param.name, 0).rng();
            (0..n)
                .map(|_| {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    (z * range) as f32
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groupwise_core::Stream;

    fn config() -> TransformerConfig {
        TransformerConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            ..TransformerConfig::default()
        }
    }

    #[test]
    fn initial_weights_are_pinned_and_follow_their_law() {
        let key = Key::new(5, Stream::Init);
        let weights = Weights::new(&config(), 500, key, &Device::flex());
        let saved = weights.export().unwrap();
        // Value stability: a change here changes every run from scratch.
        assert_eq!(saved[0].name, "model.embed_tokens.weight");
        assert_eq!(saved[0].shape, [500, 16]);
        let mut sorted: Vec<f64> = saved[0].values.iter().map(|x| f64::from(*x) / 0.25).collect();
        let n = sorted.len() as f64;
        let mean = sorted.iter().sum::<f64>() / n;
        let variance = sorted.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 3.29 / n.sqrt(), "mean {mean}");
        assert!(
            (variance - 1.0).abs() < 3.29 * (2.0 / n).sqrt(),
            "variance {variance}"
        );
        sorted.sort_by(f64::total_cmp);
        assert!(sorted[0] < -3.0 && sorted[sorted.len() - 1] > 3.0);
        let norm = saved.iter().find(|t| t.name == "model.norm.weight").unwrap();
        assert_eq!(norm.values, vec![1.0; 16]);
        let other = Weights::new(&config(), 500, Key::new(6, Stream::Init), &Device::flex());
        assert_ne!(other.export().unwrap()[0], saved[0]);
    }

    #[test]
    fn export_and_import_are_inverse_and_shapes_are_checked() {
        let key = Key::new(5, Stream::Init);
        let first = Weights::new(&config(), 7, key, &Device::flex());
        let saved = first.export().unwrap();
        let k = saved
            .iter()
            .find(|t| t.name == "model.layers.0.self_attn.k_proj.weight")
            .unwrap();
        assert_eq!(k.shape, [8, 16]);
        let mut second = Weights::new(&config(), 7, Key::new(9, Stream::Init), &Device::flex());
        let find = |name: &str| {
            let t = saved.iter().find(|t| t.name == name).unwrap();
            Ok((t.shape.clone(), t.values.clone()))
        };
        second.import(find).unwrap();
        assert_eq!(second.export().unwrap(), saved);
        assert_eq!(second.revision(), 1);
        let error = second
            .import(|name| find(name).map(|(_, values)| (vec![1], values)))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "checkpoint does not fit: `model.embed_tokens.weight` has shape [1], the model needs [7, 16]"
        );
    }
}
