//! GTPO (trajectory-based): tokens that good and bad answers share at the same place, and a price on entropy.
//!
//! Not the entropy-weighted method of the same abbreviation (arXiv 2508.04349).

use std::borrow::Cow;

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, Offsets, ParamError, Part, RewardBatch, Scope,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, Singleton};
use crate::inputs;
use crate::token_weights::weigh_tokens;

const NAME: &str = "gtpo";

/// What a token in both runs of a rewarded answer weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CombineRuns {
    /// `amplify`: a token is in conflict or not.
    #[default]
    Union,
    /// `amplify` squared: the weights of both runs are multiplied, as in the authors' code.
    Product,
}

/// Whether an answer's advantage is divided by the number of its tokens in conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DivideByConflicts {
    /// No: the formula.
    #[default]
    Off,
    /// By `max(1, conflicts)`, as in the authors' code; it shrinks exactly the answers that share the format.
    On,
}

/// Which way an answer is pushed before anything is shaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Advantage above 0.
    Rewarded,
    /// Advantage below 0.
    Punished,
    /// Advantage 0, or unscorable: neither makes nor feels conflict.
    Neither,
}

impl Side {
    /// Side of an advantage; NaN is on neither.
    pub fn of(advantage: f64) -> Self {
        if advantage > 0.0 {
            Self::Rewarded
        } else if advantage < 0.0 {
            Self::Punished
        } else {
            Self::Neither
        }
    }
}

/// Tokens of an answer in conflict: so many from the front, so many from the back; they may overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConflictRuns {
    /// Length of the run that starts at the first token.
    pub front: usize,
    /// Length of the run that ends at the last token.
    pub back: usize,
}

impl ConflictRuns {
    /// Tokens in either run, of an answer of `n` tokens.
    pub fn count(&self, n: usize) -> usize {
        n.min(self.front + self.back)
    }
}

/// The runs of every answer of a group.
///
/// # Formula
/// Token t (from the start) is hot if it stands at t in an answer of the other side too; the front run is the longest
/// hot prefix.  The back run is the same with places counted from the last token.
///
/// # Shapes
/// `answers`: the counted tokens of each answer, without padding; one side each.  Places are absolute: an inserted
/// token ends the front run.
///
/// # Edge cases
/// A run may cover the whole answer.  Empty answers and those on neither side have none.
///
/// # Errors
/// [`DataError::Length`] if the counts differ.
///
/// # Source
/// GTPO (arXiv 2508.03772); `build_conflict_mask` in `gtpo/gtpo_training.py` of winstonsmith1897/GTPO.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{ConflictRuns, Side, conflict_runs};
/// let runs = conflict_runs(&[&[5, 6], &[5, 6], &[5, 1]], &[Side::Rewarded, Side::Punished, Side::Rewarded])?;
/// assert_eq!(runs[1], ConflictRuns { front: 2, back: 2 });
/// assert_eq!(runs[2], ConflictRuns { front: 1, back: 0 });
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn conflict_runs(answers: &[&[u32]], sides: &[Side]) -> Result<Vec<ConflictRuns>, DataError> {
    DataError::check_len("sides", sides.len(), answers.len())?;
    let front = run_lengths(answers, sides, |row, t| row.get(t).copied());
    let back = run_lengths(answers, sides, |row, t| {
        row.len().checked_sub(t + 1).map(|place| row[place])
    });
    Ok(front
        .into_iter()
        .zip(back)
        .map(|(front, back)| ConflictRuns { front, back })
        .collect())
}

/// Length of the hot run of each answer, `at` giving the token at a place of the walk.
fn run_lengths(answers: &[&[u32]], sides: &[Side], at: impl Fn(&[u32], usize) -> Option<u32>) -> Vec<usize> {
    let mut lengths = vec![0; answers.len()];
    let mut running: Vec<usize> = (0..answers.len())
        .filter(|i| sides[*i] != Side::Neither)
        .collect();
    let (mut rewarded, mut punished) = (Vec::new(), Vec::new());
    let mut place = 0;
    // Behind the longest answer nobody has a token, so every run ends.
    while !running.is_empty() {
        rewarded.clear();
        punished.clear();
        for (row, side) in answers.iter().zip(sides) {
            match side {
                Side::Rewarded => rewarded.extend(at(row, place)),
                Side::Punished => punished.extend(at(row, place)),
                Side::Neither => {}
            }
        }
        rewarded.sort_unstable();
        punished.sort_unstable();
        running.retain(|i| {
            let opposite = match sides[*i] {
                Side::Rewarded => &punished,
                _ => &rewarded,
            };
            let hot = at(answers[*i], place).is_some_and(|token| opposite.binary_search(&token).is_ok());
            lengths[*i] += usize::from(hot);
            hot
        });
        place += 1;
    }
    lengths
}

