//! How good the difficulty estimates of a run were.

use groupwise_core::event::BillKind;
use groupwise_stats::{brier_score, mean, spearman};

/// What estimates were worth, over one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Calibration {
    /// Brier score of estimates against the outcomes that followed, one per rollout.
    pub(crate) brier: Option<f64>,
    /// The score of one who always says the success rate of all those rollouts: `o (1 - o)`.
    pub(crate) brier_constant: Option<f64>,
    /// Rank correlation of estimates with the success rates of the groups that followed.
    pub(crate) rank_outcome: Option<f64>,
    /// Rank correlation of estimates with how easy the generator says a task is: minus its difficulty.
    pub(crate) rank_easiness: Option<f64>,
}

/// Collects estimates and what came of them.
///
/// A hint changes what is estimated, so that hinted groups do not count; every other kind does, discarded groups and
/// surveys included: each was a prediction made before the rollouts it is judged by.
#[derive(Default)]
pub(crate) struct Calibrator {
    probabilities: Vec<f64>,
    outcomes: Vec<bool>,
    estimates: Vec<f64>,
    rates: Vec<f64>,
    easiness: Vec<f64>,
    /// A reward between right and wrong: such a run has no Brier score.
    graded: bool,
}

impl Calibrator {
    pub(crate) fn take(&mut self, kind: BillKind, estimate: Option<f64>, difficulty: f64, scored: &[f64]) {
        let Some(estimate) = estimate.filter(|p| (0.0..=1.0).contains(p)) else {
            return;
        };
        if kind == BillKind::Hint || scored.is_empty() {
            return;
        }
        for reward in scored {
            // As in evaluation: a full score, up to rounding.
            let right = *reward >= 1.0 - 1e-9;
            self.graded |= !right && *reward != 0.0;
            self.probabilities.push(estimate);
            self.outcomes.push(right);
        }
        self.estimates.push(estimate);
        self.rates.push(mean(scored));
        self.easiness.push(-difficulty);
    }

    pub(crate) fn finish(self) -> Calibration {
        let brier = brier_score(&self.probabilities, &self.outcomes).ok();
        let right: Vec<f64> = self.outcomes.iter().map(|o| f64::from(u8::from(*o))).collect();
        let rate = mean(&right);
        let rank = |other: &[f64]| spearman(&self.estimates, other).ok().flatten();
        Calibration {
            brier: brier.filter(|_| !self.graded),
            brier_constant: brier.filter(|_| !self.graded).map(|_| rate * (1.0 - rate)),
            rank_outcome: rank(&self.rates),
            rank_easiness: rank(&self.easiness),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-12), "{a:?}, not {b}");
    }

    #[test]
    fn estimates_are_judged_by_the_rollouts_that_followed() {
        let mut found = Calibrator::default();
        found.take(BillKind::Train, Some(0.5), 3.0, &[1.0, 0.0]);
        found.take(BillKind::Discarded, Some(1.0), 1.0, &[1.0, 1.0]);
        found.take(BillKind::Train, Some(0.25), 5.0, &[0.0]);
        // Neither without an estimate, nor hinted, nor unscored, nor by an estimate that is no rate.
        found.take(BillKind::Train, None, 1.0, &[1.0]);
        found.take(BillKind::Hint, Some(0.9), 1.0, &[0.0]);
        found.take(BillKind::Train, Some(0.9), 1.0, &[]);
        found.take(BillKind::Train, Some(1.5), 1.0, &[0.0]);
        let found = found.finish();
        close(found.brier, (0.25 + 0.25 + 0.0625) / 5.0);
        close(found.brier_constant, 0.6 * 0.4);
        close(found.rank_outcome, 1.0);
        close(found.rank_easiness, 1.0);
    }

    #[test]
    fn graded_rewards_have_ranks_but_no_brier_score() {
        let mut found = Calibrator::default();
        found.take(BillKind::Train, Some(0.5), 1.0, &[0.4]);
        found.take(BillKind::Train, Some(0.1), 1.0, &[0.9]);
        let found = found.finish();
        assert_eq!(
            (found.brier, found.brier_constant, found.rank_easiness),
            (None, None, None)
        );
        close(found.rank_outcome, -1.0);
        assert_eq!(Calibrator::default().finish(), Calibration::default());
    }
}
