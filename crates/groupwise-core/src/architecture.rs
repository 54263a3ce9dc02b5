//! Plain data that describes a policy and its optimizer, so that recipes can be read without a tensor library.

use serde::{Deserialize, Serialize};

use crate::error::ParamError;

/// A pre-norm decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU.  Keys as in `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Key and value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Longest sequence, prompt and completion together.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square inside RMSNorm.
    pub rms_norm_eps: f64,
    /// Output head shares the embedding matrix.
    pub tie_word_embeddings: bool,
    /// Standard deviation of the initial weights; absent: `1 / sqrt(hidden_size)`.
    ///
    /// 0.02, the constant of large models, leaves a narrow one almost linear: it needs several times the updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initializer_range: Option<f64>,
    /// RMSNorm on each query and key head (Qwen3).
    pub qk_norm: bool,
    /// Biases on the query, key and value projections (Qwen2).
    pub attention_bias: bool,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self {
            hidden_size: 64,
            intermediate_size: 192,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            max_position_embeddings: 128,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-6,
            tie_word_embeddings: true,
            initializer_range: None,
            qk_norm: false,
            attention_bias: false,
        }
    }
}

impl TransformerConfig {
    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Standard deviation of the initial weights.
    pub fn initial_std(&self) -> f64 {
        self.initializer_range
            .unwrap_or_else(|| 1.0 / (self.hidden_size as f64).sqrt())
    }

    /// Checks every value.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn validate(&self) -> Result<(), ParamError> {
        for (key, value) in [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            ParamError::check(value >= 1, key, value, ">= 1")?;
        }
        let (heads, kv) = (self.num_attention_heads, self.num_key_value_heads);
        let divides = |a: usize, b: usize| b.is_multiple_of(a);
        let range = format!("a divisor of hidden_size {}", self.hidden_size);
        ParamError::check(
            divides(heads, self.hidden_size),
            "num_attention_heads",
            heads,
            &range,
        )?;
        let range = format!("a divisor of num_attention_heads {heads}");
        ParamError::check(divides(kv, heads), "num_key_value_heads", kv, &range)?;
        let even = self.head_dim().is_multiple_of(2);
        let range = "such that hidden_size / num_attention_heads is even (rotary pairs)";
        ParamError::check(even, "num_attention_heads", heads, range)?;
        ParamError::check(
            self.rope_theta > 1.0 && self.rope_theta.is_finite(),
            "rope_theta",
            self.rope_theta,
            "> 1",
        )?;
        let eps = self.rms_norm_eps;
        ParamError::check(eps > 0.0 && eps < 1.0, "rms_norm_eps", eps, "in (0, 1)")?;
        let std = self.initial_std();
        ParamError::check(
            std > 0.0 && std.is_finite(),
            "initializer_range",
            std,
            "a finite number > 0",
        )
    }

    /// Number of parameters for a vocabulary.
    pub fn n_parameters(&self, vocabulary: usize) -> usize {
        let (d, f, kv) = (
            self.hidden_size,
            self.intermediate_size,
            self.num_key_value_heads * self.head_dim(),
        );
        let bias = if self.attention_bias { d + 2 * kv } else { 0 };
        let norms = 2 * d + if self.qk_norm { 2 * self.head_dim() } else { 0 };
        let layer = 2 * d * d + 2 * d * kv + 3 * d * f + bias + norms;
        let embeddings = vocabulary * d * if self.tie_word_embeddings { 1 } else { 2 };
        embeddings + self.num_hidden_layers * layer + d
    }
}

/// AdamW with decoupled weight decay; every value that changes a number is written out.
///
/// # Formula
/// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`, `theta -= lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)
/// + weight_decay theta)`.  The learning rate comes with each step.
///
/// # Source
/// Loshchilov and Hutter, arXiv 1711.05101; PyTorch's defaults except `weight_decay` (PyTorch 0.01, TRL 0).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub adam_beta1: f64,
    /// Decay of the second moment.
    pub adam_beta2: f64,
    /// Added to the root of the second moment.
    pub adam_epsilon: f64,
    /// Decoupled decay.
    pub weight_decay: f64,
    /// Global gradient norm above which the gradient is scaled down; 0 is refused, leave it out for no clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// Most model tokens (prompt and completion) of one micro-batch.
    pub micro_batch_tokens: usize,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: Some(1.0),
            micro_batch_tokens: 4096,
        }
    }
}

