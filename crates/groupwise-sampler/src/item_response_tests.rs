use proptest::prelude::*;

use super::*;

fn at(rate: f64, accuracy: f64) -> Measured {
    Measured { rate, accuracy }
}

fn curves() -> impl Strategy<Value = ResponseCurve> {
    (0.1..50.0f64, -1.5..1.5f64, 0.0..0.95f64).prop_map(|(k, mu, b)| curve_of([k, mu, b]))
}

fn points() -> impl Strategy<Value = Vec<Measured>> {
    prop::collection::vec((0..=8u32, 0..=8u32), 0..6).prop_map(|pairs| {
        let share = |n: u32| f64::from(n) / 8.0;
        pairs.into_iter().map(|(p, a)| at(share(p), share(a))).collect()
    })
}

#[test]
fn the_curve_follows_the_worked_example() {
    let first = ResponseCurve::new(4.46, -0.5, 0.0).unwrap();
    for (rate, expected) in [
        (0.0, 0.097_088_640_986_498_91),
        (0.25, 0.246_939_909_578_662_3),
        (0.5, 0.5),
        (0.75, 0.753_060_090_421_337_7),
        (1.0, 0.902_911_359_013_501),
    ] {
        assert!((first.accuracy(rate) - expected).abs() < 1e-14, "{rate}");
    }
    assert!((first.hint_rate(0.75) - 0.746_325_625_261_908).abs() < 1e-14);
    let floored = ResponseCurve::new(19.03, -0.64, 0.45).unwrap();
    assert!((floored.hint_rate(0.5) - 0.519_002_359_800_628_1).abs() < 1e-14);
    let known: Vec<f64> = [0.4, 0.45, 1.0, 2.0].map(|a| floored.hint_rate(a)).to_vec();
    assert_eq!(known, [0.0, 0.0, 1.0, 1.0]);
    assert_eq!((floored.k(), floored.mu(), floored.b()), (19.03, -0.64, 0.45));
    // The residuals of two points are squared and added.
    assert!((first.sse(&[at(0.5, 0.25), at(0.5, 1.0)]) - 0.3125).abs() < 1e-15);
}

#[test]
fn the_logistic_function_does_not_overflow() {
    assert_eq!((logistic(-1e4), logistic(0.0), logistic(1e4)), (0.0, 0.5, 1.0));
    assert!((logistic(-2.0) - 0.119_202_922_022_117_57).abs() < 1e-16);
}

#[test]
fn refused_parameters_are_named() {
    let refuse = |k, mu, b| ResponseCurve::new(k, mu, b).unwrap_err().to_string();
    assert_eq!(refuse(0.0, 0.0, 0.0), "`k` = 0: must be a finite number > 0");
    assert_eq!(
        refuse(f64::INFINITY, 0.0, 0.0),
        "`k` = inf: must be a finite number > 0"
    );
    assert_eq!(refuse(1.0, f64::NAN, 0.0), "`mu` = NaN: must be a finite number");
    assert_eq!(refuse(1.0, 0.0, 1.0), "`b` = 1: must be in [0, 1)");
    assert_eq!(refuse(1.0, 0.0, -0.1), "`b` = -0.1: must be in [0, 1)");
    let (k, mu, b) = ([0.1, 50.0], [-1.5, 1.5], [0.0, 0.95]);
    let refuse = |k, mu, b| CurveBounds::new(k, mu, b).unwrap_err().to_string();
    for bad in [[0.0, 1.0], [2.0, 1.0], [1.0, f64::INFINITY], [f64::NAN, 1.0]] {
        let message = format!(
            "`k_range` = [{}, {}]: must be two finite numbers > 0 in order",
            bad[0], bad[1]
        );
        assert_eq!(refuse(bad, mu, b), message);
    }
    assert_eq!(
        refuse(k, [1.0, -1.0], b),
        "`mu_range` = [1, -1]: must be two finite numbers in order"
    );
    assert_eq!(
        refuse(k, [f64::NEG_INFINITY, 1.0], b),
        "`mu_range` = [-inf, 1]: must be two finite numbers in order"
    );
    for bad in [[-0.1, 0.5], [0.0, 1.0], [0.5, 0.4]] {
        let message = format!(
            "`b_range` = [{}, {}]: must be two numbers in [0, 1) in order",
            bad[0], bad[1]
        );
        assert_eq!(refuse(k, mu, bad), message);
    }
    assert_eq!(CurveBounds::new(k, mu, b).unwrap(), CurveBounds::default());
    assert!(CurveBounds::new([1.0, 1.0], [0.0, 0.0], [0.5, 0.5]).is_ok());
}

