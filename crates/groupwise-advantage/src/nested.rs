//! Rollouts made of items (turns, calls of a sub-agent, executions of a subgoal): statistics over rollouts or over
//! items, and broadcasting.
//!
//! Flow-GRPO compares the outcomes of rollouts and copies them to their turns, M-GRPO compares the calls of all
//! rollouts of a query, Hi-Agent the executions of one subgoal among themselves.

use groupwise_core::{DataError, Offsets, RewardBatch, Spans};
use serde::{Deserialize, Serialize};

use crate::group_relative::GroupRelative;

/// Over what the mean and the deviation of outcome rewards are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpisodeStats {
    /// One value per rollout.
    #[default]
    Trajectory,
    /// One value per item, so that a rollout counts as often as it has items.
    Turn,
}

/// How the objective of the recipe averages tokens; a weight that is folded into advantages must undo it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveAggregation {
    /// Mean over trajectories of their token means (`grpo`).
    #[default]
    SeqMeanTokenMean,
    /// Mean over all counted tokens (`dapo`, `ppo`, `cispo`).
    TokenMean,
}

impl ObjectiveAggregation {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::SeqMeanTokenMean => "seq-mean-token-mean",
            Self::TokenMean => "token-mean",
        }
    }

    /// One over the weight the objective gives a counted token of each trajectory; 0 where none is counted.
    ///
    /// # Formula
    /// `seq-mean-token-mean`: `B n_i`, with `n_i` the counted tokens and `B` the trajectories with any;
    /// `token-mean`: `sum_j n_j`.
    pub fn divisors(self, counted: &[usize]) -> Vec<f64> {
        let filled = counted.iter().filter(|n| **n > 0).count();
        let total: usize = counted.iter().sum();
        let divisor = |n: &usize| match self {
            _ if *n == 0 => 0.0,
            Self::SeqMeanTokenMean => (filled * n) as f64,
            Self::TokenMean => total as f64,
        };
        counted.iter().map(divisor).collect()
    }
}

/// The structure group -> rollouts -> items.
///
/// # Example
/// ```
/// use groupwise_advantage::{EpisodeStats, GroupRelative, GroupRelativeConfig, NestedRollouts};
/// use groupwise_core::Offsets;
/// // Four rollouts of 3, 1, 2 and 2 turns.
/// let (groups, turns) = (Offsets::from_lengths([4]), Offsets::from_lengths([3, 1, 2, 2]));
/// let nested = NestedRollouts::new(groups.spans(), turns.spans())?;
/// let block = GroupRelative::new(GroupRelativeConfig::default())?;
/// let rewards = [Some(1.0), Some(0.0), Some(0.0), Some(1.0)];
/// let a = nested.outcome_advantages(&block, &rewards, EpisodeStats::Turn)?;
/// assert!((a[0] - 0.724567437312177).abs() < 1e-12 && (a[1] + 1.2076123955202949).abs() < 1e-12);
/// assert_eq!(nested.broadcast(&a)?, [a[0], a[0], a[0], a[1], a[2], a[2], a[3], a[3]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NestedRollouts<'a> {
    groups: Spans<'a>,
    items: Spans<'a>,
}

impl<'a> NestedRollouts<'a> {
    /// Joins group -> rollouts and rollout -> items.
    ///
    /// # Errors
    /// [`DataError::Length`] if the groups do not cover the rollouts.
    pub fn new(groups: Spans<'a>, items: Spans<'a>) -> Result<Self, DataError> {
        groups.check_covers("rollouts", items.len())?;
        Ok(Self { groups, items })
    }

