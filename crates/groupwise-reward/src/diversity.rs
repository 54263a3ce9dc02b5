//! Diversity of a text by eight classical measures, each in [0, 1].

use std::collections::{BTreeMap, BTreeSet};

use groupwise_core::answers::{EntropyEstimator, semantic_entropy};
use groupwise_core::{DataError, ParamError, stats};
use serde::{Deserialize, Serialize};

/// The measures of one text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiversityScores {
    /// Distinct tokens per token.
    pub lex: f64,
    /// Entropy of token frequencies over its maximum.
    pub ent: f64,
    /// Coefficient of variation of sentence lengths, at most 1.
    pub len: f64,
    /// Entropy of sentence types over its maximum.
    pub pat: f64,
    /// Mean Jaccard distance of consecutive sentences.
    pub adj: f64,
    /// Yule's K, not bounded; no part of the mean.
    pub yule_k: f64,
    /// Yule's K mapped to (0, 1].
    pub yule: f64,
    /// Distinct n-grams per n-gram.
    pub dist: f64,
    /// Entropy of function words over its maximum.
    pub func: f64,
}

impl DiversityScores {
    /// Mean of the eight measures.
    pub fn mean(&self) -> f64 {
        let Self {
            lex,
            ent,
            len,
            pat,
            adj,
            yule_k: _,
            yule,
            dist,
            func,
        } = *self;
        stats::mean(&[lex, ent, len, pat, adj, yule, dist, func])
    }
}

/// MultiRole-R1's measure of diversity, valid by construction.
///
/// # Formula
/// With N tokens of V types in S sentences and counts `c_v`, each measure clipped to at most 1:
/// - `lex = V / N`; `ent = H(c) / ln V`
/// - `len` = population deviation of sentence lengths over their mean; `pat = H(sentence types) / ln num_types`
/// - `adj` = mean over consecutive sentences of `1 - |A and B| / |A or B|`, A and B their sets of tokens
/// - `K = 1e4 (sum c_v^2 - N) / N^2`; `yule = 1 / (1 + K / yule_scale)`
/// - `dist` = distinct over all n-grams of the whole stream of tokens
/// - `func = H(counts of function words) / ln |F|`
///
/// # Shapes
/// A text is a list of sentences, a sentence a list of tokens, words or ids alike; one type per sentence.
///
/// # Edge cases
/// - One distinct token: `ent` 0.  One sentence: `adj` 0.  Fewer tokens than the n of the n-grams: `dist` 0.  No function
///   word in the text, or fewer than two in the inventory: `func` 0.
/// - Sentences without tokens count in `len`; two of them are alike in `adj`.
/// - Renaming tokens, those of the inventory with them, changes nothing.
///
/// # Errors
/// Parameters: `num_types` below 2, `yule_scale` not a finite number > 0, `ngram` 0.  Data: no token; types and sentences
/// that differ in number.
///
/// # Source
/// "Diversity-Enhanced Reasoning for Subjective Questions", arXiv 2507.20187, section 3 and appendix F.  `yule_scale` =
/// 100 and `num_types` = 4 are reconstructed: the variant printed in the paper (scale 1) gives about 0.01 on English,
/// where its tables show 0.15 to 0.85.
///
/// # Example
/// ```
/// use groupwise_reward::diversity::TextDiversity;
/// let scores = TextDiversity::new(4, 100.0, 2)?.scores(&[["x"; 4]], &["decl"], &["the", "a"])?;
/// assert_eq!((scores.lex, scores.ent, scores.yule_k, scores.func), (0.25, 0.0, 7500.0, 0.0));
/// assert!((scores.mean() - 0.07456140350877193).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextDiversity {
    num_types: usize,
    yule_scale: f64,
    ngram: usize,
}

impl TextDiversity {
    /// Validates the parameters.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(num_types: usize, yule_scale: f64, ngram: usize) -> Result<Self, ParamError> {
        ParamError::check(num_types >= 2, "num_types", num_types, ">= 2")?;
        ParamError::check(
            yule_scale.is_finite() && yule_scale > 0.0,
            "yule_scale",
            yule_scale,
            "a finite number > 0",
        )?;
        ParamError::check(ngram >= 1, "ngram", ngram, ">= 1")?;
        Ok(Self {
            num_types,
            yule_scale,
            ngram,
        })
    }

    /// All measures of a text.
    ///
    /// # Errors
    /// See [`TextDiversity`].
    pub fn scores<T: Ord, U: Ord, S: AsRef<[T]>>(
        &self,
        sentences: &[S],
        types: &[U],
        function_words: &[T],
    ) -> Result<DiversityScores, DataError> {
        DataError::check_len("types of sentences", types.len(), sentences.len())?;
        let tokens: Vec<&T> = sentences.iter().flat_map(AsRef::as_ref).collect();
        if tokens.is_empty() {
            return Err(DataError::value("text", "is empty"));
        }
        let counts = count(tokens.iter().copied());
        let n = tokens.len() as f64;
        let squares: f64 = counts.values().map(|c| (*c as f64).powi(2)).sum();
        let yule_k = 1e4 * (squares - n) / (n * n);
        let inventory: BTreeSet<&T> = function_words.iter().collect();
        let function = count(tokens.iter().copied().filter(|t| inventory.contains(t)));
        Ok(DiversityScores {
            lex: counts.len() as f64 / n,
            ent: evenness(&counts, counts.len()),
            len: length_variation(sentences),
            pat: evenness(&count(types), self.num_types),
            adj: adjacent_distance(sentences),
            yule_k,
            yule: 1.0 / (1.0 + yule_k / self.yule_scale),
            dist: self.distinct_ngrams(&tokens),
            func: evenness(&function, inventory.len()),
        })
    }

    fn distinct_ngrams<T: Ord>(&self, tokens: &[&T]) -> f64 {
        let n_grams = (tokens.len() + 1).saturating_sub(self.ngram);
        if n_grams == 0 {
            return 0.0;
        }
        let distinct: BTreeSet<&[&T]> = tokens.windows(self.ngram).collect();
        distinct.len() as f64 / n_grams as f64
    }
}

