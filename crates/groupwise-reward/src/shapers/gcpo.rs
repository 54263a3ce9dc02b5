//! GCPO (GeometryZero): an optional behavior is rewarded in the groups that it helped.
//!
//! Not the method of the same abbreviation that inserts gold answers (arXiv 2510.07790).

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory, stats,
};
use serde::{Deserialize, Serialize};

use super::accuracy::accuracies;
use super::check_group;

const NAME: &str = "gcpo";

/// When using the behavior is rewarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuxiliaryReward {
    /// By the sign of the contrast between the members that used it and those that did not.
    #[default]
    Contrast,
    /// Always: the baseline that teaches indiscriminate use.
    Unconditional,
}

/// What the members that used the behavior show about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contrast {
    /// They were more accurate: +1.
    Helps,
    /// No difference beyond the tolerance, or nothing to contrast: 0.
    Open,
    /// They were less accurate: -1.
    Hurts,
}

impl Contrast {
    /// +1, 0 or -1.
    pub fn sign(self) -> i8 {
        match self {
            Self::Helps => 1,
            Self::Open => 0,
            Self::Hurts => -1,
        }
    }
}

/// One member, as [`Gcpo::shape_group`] reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GcpoMember {
    /// Accuracy in [0, 1]; `None`: unscorable.
    pub accuracy: Option<f64>,
    /// Whether it used the behavior.
    pub used: bool,
    /// Its length in tokens.
    pub length: usize,
}

/// The contrast of a group and what it adds to each reward.
#[derive(Clone, Debug, PartialEq)]
pub struct GcpoShaped {
    /// What the group shows.
    pub contrast: Contrast,
    /// `aux_weight M u_i + length_weight min(n_i / max_length, 1)` per member; `None`: unscorable.
    pub bonuses: Vec<Option<f64>>,
}

/// GCPO's reward; advantages and loss are GRPO's.
///
/// # Formula
/// `r_i += aux_weight M u_i + length_weight min(n_i / max_length, 1)`, with `u_i = 1` for members that used the behavior,
/// `D` the mean accuracy of those less that of the others, and `M` = +1 if `D > epsilon`, -1 if `D < -epsilon`, else 0.
/// `auxiliary = "unconditional"`: M = 1 always.
///
/// # Shapes
/// Accuracies in [0, 1]; `n_i` tokens the policy chose.  What is added is logged as component `gcpo`.
///
/// # Edge cases
/// - Nobody or everybody used the behavior: M = 0, there is nothing to contrast.
/// - `|D|` equal to `epsilon` (up to 1e-12): M = 0.
/// - The accuracy is that of the verifier, never a shaped reward: name its component in `accuracy` if there are several.
/// - Unscorable member: in no mean, stays unscorable.
///
/// # Errors
/// Parameters: `marker` empty; `epsilon`, `aux_weight` or `length_weight` negative or not finite; `max_length` 0.
/// Data: rewards and members that differ in number; an accuracy outside [0, 1]; no component of that name, or several
/// and none named; a component `gcpo` already there.
///
/// # Source
/// GeometryZero (arXiv 2506.07160), partly reconstructed from reviews and summaries: the authors' code was not
/// available, and epsilon, the weights and the form of the length reward are choices made here.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::{Contrast, Gcpo, GcpoConfig, GcpoMember};
/// let member = |accuracy, used, length| GcpoMember { accuracy: Some(accuracy), used, length };
/// let gcpo = Gcpo::new(&GcpoConfig { max_length: 20, ..GcpoConfig::default() })?;
/// let shaped = gcpo.shape_group(&[
///     member(1.0, true, 10), member(1.0, true, 12), member(0.0, false, 8), member(0.0, false, 25),
/// ])?;
/// assert_eq!(shaped.contrast, Contrast::Helps);
/// assert_eq!(shaped.bonuses, [Some(0.55), Some(0.56), Some(0.04000000000000001), Some(0.1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcpoConfig {
    /// Text in an action that shows the use of the behavior, not empty.
    pub marker: String,
    /// Component that is the accuracy; absent: the only one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<String>,
    /// When using the behavior is rewarded.
    pub auxiliary: AuxiliaryReward,
    /// Difference of mean accuracies that counts as none, >= 0.
    pub epsilon: f64,
    /// Weight of the reward for use, >= 0; 0 leaves GRPO with a length reward.
    pub aux_weight: f64,
    /// Weight of the length reward, >= 0; it is paid to wrong answers too.
    pub length_weight: f64,
    /// Length from which the length reward is full, >= 1.
    pub max_length: usize,
}

