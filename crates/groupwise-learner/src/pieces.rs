//! Cuts a run of trajectories into pieces that pass through the model together.

use std::ops::Range;

use groupwise_core::seams::PolicyError;
use groupwise_core::{DataError, TokenBatch};
use groupwise_model::packed::Packed;

/// Most tokens of a piece of several sequences; activations of so many stay near the core.
const PIECE_TOKENS: usize = 512;

/// What passes through the model at once, and where its scored tokens belong.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) packed: Packed,
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
    (context, vocab_size): (usize, usize),
    least_fill: f64,
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
        let most = (PIECE_TOKENS / first.length).max(1);
        let least = (first.length as f64 * least_fill) as usize;
        let n = rest
            .iter()
            .take(most)
            .take_while(|row| row.length >= least)
            .count()
            .max(1);
        pieces.push(fill(batch, part.start, &rest[..n]));
        rest = &rest[n..];
    }
    Ok(pieces)
}

fn fill(batch: &TokenBatch, first: usize, rows: &[Row]) -> Piece {
    let mut packed = Packed::default();
    let (mut slots, mut targets) = (Vec::new(), Vec::new());
    let start = batch.tokens.range(first).start;
    for row in rows {
        let (tokens, prompt) = (batch.tokens.range(row.trajectory), &batch.prompts[row.trajectory]);
        let ids = prompt
            .iter()
            .chain(&batch.ids[tokens.clone()])
            .copied()
            .take(row.length);
        let counted = tokens.enumerate().filter(|(_, token)| batch.mask[*token]);
        packed.push(ids, counted.clone().map(|(t, _)| prompt.len() + t - 1));
        slots.extend(counted.clone().map(|(_, token)| token - start));
        targets.extend(counted.map(|(_, token)| batch.ids[token]));
    }
    Piece {
        packed,
        slots,
        targets,
    }
}
