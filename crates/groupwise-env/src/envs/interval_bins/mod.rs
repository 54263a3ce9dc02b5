//! Interval bins: mark a span of a line of bins by its first and its last bin, scored by overlap.
//!
//! There are C contexts, each with a true span of `min_length..=max_length` of B bins, uniform among those that fit.
//! The policy sees the context twice (`c7/start`, then `c7/end`) and names a bin each time (`b0` .. `b31`).  Contexts
//! share nothing.  The span it marks covers both bins; one whose end lies before its start is empty.
//!
//! # Reward
//! With the last turn: the overlap `IoU = |marked and true| / |marked or true|`, in bins, or 1 where it exceeds a
//! threshold and 0 elsewhere.
//!
//! # Evaluation
//! On the training tasks (a context that was not trained on has nothing to show).  `eval/success` is the expected IoU,
//! exact, whichever reward was trained on: arms of different rewards are compared by one measure.
//!
//! # Where the policy starts
//! Every logit of every context is `logit_noise` times a standard normal.

mod tasks;

use std::ops::RangeInclusive;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;

/// What a marked span earns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpanReward {
    /// The overlap itself.
    #[default]
    Graded,
    /// 1 where the overlap is larger than this, else 0.
    Above(f64),
}

/// Parameters of the interval bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntervalBinsConfig {
    /// Contexts C, in 1..=65535: one task each.
    pub n_contexts: usize,
    /// Bins B, in 2..=4096.
    pub n_bins: usize,
    /// Fewest bins of a true span, >= 1.
    pub min_length: usize,
    /// Most bins of a true span, in `min_length..=n_bins`.
    pub max_length: usize,
    /// What a marked span earns.
    pub reward: SpanReward,
    /// Standard deviation of the starting logits, >= 0.
    pub logit_noise: f64,
}

impl Default for IntervalBinsConfig {
    fn default() -> Self {
        Self {
            n_contexts: 24,
            n_bins: 32,
            min_length: 3,
            max_length: 6,
            reward: SpanReward::Graded,
            logit_noise: 0.3,
        }
    }
}

impl Part<dyn World, WorldContext> for IntervalBinsConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of temporal-r1 (arXiv 2506.01908)";

    fn formula(&self) -> String {
        let reward = match self.reward {
            SpanReward::Graded => "IoU".to_owned(),
            SpanReward::Above(threshold) => format!("[IoU > {threshold}]"),
        };
        format!(
            "R = {reward} of marked and true span; {} contexts, spans of {}..={} of {} bins; logits {} e",
            self.n_contexts, self.min_length, self.max_length, self.n_bins, self.logit_noise
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        let within = |range: RangeInclusive<usize>, key: &'static str, value: usize, text: &str| {
            ParamError::check(range.contains(&value), key, value, text)
        };
        within(1..=65_535, "n_contexts", self.n_contexts, "in 1..=65535")?;
        within(2..=4096, "n_bins", self.n_bins, "in 2..=4096")?;
        ParamError::check(self.min_length >= 1, "min_length", self.min_length, ">= 1")?;
        let lengths = self.min_length..=self.n_bins;
        let range = "at least `min_length` and at most `n_bins`";
        within(lengths, "max_length", self.max_length, range)?;
        if let SpanReward::Above(threshold) = self.reward {
            let range = "in [0, 1)";
            ParamError::check((0.0..1.0).contains(&threshold), "reward.above", threshold, range)?;
        }
        ParamError::check_coefficient("logit_noise", self.logit_noise)?;
        let contexts = 0..self.n_contexts;
        let states: Vec<String> = contexts
            .flat_map(|c| [format!("c{c}/start"), format!("c{c}/end")])
            .collect();
        Ok(Box::new(IntervalBins {
            config: self.clone(),
            states: states.into(),
            bins: (0..self.n_bins).map(|b| format!("b{b}")).collect(),
        }))
    }
}

/// Overlap of two spans of bins, ends included; 0 where one of them is empty.
///
/// # Formula
/// `max(0, min(e, e*) - max(s, s*) + 1) / |marked or true|`; reversed spans hold no bin.
///
/// # Example
/// ```
/// use groupwise_env::envs::interval_bins::overlap;
/// assert_eq!(overlap((2, 5), (4, 7)), 2.0 / 6.0);
/// assert_eq!(overlap((5, 2), (4, 7)), 0.0);
/// ```
pub fn overlap(marked: (usize, usize), truth: (usize, usize)) -> f64 {
    let length = |(s, e): (usize, usize)| (e + 1).saturating_sub(s);
    let both = length((marked.0.max(truth.0), marked.1.min(truth.1)));
    if length(marked) == 0 || length(truth) == 0 {
        return 0.0;
    }
    both as f64 / (length(marked) + length(truth) - both) as f64
}

