//! Every random selection follows its law: Kolmogorov-Smirnov and chi-square at alpha 0.001, fixed seeds.
#![expect(clippy::unwrap_used, reason = "a test stops where its data are wrong")]

use std::collections::BTreeMap;

use groupwise_core::seams::Surveyed;
use groupwise_core::{GroupOutcome, Key, PromptSampler, Stream};
use groupwise_sampler::samplers::cures::{CuresMode, sampling};
use groupwise_sampler::samplers::vade::draw_rates;
use groupwise_sampler::success::{Decay, SuccessStats};
use groupwise_sampler::weighted::{WeightedSampler, without_replacement};
use groupwise_sampler::{SamplerContext, SamplerSpec};
use statrs::distribution::{Beta, ChiSquared, ContinuousCDF};

const ALPHA: f64 = 0.001;

fn build(spec: &str, n_tasks: usize) -> Box<dyn PromptSampler> {
    let spec: SamplerSpec = serde_json::from_str(spec).unwrap();
    spec.build(&SamplerContext {
        n_tasks,
        num_generations: 4,
    })
    .unwrap()
}

fn key(step: u64) -> Key {
    Key::new(20, Stream::Sampler).step(step)
}

/// Fails if the counts are not those of `n_cells` equally likely outcomes.
fn check_equally_likely<K: Ord + std::fmt::Debug>(name: &str, counts: &BTreeMap<K, u32>, n_cells: usize) {
    let total: u32 = counts.values().sum();
    let expected = f64::from(total) / n_cells as f64;
    assert!(expected >= 20.0, "{name}: too few draws");
    assert!(counts.len() <= n_cells, "{name}: impossible outcomes");
    let unseen = (n_cells - counts.len()) as f64 * expected;
    let chi: f64 = counts
        .values()
        .map(|c| (f64::from(*c) - expected).powi(2) / expected)
        .sum::<f64>()
        + unseen;
    let limit = ChiSquared::new((n_cells - 1) as f64)
        .unwrap()
        .inverse_cdf(1.0 - ALPHA);
    assert!(chi < limit, "{name}: chi-square {chi} above {limit}");
}

#[test]
fn beta_draws_follow_the_posterior() {
    // Fresh, seen once, mixed, solved, hopeless, fractional, many: both of Cheng's algorithms and both orders.
    let posteriors = [
        (0.0, 0.0),
        (1.0, 0.0),
        (0.0, 8.0),
        (2.7, 5.3),
        (9.0, 0.2),
        (0.1, 8.4),
        (500.0, 300.0),
    ];
    let n = 20_000;
    for (p, (right, wrong)) in posteriors.into_iter().enumerate() {
        let decay = Decay::new(0.2, 0.999).unwrap();
        let stats = SuccessStats::from_counts(vec![right; n], vec![wrong; n], decay).unwrap();
        let mut draws = draw_rates(&stats, key(p as u64)).unwrap();
        draws.sort_by(f64::total_cmp);
        let law = Beta::new(right + 1.0, wrong + 1.0).unwrap();
        let size = n as f64;
        let distance = draws
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let u = law.cdf(*x);
                (u - i as f64 / size).abs().max(((i + 1) as f64 / size - u).abs())
            })
            .fold(0.0, f64::max);
        // Asymptotic critical value sqrt(-ln(alpha / 2) / 2).
        let limit = (-(ALPHA / 2.0).ln() / 2.0).sqrt() / size.sqrt();
        assert!(
            distance < limit,
            "Beta({}, {}): {distance} above {limit}",
            right + 1.0,
            wrong + 1.0
        );
    }
}

#[test]
fn draws_of_one_task_over_steps_follow_the_posterior() {
    let stats = SuccessStats::new(3, Decay::new(0.2, 0.999).unwrap());
    let n = 10_000;
    let mut draws: Vec<f64> = (0..n)
        .map(|step| draw_rates(&stats, key(step)).unwrap()[1])
        .collect();
    draws.sort_by(f64::total_cmp);
    let size = n as f64;
    let distance = draws
        .iter()
        .enumerate()
        .map(|(i, u)| (u - i as f64 / size).abs().max(((i + 1) as f64 / size - u).abs()))
        .fold(0.0, f64::max);
    assert!(
        distance < (-(ALPHA / 2.0).ln() / 2.0).sqrt() / size.sqrt(),
        "{distance}"
    );
}

