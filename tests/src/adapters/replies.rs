//! Trajectories that hold nothing but a reply, for methods that read text.

use std::sync::Arc;

use groupwise_core::{StopReason, Trajectory, Turn};

/// A finished single-turn trajectory of `n_tokens` tokens with this reply.
pub(super) fn reply(text: &str, n_tokens: usize) -> Trajectory {
    Trajectory {
        task: 0,
        sample: 0,
        agent: None,
        prompt: Arc::from([0]),
        completion: vec![0; n_tokens],
        mask: vec![true; n_tokens],
        logp: vec![0.0; n_tokens],
        entropy: vec![0.0; n_tokens],
        turns: vec![Turn {
            anchor: None,
            action: text.to_owned(),
            tokens: 0..n_tokens,
            reward: 0.0,
            valid: true,
        }],
        version: 0,
        stop: StopReason::EndToken,
    }
}
