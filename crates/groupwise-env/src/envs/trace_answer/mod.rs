//! Trace and answer: which of two strings is the better one, said twice - in a trace that a listener reads, and as an answer.
//!
//! Three criteria each favor string A or B, and the better string is the one that most of them favor.  The policy writes a
//! trace (`A` or `B`: which string its evidence speaks for), then an answer.  A frozen listener reads the trace alone and
//! gives the string it speaks for the probability `listener_accuracy`.
//!
//! Without `cue` prompts share nothing: the policy sees the prompt (`q7/trace`), then prompt and trace (`q7/trace=B`), and
//! nothing makes the answer follow from the trace.
//!
//! With `cue` the table is shared.  In its first turn the policy sees the criteria and a superficial cue (`ABA/cue=A`), in
//! the second only the cue and its own trace (`cue=A/trace=B`): what the criteria said reaches the answer through the
//! trace, the cue reaches it by itself.  In training the cue names the better string in a share `cue` of the prompts, in
//! the same share for either string, out of domain in half of them.
//!
//! # Reward
//! With the first turn: the probability that the listener gives to the better string.  The answer is left to a verifier;
//! the task's reference is the better string.
//!
//! # Evaluation
//! Exact.  `eval/success`: the answer is right, in the domain of training; `eval/out-of-domain`: the same where the cue says
//! nothing (with `cue`); `eval/contradiction`: the answer is not the string that the listener prefers; `eval/true-trace`: the
//! trace speaks for the better string.  With `cue` tasks of evaluation are the eight patterns of criteria, else the
//! training tasks.
//!
//! # Where the policy starts
//! Every logit is `logit_noise` times a standard normal.

use std::collections::BTreeMap;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::WorldContext;

/// The two strings, as traces, answers and cues name them.
const STRINGS: [&str; 2] = ["A", "B"];

/// Patterns of three criteria.
const PATTERNS: usize = 8;

/// Parameters of the traces and answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceAnswerConfig {
    /// Training prompts, in 1..=65535.
    pub n_prompts: usize,
    /// Probability that the listener gives to the string the trace speaks for, in [0.5, 1].
    pub listener_accuracy: f64,
    /// Share of training prompts whose cue names the better string, in [0, 1]; none: prompts share nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cue: Option<f64>,
    /// Standard deviation of the starting logits, >= 0.
    pub logit_noise: f64,
}

impl Default for TraceAnswerConfig {
    fn default() -> Self {
        Self {
            n_prompts: 32,
            listener_accuracy: 0.9,
            cue: None,
            logit_noise: 0.0,
        }
    }
}

impl Part<dyn World, WorldContext> for TraceAnswerConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of listener-reward (arXiv 2506.22832)";

    fn formula(&self) -> String {
        let seen = match self.cue {
            None => "each its own rows".to_owned(),
            Some(share) => format!("shared rows, a cue that is right in {share} of them"),
        };
        format!(
            "R_1 = {p} if the trace is true, else 1 - {p}; {} prompts, {seen}; logits {} e",
            self.n_prompts,
            self.logit_noise,
            p = self.listener_accuracy
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        let n = self.n_prompts;
        ParamError::check((1..=65_535).contains(&n), "n_prompts", n, "in 1..=65535")?;
        let p = self.listener_accuracy;
        ParamError::check((0.5..=1.0).contains(&p), "listener_accuracy", p, "in [0.5, 1]")?;
        if let Some(share) = self.cue {
            ParamError::check((0.0..=1.0).contains(&share), "cue", share, "in [0, 1]")?;
        }
        ParamError::check_coefficient("logit_noise", self.logit_noise)?;
        Ok(Box::new(TraceAnswer { config: self.clone() }))
    }
}

/// The validated world.
#[derive(Debug)]
struct TraceAnswer {
    config: TraceAnswerConfig,
}

/// A prompt as it is seen in its two turns.
#[derive(Clone, Debug)]
struct View {
    first: String,
    /// By trace.
    second: [String; 2],
}

