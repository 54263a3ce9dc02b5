//! The named verifiers, one file each, and the closed list of them.

use groupwise_core::{Score, StopReason, Task, Trajectory, Verifier, registry};

mod answer_recall;
mod blocks;
mod choice_set;
mod countdown;
mod craft_gui;
mod digit_completion;
mod entity_match;
mod environment;
mod exact_match;
pub mod gsm8k;
mod gui_critic_r1;
pub mod ifeval;
mod interval;
mod manipulations;
pub mod math;
mod multiple_choice;
mod overlap;
mod qa_match;
mod ranked_list;
mod reward_ensemble;
mod sari;
mod srpo;
mod temporal_r1;
mod tested_code;
mod ton;
mod tool_use;
mod uav_vl_r1;
mod video_com;
mod vlaa_thinker;
mod wireless_math;

pub use crate::geometry::box_overlap;
pub use answer_recall::{AnswerPart, AnswerRecallConfig, answer_recall, normalize_answer};
pub use choice_set::{ChoiceSetConfig, Credit, choice_set_reward, has_think_answer_format};
pub use countdown::{AnswerLine, CountdownConfig};
pub use craft_gui::CraftGuiConfig;
pub use digit_completion::{
    DigitCompletionConfig, EndMark, digit_completion_rewards, digit_completion_target,
};
pub use entity_match::{EntityMatchConfig, EntityMetric, EntityScores, entity_scores};
pub use environment::EnvironmentConfig;
pub use exact_match::{Case, ExactMatchConfig, Whitespace, exact_match};
pub use gsm8k::{Gsm8kConfig, Gsm8kMethod};
pub use gui_critic_r1::{GuiCriticR1Config, TaskRun, VerdictMetrics, efficiency_rate, verdict_metrics};
pub use interval::interval_overlap;
pub use manipulations::{
    BoxCorners, Evidence, HitShare, Manipulations, Unannotated, box_iou, parse_manipulations, step_share,
};
pub use math::MathConfig;
pub use multiple_choice::{MultipleChoiceConfig, choice_of_response, letters};
pub use overlap::{OverlapConfig, OverlapMetric};
pub use qa_match::{QaMatchConfig, QaMetric, sub_exact_match};
pub use ranked_list::{ListMetric, RankedListConfig, read_list};
pub use reward_ensemble::RewardEnsembleConfig;
pub use sari::{Layout, SariConfig, sari_reward};
pub use srpo::{SrpoConfig, SrpoReward, SrpoVersion, TwoAnswers, length_bump};
pub use temporal_r1::{
    TemporalR1Config, choice_accuracy, choice_format, grounding_accuracy, grounding_format,
    parse_time_interval,
};
pub use tested_code::{CodeTests, CodeTestsConfig, ProgramPart, code_tests};
pub use ton::{AnswerPlace, SkipChoice, ThoughtDropout, TonConfig, skips_thought, ton_format};
pub use tool_use::ToolUseConfig;
pub use uav_vl_r1::{UavVlR1Config, tagged_answer_matches, think_answer_format};
pub use video_com::{AnswerGate, LetterRule, VideoComConfig, VideoComReward, option_matches};
pub use vlaa_thinker::{QuestionType, VlaaThinkerConfig, digit_matches, letter_matches, open_reward};
pub use wireless_math::{
    Unboxed, WirelessMathConfig, WirelessMathKind, boxes, mcq_letter, wireless_math,
    wireless_math_normal_form,
};

