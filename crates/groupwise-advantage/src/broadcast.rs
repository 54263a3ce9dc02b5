//! One advantage per trajectory to one per token.

use groupwise_core::{DataError, Spans};

/// Copies the advantage of each trajectory to its tokens, masked ones included, into a buffer of the caller.
///
/// Objectives read trajectory advantages directly; this is for consumers that want a token array.
///
/// # Formula
/// `out_it = per_trajectory_i`.
///
/// # Shapes
/// `tokens`: trajectory -> tokens; `out`: one entry per token.
///
/// # Errors
/// [`DataError::Length`] if the counts disagree.
///
/// # Example
/// ```
/// use groupwise_advantage::spread_to_tokens;
/// use groupwise_core::Offsets;
/// let tokens = Offsets::from_lengths([2, 1]);
/// let mut out = [0.0; 3];
/// spread_to_tokens(&[0.5, -0.5], tokens.spans(), &mut out)?;
/// assert_eq!(out, [0.5, 0.5, -0.5]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn spread_to_tokens(per_trajectory: &[f64], tokens: Spans<'_>, out: &mut [f64]) -> Result<(), DataError> {
    DataError::check_len("advantages per trajectory", per_trajectory.len(), tokens.len())?;
    DataError::check_len("out", out.len(), tokens.total())?;
    for (range, a) in tokens.iter().zip(per_trajectory) {
        out[range].fill(*a);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;

    use super::*;

    #[test]
    fn lengths_must_agree() {
        let tokens = Offsets::from_lengths([2, 0, 1]);
        let error = spread_to_tokens(&[1.0, 2.0], tokens.spans(), &mut [0.0; 3]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`advantages per trajectory` has 2 entries, expected 3"
        );
        let error = spread_to_tokens(&[1.0, 2.0, 3.0], tokens.spans(), &mut [0.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "`out` has 4 entries, expected 3");
        let mut out = [0.0; 3];
        spread_to_tokens(&[1.0, 2.0, 3.0], tokens.spans(), &mut out).unwrap();
        assert_eq!(out, [1.0, 1.0, 3.0]);
    }
}
