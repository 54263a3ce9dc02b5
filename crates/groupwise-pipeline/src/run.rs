//! One run from its first event to its last, resumable at any moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use groupwise_core::event::{BillKind, EVENT_VERSION, EventSink};
use groupwise_core::seams::{Features, GroupRepair, PolicyError, RolledGroup, Symbols};
use groupwise_core::{
    Event, GroupOutcome, Key, Learner, Needs, Policy, PromptMemory, PromptSampler, Schedule, Stream, Task,
};
use groupwise_recipe::{CompletionLog, Plan, PolicySpec};
use serde::Serialize;

use crate::error::{PipelineError, at};
use crate::evaluate::evaluate;
use crate::folder::{Checkpoint, RunFolder, RunInfo, Timing};
use crate::generate::{Generated, Generator, Group, check_vocabulary};
use crate::identity::{Prepared, warm_start_id};
use crate::metrics::Metrics;
use crate::update::{Place, needs_reference, update};
use crate::warm_start::warm_start;

/// Results kept per prompt for allocators, scaffolds and shapers.
const MEMORY_RESULTS: usize = 256;

/// A policy and the learner that shares its weights; no learner for methods that do not train.
pub type Pair = (Box<dyn Policy>, Option<Box<dyn Learner>>);

/// Makes a policy and the learner that shares its weights; the command line knows which crates do that.
pub trait PolicyFactory {
    /// Policy and learner for a world's symbols, starting logits and features.
    ///
    /// # Errors
    /// A parameter, a device or a file that does not fit.
    fn build(
        &self,
        spec: &PolicySpec,
        symbols: &Symbols,
        initial_logits: Option<Vec<Vec<f64>>>,
        features: Option<Features>,
        key: Key,
    ) -> Result<Pair, PolicyError>;
}

/// Wall time, from whoever is allowed to look at a clock.
pub trait Clock {
    /// Seconds since any fixed moment.
    fn seconds(&self) -> f64;
}

/// How a run is carried out; nothing here changes its bytes.
pub struct RunOptions<'a> {
    /// Folder of all runs; this one goes to `<runs>/<id>`.
    pub runs: &'a Path,
    /// Experiment and arm, for `run.json`.
    pub name: &'a str,
    /// Arm.
    pub arm: &'a str,
    /// Asked after each step; true ends the run with a checkpoint.
    pub stop: &'a dyn Fn() -> bool,
    /// Hears every event.
    pub sink: &'a mut dyn EventSink,
    /// Hears of warm-start steps: done, planned.
    pub warming: &'a mut dyn FnMut(u64, u64),
    /// Wall time.
    pub clock: &'a dyn Clock,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done, now or before.
    Finished,
    /// Stopped on request; a checkpoint was written.
    Interrupted,
}

/// Where a run is and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trained {
    /// The run folder.
    pub folder: PathBuf,
    /// How it ended.
    pub ending: Ending,
}

/// Key of the task pools of a run.  One for training and evaluation: worlds keep them apart under the same key.
pub(crate) fn task_key(seed: u64) -> Key {
    Key::new(seed, Stream::Tasks)
}

/// Writes into a run's folder what it is and the recipe it follows.
fn describe(folder: &RunFolder, plan: &Plan, info: &RunInfo) -> Result<(), PipelineError> {
    let recipe = plan.recipe.to_toml().map_err(|e| PipelineError::Corrupt {
        path: folder.path().join("recipe.toml"),
        what: e.to_string(),
    })?;
    folder.describe(info, &recipe)
}

/// A run in progress.
pub struct Run<'a> {
    plan: &'a Plan,
    seed: u64,
    tasks: Vec<Task>,
    eval_tasks: Vec<Task>,
    tasks_digest: String,
    policy: Box<dyn Policy>,
    learner: Option<Box<dyn Learner>>,
    sampler: Box<dyn PromptSampler>,
    repair: Box<dyn GroupRepair>,
    memory: PromptMemory,
    learning_rate: Box<dyn Schedule>,
    folder: RunFolder,
    step: u64,
    billed: BTreeMap<BillKind, u64>,
    tokens: u64,
}