registry! {
    /// Every named verifier.
    ///
    /// # Example
    /// ```
    /// use groupwise_reward::VerifierSpec;
    /// let spec: VerifierSpec = serde_json::from_str(r#"{"exact-match": {"case": "insensitive"}}"#)?;
    /// assert_eq!(spec.build(&())?.name(), "exact-match");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub enum VerifierSpec => dyn Verifier, () {
        /// Sum of the rewards the environment gave.
        Environment = "environment": EnvironmentConfig,
        /// The answer equals the reference.
        ExactMatch = "exact-match": ExactMatchConfig,
        /// Right leading characters of a number progression.
        DigitCompletion = "digit-completion": DigitCompletionConfig,
        /// The right option, plus the share of manipulations that hit annotated evidence.
        VideoCom = "video-com": VideoComConfig,
        /// A thought and an answer in their tags, and the right answer.
        UavVlR1 = "uav-vl-r1": UavVlR1Config,
        /// Some of the right options are named, and no wrong one.
        ChoiceSet = "choice-set": ChoiceSetConfig,
        /// How many of the reference's words the answer holds.
        AnswerRecall = "answer-recall": AnswerRecallConfig,
        /// Two answers with a reflection between them.
        Srpo = "srpo": SrpoConfig,
        /// The right answer after a thought that may be empty.
        Ton = "ton": TonConfig,
        /// Number, letter, box or graded text, by the type of the question.
        VlaaThinker = "vlaa-thinker": VlaaThinkerConfig,
        /// Verdict on a proposed action and what is suggested instead.
        GuiCriticR1 = "gui-critic-r1": GuiCriticR1Config,
        /// Graded credit for an action on a screen, or for an answer about it.
        CraftGui = "craft-gui": CraftGuiConfig,
        /// A thought of four named parts, and the right answer.
        Sari = "sari": SariConfig,
        /// Overlap of time intervals, or the right choice, beside the format.
        TemporalR1 = "temporal-r1": TemporalR1Config,
        /// A short answer, by exact match or token F1.
        QaMatch = "qa-match": QaMatchConfig,
        /// An expression that reaches a target with given numbers.
        Countdown = "countdown": CountdownConfig,
        /// The one letter a response settles on.
        MultipleChoice = "multiple-choice": MultipleChoiceConfig,
        /// The calls of tools that were expected, in any order.
        ToolUse = "tool-use": ToolUseConfig,
        /// Overlap of a box or a time span with the true one.
        Overlap = "overlap": OverlapConfig,
        /// Recall or gain of an ordered list of titles.
        RankedList = "ranked-list": RankedListConfig,
        /// A set of named entities.
        EntityMatch = "entity-match": EntityMatchConfig,
        /// Instructions whose following a program can check.
        Ifeval = "ifeval": ifeval::IfevalConfig,
        /// A program passes tests in a sandbox.
        CodeTests = "code-tests": CodeTestsConfig,
        /// A letter, or equations in boxes.
        Wirelessmathlm = "wirelessmathlm": WirelessMathConfig,
        /// The number after the marker of GSM8K.
        Gsm8k = "gsm8k": Gsm8kConfig,
        /// The answer equals the reference as mathematics.
        Math = "math": MathConfig,
        /// Scores of an ensemble of learned rewards, reduced to one.
        RewardEnsemble = "reward-ensemble": RewardEnsembleConfig,
    }
}

/// A rollout that could not be finished has no answer to judge.
fn refuse_aborted(trajectory: &Trajectory) -> Option<Score> {
    (trajectory.stop == StopReason::Aborted).then(|| Score::Unscorable("the rollout was aborted".to_owned()))
}

/// Nor can an answer be judged that there is nothing to compare with.
fn refuse_unjudgeable(task: &Task, trajectory: &Trajectory) -> Option<Score> {
    let without = || Score::Unscorable(format!("task `{}` has no reference", task.id));
    refuse_aborted(trajectory).or_else(|| task.reference.trim().is_empty().then(without))
}

/// Content of the last closed block of a tag, the blocks read from left to right.
fn last_block<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    blocks::contents(text, tag).pop()
}

/// Every reference of a task: its `reference`, a text or a JSON list of texts, and the texts in its columns
/// `references` and `golds`.
fn references(task: &Task) -> Vec<String> {
    let mut out = Vec::new();
    let reference = task.reference.trim();
    let listed = if reference.starts_with('[') {
        serde_json::from_str::<Vec<String>>(reference).ok()
    } else {
        None
    };
    match listed {
        Some(listed) => out.extend(listed),
        None if reference.is_empty() => {}
        None => out.push(task.reference.clone()),
    }
    for column in ["references", "golds"] {
        let texts = task.columns.get(column).and_then(|c| c.as_array());
        out.extend(
            texts
                .into_iter()
                .flatten()
                .filter_map(|t| t.as_str())
                .map(str::to_owned),
        );
    }
    out
}

