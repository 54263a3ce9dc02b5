//! Route reward: a sub-question near the reference's, put to the right source.
//!
//! It needs the similarity of two texts from outside (the authors embed both), so it is a function and no named
//! verifier, which would have to be pure and bounded.

use groupwise_core::{DataError, ParamError};

/// Sources a step may name.
const SOURCES: [&str; 4] = ["text", "text-image", "table", NO_SOURCE];

/// The choice not to look anything up.
const NO_SOURCE: &str = "none";

/// How far a cosine may leave [-1, 1] by the rounding of single precision.
const ROUNDING: f64 = 1e-6;

/// Step-GRPO's reward of a step that asks a sub-question of a source, valid by construction.
///
/// # Formula
/// `r = similarity_weight * sim + match_weight * match`; `match` = 1 iff exactly one source is given and it is the
/// first one of the reference.  0 if the sources are unusable: none given, one that is not known (`text`, `text-image`,
/// `table`, `none`), or `none` beside another.
///
/// # Shapes
/// `sim` in [-1, 1]: cosine similarity of sub-question and reference; the reward is in [0, 1] where `sim` is, negative
/// where `sim` is negative enough.
///
/// # Edge cases
/// - A reference without source, or one that is not known: `match` = 0.
/// - The same source twice is two sources.
/// - An output without thought, sub-question or source earns 0; whoever parses it decides that.
///
/// # Errors
/// Parameters: a weight negative or not finite, weights that do not sum to 1.  Data: `sim` outside [-1, 1] by more
/// than 1e-6.
///
/// # Source
/// R1-Router, arXiv 2505.22095; OpenBMB/R1-Router, `Easy-R1/verl/utils/reward_score/step.py`.
///
/// # Example
/// ```
/// use groupwise_reward::RouteReward;
/// let reward = RouteReward::new(0.5, 0.5)?;
/// assert_eq!(reward.score(0.8, &["text"], &["text"])?, 0.9);
/// assert_eq!(reward.score(0.8, &["table"], &["text"])?, 0.4);
/// assert_eq!(reward.score(0.9, &["text", "table"], &["text"])?, 0.45);
/// assert_eq!(reward.score(0.7, &["web"], &["text"])?, 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteReward {
    similarity_weight: f64,
    match_weight: f64,
}

impl RouteReward {
    /// Validates the weights; the authors' are 0.5 and 0.5.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(similarity_weight: f64, match_weight: f64) -> Result<Self, ParamError> {
        for (key, weight) in [
            ("similarity_weight", similarity_weight),
            ("match_weight", match_weight),
        ] {
            ParamError::check_coefficient(key, weight)?;
        }
        ParamError::check(
            (similarity_weight + match_weight - 1.0).abs() <= 1e-9,
            "match_weight",
            match_weight,
            "1 less `similarity_weight`",
        )?;
        Ok(Self {
            similarity_weight,
            match_weight,
        })
    }

    /// Reward of one step.
    ///
    /// # Errors
    /// See [`RouteReward`].
    pub fn score<S: AsRef<str>>(
        &self,
        similarity: f64,
        predicted: &[S],
        expected: &[S],
    ) -> Result<f64, DataError> {
        let range = -1.0 - ROUNDING..=1.0 + ROUNDING;
        if !range.contains(&similarity) {
            return Err(DataError::value(
                "similarity",
                format!("{similarity} is not in [-1, 1]"),
            ));
        }
        let known = |source: &S| SOURCES.contains(&source.as_ref());
        let none_beside = predicted.len() > 1 && predicted.iter().any(|s| s.as_ref() == NO_SOURCE);
        if predicted.is_empty() || none_beside || !predicted.iter().all(known) {
            return Ok(0.0);
        }
        let matches = match (predicted, expected) {
            ([one], [first, ..]) => one.as_ref() == first.as_ref(),
            _ => false,
        };
        Ok(self.similarity_weight * similarity + self.match_weight * f64::from(u8::from(matches)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unusable_sources_earn_nothing() {
        let reward = RouteReward::new(0.25, 0.75).unwrap();
        let score = |predicted: &[&str], expected: &[&str]| reward.score(1.0, predicted, expected).unwrap();
        assert_eq!(score(&["text"], &["text", "table"]), 1.0);
        assert_eq!(
            score(&["table"], &["text", "table"]),
            0.25,
            "only the first reference source counts"
        );
        assert_eq!(score(&["text", "text"], &["text"]), 0.25);
        assert_eq!(score(&["text-image"], &["text-image"]), 1.0);
        assert_eq!(score(&["none"], &["none"]), 1.0);
        assert_eq!(score(&["text"], &[]), 0.25);
        for unusable in [
            &[][..],
            &["web"],
            &["text", "web"],
            &["none", "text"],
            &["text", "none"],
            &["Text"],
        ] {
            assert_eq!(score(unusable, &["text"]), 0.0, "{unusable:?}");
        }
    }

    #[test]
    fn negative_similarity_is_allowed_and_others_are_refused() {
        let reward = RouteReward::new(0.5, 0.5).unwrap();
        let score = |similarity| reward.score(similarity, &["table"], &["text"]);
        assert_eq!(score(-1.0), Ok(-0.5));
        assert_eq!(score(1.000_000_5), Ok(0.500_000_25));
        assert_eq!(
            score(1.1).unwrap_err().to_string(),
            "similarity: 1.1 is not in [-1, 1]"
        );
        assert_eq!(
            score(-1.1).unwrap_err().to_string(),
            "similarity: -1.1 is not in [-1, 1]"
        );
        assert_eq!(
            score(f64::NAN).unwrap_err().to_string(),
            "similarity: NaN is not in [-1, 1]"
        );
        let refuse = |a, b| RouteReward::new(a, b).unwrap_err().to_string();
        assert_eq!(
            refuse(-0.5, 1.5),
            "`similarity_weight` = -0.5: must be a finite number >= 0"
        );
        assert_eq!(
            refuse(1.5, -0.5),
            "`match_weight` = -0.5: must be a finite number >= 0"
        );
        assert_eq!(
            refuse(f64::NAN, 0.5),
            "`similarity_weight` = NaN: must be a finite number >= 0"
        );
        assert_eq!(
            refuse(0.5, 0.6),
            "`match_weight` = 0.6: must be 1 less `similarity_weight`"
        );
        assert!(RouteReward::new(0.3, 0.7).is_ok() && RouteReward::new(0.0, 1.0).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn rewards_are_in_the_unit_interval_where_the_similarity_is(
            sim in 0.0..=1.0f64, weight in 0.0..=1.0f64,
            predicted in prop::collection::vec(prop::sample::select(vec!["text", "table", "none", "web"]), 0..3),
        ) {
            let r = RouteReward::new(weight, 1.0 - weight)?.score(sim, &predicted, &["text"])?;
            prop_assert!((0.0..=1.0 + 1e-12).contains(&r));
        }

        #[test]
        fn adding_sources_to_a_right_one_only_lowers_the_reward(
            sim in 0.0..=1.0f64, more in prop::collection::vec(prop::sample::select(SOURCES.to_vec()), 1..3),
        ) {
            let reward = RouteReward::new(0.5, 0.5)?;
            let right = reward.score(sim, &["text"], &["text"])?;
            prop_assert!(reward.score(sim, &[vec!["text"], more].concat(), &["text"])? < right);
        }
    }
}