/// The validated world.
#[derive(Debug)]
struct IntervalBins {
    config: IntervalBinsConfig,
    states: Arc<[String]>,
    bins: Arc<[String]>,
}

/// A task as it is played.
#[derive(Clone, Copy, Debug)]
struct Span {
    context: usize,
    truth: (usize, usize),
}

impl IntervalBins {
    /// Context and span of a task, from its columns.
    fn span_of(&self, task: &Task) -> Result<Span, EnvError> {
        let number = |key: &str, below: usize| {
            let value = task.columns.get(key).and_then(|v| v.as_u64())?;
            usize::try_from(value).ok().filter(|v| *v < below)
        };
        let found = number("context", self.config.n_contexts).and_then(|context| {
            let truth = (
                number("first", self.config.n_bins)?,
                number("last", self.config.n_bins)?,
            );
            Some(Span { context, truth })
        });
        found.ok_or_else(|| {
            EnvError(format!(
                "task {}: columns `context`, `first`, `last` do not name a context and two of {} bins",
                task.id, self.config.n_bins
            ))
        })
    }
}

impl World for IntervalBins {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.states.to_vec(),
            actions: self.bins.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(tasks::generate(&self.config, &self.states, key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        Ok(Box::new(Episode {
            states: Arc::clone(&self.states),
            bins: Arc::clone(&self.bins),
            reward: self.config.reward,
            span: self.span_of(task)?,
            start: None,
            over: false,
        }))
    }

    fn max_turns(&self) -> usize {
        2
    }

    /// None: contexts share nothing, so that what is shown is all there is to learn.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let span = self.span_of(task).ok()?;
        let starts = policy(self.states.get(2 * span.context)?)?;
        let ends = policy(self.states.get(2 * span.context + 1)?)?;
        let mut expected = 0.0;
        for (s, p) in starts.iter().enumerate() {
            // A reversed span has no overlap.
            for (e, q) in ends.iter().enumerate().skip(s) {
                expected += p * q * overlap((s, e), span.truth);
            }
        }
        Some(expected)
    }

    fn initial_logits(&self, key: Key) -> Option<Vec<Vec<f64>>> {
        Some(tasks::draw_logits(&self.config, key))
    }
}

/// One span being marked.
#[derive(Debug)]
struct Episode {
    states: Arc<[String]>,
    bins: Arc<[String]>,
    reward: SpanReward,
    span: Span,
    /// The first bin named; `Some(None)` for a word that is no bin.
    start: Option<Option<usize>>,
    over: bool,
}

