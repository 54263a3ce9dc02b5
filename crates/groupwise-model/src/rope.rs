//! Rotary positions: angles in f64, tables in f32.

use groupwise_core::architecture::TransformerConfig;

/// Cosines and sines, `[position][head_dim / 2]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeTable {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// Tables for every position of the context.
    ///
    /// # Formula
    /// `angle(position, i) = position * rope_theta^(-2 i / head_dim)`; element `i` turns with element
    /// `i + head_dim / 2`.
    pub fn new(config: &TransformerConfig) -> Self {
        let half = config.head_dim() / 2;
        let frequencies: Vec<f64> = (0..half)
            .map(|i| config.rope_theta.powf(-(i as f64) / half as f64))
            .collect();
        let angles = || {
            (0..config.max_position_embeddings).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f))
        };
        Self {
            half,
            cos: angles().map(|a| a.cos() as f32).collect(),
            sin: angles().map(|a| a.sin() as f32).collect(),
        }
    }

    /// Cosines and sines of one position.
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }
}
