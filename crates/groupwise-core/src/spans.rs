//! Ragged structure as offsets: groups of trajectories, trajectories of steps, steps of tokens.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Owned offsets: item `i` covers `offsets[i]..offsets[i + 1]` of the inner level.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// let groups = Offsets::from_lengths([3, 0, 2]);
/// assert_eq!(groups.len(), 3);
/// assert_eq!(groups.range(2), 3..5);
/// assert_eq!(groups.total(), 5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets(Vec<usize>);

impl Default for Offsets {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Offsets {
    /// Offsets of consecutive items with the given lengths.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut offsets = Self::default();
        for length in lengths {
            offsets.push(length);
        }
        offsets
    }

    /// Appends an item of `length` inner elements.
    pub fn push(&mut self, length: usize) {
        self.0.push(self.total() + length);
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// True if there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of inner elements of all items.
    pub fn total(&self) -> usize {
        self.0.last().copied().unwrap_or(0)
    }

    /// Inner range of item `i`.
    pub fn range(&self, i: usize) -> Range<usize> {
        self.0[i]..self.0[i + 1]
    }

    /// Inner range of a run of items.
    pub fn range_of(&self, items: Range<usize>) -> Range<usize> {
        self.0[items.start]..self.0[items.end]
    }

    /// All items, borrowed.
    pub fn spans(&self) -> Spans<'_> {
        Spans(&self.0)
    }

    /// A run of items, borrowed; ranges start at 0 again.
    pub fn slice(&self, items: Range<usize>) -> Spans<'_> {
        Spans(&self.0[items.start..=items.end])
    }
}

/// Borrowed offsets, relative to their first entry: a run of items is a slice, no copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans<'a>(&'a [usize]);

impl<'a> Spans<'a> {
    /// Wraps offsets: at least one entry, never decreasing.
    ///
    /// # Errors
    /// [`DataError::Value`] if empty or decreasing.
    pub fn new(offsets: &'a [usize]) -> Result<Self, DataError> {
        if offsets.is_empty() {
            return Err(DataError::value("offsets", "must hold at least one entry"));
        }
        match offsets.windows(2).position(|w| w[1] < w[0]) {
            Some(i) => Err(DataError::value(format!("offset {}", i + 1), "must not decrease")),
            None => Ok(Self(offsets)),
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// True if there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of inner elements of all items.
    pub fn total(&self) -> usize {
        self.0[self.0.len() - 1] - self.0[0]
    }

    /// Inner range of item `i`, counted from the first item's start.
    pub fn range(&self, i: usize) -> Range<usize> {
        self.0[i] - self.0[0]..self.0[i + 1] - self.0[0]
    }

    /// Length of item `i`.
    pub fn len_of(&self, i: usize) -> usize {
        self.0[i + 1] - self.0[i]
    }

    /// Ranges of all items in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Range<usize>> + use<'a> {
        let base = self.0[0];
        self.0.windows(2).map(move |w| w[0] - base..w[1] - base)
    }

    /// Checks that the items cover exactly `expected` inner elements of `what`.
    ///
    /// # Errors
    /// [`DataError::Length`] if not.
    pub fn check_covers(&self, what: &str, expected: usize) -> Result<(), DataError> {
        DataError::check_len(what, expected, self.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_counts_from_zero() {
        let offsets = Offsets::from_lengths([2, 3, 4]);
        let slice = offsets.slice(1..3);
        assert_eq!(slice.len(), 2);
        assert_eq!(slice.total(), 7);
        assert_eq!(slice.iter().collect::<Vec<_>>(), vec![0..3, 3..7]);
        assert_eq!(slice.range(1), 3..7);
    }

    #[test]
    fn empty_and_decreasing_offsets_are_refused() {
        assert!(Spans::new(&[]).is_err());
        assert_eq!(
            Spans::new(&[0, 2, 1]).unwrap_err().to_string(),
            "offset 2: must not decrease"
        );
        assert!(Spans::new(&[0]).unwrap().is_empty());
    }
}
