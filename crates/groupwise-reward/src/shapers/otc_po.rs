//! OTC-PO: right answers count less the more tool calls beyond the fewest that sufficed.

use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

use super::accuracy::{check_correct_at, correctness};
use super::{check_first, check_group};

const NAME: &str = "otc-po";

/// What the number of tool calls is measured by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtcVariant {
    /// The fewest calls known to suffice (OTC-GRPO).
    #[default]
    Grpo,
    /// Nothing: every call costs, for methods without groups (OTC-PPO).
    Ppo,
}

/// One member, as [`OtcPo::shape_group`] reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OtcMember {
    /// Base reward; `None`: unscorable.
    pub reward: Option<f64>,
    /// Whether its answer is right; an unscorable member is not.
    pub correct: bool,
    /// Its tool calls, failed ones included.
    pub calls: u64,
}

/// What a group becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct OtcShaped {
    /// Fewest calls known to suffice; `None`: no answer was ever right.
    pub optimum: Option<u64>,
    /// Factor of each member.
    pub weights: Vec<f64>,
    /// Shaped rewards; `None`: unscorable.
    pub rewards: Vec<Option<f64>>,
}

/// OTC's reward: the base reward times a factor of the tool calls.
///
/// # Formula
/// `r_i <- alpha w_i r_i`, with `m_i` tool calls and `n` the fewest calls of a right answer of the group:
///
/// | `variant` | | `w_i` |
/// |---|---|---|
/// | `grpo` | `n > 0` | `sin(pi m_i / (m_i + n))` |
/// | `grpo` | `n = 0` | 1 if `m_i = 0`, else `cos(pi m_i / (2 m_i + c))` |
/// | `grpo` | no right answer | 1 |
/// | `ppo` | | `cos(pi m_i / (2 m_i + c))` |
///
/// The paper writes the first row as `sin(f pi / (2 n))` with `f = 2 n m / (m + n)`, which is the same.
///
/// # Shapes
/// Calls are counted as occurrences of `marker` in a member's actions.  `w` lies in [0, 1], is 1 at `m = n` and falls on
/// both sides; it is logged as component `otc-po`.
///
/// # Edge cases
/// - Truncated member: its calls count, and it is not right whatever its accuracy.
/// - `m = 0` with `n > 0`: 0.
/// - Unscorable member: stays so, and is no right answer.
/// - The accuracy is that of the verifier, never a shaped reward: name its component in `accuracy` if there are several.
/// - A run remembers rewards of earlier visits, not calls: as a shaper, `n` is that of the group at hand.  The memory
///   across epochs is the argument `remembered` of [`OtcPo::shape_group`].
///
/// # Errors
/// Parameters: `alpha` or `c` not a finite number > 0; `marker` empty; `correct_at` not finite.  Data: rewards and members
/// that differ in number; a reward that is not finite; no component of that name, or several and none named; a component
/// `otc-po` already there.
///
/// # Source
/// OTC-PO, arXiv 2504.14870.  No authors' code was found; the values of `alpha` and `c`, the factor 1 while nobody was
/// right and the scaling of partial credit are choices made here.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::{OtcMember, OtcPo, OtcPoConfig};
/// let member = |reward, calls| OtcMember { reward: Some(reward), correct: reward == 1.0, calls };
/// let otc = OtcPo::new(&OtcPoConfig::default())?;
/// let group = [member(1.0, 2), member(1.0, 4), member(0.0, 0), member(1.0, 3), member(0.0, 6), member(1.0, 2)];
/// let shaped = otc.shape_group(&group, None)?;
/// assert_eq!(shaped.optimum, Some(2));
/// assert!((shaped.weights[3] - 0.951_056_516_295_153_6).abs() < 1e-15);
/// assert_eq!(otc.shape_group(&group, Some(1))?.optimum, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtcPoConfig {
    /// What calls are measured by.
    pub variant: OtcVariant,
    /// Scale of the reward, > 0.
    pub alpha: f64,
    /// Smoothness of the cosine, > 0; larger punishes less.
    pub c: f64,
    /// Text in an action that is one tool call, not empty.
    pub marker: String,
    /// Component that is the accuracy; absent: the only one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<String>,
    /// Accuracy from which an answer is right.
    pub correct_at: f64,
}

impl Default for OtcPoConfig {
    fn default() -> Self {
        Self {
            variant: OtcVariant::Grpo,
            alpha: 1.0,
            c: 1.0,
            marker: "<tool_call>".to_owned(),
            accuracy: None,
            correct_at: 1.0,
        }
    }
}

impl Part<dyn RewardShaper> for OtcPoConfig {
    const SOURCE: &'static str =
        "OTC-PO, arXiv 2504.14870 (no authors' code found; alpha and c reconstructed)";

    fn formula(&self) -> String {
        let Self { alpha, c, marker, .. } = self;
        let cosine = format!("cos(pi m / (2 m + {c}))");
        let weight = match self.variant {
            OtcVariant::Grpo => format!(
                "sin(pi m / (m + n)), n = 0: 1 at m = 0, else {cosine}; n: fewest m of a right answer of the group \
                 (accuracy >= {}, not truncated); nobody right: w = 1",
                self.correct_at
            ),
            OtcVariant::Ppo => cosine,
        };
        format!("r_i *= {alpha} w_i; m: calls `{marker}` of i; w = {weight}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        Ok(Box::new(OtcPo::new(self)?))
    }
}

/// OTC's reward, valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct OtcPo {
    config: OtcPoConfig,
}

