//! Length reward of Kimi k1.5: shorter than the rest of the group is better.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::cosine_length::LengthUnit;
use super::{check_first, check_group};

const NAME: &str = "kimi-length";

/// Bonus of a member by its length within the group.
///
/// # Formula
/// `r_i += w l_i`, `lambda_i = 1/2 - (len_i - min) / (max - min)`; right: `l_i = lambda_i`; wrong:
/// `l_i = min(0, lambda_i)`; 0 for all if all lengths are equal.
///
/// # Shapes
/// Lengths in tokens the policy chose, or in characters; l in [-1/2, 1/2], logged as component `kimi-length`.  The
/// reward that reaches the shaper must be a verdict of 0 or 1.
///
/// # Edge cases
/// - Unscorable member: stays so, without component, and its length counts for neither min nor max.  Open-R1 takes it
///   for right.
/// - A group of one: 0.
///
/// # Errors
/// Parameters: a weight negative or not finite.  Data: a reward that is neither 0 nor 1; rewards and members that differ
/// in number; a component of that name already there.
///
/// # Source
/// Kimi k1.5 (arXiv 2501.12599), section 2.3.3; `len_reward` of huggingface/open-r1 @1416fa0cf215, which counts
/// characters.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::kimi_length_rewards;
/// let (lengths, correct) = ([10, 30, 20, 10], [true, true, false, false].map(Some));
/// assert_eq!(kimi_length_rewards(&lengths, &correct)?, [0.5, -0.5, 0.0, 0.0].map(Some));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KimiLengthConfig {
    /// Weight w of the bonus, >= 0.
    pub weight: f64,
    /// In what lengths are counted.
    pub unit: LengthUnit,
}

impl Default for KimiLengthConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            unit: LengthUnit::Tokens,
        }
    }
}

/// Length reward of every scorable member; see [`KimiLengthConfig`] for formula and example.
///
/// # Errors
/// As many verdicts as lengths must be given.
pub fn kimi_length_rewards(
    lengths: &[usize],
    correct: &[Option<bool>],
) -> Result<Vec<Option<f64>>, DataError> {
    DataError::check_len("verdicts", correct.len(), lengths.len())?;
    let scorable = || lengths.iter().zip(correct).filter(|(_, c)| c.is_some());
    let (min, max) = (
        scorable().map(|(l, _)| *l).min().unwrap_or(0),
        scorable().map(|(l, _)| *l).max().unwrap_or(0),
    );
    let reward = |(length, correct): (&usize, &Option<bool>)| {
        let correct = (*correct)?;
        if min == max {
            return Some(0.0);
        }
        let lambda = 0.5 - (length - min) as f64 / (max - min) as f64;
        Some(if correct { lambda } else { lambda.min(0.0) })
    };
    Ok(lengths.iter().zip(correct).map(reward).collect())
}

impl Part<dyn RewardShaper> for KimiLengthConfig {
    const SOURCE: &'static str =
        "Kimi k1.5, arXiv 2501.12599, section 2.3.3; huggingface/open-r1 @1416fa0cf215 len_reward";

    fn formula(&self) -> String {
        let unit = match self.unit {
            LengthUnit::Tokens => "tokens",
            LengthUnit::Characters => "characters",
        };
        format!(
            "r_i += {} l_i; l_i = 1/2 - (len_i - min) / (max - min) in {unit}, at most 0 if wrong",
            self.weight
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        ParamError::check_coefficient("weight", self.weight)?;
        Ok(Box::new(KimiLength(self.clone())))
    }
}

#[derive(Debug)]
struct KimiLength(KimiLengthConfig);

impl RewardShaper for KimiLength {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "the bonus would count twice")?;
        let verdict = |(i, reward): (usize, &Option<f64>)| match reward {
            None => Ok(None),
            Some(1.0) => Ok(Some(true)),
            Some(0.0) => Ok(Some(false)),
            Some(other) => Err(DataError::value(
                format!("trajectory {i}"),
                format!("reward {other}: the length reward needs a verdict of 0 or 1"),
            )),
        };
        let correct: Vec<_> = rewards
            .rewards
            .iter()
            .enumerate()
            .map(verdict)
            .collect::<Result<_, _>>()?;
        let lengths: Vec<usize> = members.iter().map(|m| self.0.unit.of(m)).collect();
        let bonus = kimi_length_rewards(&lengths, &correct)?;
        for (reward, bonus) in rewards.rewards.iter_mut().zip(&bonus) {
            *reward = reward.zip(*bonus).map(|(r, b)| r + self.0.weight * b);
        }
        rewards.components.insert(NAME.to_owned(), bonus);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::member;
    use super::*;

    #[test]
    fn unscorable_members_have_no_part_in_the_range() {
        let rewards = kimi_length_rewards(&[5, 1, 3, 9], &[Some(true), Some(false), Some(true), None]);
        assert_eq!(rewards, Ok(vec![Some(-0.5), Some(0.0), Some(0.0), None]));
        assert_eq!(kimi_length_rewards(&[4], &[Some(true)]), Ok(vec![Some(0.0)]));
        assert_eq!(kimi_length_rewards(&[4, 5], &[None, None]), Ok(vec![None, None]));
        assert_eq!(kimi_length_rewards(&[], &[]), Ok(vec![]));
        assert_eq!(
            kimi_length_rewards(&[4], &[]).unwrap_err().to_string(),
            "`verdicts` has 0 entries, expected 1"
        );
    }

    #[test]
    fn the_bonus_is_added_to_the_verdict() {
        let shaper = KimiLengthConfig {
            weight: 0.5,
            ..Default::default()
        }
        .build(&())
        .unwrap();
        let members = [2, 4, 3].map(|n| member(n, 0, StopReason::EndToken));
        let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(0.0), None]);
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        shaper.shape(&task, &members, &mut rewards, &memory).unwrap();
        assert_eq!(rewards.rewards, [Some(1.25), Some(-0.25), None]);
        assert_eq!(rewards.components[NAME], [Some(0.5), Some(-0.5), None]);
        let twice = shaper.shape(&task, &members, &mut rewards, &memory);
        assert!(twice.unwrap_err().to_string().contains("would count twice"));
        let mut graded = GroupRewards::new("v", vec![Some(0.5); 3]);
        assert_eq!(
            shaper
                .shape(&task, &members, &mut graded, &memory)
                .unwrap_err()
                .to_string(),
            "trajectory 0: reward 0.5: the length reward needs a verdict of 0 or 1"
        );
    }

    proptest! {
        #[test]
        fn shorter_is_never_worse_and_right_never_worse_than_wrong(
            lengths in prop::collection::vec(0usize..50, 1..8), seed in any::<u8>(), shift in 0usize..9,
        ) {
            let correct: Vec<_> = (0..lengths.len()).map(|i| Some(seed >> (i % 8) & 1 == 1)).collect();
            let rewards = kimi_length_rewards(&lengths, &correct).unwrap();
            for i in 0..lengths.len() {
                for j in 0..lengths.len() {
                    let at_least_as_right = correct[i] >= correct[j];
                    if at_least_as_right && lengths[i] <= lengths[j] {
                        prop_assert!(rewards[i] >= rewards[j]);
                    }
                }
                prop_assert!(rewards[i].is_some_and(|r| (-0.5..=0.5).contains(&r)));
            }
            let longer: Vec<_> = lengths.iter().map(|l| l + shift).collect();
            prop_assert_eq!(kimi_length_rewards(&longer, &correct).unwrap(), rewards);
        }
    }
}
