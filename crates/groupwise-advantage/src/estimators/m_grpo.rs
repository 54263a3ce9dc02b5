//! M-GRPO: GRPO for a main agent and for the calls of its sub-agent, aligned to a fixed number per rollout.

use std::cmp::Ordering;

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Key, Needs, Offsets, ParamError, Part, RewardBatch, Scope,
    Spread, Stream, Trajectory,
};
use serde::{Deserialize, Serialize};

use crate::delegation::Delegation;
use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;
use crate::keyed::Clusters;
use crate::nested::{NestedRollouts, ObjectiveAggregation};

const NAME: &str = "m-grpo";

/// Whether the calls of a rollout are cut or repeated to a fixed number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// To `target` calls.
    #[default]
    Fixed,
    /// Every call once.
    None,
}

/// Which sub samples are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubGrouping {
    /// All aligned samples of a query.
    #[default]
    Query,
    /// `queue_size` consecutive samples, whatever query they came from: the authors' code, as an ablation.
    Queue,
}

/// M-GRPO's advantages: one group per query for the main agent, another for its sub-agent.
///
/// # Formula
/// Main trajectories: `A = (R - mean) / (s + eps)` over the main rewards of the query.  Sub trajectories:
/// `A = lambda (r - mean) / (s + eps)` over the aligned samples of the query, copies included, with
/// `lambda = c sum_j u_j / sum_j c_j u_j`: c how often the alignment holds the trajectory (0: dropped), the sums over
/// the batch's scorable sub trajectories, `u_j` 1 (objective `seq-mean-token-mean`) or its counted tokens
/// (`token-mean`).
///
/// # Shapes
/// One advantage per trajectory.  A group holds the trajectories of both agents ([`Delegation`]): those of the main
/// agent carry no agent or `main_agent`, those of the sub-agent carry `sub_agent` and the `sample` of the rollout that
/// called them.  Rewards of both come with the batch (shaper `outcome-ladder`).  Without sub trajectories this is GRPO.
///
/// # Exactness
/// With `lambda` the gradient of the sub part is that of the mean over the aligned samples, as if every copy stood in
/// the batch, times the share the objective gives sub trajectories (all, where each agent has its own update).  Copies
/// that `queue` puts into groups of different sign are added up, which is exact only where the clip is not active.
///
/// # Edge cases
/// - A rollout without calls contributes no sub sample.
/// - Fewer than two aligned samples, or equal rewards: 0.
/// - Unscorable trajectory: 0; an unscorable call is left out before the alignment.
/// - Under `queue` the last group may be smaller: nothing waits for the next batch.
///
/// # Randomness
/// The keys and draws of [`align_calls`] are functions of (`seed`, policy version, task, sample, number of the call in
/// its rollout); call numbers follow the order of the batch.
///
/// # Errors
/// Parameters: `target` or `queue_size` 0, `eps` negative or not finite, the same name for both agents.  Data: no
/// tokens, mask or trajectories; those of [`Delegation`] and [`GroupRelative`].
///
/// # Source
/// "Multi-Agent Deep Research", arXiv 2511.13288; AQ-MedAI/MrlX, `MrlX-DeepResearch/agent_co_train`.  The alignment and
/// the group of the sub-agent are reconstructed from the abstract: the released code holds neither and takes groups of
/// 8 off a first-in-first-out queue (`grouping = "queue"`).
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch, StopReason, Trajectory};
/// let trajectory = |agent: Option<&str>, sample| Trajectory {
///     task: 0, sample, agent: agent.map(Into::into), prompt: [1].into(), completion: vec![0], mask: vec![true],
///     logp: vec![-1.0], entropy: vec![0.0], turns: vec![], version: 0, stop: StopReason::EndToken,
/// };
/// // Two rollouts; only the second called its sub-agent, twice.
/// let all = [trajectory(None, 0), trajectory(None, 1), trajectory(Some("sub"), 1), trajectory(Some("sub"), 1)];
/// let (groups, tokens) = (Offsets::from_lengths([4]), Offsets::from_lengths([1; 4]));
/// let rewards = [Some(0.0), Some(1.0), Some(1.0), Some(0.0)];
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// (batch.tokens, batch.mask, batch.trajectories) = (Some(tokens.spans()), Some(&[true; 4][..]), Some(&all[..]));
/// let spec: AdvantageSpec = serde_json::from_str(r#"{"m-grpo": {"target": 2}}"#)?;
/// let Advantages::Trajectory(a) = spec.build(&())?.estimate(&batch)? else { unreachable!("per trajectory") };
/// for (found, sign) in a.iter().zip([-1.0, 1.0, 1.0, -1.0]) {
///     assert!((found - sign * 0.7071057811879616).abs() < 1e-12);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MGrpoConfig {
    /// Whether calls are cut or repeated.
    pub alignment: Alignment,
    /// Calls per rollout after the alignment, >= 1.
    pub target: usize,
    /// Which sub samples are compared.
    pub grouping: SubGrouping,
    /// Samples per group under `queue`, >= 1.
    pub queue_size: usize,
    /// What the centred reward is divided by.
    #[serde(alias = "std")]
    pub spread: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
    /// How the recipe's objective averages tokens.
    pub objective_aggregation: ObjectiveAggregation,
    /// Name of the main agent.
    pub main_agent: String,
    /// Name of the sub-agent.
    pub sub_agent: String,
    /// Seed of the alignment.
    pub seed: u64,
}

