//! CRAFT-GUI: stages of the pool by the length of a task, short ones first.

use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State, Task};
use serde::{Deserialize, Serialize};

use super::staged::StagedSampler;
use super::{SamplerContext, check_pool};
use crate::length_stages::{LengthStages, TaskKind, TaskLength};
use crate::stages::StageMode;

/// What the length of a task is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthOf {
    /// Its difficulty, in the units of the generator, rounded up.
    #[default]
    Difficulty,
    /// A column of whole numbers.
    Column(String),
}

/// The shuffled sampler inside stages that follow one another; the length of a task decides its stage.
///
/// # Formula
/// Stage of a task of n steps: the first k with `n <= bounds[k]`, else the last; a task whose column `kind` is
/// "understanding" belongs to the last.  A stage of m_k tasks gets `steps m_k / sum m` training steps (largest remainders).
///
/// # Shapes
/// `bounds` in units of the length.
///
/// # Edge cases
/// - A stage without tasks gets no step.
/// - Mode `joint` is the shuffled sampler, draw for draw: the baseline.
/// - See [`StagedSampler`] for epochs and refills.
///
/// # Errors
/// `bounds` not rising or holding a 0, an empty pool, when built.  When the pool is shown: a task without the column or
/// of less than 1 step.
///
/// # Source
/// CRAFT-GUI, arXiv 2508.11360 (bounds 3 and 8 from a public summary); no code.
///
/// # Example
/// ```
/// use groupwise_core::{Key, PromptSampler, Stream, Task};
/// use groupwise_sampler::{SamplerContext, SamplerSpec};
/// let spec: SamplerSpec = serde_json::from_str(r#"{"length-staged": {"bounds": [3], "length": {"column": "moves"}}}"#)?;
/// let tasks: Vec<Task> = [9, 1, 5, 2].iter().map(|moves| {
///     let mut task = Task::new(format!("t{moves}"), "", "");
///     task.columns.insert("moves".into(), (*moves).into());
///     task
/// }).collect();
/// let mut sampler = spec.build(&SamplerContext { n_tasks: 4, num_generations: 8 })?;
/// sampler.prepare(&tasks, 4)?;
/// let mut first = sampler.next(2, Key::new(0, Stream::Sampler))?;
/// first.sort_unstable();
/// assert_eq!(first, [1, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthStagedConfig {
    /// Longest task of each stage but the last, rising, >= 1.
    pub bounds: Vec<u64>,
    /// Which stages are active.
    pub mode: StageMode,
    /// What the length of a task is.
    pub length: LengthOf,
}

impl Default for LengthStagedConfig {
    fn default() -> Self {
        Self {
            bounds: vec![3, 8],
            mode: StageMode::default(),
            length: LengthOf::default(),
        }
    }
}

impl Part<dyn PromptSampler, SamplerContext> for LengthStagedConfig {
    const SOURCE: &'static str = "CRAFT-GUI, arXiv 2508.11360, bounds from a public summary; no code";

    fn formula(&self) -> String {
        let active = match self.mode {
            StageMode::Replace => "the current stage",
            StageMode::Cumulative => "all stages so far",
            StageMode::Joint => "every stage at once",
            StageMode::Reverse => "the current stage, longest first",
        };
        format!(
            "shuffled epochs over {active}; stages by length up to {:?} and beyond, T m_k / sum m steps each",
            self.bounds
        )
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        check_pool(context)?;
        Ok(Box::new(LengthStaged {
            stages: LengthStages::new(self.bounds.clone())?,
            mode: self.mode,
            length: self.length.clone(),
            inner: None,
        }))
    }
}

#[derive(Debug)]
struct LengthStaged {
    stages: LengthStages,
    mode: StageMode,
    length: LengthOf,
    /// There once the pool was shown.
    inner: Option<StagedSampler>,
}

impl LengthStaged {
    fn inner(&mut self) -> Result<&mut StagedSampler, DataError> {
        let unprepared = || DataError::value("length-staged sampler", "has not been shown the pool");
        self.inner.as_mut().ok_or_else(unprepared)
    }

    fn measure(&self, task: &Task) -> Result<TaskLength, DataError> {
        let refused = |what: String| DataError::value(format!("task {}", task.id), what);
        let steps = match &self.length {
            LengthOf::Difficulty => Some(task.difficulty.ceil())
                .filter(|d| *d >= 1.0)
                .map(|d| d as u64),
            LengthOf::Column(name) => match task.columns.get(name) {
                None => return Err(refused(format!("has no column `{name}` to order by"))),
                Some(value) => value.as_u64().filter(|n| *n >= 1),
            },
        };
        let no_length = || match &self.length {
            LengthOf::Difficulty => refused("difficulty is no length of 1 or more".to_owned()),
            LengthOf::Column(name) => refused(format!("column `{name}` is no length of 1 or more")),
        };
        let understanding = task.columns.get("kind").and_then(|k| k.as_str()) == Some("understanding");
        Ok(TaskLength {
            steps: steps.ok_or_else(no_length)?,
            kind: if understanding {
                TaskKind::Understanding
            } else {
                TaskKind::Action
            },
        })
    }
}

