//! The group-relative block: centre x spread x scope, the arithmetic that GRPO and its relatives share.
//!
//! A named estimator is a row of this block (GRPO: mean, sample, group; Dr. GRPO: mean, none; RLOO:
//! leave-one-out, none; MaxRL: mean, mean).  Papers that change one of the choices use it with other settings.

use groupwise_core::{Centre, DataError, ParamError, RewardBatch, Scope, Spans, Spread, stats};
use serde::{Deserialize, Serialize};

/// Over which rewards the spread is taken; the name and the values of TRL's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleRewards {
    /// The scorable rewards of the group.
    #[default]
    Group,
    /// All scorable rewards of the update batch; the centre stays the group's.
    Batch,
    /// No division.
    None,
}

/// What a group with exactly one scorable member gets, where a comparison would need two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Singleton {
    /// Advantage 0.
    #[default]
    Zero,
    /// Mean 0 and spread 1, so that the reward itself is trained on: `r / (1 + eps)`, or `r` without division.
    Raw,
    /// The reward is its own baseline and the spread is 0, so that the advantage is `r - r`.
    ///
    /// The number equals [`Singleton::Zero`] always; the name is kept so that a recipe can state the rule of
    /// the framework it copies.
    OwnBaseline,
}

/// What happens when the spread is 0 although the rewards of the group differ (the others of a lone winner are
/// equal; a mean is 0).  A group whose rewards are all equal gets exactly 0 under either rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ZeroSpread {
    /// Leave the centred reward undivided.
    #[default]
    Skip,
    /// Divide by `0 + eps`, however large that makes it.
    Divide,
}

/// Settings of the block, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupRelativeConfig {
    /// What is subtracted from a reward.
    pub centre: Centre,
    /// What the centred reward is divided by.
    pub spread: Spread,
    /// Over which rewards the spread is taken.
    pub scale_rewards: ScaleRewards,
    /// Added to the spread, >= 0.
    pub eps: f64,
    /// What a lone scorable member gets.
    pub singleton: Singleton,
    /// What happens when the spread is 0.
    pub zero_spread: ZeroSpread,
}

impl Default for GroupRelativeConfig {
    fn default() -> Self {
        Self {
            centre: Centre::Mean,
            spread: Spread::Sample,
            scale_rewards: ScaleRewards::Group,
            eps: 1e-6,
            singleton: Singleton::Zero,
            zero_spread: ZeroSpread::Skip,
        }
    }
}

impl GroupRelativeConfig {
    /// Settings that only centre.
    pub fn centred(centre: Centre, singleton: Singleton) -> Self {
        Self {
            centre,
            spread: Spread::None,
            scale_rewards: ScaleRewards::None,
            eps: 0.0,
            singleton,
            ..Self::default()
        }
    }

    /// True if rewards are divided by something.
    pub fn divides(&self) -> bool {
        self.spread != Spread::None && self.scale_rewards != ScaleRewards::None
    }

    /// The batch if the spread is taken over it, else the group.
    pub fn scope(&self) -> Scope {
        if self.divides() && self.scale_rewards == ScaleRewards::Batch {
            Scope::Batch
        } else {
            Scope::Group
        }
    }

    /// The formula with these numbers.
    pub fn formula(&self) -> String {
        let centre = match self.centre {
            Centre::Mean => "r_i - mean(r)",
            Centre::LeaveOneOut => "r_i - mean(r without i)",
            Centre::None => "r_i",
        };
        if !self.divides() {
            return match self.centre {
                Centre::None => format!("A_i = {centre}"),
                _ => format!("A_i = {centre}; lone member: {}", self.lone()),
            };
        }
        let scope = match self.scale_rewards {
            ScaleRewards::Batch => "all r of the batch",
            _ => "r",
        };
        let spread = match self.spread {
            Spread::Sample => format!("std({scope}; n - 1)"),
            Spread::Population => format!("std({scope}; n)"),
            Spread::LeaveOneOut => "std(r without i; n - 2)".to_owned(),
            Spread::Mean | Spread::None => format!("mean({scope})"),
        };
        let zero = match self.zero_spread {
            ZeroSpread::Skip => "undivided",
            ZeroSpread::Divide => "divided by eps",
        };
        let eps = if self.eps > 0.0 {
            format!("{spread} + {:e}", self.eps)
        } else {
            spread
        };
        format!(
            "A_i = ({centre}) / ({eps}); equal rewards: 0; spread 0: {zero}; lone member: {}",
            self.lone()
        )
    }

    fn lone(&self) -> &'static str {
        match (self.singleton, self.divides()) {
            (Singleton::Zero | Singleton::OwnBaseline, _) => "0",
            (Singleton::Raw, false) => "r",
            (Singleton::Raw, true) => "r / (1 + eps)",
        }
    }
}

