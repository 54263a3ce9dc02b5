//! Overlap of two intervals.

/// Intersection over union of two intervals, each given as start and end.
///
/// # Formula
/// `max(0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c))` for intervals that touch; 0 for others.
///
/// # Shapes
/// Ends in any unit, the same for both; the result lies in [0, 1].
///
/// # Edge cases
/// An interval whose end is not above its start (or whose ends are not numbers) is empty, and overlaps nothing: 0.
/// Intervals that share one point only: 0.
///
/// # Source
/// TempSamp-R1 (arXiv 2509.18056) and other work on grounding in time.
///
/// # Example
/// ```
/// use groupwise_reward::interval_overlap;
/// assert_eq!(interval_overlap([2.0, 6.0], [2.0, 6.0]), 1.0);
/// assert!((interval_overlap([0.0, 4.0], [2.0, 6.0]) - 1.0 / 3.0).abs() < 1e-15);
/// assert_eq!(interval_overlap([6.0, 2.0], [2.0, 6.0]), 0.0);
/// ```
pub fn interval_overlap(a: [f64; 2], b: [f64; 2]) -> f64 {
    // Written so that NaN makes an interval empty.
    let is_empty = |x: [f64; 2]| x[0].partial_cmp(&x[1]) != Some(std::cmp::Ordering::Less);
    if is_empty(a) || is_empty(b) {
        return 0.0;
    }
    let (start, end) = (a[0].max(b[0]), a[1].min(b[1]));
    if end <= start {
        return 0.0;
    }
    // Intervals that overlap cover their hull.
    (end - start) / (a[1].max(b[1]) - a[0].min(b[0]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval() -> impl Strategy<Value = [f64; 2]> {
        (-20i32..20, -20i32..20).prop_map(|(a, b)| [f64::from(a), f64::from(b)])
    }

    proptest! {
        #[test]
        fn it_is_a_symmetric_share_equal_to_counted_cells(a in interval(), b in interval()) {
            let found = interval_overlap(a, b);
            prop_assert_eq!(found, interval_overlap(b, a));
            // Unit cells of integer intervals.
            let holds = |x: [f64; 2], cell: i32| x[0] <= f64::from(cell) && f64::from(cell) < x[1];
            let both = (-20..20).filter(|c| holds(a, *c) && holds(b, *c)).count() as f64;
            let either = (-20..20).filter(|c| holds(a, *c) || holds(b, *c)).count() as f64;
            let expected = if both > 0.0 { both / either } else { 0.0 };
            prop_assert!((found - expected).abs() < 1e-12);
        }

        #[test]
        fn it_ignores_a_shift_and_a_scale(a in interval(), b in interval(), shift in -9.0..9.0f64, scale in 0.1..9.0f64) {
            let moved = |x: [f64; 2]| x.map(|v| scale * v + shift);
            prop_assert!((interval_overlap(a, b) - interval_overlap(moved(a), moved(b))).abs() < 1e-9);
        }
    }

    #[test]
    fn empty_touching_and_odd_intervals_overlap_nothing() {
        let gold = [2.0, 6.0];
        for other in [
            [6.0, 2.0],
            [3.0, 3.0],
            [6.0, 8.0],
            [f64::NAN, 6.0],
            [2.0, f64::NAN],
        ] {
            assert_eq!(interval_overlap(other, gold), 0.0, "{other:?}");
            assert_eq!(interval_overlap(gold, other), 0.0, "{other:?}");
        }
    }
}
