//! Temporal-R1: overlap of time intervals, or the right choice, each beside its format.

use groupwise_core::answers::first_block;
use groupwise_core::{DataError, ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{interval_overlap, refuse_aborted};

/// Column of a task that makes it one of grounding: its true interval, `[start, end]` in seconds.
const INTERVAL: &str = "interval";
/// Column of a grounding task: length of its video in seconds.
const VIDEO_LENGTH: &str = "video_length";

/// Two verifiable rewards in one run: graded for intervals, 0 or 1 for choices, each mixed with its format.
///
/// # Formula
/// `r = (1 - w) a + w f`.  Tasks with a column `interval` are of grounding: a is [`grounding_accuracy`] of the interval
/// in the reply, f is [`grounding_format`].  The others are of choice: a is [`choice_accuracy`], f is
/// [`choice_format`].
///
/// # Shapes
/// Intervals and video length in seconds, as the columns `interval = [start, end]` and `video_length`; r in [0, 1].
///
/// # Edge cases
/// - Accuracy is graded whatever the format is: numbers without quotation marks fail the format and are read all the
///   same.
/// - An interval that cannot be read has overlap 0.
/// - A grounding task without usable columns, a choice task without reference: unscorable.
/// - A policy may sit at w with its format alone: watch the accuracy apart.
///
/// # Errors
/// Parameters: `format_weight` outside [0, 1], `threshold` outside (0, 1).
///
/// # Source
/// "Reinforcement Learning Tuning for VideoLLMs", arXiv 2506.01908; appletea233/Temporal-R1 @f364f6c8
/// `verl/utils/reward_score/{tvg,r1v}.py`.  A later commit of `tvg.py` (95045b3d) weighs 0.9 and 0.1: `format_weight` of
/// 0.1.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{TemporalR1Config, grounding_accuracy};
/// let config = TemporalR1Config::default();
/// let overlap = grounding_accuracy(Some([2.0, 6.0]), [4.0, 8.0], 10.0, None)?;
/// assert!((overlap - 1.0 / 3.0).abs() < 1e-15);
/// assert!((config.reward(overlap, 1.0) - 2.0 / 3.0).abs() < 1e-15);
/// assert!((config.reward(overlap, 0.0) - 1.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemporalR1Config {
    /// Weight w of the format, in [0, 1].
    pub format_weight: f64,
    /// Overlap in (0, 1) from which on it counts as 1, below as 0; none: graded.
    pub threshold: Option<f64>,
}

impl Default for TemporalR1Config {
    fn default() -> Self {
        Self {
            format_weight: 0.5,
            threshold: None,
        }
    }
}

impl TemporalR1Config {
    /// Checks the parameters.
    ///
    /// # Errors
    /// See [`TemporalR1Config`].
    pub fn validate(&self) -> Result<(), ParamError> {
        let w = self.format_weight;
        ParamError::check((0.0..=1.0).contains(&w), "format_weight", w, "in [0, 1]")?;
        match self.threshold {
            Some(t) => ParamError::check(t > 0.0 && t < 1.0, "threshold", t, "in (0, 1)"),
            None => Ok(()),
        }
    }

    /// `(1 - w) accuracy + w format`.
    pub fn reward(&self, accuracy: f64, format: f64) -> f64 {
        (1.0 - self.format_weight) * accuracy + self.format_weight * format
    }
}

/// Overlap of a predicted with the true interval; 0 without a prediction.
///
/// # Formula
/// [`interval_overlap`], and with a threshold `[overlap >= threshold]`.
///
/// # Shapes
/// Everything in seconds.  Division by the video's length, as the authors do, cancels.
///
/// # Edge cases
/// An empty or reversed interval on either side: 0.
///
/// # Errors
/// A video length that is not above 0 and finite.
///
/// # Source
/// As [`TemporalR1Config`], with an example; `tvg.py` holds the threshold of 0.5 as a comment.
pub fn grounding_accuracy(
    predicted: Option<[f64; 2]>,
    truth: [f64; 2],
    video_length: f64,
    threshold: Option<f64>,
) -> Result<f64, DataError> {
    if !(video_length > 0.0 && video_length.is_finite()) {
        let what = format!("{video_length} is not a finite number > 0");
        return Err(DataError::value("video length", what));
    }
    let overlap = predicted.map_or(0.0, |p| interval_overlap(p, truth));
    Ok(match threshold {
        None => overlap,
        Some(threshold) => f64::from(u8::from(overlap >= threshold)),
    })
}

