//! Digit chain: addition written out digit by digit, from the least significant column.
//!
//! The sum of a few numbers of equal length is built column by column; a carry must be handed on from each column
//! to the next.  The difficulty of a task is the number of columns that carry, and the levels
//! `min_carries..=max_carries` are mixed in equal shares: a pool has prompts from almost solved to almost hopeless.
//! A task of level c has `max(c, min_digits)` columns and up to `extra_digits` more, so that a higher level is also a
//! longer chain, each link of which may break.
//!
//! How an answer is written ([`Form`]), for 37 + 85 = 122:
//!
//! | form | prompt | answer | reads |
//! |---|---|---|---|
//! | `columns` | `a75b38=` | `a12b12` | column label, then carry and digit of that column's sum |
//! | `carries` | `37+85=` | `2121` | digit, then carry, least significant column first |
//! | `least-first` | `37+85=` | `221` | digits of the sum, least significant first |
//! | `most-first` | `37+85=` | `122` | the sum |
//!
//! In `columns`, the default, a label says which digits belong together: each column is one look-up by label, one
//! small sum and one digit taken over from the column before, which is what a transformer with few layers can learn
//! from few examples.  The other forms make it find the column by counting, and `least-first` and `most-first` make
//! it keep the carry to itself.  A smaller `base` has fewer sums to learn.  Measured once, with a decoder of 0.2
//! million parameters (4 layers, width 64) after 200 supervised steps of 64 fresh examples (Adam, rate 0.003), success
//! of sampled answers at levels 1, 2, 3: `columns` in base 5 0.68, 0.26, 0.12; in base 10 0.25, 0.06, 0.01; `carries`
//! in base 10 0.12, 0.01, 0.00.  After 300 steps `columns` in base 5 stands at 0.75 at level 1, 0.19 at level 4 and 0.03
//! at level 8, a spread that a sampler can use; after 400 at 0.91, 0.54 and 0.51.
//!
//! Training and evaluation are disjoint under every key: a hash of the operands, in sorted order, decides which
//! of the two an instance belongs to, so `37+85` and `85+37` never stand on different sides.
//!
//! Reward: none here; use an exact-match verifier against [`Task::reference`].  [`check`] judges an answer from the
//! prompt alone.

mod check;
mod tasks;

use groupwise_core::seams::{EnvError, Environment, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

pub use check::{WrongAnswer, check};

/// How prompt and answer are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Labelled columns; the answer gives carry and digit of each.
    #[default]
    Columns,
    /// Numbers; the answer gives digit and carry of each column.
    Carries,
    /// Numbers; the answer gives the digits of the sum, least significant first.
    LeastFirst,
    /// Numbers; the answer gives the sum as it is usually written.
    MostFirst,
}

impl Form {
    /// Name in recipes.
    fn name(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Carries => "carries",
            Self::LeastFirst => "least-first",
            Self::MostFirst => "most-first",
        }
    }
}

/// Most columns: one letter labels each.
const MAX_COLUMNS: usize = 26;

/// Label of a column.
fn label(column: usize) -> char {
    char::from(b'a' + column as u8)
}

/// Parameters of the digit chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DigitChainConfig {
    /// Training tasks, >= 1; a multiple of the number of levels gives exactly equal shares.
    pub n_tasks: usize,
    /// Evaluation tasks.
    pub n_eval: usize,
    /// Demonstrations for a supervised start, from the training side of the split; an easy level repeats itself.
    /// A small training pool, as samplers need it, would only be learned by heart.
    pub n_warm_start: usize,
    /// Numbers to add, in 2..=5.
    pub n_operands: usize,
    /// Fewest columns that carry; 0 is allowed.
    pub min_carries: usize,
    /// Most columns that carry.
    pub max_carries: usize,
    /// Fewest columns of a task, >= 1.
    pub min_digits: usize,
    /// Columns a task may have beyond `max(carries, min_digits)`, uniform in `0..=extra_digits`; the longest task
    /// has at most 26.
    pub extra_digits: usize,
    /// Base of the digits, in `2 n_operands..=10`: a smaller one has fewer sums to learn, and as many links.
    pub base: u8,
    /// How prompt and answer are written.
    pub form: Form,
}

