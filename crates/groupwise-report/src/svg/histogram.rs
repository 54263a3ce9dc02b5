//! Group sizes: one row of bars per arm, on one axis.

use super::axis::{Scale, draw_x};
use super::{Anchor, Canvas, fit};
use crate::figures::Allocation;
use crate::format::percent;

const LEFT: f64 = 44.0;
const RIGHT: f64 = 468.0;
const ROW: f64 = 74.0;
const BARS: usize = 40;

/// Draws the distribution of group sizes of each arm.  Rows are scaled to their own highest bar.
pub fn render(allocation: &[Allocation], arm_index: &dyn Fn(&str) -> usize) -> String {
    let sizes = || allocation.iter().flat_map(|a| a.sizes.iter().map(|s| s.0));
    let (low, high) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(1));
    let width = (high - low + 1).div_ceil(BARS).max(1);
    let bars = (high - low) / width + 1;
    let span = (bars * width) as f64;
    let x = Scale {
        data: (low as f64 - 0.5, low as f64 - 0.5 + span),
        units: (LEFT, RIGHT),
    };
    let rows = allocation.len() as f64;
    let mut canvas = Canvas::new(rows * ROW + 48.0, "Distribution of group sizes per arm");
    for (row, arm) in allocation.iter().enumerate() {
        let bottom = (row + 1) as f64 * ROW;
        let index = arm_index(&arm.arm);
        let mut shares = vec![0.0; bars];
        for (size, share) in &arm.sizes {
            shares[(size - low) / width] += share;
        }
        let top = shares.iter().copied().fold(0.0, f64::max);
        let head = format!("mean {:.1}", arm.mean);
        canvas.marker(
            (LEFT + 5.0, bottom - ROW + 13.0),
            3.6,
            index,
            &format!("dot a{index}"),
        );
        canvas.text(
            (LEFT + 15.0, bottom - ROW + 17.5),
            Anchor::Start,
            "key",
            &fit(&arm.arm, 300.0, 13.0),
        );
        canvas.text((RIGHT, bottom - ROW + 17.5), Anchor::End, "tick", &head);
        let full = ROW - 26.0;
        canvas.text(
            (LEFT - 6.0, bottom - full + 9.0),
            Anchor::End,
            "tick",
            &short_percent(top),
        );
        canvas.text((LEFT - 6.0, bottom + 1.0), Anchor::End, "tick", "0");
        for (i, share) in shares.iter().enumerate().filter(|(_, s)| **s > 0.0) {
            let from = low + i * width;
            let name = if width == 1 {
                format!("{from}")
            } else {
                format!("{from} to {}", from + width - 1)
            };
            let (a, b) = (x.at(from as f64 - 0.5), x.at((from + width) as f64 - 0.5));
            // A bar fills its slot but never the whole row: one size alone would look like a block.
            let thick = (0.8 * (b - a)).min(26.0);
            let height = (full * share / top).max(1.0);
            let tooltip = format!("{}: size {name}, {}", arm.arm, percent(*share));
            canvas.rect(
                0.5 * (a + b - thick),
                bottom - height,
                (thick, height),
                &format!("bar a{index}"),
                None,
                &tooltip,
            );
        }
        canvas.line((LEFT, bottom), (RIGHT, bottom), "axis");
    }
    draw_x(&mut canvas, &x, rows * ROW, "rollouts in a group");
    canvas.finish()
}

fn short_percent(share: f64) -> String {
    if share >= 0.1 {
        format!("{:.0}%", 100.0 * share)
    } else {
        format!("{:.1}%", 100.0 * share)
    }
}
