//! Whitening over the tokens of a batch.

use groupwise_core::DataError;
use groupwise_core::stats::{self, Moments};

/// Added to the variance under the root.
pub const WHITEN_EPS: f64 = 1e-8;

/// Brings the counted values of a batch to mean 0 and variance 1, in place; the others become 0.
///
/// # Formula
/// `(x - m) / sqrt(v + 1e-8)`, m the mean and v the sample variance (n - 1) of the counted values.
///
/// # Shapes
/// `values` and `counted`: one per token of the whole batch.
///
/// # Edge cases
/// - Token-weighted: a long trajectory weighs more than a short one.
/// - All counted values equal: exactly 0.
///
/// # Errors
/// Fewer than two counted values, lengths that differ, or a result that is not finite.
///
/// # Source
/// PPO's usual advantage normalization as in `masked_whiten` of verl (sample variance, 1e-8 under the root).
///
/// # Example
/// ```
/// use groupwise_advantage::whiten;
/// let mut x = [1.0, 7.0, 3.0];
/// whiten(&mut x, &[true, false, true])?;
/// assert!((x[0] + 0.5_f64.sqrt()).abs() < 1e-8 && x[1] == 0.0);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn whiten(values: &mut [f64], counted: &[bool]) -> Result<(), DataError> {
    DataError::check_len("counted", counted.len(), values.len())?;
    let n = counted.iter().filter(|c| **c).count();
    if n < 2 {
        return Err(DataError::value(
            "batch",
            format!("whitening needs two counted tokens, found {n}"),
        ));
    }
    // Walked in place: a copy of the counted values costs more than all sums over them.
    let kept = || values.iter().zip(counted).filter(|(_, c)| **c).map(|(x, _)| x);
    if stats::is_constant(kept()) {
        values.fill(0.0);
        return Ok(());
    }
    let moments = Moments::of(kept());
    let (mean, variance) = (moments.mean(), moments.sample_variance());
    if !(mean.is_finite() && variance.is_finite()) {
        return Err(DataError::NonFinite {
            place: "batch".into(),
            what: "variance of the counted tokens".into(),
            value: variance.to_string(),
        });
    }
    let scale = 1.0 / (variance + WHITEN_EPS).sqrt();
    for (x, c) in values.iter_mut().zip(counted) {
        *x = if *c { (*x - mean) * scale } else { 0.0 };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whitened_values_have_mean_zero_and_variance_one(
            x in prop::collection::vec(-5.0..5.0f64, 2..40), gaps in prop::collection::vec(any::<bool>(), 40),
        ) {
            let counted: Vec<bool> = gaps[..x.len()].to_vec();
            let kept = |x: &[f64]| -> Vec<f64> {
                x.iter().zip(&counted).filter(|(_, c)| **c).map(|(x, _)| *x).collect()
            };
            prop_assume!(kept(&x).len() > 1 && stats::sample_variance(&kept(&x)) > 0.01);
            let mut white = x.clone();
            whiten(&mut white, &counted).unwrap();
            prop_assert!(stats::mean(&kept(&white)).abs() < 1e-10);
            prop_assert!((stats::sample_variance(&kept(&white)) - 1.0).abs() < 1e-5);
            prop_assert!(white.iter().zip(&counted).all(|(x, c)| *c || *x == 0.0));
        }

        #[test]
        fn masked_values_change_nothing(x in prop::collection::vec(-5.0..5.0f64, 3..20), other in -1e3..1e3f64) {
            let mut counted = vec![true; x.len()];
            counted[1] = false;
            let (mut a, mut b) = (x.clone(), x.clone());
            b[1] = other;
            whiten(&mut a, &counted).unwrap();
            whiten(&mut b, &counted).unwrap();
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn equal_values_become_exactly_zero() {
        let mut x = [0.1; 7];
        whiten(&mut x, &[true; 7]).unwrap();
        assert_eq!(x, [0.0; 7]);
    }

    #[test]
    fn fewer_than_two_counted_tokens_are_an_error() {
        let error = whiten(&mut [1.0, 2.0], &[true, false]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "batch: whitening needs two counted tokens, found 1"
        );
        let error = whiten(&mut [f64::MAX, f64::MIN], &[true, true]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("batch: `variance of the counted tokens` is")
        );
        let error = whiten(&mut [1.0, 2.0], &[true]).unwrap_err();
        assert_eq!(error.to_string(), "`counted` has 1 entries, expected 2");
    }
}