impl Default for GcpoConfig {
    fn default() -> Self {
        Self {
            marker: "<aux>".to_owned(),
            accuracy: None,
            auxiliary: AuxiliaryReward::Contrast,
            epsilon: 0.1,
            aux_weight: 0.5,
            length_weight: 0.1,
            max_length: 1024,
        }
    }
}

impl Part<dyn RewardShaper> for GcpoConfig {
    const SOURCE: &'static str =
        "GeometryZero, arXiv 2506.07160, partly reconstructed (authors' code not available)";

    fn formula(&self) -> String {
        let mask = match self.auxiliary {
            AuxiliaryReward::Contrast => format!(
                "M = sign(D) if |D| > {}, else 0; D = mean(a | used) - mean(a | not used)",
                self.epsilon
            ),
            AuxiliaryReward::Unconditional => "M = 1".to_owned(),
        };
        format!(
            "r_i += {} M [`{}` in i] + {} min(len_i / {}, 1); {mask}",
            self.aux_weight, self.marker, self.length_weight, self.max_length
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        Ok(Box::new(Gcpo::new(self)?))
    }
}

/// GCPO's reward, valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct Gcpo {
    config: GcpoConfig,
}

impl Gcpo {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &GcpoConfig) -> Result<Self, ParamError> {
        let marker = &config.marker;
        ParamError::check(!marker.is_empty(), "marker", "\"\"", "a text that is not empty")?;
        for (key, value) in [
            ("epsilon", config.epsilon),
            ("aux_weight", config.aux_weight),
            ("length_weight", config.length_weight),
        ] {
            ParamError::check_coefficient(key, value)?;
        }
        ParamError::check(config.max_length >= 1, "max_length", config.max_length, ">= 1")?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// Contrast and additions of one group; see [`GcpoConfig`] for formula, units and an example.
    ///
    /// # Errors
    /// [`DataError::Value`] naming the member whose accuracy is outside [0, 1].
    pub fn shape_group(&self, members: &[GcpoMember]) -> Result<GcpoShaped, DataError> {
        for (i, accuracy) in members
            .iter()
            .enumerate()
            .filter_map(|(i, m)| Some((i, m.accuracy?)))
        {
            if !(0.0..=1.0).contains(&accuracy) {
                return Err(DataError::value(
                    format!("trajectory {i}"),
                    format!("accuracy {accuracy} is outside [0, 1]"),
                ));
            }
        }
        let contrast = self.contrast(members);
        let sign = match self.config.auxiliary {
            AuxiliaryReward::Contrast => f64::from(contrast.sign()),
            AuxiliaryReward::Unconditional => 1.0,
        };
        let bonus = |member: &GcpoMember| {
            let used = f64::from(u8::from(member.used));
            let filled = (member.length as f64 / self.config.max_length as f64).min(1.0);
            self.config.aux_weight * sign * used + self.config.length_weight * filled
        };
        Ok(GcpoShaped {
            contrast,
            bonuses: members.iter().map(|m| m.accuracy.map(|_| bonus(m))).collect(),
        })
    }

    fn contrast(&self, members: &[GcpoMember]) -> Contrast {
        let side = |used: bool| -> Vec<f64> {
            let those = members.iter().filter(|m| m.used == used);
            those.filter_map(|m| m.accuracy).collect()
        };
        let (with, without) = (side(true), side(false));
        if with.is_empty() || without.is_empty() {
            return Contrast::Open;
        }
        let difference = stats::mean(&with) - stats::mean(&without);
        // Means of accuracies are not exact: a difference of 0.1 must equal an epsilon of 0.1.
        let tolerance = self.config.epsilon + 1e-12;
        if difference > tolerance {
            Contrast::Helps
        } else if difference < -tolerance {
            Contrast::Hurts
        } else {
            Contrast::Open
        }
    }
}

impl RewardShaper for Gcpo {
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
                "is already there: the reward would count twice",
            ));
        }
        let accuracies = accuracies(rewards, self.config.accuracy.as_deref())?;
        let group: Vec<GcpoMember> = members
            .iter()
            .zip(accuracies.iter().zip(&rewards.rewards))
            .map(|(member, (accuracy, reward))| GcpoMember {
                // What a shaper before this one made unscorable has no say.
                accuracy: reward.and(*accuracy),
                used: member
                    .turns
                    .iter()
                    .any(|turn| turn.action.contains(&self.config.marker)),
                length: member.n_policy_tokens(),
            })
            .collect();
        let GcpoShaped { bonuses, .. } = self.shape_group(&group)?;
        for (reward, bonus) in rewards.rewards.iter_mut().zip(&bonuses) {
            *reward = reward.zip(*bonus).map(|(r, b)| r + b);
        }
        rewards.components.insert(NAME.to_owned(), bonuses);
        Ok(())
    }
}

#[cfg(test)]
#[path = "gcpo_tests.rs"]
mod tests;
