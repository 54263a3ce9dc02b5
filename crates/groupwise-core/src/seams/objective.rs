use crate::batch::{Denominators, Evaluation, Frozen, TokenBatch, TokenView};
use crate::error::DataError;
use crate::reward::Needs;

/// What must stay together when an update batch is cut into micro-batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing: tokens are independent given the denominators.
    Token,
    /// The tokens of a trajectory.
    Trajectory,
    /// The trajectories of a group.
    Group,
    /// The whole update batch.
    Batch,
}

/// Log-probabilities to a loss and its derivatives: a pure function in f64.
///
/// Three steps, so that the scale of the gradient cannot depend on micro-batches and a stop-gradient cannot
/// hide in a formula:
/// 1. `denominators` looks at masks and groups of the *whole* update batch, before any micro-batch exists;
/// 2. `freeze` computes, for one view, everything that stands behind a stop-gradient;
/// 3. `evaluate` is differentiable in `logp` (entropy, value) with the frozen part held, and returns exactly
///    that derivative: tests compare it with central differences.
///
/// *Implementers*: losses and terms of the views of a batch add up to those of the batch; a masked token has
/// zero gradient; order of groups and of members changes nothing.
/// *Called* by the learner through the pipeline, once per micro-batch.
///
/// # Example
/// ```
/// use groupwise_core::{DataError, Denominators, Evaluation, Frozen, Needs, Objective, Scope};
/// use groupwise_core::{TokenBatch, TokenGrads, TokenView};
///
/// /// Supervised: minus the mean log-probability.
/// #[derive(Debug)]
/// struct Likelihood;
///
/// impl Objective for Likelihood {
///     fn needs(&self) -> Needs {
///         Needs::empty()
///     }
///     fn scope(&self) -> Scope {
///         Scope::Token
///     }
///     fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
///         let counted = batch.mask.iter().filter(|m| **m).count().max(1) as f64;
///         Ok(Denominators { trajectory: vec![1.0 / counted; batch.n_trajectories()], scalars: vec![] })
///     }
///     fn freeze(&self, whole: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
///         let mine = view.first_trajectory..view.first_trajectory + view.n_trajectories();
///         Ok(Frozen { trajectory: whole.trajectory[mine].to_vec(), ..Frozen::default() })
///     }
///     fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
///         let mut out = Evaluation { grads: TokenGrads { d_logp: vec![0.0; view.logp.len()], ..Default::default() }, ..Default::default() };
///         for (i, tokens) in view.tokens.iter().enumerate() {
///             for t in tokens.filter(|t| view.mask[*t]) {
///                 out.loss -= frozen.trajectory[i] * view.logp[t];
///                 out.grads.d_logp[t] = -frozen.trajectory[i];
///             }
///         }
///         Ok(out)
///     }
/// }
/// ```
pub trait Objective: std::fmt::Debug + Send + Sync {
    /// Inputs it cannot do without.
    fn needs(&self) -> Needs;

    /// What must stay together.
    fn scope(&self) -> Scope;

    /// The objective at this point of training, for one with a coefficient that moves; `None` by default: it is the
    /// same throughout.
    ///
    /// Called before every optimizer step with progress = optimizer steps done / planned.  What it gives has the same
    /// `needs` and the same `scope`.
    fn scheduled(&self, progress: f64) -> Option<Box<dyn Objective>> {
        let _ = progress;
        None
    }

    /// What the loss divides by, from masks and groups of the whole update batch.
    ///
    /// # Errors
    /// Data that does not fit.
    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError>;

    /// Everything behind a stop-gradient, at the view's current log-probabilities.
    ///
    /// # Errors
    /// Data that does not fit.
    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError>;

    /// Loss, derivatives and terms, with the frozen part held.
    ///
    /// # Errors
    /// Data that does not fit, or a loss that is not finite; names the token.
    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError>;
}