/// A view with its share of prompts in the domain of training and out of it.
#[derive(Clone, Debug)]
struct Shared {
    view: View,
    inside: f64,
    outside: f64,
}

/// Which strings the criteria of a pattern favor, and the better one.
fn criteria(pattern: usize) -> (String, usize) {
    let favored = [0, 1, 2].map(|k| pattern >> k & 1);
    let text = favored.iter().map(|s| STRINGS[*s]).collect();
    (text, usize::from(favored.iter().sum::<usize>() >= 2))
}

impl TraceAnswer {
    fn private_view(n: usize) -> View {
        View {
            first: format!("q{n}/trace"),
            second: STRINGS.map(|trace| format!("q{n}/trace={trace}")),
        }
    }

    fn cued_view(pattern: usize, cue: usize) -> View {
        let cue = STRINGS[cue];
        View {
            first: format!("{}/cue={cue}", criteria(pattern).0),
            second: STRINGS.map(|trace| format!("cue={cue}/trace={trace}")),
        }
    }

    /// The better string of a task and its views.
    fn views_of(&self, task: &Task) -> Option<(usize, Vec<Shared>)> {
        let better = STRINGS.iter().position(|s| *s == task.reference)?;
        let Some(share) = self.config.cue else {
            let n = task.columns.get("prompt")?.as_u64().map(|n| n as usize)?;
            let view = (n < self.config.n_prompts).then(|| Self::private_view(n))?;
            return Some((
                better,
                vec![Shared {
                    view,
                    inside: 1.0,
                    outside: 1.0,
                }],
            ));
        };
        let pattern = task.columns.get("pattern")?.as_u64().map(|n| n as usize)?;
        if pattern >= PATTERNS || criteria(pattern).1 != better {
            return None;
        }
        let views = [(better, share), (1 - better, 1.0 - share)].map(|(cue, inside)| Shared {
            view: Self::cued_view(pattern, cue),
            inside,
            outside: 0.5,
        });
        Some((better, views.to_vec()))
    }

    /// The view whose first state is the task's prompt, and the better string.
    fn played(&self, task: &Task) -> Option<(usize, View)> {
        let (better, views) = self.views_of(task)?;
        let shared = views
            .into_iter()
            .find(|shared| shared.view.first == task.prompt)?;
        Some((better, shared.view))
    }

    /// Task of a prompt; with a cue its pattern and what it names.
    fn task(&self, id: String, n: usize, cued: Option<(usize, usize)>, better: usize) -> Task {
        let view = cued.map_or_else(
            || Self::private_view(n),
            |(pattern, cue)| Self::cued_view(pattern, cue),
        );
        let mut task = Task::new(id, view.first, STRINGS[better]);
        task.difficulty = 1.0;
        let (name, value) = cued.map_or(("prompt", n), |(pattern, _)| ("pattern", pattern));
        task.columns.insert(name.into(), value.into());
        task
    }

