//! Circuits of a network before and after training: which heads came, stayed and went, and how much they matter.

use std::collections::{BTreeMap, BTreeSet};

use groupwise_core::ParamError;

use crate::error::StatsError;

/// Importance of the heads of a circuit.
///
/// # Formula
/// `I(h)` = sum of |score| over the edges of all examples that leave `h` and have |score| >= `tau`, divided by the total over heads.
///
/// # Shapes
/// One list of (source head, score) for each example.
///
/// # Edge cases
/// No edge is kept: no head is listed, all count as 0.
///
/// # Errors
/// A `tau` below 0 or not finite; a score that is not finite.
///
/// # Source
/// Thinking Sparks, arXiv 2509.25758, equation 17.
///
/// # Example
/// ```
/// use groupwise_stats::circuits::head_importance;
/// let edges = [vec![("0.0", 0.5), ("1.1", -0.2)], vec![("0.0", 0.3), ("1.1", 0.05)]];
/// let importance = head_importance(&edges, 0.1)?;
/// assert!((importance["0.0"] - 0.8).abs() < 1e-15 && (importance["1.1"] - 0.2).abs() < 1e-15);
/// # Ok::<(), groupwise_stats::StatsError>(())
/// ```
pub fn head_importance<H: AsRef<str>>(
    examples: &[Vec<(H, f64)>],
    tau: f64,
) -> Result<BTreeMap<String, f64>, StatsError> {
    ParamError::check_coefficient("threshold", tau)?;
    let mut importance = BTreeMap::new();
    for (index, (head, score)) in examples.iter().flatten().enumerate() {
        if !score.is_finite() {
            return Err(StatsError::Value {
                what: "scores",
                index,
                value: score.to_string(),
                domain: "finite",
            });
        }
        if score.abs() >= tau {
            *importance.entry(head.as_ref().to_owned()).or_insert(0.0) += score.abs();
        }
    }
    let total: f64 = importance.values().sum();
    if total > 0.0 {
        importance.values_mut().for_each(|share| *share /= total);
    }
    Ok(importance)
}

/// How much more a head matters after training than before.
///
/// # Formula
/// `E = (I_post - I_pre) / (I_post + I_pre + eps)`.
///
/// # Edge cases
/// 0 for a head that matters in neither; within (-1, 1) for `eps > 0`.
///
/// # Source
/// Thinking Sparks, arXiv 2509.25758, equation 18, with `eps` = 1e-6.
///
/// # Example
/// ```
/// use groupwise_stats::circuits::training_effect;
/// assert!((training_effect(0.8, 1.0 / 7.0, 1e-6) + 0.6969689577601962).abs() < 1e-12);
/// assert_eq!(training_effect(0.0, 0.0, 1e-6), 0.0);
/// ```
pub fn training_effect(before: f64, after: f64, eps: f64) -> f64 {
    let sum = before + after + eps;
    if sum == 0.0 { 0.0 } else { (after - before) / sum }
}

/// One checkpoint beside the base.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointHeads {
    /// Heads of its circuit that the base's lacks.
    pub emergent: BTreeSet<String>,
    /// Heads of both.
    pub retained: BTreeSet<String>,
    /// For each checkpoint up to the last, how many of the emergent heads emerged there first.
    pub cohorts: Vec<usize>,
    /// Share of the emergent heads of this checkpoint and the one before that are in one of them only; 0 for the first, and for two
    /// without any.
    pub turnover: f64,
}

/// How the heads of a circuit come and go.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadHistory {
    /// One for each checkpoint.
    pub checkpoints: Vec<CheckpointHeads>,
    /// Share of all heads that ever emerged that are there at the last checkpoint; 0 without any.
    pub survival: f64,
}

/// Heads of the circuits of a series of checkpoints, against those of the base.
///
/// # Formula
/// Emergent `E_t = H_t \ H_B`, retained `H_t n H_B`; the cohort of a head is the first checkpoint at which it emerged, also if it leaves and
/// returns; turnover `1 - |E_t n E_(t-1)| / |E_t u E_(t-1)|`; survival `|E_last| / |union of all E_t|`.
///
/// # Source
/// Thinking Sparks, arXiv 2509.25758; turnover and survival are ours, as numbers for its "dynamic search".
///
/// # Example
/// ```
/// use groupwise_stats::circuits::head_history;
/// let history = head_history(&["0.1"], &[vec!["0.1", "3.0"], vec!["3.0", "4.0"]]);
/// assert_eq!((history.checkpoints[1].turnover, history.survival), (0.5, 1.0));
/// assert_eq!(history.checkpoints[1].cohorts, [1, 1]);
/// ```
pub fn head_history<H: AsRef<str>>(base: &[H], checkpoints: &[Vec<H>]) -> HeadHistory {
    let set =
        |heads: &[H]| -> BTreeSet<String> { heads.iter().map(|head| head.as_ref().to_owned()).collect() };
    let base = set(base);
    let mut first_seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found: Vec<CheckpointHeads> = Vec::with_capacity(checkpoints.len());
    for (t, heads) in checkpoints.iter().enumerate() {
        let heads = set(heads);
        let emergent: BTreeSet<String> = heads.difference(&base).cloned().collect();
        let mut cohorts = vec![0; checkpoints.len()];
        for head in &emergent {
            cohorts[*first_seen.entry(head.clone()).or_insert(t)] += 1;
        }
        let turnover = found.last().map_or(0.0, |before| {
            let union = before.emergent.union(&emergent).count();
            let both = before.emergent.intersection(&emergent).count();
            if union == 0 {
                0.0
            } else {
                1.0 - both as f64 / union as f64
            }
        });
        let retained = heads.intersection(&base).cloned().collect();
        found.push(CheckpointHeads {
            emergent,
            retained,
            cohorts,
            turnover,
        });
    }
    let last = found.last().map_or(0, |checkpoint| checkpoint.emergent.len());
    let survival = if first_seen.is_empty() {
        0.0
    } else {
        last as f64 / first_seen.len() as f64
    };
    HeadHistory {
        checkpoints: found,
        survival,
    }
}

