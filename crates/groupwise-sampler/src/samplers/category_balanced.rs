//! Batches that hold every category of task equally often.

use std::collections::BTreeMap;

use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State, Task};
use serde::{Deserialize, Serialize};

use super::shuffled::check_tasks;
use super::{SamplerContext, check_pool};

/// Every batch draws the same number of distinct tasks from each category, batches independent.
///
/// # Formula
/// Categories in random order take turns, each giving a task of its own that is not in the batch yet, all alike, until
/// the batch is full; a category that has no task left is passed over.
///
/// # Edge cases
/// - `n` beyond the pool gives the whole pool.
/// - Tasks without the column form a category together.
/// - One category: independent uniform batches.
///
/// # Errors
/// An empty pool, when built; a batch asked for before the pool was seen.
///
/// # Source
/// Class-balanced sampling, common practice for long tails; the control of the miniature reproduction of DR-IRL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CategoryBalancedConfig {
    /// Task column that names the category.
    pub column: String,
}

impl Default for CategoryBalancedConfig {
    fn default() -> Self {
        Self {
            column: "category".to_owned(),
        }
    }
}

impl Part<dyn PromptSampler, SamplerContext> for CategoryBalancedConfig {
    const SOURCE: &'static str = "class-balanced sampling, common practice";

    fn formula(&self) -> String {
        format!(
            "batch = n distinct tasks, the same number of each `{}` as far as they go, batches independent",
            self.column
        )
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        Ok(Box::new(CategoryBalanced {
            n_tasks: check_pool(context)?,
            column: self.column.clone(),
            categories: Vec::new(),
        }))
    }
}

#[derive(Debug)]
struct CategoryBalanced {
    n_tasks: usize,
    column: String,
    /// Tasks of each category; a function of the pool, so no memory.
    categories: Vec<Vec<usize>>,
}

impl PromptSampler for CategoryBalanced {
    fn prepare(&mut self, tasks: &[Task], _steps: u64) -> Result<(), DataError> {
        DataError::check_len("tasks", tasks.len(), self.n_tasks)?;
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, task) in tasks.iter().enumerate() {
            let name = task
                .columns
                .get(&self.column)
                .map_or(String::new(), ToString::to_string);
            by_name.entry(name).or_default().push(index);
        }
        self.categories = by_name.into_values().collect();
        Ok(())
    }

    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        if self.categories.is_empty() {
            let what = "was asked for a batch before it saw the pool";
            return Err(DataError::value("category-balanced sampler", what));
        }
        let mut rng = key.rng();
        let mut left = self.categories.clone();
        rng.shuffle(&mut left);
        left.iter_mut().for_each(|tasks| rng.shuffle(tasks));
        let n = n.min(self.n_tasks);
        let mut batch = Vec::with_capacity(n);
        while batch.len() < n {
            let missing = n - batch.len();
            batch.extend(left.iter_mut().filter_map(Vec::pop).take(missing));
        }
        Ok(batch)
    }

    fn observe(&mut self, _step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        check_tasks(self.n_tasks, outcomes)
    }

    /// Nothing is remembered; the column tells this state from that of another sampler.
    fn save(&self) -> State {
        serde_json::json!({ "category_column": self.column })
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        if *state == self.save() {
            Ok(())
        } else {
            let what = format!("expected the state {}, found {state}", self.save());
            Err(DataError::value("category-balanced sampler", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn sampler(counts: &[usize]) -> Box<dyn PromptSampler> {
        let categories = counts
            .iter()
            .enumerate()
            .flat_map(|(j, n)| std::iter::repeat_n(j, *n));
        let tasks: Vec<Task> = categories
            .map(|j| {
                let mut task = Task::new("t", "p", "r");
                task.columns.insert("category".into(), j.into());
                task
            })
            .collect();
        let context = SamplerContext {
            n_tasks: tasks.len(),
            num_generations: 8,
        };
        let mut sampler = CategoryBalancedConfig::default().build(&context).unwrap();
        sampler.prepare(&tasks, 10).unwrap();
        sampler
    }

    fn key(step: u64) -> Key {
        Key::new(3, Stream::Sampler).step(step)
    }

    proptest! {
        #[test]
        fn a_batch_holds_distinct_tasks_and_no_category_more_than_one_above_another_that_has_more(
            counts in prop::collection::vec(1..12usize, 1..6), n in 0..40usize, step in 0..1000u64,
        ) {
            let total: usize = counts.iter().sum();
            let batch = sampler(&counts).next(n, key(step)).unwrap();
            prop_assert_eq!(batch.len(), n.min(total));
            let mut distinct = batch.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), batch.len());
            let mut first = 0;
            let taken: Vec<usize> = counts
                .iter()
                .map(|n| {
                    let range = first..first + n;
                    first += n;
                    batch.iter().filter(|t| range.contains(t)).count()
                })
                .collect();
            let most = taken.iter().copied().max().unwrap_or(0);
            for (n, taken) in counts.iter().zip(&taken) {
                prop_assert!(*taken == *n || taken + 1 >= most, "{:?} of {:?}", taken, counts);
            }
        }
    }

    #[test]
    fn tasks_of_a_category_come_equally_often() {
        // Chi-square with 9 degrees of freedom at alpha 0.001: 27.9; 2 of the 10 tasks in each of 4,000 batches.
        let mut sampler = sampler(&[10, 2]);
        let mut counts = [0.0; 12];
        for step in 0..4000 {
            for task in sampler.next(4, key(step)).unwrap() {
                counts[task] += 1.0;
            }
        }
        assert_eq!((counts[10], counts[11]), (4000.0, 4000.0));
        let chi: f64 = counts[..10]
            .iter()
            .map(|c: &f64| (c - 800.0).powi(2) / 800.0)
            .sum();
        assert!(chi < 27.9, "{chi}");
    }

    #[test]
    fn what_it_cannot_use_is_named() {
        let context = SamplerContext {
            n_tasks: 2,
            num_generations: 8,
        };
        let mut fresh = CategoryBalancedConfig::default().build(&context).unwrap();
        assert_eq!(
            fresh.next(1, key(0)).unwrap_err().to_string(),
            "category-balanced sampler: was asked for a batch before it saw the pool"
        );
        assert_eq!(
            fresh.prepare(&[], 1).unwrap_err().to_string(),
            "`tasks` has 0 entries, expected 2"
        );
        assert!(fresh.load(&fresh.save()).is_ok());
        assert_eq!(
            fresh.load(&State::from(1)).unwrap_err().to_string(),
            "category-balanced sampler: expected the state {\"category_column\":\"category\"}, found 1"
        );
    }
}
