//! What an ablation claims, and whether its numbers bear it out.

use groupwise_stats::Interval;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::summary::Measure;

/// A claim, as it stands under `claim` in `ablation.json`.
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
    /// Least effect that counts, at least 0, in the metric's unit.
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
}

/// What the numbers say about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimVerdict {
    /// The interval lies on the claimed side of 0 and the estimate reaches the smallest effect that counts.
    Holds,
    /// The interval lies on the other side of 0, or excludes every effect that counts.
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
}

/// Judges an effect with its interval.
///
/// # Formula
/// With differences turned so that the claimed direction is positive, estimate `d`, interval `[l, u]`, smallest effect
/// `m`: holds if `l > 0` and `d >= m`; does not hold if `u < m`, or, for `m = 0`, `u < 0`; otherwise inconclusive.
/// # Edge cases
/// An interval without width comes from equal differences on all seeds and is inconclusive.
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
        Direction::Higher => (interval.estimate, interval.low, interval.high),
        Direction::Lower => (-interval.estimate, -interval.high, -interval.low),
    };
    let width = high - low;
    let has_width = width > 1e-12 * estimate.abs() && width > 0.0;
    if !has_width {
        ClaimVerdict::Inconclusive
    } else if low > 0.0 && estimate >= claim.least_effect {
        ClaimVerdict::Holds
    } else if high < claim.least_effect {
        ClaimVerdict::DoesNotHold
    } else {
        ClaimVerdict::Inconclusive
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

    #[test]
    fn verdicts_at_every_position_of_the_interval() {
        let claim = |least_effect, direction| Claim {
            text: String::new(),
            metric: "final:eval/success".to_owned(),
            arm: "a".to_owned(),
            control: "b".to_owned(),
            direction,
            least_effect,
        };
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