/// GTPO's advantage: conflict weights per token times an advantage shaped by entropy.
///
/// # Formula
/// `a_it = delta_i (A_i - entropy_coef H_i) lambda_it`, with `A_i = r_i - mean(r)`, `H_i` the mean entropy of the
/// answer's tokens, `delta_i = [H_i <= entropy_threshold]` (1 throughout if `initial_entropy > entropy_threshold`) and
/// `lambda_it` = `amplify` for a token in a conflict run of a rewarded answer, 0 in one of a punished answer, else 1.
///
/// The loss that goes with it is the objective `gtpo`: no clip, no KL, no reference.
///
/// # Shapes
/// One advantage per token, in units of reward; entropies in nats.
///
/// # Edge cases
/// - All rewards equal: no sides, lambda 1, and the entropy term still acts; the group filter can drop such groups.
/// - `|A_i| <= 1e-12 max(1, |r|)` is 0: the mean of rewards is not exact, and its rounding must not choose a side.
/// - An answer without counted tokens: `H_i = 0`, and nothing to weigh.
/// - Masked tokens are no tokens: places are counted without them.
/// - Unscorable: 0, on neither side.
///
/// # Errors
/// Parameters: `amplify < 1`, `entropy_coef < 0`, `entropy_threshold <= 0`, `initial_entropy < 0`, or not finite.
/// Data: no tokens, entropies or trajectories; a trajectory whose completion has another length than its tokens;
/// those of [`RewardBatch::check`].
///
/// # Source
/// GTPO (arXiv 2508.03772), formula of the README of winstonsmith1897/GTPO, which is the default.  The authors' code
/// (`gtpo/gtpo_training.py`) differs: `combine = "product"`, `divide_by_conflicts = "on"`, threshold 0.7, no exception
/// by `initial_entropy`, a sum over the group instead of a mean.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{Gtpo, GtpoConfig, GtpoMember};
/// let member = |reward: f64, ids: &'static [u32], entropy: &'static [f64]| GtpoMember {
///     reward: Some(reward), ids, mask: &[true; 2], entropy,
/// };
/// let group = Gtpo::new(&GtpoConfig::default())?.group(&[
///     member(1.0, &[5, 6], &[0.3911, 0.2881]),
///     member(0.0, &[5, 6], &[0.293, 0.4053]),
///     member(1.0, &[5, 1], &[0.5548, 0.0764]),
/// ])?;
/// assert_eq!(group[2].weights, [2.0, 1.0]);
/// assert!((group[0].advantage - 0.29937333).abs() < 1e-8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GtpoConfig {
    /// Weight of a rewarded token in conflict, >= 1.
    pub amplify: f64,
    /// Price of a nat of mean entropy, in units of reward, >= 0.
    pub entropy_coef: f64,
    /// Answers with a mean entropy above it are dropped, > 0.  Formula: ln 2; authors' code: 0.7.
    pub entropy_threshold: f64,
    /// Mean entropy of the policy before training, >= 0; above the threshold it switches the filter off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_entropy: Option<f64>,
    /// What a token in both runs weighs.
    pub combine: CombineRuns,
    /// Whether advantages are divided by the number of tokens in conflict.
    pub divide_by_conflicts: DivideByConflicts,
}

impl Default for GtpoConfig {
    fn default() -> Self {
        Self {
            amplify: 2.0,
            entropy_coef: 0.1,
            entropy_threshold: std::f64::consts::LN_2,
            initial_entropy: None,
            combine: CombineRuns::Union,
            divide_by_conflicts: DivideByConflicts::Off,
        }
    }
}

impl Part<dyn AdvantageEstimator> for GtpoConfig {
    const SOURCE: &'static str = "GTPO (trajectory-based), arXiv 2508.03772; README of winstonsmith1897/GTPO";

