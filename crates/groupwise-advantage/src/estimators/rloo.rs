//! RLOO: reward less the mean of the other members.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Scope,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, Singleton};
use crate::inputs;
use crate::returns::sequence_kl;

const NAME: &str = "rloo";

/// RLOO's advantage, with the KL of the whole answer taken off the reward if a coefficient is given.
///
/// # Formula
/// `A_i = R_i - mean(R without i)`, `R_i = r_i - kl_coef sum_t (logp_old_t - logp_ref_t)`.
///
/// # Shapes
/// One advantage per trajectory; log-probabilities per token, nats.
///
/// # Edge cases
/// - Those of [`GroupRelative`]; without KL it is `G / (G - 1)` times Dr. GRPO's.
/// - A lone scorable member: 0 (verl keeps its reward: `singleton = "raw"`).
///
/// # Errors
/// Parameters: `kl_coef` negative or not finite.  Data: with `kl_coef > 0`, missing tokens, mask or
/// log-probabilities; those of [`GroupRelative`].
///
/// # Source
/// "Back to basics", arXiv 2402.14740, equation 7; `rloo_trainer.py` of TRL, whose key for the coefficient is
/// `beta`, default 0.05.  The default here is 0, so that KL is taken once: by the objective or here.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let groups = Offsets::from_lengths([4]);
/// let rewards = [Some(1.0), Some(0.0), Some(0.0), Some(1.0)];
/// let rloo = AdvantageSpec::Rloo(Default::default()).build(&())?;
/// let a = rloo.estimate(&RewardBatch::new(groups.spans(), &rewards))?;
/// let Advantages::Trajectory(a) = a else { unreachable!("RLOO is per trajectory") };
/// assert!((a[0] - 2.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RlooConfig {
    /// Coefficient of the KL taken off the reward, >= 0; TRL's RLOO calls it `beta`.
    pub kl_coef: f64,
    /// What a lone scorable member gets.
    pub singleton: Singleton,
}

impl RlooConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig::centred(Centre::LeaveOneOut, self.singleton)
    }
}

impl Part<dyn AdvantageEstimator> for RlooConfig {
    const SOURCE: &'static str = "RLOO, arXiv 2402.14740, equation 7; TRL rloo_trainer.py";

    fn formula(&self) -> String {
        let centred = self.settings().formula();
        if self.kl_coef == 0.0 {
            return centred;
        }
        format!("{centred}; r less {} sum_t (logp_old - logp_ref)", self.kl_coef)
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        ParamError::check_coefficient("kl_coef", self.kl_coef)?;
        Ok(Box::new(Rloo {
            kl_coef: self.kl_coef,
            relative: GroupRelative::new(self.settings())?,
        }))
    }
}

#[derive(Debug)]
struct Rloo {
    kl_coef: f64,
    relative: GroupRelative,
}

impl AdvantageEstimator for Rloo {
    fn needs(&self) -> Needs {
        if self.kl_coef > 0.0 {
            Needs::TOKENS | Needs::LOGP_OLD | Needs::LOGP_REF
        } else {
            Needs::empty()
        }
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let Some(penalty) = inputs::penalty(batch, self.kl_coef, NAME)? else {
            let a = self.relative.advantages(batch.groups, batch.rewards)?;
            return Ok(Advantages::Trajectory(a));
        };
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let kl = sequence_kl(tokens, mask, penalty)?;
        let penalized: Vec<Option<f64>> = batch
            .rewards
            .iter()
            .zip(&kl)
            .map(|(r, kl)| r.map(|r| r - self.kl_coef * kl))
            .collect();
        let a = self.relative.advantages(batch.groups, &penalized)?;
        Ok(Advantages::Trajectory(a))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;

    use super::*;

    #[test]
    fn the_kl_of_counted_tokens_is_taken_off_the_reward() {
        let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([2, 1]));
        let rewards = [Some(1.0), Some(0.0)];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&[true, false, true]);
        batch.logp_old = Some(&[-1.0, -9.0, -1.0]);
        batch.logp_ref = Some(&[-2.0, -1.0, -1.5]);
        let config = RlooConfig {
            kl_coef: 0.5,
            ..Default::default()
        };
        let part = config.build(&()).unwrap();
        assert_eq!(part.needs(), Needs::TOKENS | Needs::LOGP_OLD | Needs::LOGP_REF);
        // R = 1 - 0.5 * 1 and 0 - 0.5 * 0.5.
        assert_eq!(
            part.estimate(&batch).unwrap(),
            Advantages::Trajectory(vec![0.75, -0.75])
        );
        batch.logp_ref = None;
        assert_eq!(
            part.estimate(&batch).unwrap_err().to_string(),
            "`logp_ref` is missing, and `rloo` needs it"
        );
        assert_eq!(
            config.formula(),
            "A_i = r_i - mean(r without i); lone member: 0; r less 0.5 sum_t (logp_old - logp_ref)"
        );
    }

    #[test]
    fn bad_parameters_are_refused() {
        let config = RlooConfig {
            kl_coef: f64::NAN,
            ..Default::default()
        };
        assert_eq!(
            config.build(&()).unwrap_err().to_string(),
            "`kl_coef` = NaN: must be a finite number >= 0"
        );
    }
}
