//! Overlap of a predicted box or time span with the true one.

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::{Deserialize, Serialize};

use super::{interval_overlap, last_block};
use crate::geometry::{box_giou, box_overlap};
use crate::response::{Judge, Judged, UNCLOSED_THINKING, after_thinking};
use crate::verdict::Verdict;

/// Which overlap is rewarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlapMetric {
    /// Intersection over union.
    #[default]
    Iou,
    /// [`box_giou`], for boxes only.
    Giou,
}

/// Reward of a place in a picture or in time.
///
/// # Formula
/// `iou`: `r = |intersection| / |union|`; `giou`: [`box_giou`].  With a threshold: `r = [overlap >= threshold]`.
///
/// # Shapes
/// The reference is a JSON list: four corners `[x1, y1, x2, y2]`, or `[start, end]`.  The answer is the last list of as
/// many numbers in the last answer block behind the thinking, or behind the thinking without a block.
///
/// # Edge cases
/// - Reversed or equal ends: an empty box or span, which overlaps nothing: 0, and -1 by `giou`.  So no answer.
/// - A reference that is empty, not such a list, or a span where `giou` is asked for: unscorable.
///
/// # Errors
/// Parameters: a threshold outside (0, 1].
///
/// # Source
/// The usual definitions; `giou` of arXiv 1902.09630.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::OverlapConfig;
/// let score = |text, gold: &[f64]| OverlapConfig::default().verdict(text, gold).score;
/// assert_eq!(score("<answer>[2, 6]</answer>", &[4.0, 8.0]), Some(1.0 / 3.0));
/// assert_eq!(score("at [0, 0, 2, 2]", &[0.0, 0.0, 2.0, 2.0]), Some(1.0));
/// assert_eq!(score("nowhere", &[4.0, 8.0]), Some(0.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverlapConfig {
    /// Which overlap is rewarded.
    pub metric: OverlapMetric,
    /// Overlap in (0, 1] from which on it counts as 1, below as 0; none: graded.
    pub threshold: Option<f64>,
}

impl OverlapConfig {
    /// Verdict on a response; see the type for rules and example.
    pub fn verdict(&self, response: &str, gold: &[f64]) -> Verdict {
        if self.of(gold, gold).is_none_or(|overlap| overlap <= 0.0) {
            return Verdict::unscorable("the reference is no box or span of some size");
        }
        let lowest = match (self.metric, self.threshold) {
            (OverlapMetric::Giou, None) => -1.0,
            _ => 0.0,
        };
        let Some(text) = after_thinking(response) else {
            return Verdict::scored(lowest, UNCLOSED_THINKING);
        };
        let text = last_block(text, "answer").unwrap_or(text);
        let Some(answer) = last_list(text, gold.len()) else {
            return Verdict::scored(lowest, format!("no list of {} numbers", gold.len()));
        };
        let verdict = match (self.of(&answer, gold), self.threshold) {
            (None, _) => Verdict::scored(lowest, "an empty box"),
            (Some(overlap), None) => Verdict::scored(overlap, "overlap"),
            (Some(overlap), Some(threshold)) => Verdict::judged(
                overlap >= threshold,
                format!("overlap {overlap}, threshold {threshold}"),
            ),
        };
        verdict
            .extracted(format!("{answer:?}"))
            .normal_forms(format!("{answer:?}"), format!("{gold:?}"))
    }

    /// The overlap of two boxes or spans; `None` if there is none to speak of.
    fn of(&self, a: &[f64], b: &[f64]) -> Option<f64> {
        match (a, b, self.metric) {
            ([a0, a1], [b0, b1], OverlapMetric::Iou) => Some(interval_overlap([*a0, *a1], [*b0, *b1])),
            ([a0, a1, a2, a3], [b0, b1, b2, b3], metric) => {
                let (a, b) = ([*a0, *a1, *a2, *a3], [*b0, *b1, *b2, *b3]);
                match metric {
                    OverlapMetric::Iou => Some(box_overlap(a, b)),
                    OverlapMetric::Giou => box_giou(a, b),
                }
            }
            _ => None,
        }
    }
}

/// The last list of `n` numbers in a text.
fn last_list(text: &str, n: usize) -> Option<Vec<f64>> {
    let mut rest = text;
    while let Some((before, after)) = rest.rsplit_once('[') {
        let numbers = after
            .split_once(']')
            .and_then(|(inside, _)| serde_json::from_str::<Vec<f64>>(&format!("[{inside}]")).ok());
        if let Some(numbers) = numbers.filter(|numbers| numbers.len() == n) {
            return Some(numbers);
        }
        // What lies behind this bracket was looked at.
        rest = before;
    }
    None
}

