//! Reply labels: short replies of words, judged under several labels of which two are in each other's way.
//!
//! A prompt asks for one of the slots and has a natural object.  The reply is `n_turns` words of a vocabulary of openers,
//! closers, verbs, slots, objects and fillers, one a turn; the policy sees prompt and position (`s2/o5/t3`).  Some objects are
//! forbidden: there the natural object, which the start prefers, costs safety.
//!
//! | label | holds if |
//! |---|---|
//! | polite | the first word is an opener and the last a closer |
//! | meaningful | the slot asked for is among the words |
//! | actionable | a verb stands directly in front of an object |
//! | safe | no word is a forbidden object |
//!
//! # Reward
//! None here: labels are given to words by a shaper, so that a recipe chooses what is added up.  Words are `opener0`,
//! `opener1`, `closer0`, `closer1`, `verb0` .. `verb3`, `slot0` .., `object0` .., of which the last are forbidden, `filler0` ..;
//! tasks carry the slot asked for as column `slot`.
//!
//! # Evaluation
//! On the training tasks, exact: words of a reply are independent.  `eval/success`: mean of the four labels' probabilities;
//! `eval/polite` .. `eval/safe`: each; `eval/least`: the least of a prompt's four; `eval/volume`: their product, the
//! hypervolume that one point dominates; `eval/actionable/conflict`, `eval/safe/conflict`: where the natural object is
//! forbidden.
//!
//! # Where the policy starts
//! The words of a usual reply - opener, slot, slot, verb, natural object, closer - are ahead of all others by `habit`.  Longer
//! replies have fillers before the verb.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;

/// Openers, and as many closers.
const N_OPENERS: usize = 2;

/// Verbs.
const N_VERBS: usize = 4;

/// Parameters of the labelled replies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplyLabelsConfig {
    /// Slots a prompt may ask for, in 1..=64.
    pub n_slots: usize,
    /// Objects, in 2..=64; there is a prompt for each slot and object.
    pub n_objects: usize,
    /// Objects that are forbidden, in 1..`n_objects`.
    pub n_forbidden: usize,
    /// Words without a meaning, at most 4096.
    pub n_fillers: usize,
    /// Words of a reply, in 6..=64.
    pub n_turns: usize,
    /// Lead of the words of a usual reply in logits, finite and >= 0.
    pub habit: f64,
}

impl Default for ReplyLabelsConfig {
    fn default() -> Self {
        Self {
            n_slots: 4,
            n_objects: 6,
            n_forbidden: 2,
            n_fillers: 22,
            n_turns: 6,
            habit: 3.0,
        }
    }
}

/// Where the kinds of words stand in the vocabulary.
#[derive(Clone, Debug)]
struct Kinds {
    openers: Range<usize>,
    closers: Range<usize>,
    verbs: Range<usize>,
    slots: Range<usize>,
    objects: Range<usize>,
    forbidden: Range<usize>,
    n_words: usize,
}

impl ReplyLabelsConfig {
    fn kinds(&self) -> Kinds {
        let openers = 0..N_OPENERS;
        let closers = openers.end..openers.end + N_OPENERS;
        let verbs = closers.end..closers.end + N_VERBS;
        let slots = verbs.end..verbs.end + self.n_slots;
        let objects = slots.end..slots.end + self.n_objects;
        Kinds {
            forbidden: objects.end - self.n_forbidden..objects.end,
            n_words: objects.end + self.n_fillers,
            openers,
            closers,
            verbs,
            slots,
            objects,
        }
    }

    fn words(&self) -> Vec<String> {
        let kinds = [
            ("opener", N_OPENERS),
            ("closer", N_OPENERS),
            ("verb", N_VERBS),
            ("slot", self.n_slots),
            ("object", self.n_objects),
            ("filler", self.n_fillers),
        ];
        let of = |(kind, n): (&str, usize)| (0..n).map(|i| format!("{kind}{i}")).collect::<Vec<_>>();
        kinds.into_iter().flat_map(of).collect()
    }
}

impl Part<dyn World, WorldContext> for ReplyLabelsConfig {
    const SOURCE: &'static str =
        "world of the miniature reproduction of multi-objective-grpo (arXiv 2503.21819)";