/// The interval in the first answer block of a reply, a JSON object of `start_time` and `end_time`.
///
/// Both may be numbers or texts of numbers; `None` if anything is wrong or not finite.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::parse_time_interval;
/// let reply = r#"<answer>{"start_time": "2.5", "end_time": 6}</answer>"#;
/// assert_eq!(parse_time_interval(reply), Some([2.5, 6.0]));
/// assert_eq!(parse_time_interval("2.5 to 6"), None);
/// ```
pub fn parse_time_interval(reply: &str) -> Option<[f64; 2]> {
    let answer: Value = serde_json::from_str(first_block(reply, "answer")?.trim()).ok()?;
    let time = |key: &str| {
        let seconds = match answer.get(key)? {
            Value::String(text) => text.trim().parse().ok()?,
            number => number.as_f64()?,
        };
        f64::is_finite(seconds).then_some(seconds)
    };
    Some([time("start_time")?, time("end_time")?])
}

/// 1 if the whole reply is a think block, white space, and an answer block of
/// `{"start_time": "x", "end_time": "y"}` with x and y of digits and dots in quotation marks; else 0.
///
/// White space is free inside the answer, too; only ASCII digits count.
pub fn grounding_format(reply: &str) -> f64 {
    // The thought may itself hold tags; the answer cannot, so it begins after the last thought ends.
    let answer = || {
        let (_, rest) = reply.strip_prefix("<think>")?.rsplit_once("</think>")?;
        rest.trim_start()
            .strip_prefix("<answer>")?
            .strip_suffix("</answer>")
    };
    f64::from(u8::from(answer().is_some_and(is_quoted_interval)))
}

/// True of `{"start_time": "x", "end_time": "y"}`, read from left to right.
fn is_quoted_interval(text: &str) -> bool {
    let after = || {
        let mut rest = after_literal(text, "{")?;
        for (key, end) in [("\"start_time\"", ","), ("\"end_time\"", "}")] {
            let colon = after_literal(rest, key)?;
            let quote = after_literal(colon, ":")?;
            let (number, closed) = after_literal(quote, "\"")?.split_once('"')?;
            if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
                return None;
            }
            rest = after_literal(closed, end)?;
        }
        Some(rest)
    };
    after().is_some_and(|rest| rest.trim().is_empty())
}

/// What follows a literal that may have white space before it.
fn after_literal<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    text.trim_start().strip_prefix(literal)
}

/// 1 if the first answer block, or without one the whole reply, is the reference up to white space at its ends.
pub fn choice_accuracy(reply: &str, reference: &str) -> f64 {
    let answer = first_block(reply, "answer").unwrap_or(reply);
    f64::from(u8::from(answer.trim() == reference.trim()))
}

/// 1 if the whole reply is a think block directly followed by an answer block; else 0.
pub fn choice_format(reply: &str) -> f64 {
    let inner = || reply.strip_prefix("<think>")?.strip_suffix("</answer>");
    f64::from(u8::from(inner().is_some_and(|i| i.contains("</think><answer>"))))
}

impl Part<dyn Verifier> for TemporalR1Config {
    const SOURCE: &'static str =
        "arXiv 2506.01908; appletea233/Temporal-R1 @f364f6c8 verl/utils/reward_score/{tvg,r1v}.py";

    fn formula(&self) -> String {
        let overlap = match self.threshold {
            None => "IoU".to_owned(),
            Some(threshold) => format!("[IoU >= {threshold}]"),
        };
        let w = self.format_weight;
        format!(
            "r = {} a + {w} [format]; a = {overlap} where the task has an `interval`, else [answer = reference]",
            1.0 - w
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        self.validate()?;
        Ok(Box::new(TemporalR1(self.clone())))
    }
}

#[derive(Debug)]
struct TemporalR1(TemporalR1Config);

impl TemporalR1 {
    fn grounding(&self, task: &Task, interval: &Value, reply: &str) -> Result<f64, String> {
        let truth = <[f64; 2]>::deserialize(interval)
            .map_err(|e| format!("task `{}`: column `{INTERVAL}`: {e}", task.id))?;
        let length = task.columns.get(VIDEO_LENGTH).and_then(Value::as_f64);
        let length = length.ok_or_else(|| format!("task `{}` has no number `{VIDEO_LENGTH}`", task.id))?;
        let predicted = parse_time_interval(reply);
        let accuracy = grounding_accuracy(predicted, truth, length, self.0.threshold)
            .map_err(|e| format!("task `{}`: {e}", task.id))?;
        Ok(self.0.reward(accuracy, grounding_format(reply)))
    }

    fn choice(&self, task: &Task, reply: &str) -> Result<f64, String> {
        if task.reference.trim().is_empty() {
            return Err(format!("task `{}` has no reference", task.id));
        }
        let accuracy = choice_accuracy(reply, &task.reference);
        Ok(self.0.reward(accuracy, choice_format(reply)))
    }
}

impl Verifier for TemporalR1 {
    fn name(&self) -> &str {
        "temporal-r1"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        let reply = trajectory.answer();
        let reward = match task.columns.get(INTERVAL) {
            Some(interval) => self.grounding(task, interval, reply),
            None => self.choice(task, reply),
        };
        reward.map_or_else(Score::Unscorable, Score::Value)
    }
}

#[cfg(test)]
#[path = "temporal_r1_tests.rs"]
mod tests;
