//! Instances of the digit chain with a given number of carries.

use groupwise_core::key::KeyedRng;
use groupwise_core::{DataError, Key, Task};

use super::check::{links_of, write_answer, write_prompt};
use super::{DigitChainConfig, Form};
use crate::sides;

/// Which side of the pool a task is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    Train,
    Eval,
}

/// `n` different tasks, the levels in turn, so that their shares differ by at most one task.
///
/// Task `i` depends on the key and on the tasks before it (which it must not repeat) only: a smaller pool is the
/// beginning of a larger one.
pub(super) fn generate(
    config: &DigitChainConfig,
    split: Split,
    n: usize,
    key: Key,
) -> Result<Vec<Task>, DataError> {
    let name = match split {
        Split::Train => "train",
        Split::Eval => "eval",
    };
    let levels = config.max_carries - config.min_carries + 1;
    let carries = |i: usize| config.min_carries + i % levels;
    let instances = sides::distinct(
        ("digit-chain", name),
        n,
        key,
        |i, rng| Some(draw(config, carries(i), rng)).filter(|columns| split_of(columns) == split),
        |i| {
            format!(
                "no instance with {} carries is left for task {i}; ask for fewer tasks or raise `extra_digits`",
                carries(i)
            )
        },
    )?;
    let task = |(i, columns): (usize, &Vec<Vec<u8>>)| {
        make_task(config, format!("digit-chain/{name}-{i:04}"), columns)
    };
    Ok(instances.iter().enumerate().map(task).collect())
}

fn make_task(config: &DigitChainConfig, id: String, columns: &[Vec<u8>]) -> Task {
    let (form, base) = (config.form, config.base);
    let mut task = Task::new(id, write_prompt(form, columns), write_answer(form, base, columns));
    let carries = links_of(base, columns)
        .iter()
        .filter(|(carry, _)| *carry > 0)
        .count();
    task.difficulty = carries as f64;
    task.columns.insert("digits".into(), columns.len().into());
    task
}

/// The side an instance belongs to: a function of its operands, whatever their order and the form.
fn split_of(columns: &[Vec<u8>]) -> Split {
    let prompt = write_prompt(Form::MostFirst, columns);
    let mut operands: Vec<&str> = prompt.trim_end_matches('=').split('+').collect();
    operands.sort_unstable();
    if sides::is_held_out(&operands.join("+")) {
        Split::Eval
    } else {
        Split::Train
    }
}

/// Columns with exactly `carries` carries: first which columns carry, every choice equally likely, then the
/// digits, from the least significant column up, every combination that carries or not as chosen equally likely.
///
/// Operands have no leading zero.
fn draw(config: &DigitChainConfig, carries: usize, rng: &mut KeyedRng) -> Vec<Vec<u8>> {
    let n = carries.max(config.min_digits) + rng.below(config.extra_digits as u64 + 1) as usize;
    let mut pattern: Vec<bool> = (0..n).map(|i| i < carries).collect();
    rng.shuffle(&mut pattern);
    let base = config.base;
    let mut carry = 0;
    let mut columns = Vec::with_capacity(n);
    for (i, carries_on) in pattern.into_iter().enumerate() {
        let lowest = u8::from(i + 1 == n);
        let (low, high) = if carries_on {
            (base - carry, u8::MAX)
        } else {
            (0, base - 1 - carry)
        };
        let column = draw_column(config.n_operands, (lowest, base - 1), (low, high), rng);
        carry = (column.iter().sum::<u8>() + carry) / base;
        columns.push(column);
    }
    columns
}

/// `k` digits between the two of `digits` with a sum in `low..=high`, every such combination equally likely.
///
/// One exists for k >= 2 in a base >= 2 k: carries are below k, so `low` is at most the base <= k (base - 1), and k
/// digits of 1 do not exceed `base - 1 - (k - 1)`.
fn draw_column(k: usize, digits: (u8, u8), (low, high): (u8, u8), rng: &mut KeyedRng) -> Vec<u8> {
    let (lowest, highest) = digits;
    let mut column = Vec::with_capacity(k);
    let mut total = 0;
    for left in (0..k).rev() {
        let ways = count_sums(left, digits);
        let completions = |d: u8| -> u64 {
            ways.iter()
                .zip(0u8..)
                .filter(|(_, s)| (low..=high).contains(&(total + d + s)))
                .map(|(w, _)| w)
                .sum()
        };
        let mut pick = rng.below((lowest..=highest).map(completions).sum());
        let mut chosen = lowest;
        for d in lowest..=highest {
            let ways = completions(d);
            if pick < ways {
                chosen = d;
                break;
            }
            pick -= ways;
        }
        total += chosen;
        column.push(chosen);
    }
    column
}

