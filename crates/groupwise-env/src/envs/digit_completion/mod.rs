//! Digit completion: go on with an arithmetic progression.
//!
//! The prompt is `a,b:m,n`; the answer is the next `n` numbers of the progression `a, b` modulo `m`, joined by
//! commas.  `3,7:9,3` asks for `2,6,1`.  The modulus is `m`, not `m + 1`: a number equal to `m` may stand in the
//! prompt as `a`, never in an answer.  With `n` = 0 the answer is empty, and a reward per right character cannot be
//! earned: a tenth of the published rows are of this kind.
//!
//! The published task of verl draws its rows from all triples (first number, difference, count) and shuffles them;
//! differences 0 and 9 lead to the same prompt where `m` = 9, so 1,000 triples hold 900 prompts and a prompt may
//! stand in the training rows twice.  The generator does the same.  Unlike the published split, evaluation prompts
//! never stand in training and no two are equal.
//!
//! Reward: none here; use the verifier of the same name, which credits every right leading character.

mod tasks;

use std::path::PathBuf;

use groupwise_core::seams::{EnvError, Environment, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// Where the training rows come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    /// The published rows if the data folder holds them, else generated ones.
    #[default]
    Auto,
    /// Generated rows, whatever the data folder holds.
    Generated,
    /// The published rows; an error if they are absent.
    File,
}

/// Parameters of digit completion; the names of the three limits are verl's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DigitCompletionConfig {
    /// Training tasks, >= 1; of a file, the first so many rows.
    pub n_tasks: usize,
    /// Evaluation tasks; at most the number of different prompts less `n_tasks`.
    pub n_eval: usize,
    /// The modulus m, in 1..=9999; first numbers run from 0 to m.
    pub max_number: u32,
    /// Largest difference, in 0..=9999.
    pub max_diff: u32,
    /// Most numbers asked for, in 0..=99.
    pub max_num_in_response: u32,
    /// Where the training rows come from.
    pub rows: Rows,
}

impl Default for DigitCompletionConfig {
    fn default() -> Self {
        Self {
            n_tasks: 800,
            n_eval: 100,
            max_number: 9,
            max_diff: 9,
            max_num_in_response: 9,
            rows: Rows::Auto,
        }
    }
}

/// Most triples the generator enumerates.
const MAX_TRIPLES: usize = 1 << 22;

impl DigitCompletionConfig {
    /// Triples (first number, difference, count) the generator shuffles.
    fn n_triples(&self) -> usize {
        (self.max_number as usize + 1)
            .saturating_mul(self.max_diff as usize + 1)
            .saturating_mul(self.max_num_in_response as usize + 1)
    }

    /// Different prompts among them.
    fn n_prompts(&self) -> usize {
        let seconds = (self.max_diff as usize + 1).min(self.max_number as usize);
        (self.max_number as usize + 1) * seconds * (self.max_num_in_response as usize + 1)
    }
}

impl Part<dyn World, WorldContext> for DigitCompletionConfig {
    const SOURCE: &'static str =
        "verl (Apache-2.0), tests/e2e/arithmetic_sequence; rule checked against its 800 training rows";

    fn formula(&self) -> String {
        format!(
            "a,b:m,n -> (b + k (b - a)) mod m, k = 1..n; a in 0..={m}, b = (a + d) mod {m}, d in 0..={d}, n in 0..={n}; {t} training tasks, {e} for evaluation",
            m = self.max_number,
            d = self.max_diff,
            n = self.max_num_in_response,
            t = self.n_tasks,
            e = self.n_eval,
        )
    }

