//! Reward by difficulty over time: one map per arm, one scale.

use super::axis::{Scale, draw_x, labels};
use super::{Anchor, Canvas, fit, text_width};
use crate::difficulty::DifficultyMap;
use crate::format::value;

const RIGHT: f64 = 468.0;
const CELL: f64 = 16.0;
const HEAD: f64 = 26.0;

/// Draws the maps, easiest tasks at the bottom.
pub fn render(map: &DifficultyMap, arm_index: &dyn Fn(&str) -> usize) -> String {
    let rows = map.rows.len();
    let widest = map.rows.iter().map(|r| text_width(r, 12.0)).fold(0.0, f64::max);
    let left = (widest + 14.0).clamp(30.0, 120.0);
    let block = HEAD + CELL * rows as f64;
    let height = 30.0 + map.arms.len() as f64 * block + 48.0;
    let mut canvas = Canvas::new(height, "By difficulty over rollouts, per arm");
    draw_scale(&mut canvas, map, left);
    let x = Scale {
        data: map.range,
        units: (left, RIGHT),
    };
    for (i, (arm, cells)) in map.arms.iter().enumerate() {
        let top = 30.0 + i as f64 * block + HEAD;
        let index = arm_index(arm);
        canvas.marker((left + 5.0, top - 10.0), 3.6, index, &format!("dot a{index}"));
        canvas.text(
            (left + 15.0, top - 5.5),
            Anchor::Start,
            "key",
            &fit(arm, 320.0, 13.0),
        );
        for (row, values) in cells.iter().enumerate() {
            let y = top + (rows - 1 - row) as f64 * CELL;
            let every = rows.div_ceil(8).max(1);
            if row % every == 0 {
                canvas.text(
                    (left - 6.0, y + 0.5 * CELL + 4.0),
                    Anchor::End,
                    "tick",
                    &map.rows[row],
                );
            }
            let width = (RIGHT - left) / values.len().max(1) as f64;
            for (column, found) in values.iter().enumerate() {
                let at = left + column as f64 * width;
                let size = (width - 1.0, CELL - 1.0);
                match found {
                    Some(v) => {
                        let tooltip = format!("{arm}, difficulty {}: {}", map.rows[row], value(*v));
                        canvas.rect(at, y, size, "heat", Some(opacity(*v, map.scale)), &tooltip);
                    }
                    None => canvas.rect(at, y, size, "void", None, ""),
                }
            }
        }
    }
    draw_x(
        &mut canvas,
        &x,
        30.0 + map.arms.len() as f64 * block + 1.0,
        "rollouts billed",
    );
    canvas.finish()
}

/// Opacity of a value: 0.06 at the lower end of the scale, so that "none solved" differs from "no data".
fn opacity(value: f64, scale: (f64, f64)) -> f64 {
    let span = scale.1 - scale.0;
    let share = if span > 0.0 { (value - scale.0) / span } else { 0.5 };
    0.06 + 0.94 * share.clamp(0.0, 1.0)
}

fn draw_scale(canvas: &mut Canvas, map: &DifficultyMap, left: f64) {
    let mut ends = labels(&[map.scale.0, map.scale.1]);
    let high = ends.pop().unwrap_or_default();
    let low = ends.pop().unwrap_or_default();
    canvas.text((4.0, 13.0), Anchor::Start, "label", "difficulty");
    let start = left.max(84.0);
    canvas.text((start, 13.0), Anchor::Start, "tick", &low);
    let from = start + text_width(&low, 12.0) + 8.0;
    for i in 0..12 {
        let at = map.scale.0 + (map.scale.1 - map.scale.0) * f64::from(i) / 11.0;
        canvas.rect(
            from + f64::from(i) * 10.0,
            3.0,
            (10.0, 12.0),
            "heat",
            Some(opacity(at, map.scale)),
            "",
        );
    }
    let after = from + 128.0;
    canvas.text((after, 13.0), Anchor::Start, "tick", &high);
    let void = after + text_width(&high, 12.0) + 16.0;
    canvas.rect(void, 3.0, (14.0, 12.0), "void", None, "");
    canvas.text((void + 20.0, 13.0), Anchor::Start, "tick", "no data");
}
