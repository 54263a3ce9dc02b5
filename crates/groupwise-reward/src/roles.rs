//! Roles of a question with several valid answers: which to ask, which traces to keep, how answers are merged.
//!
//! The stages of MultiRole-R1 in front of training; relevance and similarity come from outside (the authors embed the
//! role names), so these are functions and no named part.

use groupwise_core::answers::AnswerClusters;
use groupwise_core::{DataError, ParamError, stats};
use serde::{Deserialize, Serialize};

/// Roles chosen for one question; see [`RoleSelector`].
#[derive(Clone, Debug, PartialEq)]
pub struct SelectedRoles {
    /// Probability of each candidate.
    pub probabilities: Vec<f64>,
    /// Candidates chosen, the most probable one first.
    pub selected: Vec<usize>,
}

/// Chooses roles that are relevant and unlike one another, valid by construction.
///
/// # Formula
/// `score_i = relevance_i + alpha mean_(j != i) (1 - sim_ij)`; `P = softmax(score)`; the `roles` candidates of highest P.
///
/// # Shapes
/// One relevance per candidate; `similarity`: candidate x candidate, its diagonal not read.
///
/// # Edge cases
/// - Equal P: the lower index first.  Fewer candidates than `roles`: all of them.
/// - A lone candidate has contrast 0.
///
/// # Errors
/// Parameters: `alpha` negative or not finite, `roles` 0.  Data: no candidate, a matrix of another size, a value that is
/// not finite.
///
/// # Source
/// "Diversity-Enhanced Reasoning for Subjective Questions", arXiv 2507.20187, section 3; no value of alpha was found.
///
/// # Example
/// ```
/// use groupwise_reward::roles::RoleSelector;
/// let similarity = [vec![1.0, 0.9, 0.1], vec![0.9, 1.0, 0.2], vec![0.1, 0.2, 1.0]];
/// let chosen = RoleSelector::new(1.0, 2)?.select(&[0.5, 0.5, 0.4], &similarity)?;
/// // Contrasts 0.5, 0.45 and 0.85 are added.
/// assert_eq!(chosen.selected, [2, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoleSelector {
    alpha: f64,
    roles: usize,
}

impl RoleSelector {
    /// Validates the parameters; the paper keeps three roles.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(alpha: f64, roles: usize) -> Result<Self, ParamError> {
        ParamError::check_coefficient("alpha", alpha)?;
        ParamError::check(roles >= 1, "roles", roles, ">= 1")?;
        Ok(Self { alpha, roles })
    }

    /// Chooses among the candidates.
    ///
    /// # Errors
    /// See [`RoleSelector`].
    pub fn select<M: AsRef<[f64]>>(
        &self,
        relevance: &[f64],
        similarity: &[M],
    ) -> Result<SelectedRoles, DataError> {
        let n = relevance.len();
        if n == 0 {
            return Err(DataError::value("roles", "there is no candidate"));
        }
        DataError::check_finite("relevance", relevance)?;
        DataError::check_len("similarity", similarity.len(), n)?;
        let mut scores = Vec::with_capacity(n);
        for (i, row) in similarity.iter().map(AsRef::as_ref).enumerate() {
            DataError::check_len(&format!("similarity of role {i}"), row.len(), n)?;
            DataError::check_finite(&format!("similarity of role {i}"), row)?;
            let others = (0..n).filter(|j| *j != i);
            let unlike: Vec<f64> = others.map(|j| 1.0 - row[j]).collect();
            let contrast = if unlike.is_empty() {
                0.0
            } else {
                stats::mean(&unlike)
            };
            scores.push(relevance[i] + self.alpha * contrast);
        }
        DataError::check_finite("scores of the roles", &scores)?;
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        let probabilities: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let mut selected: Vec<usize> = (0..n).collect();
        // Stable: equal probabilities keep their order.
        selected.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
        selected.truncate(self.roles);
        Ok(SelectedRoles {
            probabilities,
            selected,
        })
    }
}

