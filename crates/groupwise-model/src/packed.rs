//! Sequences without padding.

use std::ops::Range;

use crate::forward::Rectangle;

/// Sequences one after another, and the rows whose next token is scored.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    pub(crate) ids: Vec<u32>,
    /// Start of each sequence, and the end of the last.
    starts: Vec<usize>,
    pub(crate) scored: Vec<usize>,
}

impl Packed {
    /// Appends a sequence and asks for the logits after the positions `scored` of it.
    pub fn push(&mut self, ids: impl Iterator<Item = u32>, scored: impl Iterator<Item = usize>) {
        let start = self.ids.len();
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.ids.extend(ids);
        self.starts.push(self.ids.len());
        self.scored.extend(scored.map(|position| start + position));
    }

    /// Tokens of all sequences.
    pub fn n_tokens(&self) -> usize {
        self.ids.len()
    }

    /// Number of rows asked for.
    pub fn n_scored(&self) -> usize {
        self.scored.len()
    }

    /// Sequences as row ranges.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.starts.windows(2).map(|w| w[0]..w[1])
    }

    /// Longest sequence.
    pub(crate) fn longest(&self) -> usize {
        self.sequences().map(|s| s.len()).max().unwrap_or(0)
    }

    /// The same sequences as a padded rectangle, for devices that need one.
    pub fn to_rectangle(&self) -> Rectangle {
        let n = self.starts.len().saturating_sub(1);
        let mut rectangle = Rectangle::new(n, self.longest());
        for (s, rows) in self.sequences().enumerate() {
            for (position, row) in rows.clone().enumerate() {
                rectangle.set(s, position, self.ids[row]);
            }
            let scored = self.scored.iter().filter(|row| rows.contains(row));
            scored.for_each(|row| rectangle.score_after(s, row - rows.start));
        }
        rectangle
    }
}
