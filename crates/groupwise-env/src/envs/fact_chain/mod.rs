//! Fact chain: a question is answered by naming the right entity at every hop.
//!
//! There are T questions of L hops with m candidates each, of which one is right, drawn uniformly for every question and
//! hop.  Turn by turn the policy sees where it is (`q7/h0` .. `q7/h4`) and thinks of one entity; the action of candidate
//! 3 at hop 2 is `<think>h2e3;</think>`, so that whatever reads thoughts finds `h2e3;` there and nowhere else.  Questions
//! share nothing.  Candidates of other hops are actions too, for actions are the same in every state, but have
//! probability 0.
//!
//! # Reward
//! With the last turn: 1 if every hop was right, else 0.
//!
//! # Entities
//! Column `entities` of a task lists the right entity of every hop, or, as a control, those of the next question: as many,
//! and as easy to hit, but about something else.
//!
//! # Evaluation
//! On the training tasks, exact.  `eval/success` is the probability that every hop is right, `eval/right-hops` the expected
//! share of right hops.
//!
//! # Where the policy starts
//! Uniform over the candidates of a hop: it is right with probability `m^-L`.

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::certain::IMPOSSIBLE;

/// Whose entities a task lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntitiesOf {
    /// Its own.
    #[default]
    Question,
    /// Those of the next question, the first's for the last.
    NextQuestion,
}

/// Parameters of the fact chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactChainConfig {
    /// Questions T, in 2..=65535: one task each.
    pub n_questions: usize,
    /// Hops L of a question, in 1..=64.
    pub n_hops: usize,
    /// Candidates m of a hop, in 2..=1024.
    pub n_candidates: usize,
    /// Whose entities a task lists.
    pub entities: EntitiesOf,
}

impl Default for FactChainConfig {
    fn default() -> Self {
        Self {
            n_questions: 48,
            n_hops: 5,
            n_candidates: 6,
            entities: EntitiesOf::Question,
        }
    }
}

impl Part<dyn World, WorldContext> for FactChainConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of e-grpo (arXiv 2510.24694)";

    fn formula(&self) -> String {
        let of = match self.entities {
            EntitiesOf::Question => "its own",
            EntitiesOf::NextQuestion => "the next question's",
        };
        format!(
            "R = prod_h [right entity at hop h], {} questions of {} hops of {} candidates; entities: {of}",
            self.n_questions, self.n_hops, self.n_candidates
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        for (key, value, least, most) in [
            ("n_questions", self.n_questions, 2, 65_535),
            ("n_hops", self.n_hops, 1, 64),
            ("n_candidates", self.n_candidates, 2, 1024),
        ] {
            let range = format!("in {least}..={most}");
            ParamError::check((least..=most).contains(&value), key, value, &range)?;
        }
        let states = (0..self.n_questions).flat_map(|q| (0..self.n_hops).map(move |h| format!("q{q}/h{h}")));
        let entities = (0..self.n_hops).flat_map(|h| (0..self.n_candidates).map(move |c| entity(h, c)));
        Ok(Box::new(FactChain {
            config: self.clone(),
            states: states.collect(),
            actions: entities.map(|e| format!("<think>{e}</think>")).collect(),
        }))
    }
}

/// The name of a candidate.  The semicolon keeps `h1e1;` from being part of `h1e10;`, the letter from being part of a
/// later hop's.
fn entity(hop: usize, candidate: usize) -> String {
    format!("h{hop}e{candidate};")
}

/// The validated world.
#[derive(Debug)]
struct FactChain {
    config: FactChainConfig,
    /// Hop by hop, question by question.
    states: Arc<[String]>,
    /// Candidate by candidate, hop by hop.
    actions: Arc<[String]>,
}

/// A question with the right action of every hop.
#[derive(Clone, Debug, PartialEq)]
struct Question {
    /// Its first state.
    first: usize,
    right: Vec<usize>,
}

impl FactChain {
    /// The right candidates of every question.
    fn draw(&self, key: Key) -> Vec<Vec<usize>> {
        let m = self.config.n_candidates as u64;
        (0..self.config.n_questions)
            .map(|q| {
                let mut rng = key.named("fact-chain/right", q as u64).rng();
                (0..self.config.n_hops).map(|_| rng.below(m) as usize).collect()
            })
            .collect()
    }

