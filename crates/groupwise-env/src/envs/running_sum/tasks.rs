//! Prompts of the running sum, and demonstrations for a supervised start.

use groupwise_core::key::KeyedRng;
use groupwise_core::{DataError, Key, Task};

use super::{RunningSumConfig, Scratch, running_sums, scratch};
use crate::sides;

/// Which side of the pool a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    Train,
    Eval,
}

/// `n` different prompts of one side, digits uniform; a smaller pool is the beginning of a larger one.
pub(super) fn generate(
    config: &RunningSumConfig,
    split: Split,
    n: usize,
    key: Key,
) -> Result<Vec<Task>, DataError> {
    let name = match split {
        Split::Train => "train",
        Split::Eval => "eval",
    };
    let prompts = sides::distinct(
        ("running-sum", name),
        n,
        key,
        |_, rng| draw(config, split, rng),
        |i| format!("no prompt is left for task {i}; ask for fewer tasks or raise `n_digits`"),
    )?;
    let task = |(i, prompt)| {
        make_task(
            config,
            format!("running-sum/{name}-{i:04}"),
            prompt,
            Scratch::None,
        )
    };
    Ok(prompts.into_iter().enumerate().map(task).collect())
}

/// Demonstrations, from the training side; prompts may repeat.
pub(super) fn demonstrations(config: &RunningSumConfig, key: Key) -> Result<Vec<Task>, DataError> {
    let total: f64 = config.shares.iter().sum();
    let [full, half, _] = config.shares.map(|share| share / total);
    (0..config.n_warm_start)
        .map(|i| {
            let mut rng = key.named("running-sum/warm-start", i as u64).rng();
            let drawn = sides::attempt(|| draw(config, Split::Train, &mut rng));
            let prompt = drawn.ok_or_else(|| {
                DataError::value(
                    "running-sum, demonstrations",
                    "no prompt on the training side; raise `n_digits`",
                )
            })?;
            let at = key.named("running-sum/scratch", i as u64).uniform();
            let how = if at < full {
                Scratch::Full
            } else if at < full + half {
                Scratch::Half
            } else {
                Scratch::None
            };
            Ok(make_task(
                config,
                format!("running-sum/warm-start-{i:05}"),
                prompt,
                how,
            ))
        })
        .collect()
}

/// A prompt, every one equally likely, if it is of this side.
fn draw(config: &RunningSumConfig, split: Split, rng: &mut KeyedRng) -> Option<String> {
    let modulus = u64::from(config.modulus);
    let digits = (0..config.n_digits).map(|_| char::from(b'0' + rng.below(modulus) as u8));
    let prompt: String = digits.chain(['=']).collect();
    (sides::is_held_out(&prompt) == (split == Split::Eval)).then_some(prompt)
}

/// The reference is what a demonstration writes; its last symbol is the answer.
fn make_task(config: &RunningSumConfig, id: String, prompt: String, how: Scratch) -> Task {
    let sums = running_sums(&prompt, config.modulus).unwrap_or_default();
    let last = sums.last().copied().unwrap_or_default();
    let reference = format!("{}:{last}", scratch(&sums, how));
    let mut task = Task::new(id, prompt, reference);
    task.difficulty = config.n_digits as f64;
    task
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use groupwise_core::{Part, Stream};

    use super::*;
    use crate::WorldContext;

    #[test]
    fn sides_are_disjoint_under_any_two_keys_and_pools_are_nested() {
        let config = RunningSumConfig {
            n_digits: 3,
            n_tasks: 300,
            n_eval: 100,
            ..Default::default()
        };
        let world = config.build(&WorldContext::default()).unwrap();
        let prompts = |tasks: Vec<Task>| tasks.into_iter().map(|t| t.prompt).collect::<BTreeSet<_>>();
        let (a, b) = (Key::new(1, Stream::Tasks), Key::new(2, Stream::Tasks));
        let train = prompts(world.train_tasks(a).unwrap());
        assert_eq!(train.len(), 300);
        assert!(train.is_disjoint(&prompts(world.eval_tasks(b).unwrap())));
        assert!(
            prompts(world.warm_start_tasks(a).unwrap()).is_disjoint(&prompts(world.eval_tasks(b).unwrap()))
        );
        let small = generate(&config, Split::Train, 50, a).unwrap();
        assert_eq!(small[..], world.train_tasks(a).unwrap()[..50]);
    }

    #[test]
    fn demonstrations_come_in_their_shares() {
        // Binomial, n = 8192: 5 standard deviations are 0.026 at most.
        let config = RunningSumConfig {
            shares: [2.0, 1.0, 1.0],
            ..Default::default()
        };
        let tasks = demonstrations(&config, Key::new(0, Stream::Tasks)).unwrap();
        let share = |n: usize| {
            let count = tasks.iter().filter(|t| t.reference.len() == n).count();
            count as f64 / tasks.len() as f64
        };
        for (n, expected) in [(8, 0.5), (5, 0.25), (2, 0.25)] {
            assert!((share(n) - expected).abs() < 0.028, "{n}: {}", share(n));
        }
    }

    #[test]
    fn an_exhausted_side_is_named() {
        let config = RunningSumConfig {
            n_digits: 2,
            modulus: 2,
            ..Default::default()
        };
        let error = generate(&config, Split::Train, 5, Key::new(0, Stream::Tasks)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("running-sum, train tasks: no prompt is left for task "),
            "{error}"
        );
    }
}