#[test]
fn every_order_of_an_epoch_is_equally_likely() {
    // The first, the second and the third epoch, with batches that cross their ends: 3 of 4 tasks at a time.
    let mut epochs = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
    for seed in 0..4_800 {
        let mut sampler = build(r#"{"shuffled": {}}"#, 4);
        let key = Key::new(seed, Stream::Sampler);
        let drawn: Vec<usize> = (0..4)
            .flat_map(|step| sampler.next(3, key.step(step)).unwrap())
            .collect();
        for (epoch, order) in epochs.iter_mut().zip(drawn.chunks(4)) {
            *epoch.entry(order.to_vec()).or_insert(0) += 1;
        }
    }
    for (epoch, counts) in epochs.iter().enumerate() {
        check_equally_likely(&format!("epoch {epoch}"), counts, 24);
    }
}

#[test]
fn consecutive_epochs_are_independent() {
    let mut counts = BTreeMap::new();
    for seed in 0..7_200 {
        let mut sampler = build(r#"{"shuffled": {}}"#, 3);
        let key = Key::new(seed, Stream::Sampler);
        let first = sampler.next(3, key.step(0)).unwrap();
        let second = sampler.next(3, key.step(1)).unwrap();
        *counts.entry((first, second)).or_insert(0) += 1;
    }
    check_equally_likely("pairs of epochs", &counts, 36);
}

#[test]
fn every_uniform_batch_is_equally_likely() {
    let mut sampler = build(r#"{"uniform": {}}"#, 5);
    let mut counts = BTreeMap::new();
    for step in 0..6_000 {
        *counts.entry(sampler.next(2, key(step)).unwrap()).or_insert(0) += 1;
    }
    check_equally_likely("ordered pairs of five", &counts, 20);
}

#[test]
fn a_cold_start_prefers_no_task() {
    for spec in [r#"{"vade": {}}"#, r#"{"vade": {"draw": "mean"}}"#] {
        let mut sampler = build(spec, 5);
        let mut counts = BTreeMap::new();
        for step in 0..6_000 {
            *counts.entry(sampler.next(2, key(step)).unwrap()).or_insert(0) += 1;
        }
        check_equally_likely(spec, &counts, 20);
    }
}

#[test]
fn tasks_of_equal_counts_are_chosen_equally_often() {
    let mut sampler = build(r#"{"vade": {}}"#, 4);
    let group = |task| GroupOutcome {
        task,
        rewards: vec![Some(1.0), Some(0.0), Some(0.0), Some(0.0)],
        lengths: vec![1; 4],
    };
    sampler.observe(1, &[0, 1, 2, 3].map(group)).unwrap();
    let mut counts = BTreeMap::new();
    for step in 0..6_000 {
        *counts.entry(sampler.next(1, key(step)).unwrap()).or_insert(0) += 1;
    }
    check_equally_likely("equal posteriors", &counts, 4);
}

/// Fails if the counts do not follow these probabilities.
fn check_follows(name: &str, counts: &[u32], probabilities: &[f64]) {
    let total: f64 = counts.iter().map(|c| f64::from(*c)).sum();
    let cell = |(count, p): (&u32, &f64)| {
        assert!(total * p >= 20.0, "{name}: too few draws");
        (f64::from(*count) - total * p).powi(2) / (total * p)
    };
    let chi: f64 = counts.iter().zip(probabilities).map(cell).sum();
    let limit = ChiSquared::new((counts.len() - 1) as f64)
        .unwrap()
        .inverse_cdf(1.0 - ALPHA);
    assert!(chi < limit, "{name}: chi-square {chi} above {limit}");
}

#[test]
fn gumbel_keys_draw_one_after_the_other_in_proportion() {
    let weights = [1.0, 2.0, 3.0, 4.0];
    let logs = weights.map(f64::ln);
    let (mut counts, mut probabilities) = (vec![0; 16], vec![0.0; 16]);
    for step in 0..20_000 {
        let pair = without_replacement(&[0, 1, 2, 3], &logs, 2, key(step)).unwrap();
        counts[4 * pair[0] + pair[1]] += 1;
    }
    for i in 0..4 {
        for j in (0..4).filter(|j| *j != i) {
            probabilities[4 * i + j] = weights[i] / 10.0 * weights[j] / (10.0 - weights[i]);
        }
    }
    assert!(
        (0..4).all(|i| counts[5 * i] == 0),
        "a task stood twice in a batch"
    );
    let kept: Vec<usize> = (0..16).filter(|c| c % 5 != 0).collect();
    let pick = |cells: &[usize]| {
        (
            cells.iter().map(|c| counts[*c]).collect::<Vec<u32>>(),
            cells.iter().map(|c| probabilities[*c]).collect::<Vec<f64>>(),
        )
    };
    let (counts, probabilities) = pick(&kept);
    check_follows("pairs", &counts, &probabilities);
}

#[test]
fn cures_draws_follow_its_probabilities() {
    let mut sampler = build(r#"{"cures": {"temperature": 0.2}}"#, 5);
    let surveyed = |task: usize| Surveyed {
        outcome: GroupOutcome {
            task,
            rewards: (0..4).map(|i| Some(f64::from(u8::from(i < task)))).collect(),
            lengths: vec![1; 4],
        },
        completions: vec![vec![]; 4],
    };
    sampler.observe_survey(1, &[0, 1, 2, 3, 4].map(surveyed)).unwrap();
    let mut counts = vec![0; 5];
    for step in 1..=10_000 {
        counts[sampler.next(1, key(step)).unwrap()[0]] += 1;
    }
    let table = sampling(&[0, 1, 2, 3, 4], &[4; 5], CuresMode::Paper, 0.2).unwrap();
    check_follows("cures", &counts, &table.probabilities);
}

#[test]
fn draws_with_replacement_follow_the_weights() {
    let weights = [0.5, 0.0, 1.5, 2.0];
    let sampler = WeightedSampler::new(&weights).unwrap();
    let mut counts = vec![0; 4];
    for step in 0..10_000 {
        counts[sampler.draw(key(step).uniform())] += 1;
    }
    assert_eq!(counts.remove(1), 0);
    check_follows("weighted", &counts, &[0.125, 0.375, 0.5]);
}
