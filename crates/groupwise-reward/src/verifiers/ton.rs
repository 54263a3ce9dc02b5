//! TON: think or not - dropped thoughts, a reward that accepts empty ones, and where the choice drifts.

use groupwise_core::answers::first_block;
use groupwise_core::{DataError, ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::refuse_unjudgeable;
use super::uav_vl_r1::tagged_answer_matches;

/// Where in a reply the answer may stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerPlace {
    /// In the first answer block.
    #[default]
    Tag,
    /// In the first answer block or anywhere in the text, between characters that are neither letters nor digits.
    Anywhere,
}

/// Right answer and format, with nothing for a thought and nothing against one.
///
/// # Formula
/// `r = [right answer] + f`; f = [`ton_format`].
///
/// # Shapes
/// r in {0, 1, 2}.
///
/// # Edge cases
/// - An empty thought is well formed.
/// - Answers compare as in [`UavVlR1Config`](super::UavVlR1Config); under `anywhere` the reference may also stand
///   anywhere in the text, in either case.
/// - A task without reference: unscorable.
///
/// # Source
/// TON, arXiv 2505.16854; kokolerk/TON at 22102c28, `src/r1-v/src/open_r1/grpo.py`, whose comparison accepts an answer
/// that it finds anywhere in the text (`anywhere` here).  The tightened `tag` is the default: under `anywhere` a reply
/// that lists every candidate wins.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{skips_thought, ton_format};
/// let (skip, think) = ("<think>\n\n</think><answer>3</answer>", "<think>1 + 2</think> <answer>3</answer>");
/// assert_eq!([skip, think].map(ton_format), [1.0, 1.0]);
/// assert_eq!([skip, think].map(skips_thought), [true, false]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TonConfig {
    /// Where the answer may stand.
    pub answer: AnswerPlace,
}

/// 1 if the whole text is a think block, white space and an answer block; else 0.
///
/// # Formula
/// The pattern `<think>.*?</think>\s*<answer>.*?</answer>` on the whole text, the dot matching line ends.
///
/// # Edge cases
/// - Empty blocks are blocks.  Text around the blocks, white space included, fails.
/// - As in the authors' code the dot also matches tags: further blocks inside the two are accepted.
///
/// See [`TonConfig`] for source and example.
pub fn ton_format(text: &str) -> f64 {
    const SEAM: &str = "</think>";
    let inside = text
        .strip_prefix("<think>")
        .and_then(|rest| rest.strip_suffix("</answer>"));
    let has_seam = |inside: &str| {
        inside
            .match_indices(SEAM)
            .any(|(at, _)| inside[at + SEAM.len()..].trim_start().starts_with("<answer>"))
    };
    f64::from(u8::from(inside.is_some_and(has_seam)))
}

/// True if the first think block holds nothing but white space; a text without one does not skip it.
///
/// See [`TonConfig`] for source and example.
pub fn skips_thought(text: &str) -> bool {
    first_block(text, "think").is_some_and(|thought| thought.trim().is_empty())
}

/// The reference stands somewhere, and no letter or digit touches it.
fn stands_anywhere(text: &str, reference: &str) -> bool {
    let (text, reference) = (text.to_lowercase(), reference.trim().to_lowercase());
    let free = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(&reference).any(|(at, found)| {
        free(text[..at].chars().next_back()) && free(text[at + found.len()..].chars().next())
    })
}

/// Thought dropout: which traces of a fine-tuning set lose their thought.
///
/// # Formula
/// A trace with draw u in [0, 1) loses its thought if `u < p`.
///
/// # Edge cases
/// p = 0 keeps every thought, p = 1 drops every one.
///
/// # Errors
/// Parameters: `p` outside [0, 1].  Data: a draw outside [0, 1).
///
/// # Source
/// TON; `sft_grpo_data.py` of kokolerk/TON at 22102c28 keeps below 0.5, which is the same law at its p = 0.5.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::ThoughtDropout;
/// let dropout = ThoughtDropout::new(0.5)?;
/// assert_eq!(dropout.trace(0.49, "t", "2")?, "<think>\n\n</think><answer>2</answer>");
/// assert_eq!(dropout.trace(0.5, "t", "2")?, "<think>t</think><answer>2</answer>");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThoughtDropout {
    p: f64,
}

