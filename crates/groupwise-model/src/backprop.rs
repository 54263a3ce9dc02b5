//! Training on the processor: forward and backward passes written out, on ragged rows without padding.
//!
//! The same function as [`crate::forward`], several times faster on a processor: elementwise work is fused and
//! in place, attention skips what the causal mask hides, and only the large products are tensor operations.
//! Its gradients are tested against burn's automatic differentiation and against differences.

use burn::tensor::{Tensor, TensorData};
use groupwise_core::seams::PolicyError;

use crate::decoder::{Block, Decoder, as_slice};
use crate::head::Scratch;
use crate::kernels::{self, exp_f32, inverse_rms, rotate, vectorized};
use crate::layout::{kv_width, queries_per_kv};
use crate::packed::Packed;
use crate::unfold::BlockGradient;
use crate::weights::{Weights, read_values};

/// What a backward pass needs of the forward pass.
#[derive(Clone, Debug)]
pub struct Tape {
    blocks: Vec<BlockTape>,
    last: Normed,
}

/// Rows scaled to unit root mean square, and the factors.
#[derive(Clone, Debug)]
struct Normed {
    rows: TensorData,
    inverse: Vec<f32>,
}

#[derive(Clone, Debug)]
struct BlockTape {
    input: Normed,
    /// Queries and keys before their norms, where they have any.
    raw: Option<Vec<f32>>,
    /// Rotated queries (tempered) and keys, and values.
    qkv: TensorData,
    mixed: TensorData,
    middle: Normed,
    gate_up: TensorData,
}

/// Derivatives by the factors of a product, which are handed back.
struct Pulled {
    inputs: TensorData,
    d_outputs: TensorData,
    d_inputs: TensorData,
    d_matrix: TensorData,
}

/// A snapshot of weights, arranged for training on the processor.
#[derive(Clone, Debug)]
pub struct HostModel {
    pub(crate) decoder: Decoder,
    /// Scales and matrices before they were multiplied together, for the gradients.
    pub(crate) tensors: Vec<Vec<f32>>,
    pub(crate) layout: crate::layout::Layout,
}

impl HostModel {
    /// Takes a snapshot of parameters of the form of `weights`: its own, or a reference policy's.
    ///
    /// # Errors
    /// If the parameters cannot be read.
    pub fn new(weights: &Weights, tensors: &[Tensor<2>]) -> Result<Self, PolicyError> {
        let mut other = weights.clone();
        other.replace(tensors.to_vec());
        Ok(Self {
            decoder: Decoder::new(&other)?,
            tensors: tensors
                .iter()
                .map(|t| read_values(t.clone()))
                .collect::<Result<_, _>>()?,
            layout: weights.layout().clone(),
        })
    }

    /// Logits of the scored rows, `[scored, vocabulary]`, and the tape.
    ///
    /// # Errors
    /// If the device fails.
    pub fn forward(&self, packed: &Packed) -> Result<(TensorData, Tape), PolicyError> {
        let decoder = &self.decoder;
        let mut x = decoder.embed(packed.ids.iter())?;
        let mut blocks = Vec::with_capacity(decoder.blocks.len());
        for block in &decoder.blocks {
            let (input, mut qkv) = self.normed_times(&x, &block.qkv)?;
            let raw = self.prepare(block, as_mut_slice(&mut qkv)?, packed);
            let mixed = self.attend(as_slice(&qkv)?, packed);
            let (mixed, out) = self.times(self.rows(mixed, decoder.config.hidden_size), &block.o)?;
            kernels::add_rows(&mut x, as_slice(&out)?);
            let (middle, gate_up) = self.normed_times(&x, &block.gate_up)?;
            let active = kernels::swiglu_rows(as_slice(&gate_up)?, decoder.config.intermediate_size);
            kernels::add_rows(&mut x, as_slice(&decoder.product(active, &block.down)?)?);
            blocks.push(BlockTape {
                input,
                raw,
                qkv,
                mixed,
                middle,
                gate_up,
            });
        }
        let width = decoder.config.hidden_size;
        let rows: Vec<f32> = packed
            .scored
            .iter()
            .flat_map(|row| x[row * width..(row + 1) * width].iter().copied())
            .collect();
        let (last, logits) = self.normed_times(&rows, &decoder.head)?;
        Ok((logits, Tape { blocks, last }))
    }

