//! Answer recall: how many of the reference's words the answer holds.

use std::collections::BTreeMap;

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::{references, refuse_aborted};
use crate::qa::normal_form;

/// Which part of the last action is the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerPart {
    /// What stands between the last `<answer>` and `</answer>`; without them there is no answer.
    #[default]
    Tag,
    /// All of it.
    Whole,
}

/// Step-GRPO's reward of an answer, intermediate or final.
///
/// # Formula
/// Of the references, the one with the best F1 of words against the answer (the first of equals); `recall` of it.
/// One reference of more than `short_gold` words: `r = recall`.  Else: `r = [recall = 1]`.  Words are those of
/// [`normalize_answer`], counted as often as they occur.
///
/// # Shapes
/// In [0, 1].  References: the task's `reference`, a text or a JSON list of texts, and the texts of its columns
/// `references` and `golds`, if there.
///
/// # Edge cases
/// - Precision plays no part: a long answer that holds the reference earns all of it.  Pair it with a limit on length.
/// - Empty answer, or no answer tag: 0.
/// - A reference without words: recall 0.  A task without any reference word: unscorable.
///
/// # Source
/// R1-Router, arXiv 2505.22095; OpenBMB/R1-Router, `Easy-R1/verl/utils/reward_score/step.py`.  Which number words the
/// authors replace was not seen: zero to ten here.
///
/// # Example
/// ```
/// use groupwise_reward::answer_recall;
/// assert_eq!(answer_recall(&["red", "lamp"], &[&["red", "lamp"]], 5), 1.0);
/// assert_eq!(answer_recall(&["red"], &[&["red", "lamp"]], 5), 0.0);
/// assert_eq!(answer_recall(&["red"], &[&["red", "lamp"]], 1), 0.5);
/// assert_eq!(answer_recall(&["lamp"], &[&["chair"], &["lamp"]], 5), 1.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerRecallConfig {
    /// Longest reference, in words, that must be held whole.
    pub short_gold: usize,
    /// Which part of the last action is the answer.
    pub answer: AnswerPart,
}

impl Default for AnswerRecallConfig {
    fn default() -> Self {
        Self {
            short_gold: 5,
            answer: AnswerPart::Tag,
        }
    }
}

/// Reward of an answer given as words; see [`AnswerRecallConfig`] for formula and example.
///
/// Without references: 0.
pub fn answer_recall<S: AsRef<str>, G: AsRef<[S]>>(answer: &[S], references: &[G], short_gold: usize) -> f64 {
    let mut available: BTreeMap<&str, usize> = BTreeMap::new();
    for word in answer {
        *available.entry(word.as_ref()).or_default() += 1;
    }
    let mut best = (0.0, 0.0);
    for reference in references.iter().map(AsRef::as_ref) {
        let mut left = available.clone();
        let held = |word: &&S| match left.get_mut(word.as_ref()) {
            Some(n) if *n > 0 => {
                *n -= 1;
                true
            }
            _ => false,
        };
        let common = reference.iter().filter(held).count() as f64;
        if common > 0.0 {
            // 2 p r / (p + r) with p = common / answer, r = common / reference.
            let f1 = 2.0 * common / (answer.len() + reference.len()) as f64;
            if f1 > best.0 {
                best = (f1, common / reference.len() as f64);
            }
        }
    }
    match references {
        [one] if one.as_ref().len() > short_gold => best.1,
        _ => f64::from(u8::from(best.1 == 1.0)),
    }
}

/// Words of a text: those of its [`normal_form`], zero to ten as digits.
///
/// # Example
/// ```
/// use groupwise_reward::normalize_answer;
/// assert_eq!(normalize_answer("The  Three red-lamps, a U.S. one."), ["3", "redlamps", "us", "1"]);
/// ```
pub fn normalize_answer(text: &str) -> Vec<String> {
    const NUMBERS: [&str; 11] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    normal_form(text)
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| match NUMBERS.iter().position(|n| *n == word) {
            Some(n) => n.to_string(),
            None => word.to_owned(),
        })
        .collect()
}

