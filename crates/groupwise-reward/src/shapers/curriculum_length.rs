//! Train long, think short: correctness, closeness to a token budget that shrinks as training goes on, and format.

use std::ops::Range;

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::accuracy::accuracies;
use super::{check_first, check_group};
use crate::length_curriculum::{
    BudgetKind, LengthBudget, LengthBudgetConfig, LengthCurriculum, LengthCurriculumAnswer,
    LengthCurriculumConfig, LengthEarnedBy, LengthShape,
};

const NAME: &str = "curriculum-length";

/// The reward of a curriculum over lengths.
///
/// # Formula
/// At training step t (from 0) with budget `L = B(t)` of [`LengthBudget`]:
/// `r_i = w_correct c_i + w_length R_len(l_i, L) + w_format (a_think I_think + a_answer I_answer)`, R_len the triangle or
/// the band of [`length_reward`](crate::length_curriculum::length_reward).
///
/// # Shapes
/// `c_i` in [0, 1]; `l_i`: tokens the policy chose, the end token included; L: tokens, real.  Logged as components
/// `curriculum-length` (R_len as it was earned) and `curriculum-length/budget` (L).
///
/// # Edge cases
/// - Truncated member: no length reward.  Generation should be cut at `2 B(0)`, where R_len is 0 anyway, not at the budget:
///   what is slightly too long must still be seen.
/// - A tag pair is well formed if each tag stands in the text exactly once, the opening one first; the two pairs must not
///   overlap.  With `w_format = 0` texts are not looked at.
/// - Unscorable member: stays so.
/// - The step is one more than the last that the prompt memory has seen: a resumed run goes on with its budget.
/// - The accuracy is that of the verifier, never a shaped reward: name its component in `accuracy` if there are several.
///
/// # Errors
/// Parameters: those of [`LengthBudget`] and [`LengthCurriculum`]; an empty tag.  Data: rewards and members that differ in
/// number; no component of that name, or several and none named; a component `curriculum-length` already there; a
/// correctness outside [0, 1].
///
/// # Source
/// "Train Long, Think Short", arXiv 2508.08940, sections 3.1 to 3.4; the authors' repository was not available.  The
/// weights of the format reward, the tags and `length_earned_by = "correct"` are choices made here.
///
/// # Example
/// ```
/// use groupwise_core::{GroupRewards, Part, PromptMemory, Task, Trajectory};
/// use groupwise_reward::shapers::CurriculumLengthConfig;
/// let shaper = CurriculumLengthConfig { w_format: 0.0, ..Default::default() }.build(&())?;
/// let members = [Trajectory::of_reply("42", 128), Trajectory::of_reply("41", 256)];
/// let mut rewards = GroupRewards::new("math", vec![Some(1.0), Some(0.0)]);
/// shaper.shape(&Task::new("t", "", "42"), &members, &mut rewards, &PromptMemory::new(1, 8))?;
/// // 0.6 + 0.3 * 128 / 256 for the right one, 0.3 for the wrong one of just the budget's length.
/// assert_eq!(rewards.rewards, [Some(0.75), Some(0.3)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CurriculumLengthConfig {
    /// How the budget shrinks.
    pub budget: LengthBudgetConfig,
    /// Weight of correctness; >= 0.
    pub w_correct: f64,
    /// Weight of the length reward; >= 0.
    pub w_length: f64,
    /// Weight of the format reward; >= 0.
    pub w_format: f64,
    /// Share of a well-formed thinking part in the format reward; >= 0.
    pub a_think: f64,
    /// Share of a well-formed answer part in the format reward; >= 0.
    pub a_answer: f64,
    /// Reward of lengths below the budget.
    pub shape: LengthShape,
    /// Whether wrong answers earn the length reward.
    pub length_earned_by: LengthEarnedBy,
    /// Opening and closing tag of the thinking part.
    pub think: [String; 2],
    /// Opening and closing tag of the answer.
    pub answer: [String; 2],
    /// Component that is the accuracy; absent: the only one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<String>,
}

impl Default for CurriculumLengthConfig {
    fn default() -> Self {
        let reward = LengthCurriculumConfig::default();
        Self {
            budget: LengthBudgetConfig::default(),
            w_correct: reward.w_correct,
            w_length: reward.w_length,
            w_format: reward.w_format,
            a_think: reward.a_think,
            a_answer: reward.a_answer,
            shape: reward.shape,
            length_earned_by: reward.length_earned_by,
            think: ["<think>", "</think>"].map(str::to_owned),
            answer: ["<answer>", "</answer>"].map(str::to_owned),
            accuracy: None,
        }
    }
}

impl CurriculumLengthConfig {
    fn reward(&self) -> LengthCurriculumConfig {
        LengthCurriculumConfig {
            w_correct: self.w_correct,
            w_length: self.w_length,
            w_format: self.w_format,
            a_think: self.a_think,
            a_answer: self.a_answer,
            shape: self.shape,
            length_earned_by: self.length_earned_by,
        }
    }
}

