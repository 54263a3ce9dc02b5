//! Ranks inside a group, with a rule for ties.

use serde::{Deserialize, Serialize};

/// What equal values get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// Different ranks, by position: the earlier one the lower.
    #[default]
    Stable,
    /// The mean of the ranks they take up.
    Average,
}

/// Ascending ranks from 0: the smallest value gets 0.
///
/// # Formula
/// `rank_i = #{j: x_j < x_i}` plus, among equals, the position ([`Ties::Stable`]) or half of their number less one
/// ([`Ties::Average`]).
///
/// # Shapes
/// One rank in `0..=n-1` per value; the ranks sum to `n (n - 1) / 2` under either rule.
///
/// # Edge cases
/// - No values: no ranks.
/// - `-0.0` and `0.0` tie.  A NaN is ordered by its sign, below or above everything; callers refuse it first.
///
/// # Source
/// Fractional and ordinal ranking, as `scipy.stats.rankdata` (`average`, `ordinal`), counted from 0.
///
/// # Example
/// ```
/// use groupwise_core::ranks::{ascending_ranks, Ties};
/// assert_eq!(ascending_ranks(&[-1.0, -1.0, -2.0], Ties::Stable), [1.0, 2.0, 0.0]);
/// assert_eq!(ascending_ranks(&[-1.0, -1.0, -2.0], Ties::Average), [1.5, 1.5, 0.0]);
/// ```
pub fn ascending_ranks(values: &[f64], ties: Ties) -> Vec<f64> {
    // Adding 0 turns -0.0 into 0.0, so that the total order agrees with `==` on everything finite.
    let value = |i: usize| values[i] + 0.0;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for run in order.chunk_by(|a, b| value(*a).total_cmp(&value(*b)).is_eq()) {
        for (k, i) in run.iter().enumerate() {
            ranks[*i] = match ties {
                Ties::Stable => (start + k) as f64,
                Ties::Average => start as f64 + (run.len() - 1) as f64 / 2.0,
            };
        }
        start += run.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn ranks_count_the_smaller_values(x in prop::collection::vec(-3i32..3, 0..12)) {
            let x: Vec<f64> = x.into_iter().map(f64::from).collect();
            let (stable, average) = (ascending_ranks(&x, Ties::Stable), ascending_ranks(&x, Ties::Average));
            for i in 0..x.len() {
                let below = x.iter().filter(|v| **v < x[i]).count();
                let before = x[..i].iter().filter(|v| **v == x[i]).count();
                let equal = x.iter().filter(|v| **v == x[i]).count();
                prop_assert_eq!(stable[i], (below + before) as f64);
                prop_assert_eq!(average[i], below as f64 + (equal as f64 - 1.0) / 2.0);
            }
        }

        #[test]
        fn a_monotone_transform_changes_no_rank(x in prop::collection::vec(-9.0..9.0f64, 0..12)) {
            let moved: Vec<f64> = x.iter().map(|v| (v / 3.0).exp()).collect();
            prop_assert_eq!(ascending_ranks(&x, Ties::Average), ascending_ranks(&moved, Ties::Average));
        }
    }

    #[test]
    fn signed_zeros_tie() {
        assert_eq!(ascending_ranks(&[0.0, -0.0], Ties::Stable), [0.0, 1.0]);
        assert_eq!(ascending_ranks(&[0.0, -0.0], Ties::Average), [0.5, 0.5]);
        assert_eq!(ascending_ranks(&[], Ties::Stable), [0.0; 0]);
    }
}
