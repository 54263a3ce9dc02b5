//! Overlong shaping: a soft penalty over the last tokens before the length limit.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::check_group;

const NAME: &str = "overlong";

/// DAPO's soft overlong punishment.
///
/// # Formula
/// `r_i += p(len_i)`, `p(len) = -factor * min(cache, max(0, len - (max_completion_length - cache))) / cache`.
///
/// # Shapes
/// Lengths in tokens the policy chose; tokens of the environment do not count.  The penalty lies in
/// `[-factor, 0]` and is logged as component `overlong`.
///
/// # Edge cases
/// - A length of `max_completion_length - cache` or less: exactly 0.
/// - A length above the limit: `-factor`, not more.
/// - Unscorable member: stays unscorable, without component.
///
/// # Errors
/// Parameters: `cache` outside 1 to `max_completion_length`, `factor` not finite or not > 0.  Data: rewards and
/// members that differ in number; a component of that name already there.
///
/// # Source
/// DAPO, arXiv 2503.14476, equation 13; `reward_manager/dapo.py` of verl (`overlong_buffer`), TRL's
/// `get_soft_overlong_punishment` (`soft_punish_cache`).  verl's has no floor, which matters only above the limit.
///
/// # Example
/// ```
/// use groupwise_reward::overlong_penalty;
/// assert_eq!([10, 80, 85, 100, 130].map(|len| overlong_penalty(len, 100, 20, 1.0)), [0.0, 0.0, -0.25, -1.0, -1.0]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverlongConfig {
    /// Limit of policy tokens, >= 1.
    pub max_completion_length: usize,
    /// Tokens before the limit over which the penalty grows, in 1 to `max_completion_length`.
    pub cache: usize,
    /// Largest penalty, > 0.
    pub factor: f64,
}

impl Default for OverlongConfig {
    fn default() -> Self {
        Self {
            max_completion_length: 20_480,
            cache: 4096,
            factor: 1.0,
        }
    }
}

/// Penalty of one answer; see [`OverlongConfig`] for formula and example.
///
/// Meaningful for `1 <= cache <= max_completion_length`; a `cache` of 0 penalizes every token above the limit fully.
pub fn overlong_penalty(length: usize, max_completion_length: usize, cache: usize, factor: f64) -> f64 {
    let excess = length.saturating_sub(max_completion_length.saturating_sub(cache));
    if excess == 0 {
        0.0
    } else if excess >= cache {
        -factor
    } else {
        -(excess as f64) / cache as f64 * factor
    }
}

impl Part<dyn RewardShaper> for OverlongConfig {
    const SOURCE: &'static str = "DAPO, arXiv 2503.14476, equation 13; verl reward_manager/dapo.py";

    fn formula(&self) -> String {
        format!(
            "r_i -= {} min({cache}, max(0, len_i - {})) / {cache}",
            self.factor,
            self.max_completion_length.saturating_sub(self.cache),
            cache = self.cache,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        ParamError::check(
            self.max_completion_length >= 1,
            "max_completion_length",
            self.max_completion_length,
            ">= 1",
        )?;
        ParamError::check(
            (1..=self.max_completion_length).contains(&self.cache),
            "cache",
            self.cache,
            &format!("in 1..={} (`max_completion_length`)", self.max_completion_length),
        )?;
        ParamError::check(
            self.factor.is_finite() && self.factor > 0.0,
            "factor",
            self.factor,
            "a finite number > 0",
        )?;
        Ok(Box::new(Overlong(self.clone())))
    }
}

#[derive(Debug)]
struct Overlong(OverlongConfig);

impl RewardShaper for Overlong {
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
                "is already there: the penalty would count twice",
            ));
        }
        let OverlongConfig {
            max_completion_length,
            cache,
            factor,
        } = self.0;
        let mut penalties = Vec::with_capacity(members.len());
        for (reward, member) in rewards.rewards.iter_mut().zip(members) {
            let penalty = reward
                .map(|_| overlong_penalty(member.n_policy_tokens(), max_completion_length, cache, factor));
            *reward = reward.zip(penalty).map(|(r, p)| r + p);
            penalties.push(penalty);
        }
        rewards.components.insert(NAME.to_owned(), penalties);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::member;
    use super::*;

    proptest! {
        #[test]
        fn the_penalty_never_rises_with_length_and_stays_in_bounds(
            max in 1usize..200, share in 0.0..1.0f64, factor in 0.01..5.0f64, len in 0usize..300,
        ) {
            let cache = 1 + (share * (max - 1) as f64) as usize;
            let (p, next) = (overlong_penalty(len, max, cache, factor), overlong_penalty(len + 1, max, cache, factor));
            prop_assert!(next <= p && (-factor..=0.0).contains(&p));
            // The paper's form, floored.
            let direct = (-(len as f64 - (max - cache) as f64) / cache as f64 * factor).min(0.0).max(-factor);
            prop_assert!((p - direct).abs() < 1e-12);
        }
    }

    fn shape(
        config: &OverlongConfig,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
    ) -> Result<(), DataError> {
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        config.build(&()).unwrap().shape(&task, members, rewards, &memory)
    }

    fn small() -> OverlongConfig {
        OverlongConfig {
            max_completion_length: 10,
            cache: 4,
            factor: 0.5,
        }
    }

    #[test]
    fn policy_tokens_count_and_unscorable_members_stay_unscorable() {
        let members = [
            member(6, 50, StopReason::EndToken),
            member(8, 0, StopReason::EndToken),
            member(10, 0, StopReason::Length),
            member(10, 0, StopReason::Length),
        ];
        let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(1.0), None, Some(0.0)]);
        shape(&small(), &members, &mut rewards).unwrap();
        assert_eq!(rewards.rewards, [Some(1.0), Some(0.75), None, Some(-0.5)]);
        assert_eq!(
            rewards.components["overlong"],
            [Some(0.0), Some(-0.25), None, Some(-0.5)]
        );
        assert_eq!(rewards.components["v"], [Some(1.0), Some(1.0), None, Some(0.0)]);
        assert_eq!(rewards.trained, [true; 4]);
        assert_eq!(
            shape(&small(), &members, &mut rewards).unwrap_err().to_string(),
            "component `overlong`: is already there: the penalty would count twice"
        );
    }

    #[test]
    fn bad_parameters_are_refused() {
        let refused = |config: OverlongConfig| config.build(&()).unwrap_err().to_string();
        let base = OverlongConfig::default();
        let none = OverlongConfig {
            max_completion_length: 0,
            ..base.clone()
        };
        assert_eq!(refused(none), "`max_completion_length` = 0: must be >= 1");
        for cache in [0, 20_481] {
            let config = OverlongConfig {
                cache,
                ..base.clone()
            };
            assert_eq!(
                refused(config),
                format!("`cache` = {cache}: must be in 1..=20480 (`max_completion_length`)")
            );
        }
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let config = OverlongConfig {
                factor,
                ..base.clone()
            };
            assert_eq!(
                refused(config),
                format!("`factor` = {factor}: must be a finite number > 0")
            );
        }
    }

    #[test]
    fn the_formula_prints_the_numbers() {
        assert_eq!(
            OverlongConfig::default().formula(),
            "r_i -= 1 min(4096, max(0, len_i - 16384)) / 4096"
        );
    }
}
