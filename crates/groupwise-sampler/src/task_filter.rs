//! Which tasks of a pool are worth training on, by attempts of the start policy.

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

/// Which tasks are kept, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskFilterConfig {
    /// Fewest successes of a task that is kept.
    pub min_successes: u32,
    /// Most successes of a task that is kept, >= `min_successes`; none: no bound.
    pub max_successes: Option<u32>,
    /// Attempts per task of the start policy, >= 1 and >= `min_successes`.
    pub attempts: u32,
}

impl Default for TaskFilterConfig {
    fn default() -> Self {
        Self {
            min_successes: 1,
            max_successes: None,
            attempts: 8,
        }
    }
}

/// Keeps tasks by how often the start policy solved them.
///
/// # Formula
/// Task i is kept if `min_successes <= s_i <= max_successes`.
///
/// # Shapes
/// s of n attempts per task; indices of the kept tasks, rising.
///
/// # Edge cases
/// - All kept, or none: both are answers.  A pool of which nothing is left cannot be sampled from.
/// - Dropping what was never solved hurts where hard tasks are in the test set: it can become solvable later.
///
/// # Errors
/// - When built: `attempts` 0 or below `min_successes`, `max_successes` below `min_successes`.
/// - In use: two lengths, a task without attempts or with more successes than attempts.
///
/// # Source
/// ARPO, arXiv 2505.16282, and its scripts (dvlab-research/ARPO at 7489ae30).  The number of attempts stands in neither:
/// 8 is ours; the upper bound is an option.
///
/// # Example
/// ```
/// use groupwise_sampler::task_filter::{TaskFilter, TaskFilterConfig};
/// let filter = TaskFilter::new(TaskFilterConfig::default())?;
/// assert_eq!(filter.select(&[0, 1, 8, 3], &[8; 4])?, [1, 2, 3]);
/// let middle = TaskFilter::new(TaskFilterConfig { max_successes: Some(7), ..Default::default() })?;
/// assert_eq!(middle.select(&[0, 1, 8, 3], &[8; 4])?, [1, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskFilter(TaskFilterConfig);

impl TaskFilter {
    /// Validates the bounds.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: TaskFilterConfig) -> Result<Self, ParamError> {
        let least = config.min_successes;
        ParamError::check(config.attempts >= 1, "attempts", config.attempts, ">= 1")?;
        ParamError::check(
            least <= config.attempts,
            "min_successes",
            least,
            &format!("<= `attempts` = {}", config.attempts),
        )?;
        match config.max_successes.filter(|most| *most < least) {
            None => Ok(Self(config)),
            Some(most) => {
                let range = format!(">= `min_successes` = {least}");
                Err(ParamError::new("max_successes", most, range))
            }
        }
    }

    /// Attempts per task that the start policy should make.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// True if a task with so many successes is kept.
    pub fn keeps(&self, successes: u32) -> bool {
        self.0.min_successes <= successes && self.0.max_successes.is_none_or(|most| successes <= most)
    }

    /// Indices of the tasks that are kept.
    ///
    /// # Errors
    /// See [`TaskFilter`].
    pub fn select(&self, successes: &[u32], attempts: &[u32]) -> Result<Vec<usize>, DataError> {
        DataError::check_len("attempts", attempts.len(), successes.len())?;
        for (task, (s, n)) in successes.iter().zip(attempts).enumerate() {
            let refuse = |what: String| Err(DataError::value(format!("task {task}"), what));
            if *n == 0 {
                return refuse("has no attempts".to_owned());
            }
            if s > n {
                return refuse(format!("{s} successes of {n} attempts"));
            }
        }
        Ok((0..successes.len())
            .filter(|task| self.keeps(successes[*task]))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_task_inside_the_bounds_is_kept_and_no_other(
            tasks in prop::collection::vec((0u32..=8, 8u32..10), 0..20), least in 0u32..=8, width in prop::option::of(0u32..9),
        ) {
            let most = width.map(|w| least + w);
            let config = TaskFilterConfig { min_successes: least, max_successes: most, attempts: 8 };
            let (successes, attempts): (Vec<u32>, Vec<u32>) = tasks.into_iter().unzip();
            let kept = TaskFilter::new(config)?.select(&successes, &attempts)?;
            prop_assert!(kept.windows(2).all(|w| w[0] < w[1]));
            for (task, s) in successes.iter().enumerate() {
                let inside = *s >= least && *s <= most.unwrap_or(u32::MAX);
                prop_assert_eq!(kept.contains(&task), inside);
            }
        }
    }

    #[test]
    fn bad_parameters_and_counts_are_refused() {
        let refused = |min_successes, max_successes, attempts| {
            let config = TaskFilterConfig {
                min_successes,
                max_successes,
                attempts,
            };
            TaskFilter::new(config).unwrap_err().to_string()
        };
        assert_eq!(refused(0, None, 0), "`attempts` = 0: must be >= 1");
        assert_eq!(
            refused(5, None, 4),
            "`min_successes` = 5: must be <= `attempts` = 4"
        );
        assert_eq!(
            refused(3, Some(2), 8),
            "`max_successes` = 2: must be >= `min_successes` = 3"
        );
        let filter = TaskFilter::new(TaskFilterConfig::default()).unwrap();
        assert_eq!(filter.attempts(), 8);
        let message = |s: &[u32], n: &[u32]| filter.select(s, n).unwrap_err().to_string();
        assert_eq!(message(&[1], &[]), "`attempts` has 0 entries, expected 1");
        assert_eq!(message(&[1, 0], &[8, 0]), "task 1: has no attempts");
        assert_eq!(message(&[9], &[8]), "task 0: 9 successes of 8 attempts");
        assert_eq!(filter.select(&[], &[]), Ok(vec![]));
        assert_eq!(filter.select(&[8, 0], &[8, 8]), Ok(vec![0]));
    }
}
