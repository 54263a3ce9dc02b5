//! Learning curves: a metric against what it cost (rollouts or tokens), compared at equal budgets.

use crate::error::{StatsError, check_values};

/// A metric as a piecewise linear function of cost.
///
/// # Formula
/// Linear between neighboring points.
/// # Shapes
/// Points `(cost, value)`: cost in rollouts, tokens or seconds.
/// # Edge cases
/// Points may come with equal cost (an evaluation repeated without training): the last one counts.
/// # Errors
/// [`Curve::new`]: no point, a coordinate that is not finite, costs that fall.
/// # Source
/// Trapezoid rule; `numpy.trapezoid` and `numpy.interp` give the same numbers.
/// # Example
/// ```
/// use groupwise_stats::Curve;
/// let curve = Curve::new(&[(0.0, 0.1), (100.0, 0.5), (300.0, 0.7)]).unwrap();
/// assert_eq!(curve.value_at(200.0), Some(0.6));
/// assert_eq!(curve.value_at(301.0), None);
/// assert!((curve.area(0.0, 200.0).unwrap() - 85.0).abs() < 1e-12);
/// assert!((curve.mean_height(0.0, 200.0).unwrap() - 0.425).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Takes points in rising order of cost.
    ///
    /// # Errors
    /// No point, a coordinate that is not finite, costs that fall.
    pub fn new(points: &[(f64, f64)]) -> Result<Self, StatsError> {
        let (costs, values): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        check_values("costs", &costs, 1)?;
        check_values("curve values", &values, 1)?;
        let mut kept: Vec<(f64, f64)> = Vec::with_capacity(points.len());
        for (index, point) in points.iter().enumerate() {
            match kept.last_mut() {
                Some(last) if point.0 == last.0 => *last = *point,
                Some(last) if point.0 < last.0 => {
                    return Err(StatsError::Value {
                        what: "costs",
                        index,
                        value: point.0.to_string(),
                        domain: "at least the cost before it",
                    });
                }
                _ => kept.push(*point),
            }
        }
        Ok(Self { points: kept })
    }

    /// The points, costs strictly rising.
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// First and last cost.
    pub fn range(&self) -> (f64, f64) {
        (self.points[0].0, self.points[self.points.len() - 1].0)
    }

    /// The last value.
    pub fn last(&self) -> f64 {
        self.points[self.points.len() - 1].1
    }

    /// Value at a cost, by linear interpolation; `None` outside the range (no extrapolation) and for NaN.
    pub fn value_at(&self, cost: f64) -> Option<f64> {
        let (from, to) = self.range();
        if !(cost >= from && cost <= to) {
            return None;
        }
        let right = self.points.partition_point(|p| p.0 < cost);
        let (x1, y1) = self.points[right];
        if x1 == cost || right == 0 {
            return Some(y1);
        }
        let (x0, y0) = self.points[right - 1];
        Some(y0 + (y1 - y0) * ((cost - x0) / (x1 - x0)))
    }

    /// Area under the curve between two costs; `None` if they leave the range or `from > to`.
    pub fn area(&self, from: f64, to: f64) -> Option<f64> {
        if from > to {
            return None;
        }
        let mut last = (from, self.value_at(from)?);
        let end = (to, self.value_at(to)?);
        let mut area = 0.0;
        for point in self
            .points
            .iter()
            .filter(|p| p.0 > from && p.0 < to)
            .chain([&end])
        {
            area += (point.0 - last.0) * 0.5 * (point.1 + last.1);
            last = *point;
        }
        Some(area)
    }

    /// [`Curve::area`] divided by the width: the mean of the metric over the budget, in the metric's own unit.
    ///
    /// For `from = to` this is the value there.
    pub fn mean_height(&self, from: f64, to: f64) -> Option<f64> {
        if from == to {
            return self.value_at(from);
        }
        Some(self.area(from, to)? / (to - from))
    }
}

