//! Opinion table: questions that different roles answer differently, and replies in which several roles speak.
//!
//! There are Q questions and R roles.  On a contested question each role has an opinion of its own, drawn uniformly among
//! the answers; on the others all roles have the same.  A reply is `n_segments` sentences, each a role, any number of
//! fillers and an answer, with a mark at its end: `c x. f m x? c z!`
//!
//! Characters: questions are two digits to base 8 (`17=`), roles `a` .. `l`, fillers `m` .. `p`, answers `w` .. `z`, the blank
//! and the marks `.`, `?`, `!`.
//!
//! # Reward
//! The share of sentences whose answer is the opinion of its role, as in divergent questions with a gold per role; 0 for a
//! reply that is not `n_segments` sentences.  A role may speak more than once: nothing but a shaper asks for another.
//!
//! # Evaluation
//! On the training tasks (an opinion that was not trained on cannot be known).  `eval/success`: every sentence is right;
//! `eval/accuracy`: the reward; `eval/well-formed`; of well-formed replies `eval/roles`: different roles,
//! `eval/fillers`: fillers per reply, `eval/words`: words per reply, `eval/variety`: different words per word; and on
//! contested questions `eval/opinions`: different right answers.
//!
//! # Warm start
//! Replies in which one role, drawn uniformly, speaks in every sentence and says its opinion, with up to two fillers in each
//! sentence: a start of one voice.

mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task, Trajectory};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// Letters of roles, fillers, answers and the marks at the end of sentences.
const ROLES: &str = "abcdefghijkl";
const FILLERS: &str = "mnop";
const ANSWERS: &str = "wxyz";
const MARKS: &str = ".?!";

/// Parameters of the opinion table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpinionTableConfig {
    /// Questions Q, in 1..=64: one task each.
    pub n_questions: usize,
    /// Roles R, in 1..=12.
    pub n_roles: usize,
    /// Different answers, in 2..=4.
    pub n_answers: usize,
    /// Share of contested questions, in [0, 1].
    pub contested: f64,
    /// Sentences of a reply, in 1..=8.
    pub n_segments: usize,
    /// Demonstrations for a supervised start, >= 1.
    pub n_warm_start: usize,
}

impl Default for OpinionTableConfig {
    fn default() -> Self {
        Self {
            n_questions: 60,
            n_roles: 12,
            n_answers: 4,
            contested: 0.5,
            n_segments: 3,
            n_warm_start: 4000,
        }
    }
}

impl Part<dyn World, WorldContext> for OpinionTableConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of multirole-r1 (arXiv 2507.20187)";

    fn formula(&self) -> String {
        format!(
            "R = share of {} sentences whose answer is its role's opinion; {} questions, {} contested, {} roles, {} answers",
            self.n_segments, self.n_questions, self.contested, self.n_roles, self.n_answers
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        let within = |range: std::ops::RangeInclusive<usize>, key: &'static str, value: usize, text: &str| {
            ParamError::check(range.contains(&value), key, value, text)
        };
        within(1..=64, "n_questions", self.n_questions, "in 1..=64")?;
        within(1..=12, "n_roles", self.n_roles, "in 1..=12")?;
        within(2..=4, "n_answers", self.n_answers, "in 2..=4")?;
        let share = self.contested;
        ParamError::check((0.0..=1.0).contains(&share), "contested", share, "in [0, 1]")?;
        within(1..=8, "n_segments", self.n_segments, "in 1..=8")?;
        ParamError::check(self.n_warm_start >= 1, "n_warm_start", self.n_warm_start, ">= 1")?;
        Ok(Box::new(OpinionTable { config: self.clone() }))
    }
}

/// A sentence of a reply: role and answer by number, and the fillers between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sentence {
    role: usize,
    answer: usize,
    n_fillers: usize,
}

/// Position of a word of one letter in an alphabet.
fn letter_of(alphabet: &str, word: &str) -> Option<usize> {
    let mut chars = word.chars();
    let found = chars.next().and_then(|c| alphabet.find(c))?;
    chars.next().is_none().then_some(found)
}