#[cfg(test)]
mod testing {

    use groupwise_core::{StopReason, Trajectory, Turn};

    /// A trajectory of turns given as (action, reward), one token per character.
    pub(super) fn trajectory(turns: &[(&str, f64)], stop: StopReason) -> Trajectory {
        let mut next = 0;
        let turns: Vec<Turn> = turns
            .iter()
            .map(|(action, reward)| {
                let start = next;
                next += action.chars().count();
                Turn {
                    anchor: None,
                    action: (*action).to_owned(),
                    tokens: start..next,
                    reward: *reward,
                    valid: true,
                }
            })
            .collect();
        Trajectory {
            turns,
            stop,
            ..Trajectory::of_reply("", next)
        }
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Task;

    use super::*;

    #[test]
    fn an_aborted_rollout_is_unscorable_for_every_verifier() {
        let mut task = Task::new("t", "1,2:9,1", "3");
        for (column, value) in [
            ("suggestion", "tap".into()),
            ("numbers", serde_json::json!([3])),
            ("target", 3.into()),
            ("member_scores", serde_json::json!({"3": [1.0]})),
        ] {
            task.columns.insert(column.to_owned(), value);
        }
        let aborted = testing::trajectory(&[("3", 1.0)], StopReason::Aborted);
        let finished = [
            "3",
            "<answer>3</answer>",
            "<score>3</score>",
            "<think></think><answer>3</answer>",
            "\\boxed{3}",
            "#### 3",
            r"\boxed{3}",
        ]
        .map(|reply| testing::trajectory(&[(reply, 1.0)], StopReason::EndToken));
        for name in VerifierSpec::NAMES {
            if *name == "code-tests" && !cfg!(all(feature = "sandbox", unix)) {
                continue;
            }
            let verifier = VerifierSpec::named(name).unwrap().build(&()).unwrap();
            assert_eq!(verifier.name(), *name);
            assert_eq!(
                verifier.score(&task, &aborted),
                Score::Unscorable("the rollout was aborted".to_owned())
            );
            // Some judge a bare answer, some a tagged one, some need a reference of their own kind.
            let earns = |reply| verifier.score(&task, reply).value().is_some_and(|r| r > 0.0);
            let special = special(name).is_some_and(|(task, reply)| {
                let reply = testing::trajectory(&[(reply, 0.0)], StopReason::EndToken);
                verifier.score(&task, &reply) == Score::Value(1.0)
            });
            assert!(special || finished.iter().any(earns), "{name}");
        }
    }

    /// A task and a perfect reply of verifiers whose reference is no number.
    fn special(name: &str) -> Option<(Task, &'static str)> {
        let (reference, reply) = match name {
            "multiple-choice" => ("C", "The answer is C."),
            "tool-use" => (r#"{"functions": []}"#, "I need no tool."),
            "overlap" => ("[1, 2]", "<answer>[1, 2]</answer>"),
            "ranked-list" => (r#"[["Heat", 1995]]"#, "1. Heat (1995)"),
            "ifeval" => (r#"{"instruction": "punctuation:no_comma"}"#, "3"),
            "code-tests" => (
                r#"{"kind": "asserts", "tests": ["assert f() == 3"]}"#,
                "```python\ndef f(): return 3\n```",
            ),
            _ => return None,
        };
        Some((Task::new("t", "", reference), reply))
    }

    #[test]
    fn the_catalogue_describes_every_verifier() {
        let catalogue = VerifierSpec::catalogue();
        assert_eq!(
            catalogue.iter().map(|p| p.name).collect::<Vec<_>>(),
            VerifierSpec::NAMES
        );
        assert!(
            catalogue
                .iter()
                .all(|p| p.formula.starts_with("r = ") && !p.source.is_empty())
        );
    }
}
