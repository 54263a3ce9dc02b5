//! Unlikeliness: right answers count less the likelier they were within their group.

use groupwise_core::ranks::{Ties, ascending_ranks};
use groupwise_core::{
    DataError, GroupRewards, ParamError, Part, PromptMemory, RewardShaper, Task, Trajectory, stats,
};
use serde::{Deserialize, Serialize};

use super::check_group;

const NAME: &str = "unlikeliness";

/// What "likely" means for a whole answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankBy {
    /// Mean log-probability per counted token, as the authors' training code.
    #[default]
    Mean,
    /// Log-probability of the whole answer, as the paper writes it.
    Sum,
}

/// From where ranks are counted in the discount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankOffset {
    /// `rank / G`: the least likely answer is not discounted.
    #[default]
    Code,
    /// `(rank + 1) / G`: the most likely answer is discounted by the whole penalty.
    Paper,
}

/// What becomes of a group whose rewards are all equal before they are shaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterUniform {
    /// Its members stay out of the loss.
    #[default]
    On,
    /// It is trained on: a solved group then moves towards its rarer answers.
    Off,
}

/// Discount of a right answer by its rank of likelihood within the group.
///
/// # Formula
/// `r_i <- r_i (1 - penalty rank_i / G)`, `rank_i` ascending from 0 (least likely) by the log-probability under the
/// sampler, per token or in sum, over all G scorable members, right and wrong together; `offset = paper`: `rank_i + 1`.
///
/// # Shapes
/// Log-probabilities in nats, of the tokens the policy chose.  The change of each reward is logged as component
/// `unlikeliness`; it lies in `[-penalty, 0]`.
///
/// # Edge cases
/// - Wrong answers keep 0; `penalty = 0` changes nothing.
/// - Equal log-probabilities: by position, or averaged.  An answer without a counted token ranks as probability 1.
/// - Unscorable member: stays so, without rank and without component.
/// - All scorable rewards equal (a lone one too): with `filter_uniform = on` no member is trained on, since after
///   shaping an all-correct group is no longer uniform.
///
/// # Errors
/// Parameters: `penalty` outside [0, 1].  Data: rewards and members that differ in number; a reward outside [0, 1] (put
/// this shaper first); a log-probability that is not finite; a component of that name already there.
///
/// # Source
/// "Rewarding the unlikely", arXiv 2506.02355; `ray_lean_trainer.py` of AndreHe02/rewarding-unlikely-release at
/// ca1cff05, which is followed (`mean`, `code`) because it produced the published numbers.  Its sort is not stable.
///
/// # Example
/// ```
/// use groupwise_core::ranks::{ascending_ranks, Ties};
/// use groupwise_reward::shapers::{unlikeliness_rewards, RankOffset};
/// let ranks = ascending_ranks(&[-1.0, -2.0, -3.0, -4.0], Ties::Stable);
/// let shaped = unlikeliness_rewards(&[1.0, 1.0, 0.0, 1.0], &ranks, 0.25, RankOffset::Code)?;
/// assert_eq!(shaped, [0.8125, 0.875, 0.0, 1.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnlikelinessConfig {
    /// Largest share of a reward that is taken off, in [0, 1]; the paper's beta_rank.
    #[serde(alias = "beta_rank")]
    pub penalty: f64,
    /// What answers are ranked by.
    pub rank_by: RankBy,
    /// From where ranks are counted.
    pub offset: RankOffset,
    /// What equally likely answers get.
    pub ties: Ties,
    /// What becomes of groups with equal rewards.
    pub filter_uniform: FilterUniform,
}

impl Default for UnlikelinessConfig {
    fn default() -> Self {
        Self {
            penalty: 0.25,
            rank_by: RankBy::Mean,
            offset: RankOffset::Code,
            ties: Ties::Stable,
            filter_uniform: FilterUniform::On,
        }
    }
}

/// Log-probability that an answer is ranked by: the mean or the sum over its counted tokens, 0 if there is none.
///
/// # Shapes
/// `logp`, `mask`: one entry per token, nats; the shorter one ends both.
pub fn answer_log_probability(logp: &[f64], mask: &[bool], rank_by: RankBy) -> f64 {
    let counted = logp.iter().zip(mask).filter(|(_, m)| **m);
    let (n, sum) = counted.fold((0.0, 0.0), |(n, sum), (l, _)| (n + 1.0, sum + l));
    match rank_by {
        RankBy::Sum => sum,
        RankBy::Mean if n > 0.0 => sum / n,
        RankBy::Mean => 0.0,
    }
}

