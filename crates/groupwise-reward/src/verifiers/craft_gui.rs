//! CRAFT-GUI: the next action of an interface agent, or an answer about what it sees.

use groupwise_core::answers::first_block;
use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::choice_set::has_think_answer_format;
use super::refuse_aborted;
use crate::interface_action::{
    ActionReward, ActionRewardConfig, InterfaceAction, UnderstandingReward, UnderstandingRewardConfig,
    token_f1,
};

/// Graded credit for the step that a prompt asks for.
///
/// # Formula
/// A task whose column `action` holds the true action: that of [`ActionReward`].  Any other: that of
/// [`UnderstandingReward`] with `judge = ` [`token_f1`] of answer and reference.  The format is right if the reply is one
/// think and one answer block ([`has_think_answer_format`]); the answer stands in the first answer block, an action as
/// JSON: `{"type": "tap", "point": [0.5, 0.5]}`, `{"type": "type", "text": "red shoes"}`, `{"type": "back"}`.
///
/// # Shapes
/// In [0, 1].
///
/// # Edge cases
/// - An answer that is no action, or no answer block: no prediction, so the format term alone.
/// - No answer block where an answer is asked for: the empty answer.
/// - A column `action` that is no action, or a task with neither that nor a reference: unscorable.
///
/// # Errors
/// Those of [`ActionReward`] and [`UnderstandingReward`], when built.
///
/// # Source
/// CRAFT-GUI, arXiv 2508.11360, reconstructed; how a reply is written is ours.  Its judge is a model: here token F1 stands
/// in, so numbers on understanding tasks are not the paper's.
///
/// # Example
/// ```
/// use groupwise_reward::VerifierSpec;
/// let spec: VerifierSpec = serde_json::from_str(r#"{"craft-gui": {"action": {"point_tolerance": 0.05}}}"#)?;
/// assert_eq!(spec.build(&())?.name(), "craft-gui");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CraftGuiConfig {
    /// Weights of actions.
    pub action: ActionRewardConfig,
    /// Weights of answers.
    pub understanding: UnderstandingRewardConfig,
}

impl Part<dyn Verifier> for CraftGuiConfig {
    const SOURCE: &'static str =
        "CRAFT-GUI, arXiv 2508.11360, reconstructed; token F1 stands in for its judge model";

    fn formula(&self) -> String {
        let (a, w_f) = (&self.action, self.understanding.w_f);
        format!(
            "r = {} [think block, answer block] + {} [type] + {} [type] (point within {} | token F1 of text | 1) for \
             tasks with an action; else {w_f} [think block, answer block] + {} token F1",
            a.w_f,
            a.w_t,
            a.w_p,
            a.point_tolerance,
            1.0 - w_f
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(CraftGui {
            action: ActionReward::new(self.action)?,
            understanding: UnderstandingReward::new(self.understanding)?,
        }))
    }
}

#[derive(Debug)]
struct CraftGui {
    action: ActionReward,
    understanding: UnderstandingReward,
}

