//! Prompts of digits, and demonstrations in the three dialects.

use groupwise_core::key::KeyedRng;
use groupwise_core::{DataError, Key, Task};

use super::{TraceDialectsConfig, answer, running_sums, symbol};
use crate::sides;

/// Which tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    Train,
    Eval,
    /// Longer prompts than any of training.
    Long,
}

fn write_prompt(digits: &[u8]) -> String {
    digits.iter().map(|d| symbol(*d)).chain(['=']).collect()
}

/// A prompt of a length of this split, each length and each digit equally likely, on its side of the hash.
fn draw(config: &TraceDialectsConfig, which: Split, rng: &mut KeyedRng) -> Option<Vec<u8>> {
    let lengths = (config.max_length - config.min_length) as u64 + 1;
    let length = match which {
        Split::Train | Split::Eval => config.min_length + rng.below(lengths) as usize,
        Split::Long => config.ood_length,
    };
    let digits: Vec<u8> = (0..length)
        .map(|_| rng.below(u64::from(config.base)) as u8)
        .collect();
    let held_out = sides::is_held_out(&write_prompt(&digits));
    (which == Split::Long || held_out == (which == Split::Eval)).then_some(digits)
}

fn make_task(config: &TraceDialectsConfig, id: String, digits: &[u8]) -> Task {
    let mut task = Task::new(id, write_prompt(digits), answer(config.base, digits));
    task.difficulty = digits.len() as f64;
    task
}

/// `n` different tasks.
pub(super) fn generate(
    config: &TraceDialectsConfig,
    which: Split,
    n: usize,
    key: Key,
) -> Result<Vec<Task>, DataError> {
    let name = match which {
        Split::Train => "train",
        Split::Eval => "eval",
        Split::Long => "long",
    };
    let prompts = sides::distinct(
        ("trace-dialects", name),
        n,
        key,
        |_, rng| draw(config, which, rng),
        |i| format!("no prompt is left for task {i}; ask for fewer tasks or more digits"),
    )?;
    let task =
        |(i, digits): (usize, &Vec<u8>)| make_task(config, format!("trace-dialects/{name}-{i:04}"), digits);
    Ok(prompts.iter().enumerate().map(task).collect())
}

/// A trace that writes out every sum, some of them twice.
fn expert(base: u8, digits: &[u8], detours: f64, rng: &mut KeyedRng) -> String {
    let sums = running_sums(base, digits);
    let mut text = String::new();
    for (k, digit) in digits.iter().enumerate().skip(1) {
        let step = [symbol(sums[k - 1]), '+', symbol(*digit), '=', symbol(sums[k])];
        text.extend(step);
        if rng.uniform() < detours {
            text.push('?');
            text.extend(step);
        }
    }
    text
}

/// Prompts of the training side, which may repeat themselves, each with a reply in a dialect as column `demonstration`.
pub(super) fn demonstrations(config: &TraceDialectsConfig, key: Key) -> Result<Vec<Task>, DataError> {
    let total = config.plain + config.native + config.expert;
    let one = |i: usize| {
        let mut rng = key.named("trace-dialects/demonstration", i as u64).rng();
        let digits = sides::attempt(|| draw(config, Split::Train, &mut rng)).ok_or_else(|| {
            DataError::value(
                "trace-dialects, demonstrations",
                "every prompt is kept for evaluation; use more digits",
            )
        })?;
        let luck = rng.uniform() * total;
        let trace: String = match luck {
            luck if luck < config.plain => String::new(),
            luck if luck < config.plain + config.native => running_sums(config.base, &digits)
                .into_iter()
                .map(symbol)
                .collect(),
            _ => expert(config.base, &digits, config.detours, &mut rng),
        };
        let mut task = make_task(config, format!("trace-dialects/demonstration-{i:05}"), &digits);
        let text = format!("{trace}#{}", task.reference);
        task.columns.insert("demonstration".into(), text.into());
        Ok(task)
    };
    (0..config.n_warm_start).map(one).collect()
}