impl<'a> Run<'a> {
    /// Carries out a run: does nothing if it is finished, goes on from its checkpoint if it has one.
    ///
    /// # Errors
    /// [`PipelineError`]; what was written before stays readable.
    pub fn carry_out(
        prepared: Prepared<'a>,
        factory: &dyn PolicyFactory,
        options: RunOptions<'_>,
    ) -> Result<Trained, PipelineError> {
        let id = prepared.id.clone();
        let path = options.runs.join(&id);
        if RunFolder::is_done(&path) {
            return Ok(Trained {
                folder: path,
                ending: Ending::Finished,
            });
        }
        let folder = RunFolder::open(&path)?;
        let mut run = Self::start(prepared, factory, folder, &options)?;
        let ending = run.drive(&id, options)?;
        Ok(Trained { folder: path, ending })
    }

    fn start(
        prepared: Prepared<'a>,
        factory: &dyn PolicyFactory,
        folder: RunFolder,
        options: &RunOptions<'_>,
    ) -> Result<Self, PipelineError> {
        let Prepared {
            plan,
            seed,
            id,
            tasks,
            mut eval_tasks,
            tasks_digest,
        } = prepared;
        let task_key = task_key(seed);
        eval_tasks.truncate(plan.recipe.run.num_eval_tasks.unwrap_or(usize::MAX));
        let key = Key::new(seed, Stream::Init);
        let (policy, learner) = factory.build(
            &plan.recipe.policy,
            &plan.world.symbols(),
            plan.world.initial_logits(task_key),
            plan.world.features(task_key),
            key,
        )?;
        if plan.world.max_turns() == 1 {
            check_vocabulary(policy.as_ref(), &tasks)?;
            check_vocabulary(policy.as_ref(), &eval_tasks)?;
        }
        let info = RunInfo {
            name: options.name.to_owned(),
            arm: options.arm.to_owned(),
            seed,
            run: id,
            steps: plan.recipe.run.steps,
            n_tasks: tasks.len(),
        };
        describe(&folder, plan, &info)?;
        let mut sampler = plan.recipe.sampler(tasks.len())?;
        let prepared = sampler.prepare(&tasks, plan.recipe.run.steps);
        prepared.map_err(at(0, "prompt sampler"))?;
        Ok(Self {
            sampler,
            repair: plan.recipe.group_repair()?,
            memory: PromptMemory::new(tasks.len(), MEMORY_RESULTS),
            learning_rate: Box::new(plan.learning_rate),
            plan,
            seed,
            tasks,
            eval_tasks,
            tasks_digest,
            policy,
            learner,
            folder,
            step: 0,
            billed: BTreeMap::new(),
            tokens: 0,
        })
    }

    /// From the checkpoint, or from the warm start, to the last step or a request to stop.
    fn drive(&mut self, id: &str, options: RunOptions<'_>) -> Result<Ending, PipelineError> {
        let RunOptions {
            runs,
            stop,
            sink,
            warming,
            clock,
            ..
        } = options;
        if !self.resume()? {
            self.prepare(runs, warming)?;
            let start = Event::Start {
                version: EVENT_VERSION,
                run: id.to_owned(),
                seed: self.seed,
                steps: self.plan.recipe.run.steps,
                n_tasks: self.tasks.len(),
            };
            self.emit(start, sink)?;
            self.evaluate(sink)?;
            self.save()?;
        }
        let run = &self.plan.recipe.run;
        while self.step < run.steps && self.rollouts() < run.max_rollouts.unwrap_or(u64::MAX) {
            if stop() {
                self.save()?;
                return Ok(Ending::Interrupted);
            }
            self.train_step(sink, clock)?;
            let last = self.step == run.steps || self.rollouts() >= run.max_rollouts.unwrap_or(u64::MAX);
            if last || self.step.is_multiple_of(run.eval_steps) {
                self.evaluate(sink)?;
            }
            self.folder.flush()?;
            if last || self.step.is_multiple_of(run.save_steps) {
                self.save()?;
            }
        }
        self.finish(sink)
    }

    /// Warm start, then the reference policy.
    fn prepare(&mut self, runs: &Path, warming: &mut dyn FnMut(u64, u64)) -> Result<(), PipelineError> {
        let Some(learner) = &mut self.learner else {
            return Ok(());
        };
        let cache = runs.join(".cache").join("warm-start");
        let id = warm_start_id(self.plan, self.seed, &self.tasks_digest)?;
        warm_start(
            self.plan,
            self.seed,
            Some((&cache, &id)),
            self.policy.as_ref(),
            learner.as_mut(),
            warming,
        )?;
        if needs_reference(self.plan) {
            learner.freeze_reference()?;
        }
        Ok(())
    }

