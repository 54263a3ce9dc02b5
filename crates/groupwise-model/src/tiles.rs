//! Small matrix products on slices, for attention: tiles of rows held in vector registers.

use std::ops::Range;

/// A matrix that is read: element `(i, j)` is `data[i * rows + j * columns]`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl<'a> View<'a> {
    /// Rows of `width` contiguous numbers.
    #[inline(always)]
    pub(crate) fn new(data: &'a [f32], width: usize) -> Self {
        Self {
            data,
            rows: width,
            columns: 1,
        }
    }

    /// The transpose.
    #[inline(always)]
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
        }
    }
}

/// `c[i][j] += sum_k a[i][k] b[k][j]` for the rows `i` in `rows`, `j < n` and `k` in `depth`.
///
/// `b` and `c` have contiguous rows of `b_width` and `c_width` numbers.
#[inline(always)]
pub(crate) fn add_product(
    a: View<'_>,
    (b, b_width): (&[f32], usize),
    (c, c_width): (&mut [f32], usize),
    rows: Range<usize>,
    n: usize,
    depth: Range<usize>,
) {
    let mut j = 0;
    while j < n {
        let width = match n - j {
            32.. => 32,
            16.. => 16,
            8.. => 8,
            _ => 1,
        };
        let mut i = rows.start;
        while i < rows.end {
            let height = if rows.end - i >= 4 { 4 } else { 1 };
            let b = (&b[j..], b_width);
            let c = (&mut c[i * c_width + j..], c_width);
            match (height, width) {
                (4, 32) => tile::<4, 32>(a, b, c, i, depth.clone()),
                (4, 16) => tile::<4, 16>(a, b, c, i, depth.clone()),
                (4, 8) => tile::<4, 8>(a, b, c, i, depth.clone()),
                (4, _) => tile::<4, 1>(a, b, c, i, depth.clone()),
                (_, 32) => tile::<1, 32>(a, b, c, i, depth.clone()),
                (_, 16) => tile::<1, 16>(a, b, c, i, depth.clone()),
                (_, 8) => tile::<1, 8>(a, b, c, i, depth.clone()),
                _ => tile::<1, 1>(a, b, c, i, depth.clone()),
            }
            i += height;
        }
        j += width;
    }
}

#[inline(always)]
fn tile<const H: usize, const W: usize>(
    a: View<'_>,
    (b, b_width): (&[f32], usize),
    (c, c_width): (&mut [f32], usize),
    i: usize,
    depth: Range<usize>,
) {
    let mut sums = [[0.0_f32; W]; H];
    for k in depth {
        let row = &b[k * b_width..k * b_width + W];
        for (h, sums) in sums.iter_mut().enumerate() {
            let x = a.data[(i + h) * a.rows + k * a.columns];
            for (s, y) in sums.iter_mut().zip(row) {
                *s = x.mul_add(*y, *s);
            }
        }
    }
    for (h, sums) in sums.iter().enumerate() {
        for (c, s) in c[h * c_width..h * c_width + W].iter_mut().zip(sums) {
            *c += s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vectorized;

    #[test]
    fn products_equal_the_definition_for_every_shape_and_order() {
        for (m, n, k) in [
            (1, 1, 1),
            (4, 32, 5),
            (5, 63, 7),
            (9, 17, 33),
            (3, 8, 2),
            (8, 10, 16),
        ] {
            let wave = |i: usize, f: f32| (i as f32 * f).sin();
            let a: Vec<f32> = (0..m * k).map(|i| wave(i, 0.7)).collect();
            let b: Vec<f32> = (0..k * n).map(|i| wave(i, 1.1)).collect();
            let flipped: Vec<f32> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
            for view in [View::new(&a, k), View::new(&flipped, m).transposed()] {
                let mut c = vec![0.5; m * n];
                vectorized(
                    #[inline(always)]
                    || add_product(view, (&b, n), (&mut c, n), 0..m, n, 0..k),
                );
                for (i, row) in c.chunks(n).enumerate() {
                    for (j, x) in row.iter().enumerate() {
                        let exact: f32 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                        assert!((x - 0.5 - exact).abs() < 1e-5);
                    }
                }
            }
        }
    }
}
