//! GiGPO: step-level credit from states that repeat inside a group.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, Offsets, ParamError, Part, RewardBatch, Scope, Spans,
    Spread, stats,
};
use serde::{Deserialize, Serialize};

use super::gae::RewardSource;
use crate::group_relative::{GroupRelative, Singleton};
use crate::inputs;
use crate::interner::Interner;
use crate::keyed::Clusters;
use crate::similarity::Similarity;
use crate::steps::{self, StepTokens};

const NAME: &str = "gigpo";

/// Over what the episode level takes its mean and deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpisodeStats {
    /// The returns of the trajectories, penalties left out: the paper.
    #[default]
    Trajectory,
    /// The scores of all steps, so that a long episode counts once for each of its steps: the authors' code.
    Step,
}

/// GiGPO's advantage: how good the episode was, plus how good the action was among all actions taken from the same
/// state.
///
/// # Formula
/// `A_ik = A_E + w A_S`, over the steps `k` of trajectory `i` of one prompt group:
/// - `Q_ik = sum_(l >= k) gamma^(l - k) r_il - c b_ik`, `A_S = (Q_ik - mean(Q)) / F(Q)` over the steps with the same
///   anchor, those that one trajectory repeats included;
/// - `S_ik = sum_l r_il - c b_ik`, `A_E = (S_ik - m) / F`, with `m` and `F` of the trajectories' returns or of all `S`.
///
/// `b` is 1 for a step the environment could not understand, `F` is 1 (`std = "none"`) or `deviation + eps`.
///
/// # Shapes
/// One advantage per step, on each of the step's counted tokens.  Unit of the reward with `std = "none"`.
///
/// # Edge cases
/// - A state that stands alone: `A_S` = 0.  Equal returns: `A_E` = 0, less an undivided penalty.
/// - One scored trajectory: `A_E` = 0; the authors' code keeps the raw score (`singleton = "raw"`).
/// - A trajectory without steps takes no part.  An unscorable one gets 0 and changes nobody else.
/// - Members are never compared across prompt groups, though their states be equal.
///
/// # Errors
/// Parameters: `step_weight`, `eps` or `invalid_penalty` negative or not finite; `gamma` outside [0, 1]; `std` other
/// than none, sample, population; `similarity` outside (0, 1).  Data: missing steps, rewards, anchors (never taken for
/// one shared state), tokens, or, with a penalty, trajectories; a reward that is not finite.
///
/// # Source
/// arXiv 2505.10978, equations 3 to 8; `gigpo/core_gigpo.py` of the authors' verl-agent, which has
/// `episode_stats = "step"` and `singleton = "raw"`.  The paper is followed.  Anchors and rewards are those of
/// `Turn`: an anchor that holds a counter never repeats, and GiGPO is then GRPO; see [`Repetition`].
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{Gigpo, GigpoConfig, StepBatch};
/// use groupwise_core::{Offsets, Spread};
/// let config = GigpoConfig { std: Spread::None, ..Default::default() };
/// let (groups, steps) = (Offsets::from_lengths([3]), Offsets::from_lengths([3, 3, 5]));
/// let rewards = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
/// let states = ["hall", "shelf", "till", "hall", "shelf", "door", "hall", "door", "hall", "shelf", "till"];
/// let states = states.map(String::from);
/// let batch = StepBatch { groups: groups.spans(), steps: steps.spans(), rewards: &rewards, states: &states,
///     invalid: None, unscorable: None };
/// let a = Gigpo::new(&config)?.advantages(&batch)?;
/// assert!((a.total[0] - 0.5809567708333334).abs() < 1e-12);
/// assert!((a.step[0] - 0.2476234375).abs() < 1e-12);
/// assert_eq!(a.clusters.members(0), [0, 3, 6, 8]); // every visit of the hall
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GigpoConfig {
    /// Weight w of the step level, >= 0; 0 is GRPO.
    pub step_weight: f64,
    /// Discount per step, in [0, 1].
    pub gamma: f64,
    /// Divisor of both levels: none, sample or population deviation.
    pub std: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
    /// Over what the episode level takes its statistics.
    pub episode_stats: EpisodeStats,
    /// Penalty c of a step the environment could not understand, >= 0.
    pub invalid_penalty: f64,
    /// Ratio from which on texts count as one state, in (0, 1); absent: equal texts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// What the episode level gives a lone trajectory.
    pub singleton: Singleton,
    /// The environment's reward of each step, or the shaped outcome on the last step.
    pub rewards: RewardSource,
}

impl Default for GigpoConfig {
    fn default() -> Self {
        Self {
            step_weight: 1.0,
            gamma: 0.95,
            std: Spread::None,
            eps: 1e-6,
            episode_stats: EpisodeStats::Trajectory,
            invalid_penalty: 0.1,
            similarity: None,
            singleton: Singleton::Zero,
            rewards: RewardSource::Steps,
        }
    }
}

