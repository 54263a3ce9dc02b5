//! Countdown: an expression that reaches a target with given numbers.

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::last_block;
use crate::arithmetic::Expression;
use crate::response::{Judge, Judged, UNCLOSED_THINKING, after_thinking};
use crate::verdict::Verdict;

/// Marks of a prompt that ends where the response begins; what precedes the first one is cut.
const PROMPT_ENDS: [&str; 2] = ["Assistant:", "<|im_start|>assistant"];

/// Where the answer tag may stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerLine {
    /// On the last line, opened and closed there.
    #[default]
    Last,
    /// Anywhere behind the thinking.
    Any,
}

/// Reward of an expression for a target.
///
/// # Formula
/// `r = 1` if the last answer tag holds an expression of exactly the given numbers, each once, whose exact value is the
/// target; `format_score` if it holds anything else; 0 without a tag.
///
/// # Shapes
/// A task has columns `numbers` (a list of whole numbers) and `target`, or a reference
/// `{"numbers": [..], "target": ..}`.
///
/// # Edge cases
/// - Only `+ - * /` and brackets, a sign before a value included: powers and whole quotients are wrong.
/// - "1 + 2 + 3 = 6" is no expression: wrong.
/// - With [`AnswerLine::Last`] a tag that spans lines or is followed by a line break is none.
/// - A text that repeats its prompt is read from the first `Assistant:` or `<|im_start|>assistant` on.
/// - Numbers or target missing, negative numbers, fractions: unscorable.
///
/// # Errors
/// Parameters: `format_score` outside [0, 1).
///
/// # Source
/// Jiayi-Pan/TinyZero @95df88f2dcb0 `verl/utils/reward_score/countdown.py`; its filter lets `2 ** 3` and `4 // 2`
/// through and compares floating point within 1e-5.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::CountdownConfig;
/// let countdown = CountdownConfig::default();
/// let score = |answer| countdown.verdict(answer, &[1, 5, 5, 5], 24).score;
/// assert_eq!(score("So: <answer>5 * (5 - 1 / 5)</answer>"), Some(1.0));
/// assert_eq!(score("<answer>5 * 5 - 1</answer>"), Some(0.1));
/// assert_eq!(score("5 * (5 - 1 / 5)"), Some(0.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CountdownConfig {
    /// What a tagged but wrong answer earns, in [0, 1).
    pub format_score: f64,
    /// Where the answer tag may stand.
    pub answer: AnswerLine,
}

impl Default for CountdownConfig {
    fn default() -> Self {
        Self {
            format_score: 0.1,
            answer: AnswerLine::Last,
        }
    }
}

impl CountdownConfig {
    /// Verdict on a response; see the type for rules and example.
    pub fn verdict(&self, response: &str, numbers: &[u64], target: i64) -> Verdict {
        let begun = PROMPT_ENDS
            .iter()
            .find_map(|mark| response.split_once(mark))
            .map_or(response, |(_, rest)| rest);
        let Some(text) = after_thinking(begun) else {
            return Verdict::judged(false, UNCLOSED_THINKING);
        };
        let place = match self.answer {
            AnswerLine::Last => text.rsplit('\n').next().unwrap_or(text),
            AnswerLine::Any => text,
        };
        let Some(answer) = last_block(place, "answer").map(str::trim) else {
            return Verdict::judged(false, "no answer tag where it must stand");
        };
        match reach(answer, numbers, target) {
            Ok(form) => {
                Verdict::judged(true, "these numbers, and the target").normal_forms(form, target.to_string())
            }
            Err(reason) => Verdict::scored(self.format_score, reason),
        }
        .extracted(answer)
    }
}

/// The expression as it is understood, or why it does not reach the target.
fn reach(answer: &str, numbers: &[u64], target: i64) -> Result<String, String> {
    let expression = Expression::parse(answer).map_err(|e| format!("no expression: {e}"))?;
    let mut used: Vec<u64> = expression.numbers().collect();
    if used.len() != numbers.len() {
        return Err(format!("{} numbers instead of {}", used.len(), numbers.len()));
    }
    let mut given = numbers.to_vec();
    used.sort_unstable();
    given.sort_unstable();
    if used != given {
        return Err(format!("numbers {used:?} instead of {given:?}"));
    }
    let value = expression.value().map_err(|e| e.to_string())?;
    match value.is(i128::from(target)) {
        true => Ok(expression.to_string()),
        false => Err(format!("{expression} is {value}, not {target}")),
    }
}

/// Numbers and target of a task.
fn puzzle(task: &Task) -> Option<(Vec<u64>, i64)> {
    let reference: Value = serde_json::from_str(&task.reference).unwrap_or_default();
    let field = |key: &str| task.columns.get(key).or_else(|| reference.get(key));
    let numbers = field("numbers")?.as_array()?.iter().map(Value::as_u64);
    Some((numbers.collect::<Option<_>>()?, field("target")?.as_i64()?))
}

impl Judge for CountdownConfig {
    fn name(&self) -> &'static str {
        "countdown"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        match puzzle(task) {
            Some((numbers, target)) if !numbers.is_empty() => self.verdict(response, &numbers, target),
            _ => Verdict::unscorable(format!("task `{}` has no whole `numbers` and `target`", task.id)),
        }
    }
}

impl Part<dyn Verifier> for CountdownConfig {
    const SOURCE: &'static str =
        "Jiayi-Pan/TinyZero @95df88f2dcb0 verl/utils/reward_score/countdown.py, with exact arithmetic";

