//! A tabular run in a temporary folder, with hooks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use groupwise_core::event::EventSink;
use groupwise_core::seams::{Features, PolicyError, StepReport, Symbols, TokenLoss, TokenScores};
use groupwise_core::{DataError, Event, Key, Learner, Scope, TokenBatch, TokenGrads};
use groupwise_pipeline::{Clock, Pair, PipelineError, PolicyFactory, Prepared, Run, RunOptions, Trained};
use groupwise_recipe::{Experiment, Plan, PolicySpec};
use groupwise_tabular::TabularLearner;

/// A recipe of the tabular world; `extra` is appended.
pub(crate) fn recipe(extra: &str) -> String {
    format!(
        r#"
name = "test"
[run]
steps = 12
prompts_per_step = 6
num_generations = 4
max_completion_length = 1
learning_rate = 2.0
eval_steps = 4
save_steps = 3
log_completions = "all"
[env.skill-chain]
n_tasks = 30
n_skills = 12
[policy.tabular]
[objective.reinforce]
{extra}
"#
    )
}

/// The plan of the first arm of a recipe.
pub(crate) fn plan(text: &str) -> Plan {
    let experiment = Experiment::from_text(Path::new("test.toml"), text, &[]).expect("a good recipe");
    experiment.arms[0].recipe.plan(None).expect("a good plan")
}

/// Tabular policies; without learner, or with a fault, on request.
pub(crate) struct Tabular {
    pub(crate) learner: bool,
    /// Optimizer step whose gradient becomes NaN.
    pub(crate) poisoned_step: Option<usize>,
}

/// A learner that receives a NaN derivative at one step.
struct Poisoned {
    inner: TabularLearner,
    step: Option<usize>,
    done: usize,
}

impl Learner for Poisoned {
    fn score(&mut self, batch: &TokenBatch) -> Result<TokenScores, PolicyError> {
        self.inner.score(batch)
    }
    fn freeze_reference(&mut self) -> Result<(), PolicyError> {
        self.inner.freeze_reference()
    }
    fn score_reference(&mut self, batch: &TokenBatch) -> Result<Vec<f64>, PolicyError> {
        self.inner.score_reference(batch)
    }
    fn step(
        &mut self,
        batch: &TokenBatch,
        scope: Scope,
        learning_rate: f64,
        loss: &mut dyn TokenLoss,
    ) -> Result<StepReport, PolicyError> {
        self.done += 1;
        let poisoned = self.step == Some(self.done);
        let mut spoiled = |part: Range<usize>, scores: &TokenScores| -> Result<TokenGrads, DataError> {
            let mut grads = loss.gradient(part, scores)?;
            if poisoned {
                grads.d_logp.fill(f64::NAN);
            }
            Ok(grads)
        };
        self.inner.step(batch, scope, learning_rate, &mut spoiled)
    }
    fn restart(&mut self) -> Result<(), PolicyError> {
        self.inner.restart()
    }
    fn save(&self) -> Result<Vec<u8>, PolicyError> {
        self.inner.save()
    }
    fn load(&mut self, bytes: &[u8]) -> Result<(), PolicyError> {
        self.inner.load(bytes)
    }
    fn digest(&self) -> Result<String, PolicyError> {
        self.inner.digest()
    }
}

impl PolicyFactory for Tabular {
    fn build(
        &self,
        spec: &PolicySpec,
        symbols: &Symbols,
        initial_logits: Option<Vec<Vec<f64>>>,
        features: Option<Features>,
        key: Key,
    ) -> Result<Pair, PolicyError> {
        let made = match spec {
            PolicySpec::Tabular(config) => groupwise_tabular::pair(config, symbols, initial_logits, key),
            PolicySpec::Linear(config) => {
                groupwise_tabular::linear_pair(config, symbols, features, initial_logits, key)
            }
            PolicySpec::Transformer(_) => return Err(PolicyError::Unavailable("no transformer".into())),
        };
        let (policy, learner) = made.map_err(|e| PolicyError::Unavailable(e.to_string()))?;
        let learner = Poisoned {
            inner: learner,
            step: self.poisoned_step,
            done: 0,
        };
        let learner = self.learner.then(|| Box::new(learner) as Box<dyn Learner>);
        Ok((Box::new(policy), learner))
    }
}

struct NoClock;

impl Clock for NoClock {
    fn seconds(&self) -> f64 {
        0.0
    }
}

/// Fails with "no space left" once `n` events were heard: a crash at that moment.
pub(crate) struct CrashAfter(pub(crate) usize);

impl EventSink for CrashAfter {
    fn emit(&mut self, _: &Event) -> std::io::Result<()> {
        if self.0 == 0 {
            return Err(std::io::Error::new(
                std::io::ErrorKind::StorageFull,
                "no space left",
            ));
        }
        self.0 -= 1;
        Ok(())
    }
}

/// Runs until the end, or until `steps` steps were made in this call.
pub(crate) fn run(
    plan: &Plan,
    runs: &Path,
    steps: usize,
    sink: &mut dyn EventSink,
    factory: &Tabular,
) -> Result<Trained, PipelineError> {
    let left = Cell::new(steps);
    let stop = || {
        let now = left.get();
        left.set(now.saturating_sub(1));
        now == 0
    };
    let options = RunOptions {
        runs,
        name: "test",
        arm: "base",
        stop: &stop,
        sink,
        warming: &mut |_, _| {},
        clock: &NoClock,
    };
    Run::carry_out(Prepared::new(plan, 5)?, factory, options)
}

/// Everything deterministic in a run folder.
pub(crate) fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    [
        "events.jsonl",
        "rollouts.jsonl",
        "done",
        "recipe.toml",
        "checkpoint/learner.bin",
        "checkpoint/state.json",
    ]
    .iter()
    .map(|name| (PathBuf::from(name), std::fs::read(folder.join(name)).expect(name)))
    .collect()
}

/// Metrics of each step.
pub(crate) fn steps(events: &[Event]) -> Vec<&BTreeMap<String, f64>> {
    events
        .iter()
        .filter_map(|e| {
            if let Event::Step { metrics, .. } = e {
                Some(metrics)
            } else {
                None
            }
        })
        .collect()
}
