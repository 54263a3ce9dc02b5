use std::ops::Range;

use crate::batch::{TokenBatch, TokenGrads};
use crate::error::DataError;
use crate::key::Key;
use crate::seams::Scope;
use crate::trajectory::StopReason;

/// What went wrong in a policy or a learner.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Data that does not fit.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Text that the vocabulary cannot spell.
    #[error("the vocabulary has no token for {symbol:?} in {text:?}")]
    Vocabulary {
        /// The symbol.
        symbol: String,
        /// The text it stands in.
        text: String,
    },
    /// A sequence longer than the model's context.
    #[error("sequence of {length} tokens exceeds the context of {limit}")]
    Context {
        /// Tokens asked for.
        length: usize,
        /// Tokens the model can hold.
        limit: usize,
    },
    /// A NaN or infinity in a tensor; the run stops, the last checkpoint stays good.
    #[error("{what} of `{tensor}` is not finite")]
    NonFinite {
        /// "gradient", "weight", "log-probability", "loss".
        what: &'static str,
        /// Name of the tensor.
        tensor: String,
    },
    /// A checkpoint that does not fit this policy.
    #[error("checkpoint does not fit: {0}")]
    Checkpoint(String),
    /// A device or feature that this build does not have.
    #[error("{0}")]
    Unavailable(String),
}

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Temperature > 0; log-probabilities are reported at it.
    pub temperature: f64,
    /// Most tokens per continuation, end token included.
    pub max_new_tokens: usize,
    /// Take the most likely token (ties: lowest id); temperature then only scales the reported numbers.
    pub greedy: bool,
}

/// One member of a group of continuations.
#[derive(Clone, Debug)]
pub struct Member {
    /// Tokens after the shared prefix (earlier turns); empty on the first turn.
    pub tail: Vec<u32>,
    /// Key of this turn; token `t` is drawn with `key.token(t)`.
    pub key: Key,
}

/// Sequences that start alike: the shared part is encoded once.
#[derive(Clone, Debug)]
pub struct Prefix<'a> {
    /// Tokens all members start with.
    pub shared: &'a [u32],
    /// The members.
    pub members: Vec<Member>,
}

/// What was sampled for one member.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// New tokens, the end token included if one was drawn.
    pub tokens: Vec<u32>,
    /// Log-probability of each new token at the sampling temperature, nats.
    pub logp: Vec<f64>,
    /// Entropy of the distribution each was drawn from, nats.
    pub entropy: Vec<f64>,
    /// `EndToken` or `Length`.
    pub stop: StopReason,
}

/// Produces text.  Implemented by the tabular policy, the transformer, a remote engine.
///
/// *Implementers*: the continuation of a member is a function of weights, prefix and key (up to the float error
/// of batched arithmetic), not of its neighbours; log-probabilities agree with the learner's.
/// *Called* by the rollout engine, one call per turn for all episodes of a batch.
pub trait Policy: Send {
    /// Text to tokens.
    ///
    /// # Errors
    /// [`PolicyError::Vocabulary`] for text it cannot spell.
    fn encode(&self, text: &str) -> Result<Vec<u32>, PolicyError>;

    /// Text that continues a sequence to tokens: like `encode`, without a start token.
    ///
    /// # Errors
    /// [`PolicyError::Vocabulary`] for text it cannot spell.
    fn encode_continuation(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        self.encode(text)
    }

    /// Tokens to text; the end token vanishes, no other does: a stray special token must not make an answer right.
    fn decode(&self, tokens: &[u32]) -> String;

    /// The token that ends an answer, for supervised targets; `None` where a turn is exactly one token.
    fn end_token(&self) -> Option<u32>;

