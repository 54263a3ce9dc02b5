//! Reward less the group mean, surplus wrong answers dropped: the advantage of REC and RED-Drop.
//!
//! Dropping balances the data: a group with more answers below the mean than at or above it loses a uniformly random
//! subset of the surplus.  Which, is a function of a seed and of what the trajectory is (task, sample, version of the
//! policy), so that order and threads change nothing and a replayed run drops the same answers.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Key, Needs, ParamError, Part, RewardBatch, Scope,
    Spread, Stream, Trajectory, stats,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton, ZeroSpread};

/// Which answers of a group are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drop {
    /// None.
    #[default]
    None,
    /// Surplus answers below the mean, at random, until there are as many as at or above it.
    Balance,
}

/// The advantage of group-relative REINFORCE; the default is the reward less the mean of its group.
///
/// # Formula
/// `A_i = r_i - mean(r)`, or divided by `std(r) + eps` with divisor n; `drop = "balance"`: with the mean over the
/// whole group, `max(n_below - n_rest, 0)` answers below it are dropped, and mean and deviation are those of the rest.
///
/// # Shapes
/// One advantage per trajectory.
///
/// # Edge cases
/// - Unscorable or dropped trajectory: 0, and in no statistic.
/// - Lone scorable trajectory: 0 (the authors' code fails there).
/// - Equal rewards: none is below the mean; 0.
///
/// # Errors
/// Parameters: `eps` negative or not finite.  Data: with `drop = "balance"`, missing trajectories; those of
/// [`GroupRelative`].
///
/// # Source
/// arXiv 2509.24203; `rec_advantage.py` of Trinity-RFT at 9051d637, whose draw is unseeded.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let spec: AdvantageSpec = serde_json::from_str(r#"{"rec": {}}"#)?;
/// let groups = Offsets::from_lengths([4]);
/// let rewards = [Some(1.0), Some(0.0), Some(0.0), Some(1.0)];
/// let a = spec.build(&())?.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
/// assert_eq!(a, Advantages::Trajectory(vec![0.5, -0.5, -0.5, 0.5]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecConfig {
    /// Which answers of a group are left out.
    pub drop: Drop,
    /// Over which rewards the deviation is taken; `none` does not divide, `group` is GRPO.
    pub scale_rewards: ScaleRewards,
    /// Added to the deviation, >= 0.
    pub eps: f64,
    /// Seed of the draw; runs with other rollouts drop other answers at the same seed.
    pub seed: u64,
}

impl Default for RecConfig {
    fn default() -> Self {
        Self {
            drop: Drop::None,
            scale_rewards: ScaleRewards::None,
            eps: 1e-6,
            seed: 0,
        }
    }
}

/// RED-Drop: [`RecConfig`] with `drop = "balance"`.
///
/// # Formula, shapes, edge cases, errors, source
/// Those of [`RecConfig`].
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{Drop, RedDropConfig};
/// assert_eq!(RedDropConfig::default().general().drop, Drop::Balance);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedDropConfig {
    /// Over which rewards the deviation is taken; `none` does not divide.
    pub scale_rewards: ScaleRewards,
    /// Added to the deviation, >= 0.
    pub eps: f64,
    /// Seed of the draw; runs with other rollouts drop other answers at the same seed.
    pub seed: u64,
}

impl Default for RedDropConfig {
    fn default() -> Self {
        let RecConfig {
            scale_rewards,
            eps,
            seed,
            ..
        } = RecConfig::default();
        Self {
            scale_rewards,
            eps,
            seed,
        }
    }
}

impl RedDropConfig {
    /// The same estimator in the general form.
    pub fn general(&self) -> RecConfig {
        RecConfig {
            drop: Drop::Balance,
            scale_rewards: self.scale_rewards,
            eps: self.eps,
            seed: self.seed,
        }
    }
}

const SOURCE: &str = "arXiv 2509.24203; Trinity-RFT rec_advantage.py at 9051d637, a lone answer at 0";

impl Part<dyn AdvantageEstimator> for RedDropConfig {
    const SOURCE: &'static str = SOURCE;

    fn formula(&self) -> String {
        self.general().formula()
    }

    fn build(&self, context: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        self.general().build(context)
    }
}