/// Shaped rewards of one group; see [`UnlikelinessConfig`] for formula and example.
///
/// # Shapes
/// `rewards` in [0, 1] and `ranks` in `0..=G-1`, one per member.
///
/// # Errors
/// Different lengths; a reward outside [0, 1], named by its member.
pub fn unlikeliness_rewards(
    rewards: &[f64],
    ranks: &[f64],
    penalty: f64,
    offset: RankOffset,
) -> Result<Vec<f64>, DataError> {
    DataError::check_len("ranks", ranks.len(), rewards.len())?;
    let first = match offset {
        RankOffset::Code => 0.0,
        RankOffset::Paper => 1.0,
    };
    let n = rewards.len() as f64;
    rewards
        .iter()
        .zip(ranks)
        .enumerate()
        .map(|(i, (r, rank))| {
            if (0.0..=1.0).contains(r) {
                Ok(r * (1.0 - penalty * (rank + first) / n))
            } else {
                let what = format!("reward {r}: unlikeliness needs rewards in [0, 1]");
                Err(DataError::value(format!("trajectory {i}"), what))
            }
        })
        .collect()
}

impl Part<dyn RewardShaper> for UnlikelinessConfig {
    const SOURCE: &'static str =
        "Rewarding the unlikely, arXiv 2506.02355; AndreHe02/rewarding-unlikely-release ray_lean_trainer.py";

