//! Spans and starting logits of the interval bins.

use groupwise_core::{Key, Task};
use rand_distr::{Distribution, StandardNormal};

use super::IntervalBinsConfig;

/// One task per context; short spans are the difficult ones, and rank by how much they are shorter than the longest.
pub(super) fn generate(config: &IntervalBinsConfig, states: &[String], key: Key) -> Vec<Task> {
    let lengths = (config.max_length - config.min_length) as u64 + 1;
    (0..config.n_contexts)
        .map(|context| {
            let mut rng = key.named("interval-bins/span", context as u64).rng();
            let length = config.min_length + rng.below(lengths) as usize;
            let first = rng.below((config.n_bins - length) as u64 + 1) as usize;
            let last = first + length - 1;
            let mut task = Task::new(
                format!("interval-bins/context-{context:04}"),
                states[2 * context].clone(),
                format!("b{first} b{last}"),
            );
            task.difficulty = (1 + config.max_length - length) as f64;
            for (name, value) in [("context", context), ("first", first), ("last", last)] {
                task.columns.insert(name.into(), value.into());
            }
            task
        })
        .collect()
}

/// Logits of the starting policy, a row for the start and one for the end of each context.
pub(super) fn draw_logits(config: &IntervalBinsConfig, key: Key) -> Vec<Vec<f64>> {
    (0..2 * config.n_contexts)
        .map(|row| {
            let mut rng = key.named("interval-bins/logits", row as u64).rng();
            (0..config.n_bins)
                .map(|_| {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    config.logit_noise * normal
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use groupwise_core::{Part, Stream};

    use super::*;
    use crate::WorldContext;

    #[test]
    fn spans_fit_and_are_uniform_among_lengths_and_places() {
        // Chi-square at alpha 0.001: 16.3 with 3 degrees of freedom, 57 with 27 (lengths of 5: 28 places).
        let config = IntervalBinsConfig {
            n_contexts: 40_000,
            ..Default::default()
        };
        let world = config.build(&WorldContext::default()).unwrap();
        let (mut lengths, mut places) = (BTreeMap::new(), BTreeMap::new());
        for task in world.train_tasks(Key::new(0, Stream::Tasks)).unwrap() {
            let number = |name: &str| task.columns[name].as_u64().unwrap();
            let (first, last) = (number("first"), number("last"));
            assert!(last < 32 && (3..=6).contains(&(last + 1 - first)));
            assert_eq!(task.difficulty, 7.0 - (last + 1 - first) as f64);
            *lengths.entry(last + 1 - first).or_insert(0.0) += 1.0;
            if last + 1 - first == 5 {
                *places.entry(first).or_insert(0.0) += 1.0;
            }
        }
        let chi = |counts: &BTreeMap<u64, f64>| {
            let mean = counts.values().sum::<f64>() / counts.len() as f64;
            counts.values().map(|c| (c - mean).powi(2) / mean).sum::<f64>()
        };
        assert_eq!((lengths.len(), places.len()), (4, 28));
        assert!(
            chi(&lengths) < 16.3 && chi(&places) < 57.0,
            "{} {}",
            chi(&lengths),
            chi(&places)
        );
    }

    #[test]
    fn logits_have_the_standard_deviation_asked_for() {
        // 4096 normals: the mean square is chi-square over its degrees, 1 +- 3.29 sqrt(2 / 4096) at alpha 0.001.
        let config = IntervalBinsConfig {
            n_contexts: 64,
            logit_noise: 0.3,
            ..Default::default()
        };
        let logits = draw_logits(&config, Key::new(1, Stream::Init));
        assert_eq!((logits.len(), logits[0].len()), (128, 32));
        let all: Vec<f64> = logits.concat();
        let square = all.iter().map(|x| (x / 0.3).powi(2)).sum::<f64>() / all.len() as f64;
        assert!(
            (square - 1.0).abs() < 3.29 * (2.0 / all.len() as f64).sqrt(),
            "{square}"
        );
    }
}
