//! One head of attention over a packed group, with gradients: what a fast implementation is checked against.

use super::SharedPrefix;
use crate::dense::{add_scaled, combine, dot};
use crate::error::DataError;

type Matrix = Vec<Vec<f64>>;

/// Projections of one head.
///
/// # Shapes
/// Each has a row for each entry of an input and a column for each entry of the head: `q = x W_q`.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionWeights {
    /// Of queries.
    pub query: Vec<Vec<f64>>,
    /// Of keys.
    pub key: Vec<Vec<f64>>,
    /// Of values.
    pub value: Vec<Vec<f64>>,
}

/// Gradients of the loss with respect to the projections, shaped as they are.
pub type AttentionGradients = AttentionWeights;

/// What comes out of [`packed_attention`].
#[derive(Clone, Debug, PartialEq)]
pub struct PackedAttention {
    /// One row for each packed token.
    pub outputs: Vec<Vec<f64>>,
    /// The loss.
    pub loss: f64,
    /// Its gradients.
    pub gradients: AttentionGradients,
}

/// One head of causal attention over a packed group, a loss on its answers, and the gradients.
///
/// # Formula
/// `o_i = sum_j a_ij v_j`, `a_i = softmax over j that i sees of q_i . k_j / sqrt(d)`.  Loss: mean over answers of the mean over their tokens of
/// `tanh(readout . o)`, with `o` at the token that predicts.
///
/// # Shapes
/// `x`: one row for each packed token, which contains its position already; `readout` as wide as the head.
///
/// # Edge cases
/// An answer without tokens is left out of the mean; if all are, the loss is 0.
///
/// # Errors
/// [`DataError`] for rows or matrices of other lengths, and for what is no number.
///
/// # Source
/// Prefix Grouper, arXiv 2506.05433; the loss is ours, any will do.  The reference form: one call with a mask.
///
/// # Example
/// ```
/// use groupwise_core::shared_prefix::{AttentionWeights, SharedPrefix, packed_attention};
/// let one = vec![vec![1.0]];
/// let weights = AttentionWeights { query: one.clone(), key: one.clone(), value: one };
/// let packed = SharedPrefix::new(1, &[1, 1])?;
/// let found = packed_attention(&packed, &[vec![0.5], vec![0.0], vec![0.0]], &weights, &[1.0])?;
/// // Both answers are predicted by the prompt's token, which sees itself.
/// assert_eq!(found.outputs[0], [0.5]);
/// assert!((found.loss - 0.5_f64.tanh()).abs() < 1e-15);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn packed_attention(
    packed: &SharedPrefix,
    x: &[Vec<f64>],
    weights: &AttentionWeights,
    readout: &[f64],
) -> Result<PackedAttention, DataError> {
    check(packed, x, weights, readout)?;
    let scale = 1.0 / (readout.len() as f64).sqrt();
    let project = |w: &Matrix| -> Matrix { x.iter().map(|row| combine(row, w)).collect() };
    let (q, k, v) = (
        project(&weights.query),
        project(&weights.key),
        project(&weights.value),
    );
    let seen = |i: usize| (0..=i).filter(move |j| packed.sees(i, *j));
    let attention: Vec<Vec<(usize, f64)>> = (0..x.len())
        .map(|i| softmax(seen(i).map(|j| (j, scale * dot(&q[i], &k[j]))).collect()))
        .collect();
    let mix = |shares: &Vec<(usize, f64)>| {
        let mut out = vec![0.0; readout.len()];
        shares.iter().for_each(|(j, a)| add_scaled(&mut out, &v[*j], *a));
        out
    };
    let outputs: Matrix = attention.iter().map(mix).collect();
    let (loss, slopes) = loss_of(packed, &outputs, readout);
    let zeros = || vec![vec![0.0; readout.len()]; x.len()];
    let (mut d_q, mut d_k, mut d_v) = (zeros(), zeros(), zeros());
    for (i, shares) in attention.iter().enumerate() {
        let d_out: Vec<f64> = readout.iter().map(|r| r * slopes[i]).collect();
        let centre = dot(&d_out, &outputs[i]);
        for (j, a) in shares {
            add_scaled(&mut d_v[*j], &d_out, *a);
            // Softmax: d score = a (d a - sum of a d a), and that sum is d out . out.
            let d_score = a * (dot(&d_out, &v[*j]) - centre) * scale;
            add_scaled(&mut d_q[i], &k[*j], d_score);
            add_scaled(&mut d_k[*j], &q[i], d_score);
        }
    }
    let gradients = AttentionGradients {
        query: outer(x, &d_q),
        key: outer(x, &d_k),
        value: outer(x, &d_v),
    };
    Ok(PackedAttention {
        outputs,
        loss,
        gradients,
    })
}

fn check(
    packed: &SharedPrefix,
    x: &[Vec<f64>],
    weights: &AttentionWeights,
    readout: &[f64],
) -> Result<(), DataError> {
    DataError::check_len("x", x.len(), packed.segments().len())?;
    let width = x.first().map_or(0, Vec::len);
    for row in x {
        DataError::check_len("row of x", row.len(), width)?;
        DataError::check_finite("x", row)?;
    }
    DataError::check_finite("readout", readout)?;
    for (what, matrix) in [
        ("wq", &weights.query),
        ("wk", &weights.key),
        ("wv", &weights.value),
    ] {
        DataError::check_len(what, matrix.len(), width)?;
        for row in matrix {
            DataError::check_len(&format!("row of {what}"), row.len(), readout.len())?;
            DataError::check_finite(what, row)?;
        }
    }
    Ok(())
}

/// The loss, and its slope in `readout . o` of every token.
fn loss_of(packed: &SharedPrefix, outputs: &Matrix, readout: &[f64]) -> (f64, Vec<f64>) {
    let predicting = packed.predicting();
    let answers: Vec<&Vec<usize>> = predicting.iter().filter(|tokens| !tokens.is_empty()).collect();
    let (mut loss, mut slopes) = (0.0, vec![0.0; outputs.len()]);
    for tokens in &answers {
        let weight = 1.0 / (answers.len() * tokens.len()) as f64;
        for token in *tokens {
            let value = dot(readout, &outputs[*token]).tanh();
            loss += weight * value;
            slopes[*token] += weight * (1.0 - value * value);
        }
    }
    (loss, slopes)
}

fn softmax(scores: Vec<(usize, f64)>) -> Vec<(usize, f64)> {
    let most = scores.iter().map(|(_, s)| *s).fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<(usize, f64)> = scores.into_iter().map(|(j, s)| (j, (s - most).exp())).collect();
    let total: f64 = shares.iter().map(|(_, a)| a).sum();
    shares.into_iter().map(|(j, a)| (j, a / total)).collect()
}

/// `X^T D`.
fn outer(x: &[Vec<f64>], d: &Matrix) -> Matrix {
    let mut out = vec![vec![0.0; d.first().map_or(0, Vec::len)]; x.first().map_or(0, Vec::len)];
    for (row, slope) in x.iter().zip(d) {
        for (line, value) in out.iter_mut().zip(row) {
            add_scaled(line, slope, *value);
        }
    }
    out
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