impl PromptSampler for LengthStaged {
    fn prepare(&mut self, tasks: &[Task], steps: u64) -> Result<(), DataError> {
        let lengths: Result<Vec<TaskLength>, DataError> = tasks.iter().map(|t| self.measure(t)).collect();
        self.inner = Some(StagedSampler::new(&self.stages, self.mode, &lengths?, steps)?);
        Ok(())
    }

    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        self.inner()?.next(n, key)
    }

    fn observe(&mut self, step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        self.inner()?.observe(step, outcomes)
    }

    fn save(&self) -> State {
        self.inner.as_ref().map_or(State::Null, PromptSampler::save)
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        self.inner()?.load(state)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tasks(lengths: &[u64]) -> Vec<Task> {
        let task = |(i, length): (usize, &u64)| {
            let mut task = Task::new(format!("t{i}"), "", "");
            task.difficulty = *length as f64;
            task
        };
        lengths.iter().enumerate().map(task).collect()
    }

    fn built(config: &LengthStagedConfig, n_tasks: usize) -> Box<dyn PromptSampler> {
        let context = SamplerContext {
            n_tasks,
            num_generations: 4,
        };
        config.build(&context).unwrap()
    }

    fn key(step: u64) -> Key {
        Key::new(1, Stream::Sampler).step(step)
    }

    #[test]
    fn what_cannot_be_ordered_is_named() {
        let refused = |config: LengthStagedConfig, task: &Task| {
            let prepared = built(&config, 1).prepare(std::slice::from_ref(task), 3);
            prepared.unwrap_err().to_string()
        };
        let base = LengthStagedConfig::default;
        assert_eq!(
            refused(base(), &tasks(&[0])[0]),
            "task t0: difficulty is no length of 1 or more"
        );
        let column = LengthStagedConfig {
            length: LengthOf::Column("moves".into()),
            ..base()
        };
        let mut task = Task::new("t", "", "");
        assert_eq!(
            refused(column.clone(), &task),
            "task t: has no column `moves` to order by"
        );
        for wrong in [json!(0), json!(-1), json!(1.5), json!("3")] {
            task.columns.insert("moves".into(), wrong);
            let expected = "task t: column `moves` is no length of 1 or more";
            assert_eq!(refused(column.clone(), &task), expected);
        }
        let unshown = built(&base(), 1).next(1, key(1)).unwrap_err().to_string();
        assert_eq!(unshown, "length-staged sampler: has not been shown the pool");
        let falling = LengthStagedConfig {
            bounds: vec![8, 3],
            ..base()
        };
        let context = SamplerContext {
            n_tasks: 1,
            num_generations: 4,
        };
        let refused = falling.build(&context).map(|_| ()).unwrap_err().to_string();
        assert_eq!(refused, "`bounds` = [8, 3]: must be strictly rising");
    }

    #[test]
    fn what_is_to_be_understood_comes_last() {
        let mut pool = tasks(&[1, 2, 1]);
        pool[1].columns.insert("kind".into(), "understanding".into());
        let mut sampler = built(&LengthStagedConfig::default(), 3);
        sampler.prepare(&pool, 3).unwrap();
        let mut drawn = Vec::new();
        for step in 1..=3 {
            drawn.extend(sampler.next(1, key(step)).unwrap());
            sampler.observe(step, &[]).unwrap();
        }
        assert_eq!(drawn[2], 1);
        assert!(!drawn[..2].contains(&1));
    }

    proptest! {
        #[test]
        fn it_draws_what_the_staged_sampler_draws_and_resumes(
            lengths in prop::collection::vec(1u64..13, 1..16), total in 1u64..9, cut in 1u64..9,
        ) {
            for mode in [StageMode::Replace, StageMode::Cumulative, StageMode::Joint, StageMode::Reverse] {
                let config = LengthStagedConfig { mode, ..LengthStagedConfig::default() };
                let pool = tasks(&lengths);
                let mut sampler = built(&config, pool.len());
                sampler.prepare(&pool, total)?;
                let action = |steps: &u64| TaskLength { steps: *steps, kind: TaskKind::Action };
                let lengths: Vec<TaskLength> = lengths.iter().map(action).collect();
                let mut inner = StagedSampler::new(&LengthStages::default(), mode, &lengths, total)?;
                for step in 1..=total {
                    if step == cut {
                        let state = sampler.save();
                        sampler = built(&config, pool.len());
                        sampler.prepare(&pool, total)?;
                        sampler.load(&state)?;
                    }
                    prop_assert_eq!(sampler.next(3, key(step))?, inner.next(3, key(step))?);
                    sampler.observe(step, &[])?;
                    inner.observe(step, &[])?;
                }
            }
        }
    }
}
