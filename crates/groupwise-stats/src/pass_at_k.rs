//! pass@k without bias.

use groupwise_core::ParamError;

use crate::error::StatsError;

/// Probability that at least one of `k` attempts succeeds, estimated from `n` attempts of which `c` succeeded.
///
/// # Formula
/// `1 - C(n - c, k) / C(n, k) = 1 - product over i = n - c + 1 .. n of (1 - k / i)`
/// # Shapes
/// Counts of attempts on one task; average the result over tasks.
/// # Edge cases
/// 1 if fewer than `k` attempts failed; `c / n` for `k` = 1.  The plug-in `1 - (1 - c / n)^k` is biased low.
/// # Errors
/// `k` = 0 or `k > n`, `c > n`.
/// # Source
/// Chen et al., "Evaluating large language models trained on code", arXiv 2107.03374, equation 1 and its numerically
/// stable form in figure 3.
/// # Example
/// ```
/// let p = groupwise_stats::pass_at_k(10, 3, 5).unwrap();
/// assert!((p - 11.0 / 12.0).abs() < 1e-15);
/// ```
pub fn pass_at_k(n: u64, c: u64, k: u64) -> Result<f64, StatsError> {
    ParamError::check(k >= 1 && k <= n, "k", k, &format!("between 1 and n = {n}"))?;
    ParamError::check(c <= n, "c", c, &format!("at most n = {n}"))?;
    if n - c < k {
        return Ok(1.0);
    }
    let all_fail: f64 = (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product();
    Ok(1.0 - all_fail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_counts_are_refused_by_name() {
        let refused = |n, c, k| pass_at_k(n, c, k).unwrap_err().to_string();
        assert_eq!(refused(4, 1, 5), "`k` = 5: must be between 1 and n = 4");
        assert_eq!(refused(4, 1, 0), "`k` = 0: must be between 1 and n = 4");
        assert_eq!(refused(4, 5, 1), "`c` = 5: must be at most n = 4");
        assert_eq!(pass_at_k(4, 0, 4).unwrap(), 0.0);
        assert_eq!(pass_at_k(4, 1, 4).unwrap(), 1.0);
    }

    #[test]
    fn large_counts_do_not_overflow() {
        let p = pass_at_k(1_000_000, 10, 100_000).unwrap();
        // Close to sampling with replacement: 1 - 0.9^10.
        assert!((p - 0.651_321_559_9).abs() < 1e-5, "{p}");
    }

    proptest! {
        #[test]
        fn it_equals_the_share_of_subsets_with_a_success(n in 1u64..10, c in 0u64..10, k in 1u64..10) {
            prop_assume!(c <= n && k <= n);
            let (mut hits, mut all) = (0u32, 0u32);
            for subset in 0u32..1 << n {
                if u64::from(subset.count_ones()) == k {
                    all += 1;
                    hits += u32::from(subset & ((1 << c) - 1) != 0);
                }
            }
            prop_assert!((pass_at_k(n, c, k).unwrap() - f64::from(hits) / f64::from(all)).abs() < 1e-12);
        }

        #[test]
        fn it_is_unbiased(p in 0.05..0.95f64, n in 2u64..9, k in 1u64..4) {
            prop_assume!(k <= n);
            // Expectation over Binomial(n, p) successes equals 1 - (1 - p)^k.
            let mut expectation = 0.0;
            for outcome in 0u32..1 << n {
                let c = u64::from(outcome.count_ones());
                let weight = p.powi(c as i32) * (1.0 - p).powi((n - c) as i32);
                expectation += weight * pass_at_k(n, c, k).unwrap();
            }
            prop_assert!((expectation - (1.0 - (1.0 - p).powi(k as i32))).abs() < 1e-12);
        }
    }
}