    /// Group -> rollouts.
    pub fn groups(&self) -> Spans<'a> {
        self.groups
    }

    /// Rollout -> items.
    pub fn items(&self) -> Spans<'a> {
        self.items
    }

    /// Group -> items.
    pub fn items_of_groups(&self) -> Offsets {
        let of_group = |members: std::ops::Range<usize>| members.map(|i| self.items.len_of(i)).sum();
        Offsets::from_lengths(self.groups.iter().map(of_group))
    }

    /// Copies one value per rollout to its items.
    ///
    /// # Errors
    /// [`DataError::Length`] if there is not one value per rollout.
    pub fn broadcast<T: Copy>(&self, per_rollout: &[T]) -> Result<Vec<T>, DataError> {
        DataError::check_len("values per rollout", per_rollout.len(), self.items.len())?;
        let copies = |(i, value): (usize, &T)| std::iter::repeat_n(*value, self.items.len_of(i));
        Ok(per_rollout.iter().enumerate().flat_map(copies).collect())
    }

    /// Advantages of rollouts by their outcome rewards; a rollout without items takes no part.
    ///
    /// # Formula
    /// That of [`GroupRelative`] over the rollouts of a group, or, under [`EpisodeStats::Turn`], over the rewards of a
    /// group with each repeated once per item.
    ///
    /// # Shapes
    /// `rewards` and the result: one per rollout.
    ///
    /// # Edge cases
    /// A rollout without items, or unscorable: 0, and in no statistic.  Others: those of [`GroupRelative`]; under
    /// `turn`, one usable rollout of several items is a group of equal rewards and gets 0.
    ///
    /// # Errors
    /// Those of [`GroupRelative`].
    pub fn outcome_advantages(
        &self,
        block: &GroupRelative,
        rewards: &[Option<f64>],
        stats: EpisodeStats,
    ) -> Result<Vec<f64>, DataError> {
        RewardBatch::new(self.groups, rewards).check()?;
        match stats {
            EpisodeStats::Trajectory => {
                let usable = |(i, r): (usize, &Option<f64>)| r.filter(|_| self.items.len_of(i) > 0);
                let usable: Vec<Option<f64>> = rewards.iter().enumerate().map(usable).collect();
                block.advantages(self.groups, &usable)
            }
            EpisodeStats::Turn => {
                let per_item = self.item_advantages(block, &self.broadcast(rewards)?)?;
                let first = |items: std::ops::Range<usize>| per_item[items].first().copied().unwrap_or(0.0);
                Ok(self.items.iter().map(first).collect())
            }
        }
    }

    /// Advantages of items by rewards of their own, over all items of a group.
    ///
    /// # Shapes
    /// `values` and the result: one per item.
    ///
    /// # Edge cases
    /// A group without items has no result.  `None`: 0, and in no statistic.  Others: those of [`GroupRelative`].
    ///
    /// # Errors
    /// Those of [`GroupRelative`], by group.
    pub fn item_advantages(
        &self,
        block: &GroupRelative,
        values: &[Option<f64>],
    ) -> Result<Vec<f64>, DataError> {
        relative(block, self.items_of_groups().spans(), values)
    }

    /// Advantages of items by rewards of their own, over the items of one rollout.
    ///
    /// # Shapes
    /// As [`NestedRollouts::item_advantages`].
    ///
    /// # Edge cases
    /// A rollout without items has no result; others as [`NestedRollouts::item_advantages`].
    ///
    /// # Errors
    /// Those of [`GroupRelative`], with the number of the rollout named as the group.
    pub fn advantages_within(
        &self,
        block: &GroupRelative,
        values: &[Option<f64>],
    ) -> Result<Vec<f64>, DataError> {
        relative(block, self.items, values)
    }
}

