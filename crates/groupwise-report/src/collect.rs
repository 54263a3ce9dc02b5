//! One pass over the events of a run: curves, bills, allocation.

use std::collections::{BTreeMap, BTreeSet};

use groupwise_core::event::{BillKind, Event};
use groupwise_core::stats::is_constant;
use groupwise_stats::{Curve, mean};

use crate::calibration::{Calibration, Calibrator};
use crate::read::Record;

/// A metric against both costs.
#[derive(Clone, Debug)]
pub(crate) struct MetricCurves {
    pub(crate) by_rollouts: Curve,
    pub(crate) by_tokens: Curve,
    pub(crate) by_steps: Curve,
}

/// One training step, as far as figures need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepPoint {
    pub(crate) rollouts: f64,
    pub(crate) reward: Option<f64>,
    pub(crate) effective: Option<f64>,
}

/// One group of a step: what it cost so far, how hard, how well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPoint {
    pub(crate) rollouts: f64,
    pub(crate) difficulty: f64,
    pub(crate) reward: f64,
}

/// Everything a report takes from one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) metrics: BTreeMap<String, MetricCurves>,
    pub(crate) steps: Vec<StepPoint>,
    /// Figures of step events: step and value, in order.
    pub(crate) step_metrics: BTreeMap<String, Vec<(u64, f64)>>,
    pub(crate) groups: Vec<GroupPoint>,
    pub(crate) sizes: BTreeMap<usize, u64>,
    pub(crate) billed_rollouts: BTreeMap<BillKind, u64>,
    pub(crate) billed_tokens: BTreeMap<BillKind, u64>,
    pub(crate) rollouts: u64,
    pub(crate) tokens: u64,
    pub(crate) effective: Option<f64>,
    /// Share of the pool that entered an update at least once.
    pub(crate) coverage: Option<f64>,
    /// Tokens billed per task that was solved at least once in training; `None` if none was.
    pub(crate) tokens_per_solved: Option<f64>,
    pub(crate) calibration: Calibration,
    pub(crate) seconds: Option<f64>,
    pub(crate) phases: BTreeMap<String, f64>,
    pub(crate) steps_done: u64,
    pub(crate) weights: Option<String>,
    pub(crate) warnings: Vec<(u64, String)>,
    pub(crate) problems: Vec<String>,
}

impl Numbers {
    /// Mean of a figure over the steps after `after`; `None` where no such step has it.
    pub(crate) fn step_mean(&self, metric: &str, after: u64) -> Option<f64> {
        let steps = self.step_metrics.get(metric)?.iter();
        let values: Vec<f64> = steps.filter(|(step, _)| *step > after).map(|(_, v)| *v).collect();
        (!values.is_empty()).then(|| mean(&values))
    }
}

/// Groups of the step under way.
#[derive(Default)]
struct Open {
    groups: Vec<(f64, f64)>,
    rewards: Vec<f64>,
    mixed: u64,
    all: u64,
}

#[derive(Default)]
struct Collector {
    found: Numbers,
    open: Open,
    mixed: u64,
    all: u64,
    n_tasks: usize,
    trained: BTreeSet<String>,
    solved: BTreeSet<String>,
    calibrator: Calibrator,
    evals: BTreeMap<String, Vec<EvalPoint>>,
}

/// An evaluated value and all that it had cost.
#[derive(Clone, Copy)]
struct EvalPoint {
    step: f64,
    rollouts: f64,
    tokens: f64,
    value: f64,
}

/// Collects the numbers of a run.
pub(crate) fn collect(record: &Record) -> Numbers {
    let mut collector = Collector::default();
    for event in &record.events {
        collector.take(event);
    }
    let mut found = collector.finish();
    if !record.timing.is_empty() {
        found.seconds = Some(record.timing.iter().map(|t| t.seconds).sum());
        for t in &record.timing {
            for (phase, seconds) in &t.phase {
                *found.phases.entry(phase.clone()).or_default() += seconds;
            }
        }
    }
    found
}

