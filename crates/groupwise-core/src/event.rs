//! The closed set of events a run consists of.
//!
//! The pipeline emits events and prints nothing; report and command line only consume them, so a run can be
//! recorded, replayed and reported from its folder.  Events carry no wall-clock time: the log of a killed and
//! resumed run is byte-identical to that of an uninterrupted one.  Times live in a file of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the event format; a reader refuses a newer one.  2: groups may carry an estimate.
pub const EVENT_VERSION: u32 = 2;

/// What a rollout was made for; every kind is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BillKind {
    /// Entered an update.
    Train,
    /// Generated, then discarded by a group filter.
    Discarded,
    /// Made to refresh an estimate of difficulty.
    Refresh,
    /// Made with a hint.
    Hint,
    /// Made before training, to initialise estimates.
    StartUp,
    /// Greedy or other auxiliary rollout that an estimator asked for.
    Auxiliary,
}

/// One fact about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// First event of every run.
    Start {
        /// [`EVENT_VERSION`].
        version: u32,
        /// Run seed.
        seed: u64,
        /// Content hash of resolved recipe and seed: name of the run folder.
        run: String,
        /// Training steps planned.
        steps: u64,
        /// Tasks in the pool.
        n_tasks: usize,
    },
    /// One group was rolled out and judged.
    Group {
        /// Training step, from 1.
        step: u64,
        /// Task identity.
        task: String,
        /// Ground-truth difficulty.
        difficulty: f64,
        /// What it is billed as.
        kind: BillKind,
        /// Reward of each member; null: unscorable.
        rewards: Vec<Option<f64>>,
        /// Policy tokens of each member.
        lengths: Vec<usize>,
        /// Success rate that sampler or allocator expected before these rollouts, where one keeps an estimate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        estimate: Option<f64>,
    },
    /// A training step ended.
    Step {
        /// Training step, from 1.
        step: u64,
        /// Rollouts billed so far, all kinds.
        rollouts: u64,
        /// Policy tokens billed so far, all kinds.
        tokens: u64,
        /// Metrics in TRL's vocabulary.
        metrics: BTreeMap<String, f64>,
    },
    /// The policy was evaluated.
    Eval {
        /// Training steps done.
        step: u64,
        /// Rollouts billed so far.
        rollouts: u64,
        /// Policy tokens billed so far.
        tokens: u64,
        /// Metrics, `eval/...`.
        metrics: BTreeMap<String, f64>,
    },
    /// Something the user should know, once.
    Warning {
        /// Training step, 0 before training.
        step: u64,
        /// What and where.
        message: String,
    },
    /// Last event of a finished run.
    Finish {
        /// Training steps done.
        step: u64,
        /// Rollouts billed, all kinds.
        rollouts: u64,
        /// Policy tokens billed, all kinds.
        tokens: u64,
        /// Rollouts by kind.
        billed: BTreeMap<BillKind, u64>,
        /// SHA-256 of the final weights.
        weights: String,
    },
}

/// Whoever wants to know: the run folder, the progress display, a test.
pub trait EventSink {
    /// Takes one event.
    ///
    /// # Errors
    /// If it could not be kept (disk full): the run stops, nothing is lost that was kept before.
    fn emit(&mut self, event: &Event) -> std::io::Result<()>;
}

impl EventSink for Vec<Event> {
    fn emit(&mut self, event: &Event) -> std::io::Result<()> {
        self.push(event.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_round_trip_to_the_last_bit() {
        let event = Event::Step {
            step: 3,
            rollouts: 192,
            tokens: 1_000,
            metrics: BTreeMap::from([("reward".to_owned(), 0.1 + 0.2), ("loss".to_owned(), -1.0e-300)]),
        };
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.starts_with(r#"{"event":"step","step":3"#), "{text}");
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        let mut billed = BTreeMap::new();
        billed.insert(BillKind::Train, 4);
        let finish = Event::Finish {
            step: 1,
            rollouts: 4,
            tokens: 9,
            billed,
            weights: String::new(),
        };
        let text = serde_json::to_string(&finish).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), finish);
    }
}
