//! Aggregation: how a ragged matrix of token losses becomes one number.
//!
//! Every aggregation here is a weighted sum `sum_i w_i sum_t mask_it x_it`; the weights depend on masks and groups
//! of the *whole* update batch and on nothing else, so micro-batches cannot change the gradient.

use groupwise_core::{DataError, Offsets, ParamError, TokenBatch};
use serde::{Deserialize, Serialize};

/// How token losses are averaged, raw: the name that stands in a recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all counted tokens of the update batch.
    TokenMean,
    /// Mean over trajectories of their token means.
    #[default]
    SeqMeanTokenMean,
    /// Mean over trajectories of their token sums.
    SeqMeanTokenSum,
    /// Token sums over `N * max_completion_length`, N every trajectory (Dr.GRPO).
    SeqMeanTokenSumConst,
    /// Mean over groups of the token mean of the group.
    PromptMean,
}

impl Aggregation {
    /// Joins the aggregation with the constant it may need.
    ///
    /// # Errors
    /// `max_completion_length` absent or 0 where it is needed.
    pub fn with_max_length(self, max_completion_length: Option<usize>) -> Result<Weights, ParamError> {
        let constant = match (self, max_completion_length) {
            (Self::SeqMeanTokenSumConst, None) => {
                return Err(ParamError::new("max_completion_length", "none", LENGTH_RANGE));
            }
            (_, Some(0)) => return Err(ParamError::new("max_completion_length", 0, LENGTH_RANGE)),
            (_, length) => length.unwrap_or(1) as f64,
        };
        Ok(Weights {
            aggregation: self,
            constant,
        })
    }

    /// The weights as a formula; `n_i` counted tokens, `B` trajectories with any, `N` all trajectories.
    pub fn formula(self, max_completion_length: Option<usize>) -> String {
        match self {
            Self::TokenMean => "w_i = 1 / sum_j n_j".into(),
            Self::SeqMeanTokenMean => "w_i = 1 / (B n_i)".into(),
            Self::SeqMeanTokenSum => "w_i = 1 / B".into(),
            Self::SeqMeanTokenSumConst => {
                let length = max_completion_length.map_or("max_completion_length".into(), |l| l.to_string());
                format!("w_i = 1 / (N {length})")
            }
            Self::PromptMean => "w_i = 1 / (groups sum_{j in group of i} n_j)".into(),
        }
    }
}

const LENGTH_RANGE: &str = "a number >= 1: the generation limit, which the loss divides by";

/// An aggregation ready to weigh a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    aggregation: Aggregation,
    constant: f64,
}

impl Weights {
    /// Mean over all counted tokens.
    pub fn token_mean() -> Self {
        Self {
            aggregation: Aggregation::TokenMean,
            constant: 1.0,
        }
    }

    /// Weight of a counted token of each trajectory, and the number of counted tokens of the batch.
    ///
    /// # Formula
    /// With `n_i` the counted tokens of trajectory i, `B` the trajectories with any, `N` all trajectories:
    ///
    /// | aggregation | `w_i` |
    /// |---|---|
    /// | `token-mean` | `1 / sum_j n_j` |
    /// | `seq-mean-token-mean` | `1 / (B n_i)` |
    /// | `seq-mean-token-sum` | `1 / B` |
    /// | `seq-mean-token-sum-const` | `1 / (N max_completion_length)` |
    /// | `prompt-mean` | `1 / (P sum_{j in group} n_j)`, P groups with any |
    ///
    /// # Shapes
    /// One weight per trajectory.
    ///
    /// # Edge cases
    /// A trajectory without counted tokens has weight 0 and is left out of B (TRL counts it as zero, verl leaves it
    /// out; we follow verl), but not out of N.  A batch without counted tokens has weights 0 throughout.
    ///
    /// # Errors
    /// [`DataError::Length`] if mask or groups do not cover the batch.
    ///
    /// # Source
    /// verl's `agg_loss` for the names; the constant as TRL's `dr_grpo` (verl's does not divide by the number of
    /// trajectories, so its scale grows with the batch); `prompt-mean` as SkyRL's `prompt_mean`.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Offsets;
    /// use groupwise_objective::aggregate::Aggregation;
    /// let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([1, 3]));
    /// let weights = Aggregation::SeqMeanTokenMean.with_max_length(None)?;
    /// let (per_trajectory, counted) = weights.weigh(&groups, &tokens, &[true; 4])?;
    /// assert_eq!((per_trajectory, counted), (vec![1.0 / 2.0, 1.0 / 6.0], 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weigh(
        &self,
        groups: &Offsets,
        tokens: &Offsets,
        mask: &[bool],
    ) -> Result<(Vec<f64>, usize), DataError> {
        groups.spans().check_covers("trajectories", tokens.len())?;
        DataError::check_len("mask", mask.len(), tokens.total())?;
        let counts: Vec<usize> = tokens
            .spans()
            .iter()
            .map(|t| mask[t].iter().filter(|m| **m).count())
            .collect();
        let total: usize = counts.iter().sum();
        let filled = counts.iter().filter(|n| **n > 0).count() as f64;
        let each = |weight: &dyn Fn(f64) -> f64| -> Vec<f64> {
            counts
                .iter()
                .map(|n| if *n > 0 { weight(*n as f64) } else { 0.0 })
                .collect()
        };
        let weights = match self.aggregation {
            Aggregation::TokenMean => each(&|_| 1.0 / total as f64),
            Aggregation::SeqMeanTokenMean => each(&|n| 1.0 / (filled * n)),
            Aggregation::SeqMeanTokenSum => each(&|_| 1.0 / filled),
            Aggregation::SeqMeanTokenSumConst => each(&|_| 1.0 / (counts.len() as f64 * self.constant)),
            Aggregation::PromptMean => prompt_weights(groups, &counts),
        };
        Ok((weights, total))
    }

    /// As [`Weights::weigh`], for a batch.
    ///
    /// # Errors
    /// As [`Weights::weigh`].
    pub fn weigh_batch(&self, batch: &TokenBatch) -> Result<(Vec<f64>, usize), DataError> {
        self.weigh(&batch.groups, &batch.tokens, &batch.mask)
    }
}