/// Which of a role's traces to learn from: those that agree with its majority answer, without the shortest and longest.
///
/// # Formula
/// Of the n traces whose answer is the most frequent one (of several the earliest given), the `floor(trim n)` shortest
/// and as many longest are dropped; among equal lengths the earlier is the shorter.
///
/// # Shapes
/// `answers` (`None`: unreadable, never the majority) and `lengths`: one per trace.  Indices of what is kept, ascending.
///
/// # Errors
/// `trim` outside [0, 0.5); inputs that differ in number.
///
/// # Source
/// arXiv 2507.20187, section 3 (trim 0.1); how a tenth is rounded was not found.
///
/// # Example
/// ```
/// use groupwise_reward::roles::consistent_traces;
/// let kept = consistent_traces(&["A", "B", "A", "A", "A"].map(Some), &[5, 9, 1, 8, 6], 0.25)?;
/// assert_eq!(kept, [0, 4]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn consistent_traces<S: AsRef<str>>(
    answers: &[Option<S>],
    lengths: &[usize],
    trim: f64,
) -> Result<Vec<usize>, DataError> {
    DataError::check_len("lengths", lengths.len(), answers.len())?;
    if !(0.0..0.5).contains(&trim) {
        return Err(DataError::value("trim", format!("{trim} is not in [0, 0.5)")));
    }
    let Some(merged) = majority(answers) else {
        return Ok(Vec::new());
    };
    let agrees = |i: &usize| answers[*i].as_ref().is_some_and(|a| a.as_ref() == merged);
    let mut kept: Vec<usize> = (0..answers.len()).filter(agrees).collect();
    kept.sort_by_key(|i| lengths[*i]);
    let n_cut = (trim * kept.len() as f64).floor() as usize;
    kept.truncate(kept.len() - n_cut);
    kept.drain(..n_cut);
    kept.sort_unstable();
    Ok(kept)
}

/// How the answers of the roles become one reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// Each role has a right answer of its own.
    #[default]
    Divergent,
    /// The most frequent answer is everyone's.
    Convergent,
}

/// Accuracy of merged answers; see [`merged_accuracy`].
#[derive(Clone, Debug, PartialEq)]
pub struct MergedAccuracy {
    /// The merged answer, if answers converge and one could be read.
    pub merged: Option<String>,
    /// Accuracy in [0, 1].
    pub accuracy: f64,
}

/// Role-aware accuracy of one response.
///
/// # Formula
/// Divergent: `mean_i [a_i = g_i]`.  Convergent: with a the most frequent answer (of several the earliest given),
/// `mean_i [a = g_i]`.
///
/// # Edge cases
/// An unreadable answer (`None`) is right for nobody and not the most frequent one.
///
/// # Errors
/// No role; answers and gold answers that differ in number.
///
/// # Source
/// arXiv 2507.20187, section 3.
///
/// # Example
/// ```
/// use groupwise_reward::roles::{Merge, merged_accuracy};
/// let (answers, gold) = (["B", "A", "A", "B"].map(Some), ["A", "A", "A", "B"]);
/// assert_eq!(merged_accuracy(&answers, &gold, Merge::Divergent)?.accuracy, 0.75);
/// let found = merged_accuracy(&answers, &gold, Merge::Convergent)?;
/// assert_eq!((found.merged.as_deref(), found.accuracy), (Some("B"), 0.25));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn merged_accuracy<S: AsRef<str>, G: AsRef<str>>(
    answers: &[Option<S>],
    gold: &[G],
    merge: Merge,
) -> Result<MergedAccuracy, DataError> {
    DataError::check_len("gold", gold.len(), answers.len())?;
    if answers.is_empty() {
        return Err(DataError::value("answers", "there is none"));
    }
    let merged = match merge {
        Merge::Divergent => None,
        Merge::Convergent => majority(answers),
    };
    let given = |i: usize| match merge {
        Merge::Divergent => answers[i].as_ref().map(AsRef::as_ref),
        Merge::Convergent => merged,
    };
    let right = (0..gold.len())
        .filter(|i| given(*i) == Some(gold[*i].as_ref()))
        .count();
    Ok(MergedAccuracy {
        merged: merged.map(str::to_owned),
        accuracy: right as f64 / gold.len() as f64,
    })
}

