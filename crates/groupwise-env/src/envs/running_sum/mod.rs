//! Running sum: the sum of a few digits modulo a number, with or without the sums on the way.
//!
//! A prompt names n digits, `374912=`.  An answer is any number of digits, a colon, and the sum modulo m: with all running
//! sums `304346:6`, with every second one `046:6`, with none `:6`.  Each symbol written on the way leaves a smaller step to
//! the next: length buys correctness, and a reward for short answers has something to lose.
//!
//! Only what follows the first colon is judged; what stands before it is free.
//!
//! # Reward
//! 1 if exactly the right digit follows the first colon, else 0.
//!
//! # Supervised start
//! Demonstrations write all running sums, every second one (the last always) or none, in the shares of `shares`.
//!
//! # Evaluation
//! By sampling, on prompts that are not trained on.  `eval/scratch` is the mean number of symbols before the colon,
//! `eval/right_on_the_way` the share of answers whose scratch is all or every second running sum, without an error; an
//! answer without scratch does not count there.

mod tasks;

use std::collections::BTreeMap;

use groupwise_core::seams::{EnvError, Environment, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task, Trajectory};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// How much a demonstration writes on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scratch {
    /// Every running sum.
    Full,
    /// Every second one, and the last.
    Half,
    /// Nothing.
    None,
}

/// Parameters of the running sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunningSumConfig {
    /// Training tasks, >= 1.
    pub n_tasks: usize,
    /// Evaluation tasks.
    pub n_eval: usize,
    /// Demonstrations for a supervised start, >= 1.
    pub n_warm_start: usize,
    /// Digits of a prompt, in 2..=12.
    pub n_digits: usize,
    /// Modulus, and number of different digits, in 2..=10.
    pub modulus: u8,
    /// Shares of demonstrations with all running sums, every second one, none; each >= 0, not all 0.
    pub shares: [f64; 3],
}

impl Default for RunningSumConfig {
    fn default() -> Self {
        Self {
            n_tasks: 2048,
            n_eval: 256,
            n_warm_start: 8192,
            n_digits: 6,
            modulus: 10,
            shares: [1.0, 1.0, 1.0],
        }
    }
}

impl Part<dyn World, WorldContext> for RunningSumConfig {
    const SOURCE: &'static str =
        "world of the miniature reproduction of curriculum-length (arXiv 2508.08940)";

    fn formula(&self) -> String {
        format!(
            "sum of {} digits mod {}, written as `<anything>:<digit>`; demonstrations full, half, none {:?}; {} training \
             tasks, {} for evaluation",
            self.n_digits, self.modulus, self.shares, self.n_tasks, self.n_eval
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        ParamError::check(self.n_tasks >= 1, "n_tasks", self.n_tasks, ">= 1")?;
        ParamError::check(self.n_warm_start >= 1, "n_warm_start", self.n_warm_start, ">= 1")?;
        let digits = (2..=12).contains(&self.n_digits);
        ParamError::check(digits, "n_digits", self.n_digits, "in 2..=12")?;
        let modulus = (2..=10).contains(&self.modulus);
        ParamError::check(modulus, "modulus", self.modulus, "in 2..=10")?;
        let shares = self.shares.iter().all(|s| *s >= 0.0 && s.is_finite());
        ParamError::check(
            shares && self.shares.iter().sum::<f64>() > 0.0,
            "shares",
            format!("{:?}", self.shares),
            "three numbers >= 0, not all 0",
        )?;
        Ok(Box::new(RunningSum { config: self.clone() }))
    }
}

/// The validated world.
#[derive(Debug)]
struct RunningSum {
    config: RunningSumConfig,
}

/// Running sums of the digits of a prompt, modulo `modulus`; `None` for a text that is no prompt of this world.
///
/// # Example
/// ```
/// use groupwise_env::envs::running_sum::running_sums;
/// assert_eq!(running_sums("374912=", 10), Some(vec![3, 0, 4, 3, 4, 6]));
/// assert_eq!(running_sums("374", 10), None);
/// ```
pub fn running_sums(prompt: &str, modulus: u8) -> Option<Vec<u8>> {
    let digits = prompt.strip_suffix('=').filter(|digits| !digits.is_empty())?;
    let mut sum = 0;
    digits
        .chars()
        .map(|c| {
            let digit = c.to_digit(u32::from(modulus))? as u8;
            sum = (sum + digit) % modulus;
            Some(sum)
        })
        .collect()
}

/// What stands on the way and what is answered: the text before and after the first colon.
fn split(answer: &str) -> Option<(&str, &str)> {
    answer.split_once(':')
}

fn is_right(sums: &[u8], answer: &str) -> bool {
    let last = sums.last().map(u8::to_string);
    split(answer).is_some_and(|(_, found)| last.as_deref() == Some(found))
}

/// The symbols written on the way.
fn scratch(sums: &[u8], how: Scratch) -> String {
    let kept = |i: usize| match how {
        Scratch::Full => true,
        Scratch::Half => (sums.len() - 1 - i).is_multiple_of(2),
        Scratch::None => false,
    };
    let written = sums.iter().enumerate().filter(|(i, _)| kept(*i));
    written.map(|(_, sum)| char::from(b'0' + sum)).collect()
}

impl World for RunningSum {
    fn symbols(&self) -> Symbols {
        let digits = "0123456789".chars().take(usize::from(self.config.modulus));
        Symbols::Characters(digits.chain("=:".chars()).collect())
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::generate(&self.config, tasks::Split::Train, self.config.n_tasks, key)
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::generate(&self.config, tasks::Split::Eval, self.config.n_eval, key)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let sums = running_sums(&task.prompt, self.config.modulus).ok_or_else(|| {
            EnvError(format!(
                "task {}: {:?} is not a row of digits below {} and an equals sign",
                task.id, task.prompt, self.config.modulus
            ))
        })?;
        Ok(Box::new(SingleTurn::rewarding(
            task.prompt.clone(),
            move |answer| {
                let reward = f64::from(u8::from(is_right(&sums, answer)));
                (reward, split(answer).is_some())
            },
        )))
    }