fn prompt_weights(groups: &Offsets, counts: &[usize]) -> Vec<f64> {
    let sums: Vec<usize> = groups.spans().iter().map(|g| counts[g].iter().sum()).collect();
    let filled = sums.iter().filter(|n| **n > 0).count() as f64;
    let mut weights = vec![0.0; counts.len()];
    for (group, sum) in groups.spans().iter().zip(sums) {
        for i in group.filter(|i| counts[*i] > 0) {
            weights[i] = 1.0 / (filled * sum as f64);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::samples;
    use proptest::prelude::*;

    use super::*;

    const ALL: [Aggregation; 5] = [
        Aggregation::TokenMean,
        Aggregation::SeqMeanTokenMean,
        Aggregation::SeqMeanTokenSum,
        Aggregation::SeqMeanTokenSumConst,
        Aggregation::PromptMean,
    ];

    fn weigh(aggregation: Aggregation, lengths: &[&[usize]], silent: &[usize]) -> Vec<f64> {
        let groups = Offsets::from_lengths(lengths.iter().map(|g| g.len()));
        let tokens = Offsets::from_lengths(lengths.iter().flat_map(|g| g.iter().copied()));
        let mut mask = vec![true; tokens.total()];
        for i in silent {
            mask[tokens.range(*i)].fill(false);
        }
        let weights = aggregation.with_max_length(Some(8)).expect("valid");
        weights.weigh(&groups, &tokens, &mask).expect("fits").0
    }

    #[test]
    fn silent_trajectories_leave_the_means_but_not_the_constant() {
        let lengths: &[&[usize]] = &[&[2, 4], &[1, 5]];
        assert_eq!(
            weigh(Aggregation::TokenMean, lengths, &[3]),
            [1.0 / 7.0, 1.0 / 7.0, 1.0 / 7.0, 0.0]
        );
        assert_eq!(
            weigh(Aggregation::SeqMeanTokenMean, lengths, &[3]),
            [1.0 / 6.0, 1.0 / 12.0, 1.0 / 3.0, 0.0]
        );
        assert_eq!(
            weigh(Aggregation::SeqMeanTokenSum, lengths, &[3]),
            [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]
        );
        assert_eq!(
            weigh(Aggregation::SeqMeanTokenSumConst, lengths, &[3]),
            [1.0 / 32.0, 1.0 / 32.0, 1.0 / 32.0, 0.0]
        );
        assert_eq!(
            weigh(Aggregation::PromptMean, lengths, &[3]),
            [1.0 / 12.0, 1.0 / 12.0, 0.5, 0.0]
        );
        assert_eq!(
            weigh(Aggregation::PromptMean, lengths, &[2, 3]),
            [1.0 / 6.0, 1.0 / 6.0, 0.0, 0.0]
        );
        for aggregation in ALL {
            assert_eq!(weigh(aggregation, lengths, &[0, 1, 2, 3]), [0.0; 4]);
        }
    }

    #[test]
    fn the_constant_must_be_given() {
        let constant = Aggregation::SeqMeanTokenSumConst;
        assert_eq!(
            constant.with_max_length(None).expect_err("refused").to_string(),
            "`max_completion_length` = none: must be a number >= 1: the generation limit, which the loss divides by"
        );
        assert_eq!(
            constant
                .with_max_length(Some(0))
                .expect_err("refused")
                .to_string(),
            "`max_completion_length` = 0: must be a number >= 1: the generation limit, which the loss divides by"
        );
        assert!(Aggregation::TokenMean.with_max_length(None).is_ok());
    }

    proptest! {
        #[test]
        fn means_average_a_constant_matrix_to_itself(sample in samples()) {
            let batch = &sample.batch;
            for aggregation in [Aggregation::TokenMean, Aggregation::SeqMeanTokenMean, Aggregation::PromptMean] {
                let (weights, counted) = aggregation.with_max_length(None)?.weigh_batch(batch)?;
                let sum: f64 = (0..weights.len())
                    .map(|i| weights[i] * batch.mask[batch.tokens.range(i)].iter().filter(|m| **m).count() as f64)
                    .sum();
                let expected = f64::from(u8::from(counted > 0));
                prop_assert!((sum - expected).abs() < 1e-12);
            }
        }

        #[test]
        fn aggregations_agree_at_equal_lengths(groups in 1usize..5, members in 1usize..5, n in 1usize..9) {
            let row = vec![n; members];
            let lengths: Vec<&[usize]> = vec![&row; groups];
            let expected = 1.0 / (groups * members * n) as f64;
            for aggregation in ALL {
                let scale = match aggregation {
                    Aggregation::SeqMeanTokenSum => n as f64,
                    Aggregation::SeqMeanTokenSumConst => n as f64 / 8.0,
                    _ => 1.0,
                };
                for w in weigh(aggregation, &lengths, &[]) {
                    prop_assert!((w - expected * scale).abs() < 1e-14);
                }
            }
        }
    }
}
