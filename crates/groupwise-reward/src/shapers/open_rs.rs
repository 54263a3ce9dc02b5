//! Open-RS: one closing tag of the thought, and the verdict graded by length.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::check_group;
use super::cosine_length::CosineLengthConfig;

/// Weights of the two parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenRsWeights {
    /// Weight of the format, >= 0.
    pub format: f64,
    /// Weight of the cosine, >= 0.
    pub cosine: f64,
}

impl Default for OpenRsWeights {
    fn default() -> Self {
        Self {
            format: 1.0,
            cosine: 2.0,
        }
    }
}

/// The reward of Open-RS's recipes: format plus cosine of the length, from a verdict of 0 or 1.
///
/// # Formula
/// `r_i <- w_f f_i + w_c c_i`; f = 1 if the reply holds `"\n</think>\n"` exactly once, else 0; c the reward of
/// [`CosineLengthConfig`] for the verdict that reached the shaper.
///
/// # Shapes
/// One reward per member; `format` and `cosine` are logged as components `open-rs-format` and `open-rs-cosine`.
///
/// # Edge cases
/// - A tag at the very start or end of the reply, without its line breaks, does not count.
/// - The opening tag is not asked for: it stands in the prompt.
/// - Unscorable member: stays so, without components.
///
/// # Errors
/// Parameters: a weight negative or not finite; those of [`CosineLengthConfig`].  Data: those of the same; components
/// of these names already there.
///
/// # Source
/// arXiv 2503.16219; knoveleng/open-rs at 2889c474, `src/open_r1/rewards.py` and the weights of `recipes/grpo.yaml`.
/// Unlike the code, a reference that cannot be parsed is the verifier's to refuse, not worth 1.0 to everyone.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::{closing_tag_format, OpenRsConfig};
/// let config = OpenRsConfig::default();
/// assert_eq!(closing_tag_format("2+5 is 7\n</think>\n7"), 1.0);
/// assert_eq!(config.total(1.0, config.cosine.reward(true, 0)), 3.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenRsConfig {
    /// Weights of the parts.
    pub weights: OpenRsWeights,
    /// The cosine.
    pub cosine: CosineLengthConfig,
}

/// 1 if the text holds exactly one closing tag of a thought on a line of its own, else 0.
pub fn closing_tag_format(text: &str) -> f64 {
    f64::from(u8::from(text.matches("\n</think>\n").count() == 1))
}

impl OpenRsConfig {
    /// The weighted sum of format and cosine.
    pub fn total(&self, format: f64, cosine: f64) -> f64 {
        self.weights.format * format + self.weights.cosine * cosine
    }
}

impl Part<dyn RewardShaper> for OpenRsConfig {
    const SOURCE: &'static str =
        "Open-RS, arXiv 2503.16219; knoveleng/open-rs at 2889c474, rewards.py, grpo.yaml";

    fn formula(&self) -> String {
        let cosine = self.cosine.formula();
        format!(
            "r_i = {} [one closing tag] + {} c; c: {}",
            self.weights.format,
            self.weights.cosine,
            cosine.trim_start_matches("r = "),
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        for (key, weight) in [
            ("weights.format", self.weights.format),
            ("weights.cosine", self.weights.cosine),
        ] {
            ParamError::check_coefficient(key, weight)?;
        }
        self.cosine.validate()?;
        Ok(Box::new(OpenRs(self.clone())))
    }
}

#[derive(Debug)]
struct OpenRs(OpenRsConfig);

impl RewardShaper for OpenRs {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        let cosine = self.0.cosine.group(members, &rewards.rewards)?;
        let format: Vec<Option<f64>> = members
            .iter()
            .zip(&cosine)
            .map(|(member, scored)| scored.map(|_| closing_tag_format(member.answer())))
            .collect();
        if rewards.components.contains_key("open-rs-format") {
            return Err(DataError::value(
                "component `open-rs-format`",
                "is already there: the verdict is no longer known",
            ));
        }
        rewards.rewards = format
            .iter()
            .zip(&cosine)
            .map(|(f, c)| f.zip(*c).map(|(f, c)| self.0.total(f, c)))
            .collect();
        rewards.components.insert("open-rs-format".to_owned(), format);
        rewards.components.insert("open-rs-cosine".to_owned(), cosine);
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::super::testing::shape;
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn with_the_recipe_a_right_answer_beats_a_wrong_one_of_the_same_format(
            right in 0usize..1500, wrong in 0usize..1500, tagged in any::<bool>(),
        ) {
            let config = OpenRsConfig::default();
            let format = f64::from(u8::from(tagged));
            let of = |correct, n| config.total(format, config.cosine.reward(correct, n));
            prop_assert!(of(true, right) > of(false, wrong));
            prop_assert!((of(true, right) - format - 2.0 * config.cosine.reward(true, right)).abs() < 1e-12);
        }

