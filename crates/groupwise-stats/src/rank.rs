//! Rank correlation.

use crate::error::{StatsError, check_length, check_values};
use crate::summary::mean;

/// Spearman's rank correlation; `None` where it is undefined.
///
/// # Formula
/// Pearson's correlation of the ranks; tied values share the mean of their ranks.
/// # Shapes
/// Two paired samples of the same length, any units; the result lies in [-1, 1].
/// # Edge cases
/// `None` if either sample is constant: there is no order to agree with.
/// # Errors
/// Different lengths, fewer than two pairs, a value that is not finite.
/// # Source
/// Spearman 1904; `scipy.stats.spearmanr` gives the same numbers.
/// # Example
/// ```
/// let rho = groupwise_stats::spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap().unwrap();
/// assert!((rho - 0.820_782_681_668_123_3).abs() < 1e-14);
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Option<f64>, StatsError> {
    check_length("x", x.len(), y.len())?;
    check_values("x", x, 2)?;
    check_values("y", y, 2)?;
    let (rx, ry) = (rank(x), rank(y));
    let (mx, my) = (mean(&rx), mean(&ry));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in rx.iter().zip(&ry) {
        xy += (a - mx) * (b - my);
        xx += (a - mx) * (a - mx);
        yy += (b - my) * (b - my);
    }
    Ok((xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0)))
}

/// Ranks from 1, ties by their mean.
fn rank(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        let end = start + order[start..].iter().take_while(|i| values[**i] == value).count();
        for i in &order[start..end] {
            ranks[*i] = (start + 1 + end) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(rank(&[10.0, 20.0, 10.0, 30.0]), [1.5, 3.0, 1.5, 4.0]);
        // Negative zero equals zero.
        assert_eq!(rank(&[0.0, -0.0, 1.0]), [1.5, 1.5, 3.0]);
    }

    #[test]
    fn edge_cases() {
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]).unwrap(), None);
        assert_eq!(
            spearman(&[1.0], &[1.0, 2.0]).unwrap_err().to_string(),
            "`x` has 1 values, expected 2"
        );
        assert_eq!(
            spearman(&[1.0, 2.0], &[f64::NAN, 2.0]).unwrap_err().to_string(),
            "`y`, entry 0: NaN is not finite"
        );
    }

    proptest! {
        #[test]
        fn rho_is_unchanged_by_a_rising_map_and_reversed_by_a_falling_one(
            pairs in prop::collection::vec((-3.0..3.0f64, -3.0..3.0f64), 2..15),
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let rising: Vec<f64> = x.iter().map(|v| v.exp()).collect();
            let falling: Vec<f64> = x.iter().map(|v| -v * v * v).collect();
            let rho = spearman(&x, &y).unwrap();
            prop_assert_eq!(rho, spearman(&rising, &y).unwrap());
            if let (Some(a), Some(b)) = (rho, spearman(&falling, &y).unwrap()) {
                prop_assert!((a + b).abs() < 1e-12);
            }
            prop_assert_eq!(rho, spearman(&y, &x).unwrap());
        }
    }
}
