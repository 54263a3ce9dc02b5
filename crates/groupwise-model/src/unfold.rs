//! From the gradients of rearranged weights to those of the parameters they were made of.

use std::ops::Range;

use burn::tensor::TensorData;
use groupwise_core::seams::PolicyError;

use crate::backprop::HostModel;
use crate::decoder::as_slice;
use crate::kernels::{self, vectorized};
use crate::layout::kv_width;

/// Gradients of the rearranged weights of one block.
pub(crate) struct BlockGradient {
    pub(crate) qkv: TensorData,
    pub(crate) qkv_bias: Option<Vec<f32>>,
    pub(crate) qk_norm: Option<[Vec<f32>; 2]>,
    pub(crate) o: TensorData,
    pub(crate) gate_up: TensorData,
    pub(crate) down: TensorData,
}

impl HostModel {
    /// Spreads the gradients of a block's rearranged weights over the parameters they were made of.
    pub(crate) fn unfold(
        &self,
        layer: usize,
        from: &BlockGradient,
        gradients: &mut [Vec<f32>],
    ) -> Result<(), PolicyError> {
        let config = &self.decoder.config;
        let (width, kv, ffn) = (config.hidden_size, kv_width(config), config.intermediate_size);
        let index = &self.layout.blocks[layer];
        let stride = width + 2 * kv;
        let qkv = as_slice(&from.qkv)?;
        for (which, columns) in [0..width, width..width + kv, width + kv..stride]
            .into_iter()
            .enumerate()
        {
            self.unscale(
                index.input_norm,
                index.qkv[which],
                (qkv, stride),
                columns.clone(),
                gradients,
            );
            if let (Some(sums), Some(bias)) = (&from.qkv_bias, index.qkv_bias) {
                gradients[bias[which]].copy_from_slice(&sums[columns]);
            }
        }
        let gate_up = as_slice(&from.gate_up)?;
        let [gate, up, down] = index.gate_up_down;
        for (matrix, columns) in [(gate, 0..ffn), (up, ffn..2 * ffn)] {
            self.unscale(index.post_norm, matrix, (gate_up, 2 * ffn), columns, gradients);
        }
        gradients[index.o].copy_from_slice(as_slice(&from.o)?);
        gradients[down].copy_from_slice(as_slice(&from.down)?);
        if let (Some(from), Some(to)) = (&from.qk_norm, index.qk_norm) {
            for (from, to) in from.iter().zip(to) {
                gradients[to].copy_from_slice(from);
            }
        }
        Ok(())
    }

    /// For `folded[i][j] = scale[i] matrix[i][j]`: adds to the gradients of scale and matrix.
    fn unscale(
        &self,
        scale: usize,
        matrix: usize,
        (folded, stride): (&[f32], usize),
        columns: Range<usize>,
        gradients: &mut [Vec<f32>],
    ) {
        let n = columns.len();
        let (scales, matrices) = (&self.tensors[scale], &self.tensors[matrix]);
        let mut d_scale = std::mem::take(&mut gradients[scale]);
        let d_matrix = &mut gradients[matrix];
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in folded.chunks_exact(stride).enumerate() {
                    let d = &row[columns.clone()];
                    let span = i * n..(i + 1) * n;
                    d_scale[i] += kernels::dot(d, &matrices[span.clone()]);
                    for (g, d) in d_matrix[span].iter_mut().zip(d) {
                        *g = scales[i] * d;
                    }
                }
            },
        );
        gradients[scale] = d_scale;
    }

    pub(crate) fn head_gradient(&self, d_head: &[f32], gradients: &mut [Vec<f32>]) {
        let vocab = self.decoder.vocab_size();
        let width = self.decoder.config.hidden_size;
        let norm = self.layout.final_norm;
        if let Some(head) = self.layout.head {
            self.unscale(norm, head, (d_head, vocab), 0..vocab, gradients);
            return;
        }
        let embedding = self.layout.embedding;
        for (i, row) in d_head.chunks_exact(vocab).enumerate() {
            let factor = self.tensors[norm][i];
            let mut sum = 0.0;
            for (v, d) in row.iter().enumerate() {
                let at = v * width + i;
                sum += self.tensors[embedding][at] * d;
                gradients[embedding][at] += factor * d;
            }
            gradients[norm][i] = sum;
        }
    }
}