impl Default for MGrpoConfig {
    fn default() -> Self {
        Self {
            alignment: Alignment::Fixed,
            target: 8,
            grouping: SubGrouping::Query,
            queue_size: 8,
            spread: Spread::Sample,
            eps: 1e-6,
            objective_aggregation: ObjectiveAggregation::SeqMeanTokenMean,
            main_agent: "main".to_owned(),
            sub_agent: "sub".to_owned(),
            seed: 0,
        }
    }
}

impl MGrpoConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            spread: self.spread,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        }
    }

    fn queue(&self) -> Option<usize> {
        (self.grouping == SubGrouping::Queue).then_some(self.queue_size)
    }
}

impl Part<dyn AdvantageEstimator> for MGrpoConfig {
    const SOURCE: &'static str =
        "M-GRPO, arXiv 2511.13288 (alignment reconstructed); AQ-MedAI/MrlX MrlX-DeepResearch/agent_co_train";

    fn formula(&self) -> String {
        let aligned = match self.alignment {
            Alignment::Fixed => format!("calls cut or repeated to {} per rollout", self.target),
            Alignment::None => "every call once".to_owned(),
        };
        let over = match self.queue() {
            None => "of the query".to_owned(),
            Some(size) => format!("{size} at a time, whatever the query"),
        };
        format!(
            "{}; `{}`: over the query; `{}`: {aligned}, over all {over}, objective {}",
            self.settings().formula(),
            self.main_agent,
            self.sub_agent,
            self.objective_aggregation.name()
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        check_target(self.target)?;
        ParamError::check(self.queue_size >= 1, "queue_size", self.queue_size, ">= 1")?;
        ParamError::check(
            self.main_agent != self.sub_agent,
            "sub_agent",
            &self.sub_agent,
            "another name than `main_agent`",
        )?;
        Ok(Box::new(MGrpo {
            relative: GroupRelative::new(self.settings())?,
            config: self.clone(),
        }))
    }
}

fn check_target(target: usize) -> Result<(), ParamError> {
    ParamError::check(target >= 1, "target", target, ">= 1")
}

/// Which calls of a rollout enter the batch: a fixed number, cut or repeated.
///
/// # Formula
/// With d calls: `d > target`: the calls with the `target` smallest keys (ties: the earlier one), in their order.
/// `1 <= d <= target`: every call, then `floor(u_j d)` for the first `target - d` draws u.  `d = 0`: none.
///
/// # Shapes
/// `keys`: one finite number per call, read only where `d > target`; `draws`: numbers in [0, 1), at least
/// `target - d` where `1 <= d < target`, unread otherwise.  The result: numbers of calls below d.
///
/// # Errors
/// A `target` of 0; the wrong number of keys or too few draws; a key that is not finite, a draw outside [0, 1).
///
/// # Source
/// Reconstructed from the abstract of arXiv 2511.13288 (batches of fixed size although calls vary); uniform without
/// replacement by keys, uniform with replacement by draws.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::align_calls;
/// assert_eq!(align_calls(5, &[0.9, 0.1, 0.5, 0.3, 0.7], &[], 3)?, [1, 2, 3]);
/// assert_eq!(align_calls(1, &[], &[0.0, 0.999], 3)?, [0, 0, 0]);
/// assert_eq!(align_calls(0, &[], &[], 3)?, [0; 0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn align_calls(d: usize, keys: &[f64], draws: &[f64], target: usize) -> Result<Vec<usize>, DataError> {
    if target == 0 {
        return Err(DataError::value("target", "is 0, expected >= 1"));
    }
    let mut kept: Vec<usize> = (0..d).collect();
    if d > target {
        DataError::check_len("keys", keys.len(), d)?;
        DataError::check_finite("keys", keys)?;
        // Stable: of equal keys the earlier call comes first.
        kept.sort_by(|a, b| keys[*a].partial_cmp(&keys[*b]).unwrap_or(Ordering::Equal));
        kept.truncate(target);
        kept.sort_unstable();
    } else if d > 0 {
        let missing = target - d;
        let draws = draws.get(..missing).ok_or_else(|| DataError::Length {
            what: "draws".into(),
            found: draws.len(),
            expected: missing,
        })?;
        for (j, u) in draws.iter().enumerate() {
            if !(0.0..1.0).contains(u) {
                return Err(DataError::value(
                    format!("draw {j}"),
                    format!("{u} is not in [0, 1)"),
                ));
            }
            // Below d: the largest draw is 1 - 2^-53, and its product with a whole number never rounds up to it.
            kept.push((u * d as f64) as usize);
        }
    }
    Ok(kept)
}