impl OtcPo {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &OtcPoConfig) -> Result<Self, ParamError> {
        for (key, value) in [("alpha", config.alpha), ("c", config.c)] {
            let holds = value > 0.0 && value.is_finite();
            ParamError::check(holds, key, value, "a finite number > 0")?;
        }
        let marker = &config.marker;
        ParamError::check(!marker.is_empty(), "marker", "\"\"", "a text that is not empty")?;
        check_correct_at(config.correct_at)?;
        Ok(Self {
            config: config.clone(),
        })
    }

    /// Factor of a trajectory with that many calls; see [`OtcPoConfig`] for the formula.
    ///
    /// # Shapes
    /// `optimum`: fewest calls known to suffice, `None` while nobody was right; not read by the variant `ppo`.
    ///
    /// # Example
    /// ```
    /// use groupwise_reward::shapers::{OtcPo, OtcPoConfig};
    /// let otc = OtcPo::new(&OtcPoConfig::default())?;
    /// let weights = [0, 2, 4].map(|calls| otc.weight(calls, Some(2)));
    /// assert_eq!(weights, [0.0, 1.0, 0.866_025_403_784_438_7]);
    /// assert_eq!([otc.weight(0, Some(0)), otc.weight(7, None)], [1.0, 1.0]);
    /// # Ok::<(), groupwise_core::ParamError>(())
    /// ```
    pub fn weight(&self, calls: u64, optimum: Option<u64>) -> f64 {
        let m = calls as f64;
        match (self.config.variant, optimum) {
            (OtcVariant::Grpo, None) => 1.0,
            // The share of pi never exceeds 1, so that rounding cannot make the sine negative.
            (OtcVariant::Grpo, Some(n)) if n > 0 => (PI * (m / (m + n as f64))).sin(),
            // The cosine is 1 at m = 0.
            _ => (PI * (m / (2.0 * m + self.config.c))).cos(),
        }
    }

    /// Optimum, factors and rewards of one group; see [`OtcPoConfig`] for formula and example.
    ///
    /// # Shapes
    /// `remembered`: the optimum of earlier visits to the prompt; what comes out is never larger, and is what to
    /// remember next.
    ///
    /// # Errors
    /// [`DataError::NonFinite`] naming the member whose reward is not finite.
    pub fn shape_group(
        &self,
        members: &[OtcMember],
        remembered: Option<u64>,
    ) -> Result<OtcShaped, DataError> {
        for (i, reward) in members
            .iter()
            .enumerate()
            .filter_map(|(i, m)| Some((i, m.reward?)))
        {
            if !reward.is_finite() {
                return Err(DataError::NonFinite {
                    place: format!("trajectory {i}"),
                    what: "reward".into(),
                    value: reward.to_string(),
                });
            }
        }
        let right = members.iter().filter(|m| m.correct && m.reward.is_some());
        let optimum = right.map(|m| m.calls).chain(remembered).min();
        let weights: Vec<f64> = members.iter().map(|m| self.weight(m.calls, optimum)).collect();
        let rewards = members
            .iter()
            .zip(&weights)
            .map(|(m, w)| m.reward.map(|r| self.config.alpha * w * r))
            .collect();
        Ok(OtcShaped {
            optimum,
            weights,
            rewards,
        })
    }
}

/// Tool productivity: right answers per tool call over an evaluation set.
///
/// # Formula
/// `(number of right answers) / (sum of calls)`.
///
/// # Edge cases
/// It rewards giving up on hard prompts: read it beside the accuracy of every stratum.
///
/// # Errors
/// Inputs of different length; no tool call at all, which leaves it undefined.
///
/// # Source
/// arXiv 2504.14870, section of the evaluation metrics.
///
/// # Example
/// ```
/// use groupwise_reward::shapers::tool_productivity;
/// assert_eq!(tool_productivity(&[true, false, true], &[1, 3, 0])?, 0.5);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn tool_productivity(correct: &[bool], calls: &[u64]) -> Result<f64, DataError> {
    DataError::check_len("calls", calls.len(), correct.len())?;
    let n_calls: f64 = calls.iter().map(|m| *m as f64).sum();
    if n_calls == 0.0 {
        return Err(DataError::value(
            "tool productivity",
            "is undefined: there are no tool calls",
        ));
    }
    Ok(correct.iter().filter(|c| **c).count() as f64 / n_calls)
}

impl RewardShaper for OtcPo {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        check_first(rewards, NAME, "the reward would be scaled twice")?;
        let right = correctness(rewards, self.config.accuracy.as_deref(), self.config.correct_at)?;
        let calls = |member: &Trajectory| -> usize {
            let turns = member.turns.iter();
            turns
                .map(|turn| turn.action.matches(&self.config.marker).count())
                .sum()
        };
        let group: Vec<OtcMember> = members
            .iter()
            .zip(rewards.rewards.iter().zip(&right))
            .map(|(member, (reward, right))| OtcMember {
                reward: *reward,
                correct: *right == Some(true) && !member.stop.is_truncation(),
                calls: calls(member) as u64,
            })
            .collect();
        let OtcShaped {
            weights,
            rewards: shaped,
            ..
        } = self.shape_group(&group, None)?;
        let logged = shaped.iter().zip(weights).map(|(r, w)| r.map(|_| w)).collect();
        rewards.rewards = shaped;
        rewards.components.insert(NAME.to_owned(), logged);
        Ok(())
    }
}

#[cfg(test)]
#[path = "otc_po_tests.rs"]
mod tests;
