//! The two ways to differentiate a piece: written out on the processor, or recorded by burn on any device.

use burn::tensor::{Tensor, TensorData};
use groupwise_core::seams::PolicyError;
use groupwise_model::Weights;
use groupwise_model::backprop::{HostModel, Tape};
use groupwise_model::forward::Forward;
use groupwise_model::packed::Packed;

/// How gradients are computed.  Both compute one function; they differ in rounding and in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Forward and backward passes written out, without padding: the fast way on a processor.
    Host,
    /// burn's automatic differentiation on padded rectangles: the way for any device.
    Autodiff,
}

impl Engine {
    /// Shortest sequence that may share a piece with a longer one, as a share of its length.
    pub(crate) fn least_fill(self) -> f64 {
        match self {
            Self::Host => 0.0,
            Self::Autodiff => 0.75,
        }
    }

    /// Parameters made ready for passes.
    pub(crate) fn snapshot(self, weights: &Weights, tensors: &[Tensor<2>]) -> Result<Snapshot, PolicyError> {
        Ok(match self {
            Self::Host => Snapshot::Host(Box::new(HostModel::new(weights, tensors)?)),
            Self::Autodiff => Snapshot::Autodiff {
                forward: Box::new(Forward::new(weights.config(), weights.vocab_size())),
                tensors: tensors.to_vec(),
            },
        })
    }
}

/// Parameters made ready for passes.
pub(crate) enum Snapshot {
    Host(Box<HostModel>),
    Autodiff {
        forward: Box<Forward>,
        tensors: Vec<Tensor<2>>,
    },
}

/// What a backward pass needs of its forward pass.
pub(crate) enum Kept {
    Host(Tape),
    Autodiff {
        /// Leaves of this piece's graph.
        params: Vec<Tensor<2>>,
        logits: Tensor<2>,
    },
}

impl Snapshot {
    /// Logits without a gradient.
    pub(crate) fn logits(&self, packed: &Packed) -> Result<TensorData, PolicyError> {
        match self {
            Self::Host(model) => Ok(model.forward(packed)?.0),
            Self::Autodiff { forward, tensors } => values_of(forward.logits(tensors, &packed.to_rectangle())),
        }
    }

    /// Logits, and what their gradient needs.
    pub(crate) fn forward(&self, packed: &Packed) -> Result<(TensorData, Kept), PolicyError> {
        match self {
            Self::Host(model) => {
                let (values, tape) = model.forward(packed)?;
                Ok((values, Kept::Host(tape)))
            }
            Self::Autodiff { forward, tensors } => {
                // Leaves of their own keep the graphs of concurrent pieces apart.
                let params: Vec<Tensor<2>> = tensors
                    .iter()
                    .map(|t| Tensor::from_inner(t.clone()).require_grad())
                    .collect();
                let logits = forward.logits(&params, &packed.to_rectangle());
                Ok((
                    values_of(logits.clone().inner())?,
                    Kept::Autodiff { params, logits },
                ))
            }
        }
    }

    /// Gradients of all parameters for a derivative by the logits; `None` where there is none.
    pub(crate) fn backward(
        &self,
        packed: &Packed,
        kept: Kept,
        d_logits: Vec<f32>,
    ) -> Result<Vec<Option<Tensor<2>>>, PolicyError> {
        match (self, kept) {
            (Self::Host(model), Kept::Host(tape)) => {
                let gradients = model.backward(packed, tape, d_logits)?;
                Ok(gradients.into_iter().map(Some).collect())
            }
            (_, Kept::Autodiff { params, logits }) => {
                let shape = logits.dims();
                let d_logits = Tensor::<2>::from_data(TensorData::new(d_logits, shape), &logits.device());
                let mut gradients = (logits * d_logits).sum().backward();
                Ok(params.iter().map(|p| p.grad_remove(&mut gradients)).collect())
            }
            (Self::Autodiff { .. }, Kept::Host(_)) => Err(PolicyError::Unavailable(
                "a tape of the processor cannot be played on a device".into(),
            )),
        }
    }
}

fn values_of(logits: Tensor<2>) -> Result<TensorData, PolicyError> {
    logits
        .try_into_data()
        .map_err(|e| PolicyError::Unavailable(format!("the device failed: {e:?}")))
}