impl Verifier for CraftGui {
    fn name(&self) -> &str {
        "craft-gui"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_aborted(trajectory) {
            return score;
        }
        let reply = trajectory.answer();
        let (answer, format) = (first_block(reply, "answer"), has_think_answer_format(reply));
        let scored = match task.columns.get("action") {
            Some(truth) => match InterfaceAction::deserialize(truth) {
                Err(error) => {
                    return Score::Unscorable(format!("task `{}`, column `action`: {error}", task.id));
                }
                Ok(truth) => {
                    let prediction: Option<InterfaceAction> =
                        answer.and_then(|text| serde_json::from_str(text).ok());
                    self.action.score(prediction.as_ref(), &truth, format)
                }
            },
            None if task.reference.trim().is_empty() => {
                return Score::Unscorable(format!(
                    "task `{}` has neither an action nor a reference",
                    task.id
                ));
            }
            None => {
                let judged = token_f1(answer.unwrap_or_default(), &task.reference);
                self.understanding.score(judged, format)
            }
        };
        match scored {
            Ok(reward) => Score::Value(reward),
            Err(error) => Score::Unscorable(format!("task `{}`: {error}", task.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::testing::trajectory;
    use super::*;

    fn score(task: &Task, reply: &str) -> Score {
        let verifier = CraftGuiConfig::default().build(&()).unwrap();
        verifier.score(
            task,
            &trajectory(&[("earlier", 0.0), (reply, 0.0)], StopReason::EndToken),
        )
    }

    fn acts(action: Value) -> Task {
        let mut task = Task::new("t", "", "ignored");
        task.columns.insert("action".to_owned(), action);
        task
    }

    fn near(score: Score, expected: f64) {
        let found = score.value().unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn actions_are_judged_by_the_column() {
        let task = acts(json!({"type": "tap", "point": [0.5, 0.5]}));
        for (reply, expected) in [
            (
                r#"<think>x</think><answer>{"type": "tap", "point": [0.5, 0.6]}</answer>"#,
                1.0,
            ),
            (
                r#"<think>x</think><answer> {"type": "tap", "point": [0.9, 0.9]} </answer>"#,
                0.5,
            ),
            (r#"<think>x</think><answer>{"type": "swipe"}</answer>"#, 0.1),
            (r#"<answer>{"type": "tap", "point": [0.5, 0.6]}</answer>"#, 0.9),
            ("<think>x</think><answer>tap there</answer>", 0.1),
            (r#"{"type": "tap", "point": [0.5, 0.6]}"#, 0.0),
        ] {
            near(score(&task, reply), expected);
        }
    }

    #[test]
    fn answers_are_judged_by_the_reference() {
        let task = Task::new("t", "", "red shoes");
        for (reply, expected) in [
            ("<think>x</think><answer>buy red shoes</answer>", 0.82),
            ("<answer>Red shoes</answer>", 0.9),
            ("<think>x</think><answer></answer>", 0.1),
            ("red shoes", 0.0),
        ] {
            near(score(&task, reply), expected);
        }
    }

    #[test]
    fn tasks_that_cannot_be_judged_are_unscorable() {
        let reason = |task: &Task| match score(task, "<answer>x</answer>") {
            Score::Unscorable(reason) => reason,
            Score::Value(reward) => format!("earned {reward}"),
        };
        assert_eq!(
            reason(&Task::new("t", "", " ")),
            "task `t` has neither an action nor a reference"
        );
        assert_eq!(
            reason(&acts(json!({"type": "tap", "point": [540.0, 0.5]}))),
            "task `t`: true action: point [540.0, 0.5] is outside [0, 1]"
        );
        let text = reason(&acts(json!({"point": [0.5, 0.5]})));
        assert_eq!(text, "task `t`, column `action`: missing field `type`");
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let refused = |json: Value| {
            let config: CraftGuiConfig = serde_json::from_value(json).unwrap();
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(json!({"action": {"w_f": 0.6}})),
            "`w_f + w_t + w_p` = 1.5: must be 1"
        );
        assert_eq!(
            refused(json!({"understanding": {"w_f": 2.0}})),
            "`w_f` = 2: must be in [0, 1]"
        );
    }

    #[test]
    fn the_formula_says_which_numbers_hold() {
        assert_eq!(
            CraftGuiConfig::default().formula(),
            "r = 0.1 [think block, answer block] + 0.4 [type] + 0.5 [type] (point within 0.14 | token F1 of text | 1) for \
             tasks with an action; else 0.1 [think block, answer block] + 0.9 token F1"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_reward_lies_in_the_unit_interval_and_a_near_point_never_earns_less(
            x in 0.0..=1.0f64, y in 0.0..=1.0f64, format in any::<bool>(),
        ) {
            let task = acts(json!({"type": "tap", "point": [0.5, 0.5]}));
            let reply = |x: f64, y: f64| {
                let thought = if format { "<think>x</think>" } else { "" };
                format!("{thought}<answer>{{\"type\": \"tap\", \"point\": [{x}, {y}]}}</answer>")
            };
            let far = score(&task, &reply(x, y)).value().unwrap();
            let near = score(&task, &reply(0.5 + (x - 0.5) / 2.0, 0.5 + (y - 0.5) / 2.0)).value().unwrap();
            prop_assert!((0.0..=1.0 + 1e-12).contains(&far));
            prop_assert!(near >= far);
        }
    }
}
