//! Exact draws for fixed keys.  A change here changes every run ever made: a decision, not a refactoring.
#![expect(clippy::unwrap_used, reason = "a test stops where its data are wrong")]

use groupwise_core::{GroupOutcome, Key, PromptSampler, Stream};
use groupwise_sampler::length_stages::{LengthStages, TaskKind, TaskLength};
use groupwise_sampler::samplers::staged::StagedSampler;
use groupwise_sampler::samplers::vade::draw_rates;
use groupwise_sampler::stages::StageMode;
use groupwise_sampler::success::{Decay, SuccessStats};
use groupwise_sampler::{SamplerContext, SamplerSpec};

fn build(spec: &str) -> Box<dyn PromptSampler> {
    let spec: SamplerSpec = serde_json::from_str(spec).unwrap();
    spec.build(&SamplerContext {
        n_tasks: 8,
        num_generations: 4,
    })
    .unwrap()
}

fn key(step: u64) -> Key {
    Key::new(42, Stream::Sampler).step(step)
}

fn batches(spec: &str, n: usize) -> Vec<Vec<usize>> {
    let mut sampler = build(spec);
    (1..=4).map(|step| sampler.next(n, key(step)).unwrap()).collect()
}

#[test]
fn shuffled_epochs_are_pinned() {
    assert_eq!(
        batches(r#"{"shuffled": {}}"#, 3),
        [[0, 6, 5], [1, 4, 3], [7, 2, 4], [6, 7, 0]]
    );
}

#[test]
fn uniform_batches_are_pinned() {
    assert_eq!(
        batches(r#"{"uniform": {}}"#, 3),
        [[6, 0, 5], [6, 4, 0], [4, 2, 0], [4, 5, 2]]
    );
}

#[test]
fn vade_batches_are_pinned() {
    for (spec, expected) in [
        (r#"{"vade": {}}"#, [[4, 5, 3], [3, 0, 4], [3, 1, 4], [4, 6, 3]]),
        (
            r#"{"vade": {"draw": "mean"}}"#,
            [[2, 7, 0], [2, 6, 5], [2, 3, 1], [2, 3, 1]],
        ),
    ] {
        let mut sampler = build(spec);
        let mut found = Vec::new();
        for step in 1..=4 {
            let batch = sampler.next(3, key(step)).unwrap();
            // Task i solves i of 8.
            let group = |task: &usize| GroupOutcome {
                task: *task,
                rewards: (0..8).map(|i| Some(f64::from(u8::from(i < *task)))).collect(),
                lengths: vec![1; 8],
            };
            let outcomes: Vec<GroupOutcome> = batch.iter().map(group).collect();
            sampler.observe(step, &outcomes).unwrap();
            found.push(batch);
        }
        assert_eq!(found, expected, "{spec}");
    }
}

#[test]
fn cures_and_vas_batches_are_pinned() {
    assert_eq!(
        batches(r#"{"cures": {}}"#, 3),
        [[2, 7, 0], [6, 5, 1], [6, 0, 7], [5, 4, 2]]
    );
    assert_eq!(
        batches(r#"{"vas": {}}"#, 4),
        [[3, 3, 5, 0], [7, 4, 4, 3], [2, 1, 1, 7], [6, 1, 6, 2]]
    );
}

#[test]
fn staged_batches_are_pinned() {
    let tasks = [1, 9, 2, 5, 3, 6, 10, 4].map(|steps| TaskLength {
        steps,
        kind: TaskKind::Action,
    });
    for (mode, expected) in [
        (StageMode::Replace, [[0, 4, 2], [4, 2, 0], [3, 5, 7], [6, 1, 6]]),
        (
            StageMode::Cumulative,
            [[0, 4, 2], [4, 2, 0], [4, 7, 5], [3, 5, 1]],
        ),
    ] {
        let mut sampler = StagedSampler::new(&LengthStages::default(), mode, &tasks, 4).unwrap();
        let mut found = Vec::new();
        for step in 1..=4 {
            found.push(sampler.next(3, key(step)).unwrap());
            sampler.observe(step, &[]).unwrap();
        }
        assert_eq!(found, expected, "{mode:?}");
    }
}

#[test]
fn beta_draws_are_pinned() {
    let decay = Decay::new(0.2, 0.999).unwrap();
    let stats = SuccessStats::from_counts(vec![0.0, 2.7, 9.0, 0.1], vec![0.0, 5.3, 0.2, 8.4], decay).unwrap();
    // Up to the last bits of the platform's logarithm and exponential.
    let expected = [
        0.8041007958499097,
        0.49076054639298533,
        0.8249392360043846,
        0.15758759898213623,
    ];
    let draws = draw_rates(&stats, key(1)).unwrap();
    assert_eq!(draws.len(), expected.len());
    for (draw, expected) in draws.iter().zip(expected) {
        assert!((draw - expected).abs() < 1e-14, "{draw:?} {expected:?}");
    }
}