#[test]
fn margins_are_dropped_once_measured() {
    assert_eq!(with_margins(&[]).unwrap(), [at(0.0, 0.0), at(1.0, 1.0)]);
    assert_eq!(
        with_margins(&[at(1.0, 0.5), at(0.5, 0.25)]).unwrap(),
        [at(0.0, 0.0), at(0.5, 0.25), at(1.0, 0.5)]
    );
    assert_eq!(
        with_margins(&[at(1.0, 0.5), at(0.0, 0.25), at(1.0, 0.0)]).unwrap(),
        [at(0.0, 0.25), at(1.0, 0.25)]
    );
    let message = |measured: &[Measured]| with_margins(measured).unwrap_err().to_string();
    assert_eq!(
        message(&[at(0.0, 0.0), at(1.5, 0.0)]),
        "point 1: rate 1.5 is outside [0, 1]"
    );
    assert_eq!(
        message(&[at(0.5, -1.0)]),
        "point 0: accuracy -1 is outside [0, 1]"
    );
    assert_eq!(
        message(&[at(0.5, f64::NAN)]),
        "point 0: accuracy NaN is outside [0, 1]"
    );
}

#[test]
fn a_known_curve_is_found_again() {
    // Points of k = 12, mu = -0.6, b = 0; the margins add two more, which it misses by little.
    let measured = [
        at(0.2, 0.008_162_571_153_159_897),
        at(0.45, 0.141_851_064_900_487_82),
        at(0.55, 0.354_343_693_774_204_77),
        at(0.65, 0.645_656_306_225_795_6),
        at(0.8, 0.916_827_303_506_077_7),
    ];
    let fit = fit_curve(&measured, &CurveBounds::default()).unwrap();
    assert!(fit.sse <= 6.727_056_088_429_806e-5, "{}", fit.sse);
    assert!((fit.curve.hint_rate(0.5) - 0.599_934_356_285_573_9).abs() < 1e-6);
    assert_eq!(fit.sse, fit.curve.sse(&with_margins(&measured).unwrap()));
}

#[test]
fn bounds_hold_the_fit() {
    let measured = [at(0.25, 0.0), at(0.5, 1.0)];
    let bounds = CurveBounds::new([0.1, 4.0], [-1.0, -0.5], [0.1, 0.2]).unwrap();
    let ResponseCurve { k, mu, b } = fit_curve(&measured, &bounds).unwrap().curve;
    // A step is steeper, easier and less floored than they allow.
    assert_eq!((k, mu, b), (4.0, -0.5, 0.1));
    let free = fit_curve(&measured, &CurveBounds::default()).unwrap();
    assert!(free.sse < 1e-3, "{}", free.sse);
    assert!((0.25..0.5).contains(&free.curve.hint_rate(0.5)));
}

#[test]
fn right_without_a_hint_needs_no_hint() {
    let fit = fit_curve(&[at(0.0, 1.0)], &CurveBounds::default()).unwrap();
    assert_eq!(fit.curve.hint_rate(0.5), 0.0);
    assert!(fit.sse < 1e-6);
}

