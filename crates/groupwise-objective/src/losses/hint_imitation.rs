//! Imitation of hints: a small likelihood term on the tokens that were shown, which have no policy gradient.
//!
//! Not part of a registered objective: a recipe's policy loss is whole without it, and a trainer that wants the term adds
//! the derivative to that of the loss.

use groupwise_core::{DataError, Offsets, ParamError, Spans};
use serde::{Deserialize, Serialize};

use super::{LikelihoodEvaluation, weighted_likelihood};

/// Parameters of the imitation term.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HintImitationConfig {
    /// Weight gamma of the term, >= 0.
    pub imitation: f64,
}

impl Default for HintImitationConfig {
    fn default() -> Self {
        Self { imitation: 0.001 }
    }
}

/// The tokens of a hint: those before the first token that the policy chose.
///
/// # Shapes
/// `mask`: true where the policy chose the token; the result, one flag per token.
///
/// # Edge cases
/// A trajectory without a token of the policy has no hint: nothing tells its hint from padding.
///
/// # Errors
/// A mask that does not cover the tokens.
///
/// # Source
/// SEELE (arXiv 2509.06923), section 4.3.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_objective::losses::hint_tokens;
/// let tokens = Offsets::from_lengths([4, 1]);
/// let flags = hint_tokens(tokens.spans(), &[false, false, true, false, true])?;
/// assert_eq!(flags, [true, true, false, false, false]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn hint_tokens(tokens: Spans<'_>, mask: &[bool]) -> Result<Vec<bool>, DataError> {
    DataError::check_len("mask", mask.len(), tokens.total())?;
    let mut hints = vec![false; mask.len()];
    for span in tokens.iter() {
        if let Some(n) = mask[span.clone()].iter().position(|chosen| *chosen) {
            hints[span.start..span.start + n].fill(true);
        }
    }
    Ok(hints)
}

/// The imitation term, valid by construction.
///
/// # Formula
/// `loss = -imitation / H sum_{hint tokens} logp`, H the hint tokens of the batch; `d loss / d logp = -imitation / H` on
/// them and 0 elsewhere.
///
/// # Shapes
/// Log-probabilities in nats, of every token of the completions, the shown ones included.
///
/// # Edge cases
/// No hint anywhere: loss 0.  Tokens that are no hint may hold any log-probability.
///
/// # Errors
/// Building refuses a weight that is negative or not finite.  Data: lengths that differ, a log-probability of a hint
/// token that is not finite.
///
/// # Source
/// SEELE (arXiv 2509.06923), section 4.3: the formula prints the probability of the hint; the mean negative
/// log-likelihood per hint token is reconstructed.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_objective::losses::{HintImitation, HintImitationConfig};
/// let term = HintImitation::new(&HintImitationConfig { imitation: 0.5 })?;
/// let tokens = Offsets::from_lengths([3]);
/// let at = term.evaluate(tokens.spans(), &[-1.0, -2.0, -9.0], &[false, false, true])?;
/// assert_eq!((at.loss, at.d_logp), (0.75, vec![-0.25, -0.25, 0.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HintImitation {
    imitation: f64,
}

impl HintImitation {
    /// Validates.
    ///
    /// # Errors
    /// See [`HintImitation`].
    pub fn new(config: &HintImitationConfig) -> Result<Self, ParamError> {
        let HintImitationConfig { imitation } = *config;
        ParamError::check_coefficient("imitation", imitation)?;
        Ok(Self { imitation })
    }

