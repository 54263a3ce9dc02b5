//! UAV-VL-R1: a thought and an answer in their tags, and the right answer.

use groupwise_core::answers::first_block;
use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::choice_set::has_think_answer_format;
use super::refuse_unjudgeable;

/// Format and answer, graded apart.
///
/// # Formula
/// `r = w_f f + w_a a`; f = 1 if the reply is one think block and then one answer block; a = 1 if the first answer block
/// holds the reference.
///
/// # Edge cases
/// - The answer is graded even if the format fails; without a closed answer block it is 0.
/// - White space before, between and after the blocks changes nothing; an empty thought is a thought.
/// - Answers are trimmed and compared without letter case: as numbers if both are finite ones ("3.0" is "3"), else as
///   text ("three" is not "3").
/// - A task without reference: unscorable.
///
/// # Errors
/// Parameters: a weight negative or not finite; both 0.
///
/// # Source
/// "UAV-VL-R1", arXiv 2508.11196.  No code could be read: weights, tags and the comparison are reconstructed from the
/// description and from what code bases of that family do.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{tagged_answer_matches, think_answer_format};
/// let reply = "<think>count</think>\n<answer> 7.0 </answer>";
/// assert_eq!(think_answer_format(reply), 1.0);
/// assert!(tagged_answer_matches(reply, "7"));
/// assert_eq!(think_answer_format("<answer>7</answer>"), 0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UavVlR1Config {
    /// Weight of the format, >= 0.
    #[serde(alias = "w_f")]
    pub format_weight: f64,
    /// Weight of the answer, >= 0.
    #[serde(alias = "w_a")]
    pub accuracy_weight: f64,
}

impl Default for UavVlR1Config {
    fn default() -> Self {
        Self {
            format_weight: 1.0,
            accuracy_weight: 1.0,
        }
    }
}

/// 1 if the text is `<think>..</think>` and then `<answer>..</answer>`, each tag once, white space around and between
/// allowed; else 0.
pub fn think_answer_format(text: &str) -> f64 {
    f64::from(u8::from(has_think_answer_format(text)))
}

/// True if the first answer block of the reply holds the reference; see [`UavVlR1Config`] for the comparison.
pub fn tagged_answer_matches(reply: &str, reference: &str) -> bool {
    first_block(reply, "answer").is_some_and(|answer| same_answer(answer, reference))
}

/// Equal as finite numbers, else as text without letter case.
pub(super) fn same_answer(a: &str, b: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok().filter(|x| x.is_finite());
    let (a, b) = (a.trim(), b.trim());
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a.to_lowercase() == b.to_lowercase(),
    }
}

impl Part<dyn Verifier> for UavVlR1Config {
    const SOURCE: &'static str = "UAV-VL-R1, arXiv 2508.11196, reconstructed";

