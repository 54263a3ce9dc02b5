//! Loss and gradient of the objectives: 8192 trajectories of 512 tokens, 4.2 million tokens, one core.
//!
//! `copy` is the bandwidth bound: it reads what the loss reads (16 bytes and a mask per token) and writes one
//! gradient per token, computing a difference.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use groupwise_core::{Advantages, Key, Offsets, Stream, TokenBatch};
use groupwise_objective::ObjectiveSpec;
use serde_json::{Value, json};

const GROUP: usize = 8;
const GROUPS: usize = 1024;
const TOKENS: usize = 512;

/// A batch near the sampling policy: log-ratios of about 0.15, one token in eight masked.
fn batch(reference: bool, token_level: bool) -> (TokenBatch, Vec<f64>) {
    let trajectories = GROUP * GROUPS;
    let n = trajectories * TOKENS;
    let mut rng = Key::new(7, Stream::Rollout).rng();
    let old: Vec<f64> = (0..n).map(|_| -3.0 * rng.uniform()).collect();
    let logp: Vec<f64> = old.iter().map(|l| l + 0.5 * rng.uniform() - 0.25).collect();
    let advantages: Vec<f64> = (0..trajectories).map(|_| 2.0 * rng.uniform() - 1.0).collect();
    let batch = TokenBatch {
        groups: Offsets::from_lengths(vec![GROUP; GROUPS]),
        tokens: Offsets::from_lengths(vec![TOKENS; trajectories]),
        prompts: vec![Arc::from([]); trajectories],
        ids: vec![0; n],
        mask: (0..n).map(|t| t % 8 != 7).collect(),
        logp_sampler: old.clone(),
        logp_ref: reference.then(|| old.iter().map(|l| l - 0.1).collect()),
        segments: None,
        logp_old: Some(old),
        advantages: match token_level {
            false => Advantages::Trajectory(advantages),
            true => Advantages::Token((0..n).map(|t| advantages[t / TOKENS]).collect()),
        },
        temperature: 1.0,
    };
    (batch, logp)
}

fn objectives(c: &mut Criterion) {
    let mut group = c.benchmark_group("objective");
    group
        .sample_size(20)
        .throughput(Throughput::Elements((GROUP * GROUPS * TOKENS) as u64));
    let (plain, logp) = batch(false, false);
    let old = plain.logp_old.clone().unwrap_or_default();
    group.bench_function("copy", |b| {
        b.iter(|| -> Vec<f64> {
            let pairs = logp.iter().zip(&old).zip(&plain.mask);
            pairs.map(|((l, o), m)| if *m { l - o } else { 0.0 }).collect()
        });
    });
    let (token_level, _) = batch(false, true);
    let (with_reference, _) = batch(true, false);
    let cases: [(&str, &TokenBatch, Value); 6] = [
        ("grpo", &plain, json!({"grpo": {}})),
        ("grpo, token advantages", &token_level, json!({"grpo": {}})),
        ("grpo, k3", &with_reference, json!({"grpo": {"beta": 0.04}})),
        ("gspo", &plain, json!({"gspo": {}})),
        ("cispo", &plain, json!({"cispo": {}})),
        ("reinforce", &plain, json!({"reinforce": {}})),
    ];
    for (name, batch, spec) in cases {
        let spec: ObjectiveSpec = serde_json::from_value(spec).expect("a spec");
        let objective = spec.build(&()).expect("valid");
        let view = batch.view(0..batch.n_trajectories(), &logp, None).expect("fits");
        let denominators = objective.denominators(batch).expect("fits");
        let frozen = objective.freeze(&denominators, &view).expect("fits");
        group.bench_function(BenchmarkId::new("evaluate", name), |b| {
            b.iter(|| {
                objective
                    .evaluate(black_box(&frozen), black_box(&view))
                    .expect("finite")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, objectives);
criterion_main!(benches);