    /// A task's question, from its columns.
    fn question_of(&self, task: &Task) -> Result<Question, EnvError> {
        let FactChainConfig {
            n_questions,
            n_hops,
            n_candidates,
            ..
        } = self.config;
        let number = |value: &serde_json::Value, below: usize| {
            value
                .as_u64()
                .and_then(|v| usize::try_from(v).ok())
                .filter(|v| *v < below)
        };
        let question = task.columns.get("question").and_then(|v| number(v, n_questions));
        let right = task.columns.get("right").and_then(|v| v.as_array());
        let right: Option<Vec<usize>> = right.and_then(|hops| {
            let place =
                |(hop, v): (usize, &serde_json::Value)| Some(hop * n_candidates + number(v, n_candidates)?);
            hops.iter().enumerate().map(place).collect()
        });
        let found = question.zip(right.filter(|r| r.len() == n_hops));
        let found = found.map(|(q, right)| Question {
            first: q * n_hops,
            right,
        });
        found.ok_or_else(|| {
            EnvError(format!(
                "task {}: columns `question` and `right` do not name a question and {n_hops} of {n_candidates} candidates",
                task.id
            ))
        })
    }

    /// Probability of the right entity at every hop.
    fn hits(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<Vec<f64>> {
        let question = self.question_of(task).ok()?;
        let hit = |(hop, action): (usize, &usize)| {
            policy(self.states.get(question.first + hop)?)?
                .get(*action)
                .copied()
        };
        question.right.iter().enumerate().map(hit).collect()
    }
}

impl World for FactChain {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.states.to_vec(),
            actions: self.actions.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        let n = self.config.n_candidates;
        let all = self.draw(key);
        let named =
            |q: usize| -> Vec<String> { all[q].iter().enumerate().map(|(h, c)| entity(h, *c)).collect() };
        let task = |q: usize| {
            let chain: Vec<&str> = all[q]
                .iter()
                .enumerate()
                .map(|(h, c)| self.actions[h * n + c].as_str())
                .collect();
            let first = self.states[q * self.config.n_hops].clone();
            let mut task = Task::new(format!("fact-chain/question-{q:04}"), first, chain.join(" "));
            task.difficulty = self.config.n_hops as f64;
            let of = match self.config.entities {
                EntitiesOf::Question => q,
                EntitiesOf::NextQuestion => (q + 1) % all.len(),
            };
            task.columns.insert("question".into(), q.into());
            task.columns.insert("right".into(), all[q].clone().into());
            task.columns.insert("entities".into(), named(of).into());
            task
        };
        Ok((0..all.len()).map(task).collect())
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        Ok(Box::new(Episode {
            states: Arc::clone(&self.states),
            actions: Arc::clone(&self.actions),
            n_candidates: self.config.n_candidates,
            question: self.question_of(task)?,
            hop: 0,
            all_right: true,
        }))
    }

    fn max_turns(&self) -> usize {
        self.config.n_hops
    }

    /// None: a policy that has been told the chain has nothing left to learn.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        Some(self.hits(task, policy)?.iter().product())
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let share = |hits: Vec<f64>| hits.iter().sum::<f64>() / hits.len() as f64;
        let found = self.hits(task, policy).map(share);
        found
            .map(|share| ("right-hops".to_owned(), share))
            .into_iter()
            .collect()
    }

    fn initial_logits(&self, _: Key) -> Option<Vec<Vec<f64>>> {
        let (n, hops) = (self.config.n_candidates, self.config.n_hops);
        let row = |state: usize| {
            let here = (state % hops) * n..(state % hops + 1) * n;
            let logit = |a| if here.contains(&a) { 0.0 } else { IMPOSSIBLE };
            (0..self.actions.len()).map(logit).collect()
        };
        Some((0..self.states.len()).map(row).collect())
    }
}

/// One way through the hops of a question.
#[derive(Debug)]
struct Episode {
    states: Arc<[String]>,
    actions: Arc<[String]>,
    n_candidates: usize,
    question: Question,
    hop: usize,
    all_right: bool,
}

impl Environment for Episode {
    /// After the last turn the last hop stays in view.
    fn observe(&self) -> Observation {
        let hop = self.hop.min(self.question.right.len() - 1);
        let text = self.states[self.question.first + hop].clone();
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        let Some(right) = self.question.right.get(self.hop) else {
            return Err(EnvError("the episode is over".into()));
        };
        let action = self.actions.iter().position(|word| word == action);
        self.all_right &= action == Some(*right);
        let valid = action.is_some_and(|a| a / self.n_candidates == self.hop);
        self.hop += 1;
        let over = self.hop == self.question.right.len();
        Ok(StepOutcome {
            reward: f64::from(u8::from(over && self.all_right)),
            stop: over.then_some(StopReason::Terminal),
            valid,
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