    /// Gradients of all parameters for a derivative by the logits of [`HostModel::forward`].
    ///
    /// # Errors
    /// If the device fails.
    pub fn backward(
        &self,
        packed: &Packed,
        tape: Tape,
        d_logits: Vec<f32>,
    ) -> Result<Vec<Tensor<2>>, PolicyError> {
        let decoder = &self.decoder;
        let width = decoder.config.hidden_size;
        let mut gradients: Vec<Vec<f32>> = self.tensors.iter().map(|t| vec![0.0; t.len()]).collect();
        let Normed { rows, inverse } = tape.last;
        let d_logits = self.rows(d_logits, decoder.vocab_size());
        let pulled = self.pull(rows, d_logits, &decoder.head)?;
        self.head_gradient(as_slice(&pulled.d_matrix)?, &mut gradients);
        let mut d_rows = vec![0.0; packed.scored.len() * width];
        add_norm_gradient(&mut d_rows, &pulled, &inverse, width)?;
        let mut dx = vec![0.0; packed.ids.len() * width];
        for (row, d) in packed.scored.iter().zip(d_rows.chunks_exact(width)) {
            kernels::add_rows(&mut dx[row * width..(row + 1) * width], d);
        }
        let mut dx = self.rows(dx, width);
        for (layer, tape) in tape.blocks.into_iter().enumerate().rev() {
            let (before, gradient) = self.block_backward(&decoder.blocks[layer], packed, tape, dx)?;
            self.unfold(layer, &gradient, &mut gradients)?;
            dx = before;
        }
        let d_embedding = &mut gradients[self.layout.embedding];
        for (id, d) in packed.ids.iter().zip(as_slice(&dx)?.chunks_exact(width)) {
            let start = *id as usize * width;
            kernels::add_rows(&mut d_embedding[start..start + width], d);
        }
        let place = |(values, param): (Vec<f32>, &crate::layout::Param)| {
            Tensor::from_data(
                TensorData::new(values, [param.rows, param.columns]),
                &decoder.device,
            )
        };
        Ok(gradients
            .into_iter()
            .zip(&self.layout.params)
            .map(place)
            .collect())
    }

    /// Turns `dx` after a block into `dx` before it.
    fn block_backward(
        &self,
        block: &Block,
        packed: &Packed,
        tape: BlockTape,
        dx: TensorData,
    ) -> Result<(TensorData, BlockGradient), PolicyError> {
        let config = &self.decoder.config;
        let (width, ffn) = (config.hidden_size, config.intermediate_size);
        let active = kernels::swiglu_rows(as_slice(&tape.gate_up)?, ffn);
        let down = self.pull(self.rows(active, ffn), dx, &block.down)?;
        let mut d_gate_up = tape.gate_up;
        swiglu_gradient(as_mut_slice(&mut d_gate_up)?, as_slice(&down.d_inputs)?, ffn);
        let gate_up = self.pull(tape.middle.rows, d_gate_up, &block.gate_up)?;
        let mut dx = down.d_outputs;
        add_norm_gradient(as_mut_slice(&mut dx)?, &gate_up, &tape.middle.inverse, width)?;
        let o = self.pull(tape.mixed, dx, &block.o)?;
        let mut d_qkv = self.attend_backward(as_slice(&tape.qkv)?, as_slice(&o.d_inputs)?, packed);
        let qk_norm = self.prepare_backward(block, &mut d_qkv, tape.raw.as_deref(), packed);
        let stride = width + 2 * kv_width(config);
        let qkv_bias = block.qkv_bias.as_ref().map(|_| {
            let mut sums = vec![0.0; stride];
            d_qkv
                .chunks_exact(stride)
                .for_each(|row| kernels::add_rows(&mut sums, row));
            sums
        });
        let qkv = self.pull(tape.input.rows, self.rows(d_qkv, stride), &block.qkv)?;
        let mut dx = o.d_outputs;
        add_norm_gradient(as_mut_slice(&mut dx)?, &qkv, &tape.input.inverse, width)?;
        let gradient = BlockGradient {
            qkv: qkv.d_matrix,
            qkv_bias,
            qk_norm,
            o: o.d_matrix,
            gate_up: gate_up.d_matrix,
            down: down.d_matrix,
        };
        Ok((dx, gradient))
    }

    /// Rows scaled to unit root mean square, times a matrix.
    fn normed_times(&self, x: &[f32], matrix: &Tensor<2>) -> Result<(Normed, TensorData), PolicyError> {
        let (width, eps) = (
            self.decoder.config.hidden_size,
            self.decoder.config.rms_norm_eps as f32,
        );
        let mut rows = vec![0.0; x.len()];
        let mut inverse = vec![0.0; x.len() / width];
        vectorized(
            #[inline(always)]
            || {
                let outs = rows.chunks_exact_mut(width).zip(&mut inverse);
                for (x, (out, inverse)) in x.chunks_exact(width).zip(outs) {
                    *inverse = inverse_rms(x, eps);
                    for (o, x) in out.iter_mut().zip(x) {
                        *o = x * *inverse;
                    }
                }
            },
        );
        let (rows, out) = self.times(self.rows(rows, width), matrix)?;
        Ok((Normed { rows, inverse }, out))
    }