impl Environment for Episode {
    /// After the last turn the end stays in view.
    fn observe(&self) -> Observation {
        let at = 2 * self.span.context + usize::from(self.start.is_some());
        let text = self.states[at].clone();
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        if self.over {
            return Err(EnvError("the episode is over".into()));
        }
        let bin = self.bins.iter().position(|word| word == action);
        let Some(start) = self.start else {
            self.start = Some(bin);
            return Ok(StepOutcome {
                reward: 0.0,
                stop: None,
                valid: bin.is_some(),
            });
        };
        self.over = true;
        let found = start
            .zip(bin)
            .map_or(0.0, |marked| overlap(marked, self.span.truth));
        let reward = match self.reward {
            SpanReward::Graded => found,
            SpanReward::Above(threshold) => f64::from(u8::from(found > threshold)),
        };
        Ok(StepOutcome {
            reward,
            stop: Some(StopReason::Terminal),
            valid: bin.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn build(config: IntervalBinsConfig) -> Result<Box<dyn World>, ParamError> {
        config.build(&WorldContext::default())
    }

    fn refused(change: impl FnOnce(&mut IntervalBinsConfig)) -> String {
        let mut config = IntervalBinsConfig::default();
        change(&mut config);
        build(config).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        assert_eq!(
            refused(|c| c.n_contexts = 0),
            "`n_contexts` = 0: must be in 1..=65535"
        );
        assert_eq!(refused(|c| c.n_bins = 1), "`n_bins` = 1: must be in 2..=4096");
        assert_eq!(refused(|c| c.min_length = 0), "`min_length` = 0: must be >= 1");
        assert_eq!(
            refused(|c| c.max_length = 2),
            "`max_length` = 2: must be at least `min_length` and at most `n_bins`"
        );
        assert_eq!(
            refused(|c| c.reward = SpanReward::Above(1.0)),
            "`reward.above` = 1: must be in [0, 1)"
        );
        assert_eq!(
            refused(|c| c.logit_noise = -1.0),
            "`logit_noise` = -1: must be a finite number >= 0"
        );
    }

    fn task(first: u64, last: u64) -> Task {
        let mut task = Task::new("t", "c3/start", "");
        for (key, value) in [("context", 3), ("first", first), ("last", last)] {
            task.columns.insert(key.into(), value.into());
        }
        task
    }

    fn play(reward: SpanReward, actions: [&str; 2]) -> (f64, [bool; 2]) {
        let world = build(IntervalBinsConfig {
            reward,
            ..Default::default()
        });
        let mut episode = world
            .unwrap()
            .start(&task(4, 7), Key::new(0, Stream::Environment))
            .unwrap();
        let outcomes = actions.map(|action| {
            let seen = episode.observe();
            assert_eq!(seen.anchor.as_deref(), Some(seen.text.as_str()));
            episode.step(action).unwrap()
        });
        assert_eq!((outcomes[0].reward, outcomes[0].stop), (0.0, None));
        assert_eq!(outcomes[1].stop, Some(StopReason::Terminal));
        assert_eq!(episode.step("b0").unwrap_err().0, "the episode is over");
        (outcomes[1].reward, [outcomes[0].valid, outcomes[1].valid])
    }

    #[test]
    fn spans_earn_their_overlap_or_pass_a_threshold() {
        assert_eq!(play(SpanReward::Graded, ["b4", "b7"]), (1.0, [true; 2]));
        assert_eq!(play(SpanReward::Graded, ["b2", "b5"]), (2.0 / 6.0, [true; 2]));
        assert_eq!(play(SpanReward::Graded, ["b7", "b4"]), (0.0, [true; 2]));
        assert_eq!(play(SpanReward::Graded, ["b32", "b7"]), (0.0, [false, true]));
        assert_eq!(play(SpanReward::Graded, ["b4", "7"]), (0.0, [true, false]));
        // Half of the bins is not more than half.
        assert_eq!(play(SpanReward::Above(0.5), ["b4", "b5"]).0, 0.0);
        assert_eq!(play(SpanReward::Above(0.5), ["b4", "b6"]).0, 1.0);
    }

    #[test]
    fn a_task_of_another_world_is_refused() {
        let world = build(IntervalBinsConfig::default()).unwrap();
        for bad in [Task::new("t", "c0/start", ""), task(4, 32)] {
            let error = world.start(&bad, Key::new(0, Stream::Environment)).unwrap_err();
            assert!(
                error.0.starts_with("task t: columns `context`, `first`, `last`"),
                "{}",
                error.0
            );
            assert_eq!(world.exact_success(&bad, &|_| Some(vec![1.0])), None);
        }
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_within_bounds_and_counts_bins(
            a in 0..12usize, b in 0..12usize, c in 0..12usize, d in 0..12usize,
        ) {
            let found = overlap((a, b), (c, d));
            let both = (0..12).filter(|x| (a..=b).contains(x) && (c..=d).contains(x)).count();
            let any = (0..12).filter(|x| (a..=b).contains(x) || (c..=d).contains(x)).count();
            let expected = if a > b || c > d { 0.0 } else { both as f64 / any as f64 };
            prop_assert_eq!(found, expected);
            prop_assert_eq!(found, overlap((c, d), (a, b)));
        }

        #[test]
        fn exact_success_is_the_sum_over_all_spans(
            weights in prop::collection::vec(0.0..1.0f64, 16), first in 0..8u64, length in 0..4u64,
        ) {
            let config = IntervalBinsConfig { n_bins: 8, max_length: 4, ..Default::default() };
            let world = build(config).unwrap();
            let row = |part: &[f64]| {
                let total: f64 = part.iter().sum::<f64>() + 8.0;
                part.iter().map(|w| (w + 1.0) / total).collect::<Vec<f64>>()
            };
            let (starts, ends) = (row(&weights[..8]), row(&weights[8..]));
            let policy = |state: &str| Some(if state.ends_with("start") { starts.clone() } else { ends.clone() });
            let truth = (first as usize, (first + length).min(7) as usize);
            let mut expected = 0.0;
            for (s, p) in starts.iter().enumerate() {
                for (e, q) in ends.iter().enumerate() {
                    expected += p * q * overlap((s, e), truth);
                }
            }
            let found = world.exact_success(&task(truth.0 as u64, truth.1 as u64), &policy).unwrap();
            prop_assert!((found - expected).abs() < 1e-12);
        }
    }
}
