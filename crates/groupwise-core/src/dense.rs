//! Vectors and matrices of a few entries, as slices and rows.

/// Scalar product, added up in order.
///
/// # Edge cases
/// The longer slice is cut to the shorter.
///
/// # Example
/// ```
/// assert_eq!(groupwise_core::dense::dot(&[1.0, 2.0], &[3.0, 4.0]), 11.0);
/// ```
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Adds `scale * what` to `to`, entry by entry.
///
/// # Edge cases
/// The longer slice is cut to the shorter.
///
/// # Example
/// ```
/// let mut to = [1.0, 2.0];
/// groupwise_core::dense::add_scaled(&mut to, &[10.0, 20.0], 0.5);
/// assert_eq!(to, [6.0, 12.0]);
/// ```
pub fn add_scaled(to: &mut [f64], what: &[f64], scale: f64) {
    for (t, w) in to.iter_mut().zip(what) {
        *t += scale * w;
    }
}

/// `x W`, the rows of a matrix weighed and added up in order.
///
/// # Edge cases
/// A matrix without rows gives nothing; entries or rows without partner are left out.
///
/// # Example
/// ```
/// let w = [vec![1.0, 2.0], vec![3.0, 4.0]];
/// assert_eq!(groupwise_core::dense::combine(&[1.0, -1.0], &w), [-2.0, -2.0]);
/// ```
pub fn combine(x: &[f64], rows: &[Vec<f64>]) -> Vec<f64> {
    let mut out = vec![0.0; rows.first().map_or(0, Vec::len)];
    for (weight, row) in x.iter().zip(rows) {
        add_scaled(&mut out, row, *weight);
    }
    out
}
