//! How much a prompt can teach, as a function of its success rate.

use serde::{Deserialize, Serialize};

/// The gain expected from training on a prompt of success rate p.
///
/// # Formula
/// `p (1 - p)^2`, largest (4/27) at p = 1/3: of two prompts equally far from 1/2 the harder one is preferred;
/// `p (1 - p)`, the variance of a binary reward, largest (1/4) at p = 1/2.
///
/// # Source
/// VADE (arXiv 2511.18902) and Knapsack RL (arXiv 2509.25849) use the first as a first-order estimate of the
/// rise of p after one gradient step; the second is VADE's ablation.
///
/// # Example
/// ```
/// use groupwise_sampler::score::GainScore;
/// assert!((GainScore::Skewed.at(0.32) - 0.147968).abs() < 1e-12);
/// assert!((GainScore::Skewed.expected(1.1, 9.4) - 0.0712454).abs() < 1e-7);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GainScore {
    /// `p (1 - p)^2`.
    #[default]
    #[serde(rename = "p(1-p)^2")]
    Skewed,
    /// `p (1 - p)`.
    #[serde(rename = "p(1-p)")]
    Variance,
}

impl GainScore {
    /// The score at success rate `p` in [0, 1].
    pub fn at(self, p: f64) -> f64 {
        let q = 1.0 - p;
        match self {
            Self::Skewed => p * q * q,
            Self::Variance => p * q,
        }
    }

    /// Expectation of the score when p follows Beta(a, b), `a`, `b` > 0, in closed form.
    ///
    /// # Formula
    /// `a b (b + 1) / ((a + b)(a + b + 1)(a + b + 2))` and `a b / ((a + b)(a + b + 1))`.
    pub fn expected(self, a: f64, b: f64) -> f64 {
        let n = a + b;
        // Ratios, not products: large counts cannot overflow.
        let variance = (a / n) * (b / (n + 1.0));
        match self {
            Self::Skewed => variance * ((b + 1.0) / (n + 2.0)),
            Self::Variance => variance,
        }
    }

    /// The formula, for `explain`.
    pub fn formula(self) -> &'static str {
        match self {
            Self::Skewed => "p (1 - p)^2",
            Self::Variance => "p (1 - p)",
        }
    }

    /// The largest value the score takes on [0, 1].
    pub fn maximum(self) -> f64 {
        match self {
            Self::Skewed => 4.0 / 27.0,
            Self::Variance => 0.25,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn score_lies_between_zero_and_its_maximum(p in 0.0..=1.0f64) {
            for score in [GainScore::Skewed, GainScore::Variance] {
                prop_assert!(score.at(p) >= 0.0 && score.at(p) <= score.maximum() + 1e-15);
            }
        }

        #[test]
        fn expectation_approaches_the_score_at_the_mean_as_counts_grow(p in 0.01..0.99f64) {
            for score in [GainScore::Skewed, GainScore::Variance] {
                prop_assert!((score.expected(p * 1e9, (1.0 - p) * 1e9) - score.at(p)).abs() < 1e-8);
            }
        }
    }

    #[test]
    fn values_of_the_worked_example() {
        let cases = [
            (1.1, 9.4, 0.071_245_383_022_774_33),
            (3.7, 6.3, 0.128_911_363_636_363_63),
            (10.0, 1.2, 0.014_637_002_341_920_379),
        ];
        for (a, b, expected) in cases {
            assert!((GainScore::Skewed.expected(a, b) - expected).abs() < 1e-15);
        }
        // Beta(1, 1): the integrals of p (1 - p)^2 and p (1 - p) over [0, 1].
        assert!((GainScore::Skewed.expected(1.0, 1.0) - 1.0 / 12.0).abs() < 1e-16);
        assert!((GainScore::Variance.expected(1.0, 1.0) - 1.0 / 6.0).abs() < 1e-16);
        assert_eq!(GainScore::Skewed.at(0.0), 0.0);
        assert_eq!(GainScore::Skewed.at(1.0), 0.0);
        assert!(GainScore::Skewed.expected(1e200, 1e200).is_finite());
    }

    #[test]
    fn names_in_recipes_are_the_formulas() {
        let score: GainScore = serde_json::from_str("\"p(1-p)\"").unwrap();
        assert_eq!(score, GainScore::Variance);
        assert_eq!(serde_json::to_string(&GainScore::Skewed).unwrap(), "\"p(1-p)^2\"");
    }
}