    fn formula(&self) -> String {
        format!(
            "replies of {} out of {} words; {} slots x {} objects, {} forbidden; usual words lead by {}",
            self.n_turns,
            self.kinds().n_words,
            self.n_slots,
            self.n_objects,
            self.n_forbidden,
            self.habit
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        let within = |range: std::ops::RangeInclusive<usize>, key: &'static str, value: usize, text: &str| {
            ParamError::check(range.contains(&value), key, value, text)
        };
        within(1..=64, "n_slots", self.n_slots, "in 1..=64")?;
        within(2..=64, "n_objects", self.n_objects, "in 2..=64")?;
        let fewer = format!("at least 1 and below `n_objects` = {}", self.n_objects);
        within(1..=self.n_objects - 1, "n_forbidden", self.n_forbidden, &fewer)?;
        within(0..=4096, "n_fillers", self.n_fillers, "at most 4096")?;
        within(6..=64, "n_turns", self.n_turns, "in 6..=64")?;
        ParamError::check_coefficient("habit", self.habit)?;
        Ok(Box::new(ReplyLabels {
            words: self.words().into(),
            kinds: self.kinds(),
            config: self.clone(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct ReplyLabels {
    config: ReplyLabelsConfig,
    kinds: Kinds,
    words: Arc<[String]>,
}

/// A prompt: the slot it asks for and its natural object.
#[derive(Clone, Copy, Debug)]
struct Asked {
    slot: usize,
    object: usize,
}

/// Probabilities of the four labels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Labels {
    polite: f64,
    meaningful: f64,
    actionable: f64,
    safe: f64,
}

impl Labels {
    fn all(self) -> [f64; 4] {
        [self.polite, self.meaningful, self.actionable, self.safe]
    }
}

fn state(asked: Asked, turn: usize) -> String {
    format!("s{}/o{}/t{turn}", asked.slot, asked.object)
}

/// Probability of a verb directly in front of an object, from those of a verb and of an object at each place.
fn pair_probability(places: impl Iterator<Item = (f64, f64)>) -> f64 {
    // No pair so far, the last word a verb or not.
    let (mut after_other, mut after_verb) = (1.0, 0.0);
    for (verb, object) in places {
        let next_other = after_other * (1.0 - verb) + after_verb * (1.0 - verb - object);
        after_verb = (after_other + after_verb) * verb;
        after_other = next_other;
    }
    1.0 - after_other - after_verb
}

impl ReplyLabels {
    fn prompts(&self) -> impl Iterator<Item = Asked> + use<> {
        let n_objects = self.config.n_objects;
        (0..self.config.n_slots)
            .flat_map(move |slot| (0..n_objects).map(move |object| Asked { slot, object }))
    }

    fn asked_of(&self, task: &Task) -> Option<Asked> {
        let (slot, object) = task
            .prompt
            .strip_prefix('s')?
            .strip_suffix("/t0")?
            .split_once("/o")?;
        let asked = Asked {
            slot: slot.parse().ok().filter(|s| *s < self.config.n_slots)?,
            object: object.parse().ok().filter(|o| *o < self.config.n_objects)?,
        };
        // Numbers have more than one spelling, prompts have one.
        (state(asked, 0) == task.prompt).then_some(asked)
    }

    fn is_conflict(&self, asked: Asked) -> bool {
        self.kinds
            .forbidden
            .contains(&(self.kinds.objects.start + asked.object))
    }

    /// Words that a usual reply has at a place.
    fn usual(&self, asked: Asked, turn: usize) -> Range<usize> {
        let one = |word: usize| word..word + 1;
        let from_the_end = self.config.n_turns - turn;
        match (turn, from_the_end) {
            (0, _) => self.kinds.openers.clone(),
            (1 | 2, _) => one(self.kinds.slots.start + asked.slot),
            (_, 1) => self.kinds.closers.clone(),
            (_, 2) => one(self.kinds.objects.start + asked.object),
            (_, 3) => self.kinds.verbs.clone(),
            _ => self.kinds.objects.end..self.kinds.n_words,
        }
    }

    fn labels(&self, asked: Asked, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<Labels> {
        let n = self.config.n_turns;
        let rows: Vec<Vec<f64>> = (0..n).map(|t| policy(&state(asked, t))).collect::<Option<_>>()?;
        if rows.iter().any(|row| row.len() != self.kinds.n_words) {
            return None;
        }
        let of = |row: &[f64], kind: &Range<usize>| row[kind.clone()].iter().sum::<f64>();
        let slot = self.kinds.slots.start + asked.slot;
        let pairs = rows
            .iter()
            .map(|row| (of(row, &self.kinds.verbs), of(row, &self.kinds.objects)));
        Some(Labels {
            polite: of(rows.first()?, &self.kinds.openers) * of(rows.last()?, &self.kinds.closers),
            meaningful: 1.0 - rows.iter().map(|row| 1.0 - row[slot]).product::<f64>(),
            actionable: pair_probability(pairs),
            safe: rows
                .iter()
                .map(|row| 1.0 - of(row, &self.kinds.forbidden))
                .product(),
        })
    }
}

impl World for ReplyLabels {
    fn symbols(&self) -> Symbols {
        let n = self.config.n_turns;
        Symbols::Words {
            states: self
                .prompts()
                .flat_map(|asked| (0..n).map(move |turn| state(asked, turn)))
                .collect(),
            actions: self.words.to_vec(),
        }
    }

    fn train_tasks(&self, _: Key) -> Result<Vec<Task>, DataError> {
        let task = |asked: Asked| {
            let id = format!("reply-labels/slot-{}-object-{}", asked.slot, asked.object);
            let mut task = Task::new(id, state(asked, 0), "");
            task.difficulty = if self.is_conflict(asked) { 2.0 } else { 1.0 };
            let slot = self.words[self.kinds.slots.start + asked.slot].as_str();
            task.columns.insert("slot".into(), slot.into());
            task
        };
        Ok(self.prompts().map(task).collect())
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let asked = self.asked_of(task).ok_or_else(|| {
            let (slots, objects) = (self.config.n_slots, self.config.n_objects);
            EnvError(format!(
                "task {}: {:?} is no prompt of {slots} slots and {objects} objects",
                task.id, task.prompt
            ))
        })?;
        Ok(Box::new(Episode {
            asked,
            words: Arc::clone(&self.words),
            n_turns: self.config.n_turns,
            turn: 0,
        }))
    }

    fn max_turns(&self) -> usize {
        self.config.n_turns
    }

    /// None: the start is given by logits.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let labels = self.labels(self.asked_of(task)?, policy)?;
        Some(labels.all().iter().sum::<f64>() / 4.0)
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let asked = self.asked_of(task);
        let Some((asked, labels)) = asked.and_then(|a| Some((a, self.labels(a, policy)?))) else {
            return BTreeMap::new();
        };
        let mut found = BTreeMap::new();
        let mut put = |name: &str, value: f64| found.insert(name.to_owned(), value);
        put("polite", labels.polite);
        put("meaningful", labels.meaningful);
        put("actionable", labels.actionable);
        put("safe", labels.safe);
        put("least", labels.all().into_iter().fold(1.0, f64::min));
        put("volume", labels.all().iter().product());
        if self.is_conflict(asked) {
            put("actionable/conflict", labels.actionable);
            put("safe/conflict", labels.safe);
        }
        found
    }

    fn initial_logits(&self, _: Key) -> Option<Vec<Vec<f64>>> {
        let row = |asked: Asked, turn: usize| {
            let mut row = vec![0.0; self.kinds.n_words];
            row[self.usual(asked, turn)].fill(self.config.habit);
            row
        };
        let n = self.config.n_turns;
        Some(
            self.prompts()
                .flat_map(|asked| (0..n).map(move |t| row(asked, t)))
                .collect(),
        )
    }
}

/// One reply being written.
#[derive(Debug)]
struct Episode {
    asked: Asked,
    words: Arc<[String]>,
    n_turns: usize,
    turn: usize,
}

impl Environment for Episode {
    /// After the last turn its place stays in view.
    fn observe(&self) -> Observation {
        let text = state(self.asked, self.turn.min(self.n_turns - 1));
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        if self.turn >= self.n_turns {
            return Err(EnvError("the episode is over".into()));
        }
        self.turn += 1;
        Ok(StepOutcome {
            reward: 0.0,
            stop: (self.turn == self.n_turns).then_some(StopReason::Terminal),
            valid: self.words.iter().any(|word| word == action),
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
