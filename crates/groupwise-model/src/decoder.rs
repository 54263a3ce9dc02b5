//! The forward pass of generation: ragged rows, key-value caches, no padding.
//!
//! Matrix products run on the device; everything between them runs on slices in place, which at the widths of
//! the policies trained here costs a fraction of one tensor operation per step.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use groupwise_core::seams::PolicyError;

use crate::kernels::{self, HeadCache, attend, inverse_rms, rotate, vectorized};
use crate::layout::{kv_width, queries_per_kv};
use crate::rope::RopeTable;
use crate::weights::{Weights, read_values};
use groupwise_core::architecture::TransformerConfig;

/// Weights rearranged for generation: projections side by side, norm scales multiplied into what follows them.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub(crate) config: TransformerConfig,
    pub(crate) device: Device,
    pub(crate) rope: RopeTable,
    embedding: Vec<f32>,
    pub(crate) blocks: Vec<Block>,
    /// `[hidden, vocabulary]`.
    pub(crate) head: Tensor<2>,
}

/// The weights of one block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) qkv: Tensor<2>,
    pub(crate) qkv_bias: Option<Vec<f32>>,
    pub(crate) qk_norm: Option<[Vec<f32>; 2]>,
    pub(crate) o: Tensor<2>,
    pub(crate) gate_up: Tensor<2>,
    pub(crate) down: Tensor<2>,
}

/// Keys and values of a run of tokens, `[layer][key head]`.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    heads: Vec<HeadCache>,
    len: usize,
}

/// One sequence: what it shares with its group, and what is its own.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) shared: Arc<Segment>,
    pub(crate) own: Segment,
}

impl Sequence {
    fn len(&self) -> usize {
        self.shared.len + self.own.len
    }
}

impl Decoder {
    pub(crate) fn new(weights: &Weights) -> Result<Self, PolicyError> {
        let (config, layout, tensors) = (weights.config(), weights.layout(), weights.tensors());
        let scaled = |scale: usize, matrix: usize| scale_rows(&tensors[scale], &tensors[matrix]);
        let row = |index: usize| read_values(tensors[index].clone());
        let mut blocks = Vec::with_capacity(layout.blocks.len());
        for index in &layout.blocks {
            let qkv_bias = match index.qkv_bias {
                Some(bias) => Some([row(bias[0])?, row(bias[1])?, row(bias[2])?].concat()),
                None => None,
            };
            let qk_norm = match index.qk_norm {
                Some(norm) => Some([row(norm[0])?, row(norm[1])?]),
                None => None,
            };
            let [gate, up, down] = index.gate_up_down;
            blocks.push(Block {
                qkv: Tensor::cat(index.qkv.map(|m| scaled(index.input_norm, m)).to_vec(), 1),
                qkv_bias,
                qk_norm,
                o: tensors[index.o].clone(),
                gate_up: Tensor::cat([gate, up].map(|m| scaled(index.post_norm, m)).to_vec(), 1),
                down: tensors[down].clone(),
            });
        }
        let head = match layout.head {
            Some(head) => tensors[head].clone(),
            None => tensors[layout.embedding].clone().transpose(),
        };
        let head = read_values(scale_rows(&tensors[layout.final_norm], &head))?;
        let shape = [config.hidden_size, weights.vocab_size()];
        Ok(Self {
            rope: RopeTable::new(config),
            embedding: read_values(tensors[layout.embedding].clone())?,
            blocks,
            head: Tensor::from_data(TensorData::new(head, shape), weights.device()),
            device: weights.device().clone(),
            config: config.clone(),
        })
    }

    /// An empty cache.
    pub(crate) fn segment(&self) -> Segment {
        let config = &self.config;
        Segment {
            heads: vec![HeadCache::default(); config.num_hidden_layers * config.num_key_value_heads],
            len: 0,
        }
    }

    /// Width of a hidden row.
    pub(crate) fn width(&self) -> usize {
        self.config.hidden_size
    }

    pub(crate) fn vocab_size(&self) -> usize {
        self.embedding.len() / self.config.hidden_size
    }

