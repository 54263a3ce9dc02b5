use crate::State;
use crate::error::DataError;

/// A value that changes with training progress (learning rate, temperature, coefficients).
///
/// *Implementers*: `value` is pure; an adaptive one learns in `observe` and saves what it learned.
/// *Called* once per optimizer step with progress = steps done / steps planned.
///
/// # Example
/// ```
/// use groupwise_core::schedule::Ramp;
/// use groupwise_core::Schedule;
/// assert_eq!(Ramp::constant(0.3)?.value(0.5), 0.3);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
pub trait Schedule: std::fmt::Debug + Send {
    /// The value at this progress in [0, 1].
    fn value(&self, progress: f64) -> f64;

    /// Learns from a measured figure; ignored by default.
    fn observe(&mut self, measured: f64) {
        let _ = measured;
    }

    /// All memory.
    fn save(&self) -> State;

    /// Restores [`Schedule::save`].
    ///
    /// # Errors
    /// A state that does not fit.
    fn load(&mut self, state: &State) -> Result<(), DataError>;
}
