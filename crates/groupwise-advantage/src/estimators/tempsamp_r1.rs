//! TempSamp-R1: a reference solution inside the group, and rewards compressed so that it does not drown the others.

use std::borrow::Cow;

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spans, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;

const NAME: &str = "tempsamp-r1";

/// How the reward of the reference solution is kept from raising everybody's baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// All rewards are compressed above `tau` and stretched below, then normalized jointly.
    #[default]
    Soft,
    /// The sampled rewards are normalized alone; the reference gets `lambda_off` times the best of them.
    Anchor,
    /// The reference's reward is multiplied by `off_scale`, then all are normalized jointly.
    Scale,
    /// All are normalized jointly.
    Plain,
}

/// Compressed reward: a logarithm above `tau`, a stretched exponential below.
///
/// # Formula
/// `tau + alpha1 ln(r - tau + 1)` for `r >= tau`, else `tau - (exp(alpha2 (tau - r)) - 1) / (exp(alpha2) - 1)`.
///
/// # Shapes
/// One reward, usually in [0, 1], to one of the same unit.
///
/// # Edge cases
/// Continuous and strictly increasing; `tau` maps to itself.  The slope jumps there from `alpha2 / (exp(alpha2) - 1)` to
/// `alpha1`.  A large `alpha2` does not overflow for `r >= tau - 1`.
///
/// # Source
/// TempSamp-R1 (arXiv 2509.18056), non-linear soft advantage, from a published summary; the authors' code was not
/// available.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::soft_reward;
/// let soft = |r| soft_reward(r, 0.8, 0.01, 1.0);
/// assert_eq!(soft(0.8), 0.8);
/// assert!((soft(0.0) - 0.0867637).abs() < 1e-7 && (soft(1.0) - 0.801823).abs() < 1e-6);
/// ```
pub fn soft_reward(reward: f64, tau: f64, alpha1: f64, alpha2: f64) -> f64 {
    let below = tau - reward;
    if below <= 0.0 {
        return tau + alpha1 * (-below).ln_1p();
    }
    // (e^(a x) - 1) / (e^a - 1), written so that a large a cancels.
    let stretched = (alpha2 * (below - 1.0)).exp() * (-alpha2 * below).exp_m1() / (-alpha2).exp_m1();
    tau - stretched
}

/// TempSamp-R1's advantage.
///
/// # Formula
/// `A_i = (x_i - mean(x)) / (s(x) + eps)` over the scorable members of a group, with x by mode:
/// `soft` [`soft_reward`] of every reward; `scale` the reward, that of the reference times `off_scale`; `plain` the
/// reward; `anchor` the sampled rewards alone, and `A_off = lambda_off max_i A_i`.
///
/// # Shapes
/// One advantage per trajectory, without unit.
///
/// # Edge cases
/// - No reference in the group: the mode's transform on all members (`anchor`, `scale` and `plain` are GRPO then).
/// - No spread of x, or fewer than two: 0.  `anchor` with equal sampled rewards teaches nothing, not even the reference.
/// - Several references in a group are treated alike.
/// - Unscorable: 0, and in no statistic.
///
/// # Errors
/// Parameters: `tau` or `off_scale` outside (0, 1]; `alpha1`, `alpha2`, `lambda_off` not finite or not > 0; `eps`
/// negative; a `spread` other than sample and population.  Data: no `off_policy` flags in modes `anchor` and `scale`;
/// those of [`GroupRelative`].
///
/// # Source
/// TempSamp-R1 (arXiv 2509.18056), from a published summary; the authors' code was not available.  Reconstructed here:
/// sample deviation, eps 1e-4, statistics of the sampled members only in `anchor`.  No value of `off_scale` is
/// published.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{TempsampR1, TempsampR1Config};
/// use groupwise_core::Offsets;
/// let groups = Offsets::from_lengths([4]);
/// let rewards = [0.7, 0.78, 0.85, 1.0].map(Some);
/// let shaped = TempsampR1::new(&TempsampR1Config::default())?
///     .advantages(groups.spans(), &rewards, &[false, false, false, true])?;
/// // By reward, 0.78 lies below the mean of the group; softened, it is worth repeating.
/// assert!((shaped.advantages[1] - 0.198432).abs() < 1e-6);
/// assert!((shaped.advantages[3] - 0.654662).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TempsampR1Config {
    /// How the reference is kept from raising the baseline.
    pub mode: Mode,
    /// `soft`: where compression begins, in (0, 1].
    pub tau: f64,
    /// `soft`: factor of the logarithm, > 0.
    pub alpha1: f64,
    /// `soft`: rate of the exponential, > 0.
    pub alpha2: f64,
    /// `anchor`: the reference's advantage in units of the best sampled one, > 0.
    #[serde(alias = "anchor")]
    pub lambda_off: f64,
    /// `scale`: factor of the reference's reward, in (0, 1].
    pub off_scale: f64,
    /// Which deviation: sample or population.
    #[serde(alias = "std")]
    pub spread: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
}

impl Default for TempsampR1Config {
    fn default() -> Self {
        Self {
            mode: Mode::Soft,
            tau: 0.8,
            alpha1: 0.01,
            alpha2: 1.0,
            lambda_off: 1.2,
            off_scale: 0.8,
            spread: Spread::Sample,
            eps: 1e-4,
        }
    }
}

impl TempsampR1Config {
    fn relative(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            spread: self.spread,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        }
    }
}

impl Part<dyn AdvantageEstimator> for TempsampR1Config {
    const SOURCE: &'static str =
        "TempSamp-R1, arXiv 2509.18056, from a published summary (authors' code not available)";

