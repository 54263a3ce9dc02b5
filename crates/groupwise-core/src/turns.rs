//! Rollouts made of turns: how their token losses become one number.
//!
//! A batch has four levels here: group -> rollout -> turn -> token.  Estimators fold these weights into advantages,
//! objectives use them as they are; both read this one definition.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::spans::Spans;

/// How the token losses of rollouts that consist of turns are averaged.
///
/// # Formula
/// The loss is `sum over turns of w sum over counted tokens of x`.  With `n` the counted tokens of the turn, `T` the
/// turns of its rollout, `G` the rollouts of its group and `P` the groups:
///
/// | aggregation | w |
/// |---|---|
/// | `rollout-turn-token` | `1 / (P G T n)` |
/// | `turn-token` | `1 / (sum of T over all rollouts * n)` |
/// | `token-mean` | `1 / (sum of n over all turns)` |
///
/// # Edge cases
/// A turn without counted tokens takes no part: it has weight 0 and is left out of T; a rollout without such turns is
/// left out of G, a group without such rollouts out of P.
///
/// # Source
/// `token-mean` is the default of verl, on which AgentFlow (lupantech/AgentFlow) builds; `rollout-turn-token` is what
/// arXiv 2510.05592 is read to mean (the equation could not be seen), the nested mean of its three levels.
///
/// # Example
/// ```
/// use groupwise_core::{Offsets, TurnAggregation};
/// // One group of two rollouts, of two turns (1 and 3 tokens) and of one turn (2 tokens).
/// let (groups, turns) = (Offsets::from_lengths([2]), Offsets::from_lengths([2, 1]));
/// let weigh = |how: TurnAggregation| how.weigh(groups.spans(), turns.spans(), &[1, 3, 2]);
/// assert_eq!(weigh(TurnAggregation::RolloutTurnToken)?, [1.0 / 4.0, 1.0 / 12.0, 1.0 / 4.0]);
/// assert_eq!(weigh(TurnAggregation::TurnToken)?, [1.0 / 3.0, 1.0 / 9.0, 1.0 / 6.0]);
/// assert_eq!(weigh(TurnAggregation::TokenMean)?, [1.0 / 6.0; 3]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnAggregation {
    /// Mean over groups, over their rollouts, over their turns, over their tokens.
    #[default]
    RolloutTurnToken,
    /// Mean over all turns of their token means.
    TurnToken,
    /// Mean over all counted tokens.
    TokenMean,
}

