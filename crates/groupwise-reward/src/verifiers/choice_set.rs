//! Choice set: several right options, partial credit for naming some of them and no wrong one.

use std::collections::BTreeSet;

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::blocks::blocks;
use super::refuse_aborted;

/// What a right but incomplete answer earns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credit {
    /// The share of the right options that it names.
    #[default]
    Soft,
    /// Nothing.
    Hard,
}

/// Reward for naming some, all or none of the right options.
///
/// # Formula
/// With p the options named and g the right ones, both as sets: `soft` `r = |p| / |g|` if p is a subset of g and not
/// empty, else 0; `hard` `r = [p = g]`.
///
/// # Shapes
/// Reward in [0, 1].  Of answer and reference alike, options are what stands between commas, semicolons and white space.
///
/// # Edge cases
/// - Duplicates and blanks count for nothing; case matters.
/// - One wrong option: 0, whatever else is named.
/// - No right option: unscorable.
///
/// # Source
/// TW-GRPO (arXiv 2505.24718), multi-level soft reward; `src/open_r1/grpo.py` of longmalongma/TW-GRPO.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{Credit, choice_set_reward};
/// let soft = |named: &[&str]| choice_set_reward(named, &["A", "C"], Credit::Soft);
/// assert_eq!([soft(&["A"]), soft(&["C", "A", "A"]), soft(&["A", "B"]), soft(&[])].map(Option::unwrap), [0.5, 1.0, 0.0, 0.0]);
/// assert_eq!(choice_set_reward(&["A"], &["A", "C"], Credit::Hard), Some(0.0));
/// assert_eq!(choice_set_reward(&["A"], &[" "], Credit::Soft), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChoiceSetConfig {
    /// What a right but incomplete answer earns.
    pub credit: Credit,
}

/// The reward of the options named; `None` if there is no right option.
///
/// See [`ChoiceSetConfig`] for the rules and an example.
pub fn choice_set_reward<S: AsRef<str>>(named: &[S], gold: &[S], credit: Credit) -> Option<f64> {
    let (named, gold) = (options(named), options(gold));
    if gold.is_empty() {
        return None;
    }
    Some(match credit {
        Credit::Soft if named.is_subset(&gold) => named.len() as f64 / gold.len() as f64,
        Credit::Soft => 0.0,
        Credit::Hard => f64::from(u8::from(named == gold)),
    })
}

fn options<S: AsRef<str>>(named: &[S]) -> BTreeSet<&str> {
    named
        .iter()
        .map(|option| option.as_ref().trim())
        .filter(|option| !option.is_empty())
        .collect()
}

/// The options listed in a text.
fn listed(text: &str) -> Vec<&str> {
    text.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace())
        .collect()
}

impl Part<dyn Verifier> for ChoiceSetConfig {
    const SOURCE: &'static str = "TW-GRPO, arXiv 2505.24718; src/open_r1/grpo.py of longmalongma/TW-GRPO";

    fn formula(&self) -> String {
        match self.credit {
            Credit::Soft => "r = |named| / |right| if every option named is right, else 0",
            Credit::Hard => "r = [options named = right options]",
        }
        .to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(ChoiceSet(self.credit)))
    }
}

#[derive(Debug)]
struct ChoiceSet(Credit);

impl Verifier for ChoiceSet {
    fn name(&self) -> &str {
        "choice-set"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        let (named, gold) = (listed(trajectory.answer()), listed(&task.reference));
        match choice_set_reward(&named, &gold, self.0) {
            Some(reward) => Score::Value(reward),
            None => Score::Unscorable(format!("task `{}` has no right option", task.id)),
        }
    }
}

