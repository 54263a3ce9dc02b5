//! Values that change with training progress: constant, linear and cosine with a warm-up, and lines between points.

use serde::{Deserialize, Serialize};

use crate::State;
use crate::error::{DataError, ParamError};
use crate::seams::Schedule;

/// Shape of a [`Ramp`] after its warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Stays at the peak.
    #[default]
    Constant,
    /// Falls linearly.
    Linear,
    /// Falls along half a cosine.
    Cosine,
}

/// Warm-up from 0 to `peak`, then `shape` down to `floor * peak`.
///
/// # Formula
/// With progress `x` in [0, 1] and warm-up share `w`:
/// `x < w`: `peak * x / w`; else with `u = (x - w) / (1 - w)`: constant `peak`; linear
/// `peak * (floor + (1 - floor) (1 - u))`; cosine `peak * (floor + (1 - floor) (1 + cos(pi u)) / 2)`.
///
/// # Example
/// ```
/// use groupwise_core::schedule::{Ramp, Shape};
/// use groupwise_core::Schedule;
/// let rate = Ramp::new(1e-3, Shape::Cosine, 0.1, 0.0).unwrap();
/// assert_eq!(rate.value(0.05), 5e-4);
/// assert!((rate.value(0.55) - 5e-4).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    peak: f64,
    shape: Shape,
    warmup: f64,
    floor: f64,
}

impl Ramp {
    /// Validates the parameters.
    ///
    /// # Errors
    /// `peak` not finite or negative, `warmup` outside [0, 1), `floor` outside [0, 1].
    pub fn new(peak: f64, shape: Shape, warmup: f64, floor: f64) -> Result<Self, ParamError> {
        ParamError::check_coefficient("peak", peak)?;
        ParamError::check((0.0..1.0).contains(&warmup), "warmup_ratio", warmup, "in [0, 1)")?;
        ParamError::check((0.0..=1.0).contains(&floor), "floor", floor, "in [0, 1]")?;
        Ok(Self {
            peak,
            shape,
            warmup,
            floor,
        })
    }

    /// The same value for ever.
    ///
    /// # Errors
    /// As [`Ramp::new`].
    pub fn constant(value: f64) -> Result<Self, ParamError> {
        Self::new(value, Shape::Constant, 0.0, 1.0)
    }
}

impl Schedule for Ramp {
    fn value(&self, progress: f64) -> f64 {
        let x = progress.clamp(0.0, 1.0);
        if x < self.warmup {
            return self.peak * x / self.warmup;
        }
        let u = (x - self.warmup) / (1.0 - self.warmup);
        let share = match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => self.floor + (1.0 - self.floor) * (1.0 - u),
            Shape::Cosine => self.floor + (1.0 - self.floor) * (1.0 + (std::f64::consts::PI * u).cos()) / 2.0,
        };
        self.peak * share
    }

    fn save(&self) -> State {
        State::Null
    }

    fn load(&mut self, _: &State) -> Result<(), DataError> {
        Ok(())
    }
}

/// Straight lines between points, flat before the first and behind the last.
///
/// # Formula
/// Between neighbors `(x0, y0)` and `(x1, y1)`: `y0 + (y1 - y0) (x - x0) / (x1 - x0)`, x the progress.
///
/// # Edge cases
/// At a point the value is exactly its y.  Progress outside [0, 1] is clamped.
///
/// # Example
/// ```
/// use groupwise_core::schedule::PiecewiseLinear;
/// use groupwise_core::Schedule;
/// let v = PiecewiseLinear::new(&[(0.0, 0.5), (0.25, 0.0), (1.0, 1.0)])?;
/// assert_eq!((v.value(0.0), v.value(0.125), v.value(0.25), v.value(0.625)), (0.5, 0.25, 0.0, 0.5));
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PiecewiseLinear(Vec<(f64, f64)>);