    fn formula(&self) -> String {
        let normalized = self.relative().formula();
        match self.mode {
            Mode::Soft => format!(
                "{normalized}; r = {tau} + {a1} ln(reward - {tau} + 1) from {tau} up, else \
                 {tau} - (exp({a2} ({tau} - reward)) - 1) / (exp({a2}) - 1)",
                tau = self.tau,
                a1 = self.alpha1,
                a2 = self.alpha2
            ),
            Mode::Anchor => format!(
                "{normalized}, over the sampled members; A_reference = {} max_i A_i",
                self.lambda_off
            ),
            Mode::Scale => format!(
                "{normalized}; r = reward, of the reference {} reward",
                self.off_scale
            ),
            Mode::Plain => normalized,
        }
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(TempsampR1::new(self)?))
    }
}

/// Rewards after the mode's transform, and the advantages of them.
#[derive(Clone, Debug, PartialEq)]
pub struct TempsampShaped {
    /// What is normalized; `None`: unscorable.
    pub rewards: Vec<Option<f64>>,
    /// One advantage per trajectory.
    pub advantages: Vec<f64>,
}

/// TempSamp-R1, valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct TempsampR1 {
    config: TempsampR1Config,
    relative: GroupRelative,
}

impl TempsampR1 {
    /// Validates, the keys of other modes too.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &TempsampR1Config) -> Result<Self, ParamError> {
        for (key, value) in [("tau", config.tau), ("off_scale", config.off_scale)] {
            ParamError::check(value > 0.0 && value <= 1.0, key, value, "a number > 0 and <= 1")?;
        }
        for (key, value) in [
            ("alpha1", config.alpha1),
            ("alpha2", config.alpha2),
            ("lambda_off", config.lambda_off),
        ] {
            let holds = value > 0.0 && value.is_finite();
            ParamError::check(holds, key, value, "a finite number > 0")?;
        }
        let (holds, given) = match config.spread {
            Spread::Sample | Spread::Population => (true, ""),
            Spread::LeaveOneOut => (false, "leave-one-out"),
            Spread::Mean => (false, "mean"),
            Spread::None => (false, "none"),
        };
        ParamError::check(holds, "spread", given, "sample or population")?;
        Ok(Self {
            config: config.clone(),
            relative: GroupRelative::new(config.relative())?,
        })
    }

    /// Transformed rewards and advantages; see [`TempsampR1Config`] for formula, units and an example.
    ///
    /// # Errors
    /// `off_policy` of another length; those of [`GroupRelative`].
    pub fn advantages(
        &self,
        groups: Spans<'_>,
        rewards: &[Option<f64>],
        off_policy: &[bool],
    ) -> Result<TempsampShaped, DataError> {
        DataError::check_len("off_policy", off_policy.len(), rewards.len())?;
        // A reward that is not finite is named as such, before it is transformed.
        RewardBatch::new(groups, rewards).check()?;
        let shaped: Vec<Option<f64>> = rewards
            .iter()
            .zip(off_policy)
            .map(|(reward, off)| reward.map(|r| self.transform(r, *off)))
            .collect();
        let advantages = if self.config.mode == Mode::Anchor {
            self.anchored(groups, &shaped, off_policy)?
        } else {
            self.relative.advantages(groups, &shaped)?
        };
        inputs::check_result(&advantages)?;
        Ok(TempsampShaped {
            rewards: shaped,
            advantages,
        })
    }

    fn transform(&self, reward: f64, off: bool) -> f64 {
        let config = &self.config;
        match config.mode {
            Mode::Soft => soft_reward(reward, config.tau, config.alpha1, config.alpha2),
            Mode::Scale if off => config.off_scale * reward,
            Mode::Scale | Mode::Anchor | Mode::Plain => reward,
        }
    }

    /// The sampled members among themselves, the reference above the best of them.
    fn anchored(
        &self,
        groups: Spans<'_>,
        rewards: &[Option<f64>],
        off_policy: &[bool],
    ) -> Result<Vec<f64>, DataError> {
        let sampled: Vec<Option<f64>> = rewards
            .iter()
            .zip(off_policy)
            .map(|(reward, off)| reward.filter(|_| !off))
            .collect();
        let mut advantages = self.relative.advantages(groups, &sampled)?;
        for members in groups.iter() {
            // Centred advantages are never all negative, so 0 is no better than the best of them.
            let best = advantages[members.clone()].iter().fold(0.0_f64, |m, a| m.max(*a));
            for i in members.filter(|i| off_policy[*i] && rewards[*i].is_some()) {
                advantages[i] = self.config.lambda_off * best;
            }
        }
        Ok(advantages)
    }
}

impl AdvantageEstimator for TempsampR1 {
    fn needs(&self) -> Needs {
        match self.config.mode {
            Mode::Anchor | Mode::Scale => Needs::OFF_POLICY,
            // These treat the reference like everybody else.
            Mode::Soft | Mode::Plain => Needs::empty(),
        }
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let off_policy = match batch.off_policy {
            Some(off_policy) => Cow::Borrowed(off_policy),
            None if self.needs().contains(Needs::OFF_POLICY) => {
                return Err(DataError::Missing {
                    what: "off_policy",
                    part: NAME,
                });
            }
            None => Cow::Owned(vec![false; batch.rewards.len()]),
        };
        let shaped = self.advantages(batch.groups, batch.rewards, &off_policy)?;
        Ok(Advantages::Trajectory(shaped.advantages))
    }
}

#[cfg(test)]
#[path = "tempsamp_r1_tests.rs"]
mod tests;
