//! Bonus for the shape of a text, whatever its answer.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::{check_first, check_group};
use crate::shape::{
    FormatEnd, code_format_reward, format_reward, reasoning_steps_reward, tag_count_reward,
    think_format_reward,
};

/// Which shape is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeRule {
    /// [`format_reward`].
    #[default]
    Format,
    /// [`think_format_reward`].
    ThinkFormat,
    /// [`tag_count_reward`].
    TagCount,
    /// [`reasoning_steps_reward`].
    ReasoningSteps,
    /// [`code_format_reward`].
    CodeFormat,
}

impl ShapeRule {
    /// Name of the component it is logged as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::ThinkFormat => "think-format",
            Self::TagCount => "tag-count",
            Self::ReasoningSteps => "reasoning-steps",
            Self::CodeFormat => "code-format",
        }
    }
}

/// Adds a weighted reward of the text's shape, each rule as often as it is listed among the shapers (once).
///
/// # Formula
/// `r_i += w s_i`, s the reward of the rule for the last action.
///
/// # Shapes
/// s in [0, 1], logged as a component of the rule's name.
///
/// # Edge cases
/// - A wrong answer earns it, too: keep the weight well below that of the verdict.
/// - Unscorable member: stays so, without component.
/// - `end` and `language` matter to the rules that read them only.
///
/// # Errors
/// Parameters: a weight negative or not finite, an empty language.  Data: rewards and members that differ in number; a
/// component of that name already there.
///
/// # Source
/// `src/open_r1/rewards.py` of huggingface/open-r1 @1416fa0cf215; `format_rewards.py` of huggingface/trl @f2cd57710ae3.
///
/// # Example
/// ```
/// use groupwise_reward::ShaperSpec;
/// let spec: ShaperSpec = serde_json::from_str(r#"{"text-shape": {"rule": "tag-count", "weight": 0.1}}"#)?;
/// assert_eq!(spec.formula(), "r_i += 0.1 tag-count");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextShapeConfig {
    /// Which shape is paid for.
    pub rule: ShapeRule,
    /// Weight w, >= 0.
    pub weight: f64,
    /// Where the format must end.
    pub end: FormatEnd,
    /// Language of the code block.
    pub language: String,
}

impl Default for TextShapeConfig {
    fn default() -> Self {
        Self {
            rule: ShapeRule::Format,
            weight: 1.0,
            end: FormatEnd::Exact,
            language: "python".to_owned(),
        }
    }
}

impl TextShapeConfig {
    /// Reward of a text, without the weight.
    pub fn reward(&self, text: &str) -> f64 {
        match self.rule {
            ShapeRule::Format => format_reward(text, self.end),
            ShapeRule::ThinkFormat => think_format_reward(text),
            ShapeRule::TagCount => tag_count_reward(text),
            ShapeRule::ReasoningSteps => reasoning_steps_reward(text),
            ShapeRule::CodeFormat => code_format_reward(text, &self.language, self.end),
        }
    }
}

impl Part<dyn RewardShaper> for TextShapeConfig {
    const SOURCE: &'static str =
        "huggingface/open-r1 @1416fa0cf215 rewards.py; huggingface/trl @f2cd57710ae3 format_rewards.py";

    fn formula(&self) -> String {
        format!("r_i += {} {}", self.weight, self.rule.name())
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        ParamError::check_coefficient("weight", self.weight)?;
        ParamError::check(!self.language.is_empty(), "language", "\"\"", "not empty")?;
        Ok(Box::new(TextShape(self.clone())))
    }
}

#[derive(Debug)]
struct TextShape(TextShapeConfig);

impl RewardShaper for TextShape {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        let name = self.0.rule.name();
        check_first(rewards, name, "the bonus would count twice")?;
        let mut bonuses = Vec::with_capacity(members.len());
        for (reward, member) in rewards.rewards.iter_mut().zip(members) {
            let bonus = reward.map(|_| self.0.reward(member.answer()));
            *reward = reward.zip(bonus).map(|(r, b)| r + self.0.weight * b);
            bonuses.push(bonus);
        }
        rewards.components.insert(name.to_owned(), bonuses);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: [ShapeRule; 5] = [
        ShapeRule::Format,
        ShapeRule::ThinkFormat,
        ShapeRule::TagCount,
        ShapeRule::ReasoningSteps,
        ShapeRule::CodeFormat,
    ];

    #[test]
    fn every_rule_adds_its_component_once() {
        let text = "<think>\nFirst,\n- a\n</think>\n<answer>\n```python\nb\n```\n</answer>";
        let members = [Trajectory::of_reply(text, 1), Trajectory::of_reply("x", 1)];
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let mut rewards = GroupRewards::new("v", vec![Some(0.0), None]);
        for rule in RULES {
            let config = TextShapeConfig {
                rule,
                weight: 0.5,
                ..Default::default()
            };
            let shaper = config.build(&()).unwrap();
            shaper.shape(&task, &members, &mut rewards, &memory).unwrap();
            assert!(shaper.shape(&task, &members, &mut rewards, &memory).is_err());
        }
        let total = 0.5 * (4.0 + 2.0 / 3.0);
        assert!((rewards.rewards[0].unwrap() - total).abs() < 1e-12);
        assert_eq!(rewards.rewards[1], None);
        assert_eq!(rewards.components["reasoning-steps"], [Some(2.0 / 3.0), None]);
    }

    #[test]
    fn names_are_those_of_the_recipe_and_parameters_are_checked() {
        for rule in RULES {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
        let bad = TextShapeConfig {
            language: String::new(),
            ..Default::default()
        };
        assert_eq!(
            bad.build(&()).unwrap_err().to_string(),
            "`language` = \"\": must be not empty"
        );
    }

    proptest! {
        #[test]
        fn any_text_earns_a_share(text in any::<String>()) {
            for rule in RULES {
                let config = TextShapeConfig { rule, ..Default::default() };
                prop_assert!((0.0..=1.0).contains(&config.reward(&text)));
            }
        }
    }
}
