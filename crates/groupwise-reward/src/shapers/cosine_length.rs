//! Cosine length: the verdict graded by length, along half a cosine.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};

use super::check_group;

const NAME: &str = "cosine-length";

/// What happens past `max_len`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clamp {
    /// The reward stays where it is at `max_len`.
    #[default]
    On,
    /// The cosine comes back: at twice `max_len` the reward is that of an empty answer.
    Off,
}

/// In what a length is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LengthUnit {
    /// Tokens the policy chose.
    #[default]
    Tokens,
    /// Characters of its last action.
    Characters,
}

impl LengthUnit {
    /// Length of a trajectory.
    pub fn of(self, trajectory: &Trajectory) -> usize {
        match self {
            Self::Tokens => trajectory.n_policy_tokens(),
            Self::Characters => trajectory.answer().chars().count(),
        }
    }
}

/// Reward of a right or wrong answer by its length.
///
/// # Formula
/// `r = lo + (hi - lo) (1 + cos(pi x)) / 2`, `x = min(1, n / max_len)`; right: `lo = min_correct`, `hi = max_correct`;
/// wrong: `lo = max_wrong`, `hi = min_wrong`.
///
/// # Shapes
/// `n` and `max_len` in the same unit, tokens by default; a limit in another unit makes x reach 3 or 4.
///
/// # Edge cases
/// - n = 0: `hi`.  n = `max_len`: `lo`.  Beyond: [`Clamp`].
/// - With the default bounds a longer wrong answer is punished more, and a group of wrong answers still has a
///   gradient: filters must look at the verdict, not at this.
/// - Unscorable member: stays so, without component.
///
/// # Errors
/// Parameters: `max_len` 0, a bound that is not finite.  Data: a reward that is neither 0 nor 1; rewards and members
/// that differ in number; a component of that name already there.
///
/// # Source
/// `get_cosine_scaled_reward` of Open-R1 and its copy in knoveleng/open-rs at 2889c474 (`src/open_r1/rewards.py`), with
/// the bounds of its recipe, 0 and -0.5 for wrong answers (the function's own defaults are -1 and -0.5, which spare the
/// longer wrong answer).  The code counts characters and does not clamp; tokens and the clamp are ours, as in TRL.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::CosineLengthConfig;
/// let cosine = CosineLengthConfig { max_len: 3584, ..Default::default() };
/// assert!((cosine.reward(true, 500) - 0.976370711224359).abs() < 1e-12);
/// assert!((cosine.reward(false, 3000) + 0.4679524648775919).abs() < 1e-12);
/// assert_eq!(cosine.reward(false, 9999), -0.5);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CosineLengthConfig {
    /// Reward of an empty wrong answer.
    pub min_wrong: f64,
    /// Reward of a wrong answer of `max_len`.
    pub max_wrong: f64,
    /// Reward of a right answer of `max_len`.
    pub min_correct: f64,
    /// Reward of an empty right answer.
    pub max_correct: f64,
    /// Length at which the cosine ends, >= 1; set it to the limit of the completion.
    pub max_len: usize,
    /// What happens past `max_len`.
    pub clamp: Clamp,
    /// In what lengths are counted.
    pub unit: LengthUnit,
}

impl Default for CosineLengthConfig {
    fn default() -> Self {
        Self {
            min_wrong: 0.0,
            max_wrong: -0.5,
            min_correct: 0.5,
            max_correct: 1.0,
            max_len: 1000,
            clamp: Clamp::On,
            unit: LengthUnit::Tokens,
        }
    }
}

impl CosineLengthConfig {
    /// Reward of an answer of this length; see the type for formula and example.
    pub fn reward(&self, correct: bool, length: usize) -> f64 {
        let (lo, hi) = if correct {
            (self.min_correct, self.max_correct)
        } else {
            (self.max_wrong, self.min_wrong)
        };
        let x = length as f64 / self.max_len as f64;
        let x = match self.clamp {
            Clamp::On => x.min(1.0),
            Clamp::Off => x,
        };
        lo + 0.5 * (hi - lo) * (1.0 + (std::f64::consts::PI * x).cos())
    }

