//! Outcome ladder: the rewards of a main agent and of the sub-agents it called.

use std::collections::BTreeMap;

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::check_group;

const NAME: &str = "outcome-ladder";

/// What a well-formed sub trajectory earns at least.
const FLOOR: f64 = 0.1;

/// M-GRPO's rewards: a ladder for the main agent, and for its sub-agent one that inherits the outcome.
///
/// # Formula
/// [`main_reward`] and [`sub_reward`].  A trajectory is well formed if it has turns and the environment understood all
/// of them; a main answer is right if its score is at least `correct_at`.
///
/// # Shapes
/// A group holds trajectories of both agents: the main agent's carry no agent or `main_agent`, a sub-agent's carry
/// `sub_agent` and the `sample` of the main trajectory that called it.  Logged as component `outcome-ladder`.
///
/// # Edge cases
/// - Unscorable main trajectory: stays so, and so do its sub trajectories, whose outcome is not known.
/// - Unscorable sub trajectory: stays so.  What its verifier gave a scorable one is not read.
///
/// # Errors
/// Parameters: `format_score` outside [0, 1), `correct_at` not finite, the same name for both agents.  Data: an agent
/// that is neither, two main trajectories of the same `sample`, a sub trajectory without one; rewards and members that
/// differ in number; a component of that name already there.
///
/// # Source
/// "Multi-Agent Deep Research", arXiv 2511.13288; `main_agent_reward.py` and `sub_agent_reward.py` of AQ-MedAI/MrlX.
///
/// # Example
/// ```
/// use groupwise_reward::{main_reward, sub_reward};
/// assert_eq!([(true, true), (true, false), (false, true)].map(|(v, c)| main_reward(v, c, 0.1)), [1.0, 0.1, 0.0]);
/// assert_eq!([(true, 1.0), (true, 0.1), (true, 0.0), (false, 1.0)].map(|(f, r)| sub_reward(f, r, 0.1)), [1.0, 0.1, 0.1, 0.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutcomeLadderConfig {
    /// What a well-formed wrong main answer earns, in [0, 1).
    pub format_score: f64,
    /// Score from which a main answer is right.
    pub correct_at: f64,
    /// Name of the main agent.
    pub main_agent: String,
    /// Name of the sub-agent.
    pub sub_agent: String,
}

impl Default for OutcomeLadderConfig {
    fn default() -> Self {
        Self {
            format_score: 0.1,
            correct_at: 1.0,
            main_agent: "main".to_owned(),
            sub_agent: "sub".to_owned(),
        }
    }
}

/// Reward of a main trajectory.
///
/// # Formula
/// Badly formed: 0; well formed and wrong: `format_score`; well formed and right: 1.
///
/// See [`OutcomeLadderConfig`] for source and example.
pub fn main_reward(well_formed: bool, correct: bool, format_score: f64) -> f64 {
    match (well_formed, correct) {
        (false, _) => 0.0,
        (true, false) => format_score,
        (true, true) => 1.0,
    }
}

/// Reward of a sub trajectory, inherited from the main one that called it.
///
/// # Formula
/// Badly formed: 0.  Well formed: 0.1 if the main reward is at most `format_score`, else 1.
///
/// # Edge cases
/// The authors write the lower rung as "equal to 0 or to 0.1"; "at most" is the same on their ladder and monotone on
/// any other.
///
/// See [`OutcomeLadderConfig`] for source and example.
pub fn sub_reward(well_formed: bool, main_reward: f64, format_score: f64) -> f64 {
    match well_formed {
        false => 0.0,
        true if main_reward > format_score => 1.0,
        true => FLOOR,
    }
}

/// Refuses a `format_score` outside [0, 1).
///
/// # Errors
/// Names key, value and range.
pub fn check_format_score(format_score: f64) -> Result<(), ParamError> {
    ParamError::check(
        (0.0..1.0).contains(&format_score),
        "format_score",
        format_score,
        "a number in [0, 1)",
    )
}