impl RecConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            centre: Centre::Mean,
            spread: Spread::Population,
            scale_rewards: self.scale_rewards,
            eps: self.eps,
            singleton: Singleton::Zero,
            zero_spread: ZeroSpread::Skip,
        }
    }
}

impl Part<dyn AdvantageEstimator> for RecConfig {
    const SOURCE: &'static str = SOURCE;

    fn formula(&self) -> String {
        let relative = self.settings().formula();
        match self.drop {
            Drop::None => relative,
            Drop::Balance => format!(
                "{relative}; before that, max(n(r < mean) - n(r >= mean), 0) of those below the mean are dropped at \
                 random (seed {}): 0",
                self.seed
            ),
        }
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(Rec {
            drop: self.drop,
            seed: self.seed,
            relative: GroupRelative::new(self.settings())?,
        }))
    }
}

/// Members of a group whose reward is below its mean, and how many of them are surplus.
///
/// # Formula
/// `below = {i: r_i < mean(r)}`, `surplus = max(|below| - |rest|, 0)`, over scorable members.
///
/// # Shapes
/// Rewards of one group; indices into it, ascending.
///
/// # Edge cases
/// The mean is inexact: a reward within 1e-12 of the largest, at least 1e-12, below it is not below.  Of equal
/// rewards none is.
///
/// # Source
/// arXiv 2509.24203, section 5; `rec_advantage.py` of Trinity-RFT.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::surplus_below_mean;
/// let rewards = [Some(0.0), Some(1.0), Some(0.25), None, Some(0.0)];
/// assert_eq!(surplus_below_mean(&rewards), (vec![0, 2, 4], 2));
/// ```
pub fn surplus_below_mean(rewards: &[Option<f64>]) -> (Vec<usize>, usize) {
    let scored: Vec<f64> = rewards.iter().flatten().copied().collect();
    if stats::is_constant(&scored) {
        return (Vec::new(), 0);
    }
    // The mean is inexact: what lies below it by rounding alone lies at it.
    let scale = scored.iter().fold(1.0_f64, |m, r| m.max(r.abs()));
    let bound = stats::mean(&scored) - 1e-12 * scale;
    let below: Vec<usize> = (0..rewards.len())
        .filter(|i| rewards[*i].is_some_and(|r| r < bound))
        .collect();
    let surplus = (2 * below.len()).saturating_sub(scored.len());
    (below, surplus)
}

#[derive(Debug)]
struct Rec {
    drop: Drop,
    seed: u64,
    relative: GroupRelative,
}

impl Rec {
    /// Takes the dropped answers of a group out of its rewards.
    fn balance(&self, rewards: &mut [Option<f64>], members: &[Trajectory]) {
        let (below, surplus) = surplus_below_mean(rewards);
        let key = Key::new(self.seed, Stream::Auxiliary);
        let mut draws: Vec<(f64, u64, usize)> = below
            .into_iter()
            .map(|i| {
                let member = &members[i];
                let place = key.named("red-drop", member.version).task(member.task as u64);
                (place.sample(member.sample).uniform(), member.sample, i)
            })
            .collect();
        draws.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, _, i) in draws.into_iter().take(surplus) {
            rewards[i] = None;
        }
    }
}

impl AdvantageEstimator for Rec {
    fn needs(&self) -> Needs {
        match self.drop {
            Drop::None => Needs::empty(),
            _ => Needs::TRAJECTORIES,
        }
    }

    fn scope(&self) -> Scope {
        match self.relative.config().scale_rewards {
            ScaleRewards::Batch => Scope::Batch,
            ScaleRewards::Group | ScaleRewards::None => Scope::Group,
        }
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        if self.drop == Drop::None {
            let a = self.relative.advantages(batch.groups, batch.rewards)?;
            return Ok(Advantages::Trajectory(a));
        }
        batch.check()?;
        let members = batch.trajectories.ok_or(DataError::Missing {
            what: "trajectories",
            part: "red-drop",
        })?;
        DataError::check_len("trajectories", members.len(), batch.rewards.len())?;
        let mut rewards = batch.rewards.to_vec();
        for group in batch.groups.iter() {
            self.balance(&mut rewards[group.clone()], &members[group]);
        }
        let a = self.relative.advantages(batch.groups, &rewards)?;
        Ok(Advantages::Trajectory(a))
    }
}

#[cfg(test)]
#[path = "rec_tests.rs"]
mod tests;
