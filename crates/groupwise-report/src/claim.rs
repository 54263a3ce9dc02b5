//! What an ablation claims, and whether its numbers bear it out.

use groupwise_stats::Interval;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::summary::Measure;

/// A claim, as it stands in the list `claims` of `ablation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The claim in words.
    pub text: String,
    /// The metric with its measure, see [`Measure::parse`]: `area:eval/success`, `final:eval/success`.
    pub metric: String,
    /// The arm that must differ.
    pub arm: String,
    /// The arm it is compared with.
    pub control: String,
    /// Which way the effect goes.
    pub direction: Direction,
    /// Least effect that counts, at least 0, in the metric's unit: the margin of a claim that there is none.
    pub least_effect: f64,
}

/// Which way a claimed effect goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The arm has more of the metric.
    #[default]
    Higher,
    /// The arm has less of it.
    Lower,
    /// The arm has not less of it, up to a margin.
    NotLower,
    /// The arm has as much of it, up to a margin.
    Equal,
}

/// What the numbers say about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimVerdict {
    /// The interval lies on the claimed side of 0 and the estimate reaches the smallest effect that counts; for a claim
    /// of no effect, the interval lies within the margin.
    Holds,
    /// The interval lies on the other side of 0, or excludes every effect that counts; for a claim of no effect, the
    /// interval lies beyond the margin.
    DoesNotHold,
    /// Neither.
    Inconclusive,
}

impl ClaimVerdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A claim with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimSummary {
    /// The claim, with arm, control and metric filled in.
    pub claim: Claim,
    /// The verdict.
    pub verdict: ClaimVerdict,
    /// The numbers it rests on, or why there are none.
    pub basis: String,
    /// Mean paired difference, arm minus control; `None` without a common seed.
    pub effect: Option<f64>,
    /// The interval that decides; `None` below two common seeds.
    pub interval: Option<(f64, f64)>,
    /// Seeds that both arms finished.
    pub n_seeds: usize,
}

