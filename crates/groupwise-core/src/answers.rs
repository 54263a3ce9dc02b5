//! Answers of a group: extraction, clusters of equal answers, and how uncertain the group is about them.
//!
//! Estimators weigh a group by its semantic entropy, rewards without labels vote with the same clusters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::stats;

/// Content of the first block `<tag>..</tag>`, as it stands; `None` if there is no closed one.
///
/// # Example
/// ```
/// use groupwise_core::answers::first_block;
/// assert_eq!(first_block("<think>2+5</think><answer> 7 </answer>", "answer"), Some(" 7 "));
/// assert_eq!(first_block("<answer>7", "answer"), None);
/// ```
pub fn first_block<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    Some(rest.split_once(&format!("</{tag}>"))?.0)
}

/// Where in a reply the answer stands that answers are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerPart {
    /// The whole reply.
    #[default]
    Whole,
    /// The first `<answer>..</answer>` block; a reply without one is unparsable.
    AnswerTag,
}

impl AnswerPart {
    /// The answer without white space at its ends; `None` if the reply is unparsable.
    pub fn of(self, reply: &str) -> Option<&str> {
        match self {
            Self::Whole => Some(reply.trim()),
            Self::AnswerTag => first_block(reply, "answer").map(str::trim),
        }
    }
}

/// How the entropy of a group's clusters is estimated from their probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntropyEstimator {
    /// `-(1/K) sum_k ln p_k`: every cluster weighs the same.
    #[default]
    ClusterMean,
    /// `-sum_k p_k ln p_k`.
    Shannon,
}

/// Entropy over clusters, nats.
///
/// # Formula
/// Cluster mean: `-(1/K) sum_k ln p_k`; Shannon: `-sum_k p_k ln p_k`.
///
/// # Shapes
/// `log_p`: ln p_k of each of the K clusters, nats.
///
/// # Edge cases
/// - No cluster, or one cluster of probability 1: 0.
/// - For any probabilities, cluster mean >= ln K >= Shannon.
/// - A probability too small for `f64` still counts in the cluster mean, since its logarithm is given.
///
/// # Source
/// SEED-GRPO, arXiv 2505.12346, equation 5 (cluster mean); Shannon's as in "Semantic uncertainty", arXiv 2302.09664.
///
/// # Example
/// ```
/// use groupwise_core::answers::{semantic_entropy, AnswerClusters, EntropyEstimator};
/// let clusters = AnswerClusters::of(["3", "3", "3", "9", "3", "3"].map(Some));
/// let log_p = clusters.log_shares();
/// assert!((semantic_entropy(&log_p, EntropyEstimator::ClusterMean) - 0.9870405130110048).abs() < 1e-15);
/// assert!((semantic_entropy(&log_p, EntropyEstimator::Shannon) - 0.45056120886630463).abs() < 1e-15);
/// ```
pub fn semantic_entropy(log_p: &[f64], estimator: EntropyEstimator) -> f64 {
    if log_p.is_empty() {
        return 0.0;
    }
    let entropy = match estimator {
        EntropyEstimator::ClusterMean => -stats::mean(log_p),
        EntropyEstimator::Shannon => -log_p
            .iter()
            .map(|l| if l.exp() > 0.0 { l.exp() * l } else { 0.0 })
            .sum::<f64>(),
    };
    // Not `-0`, and not a rounding below 0.
    entropy.max(0.0) + 0.0
}

/// Answers of one group, sorted into clusters of equal ones, numbered in order of first appearance.
///
/// # Edge cases
/// - Unparsable answers (`None`) form one cluster of their own.
/// - The empty string is an answer, equal to no other and not unparsable.
///
/// # Example
/// ```
/// use groupwise_core::answers::AnswerClusters;
/// let clusters = AnswerClusters::of([Some("7"), None, Some("3"), Some("7"), None, Some("7")]);
/// assert_eq!(clusters.ids(), [0, 1, 2, 0, 1, 0]);
/// assert_eq!(clusters.counts(), [3, 2, 1]);
/// assert_eq!(clusters.majority(), Some(0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerClusters {
    ids: Vec<usize>,
    counts: Vec<usize>,
}