    /// Checks every number.
    ///
    /// # Errors
    /// `max_len` 0, a bound that is not finite.
    pub fn validate(&self) -> Result<(), ParamError> {
        ParamError::check(self.max_len >= 1, "max_len", self.max_len, ">= 1")?;
        for (key, bound) in [
            ("min_wrong", self.min_wrong),
            ("max_wrong", self.max_wrong),
            ("min_correct", self.min_correct),
            ("max_correct", self.max_correct),
        ] {
            ParamError::check(bound.is_finite(), key, bound, "a finite number")?;
        }
        Ok(())
    }

    /// Reward of every scorable member of a group, its raw reward read as a verdict.
    ///
    /// # Errors
    /// A reward that is neither 0 nor 1, named by trajectory.
    pub fn group(
        &self,
        members: &[Trajectory],
        verdicts: &[Option<f64>],
    ) -> Result<Vec<Option<f64>>, DataError> {
        let one = |(i, (member, verdict)): (usize, (&Trajectory, &Option<f64>))| {
            let correct = match verdict {
                None => return Ok(None),
                Some(1.0) => true,
                Some(0.0) => false,
                Some(other) => {
                    return Err(DataError::value(
                        format!("trajectory {i}"),
                        format!("reward {other}: the cosine of the length needs a verdict of 0 or 1"),
                    ));
                }
            };
            Ok(Some(self.reward(correct, self.unit.of(member))))
        };
        members.iter().zip(verdicts).enumerate().map(one).collect()
    }
}

impl Part<dyn RewardShaper> for CosineLengthConfig {
    const SOURCE: &'static str =
        "Open-R1 get_cosine_scaled_reward; knoveleng/open-rs at 2889c474, rewards.py";

    fn formula(&self) -> String {
        let x = match self.clamp {
            Clamp::On => format!("min(1, n / {})", self.max_len),
            Clamp::Off => format!("n / {}", self.max_len),
        };
        let unit = match self.unit {
            LengthUnit::Tokens => "tokens",
            LengthUnit::Characters => "characters",
        };
        format!(
            "r = lo + (hi - lo) (1 + cos(pi x)) / 2, x = {x}, n in {unit}; right: {} to {}, wrong: {} to {}",
            self.max_correct, self.min_correct, self.min_wrong, self.max_wrong
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        self.validate()?;
        Ok(Box::new(CosineLength(self.clone())))
    }
}

#[derive(Debug)]
struct CosineLength(CosineLengthConfig);

impl RewardShaper for CosineLength {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        let shaped = self.0.group(members, &rewards.rewards)?;
        if rewards.components.contains_key(NAME) {
            return Err(DataError::value(
                format!("component `{NAME}`"),
                "is already there: the verdict is no longer known",
            ));
        }
        rewards.components.insert(NAME.to_owned(), shaped.clone());
        rewards.rewards = shaped;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::{member, shape};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn clamped_rewards_lie_in_their_bounds_and_never_rise_with_length(n in 0usize..300, max_len in 1usize..200) {
            let config = CosineLengthConfig { max_len, ..Default::default() };
            for (correct, low, high) in [(true, 0.5, 1.0), (false, -0.5, 0.0)] {
                let (r, next) = (config.reward(correct, n), config.reward(correct, n + 1));
                prop_assert!((low - 1e-12..=high + 1e-12).contains(&r));
                prop_assert!(next <= r);
                prop_assert!(n >= max_len || next < r);
            }
        }

        #[test]
        fn any_right_answer_beats_any_wrong_one(a in 0usize..300, b in 0usize..300) {
            let config = CosineLengthConfig { max_len: 100, ..Default::default() };
            prop_assert!(config.reward(true, a) > config.reward(false, b));
        }

