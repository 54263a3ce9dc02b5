//! Options of the math verifier.

use serde::{Deserialize, Serialize};

/// Where in a response an answer may stand, and how well it must be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// For training: a box, or what follows "final answer"; malformed LaTeX is no answer.
    #[default]
    Strict,
    /// For evaluation: any place, down to the last number of the text.
    Flexible,
}

/// When boxes are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoxPriority {
    /// Before everything else.
    #[default]
    First,
    /// Together with "final answer ... is"; whichever ends last counts.
    Shared,
}

/// What the name of a variable means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variables {
    /// `f(x)` is not `f(y)`.
    #[default]
    Named,
    /// Variables are matched in the order in which they first stand on each side.
    ByPosition,
}

/// Whether a relation answers a task whose reference is an interval or a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationForSet {
    /// No: echoing the question must not pay.
    #[default]
    Refused,
    /// Yes: `2 < x` meets `(2, \infty)`.
    Accepted,
}

/// 1 if the answer in a response equals the reference as mathematics, else 0.
///
/// # Formula
/// `r = [some reading of the answer equals some reading of the reference]`, decided by the first of: equal trees;
/// exact rationals; both rounded to `decimals` places, if one is written as a decimal; difference that is zero in
/// normal form; the rules for relations, sets, tuples, intervals, matrices and words.
///
/// # Shapes
/// Decimal places for `decimals`; a number of boxes for `max_boxes`.
///
/// # Edge cases
/// - A reference that cannot be read: unscorable.  An answer that cannot be read, or none: 0.
/// - Only text after the last `</think>` counts; a thought that is opened and never closed leaves no answer.
/// - Not proved equal is not equal.  Work is counted, and what exceeds it is wrong with the reason `limit`.
/// - What has no value (`\frac{1}{0}`) equals nothing, itself included.
///
/// # Source
/// Order of extraction and rules of comparison: huggingface/Math-Verify 0.9.0 (commit 5d148cf), as described by the
/// project's requirements; where its verdict is wrong mathematically, the right one is given here instead.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::math::{self, MathConfig};
/// let config = MathConfig::default();
/// let verdict = math::verify(r"\frac{1}{2}", r"Half of it, so \boxed{0.5}.", &config);
/// assert_eq!(verdict.score, Some(1.0));
/// assert_eq!(math::verify("7", r"<think>\boxed{7}</think> I am done.", &config).score, Some(0.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MathConfig {
    /// Where an answer may stand.
    pub profile: Profile,
    /// When boxes are tried (flexible profile).
    pub boxes: BoxPriority,
    /// Decimal places that must agree where a side is written as a decimal, at most 15.
    pub decimals: u32,
    /// What the name of a variable means.
    pub variables: Variables,
    /// Whether a relation meets a reference that is an interval or a set.
    pub relation_for_set: RelationForSet,
    /// Most boxes with different contents in one response; with more of them there is no answer.
    pub max_boxes: usize,
}

impl Default for MathConfig {
    fn default() -> Self {
        Self {
            profile: Profile::Strict,
            boxes: BoxPriority::First,
            decimals: 6,
            variables: Variables::Named,
            relation_for_set: RelationForSet::Refused,
            max_boxes: 5,
        }
    }
}

impl MathConfig {
    /// The defaults with the flexible profile, for evaluation.
    pub fn flexible() -> Self {
        Self {
            profile: Profile::Flexible,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Part;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn options_survive_json_and_out_of_range_ones_are_refused(decimals in 0..40_u32, max_boxes in 0..9_usize) {
            let config = MathConfig { decimals, max_boxes, ..MathConfig::flexible() };
            let json = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(&serde_json::from_str::<MathConfig>(&json).unwrap(), &config);
            prop_assert_eq!(config.build(&()).is_ok(), decimals <= 15 && max_boxes >= 1);
        }
    }

    #[test]
    fn names_of_options_are_stable() {
        let json = serde_json::to_value(MathConfig::default()).unwrap();
        assert_eq!(
            (&json["profile"], &json["boxes"]),
            (&"strict".into(), &"first".into())
        );
        assert_eq!(
            (&json["variables"], &json["relation_for_set"]),
            (&"named".into(), &"refused".into())
        );
        assert!(serde_json::from_str::<MathConfig>(r#"{"profil": "strict"}"#).is_err());
    }
}