impl Collector {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Group {
                task,
                difficulty,
                kind,
                rewards,
                lengths,
                estimate,
                ..
            } => {
                self.take_group(*difficulty, *kind, rewards, lengths, *estimate);
                self.take_task(task, *kind, rewards);
            }
            Event::Step {
                step,
                rollouts,
                tokens,
                metrics,
            } => {
                self.bill(*step, *rollouts, *tokens);
                for (name, value) in metrics.iter().filter(|(_, v)| v.is_finite()) {
                    let values = self.found.step_metrics.entry(name.clone()).or_default();
                    values.push((*step, *value));
                }
                self.close_step(*rollouts as f64, metrics.get("reward").copied());
            }
            Event::Eval {
                step,
                rollouts,
                tokens,
                metrics,
            } => {
                self.bill(*step, *rollouts, *tokens);
                for (name, value) in metrics {
                    let point = EvalPoint {
                        step: *step as f64,
                        rollouts: *rollouts as f64,
                        tokens: *tokens as f64,
                        value: *value,
                    };
                    self.evals.entry(name.clone()).or_default().push(point);
                }
            }
            Event::Warning { step, message } => self.found.warnings.push((*step, message.clone())),
            Event::Finish {
                step,
                rollouts,
                tokens,
                billed,
                weights,
            } => {
                self.bill(*step, *rollouts, *tokens);
                self.found.billed_rollouts = billed.clone();
                self.found.weights = Some(weights.clone());
            }
            Event::Start { n_tasks, .. } => self.n_tasks = *n_tasks,
        }
    }

    fn bill(&mut self, step: u64, rollouts: u64, tokens: u64) {
        self.found.steps_done = self.found.steps_done.max(step);
        self.found.rollouts = self.found.rollouts.max(rollouts);
        self.found.tokens = self.found.tokens.max(tokens);
    }

    /// Which tasks entered an update, and which were solved in any rollout that was paid for.
    fn take_task(&mut self, task: &str, kind: BillKind, rewards: &[Option<f64>]) {
        if matches!(kind, BillKind::Train | BillKind::Hint) && !self.trained.contains(task) {
            self.trained.insert(task.to_owned());
        }
        // As in evaluation: a full score, up to rounding.
        let is_solved = rewards.iter().flatten().any(|r| *r >= 1.0 - 1e-9);
        if is_solved && !self.solved.contains(task) {
            self.solved.insert(task.to_owned());
        }
    }

    fn take_group(
        &mut self,
        difficulty: f64,
        kind: BillKind,
        rewards: &[Option<f64>],
        lengths: &[usize],
        estimate: Option<f64>,
    ) {
        let n = rewards.len() as u64;
        *self.found.billed_rollouts.entry(kind).or_default() += n;
        *self.found.billed_tokens.entry(kind).or_default() += lengths.iter().map(|l| *l as u64).sum::<u64>();
        let scored: Vec<f64> = rewards
            .iter()
            .flatten()
            .copied()
            .filter(|r| r.is_finite())
            .collect();
        self.calibrator.take(kind, estimate, difficulty, &scored);
        self.open.all += n;
        self.all += n;
        // Only groups that enter an update can give a gradient; others are billed all the same.
        if matches!(kind, BillKind::Train | BillKind::Hint) && !is_constant(&scored) {
            self.open.mixed += n;
            self.mixed += n;
        }
        if kind == BillKind::Train {
            *self.found.sizes.entry(rewards.len()).or_default() += 1;
            self.open.rewards.extend(&scored);
        }
        // A hint changes what the difficulty of a task means.
        if kind != BillKind::Hint && difficulty.is_finite() && !scored.is_empty() {
            self.open.groups.push((difficulty, mean(&scored)));
        }
    }

    fn close_step(&mut self, rollouts: f64, reward: Option<f64>) {
        let open = std::mem::take(&mut self.open);
        let counted = (!open.rewards.is_empty()).then(|| mean(&open.rewards));
        self.found.steps.push(StepPoint {
            rollouts,
            reward: reward.filter(|r| r.is_finite()).or(counted),
            effective: (open.all > 0).then(|| open.mixed as f64 / open.all as f64),
        });
        let at = |(difficulty, reward)| GroupPoint {
            rollouts,
            difficulty,
            reward,
        };
        self.found.groups.extend(open.groups.into_iter().map(at));
    }

    fn finish(mut self) -> Numbers {
        // Rollouts billed without a group event (none are known) still count in the denominator.
        let billed = self.all.max(self.found.rollouts);
        if self.all > 0 {
            self.found.effective = Some(self.mixed as f64 / billed as f64);
        }
        let share = self.trained.len() as f64 / self.n_tasks as f64;
        self.found.coverage = (self.n_tasks > 0).then_some(share);
        let per_solved = self.found.tokens as f64 / self.solved.len() as f64;
        self.found.tokens_per_solved = (!self.solved.is_empty()).then_some(per_solved);
        self.found.calibration = self.calibrator.finish();
        for (name, points) in self.evals {
            let by = |cost: fn(&EvalPoint) -> f64| {
                Curve::new(&points.iter().map(|p| (cost(p), p.value)).collect::<Vec<_>>())
            };
            let curves = by(|p| p.rollouts).and_then(|by_rollouts| {
                Ok(MetricCurves {
                    by_rollouts,
                    by_tokens: by(|p| p.tokens)?,
                    by_steps: by(|p| p.step)?,
                })
            });
            match curves {
                Ok(curves) => {
                    self.found.metrics.insert(name, curves);
                }
                Err(e) => self.found.problems.push(format!("`{name}` was left out: {e}")),
            }
        }
        self.found
    }
}

/// Averages consecutive points, so that at most `at_most` remain; also how many went into one.
pub(crate) fn thin(points: &[(f64, f64)], at_most: usize) -> (Vec<(f64, f64)>, usize) {
    let size = points.len().div_ceil(at_most.max(1)).max(1);
    let average = |chunk: &[(f64, f64)]| {
        let (x, y): (Vec<f64>, Vec<f64>) = chunk.iter().copied().unzip();
        (mean(&x), mean(&y))
    };
    (points.chunks(size).map(average).collect(), size)
}