    fn formula(&self) -> String {
        let rank = match self.offset {
            RankOffset::Code => "rank_i",
            RankOffset::Paper => "(rank_i + 1)",
        };
        let by = match self.rank_by {
            RankBy::Mean => "mean logp",
            RankBy::Sum => "sum of logp",
        };
        let ties = match self.ties {
            Ties::Stable => "ties by position",
            Ties::Average => "ties averaged",
        };
        let uniform = match self.filter_uniform {
            FilterUniform::On => "stay out of the loss",
            FilterUniform::Off => "are trained on",
        };
        format!(
            "r_i *= 1 - {} {rank} / G, rank ascending by {by}, {ties}; groups of equal rewards {uniform}",
            self.penalty
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn RewardShaper>, ParamError> {
        ParamError::check(
            (0.0..=1.0).contains(&self.penalty),
            "penalty",
            self.penalty,
            "a number in [0, 1]",
        )?;
        Ok(Box::new(Unlikeliness(self.clone())))
    }
}

#[derive(Debug)]
struct Unlikeliness(UnlikelinessConfig);

impl RewardShaper for Unlikeliness {
    fn shape(
        &self,
        _: &Task,
        members: &[Trajectory],
        rewards: &mut GroupRewards,
        _: &PromptMemory,
    ) -> Result<(), DataError> {
        check_group(members, rewards)?;
        if rewards.components.contains_key(NAME) {
            return Err(DataError::value(
                format!("component `{NAME}`"),
                "is already there: the discount would count twice",
            ));
        }
        let (scored, raw): (Vec<usize>, Vec<f64>) = rewards
            .rewards
            .iter()
            .enumerate()
            .filter_map(|(i, r)| Some((i, (*r)?)))
            .unzip();
        let mut likelihoods = Vec::with_capacity(scored.len());
        for i in &scored {
            DataError::check_len("mask", members[*i].mask.len(), members[*i].logp.len())?;
            likelihoods.push(answer_log_probability(
                &members[*i].logp,
                &members[*i].mask,
                self.0.rank_by,
            ));
        }
        DataError::check_finite("log-probability of an answer", &likelihoods)?;
        let ranks = ascending_ranks(&likelihoods, self.0.ties);
        let shaped = unlikeliness_rewards(&raw, &ranks, self.0.penalty, self.0.offset)?;
        if self.0.filter_uniform == FilterUniform::On && stats::is_constant(&raw) {
            rewards.trained.fill(false);
        }
        let mut component = vec![None; members.len()];
        for ((i, before), after) in scored.iter().zip(&raw).zip(&shaped) {
            rewards.rewards[*i] = Some(*after);
            component[*i] = Some(after - before);
        }
        rewards.components.insert(NAME.to_owned(), component);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;
    use proptest::prelude::*;

    use super::super::testing::member;
    use super::*;

    fn shape(
        config: &UnlikelinessConfig,
        logp: &[Vec<f64>],
        rewards: &mut GroupRewards,
    ) -> Result<(), DataError> {
        let members: Vec<Trajectory> = logp
            .iter()
            .map(|row| Trajectory {
                logp: row.clone(),
                ..member(row.len(), 0, StopReason::EndToken)
            })
            .collect();
        let (task, memory) = (Task::new("t", "", ""), PromptMemory::new(1, 1));
        config
            .build(&())
            .unwrap()
            .shape(&task, &members, rewards, &memory)
    }

    fn shaped(config: &UnlikelinessConfig, rewards: &[Option<f64>], logp: &[f64]) -> Vec<Option<f64>> {
        let mut group = GroupRewards::new("v", rewards.to_vec());
        let rows: Vec<Vec<f64>> = logp.iter().map(|l| vec![*l]).collect();
        shape(config, &rows, &mut group).unwrap();
        group.rewards
    }

    /// Verdicts and different log-probabilities of a group.
    fn groups() -> impl Strategy<Value = (Vec<Option<f64>>, Vec<f64>)> {
        prop::collection::vec(
            (
                prop::sample::select(vec![Some(0.0), Some(1.0), None]),
                -9.0..0.0f64,
            ),
            1..9,
        )
        .prop_map(|group| group.into_iter().unzip())
    }

    fn configs() -> impl Strategy<Value = UnlikelinessConfig> {
        let offset = prop::sample::select(vec![RankOffset::Code, RankOffset::Paper]);
        let rank_by = prop::sample::select(vec![RankBy::Mean, RankBy::Sum]);
        (0.0..=1.0f64, offset, rank_by).prop_map(|(penalty, offset, rank_by)| UnlikelinessConfig {
            penalty,
            offset,
            rank_by,
            ..Default::default()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn wrong_answers_keep_0_and_right_ones_stay_in_0_to_1_ordered_by_rarity(
            (rewards, logp) in groups(), config in configs(),
        ) {
            let out = shaped(&config, &rewards, &logp);
            for i in 0..rewards.len() {
                match rewards[i] {
                    Some(1.0) => {
                        let mine = out[i].unwrap();
                        prop_assert!((1.0 - config.penalty - 1e-12..=1.0).contains(&mine));
                        for j in (0..rewards.len()).filter(|j| rewards[*j] == Some(1.0)) {
                            let rarer = logp[i] < logp[j] && config.penalty > 1e-9;
                            prop_assert!(!rarer || mine > out[j].unwrap());
                        }
                    }
                    other => prop_assert_eq!(out[i], other),
                }
            }
        }

        #[test]
        fn penalty_zero_changes_nothing((rewards, logp) in groups(), config in configs()) {
            prop_assert_eq!(shaped(&UnlikelinessConfig { penalty: 0.0, ..config }, &rewards, &logp), rewards);
        }

        #[test]
        fn only_the_order_of_log_probabilities_matters((rewards, logp) in groups(), config in configs()) {
            let moved: Vec<f64> = logp.iter().map(|l| -(-l).sqrt() * 3.0 - 1.0).collect();
            prop_assert_eq!(shaped(&config, &rewards, &logp), shaped(&config, &rewards, &moved));
        }

        #[test]
        fn the_two_offsets_differ_by_penalty_over_g((rewards, logp) in groups(), config in configs()) {
            let of = |offset| shaped(&UnlikelinessConfig { offset, ..config.clone() }, &rewards, &logp);
            let g = rewards.iter().flatten().count() as f64;
            for (code, paper) in of(RankOffset::Code).iter().flatten().zip(of(RankOffset::Paper).iter().flatten()) {
                let expected = if *code > 0.0 { config.penalty / g } else { 0.0 };
                prop_assert!(*code == 0.0 || (code - paper - expected).abs() < 1e-12);
            }
        }

        #[test]
        fn a_lone_success_has_grpos_advantages_whatever_its_rank(
            logp in prop::collection::vec(-9.0..0.0f64, 2..9), at in 0usize..9, config in configs(),
        ) {
            let mut rewards = vec![Some(0.0); logp.len()];
            rewards[at % logp.len()] = Some(1.0);
            let config = UnlikelinessConfig { penalty: 0.9 * config.penalty, ..config };
            let standardized = |rewards: &[Option<f64>]| -> Vec<f64> {
                let scored: Vec<f64> = rewards.iter().flatten().copied().collect();
                let (mean, std) = (stats::mean(&scored), stats::sample_std(&scored));
                scored.iter().map(|r| (r - mean) / std).collect()
            };
            for (a, b) in standardized(&rewards).iter().zip(standardized(&shaped(&config, &rewards, &logp))) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn ties_go_by_position_or_are_averaged() {
        let rewards = [Some(1.0), Some(1.0), Some(0.0)];
        let logp = [-1.0, -1.0, -2.0];
        let base = UnlikelinessConfig {
            penalty: 0.75,
            ..Default::default()
        };
        assert_eq!(shaped(&base, &rewards, &logp), [Some(0.75), Some(0.5), Some(0.0)]);
        let average = UnlikelinessConfig {
            ties: Ties::Average,
            ..base
        };
        assert_eq!(
            shaped(&average, &rewards, &logp),
            [Some(0.625), Some(0.625), Some(0.0)]
        );
    }

    #[test]
    fn mean_and_sum_rank_ragged_answers_differently() {
        let rows = [vec![-1.0, -1.0, -1.0], vec![-2.0]];
        let of = |rank_by| {
            let config = UnlikelinessConfig {
                rank_by,
                penalty: 1.0,
                filter_uniform: FilterUniform::Off,
                ..Default::default()
            };
            let mut group = GroupRewards::new("v", vec![Some(1.0); 2]);
            shape(&config, &rows, &mut group).unwrap();
            assert_eq!(group.trained, [true; 2]);
            group.rewards
        };
        assert_eq!(of(RankBy::Mean), [Some(0.5), Some(1.0)]);
        assert_eq!(of(RankBy::Sum), [Some(1.0), Some(0.5)]);
        for rank_by in [RankBy::Mean, RankBy::Sum] {
            assert_eq!(answer_log_probability(&[-1.0], &[false], rank_by), 0.0);
        }
        assert_eq!(
            answer_log_probability(&[-1.0, -9.0, -2.0], &[true, false, true], RankBy::Mean),
            -1.5
        );
    }

    #[test]
    fn uniform_groups_stay_out_of_the_loss_by_their_raw_rewards() {
        let trained = |rewards: Vec<Option<f64>>| {
            let mut group = GroupRewards::new("v", rewards);
            let rows: Vec<Vec<f64>> = (0..group.rewards.len()).map(|i| vec![-(i as f64)]).collect();
            shape(&UnlikelinessConfig::default(), &rows, &mut group).unwrap();
            group.trained
        };
        assert_eq!(trained(vec![Some(1.0), Some(1.0)]), [false, false]);
        assert_eq!(trained(vec![Some(0.0), Some(0.0)]), [false, false]);
        assert_eq!(trained(vec![Some(1.0), None]), [false, false]);
        assert_eq!(trained(vec![Some(1.0), Some(0.0)]), [true, true]);
    }

    #[test]
    fn the_change_is_logged_and_shaping_twice_is_refused() {
        let config = UnlikelinessConfig::default();
        let mut group = GroupRewards::new("v", vec![Some(1.0), None, Some(0.0), Some(1.0), Some(1.0)]);
        let rows: Vec<Vec<f64>> = [-1.0, 0.0, -2.0, -3.0, -4.0].iter().map(|l| vec![*l]).collect();
        shape(&config, &rows, &mut group).unwrap();
        assert_eq!(
            group.rewards,
            [Some(0.8125), None, Some(0.0), Some(0.9375), Some(1.0)]
        );
        assert_eq!(
            group.components["unlikeliness"],
            [Some(-0.1875), None, Some(0.0), Some(-0.0625), Some(0.0)]
        );
        assert_eq!(
            shape(&config, &rows, &mut group).unwrap_err().to_string(),
            "component `unlikeliness`: is already there: the discount would count twice"
        );
    }

    #[test]
    fn bad_data_and_parameters_are_named() {
        let refused = |rewards: Vec<Option<f64>>, rows: &[Vec<f64>]| {
            let mut group = GroupRewards::new("v", rewards);
            shape(&UnlikelinessConfig::default(), rows, &mut group)
                .unwrap_err()
                .to_string()
        };
        for bad in [-0.5, 1.5, f64::NAN] {
            assert_eq!(
                refused(vec![Some(1.0), Some(bad)], &[vec![-1.0], vec![-1.0]]),
                format!("trajectory 1: reward {bad}: unlikeliness needs rewards in [0, 1]")
            );
        }
        assert_eq!(
            refused(vec![Some(1.0)], &[vec![f64::NAN]]),
            "index 0: `log-probability of an answer` is NaN"
        );
        assert_eq!(
            unlikeliness_rewards(&[1.0], &[], 0.25, RankOffset::Code)
                .unwrap_err()
                .to_string(),
            "`ranks` has 0 entries, expected 1"
        );
        for penalty in [-0.1, 1.1, f64::NAN] {
            let config = UnlikelinessConfig {
                penalty,
                ..Default::default()
            };
            assert_eq!(
                config.build(&()).unwrap_err().to_string(),
                format!("`penalty` = {penalty}: must be a number in [0, 1]")
            );
        }
    }

    #[test]
    fn the_formula_prints_what_is_active() {
        assert_eq!(
            UnlikelinessConfig::default().formula(),
            "r_i *= 1 - 0.25 rank_i / G, rank ascending by mean logp, ties by position; \
             groups of equal rewards stay out of the loss"
        );
        let other: UnlikelinessConfig = serde_json::from_str(
            r#"{"beta_rank": 1, "rank_by": "sum", "offset": "paper", "ties": "average", "filter_uniform": "off"}"#,
        )
        .unwrap();
        assert_eq!(
            other.formula(),
            "r_i *= 1 - 1 (rank_i + 1) / G, rank ascending by sum of logp, ties averaged; \
             groups of equal rewards are trained on"
        );
    }
}
