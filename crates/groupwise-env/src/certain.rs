//! Logits that leave a tabular policy no choice.
//!
//! An answer that must have a length has filler turns: states in which one action is certain.  Its log-probability is 0
//! and its gradient exactly 0, so that they count as tokens and teach nothing.

/// A logit of probability exactly 0 beside logits around 0: `exp` of it underflows, and no gradient ever moves it.
pub(crate) const IMPOSSIBLE: f64 = -1000.0;

/// Logits of a state with a single action.
pub(crate) fn certain(n_actions: usize, action: usize) -> Vec<f64> {
    (0..n_actions)
        .map(|a| if a == action { 0.0 } else { IMPOSSIBLE })
        .collect()
}

/// Logit of a starting probability.
pub(crate) fn logit_of(probability: f64) -> f64 {
    probability.ln().max(IMPOSSIBLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_impossible_has_probability_0_and_what_is_certain_1() {
        let row = certain(4, 2);
        let weights: Vec<f64> = row.iter().map(|logit| logit.exp()).collect();
        assert_eq!(weights, [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(weights.iter().sum::<f64>().ln(), 0.0);
        assert_eq!([0.0, 1.0, 0.5].map(logit_of).map(f64::exp), [0.0, 1.0, 0.5]);
    }
}