impl Part<dyn AdvantageEstimator> for GigpoConfig {
    const SOURCE: &'static str =
        "GiGPO, arXiv 2505.10978, equations 3 to 8; gigpo/core_gigpo.py of verl-agent";

    fn formula(&self) -> String {
        let (over, centre) = match self.episode_stats {
            EpisodeStats::Trajectory => ("the returns R of the trajectories (paper)", "R"),
            EpisodeStats::Step => ("the scores S of all steps (authors' code)", "S"),
        };
        let divisor = |of| steps::divisor_formula(self.std, self.eps, of);
        let same = match self.similarity {
            None => "equal states".to_owned(),
            Some(threshold) => format!("states with Ratcliff-Obershelp ratio >= {threshold} to the first"),
        };
        let paid = match self.rewards {
            RewardSource::Steps => "r the environment's",
            RewardSource::Outcome => "r the outcome on the last step",
        };
        let lone = match self.singleton {
            Singleton::Raw => "S",
            _ => "0",
        };
        format!(
            "A_ik = (S_ik - mean({centre})){} + {} (Q_ik - mean(Q)){}; Q_ik = sum_l>=k {}^(l-k) r_il - {c} [invalid], \
             S_ik = sum_l r_il - {c} [invalid]; first part over {over}, second over {same} of the group; {paid}; \
             lone trajectory: {lone}",
            divisor(centre),
            self.step_weight,
            divisor("Q"),
            self.gamma,
            c = self.invalid_penalty,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(Gigpo::new(self)?))
    }
}

/// Steps of an update batch, as GiGPO reads them.
#[derive(Clone, Copy, Debug)]
pub struct StepBatch<'a> {
    /// Group -> trajectories.
    pub groups: Spans<'a>,
    /// Trajectory -> steps.
    pub steps: Spans<'a>,
    /// Reward per step.
    pub rewards: &'a [f64],
    /// Anchor state per step.
    pub states: &'a [String],
    /// True for a step the environment could not understand; `None`: it understood all.
    pub invalid: Option<&'a [bool]>,
    /// True for a trajectory that is left out of everything; `None`: no such trajectory.
    pub unscorable: Option<&'a [bool]>,
}

impl StepBatch<'_> {
    fn check(&self) -> Result<(), DataError> {
        let (n_trajectories, n_steps) = (self.steps.len(), self.steps.total());
        self.groups.check_covers("trajectories", n_trajectories)?;
        DataError::check_len("step_rewards", self.rewards.len(), n_steps)?;
        DataError::check_len("anchors", self.states.len(), n_steps)?;
        DataError::check_len("invalid", self.invalid.map_or(n_steps, <[bool]>::len), n_steps)?;
        let flags = self.unscorable.map_or(n_trajectories, <[bool]>::len);
        DataError::check_len("unscorable", flags, n_trajectories)?;
        steps::check_finite(self.groups, self.steps, "step reward", self.rewards)
    }

    /// True if the trajectory has something to compare.
    fn takes_part(&self, i: usize) -> bool {
        self.steps.len_of(i) > 0 && !self.unscorable.is_some_and(|flags| flags[i])
    }
}

/// What GiGPO says of every step.
#[derive(Clone, Debug, PartialEq)]
pub struct GigpoAdvantages {
    /// `A_E + w A_S`.
    pub total: Vec<f64>,
    /// `A_E`.
    pub episode: Vec<f64>,
    /// `A_S`.
    pub step: Vec<f64>,
    /// Steps taken from one state, numbered along the batch; a step that takes no part is alone.
    pub clusters: Clusters,
    /// How much there was to compare.
    pub repetition: Repetition,
}

/// Whether states repeat at all: what to look at before believing that the step level did anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Repetition {
    /// Steps per state, on average over states; 0 if there is no step.
    pub mean_size: f64,
    /// Share of the steps whose state has at least two.
    pub share_repeated: f64,
}

impl Repetition {
    fn of(clusters: &Clusters, counted: &[Option<f64>]) -> Self {
        let sizes = || {
            clusters
                .iter()
                .filter(|members| counted[members[0]].is_some())
                .map(<[usize]>::len)
        };
        let (states, steps) = (sizes().count() as f64, sizes().sum::<usize>() as f64);
        if steps == 0.0 {
            return Self::default();
        }
        let repeated: usize = sizes().filter(|n| *n > 1).sum();
        Self {
            mean_size: steps / states,
            share_repeated: repeated as f64 / steps,
        }
    }
}

/// GiGPO with valid parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Gigpo {
    config: GigpoConfig,
    similarity: Option<Similarity>,
    episode: GroupRelative,
    step: GroupRelative,
}

