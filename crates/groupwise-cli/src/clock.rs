//! The only place that looks at a clock.

use std::time::Instant;

use groupwise_pipeline::Clock;

/// Seconds since it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall(Instant);

impl Wall {
    #[expect(
        clippy::disallowed_methods,
        reason = "wall time is for people and timing.jsonl, no number depends on it"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Wall {
    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