/// The most frequent readable answer, of several the earliest given.
fn majority<S: AsRef<str>>(answers: &[Option<S>]) -> Option<&str> {
    let readable: Vec<&str> = answers.iter().flatten().map(AsRef::as_ref).collect();
    let clusters = AnswerClusters::of(readable.iter().map(|a| Some(*a)));
    let largest = clusters.majority()?;
    let first = clusters.ids().iter().position(|id| *id == largest)?;
    readable.get(first).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates() -> impl Strategy<Value = (Vec<f64>, Vec<Vec<f64>>)> {
        (1usize..7).prop_flat_map(|n| {
            let row = prop::collection::vec(-1.0..1.0f64, n..=n);
            (
                prop::collection::vec(-2.0..2.0f64, n..=n),
                prop::collection::vec(row, n..=n),
            )
        })
    }

    fn answers() -> impl Strategy<Value = Vec<Option<String>>> {
        prop::collection::vec(prop::option::weighted(0.8, "[abc]"), 1..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn roles_are_drawn_from_the_top_of_a_softmax(
            (relevance, similarity) in candidates(), alpha in 0.0..3.0f64, roles in 1usize..5,
        ) {
            let found = RoleSelector::new(alpha, roles)?.select(&relevance, &similarity)?;
            let n = relevance.len();
            let score = |i: usize| {
                let unlike: f64 = (0..n).filter(|j| *j != i).map(|j| 1.0 - similarity[i][j]).sum();
                relevance[i] + alpha * unlike / (n as f64 - 1.0).max(1.0)
            };
            let total: f64 = (0..n).map(|i| score(i).exp()).sum();
            for (i, p) in found.probabilities.iter().enumerate() {
                prop_assert!((p - score(i).exp() / total).abs() < 1e-10);
            }
            prop_assert_eq!(found.selected.len(), roles.min(n));
            let p = &found.probabilities;
            prop_assert!(found.selected.windows(2).all(|w| p[w[0]] >= p[w[1]]));
            let last = p[found.selected[found.selected.len() - 1]];
            prop_assert!((0..n).all(|i| found.selected.contains(&i) || p[i] <= last));
        }

        #[test]
        fn the_diagonal_is_not_read((relevance, similarity) in candidates(), value in -1.0..1.0f64) {
            let mut other = similarity.clone();
            for (i, row) in other.iter_mut().enumerate() {
                row[i] = value;
            }
            let selector = RoleSelector::new(1.0, 3)?;
            prop_assert_eq!(selector.select(&relevance, &similarity)?, selector.select(&relevance, &other)?);
        }

        #[test]
        fn accuracies_are_what_their_definitions_say(pairs in prop::collection::vec(("[ab]", prop::option::weighted(0.8, "[ab]")), 1..8)) {
            let (gold, answers): (Vec<String>, Vec<Option<String>>) = pairs.into_iter().unzip();
            let n = gold.len() as f64;
            let share = |right: &dyn Fn(usize) -> bool| (0..gold.len()).filter(|i| right(*i)).count() as f64 / n;
            let divergent = merged_accuracy(&answers, &gold, Merge::Divergent)?;
            prop_assert_eq!(divergent.accuracy, share(&|i| answers[i].as_ref() == Some(&gold[i])));
            prop_assert_eq!(divergent.merged, None);
            let convergent = merged_accuracy(&answers, &gold, Merge::Convergent)?;
            prop_assert_eq!(convergent.accuracy, share(&|i| convergent.merged.as_ref() == Some(&gold[i])));
            let votes = |a: Option<&String>| answers.iter().filter(|b| b.is_some() && b.as_ref() == a).count();
            let most = answers.iter().map(|a| votes(a.as_ref())).max().unwrap_or(0);
            let first = answers.iter().flatten().find(|a| votes(Some(a)) == most);
            prop_assert_eq!(convergent.merged.as_ref(), first);
        }

        #[test]
        fn kept_traces_agree_and_lie_between_those_that_are_cut(
            answers in answers(), lengths in prop::collection::vec(0usize..9, 9), trim in 0.0..0.49f64,
        ) {
            let lengths = &lengths[..answers.len()];
            let kept = consistent_traces(&answers, lengths, trim)?;
            let all = consistent_traces(&answers, lengths, 0.0)?;
            prop_assert_eq!(all.len() - kept.len(), 2 * (trim * all.len() as f64) as usize);
            prop_assert!(kept.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(all.iter().all(|i| answers[*i].is_some() && answers[*i] == answers[all[0]]));
            let cut: Vec<usize> = all.iter().copied().filter(|i| !kept.contains(i)).collect();
            if let (Some(low), Some(high)) = (kept.iter().map(|i| lengths[*i]).min(), kept.iter().map(|i| lengths[*i]).max()) {
                let outside = |side: &dyn Fn(usize) -> bool| cut.iter().filter(|i| side(lengths[**i])).count();
                prop_assert!(outside(&|l| l <= low) >= cut.len() / 2 && outside(&|l| l >= high) >= cut.len() / 2);
                prop_assert!(cut.iter().all(|i| lengths[*i] <= low || lengths[*i] >= high));
            }
        }
    }

    #[test]
    fn equal_roles_go_by_index_and_a_lone_one_has_no_contrast() {
        let same = vec![vec![0.5; 4]; 4];
        let chosen = RoleSelector::new(1.0, 3)
            .unwrap()
            .select(&[0.1; 4], &same)
            .unwrap();
        assert_eq!(chosen.selected, [0, 1, 2]);
        assert_eq!(chosen.probabilities, [0.25; 4]);
        let lone = RoleSelector::new(1.0, 3)
            .unwrap()
            .select(&[7.0], &[[0.2]])
            .unwrap();
        assert_eq!((lone.probabilities, lone.selected), (vec![1.0], vec![0]));
        let far = RoleSelector::new(0.0, 1)
            .unwrap()
            .select(&[-2000.0, 2000.0], &[[1.0; 2]; 2])
            .unwrap();
        assert_eq!((far.probabilities, far.selected), (vec![0.0, 1.0], vec![1]));
    }

    #[test]
    fn a_tenth_of_ten_is_one_and_equal_lengths_go_by_position() {
        let answers = [Some("a"); 10];
        assert_eq!(
            consistent_traces(&answers, &[3; 10], 0.1).unwrap(),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
        assert_eq!(consistent_traces(&answers[..9], &[3; 9], 0.1).unwrap().len(), 9);
        assert_eq!(
            consistent_traces(&[None::<&str>; 2], &[1, 2], 0.1).unwrap(),
            Vec::<usize>::new()
        );
    }

    #[test]
    fn bad_parameters_are_refused() {
        let new = |alpha, roles| RoleSelector::new(alpha, roles).unwrap_err().to_string();
        assert_eq!(new(-1.0, 3), "`alpha` = -1: must be a finite number >= 0");
        assert_eq!(new(f64::NAN, 3), "`alpha` = NaN: must be a finite number >= 0");
        assert_eq!(new(1.0, 0), "`roles` = 0: must be >= 1");
        let trim = |trim| {
            consistent_traces(&[Some("a")], &[1], trim)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(trim(0.5), "trim: 0.5 is not in [0, 0.5)");
        assert_eq!(trim(-0.1), "trim: -0.1 is not in [0, 0.5)");
    }

    #[test]
    fn bad_data_are_refused() {
        let select = |relevance: &[f64], similarity: &[Vec<f64>]| {
            RoleSelector::new(1.0, 3)
                .unwrap()
                .select(relevance, similarity)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(select(&[], &[]), "roles: there is no candidate");
        assert_eq!(select(&[1.0], &[]), "`similarity` has 0 entries, expected 1");
        assert_eq!(
            select(&[1.0], &[vec![1.0, 1.0]]),
            "`similarity of role 0` has 2 entries, expected 1"
        );
        assert_eq!(select(&[f64::NAN], &[vec![1.0]]), "index 0: `relevance` is NaN");
        assert_eq!(
            select(&[1.0], &[vec![f64::INFINITY]]),
            "index 0: `similarity of role 0` is inf"
        );
        let merge = |answers: &[Option<&str>], gold: &[&str]| {
            merged_accuracy(answers, gold, Merge::Divergent)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(merge(&[], &[]), "answers: there is none");
        assert_eq!(merge(&[Some("a")], &[]), "`gold` has 0 entries, expected 1");
        assert_eq!(
            consistent_traces(&[Some("a")], &[], 0.1).unwrap_err().to_string(),
            "`lengths` has 0 entries, expected 1"
        );
    }
}
