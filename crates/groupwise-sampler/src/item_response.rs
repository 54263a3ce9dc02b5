//! Item response: accuracy as a three-parameter logistic curve of how much of a solution is shown, its fit to a few
//! measured points and its inverse.
//!
//! Learning is fastest where about half of a prompt's rollouts succeed; the inverse of the curve at that target says
//! how long a hint must be for it.

use groupwise_core::{DataError, ParamError, stats};

/// Accuracy of one prompt as a function of the hint rate: a logistic curve over a guessing floor.
///
/// # Formula
/// `f(p) = b + (1 - b) / (1 + exp(-k (p + mu)))`; its inverse at a target `a`:
/// `p = -mu - ln((1 - b) / (a - b) - 1) / k`, held in [0, 1].
///
/// # Shapes
/// Rates `p` are shares of a solution, accuracies shares of rollouts; `k` per unit of rate, `mu` in units of rate.
///
/// # Edge cases
/// A target at or below `b` has the inverse 0: no hint is short enough to do worse.  A target of 1 or more has the
/// inverse 1.
///
/// # Errors
/// Building refuses `k <= 0`, `b` outside [0, 1), and numbers that are not finite.
///
/// # Source
/// SEELE (arXiv 2509.06923), section 4.2; the three-parameter logistic model of item response theory.
///
/// # Example
/// ```
/// use groupwise_sampler::item_response::ResponseCurve;
/// let curve = ResponseCurve::new(4.46, -0.5, 0.0)?;
/// assert!((curve.accuracy(0.25) - 0.246940).abs() < 1e-6);
/// assert!((curve.hint_rate(0.25) - 0.253674).abs() < 1e-6);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResponseCurve {
    k: f64,
    mu: f64,
    b: f64,
}

impl ResponseCurve {
    /// Validates slope, shifted capability and guessing floor.
    ///
    /// # Errors
    /// See [`ResponseCurve`].
    pub fn new(k: f64, mu: f64, b: f64) -> Result<Self, ParamError> {
        ParamError::check(k > 0.0 && k.is_finite(), "k", k, "a finite number > 0")?;
        ParamError::check(mu.is_finite(), "mu", mu, "a finite number")?;
        ParamError::check((0.0..1.0).contains(&b), "b", b, "in [0, 1)")?;
        Ok(Self { k, mu, b })
    }

    /// Slope.
    pub fn k(&self) -> f64 {
        self.k
    }

    /// Shifted capability: minus the rate at which the curve is halfway between floor and 1.
    pub fn mu(&self) -> f64 {
        self.mu
    }

    /// Guessing floor.
    pub fn b(&self) -> f64 {
        self.b
    }

    /// Accuracy at a hint rate.
    pub fn accuracy(&self, rate: f64) -> f64 {
        self.b + (1.0 - self.b) * logistic(self.k * (rate + self.mu))
    }

    /// Hint rate in [0, 1] at which the accuracy is `target`, or comes nearest to it.
    pub fn hint_rate(&self, target: f64) -> f64 {
        if target <= self.b {
            return 0.0;
        }
        if target >= 1.0 {
            return 1.0;
        }
        // `-ln((1 - b) / (a - b) - 1)` without the cancellation near the floor.
        let logit = ((target - self.b) / (1.0 - target)).ln();
        (logit / self.k - self.mu).clamp(0.0, 1.0)
    }

    /// Sum of squared residuals over points of equal weight.
    pub fn sse(&self, points: &[Measured]) -> f64 {
        let residual = |at: &Measured| self.accuracy(at.rate) - at.accuracy;
        points.iter().map(|at| residual(at).powi(2)).sum()
    }
}

/// `1 / (1 + exp(-x))` without overflow.
fn logistic(x: f64) -> f64 {
    let tail = (-x.abs()).exp();
    if x >= 0.0 {
        1.0 / (1.0 + tail)
    } else {
        tail / (1.0 + tail)
    }
}

/// What a round at some hint rate gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Share of the solution that was shown, in [0, 1].
    pub rate: f64,
    /// Mean reward, in [0, 1].
    pub accuracy: f64,
}