    /// Expected accuracy, contradiction and truth of the trace in a view.
    fn expected(view: &View, better: usize, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<[f64; 3]> {
        let traces = policy(&view.first)?;
        let mut sums = [0.0; 3];
        for (trace, state) in view.second.iter().enumerate() {
            let answers = policy(state)?;
            let p = *traces.get(trace)?;
            sums[0] += p * answers.get(better)?;
            // The listener prefers the string that the trace speaks for.
            sums[1] += p * answers.get(1 - trace)?;
            sums[2] += p * f64::from(u8::from(trace == better));
        }
        Some(sums)
    }

    /// Right answers, contradictions and true traces in the domain of training, then right answers out of it.
    fn exact(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<[f64; 4]> {
        let (better, views) = self.views_of(task)?;
        let mut sums = [0.0; 4];
        for Shared {
            view,
            inside,
            outside,
        } in views
        {
            let [right, contradiction, truth] = Self::expected(&view, better, policy)?;
            for (sum, value) in sums.iter_mut().zip([right, contradiction, truth]) {
                *sum += inside * value;
            }
            sums[3] += outside * right;
        }
        Some(sums)
    }
}

impl World for TraceAnswer {
    fn symbols(&self) -> Symbols {
        let states = match self.config.cue {
            None => (0..self.config.n_prompts)
                .map(Self::private_view)
                .flat_map(|view| std::iter::once(view.first).chain(view.second))
                .collect(),
            Some(_) => {
                let seen = (0..PATTERNS).flat_map(|p| [0, 1].map(|cue| Self::cued_view(p, cue).first));
                let answered = [0, 1].into_iter().flat_map(|cue| Self::cued_view(0, cue).second);
                seen.chain(answered).collect()
            }
        };
        Symbols::Words {
            states,
            actions: STRINGS.map(str::to_owned).to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        let task = |n: usize| {
            let mut rng = key.named("trace-answer/prompt", n as u64).rng();
            let (pattern, luck) = (rng.below(PATTERNS as u64) as usize, rng.uniform());
            let better = criteria(pattern).1;
            let names = |share: f64| if luck < share { better } else { 1 - better };
            let cued = self.config.cue.map(|share| (pattern, names(share)));
            self.task(format!("trace-answer/prompt-{n:04}"), n, cued, better)
        };
        Ok((0..self.config.n_prompts).map(task).collect())
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        if self.config.cue.is_none() {
            return self.train_tasks(key);
        }
        let task = |pattern: usize| {
            let (text, better) = criteria(pattern);
            self.task(
                format!("trace-answer/criteria-{text}"),
                0,
                Some((pattern, better)),
                better,
            )
        };
        Ok((0..PATTERNS).map(task).collect())
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let (better, view) = self.played(task).ok_or_else(|| {
            EnvError(format!(
                "task {}: {:?} with this reference and these columns is no prompt here",
                task.id, task.prompt
            ))
        })?;
        Ok(Box::new(Episode {
            view,
            better,
            listener: self.config.listener_accuracy,
            trace: None,
            over: false,
        }))
    }

    fn max_turns(&self) -> usize {
        2
    }

    /// None: a policy that has been shown true traces has nothing left to learn.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        self.exact(task, policy).map(|[right, ..]| right)
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let Some([_, contradiction, truth, outside]) = self.exact(task, policy) else {
            return BTreeMap::new();
        };
        let mut found = BTreeMap::from([
            ("contradiction".to_owned(), contradiction),
            ("true-trace".to_owned(), truth),
        ]);
        if self.config.cue.is_some() {
            found.insert("out-of-domain".to_owned(), outside);
        }
        found
    }

    fn initial_logits(&self, key: Key) -> Option<Vec<Vec<f64>>> {
        let Symbols::Words { states, .. } = self.symbols() else {
            return None;
        };
        let row = |n: usize| {
            let mut rng = key.named("trace-answer/logits", n as u64).rng();
            let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
            [draw(), draw()].map(|e| self.config.logit_noise * e).to_vec()
        };
        Some((0..states.len()).map(row).collect())
    }
}

/// One prompt being answered.
#[derive(Debug)]
struct Episode {
    view: View,
    better: usize,
    listener: f64,
    /// What the trace speaks for.
    trace: Option<usize>,
    over: bool,
}

impl Environment for Episode {
    /// After the last turn the trace stays in view.
    fn observe(&self) -> Observation {
        let text = match self.trace {
            None => self.view.first.clone(),
            Some(trace) => self.view.second[trace].clone(),
        };
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        if self.over {
            return Err(EnvError("the episode is over".into()));
        }
        let named = STRINGS.iter().position(|s| *s == action);
        if self.trace.is_some() {
            self.over = true;
            return Ok(StepOutcome {
                reward: 0.0,
                stop: Some(StopReason::Terminal),
                valid: named.is_some(),
            });
        }
        let Some(trace) = named else {
            // Nothing that a listener could read.
            self.over = true;
            return Ok(StepOutcome {
                reward: 0.0,
                stop: Some(StopReason::Terminal),
                valid: false,
            });
        };
        self.trace = Some(trace);
        Ok(StepOutcome {
            reward: if trace == self.better {
                self.listener
            } else {
                1.0 - self.listener
            },
            stop: None,
            valid: true,
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
