//! The forward pass of training, in tensor operations that burn differentiates.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation};

use crate::decoder::scale_rows;
use crate::layout::{BlockIndex, Layout, queries_per_kv};
use crate::rope::RopeTable;
use groupwise_core::architecture::TransformerConfig;

/// A rectangle of sequences, padded on the right, and the rows whose next token is scored.
#[derive(Clone, Debug)]
pub struct Rectangle {
    n_sequences: usize,
    length: usize,
    ids: Vec<i32>,
    rows: Vec<i32>,
}

impl Rectangle {
    /// Room for `n_sequences` of at most `length` tokens.
    pub fn new(n_sequences: usize, length: usize) -> Self {
        Self {
            n_sequences,
            length,
            ids: vec![crate::tokenizer::PADDING as i32; n_sequences * length],
            rows: Vec::new(),
        }
    }

    /// Sets token `position` of a sequence.
    pub fn set(&mut self, sequence: usize, position: usize, id: u32) {
        self.ids[sequence * self.length + position] = id as i32;
    }

    /// Asks for the logits after token `position` of a sequence; they come in the order asked for.
    pub fn score_after(&mut self, sequence: usize, position: usize) {
        self.rows.push((sequence * self.length + position) as i32);
    }

    /// Number of rows asked for.
    pub fn n_scored(&self) -> usize {
        self.rows.len()
    }
}

/// The forward pass of one form of model.
#[derive(Clone, Debug)]
pub struct Forward {
    config: TransformerConfig,
    layout: Layout,
    rope: RopeTable,
}

/// Tables and masks that all blocks of one pass share.
struct Shared {
    n: usize,
    t: usize,
    /// `[1, t, 1, head_dim]`.
    cos: Tensor<4>,
    sin: Tensor<4>,
    /// Moves the second half of a head, negated, to the front: `[1, 1, head_dim, head_dim]`.
    half_turn: Tensor<4>,
    /// True where a query must not look: `[1, 1, queries_per_kv * t, t]`.
    future: Tensor<4, Bool>,
}

impl Forward {
    /// Prepares the tables.
    pub fn new(config: &TransformerConfig, vocab_size: usize) -> Self {
        Self {
            config: config.clone(),
            layout: Layout::new(config, vocab_size),
            rope: RopeTable::new(config),
        }
    }

    /// Logits of the rows asked for, `[rows, vocabulary]`.
    ///
    /// `params` may carry gradients; padding lies to the right of every real token, so the causal mask alone
    /// keeps it from being seen.
    pub fn logits(&self, params: &[Tensor<2>], rectangle: &Rectangle) -> Tensor<2> {
        let device = params[0].device();
        let shared = self.shared(rectangle, &device);
        let ids = Tensor::<1, Int>::from_data(
            TensorData::new(rectangle.ids.clone(), [rectangle.ids.len()]),
            &device,
        );
        let mut x = params[self.layout.embedding].clone().select(0, ids);
        for block in &self.layout.blocks {
            x = self.block(params, block, x, &shared);
        }
        let rows = Tensor::<1, Int>::from_data(
            TensorData::new(rectangle.rows.clone(), [rectangle.rows.len()]),
            &device,
        );
        let x = self.normalize(x.select(0, rows));
        let scale = &params[self.layout.final_norm];
        match self.layout.head {
            Some(head) => x.matmul(scale_rows(scale, &params[head])),
            None => x.matmul((params[self.layout.embedding].clone() * scale.clone()).transpose()),
        }
    }

    fn shared(&self, rectangle: &Rectangle, device: &Device) -> Shared {
        let (t, dim, groups) = (
            rectangle.length,
            self.config.head_dim(),
            queries_per_kv(&self.config),
        );
        let half = dim / 2;
        let table = |pick: fn(&RopeTable, usize) -> &[f32]| {
            let values: Vec<f32> = (0..t)
                .flat_map(|p| {
                    let row = pick(&self.rope, p);
                    row.iter().chain(row).copied()
                })
                .collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, t, 1, dim]), device)
        };
        let mut turn = vec![0.0_f32; dim * dim];
        for i in 0..half {
            turn[(i + half) * dim + i] = -1.0;
            turn[i * dim + i + half] = 1.0;
        }
        let future: Vec<bool> = (0..groups * t)
            .flat_map(|row| (0..t).map(move |k| k > row % t))
            .collect();
        Shared {
            n: rectangle.n_sequences,
            t,
            cos: table(|rope, p| rope.at(p).0),
            sin: table(|rope, p| rope.at(p).1),
            half_turn: Tensor::from_data(TensorData::new(turn, [1, 1, dim, dim]), device),
            future: Tensor::from_data(TensorData::new(future, [1, 1, groups * t, t]), device),
        }
    }

    fn block(&self, params: &[Tensor<2>], index: &BlockIndex, x: Tensor<2>, shared: &Shared) -> Tensor<2> {
        let mixed = self.attention(params, index, self.normalize(x.clone()), shared);
        let x = x + mixed.matmul(params[index.o].clone());
        let normed = self.normalize(x.clone());
        let scale = &params[index.post_norm];
        let [gate, up, down] = index.gate_up_down;
        let gate = normed.clone().matmul(scale_rows(scale, &params[gate]));
        let up = normed.matmul(scale_rows(scale, &params[up]));
        x + (activation::silu(gate) * up).matmul(params[down].clone())
    }

    fn attention(
        &self,
        params: &[Tensor<2>],
        index: &BlockIndex,
        normed: Tensor<2>,
        shared: &Shared,
    ) -> Tensor<2> {
        let (n, t, dim) = (shared.n, shared.t, self.config.head_dim());
        let (kv, groups) = (self.config.num_key_value_heads, queries_per_kv(&self.config));
        let scale = &params[index.input_norm];
        let project = |which: usize| {
            let y = normed
                .clone()
                .matmul(scale_rows(scale, &params[index.qkv[which]]));
            match index.qkv_bias {
                Some(bias) => y + params[bias[which]].clone(),
                None => y,
            }
        };
        let head_norm = |which: usize, x: Tensor<4>| match index.qk_norm {
            Some(norm) => {
                let heads = x.dims()[2];
                let x = self.normalize(x.reshape([n * t * heads, dim])) * params[norm[which]].clone();
                x.reshape([n, t, heads, dim])
            }
            None => x,
        };
        let turn = |x: Tensor<4>| {
            x.clone() * shared.cos.clone() + x.matmul(shared.half_turn.clone()) * shared.sin.clone()
        };
        let q = turn(head_norm(0, project(0).reshape([n, t, kv * groups, dim])));
        let k = turn(head_norm(1, project(1).reshape([n, t, kv, dim])));
        let v = project(2).reshape([n, t, kv, dim]);
        // Query heads of one key head are stacked: one product serves them all.
        let q = q
            .reshape([n, t, kv, groups, dim])
            .permute([0, 2, 3, 1, 4])
            .reshape([n, kv, groups * t, dim]);
        let scores = q
            .mul_scalar(1.0 / (dim as f64).sqrt())
            .matmul(k.permute([0, 2, 3, 1]));
        let weights = activation::softmax(scores.mask_fill(shared.future.clone(), -1e30), 3);
        weights
            .matmul(v.permute([0, 2, 1, 3]))
            .reshape([n, kv, groups, t, dim])
            .permute([0, 3, 1, 2, 4])
            .reshape([n * t, kv * groups * dim])
    }

    fn normalize(&self, x: Tensor<2>) -> Tensor<2> {
        let mean_square = x.clone().square().mean_dim(1);
        x / mean_square.add_scalar(self.config.rms_norm_eps).sqrt()
    }
}