impl Judge for OverlapConfig {
    fn name(&self) -> &'static str {
        "overlap"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        match serde_json::from_str::<Vec<f64>>(&task.reference) {
            Ok(gold) => self.verdict(response, &gold),
            Err(_) => Verdict::unscorable(format!("task `{}`: the reference is no list of numbers", task.id)),
        }
    }
}

impl Part<dyn Verifier> for OverlapConfig {
    const SOURCE: &'static str = "Intersection over union by definition; generalized: arXiv 1902.09630";

    fn formula(&self) -> String {
        let overlap = match self.metric {
            OverlapMetric::Iou => "IoU",
            OverlapMetric::Giou => "IoU - (hull - union) / hull",
        };
        match self.threshold {
            None => format!("r = {overlap}"),
            Some(threshold) => format!("r = [{overlap} >= {threshold}]"),
        }
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        if let Some(threshold) = self.threshold {
            ParamError::check(
                threshold > 0.0 && threshold <= 1.0,
                "threshold",
                threshold,
                "in (0, 1]",
            )?;
        }
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn giou() -> OverlapConfig {
        OverlapConfig {
            metric: OverlapMetric::Giou,
            threshold: None,
        }
    }

    #[test]
    fn the_last_list_of_the_right_length_is_the_answer() {
        let score = |text: &str| OverlapConfig::default().verdict(text, &[0.0, 10.0]).score;
        for (text, expected) in [
            ("[0, 10]", 1.0),
            ("[0, 5] no, [0.0, 1e1]", 1.0),
            ("[0, 10] of [0, 0, 1, 1]", 1.0),
            ("<answer>[0, 5]</answer> [0, 10]", 0.5),
            ("<think>[0, 10]</think> [0, 5]", 0.5),
            ("<think>[0, 10]", 0.0),
            ("[10, 0]", 0.0),
            ("[5, 5]", 0.0),
            ("[0, \"10\"]", 0.0),
            ("[0, 10", 0.0),
            ("0, 10", 0.0),
            ("[[0, 10]]", 1.0),
            ("[0, 1e999]", 0.0),
        ] {
            assert_eq!(score(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn thresholds_and_generalized_overlaps_are_options() {
        let gold = [0.0, 0.0, 2.0, 2.0];
        let half = OverlapConfig {
            threshold: Some(0.5),
            ..Default::default()
        };
        assert_eq!(half.verdict("[0, 0, 2, 1]", &gold).score, Some(1.0));
        assert_eq!(half.verdict("[0, 0, 2, 0.9]", &gold).score, Some(0.0));
        assert_eq!(giou().verdict("[0, 0, 2, 2]", &gold).score, Some(1.0));
        assert!(
            giou()
                .verdict("[8, 8, 9, 9]", &gold)
                .score
                .is_some_and(|r| r < 0.0)
        );
        for bad in ["[2, 2, 0, 0]", "nothing", "<think>"] {
            assert_eq!(giou().verdict(bad, &gold).score, Some(-1.0), "{bad}");
        }
        assert_eq!(giou().verdict("[0, 1]", &[0.0, 1.0]).score, None);
        for bad in [0.0, 1.5, f64::NAN] {
            let config = OverlapConfig {
                threshold: Some(bad),
                ..Default::default()
            };
            assert!(config.build(&()).is_err());
        }
    }

    #[test]
    fn references_must_have_a_size() {
        let judge = |reference: &str| {
            let task = Task::new("t", "", reference);
            OverlapConfig::default().judge(&task, "[0, 1]").score
        };
        assert_eq!(judge("[0, 2]"), Some(0.5));
        for bad in ["", "[0]", "[2, 0]", "[0, 0, 0, 0]", "{}", "[0, 1, 2]"] {
            assert_eq!(judge(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_overlaps_keep_their_range(
            text in any::<String>(), near in "[\\[\\]0-9,. e-]{0,40}", gold in prop::collection::vec(-9.0..9.0f64, 0..5),
        ) {
            for text in [text, near] {
                for config in [OverlapConfig::default(), giou()] {
                    if let Some(score) = config.verdict(&text, &gold).score {
                        prop_assert!((-1.0..=1.0).contains(&score));
                    }
                }
            }
        }
    }
}
