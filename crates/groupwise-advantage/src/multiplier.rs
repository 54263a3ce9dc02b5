//! One factor per prompt on the advantages of its group.

use groupwise_core::{DataError, Spans};

/// Multiplies the advantages of each group by the group's factor, in place.
///
/// The place of every weight of a prompt: uncertainty (SEED-GRPO), difficulty, a category's share.  It must come
/// after the normalization of the group, never on its rewards: there it would cancel.
///
/// # Formula
/// `A_i <- w_g(i) A_i`.
///
/// # Shapes
/// `groups`: group -> trajectories; `factors`: one per group, without unit; `advantages`: one per trajectory.
///
/// # Edge cases
/// A factor of 1 leaves the group as it is, bit for bit; 0 takes it out of the policy gradient.
///
/// # Errors
/// Counts that disagree; a factor that is negative (it would reward what was worse) or not finite, named by group.
///
/// # Source
/// The group factor of SEED-GRPO (arXiv 2505.12346, equation 6) and of DR-IRL (GRPO-S).
///
/// # Example
/// ```
/// use groupwise_advantage::scale_groups;
/// use groupwise_core::Offsets;
/// let groups = Offsets::from_lengths([2, 1]);
/// let mut a = [1.0, -1.0, 3.0];
/// scale_groups(groups.spans(), &[0.5, 2.0], &mut a)?;
/// assert_eq!(a, [0.5, -0.5, 6.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn scale_groups(groups: Spans<'_>, factors: &[f64], advantages: &mut [f64]) -> Result<(), DataError> {
    DataError::check_len("factors", factors.len(), groups.len())?;
    groups.check_covers("advantages", advantages.len())?;
    for (g, factor) in factors.iter().enumerate() {
        if !factor.is_finite() || *factor < 0.0 {
            return Err(DataError::value(
                format!("group {g}"),
                format!("factor {factor}: must be a finite number >= 0"),
            ));
        }
    }
    for (members, factor) in groups.iter().zip(factors) {
        for a in &mut advantages[members] {
            *a *= factor;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn sign_order_and_sum_zero_are_kept(
            a in prop::collection::vec(-3.0..3.0f64, 1..6), factor in 0.01..5.0f64,
        ) {
            let mean = a.iter().sum::<f64>() / a.len() as f64;
            let a: Vec<f64> = a.iter().map(|x| x - mean).collect();
            let mut scaled = a.clone();
            scale_groups(Offsets::from_lengths([a.len()]).spans(), &[factor], &mut scaled)?;
            prop_assert!(scaled.iter().sum::<f64>().abs() < 1e-9);
            for (x, y) in a.iter().zip(&scaled) {
                prop_assert_eq!(*y, x * factor);
                prop_assert!(x.signum() == y.signum() || *x == 0.0);
            }
        }
    }

    #[test]
    fn bad_factors_and_lengths_are_named() {
        let groups = Offsets::from_lengths([1, 1]);
        let refused = |factors: &[f64], n: usize| {
            scale_groups(groups.spans(), factors, &mut vec![1.0; n])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused(&[1.0], 2), "`factors` has 1 entries, expected 2");
        assert_eq!(refused(&[1.0, 1.0], 3), "`advantages` has 3 entries, expected 2");
        for bad in [-0.5, f64::NAN, f64::INFINITY] {
            assert_eq!(
                refused(&[1.0, bad], 2),
                format!("group 1: factor {bad}: must be a finite number >= 0")
            );
        }
        let mut a = [0.1, -0.3];
        scale_groups(groups.spans(), &[1.0, 0.0], &mut a).unwrap();
        assert_eq!(a, [0.1, 0.0]);
    }
}
