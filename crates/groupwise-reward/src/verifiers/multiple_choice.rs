//! Multiple choice: the one letter a response settles on.

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::{Deserialize, Serialize};

use super::last_block;
use crate::choice::{Choice, find_choice};
use crate::response::{Judge, Judged, UNCLOSED_THINKING, after_thinking};
use crate::verdict::Verdict;

/// 1 for the right letter, 0 for another one, none or several.
///
/// # Formula
/// `r = [the letter the response settles on = reference]`; which one that is: [`find_choice`].
///
/// # Shapes
/// The reference is a letter.  Options: the task's column `options`, by default A to D; where these are not single
/// letters, they are lettered from A in their order.
///
/// # Edge cases
/// - The last `<answer>` block behind the thinking is read, or all of it without one.
/// - A reference that is no option: unscorable.
///
/// # Source
/// The order of places is that of huggingface/Math-Verify @5d148cfaaf99 (`StringExtractionConfig`).  It takes A from
/// "A or B" and from the article in "A man walked in"; here these are no answer.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::MultipleChoiceConfig;
/// let score = |response| MultipleChoiceConfig::default().verdict(response, &["A", "B", "C"], "B").score;
/// assert_eq!(score("A looks good, but the answer is (b)."), Some(1.0));
/// assert_eq!(score("A or B"), Some(0.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultipleChoiceConfig {}

/// The choice a whole response makes, by index into the options; see [`MultipleChoiceConfig`] and [`find_choice`].
///
/// # Example
/// ```
/// use groupwise_reward::choice::Choice;
/// use groupwise_reward::verifiers::choice_of_response;
/// let choice = choice_of_response("<think>A</think><answer>B</answer>", &['A', 'B']);
/// assert!(matches!(choice, Choice::Option { index: 1, .. }));
/// ```
pub fn choice_of_response(response: &str, options: &[char]) -> Choice {
    match after_thinking(response) {
        None => Choice::Missing(UNCLOSED_THINKING),
        Some(text) => find_choice(last_block(text, "answer").unwrap_or(text), options),
    }
}

impl MultipleChoiceConfig {
    /// Verdict on a response; see the type for rules and example.
    pub fn verdict<S: AsRef<str>>(&self, response: &str, options: &[S], reference: &str) -> Verdict {
        let letters = letters(options);
        let Some(right) = single_letter(reference).filter(|letter| letters.contains(letter)) else {
            return Verdict::unscorable(format!("the reference `{reference}` is no option"));
        };
        match choice_of_response(response, &letters) {
            Choice::Missing(reason) => Verdict::judged(false, reason),
            Choice::Option { index, place } => {
                let letter = letters.get(index).copied().unwrap_or_default();
                Verdict::judged(letter == right, place)
                    .extracted(letter)
                    .normal_forms(letter, right)
            }
        }
    }
}

/// The letter a text is, in upper case.
fn single_letter(text: &str) -> Option<char> {
    let mut chars = text.trim().chars();
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    chars.next().is_none().then_some(letter.to_ascii_uppercase())
}

/// Letters of options: their own, or A, B, C.. in order.
pub fn letters<S: AsRef<str>>(options: &[S]) -> Vec<char> {
    let own: Option<Vec<char>> = options.iter().map(|o| single_letter(o.as_ref())).collect();
    own.unwrap_or_else(|| ('A'..='Z').take(options.len()).collect())
}

impl Judge for MultipleChoiceConfig {
    fn name(&self) -> &'static str {
        "multiple-choice"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        let column = task.columns.get("options").and_then(|o| o.as_array());
        let options: Vec<&str> = match column {
            Some(options) => options.iter().map(|o| o.as_str().unwrap_or_default()).collect(),
            None => vec!["A", "B", "C", "D"],
        };
        self.verdict(response, &options, &task.reference)
    }
}

impl Part<dyn Verifier> for MultipleChoiceConfig {
    const SOURCE: &'static str =
        "Order of places of huggingface/Math-Verify @5d148cfaaf99; lists and articles are no answer";

    fn formula(&self) -> String {
        "r = [the one letter the response settles on = reference]; several letters are no answer".to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn judge(columns: serde_json::Value, reference: &str, response: &str) -> Verdict {
        let mut task = Task::new("t", "", reference);
        if let serde_json::Value::Object(columns) = columns {
            task.columns = columns;
        }
        MultipleChoiceConfig::default().judge(&task, response)
    }

    #[test]
    fn options_are_letters_or_get_them() {
        let letters = json!({"options": ["q", "R"]});
        assert_eq!(judge(letters.clone(), "Q", "Answer: q").score, Some(1.0));
        assert_eq!(judge(letters, "A", "Answer: q").score, None);
        let texts = json!({"options": ["a red lamp", "a chair", "x"]});
        assert_eq!(judge(texts.clone(), "c", "Answer: C").score, Some(1.0));
        assert_eq!(judge(texts, "D", "Answer: D").score, None);
        assert_eq!(judge(json!({}), "D", "Answer: D").score, Some(1.0));
        assert_eq!(judge(json!({}), "", "Answer: D").score, None);
    }

    #[test]
    fn a_verdict_names_the_place() {
        let right = judge(json!({}), "B", "<think>A</think>So <answer>B</answer>");
        assert_eq!((right.score, right.extracted.as_deref()), (Some(1.0), Some("B")));
        assert_eq!(right.reason, "a letter that stands alone");
        let wrong = judge(json!({}), "B", "The answer is C.");
        assert_eq!(
            (wrong.score, wrong.reason.as_ref()),
            (Some(0.0), "after `answer`")
        );
        assert_eq!(judge(json!({}), "A", "<think>A").reason, UNCLOSED_THINKING);
        assert_eq!(judge(json!({}), "A", "<think>A</think>").score, Some(0.0));
    }

    proptest! {
        #[test]
        fn a_letter_at_an_answer_is_found_whatever_was_thought(
            thought in "[a-zA-D .,\n]{0,40}", letter in prop::sample::select(vec!['A', 'B', 'C', 'D']),
        ) {
            let response = format!("<think>{thought}</think> Thus the answer is {letter}.");
            let choice = choice_of_response(&response, &['A', 'B', 'C', 'D']);
            let found = matches!(choice, Choice::Option { index, .. } if "ABCD".chars().nth(index) == Some(letter));
            prop_assert!(found, "{choice:?}");
        }
    }
}