fn count<K: Ord>(items: impl IntoIterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// Entropy of the counts over that of `n_kinds` equally frequent kinds, at most 1; 0 for fewer than two kinds.
fn evenness<K>(counts: &BTreeMap<K, usize>, n_kinds: usize) -> f64 {
    if n_kinds < 2 {
        return 0.0;
    }
    let total = counts.values().sum::<usize>() as f64;
    let log_p: Vec<f64> = counts.values().map(|c| (*c as f64 / total).ln()).collect();
    (semantic_entropy(&log_p, EntropyEstimator::Shannon) / (n_kinds as f64).ln()).min(1.0)
}

fn length_variation<T, S: AsRef<[T]>>(sentences: &[S]) -> f64 {
    let lengths: Vec<f64> = sentences.iter().map(|s| s.as_ref().len() as f64).collect();
    (stats::population_std(&lengths) / stats::mean(&lengths)).min(1.0)
}

fn adjacent_distance<T: Ord, S: AsRef<[T]>>(sentences: &[S]) -> f64 {
    let sets: Vec<BTreeSet<&T>> = sentences.iter().map(|s| s.as_ref().iter().collect()).collect();
    let distance = |pair: &[BTreeSet<&T>]| {
        let common = pair[0].intersection(&pair[1]).count();
        let either = pair[0].len() + pair[1].len() - common;
        if either == 0 {
            0.0
        } else {
            1.0 - common as f64 / either as f64
        }
    };
    let distances: Vec<f64> = sets.windows(2).map(distance).collect();
    if distances.is_empty() {
        0.0
    } else {
        stats::mean(&distances)
    }
}

/// What kind of sentence its end mark makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentenceType {
    /// Ends in a full stop.
    Statement,
    /// Ends in a question mark.
    Question,
    /// Ends in an exclamation mark.
    Exclamation,
    /// Ends with the line or the text.
    Fragment,
}

/// Cuts a reply into sentences of words: a plain splitter of this workspace, for runs where a reply is text.
///
/// # Formula
/// A sentence ends behind a word that ends in `.`, `?` or `!` (closing quotes and brackets aside) and at the end of a
/// line.  Words stand between white space; in lower case, without what is no letter or digit at their ends.
///
/// # Edge cases
/// - Sentences without a word are dropped.
/// - Abbreviations end sentences: this is no linguist.
///
/// # Example
/// ```
/// use groupwise_reward::diversity::{SentenceType, split_sentences};
/// let (sentences, types) = split_sentences("Is it 3.5? (No.)\n-- so");
/// assert_eq!(sentences, [vec!["is", "it", "3.5"], vec!["no"], vec!["so"]]);
/// assert_eq!(types, [SentenceType::Question, SentenceType::Statement, SentenceType::Fragment]);
/// ```
pub fn split_sentences(text: &str) -> (Vec<Vec<String>>, Vec<SentenceType>) {
    let (mut sentences, mut types) = (Vec::new(), Vec::new());
    let mut finish = |words: &mut Vec<String>, kind| {
        if !words.is_empty() {
            sentences.push(std::mem::take(words));
            types.push(kind);
        }
    };
    for line in text.lines() {
        let mut words = Vec::new();
        for piece in line.split_whitespace() {
            let word = piece.trim_matches(|c: char| !c.is_alphanumeric());
            if !word.is_empty() {
                words.push(word.to_lowercase());
            }
            let closing = ['"', '\'', ')', ']', '\u{201d}', '\u{2019}'];
            match piece.trim_end_matches(closing).chars().next_back() {
                Some('.') => finish(&mut words, SentenceType::Statement),
                Some('?') => finish(&mut words, SentenceType::Question),
                Some('!') => finish(&mut words, SentenceType::Exclamation),
                _ => {}
            }
        }
        finish(&mut words, SentenceType::Fragment);
    }
    (sentences, types)
}

#[cfg(test)]
#[path = "diversity_tests.rs"]
mod tests;