    fn rollouts(&self) -> u64 {
        self.billed.values().sum()
    }

    fn emit(&mut self, event: Event, sink: &mut dyn EventSink) -> Result<(), PipelineError> {
        self.folder.event(&event)?;
        let path = || self.folder.path().to_owned();
        sink.emit(&event)
            .map_err(|source| PipelineError::File { path: path(), source })
    }

    fn train_step(&mut self, sink: &mut dyn EventSink, clock: &dyn Clock) -> Result<(), PipelineError> {
        let step = self.step + 1;
        let begun = clock.seconds();
        self.survey(step, sink)?;
        let generation = self.generate(step)?;
        let generated = clock.seconds();
        let mut metrics = Metrics::default();
        metrics.record_groups(&generation);
        self.log_groups(step, &generation.searches, sink)?;
        let groups = generation.groups;
        let kept: Vec<&Group> = groups.iter().filter(|g| g.kind != BillKind::Discarded).collect();
        if let Some(learner) = &mut self.learner {
            let progress = self.step as f64 / self.plan.recipe.run.steps as f64;
            let place = Place {
                seed: self.seed,
                step,
                progress,
                rate: self.learning_rate.value(progress),
            };
            update(
                self.plan,
                place,
                &kept,
                &self.tasks,
                learner.as_mut(),
                &mut metrics,
            )?;
        }
        let updated = clock.seconds();
        self.log_groups(step, &groups, sink)?;
        self.observe(step, groups)?;
        self.step = step;
        metrics.set("coverage", self.memory.coverage());
        metrics.set("num_tokens", self.tokens as f64);
        let event = Event::Step {
            step,
            rollouts: self.rollouts(),
            tokens: self.tokens,
            metrics: metrics.into_map(),
        };
        self.emit(event, sink)?;
        let phase = BTreeMap::from([
            ("generation".to_owned(), generated - begun),
            ("update".to_owned(), updated - generated),
        ]);
        self.folder.timing(&Timing {
            step,
            seconds: clock.seconds() - begun,
            phase,
        })
    }

    /// Rollouts of the whole pool, where the sampler asks for them before this step.
    fn survey(&mut self, step: u64, sink: &mut dyn EventSink) -> Result<(), PipelineError> {
        let Some(survey) = self.generator(false).survey(step)? else {
            return Ok(());
        };
        self.log_groups(step, &survey.groups, sink)?;
        let learned = self.sampler.observe_survey(step, &survey.results);
        learned.map_err(at(step, "prompt sampler"))?;
        let outcomes: Vec<GroupOutcome> = survey.results.into_iter().map(|r| r.outcome).collect();
        let remembered = self.memory.observe(step, &outcomes);
        remembered.map_err(at(step, "prompt memory"))
    }

    /// Prompts, rollouts and verdicts of a step.
    fn generate(&mut self, step: u64) -> Result<Generated, PipelineError> {
        let greedy = self.plan.estimator.needs().contains(Needs::GREEDY_REWARDS);
        self.generator(greedy).run(step)
    }

