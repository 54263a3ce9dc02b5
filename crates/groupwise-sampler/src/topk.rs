//! Selection of the best few.

use std::cmp::Ordering;

/// Indices of the `k` largest scores, best first; of equal scores the lower index comes first.
///
/// # Formula
/// The first `min(k, n)` indices of the order by (score falling, index rising).
///
/// # Edge cases
/// `k` >= n takes all; +0 and -0 are equal; NaN ranks below every number.  O(n + k log k).
///
/// # Example
/// ```
/// use groupwise_sampler::topk::top_k;
/// assert_eq!(top_k(&[0.098397, 0.147968, 0.009], 2), [1, 0]);
/// assert_eq!(top_k(&[0.25, 0.5, 0.5, 0.25], 3), [1, 2, 0]);
/// ```
pub fn top_k(scores: &[f64], k: usize) -> Vec<usize> {
    select(scores.len(), k, |a, b| {
        descending(scores[a], scores[b]).then(a.cmp(&b))
    })
}

/// As [`top_k`], but equal scores are ordered by the larger `tie` first, then by the lower index.
///
/// With independent uniform `ties`, every order of equal scores is equally likely.
///
/// # Shapes
/// `ties` has as many entries as `scores`; a missing one counts as 0.
///
/// # Example
/// ```
/// use groupwise_sampler::topk::top_k_with_ties;
/// assert_eq!(top_k_with_ties(&[1.0, 1.0, 2.0], &[0.3, 0.8, 0.1], 2), [2, 1]);
/// ```
pub fn top_k_with_ties(scores: &[f64], ties: &[f64], k: usize) -> Vec<usize> {
    let tie = |i: usize| ties.get(i).copied().unwrap_or(0.0);
    select(scores.len(), k, |a, b| {
        descending(scores[a], scores[b])
            .then_with(|| descending(tie(a), tie(b)))
            .then(a.cmp(&b))
    })
}

fn select(n: usize, k: usize, compare: impl Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    if k == 0 {
        return Vec::new();
    }
    if k < n {
        order.select_nth_unstable_by(k - 1, |a, b| compare(*a, *b));
        order.truncate(k);
    }
    order.sort_unstable_by(|a, b| compare(*a, *b));
    order
}

fn descending(a: f64, b: f64) -> Ordering {
    // Adding 0 turns -0 into +0, so that the total order sees them as equal.
    let rank = |x: f64| if x.is_nan() { f64::NEG_INFINITY } else { x + 0.0 };
    b.is_nan()
        .cmp(&a.is_nan())
        .reverse()
        .then_with(|| rank(b).total_cmp(&rank(a)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edge_cases() {
        assert!(top_k(&[], 3).is_empty());
        assert!(top_k(&[1.0], 0).is_empty());
        assert_eq!(top_k(&[0.0, -0.0, 0.0], 3), [0, 1, 2]);
        assert_eq!(top_k(&[f64::NAN, f64::NEG_INFINITY, 1.0], 3), [2, 1, 0]);
        assert_eq!(top_k_with_ties(&[0.0, -0.0], &[0.1, 0.2], 1), [1]);
        assert_eq!(top_k_with_ties(&[1.0, 1.0], &[0.5, 0.5], 2), [0, 1]);
    }

    proptest! {
        #[test]
        fn selection_is_a_prefix_of_the_stable_sort(
            scores in prop::collection::vec(prop::sample::select(vec![0.0, 0.1, 0.2, 0.3]), 0..40), k in 0usize..45,
        ) {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap());
            order.truncate(k);
            prop_assert_eq!(top_k(&scores, k), order);
        }
    }
}
