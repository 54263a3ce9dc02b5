//! Rows of digit completion: generated, or read from the published file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use groupwise_core::{DataError, Key, Task};
use serde::Deserialize;

use super::{DigitCompletionConfig, Rows, complete};
use crate::{WorldContext, rows};

/// Place of the published rows inside a data folder.
const FILE: &str = "digit_completion/train.jsonl";

/// A row of the published file.
#[derive(Deserialize)]
struct Row {
    id: String,
    prompt: String,
    target: String,
}

/// The file to read, if any; a file that is asked for and absent is found missing when it is read.
pub(super) fn choose_file(rows: Rows, context: &WorldContext) -> Option<PathBuf> {
    let data = context.data.as_deref()?;
    match rows {
        Rows::Generated => None,
        Rows::Auto => rows::find(data, FILE),
        Rows::File => Some(rows::find(data, FILE).unwrap_or_else(|| data.join(FILE))),
    }
}

/// The first `n` rows of the file, each checked against the rule.
pub(super) fn read_rows(path: &Path, n: usize) -> Result<Vec<Task>, DataError> {
    let mut tasks = rows::read(path, |row: Row, place: &str| {
        if complete(&row.prompt).as_deref() != Some(&row.target) {
            let what = format!(
                "target {:?} does not continue prompt {:?}",
                row.target, row.prompt
            );
            return Err(DataError::value(place, what));
        }
        Ok(make_task(row.id, row.prompt, row.target))
    })?;
    if tasks.is_empty() {
        return Err(DataError::value(path.display().to_string(), "holds no row"));
    }
    tasks.truncate(n);
    Ok(tasks)
}

/// The first `n_tasks` of the shuffled triples.
pub(super) fn generate_train(config: &DigitCompletionConfig, key: Key) -> Vec<Task> {
    shuffled_prompts(config, key)
        .take(config.n_tasks)
        .enumerate()
        .map(|(i, prompt)| generated("train", i, prompt))
        .collect()
}

/// The first `n_eval` different prompts of the shuffled triples that are not in `train`.
pub(super) fn generate_eval(config: &DigitCompletionConfig, train: &[Task], key: Key) -> Vec<Task> {
    let mut seen: BTreeSet<String> = train.iter().map(|task| task.prompt.clone()).collect();
    shuffled_prompts(config, key)
        .filter(|prompt| seen.insert(prompt.clone()))
        .take(config.n_eval)
        .enumerate()
        .map(|(i, prompt)| generated("eval", i, prompt))
        .collect()
}

/// Prompts of all triples (first number, difference, count) in a random order.
fn shuffled_prompts(config: &DigitCompletionConfig, key: Key) -> impl Iterator<Item = String> {
    let (m, counts) = (config.max_number, config.max_num_in_response + 1);
    let diffs = config.max_diff + 1;
    let mut triples: Vec<u32> = (0..config.n_triples() as u32).collect();
    key.named("digit-completion", 0).rng().shuffle(&mut triples);
    triples.into_iter().map(move |triple| {
        let (first, diff, count) = (triple / counts / diffs, triple / counts % diffs, triple % counts);
        format!("{first},{}:{m},{count}", (first + diff) % m)
    })
}

fn generated(split: &str, i: usize, prompt: String) -> Task {
    let target = complete(&prompt).unwrap_or_default();
    make_task(format!("digit-completion/{split}-{i:04}"), prompt, target)
}

/// A task whose difficulty is the count of numbers to write.
fn make_task(id: String, prompt: String, target: String) -> Task {
    let count = target.split(',').filter(|number| !number.is_empty()).count();
    Task {
        difficulty: count as f64,
        ..Task::new(id, prompt, target)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Part, Stream};
    use proptest::prelude::*;

    use super::*;

    fn prompts(tasks: &[Task]) -> BTreeSet<&str> {
        tasks.iter().map(|task| task.prompt.as_str()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn training_and_evaluation_are_disjoint_and_every_reference_is_right(
            seed in any::<u64>(), max_number in 1..30u32, max_diff in 0..30u32, most in 0..12u32, share in 0.05..1.0f64,
        ) {
            let mut config = DigitCompletionConfig { max_number, max_diff, max_num_in_response: most, ..Default::default() };
            config.n_tasks = ((config.n_triples() as f64 * share) as usize).max(1);
            config.n_eval = config.n_prompts().saturating_sub(config.n_tasks);
            let world = config.build(&WorldContext::default()).unwrap();
            let key = Key::new(seed, Stream::Tasks);
            let (train, eval) = (world.train_tasks(key).unwrap(), world.eval_tasks(key).unwrap());
            prop_assert_eq!((train.len(), eval.len()), (config.n_tasks, config.n_eval));
            prop_assert_eq!(prompts(&eval).len(), eval.len());
            prop_assert!(prompts(&train).is_disjoint(&prompts(&eval)));
            for task in train.iter().chain(&eval) {
                prop_assert_eq!(complete(&task.prompt), Some(task.reference.clone()));
            }
        }
    }

    #[test]
    fn all_triples_hold_900_prompts_as_published() {
        let config = DigitCompletionConfig::default();
        let all: Vec<String> = shuffled_prompts(&config, Key::new(0, Stream::Tasks)).collect();
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (1000, 900));
        assert_eq!((config.n_triples(), config.n_prompts()), (1000, 900));
    }

    #[test]
    fn a_file_is_read_checked_and_kept_out_of_evaluation() {
        let folder = tempfile::tempdir().unwrap();
        let context = WorldContext {
            data: Some(folder.path().into()),
        };
        let config = DigitCompletionConfig {
            rows: Rows::File,
            n_tasks: 1,
            n_eval: 899,
            ..Default::default()
        };
        let key = Key::new(0, Stream::Tasks);
        let path = folder.path().join(FILE);
        let world = config.build(&context).unwrap();
        let missing = world.train_tasks(key).unwrap_err().to_string();
        assert!(
            missing.starts_with(&format!("{}: cannot be read: ", path.display())),
            "{missing}"
        );

        std::fs::create_dir(folder.path().join("digit_completion")).unwrap();
        let good = r#"{"id":"r0","prompt":"3,7:9,3","target":"2,6,1"}"#;
        std::fs::write(&path, good).unwrap();
        let train = world.train_tasks(key).unwrap();
        assert_eq!((train[0].id.as_str(), train[0].difficulty), ("r0", 3.0));
        assert_eq!(world.eval_tasks(key).unwrap().len(), 899);

        std::fs::write(
            &path,
            format!("{good}\n{{\"id\":\"r1\",\"prompt\":\"3,7:9,3\",\"target\":\"2,6\"}}"),
        )
        .unwrap();
        assert_eq!(
            world.train_tasks(key).unwrap_err().to_string(),
            format!(
                "{}, line 2: target \"2,6\" does not continue prompt \"3,7:9,3\"",
                path.display()
            )
        );
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(
            world.train_tasks(key).unwrap_err().to_string(),
            format!("{}: holds no row", path.display())
        );
        let auto = DigitCompletionConfig {
            rows: Rows::Generated,
            ..config
        }
        .build(&context)
        .unwrap();
        assert_eq!(
            auto.train_tasks(key).unwrap()[0].id,
            "digit-completion/train-0000"
        );
    }
}