    fn formula(&self) -> String {
        let place = match self.answer {
            AnswerLine::Last => "on the last line",
            AnswerLine::Any => "anywhere behind the thinking",
        };
        format!(
            "r = 1 if the last answer tag {place} reaches the target with the given numbers, each once; else {}; 0 \
             without a tag",
            self.format_score
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        let wrong = self.format_score;
        ParamError::check((0.0..1.0).contains(&wrong), "format_score", wrong, "in [0, 1)")?;
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn verdict(response: &str, numbers: &[u64], target: i64) -> Verdict {
        CountdownConfig::default().verdict(response, numbers, target)
    }

    #[test]
    fn answers_are_right_wrong_or_missing() {
        for (response, expected) in [
            ("<answer>(2 + 6) * 3</answer>", 1.0),
            ("<answer>3*6+2*3</answer>", 0.1),
            ("<answer>6 * 3</answer>", 0.1),
            ("<answer>24</answer>", 0.1),
            ("<answer>26 - 2</answer>", 0.1),
            ("<answer>(2 + 6) ** 3</answer>", 0.1),
            ("<answer>(2 + 6) * 3 = 24</answer>", 0.1),
            ("<answer></answer>", 0.1),
            ("<answer>6 / 0 + 2 + 3</answer>", 0.1),
            ("(2 + 6) * 3", 0.0),
            ("<answer>(2 + 6) * 3", 0.0),
            ("<answer>3 * (6 + 2)</answer> or <answer>6</answer>", 0.1),
            ("so\n<answer>3 * (6 + 2)</answer>", 1.0),
            ("<think>a</think>\n<answer>3 * (6 + 2)</answer>", 1.0),
            ("<think>\n<answer>3 * (6 + 2)</answer>", 0.0),
            (
                "User: <answer>1</answer>\nAssistant: hm\n<answer>3 * (6 + 2)</answer>",
                1.0,
            ),
            ("Try <answer>3 * (6 + 2)</answer> Assistant: hm", 0.0),
        ] {
            let verdict = verdict(response, &[3, 2, 6], 24);
            assert_eq!(verdict.score, Some(expected), "{response}: {}", verdict.reason);
        }
    }

    #[test]
    fn the_line_of_the_answer_is_an_option() {
        let any = CountdownConfig {
            answer: AnswerLine::Any,
            ..Default::default()
        };
        for response in [
            "<answer>1 + 2</answer>\n",
            "<answer>1 + 2\n</answer>",
            "<answer>1 + 2</answer>\nDone.",
        ] {
            assert_eq!(verdict(response, &[1, 2], 3).score, Some(0.0), "{response}");
            assert_eq!(any.verdict(response, &[1, 2], 3).score, Some(1.0), "{response}");
        }
    }

    #[test]
    fn a_verdict_tells_the_deciding_step() {
        let reason = |answer: &str| verdict(&format!("<answer>{answer}</answer>"), &[1, 2], 3).reason;
        assert_eq!(reason("2 - 1"), "2 - 1 is 1, not 3");
        assert_eq!(reason("1 + 1"), "numbers [1, 1] instead of [1, 2]");
        assert_eq!(reason("3"), "1 numbers instead of 2");
        assert_eq!(reason("1 x 2"), "no expression: byte 2 is out of place");
        let right = verdict("<answer>((1)+2)</answer>", &[2, 1], 3);
        assert_eq!(right.normal_form.as_deref(), Some("1 + 2"));
        assert_eq!(right.extracted.as_deref(), Some("((1)+2)"));
    }

    #[test]
    fn puzzles_stand_in_columns_or_in_the_reference() {
        let judge = |reference: &str, columns: Value| {
            let mut task = Task::new("t", "", reference);
            if let Value::Object(columns) = columns {
                task.columns = columns;
            }
            CountdownConfig::default()
                .judge(&task, "<answer>1 - 2</answer>")
                .score
        };
        assert_eq!(judge("", json!({"numbers": [1, 2], "target": -1})), Some(1.0));
        assert_eq!(
            judge(r#"{"numbers": [2, 1], "target": -1}"#, json!({})),
            Some(1.0)
        );
        for (reference, columns) in [
            ("", json!({})),
            ("-1", json!({"numbers": [1, 2]})),
            ("", json!({"numbers": [1, -2], "target": -1})),
            ("", json!({"numbers": [1, 2], "target": 0.5})),
            ("", json!({"numbers": [], "target": 0})),
            ("[", json!({"target": 0})),
        ] {
            assert_eq!(judge(reference, columns), None, "{reference}");
        }
    }

    proptest! {
        #[test]
        fn any_text_earns_one_of_three_scores(
            response in "(<answer>|</answer>|<think>|</think>|\n|[-+*/()0-9 ]{1,3}){0,20}",
            numbers in prop::collection::vec(0u64..4, 1..4), target in -3i64..9,
        ) {
            let score = verdict(&response, &numbers, target).score.unwrap();
            prop_assert!([0.0, 0.1, 1.0].contains(&score));
            let mut turned = numbers.clone();
            turned.reverse();
            prop_assert_eq!(Some(score), verdict(&response, &turned, target).score);
        }

        #[test]
        fn no_text_panics(response in any::<String>()) {
            verdict(&response, &[1], 1);
            verdict(&format!("<answer>{response}</answer>"), &[1], 1);
        }
    }
}