/// Advantages of aligned sub samples, copies included.
///
/// # Formula
/// That of [`GroupRelative`] over all samples of a query; with `queue`, over that many consecutive samples of the
/// batch.
///
/// # Shapes
/// `calls`: query -> rollouts -> calls; `rewards`: one per call; `selected`: per rollout, numbers of its calls
/// ([`align_calls`]).  The result: one per selected call, in order.
///
/// # Errors
/// Counts that disagree, a selected call that does not exist; those of [`GroupRelative`].
///
/// # Source
/// That of [`MGrpoConfig`].
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::aligned_advantages;
/// use groupwise_advantage::{GroupRelative, GroupRelativeConfig, NestedRollouts};
/// use groupwise_core::Offsets;
/// let (queries, calls) = (Offsets::from_lengths([3]), Offsets::from_lengths([3, 1, 2]));
/// let nested = NestedRollouts::new(queries.spans(), calls.spans())?;
/// let block = GroupRelative::new(GroupRelativeConfig::default())?;
/// let selected = [vec![0, 1], vec![0, 0], vec![0, 1]];
/// let a = aligned_advantages(&block, &nested, &[1.0, 0.1, 0.0, 0.1, 0.0, 1.0], &selected, None)?;
/// assert!((a[0] - 1.2867689829645748).abs() < 1e-12 && (a[4] + 0.7998834218428438).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn aligned_advantages(
    block: &GroupRelative,
    calls: &NestedRollouts<'_>,
    rewards: &[f64],
    selected: &[Vec<usize>],
    queue: Option<usize>,
) -> Result<Vec<f64>, DataError> {
    calls.items().check_covers("rewards of calls", rewards.len())?;
    DataError::check_len("selected", selected.len(), calls.items().len())?;
    let mut values = Vec::new();
    for (k, (own, chosen)) in calls.items().iter().zip(selected).enumerate() {
        for j in chosen {
            let reward = rewards[own.clone()].get(*j).ok_or_else(|| {
                DataError::value(
                    format!("rollout {k}"),
                    format!("has no call {j}, only {}", own.len()),
                )
            })?;
            values.push(Some(*reward));
        }
    }
    match queue {
        None => {
            let aligned = Offsets::from_lengths(selected.iter().map(Vec::len));
            NestedRollouts::new(calls.groups(), aligned.spans())?.item_advantages(block, &values)
        }
        Some(size) => {
            let clusters = Clusters::from_keys((0..values.len()).map(|k| k / size.max(1)));
            block.advantages_by_key(&clusters, &values)
        }
    }
}

