//! VLAA-Thinker: one reward per type of question, all in [0, 1], and no reward for the format.

use groupwise_core::answers::first_block;
use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::refuse_aborted;
use crate::geometry::{BoxCorners, box_overlap};

/// What a question asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuestionType {
    /// An integer.
    #[default]
    Digit,
    /// A letter.
    Option,
    /// A box.
    Box,
    /// Words, graded by a scorer.
    Open,
}

/// A reward per type of question.
///
/// # Formula
/// `digit`: [`digit_matches`]; `option`: [`letter_matches`]; `box`: [`box_overlap`]; `open`: [`open_reward`] with
/// `beta`.
///
/// # Shapes
/// r in [0, 1].  The type stands in the task's column `type`, else it is `default_type`.  The answer stands in the
/// first answer block, the gold in the reference, a box as `[x1, y1, x2, y2]`.  For `open` the environment's return is
/// the scorer's value of the reply, and the column `reference_score` that of the reference.
///
/// # Edge cases
/// - No answer block: 0 for every type, which stands in for a reward of the format.
/// - No reference, a gold of another form than its type, an unknown type, no `reference_score`: unscorable.
///
/// # Errors
/// Parameters: `beta` not finite or not > 0.
///
/// # Source
/// "SFT or RL?", arXiv 2504.11468, section 4.1.  No training code was published: the grammars of numbers and letters
/// are ours, the value of `beta` is reconstructed, formulas are left to other verifiers.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{box_overlap, digit_matches, letter_matches, open_reward};
/// assert!(digit_matches(" 3", "3") && letter_matches("(b)", "B"));
/// assert!((box_overlap([0.1, 0.2, 0.7, 0.5], [0.1, 0.2, 0.6, 0.6]) - 0.6521739130434782).abs() < 1e-15);
/// assert!((open_reward(1.5, 0.5, 1.0) - 0.6321205588285577).abs() < 1e-15);
/// assert_eq!(open_reward(0.4, 0.5, 1.0), 0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VlaaThinkerConfig {
    /// How soon the reward of an open question saturates, > 0.
    pub beta: f64,
    /// Type of a question whose task does not name one.
    pub default_type: QuestionType,
}

impl Default for VlaaThinkerConfig {
    fn default() -> Self {
        Self {
            beta: 1.0,
            default_type: QuestionType::Digit,
        }
    }
}

/// True if both texts are the same integer.
///
/// # Edge cases
/// White space around, a sign and leading zeros are allowed, any number of digits; "3.0" and "three" are no integers.
/// Two texts that are not integers are not equal.
///
/// See [`VlaaThinkerConfig`] for source and example.
pub fn digit_matches(answer: &str, gold: &str) -> bool {
    integer(answer).is_some_and(|answer| Some(answer) == integer(gold))
}

/// Sign and digits without leading zeros; zero has no digits and no sign.
fn integer(text: &str) -> Option<(bool, &str)> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let significant = digits.trim_start_matches('0');
    is_number.then_some((negative && !significant.is_empty(), significant))
}

/// True if both texts name the same option.
///
/// # Formula
/// White space around, an opening bracket or none, one letter from A to Z, a closing bracket or none, a dot or none;
/// upper and lower case alike.
///
/// # Edge cases
/// "C) cat" names no option.  Two texts that name none are not equal.
///
/// See [`VlaaThinkerConfig`] for source and example.
pub fn letter_matches(answer: &str, gold: &str) -> bool {
    letter(answer).is_some_and(|answer| Some(answer) == letter(gold))
}

fn letter(text: &str) -> Option<char> {
    let text = text.trim();
    let text = text.strip_prefix(['(', '[']).unwrap_or(text);
    let text = text.strip_suffix('.').unwrap_or(text);
    let text = text.strip_suffix([')', ']']).unwrap_or(text);
    let mut chars = text.chars();
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    chars.next().is_none().then(|| letter.to_ascii_uppercase())
}