    fn formula(&self) -> String {
        let both = match self.combine {
            CombineRuns::Union => String::new(),
            CombineRuns::Product => format!(" ({} in both runs)", self.amplify * self.amplify),
        };
        let delta = match self.initial_entropy {
            Some(h) if h > self.entropy_threshold => "1".to_owned(),
            _ => format!("[H_i <= {}]", self.entropy_threshold),
        };
        let divided = match self.divide_by_conflicts {
            DivideByConflicts::Off => "",
            DivideByConflicts::On => " / max(1, conflicts_i)",
        };
        format!(
            "A_it = delta_i (r_i - mean(r) - {} H_i) lambda_it{divided}; delta_i = {delta}; lambda_it in conflict: {}{both} \
             if r_i > mean(r), 0 if r_i < mean(r), else 1",
            self.entropy_coef, self.amplify
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(Gtpo::new(self)?))
    }
}

/// One answer of a group, as [`Gtpo::group`] reads it.
#[derive(Clone, Copy, Debug)]
pub struct GtpoMember<'a> {
    /// Its reward; `None`: unscorable.
    pub reward: Option<f64>,
    /// Its tokens.
    pub ids: &'a [u32],
    /// True where a token counts.
    pub mask: &'a [bool],
    /// Entropy at each token, nats.
    pub entropy: &'a [f64],
}

/// What GTPO makes of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct GtpoShaped {
    /// `delta (A - entropy_coef H)`.
    pub advantage: f64,
    /// What it is divided by before it reaches the tokens: 1, or `max(1, conflicts)`.
    pub divisor: f64,
    /// False if the entropy filter dropped it.
    pub kept: bool,
    /// Tokens in conflict.
    pub conflicts: usize,
    /// lambda of each token, 0 where masked.
    pub weights: Vec<f64>,
}

/// GTPO, valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct Gtpo {
    config: GtpoConfig,
    centred: GroupRelative,
}

impl Gtpo {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &GtpoConfig) -> Result<Self, ParamError> {
        let (amplify, threshold) = (config.amplify, config.entropy_threshold);
        let holds = amplify.is_finite() && amplify >= 1.0;
        ParamError::check(holds, "amplify", amplify, "a finite number >= 1")?;
        ParamError::check_coefficient("entropy_coef", config.entropy_coef)?;
        let holds = threshold.is_finite() && threshold > 0.0;
        ParamError::check(holds, "entropy_threshold", threshold, "a finite number > 0")?;
        if let Some(initial) = config.initial_entropy {
            ParamError::check_coefficient("initial_entropy", initial)?;
        }
        Ok(Self {
            config: config.clone(),
            centred: GroupRelative::new(GroupRelativeConfig::centred(Centre::Mean, Singleton::Zero))?,
        })
    }

    /// Weights and shaped advantages of one group; see [`GtpoConfig`] for formula, units and an example.
    ///
    /// # Errors
    /// Data: an empty group; arrays of a member that differ in length; numbers that are not finite.
    pub fn group(&self, members: &[GtpoMember<'_>]) -> Result<Vec<GtpoShaped>, DataError> {
        let answers: Vec<Cow<'_, [u32]>> = members
            .iter()
            .enumerate()
            .map(|(i, member)| counted_ids(i, member))
            .collect::<Result<_, _>>()?;
        let rewards: Vec<Option<f64>> = members.iter().map(|m| m.reward).collect();
        let centred = self.centred_rewards(&rewards)?;
        let sides: Vec<Side> = centred.iter().map(|a| Side::of(*a)).collect();
        let rows: Vec<&[u32]> = answers.iter().map(AsRef::as_ref).collect();
        let runs = conflict_runs(&rows, &sides)?;
        let shape = |i: usize| self.shape(&members[i], centred[i], sides[i], runs[i], rows[i].len());
        Ok((0..members.len()).map(shape).collect())
    }

    /// Rewards less their mean, with the rounding of the mean taken for 0.
    fn centred_rewards(&self, rewards: &[Option<f64>]) -> Result<Vec<f64>, DataError> {
        let group = Offsets::from_lengths([rewards.len()]);
        let mut centred = self.centred.advantages(group.spans(), rewards)?;
        let scale = rewards.iter().flatten().fold(1.0_f64, |m, r| m.max(r.abs()));
        for a in centred.iter_mut().filter(|a| a.abs() <= 1e-12 * scale) {
            *a = 0.0;
        }
        Ok(centred)
    }

    fn shape(
        &self,
        member: &GtpoMember<'_>,
        centred: f64,
        side: Side,
        runs: ConflictRuns,
        n: usize,
    ) -> GtpoShaped {
        let counted = member.entropy.iter().zip(member.mask).filter(|(_, m)| **m);
        let entropy = counted.map(|(h, _)| h).sum::<f64>() / n.max(1) as f64;
        let threshold = self.config.entropy_threshold;
        let exempt = self.config.initial_entropy.is_some_and(|h| h > threshold);
        let kept = exempt || entropy <= threshold;
        let conflicts = runs.count(n);
        let divisor = match self.config.divide_by_conflicts {
            DivideByConflicts::Off => 1.0,
            DivideByConflicts::On => conflicts.max(1) as f64,
        };
        let advantage = if kept && member.reward.is_some() {
            centred - self.config.entropy_coef * entropy
        } else {
            0.0
        };
        let mut weights = vec![0.0; member.mask.len()];
        let places = weights.iter_mut().zip(member.mask).filter(|(_, m)| **m);
        for (t, (weight, _)) in places.enumerate() {
            *weight = self.weight(side, t < runs.front, t + runs.back >= n);
        }
        GtpoShaped {
            advantage,
            divisor,
            kept,
            conflicts,
            weights,
        }
    }

    /// lambda of one token.
    fn weight(&self, side: Side, in_front: bool, in_back: bool) -> f64 {
        let amplify = self.config.amplify;
        match (side, in_front, in_back) {
            (Side::Neither, ..) | (_, false, false) => 1.0,
            (Side::Punished, ..) => 0.0,
            (Side::Rewarded, true, true) if self.config.combine == CombineRuns::Product => amplify * amplify,
            (Side::Rewarded, ..) => amplify,
        }
    }
}

