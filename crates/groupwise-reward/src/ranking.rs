//! Rewards of ordered lists: which ranks are hits, cumulative gain, recall.
//!
//! Rank rewards of Rank-GRPO are made of these hits by its estimator; here are the list-level figures it is measured
//! by.

use groupwise_core::stats;

/// A title and the year it came out, as recommenders write them: `The Matrix (1999)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// Name, without surrounding space.
    pub name: String,
    /// Year, where the text ends with one in parentheses.
    pub year: Option<i32>,
}

impl Title {
    /// Reads a title; a text without a year in parentheses at its end is all name.
    ///
    /// # Example
    /// ```
    /// use groupwise_reward::ranking::Title;
    /// let title = Title::parse(" The Matrix (1999) ");
    /// assert_eq!((title.name.as_str(), title.year), ("The Matrix", Some(1999)));
    /// assert_eq!(Title::parse("M (a film)").year, None);
    /// ```
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let split = text.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
        match split.and_then(|(name, year)| Some((name, year.trim().parse().ok()?))) {
            Some((name, year)) => Self {
                name: name.trim().to_owned(),
                year: Some(year),
            },
            None => Self {
                name: text.to_owned(),
                year: None,
            },
        }
    }

    /// True if the names are equal whatever their case, and the years differ by at most `tolerance` or one is unknown.
    ///
    /// # Source
    /// `metrics_align.py` of Rank-GRPO's authors, with a tolerance of 2; what an unknown year means is our choice.
    pub fn matches(&self, other: &Self, tolerance: u32) -> bool {
        let years = match (self.year, other.year) {
            (Some(a), Some(b)) => a.abs_diff(b) <= tolerance,
            _ => true,
        };
        years && self.name.to_lowercase() == other.name.to_lowercase()
    }
}

/// Which ranks of a list are hits.
///
/// # Formula
/// `h_k = 1` if item k is allowed and matches a ground-truth item that no earlier rank has used; the first such item
/// in the order of `truth` is then used up.
///
/// # Shapes
/// One hit per item of the list.  `allowed` holds for items of the catalogue that the user has not seen.
///
/// # Edge cases
/// The same item twice: the first one is the hit.
///
/// # Source
/// `metrics_align.py` of Rank-GRPO's authors (yaochenzhu/Rank-GRPO at 0808d82c).
///
/// # Example
/// ```
/// use groupwise_reward::ranking::rank_hits;
/// let (list, truth, seen) = (["c", "a", "a", "b"], ["a", "b"], ["b"]);
/// let hits = rank_hits(&list, &truth, |item| !seen.contains(item), |item, truth| item == truth);
/// assert_eq!(hits, [false, true, false, false]);
/// ```
pub fn rank_hits<T, U>(
    items: &[T],
    truth: &[U],
    mut allowed: impl FnMut(&T) -> bool,
    mut matches: impl FnMut(&T, &U) -> bool,
) -> Vec<bool> {
    let mut used = vec![false; truth.len()];
    let mut hit = |item: &T| {
        let found = (0..truth.len()).find(|j| !used[*j] && matches(item, &truth[*j]));
        match found.filter(|_| allowed(item)) {
            Some(j) => {
                used[j] = true;
                true
            }
            None => false,
        }
    };
    items.iter().map(&mut hit).collect()
}

/// Discounted cumulative gain of the first `k` ranks.
///
/// # Formula
/// `sum_(j < k) h_j / log2(j + 2)`.
///
/// # Source
/// As `sklearn.metrics.dcg_score` with binary gains.
///
/// # Example
/// ```
/// use groupwise_reward::ranking::dcg_at;
/// assert!((dcg_at(&[true, false, false, true], 4) - 1.4306765581).abs() < 1e-9);
/// assert_eq!(dcg_at(&[true, true], 1), 1.0);
/// ```
pub fn dcg_at(hits: &[bool], k: usize) -> f64 {
    let gain = |(j, hit): (usize, &bool)| if *hit { stats::rank_discount(j) } else { 0.0 };
    hits.iter().take(k).enumerate().map(gain).sum()
}

