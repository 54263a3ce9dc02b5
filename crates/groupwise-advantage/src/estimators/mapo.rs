//! Mixed advantage: deviation from the mean by the spread where a group is undecided, by the mean where it is not.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton, ZeroSpread};
use crate::inputs;

/// GRPO's advantage and MaxRL's, mixed by how decided the group is.
///
/// # Formula
/// `A_i = (1 - lambda) (r_i - mean) / (std + eps) + lambda (r_i - mean) / (mean + eps)`,
/// `lambda = clamp(1 - 4 p (1 - p), 0, 1)`, p the share of members with `r >= success_threshold`.
///
/// # Shapes
/// One advantage per trajectory, without unit.
///
/// # Edge cases
/// - p = 1/2: lambda = 0, GRPO.  p = 0 or 1: lambda = 1, the deviation in units of the mean.
/// - All rewards equal, or one scorable member: 0.
/// - Unscorable members: 0, in no statistic and not in p.
///
/// # Errors
/// Parameters: `eps` negative or not finite; `success_threshold` not finite; `std` neither sample nor population.
/// Data: a negative reward (the mean is no scale then); those of [`GroupRelative`].
///
/// # Source
/// The `mapo` branch of `grpo_trainer.py` in mbzuai-oryx/Video-CoM at b58b6ce2, whose eps is the machine epsilon of
/// the tensor's type; here 1e-8.  "Success" there is a reward of at least 0.5, whatever it is made of.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let groups = Offsets::from_lengths([4]);
/// let rewards = [2.0, 4.0 / 3.0, 2.0 / 3.0, 1.0].map(Some);
/// let mapo = AdvantageSpec::Mapo(Default::default()).build(&())?;
/// let Advantages::Trajectory(a) = mapo.estimate(&RewardBatch::new(groups.spans(), &rewards))? else {
///     unreachable!("per trajectory")
/// };
/// assert!((a[0] - 0.5999999952).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapoConfig {
    /// Reward from which a member counts as a success.
    pub success_threshold: f64,
    /// Deviation of the first term: sample or population.
    pub std: Spread,
    /// Added to deviation and mean, >= 0.
    pub eps: f64,
}

impl Default for MapoConfig {
    fn default() -> Self {
        Self {
            success_threshold: 0.5,
            std: Spread::Population,
            eps: 1e-8,
        }
    }
}

/// Weight of the term in units of the mean: 0 for an undecided group, 1 for a decided one.
///
/// # Formula
/// `clamp(1 - 4 p (1 - p), 0, 1)` for a share p of successes.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::mapo_lambda;
/// assert_eq!([0.0, 0.25, 0.5, 1.0].map(mapo_lambda), [1.0, 0.25, 0.0, 1.0]);
/// ```
pub fn mapo_lambda(p: f64) -> f64 {
    (1.0 - 4.0 * p * (1.0 - p)).clamp(0.0, 1.0)
}

impl MapoConfig {
    fn settings(&self, spread: Spread) -> GroupRelativeConfig {
        GroupRelativeConfig {
            centre: Centre::Mean,
            spread,
            scale_rewards: ScaleRewards::Group,
            eps: self.eps,
            singleton: Singleton::Zero,
            zero_spread: ZeroSpread::Skip,
        }
    }
}

impl Part<dyn AdvantageEstimator> for MapoConfig {
    const SOURCE: &'static str =
        "mbzuai-oryx/Video-CoM at b58b6ce2, grpo_trainer.py (mapo); Video-CoM, arXiv 2511.23477";

