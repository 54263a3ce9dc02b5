//! What every verifier of free text obeys: where an answer may stand, and how much work a verdict may cost.

use std::fmt::Debug;

use groupwise_core::{Score, StopReason, Task, Trajectory, Verifier};

use crate::verdict::Verdict;

const OPEN_THINKING: &str = "<think>";
const CLOSE_THINKING: &str = "</think>";
/// Reason of a response whose thinking never ends.
pub(crate) const UNCLOSED_THINKING: &str = "the thinking part is never closed";

/// The part of a response that may hold its answer: what follows the thinking.
///
/// # Formula
/// Everything behind the last `</think>`, or the whole text without one.
///
/// # Edge cases
/// - What is left opens `<think>` again, or the text opens it and never closes it: `None`, there is no answer.
/// - A closing tag without an opening one counts: many prompts end with `<think>`.
/// - Tags in other letters are text.
///
/// # Example
/// ```
/// use groupwise_reward::after_thinking;
/// assert_eq!(after_thinking("<think>4?</think> 5"), Some(" 5"));
/// assert_eq!(after_thinking("5"), Some("5"));
/// assert_eq!(after_thinking("<think>5"), None);
/// ```
pub fn after_thinking(response: &str) -> Option<&str> {
    let rest = match response.rfind(CLOSE_THINKING) {
        Some(at) => &response[at + CLOSE_THINKING.len()..],
        None => response,
    };
    (!rest.contains(OPEN_THINKING)).then_some(rest)
}

/// Steps a verdict may still take; a limit that is the same on every machine and thread, unlike a clock.
///
/// # Example
/// ```
/// use groupwise_reward::Fuel;
/// let mut fuel = Fuel::new(10);
/// assert!(fuel.spend(10).is_ok());
/// assert!(fuel.spend(1).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuel {
    left: u64,
}

/// A verdict cost more than its [`Fuel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFuel;

impl Fuel {
    /// Steps of one verdict: each a few nanoseconds, all of them well within a second.
    pub const VERDICT: u64 = 20_000_000;

    /// Fuel for that many steps.
    pub fn new(steps: u64) -> Self {
        Self { left: steps }
    }

    /// Uses up steps.
    ///
    /// # Errors
    /// Fewer than that are left; then none is.
    pub fn spend(&mut self, steps: u64) -> Result<(), OutOfFuel> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(OutOfFuel)
            }
        }
    }
}

impl Default for Fuel {
    fn default() -> Self {
        Self::new(Self::VERDICT)
    }
}

impl From<OutOfFuel> for Verdict {
    fn from(_: OutOfFuel) -> Self {
        Self::judged(false, "limit: judging took too many steps")
    }
}

/// A verifier of text that says why: everything a [`Verifier`] needs beside the trajectory.
///
/// The same task and response give the same verdict, on any thread and in any order.
pub trait Judge: Debug + Send + Sync {
    /// Name in recipes and on the command line.
    fn name(&self) -> &'static str;

    /// Judges a response, given as text.
    fn judge(&self, task: &Task, response: &str) -> Verdict;
}

/// A [`Judge`] of the last action of a trajectory.
#[derive(Debug)]
pub(crate) struct Judged<J>(pub(crate) J);

impl<J: Judge> Verifier for Judged<J> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if trajectory.stop == StopReason::Aborted {
            return Score::Unscorable("the rollout was aborted".to_owned());
        }
        Score::from(&self.0.judge(task, trajectory.answer()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_stand_behind_the_last_thought() {
        for (response, rest) in [
            ("", Some("")),
            ("a</think>b", Some("b")),
            ("<think>a</think>b</think>c", Some("c")),
            ("<think>a</think>b<think>c", None),
            ("<think>a</think><think>b</think>", Some("")),
            ("a <think>", None),
            ("<THINK>a", Some("<THINK>a")),
        ] {
            assert_eq!(after_thinking(response), rest, "{response}");
        }
    }

    #[test]
    fn fuel_runs_out_once_and_for_all() {
        let mut fuel = Fuel::new(3);
        assert_eq!(fuel.spend(2), Ok(()));
        assert_eq!(fuel.spend(2), Err(OutOfFuel));
        assert_eq!(fuel.spend(1), Err(OutOfFuel));
        assert_eq!(fuel.spend(0), Ok(()));
        let verdict = Verdict::from(OutOfFuel);
        assert_eq!(verdict.score, Some(0.0));
        assert!(verdict.reason.starts_with("limit"));
    }

    proptest! {
        #[test]
        fn what_follows_thinking_is_an_end_without_tags(text in "(<think>|</think>|a|\n){0,12}") {
            match after_thinking(&text) {
                Some(rest) => {
                    prop_assert!(text.ends_with(rest));
                    prop_assert!(!rest.contains("<think>") && !rest.contains("</think>"));
                }
                None => prop_assert!(text.rfind("<think>") > text.rfind("</think>")),
            }
        }
    }
}