/// Share of tasks with a success among the first `k` attempts, in the order in which they were made.
///
/// # Shapes
/// One list of outcomes for each task.
///
/// # Edge cases
/// Unlike [`pass_at_k`](crate::pass_at_k()) it depends on the order of the attempts.
///
/// # Errors
/// No task; `k` = 0, or more than a task has attempts.
///
/// # Source
/// Thinking Sparks, arXiv 2509.25758.
///
/// # Example
/// ```
/// use groupwise_stats::circuits::success_at_k;
/// let attempts = [vec![false, true], vec![false, false]];
/// assert_eq!((success_at_k(&attempts, 1)?, success_at_k(&attempts, 2)?), (0.0, 0.5));
/// # Ok::<(), groupwise_stats::StatsError>(())
/// ```
pub fn success_at_k(attempts: &[Vec<bool>], k: usize) -> Result<f64, StatsError> {
    let Some(least) = attempts.iter().map(Vec::len).min() else {
        return Err(StatsError::TooFew {
            what: "attempts",
            found: 0,
            needed: 1,
        });
    };
    let range = format!("between 1 and the fewest attempts of a task, {least}");
    ParamError::check((1..=least).contains(&k), "k", k, &range)?;
    let solved = attempts
        .iter()
        .filter(|task| task.iter().take(k).any(|right| *right))
        .count();
    Ok(solved as f64 / attempts.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_input_is_refused() {
        assert!(head_importance(&[vec![("0.0", 1.0)]], -1.0).is_err());
        let refused = head_importance(&[vec![("0.0", 1.0)], vec![("0.0", f64::NAN)]], 0.0).unwrap_err();
        assert_eq!(refused.to_string(), "`scores`, entry 1: NaN is not finite");
        assert!(head_importance::<&str>(&[], 0.1).unwrap().is_empty());
        assert!(success_at_k(&[], 1).is_err());
        assert!(success_at_k(&[vec![true]], 2).is_err() && success_at_k(&[vec![true]], 0).is_err());
    }

    #[test]
    fn a_head_that_returns_keeps_its_cohort() {
        let history = head_history(&["0.1"], &[vec!["3.0"], vec!["0.1"], vec!["3.0", "2.0"]]);
        let turnovers: Vec<f64> = history.checkpoints.iter().map(|c| c.turnover).collect();
        assert_eq!(turnovers, [0.0, 1.0, 1.0]);
        assert_eq!(history.checkpoints[2].cohorts, [1, 0, 1]);
        assert_eq!(history.survival, 1.0);
        let nothing = head_history(&["0.1"], &[vec!["0.1"], vec![]]);
        assert_eq!((nothing.survival, nothing.checkpoints[1].turnover), (0.0, 0.0));
        assert_eq!(head_history::<&str>(&[], &[]).survival, 0.0);
    }

    proptest! {
        #[test]
        fn importances_are_shares_and_effects_change_sign(
            before in prop::collection::vec((0..4u8, -1.0..1.0f64), 0..8), after in prop::collection::vec((0..4u8, -1.0..1.0f64), 0..8),
            tau in 0.0..0.5f64,
        ) {
            let edges = |list: &[(u8, f64)]| vec![list.iter().map(|(h, s)| (h.to_string(), *s)).collect::<Vec<_>>()];
            let (pre, post) = (head_importance(&edges(&before), tau).unwrap(), head_importance(&edges(&after), tau).unwrap());
            let total: f64 = pre.values().sum();
            prop_assert!(pre.is_empty() || total == 0.0 || (total - 1.0).abs() < 1e-12);
            for head in pre.keys().chain(post.keys()) {
                let of = |map: &BTreeMap<String, f64>| map.get(head).copied().unwrap_or_default();
                let effect = training_effect(of(&pre), of(&post), 1e-6);
                prop_assert!(effect.abs() < 1.0);
                prop_assert_eq!(training_effect(of(&post), of(&pre), 1e-6), -effect);
            }
        }

        #[test]
        fn success_grows_with_k(attempts in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..6)) {
            let curve: Vec<f64> = (1..=4).map(|k| success_at_k(&attempts, k).unwrap()).collect();
            prop_assert!(curve.windows(2).all(|w| w[0] <= w[1]));
        }

        #[test]
        fn cohorts_count_every_emergent_head(checkpoints in prop::collection::vec(prop::collection::vec("[0-3]\\.[01]", 0..5), 1..5)) {
            let history = head_history(&["0.0".to_owned()], &checkpoints);
            for checkpoint in &history.checkpoints {
                prop_assert_eq!(checkpoint.cohorts.iter().sum::<usize>(), checkpoint.emergent.len());
                prop_assert!((0.0..=1.0).contains(&checkpoint.turnover));
            }
            prop_assert!((0.0..=1.0).contains(&history.survival));
        }
    }
}