/// The tokens that count.
fn counted_ids<'a>(i: usize, member: &GtpoMember<'a>) -> Result<Cow<'a, [u32]>, DataError> {
    let n = member.ids.len();
    DataError::check_len(&format!("mask of trajectory {i}"), member.mask.len(), n)?;
    DataError::check_len(&format!("entropy of trajectory {i}"), member.entropy.len(), n)?;
    DataError::check_finite(&format!("entropy of trajectory {i}"), member.entropy)?;
    if member.mask.iter().all(|m| *m) {
        return Ok(Cow::Borrowed(member.ids));
    }
    let kept = member.ids.iter().zip(member.mask).filter(|(_, m)| **m);
    Ok(Cow::Owned(kept.map(|(id, _)| *id).collect()))
}

impl AdvantageEstimator for Gtpo {
    fn needs(&self) -> Needs {
        Needs::TOKENS | Needs::ENTROPY | Needs::TRAJECTORIES
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let missing = |what| DataError::Missing { what, part: NAME };
        let entropy = batch.entropy.ok_or(missing("entropy"))?;
        let trajectories = batch.trajectories.ok_or(missing("trajectories"))?;
        DataError::check_len("trajectories", trajectories.len(), tokens.len())?;
        for (i, (trajectory, range)) in trajectories.iter().zip(tokens.iter()).enumerate() {
            let what = format!("completion of trajectory {i}");
            DataError::check_len(&what, trajectory.completion.len(), range.len())?;
        }
        let mut advantages = vec![0.0; tokens.len()];
        let mut weights = vec![0.0; tokens.total()];
        for group in batch.groups.iter() {
            let members: Vec<GtpoMember<'_>> = group
                .clone()
                .map(|i| GtpoMember {
                    reward: batch.rewards[i],
                    ids: &trajectories[i].completion,
                    mask: &mask[tokens.range(i)],
                    entropy: &entropy[tokens.range(i)],
                })
                .collect();
            for (i, shaped) in group.zip(self.group(&members)?) {
                advantages[i] = shaped.advantage / shaped.divisor;
                weights[tokens.range(i)].copy_from_slice(&shaped.weights);
            }
        }
        let mut out = vec![0.0; tokens.total()];
        weigh_tokens(&advantages, &weights, tokens, mask, &mut out)?;
        Ok(Advantages::Token(out))
    }
}

#[cfg(test)]
#[path = "gtpo_tests.rs"]
mod tests;