    /// Loss and derivative on the hint tokens of a batch.
    ///
    /// # Errors
    /// See [`HintImitation`].
    pub fn evaluate(
        &self,
        tokens: Spans<'_>,
        logp: &[f64],
        mask: &[bool],
    ) -> Result<LikelihoodEvaluation, DataError> {
        let hints = hint_tokens(tokens, mask)?;
        // All hints are one text: the mean is over their tokens, whatever trajectory shows them.
        let whole = Offsets::from_lengths([hints.len()]);
        weighted_likelihood(whole.spans(), logp, &hints, &[self.imitation])
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::samples;
    use proptest::prelude::*;

    use super::*;

    fn term(imitation: f64) -> HintImitation {
        HintImitation::new(&HintImitationConfig { imitation }).expect("valid")
    }

    #[test]
    fn a_hint_ends_where_the_policy_begins() {
        let tokens = Offsets::from_lengths([3, 0, 2, 3, 2]);
        let mask = [
            false, true, false, // a hint of one
            false, false, // nothing chosen
            true, false, false, // no hint
            false, true,
        ];
        let hints = hint_tokens(tokens.spans(), &mask).expect("fits");
        let at: Vec<usize> = (0..10).filter(|t| hints[*t]).collect();
        assert_eq!(at, [0, 8]);
        let mut logp = [f64::NAN; 10];
        (logp[0], logp[8]) = (-1.0, -4.0);
        let found = term(0.1).evaluate(tokens.spans(), &logp, &mask).expect("finite");
        assert!((found.loss - 0.25).abs() < 1e-15);
        let grads: Vec<usize> = (0..10).filter(|t| found.d_logp[*t] != 0.0).collect();
        assert_eq!(grads, at);
        assert!((found.d_logp[8] + 0.05).abs() < 1e-15);
    }

    #[test]
    fn bad_parameters_and_data_are_named() {
        for (imitation, printed) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
            assert_eq!(
                HintImitation::new(&HintImitationConfig { imitation })
                    .expect_err("refused")
                    .to_string(),
                format!("`imitation` = {printed}: must be a finite number >= 0")
            );
        }
        assert_eq!(HintImitationConfig::default().imitation, 0.001);
        let tokens = Offsets::from_lengths([2]);
        let message = |logp: &[f64], mask: &[bool]| {
            term(1.0)
                .evaluate(tokens.spans(), logp, mask)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(message(&[0.0; 2], &[true]), "`mask` has 1 entries, expected 2");
        assert_eq!(
            message(&[0.0], &[false, true]),
            "`logp` has 1 entries, expected 2"
        );
        assert_eq!(
            message(&[f64::NEG_INFINITY, 0.0], &[false, true]),
            "trajectory 0, token 0: `logp` is -inf"
        );
    }

    proptest! {
        #[test]
        fn hint_tokens_carry_no_policy_gradient_and_only_they_the_imitation(
            sample in samples(), imitation in 0.01..2.0f64,
        ) {
            let batch = &sample.batch;
            let at = term(imitation).evaluate(batch.tokens.spans(), &sample.logp, &batch.mask)?;
            let hints = hint_tokens(batch.tokens.spans(), &batch.mask)?;
            for (t, hint) in hints.iter().enumerate() {
                prop_assert!(!(*hint && batch.mask[t]));
                prop_assert_eq!(*hint, at.d_logp[t] < 0.0);
            }
            let sum: f64 = at.d_logp.iter().sum();
            let expected = if hints.contains(&true) { -imitation } else { 0.0 };
            prop_assert!((sum - expected).abs() < 1e-12);
        }

        #[test]
        fn derivatives_are_central_differences(sample in samples(), imitation in 0.0..2.0f64) {
            let batch = &sample.batch;
            let loss = |logp: &[f64]| term(imitation).evaluate(batch.tokens.spans(), logp, &batch.mask);
            let at = loss(&sample.logp)?;
            let mut moved = sample.logp.clone();
            for t in 0..moved.len() {
                let here = moved[t];
                moved[t] = here + 1e-5;
                let up = loss(&moved)?.loss;
                moved[t] = here - 1e-5;
                let numeric = (up - loss(&moved)?.loss) / 2e-5;
                moved[t] = here;
                prop_assert!((at.d_logp[t] - numeric).abs() < 1e-8);
            }
        }
    }
}