    /// Bias, head norms and rotation of every row; returns queries and keys before their norms, if they have any.
    fn prepare(&self, block: &Block, qkv: &mut [f32], packed: &Packed) -> Option<Vec<f32>> {
        let config = &self.decoder.config;
        let stride = config.hidden_size + 2 * kv_width(config);
        let raw = block.qk_norm.as_ref().map(|_| {
            let mut raw = qkv.to_vec();
            if let Some(bias) = &block.qkv_bias {
                raw.chunks_exact_mut(stride)
                    .for_each(|row| kernels::add_rows(row, bias));
            }
            raw
        });
        for rows in packed.sequences() {
            let qkv = &mut qkv[rows.start * stride..rows.end * stride];
            vectorized(
                #[inline(always)]
                || {
                    for (position, row) in qkv.chunks_exact_mut(stride).enumerate() {
                        self.decoder.prepare(block, row, position);
                    }
                },
            );
        }
        raw
    }

    /// Undoes rotation and head norms on derivatives; returns the gradients of the norms' scales.
    fn prepare_backward(
        &self,
        block: &Block,
        d_qkv: &mut [f32],
        raw: Option<&[f32]>,
        packed: &Packed,
    ) -> Option<[Vec<f32>; 2]> {
        let config = &self.decoder.config;
        let (dim, width) = (config.head_dim(), config.hidden_size);
        let stride = width + 2 * kv_width(config);
        let temper = 1.0 / (dim as f32).sqrt();
        let mut scales = block.qk_norm.as_ref().map(|_| [vec![0.0; dim], vec![0.0; dim]]);
        let mut negative = vec![0.0; dim / 2];
        for rows in packed.sequences() {
            for (position, row) in rows.clone().enumerate() {
                let (cos, sin) = self.decoder.rope.at(position);
                negative.iter_mut().zip(sin).for_each(|(n, s)| *n = -s);
                let d_row = &mut d_qkv[row * stride..(row + 1) * stride];
                let raw_row = raw.map(|raw| &raw[row * stride..(row + 1) * stride]);
                for (h, head) in d_row[..stride - kv_width(config)]
                    .chunks_exact_mut(dim)
                    .enumerate()
                {
                    let which = usize::from(h * dim >= width);
                    rotate(head, cos, &negative, if which == 0 { temper } else { 1.0 });
                    if let (Some(raw), Some(norm), Some(scales)) = (raw_row, &block.qk_norm, &mut scales) {
                        let x = &raw[h * dim..(h + 1) * dim];
                        let eps = config.rms_norm_eps as f32;
                        head_norm_gradient(head, x, &norm[which], &mut scales[which], eps);
                    }
                }
            }
        }
        scales
    }

    /// Causal attention of every sequence and head.
    fn attend(&self, qkv: &[f32], packed: &Packed) -> Vec<f32> {
        let config = &self.decoder.config;
        let (dim, width) = (config.head_dim(), config.hidden_size);
        let stride = width + 2 * kv_width(config);
        let mut out = vec![0.0; packed.ids.len() * width];
        let mut scratch = Scratch::new(packed.longest(), dim);
        for rows in packed.sequences() {
            let qkv = &qkv[rows.start * stride..rows.end * stride];
            let out = &mut out[rows.start * width..rows.end * width];
            for h in 0..config.num_key_value_heads {
                scratch.load_keys_values(
                    qkv,
                    stride,
                    width + h * dim,
                    width + kv_width(config) + h * dim,
                    dim,
                );
                for q in 0..queries_per_kv(config) {
                    let at = (h * queries_per_kv(config) + q) * dim;
                    vectorized(
                        #[inline(always)]
                        || {
                            scratch.load_queries(qkv, stride, at, dim);
                            scratch.softmax(dim);
                            scratch.mix(out, width, at, dim);
                        },
                    );
                }
            }
        }
        out
    }

    /// Derivatives by queries (tempered), keys and values.
    fn attend_backward(&self, qkv: &[f32], d_mixed: &[f32], packed: &Packed) -> Vec<f32> {
        let config = &self.decoder.config;
        let (dim, width) = (config.head_dim(), config.hidden_size);
        let stride = width + 2 * kv_width(config);
        let mut out = vec![0.0; qkv.len()];
        let mut scratch = Scratch::new(packed.longest(), dim);
        for rows in packed.sequences() {
            let d_mixed = &d_mixed[rows.start * width..rows.end * width];
            let span = rows.start * stride..rows.end * stride;
            let (qkv, out) = (&qkv[span.clone()], &mut out[span]);
            for h in 0..config.num_key_value_heads {
                let (key, value) = (width + h * dim, width + kv_width(config) + h * dim);
                scratch.load_keys_values(qkv, stride, key, value, dim);
                for q in 0..queries_per_kv(config) {
                    let at = (h * queries_per_kv(config) + q) * dim;
                    vectorized(
                        #[inline(always)]
                        || {
                            scratch.load_queries(qkv, stride, at, dim);
                            scratch.softmax(dim);
                            scratch.backward((d_mixed, width), (&mut *out, stride), [at, key, value], dim);
                        },
                    );
                }
            }
        }
        out
    }