/// Advantages of the members of a group relative to one another.
///
/// # Formula
/// `A_i = (r_i - centre_i) / (spread_i + eps)` over the scorable rewards of a group.
///
/// # Shapes
/// `groups`: group -> trajectories; `rewards` and the result: one per trajectory.  Rewards and advantages have
/// no unit when divided, the unit of the reward otherwise.
///
/// # Edge cases
/// - Unscorable (`None`): 0, and left out of every statistic.
/// - All scorable rewards equal (within 1e-12 of their size, at least 1e-12): exactly 0 if there is a centre.
/// - One scorable member: [`Singleton`].  No scorable member: zeros.
/// - Spread 0 in a group that is not constant: [`ZeroSpread`].
/// - Statistics are taken of `r - min(r)`, so that a common offset of 1e6 costs no digits of a small spread.
///
/// # Errors
/// Data: an empty group, a non-finite reward, a negative reward under [`Spread::Mean`], rewards so far apart
/// that the result is not finite; each names the group.
///
/// # Source
/// DeepSeekMath (arXiv 2402.03300), section 4.1.2; RLOO (arXiv 2402.14740), equation 7.  `scale_rewards` as in
/// `grpo_trainer.py` of TRL; `Singleton::Raw` as in `core_algos.py` of verl; leave-one-out spread,
/// `Singleton::OwnBaseline` and `ZeroSpread::Skip` as in NeMo-RL, computed in two passes (its one-pass form
/// returned -2075 for rewards near one another).
///
/// # Example
/// ```
/// use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
/// use groupwise_core::Offsets;
/// let block = GroupRelative::new(GroupRelativeConfig::default())?;
/// let groups = Offsets::from_lengths([4]);
/// let a = block.advantages(groups.spans(), &[Some(1.0), None, Some(0.0), Some(0.5)])?;
/// assert_eq!(a[1], 0.0);
/// assert!((a[0] - 0.999998000004).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupRelative {
    config: GroupRelativeConfig,
}

impl GroupRelative {
    /// Validates the settings.
    ///
    /// # Errors
    /// `eps` not finite or negative, or 0 under [`ZeroSpread::Divide`]; a batch-wide spread that is neither
    /// sample nor population.
    pub fn new(config: GroupRelativeConfig) -> Result<Self, ParamError> {
        ParamError::check_coefficient("eps", config.eps)?;
        if config.divides() {
            ParamError::check(
                config.eps > 0.0 || config.zero_spread == ZeroSpread::Skip,
                "eps",
                config.eps,
                "> 0 where `zero_spread` is divide",
            )?;
            if config.scale_rewards == ScaleRewards::Batch {
                let (holds, given) = match config.spread {
                    Spread::LeaveOneOut => (false, "leave-one-out"),
                    Spread::Mean => (false, "mean"),
                    _ => (true, ""),
                };
                ParamError::check(
                    holds,
                    "spread",
                    given,
                    "sample or population where `scale_rewards` is batch",
                )?;
            }
        }
        Ok(Self { config })
    }

    /// The settings.
    pub fn config(&self) -> GroupRelativeConfig {
        self.config
    }

    /// One advantage per trajectory.
    ///
    /// # Errors
    /// See [`GroupRelative`].
    pub fn advantages(&self, groups: Spans<'_>, rewards: &[Option<f64>]) -> Result<Vec<f64>, DataError> {
        let mut out = vec![0.0; rewards.len()];
        self.advantages_into(groups, rewards, &mut out)?;
        Ok(out)
    }

    /// As [`GroupRelative::advantages`], into a buffer of the caller; allocates for the largest group only.
    ///
    /// # Errors
    /// See [`GroupRelative`]; also if `out` and `rewards` differ in length.
    pub fn advantages_into(
        &self,
        groups: Spans<'_>,
        rewards: &[Option<f64>],
        out: &mut [f64],
    ) -> Result<(), DataError> {
        RewardBatch::new(groups, rewards).check()?;
        DataError::check_len("out", out.len(), rewards.len())?;
        let batch_spread = self.batch_spread(rewards);
        let (mut scored, mut result) = (Vec::new(), Vec::new());
        for (g, members) in groups.iter().enumerate() {
            scored.clear();
            scored.extend(rewards[members.clone()].iter().flatten());
            self.group(g, &scored, batch_spread, &mut result)?;
            let mut next = result.iter();
            for (slot, reward) in out[members.clone()].iter_mut().zip(&rewards[members]) {
                *slot = reward.and_then(|_| next.next().copied()).unwrap_or(0.0);
            }
        }
        Ok(())
    }