#[derive(Debug)]
struct MGrpo {
    relative: GroupRelative,
    config: MGrpoConfig,
}

impl MGrpo {
    /// The alignment of the scorable calls of one rollout.
    fn select(&self, rollout: &Trajectory, d: usize) -> Result<Vec<usize>, DataError> {
        if self.config.alignment == Alignment::None {
            return Ok((0..d).collect());
        }
        let place = Key::new(self.config.seed, Stream::Auxiliary)
            .step(rollout.version)
            .task(rollout.task as u64)
            .sample(rollout.sample);
        let uniforms = |name: &str, n: usize| -> Vec<f64> {
            (0..n as u64).map(|j| place.named(name, j).uniform()).collect()
        };
        let missing = self.config.target.saturating_sub(d);
        let (keys, draws) = (uniforms("m-grpo keep", d), uniforms("m-grpo repeat", missing));
        align_calls(d, &keys, &draws, self.config.target)
    }
}

impl AdvantageEstimator for MGrpo {
    fn needs(&self) -> Needs {
        Needs::TOKENS | Needs::TRAJECTORIES
    }

    fn scope(&self) -> Scope {
        match self.config.grouping {
            SubGrouping::Queue => Scope::Batch,
            SubGrouping::Query => Scope::Group,
        }
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let trajectories = inputs::trajectories(batch, NAME)?;
        let MGrpoConfig {
            main_agent,
            sub_agent,
            ..
        } = &self.config;
        let split = Delegation::of(batch.groups, trajectories, main_agent, sub_agent)?;
        let mut out = vec![0.0; batch.rewards.len()];
        let main: Vec<Option<f64>> = split.leaders().iter().map(|i| batch.rewards[*i]).collect();
        for (i, a) in split
            .leaders()
            .iter()
            .zip(self.relative.advantages(split.groups(), &main)?)
        {
            out[*i] = a;
        }
        // Scorable calls, by rollout.
        let (mut scored, mut rewards, mut calls) = (Vec::new(), Vec::new(), Offsets::default());
        let mut selected = Vec::with_capacity(split.leaders().len());
        for (leader, own) in split.leaders().iter().zip(split.calls().iter()) {
            let before = scored.len();
            for i in &split.followers()[own] {
                if let Some(reward) = batch.rewards[*i] {
                    scored.push(*i);
                    rewards.push(reward);
                }
            }
            calls.push(scored.len() - before);
            selected.push(self.select(&trajectories[*leader], scored.len() - before)?);
        }
        let nested = NestedRollouts::new(split.groups(), calls.spans())?;
        let aligned = aligned_advantages(&self.relative, &nested, &rewards, &selected, self.config.queue())?;
        let counted = inputs::n_counted(tokens, mask);
        let unit = |i: usize| match self.config.objective_aggregation {
            ObjectiveAggregation::SeqMeanTokenMean => f64::from(u8::from(counted[i] > 0)),
            ObjectiveAggregation::TokenMean => counted[i] as f64,
        };
        let copies = selected.iter().zip(calls.spans().iter());
        let copies = copies.flat_map(|(chosen, own)| chosen.iter().map(move |j| own.start + j));
        let mut held = 0.0;
        for (k, a) in copies.zip(aligned) {
            held += unit(scored[k]);
            out[scored[k]] += a;
        }
        let all: f64 = scored.iter().map(|i| unit(*i)).sum();
        if held > 0.0 {
            scored.iter().for_each(|i| out[*i] *= all / held);
        }
        inputs::check_result(&out)?;
        Ok(Advantages::Trajectory(out))
    }
}

#[cfg(test)]
#[path = "m_grpo_tests.rs"]
mod tests;