    fn rows(&self, values: Vec<f32>, width: usize) -> TensorData {
        let n = values.len() / width;
        TensorData::new(values, [n, width])
    }

    /// The product, and the rows handed back without a copy.
    fn times(&self, rows: TensorData, matrix: &Tensor<2>) -> Result<(TensorData, TensorData), PolicyError> {
        let rows = Tensor::<2>::from_data(rows, &self.decoder.device);
        let out = read(rows.clone().matmul(matrix.clone()))?;
        Ok((read(rows)?, out))
    }

    /// The backward pass of `outputs = inputs matrix`.
    fn pull(
        &self,
        inputs: TensorData,
        d_outputs: TensorData,
        matrix: &Tensor<2>,
    ) -> Result<Pulled, PolicyError> {
        let device = &self.decoder.device;
        let inputs = Tensor::<2>::from_data(inputs, device);
        let d_outputs = Tensor::<2>::from_data(d_outputs, device);
        let d_inputs = read(d_outputs.clone().matmul(matrix.clone().transpose()))?;
        let d_matrix = read(inputs.clone().transpose().matmul(d_outputs.clone()))?;
        Ok(Pulled {
            inputs: read(inputs)?,
            d_outputs: read(d_outputs)?,
            d_inputs,
            d_matrix,
        })
    }
}

/// For `y = x / rms(x)` that went into a product: `dx += inverse (dy - y mean(dy y))`.
fn add_norm_gradient(
    dx: &mut [f32],
    pulled: &Pulled,
    inverse: &[f32],
    width: usize,
) -> Result<(), PolicyError> {
    let (y, dy) = (as_slice(&pulled.inputs)?, as_slice(&pulled.d_inputs)?);
    vectorized(
        #[inline(always)]
        || {
            let rows = y.chunks_exact(width).zip(dy.chunks_exact(width));
            for ((dx, (y, dy)), inverse) in dx.chunks_exact_mut(width).zip(rows).zip(inverse) {
                let mean = kernels::dot(dy, y) / width as f32;
                for ((dx, dy), y) in dx.iter_mut().zip(dy).zip(y) {
                    *dx += inverse * (dy - y * mean);
                }
            }
        },
    );
    Ok(())
}

/// For `y = scale x / rms(x)`: turns `dy` into `dx` and adds the gradient of the scale.
fn head_norm_gradient(d: &mut [f32], x: &[f32], scale: &[f32], d_scale: &mut [f32], eps: f32) {
    let inverse = inverse_rms(x, eps);
    let mut mean = 0.0;
    for (((d, x), w), ds) in d.iter_mut().zip(x).zip(scale).zip(d_scale) {
        let y = x * inverse;
        *ds += *d * y;
        *d *= w;
        mean += *d * y;
    }
    mean /= x.len() as f32;
    for (d, x) in d.iter_mut().zip(x) {
        *d = inverse * (*d - x * inverse * mean);
    }
}

/// Turns gates and ups into their derivatives.
fn swiglu_gradient(gate_up: &mut [f32], d_active: &[f32], width: usize) {
    vectorized(
        #[inline(always)]
        || {
            for (row, d) in gate_up
                .chunks_exact_mut(2 * width)
                .zip(d_active.chunks_exact(width))
            {
                let (gate, up) = row.split_at_mut(width);
                for ((g, u), d) in gate.iter_mut().zip(up).zip(d) {
                    let s = 1.0 / (1.0 + exp_f32(-*g));
                    let silu = *g * s;
                    let slope = s + silu * (1.0 - s);
                    *g = d * *u * slope;
                    *u = d * silu;
                }
            }
        },
    );
}

fn read(tensor: Tensor<2>) -> Result<TensorData, PolicyError> {
    tensor
        .try_into_data()
        .map_err(|e| PolicyError::Unavailable(format!("the device failed: {e:?}")))
}

fn as_mut_slice(data: &mut TensorData) -> Result<&mut [f32], PolicyError> {
    data.as_mut_slice::<f32>()
        .map_err(|e| PolicyError::Unavailable(format!("the device computes in another type: {e:?}")))
}