    /// Samples one continuation per member, same nesting as `prefixes`.
    ///
    /// # Errors
    /// A prefix beyond the context, non-finite logits.
    fn extend(
        &mut self,
        prefixes: &[Prefix<'_>],
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Continuation>>, PolicyError>;

    /// Probabilities of the next action word after an observation, where the policy is a table.
    fn action_probabilities(&self, observation: &str) -> Option<Vec<f64>> {
        let _ = observation;
        None
    }

    /// Number of updates the weights have seen.
    fn version(&self) -> u64;
}

/// Per-token scalars of a run of trajectories.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenScores {
    /// Log-probability of each completion token at the batch's temperature, nats.
    pub logp: Vec<f64>,
    /// Entropy at each completion token, nats.
    pub entropy: Vec<f64>,
}

/// The loss as the learner sees it: scalars in, derivatives out.  Implemented by the pipeline around an
/// [`Objective`](crate::Objective).
pub trait TokenLoss {
    /// Derivatives for the trajectories `part`, given their current scores.
    ///
    /// # Errors
    /// Whatever the objective refuses.
    fn gradient(&mut self, part: Range<usize>, scores: &TokenScores) -> Result<TokenGrads, DataError>;
}

impl<F: FnMut(Range<usize>, &TokenScores) -> Result<TokenGrads, DataError>> TokenLoss for F {
    fn gradient(&mut self, part: Range<usize>, scores: &TokenScores) -> Result<TokenGrads, DataError> {
        self(part, scores)
    }
}

/// What an optimizer step did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Micro-batches it took.
    pub micro_batches: usize,
}

/// Changes the weights.
///
/// *Implementers*: the gradient is that of `sum(d_logp * logp) + sum(d_entropy * entropy)` with the derivatives
/// held constant, summed over micro-batches in order, f64 becoming f32 only there.  The weights are those of the
/// [`Policy`] made together with it.
/// *Called* by the pipeline: `score` for old and reference log-probabilities, `step` once per optimizer step.
pub trait Learner: Send {
    /// Scores of the whole batch at the current weights, no gradient.
    ///
    /// # Errors
    /// Sequences beyond the context, non-finite results.
    fn score(&mut self, batch: &TokenBatch) -> Result<TokenScores, PolicyError>;

    /// Remembers the current weights as the reference policy.
    ///
    /// # Errors
    /// [`PolicyError::Unavailable`] if the learner cannot hold one.
    fn freeze_reference(&mut self) -> Result<(), PolicyError>;

    /// Log-probabilities under the reference policy.
    ///
    /// # Errors
    /// As `score`; [`PolicyError::Unavailable`] without a reference.
    fn score_reference(&mut self, batch: &TokenBatch) -> Result<Vec<f64>, PolicyError>;

    /// One optimizer step: forward in micro-batches that respect `scope`, `loss` for the derivatives, backward,
    /// clip, update with `learning_rate`.
    ///
    /// # Errors
    /// [`PolicyError::NonFinite`] naming the tensor, before the weights change.
    fn step(
        &mut self,
        batch: &TokenBatch,
        scope: Scope,
        learning_rate: f64,
        loss: &mut dyn TokenLoss,
    ) -> Result<StepReport, PolicyError>;

    /// Forgets optimizer state and sets the version to 0, keeping the weights (after a supervised warm start).
    ///
    /// # Errors
    /// If the device fails.
    fn restart(&mut self) -> Result<(), PolicyError>;

    /// Weights, optimizer state, reference and version, as bytes: equal state gives equal bytes.
    ///
    /// # Errors
    /// If a tensor cannot be read back from its device.
    fn save(&self) -> Result<Vec<u8>, PolicyError>;

    /// Restores [`Learner::save`], for this learner and its policy.
    ///
    /// # Errors
    /// [`PolicyError::Checkpoint`] naming what does not fit.
    fn load(&mut self, bytes: &[u8]) -> Result<(), PolicyError>;

    /// SHA-256 or another digest of the weights alone.
    ///
    /// # Errors
    /// If a tensor cannot be read back from its device.
    fn digest(&self) -> Result<String, PolicyError>;
}