    fn warm_start_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::demonstrations(&self.config, key)
    }

    fn measures(&self, task: &Task, trajectory: &Trajectory) -> BTreeMap<String, f64> {
        let Some(sums) = running_sums(&task.prompt, self.config.modulus) else {
            return BTreeMap::new();
        };
        let Some((on_the_way, _)) = split(trajectory.answer()) else {
            return BTreeMap::new();
        };
        let written = on_the_way.chars().count() as f64;
        let mut found = BTreeMap::from([("scratch".to_owned(), written)]);
        if !on_the_way.is_empty() {
            let known = [Scratch::Full, Scratch::Half].map(|how| scratch(&sums, how));
            let right = known.iter().any(|text| text == on_the_way);
            found.insert("right_on_the_way".to_owned(), f64::from(u8::from(right)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn build(config: RunningSumConfig) -> Box<dyn World> {
        config.build(&WorldContext::default()).unwrap()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let refused = |change: fn(&mut RunningSumConfig)| {
            let mut config = RunningSumConfig::default();
            change(&mut config);
            let error = config.build(&WorldContext::default()).map(|_| ()).unwrap_err();
            error.to_string()
        };
        assert_eq!(refused(|c| c.n_tasks = 0), "`n_tasks` = 0: must be >= 1");
        assert_eq!(
            refused(|c| c.n_warm_start = 0),
            "`n_warm_start` = 0: must be >= 1"
        );
        assert_eq!(refused(|c| c.n_digits = 13), "`n_digits` = 13: must be in 2..=12");
        assert_eq!(refused(|c| c.modulus = 11), "`modulus` = 11: must be in 2..=10");
        assert_eq!(
            refused(|c| c.shares = [0.0; 3]),
            "`shares` = [0.0, 0.0, 0.0]: must be three numbers >= 0, not all 0"
        );
    }

    fn reward(answer: &str) -> (f64, bool) {
        let world = build(RunningSumConfig::default());
        let task = Task::new("t", "374912=", "");
        let mut episode = world.start(&task, Key::new(0, Stream::Environment)).unwrap();
        assert_eq!(episode.observe().text, "374912=");
        let outcome = episode.step(answer).unwrap();
        (outcome.reward, outcome.valid)
    }

    #[test]
    fn only_the_digit_behind_the_first_colon_is_judged() {
        for (answer, expected) in [
            ("304346:6", (1.0, true)),
            ("046:6", (1.0, true)),
            (":6", (1.0, true)),
            ("99999:6", (1.0, true)),
            (":5", (0.0, true)),
            (":66", (0.0, true)),
            (":6:6", (0.0, true)),
            (":", (0.0, true)),
            ("6", (0.0, false)),
            ("", (0.0, false)),
        ] {
            assert_eq!(reward(answer), expected, "{answer}");
        }
        let world = build(RunningSumConfig {
            modulus: 5,
            ..Default::default()
        });
        let error = world.start(&Task::new("t", "374912=", ""), Key::new(0, Stream::Environment));
        assert_eq!(
            error.unwrap_err().0,
            "task t: \"374912=\" is not a row of digits below 5 and an equals sign"
        );
    }

    #[test]
    fn measures_tell_how_much_is_written_and_whether_it_is_right() {
        let world = build(RunningSumConfig::default());
        let task = Task::new("t", "374912=", "");
        let found = |answer: &str| world.measures(&task, &Trajectory::of_reply(answer, 3));
        let both = |n: f64, right: f64| {
            BTreeMap::from([("scratch".to_owned(), n), ("right_on_the_way".to_owned(), right)])
        };
        assert_eq!(found("304346:0"), both(6.0, 1.0));
        assert_eq!(found("036:6"), both(3.0, 1.0));
        assert_eq!(found("31:6"), both(2.0, 0.0));
        assert_eq!(found(":6"), BTreeMap::from([("scratch".to_owned(), 0.0)]));
        assert_eq!(found("6"), BTreeMap::new());
    }

    proptest! {
        #[test]
        fn every_demonstration_is_right_and_of_a_known_form(
            seed in any::<u64>(), n_digits in 2..=12usize, modulus in 2..=10u8, shares in prop::array::uniform3(0.01..1.0f64),
        ) {
            let config = RunningSumConfig { n_digits, modulus, shares, n_warm_start: 60, ..Default::default() };
            let world = build(config);
            for task in world.warm_start_tasks(Key::new(seed, Stream::Tasks)).unwrap() {
                let text = world.demonstration(&task).unwrap();
                let sums = running_sums(&task.prompt, modulus).unwrap();
                prop_assert_eq!(sums.len(), n_digits);
                prop_assert!(is_right(&sums, &text), "{} {}", task.prompt, text);
                let (on_the_way, _) = split(&text).unwrap();
                let forms = [Scratch::Full, Scratch::Half, Scratch::None].map(|how| scratch(&sums, how));
                prop_assert!(forms.iter().any(|f| f == on_the_way));
                prop_assert_eq!(forms[1].len(), n_digits.div_ceil(2));
                prop_assert!(forms[1].is_empty() || forms[1].ends_with(&sums[n_digits - 1].to_string()));
            }
        }
    }
}