impl Gigpo {
    /// Validates the parameters.
    ///
    /// # Errors
    /// See [`GigpoConfig`].
    pub fn new(config: &GigpoConfig) -> Result<Self, ParamError> {
        ParamError::check_coefficient("step_weight", config.step_weight)?;
        inputs::check_discount("gamma", config.gamma)?;
        ParamError::check_coefficient("invalid_penalty", config.invalid_penalty)?;
        let level = |singleton| steps::level(config.std, config.eps, singleton);
        Ok(Self {
            similarity: config.similarity.map(Similarity::new).transpose()?,
            episode: level(config.singleton)?,
            step: level(Singleton::Zero)?,
            config: config.clone(),
        })
    }

    /// Advantages of every step and what they are made of.
    ///
    /// # Errors
    /// Data, see [`GigpoConfig`].
    pub fn advantages(&self, batch: &StepBatch<'_>) -> Result<GigpoAdvantages, DataError> {
        batch.check()?;
        let penalties: Vec<f64> = match batch.invalid {
            None => vec![0.0; batch.rewards.len()],
            Some(flags) => flags
                .iter()
                .map(|b| if *b { self.config.invalid_penalty } else { 0.0 })
                .collect(),
        };
        let episode = match self.config.episode_stats {
            EpisodeStats::Trajectory => self.over_trajectories(batch, &penalties)?,
            EpisodeStats::Step => self.over_steps(batch, &penalties)?,
        };
        let returns = self.returns(batch, &penalties);
        let clusters = step_clusters(batch, self.similarity);
        let step = self
            .step
            .advantages_by_key(&clusters, &returns)
            .map_err(|e| in_words(e, "states in order of appearance"))?;
        Ok(GigpoAdvantages {
            total: episode
                .iter()
                .zip(&step)
                .map(|(e, s)| e + self.config.step_weight * s)
                .collect(),
            repetition: Repetition::of(&clusters, &returns),
            episode,
            step,
            clusters,
        })
    }

    /// Discounted returns to go less the step's own penalty; `None` for steps that take no part.
    fn returns(&self, batch: &StepBatch<'_>, penalties: &[f64]) -> Vec<Option<f64>> {
        let mut out = vec![None; batch.rewards.len()];
        for i in (0..batch.steps.len()).filter(|i| batch.takes_part(*i)) {
            let mut to_go = 0.0;
            for k in batch.steps.range(i).rev() {
                to_go = batch.rewards[k] + self.config.gamma * to_go;
                out[k] = Some(to_go - penalties[k]);
            }
        }
        out
    }

    /// `A_E` with the statistics of the undiscounted returns, penalties left out of them.
    fn over_trajectories(&self, batch: &StepBatch<'_>, penalties: &[f64]) -> Result<Vec<f64>, DataError> {
        let totals: Vec<Option<f64>> = (batch.steps.iter().enumerate())
            .map(|(i, range)| batch.takes_part(i).then(|| batch.rewards[range].iter().sum()))
            .collect();
        let a = self.episode.advantages(batch.groups, &totals)?;
        let mut out = vec![0.0; batch.rewards.len()];
        for members in batch.groups.iter() {
            let divisor = self.divisor(&totals[members.clone()]);
            for i in members.filter(|i| totals[*i].is_some()) {
                for k in batch.steps.range(i) {
                    out[k] = a[i] - divisor.map_or(0.0, |d| penalties[k] / d);
                }
            }
        }
        Ok(out)
    }

    /// What the block divides the returns of a group by; `None` where the level says nothing.
    fn divisor(&self, totals: &[Option<f64>]) -> Option<f64> {
        let scored: Vec<f64> = totals.iter().flatten().copied().collect();
        let config = self.episode.config();
        match scored.len() {
            1 if config.singleton != Singleton::Raw => None,
            1 if config.divides() => Some(1.0 + config.eps),
            _ if !config.divides() || stats::is_constant(&scored) => Some(1.0),
            _ => Some(config.eps + deviation(config.spread, &scored)),
        }
    }

    /// `A_E` with the statistics of the scores of all steps.
    fn over_steps(&self, batch: &StepBatch<'_>, penalties: &[f64]) -> Result<Vec<f64>, DataError> {
        let mut scores = vec![None; batch.rewards.len()];
        let mut lengths = Vec::with_capacity(batch.groups.len());
        for (g, members) in batch.groups.iter().enumerate() {
            if members.is_empty() {
                return Err(DataError::value(format!("group {g}"), "holds no trajectory"));
            }
            let n_steps: usize = members.clone().map(|i| batch.steps.len_of(i)).sum();
            lengths.extend((n_steps > 0).then_some(n_steps));
            let taking_part = members.clone().filter(|i| batch.takes_part(*i)).count();
            if taking_part == 1 && self.config.singleton != Singleton::Raw {
                continue;
            }
            for range in members
                .filter(|i| batch.takes_part(*i))
                .map(|i| batch.steps.range(i))
            {
                let total: f64 = batch.rewards[range.clone()].iter().sum();
                for k in range {
                    scores[k] = Some(total - penalties[k]);
                }
            }
        }
        self.episode
            .advantages(Offsets::from_lengths(lengths).spans(), &scores)
            .map_err(|e| in_words(e, "groups with steps"))
    }
}