impl ThoughtDropout {
    /// Dropout with this probability.
    ///
    /// # Errors
    /// See [`ThoughtDropout`].
    pub fn new(p: f64) -> Result<Self, ParamError> {
        ParamError::check((0.0..=1.0).contains(&p), "p", p, "in [0, 1]")?;
        Ok(Self { p })
    }

    /// True if the trace with this draw loses its thought.
    ///
    /// # Errors
    /// See [`ThoughtDropout`].
    pub fn drops(&self, draw: f64) -> Result<bool, DataError> {
        if (0.0..1.0).contains(&draw) {
            Ok(draw < self.p)
        } else {
            Err(DataError::value("draw", format!("is {draw}, expected in [0, 1)")))
        }
    }

    /// The trace with this draw, in its tags.
    ///
    /// # Errors
    /// See [`ThoughtDropout`].
    pub fn trace(&self, draw: f64, thought: &str, answer: &str) -> Result<String, DataError> {
        let thought = if self.drops(draw)? { "\n\n" } else { thought };
        Ok(format!("<think>{thought}</think><answer>{answer}</answer>"))
    }
}

/// A policy that skips its thought with some probability, and what it gets either way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SkipChoice {
    /// Probability of skipping.
    pub skip_prob: f64,
    /// Share of right answers when it skips.
    pub acc_skip: f64,
    /// Share of right answers when it thinks.
    pub acc_think: f64,
    /// Tokens of a reply when it skips, > 0.
    pub len_skip: f64,
    /// Tokens of a reply when it thinks, > 0.
    pub len_think: f64,
}

impl SkipChoice {
    /// Expected step of the logit of skipping, per reply and unit learning rate.
    ///
    /// # Formula
    /// `s (1 - s) (a_s - a_t) ((1 - s) / L_s + s / L_t)`: a gradient step of the loss that averages each reply over
    /// its own tokens, the advantage centred and not divided, large groups.
    ///
    /// # Edge cases
    /// 0 for s in {0, 1} and for equal accuracies, whatever the lengths: they change the speed only.
    ///
    /// # Errors
    /// A probability outside [0, 1]; a length that is not finite or not > 0.
    ///
    /// # Source
    /// Derived for this library from TON's loss (`vllm_grpo_trainer_modified.py` of kokolerk/TON at 22102c28).
    ///
    /// # Example
    /// ```
    /// use groupwise_reward::verifiers::SkipChoice;
    /// let choice = SkipChoice { skip_prob: 0.5, acc_skip: 0.8, acc_think: 0.9, len_skip: 6.0, len_think: 40.0 };
    /// assert!((choice.drift()? + 0.0023958333333333327).abs() < 1e-15);
    /// # Ok::<(), groupwise_core::DataError>(())
    /// ```
    pub fn drift(&self) -> Result<f64, DataError> {
        let Self {
            skip_prob: s,
            acc_skip,
            acc_think,
            len_skip,
            len_think,
        } = *self;
        for (name, share) in [("skip_prob", s), ("acc_skip", acc_skip), ("acc_think", acc_think)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(DataError::value(name, format!("is {share}, expected in [0, 1]")));
            }
        }
        for (name, length) in [("len_skip", len_skip), ("len_think", len_think)] {
            if !(length.is_finite() && length > 0.0) {
                return Err(DataError::value(
                    name,
                    format!("is {length}, expected finite and > 0"),
                ));
            }
        }
        Ok(s * (1.0 - s) * (acc_skip - acc_think) * ((1.0 - s) / len_skip + s / len_think))
    }
}

impl Part<dyn Verifier> for TonConfig {
    const SOURCE: &'static str =
        "TON, arXiv 2505.16854; kokolerk/TON at 22102c28, src/r1-v/src/open_r1/grpo.py";

    fn formula(&self) -> String {
        let place = match self.answer {
            AnswerPlace::Tag => "first answer block = reference",
            AnswerPlace::Anywhere => "reference in the first answer block or anywhere",
        };
        format!("r = [{place}] + [think block, maybe empty, answer block]")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Ton(self.clone())))
    }
}

#[derive(Debug)]
struct Ton(TonConfig);

impl Verifier for Ton {
    fn name(&self) -> &str {
        "ton"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        let reply = trajectory.answer();
        let right = tagged_answer_matches(reply, &task.reference)
            || (self.0.answer == AnswerPlace::Anywhere && stands_anywhere(reply, &task.reference));
        Score::Value(f64::from(u8::from(right)) + ton_format(reply))
    }
}

#[cfg(test)]
#[path = "ton_tests.rs"]
mod tests;