/// Reward of an open question by what a scorer says about response and reference.
///
/// # Formula
/// `1 - exp(-beta (S - S_ref))` if `S > S_ref`, else 0.
///
/// # Edge cases
/// A value that is not a number: 0.  The reward is below 1, but can round to it.
///
/// See [`VlaaThinkerConfig`] for source and example.
pub fn open_reward(score: f64, reference_score: f64, beta: f64) -> f64 {
    if score > reference_score {
        -(-beta * (score - reference_score)).exp_m1()
    } else {
        0.0
    }
}

/// Corners from their text, `[x1, y1, x2, y2]` with or without brackets.
fn corners(text: &str) -> Option<BoxCorners> {
    let text = text.trim();
    let inside = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    let numbers: Vec<f64> = inside
        .split(',')
        .map(|item| item.trim().parse().ok())
        .collect::<Option<_>>()?;
    numbers.try_into().ok()
}

impl VlaaThinkerConfig {
    fn judge(&self, task: &Task, trajectory: &Trajectory) -> Result<f64, String> {
        let kind = match task.columns.get("type") {
            None => self.default_type,
            Some(named) => QuestionType::deserialize(named).map_err(|e| format!("column `type`: {e}"))?,
        };
        let answer = first_block(trajectory.answer(), "answer");
        let gold = task.reference.as_str();
        let no_gold = |what: &str| format!("the reference is not {what}");
        let flag = |holds: bool| f64::from(u8::from(holds));
        match kind {
            QuestionType::Digit => {
                integer(gold).ok_or_else(|| no_gold("an integer"))?;
                Ok(flag(answer.is_some_and(|answer| digit_matches(answer, gold))))
            }
            QuestionType::Option => {
                letter(gold).ok_or_else(|| no_gold("an option"))?;
                Ok(flag(answer.is_some_and(|answer| letter_matches(answer, gold))))
            }
            QuestionType::Box => {
                let gold = corners(gold)
                    .filter(|c| box_overlap(*c, *c) > 0.0)
                    .ok_or_else(|| no_gold("a box"))?;
                Ok(answer
                    .and_then(corners)
                    .map_or(0.0, |found| box_overlap(found, gold)))
            }
            QuestionType::Open => {
                let reference = task
                    .columns
                    .get("reference_score")
                    .and_then(serde_json::Value::as_f64);
                let reference = reference.ok_or("no column `reference_score` of numbers")?;
                let score = trajectory.environment_return();
                Ok(answer.map_or(0.0, |_| open_reward(score, reference, self.beta)))
            }
        }
    }
}

impl Part<dyn Verifier> for VlaaThinkerConfig {
    const SOURCE: &'static str = "VLAA-Thinker, arXiv 2504.11468, section 4.1; grammars of answers are ours";

    fn formula(&self) -> String {
        let default = match self.default_type {
            QuestionType::Digit => "digit",
            QuestionType::Option => "option",
            QuestionType::Box => "box",
            QuestionType::Open => "open",
        };
        format!(
            "r = by column `type`, else {default}: [same integer]; [same letter]; IoU; max(0, 1 - exp(-{} (S - S_ref)))",
            self.beta
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        ParamError::check(
            self.beta.is_finite() && self.beta > 0.0,
            "beta",
            self.beta,
            "a finite number > 0",
        )?;
        Ok(Box::new(VlaaThinker(self.clone())))
    }
}

#[derive(Debug)]
struct VlaaThinker(VlaaThinkerConfig);

impl Verifier for VlaaThinker {
    fn name(&self) -> &str {
        "vlaa-thinker"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        match self.0.judge(task, trajectory) {
            Ok(reward) => Score::Value(reward),
            Err(why) => Score::Unscorable(format!("task `{}`: {why}", task.id)),
        }
    }
}

#[cfg(test)]
#[path = "vlaa_thinker_tests.rs"]
mod tests;
