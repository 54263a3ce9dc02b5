//! Stages of a curriculum by the length of a task, and how many training steps each gets (CRAFT-GUI).

use std::ops::RangeInclusive;

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

use crate::apportion::by_counts;
use crate::stages::StageMode;

/// What a task of an interface agent asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// A sequence of actions.
    #[default]
    Action,
    /// A question about what is seen.
    Understanding,
}

/// What the stage of a task depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskLength {
    /// Steps of the task's trajectory, >= 1.
    pub steps: u64,
    /// What it asks for.
    #[serde(default)]
    pub kind: TaskKind,
}

/// Stage of a task by its number of steps.
///
/// # Formula
/// Bounds b_0 < b_1 < ..: the stage of an action task of n steps is the number of bounds below n; of an understanding
/// task, the last.
///
/// # Shapes
/// Steps of a trajectory; stages from 0.
///
/// # Edge cases
/// A task of exactly b_k steps belongs to stage k: with 3 and 8, 8 steps are the second stage.  No bounds: one stage.
///
/// # Errors
/// A bound of 0, bounds that do not rise strictly; a task of 0 steps.
///
/// # Source
/// CRAFT-GUI, arXiv 2508.11360: "1-3", "4-8", "8+" in a public summary, which leaves open where 8 belongs.  That
/// understanding tasks come last is a reconstruction.
///
/// # Example
/// ```
/// use groupwise_sampler::length_stages::{LengthStages, TaskKind, TaskLength};
/// let stages = LengthStages::default();
/// let stage = |steps, kind| stages.stage(TaskLength { steps, kind });
/// for (steps, expected) in [(1, 0), (3, 0), (4, 1), (8, 1), (9, 2)] {
///     assert_eq!(stage(steps, TaskKind::Action)?, expected);
/// }
/// assert_eq!(stage(2, TaskKind::Understanding)?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LengthStages {
    bounds: Vec<u64>,
}

impl Default for LengthStages {
    /// Up to 3 steps, up to 8, more: the published stages.
    fn default() -> Self {
        Self { bounds: vec![3, 8] }
    }
}

impl LengthStages {
    /// Validates the bounds.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(bounds: Vec<u64>) -> Result<Self, ParamError> {
        let given = || format!("{bounds:?}");
        ParamError::check(!bounds.contains(&0), "bounds", given(), "numbers >= 1")?;
        let rising = bounds.windows(2).all(|w| w[0] < w[1]);
        ParamError::check(rising, "bounds", given(), "strictly rising")?;
        Ok(Self { bounds })
    }

    /// Number of stages, at least 1.
    pub fn n_stages(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Stage of a task, from 0.
    ///
    /// # Errors
    /// A task of 0 steps.
    pub fn stage(&self, task: TaskLength) -> Result<usize, DataError> {
        if task.steps == 0 {
            return Err(DataError::value("task", "has 0 steps, must have at least 1"));
        }
        Ok(match task.kind {
            TaskKind::Understanding => self.bounds.len(),
            TaskKind::Action => self.bounds.partition_point(|bound| *bound < task.steps),
        })
    }

    /// Tasks of every stage, each in order of index.
    ///
    /// # Errors
    /// The first task of 0 steps.
    pub fn pools(&self, tasks: &[TaskLength]) -> Result<Vec<Vec<usize>>, DataError> {
        let mut pools = vec![Vec::new(); self.n_stages()];
        for (i, task) in tasks.iter().enumerate() {
            let stage = self
                .stage(*task)
                .map_err(|_| DataError::value(format!("task {i}"), "has 0 steps, must have at least 1"))?;
            pools[stage].push(i);
        }
        Ok(pools)
    }
}

