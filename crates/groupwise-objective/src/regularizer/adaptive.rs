//! A coefficient that follows the measured KL.

use groupwise_core::ParamError;

/// Proportional controller of the KL coefficient.
///
/// # Formula
/// `beta' = beta (1 + clip(kl / target - 1, -0.2, 0.2) steps / horizon)`.
///
/// # Shapes
/// `kl`, `target`: nats; `steps`, `horizon`: in the same unit (updates or samples).
///
/// # Errors
/// `target` or `horizon` not a finite number > 0.
///
/// # Source
/// Ziegler et al. 2019 (arXiv 1909.08593), section 2.2; verl's `AdaptiveKLController`.
///
/// # Example
/// ```
/// use groupwise_objective::regularizer::AdaptiveCoefficient;
/// let controller = AdaptiveCoefficient::new(0.1, 10.0)?;
/// assert_eq!(controller.adapt(0.5, 1.0, 1.0), 0.51);
/// assert_eq!(controller.adapt(0.5, 0.0, 1.0), 0.49);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveCoefficient {
    target: f64,
    horizon: f64,
}

impl AdaptiveCoefficient {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(target: f64, horizon: f64) -> Result<Self, ParamError> {
        for (key, value) in [("target", target), ("horizon", horizon)] {
            ParamError::check(
                value > 0.0 && value.is_finite(),
                key,
                value,
                "a finite number > 0",
            )?;
        }
        Ok(Self { target, horizon })
    }

    /// The coefficient after `steps` with the measured `kl`; NaN if `kl` is.
    pub fn adapt(&self, beta: f64, kl: f64, steps: f64) -> f64 {
        beta * (1.0 + crate::block::clamp(kl / self.target - 1.0, -0.2, 0.2) * steps / self.horizon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_target_from_both_sides_and_stays_on_it() {
        let controller = AdaptiveCoefficient::new(0.5, 4.0).expect("valid");
        assert_eq!(controller.adapt(1.0, 0.5, 1.0), 1.0);
        assert!((controller.adapt(1.0, 0.55, 1.0) - 1.025).abs() < 1e-12);
        assert!((controller.adapt(1.0, 0.45, 2.0) - 0.95).abs() < 1e-12);
        assert!(controller.adapt(1.0, f64::NAN, 1.0).is_nan());
    }

    #[test]
    fn refused_parameters() {
        let refuse = |t, h| AdaptiveCoefficient::new(t, h).expect_err("refused").to_string();
        assert_eq!(refuse(0.0, 1.0), "`target` = 0: must be a finite number > 0");
        assert_eq!(
            refuse(1.0, f64::NAN),
            "`horizon` = NaN: must be a finite number > 0"
        );
    }
}
