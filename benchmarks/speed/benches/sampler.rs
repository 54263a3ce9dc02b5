//! Samplers and allocators over a pool of 10,000 prompts.
//!
//! Target: knapsack allocation of 80,000 rollouts in less than 50 ms.

use criterion::{Criterion, criterion_group, criterion_main};
use groupwise_core::{GroupOutcome, Key, PromptMemory, PromptSampler, PromptStats, Stream};
use groupwise_sampler::allocators::knapsack::{Knapsack, KnapsackConfig};
use groupwise_sampler::{AllocatorContext, AllocatorSpec, SamplerContext, SamplerSpec};
use std::hint::black_box;

const N_TASKS: usize = 10_000;
const GROUP: u32 = 8;
const BUDGET: u32 = 80_000;

/// One visit of every task: success rates spread over [0, 1], as in the middle of a run.
fn visits(step: u64) -> Vec<GroupOutcome> {
    let visit = |task: usize| {
        let key = Key::new(7, Stream::Tasks).task(task as u64);
        let (p, mut rng) = (key.uniform(), key.step(step).rng());
        GroupOutcome {
            task,
            rewards: (0..GROUP)
                .map(|_| Some(f64::from(u8::from(rng.uniform() < p))))
                .collect(),
            lengths: vec![1; GROUP as usize],
        }
    };
    (0..N_TASKS).map(visit).collect()
}

fn allocators(c: &mut Criterion) {
    let mut memory = PromptMemory::new(N_TASKS, 16);
    for step in 1..=3 {
        memory.observe(step, &visits(step)).expect("tasks of the pool");
    }
    let prompts: Vec<PromptStats<'_>> = (0..N_TASKS).map(|task| memory.stats(task)).collect();
    let mut group = c.benchmark_group("allocate 10,000 prompts, 80,000 rollouts");
    for name in AllocatorSpec::NAMES {
        let spec = AllocatorSpec::named(name).expect("a listed name");
        let allocator = spec
            .build(&AllocatorContext {
                num_generations: GROUP,
            })
            .expect("defaults are valid");
        group.bench_function(*name, |b| {
            b.iter(|| allocator.allocate(black_box(&prompts), BUDGET))
        });
    }
    // The worst case of the greedy rule: every prompt is a middle one and all of the budget goes through the heap.
    let rates: Vec<Option<f64>> = (0..N_TASKS as u64)
        .map(|i| Some(0.01 + 0.98 * Key::new(3, Stream::Tasks).task(i).uniform()))
        .collect();
    let knapsack = Knapsack::new(&KnapsackConfig::default(), GROUP).expect("defaults are valid");
    group.bench_function("knapsack, middle prompts only", |b| {
        b.iter(|| knapsack.plan(black_box(&rates), BUDGET));
    });
    group.finish();
}

fn build(spec: &str) -> Box<dyn PromptSampler> {
    let spec: SamplerSpec = serde_json::from_str(spec).expect("a valid recipe");
    let context = SamplerContext {
        n_tasks: N_TASKS,
        num_generations: GROUP,
    };
    spec.build(&context).expect("valid parameters")
}

fn samplers(c: &mut Criterion) {
    let mut group = c.benchmark_group("next 256 of 10,000 prompts");
    for (name, spec) in [
        ("shuffled", r#"{"shuffled": {}}"#),
        ("uniform", r#"{"uniform": {}}"#),
        ("vade", r#"{"vade": {}}"#),
        ("vade, mean", r#"{"vade": {"draw": "mean"}}"#),
    ] {
        let mut sampler = build(spec);
        sampler.observe(1, &visits(1)).expect("results it can use");
        sampler.observe(900, &[]).expect("results it can use");
        let mut step = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                step += 1;
                sampler.next(256, Key::new(5, Stream::Sampler).step(step))
            });
        });
    }
    group.finish();
    let mut sampler = build(r#"{"vade": {}}"#);
    let outcomes: Vec<GroupOutcome> = visits(1).into_iter().take(256).collect();
    let mut step = 0;
    c.bench_function("vade observes 256 groups", |b| {
        b.iter(|| {
            step += 1;
            sampler.observe(step, black_box(&outcomes))
        });
    });
}

criterion_group!(benches, allocators, samplers);
criterion_main!(benches);
