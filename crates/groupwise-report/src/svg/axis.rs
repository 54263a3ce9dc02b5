//! Linear axes with nice ticks.

use super::{Anchor, Canvas, text_width};

/// Size of tick labels in user units; the style sheet agrees.
pub(crate) const TICK_SIZE: f64 = 12.0;

/// A linear map from data to user units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Data at the start and at the end.
    pub data: (f64, f64),
    /// User units at the start and at the end.
    pub units: (f64, f64),
}

impl Scale {
    /// Position of a value.
    pub fn at(&self, value: f64) -> f64 {
        let span = self.data.1 - self.data.0;
        if span == 0.0 {
            return 0.5 * (self.units.0 + self.units.1);
        }
        self.units.0 + (value - self.data.0) / span * (self.units.1 - self.units.0)
    }
}

/// Ticks at round numbers (1, 2, 2.5 or 5 times a power of ten), at most `at_most`, inside the range.
///
/// # Edge cases
/// A range of no width gives its one value; one that is not finite gives none.
/// # Example
/// ```
/// assert_eq!(groupwise_report::svg::axis::ticks(0.1, 1.1, 4), [0.25, 0.5, 0.75, 1.0]);
/// ```
pub fn ticks(from: f64, to: f64, at_most: usize) -> Vec<f64> {
    if !(from.is_finite() && to.is_finite() && to >= from) || at_most == 0 {
        return Vec::new();
    }
    if from == to {
        return vec![from];
    }
    let mut power = 10.0_f64.powf(((to - from) / at_most as f64).log10().floor() - 1.0);
    // Widths at the edge of the number range have no power of ten to step by.
    if !(power > 0.0 && power.is_finite()) {
        return vec![from];
    }
    loop {
        for factor in [1.0, 2.0, 2.5, 5.0] {
            let step = factor * power;
            let (first, last) = ((from / step - 1e-9).ceil(), (to / step + 1e-9).floor());
            if last - first + 1.0 <= at_most as f64 {
                return (0..=(last - first).max(-1.0) as i64)
                    .map(|i| (first + i as f64) * step)
                    .map(|t| if t == 0.0 { 0.0 } else { t })
                    .collect();
            }
        }
        power *= 10.0;
    }
}

/// A range that reaches to the next ticks around the data, so that axes end at round numbers.
pub fn widen(from: f64, to: f64) -> (f64, f64) {
    if !(from.is_finite() && to.is_finite()) {
        return (0.0, 1.0);
    }
    if from == to {
        let margin = if from == 0.0 { 0.5 } else { 0.1 * from.abs() };
        return (from - margin, to + margin);
    }
    let found = ticks(from, to, 6);
    let [first, second, ..] = found.as_slice() else {
        return (from, to);
    };
    let step = second - first;
    let low = if *first - from > 1e-9 * step {
        first - step
    } else {
        *first
    };
    let last = found[found.len() - 1];
    let high = if to - last > 1e-9 * step {
        last + step
    } else {
        last
    };
    (low, high)
}

/// Labels for ticks: as many decimals as the step needs, large numbers with k, M or G.
///
/// # Example
/// ```
/// use groupwise_report::svg::axis::labels;
/// assert_eq!(labels(&[0.0, 0.25, 0.5]), ["0", "0.25", "0.5"]);
/// assert_eq!(labels(&[0.0, 2500.0, 5000.0]), ["0", "2.5k", "5k"]);
/// ```
pub fn labels(ticks: &[f64]) -> Vec<String> {
    let largest = ticks.iter().fold(0.0_f64, |m, t| m.max(t.abs()));
    let (divisor, suffix) = match largest {
        l if l >= 1e9 => (1e9, "G"),
        l if l >= 1e6 => (1e6, "M"),
        l if l >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    ticks.iter().map(|t| label(t / divisor, suffix)).collect()
}

fn label(value: f64, suffix: &str) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < 1e-4 {
        return format!("{value:.0e}").replace('-', "\u{2212}");
    }
    let text = format!("{value:.5}");
    let text = text
        .trim_end_matches('0')
        .trim_end_matches('.')
        .replace('-', "\u{2212}");
    format!("{text}{suffix}")
}

