//! Rewards of ordered lists: which ranks are hits, cumulative gain, recall.
//!
//! Rank rewards of Rank-GRPO are made of these hits by its estimator; here are the list-level figures it is measured
//! by.

use std::collections::BTreeSet;

use groupwise_core::stats;

/// A title and the year it came out, as recommenders write them: `The Matrix (1999)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Title {
    /// Name, without surrounding space.
    pub name: String,
    /// Year, where the text ends with one in parentheses.
    pub year: Option<i32>,
}

impl Title {
    /// A title of a known year.
    pub fn new(name: impl Into<String>, year: i32) -> Self {
        Self {
            name: name.into(),
            year: Some(year),
        }
    }

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
    allowed: impl FnMut(&T) -> bool,
    mut matches: impl FnMut(&T, &U) -> bool,
) -> Vec<bool> {
    nearest_hits(items, truth, allowed, |item, truth| {
        matches(item, truth).then_some(())
    })
}

/// [`rank_hits`] with degrees: an item uses up the nearest ground-truth item of those it matches, the first of equals.
fn nearest_hits<T, U, D: Ord>(
    items: &[T],
    truth: &[U],
    mut allowed: impl FnMut(&T) -> bool,
    mut distance: impl FnMut(&T, &U) -> Option<D>,
) -> Vec<bool> {
    let mut used = vec![false; truth.len()];
    let mut hit = |item: &T| {
        if !allowed(item) {
            return false;
        }
        let mut best: Option<(D, usize)> = None;
        for (j, truth) in truth.iter().enumerate() {
            let nearer = distance(item, truth).filter(|_| !used[j]);
            if let Some(d) = nearer.filter(|d| best.as_ref().is_none_or(|(least, _)| d < least)) {
                best = Some((d, j));
            }
        }
        match best {
            Some((_, j)) => {
                used[j] = true;
                true
            }
            None => false,
        }
    };
    items.iter().map(&mut hit).collect()
}

/// Which ranks of a list of titles are hits, by the rules of Rank-GRPO.
///
/// # Formula
/// Rank by rank: a seen title is no hit; nor is a pair of title and year that the catalogue lacks; else the title must be
/// that of a relevant item that no earlier rank has used, white space squeezed and letter case folded, with a year
/// within 2.  The nearest year is used up, of two as near the later one.
///
/// # Shapes
/// `n_slots` hits: ranks beyond the list are none, items beyond the slots are not looked at.
///
/// # Edge cases
/// - Seen titles and the catalogue are compared as they are written.  No catalogue: every item is allowed.
/// - An item without a year, on either side: no hit.
///
/// # Source
/// `metrics_align.py` of Rank-GRPO's authors (yaochenzhu/Rank-GRPO at 0808d82c).
///
/// # Example
/// ```
/// use groupwise_reward::ranking::{Title, title_hits};
/// let titles = |list: &[(&str, i32)]| list.iter().map(|(name, year)| Title::new(*name, *year)).collect::<Vec<_>>();
/// let (list, relevant) = (titles(&[("Up", 2009), ("heat ", 1994)]), titles(&[("Heat", 1995)]));
/// assert_eq!(title_hits::<&str>(&list, &relevant, &[], None, 3), [false, true, false]);
/// assert_eq!(title_hits(&list, &relevant, &["heat "], None, 1), [false]);
/// ```
pub fn title_hits<S: AsRef<str>>(
    list: &[Title],
    relevant: &[Title],
    seen: &[S],
    catalogue: Option<&[Title]>,
    n_slots: usize,
) -> Vec<bool> {
    const TOLERANCE: u32 = 2;
    let seen: BTreeSet<&str> = seen.iter().map(AsRef::as_ref).collect();
    let catalogue: Option<BTreeSet<&Title>> = catalogue.map(|titles| titles.iter().collect());
    let folded = |title: &Title| (folded_title(&title.name), title.year);
    let relevant: Vec<_> = relevant.iter().map(folded).collect();
    let list: Vec<_> = list.iter().take(n_slots).map(|t| (t, folded(t))).collect();
    let allowed = |(title, _): &(&Title, _)| {
        !seen.contains(title.name.as_str()) && catalogue.as_ref().is_none_or(|c| c.contains(title))
    };
    let distance = |(_, (name, year)): &(&Title, (String, Option<i32>)), other: &(String, Option<i32>)| {
        let (year, gold) = year.zip(other.1)?;
        let years = year.abs_diff(gold);
        (*name == other.0 && years <= TOLERANCE).then_some((years, gold < year))
    };
    let mut hits = nearest_hits(&list, &relevant, allowed, distance);
    hits.resize(n_slots, false);
    hits
}

/// A title with white space squeezed and letter case folded.
fn folded_title(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        // Capitals and back: so that letters with several small forms are equal.
        out.extend(
            word.chars()
                .flat_map(char::to_uppercase)
                .flat_map(char::to_lowercase),
        );
    }
    out
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