fn deviation(spread: Spread, values: &[f64]) -> f64 {
    match spread {
        Spread::Population => stats::population_std(values),
        _ => stats::sample_std(values),
    }
}

/// The block counts its clusters; say what they are.
fn in_words(error: DataError, counted: &str) -> DataError {
    match error {
        DataError::NonFinite { place, what, value } => DataError::NonFinite {
            place: format!("{place} of the {counted}"),
            what,
            value,
        },
        other => other,
    }
}

/// Steps with one anchor inside one prompt group; without a similarity, equal anchors.
///
/// # Shapes
/// Clusters of the steps of the batch, numbered in order of first appearance.
///
/// # Edge cases
/// A step of a trajectory that takes no part is alone, and is the first member of nothing.
pub fn step_clusters(batch: &StepBatch<'_>, similarity: Option<Similarity>) -> Clusters {
    let mut ids = vec![0; batch.states.len()];
    let mut n_clusters = 0;
    let mut interner = Interner::default();
    for members in batch.groups.iter() {
        let taking_part = || {
            let members = members.clone().filter(|i| batch.takes_part(*i));
            members.flat_map(|i| batch.steps.range(i))
        };
        let of_group: Vec<usize> = match similarity {
            Some(similarity) => similarity.groups(taking_part().map(|k| batch.states[k].as_str())),
            None => {
                interner.clear();
                taking_part().map(|k| interner.intern(&batch.states[k])).collect()
            }
        };
        let mut of_group = of_group.into_iter();
        // Number in the group -> number in the batch.
        let mut names: Vec<usize> = Vec::new();
        for i in members.clone() {
            let takes_part = batch.takes_part(i);
            for k in batch.steps.range(i) {
                let local = if takes_part { of_group.next() } else { None };
                if let Some(known) = local.and_then(|id| names.get(id)) {
                    ids[k] = *known;
                    continue;
                }
                ids[k] = n_clusters;
                names.extend(local.map(|_| n_clusters));
                n_clusters += 1;
            }
        }
    }
    Clusters::from_dense(ids, n_clusters)
}

impl AdvantageEstimator for Gigpo {
    fn needs(&self) -> Needs {
        let mut needs = Needs::ANCHORS | Needs::TOKENS;
        if self.config.invalid_penalty > 0.0 {
            needs |= Needs::TRAJECTORIES;
        }
        match self.config.rewards {
            RewardSource::Steps => needs | Needs::STEP_REWARDS,
            RewardSource::Outcome => needs,
        }
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let tokens = StepTokens::of(batch, NAME)?;
        let states = batch.anchors.ok_or(DataError::Missing {
            what: "anchors",
            part: NAME,
        })?;
        let unscorable: Vec<bool> = batch.rewards.iter().map(Option::is_none).collect();
        let invalid: Option<Vec<bool>> = if self.config.invalid_penalty > 0.0 {
            let trajectories = steps::trajectories(batch, tokens.steps, NAME)?;
            Some(
                trajectories
                    .iter()
                    .flat_map(|t| t.turns.iter().map(|turn| !turn.valid))
                    .collect(),
            )
        } else {
            None
        };
        let paid;
        let rewards = match self.config.rewards {
            RewardSource::Steps => steps::rewards(batch, NAME)?,
            RewardSource::Outcome => {
                paid = outcome_on_last_step(tokens.steps, batch.rewards);
                &paid
            }
        };
        let a = self.advantages(&StepBatch {
            groups: batch.groups,
            steps: tokens.steps,
            rewards,
            states,
            invalid: invalid.as_deref(),
            unscorable: Some(&unscorable),
        })?;
        tokens.spread(&a.total)
    }
}

fn outcome_on_last_step(steps: Spans<'_>, rewards: &[Option<f64>]) -> Vec<f64> {
    let mut out = vec![0.0; steps.total()];
    for (range, reward) in steps.iter().zip(rewards).filter(|(range, _)| !range.is_empty()) {
        out[range.end - 1] = reward.unwrap_or(0.0);
    }
    out
}

#[cfg(test)]
#[path = "gigpo_tests.rs"]
mod tests;
