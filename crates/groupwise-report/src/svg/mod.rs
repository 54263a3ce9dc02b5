//! A small writer of SVG figures: axes with nice ticks, lines with bands, bars, maps, forest plots.
//!
//! Figures carry classes, no colors: the page's style sheet colors them, in light and in dark.  Sizes are in user
//! units of a `viewBox`, so a figure scales with its column; it is designed 480 units wide, legible down to 300
//! pixels.  Arm `i` has class `a<i>`; its marker differs too, so that color is never needed to tell arms apart.

pub mod axis;
pub mod forest;
pub mod heatmap;
pub mod histogram;
pub mod legend;
pub mod line;

use std::fmt::Write;

/// Width of every figure in user units.
pub const WIDTH: f64 = 480.0;

/// Escapes text for element content and double-quoted attributes; control characters become spaces.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Coordinate with one decimal; what is not finite becomes 0 (callers have left such points out).
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// Estimated width of a text in user units: sans-serif averages 0.56 em per character.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|c| {
            if "il.,:;|'![]() ".contains(c) {
                0.33
            } else if c.is_uppercase() {
                0.7
            } else {
                0.56
            }
        })
        .sum::<f64>()
        * size
}

/// Shortens a text to a width, ending in an ellipsis.
pub(crate) fn fit(text: &str, width: f64, size: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if text_width(&kept, size) + 0.7 * size > width {
            kept.pop();
            break;
        }
    }
    kept.push('\u{2026}');
    kept
}

/// Where a text is anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its start.
    Start,
    /// At its middle.
    Middle,
    /// At its end.
    End,
}

/// An SVG document under construction.
#[derive(Clone, Debug)]
pub struct Canvas {
    body: String,
    height: f64,
    title: String,
}

impl Canvas {
    /// An empty figure; the title is read out by screen readers.
    pub fn new(height: f64, title: &str) -> Self {
        Self {
            body: String::new(),
            height,
            title: title.to_owned(),
        }
    }

    /// The finished element.
    pub fn finish(self) -> String {
        let (height, title) = (number(self.height), escape(&self.title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{title}\">\n{}</svg>\n",
            number(WIDTH),
            self.body
        )
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let (x1, y1, x2, y2) = (number(from.0), number(from.1), number(to.0), number(to.1));
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        ));
    }

    /// A path through points, closed or not; nothing below two points.
    pub fn path(&mut self, points: &[(f64, f64)], closed: bool, class: &str) {
        if points.len() < 2 {
            return;
        }
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            let _ = write!(d, "{command}{} {}", number(*x), number(*y));
        }
        let end = if closed { "Z" } else { "" };
        self.push(format_args!("<path class=\"{class}\" d=\"{d}{end}\"/>"));
    }

    /// A rectangle, with a tooltip unless it is empty.
    pub fn rect(
        &mut self,
        x: f64,
        y: f64,
        size: (f64, f64),
        class: &str,
        opacity: Option<f64>,
        tooltip: &str,
    ) {
        let fade = opacity
            .map(|o| format!(" fill-opacity=\"{o:.2}\""))
            .unwrap_or_default();
        let (x, y, w, h) = (
            number(x),
            number(y),
            number(size.0.max(0.0)),
            number(size.1.max(0.0)),
        );
        let open = format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{fade}");
        if tooltip.is_empty() {
            self.push(format_args!("{open}/>"));
        } else {
            self.push(format_args!("{open}><title>{}</title></rect>", escape(tooltip)));
        }
    }

    /// A text; shortened forms carry the whole text as a tooltip.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y) = (number(at.0), number(at.1));
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        ));
    }

    /// A marker of arm `index`: circle, square, triangle, diamond, then again.
    pub fn marker(&mut self, (x, y): (f64, f64), radius: f64, index: usize, class: &str) {
        let r = radius;
        match index % 4 {
            0 => {
                let (x, y, r) = (number(x), number(y), number(r));
                self.push(format_args!(
                    "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>"
                ));
            }
            1 => self.path(
                &[(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
                true,
                class,
            ),
            2 => self.path(
                &[
                    (x, y - 1.2 * r),
                    (x + 1.15 * r, y + 0.9 * r),
                    (x - 1.15 * r, y + 0.9 * r),
                ],
                true,
                class,
            ),
            _ => self.path(
                &[
                    (x, y - 1.3 * r),
                    (x + 1.3 * r, y),
                    (x, y + 1.3 * r),
                    (x - 1.3 * r, y),
                ],
                true,
                class,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_control_characters_vanish() {
        assert_eq!(
            escape("<a href=\"x\">&'\u{7}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39; "
        );
        let mut canvas = Canvas::new(10.0, "a<b");
        canvas.text((1.0, 2.0), Anchor::Middle, "t", "x<y");
        let svg = canvas.finish();
        assert!(svg.contains(">x&lt;y</text>") && svg.contains("aria-label=\"a&lt;b\""));
    }

    #[test]
    fn coordinates_are_short_and_finite() {
        assert_eq!(number(3.04), "3");
        assert_eq!(number(-0.01), "0");
        assert_eq!(number(2.25), "2.2");
        assert_eq!(number(f64::NAN), "0");
    }

    #[test]
    fn long_texts_are_shortened_to_their_width() {
        assert_eq!(fit("short", 100.0, 12.0), "short");
        let cut = fit("a very long name of an arm indeed", 100.0, 12.0);
        assert!(
            cut.ends_with('\u{2026}') && text_width(&cut, 12.0) < 106.0,
            "{cut}"
        );
    }

    #[test]
    fn a_path_of_one_point_is_nothing() {
        let mut canvas = Canvas::new(10.0, "");
        canvas.path(&[(1.0, 1.0)], false, "line");
        assert!(!canvas.finish().contains("<path"));
    }
}