/// Draws a horizontal axis below a panel: ticks, labels that keep their distance, the label of the axis.
pub fn draw_x(canvas: &mut Canvas, scale: &Scale, y: f64, label_text: &str) {
    let width = (scale.units.1 - scale.units.0).abs();
    let mut at_most = 7;
    let (mut found, mut names) = (Vec::new(), Vec::new());
    while at_most > 1 {
        found = ticks(scale.data.0, scale.data.1, at_most);
        names = labels(&found);
        let needed: f64 = names.iter().map(|n| text_width(n, TICK_SIZE) + TICK_SIZE).sum();
        if needed <= width {
            break;
        }
        at_most -= 1;
    }
    canvas.line((scale.units.0, y), (scale.units.1, y), "axis");
    for (tick, name) in found.iter().zip(&names) {
        let x = scale.at(*tick);
        canvas.line((x, y), (x, y + 4.0), "axis");
        canvas.text((x, y + 17.0), Anchor::Middle, "tick", name);
    }
    if !label_text.is_empty() {
        canvas.text(
            (0.5 * (scale.units.0 + scale.units.1), y + 35.0),
            Anchor::Middle,
            "label",
            label_text,
        );
    }
}

/// Draws a vertical axis left of a panel: horizontal grid lines and labels.  `units.0` is the bottom.
pub fn draw_y(canvas: &mut Canvas, scale: &Scale, x: (f64, f64)) {
    let height = (scale.units.0 - scale.units.1).abs();
    let at_most = ((height / 30.0) as usize).clamp(2, 6);
    let found = ticks(scale.data.0, scale.data.1, at_most);
    for (tick, name) in found.iter().zip(labels(&found)) {
        let y = scale.at(*tick);
        canvas.line((x.0, y), (x.1, y), "gridline");
        canvas.text((x.0 - 6.0, y + 4.0), Anchor::End, "tick", &name);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_use_one_unit_for_the_whole_axis() {
        assert_eq!(labels(&[0.0, 500_000.0, 1_000_000.0]), ["0", "0.5M", "1M"]);
        assert_eq!(labels(&[-0.02, 0.0, 0.02]), ["\u{2212}0.02", "0", "0.02"]);
        assert_eq!(labels(&[1e-5]), ["1e\u{2212}5"]);
        assert!(labels(&[]).is_empty());
    }

    #[test]
    fn degenerate_ranges_have_an_answer() {
        assert_eq!(ticks(2.0, 2.0, 5), [2.0]);
        assert!(ticks(f64::NAN, 1.0, 5).is_empty());
        assert!(ticks(1.0, 0.0, 5).is_empty());
        assert_eq!(ticks(0.0, 5e-324, 5), [0.0]);
        assert_eq!(ticks(-1e308, 1e308, 5), [-1e308]);
        assert_eq!(widen(f64::INFINITY, f64::NEG_INFINITY), (0.0, 1.0));
        assert_eq!(widen(0.0, 0.0), (-0.5, 0.5));
        assert_eq!(widen(0.03, 0.97), (0.0, 1.0));
        assert_eq!(
            Scale {
                data: (1.0, 1.0),
                units: (0.0, 10.0)
            }
            .at(1.0),
            5.0
        );
    }

    proptest! {
        #[test]
        fn ticks_lie_inside_are_few_and_evenly_spaced(from in -1e6..1e6f64, width in 1e-6..1e6f64, at_most in 2usize..9) {
            let found = ticks(from, from + width, at_most);
            prop_assert!(found.len() <= at_most);
            let slack = 1e-6 * width + 1e-9 * from.abs();
            prop_assert!(found.iter().all(|t| *t >= from - slack && *t <= from + width + slack));
            for w in found.windows(3) {
                prop_assert!(((w[1] - w[0]) - (w[2] - w[1])).abs() <= slack.max(1e-9));
            }
        }

        #[test]
        fn a_widened_range_contains_the_data(from in -1e3..1e3f64, width in 0.0..1e3f64) {
            let (low, high) = widen(from, from + width);
            prop_assert!(low <= from + 1e-6 && high >= from + width - 1e-6 && high > low);
        }

        #[test]
        fn labels_of_different_ticks_differ(from in -1e3..1e3f64, width in 1e-2..1e3f64) {
            let names = labels(&ticks(from, from + width, 7));
            for pair in names.windows(2) {
                prop_assert_ne!(&pair[0], &pair[1]);
            }
        }
    }
}
