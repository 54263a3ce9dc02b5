//! Legends that wrap instead of running over.

use super::{Anchor, Canvas, WIDTH, fit, text_width};

const SIZE: f64 = 13.0;
const ROW: f64 = 20.0;
const SWATCH: f64 = 26.0;
const GAP: f64 = 16.0;

/// One entry: index of the arm (its color and marker) and its name.
pub type Entry<'a> = (usize, &'a str);

/// Rows of a legend: index of the arm, position, text.
fn lay_out(entries: &[Entry<'_>], left: f64) -> (Vec<(usize, f64, f64, String)>, f64) {
    let (mut x, mut row) = (left, 0.0);
    let mut placed = Vec::with_capacity(entries.len());
    for (index, name) in entries {
        let name = fit(name, WIDTH - left - SWATCH - 8.0, SIZE);
        let width = SWATCH + text_width(&name, SIZE);
        if x > left && x + width > WIDTH - 4.0 {
            x = left;
            row += ROW;
        }
        placed.push((*index, x, row, name));
        x += width + GAP;
    }
    let height = if entries.is_empty() { 0.0 } else { row + ROW };
    (placed, height)
}

/// Height of a legend.
pub fn height(entries: &[Entry<'_>], left: f64) -> f64 {
    lay_out(entries, left).1
}

/// Draws a legend with its top left corner at `(left, top)`.
pub fn draw(canvas: &mut Canvas, entries: &[Entry<'_>], left: f64, top: f64) {
    for (index, x, row, name) in lay_out(entries, left).0 {
        let y = top + row + 0.5 * ROW;
        canvas.line((x, y), (x + SWATCH - 6.0, y), &format!("curve a{index}"));
        canvas.marker(
            (x + 0.5 * (SWATCH - 6.0), y),
            3.6,
            index,
            &format!("dot a{index}"),
        );
        canvas.text((x + SWATCH, y + 4.5), Anchor::Start, "key", &name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_legends_wrap_and_never_leave_the_figure() {
        let names: Vec<String> = (0..9)
            .map(|i| format!("arm-with-a-rather-long-name-{i}"))
            .collect();
        let entries: Vec<Entry<'_>> = names.iter().enumerate().map(|(i, n)| (i, n.as_str())).collect();
        let (placed, height) = lay_out(&entries, 40.0);
        assert!(height >= 3.0 * ROW);
        for (i, (_, x, y, name)) in placed.iter().enumerate() {
            assert!(x + SWATCH + text_width(name, SIZE) <= WIDTH + 1.0);
            for (_, x2, y2, _) in &placed[i + 1..] {
                assert!(y2 > y || *x2 >= x + SWATCH + text_width(name, SIZE));
            }
        }
        assert_eq!(lay_out(&[], 40.0).1, 0.0);
    }
}
