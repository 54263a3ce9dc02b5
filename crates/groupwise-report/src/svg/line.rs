//! Curves with bands.

use super::axis::{Scale, draw_x, draw_y, labels, ticks, widen};
use super::{Anchor, Canvas, WIDTH, legend, text_width};
use crate::figures::{CurveFigure, CurvePoint};

const RIGHT: f64 = 468.0;
const PANEL: f64 = 226.0;

/// Draws a figure of curves; `arm_index` gives an arm its color and marker.
pub fn render(figure: &CurveFigure, arm_index: &dyn Fn(&str) -> usize) -> String {
    let drawn: Vec<(usize, &str, Vec<CurvePoint>)> = figure
        .lines
        .iter()
        .map(|l| (arm_index(&l.arm), l.arm.as_str(), finite(&l.points)))
        .filter(|(_, _, points)| !points.is_empty())
        .collect();
    let entries: Vec<legend::Entry<'_>> = drawn.iter().map(|(i, name, _)| (*i, *name)).collect();
    let (x_data, y_data) = ranges(&drawn, figure.zero_line);
    let left = left_margin(y_data);
    let label_room = if figure.y_label.is_empty() { 10.0 } else { 26.0 };
    let top = label_room + legend::height(&entries, 4.0);
    let mut canvas = Canvas::new(
        top + PANEL + 46.0,
        &format!("{} against {}", figure.title, figure.x_label),
    );
    legend::draw(&mut canvas, &entries, 4.0, 0.0);
    canvas.text(
        (4.0, top - 10.0),
        Anchor::Start,
        "label",
        &super::fit(&figure.y_label, WIDTH - 8.0, 12.0),
    );
    let x = Scale {
        data: x_data,
        units: (left, RIGHT),
    };
    let y = Scale {
        data: y_data,
        units: (top + PANEL, top),
    };
    draw_y(&mut canvas, &y, (left, RIGHT));
    if figure.zero_line {
        canvas.line((left, y.at(0.0)), (RIGHT, y.at(0.0)), "zero");
    }
    let place = |x_value: f64, y_value: f64| (x.at(x_value), y.at(y_value.clamp(y_data.0, y_data.1)));
    for (index, _, points) in &drawn {
        for run in banded(points) {
            let upper = run.iter().map(|(px, band)| place(*px, band.1));
            let lower = run.iter().rev().map(|(px, band)| place(*px, band.0));
            canvas.path(
                &upper.chain(lower).collect::<Vec<_>>(),
                true,
                &format!("band a{index}"),
            );
        }
    }
    for (order, (index, _, points)) in drawn.iter().enumerate() {
        let path: Vec<(f64, f64)> = points.iter().map(|p| place(p.x, p.mean)).collect();
        canvas.path(&path, false, &format!("curve a{index}"));
        for at in markers(&path, order) {
            canvas.marker(at, 3.6, *index, &format!("dot a{index}"));
        }
    }
    draw_x(&mut canvas, &x, top + PANEL, &figure.x_label);
    canvas.finish()
}

fn finite(points: &[CurvePoint]) -> Vec<CurvePoint> {
    let keep = |p: &&CurvePoint| p.x.is_finite() && p.mean.is_finite();
    points.iter().filter(keep).copied().collect()
}

/// Stretches of points that have a finite band.
fn banded(points: &[CurvePoint]) -> Vec<Vec<(f64, (f64, f64))>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match point.band {
            Some((low, high)) if low.is_finite() && high.is_finite() => {
                if let Some(run) = runs.last_mut() {
                    run.push((point.x, (low, high)));
                }
            }
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|r| r.len() > 1);
    runs
}

/// Markers some 70 units apart, shifted by arm so that they do not hide one another, and one at the end.
fn markers(path: &[(f64, f64)], order: usize) -> Vec<(f64, f64)> {
    let Some(last) = path.last() else {
        return Vec::new();
    };
    let mut next = path[0].0 + 20.0 + 22.0 * (order % 4) as f64;
    let mut out = Vec::new();
    for at in path {
        if at.0 >= next && last.0 - at.0 > 20.0 {
            out.push(*at);
            next = at.0 + 70.0;
        }
    }
    out.push(*last);
    out
}

