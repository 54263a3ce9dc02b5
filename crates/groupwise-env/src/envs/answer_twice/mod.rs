//! Answer twice: a first answer that may be thrown away, and a second one whose luck does not depend on it.
//!
//! There are N prompts that share nothing.  In prompt q the policy either tries (`try`), and its first answer is right
//! with probability `first_accuracy`, or throws the answer away (`throw`), and it is wrong.  The second answer is right with
//! probability `second_accuracy`, whatever the first was.  So honesty costs nothing and gains nothing at the end: what a
//! reward makes of it is all there is to learn.
//!
//! In its second turn the policy writes the whole reply: it sees one of `wrote/right/right` .. `wrote/wrong/wrong` and its
//! logits leave it only the literal text of that outcome, with a gradient of exactly 0, so that a verifier that reads
//! replies can be put to the test: a think, an answer, a reflection, a think and an answer block, the answer `1` where it
//! is right, `0` where it is wrong, the whole exactly twice as long as the first solution.
//!
//! # Reward
//! With the last turn: 1 if the second answer is right.  The task's reference is `1`.
//!
//! # Evaluation
//! On the training tasks, exact.  `eval/success`: the second answer is right, always `second_accuracy`;
//! `eval/first-accuracy`: the first one is; `eval/thrown-away`: the share of first answers thrown away.
//!
//! # Where the policy starts
//! At a share of `initial_throw` of first answers thrown away, in every prompt.

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, StopReason, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;

/// Logit of an action that is not there: its probability is exactly 0.
const IMPOSSIBLE: f64 = -1e4;

/// The two choices, then the replies in the order of [`OUTCOMES`].
const CHOICES: [&str; 2] = ["try", "throw"];

/// Whether first and second answer are right, and the state in which that is written down.
const OUTCOMES: [(bool, bool, &str); 4] = [
    (true, true, "wrote/right/right"),
    (true, false, "wrote/right/wrong"),
    (false, true, "wrote/wrong/right"),
    (false, false, "wrote/wrong/wrong"),
];

/// Parameters of the two answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerTwiceConfig {
    /// Prompts N, in 1..=65535: one task each.
    pub n_prompts: usize,
    /// Share of honest first answers that are right, in [0, 1].
    pub first_accuracy: f64,
    /// Share of second answers that are right, in [0, 1].
    pub second_accuracy: f64,
    /// Share of first answers thrown away at the start, in (0, 1).
    pub initial_throw: f64,
}

impl Default for AnswerTwiceConfig {
    fn default() -> Self {
        Self {
            n_prompts: 32,
            first_accuracy: 0.7,
            second_accuracy: 0.8,
            initial_throw: 0.12,
        }
    }
}

/// The literal reply of an outcome.
///
/// # Shapes
/// Without white space: it is one action word.  Twice as long, in characters, as its first thought and answer.
///
/// # Example
/// ```
/// use groupwise_env::envs::answer_twice::reply;
/// assert!(reply(true, false).starts_with("<think>"));
/// assert!(reply(true, false).contains("<answer>1</answer>"));
/// assert!(reply(true, false).ends_with("<answer>0</answer>"));
/// ```
pub fn reply(first_right: bool, second_right: bool) -> String {
    // Tags and answers of a reply take 91 characters, its two short thoughts 10: the first thought makes up for them.
    let (first_thought, answer) = ("_".repeat(99), |right: bool| u8::from(right));
    format!(
        "<think>{first_thought}</think><answer>{}</answer><reflection>again</reflection><think>_____</think><answer>{}</answer>",
        answer(first_right),
        answer(second_right)
    )
}

impl Part<dyn World, WorldContext> for AnswerTwiceConfig {
    const SOURCE: &'static str =
        "world of the miniature reproduction of srpo (arXiv 2506.01713), test of incentives";