impl Default for DigitChainConfig {
    fn default() -> Self {
        Self {
            n_tasks: 800,
            n_eval: 160,
            n_warm_start: 16_000,
            n_operands: 2,
            min_carries: 1,
            max_carries: 8,
            min_digits: 1,
            extra_digits: 1,
            base: 10,
            form: Form::Columns,
        }
    }
}

impl DigitChainConfig {
    /// Columns of the longest task.
    fn max_columns(&self) -> usize {
        self.max_carries
            .max(self.min_digits)
            .saturating_add(self.extra_digits)
    }
}

impl Part<dyn World, WorldContext> for DigitChainConfig {
    const SOURCE: &'static str = "transformer world of the miniature reproductions of knapsack-rl (arXiv 2509.25849) and vade (arXiv 2511.18902)";

    fn formula(&self) -> String {
        format!(
            "sum of {} numbers of max(c, {}) + 0..={} digits with c carries, c in {}..={} in equal shares, base {}, written as {}; {} training tasks, {} for evaluation",
            self.n_operands,
            self.min_digits,
            self.extra_digits,
            self.min_carries,
            self.max_carries,
            self.base,
            self.form.name(),
            self.n_tasks,
            self.n_eval,
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        ParamError::check(self.n_tasks >= 1, "n_tasks", self.n_tasks, ">= 1")?;
        ParamError::check(self.n_warm_start >= 1, "n_warm_start", self.n_warm_start, ">= 1")?;
        ParamError::check(
            (2..=5).contains(&self.n_operands),
            "n_operands",
            self.n_operands,
            "in 2..=5",
        )?;
        ParamError::check(
            (2 * self.n_operands..=10).contains(&usize::from(self.base)),
            "base",
            self.base,
            "at least 2 `n_operands` and at most 10",
        )?;
        ParamError::check(
            self.min_carries <= self.max_carries,
            "min_carries",
            self.min_carries,
            "at most `max_carries`",
        )?;
        ParamError::check(self.min_digits >= 1, "min_digits", self.min_digits, ">= 1")?;
        ParamError::check(
            self.max_columns() <= MAX_COLUMNS,
            "extra_digits",
            self.extra_digits,
            "so small that the longest task has at most 26 columns",
        )?;
        Ok(Box::new(DigitChain { config: self.clone() }))
    }
}

/// The validated world.
#[derive(Debug)]
struct DigitChain {
    config: DigitChainConfig,
}

impl World for DigitChain {
    fn symbols(&self) -> Symbols {
        let mut symbols: String = "0123456789".chars().take(usize::from(self.config.base)).collect();
        symbols.push('=');
        match self.config.form {
            Form::Columns => symbols.extend((0..self.config.max_columns()).map(label)),
            Form::Carries | Form::LeastFirst | Form::MostFirst => symbols.push('+'),
        }
        Symbols::Characters(symbols)
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::generate(&self.config, tasks::Split::Train, self.config.n_tasks, key)
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::generate(&self.config, tasks::Split::Eval, self.config.n_eval, key)
    }

    fn warm_start_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        let (all, pool) = (self.config.n_warm_start, self.config.n_tasks);
        let mut tasks = Vec::with_capacity(all);
        for part in 0..all.div_ceil(pool) {
            let n = pool.min(all - tasks.len());
            let key = key.named("warm-start", part as u64);
            tasks.extend(tasks::generate(&self.config, tasks::Split::Train, n, key)?);
        }
        Ok(tasks)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let form = self.config.form;
        if check::read_prompt(form, self.config.base, &task.prompt).is_none() {
            let wrong = format!(
                "task {}: {:?} is not a prompt of form {}",
                task.id,
                task.prompt,
                form.name()
            );
            return Err(EnvError(wrong));
        }
        let well_formed = match form {
            Form::Columns => check::is_labelled,
            Form::Carries => check::is_pairs,
            Form::LeastFirst | Form::MostFirst => check::is_digits,
        };
        Ok(Box::new(SingleTurn::new(task.prompt.clone(), well_formed)))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;