/// The range of costs that all curves cover; its end is the largest budget at which arms can be compared.
///
/// # Formula
/// `(max of first costs, min of last costs)`
/// # Shapes
/// Curves against the same kind of cost.
/// # Edge cases
/// `None` if there is no curve or the ranges do not overlap.
/// # Source
/// Equal-budget comparison: nothing is extrapolated.
/// # Example
/// ```
/// use groupwise_stats::{Curve, common_range};
/// let short = Curve::new(&[(0.0, 0.0), (80.0, 0.5)]).unwrap();
/// let long = Curve::new(&[(10.0, 0.0), (100.0, 0.5)]).unwrap();
/// assert_eq!(common_range([&short, &long]), Some((10.0, 80.0)));
/// ```
pub fn common_range<'a>(curves: impl IntoIterator<Item = &'a Curve>) -> Option<(f64, f64)> {
    curves
        .into_iter()
        .map(Curve::range)
        .reduce(|(a, b), (from, to)| (a.max(from), b.min(to)))
        .filter(|(from, to)| from <= to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_points_are_refused_by_name() {
        assert_eq!(
            Curve::new(&[]).unwrap_err().to_string(),
            "`costs` has 0 values, needs at least 1"
        );
        assert_eq!(
            Curve::new(&[(0.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
                .unwrap_err()
                .to_string(),
            "`costs`, entry 2: 1 is not at least the cost before it"
        );
        assert_eq!(
            Curve::new(&[(0.0, f64::NAN)]).unwrap_err().to_string(),
            "`curve values`, entry 0: NaN is not finite"
        );
    }

    #[test]
    fn a_repeated_cost_keeps_the_last_value() {
        let curve = Curve::new(&[(0.0, 0.2), (0.0, 0.4), (1.0, 1.0)]).unwrap();
        assert_eq!(curve.points(), [(0.0, 0.4), (1.0, 1.0)]);
    }

    #[test]
    fn one_point_is_a_curve_of_no_width() {
        let curve = Curve::new(&[(5.0, 0.3)]).unwrap();
        assert_eq!(
            (
                curve.value_at(5.0),
                curve.area(5.0, 5.0),
                curve.mean_height(5.0, 5.0)
            ),
            (Some(0.3), Some(0.0), Some(0.3))
        );
        assert_eq!(
            (
                curve.value_at(4.0),
                curve.value_at(f64::NAN),
                curve.area(5.0, 6.0)
            ),
            (None, None, None)
        );
        assert_eq!(common_range([]), None);
    }

    proptest! {
        #[test]
        fn area_is_additive_and_bounded(
            steps in prop::collection::vec((0.1..5.0f64, -1.0..1.0f64), 2..12), cut in 0.0..1.0f64,
        ) {
            let mut cost = 0.0;
            let points: Vec<(f64, f64)> = steps.iter().map(|(d, y)| { cost += d; (cost, *y) }).collect();
            let curve = Curve::new(&points).unwrap();
            let (from, to) = curve.range();
            let middle = from + cut * (to - from);
            let whole = curve.area(from, to).unwrap();
            let parts = curve.area(from, middle).unwrap() + curve.area(middle, to).unwrap();
            prop_assert!((whole - parts).abs() < 1e-9);
            let height = curve.mean_height(from, to).unwrap();
            let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
            let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(height >= low - 1e-9 && height <= high + 1e-9);
        }

        #[test]
        fn a_point_on_the_line_changes_nothing(y0 in -1.0..1.0f64, y1 in -1.0..1.0f64, at in 0.01..0.99f64) {
            let plain = Curve::new(&[(0.0, y0), (1.0, y1)]).unwrap();
            let split = Curve::new(&[(0.0, y0), (at, plain.value_at(at).unwrap()), (1.0, y1)]).unwrap();
            prop_assert!((plain.area(0.0, 1.0).unwrap() - split.area(0.0, 1.0).unwrap()).abs() < 1e-12);
        }
    }
}