/// Normalized discounted cumulative gain against the best list of the length returned: short lists score higher.
///
/// # Formula
/// `dcg_at(hits, k) / sum_(j < min(k, n_relevant, |hits|)) 1 / log2(j + 2)`.
///
/// # Edge cases
/// - An empty list: 0.  A list of one scores its hit.
/// - Nothing relevant, or `k` = 0: `None`.
///
/// # Source
/// `ndcg_at_k` in `metrics.py` of Rank-GRPO's authors (yaochenzhu/Rank-GRPO at 0808d82c); [`ndcg_at`] is the usual one.
///
/// # Example
/// ```
/// use groupwise_reward::ranking::{ndcg_at, ndcg_returned_at};
/// assert_eq!(ndcg_returned_at(&[true], 3, 20), Some(1.0));
/// assert!(ndcg_at(&[true], 3, 20) < Some(0.5));
/// ```
pub fn ndcg_returned_at(hits: &[bool], n_relevant: usize, k: usize) -> Option<f64> {
    match hits.len() {
        0 => (k.min(n_relevant) > 0).then_some(0.0),
        n => ndcg_at(hits, n_relevant.min(n), k),
    }
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

    #[test]
    fn the_nearest_year_is_used_up_the_later_of_two() {
        let titles = |list: &[(&str, i32)]| -> Vec<Title> {
            list.iter().map(|(name, year)| Title::new(*name, *year)).collect()
        };
        let hits = |list: &[(&str, i32)], relevant: &[(&str, i32)]| {
            title_hits::<&str>(&titles(list), &titles(relevant), &[], None, list.len())
        };
        let heat = |years: &[i32]| years.iter().map(|y| ("Heat", *y)).collect::<Vec<_>>();
        assert_eq!(hits(&heat(&[1995]), &heat(&[1997])), [true]);
        assert_eq!(hits(&heat(&[1995]), &heat(&[1998])), [false]);
        // 1996 is nearest to 1995 and leaves 1994 for 1993.
        assert_eq!(hits(&heat(&[1995, 1993]), &heat(&[1994, 1996])), [true, true]);
        // The exact year wins: 1996 stays for 1998.
        assert_eq!(hits(&heat(&[1995, 1998]), &heat(&[1996, 1995])), [true, true]);
        assert_eq!(hits(&heat(&[1995, 1995]), &heat(&[1995])), [true, false]);
        assert_eq!(hits(&[("STRA\u{df}E  x", 2000)], &[("strasse X", 2000)]), [true]);
    }

    #[test]
    fn seen_and_unknown_titles_are_no_hits_and_slots_are_filled() {
        let heat = [Title::new("Heat", 1995)];
        let list = [
            Title::new("heat", 1995),
            Title::new("Heat", 1995),
            Title::parse("Heat"),
        ];
        let hits = |seen: &[&str], catalogue| title_hits(&list, &heat, seen, catalogue, 4);
        assert_eq!(hits(&[], None), [true, false, false, false]);
        assert_eq!(hits(&["heat"], None), [false, true, false, false]);
        assert_eq!(hits(&[], Some(&heat[..])), [false, true, false, false]);
        assert_eq!(hits(&["Heat"], Some(&heat[..])), [false; 4]);
        assert_eq!(hits(&[], Some(&[])), [false; 4]);
        assert_eq!(title_hits::<&str>(&list, &heat, &[], None, 0), Vec::<bool>::new());
    }

    #[test]
    fn the_returned_list_bounds_the_ideal_one_in_one_form_only() {
        assert_eq!(ndcg_returned_at(&[], 2, 5), Some(0.0));
        assert_eq!(
            (ndcg_returned_at(&[], 0, 5), ndcg_returned_at(&[true], 2, 0)),
            (None, None)
        );
        assert_eq!(ndcg_returned_at(&[false], 1, 5), Some(0.0));
        let full = [true, false, true];
        assert_eq!(ndcg_returned_at(&full, 2, 3), ndcg_at(&full, 2, 3));
    }

    proptest! {
        #[test]
        fn no_more_hits_than_relevant_items_and_the_order_of_these_is_free(
            list in prop::collection::vec((0u8..2, 1990i32..1996), 0..6), relevant in prop::collection::vec((0u8..2, 1990i32..1996), 0..5),
        ) {
            let titles = |pairs: &[(u8, i32)]| -> Vec<Title> {
                pairs.iter().map(|(name, year)| Title::new(["a", "b"][usize::from(*name)], *year)).collect()
            };
            let (list, mut relevant) = (titles(&list), titles(&relevant));
            let hits = title_hits::<&str>(&list, &relevant, &[], None, 6);
            prop_assert!(hits.iter().filter(|h| **h).count() <= relevant.len());
            relevant.reverse();
            prop_assert_eq!(title_hits::<&str>(&list, &relevant, &[], None, 6), hits);
        }

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
