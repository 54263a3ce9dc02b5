//! Names, shapes and order of the parameters.

use groupwise_core::architecture::TransformerConfig;

/// How a parameter is initialized and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Multiplies from the right: held as `[in, out]`, saved as `[out, in]` like Hugging Face does.
    Linear,
    /// A table of rows: held and saved as `[vocabulary, width]`.
    Embedding,
    /// Scale of a norm: held as `[1, n]`, saved as `[n]`, starts at 1.
    Scale,
    /// Bias: held as `[1, n]`, saved as `[n]`, starts at 0.
    Bias,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Name in a Hugging Face checkpoint.
    pub name: String,
    /// How it is initialized and stored.
    pub kind: Kind,
    /// First dimension as held.
    pub rows: usize,
    /// Second dimension as held.
    pub columns: usize,
}

impl Param {
    /// Shape in a checkpoint.
    pub fn saved_shape(&self) -> Vec<usize> {
        match self.kind {
            Kind::Linear => vec![self.columns, self.rows],
            Kind::Embedding => vec![self.rows, self.columns],
            Kind::Scale | Kind::Bias => vec![self.columns],
        }
    }
}

/// Indices of the parameters of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockIndex {
    /// Scale before attention.
    pub input_norm: usize,
    /// Query, key, value projections.
    pub qkv: [usize; 3],
    /// Their biases.
    pub qkv_bias: Option<[usize; 3]>,
    /// Scales of query and key heads.
    pub qk_norm: Option<[usize; 2]>,
    /// Output projection.
    pub o: usize,
    /// Scale before the SwiGLU layer.
    pub post_norm: usize,
    /// Gate, up and down projections.
    pub gate_up_down: [usize; 3],
}

/// All parameters of a model in order, and where each part finds its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Parameters in the order of checkpoints, digests and gradients.
    pub params: Vec<Param>,
    /// The embedding.
    pub embedding: usize,
    /// The blocks.
    pub blocks: Vec<BlockIndex>,
    /// Scale of the last norm.
    pub final_norm: usize,
    /// Output head, if it is not the embedding.
    pub head: Option<usize>,
}

impl Layout {
    /// The layout of a model of this form.
    pub fn new(config: &TransformerConfig, vocab_size: usize) -> Self {
        let mut params = Vec::new();
        let mut add = |name: String, kind: Kind, rows: usize, columns: usize| {
            params.push(Param {
                name,
                kind,
                rows,
                columns,
            });
            params.len() - 1
        };
        let (d, kv, ffn) = (config.hidden_size, kv_width(config), config.intermediate_size);
        let embedding = add("model.embed_tokens.weight".into(), Kind::Embedding, vocab_size, d);
        let mut blocks = Vec::with_capacity(config.num_hidden_layers);
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let input_norm = add(name("input_layernorm.weight"), Kind::Scale, 1, d);
            let widths = [("q", d), ("k", kv), ("v", kv)];
            let qkv =
                widths.map(|(p, n)| add(name(&format!("self_attn.{p}_proj.weight")), Kind::Linear, d, n));
            let qkv_bias = config.attention_bias.then(|| {
                widths.map(|(p, n)| add(name(&format!("self_attn.{p}_proj.bias")), Kind::Bias, 1, n))
            });
            let qk_norm = config.qk_norm.then(|| {
                ["q", "k"].map(|p| {
                    add(
                        name(&format!("self_attn.{p}_norm.weight")),
                        Kind::Scale,
                        1,
                        config.head_dim(),
                    )
                })
            });
            let o = add(name("self_attn.o_proj.weight"), Kind::Linear, d, d);
            let post_norm = add(name("post_attention_layernorm.weight"), Kind::Scale, 1, d);
            let gate_up_down =
                [("gate", d, ffn), ("up", d, ffn), ("down", ffn, d)].map(|(p, rows, columns)| {
                    add(name(&format!("mlp.{p}_proj.weight")), Kind::Linear, rows, columns)
                });
            blocks.push(BlockIndex {
                input_norm,
                qkv,
                qkv_bias,
                qk_norm,
                o,
                post_norm,
                gate_up_down,
            });
        }
        let final_norm = add("model.norm.weight".into(), Kind::Scale, 1, d);
        let head =
            (!config.tie_word_embeddings).then(|| add("lm_head.weight".into(), Kind::Linear, d, vocab_size));
        Self {
            params,
            embedding,
            blocks,
            final_norm,
            head,
        }
    }
}

/// Width of all key heads together.
pub(crate) fn kv_width(config: &TransformerConfig) -> usize {
    config.num_key_value_heads * config.head_dim()
}

/// Query heads per key head.
pub(crate) fn queries_per_kv(config: &TransformerConfig) -> usize {
    config.num_attention_heads / config.num_key_value_heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_add_up_to_the_parameter_count_of_every_form() {
        for form in 0..8 {
            let config = TransformerConfig {
                attention_bias: form & 1 == 1,
                qk_norm: form & 2 == 2,
                tie_word_embeddings: form & 4 == 4,
                ..TransformerConfig::default()
            };
            let layout = Layout::new(&config, 77);
            let total: usize = layout.params.iter().map(|p| p.rows * p.columns).sum();
            assert_eq!(total, config.n_parameters(77));
        }
    }
}