impl Part<dyn RewardShaper> for CurriculumLengthConfig {
    const SOURCE: &'static str = "Train Long, Think Short, arXiv 2508.08940, sections 3.1 to 3.4";

    fn formula(&self) -> String {
        let b = &self.budget;
        let budget = match b.kind {
            BudgetKind::Exponential => {
                format!("max(1, {} {}^floor(t / {}))", b.b0, b.gamma, b.every)
            }
            BudgetKind::ExponentialDrops | BudgetKind::LinearDrops => {
                let way = if b.kind == BudgetKind::LinearDrops {
                    "differences"
                } else {
                    "factors"
                };
                format!(
                    "{} to {} in {} equal {way} over {} steps",
                    b.b0, b.bf, b.drops, b.total
                )
            }
            BudgetKind::Fixed => b.b0.to_string(),
        };
        let shape = match self.shape {
            LengthShape::Triangle => "triangle",
            LengthShape::Band => "band",
        };
        let earned = match self.length_earned_by {
            LengthEarnedBy::All => "",
            LengthEarnedBy::Correct => " [c_i > 0]",
        };
        format!(
            "r_i = {} c_i + {} {shape}(l_i, B(t)){earned} + {} ({} I_think + {} I_answer); B(t) = {budget}",
            self.w_correct, self.w_length, self.w_format, self.a_think, self.a_answer
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        for (key, tags) in [("think", &self.think), ("answer", &self.answer)] {
            let full = tags.iter().all(|t| !t.is_empty());
            ParamError::check(full, key, format!("{tags:?}"), "two texts that are not empty")?;
        }
        Ok(Box::new(CurriculumLength {
            budget: LengthBudget::new(&self.budget)?,
            reward: LengthCurriculum::new(&self.reward())?,
            config: self.clone(),
        }))
    }
}

/// Validated.
#[derive(Debug)]
struct CurriculumLength {
    config: CurriculumLengthConfig,
    budget: LengthBudget,
    reward: LengthCurriculum,
}

impl CurriculumLength {
    /// Whether the thinking and the answer part of a reply stand there as they should.
    fn parts(&self, text: &str) -> (bool, bool) {
        let (think, answer) = (pair(text, &self.config.think), pair(text, &self.config.answer));
        let apart = match (&think, &answer) {
            (Some(t), Some(a)) => t.end <= a.start || a.end <= t.start,
            _ => true,
        };
        (apart && think.is_some(), apart && answer.is_some())
    }
}

/// Where a tag pair stands, tags included, if each stands there exactly once and the opening one first.
fn pair(text: &str, [open, close]: &[String; 2]) -> Option<Range<usize>> {
    let only = |tag: &str| {
        let mut found = text.match_indices(tag);
        let (at, _) = found.next()?;
        found.next().is_none().then_some(at)
    };
    let (start, end) = (only(open)?, only(close)?);
    (start + open.len() <= end).then(|| start..end + close.len())
}

impl RewardShaper for CurriculumLength {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        memory: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "the reward would be shaped twice")?;
        let accuracies = accuracies(rewards, self.config.accuracy.as_deref())?.to_vec();
        let target = self.budget.at(memory.last_step());
        let mut earned = vec![None; members.len()];
        for (i, member) in members.iter().enumerate() {
            let Some(correct) = rewards.rewards[i].and(accuracies[i]) else {
                rewards.rewards[i] = None;
                continue;
            };
            let (think, answer) = match self.config.w_format {
                0.0 => (false, false),
                _ => self.parts(&reply(member)),
            };
            let seen = LengthCurriculumAnswer {
                correct,
                length: member.n_policy_tokens(),
                think,
                answer,
                truncated: member.stop.is_truncation(),
            };
            let named = |e: ParamError| DataError::value(format!("trajectory {i}"), e.to_string());
            let (reward, length) = self.reward.parts(&seen, target).map_err(named)?;
            rewards.rewards[i] = Some(reward);
            earned[i] = Some(length);
        }
        let budget = vec![Some(target); members.len()];
        rewards.components.insert(format!("{NAME}/budget"), budget);
        rewards.components.insert(NAME.to_owned(), earned);
        Ok(())
    }
}