/// Ranges of both axes.  Shares stay within [0, 1]; a band may be cut if it is far wider than the means.
fn ranges(drawn: &[(usize, &str, Vec<CurvePoint>)], zero: bool) -> ((f64, f64), (f64, f64)) {
    let all = || drawn.iter().flat_map(|(_, _, p)| p);
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
                (a.min(v), b.max(v))
            })
    };
    let x = span(&mut all().map(|p| p.x));
    let x = if x.0.is_finite() { x } else { (0.0, 1.0) };
    // A curve starts at cost 0 or close to it: show the origin if it is near.
    let x = if x.0 >= 0.0 && x.0 < 0.25 * x.1 {
        (0.0, x.1)
    } else {
        x
    };
    let means = span(&mut all().map(|p| p.mean).chain(zero.then_some(0.0)));
    let bands = span(&mut all().filter_map(|p| p.band).flat_map(|(a, b)| [a, b]));
    if !means.0.is_finite() {
        return (x, (0.0, 1.0));
    }
    let room = 1.5 * (means.1 - means.0).max(1e-3 * means.1.abs()).max(1e-9);
    let (mut low, mut high) = (
        means.0.min(bands.0.max(means.0 - room)),
        means.1.max(bands.1.min(means.1 + room)),
    );
    let share = !zero && means.0 >= 0.0 && means.1 <= 1.0;
    if share {
        (low, high) = (low.max(0.0), high.min(1.0));
    }
    let (a, b) = widen(low, high);
    (x, if share { (a.max(0.0), b.min(1.0)) } else { (a, b) })
}

/// Room for the labels of the vertical axis.
fn left_margin(y: (f64, f64)) -> f64 {
    let names = labels(&ticks(y.0, y.1, 6));
    let widest = names.iter().map(|n| text_width(n, 12.0)).fold(0.0, f64::max);
    (widest + 12.0).clamp(28.0, 90.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Line;

    fn figure(lines: Vec<Vec<CurvePoint>>) -> CurveFigure {
        let name = |(i, points)| Line {
            arm: format!("arm {i}"),
            seeds: 3,
            points,
        };
        CurveFigure {
            title: "t".to_owned(),
            x_label: "rollouts".to_owned(),
            y_label: String::new(),
            caption: String::new(),
            zero_line: false,
            lines: lines.into_iter().enumerate().map(name).collect(),
        }
    }

    fn point(x: f64, mean: f64, band: Option<(f64, f64)>) -> CurvePoint {
        CurvePoint { x, mean, band }
    }

    #[test]
    fn points_that_are_no_numbers_are_left_out() {
        let nan = f64::NAN;
        let good = |x| point(x, 0.5, Some((0.4, 0.6)));
        let svg = render(
            &figure(vec![vec![
                good(0.0),
                point(1.0, nan, None),
                good(2.0),
                point(3.0, 0.5, Some((nan, 1.0))),
            ]]),
            &|_| 1,
        );
        assert!(!svg.contains("NaN"));
        assert_eq!(
            svg.matches("class=\"band a1\"").count(),
            1,
            "one stretch has a band"
        );
        assert_eq!(svg.matches("class=\"curve a1\" d=").count(), 1);
    }

    #[test]
    fn nothing_to_draw_gives_axes_only() {
        for lines in [
            Vec::new(),
            vec![Vec::new()],
            vec![vec![point(f64::NAN, f64::NAN, None)]],
        ] {
            let svg = render(&figure(lines), &|_| 0);
            assert!(svg.contains("class=\"axis\"") && !svg.contains("<path"));
        }
    }

    #[test]
    fn shares_keep_to_their_range_and_wide_bands_are_cut() {
        let points = vec![
            point(0.0, 0.1, Some((-0.5, 0.7))),
            point(1.0, 0.9, Some((0.3, 1.5))),
        ];
        let drawn = [(0, "a", points)];
        assert_eq!(ranges(&drawn, false).1, (0.0, 1.0));
        let flat = [(
            0,
            "a",
            vec![
                point(0.0, 5.0, Some((-400.0, 400.0))),
                point(1.0, 6.0, Some((-400.0, 400.0))),
            ],
        )];
        let (low, high) = ranges(&flat, false).1;
        assert!(low >= 2.0 && high <= 9.0, "{low} {high}");
    }
}
