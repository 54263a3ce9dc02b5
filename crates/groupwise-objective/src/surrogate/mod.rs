//! Surrogates: what a token's advantage and ratio contribute to the loss.

pub mod cispo;
pub mod clip;
pub mod reinforce;

use groupwise_core::ParamError;
use serde::{Deserialize, Serialize};

pub use cispo::{Cispo, CispoParams};
pub use clip::{Clip, ClipParams};

/// The surrogate of the general objective, raw.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SurrogateConfig {
    /// Clipped ratio: `max(-A rho, -A clip(rho))`.
    Clip(ClipParams),
    /// Clipped weight behind a stop-gradient: `-sg(clip(rho)) A logp`.
    Cispo(CispoParams),
    /// No ratio: `-A logp`.
    Reinforce,
}

impl Default for SurrogateConfig {
    fn default() -> Self {
        Self::Clip(ClipParams::default())
    }
}

impl SurrogateConfig {
    pub(crate) fn build(&self) -> Result<Surrogate, ParamError> {
        Ok(match self {
            Self::Clip(params) => Surrogate::Clip(Clip::new(params)?),
            Self::Cispo(params) => Surrogate::Cispo(Cispo::new(params)?),
            Self::Reinforce => Surrogate::Reinforce,
        })
    }
}

/// The surrogate, valid by construction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Surrogate {
    Clip(Clip),
    Cispo(Cispo),
    Reinforce,
}

/// Loss of one token and its derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The token's loss.
    pub loss: f64,
    /// Its derivative: by the log-ratio for a clipped ratio, by `logp` for the others.
    pub slope: f64,
}

/// Tokens whose ratio lies outside what the surrogate lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ClipCounts {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) cap: u64,
}

impl ClipCounts {
    pub(crate) fn add(&mut self, other: Self) {
        self.low += other.low;
        self.high += other.high;
        self.cap += other.cap;
    }
}
