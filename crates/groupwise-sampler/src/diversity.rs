//! How different the answers of a group are, in [0, 1]; 0 for a group of one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A measure of diversity over token sequences without padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diversity {
    /// Different 3-grams over all 3-grams, pooled over the group.
    #[default]
    Distinct3,
    /// One less the mean BLEU-3 of each answer against the others.
    #[serde(alias = "self_bleu")]
    SelfBleu,
    /// Mean edit distance of pairs over the longer length.
    Edit,
}

impl Diversity {
    /// Name in formulas.
    pub fn formula(self) -> &'static str {
        match self {
            Self::Distinct3 => "distinct 3-grams / 3-grams",
            Self::SelfBleu => "1 - mean BLEU-3 against the others",
            Self::Edit => "mean edit distance / longer length",
        }
    }

    /// Diversity of a group of token sequences.
    ///
    /// # Formula
    /// - `distinct3`: different 3-grams / all 3-grams of the group; no 3-gram: 0.
    /// - `self-bleu`: 1 - mean over members of [`bleu3`] against all others.
    /// - `edit`: mean over pairs of the Levenshtein distance / the longer length; two empty sequences: 0.
    ///
    /// # Edge cases
    /// Fewer than two members: 0.  Identical members: 0 (`distinct3`: at most one over their number).
    ///
    /// # Source
    /// MMR1 (arXiv 2509.21268), section 3.2, which names all three; its code adds self-BLEU itself, which rewards
    /// similar answers.  BLEU: Papineni et al., ACL 2002.
    ///
    /// # Example
    /// ```
    /// use groupwise_sampler::diversity::Diversity;
    /// let group: [&[u32]; 4] = [&[1, 2, 3, 4], &[1, 2, 3, 5], &[6, 7, 8, 9], &[1, 2, 3, 4]];
    /// assert_eq!(Diversity::Distinct3.of(&group), 0.625);
    /// assert!((Diversity::SelfBleu.of(&group) - 0.342510).abs() < 1e-6);
    /// assert!((Diversity::Edit.of(&group) - 7.0 / 12.0).abs() < 1e-12);
    /// ```
    pub fn of(self, group: &[&[u32]]) -> f64 {
        if group.len() < 2 {
            return 0.0;
        }
        match self {
            Self::Distinct3 => distinct3(group),
            Self::SelfBleu => {
                let bleu = |i: usize| {
                    let others: Vec<&[u32]> =
                        (0..group.len()).filter(|j| *j != i).map(|j| group[j]).collect();
                    bleu3(group[i], &others)
                };
                1.0 - (0..group.len()).map(bleu).sum::<f64>() / group.len() as f64
            }
            Self::Edit => {
                let n = group.len();
                let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
                let total: f64 = pairs.map(|(i, j)| relative_distance(group[i], group[j])).sum();
                total / (n * (n - 1) / 2) as f64
            }
        }
    }
}

fn distinct3(group: &[&[u32]]) -> f64 {
    let all = || group.iter().flat_map(|s| s.windows(3));
    let (total, distinct) = (all().count(), all().collect::<BTreeSet<_>>().len());
    if total == 0 {
        0.0
    } else {
        distinct as f64 / total as f64
    }
}

/// Weight of a precision whose matches are 0, as a number of matches.
const NO_MATCH: f64 = 0.1;

/// BLEU of a sequence against references, weights 1/3 on 1-, 2- and 3-grams.
///
/// # Formula
/// `brevity exp(1/3 sum_n ln precision_n)`, precisions with counts clipped by the largest count in a reference;
/// `brevity = exp(1 - r / h)` for a length h below that of the closest reference r (the shorter of two), else 1.
///
/// # Edge cases
/// Empty, or no common token: 0.  Without a common 2- or 3-gram its matches count as 0.1; a sequence too short for
/// them has one that does not match.
pub fn bleu3(hypothesis: &[u32], references: &[&[u32]]) -> f64 {
    let mut log_precision = 0.0;
    for n in 1..=3 {
        let counts = ngrams(hypothesis, n);
        let reference_counts: Vec<_> = references.iter().map(|r| ngrams(r, n)).collect();
        let clipped = |(gram, count): (&&[u32], &usize)| {
            let most = reference_counts.iter().filter_map(|c| c.get(gram)).max();
            most.map_or(0, |most| *count.min(most))
        };
        let matches: usize = counts.iter().map(clipped).sum();
        if n == 1 && matches == 0 {
            return 0.0;
        }
        let total = hypothesis.len().saturating_sub(n - 1).max(1) as f64;
        let matched = if matches == 0 { NO_MATCH } else { matches as f64 };
        log_precision += (matched / total).ln() / 3.0;
    }
    let h = hypothesis.len();
    let closest = references
        .iter()
        .map(|r| r.len())
        .min_by_key(|r| (r.abs_diff(h), *r));
    let brevity = match closest {
        Some(r) if h < r => (1.0 - r as f64 / h as f64).exp(),
        _ => 1.0,
    };
    brevity * log_precision.exp()
}

