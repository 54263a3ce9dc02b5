use crate::trajectory::GroupOutcome;

/// Decides which rolled-out groups enter the update; the pipeline refills what is refused and bills it.
///
/// *Implementers*: pure.
/// *Called* once per group in generation order.
///
/// # Example
/// ```
/// use groupwise_core::{GroupFilter, GroupOutcome};
///
/// /// Keep groups with a gradient.
/// #[derive(Debug)]
/// struct Mixed;
///
/// impl GroupFilter for Mixed {
///     fn admits(&self, outcome: &GroupOutcome) -> bool {
///         outcome.is_mixed()
///     }
/// }
///
/// let solved = GroupOutcome { task: 0, rewards: vec![Some(1.0); 4], lengths: vec![3; 4] };
/// assert!(!Mixed.admits(&solved));
/// ```
pub trait GroupFilter: std::fmt::Debug + Send + Sync {
    /// True if the group may enter the update.
    fn admits(&self, outcome: &GroupOutcome) -> bool;

    /// True if refused groups are replaced by further generation; false trains on what is left.
    fn refills(&self) -> bool {
        true
    }

    /// Most generation batches per step when refilling; `None`: no limit.
    fn max_gen_batches(&self) -> Option<u32> {
        None
    }
}
