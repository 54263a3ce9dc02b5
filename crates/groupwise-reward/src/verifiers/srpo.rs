//! SRPO: an answer, a reflection, a second answer, and a reward for what the reflection did.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::blocks::{blocks, contents};
use super::refuse_unjudgeable;
use super::uav_vl_r1::same_answer;

/// Where the table of rewards comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SrpoVersion {
    /// Equations 4 to 8 of the paper.
    #[default]
    Paper,
    /// The authors' script, which pays a repaired answer more than one that was right from the start.
    Code,
}

/// Reward of a reply with two answers.
///
/// # Formula
/// `r = 0.5 [format] + accuracy + effectiveness + reflection + alpha f_len`.
///
/// | first, second answer | `paper`: accuracy + effectiveness | `code`: accuracy |
/// |---|---|---|
/// | right, right (kept) | 0.5 + 0.25 | 0.75 |
/// | wrong, right (repaired) | 0 + 0.5 | 1 |
/// | right, wrong (broken) | 0.5 - 0.25 | 0.25 |
/// | wrong, wrong | 0 | 0 |
///
/// `paper`: reflection = 0.25 if the reflection stands in its tags; `code`: 0.  f_len as in [`length_bump`].
///
/// # Shapes
/// As a verifier: the reply ends with a think, an answer, a reflection, a think and an answer block, none empty.  The
/// bump depends on the ratio of two lengths only, so both are counted in characters: the trimmed reply, and the trimmed
/// contents of its first think and answer block.
///
/// # Edge cases
/// - No second answer: `paper` pays the first answer (and the format parts that hold) without effectiveness and bump;
///   `code` pays nothing at all, since an exception is caught there.  A reply of fewer than two thoughts has no second
///   answer for `code`.
/// - More than two answers: the first and the last count, and the format fails.
/// - Answers compare as in [`UavVlR1Config`](super::UavVlR1Config).  The authors' second chance for a letter anywhere
///   in the last answer is left out.
/// - A task without reference: unscorable.
///
/// # Errors
/// Parameters: `alpha` negative or not finite; `length_target` not > 0; `length_max` not above it.
///
/// # Source
/// SRPO, arXiv 2506.01713, equations 4 to 8 (the default); `srpo_reward_func.py` of SUSTechBruce/SRPO_MLLMs at
/// 23dab542.  Under `code` a policy gains by throwing its first answer away once it repairs more than half of them.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{SrpoConfig, SrpoVersion, TwoAnswers};
/// let repaired = TwoAnswers {
///     first_correct: false,
///     second_correct: Some(true),
///     format: true,
///     reflection_format: true,
///     length: 200,
///     first_length: 100,
/// };
/// let (paper, code) = (SrpoConfig::default(), SrpoConfig { version: SrpoVersion::Code, ..SrpoConfig::default() });
/// assert!((paper.reward(&repaired).total() - 1.35).abs() < 1e-12);
/// assert!((code.reward(&repaired).total() - 1.6).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SrpoConfig {
    /// Where the table comes from.
    pub version: SrpoVersion,
    /// Weight of the bump, >= 0.
    pub alpha: f64,
    /// Length of a whole reply that earns most, in lengths of its first solution, > 0.
    pub length_target: f64,
    /// Length at which the bump has fallen to 1/e, in the same unit, > `length_target`.
    pub length_max: f64,
}

impl Default for SrpoConfig {
    fn default() -> Self {
        Self {
            version: SrpoVersion::Paper,
            alpha: 0.1,
            length_target: 2.0,
            length_max: 2.5,
        }
    }
}

/// What is known about a reply with two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoAnswers {
    /// The first answer is right.
    pub first_correct: bool,
    /// The second answer is right; `None` if there is none.
    pub second_correct: Option<bool>,
    /// The reply is written as asked.
    pub format: bool,
    /// The reflection stands in its tags.
    pub reflection_format: bool,
    /// Length of the whole reply.
    pub length: usize,
    /// Length of its first solution, in the same unit.
    pub first_length: usize,
}

/// The summands of a reward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SrpoReward {
    /// 0.5 for the format.
    pub format: f64,
    /// For the answers.
    pub accuracy: f64,
    /// For what the reflection did to the first answer.
    pub effectiveness: f64,
    /// For the reflection's tags.
    pub reflection: f64,
    /// `alpha f_len`.
    pub brevity: f64,
}

impl SrpoReward {
    /// Their sum.
    pub fn total(&self) -> f64 {
        self.format + self.accuracy + self.effectiveness + self.reflection + self.brevity
    }
}

