//! GiGPO at the size of a large update batch: 1024 trajectories in groups of 8.
//!
//! `exact`: 50 steps each, observations of 40 and of 300 characters, grouping and both levels of advantages.
//! `similarity`: 20 steps each, observations of 300 characters of which copies differ in a few, grouping alone.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use groupwise_advantage::Similarity;
use groupwise_advantage::estimators::{Gigpo, GigpoConfig, StepBatch, step_clusters};
use groupwise_core::key::KeyedRng;
use groupwise_core::{Key, Offsets, Spread, Stream};

const GROUPS: usize = 128;
const GROUP_SIZE: usize = 8;
const WORDS: [&str; 24] = [
    "the", "a", "red", "lamp", "shelf", "cabinet", "drawer", "door", "open", "closed", "you", "see", "on",
    "in", "nothing", "happens", "price", "item", "results", "page", "for", "of", "and", "hall",
];

/// Prose of `len` characters.
fn prose(rng: &mut KeyedRng, len: usize) -> String {
    let mut text = String::new();
    while text.len() < len {
        text.push_str(WORDS[rng.below(WORDS.len() as u64) as usize]);
        text.push(' ');
    }
    text.truncate(len);
    text
}

/// The text with up to `edits` characters replaced by digits.
fn edited(rng: &mut KeyedRng, text: &str, edits: u64) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..rng.below(edits + 1) {
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] = b'0' + rng.below(10) as u8;
    }
    bytes.iter().map(|b| char::from(*b)).collect()
}

/// Steps of a group walk among `n_states` rooms; every visit reads the room, with up to `edits` characters changed.
fn states(n_steps: usize, n_states: u64, len: usize, edits: u64) -> Vec<String> {
    let key = Key::new(0, Stream::Bootstrap);
    let mut out = Vec::with_capacity(GROUPS * GROUP_SIZE * n_steps);
    for g in 0..GROUPS {
        let rng = &mut key.task(g as u64).rng();
        let rooms: Vec<String> = (0..n_states).map(|_| prose(rng, len)).collect();
        for _ in 0..GROUP_SIZE * n_steps {
            let room = &rooms[rng.below(n_states) as usize];
            out.push(edited(rng, room, edits));
        }
    }
    out
}

struct Steps {
    groups: Offsets,
    steps: Offsets,
    rewards: Vec<f64>,
    states: Vec<String>,
}

impl Steps {
    fn new(n_steps: usize, states: Vec<String>) -> Self {
        let n = GROUPS * GROUP_SIZE;
        let rewards = (0..n * n_steps)
            .map(|k| f64::from(u8::from((k + 1) % (3 * n_steps) == 0)))
            .collect();
        Self {
            groups: Offsets::from_lengths([GROUP_SIZE; GROUPS]),
            steps: Offsets::from_lengths((0..n).map(|_| n_steps)),
            rewards,
            states,
        }
    }

    fn batch(&self) -> StepBatch<'_> {
        StepBatch {
            groups: self.groups.spans(),
            steps: self.steps.spans(),
            rewards: &self.rewards,
            states: &self.states,
            invalid: None,
            unscorable: None,
        }
    }
}

fn exact(c: &mut Criterion) {
    let config = GigpoConfig {
        std: Spread::Sample,
        ..Default::default()
    };
    let Ok(gigpo) = Gigpo::new(&config) else { return };
    let mut group = c.benchmark_group("gigpo/exact");
    for (name, len) in [("40 characters", 40), ("300 characters", 300)] {
        let steps = Steps::new(50, states(50, 60, len, 0));
        group.throughput(Throughput::Elements(steps.states.len() as u64));
        group.bench_function(format!("{name}/grouping and advantages"), |b| {
            b.iter(|| gigpo.advantages(black_box(&steps.batch())));
        });
        group.bench_function(format!("{name}/grouping"), |b| {
            b.iter(|| step_clusters(black_box(&steps.batch()), None));
        });
    }
    // No state repeats: every text is new, the table grows to its largest.
    let mut all_new = states(50, 60, 300, 0);
    for (k, text) in all_new.iter_mut().enumerate() {
        text.push_str(&k.to_string());
    }
    let steps = Steps::new(50, all_new);
    group.bench_function("300 characters, none repeated/grouping and advantages", |b| {
        b.iter(|| gigpo.advantages(black_box(&steps.batch())));
    });
    group.finish();
}

fn similarity(c: &mut Criterion) {
    let Ok(similarity) = Similarity::new(0.9) else {
        return;
    };
    let mut group = c.benchmark_group("gigpo/similarity");
    group.sample_size(10);
    for (name, texts) in [
        (
            "30 rooms, up to 12 of 300 characters changed",
            states(20, 30, 300, 12),
        ),
        ("no text near another", unrelated()),
    ] {
        let steps = Steps::new(20, texts);
        group.throughput(Throughput::Elements(steps.states.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| step_clusters(black_box(&steps.batch()), Some(similarity)));
        });
    }
    group.finish();
}

/// The worst case of the greedy rule: no text is near another, and all have the same letters.
fn unrelated() -> Vec<String> {
    let key = Key::new(1, Stream::Bootstrap);
    (0..GROUPS * GROUP_SIZE * 20)
        .map(|k| prose(&mut key.task(k as u64).rng(), 300))
        .collect()
}

criterion_group!(benches, exact, similarity);
criterion_main!(benches);
