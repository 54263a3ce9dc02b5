//! Video-CoM: the right option, plus the share of manipulations that hit annotated evidence.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::manipulations::{Evidence, Unannotated, parse_manipulations, step_share};
use super::refuse_unjudgeable;

/// When the first character of an answer names an option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LetterRule {
    /// A to E, and no letter or digit follows.
    #[default]
    Delimited,
    /// A to E, whatever follows: "blue" is option B.
    FirstCharacter,
}

/// Whether the share of hits is paid for a wrong answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerGate {
    /// It is: the paper's.
    #[default]
    Open,
    /// Only a right answer earns it.
    RightAnswer,
}

/// Accuracy plus the share of a reply's manipulations that hit.
///
/// # Formula
/// `r = accuracy + share_weight * share`; accuracy 1 if the option after the last `FINAL_ANSWER:` is the reference's, else
/// 0; share as in [`step_share`].
///
/// # Shapes
/// r in `[0, 1 + share_weight]`.  The reply is every action of the episode in order, one per line; the evidence stands
/// in the task's columns `segments`, `frames` and `boxes` ([`Evidence::from_columns`]).
///
/// # Edge cases
/// - Without `FINAL_ANSWER:` the whole reply is the answer.  An answer that names no option is compared as text.
/// - The share is paid for a wrong answer too, unless the gate asks for a right one.
/// - No reference, or annotations of another form: unscorable.
///
/// # Errors
/// Parameters: `iou_threshold` outside (0, 1]; `share_weight` negative or not finite.
///
/// # Source
/// "Video-CoM", arXiv 2511.23477; mbzuai-oryx/Video-CoM at b58b6ce2, `reward_funcs.py` (`reasoning_reward`), which takes
/// the first character as the option (`letter = first-character`).
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{option_matches, LetterRule};
/// assert!(option_matches("I zoom in.\nFINAL_ANSWER: B. red", "B", LetterRule::Delimited));
/// assert!(!option_matches("FINAL_ANSWER: blue", "B", LetterRule::Delimited));
/// assert!(option_matches("FINAL_ANSWER: blue", "B", LetterRule::FirstCharacter));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VideoComConfig {
    /// Overlap from which a box hits, in (0, 1].
    pub iou_threshold: f64,
    /// Weight of the share, >= 0; 0 is the answer only.
    pub share_weight: f64,
    /// Whether a wrong answer earns the share.
    pub gate: AnswerGate,
    /// What predictions count where nothing is annotated.
    pub unannotated: Unannotated,
    /// When an answer names an option.
    pub letter: LetterRule,
}

impl Default for VideoComConfig {
    fn default() -> Self {
        Self {
            iou_threshold: 0.35,
            share_weight: 1.0,
            gate: AnswerGate::Open,
            unannotated: Unannotated::Ignored,
            letter: LetterRule::Delimited,
        }
    }
}

/// True if the reply's answer and the reference name the same option, or are the same text.
pub fn option_matches(reply: &str, reference: &str, rule: LetterRule) -> bool {
    let answer = reply.rsplit("FINAL_ANSWER:").next().unwrap_or(reply);
    option(answer, rule) == option(reference, rule)
}

/// The option as one capital letter, else the text itself.
fn option(answer: &str, rule: LetterRule) -> String {
    let text = answer.trim();
    let mut chars = text.chars();
    let letter = chars
        .next()
        .filter(|c| ('A'..='E').contains(&c.to_ascii_uppercase()));
    let delimited = chars.next().is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
    match letter {
        Some(letter) if delimited || rule == LetterRule::FirstCharacter => {
            letter.to_ascii_uppercase().to_string()
        }
        _ => text.to_owned(),
    }
}

/// A reply's reward and its two parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoComReward {
    /// 1 for the right option.
    pub accuracy: f64,
    /// Share of hits, before weight and gate.
    pub share: f64,
    /// The reward.
    pub total: f64,
}

