//! GUI-Critic-R1: a verdict on a proposed action, and a reward for what is suggested instead.

use groupwise_core::answers::first_block;
use groupwise_core::{DataError, ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::blocks::blocks;
use super::exact_match::{Case, Whitespace, exact_match};
use super::refuse_aborted;

/// Format, suggestion and verdict, weighted on the simplex.
///
/// # Formula
/// `r = lambda_f f + lambda_s s + (1 - lambda_f - lambda_s) a`: format, suggestion, verdict.
///
/// # Shapes
/// f, s, a and r in [0, 1].  As a verifier: f = 1 for a thought, a score and a suggestion block and nothing else; a = 1
/// if the first score block holds the reference (`Correct` or `Incorrect`), in either case; s = 1 if the first
/// suggestion block holds the task's column `suggestion`, runs of white space counting as one space.
///
/// # Edge cases
/// - An unreadable verdict is a wrong one.  Verdict and suggestion are graded even if the format fails.
/// - `lambda_s = 0`: suggestions are not read, and need no column.
/// - No reference, or no text in `suggestion` where it is needed: unscorable.
///
/// # Errors
/// Parameters: a weight negative or not a number; weights that sum to more than 1.
///
/// # Source
/// GUI-Critic-R1, arXiv 2506.04614, section 3.3.  The default weights are the ones it states; its ablation holds
/// verdict to format at 4 : 1, which would be `lambda_format = 0.18`.  A judge model grades suggestions there, equality
/// does here.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::GuiCriticR1Config;
/// let config = GuiCriticR1Config::default();
/// let r = [(1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.0, 1.0, 1.0)].map(|(f, s, a)| config.reward(f, s, a));
/// for (found, expected) in r.iter().zip([1.0, 0.9, 0.2, 0.9]) {
///     assert!((found - expected).abs() < 1e-12);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuiCriticR1Config {
    /// Weight of the format, >= 0.
    #[serde(alias = "lambda_f")]
    pub lambda_format: f64,
    /// Weight of the suggestion, >= 0; the verdict gets the rest.
    #[serde(alias = "lambda_s")]
    pub lambda_suggestion: f64,
}

impl Default for GuiCriticR1Config {
    fn default() -> Self {
        Self {
            lambda_format: 0.1,
            lambda_suggestion: 0.1,
        }
    }
}

impl GuiCriticR1Config {
    /// Weight of the verdict.
    fn rest(&self) -> f64 {
        (1.0 - self.lambda_format - self.lambda_suggestion).max(0.0)
    }

    /// The reward of grades in [0, 1]; see the type for the formula.
    pub fn reward(&self, format: f64, suggestion: f64, verdict: f64) -> f64 {
        self.lambda_format * format + self.lambda_suggestion * suggestion + self.rest() * verdict
    }

    fn judge(&self, task: &Task, reply: &str) -> Result<f64, &'static str> {
        let flag = |holds: bool| f64::from(u8::from(holds));
        let verdict = first_block(reply, "score").unwrap_or_default();
        let verdict = exact_match(verdict, &task.reference, Case::Insensitive, Whitespace::Trim)
            .ok_or("no reference")?;
        let suggested = match task.columns.get("suggestion").and_then(serde_json::Value::as_str) {
            _ if self.lambda_suggestion == 0.0 => false,
            None => return Err("no text in column `suggestion`"),
            Some(annotated) => {
                let suggestion = first_block(reply, "suggestion").unwrap_or_default();
                exact_match(suggestion, annotated, Case::Sensitive, Whitespace::Collapse)
                    .ok_or("no text in column `suggestion`")?
            }
        };
        let format = blocks(reply, ["thought", "score", "suggestion"])
            .is_some_and(|(before, _)| before.trim().is_empty());
        Ok(self.reward(flag(format), flag(suggested), flag(verdict)))
    }
}

/// How good the verdicts of a critic are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerdictMetrics {
    /// Share of right verdicts.
    pub accuracy: f64,
    /// Share of really correct actions among those called correct; 0 if there is none.
    pub precision: f64,
    /// Share of those called correct among really correct actions; 0 if there is none.
    pub recall: f64,
    /// Harmonic mean of the two; 0 if both are 0.
    pub f1: f64,
    /// Share of really incorrect actions called incorrect; 0 if there is none.
    pub specificity: f64,
    /// Share of unreadable verdicts.
    pub unreadable: f64,
}