    /// Embeddings of tokens, one row each.
    pub(crate) fn embed<'a>(&self, tokens: impl Iterator<Item = &'a u32>) -> Result<Vec<f32>, PolicyError> {
        let width = self.config.hidden_size;
        let mut x = Vec::with_capacity(tokens.size_hint().0 * width);
        for token in tokens {
            let start = *token as usize * width;
            let row = self
                .embedding
                .get(start..start + width)
                .ok_or_else(|| PolicyError::Vocabulary {
                    symbol: format!("id {token}"),
                    text: "a prompt".into(),
                })?;
            x.extend_from_slice(row);
        }
        Ok(x)
    }

    /// Takes `tokens[i]` into `sequences[i]` and returns the final hidden row after the last of each (at least
    /// one token each).
    pub(crate) fn advance(
        &self,
        sequences: &mut [Sequence],
        tokens: &[&[u32]],
    ) -> Result<Vec<f32>, PolicyError> {
        let width = self.config.hidden_size;
        let eps = self.config.rms_norm_eps as f32;
        let mut x = self.embed(tokens.iter().copied().flatten())?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let normed = kernels::normalize_rows(&x, width, eps);
            let qkv = self.product(normed, &block.qkv)?;
            let mixed = self.attention(layer, block, as_slice(&qkv)?, sequences, tokens);
            kernels::add_rows(&mut x, as_slice(&self.product(mixed, &block.o)?)?);
            let normed = kernels::normalize_rows(&x, width, eps);
            let gate_up = self.product(normed, &block.gate_up)?;
            let active = kernels::swiglu_rows(as_slice(&gate_up)?, self.config.intermediate_size);
            kernels::add_rows(&mut x, as_slice(&self.product(active, &block.down)?)?);
        }
        let mut last = Vec::with_capacity(tokens.len() * width);
        let mut end = 0;
        for (sequence, tokens) in sequences.iter_mut().zip(tokens) {
            sequence.own.len += tokens.len();
            end += tokens.len() * width;
            last.extend_from_slice(&x[end - width..end]);
        }
        Ok(last)
    }

    /// Logits of final hidden rows.
    pub(crate) fn logits(&self, rows: &[f32]) -> Result<TensorData, PolicyError> {
        let normed = kernels::normalize_rows(rows, self.config.hidden_size, self.config.rms_norm_eps as f32);
        self.product(normed, &self.head)
    }

    pub(crate) fn product(&self, rows: Vec<f32>, matrix: &Tensor<2>) -> Result<TensorData, PolicyError> {
        let [inner, _] = matrix.dims();
        let shape = [rows.len() / inner, inner];
        Tensor::<2>::from_data(TensorData::new(rows, shape), &self.device)
            .matmul(matrix.clone())
            .try_into_data()
            .map_err(|e| PolicyError::Unavailable(format!("the device failed: {e:?}")))
    }

    /// Rotates, caches and attends, one sequence after another.
    fn attention(
        &self,
        layer: usize,
        block: &Block,
        qkv: &[f32],
        sequences: &mut [Sequence],
        tokens: &[&[u32]],
    ) -> Vec<f32> {
        let config = &self.config;
        let (head_dim, kv_heads) = (config.head_dim(), config.num_key_value_heads);
        let (width, kv_width) = (config.hidden_size, kv_width(config));
        let first = layer * kv_heads;
        let mut out = vec![0.0; qkv.len() / (width + 2 * kv_width) * width];
        let mut scores = Vec::new();
        let mut rows = qkv.chunks_exact(width + 2 * kv_width);
        let mut outs = out.chunks_exact_mut(width);
        let mut queries = Vec::new();
        for (sequence, tokens) in sequences.iter_mut().zip(tokens) {
            queries.clear();
            let start = sequence.len();
            for (i, row) in rows.by_ref().take(tokens.len()).enumerate() {
                queries.extend_from_slice(row);
                let row = &mut queries[i * row.len()..];
                vectorized(
                    #[inline(always)]
                    || self.prepare(block, row, start + i),
                );
                for h in 0..kv_heads {
                    let at = width + h * head_dim;
                    sequence.own.heads[first + h]
                        .push(&row[at..at + head_dim], &row[at + kv_width..][..head_dim]);
                }
            }
            let stride = width + 2 * kv_width;
            for (i, out) in outs.by_ref().take(tokens.len()).enumerate() {
                let query = &queries[i * stride..i * stride + width];
                let visible = sequence.own.len + i + 1;
                vectorized(
                    #[inline(always)]
                    || self.attend_heads(layer, query, sequence, visible, &mut scores, out),
                );
            }
        }
        out
    }

    /// Mixes the values that one row of queries sees: all that is shared, and `visible` tokens of its own.
    #[inline(always)]
    fn attend_heads(
        &self,
        layer: usize,
        query: &[f32],
        sequence: &Sequence,
        visible: usize,
        scores: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let (head_dim, kv_heads) = (self.config.head_dim(), self.config.num_key_value_heads);
        let group = queries_per_kv(&self.config) * head_dim;
        let first = layer * kv_heads;
        for h in 0..kv_heads {
            let caches = [
                (&sequence.shared.heads[first + h], sequence.shared.len),
                (&sequence.own.heads[first + h], visible),
            ];
            let span = h * group..(h + 1) * group;
            attend(&query[span.clone()], head_dim, caches, scores, &mut out[span]);
        }
    }

    /// Bias, head norms and rotation of one row of queries, keys and values.
    #[inline(always)]
    pub(crate) fn prepare(&self, block: &Block, row: &mut [f32], position: usize) {
        let config = &self.config;
        let head_dim = config.head_dim();
        if let Some(bias) = &block.qkv_bias {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
        let (queries, rest) = row.split_at_mut(config.hidden_size);
        let keys = &mut rest[..kv_width(config)];
        let (cos, sin) = self.rope.at(position);
        let temper = 1.0 / (head_dim as f32).sqrt();
        for (which, heads, scale) in [(0, queries, temper), (1, keys, 1.0)] {
            for head in heads.chunks_exact_mut(head_dim) {
                if let Some(norm) = &block.qk_norm {
                    let inverse = inverse_rms(head, config.rms_norm_eps as f32);
                    for (x, w) in head.iter_mut().zip(&norm[which]) {
                        *x *= inverse * w;
                    }
                }
                rotate(head, cos, sin, scale);
            }
        }
    }
}

/// Multiplies row `i` of a matrix by element `i` of a `[1, n]` scale.
pub(crate) fn scale_rows(scale: &Tensor<2>, matrix: &Tensor<2>) -> Tensor<2> {
    matrix.clone() * scale.clone().transpose()
}

/// The numbers of a product.
pub(crate) fn as_slice(data: &TensorData) -> Result<&[f32], PolicyError> {
    data.as_slice::<f32>()
        .map_err(|e| PolicyError::Unavailable(format!("the device computes in another type: {e:?}")))
}
