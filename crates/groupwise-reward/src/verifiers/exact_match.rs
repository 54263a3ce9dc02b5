//! Exact match: the last action equals the reference.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::refuse_aborted;

/// Whether upper and lower case differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// They differ.
    #[default]
    Sensitive,
    /// Both sides are put to lower case first, by Unicode's mapping, whatever the language.
    Insensitive,
}

/// What is done to white space (as Unicode defines it) of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whitespace {
    /// Nothing.
    Keep,
    /// Removed at both ends.
    #[default]
    Trim,
    /// Removed at both ends, every run inside becomes one space.
    Collapse,
}

/// 1 if the answer equals the reference, else 0.
///
/// # Formula
/// `r = [normalize(answer) = normalize(reference)]`.
///
/// # Edge cases
/// - Reference empty after normalization: unscorable (an empty answer must not win a task without a reference).
/// - The answer is the last action of the trajectory, without end token; no turn reads as an empty answer.
/// - No Unicode normalization form is applied: a composed and a decomposed accent differ.
///
/// # Source
/// Exact match of SQuAD (arXiv 1606.05250), without its removal of articles and punctuation.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{exact_match, Case, Whitespace};
/// assert_eq!(exact_match(" Forty two\n", "forty two", Case::Insensitive, Whitespace::Trim), Some(true));
/// assert_eq!(exact_match("42", "43", Case::Sensitive, Whitespace::Trim), Some(false));
/// assert_eq!(exact_match("", "", Case::Sensitive, Whitespace::Trim), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExactMatchConfig {
    /// Whether upper and lower case differ.
    pub case: Case,
    /// What is done to white space.
    pub whitespace: Whitespace,
}

/// True if both sides are equal after normalization; `None` if the reference is empty then.
///
/// See [`ExactMatchConfig`] for the rules and an example.
pub fn exact_match(answer: &str, reference: &str, case: Case, whitespace: Whitespace) -> Option<bool> {
    let reference = normalize(reference, case, whitespace);
    (!reference.is_empty()).then(|| normalize(answer, case, whitespace) == reference)
}

fn normalize(text: &str, case: Case, whitespace: Whitespace) -> String {
    let spaced = match whitespace {
        Whitespace::Keep => text.to_owned(),
        Whitespace::Trim => text.trim().to_owned(),
        Whitespace::Collapse => text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    match case {
        Case::Sensitive => spaced,
        Case::Insensitive => spaced.to_lowercase(),
    }
}

impl Part<dyn Verifier> for ExactMatchConfig {
    const SOURCE: &'static str =
        "Exact match, as SQuAD (arXiv 1606.05250) without removal of articles and punctuation";

    fn formula(&self) -> String {
        let case = match self.case {
            Case::Sensitive => "case counts",
            Case::Insensitive => "case ignored",
        };
        let whitespace = match self.whitespace {
            Whitespace::Keep => "white space kept",
            Whitespace::Trim => "white space trimmed",
            Whitespace::Collapse => "white space collapsed",
        };
        format!("r = [answer = reference], {case}, {whitespace}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(ExactMatch(self.clone())))
    }
}

#[derive(Debug)]
struct ExactMatch(ExactMatchConfig);

impl Verifier for ExactMatch {
    fn name(&self) -> &str {
        "exact-match"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        let answer = trajectory.answer();
        match exact_match(answer, &task.reference, self.0.case, self.0.whitespace) {
            Some(equal) => Score::Value(f64::from(u8::from(equal))),
            None => Score::Unscorable(format!("task `{}` has no reference", task.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::trajectory;
    use super::*;

    const CASES: [Case; 2] = [Case::Sensitive, Case::Insensitive];
    const SPACES: [Whitespace; 3] = [Whitespace::Keep, Whitespace::Trim, Whitespace::Collapse];

    proptest! {
        #[test]
        fn a_reference_matches_itself_unless_empty(text in any::<String>()) {
            for (case, space) in CASES.into_iter().flat_map(|c| SPACES.map(|s| (c, s))) {
                prop_assert_ne!(exact_match(&text, &text, case, space), Some(false));
            }
        }

        #[test]
        fn the_verdict_is_symmetric(a in "[aA ]{0,4}", b in "[aA ]{0,4}") {
            for (case, space) in CASES.into_iter().flat_map(|c| SPACES.map(|s| (c, s))) {
                let (ab, ba) = (exact_match(&a, &b, case, space), exact_match(&b, &a, case, space));
                prop_assert!(ab == ba || ab.is_none() || ba.is_none());
            }
        }

        #[test]
        fn looser_rules_accept_whatever_stricter_ones_do(a in "[aA ]{1,5}", b in "[aA ]{1,5}") {
            for case in CASES {
                let accepts = |s| exact_match(&a, &b, case, s) == Some(true);
                let empty = b.trim().is_empty();
                prop_assert!(!accepts(Whitespace::Keep) || accepts(Whitespace::Trim) || empty);
                prop_assert!(!accepts(Whitespace::Trim) || accepts(Whitespace::Collapse));
            }
        }
    }

    #[test]
    fn options_change_the_verdict() {
        let verdict = |case, space| exact_match(" A  b\t", "a b", case, space);
        assert_eq!(verdict(Case::Insensitive, Whitespace::Collapse), Some(true));
        assert_eq!(verdict(Case::Sensitive, Whitespace::Collapse), Some(false));
        assert_eq!(verdict(Case::Insensitive, Whitespace::Trim), Some(false));
        assert_eq!(
            exact_match(" a", " a", Case::Sensitive, Whitespace::Keep),
            Some(true)
        );
        assert_eq!(
            exact_match("ÄÖ", "äö", Case::Insensitive, Whitespace::Trim),
            Some(true)
        );
        assert_eq!(
            exact_match("\u{e9}", "e\u{301}", Case::Sensitive, Whitespace::Trim),
            Some(false)
        );
    }

    #[test]
    fn the_last_action_is_judged_and_an_empty_reference_is_unscorable() {
        let verifier = ExactMatchConfig::default().build(&()).unwrap();
        let episode = trajectory(&[("4", 0.0), ("5 ", 0.0)], StopReason::EndToken);
        assert_eq!(
            verifier.score(&Task::new("t", "", "5"), &episode),
            Score::Value(1.0)
        );
        assert_eq!(
            verifier.score(&Task::new("t", "", "4"), &episode),
            Score::Value(0.0)
        );
        assert_eq!(
            verifier.score(&Task::new("t9", "", " \n"), &episode),
            Score::Unscorable("task `t9` has no reference".to_owned())
        );
        let silent = trajectory(&[], StopReason::Length);
        assert_eq!(
            verifier.score(&Task::new("t", "", "4"), &silent),
            Score::Value(0.0)
        );
    }

    #[test]
    fn a_typo_is_answered_with_the_known_names() {
        let error = serde_json::from_str::<ExactMatchConfig>(r#"{"case": "lower"}"#).unwrap_err();
        assert!(error.to_string().contains("`insensitive`"), "{error}");
        assert_eq!(
            ExactMatchConfig::default().formula(),
            "r = [answer = reference], case counts, white space trimmed"
        );
    }
}