impl Part<dyn RewardShaper> for OutcomeLadderConfig {
    const SOURCE: &'static str =
        "M-GRPO, arXiv 2511.13288; AQ-MedAI/MrlX main_agent_reward.py, sub_agent_reward.py";

    fn formula(&self) -> String {
        let Self {
            format_score,
            correct_at,
            main_agent,
            sub_agent,
        } = self;
        format!(
            "`{main_agent}`: r = 0 badly formed, {format_score} wrong, 1 right (score >= {correct_at}); `{sub_agent}`: \
             0 badly formed, else {FLOOR} if the main r <= {format_score}, else 1"
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        check_format_score(self.format_score)?;
        ParamError::check(
            self.correct_at.is_finite(),
            "correct_at",
            self.correct_at,
            "a finite number",
        )?;
        ParamError::check(
            self.main_agent != self.sub_agent,
            "sub_agent",
            &self.sub_agent,
            "another name than `main_agent`",
        )?;
        Ok(Box::new(OutcomeLadder(self.clone())))
    }
}

#[derive(Debug)]
struct OutcomeLadder(OutcomeLadderConfig);

fn well_formed(member: &Trajectory) -> bool {
    !member.turns.is_empty() && member.turns.iter().all(|turn| turn.valid)
}

impl RewardShaper for OutcomeLadder {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        if rewards.components.contains_key(NAME) {
            return Err(DataError::value(
                format!("component `{NAME}`"),
                "is already there: the ladder would be climbed twice",
            ));
        }
        let OutcomeLadderConfig {
            format_score,
            correct_at,
            main_agent,
            sub_agent,
        } = &self.0;
        let refuse = |i: usize, what: String| Err(DataError::value(format!("trajectory {i}"), what));
        let mut outcomes: BTreeMap<u64, Option<f64>> = BTreeMap::new();
        let is_sub = |member: &Trajectory| member.agent.as_deref() == Some(sub_agent);
        for (i, member) in members.iter().enumerate().filter(|(_, m)| !is_sub(m)) {
            if let Some(name) = member.agent.as_ref().filter(|name| *name != main_agent) {
                return refuse(
                    i,
                    format!("agent `{name}` is neither `{main_agent}` nor `{sub_agent}`"),
                );
            }
            let reward = rewards.rewards[i]
                .map(|score| main_reward(well_formed(member), score >= *correct_at, *format_score));
            if outcomes.insert(member.sample, reward).is_some() {
                let sample = member.sample;
                return refuse(
                    i,
                    format!("another `{main_agent}` of the group has sample {sample} too"),
                );
            }
            rewards.rewards[i] = reward;
        }
        for (i, member) in members.iter().enumerate().filter(|(_, m)| is_sub(m)) {
            let Some(outcome) = outcomes.get(&member.sample) else {
                let sample = member.sample;
                return refuse(
                    i,
                    format!("no `{main_agent}` of the group has its sample {sample}"),
                );
            };
            rewards.rewards[i] = rewards.rewards[i]
                .and(*outcome)
                .map(|outcome| sub_reward(well_formed(member), outcome, *format_score));
        }
        rewards
            .components
            .insert(NAME.to_owned(), rewards.rewards.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{StopReason, Turn};
    use proptest::prelude::*;

    use super::super::testing::member;
    use super::*;

    fn agent(name: Option<&str>, sample: u64, valid: &[bool]) -> Trajectory {
        let turn = |valid: &bool| Turn {
            anchor: None,
            action: String::new(),
            tokens: 0..0,
            reward: 0.0,
            valid: *valid,
        };
        Trajectory {
            agent: name.map(Into::into),
            sample,
            turns: valid.iter().map(turn).collect(),
            ..member(1, 0, StopReason::EndToken)
        }
    }

    fn shape(members: &[Trajectory], scores: &[Option<f64>]) -> Result<Vec<Option<f64>>, DataError> {
        let mut rewards = GroupRewards::new("v", scores.to_vec());
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let shaper = OutcomeLadderConfig::default().build(&()).unwrap();
        shaper.shape(&task, members, &mut rewards, &memory)?;
        assert_eq!(rewards.components[NAME], rewards.rewards);
        assert!(rewards.trained.iter().all(|t| *t));
        Ok(rewards.rewards)
    }

    #[test]
    fn both_agents_climb_their_ladders() {
        let members = [
            agent(Some("sub"), 0, &[true, true]),
            agent(None, 0, &[true]),
            agent(Some("main"), 1, &[true]),
            agent(Some("sub"), 1, &[true]),
            agent(Some("sub"), 0, &[true, false]),
            agent(None, 2, &[true, false]),
            agent(Some("sub"), 2, &[true]),
            agent(None, 3, &[]),
            agent(None, 4, &[true]),
            agent(Some("sub"), 4, &[true]),
            agent(Some("sub"), 0, &[true]),
        ];
        let some = Some;
        let scores = [
            some(0.0),
            some(1.0),
            some(0.9),
            some(1.0),
            some(1.0),
            some(1.0),
            some(0.0),
            some(1.0),
            None,
            some(1.0),
            None,
        ];
        let expected = [
            some(1.0),
            some(1.0),
            some(0.1),
            some(0.1),
            some(0.0),
            some(0.0),
            some(0.1),
            some(0.0),
            None,
            None,
            None,
        ];
        assert_eq!(shape(&members, &scores).unwrap(), expected);
    }

    #[test]
    fn bad_groups_are_named() {
        let refuse = |members: &[Trajectory]| {
            shape(members, &vec![Some(1.0); members.len()])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refuse(&[agent(None, 0, &[]), agent(Some("judge"), 0, &[])]),
            "trajectory 1: agent `judge` is neither `main` nor `sub`"
        );
        assert_eq!(
            refuse(&[agent(None, 5, &[]), agent(Some("main"), 5, &[])]),
            "trajectory 1: another `main` of the group has sample 5 too"
        );
        assert_eq!(
            refuse(&[agent(Some("sub"), 1, &[]), agent(None, 0, &[])]),
            "trajectory 0: no `main` of the group has its sample 1"
        );
        let mut rewards = GroupRewards::new(NAME, vec![Some(1.0)]);
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let shaper = OutcomeLadderConfig::default().build(&()).unwrap();
        let error = shaper
            .shape(&task, &[agent(None, 0, &[])], &mut rewards, &memory)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "component `outcome-ladder`: is already there: the ladder would be climbed twice"
        );
    }

