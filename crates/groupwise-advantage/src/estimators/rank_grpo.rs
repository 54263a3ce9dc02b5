//! Rank-GRPO: each rank of a list is compared with the same rank of the group's other lists.
//!
//! Ranks are the judged steps of an answer, in order: step k ends with the last token of rank k (its separator
//! included) and its reward is the gain h of that rank, 1 for a hit.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, ProcessRewards, RewardBatch, Scope,
    Spans, Spread, StopReason, Trajectory, stats,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;

/// Longest list, so that a table of lists and ranks fits into memory whatever a recipe says.
const MAX_RANKS: usize = 1 << 20;

/// What a rank is rewarded for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankReward {
    /// Its own gain.
    #[default]
    #[serde(alias = "exp_inf")]
    ExpInf,
    /// Its own gain and those of the ranks behind it, discounted by their place in the list.
    #[serde(alias = "log_decay")]
    LogDecay,
}

/// Added to the advantages of a list that has the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LengthShaping {
    /// To every token behind rank N.
    pub overflow_penalty: f64,
    /// To the end token of a list of N ranks without overflow.
    pub end_bonus: f64,
    /// To the end token of a shorter list.
    pub early_penalty: f64,
}

impl Default for LengthShaping {
    fn default() -> Self {
        Self {
            overflow_penalty: -0.1,
            end_bonus: 0.1,
            early_penalty: -0.1,
        }
    }
}

impl LengthShaping {
    fn check(&self) -> Result<(), ParamError> {
        for (key, value) in [
            ("overflow_penalty", self.overflow_penalty),
            ("end_bonus", self.end_bonus),
            ("early_penalty", self.early_penalty),
        ] {
            ParamError::check(value.is_finite(), key, value, "a finite number")?;
        }
        Ok(())
    }
}

/// Parameters of Rank-GRPO's advantages.
///
/// # Formula
/// `A_it = (r_ik - mean_j r_jk) / (std_j r_jk + eps)`, k the rank of token t, over the scorable lists j of the group;
/// 0 for k >= N and for the end token.  Rewards as [`rank_rewards`], tokens as [`rank_token_advantages`].
///
/// # Shapes
/// One advantage per token.
///
/// # Edge cases
/// - All lists of the group equal at a rank, or one scorable list: 0 at that rank.
/// - A list that could not be cut into ranks has gain 0 at all of them; its tokens are rank 0.
/// - Masked tokens and unscorable members get 0; the latter are in no statistic.
/// - The end token is the last token the policy chose, where the answer ended with one.
///
/// # Errors
/// Parameters out of range.  Data: no judged steps, tokens or trajectories; steps outside their answer; trajectories
/// that do not fit the tokens.
///
/// # Source
/// Rank-GRPO (arXiv 2510.20150), `rank_grpo_trainer.py` and `reward_funcs.py` of the authors (yaochenzhu/Rank-GRPO at
/// 0808d82c), but one cut makes ranks and rewards: there, a blank line shifts the ranks and not the rewards.  Length
/// shaping is on in the authors' code and off here.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{RankReward, rank_advantages, rank_rewards};
/// use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
/// use groupwise_core::Offsets;
/// let hits = [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0; 4]];
/// let rewards: Vec<f64> = hits.iter().flat_map(|h| rank_rewards(RankReward::LogDecay, h)).collect();
/// assert!((rewards[0] - 1.4306765581).abs() < 1e-9);
/// let relative = GroupRelative::new(GroupRelativeConfig { eps: 1e-4, ..Default::default() })?;
/// let groups = Offsets::from_lengths([3]);
/// let a = rank_advantages(groups.spans(), 4, &rewards, &[true; 3], &relative)?;
/// assert!((a[0] - 1.0367845817).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankGrpoConfig {
    /// N, ranks of a list; in 1..=1048576.
    pub n_ranks: usize,
    /// What a rank is rewarded for.
    pub reward: RankReward,
    /// The deviation rewards are divided by: sample or population.
    pub spread: Spread,
    /// Added to the deviation; > 0.
    pub eps: f64,
    /// Added to the advantages of a list of the wrong length; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_shaping: Option<LengthShaping>,
}

impl Default for RankGrpoConfig {
    fn default() -> Self {
        Self {
            n_ranks: 20,
            reward: RankReward::ExpInf,
            spread: Spread::Sample,
            eps: 1e-4,
            length_shaping: None,
        }
    }
}