/// Accuracy, precision and recall of verdicts.
///
/// # Formula
/// An unreadable verdict counts as the wrong one; `correct` is the positive class.
///
/// # Shapes
/// Per action the verdict (`None`: unreadable) and whether it is really correct.
///
/// # Errors
/// No action.
///
/// # Source
/// `GUI-Critic-R1/statistic.py` of X-PLUG/MobileAgent at 11cea575.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::verdict_metrics;
/// let verdicts = [(Some(true), true), (Some(false), false), (None, true), (Some(true), false), (None, false), (Some(false), false)];
/// let m = verdict_metrics(&verdicts)?;
/// assert_eq!((m.accuracy, m.precision, m.recall, m.unreadable), (0.5, 1.0 / 3.0, 0.5, 1.0 / 3.0));
/// assert!((m.f1 - 0.4).abs() < 1e-15);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn verdict_metrics(verdicts: &[(Option<bool>, bool)]) -> Result<VerdictMetrics, DataError> {
    if verdicts.is_empty() {
        return Err(DataError::value("verdicts", "there are none"));
    }
    let count = |called: bool, really: bool| {
        let counts =
            |(verdict, gold): &&(Option<bool>, bool)| *gold == really && verdict.unwrap_or(!*gold) == called;
        verdicts.iter().filter(counts).count()
    };
    let (tp, fp, fn_, tn) = (
        count(true, true),
        count(true, false),
        count(false, true),
        count(false, false),
    );
    let share = |part: usize, whole: usize| {
        if whole == 0 {
            0.0
        } else {
            part as f64 / whole as f64
        }
    };
    let unreadable = verdicts.iter().filter(|(verdict, _)| verdict.is_none()).count();
    Ok(VerdictMetrics {
        accuracy: share(tp + tn, verdicts.len()),
        precision: share(tp, tp + fp),
        recall: share(tp, tp + fn_),
        f1: share(2 * tp, 2 * tp + fp + fn_),
        specificity: share(tn, tn + fp),
        unreadable: share(unreadable, verdicts.len()),
    })
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRun {
    /// It was done.
    pub success: bool,
    /// Steps taken.
    pub steps: usize,
}

/// Share of tasks that a critic made shorter.
///
/// # Formula
/// Among tasks that end alike without and with the critic: the share that took fewer steps with it.
///
/// # Shapes
/// Per task the run without the critic and the run with it.
///
/// # Errors
/// No task ended alike.
///
/// # Source
/// GUI-Critic-R1, arXiv 2506.04614 (efficiency advantage rate).
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{TaskRun, efficiency_rate};
/// let run = |success, steps| TaskRun { success, steps };
/// let tasks = [(run(true, 5), run(true, 4)), (run(false, 9), run(false, 9)), (run(false, 9), run(true, 3))];
/// assert_eq!(efficiency_rate(&tasks)?, 0.5);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn efficiency_rate(tasks: &[(TaskRun, TaskRun)]) -> Result<f64, DataError> {
    let alike = || {
        tasks
            .iter()
            .filter(|(without, with)| without.success == with.success)
    };
    let shorter = alike()
        .filter(|(without, with)| with.steps < without.steps)
        .count();
    match alike().count() {
        0 => Err(DataError::value(
            "tasks",
            "none ended alike without and with the critic",
        )),
        n => Ok(shorter as f64 / n as f64),
    }
}

impl Part<dyn Verifier> for GuiCriticR1Config {
    const SOURCE: &'static str = "GUI-Critic-R1, arXiv 2506.04614, section 3.3";

    fn formula(&self) -> String {
        format!(
            "r = {} [thought, score, suggestion] + {} [suggestion = annotation] + {} [score = reference]",
            self.lambda_format,
            self.lambda_suggestion,
            self.rest()
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        for (key, weight) in [
            ("lambda_format", self.lambda_format),
            ("lambda_suggestion", self.lambda_suggestion),
        ] {
            ParamError::check(weight >= 0.0, key, weight, "a number >= 0")?;
        }
        let sum = self.lambda_format + self.lambda_suggestion;
        ParamError::check(sum <= 1.0, "lambda_format + lambda_suggestion", sum, "<= 1")?;
        Ok(Box::new(GuiCriticR1(self.clone())))
    }
}

#[derive(Debug)]
struct GuiCriticR1(GuiCriticR1Config);

impl Verifier for GuiCriticR1 {
    fn name(&self) -> &str {
        "gui-critic-r1"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        match self.0.judge(task, trajectory.answer()) {
            Ok(reward) => Score::Value(reward),
            Err(why) => Score::Unscorable(format!("task `{}`: {why}", task.id)),
        }
    }
}

#[cfg(test)]
#[path = "gui_critic_r1_tests.rs"]
mod tests;