        #[test]
        fn without_the_clamp_the_reward_has_the_period_of_two_limits(n in 0usize..300, max_len in 1usize..200) {
            let config = CosineLengthConfig { max_len, clamp: Clamp::Off, ..Default::default() };
            for correct in [true, false] {
                prop_assert!((config.reward(correct, n) - config.reward(correct, n + 2 * max_len)).abs() < 1e-9);
                let clamped = CosineLengthConfig { clamp: Clamp::On, ..config.clone() };
                prop_assert!(n > max_len || config.reward(correct, n) == clamped.reward(correct, n));
            }
        }
    }

    #[test]
    fn swapped_wrong_bounds_spare_the_longer_wrong_answer() {
        let config = CosineLengthConfig {
            min_wrong: -1.0,
            max_wrong: -0.5,
            ..Default::default()
        };
        assert_eq!(config.reward(false, 0), -1.0);
        assert_eq!(config.reward(false, 1000), -0.5);
    }

    #[test]
    fn the_verdict_is_replaced_and_lengths_are_counted_in_the_unit() {
        let config = CosineLengthConfig {
            max_len: 4,
            ..Default::default()
        };
        let mut members = vec![member(4, 9, StopReason::Length); 3];
        members[1].mask.fill(false);
        let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(0.0), None]);
        shape(&config, &members, &mut rewards).unwrap();
        assert_eq!(rewards.rewards, [Some(0.5), Some(0.0), None]);
        assert_eq!(rewards.components["cosine-length"], rewards.rewards);
        assert_eq!(rewards.components["v"], [Some(1.0), Some(0.0), None]);
        // Without a turn there is no character.
        let characters = CosineLengthConfig {
            unit: LengthUnit::Characters,
            ..config.clone()
        };
        let mut rewards = GroupRewards::new("v", vec![Some(1.0); 3]);
        shape(&characters, &members, &mut rewards).unwrap();
        assert_eq!(rewards.rewards, [Some(1.0); 3]);
        rewards.rewards = vec![Some(1.0); 3];
        assert_eq!(
            shape(&config, &members, &mut rewards).unwrap_err().to_string(),
            "component `cosine-length`: is already there: the verdict is no longer known"
        );
    }

    #[test]
    fn bad_data_and_parameters_are_named() {
        let members = [
            member(1, 0, StopReason::EndToken),
            member(1, 0, StopReason::EndToken),
        ];
        let mut rewards = GroupRewards::new("v", vec![Some(1.0), Some(0.5)]);
        assert_eq!(
            shape(&CosineLengthConfig::default(), &members, &mut rewards)
                .unwrap_err()
                .to_string(),
            "trajectory 1: reward 0.5: the cosine of the length needs a verdict of 0 or 1"
        );
        let refused = |json: &str| {
            let config: CosineLengthConfig = serde_json::from_str(json).unwrap();
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(refused(r#"{"max_len": 0}"#), "`max_len` = 0: must be >= 1");
        for key in ["min_wrong", "max_wrong", "min_correct", "max_correct"] {
            let mut config = CosineLengthConfig::default();
            match key {
                "min_wrong" => config.min_wrong = f64::NAN,
                "max_wrong" => config.max_wrong = f64::NAN,
                "min_correct" => config.min_correct = f64::NAN,
                _ => config.max_correct = f64::NAN,
            }
            assert_eq!(
                config.build(&()).unwrap_err().to_string(),
                format!("`{key}` = NaN: must be a finite number")
            );
        }
    }

    #[test]
    fn the_formula_prints_the_numbers() {
        assert_eq!(
            CosineLengthConfig::default().formula(),
            "r = lo + (hi - lo) (1 + cos(pi x)) / 2, x = min(1, n / 1000), n in tokens; right: 1 to 0.5, wrong: 0 to -0.5"
        );
        let other: CosineLengthConfig =
            serde_json::from_str(r#"{"clamp": "off", "unit": "characters", "max_len": 7}"#).unwrap();
        assert!(other.formula().contains("x = n / 7, n in characters"));
    }
}
