//! Plan choice: a plan is picked, then the prompt is solved under it.
//!
//! Of the P plans of a prompt one, drawn uniformly, is the best: a solution under it succeeds with probability `best`,
//! under any other with `other`.  The policy sees the prompt (`t7`) and picks a plan (`p0` .. `p5`), then sees both
//! (`t7/p3`) and picks how to go about it (`w0` .. ): only `w0` can succeed.  With one way there is nothing to pick, and
//! the plan alone decides; with more, success under a plan is something that training raises.  Prompts share nothing.
//!
//! # Reward
//! With the last turn: 1 with the plan's probability if the way was `w0`, else 0.
//!
//! # Evaluation
//! On the training tasks, exact.  `eval/success` is the expected reward, `eval/best-plan` the probability of the best plan.
//!
//! # Where the policy starts
//! Uniform over plans, and over ways.

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::certain::IMPOSSIBLE;

/// Parameters of the plan choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanChoiceConfig {
    /// Prompts, in 1..=65535: one task each.
    pub n_tasks: usize,
    /// Plans P of a prompt, in 2..=256.
    pub n_plans: usize,
    /// Ways to go about a plan, in 1..=256; the first is right.
    pub n_ways: usize,
    /// Success rate under the best plan, in [0, 1].
    pub best: f64,
    /// Success rate under any other, in [0, `best`].
    pub other: f64,
}

impl Default for PlanChoiceConfig {
    fn default() -> Self {
        Self {
            n_tasks: 48,
            n_plans: 6,
            n_ways: 1,
            best: 0.35,
            other: 0.15,
        }
    }
}

