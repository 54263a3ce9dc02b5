//! Models, batches and a naive f64 transformer for the tests of this crate.
#![expect(dead_code, reason = "each test file uses its own part")]
#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in tests but not in their helpers"
)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use groupwise_core::seams::{Continuation, Member, Policy, Prefix, Sampling, Symbols, TokenScores};
use groupwise_core::{Advantages, DataError, Key, Offsets, Stream, TokenBatch, TokenGrads};
use groupwise_learner::{AdamWConfig, Engine, TransformerLearner, transformer};
use groupwise_model::{TransformerConfig, TransformerPolicy, Weights};

/// A shared prompt and its members: key and tail of each.
pub(crate) type Text = (Vec<u32>, Vec<(u64, Vec<u32>)>);

/// Sixteen tokens, two layers, every shape different.
pub(crate) fn config() -> TransformerConfig {
    TransformerConfig {
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        max_position_embeddings: 80,
        initializer_range: Some(0.3),
        ..TransformerConfig::default()
    }
}

pub(crate) fn optimizer(micro_batch_tokens: usize) -> AdamWConfig {
    AdamWConfig {
        micro_batch_tokens,
        ..AdamWConfig::default()
    }
}

/// The same learner as [`pair`]'s, differentiated the other way.
pub(crate) fn autodiff_learner(config: &TransformerConfig, micro_batch_tokens: usize) -> TransformerLearner {
    let (_, learner) = pair(config, micro_batch_tokens);
    TransformerLearner::new(
        learner.weights().clone(),
        &optimizer(micro_batch_tokens),
        Engine::Autodiff,
    )
    .unwrap()
}

pub(crate) fn pair(
    config: &TransformerConfig,
    micro_batch_tokens: usize,
) -> (TransformerPolicy, TransformerLearner) {
    let symbols = Symbols::Characters("0123456789,:".into());
    let key = Key::new(3, Stream::Init);
    let (policy, learner) =
        transformer(config, &optimizer(micro_batch_tokens), &symbols, "flex", key).unwrap();
    randomize_small_params(&learner);
    (policy, learner)
}

/// Scales and biases that are not 1 and 0, or tests could not see them.
fn randomize_small_params(learner: &TransformerLearner) {
    let mut weights = learner.weights().write();
    let saved: BTreeMap<String, _> = weights
        .export()
        .unwrap()
        .into_iter()
        .map(|t| (t.name.clone(), t))
        .collect();
    weights
        .import(|name| {
            let t = &saved[name];
            let mut values = t.values.clone();
            if t.shape.len() == 1 {
                let mut rng = Key::new(4, Stream::Init).named(name, 0).rng();
                values.iter_mut().for_each(|x| *x += (rng.uniform() - 0.5) as f32);
            }
            Ok((t.shape.clone(), values))
        })
        .unwrap();
}

/// Groups with prompts of different lengths and ragged completions; some tokens masked, one completion empty.
pub(crate) fn batch(n_groups: usize) -> TokenBatch {
    let mut rng = Key::new(8, Stream::Tasks).rng();
    let mut lengths = Vec::new();
    let (mut prompts, mut ids) = (Vec::new(), Vec::new());
    for g in 0..n_groups {
        let prompt: Arc<[u32]> = (0..1 + (g * 5) % 17).map(|_| 4 + rng.below(12) as u32).collect();
        for m in 0..3 {
            let n = if (g, m) == (1, 1) {
                0
            } else {
                1 + rng.below(20) as usize
            };
            lengths.push(n);
            prompts.push(prompt.clone());
            ids.extend((0..n).map(|_| 1 + rng.below(15) as u32));
        }
    }
    let n = ids.len();
    TokenBatch {
        groups: Offsets::from_lengths(vec![3; n_groups]),
        tokens: Offsets::from_lengths(lengths.iter().copied()),
        prompts,
        mask: (0..n).map(|t| t % 7 != 3).collect(),
        logp_sampler: vec![-1.0; n],
        logp_old: None,
        logp_ref: None,
        segments: None,
        advantages: Advantages::Trajectory((0..lengths.len()).map(|i| (i as f64).sin()).collect()),
        temperature: 0.9,
        ids,
    }
}