/// What stands in the last complete answer tag.
fn tagged(text: &str) -> Option<&str> {
    const OPEN: &str = "<answer>";
    let before = &text[..text.rfind("</answer>")?];
    Some(&before[before.rfind(OPEN)? + OPEN.len()..])
}

impl Part<dyn Verifier> for AnswerRecallConfig {
    const SOURCE: &'static str =
        "Step-GRPO, arXiv 2505.22095; OpenBMB/R1-Router Easy-R1/verl/utils/reward_score/step.py";

    fn formula(&self) -> String {
        let place = match self.answer {
            AnswerPart::Tag => "the last answer tag",
            AnswerPart::Whole => "the whole action",
        };
        format!(
            "r = recall of the best reference by F1, for one of more than {} words; else [recall = 1]; answer: {place}",
            self.short_gold
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(AnswerRecall(self.clone())))
    }
}

#[derive(Debug)]
struct AnswerRecall(AnswerRecallConfig);

impl Verifier for AnswerRecall {
    fn name(&self) -> &str {
        "answer-recall"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        let mut references: Vec<_> = references(task).iter().map(|r| normalize_answer(r)).collect();
        references.retain(|words| !words.is_empty());
        if references.is_empty() {
            return Score::Unscorable(format!("task `{}` has no reference", task.id));
        }
        let action = trajectory.answer();
        let answer = match self.0.answer {
            AnswerPart::Whole => Some(action),
            AnswerPart::Tag => tagged(action),
        };
        let words = answer.map(normalize_answer).unwrap_or_default();
        Score::Value(answer_recall(&words, &references, self.0.short_gold))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::trajectory;
    use super::*;

    fn words() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 0..8)
    }

    #[test]
    fn words_are_counted_and_long_references_pay_in_parts() {
        let long = ["the", "tall", "red", "lamp", "stands", "near", "desk"];
        let answer = ["a", "long", "red", "lamp", "on", "desk"];
        assert_eq!(answer_recall(&answer, &[long], 5), 3.0 / 7.0);
        assert_eq!(answer_recall(&answer, &[long], 6), 3.0 / 7.0);
        assert_eq!(answer_recall(&answer, &[long], 7), 0.0);
        // Two references are all or nothing, whatever their length.
        assert_eq!(answer_recall(&answer, &[long, long], 5), 0.0);
        assert_eq!(answer_recall(&long, &[long, long], 5), 1.0);
        // A word counts as often as it occurs on both sides.
        assert_eq!(answer_recall(&["x"], &[["x", "x"]], 1), 0.5);
        assert_eq!(answer_recall(&["x", "x", "x"], &[["x", "x"]], 1), 1.0);
        assert_eq!(answer_recall(&[], &[["x"]], 0), 0.0);
        assert_eq!(answer_recall(&["x"], &[[""; 0]], 0), 0.0);
        assert_eq!(answer_recall::<&str, [&str; 1]>(&["x"], &[], 5), 0.0);
    }

    #[test]
    fn the_reference_of_best_f1_decides_and_of_equals_the_first() {
        // F1 against [x y] is 2/4, against [x u v w] 2/6: the better one is held by half only.
        let partly = [vec!["x", "u", "v", "w"], vec!["x", "y"]];
        assert_eq!(answer_recall(&["x", "z"], &partly, 5), 0.0);
        assert_eq!(answer_recall(&["x", "z"], &[vec!["x"], vec!["x", "y"]], 5), 1.0);
        // F1 is 4/6 against [x y p q], recall 1/2, and 2/3 against [x], recall 1: equal, so the first one decides.
        let (half, whole) = (vec!["x", "y", "p", "q"], vec!["x"]);
        assert_eq!(answer_recall(&["x", "y"], &[half.clone(), whole.clone()], 5), 0.0);
        assert_eq!(answer_recall(&["x", "y"], &[whole, half], 5), 1.0);
    }

    #[test]
    fn with_several_references_more_words_can_cost_the_reward() {
        // The specification's "adding words never lowers the reward" holds for one reference only.
        let references = [vec!["a", "b", "d"], vec!["c"]];
        assert_eq!(answer_recall(&["c"], &references, 5), 1.0);
        assert_eq!(answer_recall(&["c", "a", "b"], &references, 5), 0.0);
    }

    #[test]
    fn text_is_normalized_and_the_last_tag_counts() {
        assert_eq!(
            normalize_answer("Ten an THE a zero, eleven!"),
            ["10", "0", "eleven"]
        );
        assert_eq!(normalize_answer(" \n"), [""; 0]);
        assert_eq!(tagged("<answer>x</answer> <answer> y </answer>"), Some(" y "));
        assert_eq!(tagged("<answer>x"), None);
        assert_eq!(tagged("x</answer>"), None);
        assert_eq!(tagged("</answer><answer>x"), None);
    }

    #[test]
    fn tasks_are_judged_by_their_references() {
        let judge = |config: AnswerRecallConfig, task: &Task, action: &str| {
            config
                .build(&())
                .unwrap()
                .score(task, &trajectory(&[(action, 0.0)], StopReason::EndToken))
        };
        let default = AnswerRecallConfig::default;
        let mut task = Task::new("t", "", "The Red Lamp");
        assert_eq!(
            judge(default(), &task, "It is <answer>a red lamp!</answer>"),
            Score::Value(1.0)
        );
        assert_eq!(judge(default(), &task, "a red lamp"), Score::Value(0.0), "no tag");
        assert_eq!(judge(default(), &task, "<answer></answer>"), Score::Value(0.0));
        let whole = AnswerRecallConfig {
            answer: AnswerPart::Whole,
            ..default()
        };
        assert_eq!(judge(whole, &task, "a red lamp"), Score::Value(1.0));
        let partly = AnswerRecallConfig {
            short_gold: 1,
            ..default()
        };
        assert_eq!(judge(partly, &task, "<answer>red</answer>"), Score::Value(0.5));
        task.columns
            .insert("references".into(), serde_json::json!(["one chair", 3]));
        assert_eq!(
            judge(default(), &task, "<answer>1 chair</answer>"),
            Score::Value(1.0)
        );
        task.reference = "the".into();
        assert_eq!(
            judge(default(), &task, "<answer>1 chair</answer>"),
            Score::Value(1.0)
        );
        task.columns.clear();
        assert_eq!(
            judge(default(), &task, "<answer>the</answer>"),
            Score::Unscorable("task `t` has no reference".into())
        );
    }

    #[test]
    fn the_formula_prints_the_choices() {
        assert_eq!(
            AnswerRecallConfig::default().formula(),
            "r = recall of the best reference by F1, for one of more than 5 words; else [recall = 1]; answer: the last \
             answer tag"
        );
        let whole: AnswerRecallConfig =
            serde_json::from_str(r#"{"answer": "whole", "short_gold": 0}"#).unwrap();
        assert!(
            whole
                .formula()
                .ends_with("more than 0 words; else [recall = 1]; answer: the whole action")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn rewards_are_in_the_unit_interval(
            answer in words(), references in prop::collection::vec(words(), 0..3), short in 0usize..6,
        ) {
            prop_assert!((0.0..=1.0).contains(&answer_recall(&answer, &references, short)));
        }

        #[test]
        fn adding_words_never_lowers_the_reward_of_one_reference(
            answer in words(), more in words(), reference in words(), short in 0usize..6,
        ) {
            let longer = [answer.clone(), more].concat();
            let one = [reference];
            prop_assert!(answer_recall(&longer, &one, short) >= answer_recall(&answer, &one, short));
        }

        #[test]
        fn the_order_of_words_does_not_matter(answer in words(), reference in words(), short in 0usize..6) {
            let reversed: Vec<_> = answer.iter().rev().copied().collect();
            let one = [reference];
            prop_assert_eq!(answer_recall(&reversed, &one, short), answer_recall(&answer, &one, short));
        }
    }
}
