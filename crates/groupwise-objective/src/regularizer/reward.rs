//! KL taken off the reward: the advantage side of the penalty.

use groupwise_core::{DataError, ParamError, Spans};

use super::KlEstimator;

/// A penalty `beta * kl(logp_old, logp_ref)`, to be taken off rewards before advantages are computed.
///
/// # Formula
/// Per token `beta k(u)`, `u = clamp(logp_ref - logp_old, -20, 20)`, 0 where masked; per trajectory its sum.  k1 is
/// `beta (logp_old - logp_ref)`.
///
/// # Source
/// RLOO (TRL `rloo_trainer.py`: k1 summed over the trajectory, 0.05); REINFORCE++ (arXiv 2501.03262: k1 per token).
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_objective::regularizer::{KlEstimator, KlPenalty};
/// let penalty = KlPenalty::new(KlEstimator::K1, 0.5)?;
/// let tokens = Offsets::from_lengths([2, 1]);
/// let (old, reference) = ([-1.0, -0.5, -0.25], [-2.0, -1.0, -0.5]);
/// assert_eq!(penalty.per_token(&old, &reference, &[true; 3])?, [0.5, 0.25, 0.125]);
/// assert_eq!(penalty.per_trajectory(tokens.spans(), &old, &reference, &[true; 3])?, [0.75, 0.125]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlPenalty {
    estimator: KlEstimator,
    beta: f64,
}

impl KlPenalty {
    /// Validates.
    ///
    /// # Errors
    /// `beta` negative or not finite.
    pub fn new(estimator: KlEstimator, beta: f64) -> Result<Self, ParamError> {
        ParamError::check_coefficient("beta", beta)?;
        Ok(Self { estimator, beta })
    }

    /// Penalty of every token; subtract it from the token's reward.
    ///
    /// # Errors
    /// Lengths that differ; a penalty of a counted token that is not finite.
    pub fn per_token(
        &self,
        logp_old: &[f64],
        logp_ref: &[f64],
        mask: &[bool],
    ) -> Result<Vec<f64>, DataError> {
        DataError::check_len("logp_ref", logp_ref.len(), logp_old.len())?;
        DataError::check_len("mask", mask.len(), logp_old.len())?;
        let penalties: Vec<f64> = (0..mask.len())
            .map(|t| {
                if mask[t] {
                    self.beta * self.estimator.evaluate(logp_old[t], logp_ref[t]).value
                } else {
                    0.0
                }
            })
            .collect();
        DataError::check_finite("kl penalty", &penalties)?;
        Ok(penalties)
    }

    /// Penalty of every trajectory; subtract it from the trajectory's reward.
    ///
    /// # Errors
    /// As [`KlPenalty::per_token`].
    pub fn per_trajectory(
        &self,
        tokens: Spans<'_>,
        logp_old: &[f64],
        logp_ref: &[f64],
        mask: &[bool],
    ) -> Result<Vec<f64>, DataError> {
        tokens.check_covers("logp_old", logp_old.len())?;
        let penalties = self.per_token(logp_old, logp_ref, mask)?;
        Ok(tokens.iter().map(|span| penalties[span].iter().sum()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_tokens_are_free_and_bad_numbers_are_named() {
        let penalty = KlPenalty::new(KlEstimator::K3, 1.0).expect("valid");
        let free = penalty.per_token(&[f64::NAN, -1.0], &[0.0, -1.0], &[false, true]);
        assert_eq!(free, Ok(vec![0.0, 0.0]));
        let bad = penalty
            .per_token(&[f64::NAN], &[0.0], &[true])
            .expect_err("refused");
        assert_eq!(bad.to_string(), "index 0: `kl penalty` is NaN");
        assert!(penalty.per_token(&[0.0], &[0.0, 0.0], &[true]).is_err());
    }

    #[test]
    fn refused_parameters() {
        let refuse = |beta| {
            KlPenalty::new(KlEstimator::K1, beta)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(refuse(-1.0), "`beta` = -1: must be a finite number >= 0");
        assert_eq!(refuse(f64::NAN), "`beta` = NaN: must be a finite number >= 0");
    }
}