/// Normalized discounted cumulative gain of the first `k` ranks: 1 for a list that hits all it can, from the top.
///
/// # Formula
/// `dcg_at(hits, k) / sum_(j < min(k, n_relevant)) 1 / log2(j + 2)`.
///
/// # Edge cases
/// Nothing relevant, or `k` = 0: `None`, for no list could be good or bad.
///
/// # Example
/// ```
/// use groupwise_reward::ranking::ndcg_at;
/// assert_eq!(ndcg_at(&[true, true, false], 2, 3), Some(1.0));
/// assert_eq!(ndcg_at(&[true], 0, 3), None);
/// ```
pub fn ndcg_at(hits: &[bool], n_relevant: usize, k: usize) -> Option<f64> {
    let ideal: f64 = (0..k.min(n_relevant)).map(stats::rank_discount).sum();
    (ideal > 0.0).then(|| dcg_at(hits, k) / ideal)
}

/// Share of the relevant items among the first `k` ranks.
///
/// # Formula
/// `sum_(j < k) h_j / n_relevant`.
///
/// # Edge cases
/// Nothing relevant: `None`.
///
/// # Example
/// ```
/// use groupwise_reward::ranking::recall_at;
/// assert_eq!(recall_at(&[true, false, true], 4, 2), Some(0.25));
/// ```
pub fn recall_at(hits: &[bool], n_relevant: usize, k: usize) -> Option<f64> {
    let found = hits.iter().take(k).filter(|h| **h).count();
    (n_relevant > 0).then(|| found as f64 / n_relevant as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn titles_match_without_case_and_within_two_years() {
        let parsed = |text: &str| Title::parse(text);
        let matrix = parsed("The Matrix (1999)");
        for (text, matches) in [
            ("the matrix (2001)", true),
            ("THE MATRIX (1997)", true),
            ("The Matrix (2002)", false),
            ("The Matrix (1996)", false),
            ("The Matrix", true),
            ("Matrix (1999)", false),
        ] {
            assert_eq!(matrix.matches(&parsed(text), 2), matches, "{text}");
        }
        assert_eq!(parsed("(500) Days of Summer (2009)").name, "(500) Days of Summer");
        assert_eq!(parsed("(2009)").name, "");
        assert_eq!(parsed("1917 (film)").name, "1917 (film)");
        assert_eq!(parsed("x)").name, "x)");
    }

    #[test]
    fn every_truth_is_hit_once_and_an_item_that_is_not_allowed_uses_none_up() {
        let equal = |a: &&str, b: &&str| a == b;
        let hits = |list: &[&str], truth: &[&str], seen: &[&str]| {
            rank_hits(list, truth, |item| !seen.contains(item), equal)
        };
        assert_eq!(hits(&["a", "a"], &["a", "a"], &[]), [true, true]);
        assert_eq!(hits(&["a", "a", "b"], &["b", "a"], &[]), [true, false, true]);
        assert_eq!(hits(&["a"], &[], &[]), [false]);
        assert!(hits(&[], &["a"], &[]).is_empty());
        // An item may match two truths; the first free one is used, so that the second stays for a later rank.
        let near = |a: &i32, b: &i32| a.abs_diff(*b) <= 2;
        assert_eq!(rank_hits(&[5, 4], &[4, 6], |_| true, near), [true, true]);
        assert_eq!(rank_hits(&[5, 9], &[4, 6], |_| true, near), [true, false]);
        let first_refused = rank_hits(&[5, 4], &[4], |item| *item != 5, near);
        assert_eq!(first_refused, [false, true]);
    }

    #[test]
    fn nothing_relevant_has_no_figure() {
        assert_eq!((ndcg_at(&[], 2, 0), recall_at(&[true], 0, 1)), (None, None));
        assert_eq!((ndcg_at(&[], 2, 1), recall_at(&[], 1, 1)), (Some(0.0), Some(0.0)));
    }

    proptest! {
        #[test]
        fn figures_lie_in_the_unit_interval_and_an_earlier_hit_is_worth_more(
            hits in prop::collection::vec(any::<bool>(), 1..12), k in 1usize..14,
        ) {
            let n = hits.iter().filter(|h| **h).count();
            prop_assume!(n > 0);
            let (ndcg, recall) = (ndcg_at(&hits, n, k).unwrap(), recall_at(&hits, n, k).unwrap());
            prop_assert!((0.0..=1.0 + 1e-12).contains(&ndcg) && (0.0..=1.0).contains(&recall));
            let mut sorted = hits.clone();
            sorted.sort_by_key(|h| !h);
            prop_assert!((ndcg_at(&sorted, n, k).unwrap() - 1.0).abs() < 1e-12);
            if let Some(j) = hits.windows(2).position(|w| w == [false, true]) {
                let mut earlier = hits.clone();
                earlier.swap(j, j + 1);
                prop_assert!(dcg_at(&earlier, 12) > dcg_at(&hits, 12));
            }
        }
    }
}
