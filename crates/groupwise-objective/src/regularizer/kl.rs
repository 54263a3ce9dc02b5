//! k1, k2, k3: estimates of the KL divergence to the reference policy from one sample.

use groupwise_core::DataError;
use serde::{Deserialize, Serialize};

use crate::block::{BLOCK, clamp};
use crate::exp::exp;
use crate::ratio::{LOG_RATIO_CLAMP, has_slope};

/// Which estimate of `KL(current || reference)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlEstimator {
    /// `-u`: unbiased, any sign.
    K1,
    /// `u^2 / 2`: biased, its gradient is the right one.
    K2,
    /// `e^u - u - 1`: unbiased, never negative.
    #[default]
    K3,
}

/// An estimate and its derivative by the current log-probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlPoint {
    /// The estimate.
    pub value: f64,
    /// Its derivative by `logp`.
    pub slope: f64,
}

impl KlEstimator {
    /// The estimate as a function of the clamped `u = clamp(logp_ref - logp, -20, 20)`.
    #[inline(always)]
    pub(crate) fn at(self, u: f64, exp_u: f64) -> KlPoint {
        match self {
            Self::K1 => KlPoint {
                value: -u,
                slope: 1.0,
            },
            Self::K2 => KlPoint {
                value: 0.5 * u * u,
                slope: -u,
            },
            Self::K3 => KlPoint {
                value: exp_u - u - 1.0,
                slope: 1.0 - exp_u,
            },
        }
    }

    /// The estimate of one token.
    ///
    /// # Formula
    /// `u = clamp(logp_ref - logp, -20, 20)`; k1 `-u`, k2 `u^2 / 2`, k3 `e^u - u - 1`.  Derivative by `logp`:
    /// 1, `-u`, `1 - e^u`; 0 where u is clamped.
    ///
    /// # Edge cases
    /// The value of k3 is not clamped (verl also cuts it at 10).
    ///
    /// # Source
    /// Schulman, "Approximating KL divergence" (2020); the clamp on u as verl's `kl_penalty`.
    ///
    /// # Example
    /// ```
    /// use groupwise_objective::regularizer::KlEstimator;
    /// let k3 = KlEstimator::K3.evaluate(-1.073, -1.7998);
    /// assert!((k3.value - 0.210253568).abs() < 1e-8);
    /// assert!((k3.slope - 0.516546431).abs() < 1e-8);
    /// ```
    pub fn evaluate(self, logp: f64, logp_ref: f64) -> KlPoint {
        let u = reference_log_ratio(logp, logp_ref);
        let point = self.at(u, exp(u));
        KlPoint {
            slope: if has_slope(u) { point.slope } else { 0.0 },
            ..point
        }
    }

    /// The estimate as a formula.
    pub fn formula(self) -> &'static str {
        match self {
            Self::K1 => "-u",
            Self::K2 => "u^2 / 2",
            Self::K3 => "exp(u) - u - 1",
        }
    }
}

#[inline(always)]
fn reference_log_ratio(logp: f64, logp_ref: f64) -> f64 {
    clamp(logp_ref - logp, -LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)
}

/// Estimates for a run of tokens.
///
/// # Formula
/// As [`KlEstimator::evaluate`].
///
/// # Shapes
/// One point per token.
///
/// # Errors
/// [`DataError::Length`] if the lengths differ.
pub fn kl_estimates(
    estimator: KlEstimator,
    logp: &[f64],
    logp_ref: &[f64],
) -> Result<Vec<KlPoint>, DataError> {
    DataError::check_len("logp_ref", logp_ref.len(), logp.len())?;
    Ok(logp
        .iter()
        .zip(logp_ref)
        .map(|(l, r)| estimator.evaluate(*l, *r))
        .collect())
}

/// Writes u of a block, 0 where masked; returns how many tokens hit the clamp.
#[inline(always)]
pub(crate) fn block_log_ratios_to_reference(
    logp: &[f64],
    logp_ref: &[f64],
    mask: &[bool],
    u: &mut [f64; BLOCK],
) -> u64 {
    crate::ratio::block_log_ratios(logp_ref, logp, mask, &mut u[..mask.len().min(BLOCK)])
}

/// Writes estimate and slope of a block, 0 where masked, and returns the sum of k3 (for the log).
#[inline(always)]
pub(crate) fn block_kl(
    estimator: KlEstimator,
    mask: &[bool],
    u: &[f64; BLOCK],
    out: (&mut [f64; BLOCK], &mut [f64; BLOCK]),
) -> f64 {
    // Chosen outside the loop, so that each loop is free of branches.
    match estimator {
        KlEstimator::K1 => fill(|u, e| KlEstimator::K1.at(u, e), mask, u, out),
        KlEstimator::K2 => fill(|u, e| KlEstimator::K2.at(u, e), mask, u, out),
        KlEstimator::K3 => fill(|u, e| KlEstimator::K3.at(u, e), mask, u, out),
    }
}