/// When a run is at which stage.
///
/// # Formula
/// Stage k of m_k tasks gets `T m_k / sum(m)` of T training steps, by largest remainder ([`by_counts`]).  Stages follow
/// one another from first to last, in mode `reverse` from last to first.
///
/// # Shapes
/// Training steps and stages from 0.
///
/// # Edge cases
/// - An empty stage gets no steps; of a short run others can get none either.
/// - Behind the last step the last stage that was trained on stays; a run of no steps has the first stage with tasks.
/// - `joint` trains on all stages throughout; its stage index goes through the run as that of `replace`.
///
/// # Errors
/// No task.
///
/// # Source
/// CRAFT-GUI, arXiv 2508.11360; shares in proportion to the tasks are a reconstruction.
///
/// # Example
/// ```
/// use groupwise_sampler::length_stages::StagePlan;
/// use groupwise_sampler::stages::StageMode;
/// let plan = StagePlan::new(&[5, 3, 3], 10, StageMode::Replace)?;
/// assert_eq!(plan.steps(), [4, 3, 3]);
/// assert_eq!([0, 3, 4, 6, 7, 9, 50].map(|step| plan.stage(step)), [0, 0, 1, 1, 2, 2, 2]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePlan {
    mode: StageMode,
    steps: Vec<u64>,
    /// Stages with steps in order of time, with the first step behind each; never empty.
    visits: Vec<(usize, u64)>,
}

impl StagePlan {
    /// A plan for stages of these numbers of tasks.
    ///
    /// # Errors
    /// No task.
    pub fn new(sizes: &[usize], total_steps: u64, mode: StageMode) -> Result<Self, DataError> {
        let steps = by_counts(sizes, total_steps).map_err(|_| DataError::value("stages", "hold no task"))?;
        let mut order: Vec<usize> = (0..sizes.len()).filter(|k| sizes[*k] > 0).collect();
        if mode == StageMode::Reverse {
            order.reverse();
        }
        let mut end = 0;
        let mut visits: Vec<(usize, u64)> = Vec::new();
        for k in order {
            end += steps[k];
            if steps[k] > 0 || (total_steps == 0 && visits.is_empty()) {
                visits.push((k, end));
            }
        }
        Ok(Self { mode, steps, visits })
    }

    /// Training steps of every stage; they sum to those of the run.
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    /// The stage of a training step.
    pub fn stage(&self, step: u64) -> usize {
        let passed = self.visits.partition_point(|(_, end)| *end <= step);
        let visit = self.visits.get(passed).or(self.visits.last());
        visit.map_or(0, |(stage, _)| *stage)
    }

    /// Stages whose tasks a training step draws from.
    pub fn active(&self, step: u64) -> RangeInclusive<usize> {
        self.active_at(self.stage(step))
    }