#[test]
fn the_grid_is_that_of_the_specification() {
    let all: Vec<[f64; 3]> = grid().collect();
    assert_eq!(all.len(), 5 * 13 * 3);
    assert_eq!(all[0], [2.0, -1.0, 0.0]);
    let [k, mu, b] = all[all.len() - 1];
    assert!(k == 40.0 && (mu - 0.2).abs() < 1e-15 && b == 0.5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn accuracy_increases_and_stays_between_floor_and_one(
        curve in curves(), p in 0.0..1.0f64, q in 0.0..1.0f64,
    ) {
        let (low, high) = (p.min(q), p.max(q));
        prop_assert!(curve.accuracy(low) <= curve.accuracy(high));
        if high - low > 1e-3 && curve.accuracy(high) < 1.0 - 1e-9 && curve.accuracy(low) > curve.b() + 1e-9 {
            prop_assert!(curve.accuracy(low) < curve.accuracy(high));
        }
        prop_assert!(curve.accuracy(p) >= curve.b() && curve.accuracy(p) <= 1.0);
    }

    #[test]
    fn the_inverse_inverts_unless_clamped(curve in curves(), target in 0.01..0.99f64) {
        let rate = curve.hint_rate(target);
        let back = curve.accuracy(rate);
        if rate == 0.0 {
            prop_assert!(back >= target - 1e-12);
        } else if rate == 1.0 {
            prop_assert!(back <= target + 1e-12);
        } else {
            prop_assert!((back - target).abs() < 1e-12, "{back} and {target}");
        }
    }

    #[test]
    fn the_inverse_does_not_decrease_in_the_target(curve in curves(), a in 0.0..1.2f64, b in 0.0..1.2f64) {
        prop_assert!(curve.hint_rate(a.min(b)) <= curve.hint_rate(a.max(b)));
    }

    #[test]
    fn the_residual_is_not_above_that_of_any_grid_point(measured in points()) {
        let fit = fit_curve(&measured, &CurveBounds::default()).unwrap();
        let merged = with_margins(&measured).unwrap();
        for theta in grid() {
            prop_assert!(fit.sse <= curve_of(theta).sse(&merged));
        }
        let ResponseCurve { k, mu, b } = fit.curve;
        prop_assert!((0.1..=50.0).contains(&k) && (-1.5..=1.5).contains(&mu) && (0.0..=0.95).contains(&b));
    }

    #[test]
    fn the_residual_is_not_above_that_of_any_other_curve(measured in points(), curve in curves()) {
        let fit = fit_curve(&measured, &CurveBounds::default()).unwrap();
        prop_assert!(fit.sse <= curve.sse(&with_margins(&measured).unwrap()) + 1e-3);
    }

    #[test]
    fn the_best_floor_is_a_minimum(measured in points(), k in 0.1..50.0f64, mu in -1.5..1.5f64, d in -0.2..0.2f64) {
        let points = with_margins(&measured).unwrap();
        // A curve that is 1 throughout fits with every floor.
        prop_assume!(points.iter().any(|at| logistic(k * (at.rate + mu)) < 0.999));
        let floor = best_floor(&points, &CurveBounds::default(), k, mu);
        let sse = |b: f64| curve_of([k, mu, b]).sse(&points);
        prop_assert!(sse(floor) <= sse(floor + d) + 1e-12);
    }

    #[test]
    fn noise_free_points_are_fitted_without_residual(
        k in 3.0..15.0f64, mu in -0.7..-0.3f64, b in 0.0..0.4f64,
    ) {
        let curve = curve_of([k, mu, b]);
        let measured: Vec<Measured> =
            (0..=6).map(|i| f64::from(i) / 6.0).map(|p| at(p, curve.accuracy(p))).collect();
        let fit = fit_curve(&measured, &CurveBounds::default()).unwrap();
        prop_assert!(fit.sse < 1e-12, "{}", fit.sse);
        prop_assert!((fit.curve.hint_rate(0.6) - curve.hint_rate(0.6)).abs() < 1e-4);
    }

    #[test]
    fn derivatives_of_the_residuals_are_central_differences(measured in points(), curve in curves()) {
        let points = with_margins(&measured).unwrap();
        let theta = [curve.k, curve.mu, curve.b];
        let (gram, gradient) = normal_equations(&points, theta);
        for i in 0..3 {
            let moved = |h: f64| {
                let mut other = theta;
                other[i] += h;
                curve_of(other)
            };
            let numeric = (moved(1e-5).sse(&points) - moved(-1e-5).sse(&points)) / 2e-5;
            prop_assert!((2.0 * gradient[i] - numeric).abs() < 1e-6 * (1.0 + numeric.abs()));
            let slope = |p: f64, i: usize| {
                let mut up = theta;
                let mut down = theta;
                up[i] += 1e-5;
                down[i] -= 1e-5;
                (curve_of(up).accuracy(p) - curve_of(down).accuracy(p)) / 2e-5
            };
            for (j, found) in gram[i].iter().enumerate() {
                let numeric: f64 = points.iter().map(|at| slope(at.rate, i) * slope(at.rate, j)).sum();
                prop_assert!((found - numeric).abs() < 1e-5 * (1.0 + numeric.abs()));
            }
        }
    }

    #[test]
    fn order_and_repetition_of_points_do_not_matter(measured in points()) {
        let mut other = measured.clone();
        other.reverse();
        prop_assert_eq!(with_margins(&measured).unwrap(), with_margins(&other).unwrap());
        other.extend(&measured);
        let (once, twice) = (with_margins(&measured).unwrap(), with_margins(&other).unwrap());
        prop_assert_eq!(once.len(), twice.len());
        for (a, b) in once.iter().zip(&twice) {
            prop_assert!(a.rate == b.rate && (a.accuracy - b.accuracy).abs() < 1e-15);
        }
    }
}