/// All that a member said.
fn reply(member: &Trajectory) -> String {
    member.turns.iter().map(|turn| turn.action.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use groupwise_core::{GroupOutcome, StopReason};
    use proptest::prelude::*;

    use super::*;

    fn shape(
        config: &CurriculumLengthConfig,
        members: &[Trajectory],
        correct: &[Option<f64>],
        step: u64,
    ) -> GroupRewards {
        let mut memory = PromptMemory::new(1, 4);
        if step > 0 {
            let outcome = GroupOutcome {
                task: 0,
                rewards: vec![Some(0.0)],
                lengths: vec![1],
            };
            memory.observe(step, &[outcome]).unwrap();
        }
        let mut rewards = GroupRewards::new("v", correct.to_vec());
        let shaper = config.build(&()).unwrap();
        shaper
            .shape(&Task::new("t", "", ""), members, &mut rewards, &memory)
            .unwrap();
        rewards
    }

    /// The worked example of the specification.
    #[test]
    fn the_worked_example_comes_out_with_its_tags() {
        let text = |think: bool, answer: bool| {
            let part = |on: bool, name: &str| {
                if on {
                    format!("<{name}>x</{name}>")
                } else {
                    String::new()
                }
            };
            part(think, "think") + &part(answer, "answer")
        };
        let rows = [
            (1.0, 80, true, true),
            (1.0, 160, true, true),
            (0.0, 87, true, false),
            (0.0, 5, false, false),
        ];
        let members = rows.map(|(_, n, think, answer)| Trajectory::of_reply(&text(think, answer), n));
        let config = CurriculumLengthConfig {
            budget: LengthBudgetConfig {
                kind: BudgetKind::Fixed,
                b0: 87.0,
                ..Default::default()
            },
            ..Default::default()
        };
        let found = shape(&config, &members, &rows.map(|(c, ..)| Some(c)), 0);
        for (found, expected) in found
            .rewards
            .iter()
            .zip([0.975_862, 0.748_276, 0.35, 0.017_241_4])
        {
            assert!(
                (found.unwrap() - expected).abs() < 1e-6,
                "{found:?}, not {expected}"
            );
        }
        assert_eq!(found.components["curriculum-length"][2], Some(1.0));
    }

    #[test]
    fn the_budget_follows_the_step_that_the_memory_has_seen() {
        let config = CurriculumLengthConfig::default();
        let member = [Trajectory::of_reply("", 100)];
        for (step, budget) in [(0, 256.0), (149, 256.0), (150, 256.0 * 0.7), (450, 256.0 * 0.343)] {
            let found = shape(&config, &member, &[Some(0.0)], step);
            let logged = found.components["curriculum-length/budget"][0].unwrap();
            assert!((logged - budget).abs() < 1e-9, "step {step}: {logged}");
        }
    }

    #[test]
    fn tags_must_stand_once_in_order_and_apart() {
        let built = CurriculumLength {
            config: CurriculumLengthConfig::default(),
            budget: LengthBudget::new(&LengthBudgetConfig::default()).unwrap(),
            reward: LengthCurriculum::new(&LengthCurriculumConfig::default()).unwrap(),
        };
        for (text, expected) in [
            ("<think>a</think><answer>b</answer>", (true, true)),
            ("<answer>b</answer><think>a</think>", (true, true)),
            ("<think><answer>b</answer></think>", (false, false)),
            ("<think>a<answer>b</think></answer>", (false, false)),
            ("<think>a</think><think>b</think>", (false, false)),
            ("</think>a<think><answer></answer>", (false, true)),
            ("<think>a</think>", (true, false)),
            ("", (false, false)),
        ] {
            assert_eq!(built.parts(text), expected, "{text}");
        }
    }

    #[test]
    fn truncated_and_unscorable_members_and_bad_input() {
        let mut cut = Trajectory::of_reply("", 256);
        cut.stop = StopReason::Length;
        let members = [cut, Trajectory::of_reply("", 256)];
        let found = shape(
            &CurriculumLengthConfig::default(),
            &members,
            &[Some(0.0), None],
            0,
        );
        assert_eq!(found.rewards, [Some(0.0), None]);
        assert_eq!(found.components["curriculum-length"], [Some(0.0), None]);
        let shaper = CurriculumLengthConfig::default().build(&()).unwrap();
        let mut rewards = GroupRewards::new("v", vec![Some(0.0), Some(1.5)]);
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let error = shaper.shape(&task, &members, &mut rewards, &memory).unwrap_err();
        assert_eq!(
            error.to_string(),
            "trajectory 1: `correct` = 1.5: must be a number in [0, 1]"
        );
        let empty = CurriculumLengthConfig {
            think: ["<a>".to_owned(), String::new()],
            ..Default::default()
        };
        assert_eq!(
            empty.build(&()).map(|_| ()).unwrap_err().to_string(),
            "`think` = [\"<a>\", \"\"]: must be two texts that are not empty"
        );
    }

    proptest! {
        #[test]
        fn rewards_lie_between_0_and_the_sum_of_the_weights_and_budgets_fall(
            lengths in prop::collection::vec((0usize..600, 0.0..=1.0f64), 1..6), step in 0u64..700, w in 0.0..2.0f64,
        ) {
            let config = CurriculumLengthConfig { w_length: w, ..Default::default() };
            let members: Vec<_> = lengths.iter().map(|(n, _)| Trajectory::of_reply("<think></think>", *n)).collect();
            let correct: Vec<_> = lengths.iter().map(|(_, c)| Some(*c)).collect();
            let found = shape(&config, &members, &correct, step);
            for (reward, part) in found.rewards.iter().zip(&found.components[NAME]) {
                prop_assert!((0.0..=0.6 + w + 0.1 + 1e-12).contains(&reward.unwrap()));
                prop_assert!((0.0..=1.0).contains(&part.unwrap()));
            }
            let later = shape(&config, &members, &correct, step + 1);
            let budget = |r: &GroupRewards| r.components["curriculum-length/budget"][0].unwrap();
            prop_assert!(budget(&later) <= budget(&found));
        }
    }
}