impl TurnAggregation {
    /// The weights as a formula; letters as in the table above.
    pub fn formula(self) -> &'static str {
        match self {
            Self::RolloutTurnToken => "w = 1 / (P G T n)",
            Self::TurnToken => "w = 1 / (sum of T * n)",
            Self::TokenMean => "w = 1 / (sum of n)",
        }
    }

    /// Weight of a counted token of each turn.
    ///
    /// # Shapes
    /// `groups`: group -> rollouts; `turns`: rollout -> turns; `counted`: counted tokens of each turn.
    ///
    /// # Errors
    /// [`DataError::Length`] if one level does not cover the next.
    pub fn weigh(
        self,
        groups: Spans<'_>,
        turns: Spans<'_>,
        counted: &[usize],
    ) -> Result<Vec<f64>, DataError> {
        groups.check_covers("rollouts", turns.len())?;
        turns.check_covers("turns", counted.len())?;
        let mut weights = vec![0.0; counted.len()];
        let n_tokens: usize = counted.iter().sum();
        let n_turns = counted.iter().filter(|n| **n > 0).count();
        let live = |rollout: usize| counted[turns.range(rollout)].iter().filter(|n| **n > 0).count();
        let of_group = |members: std::ops::Range<usize>| members.filter(|i| live(*i) > 0).count();
        let n_groups = groups
            .iter()
            .filter(|members| of_group(members.clone()) > 0)
            .count();
        for members in groups.iter() {
            let n_rollouts = of_group(members.clone());
            for rollout in members {
                let own = live(rollout);
                for turn in turns.range(rollout).filter(|turn| counted[*turn] > 0) {
                    let n = counted[turn];
                    weights[turn] = 1.0
                        / match self {
                            Self::RolloutTurnToken => (n_groups * n_rollouts * own * n) as f64,
                            Self::TurnToken => (n_turns * n) as f64,
                            Self::TokenMean => n_tokens as f64,
                        };
                }
            }
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Offsets;

    const ALL: [TurnAggregation; 3] = [
        TurnAggregation::RolloutTurnToken,
        TurnAggregation::TurnToken,
        TurnAggregation::TokenMean,
    ];

    /// Group -> rollout -> counted tokens per turn.
    type Batch = Vec<Vec<Vec<usize>>>;

    fn batches() -> impl Strategy<Value = Batch> {
        let rollout = prop::collection::vec(0usize..4, 0..4);
        prop::collection::vec(prop::collection::vec(rollout, 0..4), 0..4)
    }

    fn weigh(how: TurnAggregation, batch: &Batch) -> Vec<Vec<Vec<f64>>> {
        let groups = Offsets::from_lengths(batch.iter().map(Vec::len));
        let turns = Offsets::from_lengths(batch.iter().flatten().map(Vec::len));
        let counted: Vec<usize> = batch.iter().flatten().flatten().copied().collect();
        let flat = how.weigh(groups.spans(), turns.spans(), &counted).expect("fits");
        groups
            .spans()
            .iter()
            .map(|members| members.map(|i| flat[turns.range(i)].to_vec()).collect())
            .collect()
    }

    /// Sum of the weights of the tokens of some turns.
    fn mass(weights: &[Vec<f64>], counted: &[Vec<usize>]) -> f64 {
        let pairs = weights.iter().flatten().zip(counted.iter().flatten());
        pairs.map(|(w, n)| w * *n as f64).sum()
    }

    #[test]
    fn turns_without_counted_tokens_take_no_part() {
        // Groups: two live rollouts of three; none; one.
        let batch = vec![
            vec![vec![2, 0, 1], vec![0], vec![4]],
            vec![vec![], vec![0]],
            vec![vec![5]],
        ];
        assert_eq!(
            weigh(TurnAggregation::RolloutTurnToken, &batch),
            vec![
                vec![vec![1.0 / 16.0, 0.0, 1.0 / 8.0], vec![0.0], vec![1.0 / 16.0]],
                vec![vec![], vec![0.0]],
                vec![vec![1.0 / 10.0]],
            ]
        );
        assert_eq!(
            weigh(TurnAggregation::TurnToken, &batch)[0],
            vec![vec![1.0 / 8.0, 0.0, 1.0 / 4.0], vec![0.0], vec![1.0 / 16.0]]
        );
        assert_eq!(
            weigh(TurnAggregation::TokenMean, &batch)[0],
            vec![vec![1.0 / 12.0, 0.0, 1.0 / 12.0], vec![0.0], vec![1.0 / 12.0]]
        );
    }

    #[test]
    fn levels_must_cover_one_another() {
        let (one, two) = (Offsets::from_lengths([1]), Offsets::from_lengths([2]));
        let refuse = |groups: &Offsets, turns: &Offsets, counted: &[usize]| {
            let found = TurnAggregation::TokenMean.weigh(groups.spans(), turns.spans(), counted);
            found.expect_err("refused").to_string()
        };
        assert_eq!(refuse(&two, &one, &[1]), "`rollouts` has 1 entries, expected 2");
        assert_eq!(refuse(&one, &two, &[1]), "`turns` has 1 entries, expected 2");
    }

    #[test]
    fn names_and_formulas() {
        let names = ALL.map(|how| serde_json::to_string(&how).expect("prints"));
        assert_eq!(
            names,
            ["\"rollout-turn-token\"", "\"turn-token\"", "\"token-mean\""]
        );
        assert_eq!(
            ALL.map(TurnAggregation::formula),
            [
                "w = 1 / (P G T n)",
                "w = 1 / (sum of T * n)",
                "w = 1 / (sum of n)"
            ]
        );
        assert_eq!(TurnAggregation::default(), TurnAggregation::RolloutTurnToken);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn the_weights_of_all_tokens_sum_to_one(batch in batches()) {
            let any = batch.iter().flatten().flatten().any(|n| *n > 0);
            for how in ALL {
                let weights = weigh(how, &batch);
                let total: f64 = weights.iter().zip(&batch).map(|(w, n)| mass(w, n)).sum();
                prop_assert!((total - f64::from(u8::from(any))).abs() < 1e-12);
            }
        }

        #[test]
        fn doubling_the_turns_of_a_rollout_leaves_its_weight_under_rollout_turn_token(batch in batches()) {
            let mut doubled = batch.clone();
            let Some(rollout) = doubled.iter_mut().flatten().next() else { return Ok(()) };
            rollout.extend(rollout.clone());
            let (one, two) = (
                weigh(TurnAggregation::RolloutTurnToken, &batch),
                weigh(TurnAggregation::RolloutTurnToken, &doubled),
            );
            for (g, group) in batch.iter().enumerate() {
                for i in 0..group.len() {
                    let before = mass(&one[g][i..=i], &batch[g][i..=i]);
                    prop_assert!((before - mass(&two[g][i..=i], &doubled[g][i..=i])).abs() < 1e-12);
                }
            }
        }
    }
}
