//! Causal attention of one head over one sequence, forward and backward.

use crate::kernels::{self, exp_f32};
use crate::tiles::{View, add_product};

/// Buffers of one head's attention.
pub(crate) struct Scratch {
    n: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// `[dim][n]`.
    keys_t: Vec<f32>,
    values_t: Vec<f32>,
    /// `[n][n]`, zero above the diagonal.
    weights: Vec<f32>,
    d_weights: Vec<f32>,
    d_out: Vec<f32>,
}

/// Rows that share a causal limit in tiles.
const TILE: usize = 4;

impl Scratch {
    pub(crate) fn new(longest: usize, dim: usize) -> Self {
        let wide = || vec![0.0; longest * dim];
        Self {
            n: 0,
            queries: wide(),
            keys: wide(),
            values: wide(),
            keys_t: wide(),
            values_t: wide(),
            weights: vec![0.0; longest * longest],
            d_weights: vec![0.0; longest * longest],
            d_out: wide(),
        }
    }

    pub(crate) fn load_keys_values(
        &mut self,
        qkv: &[f32],
        stride: usize,
        key: usize,
        value: usize,
        dim: usize,
    ) {
        self.n = qkv.len() / stride;
        let n = self.n;
        for (t, row) in qkv.chunks_exact(stride).enumerate() {
            self.keys[t * dim..(t + 1) * dim].copy_from_slice(&row[key..key + dim]);
            self.values[t * dim..(t + 1) * dim].copy_from_slice(&row[value..value + dim]);
            for d in 0..dim {
                self.keys_t[d * n + t] = row[key + d];
                self.values_t[d * n + t] = row[value + d];
            }
        }
    }

    #[inline(always)]
    pub(crate) fn load_queries(&mut self, qkv: &[f32], stride: usize, at: usize, dim: usize) {
        for (t, row) in qkv.chunks_exact(stride).enumerate() {
            self.queries[t * dim..(t + 1) * dim].copy_from_slice(&row[at..at + dim]);
        }
    }

    /// Attention weights of every query.
    #[inline(always)]
    pub(crate) fn softmax(&mut self, dim: usize) {
        let n = self.n;
        self.weights[..n * n].fill(0.0);
        let mut start = 0;
        while start < n {
            let end = (start + TILE).min(n);
            add_product(
                View::new(&self.queries, dim),
                (&self.keys_t, n),
                (&mut self.weights, n),
                start..end,
                end,
                0..dim,
            );
            for t in start..end {
                let (row, hidden) = self.weights[t * n..t * n + end].split_at_mut(t + 1);
                hidden.fill(0.0);
                let top = row
                    .iter()
                    .fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
                for x in row.iter_mut() {
                    *x = exp_f32(*x - top);
                }
                let inverse = 1.0 / kernels::sum(row);
                row.iter_mut().for_each(|x| *x *= inverse);
            }
            start = end;
        }
    }

    /// `out[t][at..] = sum_s weights[t][s] values[s]`.
    #[inline(always)]
    pub(crate) fn mix(&mut self, out: &mut [f32], width: usize, at: usize, dim: usize) {
        let n = self.n;
        let mut start = 0;
        while start < n {
            let end = (start + TILE).min(n);
            add_product(
                View::new(&self.weights, n),
                (&self.values, dim),
                (&mut out[at..], width),
                start..end,
                dim,
                0..end,
            );
            start = end;
        }
    }

    /// Adds the derivatives by query, key and value at the columns `at` of `out`.
    #[inline(always)]
    pub(crate) fn backward(
        &mut self,
        (d_mixed, width): (&[f32], usize),
        (out, stride): (&mut [f32], usize),
        at: [usize; 3],
        dim: usize,
    ) {
        let n = self.n;
        for (t, row) in d_mixed.chunks_exact(width).enumerate() {
            self.d_out[t * dim..(t + 1) * dim].copy_from_slice(&row[at[0]..at[0] + dim]);
        }
        self.d_weights[..n * n].fill(0.0);
        let mut start = 0;
        while start < n {
            let end = (start + TILE).min(n);
            add_product(
                View::new(&self.d_out, dim),
                (&self.values_t, n),
                (&mut self.d_weights, n),
                start..end,
                end,
                0..dim,
            );
            for t in start..end {
                let weights = &self.weights[t * n..t * n + end];
                let d = &mut self.d_weights[t * n..t * n + end];
                let mean = kernels::dot(weights, d);
                for (d, w) in d.iter_mut().zip(weights) {
                    *d = w * (*d - mean);
                }
            }
            start = end;
        }
        let mut start = 0;
        while start < n {
            let end = (start + TILE).min(n);
            let rows = start..end;
            let d_scores = View::new(&self.d_weights, n);
            let query = (&mut out[at[0]..], stride);
            add_product(d_scores, (&self.keys, dim), query, rows.clone(), dim, 0..end);
            let key = (&mut out[at[1]..], stride);
            add_product(
                d_scores.transposed(),
                (&self.queries, dim),
                key,
                rows.clone(),
                dim,
                start..n,
            );
            let value = (&mut out[at[2]..], stride);
            let weights = View::new(&self.weights, n).transposed();
            add_product(weights, (&self.d_out, dim), value, rows, dim, start..n);
            start = end;
        }
    }
}