impl RankGrpoConfig {
    /// The comparison of the lists of a group at one rank.
    ///
    /// # Errors
    /// `spread` neither sample nor population; `eps` not a finite number > 0.
    pub fn relative(&self) -> Result<GroupRelative, ParamError> {
        let given = match self.spread {
            Spread::Sample | Spread::Population => None,
            Spread::LeaveOneOut => Some("leave-one-out"),
            Spread::Mean => Some("mean"),
            Spread::None => Some("none"),
        };
        if let Some(given) = given {
            return Err(ParamError::new("spread", given, "sample or population"));
        }
        let eps = self.eps;
        ParamError::check(eps > 0.0 && eps.is_finite(), "eps", eps, "a finite number > 0")?;
        GroupRelative::new(GroupRelativeConfig {
            spread: self.spread,
            eps,
            ..GroupRelativeConfig::default()
        })
    }
}

impl Part<dyn AdvantageEstimator> for RankGrpoConfig {
    const SOURCE: &'static str =
        "Rank-GRPO (arXiv 2510.20150) and rank_grpo_trainer.py, reward_funcs.py of its authors";

    fn formula(&self) -> String {
        let n = self.n_ranks;
        let reward = match self.reward {
            RankReward::ExpInf => "r_ik = h_ik".to_owned(),
            RankReward::LogDecay => format!("r_ik = sum_(k <= j < {n}) h_ij / log2(j + 2)"),
        };
        let divisor = match self.spread {
            Spread::Population => "n",
            _ => "n - 1",
        };
        let shaping = self.length_shaping.map_or(String::new(), |s| {
            format!(
                "; plus {} behind rank {n}, at the end token {} after {n} ranks, {} before",
                s.overflow_penalty, s.end_bonus, s.early_penalty
            )
        });
        format!(
            "A_it = (r_ik - mean_j(r_jk)) / (std_j(r_jk; {divisor}) + {:e}), k the rank of token t, 0 for k >= {n} and the \
             end token; {reward}, h_ik the reward of judged step k{shaping}",
            self.eps
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        let (n, range) = (self.n_ranks, "a number in 1..=1048576");
        ParamError::check((1..=MAX_RANKS).contains(&n), "n_ranks", n, range)?;
        if let Some(shaping) = &self.length_shaping {
            shaping.check()?;
        }
        Ok(Box::new(RankGrpo {
            n_ranks: n,
            reward: self.reward,
            relative: self.relative()?,
            shaping: self.length_shaping,
        }))
    }
}

/// Reward of each rank of a list.
///
/// # Formula
/// `exp-inf`: `r_k = h_k`.  `log-decay`: `r_k = sum_(j >= k) h_j / log2(j + 2)`, discounts not restarted at k: the
/// cumulative gain of the list from rank k on, and at k = 0 its DCG.
///
/// # Shapes
/// One gain and one reward per rank.
///
/// # Source
/// `reward_funcs.py` of the authors.
pub fn rank_rewards(reward: RankReward, gains: &[f64]) -> Vec<f64> {
    let mut out = gains.to_vec();
    if reward == RankReward::LogDecay {
        let mut behind = 0.0;
        for (k, r) in out.iter_mut().enumerate().rev() {
            behind += *r * stats::rank_discount(k);
            *r = behind;
        }
    }
    out
}

/// Advantage of each rank of each list: every rank compared over the scorable lists of its group.
///
/// # Shapes
/// `rewards` and the result: lists x `n_ranks`, row by row; `scorable`: one per list.
///
/// # Errors
/// Lengths that do not agree; an empty group; rewards that are not finite or too far apart.
pub fn rank_advantages(
    groups: Spans<'_>,
    n_ranks: usize,
    rewards: &[f64],
    scorable: &[bool],
    relative: &GroupRelative,
) -> Result<Vec<f64>, DataError> {
    let lists = scorable.len();
    DataError::check_len("rewards", rewards.len(), lists * n_ranks)?;
    let (mut out, mut column, mut found) = (vec![0.0; rewards.len()], vec![None; lists], vec![0.0; lists]);
    for k in 0..n_ranks {
        for (i, slot) in column.iter_mut().enumerate() {
            *slot = scorable[i].then_some(rewards[i * n_ranks + k]);
        }
        relative.advantages_into(groups, &column, &mut found)?;
        for (i, a) in found.iter().enumerate() {
            out[i * n_ranks + k] = *a;
        }
    }
    Ok(out)
}

/// Spreads the advantages of the ranks of one list over its tokens, and adds length shaping.
///
/// # Formula
/// Counted tokens: `A_t = A_rank(t)` for `rank(t) < N`, else 0; the end token 0.  With shaping, items = 1 + largest
/// rank: tokens of rank >= N get `overflow_penalty`; the end token gets `end_bonus` if items = N, `early_penalty` if
/// items < N, and nothing of its own if a token overflows.
///
/// # Shapes
/// `ranks`, `mask`, `out`: per token; `per_rank`: N; `end`: the end token, `None` for a truncated list.
///
/// # Edge cases
/// Masked tokens get 0 and count for no length.
///
/// # Errors
/// Lengths that do not agree; an end token that is not there.
///
/// # Source
/// `rank_grpo_trainer.py` of the authors.
pub fn rank_token_advantages(
    ranks: &[u32],
    mask: &[bool],
    per_rank: &[f64],
    end: Option<usize>,
    shaping: Option<&LengthShaping>,
    out: &mut [f64],
) -> Result<(), DataError> {
    DataError::check_len("mask", mask.len(), ranks.len())?;
    DataError::check_len("out", out.len(), ranks.len())?;
    if let Some(end) = end.filter(|end| *end >= ranks.len()) {
        let what = format!("the end token cannot be token {end} of {}", ranks.len());
        return Err(DataError::value("end token", what));
    }
    let n = per_rank.len();
    let mut items = 0;
    for (t, rank) in ranks.iter().enumerate() {
        let rank = *rank as usize;
        out[t] = 0.0;
        if mask[t] {
            items = items.max(rank + 1);
            out[t] = match per_rank.get(rank) {
                Some(_) if end == Some(t) => 0.0,
                Some(a) => *a,
                None => shaping.map_or(0.0, |s| s.overflow_penalty),
            };
        }
    }
    if let (Some(shaping), Some(end)) = (shaping, end.filter(|end| mask[*end])) {
        out[end] += match items.cmp(&n) {
            std::cmp::Ordering::Less => shaping.early_penalty,
            std::cmp::Ordering::Equal => shaping.end_bonus,
            std::cmp::Ordering::Greater => 0.0,
        };
    }
    Ok(())
}

#[derive(Debug)]
struct RankGrpo {
    n_ranks: usize,
    reward: RankReward,
    relative: GroupRelative,
    shaping: Option<LengthShaping>,
}

impl RankGrpo {
    /// Rewards of all lists, row by row; ranks that were not reached have gain 0.
    fn rewards(&self, process: &ProcessRewards<'_>) -> Vec<f64> {
        let mut gains = Vec::with_capacity(self.n_ranks);
        let row = |steps: std::ops::Range<usize>| {
            gains.clear();
            gains.extend(process.steps[steps].iter().take(self.n_ranks).map(|s| s.reward));
            gains.resize(self.n_ranks, 0.0);
            rank_rewards(self.reward, &gains)
        };
        process.spans.iter().flat_map(row).collect()
    }
}

impl AdvantageEstimator for RankGrpo {
    fn needs(&self) -> Needs {
        Needs::TOKENS | Needs::PROCESS_REWARDS | Needs::TRAJECTORIES
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let part = "rank-grpo";
        let (tokens, mask) = inputs::tokens(batch, part)?;
        let process = batch.process.ok_or(DataError::Missing {
            what: "process",
            part,
        })?;
        let trajectories = batch.trajectories.ok_or(DataError::Missing {
            what: "trajectories",
            part,
        })?;
        DataError::check_len("trajectories", trajectories.len(), tokens.len())?;
        let ranks = process.segments(tokens)?;
        let rewards = self.rewards(&process);
        let scorable: Vec<bool> = batch.rewards.iter().map(Option::is_some).collect();
        let per_rank = rank_advantages(batch.groups, self.n_ranks, &rewards, &scorable, &self.relative)?;
        let mut out = vec![0.0; tokens.total()];
        for (i, span) in tokens.iter().enumerate().filter(|(i, _)| scorable[*i]) {
            let name = format!("completion of trajectory {i}");
            DataError::check_len(&name, trajectories[i].completion.len(), span.len())?;
            rank_token_advantages(
                &ranks[span.clone()],
                &mask[span.clone()],
                &per_rank[i * self.n_ranks..(i + 1) * self.n_ranks],
                end_token(&trajectories[i]),
                self.shaping.as_ref(),
                &mut out[span],
            )?;
        }
        inputs::check_result(&out)?;
        Ok(Advantages::Token(out))
    }
}

/// The token that ended the answer, if one did.
fn end_token(trajectory: &Trajectory) -> Option<usize> {
    match trajectory.stop {
        StopReason::EndToken => trajectory.mask.iter().rposition(|m| *m),
        _ => None,
    }
}

#[cfg(test)]
#[path = "rank_grpo_tests.rs"]
mod tests;
