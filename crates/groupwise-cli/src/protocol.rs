//! What a cell tells its parent: one JSON object a line on standard output.

use std::io::Write;

use groupwise_core::Event;
use groupwise_core::event::EventSink;
use serde::{Deserialize, Serialize};

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub(crate) enum Message {
    /// Warm start under way.
    Warm {
        /// Steps done.
        done: u64,
        /// Steps planned.
        total: u64,
    },
    /// A training step ended.
    Step {
        /// Steps done.
        step: u64,
        /// Mean reward of its rollouts.
        reward: Option<f64>,
    },
    /// The policy was evaluated.
    Eval {
        /// Steps done.
        step: u64,
        /// Value of the primary metric.
        value: Option<f64>,
    },
    /// The run ended in order.
    Ended {
        /// False if it was stopped on request.
        finished: bool,
    },
    /// The run failed.
    Failed {
        /// Why.
        error: String,
    },
}

/// Turns events into messages for whoever shows progress.
pub(crate) struct Progress<F: FnMut(Message)> {
    /// Primary metric.
    pub(crate) metric: String,
    /// Where messages go.
    pub(crate) send: F,
}

impl<F: FnMut(Message)> EventSink for Progress<F> {
    fn emit(&mut self, event: &Event) -> std::io::Result<()> {
        match event {
            Event::Step { step, metrics, .. } => {
                (self.send)(Message::Step {
                    step: *step,
                    reward: metrics.get("reward").copied(),
                });
            }
            Event::Eval { step, metrics, .. } => {
                (self.send)(Message::Eval {
                    step: *step,
                    value: metrics.get(&self.metric).copied(),
                });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Writes a message to standard output; a parent that is gone is noticed elsewhere.
pub(crate) fn send(message: &Message) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}
