//! Clauses of a text and their word counts: the fixed encoder of estimators that compare texts.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// The clauses of a text: pieces between full stops that end a word, white space at their ends removed.
///
/// # Edge cases
/// A stop inside a number ("3.5") ends nothing; pieces without a letter or digit are left out.
///
/// # Example
/// ```
/// use groupwise_advantage::clauses::clauses;
/// assert_eq!(clauses("Refuse it. It costs 3.5 euro.").collect::<Vec<_>>(), ["Refuse it", "It costs 3.5 euro"]);
/// ```
pub fn clauses(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = |i: usize| rest[i + 1..].chars().next().is_none_or(char::is_whitespace);
        let stop = rest.match_indices('.').map(|(i, _)| i).find(|i| ends(*i));
        let (clause, after) = match stop {
            Some(i) => (&rest[..i], &rest[i + 1..]),
            None => (rest, ""),
        };
        rest = after;
        Some(clause.trim())
    })
    .filter(|clause| clause.contains(char::is_alphanumeric))
}

/// How often each word of a clause occurs; a word is a run of letters and digits, letter case ignored.
///
/// # Example
/// ```
/// use groupwise_advantage::clauses::WordCounts;
/// let (a, b) = (WordCounts::of("Yes, yes, no"), WordCounts::of("no no"));
/// assert!((a.cosine(&b) - 0.2_f64.sqrt()).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WordCounts<'a> {
    counts: BTreeMap<Cow<'a, str>, f64>,
}

impl<'a> WordCounts<'a> {
    /// Counts the words of a text.
    pub fn of(text: &'a str) -> Self {
        let mut counts = BTreeMap::new();
        let words = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        for word in words {
            let lower = if word.chars().any(char::is_uppercase) {
                Cow::Owned(word.to_lowercase())
            } else {
                Cow::Borrowed(word)
            };
            *counts.entry(lower).or_insert(0.0) += 1.0;
        }
        Self { counts }
    }

    /// True if there is no word.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Cosine of the counts, in [0, 1]; 0 if either side holds no word.
    pub fn cosine(&self, other: &Self) -> f64 {
        let square = |counts: &Self| counts.counts.values().map(|n| n * n).sum::<f64>();
        let dot: f64 = self
            .counts
            .iter()
            .filter_map(|(word, n)| other.counts.get(word).map(|m| n * m))
            .sum();
        if dot == 0.0 {
            return 0.0;
        }
        // One root of the product: counts are integers, so that equal clauses give exactly 1.
        (dot / (square(self) * square(other)).sqrt()).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn cosines_are_symmetric_in_0_to_1_and_1_with_oneself(a in "[abC ,]{0,8}", b in "[abC ,]{0,8}") {
            let (a, b) = (WordCounts::of(&a), WordCounts::of(&b));
            prop_assert!((0.0..=1.0).contains(&a.cosine(&b)));
            prop_assert_eq!(a.cosine(&b), b.cosine(&a));
            prop_assert_eq!(a.cosine(&a), if a.is_empty() { 0.0 } else { 1.0 });
        }

        #[test]
        fn clauses_hold_every_word_of_the_text(text in "[ab. ]{0,16}") {
            let joined = clauses(&text).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(WordCounts::of(&joined), WordCounts::of(&text));
        }
    }

    #[test]
    fn stops_inside_numbers_and_empty_pieces_end_nothing() {
        assert_eq!(clauses("a.b. c .. d.").collect::<Vec<_>>(), ["a.b", "c .", "d"]);
        assert_eq!(clauses(" . . ").count(), 0);
        assert_eq!(clauses("").count(), 0);
    }

    #[test]
    fn the_cosine_is_that_of_the_counts() {
        // (2, 1) and (0, 2): 2 / sqrt(5 * 4).
        let (a, b) = (WordCounts::of("Yes, yes, no"), WordCounts::of("no no"));
        assert!((a.cosine(&b) - 0.2_f64.sqrt()).abs() < 1e-15);
        // (3, 1) and (1, 3): 6 / 10.
        let (a, b) = (WordCounts::of("a a a b"), WordCounts::of("a b b b"));
        assert!((a.cosine(&b) - 0.6).abs() < 1e-15);
    }

    #[test]
    fn letter_case_is_ignored() {
        assert_eq!(
            WordCounts::of("Ärger ärger").cosine(&WordCounts::of("ÄRGER")),
            1.0
        );
        assert!(WordCounts::of("- , .").is_empty());
    }
}