        #[test]
        fn the_format_counts_tags_on_lines_of_their_own(before in 0usize..3, after in "[a ]{0,3}") {
            let text = format!("x{}{after}", "\n</think>\ny".repeat(before));
            prop_assert_eq!(closing_tag_format(&text), f64::from(u8::from(before == 1)));
        }
    }

    #[test]
    fn format_needs_its_line_breaks() {
        let verdicts = [
            "a\n</think>\nb",
            "</think>\nb",
            "x</think>y",
            "a\n</think>",
            "\n</think>\n\n</think>\n",
            "",
        ];
        assert_eq!(verdicts.map(closing_tag_format), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_group_is_rewarded_for_format_and_length() {
        let config = OpenRsConfig {
            cosine: CosineLengthConfig {
                max_len: 4,
                ..Default::default()
            },
            ..Default::default()
        };
        let members = [
            Trajectory::of_reply("a\n</think>\nb", 4),
            Trajectory::of_reply("b", 2),
            Trajectory::of_reply("b", 1),
        ];
        let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(0.0), None]);
        shape(&config, &members, &mut rewards).unwrap();
        assert_eq!(rewards.rewards[0], Some(2.0));
        assert!((rewards.rewards[1].unwrap() + 0.5).abs() < 1e-12);
        assert_eq!(rewards.rewards[2], None);
        assert_eq!(rewards.components["open-rs-format"], [Some(1.0), Some(0.0), None]);
        assert_eq!(rewards.components["open-rs-cosine"][0], Some(0.5));
        assert_eq!(rewards.components["open-rs-cosine"][2], None);
        rewards.rewards = vec![Some(1.0); 3];
        assert_eq!(
            shape(&config, &members, &mut rewards).unwrap_err().to_string(),
            "component `open-rs-format`: is already there: the verdict is no longer known"
        );
        let mut graded = GroupRewards::new("v", vec![Some(0.5); 3]);
        assert_eq!(
            shape(&config, &members, &mut graded).unwrap_err().to_string(),
            "trajectory 0: reward 0.5: the cosine of the length needs a verdict of 0 or 1"
        );
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
        let refused = |json: &str| {
            let config: OpenRsConfig = serde_json::from_str(json).unwrap();
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(r#"{"weights": {"format": -1}}"#),
            "`weights.format` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            refused(r#"{"weights": {"cosine": -2}}"#),
            "`weights.cosine` = -2: must be a finite number >= 0"
        );
        assert_eq!(
            refused(r#"{"cosine": {"max_len": 0}}"#),
            "`max_len` = 0: must be >= 1"
        );
        assert_eq!(
            OpenRsConfig::default().formula(),
            "r_i = 1 [one closing tag] + 2 c; c: lo + (hi - lo) (1 + cos(pi x)) / 2, x = min(1, n / 1000), \
             n in tokens; right: 1 to 0.5, wrong: 0 to -0.5"
        );
    }
}
