//! The knapsack by dynamic programming: exact oracle of the greedy rule, and the authors' variant.

use groupwise_core::DataError;

use super::knapsack::value;

/// What the programme counts for a prompt that gets no unit beyond the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoExtra {
    /// Its value at the least number of rollouts: the objective of the paper.
    Value,
    /// 0, as in the authors' code: the sum runs over prompts that got at least one unit more.
    Zero,
}

/// Largest number of table cells a call may take (four bytes each).
const MOST_CELLS: usize = 1 << 26;

/// Group sizes in `n_low..=n_up` of largest total value, by exhaustive recursion over (prompt, units spent).
///
/// # Formula
/// `best[i][j] = max over k in 0..=min(j, n_up - n_low) of best[i-1][j-k] + v_i(k)` with
/// `v_i(k) = V(n_low + k, p_i)`, and `v_i(0)` as [`NoExtra`] says; `j` units may stay unspent.  Of equal values
/// the smallest k of the last prompt wins.
///
/// # Shapes
/// `units`: rollouts beyond `n_low` for every prompt.  O(M units (n_up - n_low)) time, O(M units) memory.
///
/// # Errors
/// More than 2^26 table cells.
///
/// # Source
/// Authors' code of Knapsack RL, `liziniu/KnapsackRL` @ca5d5f5b `verl/trainer/ppo/exploration_utils.py`, as the
/// specification describes it (for [`NoExtra::Zero`]).
///
/// # Example
/// ```
/// use groupwise_sampler::allocators::programme::{solve, NoExtra};
/// assert_eq!(solve(&[0.7, 0.3], 2, 128, 2, NoExtra::Value)?, [2, 4]);
/// assert_eq!(solve(&[0.7, 0.3], 2, 128, 2, NoExtra::Zero)?, [3, 3]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn solve(
    rates: &[f64],
    n_low: u32,
    n_up: u32,
    units: u32,
    no_extra: NoExtra,
) -> Result<Vec<u32>, DataError> {
    let most = n_up.saturating_sub(n_low);
    // Units no cap can hold need no column.
    let units = u64::from(units).min(u64::from(most) * rates.len() as u64) as usize;
    let columns = units + 1;
    let cells = rates.len().saturating_mul(columns);
    if cells > MOST_CELLS {
        return Err(DataError::value(
            "batch",
            format!("the dynamic programme needs {cells} cells, more than {MOST_CELLS}"),
        ));
    }
    let mut choice = vec![0_u32; cells];
    let mut best = vec![0.0_f64; columns];
    let mut next = vec![0.0_f64; columns];
    let mut values = Vec::new();
    for (row, p) in choice.chunks_exact_mut(columns).zip(rates) {
        values.clear();
        values.extend((0..=most.min(units as u32)).map(|k| match (k, no_extra) {
            (0, NoExtra::Zero) => 0.0,
            _ => value(n_low + k, *p),
        }));
        for j in 0..columns {
            let mut top = (f64::NEG_INFINITY, 0);
            for (k, v) in values.iter().enumerate().take(j + 1) {
                let total = best[j - k] + v;
                if total > top.0 {
                    top = (total, k as u32);
                }
            }
            (next[j], row[j]) = top;
        }
        std::mem::swap(&mut best, &mut next);
    }
    let mut counts = vec![n_low; rates.len()];
    let mut left = units;
    for (i, row) in choice.chunks_exact(columns).enumerate().rev() {
        let k = row[left];
        counts[i] += k;
        left -= k as usize;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Best total over every allocation, one by one.
    fn enumerate(rates: &[f64], n_low: u32, n_up: u32, units: u32) -> f64 {
        let Some((p, rest)) = rates.split_first() else {
            return 0.0;
        };
        (0..=units.min(n_up - n_low))
            .map(|k| value(n_low + k, *p) + enumerate(rest, n_low, n_up, units - k))
            .fold(f64::NEG_INFINITY, f64::max)
    }

    proptest! {
        #[test]
        fn programme_finds_the_best_of_all_allocations(
            rates in prop::collection::vec(0.01..0.99f64, 1..5), n_low in 1u32..4, span in 0u32..6, units in 0u32..9,
        ) {
            let counts = solve(&rates, n_low, n_low + span, units, NoExtra::Value).unwrap();
            let total: f64 = counts.iter().zip(&rates).map(|(n, p)| value(*n, *p)).sum();
            prop_assert!((total - enumerate(&rates, n_low, n_low + span, units)).abs() < 1e-12);
            prop_assert!(counts.iter().all(|n| (n_low..=n_low + span).contains(n)));
            prop_assert!(counts.iter().map(|n| n - n_low).sum::<u32>() <= units);
        }
    }

    #[test]
    fn edge_cases() {
        assert_eq!(solve(&[], 2, 8, 5, NoExtra::Value), Ok(vec![]));
        assert_eq!(solve(&[0.5], 2, 2, 5, NoExtra::Value), Ok(vec![2]));
        assert_eq!(solve(&[0.5, 0.5], 2, 4, 100, NoExtra::Zero), Ok(vec![4, 4]));
        let error = solve(&vec![0.5; 40_000], 2, 128, 240_000, NoExtra::Value).unwrap_err();
        assert_eq!(
            error.to_string(),
            "batch: the dynamic programme needs 9600040000 cells, more than 67108864"
        );
    }
}