    fn build(&self, context: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        ParamError::check(
            (1..=9999).contains(&self.max_number),
            "max_number",
            self.max_number,
            "in 1..=9999",
        )?;
        ParamError::check(self.max_diff <= 9999, "max_diff", self.max_diff, "in 0..=9999")?;
        ParamError::check(
            self.max_num_in_response <= 99,
            "max_num_in_response",
            self.max_num_in_response,
            "in 0..=99",
        )?;
        ParamError::check(
            self.n_triples() <= MAX_TRIPLES,
            "max_number",
            self.max_number,
            "so small that at most 4194304 (first number, difference, count) exist",
        )?;
        let n_triples = self.n_triples();
        ParamError::check(
            (1..=n_triples).contains(&self.n_tasks),
            "n_tasks",
            self.n_tasks,
            &format!("in 1..={n_triples}, the number of rows at these limits"),
        )?;
        let left = self.n_prompts().saturating_sub(self.n_tasks);
        ParamError::check(
            self.n_eval <= left,
            "n_eval",
            self.n_eval,
            &format!("at most {left}, the different prompts that training may leave"),
        )?;
        ParamError::check(
            self.rows != Rows::File || context.data.is_some(),
            "rows",
            "file",
            "\"auto\" or \"generated\" where no data folder is given",
        )?;
        Ok(Box::new(DigitCompletion {
            config: self.clone(),
            file: tasks::choose_file(self.rows, context),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct DigitCompletion {
    config: DigitCompletionConfig,
    file: Option<PathBuf>,
}

impl World for DigitCompletion {
    fn symbols(&self) -> Symbols {
        Symbols::Characters("0123456789,:".into())
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        match &self.file {
            Some(path) => tasks::read_rows(path, self.config.n_tasks),
            None => Ok(tasks::generate_train(&self.config, key)),
        }
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        let train = self.train_tasks(key)?;
        Ok(tasks::generate_eval(&self.config, &train, key))
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        if complete(&task.prompt).is_none() {
            return Err(EnvError(format!(
                "task {}: {:?} is not a prompt a,b:m,n",
                task.id, task.prompt
            )));
        }
        Ok(Box::new(SingleTurn::new(task.prompt.clone(), is_well_formed)))
    }

    /// The target, also where it is empty: then the right answer is to end at once.
    fn demonstration(&self, task: &Task) -> Option<String> {
        Some(task.reference.clone())
    }
}

/// The right answer to a prompt; `None` if it is not of the form `a,b:m,n` with numbers of at most nine digits,
/// m >= 1 and n <= 9999.
///
/// # Formula
/// `x_k = (b + k (b - a)) mod m`, the remainder in 0..m, k = 1..=n.
///
/// # Example
/// ```
/// use groupwise_env::envs::digit_completion::complete;
/// assert_eq!(complete("3,7:9,3").as_deref(), Some("2,6,1"));
/// assert_eq!(complete("9,4:9,2").as_deref(), Some("8,3"));
/// assert_eq!(complete("3,7:9,0").as_deref(), Some(""));
/// assert_eq!(complete("3,7;9,0"), None);
/// ```
pub fn complete(prompt: &str) -> Option<String> {
    let (start, limits) = prompt.split_once(':')?;
    let (a, b) = start.split_once(',')?;
    let (m, n) = limits.split_once(',')?;
    let (a, b, m, n) = (number(a)?, number(b)?, number(m)?, number(n)?);
    if m < 1 || n > 9999 {
        return None;
    }
    let mut answer = String::new();
    for k in 1..=n {
        if k > 1 {
            answer.push(',');
        }
        answer.push_str(&(b + k * (b - a)).rem_euclid(m).to_string());
    }
    Some(answer)
}

/// A plain decimal number of one to nine digits.
fn number(text: &str) -> Option<i64> {
    let plain = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// True for a list of numbers, and for the empty answer.
fn is_well_formed(answer: &str) -> bool {
    answer.is_empty() || answer.split(',').all(|part| number(part).is_some())
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::new(42, Stream::Tasks)
    }

    fn refused(change: impl FnOnce(&mut DigitCompletionConfig)) -> String {
        let mut config = DigitCompletionConfig::default();
        change(&mut config);
        config
            .build(&WorldContext::default())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        assert_eq!(
            refused(|c| c.max_number = 0),
            "`max_number` = 0: must be in 1..=9999"
        );
        assert_eq!(
            refused(|c| c.max_diff = 10_000),
            "`max_diff` = 10000: must be in 0..=9999"
        );
        assert_eq!(
            refused(|c| c.max_num_in_response = 100),
            "`max_num_in_response` = 100: must be in 0..=99"
        );
        assert_eq!(
            refused(|c| (c.max_number, c.max_diff) = (9999, 9999)),
            "`max_number` = 9999: must be so small that at most 4194304 (first number, difference, count) exist"
        );
        assert_eq!(
            refused(|c| c.n_tasks = 0),
            "`n_tasks` = 0: must be in 1..=1000, the number of rows at these limits"
        );
        assert_eq!(
            refused(|c| c.n_eval = 101),
            "`n_eval` = 101: must be at most 100, the different prompts that training may leave"
        );
        assert_eq!(
            refused(|c| c.rows = Rows::File),
            "`rows` = file: must be \"auto\" or \"generated\" where no data folder is given"
        );
    }

    #[test]
    fn the_modulus_is_the_number_in_the_prompt() {
        assert_eq!(complete("9,10:20,2").as_deref(), Some("11,12"));
        assert_eq!(complete("17,19:20,3").as_deref(), Some("1,3,5"));
        assert_eq!(complete("9,0:9,3").as_deref(), Some("0,0,0"));
        assert_eq!(complete("9,9:9,2").as_deref(), Some("0,0"));
        assert_eq!(complete("0,0:1,1").as_deref(), Some("0"));
        for bad in [
            "",
            "1,2",
            "1,2:0,1",
            "1,2:9,",
            "1,-2:9,1",
            "+1,2:9,1",
            "1,2:9,10000",
            "1,2:9,1,1",
        ] {
            assert_eq!(complete(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_of_other_characters_is_invalid() {
        let world = DigitCompletionConfig::default()
            .build(&WorldContext::default())
            .unwrap();
        let task = Task::new("t", "3,7:9,3", "2,6,1");
        for (answer, valid) in [("2,6,1", true), ("", true), ("2,,1", false), ("2:1", false)] {
            let mut episode = world.start(&task, key()).unwrap();
            assert_eq!(episode.step(answer).unwrap().valid, valid, "{answer}");
        }
        assert!(world.start(&Task::new("t", "3;7", ""), key()).is_err());
    }

    proptest! {
        #[test]
        fn answers_are_progressions_below_the_modulus(a in 0..200i64, b in 0..200i64, m in 1..60i64, n in 0..12i64) {
            let answer = complete(&format!("{a},{b}:{m},{n}")).unwrap();
            let numbers: Vec<i64> = answer.split(',').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect();
            prop_assert_eq!(numbers.len() as i64, n);
            let mut last = b;
            for x in numbers {
                prop_assert!((0..m).contains(&x));
                prop_assert_eq!((x - last - (b - a)).rem_euclid(m), 0);
                last = x;
            }
        }
    }
}
