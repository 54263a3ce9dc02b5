//! Weights per token behind a stop-gradient, folded into advantages.

use groupwise_core::{DataError, Spans};

/// Multiplies the advantage of each trajectory by the weights of its tokens, into a buffer of the caller.
///
/// A surrogate that is positively homogeneous in the advantage - the clipped ratio, the capped weight, plain
/// REINFORCE - gives `w l(A) = l(w A)` for `w >= 0`, so a method that weighs tokens needs no objective of its own: its
/// weights become part of the advantages.  A KL term of the loss is not weighed that way.
///
/// # Formula
/// `out_it = w_it A_i` where the token counts, else 0.
///
/// # Shapes
/// `tokens`: trajectory -> tokens; `per_trajectory` one advantage each; `weights`, `mask` and `out` one entry per token.
/// Weights have no unit.
///
/// # Edge cases
/// A masked token may have any weight: it is not read.
///
/// # Errors
/// Lengths that disagree; a weight of a counted token that is negative or not finite, or a product that is not finite,
/// named by trajectory and token.
///
/// # Source
/// The block that GTPO (arXiv 2508.03772) and TW-GRPO (arXiv 2505.24718) have in common.
///
/// # Example
/// ```
/// use groupwise_advantage::weigh_tokens;
/// use groupwise_core::Offsets;
/// let tokens = Offsets::from_lengths([2, 2]);
/// let mut out = [0.0; 4];
/// weigh_tokens(&[0.5, -1.0], &[2.0, 1.0, 0.0, 3.0], tokens.spans(), &[true, true, true, false], &mut out)?;
/// assert_eq!(out, [1.0, 0.5, 0.0, 0.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn weigh_tokens(
    per_trajectory: &[f64],
    weights: &[f64],
    tokens: Spans<'_>,
    mask: &[bool],
    out: &mut [f64],
) -> Result<(), DataError> {
    DataError::check_len("advantages per trajectory", per_trajectory.len(), tokens.len())?;
    for (name, found) in [
        ("weights", weights.len()),
        ("mask", mask.len()),
        ("out", out.len()),
    ] {
        DataError::check_len(name, found, tokens.total())?;
    }
    for (i, (range, a)) in tokens.iter().zip(per_trajectory).enumerate() {
        let first = range.start;
        for t in range {
            let weight = if mask[t] { weights[t] } else { 0.0 };
            // NaN is refused with the negative ones.
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(DataError::value(
                    format!("trajectory {i}, token {}", t - first),
                    format!("weight {weight} must be a finite number >= 0"),
                ));
            }
            out[t] = if mask[t] { weight * a } else { 0.0 };
            if !out[t].is_finite() {
                return Err(DataError::NonFinite {
                    place: format!("trajectory {i}, token {}", t - first),
                    what: "weighted advantage".into(),
                    value: out[t].to_string(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_counted_token_gets_the_product(
            rows in prop::collection::vec((-2.0..2.0f64, prop::collection::vec((0.0..3.0f64, any::<bool>()), 0..5)), 0..6),
        ) {
            let tokens = Offsets::from_lengths(rows.iter().map(|r| r.1.len()));
            let advantages: Vec<f64> = rows.iter().map(|r| r.0).collect();
            let (weights, mask): (Vec<f64>, Vec<bool>) = rows.iter().flat_map(|r| r.1.iter().copied()).unzip();
            let mut out = vec![9.0; tokens.total()];
            weigh_tokens(&advantages, &weights, tokens.spans(), &mask, &mut out)?;
            let expected: Vec<f64> =
                rows.iter().flat_map(|(a, row)| row.iter().map(move |(w, m)| if *m { w * a } else { 0.0 })).collect();
            prop_assert_eq!(out, expected);
        }
    }

    #[test]
    fn bad_weights_are_named_and_masked_ones_are_not_read() {
        let tokens = Offsets::from_lengths([1, 2]);
        let run = |a: f64, weight: f64, mask: &[bool]| {
            let mut out = [0.0; 3];
            weigh_tokens(&[1.0, a], &[1.0, 1.0, weight], tokens.spans(), mask, &mut out).map(|()| out)
        };
        let refused = |a: f64, weight: f64| run(a, weight, &[true; 3]).expect_err("refused").to_string();
        for bad in [-0.5, f64::NAN, f64::INFINITY] {
            assert_eq!(
                refused(1.0, bad),
                format!("trajectory 1, token 1: weight {bad} must be a finite number >= 0")
            );
            assert_eq!(run(1.0, bad, &[true, true, false]), Ok([1.0, 1.0, 0.0]));
        }
        assert_eq!(
            refused(1e300, 1e10),
            "trajectory 1, token 1: `weighted advantage` is inf"
        );
        assert_eq!(run(f64::NAN, 1.0, &[true, false, false]), Ok([1.0, 0.0, 0.0]));
    }

    #[test]
    fn lengths_must_agree() {
        let tokens = Offsets::from_lengths([1, 1]);
        let run = |a: &[f64], w: &[f64], m: &[bool], out: &mut [f64]| {
            weigh_tokens(a, w, tokens.spans(), m, out)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(
            run(&[1.0], &[1.0; 2], &[true; 2], &mut [0.0; 2]),
            "`advantages per trajectory` has 1 entries, expected 2"
        );
        assert_eq!(
            run(&[1.0; 2], &[1.0], &[true; 2], &mut [0.0; 2]),
            "`weights` has 1 entries, expected 2"
        );
        assert_eq!(
            run(&[1.0; 2], &[1.0; 2], &[true], &mut [0.0; 2]),
            "`mask` has 1 entries, expected 2"
        );
        assert_eq!(
            run(&[1.0; 2], &[1.0; 2], &[true; 2], &mut [0.0; 3]),
            "`out` has 3 entries, expected 2"
        );
    }
}
