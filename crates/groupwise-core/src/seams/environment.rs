use std::collections::BTreeMap;

use super::Features;
use crate::error::DataError;
use crate::key::Key;
use crate::task::Task;
use crate::trajectory::{StopReason, Trajectory};

/// What the policy sees now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The text put to the policy.
    pub text: String,
    /// State string for step-level estimators: a pure function of what the policy sees now, without counters.
    pub anchor: Option<String>,
}

/// What an action led to.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// Reward of this step.
    pub reward: f64,
    /// Set when the episode is over.
    pub stop: Option<StopReason>,
    /// False if the action could not be understood.
    pub valid: bool,
}

/// An environment that failed: the episode is dropped and counted, never scored 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment failed: {0}")]
pub struct EnvError(pub String);

/// One episode.  Single use: there is no reset.
///
/// *Implementers*: deterministic given the task and the key it was started with.
/// *Called* by the rollout engine: `observe`, then `step`, until a stop is reported or the turn limit is reached.
///
/// # Example
/// ```
/// use groupwise_core::seams::{EnvError, Environment, Observation, StepOutcome};
/// use groupwise_core::StopReason;
///
/// /// One question, answered once.
/// #[derive(Debug)]
/// struct OneTurn(String);
///
/// impl Environment for OneTurn {
///     fn observe(&self) -> Observation {
///         Observation { text: self.0.clone(), anchor: None }
///     }
///     fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError> {
///         let reward = f64::from(u8::from(action == "4"));
///         Ok(StepOutcome { reward, stop: Some(StopReason::Terminal), valid: true })
///     }
/// }
///
/// let mut episode = OneTurn("2+2=".into());
/// assert_eq!(episode.observe().text, "2+2=");
/// assert_eq!(episode.step("4")?.reward, 1.0);
/// # Ok::<(), EnvError>(())
/// ```
pub trait Environment: std::fmt::Debug + Send {
    /// What the policy sees now.
    fn observe(&self) -> Observation;

    /// Carries out an action.
    ///
    /// # Errors
    /// If the environment itself failed; a bad action is an outcome (`valid: false`), not an error.
    fn step(&mut self, action: &str) -> Result<StepOutcome, EnvError>;
}

/// The symbols a from-scratch policy must know to live in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// Every character of this string is a token; the tokenizer adds its special tokens.
    Characters(String),
    /// States and actions of a tabular world: an observation is exactly one state word, an action one action word.
    Words {
        /// Observations.
        states: Vec<String>,
        /// Actions, the same in every state.
        actions: Vec<String>,
    },
}

/// A family of tasks and the environments they are played in.
///
/// *Implementers*: the task list is a function of the world's parameters and the key only, stable across versions.
/// *Called* by the pipeline once for each split, and by the rollout engine once for each episode.
pub trait World: std::fmt::Debug + Send + Sync {
    /// The symbols a policy needs.
    fn symbols(&self) -> Symbols;

    /// Tasks to train on.
    ///
    /// # Errors
    /// If they come from a file that is missing or malformed; names file and line.
    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError>;

    /// Tasks to evaluate on, disjoint from training where the world allows it.
    ///
    /// # Errors
    /// As [`World::train_tasks`].
    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError>;

    /// Starts an episode.
    ///
    /// # Errors
    /// If the task does not belong to this world.
    fn start(&self, task: &Task, key: Key) -> Result<Box<dyn Environment>, EnvError>;

    /// Most turns of an episode.
    fn max_turns(&self) -> usize {
        1
    }

    /// The actions that a text of several turns consists of, one per turn; by default its words.
    ///
    /// A scaffold that forces the beginning of an answer forces whole turns in a world of several.
    fn actions<'a>(&self, text: &'a str) -> Vec<&'a str> {
        text.split_whitespace().collect()
    }

    /// Text a policy should produce, for a supervised warm start.
    fn demonstration(&self, task: &Task) -> Option<String> {
        Some(task.reference.clone()).filter(|r| !r.is_empty())
    }

    /// Tasks for a supervised warm start; by default the training tasks.
    ///
    /// # Errors
    /// As [`World::train_tasks`].
    fn warm_start_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    /// Exact expected result of a task, in [0, 1], under a policy given as observation text -> action probabilities,
    /// where the world has a closed form: the probability of success, or the mean of a graded result.
    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let _ = (task, policy);
        None
    }

    /// Exact expected values of further measures of a task, each by its name, under a policy as in
    /// [`World::exact_success`]: tool calls, the share of first answers that are right, whatever this world is about.
    ///
    /// Evaluation reports the mean over the tasks that have a measure as `eval/<name>`, so that one that only some
    /// tasks have (`success/noisy`) is a mean over those.  Asked only where [`World::exact_success`] answers.
    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let _ = (task, policy);
        BTreeMap::new()
    }

    /// Further measures of one sampled answer, for evaluation without a closed form; averaged as
    /// [`World::exact_measures`] are, over all answers that have them.
    fn measures(&self, task: &Task, trajectory: &Trajectory) -> BTreeMap<String, f64> {
        let _ = (task, trajectory);
        BTreeMap::new()
    }

    /// Features a linear policy sees, where the world has them; under the key of the task pool, since states may be tasks.
    fn features(&self, key: Key) -> Option<Features> {
        let _ = key;
        None
    }

    /// Logits a tabular policy starts from, states x actions, where the world prescribes them; a linear policy adds them
    /// to those of its features.
    fn initial_logits(&self, key: Key) -> Option<Vec<Vec<f64>>> {
        let _ = key;
        None
    }
}