/// Number of ways in which `k` digits between the two of `digits` have each sum 0, 1, ...
fn count_sums(k: usize, digits: (u8, u8)) -> Vec<u64> {
    let mut ways = vec![1];
    for _ in 0..k {
        let mut next = vec![0; ways.len() + usize::from(digits.1)];
        for (sum, count) in ways.iter().enumerate() {
            for d in usize::from(digits.0)..=usize::from(digits.1) {
                next[sum + d] += count;
            }
        }
        ways = next;
    }
    ways
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use groupwise_core::{Part, Stream};
    use proptest::prelude::*;

    use super::super::check;
    use super::super::check::read_prompt;
    use super::*;
    use crate::WorldContext;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_level_has_its_share_of_tasks_with_that_many_carries_and_every_reference_passes(
            seed in any::<u64>(), n_operands in 2..=5usize, min_carries in 0..4usize, more in 0..8usize,
            min_digits in 3..6usize, extra_digits in 0..3usize, spare in 0..7u8,
            form in prop::sample::select(vec![Form::Columns, Form::Carries, Form::LeastFirst, Form::MostFirst]),
        ) {
            let base = (2 * n_operands as u8 + spare).min(10);
            let max_carries = min_carries + more;
            let n = 4 * (more + 1);
            let config = DigitChainConfig { n_operands, min_carries, max_carries, min_digits, extra_digits, base, form, n_tasks: n, n_warm_start: n, n_eval: n };
            let world = config.build(&WorldContext::default()).unwrap();
            let key = Key::new(seed, Stream::Tasks);
            for tasks in [world.train_tasks(key), world.eval_tasks(key)].map(Result::unwrap) {
                let mut shares = BTreeMap::new();
                for task in &tasks {
                    prop_assert_eq!(check(form, base, &task.prompt, &task.reference), Ok(()));
                    let columns = read_prompt(form, base, &task.prompt).unwrap();
                    let carries = links_of(base, &columns).iter().filter(|(carry, _)| *carry > 0).count();
                    prop_assert_eq!(task.difficulty, carries as f64);
                    let shortest = carries.max(min_digits);
                    prop_assert!((shortest..=shortest + extra_digits).contains(&columns.len()));
                    prop_assert!(columns.last().unwrap().iter().all(|d| *d > 0));
                    *shares.entry(carries).or_insert(0) += 1;
                }
                let expected: BTreeMap<usize, i32> = (min_carries..=max_carries).map(|c| (c, 4)).collect();
                prop_assert_eq!(shares, expected);
            }
        }

        #[test]
        fn training_and_evaluation_are_disjoint_under_any_two_keys(a in any::<u64>(), b in any::<u64>()) {
            let world = DigitChainConfig::default().build(&WorldContext::default()).unwrap();
            let canonical = |tasks: Vec<Task>| -> BTreeSet<Vec<Vec<u8>>> {
                tasks.iter().map(|task| {
                    let columns = read_prompt(Form::Columns, 10, &task.prompt).unwrap();
                    let mut operands: Vec<Vec<u8>> =
                        (0..2).map(|k| columns.iter().map(|column| column[k]).collect()).collect();
                    operands.sort();
                    operands
                }).collect()
            };
            let train = canonical(world.train_tasks(Key::new(a, Stream::Tasks)).unwrap());
            let eval = canonical(world.eval_tasks(Key::new(b, Stream::Tasks)).unwrap());
            prop_assert!(train.is_disjoint(&eval));
        }

        #[test]
        fn a_smaller_pool_is_the_beginning_of_a_larger_one(seed in any::<u64>(), n in 1..100usize) {
            let key = Key::new(seed, Stream::Tasks);
            let config = DigitChainConfig::default();
            let small = generate(&config, Split::Train, n, key).unwrap();
            let large = generate(&config, Split::Train, 100, key).unwrap();
            prop_assert_eq!(&small[..], &large[..n]);
        }
    }

    #[test]
    fn an_exhausted_level_is_named() {
        let config = DigitChainConfig {
            max_carries: 1,
            extra_digits: 0,
            n_tasks: 100,
            ..Default::default()
        };
        let world = config.build(&WorldContext::default()).unwrap();
        let error = world
            .train_tasks(Key::new(0, Stream::Tasks))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("digit-chain, train tasks: no instance with 1 carries is left for task "),
            "{error}"
        );
        assert!(
            error.ends_with("; ask for fewer tasks or raise `extra_digits`"),
            "{error}"
        );
    }

    #[test]
    fn columns_are_uniform_over_the_combinations_allowed() {
        // Chi-square over the 45 pairs of digits in 1..=9 with a sum of at least 10; alpha 0.001, 44 degrees: 78.7.
        let mut rng = Key::new(0, Stream::Tasks).rng();
        let mut counts = BTreeMap::new();
        for _ in 0..45_000 {
            *counts
                .entry(draw_column(2, (1, 9), (10, 255), &mut rng))
                .or_insert(0.0) += 1.0;
        }
        assert_eq!(counts.len(), 45);
        let chi: f64 = counts.values().map(|c: &f64| (c - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 78.7, "chi-square {chi}");
        assert_eq!(draw_column(5, (1, 9), (0, 5), &mut rng), [1; 5]);
    }
}