fn read_sentence(words: &[&str]) -> Option<Sentence> {
    let (role, rest) = words.split_first()?;
    let (answer, fillers) = rest.split_last()?;
    let all_fillers = fillers.iter().all(|word| letter_of(FILLERS, word).is_some());
    let answer = letter_of(ANSWERS, answer.strip_suffix(|c| MARKS.contains(c))?)?;
    all_fillers.then_some(Sentence {
        role: letter_of(ROLES, role)?,
        answer,
        n_fillers: fillers.len(),
    })
}

/// Sentences of a reply; `None` if some part of it is no sentence.
fn read_reply(reply: &str) -> Option<Vec<Sentence>> {
    let words: Vec<&str> = reply.split_whitespace().collect();
    let mut sentences: Vec<Sentence> = Vec::new();
    let mut start = 0;
    for (i, word) in words.iter().enumerate() {
        if word.ends_with(|c| MARKS.contains(c)) {
            sentences.push(read_sentence(&words[start..=i])?);
            start = i + 1;
        }
    }
    (start == words.len()).then_some(sentences)
}

/// The validated world.
#[derive(Debug)]
struct OpinionTable {
    config: OpinionTableConfig,
}

impl OpinionTable {
    /// Opinion of each role, from the task's column.
    fn opinions_of(&self, task: &Task) -> Option<Vec<usize>> {
        let letters = task.columns.get("opinions")?.as_str()?;
        let opinions: Vec<usize> = letters.chars().map(|c| ANSWERS.find(c)).collect::<Option<_>>()?;
        (opinions.len() == self.config.n_roles).then_some(opinions)
    }

    /// The sentences of a reply, if it is as many as asked for and each is of a role that is there.
    fn well_formed(&self, reply: &str) -> Option<Vec<Sentence>> {
        read_reply(reply).filter(|sentences| {
            sentences.len() == self.config.n_segments
                && sentences.iter().all(|s| s.role < self.config.n_roles)
        })
    }
}

/// Share of sentences that say the opinion of their role.
fn accuracy(sentences: &[Sentence], opinions: &[usize]) -> f64 {
    let right = sentences
        .iter()
        .filter(|s| opinions.get(s.role) == Some(&s.answer));
    right.count() as f64 / sentences.len().max(1) as f64
}

impl World for OpinionTable {
    fn symbols(&self) -> Symbols {
        Symbols::Characters(format!("01234567= {ROLES}{FILLERS}{ANSWERS}{MARKS}"))
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(tasks::questions(&self.config, key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn warm_start_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(tasks::demonstrations(&self.config, key))
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let opinions = self.opinions_of(task).ok_or_else(|| {
            EnvError(format!(
                "task {}: column `opinions` does not hold an answer of each role",
                task.id
            ))
        })?;
        let world = Arc::new(Self {
            config: self.config.clone(),
        });
        Ok(Box::new(SingleTurn::rewarding(
            task.prompt.clone(),
            move |reply| {
                let sentences = world.well_formed(reply);
                let earned = sentences.as_ref().map_or(0.0, |s| accuracy(s, &opinions));
                (earned, sentences.is_some())
            },
        )))
    }

    fn measures(&self, task: &Task, trajectory: &Trajectory) -> BTreeMap<String, f64> {
        let Some(opinions) = self.opinions_of(task) else {
            return BTreeMap::new();
        };
        let reply = trajectory.answer();
        let sentences = self.well_formed(reply);
        let mut found = BTreeMap::new();
        let mut put = |name: &str, value: f64| found.insert(name.to_owned(), value);
        put("well-formed", f64::from(u8::from(sentences.is_some())));
        put(
            "accuracy",
            sentences.as_ref().map_or(0.0, |s| accuracy(s, &opinions)),
        );
        let Some(sentences) = sentences else {
            return found;
        };
        let different =
            |numbers: &mut dyn Iterator<Item = usize>| numbers.collect::<BTreeSet<_>>().len() as f64;
        put("roles", different(&mut sentences.iter().map(|s| s.role)));
        put("fillers", sentences.iter().map(|s| s.n_fillers as f64).sum());
        let words: Vec<&str> = reply
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .collect();
        put("words", words.len() as f64);
        let variety: BTreeSet<&str> = words.iter().copied().collect();
        put("variety", variety.len() as f64 / words.len().max(1) as f64);
        if task.difficulty == tasks::CONTESTED {
            let right = sentences
                .iter()
                .filter(|s| opinions.get(s.role) == Some(&s.answer));
            put("opinions", different(&mut right.map(|s| s.answer)));
        }
        found
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
