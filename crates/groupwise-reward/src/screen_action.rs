//! Actions on a screen, and how near one comes to another (SEAgent's step reward).

use std::collections::BTreeMap;

use groupwise_core::DataError;
use serde::{Deserialize, Serialize};

use crate::geometry::{BoxCorners, shared_and_united};

/// A point on the screen: x and y, both in [0, 1].
pub type Point = [f64; 2];

/// One action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ScreenAction {
    /// Click.
    #[serde(alias = "left_click")]
    Click {
        /// Where.
        at: Point,
    },
    /// Double click.
    #[serde(alias = "double_click", alias = "left_double")]
    Double {
        /// Where.
        at: Point,
    },
    /// Click with the right button.
    #[serde(alias = "right_click", alias = "right_single")]
    Right {
        /// Where.
        at: Point,
    },
    /// Move the pointer.
    Hover {
        /// Where.
        at: Point,
    },
    /// Drag.
    Drag {
        /// From where.
        #[serde(alias = "start")]
        from: Point,
        /// To where.
        #[serde(alias = "end")]
        to: Point,
    },
    /// Select what lies between two points.
    Select {
        /// From where.
        #[serde(alias = "start")]
        from: Point,
        /// To where.
        #[serde(alias = "end")]
        to: Point,
    },
    /// Type a text.
    Type {
        /// The text.
        text: String,
    },
    /// Press keys together.
    Hotkey {
        /// Their names.
        #[serde(alias = "key", alias = "keys")]
        text: String,
    },
    /// Press one key.
    Press {
        /// Its name.
        #[serde(alias = "key")]
        text: String,
    },
    /// Scroll.
    Scroll {
        /// The direction.
        #[serde(alias = "direction")]
        text: String,
    },
    /// Do nothing.
    Wait,
    /// Declare the task done.
    Finished,
}

/// Longest n-gram of the text score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextOrder {
    /// Four characters, so that no text below four characters scores anything (authors' code).
    #[default]
    Four,
    /// As many as the target has, at most four.
    Shorter,
}

/// Reward of one action against the target.
///
/// # Formula
/// 0 if the types differ or the prediction could not be read; else 1 + near.  Pointing: `near = 1 - |dx| - |dy|`.
/// Drag and select: intersection over union of the boxes spanned by the end points, 0 if the union is empty.  Texts:
/// [`character_bleu`].  Wait and finished: 0.
///
/// # Shapes
/// Coordinates in [0, 1]; the reward lies in [0, 2].
///
/// # Edge cases
/// Pointing at opposite corners: `near` = -1, hence reward 0.
///
/// # Source
/// `grpo_gui.py` of SEAgent (SunzeY/SEAgent at c8887f15).  There every drag falls into an exception and gets 0; the
/// intended overlap is computed here.
///
/// # Example
/// ```
/// use groupwise_reward::screen_action::{ScreenAction, TextOrder, action_reward};
/// let target = ScreenAction::Click { at: [0.5, 0.4] };
/// let near = ScreenAction::Click { at: [0.52, 0.43] };
/// assert!((action_reward(Some(&near), &target, TextOrder::Four) - 1.95).abs() < 1e-12);
/// assert_eq!(action_reward(Some(&ScreenAction::Wait), &target, TextOrder::Four), 0.0);
/// ```
pub fn action_reward(prediction: Option<&ScreenAction>, target: &ScreenAction, order: TextOrder) -> f64 {
    use ScreenAction::{
        Click, Double, Drag, Finished, Hotkey, Hover, Press, Right, Scroll, Select, Type, Wait,
    };
    let Some(prediction) = prediction else { return 0.0 };
    let near = match (prediction, target) {
        (Click { at: p }, Click { at: q })
        | (Double { at: p }, Double { at: q })
        | (Right { at: p }, Right { at: q })
        | (Hover { at: p }, Hover { at: q }) => 1.0 - (p[0] - q[0]).abs() - (p[1] - q[1]).abs(),
        (Drag { from: a, to: b }, Drag { from: c, to: d })
        | (Select { from: a, to: b }, Select { from: c, to: d }) => box_overlap((*a, *b), (*c, *d)),
        (Type { text: p }, Type { text: q })
        | (Hotkey { text: p }, Hotkey { text: q })
        | (Press { text: p }, Press { text: q })
        | (Scroll { text: p }, Scroll { text: q }) => character_bleu(p, q, order),
        (Wait, Wait) | (Finished, Finished) => 0.0,
        _ => return 0.0,
    };
    1.0 + near
}

