//! Boxes in a plane.

/// Corners x1, y1, x2, y2 of a box, in any unit.
pub type BoxCorners = [f64; 4];

/// Areas of the intersection and of the union of two boxes with `x1 <= x2` and `y1 <= y2`.
///
/// How a degenerate box counts differs between papers, so the quotient is left to the reader.
pub(crate) fn shared_and_united(a: BoxCorners, b: BoxCorners) -> (f64, f64) {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let area = |c: BoxCorners| (c[2] - c[0]) * (c[3] - c[1]);
    let shared = width * height;
    (shared, area(a) + area(b) - shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_a_pencil() {
        let (a, b) = ([0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 4.0, 2.0]);
        assert_eq!(shared_and_united(a, b), (1.0, 8.0));
        assert_eq!(shared_and_united(b, a), (1.0, 8.0));
        assert_eq!(shared_and_united(a, [2.0, 0.0, 3.0, 1.0]), (0.0, 7.0));
        assert_eq!(shared_and_united(a, [5.0, 5.0, 6.0, 7.0]), (0.0, 8.0));
    }
}