    /// Spread over the batch where the scope asks for it; `None` is "0 or undefined".
    fn batch_spread(&self, rewards: &[Option<f64>]) -> Option<f64> {
        if self.config.scope() != Scope::Batch {
            return None;
        }
        let mut all: Vec<f64> = rewards.iter().flatten().copied().collect();
        if stats::is_constant(&all) {
            return None;
        }
        subtract_min(&mut all);
        Some(match self.config.spread {
            Spread::Population => stats::population_std(&all),
            _ => stats::sample_std(&all),
        })
    }

    /// Advantages of the scorable members of one group.
    fn group(
        &self,
        g: usize,
        scored: &[f64],
        batch_spread: Option<f64>,
        result: &mut Vec<f64>,
    ) -> Result<(), DataError> {
        let config = &self.config;
        result.clear();
        result.extend_from_slice(scored);
        let compares = config.centre != Centre::None || config.divides();
        if scored.is_empty() || !compares {
            return Ok(());
        }
        if config.spread == Spread::Mean && config.divides() {
            refuse_negative(g, scored)?;
        }
        let constant = stats::is_constant(scored);
        if let [reward] = scored {
            result[0] = match (config.singleton, config.divides()) {
                (Singleton::Zero | Singleton::OwnBaseline, _) => 0.0,
                (Singleton::Raw, false) => *reward,
                (Singleton::Raw, true) => reward / (1.0 + config.eps),
            };
        } else if constant && config.centre != Centre::None {
            result.fill(0.0);
        } else {
            self.compare(scored, constant, batch_spread, result);
        }
        match result.iter().find(|a| !a.is_finite()) {
            None => Ok(()),
            Some(a) => Err(DataError::NonFinite {
                place: format!("group {g}"),
                what: "advantage (rewards too far apart)".into(),
                value: a.to_string(),
            }),
        }
    }

    /// Two or more scorable members.
    fn compare(&self, scored: &[f64], constant: bool, batch_spread: Option<f64>, result: &mut [f64]) {
        let config = &self.config;
        let n = scored.len() as f64;
        let lowest = subtract_min(result);
        let mean = stats::mean(result);
        let shared = match (config.scale_rewards, config.spread) {
            (ScaleRewards::Batch, _) => batch_spread,
            _ if constant => None,
            (_, Spread::Population) => Some(stats::population_std(result)),
            (_, Spread::Mean) => Some(lowest + mean),
            _ => Some(stats::sample_std(result)),
        };
        let own: Option<Vec<Option<f64>>> =
            (config.divides() && config.spread == Spread::LeaveOneOut).then(|| {
                (0..scored.len())
                    .map(|i| others_spread(scored, result, i))
                    .collect()
            });
        for (i, a) in result.iter_mut().enumerate() {
            *a = match config.centre {
                Centre::Mean => *a - mean,
                // r - (S - r)/(n-1) with S the sum of all: one rounding less than forming the others' mean.
                Centre::LeaveOneOut => (*a - mean) * (n / (n - 1.0)),
                Centre::None => scored[i],
            };
            if config.divides() {
                let spread = own.as_ref().map_or(shared, |own| own[i]);
                *a = match (spread, config.zero_spread) {
                    (Some(s), _) => *a / (s + config.eps),
                    (None, ZeroSpread::Skip) => *a,
                    (None, ZeroSpread::Divide) => *a / config.eps,
                };
            }
        }
    }
}

/// Subtracts the smallest value from all and returns it.
///
/// Order-independent, unlike subtracting the first; differences of near rewards are exact.
fn subtract_min(values: &mut [f64]) -> f64 {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    for v in values.iter_mut() {
        *v -= lowest;
    }
    lowest
}

/// Sample standard deviation of the members other than `i`; `None` if they are equal, as a lone other is.
///
/// Whether they are equal is judged by the size of the rewards; the deviation is taken of the shifted ones, where it
/// loses no digits to a common offset.
fn others_spread(scored: &[f64], shifted: &[f64], i: usize) -> Option<f64> {
    let others = scored[..i].iter().chain(&scored[i + 1..]);
    (!stats::is_constant(others)).then(|| stats::leave_one_out_std(shifted, i))
}

fn refuse_negative(g: usize, scored: &[f64]) -> Result<(), DataError> {
    match scored.iter().find(|r| **r < 0.0) {
        None => Ok(()),
        Some(r) => Err(DataError::value(
            format!("group {g}"),
            format!("reward {r} is negative, and dividing by the mean needs rewards >= 0"),
        )),
    }
}

#[cfg(test)]
#[path = "group_relative_tests.rs"]
mod tests;
