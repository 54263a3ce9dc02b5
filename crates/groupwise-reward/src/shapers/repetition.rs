//! Penalty for n-grams that repeat within an answer.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::{check_first, check_group};
use crate::shape::{check_repetition, repetition_penalty, words};

const NAME: &str = "repetition";

/// Of what n-grams are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepetitionUnit {
    /// Tokens the policy chose.
    #[default]
    Tokens,
    /// Words of its last action, in lower case.
    Words,
}

/// Adds the penalty of [`repetition_penalty`] to the reward.
///
/// # Formula
/// `r_i += (1 - unique_i / total_i) max_penalty` over the n-grams of member i.
///
/// # Shapes
/// The penalty lies in `[max_penalty, 0]` and is logged as component `repetition`.
///
/// # Edge cases
/// - Fewer items than n: exactly 0.
/// - Tokens of the environment are left out, and n-grams reach across the gap.
/// - Unscorable member: stays so, without component.
///
/// # Errors
/// Parameters: `ngram_size` 0, `max_penalty` above 0 or not finite.  Data: rewards and members that differ in number; a
/// component of that name already there.
///
/// # Source
/// As [`repetition_penalty`]; TRL counts tokens (the default), Open-R1 words.
///
/// # Example
/// ```
/// use groupwise_core::{GroupRewards, Part, PromptMemory, Task, Trajectory};
/// use groupwise_reward::shapers::{RepetitionConfig, RepetitionUnit};
/// let by_words = RepetitionConfig { ngram_size: 1, unit: RepetitionUnit::Words, ..Default::default() }.build(&())?;
/// let mut rewards = GroupRewards::new("v", vec![Some(1.0)]);
/// let member = Trajectory::of_reply("so so", 2);
/// by_words.shape(&Task::new("t", "", ""), &[member], &mut rewards, &PromptMemory::new(1, 1))?;
/// assert_eq!(rewards.rewards, [Some(0.5)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepetitionConfig {
    /// Size n of the n-grams, >= 1.
    pub ngram_size: usize,
    /// Penalty of an answer that only repeats, <= 0.
    pub max_penalty: f64,
    /// Of what n-grams are made.
    pub unit: RepetitionUnit,
}

impl Default for RepetitionConfig {
    fn default() -> Self {
        Self {
            ngram_size: 3,
            max_penalty: -1.0,
            unit: RepetitionUnit::Tokens,
        }
    }
}

impl RepetitionConfig {
    fn penalty(&self, member: &Trajectory) -> Result<f64, ParamError> {
        match self.unit {
            RepetitionUnit::Words => {
                repetition_penalty(&words(member.answer()), self.ngram_size, self.max_penalty)
            }
            RepetitionUnit::Tokens => {
                let chosen = member.completion.iter().zip(&member.mask);
                let ids: Vec<u32> = chosen.filter(|(_, m)| **m).map(|(id, _)| *id).collect();
                repetition_penalty(&ids, self.ngram_size, self.max_penalty)
            }
        }
    }
}

impl Part<dyn RewardShaper> for RepetitionConfig {
    const SOURCE: &'static str = "arXiv 2502.03373, appendix C.2; get_repetition_penalty_reward of TRL @f2cd57710ae3 \
                                  and Open-R1 @1416fa0cf215";

    fn formula(&self) -> String {
        let unit = match self.unit {
            RepetitionUnit::Tokens => "tokens",
            RepetitionUnit::Words => "words",
        };
        format!(
            "r_i += {} (1 - unique / total) over {}-grams of {unit}",
            self.max_penalty, self.ngram_size
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        check_repetition(self.ngram_size, self.max_penalty)?;
        Ok(Box::new(Repetition(self.clone())))
    }
}

#[derive(Debug)]
struct Repetition(RepetitionConfig);

impl RewardShaper for Repetition {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "the penalty would count twice")?;
        let mut penalties = Vec::with_capacity(members.len());
        for (reward, member) in rewards.rewards.iter_mut().zip(members) {
            // Parameters were checked when this was built.
            let penalty = reward.and_then(|_| self.0.penalty(member).ok());
            *reward = reward.zip(penalty).map(|(r, p)| r + p);
            penalties.push(penalty);
        }
        rewards.components.insert(NAME.to_owned(), penalties);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shaped(config: RepetitionConfig, members: &[Trajectory]) -> Vec<Option<f64>> {
        let mut rewards = GroupRewards::new("v", vec![Some(1.0); members.len()]);
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        let shaper = config.build(&()).unwrap();
        shaper.shape(&task, members, &mut rewards, &memory).unwrap();
        assert!(
            shaper
                .shape(&task, members, &mut rewards, &memory)
                .unwrap_err()
                .to_string()
                .contains("would count twice")
        );
        rewards.rewards
    }

    fn tokens(ids: &[u32], mask: &[bool]) -> Trajectory {
        Trajectory {
            completion: ids.to_vec(),
            mask: mask.to_vec(),
            ..Trajectory::of_reply("", ids.len())
        }
    }

    #[test]
    fn tokens_of_the_environment_do_not_count() {
        let config = RepetitionConfig {
            ngram_size: 2,
            ..Default::default()
        };
        let all = tokens(&[1, 2, 9, 1, 2], &[true; 5]);
        let gap = tokens(&[1, 2, 9, 1, 2], &[true, true, false, true, true]);
        assert_eq!(shaped(config, &[all, gap]), [Some(0.75), Some(1.0 - 1.0 / 3.0)]);
    }

    #[test]
    fn words_are_an_option_and_parameters_have_ranges() {
        let config = RepetitionConfig {
            ngram_size: 1,
            max_penalty: -0.5,
            unit: RepetitionUnit::Words,
        };
        let members = ["a b", "A a", ""].map(|text| Trajectory::of_reply(text, 3));
        assert_eq!(
            shaped(config.clone(), &members),
            [Some(1.0), Some(0.75), Some(1.0)]
        );
        assert_eq!(
            config.formula(),
            "r_i += -0.5 (1 - unique / total) over 1-grams of words"
        );
        let refused = RepetitionConfig {
            max_penalty: 1.0,
            ..config
        };
        assert!(refused.build(&()).is_err());
    }

    proptest! {
        #[test]
        fn penalties_lie_between_the_largest_and_0(ids in prop::collection::vec(0u32..3, 0..20), n in 1usize..4) {
            let config = RepetitionConfig { ngram_size: n, ..Default::default() };
            let mask = vec![true; ids.len()];
            let reward = shaped(config, &[tokens(&ids, &mask)])[0].unwrap();
            prop_assert!((0.0..=1.0).contains(&reward));
            let unique = ids.len() <= n;
            prop_assert!(!unique || reward == 1.0);
        }
    }
}