    fn formula(&self) -> String {
        format!(
            "P(first right) = {} if tried, 0 if thrown away; P(second right) = {}; {} prompts, {} thrown away at the start",
            self.first_accuracy, self.second_accuracy, self.n_prompts, self.initial_throw
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        let n = self.n_prompts;
        ParamError::check((1..=65_535).contains(&n), "n_prompts", n, "in 1..=65535")?;
        for (key, share) in [
            ("first_accuracy", self.first_accuracy),
            ("second_accuracy", self.second_accuracy),
        ] {
            ParamError::check((0.0..=1.0).contains(&share), key, share, "in [0, 1]")?;
        }
        let throw = self.initial_throw;
        ParamError::check(throw > 0.0 && throw < 1.0, "initial_throw", throw, "in (0, 1)")?;
        let replies = OUTCOMES.map(|(first, second, _)| reply(first, second));
        let actions: Vec<String> = CHOICES.iter().map(|c| (*c).to_owned()).chain(replies).collect();
        Ok(Box::new(AnswerTwice {
            config: self.clone(),
            actions: actions.into(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct AnswerTwice {
    config: AnswerTwiceConfig,
    actions: Arc<[String]>,
}

impl AnswerTwice {
    /// The prompt of a task, checked.
    fn prompt_of(&self, task: &Task) -> Result<String, EnvError> {
        let number = task
            .prompt
            .strip_prefix('q')
            .and_then(|n| n.parse::<usize>().ok());
        match number.filter(|n| *n < self.config.n_prompts) {
            Some(n) if task.prompt == prompt(n) => Ok(task.prompt.clone()),
            _ => Err(EnvError(format!(
                "task {}: {:?} is not one of the prompts q0 .. q{}",
                task.id,
                task.prompt,
                self.config.n_prompts - 1
            ))),
        }
    }

    /// Share of first answers thrown away in a state.
    fn thrown_away(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let choice = policy(&self.prompt_of(task).ok()?)?;
        let (tried, thrown) = (*choice.first()?, *choice.get(1)?);
        Some(thrown / (tried + thrown))
    }
}

fn prompt(n: usize) -> String {
    format!("q{n}")
}

impl World for AnswerTwice {
    fn symbols(&self) -> Symbols {
        let outcomes = OUTCOMES.iter().map(|(_, _, state)| (*state).to_owned());
        Symbols::Words {
            states: (0..self.config.n_prompts).map(prompt).chain(outcomes).collect(),
            actions: self.actions.to_vec(),
        }
    }

    fn train_tasks(&self, _: Key) -> Result<Vec<Task>, DataError> {
        let task = |n| {
            let mut task = Task::new(format!("answer-twice/prompt-{n:04}"), prompt(n), "1");
            task.difficulty = 1.0;
            task
        };
        Ok((0..self.config.n_prompts).map(task).collect())
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, key: Key) -> Result<Box<dyn Environment>, EnvError> {
        let mut rng = key.named("answers", 0).rng();
        // Both draws are made whatever the policy does, so that arms share them.
        let lucky = [self.config.first_accuracy, self.config.second_accuracy].map(|p| rng.uniform() < p);
        Ok(Box::new(Episode {
            prompt: self.prompt_of(task)?,
            actions: Arc::clone(&self.actions),
            lucky,
            outcome: None,
            over: false,
        }))
    }

    fn max_turns(&self) -> usize {
        2
    }

    /// None: what a policy should do is what the rewards disagree on.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        self.thrown_away(task, policy)
            .map(|_| self.config.second_accuracy)
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let measures = |thrown: f64| {
            BTreeMap::from([
                ("thrown-away".to_owned(), thrown),
                (
                    "first-accuracy".to_owned(),
                    (1.0 - thrown) * self.config.first_accuracy,
                ),
            ])
        };
        self.thrown_away(task, policy)
            .map_or_else(BTreeMap::new, measures)
    }

    fn initial_logits(&self, _: Key) -> Option<Vec<Vec<f64>>> {
        let throw = self.config.initial_throw;
        let mut choice = vec![IMPOSSIBLE; self.actions.len()];
        choice[..2].copy_from_slice(&[(1.0 - throw).ln(), throw.ln()]);
        let mut rows = vec![choice; self.config.n_prompts];
        for outcome in 0..OUTCOMES.len() {
            let mut row = vec![IMPOSSIBLE; self.actions.len()];
            row[CHOICES.len() + outcome] = 0.0;
            rows.push(row);
        }
        Some(rows)
    }
}

/// One reply being written.
#[derive(Debug)]
struct Episode {
    prompt: String,
    actions: Arc<[String]>,
    lucky: [bool; 2],
    /// What happened in the first turn, as an index into [`OUTCOMES`].
    outcome: Option<usize>,
    over: bool,
}

impl Environment for Episode {
    /// After the last turn the outcome stays in view.
    fn observe(&self) -> Observation {
        let text = self
            .outcome
            .map_or_else(|| self.prompt.clone(), |o| OUTCOMES[o].2.to_owned());
        Observation {
            anchor: Some(text.clone()),
            text,
        }
    }

    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
        if self.over {
            return Err(EnvError("the episode is over".into()));
        }
        let Some(outcome) = self.outcome else {
            let [first, second] = self.lucky;
            let first = first && action == CHOICES[0];
            self.outcome = Some(2 * usize::from(!first) + usize::from(!second));
            return Ok(StepOutcome {
                reward: 0.0,
                stop: None,
                valid: CHOICES.contains(&action),
            });
        };
        self.over = true;
        Ok(StepOutcome {
            reward: f64::from(u8::from(OUTCOMES[outcome].1)),
            stop: Some(StopReason::Terminal),
            valid: self
                .actions
                .get(CHOICES.len() + outcome)
                .is_some_and(|r| r == action),
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn build(config: AnswerTwiceConfig) -> Result<Box<dyn World>, ParamError> {
        config.build(&WorldContext::default())
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let refused = |change: fn(&mut AnswerTwiceConfig)| {
            let mut config = AnswerTwiceConfig::default();
            change(&mut config);
            build(config).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(|c| c.n_prompts = 0),
            "`n_prompts` = 0: must be in 1..=65535"
        );
        assert_eq!(
            refused(|c| c.first_accuracy = 1.1),
            "`first_accuracy` = 1.1: must be in [0, 1]"
        );
        assert_eq!(
            refused(|c| c.second_accuracy = f64::NAN),
            "`second_accuracy` = NaN: must be in [0, 1]"
        );
        assert_eq!(
            refused(|c| c.initial_throw = 0.0),
            "`initial_throw` = 0: must be in (0, 1)"
        );
    }

    #[test]
    fn a_reply_is_one_word_and_twice_as_long_as_its_first_solution() {
        for (first, second, _) in OUTCOMES {
            let reply = reply(first, second);
            assert!(!reply.contains(char::is_whitespace));
            let thought = reply.strip_prefix("<think>").unwrap();
            let first_length = thought.find("</think>").unwrap() + 1;
            assert_eq!(reply.chars().count(), 2 * first_length, "{reply}");
            assert_eq!(
                reply.matches("<answer>1</answer>").count(),
                usize::from(first) + usize::from(second)
            );
        }
    }

    fn play(world: &dyn World, sample: u64, action: &str) -> (String, f64) {
        let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(0);
        let key = Key::new(0, Stream::Environment).sample(sample);
        let mut episode = world.start(&task, key).unwrap();
        assert_eq!(episode.observe().text, "q0");
        let turn = episode.step(action).unwrap();
        assert_eq!((turn.reward, turn.stop, turn.valid), (0.0, None, true));
        let seen = episode.observe().text;
        let index = OUTCOMES.iter().position(|(_, _, state)| *state == seen).unwrap();
        let last = episode
            .step(&reply(OUTCOMES[index].0, OUTCOMES[index].1))
            .unwrap();
        assert_eq!((last.stop, last.valid), (Some(StopReason::Terminal), true));
        assert_eq!(episode.step("try").unwrap_err().0, "the episode is over");
        (seen, last.reward)
    }

    #[test]
    fn outcomes_have_the_shares_asked_for_and_a_thrown_answer_is_wrong() {
        // 4000 draws: a share of p within 3.29 standard deviations at alpha 0.001.
        let world = build(AnswerTwiceConfig::default()).unwrap();
        let n = 4000;
        let (mut first, mut second) = (0.0, 0.0);
        for sample in 0..n {
            let (tried, reward) = play(world.as_ref(), sample, "try");
            first += f64::from(u8::from(tried.starts_with("wrote/right")));
            second += reward;
            assert_eq!(reward == 1.0, tried.ends_with("/right"));
            // The same luck of the second answer, whatever was done about the first.
            let (thrown, same) = play(world.as_ref(), sample, "throw");
            assert!(thrown.starts_with("wrote/wrong"));
            assert_eq!(same, reward);
        }
        for (hits, p) in [(first, 0.7), (second, 0.8)] {
            let deviation = 3.29 * f64::sqrt(p * (1.0 - p) / n as f64);
            assert!((hits / n as f64 - p).abs() < deviation, "{hits} for {p}");
        }
    }

    #[test]
    fn another_reply_than_what_happened_is_invalid_and_strangers_are_refused() {
        let world = build(AnswerTwiceConfig::default()).unwrap();
        let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(3);
        let mut episode = world.start(&task, Key::new(0, Stream::Environment)).unwrap();
        episode.step("throw").unwrap();
        assert!(!episode.step(&reply(true, true)).unwrap().valid);
        for stranger in ["q32", "q03", "x"] {
            let bad = Task::new("t", stranger, "1");
            let error = world.start(&bad, Key::new(0, Stream::Environment)).unwrap_err();
            assert_eq!(
                error.0,
                format!("task t: {stranger:?} is not one of the prompts q0 .. q31")
            );
            assert_eq!(world.exact_success(&bad, &|_| Some(vec![0.5; 6])), None);
        }
    }

    #[test]
    fn the_start_leaves_no_choice_where_a_reply_is_written() {
        let world = build(AnswerTwiceConfig::default()).unwrap();
        let rows = world.initial_logits(Key::new(0, Stream::Init)).unwrap();
        let Symbols::Words { states, actions } = world.symbols() else {
            panic!("a table")
        };
        assert_eq!((rows.len(), rows[0].len()), (states.len(), actions.len()));
        for (state, row) in states.iter().zip(&rows) {
            let possible: Vec<&str> = (0..row.len())
                .filter(|a| row[*a].exp() > 0.0)
                .map(|a| actions[a].as_str())
                .collect();
            match OUTCOMES.iter().find(|(_, _, name)| name == state) {
                Some((first, second, _)) => assert_eq!(possible, [reply(*first, *second)]),
                None => assert_eq!(possible, CHOICES),
            }
        }
        assert!((rows[0][0].exp() - 0.88).abs() < 1e-12 && (rows[0][1].exp() - 0.12).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn measures_follow_from_the_share_thrown_away(
            p1 in 0.0..=1.0f64, p2 in 0.0..=1.0f64, throw in 0.001..0.999f64,
        ) {
            let world = build(AnswerTwiceConfig { first_accuracy: p1, second_accuracy: p2, ..Default::default() }).unwrap();
            let task = world.train_tasks(Key::new(0, Stream::Tasks)).unwrap().remove(1);
            let policy = |_: &str| Some(vec![1.0 - throw, throw, 0.0, 0.0, 0.0, 0.0]);
            prop_assert_eq!(world.exact_success(&task, &policy), Some(p2));
            let found = world.exact_measures(&task, &policy);
            prop_assert!((found["thrown-away"] - throw).abs() < 1e-12);
            prop_assert!((found["first-accuracy"] - (1.0 - throw) * p1).abs() < 1e-12);
        }
    }
}