/// Points a curve is fitted to: one per rate, and the two margins where nothing was measured there.
///
/// # Formula
/// Results at the same rate are averaged; (0, 0) is added if rate 0 was not tried and (1, 1) if rate 1 was not.
///
/// # Shapes
/// The result is ordered by rate and holds at least two points.
///
/// # Edge cases
/// Rates are the same if they are equal numbers.  No measured point: the margins alone.
///
/// # Errors
/// A rate or an accuracy outside [0, 1], NaN included; names the point.
///
/// # Source
/// SEELE (arXiv 2509.06923), algorithm 1.
///
/// # Example
/// ```
/// use groupwise_sampler::item_response::{Measured, with_margins};
/// let at = |rate, accuracy| Measured { rate, accuracy };
/// let points = with_margins(&[at(0.5, 1.0), at(0.0, 0.25), at(0.5, 0.5)])?;
/// assert_eq!(points, [at(0.0, 0.25), at(0.5, 0.75), at(1.0, 1.0)]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn with_margins(measured: &[Measured]) -> Result<Vec<Measured>, DataError> {
    for (i, at) in measured.iter().enumerate() {
        for (what, value) in [("rate", at.rate), ("accuracy", at.accuracy)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(DataError::value(
                    format!("point {i}"),
                    format!("{what} {value} is outside [0, 1]"),
                ));
            }
        }
    }
    let mut sorted = measured.to_vec();
    sorted.sort_by(|a, b| a.rate.total_cmp(&b.rate).then(a.accuracy.total_cmp(&b.accuracy)));
    let mut points: Vec<Measured> = sorted
        .chunk_by(|a, b| a.rate == b.rate)
        .map(|same| {
            let accuracies: Vec<f64> = same.iter().map(|at| at.accuracy).collect();
            Measured {
                rate: same[0].rate,
                accuracy: stats::mean(&accuracies),
            }
        })
        .collect();
    if points.first().is_none_or(|at| at.rate > 0.0) {
        points.insert(
            0,
            Measured {
                rate: 0.0,
                accuracy: 0.0,
            },
        );
    }
    if points.last().is_none_or(|at| at.rate < 1.0) {
        points.push(Measured {
            rate: 1.0,
            accuracy: 1.0,
        });
    }
    Ok(points)
}

/// Ranges the parameters of a fitted curve are held in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurveBounds {
    low: [f64; 3],
    high: [f64; 3],
}

impl Default for CurveBounds {
    /// Slope in [0.1, 50], shifted capability in [-1.5, 1.5], floor in [0, 0.95].
    fn default() -> Self {
        Self {
            low: [0.1, -1.5, 0.0],
            high: [50.0, 1.5, 0.95],
        }
    }
}

impl CurveBounds {
    /// Validates the ranges, each a lower and an upper end.
    ///
    /// # Errors
    /// A range that is not in order, leaves what [`ResponseCurve`] allows, or is not finite.
    pub fn new(k: [f64; 2], mu: [f64; 2], b: [f64; 2]) -> Result<Self, ParamError> {
        let ordered = |r: [f64; 2]| r[0] <= r[1] && r[0].is_finite() && r[1].is_finite();
        let show = |r: [f64; 2]| format!("[{}, {}]", r[0], r[1]);
        ParamError::check(
            ordered(k) && k[0] > 0.0,
            "k_range",
            show(k),
            "two finite numbers > 0 in order",
        )?;
        ParamError::check(ordered(mu), "mu_range", show(mu), "two finite numbers in order")?;
        ParamError::check(
            ordered(b) && b[0] >= 0.0 && b[1] < 1.0,
            "b_range",
            show(b),
            "two numbers in [0, 1) in order",
        )?;
        Ok(Self {
            low: [k[0], mu[0], b[0]],
            high: [k[1], mu[1], b[1]],
        })
    }

    /// The nearest parameters inside.
    fn hold(&self, mut theta: [f64; 3]) -> [f64; 3] {
        for (i, x) in theta.iter_mut().enumerate() {
            *x = x.clamp(self.low[i], self.high[i]);
        }
        theta
    }
}

/// A fitted curve and what it leaves unexplained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurveFit {
    /// The curve.
    pub curve: ResponseCurve,
    /// Sum of squared residuals over the points of [`with_margins`].
    pub sse: f64,
}