impl AnswerClusters {
    /// Clusters canonical answers; put "0.5" and "1/2" into one form first, or they are two clusters.
    pub fn of<S: AsRef<str>>(answers: impl IntoIterator<Item = Option<S>>) -> Self {
        let answers: Vec<Option<S>> = answers.into_iter().collect();
        let mut known: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        let mut out = Self::default();
        for answer in &answers {
            let next = out.counts.len();
            let id = *known.entry(answer.as_ref().map(AsRef::as_ref)).or_insert(next);
            if id == next {
                out.counts.push(0);
            }
            out.counts[id] += 1;
            out.ids.push(id);
        }
        out
    }

    /// Cluster of each answer.
    pub fn ids(&self) -> &[usize] {
        &self.ids
    }

    /// Answers in each cluster.
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// Number of answers.
    pub fn n_answers(&self) -> usize {
        self.ids.len()
    }

    /// Number of clusters.
    pub fn n_clusters(&self) -> usize {
        self.counts.len()
    }

    /// The largest cluster, of several the one that appeared first; `None` if there is no answer.
    pub fn majority(&self) -> Option<usize> {
        let largest = self.counts.iter().max()?;
        self.counts.iter().position(|count| count == largest)
    }

    /// Share of the group's answers in each cluster, `|C_k| / G`.
    pub fn shares(&self) -> Vec<f64> {
        let n = self.n_answers() as f64;
        self.counts.iter().map(|count| *count as f64 / n).collect()
    }

    /// Logarithm of [`AnswerClusters::shares`], nats.
    pub fn log_shares(&self) -> Vec<f64> {
        self.shares().into_iter().map(f64::ln).collect()
    }

