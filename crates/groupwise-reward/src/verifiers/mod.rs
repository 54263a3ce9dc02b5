//! The named verifiers, one file each, and the closed list of them.

use groupwise_core::{Score, StopReason, Task, Trajectory, Verifier, registry};

mod answer_recall;
mod blocks;
mod choice_set;
mod craft_gui;
mod digit_completion;
mod environment;
mod exact_match;
pub mod gsm8k;
mod gui_critic_r1;
mod interval;
mod manipulations;
pub mod math;
mod sari;
mod srpo;
mod temporal_r1;
mod ton;
mod uav_vl_r1;
mod video_com;
mod vlaa_thinker;

pub use answer_recall::{AnswerPart, AnswerRecallConfig, answer_recall, normalize_answer};
pub use choice_set::{ChoiceSetConfig, Credit, choice_set_reward, has_think_answer_format};
pub use craft_gui::CraftGuiConfig;
pub use digit_completion::{
    DigitCompletionConfig, EndMark, digit_completion_rewards, digit_completion_target,
};
pub use environment::EnvironmentConfig;
pub use exact_match::{Case, ExactMatchConfig, Whitespace, exact_match};
pub use gsm8k::{Gsm8kConfig, Gsm8kMethod};
pub use gui_critic_r1::{GuiCriticR1Config, TaskRun, VerdictMetrics, efficiency_rate, verdict_metrics};
pub use interval::interval_overlap;
pub use manipulations::{
    BoxCorners, Evidence, HitShare, Manipulations, Unannotated, box_iou, parse_manipulations, step_share,
};
pub use math::MathConfig;
pub use sari::{Layout, SariConfig, sari_reward};
pub use srpo::{SrpoConfig, SrpoReward, SrpoVersion, TwoAnswers, length_bump};
pub use temporal_r1::{
    TemporalR1Config, choice_accuracy, choice_format, grounding_accuracy, grounding_format,
    parse_time_interval,
};
pub use ton::{AnswerPlace, SkipChoice, ThoughtDropout, TonConfig, skips_thought, ton_format};
pub use uav_vl_r1::{UavVlR1Config, tagged_answer_matches, think_answer_format};
pub use video_com::{AnswerGate, LetterRule, VideoComConfig, VideoComReward, option_matches};
pub use vlaa_thinker::{
    QuestionType, VlaaThinkerConfig, box_overlap, digit_matches, letter_matches, open_reward,
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
        /// The number after the marker of GSM8K.
        Gsm8k = "gsm8k": Gsm8kConfig,
        /// The answer equals the reference as mathematics.
        Math = "math": MathConfig,
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
        task.columns.insert("suggestion".to_owned(), "tap".into());
        let aborted = testing::trajectory(&[("3", 1.0)], StopReason::Aborted);
        let finished = [
            "3",
            "<answer>3</answer>",
            "<score>3</score>",
            "<think></think><answer>3</answer>",
            "#### 3",
            r"\boxed{3}",
        ]
        .map(|reply| testing::trajectory(&[(reply, 1.0)], StopReason::EndToken));
        for name in VerifierSpec::NAMES {
            let verifier = VerifierSpec::named(name).unwrap().build(&()).unwrap();
            assert_eq!(verifier.name(), *name);
            assert_eq!(
                verifier.score(&task, &aborted),
                Score::Unscorable("the rollout was aborted".to_owned())
            );
            // Some judge a bare answer, some a tagged one.
            let earns = |reply| verifier.score(&task, reply).value().is_some_and(|r| r > 0.0);
            assert!(finished.iter().any(earns), "{name}");
        }
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