/// How near the length of a reply comes to its target.
///
/// # Formula
/// `f_len = exp(-(|L - T| / (T_max - T))^2)`, `T = target L1`, `T_max = max L1`.
///
/// # Shapes
/// L and L1 in the same unit; f_len in [0, 1].
///
/// # Edge cases
/// L1 = 0: 0.  Shorter replies lose as much as longer ones.
///
/// # Source
/// SRPO; see [`SrpoConfig`].
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::length_bump;
/// assert_eq!([200, 100, 0].map(|n| length_bump(n, n / 2, 2.0, 2.5)), [1.0, 1.0, 0.0]);
/// assert!((length_bump(250, 100, 2.0, 2.5) - 0.36787944117144233).abs() < 1e-15);
/// ```
pub fn length_bump(length: usize, first_length: usize, target: f64, max: f64) -> f64 {
    if first_length == 0 {
        return 0.0;
    }
    let ratio = length as f64 / first_length as f64;
    (-((ratio - target) / (max - target)).powi(2)).exp()
}

impl SrpoConfig {
    /// The reward of a reply, by summand; see the type for the formula.
    pub fn reward(&self, reply: &TwoAnswers) -> SrpoReward {
        let paid = |holds: bool, amount: f64| if holds { amount } else { 0.0 };
        let format = paid(reply.format, 0.5);
        let brevity = || {
            self.alpha
                * length_bump(
                    reply.length,
                    reply.first_length,
                    self.length_target,
                    self.length_max,
                )
        };
        match (self.version, reply.second_correct) {
            (SrpoVersion::Paper, second) => SrpoReward {
                format,
                accuracy: paid(reply.first_correct, 0.5),
                effectiveness: second.map_or(0.0, |second| match (reply.first_correct, second) {
                    (true, true) => 0.25,
                    (false, true) => 0.5,
                    (true, false) => -0.25,
                    (false, false) => 0.0,
                }),
                reflection: paid(reply.reflection_format, 0.25),
                brevity: second.map_or(0.0, |_| brevity()),
            },
            (SrpoVersion::Code, None) => SrpoReward::default(),
            (SrpoVersion::Code, Some(second)) => SrpoReward {
                format,
                accuracy: match (reply.first_correct, second) {
                    (true, true) => 0.75,
                    (false, true) => 1.0,
                    (true, false) => 0.25,
                    (false, false) => 0.0,
                },
                brevity: brevity(),
                ..SrpoReward::default()
            },
        }
    }

    /// Reads a reply; see the type for the grammar.
    pub fn read(&self, reply: &str, reference: &str) -> TwoAnswers {
        let (thoughts, answers) = (contents(reply, "think"), contents(reply, "answer"));
        let right = |answer: &str| same_answer(answer, reference);
        let enough_thoughts = self.version == SrpoVersion::Paper || thoughts.len() >= 2;
        let second = answers.last().filter(|_| answers.len() >= 2 && enough_thoughts);
        let filled = |parts: &[&str]| parts.iter().all(|part| !part.is_empty());
        let whole = blocks(reply, ["think", "answer", "reflection", "think", "answer"]);
        let count = |text: &str| text.trim().chars().count();
        let reflections = contents(reply, "reflection");
        let tags = ["<reflection>", "</reflection>"];
        TwoAnswers {
            first_correct: answers.first().is_some_and(|answer| right(answer)),
            second_correct: second.map(|answer| right(answer)),
            format: whole.is_some_and(|(_, parts)| filled(&parts)),
            reflection_format: tags.iter().all(|tag| reply.matches(tag).count() == 1)
                && reflections.len() == 1
                && filled(&reflections),
            length: count(reply),
            first_length: [thoughts.first(), answers.first()]
                .into_iter()
                .flatten()
                .map(|part| count(part))
                .sum(),
        }
    }
}

impl Part<dyn Verifier> for SrpoConfig {
    const SOURCE: &'static str =
        "SRPO, arXiv 2506.01713; SUSTechBruce/SRPO_MLLMs at 23dab542, srpo_reward_func.py";

    fn formula(&self) -> String {
        let table = match self.version {
            SrpoVersion::Paper => {
                "0.5 [first answer right] + (0.25 kept, 0.5 repaired, -0.25 broken) + 0.25 [reflection in tags]"
            }
            SrpoVersion::Code => "(0.75 kept, 1 repaired, 0.25 broken; code)",
        };
        format!(
            "r = 0.5 [format] + {table} + {} exp(-(|L - {} L1| / ({} L1))^2)",
            self.alpha,
            self.length_target,
            self.length_max - self.length_target
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        ParamError::check_coefficient("alpha", self.alpha)?;
        ParamError::check(
            self.length_target.is_finite() && self.length_target > 0.0,
            "length_target",
            self.length_target,
            "a finite number > 0",
        )?;
        ParamError::check(
            self.length_max.is_finite() && self.length_max > self.length_target,
            "length_max",
            self.length_max,
            &format!("a finite number > {} (`length_target`)", self.length_target),
        )?;
        Ok(Box::new(Srpo(self.clone())))
    }
}

#[derive(Debug)]
struct Srpo(SrpoConfig);

impl Verifier for Srpo {
    fn name(&self) -> &str {
        "srpo"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        let reply = self.0.read(trajectory.answer(), &task.reference);
        Score::Value(self.0.reward(&reply).total())
    }
}

#[cfg(test)]
#[path = "srpo_tests.rs"]
mod tests;