impl PiecewiseLinear {
    /// Validates the points.
    ///
    /// # Errors
    /// No point; progress outside [0, 1] or not ascending; a value that is not finite.
    pub fn new(points: &[(f64, f64)]) -> Result<Self, ParamError> {
        let refuse = |value: String, range: &str| Err(ParamError::new("points", value, range));
        if points.is_empty() {
            return refuse("none".into(), "at least one point");
        }
        for (i, (x, y)) in points.iter().enumerate() {
            let ascends = i == 0 || *x > points[i - 1].0;
            if !((0.0..=1.0).contains(x) && ascends && y.is_finite()) {
                let range = "finite values at ascending progress in [0, 1]";
                return refuse(format!("({x}, {y})"), range);
            }
        }
        Ok(Self(points.to_vec()))
    }
}

impl Schedule for PiecewiseLinear {
    fn value(&self, progress: f64) -> f64 {
        let x = progress.clamp(0.0, 1.0);
        let next = self.0.partition_point(|point| point.0 < x);
        let Some((x1, y1)) = self.0.get(next) else {
            return self.0.last().map_or(f64::NAN, |last| last.1);
        };
        match next.checked_sub(1).map(|before| self.0[before]) {
            Some((x0, y0)) if x < *x1 => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
            _ => *y1,
        }
    }

    fn save(&self) -> State {
        State::Null
    }

    fn load(&mut self, _: &State) -> Result<(), DataError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_between_points() {
        let line = PiecewiseLinear::new(&[(0.25, 2.0), (0.5, -1.0), (0.75, 3.0)]).unwrap();
        for (x, y) in [
            (-1.0, 2.0),
            (0.0, 2.0),
            (0.25, 2.0),
            (0.375, 0.5),
            (0.5, -1.0),
            (0.625, 1.0),
            (0.75, 3.0),
            (2.0, 3.0),
        ] {
            assert_eq!(line.value(x), y, "{x}");
        }
        let mut copy = PiecewiseLinear::new(&[(0.0, 1.0)]).unwrap();
        copy.load(&line.save()).unwrap();
        assert_eq!((copy.value(0.0), copy.value(0.5)), (1.0, 1.0));
    }

    #[test]
    fn points_that_make_no_line_are_refused() {
        let refuse = |points: &[(f64, f64)]| PiecewiseLinear::new(points).unwrap_err().to_string();
        assert_eq!(refuse(&[]), "`points` = none: must be at least one point");
        let range = "must be finite values at ascending progress in [0, 1]";
        assert_eq!(
            refuse(&[(0.5, 1.0), (0.5, 2.0)]),
            format!("`points` = (0.5, 2): {range}")
        );
        assert_eq!(refuse(&[(1.5, 1.0)]), format!("`points` = (1.5, 1): {range}"));
        assert_eq!(refuse(&[(-0.5, 1.0)]), format!("`points` = (-0.5, 1): {range}"));
        assert_eq!(
            refuse(&[(f64::NAN, 1.0)]),
            format!("`points` = (NaN, 1): {range}")
        );
        assert_eq!(
            refuse(&[(0.0, f64::NAN)]),
            format!("`points` = (0, NaN): {range}")
        );
    }

    #[test]
    fn ends_where_it_should() {
        for (shape, end) in [(Shape::Constant, 2.0), (Shape::Linear, 0.2), (Shape::Cosine, 0.2)] {
            let ramp = Ramp::new(2.0, shape, 0.25, 0.1).unwrap();
            assert_eq!(ramp.value(0.0), 0.0);
            assert_eq!(ramp.value(0.25), 2.0);
            assert!((ramp.value(1.0) - end).abs() < 1e-12);
            assert_eq!(ramp.value(7.0), ramp.value(1.0));
        }
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        let error = Ramp::new(f64::NAN, Shape::Linear, 0.0, 0.0).unwrap_err();
        assert_eq!(error.to_string(), "`peak` = NaN: must be a finite number >= 0");
        assert_eq!(
            Ramp::new(1.0, Shape::Linear, 1.0, 0.0).unwrap_err().key,
            "warmup_ratio"
        );
        assert_eq!(Ramp::new(1.0, Shape::Linear, 0.0, -0.1).unwrap_err().key, "floor");
    }
}
