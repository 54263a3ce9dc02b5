//! Baselines of AsymRE and OPMD: the group mean moved by a constant, and the log of a mean exponential.

use std::ops::Range;

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope, stats,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::Singleton;
use crate::inputs;

/// AsymRE as an advantage: the group mean moved down, so that mediocre answers are reinforced a little.
///
/// # Formula
/// `A_i = r_i - (mean(r) + baseline_shift)` over the scorable rewards of a group.
///
/// # Shapes
/// One advantage per trajectory, in the unit of the reward.
///
/// # Edge cases
/// - Unscorable: 0, and left out of the mean.
/// - A lone scorable member: its reward, for the authors' baseline is 0 there (`singleton = "zero"`: 0).
/// - Equal rewards: `-baseline_shift`.
///
/// # Errors
/// Parameters: `baseline_shift` not finite.  Data: an empty group, a non-finite reward or result.
///
/// # Source
/// `asymre_advantage.py` of Trinity-RFT at 9051d637 (arXiv 2509.24203).  With REINFORCE the same as the objective
/// `asymre` with `regularizer_coef = -baseline_shift`, but for a lone member.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let spec: AdvantageSpec = serde_json::from_str(r#"{"asymre": {"baseline_shift": -0.25}}"#)?;
/// let groups = Offsets::from_lengths([2]);
/// let a = spec.build(&())?.estimate(&RewardBatch::new(groups.spans(), &[Some(1.0), Some(0.0)]))?;
/// assert_eq!(a, Advantages::Trajectory(vec![0.75, -0.25]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AsymreConfig {
    /// Added to the group mean; negative raises every advantage.
    pub baseline_shift: f64,
    /// What a lone scorable member gets.
    pub singleton: Singleton,
}

impl Default for AsymreConfig {
    fn default() -> Self {
        Self {
            baseline_shift: -0.1,
            singleton: Singleton::Raw,
        }
    }
}

impl Part<dyn AdvantageEstimator> for AsymreConfig {
    const SOURCE: &'static str =
        "AsymRE as in Trinity-RFT asymre_advantage.py at 9051d637 (arXiv 2509.24203)";

    fn formula(&self) -> String {
        let lone = lone(self.singleton, 1.0);
        format!(
            "A_i = r_i - (mean(r) + {}); lone member: {lone}",
            self.baseline_shift
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        let shift = self.baseline_shift;
        ParamError::check(shift.is_finite(), "baseline_shift", shift, "a finite number")?;
        Ok(Box::new(Shifted {
            baseline: Baseline::Mean { shift },
            factor: 1.0,
            singleton: self.singleton,
        }))
    }
}

/// Which baseline OPMD takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpmdBaseline {
    /// The mean of the group.
    #[default]
    Mean,
    /// `tau log mean exp(r / tau)`: the normalizer of the optimum under a KL of weight tau.
    #[serde(alias = "logavgexp")]
    LogMeanExp,
}

/// The other OPMD of the authors' framework, as an advantage for plain REINFORCE.
///
/// # Formula
/// `A_i = (r_i - b) / (1 + tau)`; `b = mean(r)` or `tau log mean exp(r / tau)` over the scorable rewards of a group.
/// The divisor is that of the authors' loss, which is linear in A.
///
/// # Shapes
/// One advantage per trajectory, in the unit of the reward, which is also that of tau.
///
/// # Edge cases
/// - Unscorable: 0, and in no statistic.
/// - A lone scorable member: `r / (1 + tau)`, for the authors' baseline is 0 there (`singleton = "zero"`: 0).
/// - Equal rewards: 0.
///
/// # Errors
/// Parameters: `tau <= 0`.  Data: an empty group, a non-finite reward or result.
///
/// # Source
/// `opmd_advantage.py` and `opmd_policy_loss.py` of Trinity-RFT at 9051d637.  Not the objective `opmd`, which adds a
/// squared log-ratio to the loss.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::log_mean_exp;
/// assert!((log_mean_exp(&[1.0, 0.0], 1.0) - 0.620114507).abs() < 1e-9);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpmdConfig {
    /// Which baseline.
    pub baseline: OpmdBaseline,
    /// Weight of the KL, > 0.
    pub tau: f64,
    /// What a lone scorable member gets.
    pub singleton: Singleton,
}

impl Default for OpmdConfig {
    fn default() -> Self {
        Self {
            baseline: OpmdBaseline::Mean,
            tau: 1.0,
            singleton: Singleton::Raw,
        }
    }
}

impl Part<dyn AdvantageEstimator> for OpmdConfig {
    const SOURCE: &'static str =
        "OPMD as in Trinity-RFT opmd_advantage.py and opmd_policy_loss.py at 9051d637";

