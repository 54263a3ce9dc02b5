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

/// Splits `total` into whole parts proportional to whole `counts`, by largest remainder, without rounding.
///
/// # Formula
/// As [`largest_remainder`], with quotas `total * m_i / sum(m)` as fractions of integers: equal remainders are equal
/// here, so that a tie goes to the lower index and not to what rounding favours.
///
/// # Edge cases
/// A count of 0 gets nothing.  The parts sum to `total`.
///
/// # Errors
/// No count above 0.
///
/// # Example
/// ```
/// use groupwise_sampler::apportion::by_counts;
/// assert_eq!(by_counts(&[5, 3, 3], 10)?, [4, 3, 3]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn by_counts(counts: &[usize], total: u64) -> Result<Vec<u64>, DataError> {
    let sum: u128 = counts.iter().map(|m| *m as u128).sum();
    if sum == 0 {
        return Err(DataError::value("counts", "hold none above 0"));
    }
    let product = |i: usize| u128::from(total) * counts[i] as u128;
    let mut parts: Vec<u64> = (0..counts.len()).map(|i| (product(i) / sum) as u64).collect();
    let missing = total - parts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(product(*i) % sum));
    for i in order.into_iter().take(missing as usize) {
        parts[i] += 1;
    }
    Ok(parts)
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
    fn equal_remainders_go_to_the_lower_index_and_zero_counts_get_nothing() {
        // Quotas 2.5 and 7.5; 0, 3.5 and 3.5; three thirds of 7.
        assert_eq!(by_counts(&[1, 3], 10), Ok(vec![3, 7]));
        assert_eq!(by_counts(&[3, 1], 10), Ok(vec![8, 2]));
        assert_eq!(by_counts(&[0, 2, 2], 7), Ok(vec![0, 4, 3]));
        assert_eq!(by_counts(&[1, 1, 1], 8), Ok(vec![3, 3, 2]));
        assert_eq!(by_counts(&[2, 1], 0), Ok(vec![0, 0]));
        assert_eq!(
            by_counts(&[usize::MAX, usize::MAX], u64::MAX),
            Ok(vec![1 << 63, (1 << 63) - 1])
        );
        for counts in [&[][..], &[0, 0]] {
            assert_eq!(
                by_counts(counts, 3).unwrap_err().to_string(),
                "counts: hold none above 0"
            );
        }
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
        fn whole_parts_of_counts_sum_to_the_total_and_keep_the_quota(
            counts in prop::collection::vec(0usize..50, 1..12), total in 0u64..500,
        ) {
            prop_assume!(counts.iter().any(|m| *m > 0));
            let (parts, sum) = (by_counts(&counts, total)?, counts.iter().sum::<usize>() as u64);
            prop_assert_eq!(parts.iter().sum::<u64>(), total);
            let remainder = |i: usize| total * counts[i] as u64 % sum;
            let got_more = |i: usize| parts[i] - total * counts[i] as u64 / sum;
            for i in 0..counts.len() {
                prop_assert!(got_more(i) == 0 || (got_more(i) == 1 && remainder(i) > 0));
                for j in 0..i {
                    // Who has the larger remainder, or the same and stands first, is served first.
                    let (first, second) = if remainder(i) > remainder(j) { (i, j) } else { (j, i) };
                    prop_assert!(got_more(first) >= got_more(second));
                }
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
