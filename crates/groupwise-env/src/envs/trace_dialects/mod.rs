//! Trace dialects: the sum of digits modulo a base, reasoned about in a short dialect of one's own or a long one of an expert.
//!
//! A prompt is a few digits (`3142=`), its answer their sum modulo the base, behind a `#`.  What may stand in front of it, for
//! base 7:
//!
//! | dialect | reply | reads |
//! |---|---|---|
//! | plain | `#3` | no reasoning |
//! | native | `3413#3` | the running sums |
//! | expert | `3+1=4?3+1=44+4=11+2=3#3` | every sum written out, and, behind a `?`, some of them once more |
//!
//! All three are right; the expert's detours are not needed.
//!
//! # Reward
//! 1 if exactly one digit, the right one, stands behind the last `#`, else 0, whatever stands in front.
//!
//! # Evaluation
//! On prompts of the lengths of training that were not trained on, and on as many of `ood_length` digits.  `eval/in-domain`,
//! `eval/out-of-domain`: right answers of either; `eval/trace`: characters in front of the `#`; `eval/detours`: how many `?`;
//! `eval/expert`: the share of replies that write out a sum.  Difficulty is the number of digits.
//!
//! # Warm start
//! Demonstrations in the dialects, by their weights in `plain`, `native` and `expert`.

mod tasks;

use std::collections::BTreeMap;

use groupwise_core::seams::{EnvError, Environment, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task, Trajectory};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// Parameters of the dialects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceDialectsConfig {
    /// Base of the digits, in 2..=10.
    pub base: u8,
    /// Fewest digits of a prompt, >= 2.
    pub min_length: usize,
    /// Most digits of a prompt in training, at least `min_length`.
    pub max_length: usize,
    /// Digits of a prompt out of domain, above `max_length` and at most 32.
    pub ood_length: usize,
    /// Training tasks, >= 1.
    pub n_tasks: usize,
    /// Evaluation tasks in domain, and as many out of it, >= 1.
    pub n_eval: usize,
    /// Demonstrations for a supervised start, >= 1.
    pub n_warm_start: usize,
    /// Weight of demonstrations without reasoning, >= 0.
    pub plain: f64,
    /// Weight of demonstrations in the native dialect, >= 0.
    pub native: f64,
    /// Weight of the expert's demonstrations, >= 0; not all three are 0.
    pub expert: f64,
    /// Share of the expert's sums that are written once more, in [0, 1].
    pub detours: f64,
}

impl Default for TraceDialectsConfig {
    fn default() -> Self {
        Self {
            base: 7,
            min_length: 2,
            max_length: 4,
            ood_length: 6,
            n_tasks: 256,
            n_eval: 96,
            n_warm_start: 8000,
            plain: 0.5,
            native: 0.5,
            expert: 0.0,
            detours: 0.5,
        }
    }
}

impl Part<dyn World, WorldContext> for TraceDialectsConfig {
    const SOURCE: &'static str =
        "world of the miniature reproduction of vlaa-thinker (arXiv 2504.11468), claim about fine-tuning";

