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
    /// Members that begin alike, if any do.
    pub shared: Option<SharedTurns>,
}

/// Rollouts that branch: members of a group that draw their first turns together and go on apart.
///
/// Member i belongs to the family `i / members`.  The policy's draws in the first `turns` turns are those of the family's
/// first member, so that equal observations lead to equal actions; an environment that is random in these turns still
/// draws for each member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedTurns {
    /// Members of a family; 0 and 1 share nothing.
    pub members: u64,
    /// Turns that they share.
    pub turns: u64,
}

impl SharedTurns {
    /// The member whose draws a member uses in a turn.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::seams::SharedTurns;
    /// let shared = SharedTurns { members: 3, turns: 1 };
    /// assert_eq!([0, 2, 3, 8].map(|sample| shared.drawn_as(sample, 0)), [0, 0, 3, 6]);
    /// assert_eq!(shared.drawn_as(8, 1), 8);
    /// ```
    pub fn drawn_as(self, sample: u64, turn: u64) -> u64 {
        match turn < self.turns {
            true => sample - sample % self.members.max(1),
            false => sample,
        }
    }
}

impl Rendered {
    /// The observation as it is.
    pub fn plain() -> Self {
        Self {
            prefix: String::new(),
            forced_answer: String::new(),
            hinted: false,
            shared: None,
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