/// True if a text is one think block followed by one answer block and nothing else: TW-GRPO's format reward, added to
/// that of the options.
///
/// # Formula
/// `<think>..</think> <answer>..</answer>`, each tag exactly once, white space allowed around the blocks.
///
/// # Edge cases
/// Blocks may be empty.  Text before, between or after the blocks: false.
///
/// # Source
/// TW-GRPO (arXiv 2505.24718), as specified; the pattern of Open-R1 also accepts further blocks inside.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::has_think_answer_format;
/// assert!(has_think_answer_format("<think>both</think>\n<answer>A, C</answer>\n"));
/// assert!(!has_think_answer_format("<think>both</think> so: <answer>A, C</answer>"));
/// ```
pub fn has_think_answer_format(text: &str) -> bool {
    blocks(text, ["think", "answer"]).is_some_and(|(before, _)| before.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::trajectory;
    use super::*;

    fn sets() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
        let set = |low| prop::collection::vec("[A-D]", low..6);
        (set(0), set(1))
    }

    fn reward(named: &[String], gold: &[String], credit: Credit) -> f64 {
        choice_set_reward(named, gold, credit).expect("there is a right option")
    }

    proptest! {
        #[test]
        fn soft_is_0_or_a_multiple_of_one_over_the_right_ones_and_never_below_hard((named, gold) in sets()) {
            let distinct = gold.iter().collect::<BTreeSet<_>>().len() as f64;
            let (soft, hard) = (reward(&named, &gold, Credit::Soft), reward(&named, &gold, Credit::Hard));
            let k = soft * distinct;
            prop_assert!((0.0..=1.0).contains(&soft) && (k - k.round()).abs() < 1e-12);
            prop_assert!(soft >= hard && (hard == 1.0) == (soft == 1.0) && [0.0, 1.0].contains(&hard));
            // The definition, literally.
            let right = named.iter().collect::<BTreeSet<_>>();
            let all_right = right.iter().all(|o| gold.contains(o));
            let expected = if all_right { right.len() as f64 / distinct } else { 0.0 };
            prop_assert_eq!(soft, expected);
        }

        #[test]
        fn adding_a_wrong_option_never_helps((named, gold) in sets()) {
            for credit in [Credit::Soft, Credit::Hard] {
                let more = [named.clone(), vec!["E".to_owned()]].concat();
                prop_assert_eq!(reward(&more, &gold, credit), 0.0);
            }
        }

        #[test]
        fn order_duplicates_and_blanks_change_nothing((named, gold) in sets()) {
            let mut other: Vec<String> = named.iter().rev().map(|o| format!(" {o}\n")).collect();
            other.extend(named.iter().cloned().chain([String::new(), "  ".to_owned()]));
            for credit in [Credit::Soft, Credit::Hard] {
                prop_assert_eq!(reward(&named, &gold, credit), reward(&other, &gold, credit));
            }
        }
    }

    fn score(credit: Credit, answer: &str, reference: &str) -> Score {
        let verifier = ChoiceSetConfig { credit }.build(&()).expect("valid");
        let task = Task::new("t", "", reference);
        verifier.score(&task, &trajectory(&[(answer, 0.0)], StopReason::EndToken))
    }

    #[test]
    fn answers_and_references_are_lists() {
        for (answer, soft, hard) in [
            ("A", 0.5, 0.0),
            ("C;A", 1.0, 1.0),
            (" A,\tC , ", 1.0, 1.0),
            ("A B", 0.0, 0.0),
            ("a", 0.0, 0.0),
            ("", 0.0, 0.0),
        ] {
            assert_eq!(
                score(Credit::Soft, answer, "A, C"),
                Score::Value(soft),
                "{answer}"
            );
            assert_eq!(
                score(Credit::Hard, answer, "A, C"),
                Score::Value(hard),
                "{answer}"
            );
        }
        assert_eq!(
            score(Credit::Soft, "A", " ,"),
            Score::Unscorable("task `t` has no right option".to_owned())
        );
    }

    #[test]
    fn the_formula_says_what_incomplete_answers_earn() {
        let formula = |credit| ChoiceSetConfig { credit }.formula();
        assert_eq!(
            formula(Credit::Soft),
            "r = |named| / |right| if every option named is right, else 0"
        );
        assert_eq!(formula(Credit::Hard), "r = [options named = right options]");
    }

    #[test]
    fn the_format_is_one_think_block_and_one_answer_block_at_the_end() {
        for good in [
            "<think>a</think><answer>A</answer>",
            " \n<think>\na\n</think>\n\n<answer>\nA\n</answer> \n",
            "<think></think><answer></answer>",
        ] {
            assert!(has_think_answer_format(good), "{good}");
        }
        for bad in [
            "",
            "<answer>A</answer>",
            "<think>a</think>",
            "<answer>A</answer><think>a</think>",
            "x<think>a</think><answer>A</answer>",
            "<think>a</think>x<answer>A</answer>",
            "<think>a</think><answer>A</answer>x",
            "<think>a</think><think>b</think><answer>A</answer>",
            "<think>a</think></think><answer>A</answer>",
            "<think>a</think><answer>A</answer><answer>B</answer>",
            "<think>a</think><answer>A</answer></answer>",
            "<think>a<answer>A</think></answer>",
        ] {
            assert!(!has_think_answer_format(bad), "{bad}");
        }
    }
}