    fn formula(&self) -> String {
        let tau = self.tau;
        let baseline = match self.baseline {
            OpmdBaseline::Mean => "mean(r)".into(),
            OpmdBaseline::LogMeanExp => format!("{tau} log mean exp(r / {tau})"),
        };
        let lone = lone(self.singleton, 1.0 / (1.0 + tau));
        format!("A_i = (r_i - {baseline}) / (1 + {tau}); lone member: {lone}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        let holds = self.tau > 0.0 && self.tau.is_finite();
        ParamError::check(holds, "tau", self.tau, "a finite number > 0")?;
        Ok(Box::new(Shifted {
            baseline: match self.baseline {
                OpmdBaseline::Mean => Baseline::Mean { shift: 0.0 },
                OpmdBaseline::LogMeanExp => Baseline::LogMeanExp { tau: self.tau },
            },
            factor: 1.0 / (1.0 + self.tau),
            singleton: self.singleton,
        }))
    }
}

fn lone(singleton: Singleton, factor: f64) -> String {
    match singleton {
        Singleton::Zero | Singleton::OwnBaseline => "0".into(),
        Singleton::Raw if factor == 1.0 => "r".into(),
        Singleton::Raw => format!("{factor} r"),
    }
}

/// `tau log mean exp(r / tau)`; NaN if there are no rewards.
///
/// # Formula
/// The largest reward is taken out first, so that nothing overflows.
///
/// # Shapes
/// Rewards of one group; `tau` > 0 in their unit.
///
/// # Edge cases
/// Small tau: the maximum.  Large tau: the mean.
///
/// # Source
/// `logavgexp` of Trinity-RFT's `opmd_advantage.py`.
///
/// # Example
/// See [`OpmdConfig`].
pub fn log_mean_exp(rewards: &[f64], tau: f64) -> f64 {
    let top = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = rewards.iter().map(|r| ((r - top) / tau).exp_m1()).sum();
    // In this form a large tau costs no digits.
    top + tau * (sum / rewards.len() as f64).ln_1p()
}

#[derive(Clone, Copy, Debug)]
enum Baseline {
    Mean { shift: f64 },
    LogMeanExp { tau: f64 },
}

#[derive(Debug)]
struct Shifted {
    baseline: Baseline,
    factor: f64,
    singleton: Singleton,
}

impl Shifted {
    /// Baseline of a group; a lone reward of its own accord has none.
    fn of(&self, scored: &[f64]) -> f64 {
        match (scored, self.singleton, self.baseline) {
            ([_], Singleton::Raw, _) => 0.0,
            ([own], _, _) => *own,
            (_, _, Baseline::Mean { shift }) => stats::mean(scored) + shift,
            (_, _, Baseline::LogMeanExp { tau }) => log_mean_exp(scored, tau),
        }
    }

    fn group(&self, rewards: &[Option<f64>], members: Range<usize>, scored: &mut Vec<f64>, out: &mut [f64]) {
        scored.clear();
        scored.extend(rewards[members.clone()].iter().flatten());
        let baseline = self.of(scored);
        for i in members {
            out[i] = rewards[i].map_or(0.0, |r| self.factor * (r - baseline));
        }
    }
}

impl AdvantageEstimator for Shifted {
    fn needs(&self) -> Needs {
        Needs::empty()
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (mut out, mut scored) = (vec![0.0; batch.rewards.len()], Vec::new());
        for members in batch.groups.iter() {
            self.group(batch.rewards, members, &mut scored, &mut out);
        }
        inputs::check_result(&out)?;
        Ok(Advantages::Trajectory(out))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    fn estimate(part: Box<dyn AdvantageEstimator>, lengths: &[usize], rewards: &[Option<f64>]) -> Vec<f64> {
        assert_eq!(part.needs(), Needs::empty());
        let groups = Offsets::from_lengths(lengths.iter().copied());
        match part.estimate(&RewardBatch::new(groups.spans(), rewards)).unwrap() {
            Advantages::Trajectory(a) => a,
            Advantages::Token(_) => panic!("one per trajectory"),
        }
    }

    fn asymre(config: &AsymreConfig, lengths: &[usize], rewards: &[Option<f64>]) -> Vec<f64> {
        estimate(config.build(&()).unwrap(), lengths, rewards)
    }

    fn opmd(config: &OpmdConfig, lengths: &[usize], rewards: &[Option<f64>]) -> Vec<f64> {
        estimate(config.build(&()).unwrap(), lengths, rewards)
    }

    fn rewards() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-2.0..2.0f64, 2..9)
    }