    fn generator(&mut self, greedy: bool) -> Generator<'_> {
        let run = &self.plan.recipe.run;
        let allowance = run
            .max_rollouts
            .unwrap_or(u64::MAX)
            .saturating_sub(self.rollouts());
        Generator {
            plan: self.plan,
            tasks: &self.tasks,
            seed: self.seed,
            sampler: self.sampler.as_mut(),
            repair: self.repair.as_mut(),
            memory: &self.memory,
            policy: self.policy.as_mut(),
            allowance,
            greedy,
        }
    }

    /// Shows the groups of a step to whatever has memory, discarded ones included.
    fn observe(&mut self, step: u64, groups: Vec<Group>) -> Result<(), PipelineError> {
        let (mut indices, mut members, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for group in groups {
            indices.push(group.task);
            let (fresh, outcome) = group.into_fresh();
            members.push(fresh);
            outcomes.push(outcome);
        }
        let rolled: Vec<RolledGroup<'_>> = indices
            .iter()
            .zip(&members)
            .zip(&outcomes)
            .map(|((task, members), outcome)| RolledGroup {
                task: &self.tasks[*task],
                members,
                outcome,
            })
            .collect();
        let repaired = self.repair.observe(step, &rolled);
        repaired.map_err(at(step, "group repair"))?;
        let sampled = self.sampler.observe(step, &outcomes);
        sampled.map_err(at(step, "prompt sampler"))?;
        let remembered = self.memory.observe(step, &outcomes);
        remembered.map_err(at(step, "prompt memory"))
    }

    /// Bills the groups and writes their events and, as far as asked for, their trajectories.
    fn log_groups(
        &mut self,
        step: u64,
        groups: &[Group],
        sink: &mut dyn EventSink,
    ) -> Result<(), PipelineError> {
        for group in groups {
            *self.billed.entry(group.kind).or_default() += group.n_rollouts();
            self.tokens += group.tokens();
            if group.greedy.is_some() {
                *self.billed.entry(BillKind::Auxiliary).or_default() += 1;
            }
            let task = &self.tasks[group.task];
            let event = Event::Group {
                step,
                task: task.id.clone(),
                difficulty: task.difficulty,
                kind: group.kind,
                rewards: group.fresh_rewards().to_vec(),
                lengths: group.outcome.lengths.clone(),
                estimate: group.estimate,
            };
            self.emit(event, sink)?;
            let n = match self.plan.recipe.run.log_completions {
                CompletionLog::None => 0,
                CompletionLog::First => 1,
                CompletionLog::All => group.members.len(),
            };
            let task = &self.tasks[group.task];
            for (i, member) in group.members.iter().take(n).enumerate() {
                let reward = group.rewards.rewards[i];
                self.folder.rollout(&Logged {
                    step,
                    task: &task.id,
                    prompt: &task.prompt,
                    reward,
                    member,
                })?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, sink: &mut dyn EventSink) -> Result<(), PipelineError> {
        let metrics = evaluate(
            self.plan,
            &self.eval_tasks,
            self.seed,
            self.step,
            self.policy.as_mut(),
        )?;
        let event = Event::Eval {
            step: self.step,
            rollouts: self.rollouts(),
            tokens: self.tokens,
            metrics,
        };
        self.emit(event, sink)
    }

    fn save(&mut self) -> Result<(), PipelineError> {
        let bytes = match &self.learner {
            Some(learner) => learner.save()?,
            None => Vec::new(),
        };
        let memory = self.memory.save().map_err(|e| PipelineError::Corrupt {
            path: self.folder.path().join("checkpoint"),
            what: e.to_string(),
        })?;
        let state = Checkpoint {
            step: self.step,
            events: 0,
            rollouts: 0,
            billed: self.billed.clone(),
            tokens: self.tokens,
            sampler: self.sampler.save(),
            repair: self.repair.save().map_err(at(self.step, "group repair"))?,
            memory,
            schedule: self.learning_rate.save(),
            learner: String::new(),
        };
        self.folder.save(state, &bytes)
    }

    /// Goes back to the newest checkpoint; false if there is none.
    fn resume(&mut self) -> Result<bool, PipelineError> {
        let Some((state, bytes)) = self.folder.resume()? else {
            return Ok(false);
        };
        if let Some(learner) = &mut self.learner {
            learner.load(&bytes)?;
        }
        let fits = |e| PipelineError::Corrupt {
            path: self.folder.path().join("checkpoint").join("state.json"),
            what: format!("{e}"),
        };
        self.sampler.load(&state.sampler).map_err(fits)?;
        self.repair.load(&state.repair).map_err(fits)?;
        self.memory.load(&state.memory).map_err(fits)?;
        self.learning_rate.load(&state.schedule).map_err(fits)?;
        (self.step, self.billed, self.tokens) = (state.step, state.billed, state.tokens);
        Ok(true)
    }

    fn finish(&mut self, sink: &mut dyn EventSink) -> Result<Ending, PipelineError> {
        let digest = match &self.learner {
            Some(learner) => learner.digest()?,
            None => String::new(),
        };
        let event = Event::Finish {
            step: self.step,
            rollouts: self.rollouts(),
            tokens: self.tokens,
            billed: self.billed.clone(),
            weights: digest.clone(),
        };
        self.emit(event, sink)?;
        self.folder.finish(&digest)?;
        Ok(Ending::Finished)
    }
}

/// A line of `rollouts.jsonl`.
#[derive(Serialize)]
struct Logged<'a> {
    step: u64,
    task: &'a str,
    prompt: &'a str,
    reward: Option<f64>,
    member: &'a groupwise_core::Trajectory,
}
