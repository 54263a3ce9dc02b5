//! Cuts a run of trajectories into rectangles of similar length.

use std::ops::Range;

use groupwise_core::seams::PolicyError;
use groupwise_core::{DataError, TokenBatch};
use groupwise_model::forward::Rectangle;

/// Most cells of a rectangle of several sequences; activations of so many stay in the cache of a core.
const CELLS: usize = 1024;
/// A sequence shorter than this share of the longest starts a rectangle of its own.
const FILL: f64 = 0.75;

/// One forward pass: a padded rectangle and where its scored tokens belong.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) rectangle: Rectangle,
    /// Index of each scored token, counted from the first token of the run.
    pub(crate) slots: Vec<usize>,
    /// The token that stands there.
    pub(crate) targets: Vec<u32>,
}

/// A trajectory that has something to score.
struct Row {
    trajectory: usize,
    /// Model tokens up to, not including, the last scored one.
    length: usize,
}

/// Pieces that score every counted token of the trajectories `part`, longest first.
///
/// # Errors
/// [`PolicyError::Context`] for a sequence beyond `context`, a data error for an empty prompt or a token that
/// is not in the vocabulary.
pub(crate) fn cut(
    batch: &TokenBatch,
    part: Range<usize>,
    context: usize,
    vocab_size: usize,
) -> Result<Vec<Piece>, PolicyError> {
    let mut rows = Vec::with_capacity(part.len());
    for i in part.clone() {
        let (tokens, prompt) = (batch.tokens.range(i), &batch.prompts[i]);
        let length = prompt.len() + tokens.len();
        if length > context {
            return Err(PolicyError::Context {
                length,
                limit: context,
            });
        }
        let place = || format!("trajectory {i}");
        if prompt.is_empty() {
            return Err(DataError::value(place(), "has an empty prompt").into());
        }
        let ids = prompt.iter().chain(&batch.ids[tokens.clone()]);
        if let Some(id) = ids.copied().find(|id| *id as usize >= vocab_size) {
            let what = format!("token {id} is not in the vocabulary of {vocab_size}");
            return Err(DataError::value(place(), what).into());
        }
        if let Some(last) = batch.mask[tokens].iter().rposition(|counts| *counts) {
            rows.push(Row {
                trajectory: i,
                length: prompt.len() + last,
            });
        }
    }
    // The sort is stable: equal lengths stay in order.
    rows.sort_by_key(|row| std::cmp::Reverse(row.length));
    let mut pieces = Vec::new();
    let mut rest = &rows[..];
    while let Some(first) = rest.first() {
        let most = (CELLS / first.length).max(1);
        let least = (first.length as f64 * FILL) as usize;
        let n = rest
            .iter()
            .take(most)
            .take_while(|row| row.length >= least)
            .count()
            .max(1);
        pieces.push(fill(batch, part.start, &rest[..n], first.length));
        rest = &rest[n..];
    }
    Ok(pieces)
}

fn fill(batch: &TokenBatch, first: usize, rows: &[Row], length: usize) -> Piece {
    let mut rectangle = Rectangle::new(rows.len(), length);
    let (mut slots, mut targets) = (Vec::new(), Vec::new());
    let start = batch.tokens.range(first).start;
    for (r, row) in rows.iter().enumerate() {
        let (tokens, prompt) = (batch.tokens.range(row.trajectory), &batch.prompts[row.trajectory]);
        let ids = prompt.iter().chain(&batch.ids[tokens.clone()]);
        for (position, id) in ids.take(row.length).enumerate() {
            rectangle.set(r, position, *id);
        }
        for (t, token) in tokens.enumerate().filter(|(_, token)| batch.mask[*token]) {
            rectangle.score_after(r, prompt.len() + t - 1);
            slots.push(token - start);
            targets.push(batch.ids[token]);
        }
    }
    Piece {
        rectangle,
        slots,
        targets,
    }
}