/// Judges an effect with its interval.
///
/// # Formula
/// With differences turned so that the claimed direction is positive, estimate `d`, interval `[l, u]`, smallest effect
/// `m`:
///
/// | direction | holds | does not hold |
/// |---|---|---|
/// | higher, lower | `l > 0` and `d >= m` | `u < m` |
/// | not lower | `l > -m` | `u < -m` |
/// | equal | `-m < l` and `u < m` | `u < -m` or `l > m` |
///
/// Otherwise it is inconclusive.
/// # Edge cases
/// An interval without width comes from equal differences on all seeds and is inconclusive, but for a claim of no effect
/// where every difference is exactly 0: that is what it says.
/// # Example
/// ```
/// use groupwise_report::{Claim, ClaimVerdict, claim::judge};
/// use groupwise_stats::student_t_interval;
/// let claim: Claim = serde_json::from_str(r#"{"text": "a beats b", "metric": "area:eval/success",
///     "arm": "a", "control": "b", "direction": "higher", "least_effect": 0.02}"#).unwrap();
/// let interval = student_t_interval(&[0.04, 0.03, 0.05], 0.95).unwrap();
/// assert_eq!(judge(&claim, &interval), ClaimVerdict::Holds);
/// let interval = student_t_interval(&[0.001, 0.002, 0.0015], 0.95).unwrap();
/// assert_eq!(judge(&claim, &interval), ClaimVerdict::DoesNotHold);
/// ```
pub fn judge(claim: &Claim, interval: &Interval) -> ClaimVerdict {
    let (estimate, low, high) = match claim.direction {
        Direction::Lower => (-interval.estimate, -interval.high, -interval.low),
        Direction::Higher | Direction::NotLower | Direction::Equal => {
            (interval.estimate, interval.low, interval.high)
        }
    };
    let width = high - low;
    let has_width = width > 1e-12 * estimate.abs() && width > 0.0;
    let margin = claim.least_effect;
    let (holds, fails) = match claim.direction {
        Direction::Higher | Direction::Lower => (low > 0.0 && estimate >= margin, high < margin),
        Direction::NotLower => (low > -margin, high < -margin),
        Direction::Equal => (low > -margin && high < margin, high < -margin || low > margin),
    };
    // No difference on any seed is what a claim of no effect says.
    let identical = claim.direction == Direction::Equal && (estimate, low, high) == (0.0, 0.0, 0.0);
    match (has_width, holds, fails) {
        _ if identical => ClaimVerdict::Holds,
        (true, true, _) => ClaimVerdict::Holds,
        (true, false, true) => ClaimVerdict::DoesNotHold,
        _ => ClaimVerdict::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use groupwise_stats::IntervalMethod;

    use super::*;

    fn interval(estimate: f64, low: f64, high: f64) -> Interval {
        Interval {
            estimate,
            low,
            high,
            confidence: 0.95,
            method: IntervalMethod::StudentT,
        }
    }

    fn claim(least_effect: f64, direction: Direction) -> Claim {
        Claim {
            text: String::new(),
            metric: "final:eval/success".to_owned(),
            arm: "a".to_owned(),
            control: "b".to_owned(),
            direction,
            least_effect,
        }
    }

    #[test]
    fn claims_of_no_effect_hold_within_their_margin() {
        let not_lower = claim(0.02, Direction::NotLower);
        assert_eq!(
            judge(&not_lower, &interval(0.00, -0.01, 0.01)),
            ClaimVerdict::Holds
        );
        assert_eq!(
            judge(&not_lower, &interval(0.09, 0.05, 0.13)),
            ClaimVerdict::Holds
        );
        assert_eq!(
            judge(&not_lower, &interval(-0.02, -0.03, -0.01)),
            ClaimVerdict::Inconclusive
        );
        assert_eq!(
            judge(&not_lower, &interval(-0.05, -0.07, -0.03)),
            ClaimVerdict::DoesNotHold
        );
        let equal = claim(0.02, Direction::Equal);
        assert_eq!(judge(&equal, &interval(0.00, -0.01, 0.01)), ClaimVerdict::Holds);
        for side in [-1.0, 1.0] {
            let (a, b) = (0.03 * side, 0.07 * side);
            let beyond = interval(0.05 * side, f64::min(a, b), f64::max(a, b));
            assert_eq!(judge(&equal, &beyond), ClaimVerdict::DoesNotHold);
        }
        assert_eq!(
            judge(&equal, &interval(0.01, -0.01, 0.03)),
            ClaimVerdict::Inconclusive
        );
        // Identical on every seed, whatever the margin; but only a claim of no effect says so.
        for (direction, expected) in [
            (Direction::Equal, ClaimVerdict::Holds),
            (Direction::NotLower, ClaimVerdict::Inconclusive),
            (Direction::Higher, ClaimVerdict::Inconclusive),
        ] {
            assert_eq!(judge(&claim(0.0, direction), &interval(0.0, 0.0, 0.0)), expected);
        }
        assert_eq!(
            judge(&equal, &interval(0.01, 0.01, 0.01)),
            ClaimVerdict::Inconclusive
        );
    }

    #[test]
    fn verdicts_at_every_position_of_the_interval() {
        let plain = claim(0.0, Direction::Higher);
        assert_eq!(judge(&plain, &interval(0.04, 0.01, 0.07)), ClaimVerdict::Holds);
        assert_eq!(
            judge(&plain, &interval(0.04, -0.01, 0.09)),
            ClaimVerdict::Inconclusive
        );
        assert_eq!(
            judge(&plain, &interval(-0.04, -0.07, -0.01)),
            ClaimVerdict::DoesNotHold
        );
        let large = claim(0.05, Direction::Higher);
        assert_eq!(
            judge(&large, &interval(0.04, 0.01, 0.07)),
            ClaimVerdict::Inconclusive
        );
        assert_eq!(
            judge(&large, &interval(0.02, 0.01, 0.03)),
            ClaimVerdict::DoesNotHold
        );
        assert_eq!(judge(&large, &interval(0.06, 0.01, 0.11)), ClaimVerdict::Holds);
        let lower = claim(0.0, Direction::Lower);
        assert_eq!(judge(&lower, &interval(-0.04, -0.07, -0.01)), ClaimVerdict::Holds);
        assert_eq!(
            judge(&lower, &interval(0.04, 0.01, 0.07)),
            ClaimVerdict::DoesNotHold
        );
        assert_eq!(
            judge(&plain, &interval(0.25, 0.25, 0.25)),
            ClaimVerdict::Inconclusive
        );
        assert_eq!(
            judge(&plain, &interval(f64::NAN, f64::NAN, f64::NAN)),
            ClaimVerdict::Inconclusive
        );
    }
}