    #[test]
    fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
        let refuse = |config: OutcomeLadderConfig| config.build(&()).map(|_| ()).unwrap_err().to_string();
        let default = OutcomeLadderConfig::default;
        for (format_score, shown) in [(1.0, "1"), (-0.1, "-0.1"), (f64::NAN, "NaN")] {
            assert_eq!(
                refuse(OutcomeLadderConfig {
                    format_score,
                    ..default()
                }),
                format!("`format_score` = {shown}: must be a number in [0, 1)")
            );
        }
        assert_eq!(
            refuse(OutcomeLadderConfig {
                correct_at: f64::NAN,
                ..default()
            }),
            "`correct_at` = NaN: must be a finite number"
        );
        assert_eq!(
            refuse(OutcomeLadderConfig {
                sub_agent: "main".into(),
                ..default()
            }),
            "`sub_agent` = main: must be another name than `main_agent`"
        );
        assert_eq!(
            default().formula(),
            "`main`: r = 0 badly formed, 0.1 wrong, 1 right (score >= 1); `sub`: 0 badly formed, else 0.1 if the main r \
             <= 0.1, else 1"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_sub_reward_is_monotone_in_the_main_reward_and_zero_iff_badly_formed(
            a in 0.0..1.0f64, b in 0.0..1.0f64, format_score in 0.0..1.0f64,
        ) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(sub_reward(true, low, format_score) <= sub_reward(true, high, format_score));
            prop_assert!(sub_reward(true, low, format_score) >= FLOOR);
            prop_assert_eq!(sub_reward(false, a, format_score), 0.0);
        }
    }
}