fn ngrams(tokens: &[u32], n: usize) -> BTreeMap<&[u32], usize> {
    let mut counts = BTreeMap::new();
    for gram in tokens.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

fn relative_distance(a: &[u32], b: &[u32]) -> f64 {
    let longer = a.len().max(b.len());
    if longer == 0 {
        return 0.0;
    }
    levenshtein(a, b) as f64 / longer as f64
}

/// Fewest insertions, deletions and replacements that turn one sequence into the other; one row of memory.
pub fn levenshtein(a: &[u32], b: &[u32]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Diversity; 3] = [Diversity::Distinct3, Diversity::SelfBleu, Diversity::Edit];

    #[test]
    fn small_groups_and_short_answers() {
        for measure in ALL {
            assert_eq!(measure.of(&[]), 0.0);
            assert_eq!(measure.of(&[&[1, 2, 3]]), 0.0);
            assert!(!measure.formula().is_empty());
        }
        assert_eq!(Diversity::Distinct3.of(&[&[1, 2], &[3]]), 0.0, "no 3-gram");
        assert_eq!(Diversity::Edit.of(&[&[], &[]]), 0.0);
        assert_eq!(Diversity::Edit.of(&[&[], &[1]]), 1.0);
        assert_eq!(bleu3(&[], &[&[1]]), 0.0);
        assert_eq!(bleu3(&[2], &[&[1]]), 0.0);
    }

    #[test]
    fn distances_are_those_of_a_pencil() {
        assert_eq!(levenshtein(&[1, 2, 3], &[2, 3, 4]), 2);
        assert_eq!(levenshtein(&[1, 2, 3], &[]), 3);
        assert_eq!(levenshtein(&[5, 1, 2], &[1, 2]), 1);
    }

    #[test]
    fn a_short_answer_pays_for_brevity_and_matches_are_clipped() {
        // Precisions 1/2 (clipped), 0.1/1, 0.1/1.
        let expected = (0.5_f64 * 0.1 * 0.1).cbrt();
        assert!((bleu3(&[1, 1], &[&[1, 2]]) - expected).abs() < 1e-12);
        // All match; two tokens against four.
        let brevity = (1.0_f64 - 4.0 / 2.0).exp();
        let expected = brevity * (1.0_f64 * 1.0 * 0.1).cbrt();
        assert!((bleu3(&[1, 2], &[&[1, 2, 3, 4]]) - expected).abs() < 1e-12);
        // References of 2 and 4 are equally close to 3: the shorter counts, no penalty.
        let expected = (1.0_f64 * 1.0 * 1.0).cbrt();
        assert!((bleu3(&[1, 2, 3], &[&[1, 2], &[1, 2, 3, 4]]) - expected).abs() < 1e-12);
    }

    fn groups() -> impl Strategy<Value = Vec<Vec<u32>>> {
        prop::collection::vec(prop::collection::vec(0u32..4, 0..9), 2..6)
    }

    fn borrow(group: &[Vec<u32>]) -> Vec<&[u32]> {
        group.iter().map(Vec::as_slice).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn diversity_lies_in_the_unit_interval_and_knows_no_order(group in groups()) {
            let mut reversed = borrow(&group);
            reversed.reverse();
            for measure in ALL {
                let d = measure.of(&borrow(&group));
                prop_assert!((-1e-12..=1.0 + 1e-12).contains(&d), "{measure:?} {d}");
                prop_assert!((measure.of(&reversed) - d).abs() < 1e-12);
            }
        }

        #[test]
        fn identical_answers_have_none(answer in prop::collection::vec(0u32..4, 3..9), n in 2usize..6) {
            let group = vec![answer.as_slice(); n];
            prop_assert!(Diversity::SelfBleu.of(&group).abs() < 1e-12);
            prop_assert_eq!(Diversity::Edit.of(&group), 0.0);
            prop_assert!(Diversity::Distinct3.of(&group) <= 1.0 / n as f64 + 1e-12);
        }

        #[test]
        fn renaming_tokens_changes_nothing(group in groups()) {
            let renamed: Vec<Vec<u32>> = group.iter().map(|s| s.iter().map(|t| 1000 - t).collect()).collect();
            for measure in ALL {
                prop_assert!((measure.of(&borrow(&group)) - measure.of(&borrow(&renamed))).abs() < 1e-12);
            }
        }

        #[test]
        fn distance_is_a_metric(
            a in prop::collection::vec(0u32..3, 0..7), b in prop::collection::vec(0u32..3, 0..7),
            c in prop::collection::vec(0u32..3, 0..7),
        ) {
            prop_assert_eq!(levenshtein(&a, &b), levenshtein(&b, &a));
            prop_assert_eq!(levenshtein(&a, &b) == 0, a == b);
            prop_assert!(levenshtein(&a, &c) <= levenshtein(&a, &b) + levenshtein(&b, &c));
        }
    }
}
