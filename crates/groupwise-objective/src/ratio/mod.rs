//! Ratios of the current to the old policy, at the level of tokens, segments or whole trajectories.
//!
//! All of them start from the clamped token log-ratio `d = clamp(logp - logp_old, -20, 20)`.  The clamp keeps
//! `exp` finite; outside it the derivative is 0, as the formula says, and on the bound itself it is taken as 0.
//! A masked token has `d = 0` and no derivative.
//!
//! | level | ratio | share of a counted token in d log ratio |
//! |---|---|---|
//! | token | `exp(d_t)` | 1 |
//! | sequence, segment | `exp(sum d / n)` | 1 / n |
//! | sequence-sum | `exp(clamp(sum d, -20, 20))` | 1 |

mod span;
mod token;

use serde::{Deserialize, Serialize};

pub(crate) use span::reduce;
pub use span::{SpanRatio, SpanReduction, segment_ratios, span_ratio};
pub(crate) use token::{block_log_ratios, has_slope};
pub use token::{log_ratio, token_log_ratios};

/// Bound of the log-ratio, nats.
pub const LOG_RATIO_CLAMP: f64 = 20.0;

/// What a probability ratio is taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportanceSamplingLevel {
    /// Each token: `exp(d_t)`.
    #[default]
    Token,
    /// The trajectory, geometric mean (GSPO): `exp(sum_t d_t / n)`.
    Sequence,
    /// The trajectory, product (RLOO): `exp(sum_t d_t)`.
    SequenceSum,
}

impl ImportanceSamplingLevel {
    /// How token log-ratios become one, where the level is the trajectory.
    pub fn reduction(self) -> Option<SpanReduction> {
        match self {
            Self::Token => None,
            Self::Sequence => Some(SpanReduction::Mean),
            Self::SequenceSum => Some(SpanReduction::Sum),
        }
    }
}