/// A loss whose derivatives depend on the scores: `sum_t (cos(t) logp + logp^2 / 8 + entropy / 4)` over counted tokens.
pub(crate) fn loss(
    batch: &TokenBatch,
) -> impl FnMut(Range<usize>, &TokenScores) -> Result<TokenGrads, DataError> + '_ {
    move |part, scores| {
        let tokens = batch.tokens.range_of(part);
        let counted = |t: usize| f64::from(u8::from(batch.mask[t]));
        let d_logp = tokens.clone().zip(&scores.logp);
        Ok(TokenGrads {
            d_logp: d_logp
                .map(|(t, l)| counted(t) * ((t as f64).cos() + l / 4.0))
                .collect(),
            d_entropy: Some(tokens.map(|t| 0.25 * counted(t)).collect()),
            d_value: None,
        })
    }
}

pub(crate) fn sampling(greedy: bool, max_new_tokens: usize) -> Sampling {
    Sampling {
        temperature: 0.9,
        max_new_tokens,
        greedy,
    }
}

pub(crate) fn member(id: u64, tail: &[u32]) -> Member {
    Member {
        tail: tail.to_vec(),
        key: Key::new(1, Stream::Rollout).sample(id),
    }
}

/// Prompts and members: `(prompt, tails by member id)`.
pub(crate) fn extend(
    policy: &mut TransformerPolicy,
    texts: &[Text],
    sampling: &Sampling,
) -> Vec<Vec<Continuation>> {
    let prefixes: Vec<Prefix<'_>> = texts
        .iter()
        .map(|(shared, members)| Prefix {
            shared,
            members: members.iter().map(|(id, tail)| member(*id, tail)).collect(),
        })
        .collect();
    policy.extend(&prefixes, sampling).unwrap()
}

/// Ragged prompts, several members, some with tails, one prompt twice, one without shared tokens.
pub(crate) fn texts() -> Vec<Text> {
    let text = |n: u32, k: u32| (0..n).map(|i| 4 + (i * k + n) % 12).collect::<Vec<u32>>();
    vec![
        (text(5, 3), vec![(0, vec![]), (1, text(3, 5)), (2, vec![])]),
        (text(34, 7), vec![(3, text(1, 1)), (4, vec![])]),
        (text(1, 1), vec![(5, vec![]), (6, text(35, 5))]),
        (text(5, 3), vec![(7, text(2, 1))]),
        (vec![], vec![(8, text(4, 5)), (9, text(1, 3))]),
    ]
}

/// What was sampled, as an update batch.
pub(crate) fn sampled_batch(texts: &[Text], done: &[Vec<Continuation>]) -> TokenBatch {
    let (mut prompts, mut ids, mut logp, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((shared, members), done) in texts.iter().zip(done) {
        for ((_, tail), c) in members.iter().zip(done) {
            prompts.push(Arc::from([shared.as_slice(), tail].concat()));
            ids.extend(&c.tokens);
            logp.extend(&c.logp);
            lengths.push(c.tokens.len());
        }
    }
    TokenBatch {
        groups: Offsets::from_lengths(texts.iter().map(|(_, m)| m.len())),
        tokens: Offsets::from_lengths(lengths.iter().copied()),
        mask: vec![true; ids.len()],
        logp_old: None,
        logp_ref: None,
        segments: None,
        advantages: Advantages::Trajectory(vec![0.0; lengths.len()]),
        temperature: 0.9,
        logp_sampler: logp,
        prompts,
        ids,
    }
}

/// The transformer written down from its definition, in f64, one sequence, no cache: logits of every position.
pub(crate) fn naive_logits(weights: &Weights, tokens: &[u32]) -> Vec<Vec<f64>> {
    let naive = Naive::new(weights);
    let embedding = naive.get("model.embed_tokens.weight");
    let width = naive.config.hidden_size;
    let mut x: Vec<Vec<f64>> = tokens
        .iter()
        .map(|t| embedding[*t as usize * width..][..width].to_vec())
        .collect();
    for layer in 0..naive.config.num_hidden_layers {
        naive.add_attention(layer, &mut x);
        naive.add_mlp(layer, &mut x);
    }
    let scale = naive.get("model.norm.weight");
    let head = if naive.config.tie_word_embeddings {
        "model.embed_tokens.weight"
    } else {
        "lm_head.weight"
    };
    x.iter()
        .map(|x| naive.times(head, &naive.norm(scale, x)))
        .collect()
}

/// The steps of [`naive_logits`].
struct Naive<'a> {
    config: &'a TransformerConfig,
    saved: BTreeMap<String, Vec<f64>>,
}

