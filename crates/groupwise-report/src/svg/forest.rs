//! Forest plot: paired differences with their intervals and the seeds behind them.

use super::axis::{Scale, draw_x, widen};
use super::{Anchor, Canvas, fit, text_width};
use crate::say;
use crate::summary::{Comparison, Measure};

/// Edges of texts.
const LEFT: f64 = 4.0;
const RIGHT: f64 = 476.0;
/// Edges of the axis: its outermost labels are centred on them.
const AXIS: (f64, f64) = (26.0, 454.0);
const ROW: f64 = 40.0;
const HEAD: f64 = 26.0;

/// Draws comparisons, grouped by measure in the order given.  Only those with an interval are drawn.
pub fn render(comparisons: &[&Comparison], arm_index: &dyn Fn(&str) -> usize) -> String {
    let shown: Vec<&&Comparison> = comparisons.iter().filter(|c| c.paired.is_some()).collect();
    let range = range(&shown);
    let mut measures: Vec<Measure> = Vec::new();
    for c in &shown {
        if !measures.contains(&c.measure) {
            measures.push(c.measure);
        }
    }
    let height = measures.len() as f64 * HEAD + shown.len() as f64 * ROW;
    let mut canvas = Canvas::new(
        height + 48.0,
        "Paired differences to the baseline with 95% intervals",
    );
    let x = Scale {
        data: range,
        units: AXIS,
    };
    canvas.line((x.at(0.0), 4.0), (x.at(0.0), height), "zero");
    let mut y = 0.0;
    for measure in measures {
        canvas.text((LEFT, y + 18.0), Anchor::Start, "group", measure.words());
        y += HEAD;
        for c in shown.iter().filter(|c| c.measure == measure) {
            draw_row(&mut canvas, &x, y, c, arm_index(&c.arm));
            y += ROW;
        }
    }
    let unit = shown
        .first()
        .map(|c| format!("difference in {}, arm minus {}", c.metric, c.baseline));
    draw_x(
        &mut canvas,
        &x,
        height,
        &fit(&unit.unwrap_or_default(), RIGHT - LEFT, 12.0),
    );
    canvas.finish()
}

fn draw_row(canvas: &mut Canvas, x: &Scale, y: f64, comparison: &Comparison, index: usize) {
    let Some(paired) = &comparison.paired else { return };
    let numbers = say::numbers(comparison);
    let room = RIGHT - LEFT - text_width(&numbers, 13.0) - 40.0;
    canvas.text(
        (LEFT + 10.0, y + 13.0),
        Anchor::Start,
        "key",
        &fit(&comparison.arm, room, 13.0),
    );
    let class = if paired.is_resolved() { "key strong" } else { "key" };
    canvas.text((RIGHT, y + 13.0), Anchor::End, class, &numbers);
    let interval = paired.interval();
    let middle = y + 26.0;
    let clamp = |v: f64| x.at(v.clamp(x.data.0, x.data.1));
    canvas.line(
        (clamp(interval.low), middle),
        (clamp(interval.high), middle),
        &format!("whisker a{index}"),
    );
    for end in [interval.low, interval.high] {
        canvas.line(
            (clamp(end), middle - 4.0),
            (clamp(end), middle + 4.0),
            &format!("whisker a{index}"),
        );
    }
    for difference in &paired.differences {
        canvas.line(
            (clamp(*difference), middle + 6.0),
            (clamp(*difference), middle + 11.0),
            "seed",
        );
    }
    let fill = if paired.is_resolved() { "dot" } else { "dot hollow" };
    canvas.marker(
        (clamp(paired.mean), middle),
        4.6,
        index,
        &format!("{fill} a{index}"),
    );
}

/// Range that shows every seed and interval, and 0; an interval far wider than the seeds is cut.
fn range(shown: &[&&Comparison]) -> (f64, f64) {
    let (mut low, mut high) = (0.0_f64, 0.0_f64);
    let mut ends = Vec::new();
    for paired in shown.iter().filter_map(|c| c.paired.as_ref()) {
        for d in &paired.differences {
            (low, high) = (low.min(*d), high.max(*d));
        }
        let interval = paired.interval();
        ends.extend([interval.low, interval.high]);
    }
    let room = 2.0 * (high - low).max(1e-9);
    let (from, to) = (low - room, high + room);
    for end in ends.into_iter().filter(|e| e.is_finite()) {
        low = low.min(end.max(from));
        high = high.max(end.min(to));
    }
    widen(low, high)
}