/// The block over runs that may be empty: an empty one is lent a value that takes no part, so that the numbers in
/// messages stay those of the caller.
fn relative(block: &GroupRelative, runs: Spans<'_>, values: &[Option<f64>]) -> Result<Vec<f64>, DataError> {
    runs.check_covers("values", values.len())?;
    let padded = Offsets::from_lengths(runs.iter().map(|run| run.len().max(1)));
    let mut lent = Vec::with_capacity(padded.total());
    for run in runs.iter() {
        lent.extend_from_slice(&values[run.clone()]);
        if run.is_empty() {
            lent.push(None);
        }
    }
    let found = block.advantages(padded.spans(), &lent)?;
    let own = |(run, padded): (std::ops::Range<usize>, std::ops::Range<usize>)| {
        found[padded.start..padded.start + run.len()].iter().copied()
    };
    Ok(runs.iter().zip(padded.spans().iter()).flat_map(own).collect())
}

#[cfg(test)]
mod tests {
    use groupwise_core::stats;
    use proptest::prelude::*;

    use super::*;
    use crate::group_relative::GroupRelativeConfig;

    fn block() -> GroupRelative {
        GroupRelative::new(GroupRelativeConfig::default()).expect("defaults are valid")
    }

    /// Group -> rollout -> reward and number of items.
    type Batch = Vec<Vec<(Option<f64>, usize)>>;

    fn batches() -> impl Strategy<Value = Batch> {
        let rollout = (prop::option::weighted(0.8, -3.0..3.0f64), 0usize..4);
        prop::collection::vec(prop::collection::vec(rollout, 1..5), 1..4)
    }

    fn offsets(batch: &Batch) -> (Offsets, Offsets, Vec<Option<f64>>) {
        (
            Offsets::from_lengths(batch.iter().map(Vec::len)),
            Offsets::from_lengths(batch.iter().flatten().map(|r| r.1)),
            batch.iter().flatten().map(|r| r.0).collect(),
        )
    }

    fn outcome(batch: &Batch, stats: EpisodeStats) -> Vec<f64> {
        let (groups, items, rewards) = offsets(batch);
        let nested = NestedRollouts::new(groups.spans(), items.spans()).expect("fits");
        nested
            .outcome_advantages(&block(), &rewards, stats)
            .expect("valid")
    }