    /// Logarithm of each cluster's share of the group's likelihood, nats.
    ///
    /// # Formula
    /// `ln p_k = ln sum_{i in C_k} exp(logp_i) - ln sum_i exp(logp_i)`, computed without leaving logarithms.
    ///
    /// # Shapes
    /// `logp`: log-probability of each whole answer, nats.
    ///
    /// # Errors
    /// `logp` of another length or not finite.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::answers::AnswerClusters;
    /// let clusters = AnswerClusters::of([Some("a"), Some("b")]);
    /// // Far below the smallest `f64`, yet exact.
    /// let log_p = clusters.log_likelihood_shares(&[-2000.0, -2000.0])?;
    /// assert!((log_p[1] + 2.0_f64.ln()).abs() < 1e-12);
    /// # Ok::<(), groupwise_core::DataError>(())
    /// ```
    pub fn log_likelihood_shares(&self, logp: &[f64]) -> Result<Vec<f64>, DataError> {
        DataError::check_len("logp of the answers", logp.len(), self.n_answers())?;
        DataError::check_finite("logp of the answers", logp)?;
        let mut largest = vec![f64::NEG_INFINITY; self.n_clusters()];
        for (id, l) in self.ids.iter().zip(logp) {
            largest[*id] = largest[*id].max(*l);
        }
        let mut sums = vec![0.0; self.n_clusters()];
        for (id, l) in self.ids.iter().zip(logp) {
            sums[*id] += (l - largest[*id]).exp();
        }
        let logs: Vec<f64> = largest.iter().zip(&sums).map(|(m, s)| m + s.ln()).collect();
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = top + logs.iter().map(|l| (l - top).exp()).sum::<f64>().ln();
        Ok(logs.iter().map(|l| l - total).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [EntropyEstimator; 2] = [EntropyEstimator::ClusterMean, EntropyEstimator::Shannon];

    fn answers() -> impl Strategy<Value = Vec<Option<String>>> {
        prop::collection::vec(prop::option::weighted(0.9, "[ab]{0,2}"), 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn equal_answers_share_a_cluster_and_others_do_not(answers in answers()) {
            let clusters = AnswerClusters::of(answers.clone());
            for i in 0..answers.len() {
                for j in 0..answers.len() {
                    prop_assert_eq!(answers[i] == answers[j], clusters.ids()[i] == clusters.ids()[j]);
                }
            }
            prop_assert_eq!(clusters.counts().iter().sum::<usize>(), answers.len());
            for (k, count) in clusters.counts().iter().enumerate() {
                prop_assert_eq!(clusters.ids().iter().filter(|id| **id == k).count(), *count);
            }
            prop_assert!((clusters.shares().iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }

        #[test]
        fn entropies_of_counts_lie_between_0_and_ln_g(answers in answers()) {
            let clusters = AnswerClusters::of(answers);
            let (g, k) = (clusters.n_answers(), clusters.n_clusters());
            for estimator in BOTH {
                let entropy = semantic_entropy(&clusters.log_shares(), estimator);
                let top = (g as f64).ln();
                prop_assert!((0.0..=top + 1e-12).contains(&entropy));
                prop_assert_eq!(entropy < 1e-12, k == 1);
                prop_assert_eq!((entropy - top).abs() < 1e-12, k == g);
            }
        }

        #[test]
        fn cluster_mean_is_at_least_ln_k_and_shannon_at_most(
            answers in answers(), logp in prop::collection::vec(-20.0..0.0f64, 12),
        ) {
            let clusters = AnswerClusters::of(answers);
            let ln_k = (clusters.n_clusters() as f64).ln();
            let weighed = clusters.log_likelihood_shares(&logp[..clusters.n_answers()])?;
            for log_p in [clusters.log_shares(), weighed] {
                prop_assert!((log_p.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
                prop_assert!(semantic_entropy(&log_p, EntropyEstimator::ClusterMean) >= ln_k - 1e-12);
                prop_assert!(semantic_entropy(&log_p, EntropyEstimator::Shannon) <= ln_k + 1e-12);
            }
        }

        #[test]
        fn equal_likelihoods_are_counts(answers in answers(), logp in -3000.0..0.0f64) {
            let clusters = AnswerClusters::of(answers);
            let weighed = clusters.log_likelihood_shares(&vec![logp; clusters.n_answers()])?;
            for (a, b) in weighed.iter().zip(clusters.log_shares()) {
                prop_assert!((a - b).abs() < 1e-11);
            }
        }

        #[test]
        fn relabelling_changes_nothing(answers in answers()) {
            let renamed = answers.iter().map(|a| a.as_ref().map(|a| format!("<{a}>")));
            prop_assert_eq!(AnswerClusters::of(renamed), AnswerClusters::of(answers.clone()));
        }
    }

    #[test]
    fn an_empty_answer_is_not_an_unparsable_one() {
        let clusters = AnswerClusters::of([Some(""), None, None, Some("")]);
        assert_eq!(clusters.ids(), [0, 1, 1, 0]);
        assert_eq!(clusters.majority(), Some(0));
        let late = AnswerClusters::of([Some("a"), Some("b"), Some("b")]);
        assert_eq!(late.majority(), Some(1));
    }

    #[test]
    fn no_answers_are_no_clusters() {
        let clusters = AnswerClusters::of(Vec::<Option<&str>>::new());
        assert_eq!((clusters.n_clusters(), clusters.majority()), (0, None));
        assert_eq!(clusters.log_likelihood_shares(&[]), Ok(vec![]));
        for estimator in BOTH {
            assert_eq!(semantic_entropy(&[], estimator).to_bits(), 0);
            assert_eq!(semantic_entropy(&[0.0], estimator).to_bits(), 0);
            assert!(semantic_entropy(&[0.0, f64::NEG_INFINITY], EntropyEstimator::Shannon) == 0.0);
        }
    }

    #[test]
    fn lengths_and_values_of_likelihoods_are_checked() {
        let clusters = AnswerClusters::of([Some("a"), Some("b")]);
        assert_eq!(
            clusters.log_likelihood_shares(&[-1.0]).unwrap_err().to_string(),
            "`logp of the answers` has 1 entries, expected 2"
        );
        assert_eq!(
            clusters
                .log_likelihood_shares(&[-1.0, f64::NAN])
                .unwrap_err()
                .to_string(),
            "index 1: `logp of the answers` is NaN"
        );
    }

    #[test]
    fn the_first_closed_block_is_the_answer() {
        assert_eq!(
            AnswerPart::AnswerTag.of("<answer> 1\n</answer><answer>2</answer>"),
            Some("1")
        );
        assert_eq!(AnswerPart::AnswerTag.of("</answer><answer>2"), None);
        assert_eq!(AnswerPart::AnswerTag.of("7"), None);
        assert_eq!(AnswerPart::Whole.of(" 7\n"), Some("7"));
    }
}