impl<'a> Naive<'a> {
    fn new(weights: &'a Weights) -> Self {
        let saved = weights.export().unwrap();
        let widen = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect();
        Self {
            config: weights.config(),
            saved: saved.into_iter().map(|t| (t.name, widen(&t.values))).collect(),
        }
    }

    fn get(&self, name: &str) -> &[f64] {
        &self.saved[name]
    }

    /// A matrix, saved `[out, in]`, times a vector.
    fn times(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let rows = self.get(name).chunks(x.len());
        rows.map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum())
            .collect()
    }

    fn norm(&self, scale: &[f64], x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let inverse = 1.0 / (mean + self.config.rms_norm_eps).sqrt();
        x.iter().zip(scale).map(|(x, w)| x * inverse * w).collect()
    }

    /// Rotary embedding of a head.
    fn turn(&self, x: &[f64], position: usize) -> Vec<f64> {
        let (dim, half) = (x.len(), x.len() / 2);
        (0..dim)
            .map(|i| {
                let angle =
                    position as f64 * self.config.rope_theta.powf(-2.0 * (i % half) as f64 / dim as f64);
                let partner = if i < half { -x[i + half] } else { x[i - half] };
                x[i] * angle.cos() + partner * angle.sin()
            })
            .collect()
    }

    /// Queries (`q`), keys (`k`) or values (`v`) of one hidden row, by head.
    fn heads(&self, layer: usize, which: &str, x: &[f64], position: usize) -> Vec<Vec<f64>> {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let scale = self.get(&name("input_layernorm.weight"));
        let mut y = self.times(
            &name(&format!("self_attn.{which}_proj.weight")),
            &self.norm(scale, x),
        );
        if self.config.attention_bias {
            let bias = self.get(&name(&format!("self_attn.{which}_proj.bias")));
            y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
        y.chunks(self.config.head_dim())
            .map(|head| match (which, self.config.qk_norm) {
                ("v", _) => head.to_vec(),
                (_, true) => {
                    let scale = self.get(&name(&format!("self_attn.{which}_norm.weight")));
                    self.turn(&self.norm(scale, head), position)
                }
                (_, false) => self.turn(head, position),
            })
            .collect()
    }

    fn add_attention(&self, layer: usize, x: &mut [Vec<f64>]) {
        let rows = |which: &str| -> Vec<Vec<Vec<f64>>> {
            x.iter()
                .enumerate()
                .map(|(p, x)| self.heads(layer, which, x, p))
                .collect()
        };
        let (q, k, v) = (rows("q"), rows("k"), rows("v"));
        let dim = self.config.head_dim();
        let group = self.config.num_attention_heads / self.config.num_key_value_heads;
        for (t, x) in x.iter_mut().enumerate() {
            let mut mixed = Vec::new();
            for (h, query) in q[t].iter().enumerate() {
                let g = h / group;
                let weights: Vec<f64> = (0..=t)
                    .map(|s| {
                        let dot: f64 = query.iter().zip(&k[s][g]).map(|(a, b)| a * b).sum();
                        (dot / (dim as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                mixed.extend((0..dim).map(|d| (0..=t).map(|s| weights[s] / total * v[s][g][d]).sum::<f64>()));
            }
            let out = self.times(&format!("model.layers.{layer}.self_attn.o_proj.weight"), &mixed);
            x.iter_mut().zip(out).for_each(|(x, y)| *x += y);
        }
    }

    fn add_mlp(&self, layer: usize, x: &mut [Vec<f64>]) {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let scale = self.get(&name("post_attention_layernorm"));
        for x in x {
            let h = self.norm(scale, x);
            let gate = self.times(&name("mlp.gate_proj"), &h);
            let up = self.times(&name("mlp.up_proj"), &h);
            let active: Vec<f64> = gate
                .iter()
                .zip(up)
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            let out = self.times(&name("mlp.down_proj"), &active);
            x.iter_mut().zip(out).for_each(|(x, y)| *x += y);
        }
    }
}

/// Log-probabilities of a row at a temperature, and the entropy.
pub(crate) fn log_softmax(logits: &[f64], temperature: f64) -> (Vec<f64>, f64) {
    let total: f64 = logits.iter().map(|z| (z / temperature).exp()).sum();
    let logp: Vec<f64> = logits.iter().map(|z| z / temperature - total.ln()).collect();
    let entropy = -logp.iter().map(|l| l.exp() * l).sum::<f64>();
    (logp, entropy)
}