impl Part<dyn World, WorldContext> for PlanChoiceConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of pta-grpo (arXiv 2510.01833)";

    fn formula(&self) -> String {
        format!(
            "P(R = 1) = [way 0 of {}] ({} under the best plan, {} under the {} others); {} prompts",
            self.n_ways,
            self.best,
            self.other,
            self.n_plans.saturating_sub(1),
            self.n_tasks
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        for (key, value, least, most) in [
            ("n_tasks", self.n_tasks, 1, 65_535),
            ("n_plans", self.n_plans, 2, 256),
            ("n_ways", self.n_ways, 1, 256),
        ] {
            let range = format!("in {least}..={most}");
            ParamError::check((least..=most).contains(&value), key, value, &range)?;
        }
        ParamError::check((0.0..=1.0).contains(&self.best), "best", self.best, "in [0, 1]")?;
        let range = "in [0, `best`]";
        ParamError::check(
            (0.0..=self.best).contains(&self.other),
            "other",
            self.other,
            range,
        )?;
        let prompts = (0..self.n_tasks).map(|t| format!("t{t}"));
        let under = (0..self.n_tasks).flat_map(|t| (0..self.n_plans).map(move |p| format!("t{t}/p{p}")));
        let plans = (0..self.n_plans).map(|p| format!("p{p}"));
        let ways = (0..self.n_ways).map(|w| format!("w{w}"));
        Ok(Box::new(PlanChoice {
            config: self.clone(),
            states: prompts.chain(under).collect(),
            actions: plans.chain(ways).collect(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct PlanChoice {
    config: PlanChoiceConfig,
    /// Prompts, then prompt by prompt the plans under it.
    states: Arc<[String]>,
    /// Plans, then ways.
    actions: Arc<[String]>,
}

/// A task as it is played.
#[derive(Clone, Copy, Debug)]
struct Problem {
    number: usize,
    best_plan: usize,
}

impl PlanChoice {
    /// Number and best plan of a task, from its columns.
    fn problem_of(&self, task: &Task) -> Result<Problem, EnvError> {
        let number = |key: &str, below: usize| {
            let value = task.columns.get(key).and_then(|v| v.as_u64())?;
            usize::try_from(value).ok().filter(|v| *v < below)
        };
        let found = number("number", self.config.n_tasks).zip(number("best_plan", self.config.n_plans));
        let found = found.map(|(number, best_plan)| Problem { number, best_plan });
        found.ok_or_else(|| {
            EnvError(format!(
                "task {}: columns `number` and `best_plan` do not name a prompt and one of {} plans",
                task.id, self.config.n_plans
            ))
        })
    }

    fn rate(&self, problem: Problem, plan: usize) -> f64 {
        if plan == problem.best_plan {
            self.config.best
        } else {
            self.config.other
        }
    }

    /// Place of the state in which a plan is carried out.
    fn under(&self, problem: Problem, plan: usize) -> usize {
        self.config.n_tasks + problem.number * self.config.n_plans + plan
    }
}

impl World for PlanChoice {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.states.to_vec(),
            actions: self.actions.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        let task = |number: usize| {
            let mut rng = key.named("plan-choice/best", number as u64).rng();
            let best_plan = rng.below(self.config.n_plans as u64);
            let mut task = Task::new(
                format!("plan-choice/task-{number:04}"),
                self.states[number].clone(),
                "",
            );
            task.difficulty = 1.0;
            task.columns.insert("number".into(), number.into());
            task.columns.insert("best_plan".into(), best_plan.into());
            task
        };
        Ok((0..self.config.n_tasks).map(task).collect())
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, key: Key) -> Result<Box<dyn Environment>, EnvError> {
        let problem = self.problem_of(task)?;
        // One draw whatever the policy does, so that arms share it.
        let luck = key.named("luck", 0).uniform();
        Ok(Box::new(Episode {
            states: Arc::clone(&self.states),
            actions: Arc::clone(&self.actions),
            prompt: problem.number,
            plans: (0..self.config.n_plans)
                .map(|plan| (self.under(problem, plan), luck < self.rate(problem, plan)))
                .collect(),
            stage: Stage::Planning,
        }))
    }

    fn max_turns(&self) -> usize {
        2
    }

    /// None: a policy that has been told the plan has nothing left to learn.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let problem = self.problem_of(task).ok()?;
        let mut success = 0.0;
        let plans = policy(&task.prompt)?;
        for (plan, p) in plans.iter().enumerate().take(self.config.n_plans) {
            let ways = policy(self.states.get(self.under(problem, plan))?)?;
            success += p * self.rate(problem, plan) * ways.get(self.config.n_plans)?;
        }
        Some(success)
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let best = self.problem_of(task).ok().map(|problem| problem.best_plan);
        let found = best.and_then(|best| policy(&task.prompt)?.get(best).copied());
        found.map(|p| ("best-plan".to_owned(), p)).into_iter().collect()
    }

    fn initial_logits(&self, _: Key) -> Option<Vec<Vec<f64>>> {
        let row = |state: usize| {
            let planning = state < self.config.n_tasks;
            let logit = |a: usize| match (a < self.config.n_plans) == planning {
                true => 0.0,
                false => IMPOSSIBLE,
            };
            (0..self.actions.len()).map(logit).collect()
        };
        Some((0..self.states.len()).map(row).collect())
    }
}

/// How far an episode has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No plan yet.
    Planning,
    /// The state in view, and whether a right way succeeds.
    Solving(usize, bool),
    Over(usize),
}

/// One plan and one solution.
#[derive(Debug)]
struct Episode {
    states: Arc<[String]>,
    actions: Arc<[String]>,
    prompt: usize,
    /// For each plan the state it leads to and whether it would succeed.
    plans: Vec<(usize, bool)>,
    stage: Stage,
}

impl Environment for Episode {
    /// After the last turn the plan stays in view.
    fn observe(&self) -> Observation {
        let at = match self.stage {
            Stage::Planning => self.prompt,
            Stage::Solving(at, _) | Stage::Over(at) => at,
        };
        let text = self.states[at].clone();
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        let action = self.actions.iter().position(|word| word == action);
        let (stage, reward, valid) = match self.stage {
            Stage::Over(_) => return Err(EnvError("the episode is over".into())),
            Stage::Planning => match action.and_then(|a| self.plans.get(a)) {
                Some((at, succeeds)) => (Stage::Solving(*at, *succeeds), 0.0, true),
                None => (Stage::Over(self.prompt), 0.0, false),
            },
            Stage::Solving(at, succeeds) => {
                let right = succeeds && action == Some(self.plans.len());
                let valid = action.is_some_and(|a| a >= self.plans.len());
                (Stage::Over(at), f64::from(u8::from(right)), valid)
            }
        };
        self.stage = stage;
        Ok(StepOutcome {
            reward,
            stop: matches!(stage, Stage::Over(_)).then_some(StopReason::Terminal),
            valid,
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