    /// Stages whose tasks are drawn from at a stage.
    pub(crate) fn active_at(&self, stage: usize) -> RangeInclusive<usize> {
        match self.mode {
            StageMode::Replace | StageMode::Reverse => stage..=stage,
            StageMode::Cumulative => 0..=stage,
            StageMode::Joint => 0..=self.steps.len() - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MODES: [StageMode; 4] = [
        StageMode::Replace,
        StageMode::Cumulative,
        StageMode::Joint,
        StageMode::Reverse,
    ];

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(0usize..9, 1..6).prop_filter("some task", |s| s.iter().any(|m| *m > 0))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn stages_partition_the_tasks_and_longer_tasks_never_come_earlier(
            bounds in prop::collection::btree_set(1u64..20, 0..4),
            tasks in prop::collection::vec((1u64..25, any::<bool>()), 0..20),
        ) {
            let bounds: Vec<u64> = bounds.into_iter().collect();
            let stages = LengthStages::new(bounds.clone())?;
            let tasks: Vec<TaskLength> = tasks
                .into_iter()
                .map(|(steps, asks)| TaskLength { steps, kind: if asks { TaskKind::Understanding } else { TaskKind::Action } })
                .collect();
            let pools = stages.pools(&tasks)?;
            prop_assert_eq!(pools.len(), bounds.len() + 1);
            prop_assert_eq!(pools.iter().map(Vec::len).sum::<usize>(), tasks.len());
            for (k, pool) in pools.iter().enumerate() {
                prop_assert!(pool.windows(2).all(|w| w[0] < w[1]));
                for i in pool {
                    let inside = (k == 0 || tasks[*i].steps > bounds[k - 1]) && (k == bounds.len() || tasks[*i].steps <= bounds[k]);
                    let last = k == bounds.len();
                    let asks = tasks[*i].kind == TaskKind::Understanding;
                    prop_assert!((asks && last) || (!asks && inside));
                }
            }
        }

        #[test]
        fn steps_sum_to_the_total_and_each_stage_lasts_as_long(sizes in sizes(), total in 1u64..60) {
            for mode in MODES {
                let plan = StagePlan::new(&sizes, total, mode)?;
                prop_assert_eq!(plan.steps().iter().sum::<u64>(), total);
                let mut counts = vec![0; sizes.len()];
                (0..total).for_each(|step| counts[plan.stage(step)] += 1);
                prop_assert_eq!(plan.steps(), &counts);
            }
        }

        #[test]
        fn the_stage_never_falls_and_in_reverse_never_rises(sizes in sizes(), total in 0u64..60, step in 0u64..70) {
            let stages = |mode| StagePlan::new(&sizes, total, mode).map(|p| (p.stage(step), p.stage(step + 1)));
            for mode in [StageMode::Replace, StageMode::Cumulative, StageMode::Joint] {
                let (now, next) = stages(mode)?;
                prop_assert!(now <= next);
                prop_assert!(sizes[now] > 0);
            }
            let (now, next) = stages(StageMode::Reverse)?;
            prop_assert!(now >= next);
        }

        #[test]
        fn active_stages_are_those_of_the_mode(sizes in sizes(), total in 1u64..60, step in 0u64..70) {
            let active = |mode| StagePlan::new(&sizes, total, mode).map(|p| (p.stage(step), p.active(step)));
            let (stage, replace) = active(StageMode::Replace)?;
            prop_assert_eq!(replace, stage..=stage);
            prop_assert_eq!(active(StageMode::Cumulative)?, (stage, 0..=stage));
            prop_assert_eq!(active(StageMode::Joint)?, (stage, 0..=sizes.len() - 1));
            let (last, reverse) = active(StageMode::Reverse)?;
            prop_assert_eq!(reverse, last..=last);
        }
    }

    #[test]
    fn empty_stages_and_short_runs() {
        let plan = |sizes: &[usize], total, mode| StagePlan::new(sizes, total, mode).unwrap();
        let skipped = plan(&[2, 0, 2], 4, StageMode::Replace);
        assert_eq!(skipped.steps(), [2, 0, 2]);
        assert_eq!([0, 1, 2, 3, 4].map(|t| skipped.stage(t)), [0, 0, 2, 2, 2]);
        let reverse = plan(&[5, 3, 3], 10, StageMode::Reverse);
        assert_eq!(reverse.steps(), [4, 3, 3]);
        assert_eq!(
            [0, 2, 3, 5, 6, 9, 10].map(|t| reverse.stage(t)),
            [2, 2, 1, 1, 0, 0, 0]
        );
        // One step goes to the larger stage and stays there.
        let short = plan(&[1, 3], 1, StageMode::Replace);
        assert_eq!([0, 1].map(|t| short.stage(t)), [1, 1]);
        for (mode, stage) in [(StageMode::Replace, 1), (StageMode::Reverse, 2)] {
            assert_eq!(plan(&[0, 1, 3], 0, mode).stage(0), stage);
        }
    }

    #[test]
    fn bad_bounds_and_tasks_are_refused() {
        let refused = |bounds| LengthStages::new(bounds).unwrap_err().to_string();
        assert_eq!(refused(vec![0, 3]), "`bounds` = [0, 3]: must be numbers >= 1");
        for bad in [[3, 3], [8, 3]] {
            assert_eq!(
                refused(bad.to_vec()),
                format!("`bounds` = {bad:?}: must be strictly rising")
            );
        }
        let stages = LengthStages::new(vec![3]).unwrap();
        let nothing = TaskLength {
            steps: 0,
            kind: TaskKind::Understanding,
        };
        assert_eq!(
            stages.stage(nothing).unwrap_err().to_string(),
            "task: has 0 steps, must have at least 1"
        );
        assert_eq!(
            stages.pools(&[nothing]).unwrap_err().to_string(),
            "task 0: has 0 steps, must have at least 1"
        );
        assert_eq!(LengthStages::new(vec![]).unwrap().n_stages(), 1);
        assert_eq!(LengthStages::new(vec![3, 8]).unwrap(), LengthStages::default());
        for sizes in [&[][..], &[0, 0]] {
            let error = StagePlan::new(sizes, 5, StageMode::Joint).unwrap_err();
            assert_eq!(error.to_string(), "stages: hold no task");
        }
    }
}