impl AdamWConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn validate(&self) -> Result<(), ParamError> {
        for (key, value) in [("adam_beta1", self.adam_beta1), ("adam_beta2", self.adam_beta2)] {
            ParamError::check((0.0..1.0).contains(&value), key, value, "in [0, 1)")?;
        }
        let (eps, decay) = (self.adam_epsilon, self.weight_decay);
        ParamError::check(
            eps > 0.0 && eps.is_finite(),
            "adam_epsilon",
            eps,
            "a finite number > 0",
        )?;
        ParamError::check_coefficient("weight_decay", decay)?;
        if let Some(norm) = self.max_grad_norm {
            ParamError::check(
                norm > 0.0 && norm.is_finite(),
                "max_grad_norm",
                norm,
                "a finite number > 0",
            )?;
        }
        ParamError::check(
            self.micro_batch_tokens >= 1,
            "micro_batch_tokens",
            self.micro_batch_tokens,
            ">= 1",
        )
    }
}

/// A softmax table with plain gradient descent: one row of logits per state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TabularConfig {
    /// Standard deviation of the initial logits, where the world prescribes none.
    pub init_std: f64,
    /// Global gradient norm above which the gradient is scaled down; absent: no clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// Most tokens of one micro-batch.
    pub micro_batch_tokens: usize,
}

impl Default for TabularConfig {
    fn default() -> Self {
        Self {
            init_std: 0.0,
            max_grad_norm: None,
            micro_batch_tokens: 1 << 20,
        }
    }
}

impl TabularConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn validate(&self) -> Result<(), ParamError> {
        check_descent(self.init_std, self.max_grad_norm, self.micro_batch_tokens)
    }
}

/// A softmax over logits that are linear in a world's features, with plain gradient descent: states share weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearConfig {
    /// Standard deviation of the initial weights.
    pub init_std: f64,
    /// Global gradient norm above which the gradient is scaled down; absent: no clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// Most tokens of one micro-batch.
    pub micro_batch_tokens: usize,
}

impl Default for LinearConfig {
    fn default() -> Self {
        Self {
            init_std: 0.0,
            max_grad_norm: None,
            micro_batch_tokens: 1 << 20,
        }
    }
}

impl LinearConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn validate(&self) -> Result<(), ParamError> {
        check_descent(self.init_std, self.max_grad_norm, self.micro_batch_tokens)
    }
}

/// What both policies with plain gradient descent check.
fn check_descent(
    init_std: f64,
    max_grad_norm: Option<f64>,
    micro_batch_tokens: usize,
) -> Result<(), ParamError> {
    ParamError::check_coefficient("init_std", init_std)?;
    if let Some(norm) = max_grad_norm {
        ParamError::check(
            norm > 0.0 && norm.is_finite(),
            "max_grad_norm",
            norm,
            "a finite number > 0",
        )?;
    }
    ParamError::check(
        micro_batch_tokens >= 1,
        "micro_batch_tokens",
        micro_batch_tokens,
        ">= 1",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted() {
        // The "tiny" model of the speed baselines: 1,050,752 parameters.
        let tiny = TransformerConfig {
            hidden_size: 128,
            intermediate_size: 512,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            ..TransformerConfig::default()
        };
        let with_bias = TransformerConfig {
            attention_bias: true,
            ..tiny.clone()
        };
        assert_eq!(with_bias.n_parameters(512), 1_050_752);
        assert_eq!(tiny.n_parameters(512), 1_050_752 - 4 * 256);
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        let bad = TransformerConfig {
            num_attention_heads: 5,
            ..TransformerConfig::default()
        };
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "`num_attention_heads` = 5: must be a divisor of hidden_size 64"
        );
        let bad = TransformerConfig {
            num_key_value_heads: 3,
            ..TransformerConfig::default()
        };
        assert_eq!(bad.validate().unwrap_err().key, "num_key_value_heads");
        let bad = AdamWConfig {
            adam_beta2: 1.0,
            ..AdamWConfig::default()
        };
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "`adam_beta2` = 1: must be in [0, 1)"
        );
        let bad = AdamWConfig {
            max_grad_norm: Some(0.0),
            ..AdamWConfig::default()
        };
        assert_eq!(bad.validate().unwrap_err().key, "max_grad_norm");
        let bad = TabularConfig {
            init_std: f64::NAN,
            ..TabularConfig::default()
        };
        assert_eq!(bad.validate().unwrap_err().key, "init_std");
        let bad = LinearConfig {
            micro_batch_tokens: 0,
            ..LinearConfig::default()
        };
        assert_eq!(bad.validate().unwrap_err().key, "micro_batch_tokens");
    }
}