    fn formula(&self) -> String {
        format!(
            "r = {} [think block, answer block] + {} [first answer block = reference]",
            self.format_weight, self.accuracy_weight
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        for (key, weight) in [
            ("format_weight", self.format_weight),
            ("accuracy_weight", self.accuracy_weight),
        ] {
            ParamError::check_coefficient(key, weight)?;
        }
        ParamError::check(
            self.format_weight > 0.0 || self.accuracy_weight > 0.0,
            "accuracy_weight",
            self.accuracy_weight,
            "> 0 where `format_weight` is 0",
        )?;
        Ok(Box::new(UavVlR1(self.clone())))
    }
}

#[derive(Debug)]
struct UavVlR1(UavVlR1Config);

impl Verifier for UavVlR1 {
    fn name(&self) -> &str {
        "uav-vl-r1"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        let reply = trajectory.answer();
        let right = f64::from(u8::from(tagged_answer_matches(reply, &task.reference)));
        Score::Value(self.0.format_weight * think_answer_format(reply) + self.0.accuracy_weight * right)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::trajectory;
    use super::*;

    fn score(config: &UavVlR1Config, reply: &str, reference: &str) -> Score {
        let verifier = config.build(&()).unwrap();
        verifier.score(
            &Task::new("t", "", reference),
            &trajectory(&[(reply, 0.0)], StopReason::EndToken),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn rewards_are_sums_of_the_two_weights(
            reply in r"(<think>|</think>|<answer>|</answer>|7|[ a\n]){0,8}", f in 0.0..3.0f64, a in 0.1..3.0f64,
        ) {
            let config = UavVlR1Config { format_weight: f, accuracy_weight: a };
            let r = score(&config, &reply, "7").value().unwrap();
            prop_assert!([0.0, f, a, f + a].contains(&r));
        }

        #[test]
        fn white_space_around_and_between_the_blocks_changes_nothing(
            thought in "[a-z ]{0,5}", answer in "[a-z0-9]{0,3}", space in r"[ \n\t]{0,3}",
        ) {
            let (think, reply) = (format!("<think>{thought}</think>"), format!("<answer>{answer}</answer>"));
            let spaced = format!("{space}{think}{space}{reply}{space}");
            prop_assert_eq!(think_answer_format(&spaced), 1.0);
            prop_assert_eq!(tagged_answer_matches(&spaced, "7"), tagged_answer_matches(&reply, "7"));
            // Anything else between, before or after breaks it; a block missing does, too.
            for broken in [format!("{think}x{reply}"), format!("x{think}{reply}"), format!("{think}{reply}x"),
                           think.clone(), reply.clone(), format!("{reply}{think}"), format!("{think}{think}{reply}"),
                           format!("{think}{reply}{reply}"), format!("<think>{think}{reply}")] {
                prop_assert_eq!(think_answer_format(&broken), 0.0, "{}", broken);
            }
        }

        #[test]
        fn numbers_compare_by_value(x in -999i32..999) {
            let (same, next) = (format!("<answer>{x}.0</answer>"), format!("<answer>{}</answer>", x + 1));
            prop_assert!(tagged_answer_matches(&same, &x.to_string()));
            prop_assert!(!tagged_answer_matches(&next, &x.to_string()));
        }
    }

    #[test]
    fn answers_are_compared_as_numbers_else_as_text() {
        for (answer, reference, expected) in [
            ("3.0", "3", true),
            (" 3 ", "3", true),
            ("three", "3", false),
            ("Red", "rED", true),
            ("red car", "red", false),
            ("nan", "NaN", true),
            ("inf", "1e999", false),
            ("", "3", false),
        ] {
            let reply = format!("<answer>{answer}</answer>");
            assert_eq!(tagged_answer_matches(&reply, reference), expected, "{answer}");
        }
        assert!(tagged_answer_matches(
            "<answer>1</answer> <answer>2</answer>",
            "1"
        ));
        assert!(!tagged_answer_matches("<answer>1", "1"));
        assert!(!tagged_answer_matches("1", "1"));
    }

    #[test]
    fn the_answer_is_graded_even_if_the_format_fails() {
        let config = UavVlR1Config {
            format_weight: 0.25,
            accuracy_weight: 2.0,
        };
        assert_eq!(score(&config, "<answer>7</answer>", "7"), Score::Value(2.0));
        assert_eq!(
            score(&config, "<think></think><answer>8</answer>", "7"),
            Score::Value(0.25)
        );
        assert_eq!(
            score(&config, "<think></think><answer>7</answer>", "7"),
            Score::Value(2.25)
        );
        assert_eq!(
            score(&config, "<answer></answer>", " "),
            Score::Unscorable("task `t` has no reference".to_owned())
        );
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
        let refused = |f, a| {
            let config = UavVlR1Config {
                format_weight: f,
                accuracy_weight: a,
            };
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(-1.0, 1.0),
            "`format_weight` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            refused(1.0, f64::NAN),
            "`accuracy_weight` = NaN: must be a finite number >= 0"
        );
        assert_eq!(
            refused(0.0, 0.0),
            "`accuracy_weight` = 0: must be > 0 where `format_weight` is 0"
        );
        for (f, a) in [(0.0, 1.0), (1.0, 0.0)] {
            let config = UavVlR1Config {
                format_weight: f,
                accuracy_weight: a,
            };
            assert!(config.build(&()).is_ok());
        }
        let config: UavVlR1Config = serde_json::from_str(r#"{"w_f": 0.5, "w_a": 2}"#).unwrap();
        assert_eq!(
            config.formula(),
            "r = 0.5 [think block, answer block] + 2 [first answer block = reference]"
        );
    }
}