/// Reward of a reply of several actions: pairs in order, over the number of target actions.
///
/// # Formula
/// `sum_j action_reward(prediction_j, target_j) / n_targets`.
///
/// # Edge cases
/// Surplus predictions earn nothing, missing ones 0.
///
/// # Errors
/// No target.
///
/// # Source
/// Ours: the authors' code sums without dividing, so that long replies exceed 2.
pub fn reply_reward(
    predictions: &[Option<ScreenAction>],
    targets: &[ScreenAction],
    order: TextOrder,
) -> Result<f64, DataError> {
    if targets.is_empty() {
        return Err(DataError::value("targets", "must hold at least one action"));
    }
    let pairs = predictions.iter().zip(targets);
    let sum: f64 = pairs.map(|(p, t)| action_reward(p.as_ref(), t, order)).sum();
    Ok(sum / targets.len() as f64)
}

/// Intersection over union of two boxes, each spanned by two opposite corners in any order.
///
/// # Edge cases
/// A union without area: 0.
///
/// # Example
/// ```
/// use groupwise_reward::screen_action::box_overlap;
/// let overlap = box_overlap(([0.0, 0.0], [0.5, 0.5]), ([0.5, 0.5], [0.25, 0.0]));
/// assert_eq!(overlap, 0.5);
/// ```
pub fn box_overlap(first: (Point, Point), second: (Point, Point)) -> f64 {
    let corners = |(a, b): (Point, Point)| -> BoxCorners {
        [a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])]
    };
    let (both, union) = shared_and_united(corners(first), corners(second));
    if union > 0.0 { both / union } else { 0.0 }
}

/// BLEU over characters.
///
/// # Formula
/// `b (prod_(n = 1..=N) p_n)^(1/N)` with the clipped precision `p_n` of n-grams, totals at least 1, and
/// `b = 1` if the candidate is longer than the target, else `exp(1 - |target| / max(1, |candidate|))`.
///
/// # Edge cases
/// 0 if any precision is 0: with [`TextOrder::Four`] every text below four characters, equal ones too.  An empty
/// target: 0.
///
/// # Source
/// `grpo_gui.py` of SEAgent; `shorter` is ours.
///
/// # Example
/// ```
/// use groupwise_reward::screen_action::{TextOrder, character_bleu};
/// assert!((character_bleu("hello word", "hello world", TextOrder::Four) - 0.8176129039).abs() < 1e-9);
/// assert_eq!(character_bleu("up", "up", TextOrder::Four), 0.0);
/// assert_eq!(character_bleu("up", "up", TextOrder::Shorter), 1.0);
/// ```
pub fn character_bleu(candidate: &str, target: &str, order: TextOrder) -> f64 {
    let (candidate, target): (Vec<char>, Vec<char>) = (candidate.chars().collect(), target.chars().collect());
    let longest = match order {
        TextOrder::Four => 4,
        TextOrder::Shorter => target.len().min(4),
    };
    if longest == 0 {
        return 0.0;
    }
    let mut product = 1.0;
    for n in 1..=longest {
        let (mine, theirs) = (n_grams(&candidate, n), n_grams(&target, n));
        let matched: usize = mine
            .iter()
            .map(|(gram, count)| (*count).min(theirs.get(gram).copied().unwrap_or(0)))
            .sum();
        let total: usize = mine.values().sum();
        product *= matched as f64 / total.max(1) as f64;
    }
    let brevity = if candidate.len() > target.len() {
        1.0
    } else {
        (1.0 - target.len() as f64 / candidate.len().max(1) as f64).exp()
    };
    brevity * product.powf(1.0 / longest as f64)
}