const GRID_K: [f64; 5] = [2.0, 5.0, 10.0, 20.0, 40.0];
const GRID_B: [f64; 3] = [0.0, 0.2, 0.5];

/// Slope and shift of four fixed starts: shallow, easy, hard, and a curve that is its floor.
const STARTS: [[f64; 2]; 4] = [[3.0, -0.5], [12.0, -0.25], [30.0, -0.6], [50.0, -1.5]];

/// Slope from which jumps between points are tried.
const STEEP: f64 = 40.0;

fn grid_mu() -> impl Iterator<Item = f64> + Clone {
    (0..13).map(|i| f64::from(i) / 10.0 - 1.0)
}

/// Points of the grid, before they are held inside the bounds.
pub(crate) fn grid() -> impl Iterator<Item = [f64; 3]> {
    GRID_K
        .into_iter()
        .flat_map(|k| grid_mu().flat_map(move |mu| GRID_B.map(|b| [k, mu, b])))
}

/// Fits the curve to measured points by least squares, every point with the same weight.
///
/// # Formula
/// `min_(k, mu, b) sum_j (f(p_j) - a_j)^2` over the points of [`with_margins`], inside the bounds.  A bounded
/// Levenberg-Marquardt descent starts from the best point of a fixed grid, from the best shift for each slope of the
/// grid, from four fixed pairs of slope and shift and from a steep curve at and between the points, all but the first
/// with the floor that fits them best; the smallest residual wins, of equal ones the first.
///
/// # Shapes
/// Rates and accuracies in [0, 1].
///
/// # Edge cases
/// With few points several curves fit equally well: the residual is determined, the curve and its inverse are then
/// those the recipe happens to find, the same ones on every run.
///
/// # Errors
/// As [`with_margins`].
///
/// # Source
/// SEELE (arXiv 2509.06923), section 4.2; the paper fits with LMFIT's trust-region least squares, bounds and starts are
/// ours (its printed curves reach a slope of 50).
///
/// # Example
/// ```
/// use groupwise_sampler::item_response::{CurveBounds, Measured, fit_curve};
/// let at = |rate, accuracy| Measured { rate, accuracy };
/// let fit = fit_curve(&[at(0.9, 1.0)], &CurveBounds::default())?;
/// assert!(fit.sse <= 1e-6);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn fit_curve(measured: &[Measured], bounds: &CurveBounds) -> Result<CurveFit, DataError> {
    let points = with_margins(measured)?;
    let sse = |theta: &[f64; 3]| curve_of(bounds.hold(*theta)).sse(&points);
    let best = |thetas: &mut dyn Iterator<Item = [f64; 3]>| thetas.min_by(|a, b| sse(a).total_cmp(&sse(b)));
    let with_floor = |k: f64, mu: f64| [k, mu, best_floor(&points, bounds, k, mu)];
    let of_slope = |k: f64| best(&mut grid_mu().map(|mu| with_floor(k, mu)));
    let starts = best(&mut grid())
        .into_iter()
        .chain(GRID_K.into_iter().filter_map(of_slope))
        .chain(STARTS.map(|[k, mu]| with_floor(k, mu)))
        .chain(jumps(&points).map(|p| with_floor(STEEP, -p)));
    let mut found = descend(&points, bounds, bounds.low);
    for start in starts {
        let other = descend(&points, bounds, start);
        if other.sse < found.sse {
            found = other;
        }
    }
    Ok(found)
}

/// Rates at which a steep curve may jump: at every point, and between every two.
fn jumps(points: &[Measured]) -> impl Iterator<Item = f64> {
    let between = |w: &[Measured]| (w[0].rate + w[1].rate) / 2.0;
    points
        .iter()
        .map(|at| at.rate)
        .chain(points.windows(2).map(between))
}

/// The floor with the smallest residual at this slope and shift: the curve is linear in it.
fn best_floor(points: &[Measured], bounds: &CurveBounds, k: f64, mu: f64) -> f64 {
    let [k, mu, _] = bounds.hold([k, mu, 0.0]);
    let (mut above, mut below) = (0.0, 0.0);
    for at in points {
        let s = logistic(k * (at.rate + mu));
        above += (1.0 - s) * (at.accuracy - s);
        below += (1.0 - s) * (1.0 - s);
    }
    if below > 0.0 { above / below } else { 0.0 }
}

