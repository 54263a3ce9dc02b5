use crate::error::DataError;
use crate::memory::PromptMemory;
use crate::reward::{GroupRewards, JudgedStep};
use crate::task::Task;
use crate::trajectory::Trajectory;

/// Verdict on one trajectory.
#[derive(Clone, Debug, PartialEq)]
pub enum Score {
    /// A score, usually in [0, 1].
    Value(f64),
    /// Cannot be scored, with the reason; dropped and counted, never a zero.
    Unscorable(String),
}

impl Score {
    /// The value, if there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(v) => Some(*v),
            Self::Unscorable(_) => None,
        }
    }
}

/// Judges one trajectory.
///
/// *Implementers*: pure functions of task and trajectory, bounded in time and memory, callable from any thread.
/// *Called* once per finished trajectory.
///
/// # Example
/// ```
/// use groupwise_core::{Score, Task, Trajectory, Verifier};
///
/// /// The answer must equal the reference.
/// #[derive(Debug)]
/// struct Equal;
///
/// impl Verifier for Equal {
///     fn name(&self) -> &str {
///         "equal"
///     }
///     fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
///         Score::Value(f64::from(u8::from(trajectory.answer() == task.reference)))
///     }
/// }
/// ```
pub trait Verifier: std::fmt::Debug + Send + Sync {
    /// Name in the log: `rewards/<name>/mean`.
    fn name(&self) -> &str;

    /// The verdict.
    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score;

    /// True if this verifier can judge steps inside an answer; asked before a run starts.
    fn judges_steps(&self) -> bool {
        false
    }

    /// The steps of an answer up to and including the first that decides the rest, ends ascending; their rewards add
    /// up to the score.  `None` if this answer cannot be cut into steps.
    fn steps(&self, task: &Task, trajectory: &Trajectory) -> Option<Vec<JudgedStep>> {
        let _ = (task, trajectory);
        None
    }
}

/// Changes the rewards of a whole group.
///
/// *Implementers*: pure; add components under their own name; set `rewards[i] = None` only where the answer
/// cannot be scored, `trained[i] = false` where it must not enter the loss.
/// *Called* once per group, in recipe order, after the verifier.
///
/// # Example
/// ```
/// use groupwise_core::{DataError, GroupRewards, PromptMemory, RewardShaper, Task, Trajectory};
///
/// /// Takes a little off for every token.
/// #[derive(Debug)]
/// struct TokenCost(f64);
///
/// impl RewardShaper for TokenCost {
///     fn shape(&self, _: &Task, members: &[Trajectory], rewards: &mut GroupRewards, _: &PromptMemory) -> Result<(), DataError> {
///         for (reward, member) in rewards.rewards.iter_mut().zip(members) {
///             *reward = reward.map(|r| r - self.0 * member.n_policy_tokens() as f64);
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait RewardShaper: std::fmt::Debug + Send + Sync {
    /// Shapes the rewards of one group in place.
    ///
    /// # Errors
    /// Data the method cannot use, named by trajectory.
    fn shape(
        &self,
        task: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        memory: &PromptMemory,
    ) -> Result<(), DataError>;
}