fn n_grams(text: &[char], n: usize) -> BTreeMap<&[char], usize> {
    let mut counts = BTreeMap::new();
    for gram in text.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOUR: TextOrder = TextOrder::Four;

    fn point() -> impl Strategy<Value = Point> {
        (0.0..=1.0f64, 0.0..=1.0f64).prop_map(|(x, y)| [x, y])
    }

    fn action() -> impl Strategy<Value = ScreenAction> {
        let text = "[a-c]{0,7}";
        prop_oneof![
            point().prop_map(|at| ScreenAction::Click { at }),
            point().prop_map(|at| ScreenAction::Double { at }),
            point().prop_map(|at| ScreenAction::Right { at }),
            point().prop_map(|at| ScreenAction::Hover { at }),
            (point(), point()).prop_map(|(from, to)| ScreenAction::Drag { from, to }),
            (point(), point()).prop_map(|(from, to)| ScreenAction::Select { from, to }),
            text.prop_map(|text| ScreenAction::Type { text }),
            text.prop_map(|text| ScreenAction::Hotkey { text }),
            text.prop_map(|text| ScreenAction::Press { text }),
            text.prop_map(|text| ScreenAction::Scroll { text }),
            Just(ScreenAction::Wait),
            Just(ScreenAction::Finished),
        ]
    }

    fn tag(action: &ScreenAction) -> String {
        serde_json::to_value(action).unwrap()["type"].to_string()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_reward_lies_between_zero_and_two_and_other_types_get_nothing(p in action(), q in action()) {
            let reward = action_reward(Some(&p), &q, FOUR);
            prop_assert!((-1e-12..=2.0 + 1e-12).contains(&reward));
            if tag(&p) != tag(&q) {
                prop_assert_eq!(reward, 0.0);
            }
            prop_assert_eq!(action_reward(None, &q, FOUR), 0.0);
        }

        #[test]
        fn the_target_itself_earns_most(p in action(), q in action()) {
            for order in [FOUR, TextOrder::Shorter] {
                let best = action_reward(Some(&q), &q, order);
                prop_assert!(action_reward(Some(&p), &q, order) <= best + 1e-12);
            }
        }

        #[test]
        fn overlap_is_symmetric_and_does_not_care_for_the_order_of_corners(
            a in point(), b in point(), c in point(), d in point(),
        ) {
            let overlap = box_overlap((a, b), (c, d));
            let crossed = ([d[0], c[1]], [c[0], d[1]]);
            for other in [box_overlap((c, d), (a, b)), box_overlap((b, a), (c, d)), box_overlap((a, b), crossed)] {
                prop_assert!((overlap - other).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn boxes() {
        let unit = ([0.0, 0.0], [1.0, 1.0]);
        assert_eq!(box_overlap(unit, unit), 1.0);
        assert_eq!(box_overlap(unit, ([0.0, 0.0], [0.5, 0.5])), 0.25);
        assert_eq!(
            box_overlap(([0.0, 0.0], [0.4, 0.4]), ([0.6, 0.6], [1.0, 1.0])),
            0.0
        );
        assert_eq!(
            box_overlap(([0.0, 0.0], [0.4, 0.4]), ([0.0, 0.6], [0.4, 1.0])),
            0.0
        );
        assert_eq!(
            box_overlap(([0.3, 0.3], [0.3, 0.9]), ([0.3, 0.3], [0.3, 0.9])),
            0.0
        );
    }

    #[test]
    fn texts() {
        // Four characters of five: p = 4/5, 3/4, 2/3, 1/2; the candidate is longer, so no brevity factor.
        let expected = (0.8_f64 * 0.75 * (2.0 / 3.0) * 0.5).powf(0.25);
        assert!((character_bleu("abcdx", "abcd", FOUR) - expected).abs() < 1e-12);
        // The other way round all precisions are 1 and brevity is exp(1 - 5/4).
        assert!((character_bleu("abcd", "abcdx", FOUR) - (-0.25_f64).exp()).abs() < 1e-12);
        // Clipping: four a of the candidate against one of the target.
        assert_eq!(character_bleu("aaaa", "abcd", FOUR), 0.0);
        assert!((character_bleu("aaa", "ab", TextOrder::Shorter)).abs() < 1e-12);
        assert!(
            (character_bleu("aab", "ab", TextOrder::Shorter) - (2.0_f64 / 3.0 * 0.5).sqrt()).abs() < 1e-12
        );
        assert_eq!(character_bleu("down", "down", FOUR), 1.0);
        for (candidate, target) in [("", ""), ("", "abcd"), ("abcd", ""), ("ok", "ok")] {
            assert_eq!(
                character_bleu(candidate, target, FOUR),
                0.0,
                "{candidate} {target}"
            );
        }
        assert_eq!(character_bleu("", "", TextOrder::Shorter), 0.0);
    }

    #[test]
    fn replies_are_divided_by_the_number_of_targets() {
        let click = |x: f64| ScreenAction::Click { at: [x, 0.5] };
        let targets = [click(0.5), ScreenAction::Wait];
        let reward = |predictions: &[Option<ScreenAction>]| reply_reward(predictions, &targets, FOUR);
        assert_eq!(reward(&[Some(click(0.5)), Some(ScreenAction::Wait)]), Ok(1.5));
        assert_eq!(reward(&[Some(click(0.75))]), Ok(0.875));
        assert_eq!(
            reward(&[None, Some(ScreenAction::Wait), Some(click(0.5))]),
            Ok(0.5)
        );
        assert_eq!(
            reply_reward(&[], &[], FOUR).unwrap_err().to_string(),
            "targets: must hold at least one action"
        );
    }

    #[test]
    fn actions_read_as_tagged_tables() {
        let read = |json: &str| serde_json::from_str::<ScreenAction>(json).ok();
        assert_eq!(
            read(r#"{"type": "left_double", "at": [0.1, 0.2]}"#),
            Some(ScreenAction::Double { at: [0.1, 0.2] })
        );
        assert_eq!(
            read(r#"{"type": "drag", "start": [0, 0], "end": [1, 1]}"#),
            Some(ScreenAction::Drag {
                from: [0.0, 0.0],
                to: [1.0, 1.0]
            })
        );
        assert_eq!(read(r#"{"type": "click"}"#), None);
        assert_eq!(read(r#"{"type": "wait"}"#), Some(ScreenAction::Wait));
    }
}