    fn formula(&self) -> String {
        let n = if self.std == Spread::Sample { "n - 1" } else { "n" };
        format!(
            "A_i = (r_i - mean(r)) ((1 - l) / (std(r; {n}) + {eps:e}) + l / (mean(r) + {eps:e})), l = 1 - 4 p (1 - p), p = share of r >= {}",
            self.success_threshold,
            eps = self.eps,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        ParamError::check(
            self.success_threshold.is_finite(),
            "success_threshold",
            self.success_threshold,
            "a finite number",
        )?;
        inputs::check_deviation("std", self.std)?;
        Ok(Box::new(Mapo {
            threshold: self.success_threshold,
            by_spread: GroupRelative::new(self.settings(self.std))?,
            by_mean: GroupRelative::new(self.settings(Spread::Mean))?,
        }))
    }
}

#[derive(Debug)]
struct Mapo {
    threshold: f64,
    by_spread: GroupRelative,
    by_mean: GroupRelative,
}

impl AdvantageEstimator for Mapo {
    fn needs(&self) -> Needs {
        Needs::empty()
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let mut out = self.by_spread.advantages(batch.groups, batch.rewards)?;
        let by_mean = self.by_mean.advantages(batch.groups, batch.rewards)?;
        for members in batch.groups.iter() {
            let scored = batch.rewards[members.clone()].iter().flatten();
            let n = scored.clone().count();
            let won = scored.filter(|r| **r >= self.threshold).count();
            // A group without a scorable member holds zeros only.
            let lambda = mapo_lambda(won as f64 / n.max(1) as f64);
            for i in members {
                out[i] = (1.0 - lambda) * out[i] + lambda * by_mean[i];
            }
        }
        Ok(Advantages::Trajectory(out))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    fn run(config: &MapoConfig, rewards: &[Option<f64>]) -> Result<Vec<f64>, DataError> {
        let groups = Offsets::from_lengths([rewards.len()]);
        let part = config.build(&()).unwrap();
        assert_eq!(part.needs(), Needs::empty());
        match part.estimate(&RewardBatch::new(groups.spans(), rewards))? {
            Advantages::Trajectory(a) => Ok(a),
            Advantages::Token(_) => Err(DataError::value("test", "per token")),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn it_is_the_formula_written_out(
            rewards in prop::collection::vec(0.0..2.0f64, 2..8), threshold in 0.0..2.0f64, eps in 0.0..0.1f64,
        ) {
            let config = MapoConfig { success_threshold: threshold, eps, ..Default::default() };
            let n = rewards.len() as f64;
            let p = rewards.iter().filter(|r| **r >= threshold).count() as f64 / n;
            let mean = rewards.iter().sum::<f64>() / n;
            let std = (rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n).sqrt();
            let lambda = 1.0 - 4.0 * p * (1.0 - p);
            let a = run(&config, &rewards.iter().copied().map(Some).collect::<Vec<_>>())?;
            for (a, r) in a.iter().zip(&rewards) {
                let expected = (1.0 - lambda) * (r - mean) / (std + eps) + lambda * (r - mean) / (mean + eps);
                prop_assert!((a - expected).abs() < 1e-7 * (1.0 + expected.abs()), "{a} {expected}");
            }
        }

        #[test]
        fn lambda_lies_in_0_to_1_and_treats_success_and_failure_alike(p in 0.0..=1.0f64) {
            prop_assert!((0.0..=1.0).contains(&mapo_lambda(p)));
            prop_assert!((mapo_lambda(p) - mapo_lambda(1.0 - p)).abs() < 1e-12);
        }
    }

    #[test]
    fn equal_lone_and_unscorable_members_get_nothing() {
        let config = MapoConfig::default();
        assert_eq!(run(&config, &[Some(0.1); 3]).unwrap(), [0.0; 3]);
        assert_eq!(run(&config, &[Some(0.7), None]).unwrap(), [0.0; 2]);
        assert_eq!(run(&config, &[None]).unwrap(), [0.0]);
        // p is taken over the two scorable members: 1/2, hence GRPO.
        let a = run(&MapoConfig { eps: 0.0, ..config }, &[Some(1.0), None, Some(0.0)]).unwrap();
        assert_eq!(a, [1.0, 0.0, -1.0]);
    }

    #[test]
    fn the_sample_deviation_can_be_chosen() {
        let config = MapoConfig {
            std: Spread::Sample,
            eps: 0.0,
            ..Default::default()
        };
        let a = run(&config, &[Some(1.0), Some(0.0)]).unwrap();
        assert!((a[0] - 0.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(
            MapoConfig::default().formula(),
            "A_i = (r_i - mean(r)) ((1 - l) / (std(r; n) + 1e-8) + l / (mean(r) + 1e-8)), l = 1 - 4 p (1 - p), p = share of r >= 0.5"
        );
        assert!(config.formula().contains("std(r; n - 1)"));
    }

    #[test]
    fn bad_parameters_and_negative_rewards_are_refused() {
        let refused = |config: MapoConfig| config.build(&()).unwrap_err().to_string();
        let base = MapoConfig::default;
        assert_eq!(
            refused(MapoConfig {
                success_threshold: f64::NAN,
                ..base()
            }),
            "`success_threshold` = NaN: must be a finite number"
        );
        assert_eq!(
            refused(MapoConfig {
                std: Spread::Mean,
                ..base()
            }),
            "`std` = mean: must be sample or population"
        );
        assert_eq!(
            refused(MapoConfig { eps: -1.0, ..base() }),
            "`eps` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            run(&base(), &[Some(-1.0), Some(1.0)]).unwrap_err().to_string(),
            "group 0: reward -1 is negative, and dividing by the mean needs rewards >= 0"
        );
    }
}