impl VideoComConfig {
    /// Judges one reply; see the type for the formula.
    pub fn judge(&self, reply: &str, reference: &str, evidence: &Evidence) -> VideoComReward {
        let right = option_matches(reply, reference, self.letter);
        let seen = parse_manipulations(reply);
        let share = step_share(&seen, evidence, self.iou_threshold, self.unannotated).share();
        let paid = right || self.gate == AnswerGate::Open;
        let accuracy = f64::from(u8::from(right));
        VideoComReward {
            accuracy,
            share,
            total: accuracy + if paid { self.share_weight * share } else { 0.0 },
        }
    }
}

impl Part<dyn Verifier> for VideoComConfig {
    const SOURCE: &'static str =
        "Video-CoM, arXiv 2511.23477; mbzuai-oryx/Video-CoM at b58b6ce2, reward_funcs.py";

    fn formula(&self) -> String {
        let paid = match self.gate {
            AnswerGate::Open => "",
            AnswerGate::RightAnswer => ", right answers only",
        };
        let unannotated = match self.unannotated {
            Unannotated::Ignored => "ignored",
            Unannotated::Wrong => "misses",
        };
        let letter = match self.letter {
            LetterRule::Delimited => "letter and delimiter",
            LetterRule::FirstCharacter => "first character",
        };
        format!(
            "r = [right option: {letter}] + {} hits / predictions{paid}; boxes hit from IoU {}; unannotated: {unannotated}",
            self.share_weight, self.iou_threshold
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        ParamError::check(
            self.iou_threshold > 0.0 && self.iou_threshold <= 1.0,
            "iou_threshold",
            self.iou_threshold,
            "a number in (0, 1]",
        )?;
        ParamError::check_coefficient("share_weight", self.share_weight)?;
        Ok(Box::new(VideoCom(self.clone())))
    }
}

#[derive(Debug)]
struct VideoCom(VideoComConfig);

impl Verifier for VideoCom {
    fn name(&self) -> &str {
        "video-com"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        match Evidence::from_columns(&task.columns) {
            Err(error) => Score::Unscorable(format!("task `{}`: {error}", task.id)),
            Ok(evidence) => {
                let actions: Vec<&str> = trajectory.turns.iter().map(|turn| turn.action.as_str()).collect();
                Score::Value(
                    self.0
                        .judge(&actions.join("\n"), &task.reference, &evidence)
                        .total,
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::trajectory;
    use super::*;

    fn task() -> Task {
        let mut task = Task::new("t", "", "B. red");
        task.columns.insert("segments".into(), json!([2, 3]));
        task.columns.insert("frames".into(), json!([[10, 14]]));
        task.columns
            .insert("boxes".into(), json!([[12, [10, 10, 50, 50]]]));
        task
    }

    fn score(config: &VideoComConfig, actions: &[&str]) -> Score {
        let turns: Vec<(&str, f64)> = actions.iter().map(|a| (*a, 0.0)).collect();
        config
            .build(&())
            .unwrap()
            .score(&task(), &trajectory(&turns, StopReason::EndToken))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn rewards_lie_in_0_to_1_plus_weight_and_weight_0_is_the_answer_only(
            segment in 0u64..5, frame in 8u64..16, letter in "[AB]", weight in 0.0..3.0f64,
        ) {
            let text = format!("FIND_SEGMENT(a) = {segment}\nFIND_FRAME(b) = {frame}\nFINAL_ANSWER: {letter}");
            let evidence = Evidence::from_columns(&task().columns)?;
            let config = VideoComConfig { share_weight: weight, ..Default::default() };
            let judged = config.judge(&text, "B. red", &evidence);
            prop_assert!((0.0..=1.0 + weight).contains(&judged.total));
            prop_assert!((judged.total - judged.accuracy - weight * judged.share).abs() < 1e-12);
            prop_assert_eq!(judged.accuracy, f64::from(u8::from(letter == "B")));
            let plain = VideoComConfig { share_weight: 0.0, ..Default::default() };
            prop_assert_eq!(plain.judge(&text, "B. red", &evidence).total, judged.accuracy);
            let gated = VideoComConfig { gate: AnswerGate::RightAnswer, ..config };
            let expected = if judged.accuracy > 0.0 { judged.total } else { 0.0 };
            prop_assert_eq!(gated.judge(&text, "B. red", &evidence).total, expected);
        }
    }

    #[test]
    fn actions_of_all_turns_are_one_reply() {
        let config = VideoComConfig::default();
        let turns = [
            "FIND_SEGMENT(car) = [2]",
            "FIND_FRAME(p) = 12",
            "SPATIAL_ZOOM(p) = [12, 10, 52, 50]",
            "FINAL_ANSWER: b",
        ];
        assert_eq!(score(&config, &turns), Score::Value(2.0));
        assert_eq!(score(&config, &turns[3..]), Score::Value(1.0));
        assert_eq!(score(&config, &turns[..3]), Score::Value(1.0));
        assert_eq!(score(&config, &[]), Score::Value(0.0));
    }

    #[test]
    fn an_option_is_a_letter_by_itself() {
        let rules = [LetterRule::Delimited, LetterRule::FirstCharacter];
        for (reply, reference, expected) in [
            ("FINAL_ANSWER: B. red", "B", [true, true]),
            ("FINAL_ANSWER: (B)", "B", [false, false]),
            ("FINAL_ANSWER: A FINAL_ANSWER: b) red", "B. red", [true, true]),
            ("FINAL_ANSWER: B FINAL_ANSWER: A", "B", [false, false]),
            ("FINAL_ANSWER: B_", "B", [false, true]),
            ("FINAL_ANSWER: B2", "B", [false, true]),
            ("FINAL_ANSWER: F", "F", [true, true]),
            ("FINAL_ANSWER: blue", "blue", [true, true]),
            ("FINAL_ANSWER: E", "D", [false, false]),
            ("B", "B. red", [true, true]),
        ] {
            assert_eq!(
                rules.map(|rule| option_matches(reply, reference, rule)),
                expected,
                "{reply}"
            );
        }
    }

    #[test]
    fn tasks_without_reference_or_with_bad_annotations_are_unscorable() {
        let verifier = VideoComConfig::default().build(&()).unwrap();
        let reply = trajectory(&[("FINAL_ANSWER: B", 0.0)], StopReason::EndToken);
        assert_eq!(
            verifier.score(&Task::new("t9", "", " "), &reply),
            Score::Unscorable("task `t9` has no reference".to_owned())
        );
        let mut bad = task();
        bad.columns.insert("segments".into(), json!("two"));
        let Score::Unscorable(reason) = verifier.score(&bad, &reply) else {
            panic!("must be unscorable")
        };
        assert!(
            reason.starts_with("task `t`: annotations: invalid type"),
            "{reason}"
        );
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
        for tau in [0.0, 1.1, f64::NAN] {
            let config = VideoComConfig {
                iou_threshold: tau,
                ..Default::default()
            };
            assert_eq!(
                config.build(&()).unwrap_err().to_string(),
                format!("`iou_threshold` = {tau}: must be a number in (0, 1]")
            );
        }
        let one = VideoComConfig {
            iou_threshold: 1.0,
            ..Default::default()
        };
        assert!(one.build(&()).is_ok());
        for weight in [-1.0, f64::INFINITY] {
            let config = VideoComConfig {
                share_weight: weight,
                ..Default::default()
            };
            assert_eq!(
                config.build(&()).unwrap_err().to_string(),
                format!("`share_weight` = {weight}: must be a finite number >= 0")
            );
        }
        assert_eq!(
            VideoComConfig::default().formula(),
            "r = [right option: letter and delimiter] + 1 hits / predictions; boxes hit from IoU 0.35; unannotated: ignored"
        );
        let other: VideoComConfig = serde_json::from_str(
            r#"{"gate": "right-answer", "unannotated": "wrong", "letter": "first-character", "share_weight": 0.5}"#,
        )
        .unwrap();
        assert_eq!(
            other.formula(),
            "r = [right option: first character] + 0.5 hits / predictions, right answers only; boxes hit from IoU 0.35; \
             unannotated: misses"
        );
    }
}