    #[test]
    fn a_rollout_without_items_takes_no_part_under_either_statistic() {
        let batch = vec![
            vec![(Some(1.0), 2), (Some(0.0), 1), (Some(9.0), 0)],
            vec![(Some(1.0), 0)],
        ];
        let a = outcome(&batch, EpisodeStats::Trajectory);
        let one = 0.5 / (0.5_f64.sqrt() + 1e-6);
        for (found, expected) in a.iter().zip([one, -one, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{a:?}");
        }
        // Values 1, 1, 0: mean 2/3, variance 1/3.
        let a = outcome(&batch, EpisodeStats::Turn);
        let s = (1.0_f64 / 3.0).sqrt() + 1e-6;
        for (found, expected) in a.iter().zip([1.0 / 3.0 / s, -2.0 / 3.0 / s, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{a:?}");
        }
    }

    #[test]
    fn lengths_must_fit_and_messages_name_the_group_of_the_caller() {
        let (groups, items) = (
            Offsets::from_lengths([1, 1, 2]),
            Offsets::from_lengths([0, 1, 1, 1]),
        );
        let nested = NestedRollouts::new(groups.spans(), items.spans()).expect("fits");
        let few = Offsets::from_lengths([1, 1]);
        assert_eq!(
            NestedRollouts::new(groups.spans(), few.spans())
                .expect_err("refused")
                .to_string(),
            "`rollouts` has 2 entries, expected 4"
        );
        let refuse = |found: Result<Vec<f64>, DataError>| found.expect_err("refused").to_string();
        assert_eq!(
            refuse(nested.broadcast(&[0.0])),
            "`values per rollout` has 1 entries, expected 4"
        );
        assert_eq!(
            refuse(nested.item_advantages(&block(), &[Some(0.0)])),
            "`values` has 1 entries, expected 3"
        );
        let wide = [Some(1.0), Some(f64::MAX), Some(-f64::MAX)];
        let message = refuse(nested.item_advantages(&block(), &wide));
        assert!(message.starts_with("group 2: "), "{message}");
        let nan = [None, None, Some(0.0), Some(f64::NAN)];
        for stats in [EpisodeStats::Trajectory, EpisodeStats::Turn] {
            assert_eq!(
                refuse(nested.outcome_advantages(&block(), &nan, stats)),
                "group 2, trajectory 3: `reward` is NaN"
            );
        }
    }

    #[test]
    fn items_are_compared_over_the_group_or_within_their_rollout() {
        let (groups, items) = (Offsets::from_lengths([2, 1]), Offsets::from_lengths([2, 1, 0]));
        let nested = NestedRollouts::new(groups.spans(), items.spans()).expect("fits");
        assert_eq!(nested.items_of_groups(), Offsets::from_lengths([3, 0]));
        let values = [Some(2.0), Some(0.0), Some(1.0)];
        let over_group = nested.item_advantages(&block(), &values).expect("valid");
        let within = nested.advantages_within(&block(), &values).expect("valid");
        let r = 1.0 / (2.0_f64.sqrt() + 1e-6);
        for (found, expected) in over_group
            .iter()
            .zip([1.0 / (1.0 + 1e-6), -1.0 / (1.0 + 1e-6), 0.0])
        {
            assert!((found - expected).abs() < 1e-12);
        }
        for (found, expected) in within.iter().zip([r, -r, 0.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn divisors_are_those_of_the_objective() {
        assert_eq!(
            ObjectiveAggregation::SeqMeanTokenMean.divisors(&[2, 0, 3]),
            [4.0, 0.0, 6.0]
        );
        assert_eq!(
            ObjectiveAggregation::TokenMean.divisors(&[2, 0, 3]),
            [5.0, 0.0, 5.0]
        );
        for how in [
            ObjectiveAggregation::SeqMeanTokenMean,
            ObjectiveAggregation::TokenMean,
        ] {
            assert_eq!(serde_json::to_value(how).expect("prints"), how.name());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn trajectory_statistics_ignore_the_number_of_items(batch in batches(), times in 1usize..4) {
            let repeated: Batch =
                batch.iter().map(|g| g.iter().map(|(r, n)| (*r, n * times)).collect()).collect();
            let a = outcome(&batch, EpisodeStats::Trajectory);
            prop_assert_eq!(&a, &outcome(&repeated, EpisodeStats::Trajectory));
            let (groups, ..) = offsets(&batch);
            for members in groups.spans().iter() {
                prop_assert!(a[members].iter().sum::<f64>().abs() < 1e-6);
            }
        }

        #[test]
        fn turn_statistics_are_those_of_the_items(batch in batches()) {
            let a = outcome(&batch, EpisodeStats::Turn);
            let (groups, ..) = offsets(&batch);
            for (members, rollouts) in groups.spans().iter().zip(&batch) {
                let values: Vec<f64> =
                    rollouts.iter().flat_map(|(r, n)| r.iter().flat_map(|r| std::iter::repeat_n(*r, *n))).collect();
                let (mean, std) = (stats::mean(&values), stats::sample_std(&values));
                for (i, (reward, n)) in members.zip(rollouts) {
                    let expected = match reward {
                        Some(r) if *n > 0 && !stats::is_constant(&values) => (r - mean) / (std + 1e-6),
                        _ => 0.0,
                    };
                    prop_assert!((a[i] - expected).abs() < 1e-9);
                }
            }
        }

        #[test]
        fn one_item_each_makes_the_statistics_equal(batch in batches()) {
            let single: Batch = batch.iter().map(|g| g.iter().map(|(r, _)| (*r, 1)).collect()).collect();
            let (groups, _, rewards) = offsets(&single);
            let grpo = block().advantages(groups.spans(), &rewards)?;
            for stats in [EpisodeStats::Trajectory, EpisodeStats::Turn] {
                prop_assert_eq!(&outcome(&single, stats), &grpo);
            }
        }
    }
}