    use super::*;

    fn refused(change: impl FnOnce(&mut DigitChainConfig)) -> String {
        let mut config = DigitChainConfig::default();
        change(&mut config);
        config
            .build(&WorldContext::default())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        assert_eq!(refused(|c| c.n_tasks = 0), "`n_tasks` = 0: must be >= 1");
        assert_eq!(
            refused(|c| c.n_operands = 1),
            "`n_operands` = 1: must be in 2..=5"
        );
        assert_eq!(
            refused(|c| c.n_operands = 6),
            "`n_operands` = 6: must be in 2..=5"
        );
        assert_eq!(
            refused(|c| c.min_carries = 9),
            "`min_carries` = 9: must be at most `max_carries`"
        );
        for base in [3, 11] {
            assert_eq!(
                refused(|c| c.base = base),
                format!("`base` = {base}: must be at least 2 `n_operands` and at most 10")
            );
        }
        assert_eq!(refused(|c| c.min_digits = 0), "`min_digits` = 0: must be >= 1");
        assert_eq!(
            refused(|c| c.extra_digits = 19),
            "`extra_digits` = 19: must be so small that the longest task has at most 26 columns"
        );
        assert_eq!(
            refused(|c| c.extra_digits = usize::MAX),
            format!(
                "`extra_digits` = {}: must be so small that the longest task has at most 26 columns",
                usize::MAX
            )
        );
    }

    #[test]
    fn demonstrations_are_many_and_stay_on_the_training_side() {
        let config = DigitChainConfig {
            n_tasks: 80,
            n_warm_start: 500,
            ..Default::default()
        };
        let world = config.build(&WorldContext::default()).unwrap();
        let key = Key::new(3, Stream::Tasks);
        let demonstrations = world.warm_start_tasks(key).unwrap();
        assert_eq!(demonstrations.len(), 500);
        let eval: Vec<String> = world
            .eval_tasks(key)
            .unwrap()
            .into_iter()
            .map(|t| t.prompt)
            .collect();
        assert!(demonstrations.iter().all(|t| !eval.contains(&t.prompt)));
        let mut prompts: Vec<&str> = demonstrations.iter().map(|t| t.prompt.as_str()).collect();
        prompts.sort_unstable();
        prompts.dedup();
        assert!(prompts.len() > 400, "parts differ: {}", prompts.len());
        assert_eq!(
            refused(|c| c.n_warm_start = 0),
            "`n_warm_start` = 0: must be >= 1"
        );
    }

    #[test]
    fn symbols_are_those_of_the_form() {
        let symbols = |config: DigitChainConfig| config.build(&WorldContext::default()).unwrap().symbols();
        assert_eq!(
            symbols(DigitChainConfig::default()),
            Symbols::Characters("0123456789=abcdefghi".into())
        );
        let plain = DigitChainConfig {
            form: Form::MostFirst,
            base: 5,
            ..Default::default()
        };
        assert_eq!(symbols(plain), Symbols::Characters("01234=+".into()));
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_invalid() {
        let key = Key::new(0, Stream::Environment);
        for (form, prompt, good, bad) in [
            (Form::Columns, "a75b38=", "a12b00", "b12a12"),
            (Form::Carries, "37+85=", "2100", "212"),
            (Form::LeastFirst, "37+85=", "9", ""),
            (Form::MostFirst, "37+85=", "9", "1+2"),
        ] {
            let world = DigitChainConfig {
                form,
                ..Default::default()
            }
            .build(&WorldContext::default())
            .unwrap();
            let task = Task::new("t", prompt, "");
            assert!(
                world.start(&task, key).unwrap().step(good).unwrap().valid,
                "{good}"
            );
            assert!(
                !world.start(&task, key).unwrap().step(bad).unwrap().valid,
                "{bad}"
            );
            assert_eq!(
                world.start(&Task::new("t", "37*85", ""), key).unwrap_err().0,
                format!("task t: \"37*85\" is not a prompt of form {}", form.name())
            );
        }
    }
}
