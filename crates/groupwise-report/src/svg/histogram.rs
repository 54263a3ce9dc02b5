//! Group sizes: one row of bars per arm, on one axis.

use super::axis::{Scale, draw_x};
use super::{Anchor, Canvas, fit};
use crate::figures::Allocation;
use crate::format::percent;

const LEFT: f64 = 44.0;
const RIGHT: f64 = 468.0;
const ROW: f64 = 74.0;
/// Height of the highest bar of a row.
const FULL: f64 = ROW - 26.0;
const BARS: usize = 40;

/// Draws the distribution of group sizes of each arm.  Rows are scaled to their own highest bar.
pub fn render(allocation: &[Allocation], arm_index: &dyn Fn(&str) -> usize) -> String {
    let bins = Bins::over(allocation);
    let x = bins.scale();
    let rows = allocation.len() as f64;
    let mut canvas = Canvas::new(rows * ROW + 48.0, "Distribution of group sizes per arm");
    for (row, arm) in allocation.iter().enumerate() {
        let bottom = (row + 1) as f64 * ROW;
        let index = arm_index(&arm.arm);
        let shares = bins.shares(arm);
        let top = shares.iter().copied().fold(0.0, f64::max);
        draw_head(&mut canvas, arm, index, bottom);
        draw_ends_of_y(&mut canvas, top, bottom);
        for (i, share) in shares.iter().enumerate().filter(|(_, s)| **s > 0.0) {
            let tooltip = format!("{}: size {}, {}", arm.arm, bins.name(i), percent(*share));
            let (from, to) = bins.edges(i);
            let slot = (x.at(from), x.at(to));
            let height = (FULL * share / top).max(1.0);
            draw_bar(&mut canvas, slot, (bottom, height), index, &tooltip);
        }
        canvas.line((LEFT, bottom), (RIGHT, bottom), "axis");
    }
    draw_x(&mut canvas, &x, rows * ROW, "rollouts in a group");
    canvas.finish()
}

/// Bins of equal width over the group sizes of all arms.
struct Bins {
    low: usize,
    width: usize,
    number: usize,
}

impl Bins {
    fn over(allocation: &[Allocation]) -> Self {
        let sizes = || allocation.iter().flat_map(|a| a.sizes.iter().map(|s| s.0));
        let (low, high) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(1));
        let width = (high - low + 1).div_ceil(BARS).max(1);
        let number = (high - low) / width + 1;
        Self { low, width, number }
    }

    fn scale(&self) -> Scale {
        let start = self.low as f64 - 0.5;
        Scale {
            data: (start, start + (self.number * self.width) as f64),
            units: (LEFT, RIGHT),
        }
    }

    /// Share of an arm's groups in each bin.
    fn shares(&self, arm: &Allocation) -> Vec<f64> {
        let mut shares = vec![0.0; self.number];
        for (size, share) in &arm.sizes {
            shares[(size - self.low) / self.width] += share;
        }
        shares
    }

    /// Where bin `i` starts and ends: half a rollout around its sizes.
    fn edges(&self, i: usize) -> (f64, f64) {
        let from = self.low + i * self.width;
        (from as f64 - 0.5, (from + self.width) as f64 - 0.5)
    }

    /// Sizes of bin `i` in words.
    fn name(&self, i: usize) -> String {
        let from = self.low + i * self.width;
        if self.width == 1 {
            format!("{from}")
        } else {
            format!("{from} to {}", from + self.width - 1)
        }
    }
}

/// Marker, name and mean of an arm above its bars.
fn draw_head(canvas: &mut Canvas, arm: &Allocation, index: usize, bottom: f64) {
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
    let head = format!("mean {:.1}", arm.mean);
    canvas.text((RIGHT, bottom - ROW + 17.5), Anchor::End, "tick", &head);
}

/// The highest share and 0, left of the bars.
fn draw_ends_of_y(canvas: &mut Canvas, top: f64, bottom: f64) {
    canvas.text(
        (LEFT - 6.0, bottom - FULL + 9.0),
        Anchor::End,
        "tick",
        &short_percent(top),
    );
    canvas.text((LEFT - 6.0, bottom + 1.0), Anchor::End, "tick", "0");
}

/// One bar, in the middle of its slot.
fn draw_bar(
    canvas: &mut Canvas,
    (a, b): (f64, f64),
    (bottom, height): (f64, f64),
    index: usize,
    tooltip: &str,
) {
    // A bar fills its slot but never the whole row: one size alone would look like a block.
    let thick = (0.8 * (b - a)).min(26.0);
    canvas.rect(
        0.5 * (a + b - thick),
        bottom - height,
        (thick, height),
        &format!("bar a{index}"),
        None,
        tooltip,
    );
}

fn short_percent(share: f64) -> String {
    if share >= 0.1 {
        format!("{:.0}%", 100.0 * share)
    } else {
        format!("{:.1}%", 100.0 * share)
    }
}