fn curve_of([k, mu, b]: [f64; 3]) -> ResponseCurve {
    ResponseCurve { k, mu, b }
}

/// Steps of a descent, accepted or not; a usual fit takes ten to forty.
const MAX_STEPS: usize = 400;

/// Bounded Levenberg-Marquardt: damped Gauss-Newton steps in the parameters that are not held at a bound, cut back
/// into the bounds.  Never ends above its start.
fn descend(points: &[Measured], bounds: &CurveBounds, start: [f64; 3]) -> CurveFit {
    let mut theta = bounds.hold(start);
    let mut sse = curve_of(theta).sse(points);
    let mut damping = 1e-3;
    let mut at = normal_equations(points, theta);
    for _ in 0..MAX_STEPS {
        let (gram, gradient) = at;
        let held: [bool; 3] = std::array::from_fn(|i| {
            gradient[i] == 0.0
                || (theta[i] <= bounds.low[i] && gradient[i] > 0.0)
                || (theta[i] >= bounds.high[i] && gradient[i] < 0.0)
        });
        if held == [true; 3] || damping > 1e15 {
            break;
        }
        let step = damped_step(gram, gradient, held, damping);
        let next = bounds.hold(std::array::from_fn(|i| theta[i] - step[i]));
        let next_sse = curve_of(next).sse(points);
        if next_sse < sse {
            let gained = sse - next_sse;
            (theta, sse) = (next, next_sse);
            at = normal_equations(points, theta);
            damping = (damping / 5.0).max(1e-12);
            if gained <= 1e-10 * sse {
                break;
            }
        } else {
            damping *= 4.0;
        }
    }
    CurveFit {
        curve: curve_of(theta),
        sse,
    }
}

/// `J' J` and `J' r` of the residuals at these parameters.
fn normal_equations(points: &[Measured], theta: [f64; 3]) -> ([[f64; 3]; 3], [f64; 3]) {
    let [k, mu, b] = theta;
    let (mut gram, mut gradient) = ([[0.0; 3]; 3], [0.0; 3]);
    for at in points {
        let s = logistic(k * (at.rate + mu));
        let slope = (1.0 - b) * s * (1.0 - s);
        let row = [slope * (at.rate + mu), slope * k, 1.0 - s];
        let residual = b + (1.0 - b) * s - at.accuracy;
        for i in 0..3 {
            gradient[i] += row[i] * residual;
            for j in 0..3 {
                gram[i][j] += row[i] * row[j];
            }
        }
    }
    (gram, gradient)
}

/// Solves `(G + damping diag G) x = g` in the parameters that are not held; 0 in the others.
fn damped_step(gram: [[f64; 3]; 3], gradient: [f64; 3], held: [bool; 3], damping: f64) -> [f64; 3] {
    let mut x: [f64; 3] = std::array::from_fn(|i| if held[i] { 0.0 } else { gradient[i] });
    let mut a: [[f64; 3]; 3] = std::array::from_fn(|i| {
        std::array::from_fn(|j| match (held[i] || held[j], i == j) {
            (true, same) => f64::from(u8::from(same)),
            // The floor keeps a direction in which the curve is flat from taking an endless step.
            (false, true) => gram[i][i] + damping * gram[i][i].max(1e-9),
            (false, false) => gram[i][j],
        })
    });
    // The matrix is positive definite: elimination needs no pivoting.
    for i in 0..3 {
        let pivot = a[i];
        for j in i + 1..3 {
            let factor = a[j][i] / pivot[i];
            for (cell, above) in a[j].iter_mut().zip(pivot) {
                *cell -= factor * above;
            }
            x[j] -= factor * x[i];
        }
    }
    for i in (0..3).rev() {
        for j in i + 1..3 {
            x[i] -= a[i][j] * x[j];
        }
        x[i] /= a[i][i];
    }
    x.map(|step| if step.is_finite() { step } else { 0.0 })
}

#[cfg(test)]
#[path = "item_response_tests.rs"]
mod tests;
