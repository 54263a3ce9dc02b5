//! Tokens per second of generation and of one update, on the models and loads of the speed baselines.
//!
//! `tiny`: 1.05M parameters, 16 prompts of 32 tokens, 8 continuations of at most 128 tokens each.
//! `recipe`: 0.2M parameters, 24 prompts of 12 tokens, 8 continuations of at most 13 tokens each.
//! Threads: `RAYON_NUM_THREADS`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run has nothing to report")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use groupwise_core::seams::{Learner, Member, Policy, Prefix, Sampling, Scope, Symbols, TokenScores};
use groupwise_core::{Advantages, Key, Offsets, Stream, TokenBatch, TokenGrads};
use groupwise_learner::{AdamWConfig, TransformerLearner, transformer};
use groupwise_model::{TransformerConfig, TransformerPolicy};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A model and its load.
struct Load {
    name: &'static str,
    config: TransformerConfig,
    vocabulary: u32,
    prompts: usize,
    prompt: usize,
    members: usize,
    new: usize,
}

fn loads() -> [Load; 2] {
    let tiny = TransformerConfig {
        hidden_size: 128,
        intermediate_size: 512,
        max_position_embeddings: 512,
        attention_bias: true,
        ..TransformerConfig::default()
    };
    [
        Load {
            name: "tiny",
            config: tiny,
            vocabulary: 512,
            prompts: 16,
            prompt: 32,
            members: 8,
            new: 128,
        },
        Load {
            name: "recipe",
            config: TransformerConfig::default(),
            vocabulary: 16,
            prompts: 24,
            prompt: 12,
            members: 8,
            new: 13,
        },
    ]
}

impl Load {
    fn pair(&self) -> (TransformerPolicy, TransformerLearner) {
        // Characters of the private use area, as many as the vocabulary needs.
        let characters = (0..self.vocabulary - 4)
            .filter_map(|i| char::from_u32(0xE000 + i))
            .collect();
        let symbols = Symbols::Characters(characters);
        let key = Key::new(0, Stream::Init);
        transformer(&self.config, &AdamWConfig::default(), &symbols, "flex", key).unwrap()
    }

    fn prompts(&self) -> Vec<Arc<[u32]>> {
        let mut rng = Key::new(0, Stream::Tasks).rng();
        let vocabulary = u64::from(self.vocabulary);
        (0..self.prompts)
            .map(|_| (0..self.prompt).map(|_| rng.below(vocabulary) as u32).collect())
            .collect()
    }

    fn tokens(&self) -> u64 {
        (self.prompts * self.members * self.new) as u64
    }

    /// Random completions: the update costs the same whatever they say.
    fn batch(&self) -> TokenBatch {
        let n = self.prompts * self.members;
        let mut rng = Key::new(1, Stream::Tasks).rng();
        let total = n * self.new;
        TokenBatch {
            groups: Offsets::from_lengths(vec![self.members; self.prompts]),
            tokens: Offsets::from_lengths(vec![self.new; n]),
            prompts: self
                .prompts()
                .into_iter()
                .flat_map(|p| vec![p; self.members])
                .collect(),
            ids: (0..total)
                .map(|_| rng.below(u64::from(self.vocabulary)) as u32)
                .collect(),
            mask: vec![true; total],
            logp_sampler: vec![-1.0; total],
            logp_old: None,
            logp_ref: None,
            segments: None,
            advantages: Advantages::Trajectory(vec![0.5; n]),
            temperature: 1.0,
        }
    }
}

fn generate(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    group.sample_size(10);
    for load in loads() {
        let (mut policy, _) = load.pair();
        let texts = load.prompts();
        let sampling = Sampling {
            temperature: 1.0,
            max_new_tokens: load.new,
            greedy: false,
        };
        let mut run = || {
            let prefixes: Vec<Prefix<'_>> = texts
                .iter()
                .enumerate()
                .map(|(p, text)| Prefix {
                    shared: text,
                    members: (0..load.members)
                        .map(|m| Member {
                            tail: Vec::new(),
                            key: Key::new(0, Stream::Rollout).task(p as u64).sample(m as u64),
                        })
                        .collect(),
                })
                .collect();
            policy.extend(&prefixes, &sampling).unwrap()
        };
        // A random model ends some answers early; the draws are keyed, so every run makes the same tokens.
        let tokens: usize = run().iter().flatten().map(|c| c.tokens.len()).sum();
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_function(load.name, |b| b.iter(|| black_box(run())));
    }
    group.finish();
}

fn update(c: &mut Criterion) {
    let mut group = c.benchmark_group("update");
    group.sample_size(10);
    for load in loads() {
        let (_, mut learner) = load.pair();
        let batch = load.batch();
        let n = batch.n_tokens() as f64;
        group.throughput(Throughput::Elements(load.tokens()));
        group.bench_function(load.name, |b| {
            b.iter(|| {
                let mut loss = |_: std::ops::Range<usize>, scores: &TokenScores| {
                    Ok(TokenGrads {
                        d_logp: scores.logp.iter().map(|l| -0.5 * l.exp().sqrt() / n).collect(),
                        ..TokenGrads::default()
                    })
                };
                black_box(learner.step(&batch, Scope::Token, 1e-4, &mut loss).unwrap())
            });
        });
        group.bench_function(format!("{}/score", load.name), |b| {
            b.iter(|| black_box(learner.score(&batch).unwrap()));
        });
    }
    group.finish();
}

criterion_group!(benches, generate, update);
criterion_main!(benches);
