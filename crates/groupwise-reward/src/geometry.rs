//! Boxes in a plane: overlap, and generalized overlap.

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

/// Intersection over union of two boxes.
///
/// # Shapes
/// Corners x1, y1, x2, y2 in any unit, the same for both; the result lies in [0, 1].
///
/// # Edge cases
/// - A box with `x2 <= x1` or `y2 <= y1`, or with a corner that is not a number, overlaps nothing: 0.
/// - Boxes that share an edge only: 0.  Areas too large or too small for `f64`: 0.
///
/// # Source
/// The usual definition; VLAA-Thinker and other work on grounding use it so.
///
/// # Example
/// ```
/// use groupwise_reward::geometry::box_overlap;
/// assert_eq!(box_overlap([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
/// assert_eq!(box_overlap([2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 2.0]), 0.0);
/// ```
pub fn box_overlap(a: BoxCorners, b: BoxCorners) -> f64 {
    let (inter, union) = shared_and_united(a, b);
    if !(is_box(a) && is_box(b) && inter > 0.0) {
        return 0.0;
    }
    if union.is_finite() && union > 0.0 {
        // Rounding of the union must not lift a share above 1.
        (inter / union).min(1.0)
    } else {
        0.0
    }
}

/// True of a box with area; NaN makes a box degenerate.
fn is_box(c: BoxCorners) -> bool {
    c[0] < c[2] && c[1] < c[3]
}

/// Generalized intersection over union of two boxes: below 0 for boxes far apart.
///
/// # Formula
/// `IoU - (hull - union) / hull`, hull the area of the smallest box around both.
///
/// # Shapes
/// Corners x1, y1, x2, y2 in any unit, the same for both; the result lies in (-1, 1].
///
/// # Edge cases
/// A box without area, reversed corners included, or areas that are no finite numbers: `None`.
///
/// # Source
/// Rezatofighi et al. 2019 (arXiv 1902.09630), algorithm 1.
///
/// # Example
/// ```
/// use groupwise_reward::geometry::box_giou;
/// assert_eq!(box_giou([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]), Some(1.0));
/// assert_eq!(box_giou([0.0, 0.0, 1.0, 1.0], [3.0, 0.0, 4.0, 1.0]), Some(-0.5));
/// ```
pub fn box_giou(a: BoxCorners, b: BoxCorners) -> Option<f64> {
    if !(is_box(a) && is_box(b)) {
        return None;
    }
    let (shared, union) = shared_and_united(a, b);
    let hull = (a[2].max(b[2]) - a[0].min(b[0])) * (a[3].max(b[3]) - a[1].min(b[1]));
    let giou = shared / union - (hull - union) / hull;
    giou.is_finite().then_some(giou)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn areas_are_those_of_a_pencil() {
        let (a, b) = ([0.0, 0.0, 2.0, 3.0], [1.0, 1.0, 4.0, 2.0]);
        assert_eq!(shared_and_united(a, b), (1.0, 8.0));
        assert_eq!(shared_and_united(b, a), (1.0, 8.0));
        assert_eq!(shared_and_united(a, [2.0, 0.0, 3.0, 1.0]), (0.0, 7.0));
        assert_eq!(shared_and_united(a, [5.0, 5.0, 6.0, 7.0]), (0.0, 8.0));
    }

    #[test]
    fn empty_boxes_overlap_nothing_and_have_no_generalized_overlap() {
        let unit = [0.0, 0.0, 1.0, 1.0];
        for empty in [
            [1.0, 1.0, 0.0, 0.0],
            [0.0, 1.0, 1.0, 0.0],
            [0.5, 0.0, 0.5, 1.0],
            [f64::NAN, 0.0, 1.0, 1.0],
            [0.0; 4],
        ] {
            assert_eq!((box_overlap(empty, unit), box_giou(empty, unit)), (0.0, None));
            assert_eq!((box_overlap(unit, empty), box_giou(unit, empty)), (0.0, None));
            assert_eq!(box_overlap(empty, empty), 0.0);
        }
        let huge = [0.0, 0.0, f64::MAX, f64::MAX];
        assert_eq!((box_overlap(huge, huge), box_giou(huge, huge)), (0.0, None));
    }

    fn corners() -> impl Strategy<Value = BoxCorners> {
        (-9i32..9, -9i32..9, 1i32..9, 1i32..9).prop_map(|(x, y, w, h)| [x, y, x + w, y + h].map(f64::from))
    }

    proptest! {
        #[test]
        fn overlaps_are_symmetric_and_the_generalized_one_is_no_larger(a in corners(), b in corners()) {
            let (iou, giou) = (box_overlap(a, b), box_giou(a, b).expect("both have area"));
            prop_assert_eq!(iou, box_overlap(b, a));
            prop_assert_eq!(Some(giou), box_giou(b, a));
            prop_assert!((0.0..=1.0).contains(&iou) && giou > -1.0 && giou <= iou);
            // Unit cells of whole corners.
            let holds = |c: BoxCorners, x: i32, y: i32| {
                c[0] <= f64::from(x) && f64::from(x) < c[2] && c[1] <= f64::from(y) && f64::from(y) < c[3]
            };
            let cells = (-9..18).flat_map(|x| (-9..18).map(move |y| (x, y)));
            let (mut both, mut either) = (0.0, 0.0);
            for (x, y) in cells {
                let (in_a, in_b) = (holds(a, x, y), holds(b, x, y));
                both += f64::from(u8::from(in_a && in_b));
                either += f64::from(u8::from(in_a || in_b));
            }
            prop_assert!((iou - both / either).abs() < 1e-12);
        }
    }
}