    proptest! {
        #[test]
        fn the_shift_is_taken_off_every_advantage(rewards in rewards(), shift in -1.0..1.0f64) {
            let given: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
            let a = asymre(&AsymreConfig { baseline_shift: shift, ..Default::default() }, &[rewards.len()], &given);
            for (a, r) in a.iter().zip(&rewards) {
                prop_assert!((a - (r - stats::mean(&rewards) - shift)).abs() < 1e-12);
            }
        }

        #[test]
        fn the_log_mean_exp_lies_between_mean_and_maximum_and_falls_with_tau(
            rewards in rewards(), tau in 0.05..5.0f64, more in 1.05..4.0f64,
        ) {
            let top = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let b = log_mean_exp(&rewards, tau);
            prop_assert!(b >= stats::mean(&rewards) - 1e-12 && b <= top + 1e-12);
            prop_assert!(log_mean_exp(&rewards, tau * more) <= b + 1e-12);
            prop_assert!((log_mean_exp(&rewards, 1e9) - stats::mean(&rewards)).abs() < 1e-6);
            let spread = 1e-6 * (rewards.len() as f64).ln() + 1e-12;
            prop_assert!((log_mean_exp(&rewards, 1e-6) - top).abs() <= spread);
            let direct = tau * (rewards.iter().map(|r| (r / tau).exp()).sum::<f64>() / rewards.len() as f64).ln();
            prop_assert!((b - direct).abs() < 1e-9 * (1.0 + direct.abs()));
        }

        #[test]
        fn opmd_is_the_centred_reward_over_one_plus_tau(rewards in rewards(), tau in 0.05..5.0f64) {
            let given: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
            for baseline in [OpmdBaseline::Mean, OpmdBaseline::LogMeanExp] {
                let config = OpmdConfig { baseline, tau, ..Default::default() };
                let b = match baseline {
                    OpmdBaseline::Mean => stats::mean(&rewards),
                    OpmdBaseline::LogMeanExp => log_mean_exp(&rewards, tau),
                };
                for (a, r) in opmd(&config, &[rewards.len()], &given).iter().zip(&rewards) {
                    prop_assert!((a - (r - b) / (1.0 + tau)).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn lone_unscorable_and_equal_members() {
        let rewards = [Some(0.5), None, None, None, Some(0.1), Some(0.1), Some(0.1)];
        let lengths = [2, 2, 3];
        let config = AsymreConfig::default();
        let a = asymre(&config, &lengths, &rewards);
        assert_eq!(a[..4], [0.5, 0.0, 0.0, 0.0]);
        for a in &a[4..] {
            assert!((a - 0.1).abs() < 1e-15);
        }
        for singleton in [Singleton::Zero, Singleton::OwnBaseline] {
            let zero = AsymreConfig {
                singleton,
                ..config.clone()
            };
            assert_eq!(asymre(&zero, &lengths, &rewards)[0], 0.0);
        }
        for baseline in [OpmdBaseline::Mean, OpmdBaseline::LogMeanExp] {
            let config = OpmdConfig {
                baseline,
                tau: 3.0,
                ..Default::default()
            };
            let a = opmd(&config, &lengths, &rewards);
            assert_eq!(a[..4], [0.125, 0.0, 0.0, 0.0]);
            assert!(a[4..].iter().all(|a| a.abs() < 1e-16), "{a:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        let shift = |baseline_shift| AsymreConfig {
            baseline_shift,
            ..Default::default()
        };
        assert_eq!(
            shift(f64::NAN).build(&()).unwrap_err().to_string(),
            "`baseline_shift` = NaN: must be a finite number"
        );
        for (tau, shown) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ] {
            let config = OpmdConfig {
                tau,
                ..Default::default()
            };
            assert_eq!(
                config.build(&()).unwrap_err().to_string(),
                format!("`tau` = {shown}: must be a finite number > 0")
            );
        }
        let groups = Offsets::from_lengths([2]);
        let far = [Some(f64::MAX), Some(f64::MIN)];
        let error = shift(f64::MIN)
            .build(&())
            .unwrap()
            .estimate(&RewardBatch::new(groups.spans(), &far))
            .unwrap_err();
        assert!(error.to_string().contains("`advantage` is"), "{error}");
        let empty = Offsets::from_lengths([0]);
        let part = OpmdConfig::default().build(&()).unwrap();
        assert_eq!(
            part.estimate(&RewardBatch::new(empty.spans(), &[]))
                .unwrap_err()
                .to_string(),
            "group 0: holds no trajectory"
        );
    }

    #[test]
    fn formulas_carry_the_numbers() {
        assert_eq!(
            AsymreConfig::default().formula(),
            "A_i = r_i - (mean(r) + -0.1); lone member: r"
        );
        let config: OpmdConfig =
            serde_json::from_str(r#"{"baseline": "logavgexp", "tau": 3.0, "singleton": "zero"}"#).unwrap();
        assert_eq!(
            config.formula(),
            "A_i = (r_i - 3 log mean exp(r / 3)) / (1 + 3); lone member: 0"
        );
        let raw = OpmdConfig {
            tau: 3.0,
            ..Default::default()
        };
        assert_eq!(
            raw.formula(),
            "A_i = (r_i - mean(r)) / (1 + 3); lone member: 0.25 r"
        );
    }
}
