use crate::State;
use crate::error::DataError;
use crate::key::Key;
use crate::seams::Rendered;
use crate::task::Task;
use crate::trajectory::{GroupOutcome, Trajectory};

/// A rolled-out group as a repair sees it: fresh members and their verifier scores.
#[derive(Clone, Copy, Debug)]
pub struct RolledGroup<'a> {
    /// The task.
    pub task: &'a Task,
    /// Members, in the order of `outcome`.
    pub members: &'a [Trajectory],
    /// Scores and lengths.
    pub outcome: &'a GroupOutcome,
}

/// Where an episode from elsewhere goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the place of this member, whose rollout stays billed.
    Replace(usize),
    /// Behind the sampled members.
    Append,
}

/// Where an episode from elsewhere comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Substitute {
    /// An episode that was sampled earlier.
    Episode {
        /// The episode.
        trajectory: Box<Trajectory>,
        /// True if its old log-probabilities are computed anew with the weights the update starts from; false if
        /// those it was sampled with stay.
        rescore: bool,
    },
    /// A text that the policy did not sample: a reference solution.  Its actions are carried out, and every token of
    /// them trains; old log-probabilities are those of the weights the update starts from.
    Reference(String),
    /// One rollout under each of these in turn, billed as hint rollouts, until one has a score above 0; nothing
    /// changes if none has.  Log-probabilities are those under the prompt it was sampled with.
    Search(Vec<Rendered>),
}

/// One episode put into a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// Where it goes.
    pub placement: Placement,
    /// Where it comes from.
    pub substitute: Substitute,
}

/// Puts episodes from elsewhere into groups: past successes, hinted rollouts, reference solutions.
///
/// *Implementers*: draws come from the key only; `save` and `load` carry all memory.
/// *Called* by the pipeline once per generation batch, after the verifier and before shapers and filter.  Samplers and
/// prompt memory see the fresh outcomes, estimator and objective the repaired groups.
///
/// # Example
/// ```
/// use groupwise_core::seams::{GroupRepair, Placement, Repair, RolledGroup, Substitute};
/// use groupwise_core::{DataError, Key};
///
/// /// The reference solution joins every group in which nobody succeeded.
/// #[derive(Debug)]
/// struct Rescue;
///
/// impl GroupRepair for Rescue {
///     fn repair(&mut self, _: u64, groups: &[RolledGroup<'_>], _: Key) -> Result<Vec<Option<Repair>>, DataError> {
///         let failed = |g: &RolledGroup<'_>| g.outcome.rewards.iter().flatten().all(|r| *r <= 0.0);
///         let rescue = |g: &RolledGroup<'_>| Repair {
///             placement: Placement::Append,
///             substitute: Substitute::Reference(g.task.reference.clone()),
///         };
///         Ok(groups.iter().map(|g| failed(g).then(|| rescue(g))).collect())
///     }
///     fn injects_references(&self) -> bool {
///         true
///     }
/// }
/// ```
pub trait GroupRepair: std::fmt::Debug + Send {
    /// What is put into each of these groups, in their order; `None` leaves a group as it is.
    ///
    /// # Errors
    /// A task that cannot give what the method needs, scores the method cannot use.
    fn repair(
        &mut self,
        step: u64,
        groups: &[RolledGroup<'_>],
        key: Key,
    ) -> Result<Vec<Option<Repair>>, DataError>;

    /// Learns from the fresh episodes of one training step, those of discarded groups included.
    ///
    /// # Errors
    /// As [`GroupRepair::repair`].
    fn observe(&mut self, step: u64, groups: &[RolledGroup<'_>]) -> Result<(), DataError> {
        let _ = (step, groups);
        Ok(())
    }

    /// True if texts enter groups that the policy did not sample; asked before a run starts.
    fn injects_references(&self) -> bool {
        false
    }

    /// All memory.
    ///
    /// # Errors
    /// If it cannot be written down.
    fn save(&self) -> Result<State, DataError> {
        Ok(State::Null)
    }

    /// Restores [`GroupRepair::save`].
    ///
    /// # Errors
    /// A state that does not fit.
    fn load(&mut self, state: &State) -> Result<(), DataError> {
        let _ = state;
        Ok(())
    }
}