    fn formula(&self) -> String {
        format!(
            "R = [sum of {}..={} digits mod {}]; out of domain {} digits; demonstrations {} plain, {} native, {} expert with {} detours",
            self.min_length,
            self.max_length,
            self.base,
            self.ood_length,
            self.plain,
            self.native,
            self.expert,
            self.detours
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        ParamError::check((2..=10).contains(&self.base), "base", self.base, "in 2..=10")?;
        ParamError::check(self.min_length >= 2, "min_length", self.min_length, ">= 2")?;
        ParamError::check(
            self.max_length >= self.min_length,
            "max_length",
            self.max_length,
            "at least `min_length`",
        )?;
        let longer = self.ood_length > self.max_length && self.ood_length <= 32;
        ParamError::check(
            longer,
            "ood_length",
            self.ood_length,
            "above `max_length` and at most 32",
        )?;
        for (key, n) in [
            ("n_tasks", self.n_tasks),
            ("n_eval", self.n_eval),
            ("n_warm_start", self.n_warm_start),
        ] {
            ParamError::check(n >= 1, key, n, ">= 1")?;
        }
        for (key, weight) in [
            ("plain", self.plain),
            ("native", self.native),
            ("expert", self.expert),
        ] {
            ParamError::check_coefficient(key, weight)?;
        }
        let total = self.plain + self.native + self.expert;
        ParamError::check(
            total > 0.0,
            "native",
            self.native,
            "so that not all weights are 0",
        )?;
        ParamError::check(
            (0.0..=1.0).contains(&self.detours),
            "detours",
            self.detours,
            "in [0, 1]",
        )?;
        Ok(Box::new(TraceDialects { config: self.clone() }))
    }
}

/// Digits of a prompt.
fn read_prompt(base: u8, prompt: &str) -> Option<Vec<u8>> {
    let body = prompt.strip_suffix('=').filter(|body| !body.is_empty())?;
    body.chars()
        .map(|c| c.to_digit(u32::from(base)).map(|d| d as u8))
        .collect()
}

fn running_sums(base: u8, digits: &[u8]) -> Vec<u8> {
    digits
        .iter()
        .scan(0, |sum, digit| {
            *sum = (*sum + digit) % base;
            Some(*sum)
        })
        .collect()
}

fn symbol(digit: u8) -> char {
    char::from(b'0' + digit)
}

/// The right answer of a prompt.
fn answer(base: u8, digits: &[u8]) -> String {
    running_sums(base, digits)
        .last()
        .map(|d| symbol(*d).to_string())
        .unwrap_or_default()
}

/// What stands in front of the last `#`, and behind it.
fn split(reply: &str) -> Option<(&str, &str)> {
    reply.rsplit_once('#')
}

/// The validated world.
#[derive(Debug)]
struct TraceDialects {
    config: TraceDialectsConfig,
}

impl World for TraceDialects {
    fn symbols(&self) -> Symbols {
        let digits: String = (0..self.config.base).map(symbol).collect();
        Symbols::Characters(format!("{digits}=+?#"))
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::generate(&self.config, tasks::Split::Train, self.config.n_tasks, key)
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        let mut tasks = tasks::generate(&self.config, tasks::Split::Eval, self.config.n_eval, key)?;
        tasks.extend(tasks::generate(
            &self.config,
            tasks::Split::Long,
            self.config.n_eval,
            key,
        )?);
        Ok(tasks)
    }

    fn warm_start_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::demonstrations(&self.config, key)
    }

    fn demonstration(&self, task: &Task) -> Option<String> {
        let text = task.columns.get("demonstration").and_then(|d| d.as_str());
        text.map(str::to_owned)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let base = self.config.base;
        let digits = read_prompt(base, &task.prompt).ok_or_else(|| {
            EnvError(format!(
                "task {}: {:?} is no prompt of digits to base {base}",
                task.id, task.prompt
            ))
        })?;
        let expected = answer(base, &digits);
        Ok(Box::new(SingleTurn::rewarding(
            task.prompt.clone(),
            move |reply| {
                let found = split(reply);
                let right = found.is_some_and(|(_, found)| found == expected);
                (f64::from(u8::from(right)), found.is_some())
            },
        )))
    }

    fn measures(&self, task: &Task, trajectory: &Trajectory) -> BTreeMap<String, f64> {
        let Some(digits) = read_prompt(self.config.base, &task.prompt) else {
            return BTreeMap::new();
        };
        let reply = trajectory.answer();
        let (trace, found) = split(reply).unwrap_or((reply, ""));
        let right = f64::from(u8::from(found == answer(self.config.base, &digits)));
        let domain = if digits.len() > self.config.max_length {
            "out-of-domain"
        } else {
            "in-domain"
        };
        BTreeMap::from([
            (domain.to_owned(), right),
            ("trace".to_owned(), trace.chars().count() as f64),
            ("detours".to_owned(), trace.matches('?').count() as f64),
            ("expert".to_owned(), f64::from(u8::from(trace.contains('+')))),
        ])
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
