//! Weighted likelihood of whole texts: the imitation term that several methods add to, or build, their loss from.

use groupwise_core::{DataError, Spans};

/// A weighted likelihood and its derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct LikelihoodEvaluation {
    /// The scalar to minimize.
    pub loss: f64,
    /// Its derivative by each log-probability.
    pub d_logp: Vec<f64>,
    /// `e_i`, the mean log-probability of each text; 0 where nothing counts.
    pub means: Vec<f64>,
}

/// Minus a weighted sum of the mean log-probabilities of texts.
///
/// # Formula
/// `e_i = 1/n_i sum_t mask_it logp_it`; `loss = -sum_i c_i e_i`; `d loss / d logp_it = -c_i / n_i` where counted.
///
/// # Shapes
/// `weights`: one `c_i` per text, of any sign; `logp`, `mask`: per token, nats.
///
/// # Edge cases
/// A text without counted tokens has `e_i = 0` and no derivative.  A token that does not count, and a text of weight
/// 0, may hold any log-probability (the mean of the latter is then not finite, the loss is not touched).
///
/// # Errors
/// Lengths that differ; a weight, or a counted log-probability of a text with a weight, that is not finite, named by
/// trajectory and token.
///
/// # Source
/// The additive term of AEPO (arXiv 2510.08141) and all three terms of GRAO (arXiv 2508.07750, equation 4).
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_objective::losses::weighted_likelihood;
/// let tokens = Offsets::from_lengths([2, 1]);
/// let at = weighted_likelihood(tokens.spans(), &[-0.5, -1.5, -2.0], &[true; 3], &[1.0, -0.25])?;
/// assert_eq!((at.loss, at.d_logp), (0.5, vec![-0.5, -0.5, 0.25]));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn weighted_likelihood(
    tokens: Spans<'_>,
    logp: &[f64],
    mask: &[bool],
    weights: &[f64],
) -> Result<LikelihoodEvaluation, DataError> {
    DataError::check_len("logp", logp.len(), tokens.total())?;
    DataError::check_len("mask", mask.len(), tokens.total())?;
    DataError::check_len("weights", weights.len(), tokens.len())?;
    DataError::check_finite("weights", weights)?;
    let mut out = LikelihoodEvaluation {
        loss: 0.0,
        d_logp: vec![0.0; logp.len()],
        means: vec![0.0; weights.len()],
    };
    for (i, (span, weight)) in tokens.iter().zip(weights).enumerate() {
        let n = mask[span.clone()].iter().filter(|m| **m).count();
        if n == 0 {
            continue;
        }
        let mut sum = 0.0;
        for t in span.clone().filter(|t| mask[*t]) {
            if *weight != 0.0 && !logp[t].is_finite() {
                return Err(DataError::NonFinite {
                    place: format!("trajectory {i}, token {}", t - span.start),
                    what: "logp".into(),
                    value: logp[t].to_string(),
                });
            }
            sum += logp[t];
            out.d_logp[t] = 0.0 - weight / n as f64;
        }
        out.means[i] = sum / n as f64;
        if *weight != 0.0 {
            out.loss -= weight * out.means[i];
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use groupwise_core::testing::samples;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn silent_texts_and_texts_without_weight_may_hold_anything() {
        let tokens = Offsets::from_lengths([1, 2, 2]);
        let logp = [f64::NAN, f64::INFINITY, 0.0, -1.0, f64::NAN];
        let mask = [false, true, true, true, false];
        let at = weighted_likelihood(tokens.spans(), &logp, &mask, &[1.0, 0.0, 2.0]).expect("not read");
        assert_eq!((at.loss, at.d_logp), (2.0, vec![0.0, 0.0, 0.0, -2.0, 0.0]));
        assert_eq!((at.means[0], at.means[2]), (0.0, -1.0));
    }

    #[test]
    fn bad_input_is_named() {
        let tokens = Offsets::from_lengths([1, 2]);
        let refuse = |logp: &[f64], mask: &[bool], weights: &[f64]| {
            weighted_likelihood(tokens.spans(), logp, mask, weights)
                .expect_err("refused")
                .to_string()
        };
        let (logp, mask) = ([-1.0; 3], [true; 3]);
        assert_eq!(
            refuse(&[0.0], &mask, &[1.0; 2]),
            "`logp` has 1 entries, expected 3"
        );
        assert_eq!(
            refuse(&logp, &[true], &[1.0; 2]),
            "`mask` has 1 entries, expected 3"
        );
        assert_eq!(
            refuse(&logp, &mask, &[1.0]),
            "`weights` has 1 entries, expected 2"
        );
        assert_eq!(
            refuse(&logp, &mask, &[1.0, f64::NAN]),
            "index 1: `weights` is NaN"
        );
        assert_eq!(
            refuse(&[-1.0, -1.0, f64::NEG_INFINITY], &mask, &[1.0; 2]),
            "trajectory 1, token 1: `logp` is -inf"
        );
    }

    proptest! {
        #[test]
        fn derivatives_are_central_differences(sample in samples(), scale in -2.0..2.0f64) {
            let batch = &sample.batch;
            let weights: Vec<f64> = (0..batch.n_trajectories()).map(|i| scale * (i as f64 - 1.5)).collect();
            let loss = |logp: &[f64]| weighted_likelihood(batch.tokens.spans(), logp, &batch.mask, &weights);
            let at = loss(&sample.logp)?;
            let mut moved = sample.logp.clone();
            for t in 0..moved.len() {
                let here = moved[t];
                moved[t] = here + 1e-5;
                let up = loss(&moved)?.loss;
                moved[t] = here - 1e-5;
                let numeric = (up - loss(&moved)?.loss) / 2e-5;
                moved[t] = here;
                prop_assert!((at.d_logp[t] - numeric).abs() < 1e-8, "{} and {numeric}", at.d_logp[t]);
            }
        }

        #[test]
        fn equal_weights_over_the_texts_are_the_supervised_mean_of_token_means(sample in samples()) {
            let batch = &sample.batch;
            let filled = (0..batch.n_trajectories())
                .filter(|i| batch.mask[batch.tokens.range(*i)].contains(&true))
                .count();
            let weights = vec![1.0 / filled.max(1) as f64; batch.n_trajectories()];
            let at = weighted_likelihood(batch.tokens.spans(), &sample.logp, &batch.mask, &weights)?;
            let supervised = groupwise_core::Part::build(
                &crate::objectives::SupervisedConfig {
                    aggregation: crate::aggregate::Aggregation::SeqMeanTokenMean,
                    max_completion_length: None,
                },
                &(),
            )?;
            let inputs = groupwise_core::testing::Inputs { logp: &sample.logp, entropy: None, value: None };
            let expected = groupwise_core::testing::evaluate_whole(supervised.as_ref(), batch, &inputs)?;
            prop_assert!((at.loss - expected.loss).abs() < 1e-12);
            for (d, e) in at.d_logp.iter().zip(&expected.grads.d_logp) {
                prop_assert!((d - e).abs() < 1e-12);
            }
        }
    }
}