#[inline(always)]
fn fill(
    at: impl Fn(f64, f64) -> KlPoint,
    mask: &[bool],
    u: &[f64; BLOCK],
    (value, slope): (&mut [f64; BLOCK], &mut [f64; BLOCK]),
) -> f64 {
    let n = mask.len().min(BLOCK);
    let mut k3 = [0.0; BLOCK];
    for (t, &counted) in mask[..n].iter().enumerate() {
        let exp_u = exp(u[t]);
        k3[t] = exp_u - u[t] - 1.0;
        let point = at(u[t], exp_u);
        value[t] = point.value;
        slope[t] = if counted & has_slope(u[t]) {
            point.slope
        } else {
            0.0
        };
    }
    crate::block::sum(&k3[..n])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [KlEstimator; 3] = [KlEstimator::K1, KlEstimator::K2, KlEstimator::K3];

    #[test]
    fn u_is_clamped_and_the_value_is_not() {
        let far = KlEstimator::K3.evaluate(-50.0, -1.0);
        assert!((far.value - (20.0_f64.exp() - 21.0)).abs() < 1e-6);
        assert_eq!(far.slope, 0.0);
        assert_eq!(
            KlEstimator::K1.evaluate(-1.0, -50.0),
            KlPoint {
                value: 20.0,
                slope: 0.0
            }
        );
        assert!(KlEstimator::K3.evaluate(f64::NAN, 0.0).value.is_nan());
    }

    #[test]
    fn lengths_must_agree() {
        let error = kl_estimates(KlEstimator::K1, &[0.0], &[0.0, 1.0]).expect_err("refused");
        assert_eq!(error.to_string(), "`logp_ref` has 2 entries, expected 1");
    }

    fn softmax(z: &[f64]) -> Vec<f64> {
        let total: f64 = z.iter().map(|x| x.exp()).sum();
        z.iter().map(|x| x.exp() / total).collect()
    }

    /// Sum over outcomes of `weight(a) * (grad of f(logp_a) by the logits)`.
    fn expected_gradient(p: &[f64], per_outcome: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..p.len())
            .map(|j| {
                (0..p.len())
                    .map(|a| per_outcome(a) * (f64::from(u8::from(a == j)) - p[j]))
                    .sum()
            })
            .collect()
    }

    fn kl(p: &[f64], q: &[f64]) -> f64 {
        p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
    }

    fn logits() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.5..1.5f64, 4)
    }

    proptest! {
        #[test]
        fn k3_is_never_negative(logp in -9.0..0.0f64, logp_ref in -9.0..0.0f64) {
            prop_assert!(KlEstimator::K3.evaluate(logp, logp_ref).value >= -1e-15);
        }

        #[test]
        fn slopes_are_central_differences(logp in -9.0..0.0f64, logp_ref in -9.0..0.0f64) {
            for k in ALL {
                let at = |l| k.evaluate(l, logp_ref).value;
                let numeric = (at(logp + 1e-5) - at(logp - 1e-5)) / 2e-5;
                prop_assert!((k.evaluate(logp, logp_ref).slope - numeric).abs() < 1e-6 * (1.0 + numeric.abs()));
            }
        }

        #[test]
        fn k1_and_k3_have_the_expectation_kl(z in logits(), y in logits()) {
            let (p, q) = (softmax(&z), softmax(&y));
            for k in [KlEstimator::K1, KlEstimator::K3] {
                let mean: f64 = (0..4).map(|a| p[a] * k.evaluate(p[a].ln(), q[a].ln()).value).sum();
                prop_assert!((mean - kl(&p, &q)).abs() < 1e-12);
            }
        }

        /// The claims of the module: what each loss moves the policy towards, on policy.
        #[test]
        fn only_k2_has_the_gradient_of_kl_as_a_loss(z in logits(), y in logits()) {
            let (p, q) = (softmax(&z), softmax(&y));
            let gradient = |k: KlEstimator| {
                expected_gradient(&p, |a| p[a] * k.evaluate(p[a].ln(), q[a].ln()).slope)
            };
            let reverse = expected_gradient(&p, |a| p[a] * (p[a] / q[a]).ln());
            let forward: Vec<f64> = (0..4).map(|j| p[j] - q[j]).collect();
            for j in 0..4 {
                prop_assert!(gradient(KlEstimator::K1)[j].abs() < 1e-12);
                prop_assert!((gradient(KlEstimator::K2)[j] - reverse[j]).abs() < 1e-12);
                prop_assert!((gradient(KlEstimator::K3)[j] - forward[j]).abs() < 1e-12);
            }
        }

        #[test]
        fn with_the_ratio_correction_k1_and_k3_have_the_gradient_of_kl_off_policy(
            z in logits(), old in logits(), y in logits(),
        ) {
            let (p, b, q) = (softmax(&z), softmax(&old), softmax(&y));
            let reverse = expected_gradient(&p, |a| p[a] * (p[a] / q[a]).ln());
            for k in [KlEstimator::K1, KlEstimator::K3] {
                let corrected = expected_gradient(&p, |a| {
                    let (rho, point) = (p[a] / b[a], k.evaluate(p[a].ln(), q[a].ln()));
                    b[a] * rho * (point.value + point.slope)
                });
                for j in 0..4 {
                    prop_assert!((corrected[j] - reverse[j]).abs() < 1e-12);
                }
            }
        }
    }
}
