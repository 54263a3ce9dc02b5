//! Splitting a whole number of rollouts.

use groupwise_core::DataError;

/// Splits `total` into whole parts proportional to `weights`, by largest remainder.
///
/// # Formula
/// Quotas `total * w_i / sum(w)`; each part gets its floor, then the largest fractional parts get one more; of
/// equal fractions the lower index is served first.
///
/// # Edge cases
/// All weights 0: as equal as can be, the remainder to the lower indices.  The parts always sum to `total`.
///
/// # Errors
/// No weight, or a weight that is negative or not finite.
///
/// # Example
/// ```
/// use groupwise_sampler::apportion::largest_remainder;
/// assert_eq!(largest_remainder(&[0.0, 0.433013, 0.5, 0.433013, 0.0], 40)?, [0, 13, 14, 13, 0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn largest_remainder(weights: &[f64], total: u32) -> Result<Vec<u32>, DataError> {
    if weights.is_empty() {
        return Err(DataError::value("batch", "holds no prompt"));
    }
    for (i, weight) in weights.iter().enumerate() {
        if !(*weight >= 0.0 && weight.is_finite()) {
            return Err(DataError::value(
                format!("prompt {i}"),
                format!("weight {weight} is not a finite number >= 0"),
            ));
        }
    }
    // Divided by the largest first: neither the sum nor a quota can overflow.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return Ok(equal_parts(weights.len(), total));
    }
    let sum: f64 = weights.iter().map(|w| w / largest).sum();
    let quotas: Vec<f64> = weights
        .iter()
        .map(|w| f64::from(total) * (w / largest) / sum)
        .collect();
    let mut parts: Vec<u32> = quotas.iter().map(|q| q.floor() as u32).collect();
    let fraction = |i: usize| quotas[i] - quotas[i].floor();
    let mut order: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0.0).collect();
    order.sort_by(|a, b| fraction(*b).total_cmp(&fraction(*a)));
    let given: u64 = parts.iter().map(|p| u64::from(*p)).sum();
    let mut missing = i64::from(total) - given as i64;
    // Rounding of the quotas can hand out one too many; it comes back from where the fraction is smallest.
    for i in order
        .iter()
        .rev()
        .filter(|_| missing < 0)
        .copied()
        .collect::<Vec<_>>()
    {
        if missing < 0 && parts[i] > 0 {
            parts[i] -= 1;
            missing += 1;
        }
    }
    for i in order.iter().cycle() {
        if missing <= 0 {
            break;
        }
        parts[*i] += 1;
        missing -= 1;
    }
    Ok(parts)
}

/// `total` split into `n` parts as equal as can be; the remainder goes to the lower indices, one each.
///
/// `n` = 0 gives no part.
///
/// # Example
/// ```
/// use groupwise_sampler::apportion::equal_parts;
/// assert_eq!(equal_parts(3, 8), [3, 3, 2]);
/// ```
pub fn equal_parts(n: usize, total: u32) -> Vec<u32> {
    let Ok(n_parts) = u32::try_from(n.max(1)) else {
        // More parts than rollouts can be counted: one each while they last.
        return (0..n).map(|i| u32::from(i < total as usize)).collect();
    };
    let (share, rest) = (total / n_parts, total % n_parts);
    (0..n).map(|i| share + u32::from(i < rest as usize)).collect()
}

/// Gives `amount` more to those `members` whose count is below `cap`, as equally as can be; returns what found
/// no place.
///
/// # Formula
/// Rounds: each member with room gets `floor(amount / members with room)`, the first ones one more, but never
/// beyond `cap`; repeated with what the caps refused.
pub(crate) fn spread(counts: &mut [u32], members: &[usize], cap: u32, mut amount: u32) -> u32 {
    while amount > 0 {
        let open: Vec<usize> = members.iter().copied().filter(|i| counts[*i] < cap).collect();
        if open.is_empty() {
            break;
        }
        for (i, share) in open.iter().zip(equal_parts(open.len(), amount)) {
            let given = share.min(cap - counts[*i]);
            counts[*i] += given;
            amount -= given;
        }
    }
    amount
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edge_cases() {
        assert_eq!(largest_remainder(&[0.0, 0.0, 0.0], 8), Ok(vec![3, 3, 2]));
        assert_eq!(largest_remainder(&[1.0, 1.0, 1.0], 8), Ok(vec![3, 3, 2]));
        assert_eq!(largest_remainder(&[0.0, 1e-300], 8), Ok(vec![0, 8]));
        assert_eq!(
            largest_remainder(&[f64::MAX, f64::MAX], u32::MAX),
            Ok(vec![1 << 31, (1 << 31) - 1])
        );
        assert_eq!(largest_remainder(&[2.0, 1.0], 0), Ok(vec![0, 0]));
        assert!(equal_parts(0, 5).is_empty());
        let message = |w: &[f64]| largest_remainder(w, 3).unwrap_err().to_string();
        assert_eq!(message(&[]), "batch: holds no prompt");
        assert_eq!(
            message(&[1.0, -1.0]),
            "prompt 1: weight -1 is not a finite number >= 0"
        );
        assert_eq!(
            message(&[f64::NAN]),
            "prompt 0: weight NaN is not a finite number >= 0"
        );
    }

    #[test]
    fn spread_repeats_until_spent_or_full() {
        let mut counts = [2, 9, 2, 7];
        assert_eq!(spread(&mut counts, &[1, 2, 3], 10, 8), 0);
        // First round 3, 3, 2, of which the caps take 1, 3, 2; the 2 refused go 1, 1 to the two with room.
        assert_eq!(counts, [2, 10, 6, 10]);
        assert_eq!(spread(&mut counts, &[1, 2, 3], 10, 9), 5);
        assert_eq!(counts, [2, 10, 10, 10]);
        assert_eq!(spread(&mut counts, &[], 10, 4), 4);
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_total_and_stay_within_one_of_the_quota(
            weights in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1.0f64, 1e-12..1e12f64], 1..30),
            total in 0u32..5_000,
        ) {
            let parts = largest_remainder(&weights, total).unwrap();
            prop_assert_eq!(parts.iter().sum::<u32>(), total);
            let sum: f64 = weights.iter().sum();
            for (part, weight) in parts.iter().zip(&weights) {
                let quota = if sum > 0.0 { f64::from(total) * weight / sum } else { f64::from(total) / weights.len() as f64 };
                prop_assert!((f64::from(*part) - quota).abs() < 1.0 + 1e-6);
            }
        }

        #[test]
        fn scaling_all_weights_by_a_power_of_two_changes_nothing(
            weights in prop::collection::vec(0.0..1.0f64, 1..20), total in 0u32..500, exponent in -20i32..20,
        ) {
            let scaled: Vec<f64> = weights.iter().map(|w| w * 2f64.powi(exponent)).collect();
            prop_assert_eq!(largest_remainder(&weights, total), largest_remainder(&scaled, total));
        }
    }
}
