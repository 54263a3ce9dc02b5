use crate::batch::Advantages;
use crate::error::DataError;
use crate::reward::{Needs, RewardBatch};
use crate::seams::Scope;

/// Rewards of an update batch to advantages.
///
/// *Implementers*: pure functions of the batch; the same batch gives the same advantages on any thread.
/// Permuting members of a group permutes the result; an unscorable member gets advantage 0 and changes nobody
/// else's.  Wrappers hold a boxed inner estimator.
/// *Called* once per update batch, after all shapers.  `needs` is asked before the run starts.
///
/// # Example
/// ```
/// use groupwise_core::{stats, AdvantageEstimator, Advantages, DataError, Needs, Offsets, RewardBatch};
///
/// /// Reward minus the mean of the group.
/// #[derive(Debug)]
/// struct Centred;
///
/// impl AdvantageEstimator for Centred {
///     fn needs(&self) -> Needs {
///         Needs::empty()
///     }
///     fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
///         batch.check()?;
///         let mut out = vec![0.0; batch.rewards.len()];
///         for members in batch.groups.iter() {
///             let scored: Vec<f64> = batch.rewards[members.clone()].iter().flatten().copied().collect();
///             for i in members {
///                 out[i] = batch.rewards[i].map_or(0.0, |r| r - stats::mean(&scored));
///             }
///         }
///         Ok(Advantages::Trajectory(out))
///     }
/// }
///
/// let groups = Offsets::from_lengths([3]);
/// let rewards = [Some(1.0), Some(0.0), None];
/// let advantages = Centred.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
/// assert_eq!(advantages, Advantages::Trajectory(vec![0.5, -0.5, 0.0]));
/// # Ok::<(), DataError>(())
/// ```
pub trait AdvantageEstimator: std::fmt::Debug + Send + Sync {
    /// Inputs it cannot do without.
    fn needs(&self) -> Needs;

    /// How much of a batch an advantage depends on.  [`Scope::Batch`] is assumed: statistics may span the batch.
    /// An estimator whose advantages of a group depend on that group alone says [`Scope::Group`], and may then be
    /// given its groups one at a time.
    fn scope(&self) -> Scope {
        Scope::Batch
    }

    /// Advantages of the batch.
    ///
    /// # Errors
    /// Data that does not fit: lengths, missing inputs, non-finite numbers, empty groups; named by place.
    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError>;
}
