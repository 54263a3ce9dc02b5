use crate::error::DataError;
use crate::memory::PromptMemory;
use crate::task::Task;
use crate::trajectory::{GroupOutcome, Trajectory};

/// A prompt as it is put to the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Text before or after the observation (hints, few-shot examples); empty for the plain prompt.
    pub prefix: String,
    /// Answer text the policy is made to start with (a solution prefix); not trained on.  In a world of several turns
    /// these are its first actions, see [`World::actions`](crate::World::actions).
    pub forced_answer: String,
    /// True if the rollouts are billed as hint rollouts.
    pub hinted: bool,
}

impl Rendered {
    /// The observation as it is.
    pub fn plain() -> Self {
        Self {
            prefix: String::new(),
            forced_answer: String::new(),
            hinted: false,
        }
    }
}

/// Changes how a task is put to the policy: hints, prefixes, memory of earlier attempts.
///
/// *Implementers*: pure; history comes as an argument.
/// *Called* before a rollout, and after it for a further round of the same group.
pub trait Scaffold: std::fmt::Debug + Send + Sync {
    /// How this task is put now.
    ///
    /// # Errors
    /// A hint that the task cannot give.
    fn render(&self, task: &Task, memory: &PromptMemory) -> Result<Rendered, DataError>;

    /// A further round for this group, or `None` (default): as many members again, rendered this way, are added
    /// to the group and billed as hint rollouts; a shaper decides which of them enter the loss.
    ///
    /// # Errors
    /// A hint that the task cannot give.
    fn next_round(
        &self,
        task: &Task,
        members: &[Trajectory],
        outcome: &GroupOutcome,
        round: u32,
    ) -> Result<Option<Rendered>, DataError> {
        let _ = (task, members, outcome, round);
        Ok(None)
    }
}
