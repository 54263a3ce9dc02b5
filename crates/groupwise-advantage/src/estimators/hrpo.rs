//! HRPO: the advantage of a whole construction, plus an absolute reward for each of its actions.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spans, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, Singleton};

use crate::steps::{self, StepTokens};

const NAME: &str = "hrpo";

/// HRPO's advantage: outcome less cost, compared in the group, plus what each action was worth by itself.
///
/// # Formula
/// `A_ik = group_weight (R_i - mean(R)) / (std(R) + eps) + action_weight u_ik`, `R_i = y_i - cost_weight n_i`.
///
/// # Shapes
/// One advantage per action (step), on each of its counted tokens.  `y` and `u` in units of reward, `n` in actions.
///
/// # Edge cases
/// - Equal `R`, or one scorable member: the group part is 0; `u` still teaches.
/// - All `y` equal: the cost and `u` still teach.
/// - A construction without actions gets nothing; its `R` counts in the statistics.
/// - `u` is neither centered nor scaled: a group part of order 1 outweighs a `u` of 0.1.
/// - An unscorable member gets 0 on every action and is in no statistic.
///
/// # Errors
/// Parameters: a weight or `eps` negative or not finite, `std` other than none, sample, population.  Data: missing
/// steps, step rewards or tokens; numbers that are not finite.
///
/// # Source
/// MasHost, arXiv 2506.08507.  RECONSTRUCTED: only the abstract and the start of the paper were seen, and no code; the
/// weights and the reward of an action are this project's.  In a run `y` is the reward of the trajectory (of a
/// verifier that does not add up the environment's rewards), `u` the environment's reward of each step, and `n` the
/// number of steps; where calls cost otherwise, set `cost_weight = 0` and take the cost off with a shaper.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{Constructions, Hrpo, HrpoConfig};
/// use groupwise_core::Offsets;
/// let (groups, steps) = (Offsets::from_lengths([3]), Offsets::from_lengths([2, 4, 1]));
/// let a = Hrpo::new(&HrpoConfig::default())?.advantages(&Constructions {
///     groups: groups.spans(),
///     steps: steps.spans(),
///     outcomes: &[Some(1.0), Some(1.0), Some(0.0)],
///     costs: &[2.0, 4.0, 1.0],
///     action_rewards: &[0.1, 0.0, 0.1, -0.1, -0.1, 0.0, 0.0],
/// })?;
/// assert!((a.actions[0] - 0.7704771152535966).abs() < 1e-12);
/// assert!((a.group[2] + 1.1493893404347373).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HrpoConfig {
    /// Weight of the group part, >= 0.
    pub group_weight: f64,
    /// Weight of the actions' own rewards, >= 0.
    pub action_weight: f64,
    /// Reward that one action costs, >= 0.
    pub cost_weight: f64,
    /// Divisor of the group part: none, sample or population deviation.
    pub std: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
}

impl Default for HrpoConfig {
    fn default() -> Self {
        Self {
            group_weight: 1.0,
            action_weight: 1.0,
            cost_weight: 0.05,
            std: Spread::Sample,
            eps: 1e-6,
        }
    }
}

impl Part<dyn AdvantageEstimator> for HrpoConfig {
    const SOURCE: &'static str = "HRPO of MasHost, arXiv 2506.08507, reconstructed from its abstract";

    fn formula(&self) -> String {
        format!(
            "A_ik = {} (R_i - mean(R)){} + {} u_ik; R_i = y_i - {} n_i; equal R or lone member: first part 0",
            self.group_weight,
            steps::divisor_formula(self.std, self.eps, "R"),
            self.action_weight,
            self.cost_weight,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(Hrpo::new(self)?))
    }
}

/// Constructions of an update batch, as HRPO reads them.
#[derive(Clone, Copy, Debug)]
pub struct Constructions<'a> {
    /// Group -> constructions.
    pub groups: Spans<'a>,
    /// Construction -> actions.
    pub steps: Spans<'a>,
    /// Outcome y per construction; `None`: unscorable.
    pub outcomes: &'a [Option<f64>],
    /// Cost n per construction.
    pub costs: &'a [f64],
    /// Reward u per action.
    pub action_rewards: &'a [f64],
}

impl Constructions<'_> {
    fn check(&self) -> Result<(), DataError> {
        let n = self.steps.len();
        self.groups.check_covers("constructions", n)?;
        DataError::check_len("outcomes", self.outcomes.len(), n)?;
        DataError::check_len("costs", self.costs.len(), n)?;
        DataError::check_finite("costs", self.costs)?;
        DataError::check_len("action_rewards", self.action_rewards.len(), self.steps.total())?;
        steps::check_finite(self.groups, self.steps, "action reward", self.action_rewards)
    }
}

/// What HRPO says of constructions and of their actions.
#[derive(Clone, Debug, PartialEq)]
pub struct HrpoAdvantages {
    /// `R` per construction.
    pub rewards: Vec<Option<f64>>,
    /// Group advantage per construction, not yet weighted.
    pub group: Vec<f64>,
    /// Advantage per action.
    pub actions: Vec<f64>,
}

/// HRPO with valid parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Hrpo {
    config: HrpoConfig,
    relative: GroupRelative,
}

impl Hrpo {
    /// Validates the parameters.
    ///
    /// # Errors
    /// See [`HrpoConfig`].
    pub fn new(config: &HrpoConfig) -> Result<Self, ParamError> {
        ParamError::check_coefficient("group_weight", config.group_weight)?;
        ParamError::check_coefficient("action_weight", config.action_weight)?;
        ParamError::check_coefficient("cost_weight", config.cost_weight)?;
        Ok(Self {
            relative: steps::level(config.std, config.eps, Singleton::Zero)?,
            config: config.clone(),
        })
    }

    /// Advantages of every action and what they are made of.
    ///
    /// # Errors
    /// Data, see [`HrpoConfig`].
    pub fn advantages(&self, batch: &Constructions<'_>) -> Result<HrpoAdvantages, DataError> {
        batch.check()?;
        let net = |(y, n): (&Option<f64>, &f64)| y.map(|y| y - self.config.cost_weight * n);
        let rewards: Vec<Option<f64>> = batch.outcomes.iter().zip(batch.costs).map(net).collect();
        let group = self.relative.advantages(batch.groups, &rewards)?;
        let mut actions = vec![0.0; batch.action_rewards.len()];
        for (i, range) in batch
            .steps
            .iter()
            .enumerate()
            .filter(|(i, _)| rewards[*i].is_some())
        {
            for k in range {
                actions[k] =
                    self.config.group_weight * group[i] + self.config.action_weight * batch.action_rewards[k];
            }
        }
        Ok(HrpoAdvantages {
            rewards,
            group,
            actions,
        })
    }
}

impl AdvantageEstimator for Hrpo {
    fn needs(&self) -> Needs {
        Needs::STEP_REWARDS | Needs::TOKENS
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let tokens = StepTokens::of(batch, NAME)?;
        let costs: Vec<f64> = tokens.steps.iter().map(|range| range.len() as f64).collect();
        let a = self.advantages(&Constructions {
            groups: batch.groups,
            steps: tokens.steps,
            outcomes: batch.rewards,
            costs: &costs,
            action_rewards: steps::rewards(batch, NAME)?,
        })?;
        tokens.spread(&a.actions)
    }
}

/// What an action was worth, by running the construction without its component.
///
/// # Formula
/// With `y` the outcome and `z` the outcome without the component: `z < y`: `useful`; `z > y`: `-harmful`; `z = y = 1`:
/// `-useless`; else 0.
///
/// # Shapes
/// Outcomes in [0, 1], rewards in units of the outcome.
///
/// # Edge cases
/// - Not left out (the stop action; actions outside the sample that was run): 0.
/// - Equal and not fully right: 0.  Of two components that do the same, neither is missed: both are useless.
///
/// # Errors
/// Parameters: `useful`, `useless` or `harmful` negative or not finite.  Data: an outcome outside [0, 1].
///
/// # Source
/// See [`HrpoConfig`]: this project's reconstruction of the paper's "component rationality".
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{ActionReward, ActionRewardConfig};
/// let reward = ActionReward::new(&ActionRewardConfig::default())?;
/// assert_eq!(reward.of(1.0, Some(0.0))?, 0.1);
/// assert_eq!(reward.of(1.0, Some(1.0))?, -0.1);
/// assert_eq!(reward.of(0.0, Some(1.0))?, -0.2);
/// assert_eq!(reward.of(1.0, None)?, 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActionRewardConfig {
    /// Reward of a component that is missed, >= 0.
    pub useful: f64,
    /// Penalty of a component that a right construction does not need, >= 0.
    pub useless: f64,
    /// Penalty of a component that does harm, >= 0.
    pub harmful: f64,
}

impl Default for ActionRewardConfig {
    fn default() -> Self {
        Self {
            useful: 0.1,
            useless: 0.1,
            harmful: 0.2,
        }
    }
}

/// [`ActionRewardConfig`] with valid parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionReward(ActionRewardConfig);

impl ActionReward {
    /// Validates the parameters.
    ///
    /// # Errors
    /// See [`ActionRewardConfig`].
    pub fn new(config: &ActionRewardConfig) -> Result<Self, ParamError> {
        ParamError::check_coefficient("useful", config.useful)?;
        ParamError::check_coefficient("useless", config.useless)?;
        ParamError::check_coefficient("harmful", config.harmful)?;
        Ok(Self(config.clone()))
    }

    /// Reward of one action, from the outcome with its component and the one without it.
    ///
    /// # Errors
    /// An outcome outside [0, 1].
    pub fn of(&self, with: f64, without: Option<f64>) -> Result<f64, DataError> {
        for outcome in std::iter::once(with).chain(without) {
            if !(0.0..=1.0).contains(&outcome) {
                return Err(DataError::value("outcome", format!("{outcome} is not in [0, 1]")));
            }
        }
        Ok(match without {
            Some(without) if without < with => self.0.useful,
            Some(without) if without > with => -self.0.harmful,
            Some(_) if with == 1.0 => -self.0.useless,
            _ => 0.0,
        })
    }
}

/// Log-probability of an action of one head among the legal ones, and its derivative by the logits.
///
/// An action that adds a role and links it has the sum of both heads' log-probabilities.
///
/// # Formula
/// `log p_a = z_a - log sum_(legal j) exp z_j`, `d log p_a / d z_j = [j = a] - p_j`, 0 where not legal.
///
/// # Shapes
/// `logits`, `legal` and the derivative: one per action of the head; nats.
///
/// # Edge cases
/// An action that is not legal has probability 0 and derivative 0, whatever its logit.
///
/// # Errors
/// Lengths that disagree, an action that does not exist or is not legal, a legal logit that is not finite.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::legal_log_probability;
/// let (log_p, slope) = legal_log_probability(&[0.0, 50.0, 0.0], &[true, false, true], 2)?;
/// assert!((log_p - 0.5_f64.ln()).abs() < 1e-12);
/// assert_eq!(slope, [-0.5, 0.0, 0.5]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn legal_log_probability(
    logits: &[f64],
    legal: &[bool],
    action: usize,
) -> Result<(f64, Vec<f64>), DataError> {
    DataError::check_len("legal", legal.len(), logits.len())?;
    if legal.get(action) != Some(&true) {
        return Err(DataError::value(format!("action {action}"), "is not legal"));
    }
    let allowed = || {
        logits
            .iter()
            .zip(legal)
            .filter(|(_, legal)| **legal)
            .map(|(z, _)| *z)
    };
    if let Some(z) = allowed().find(|z| !z.is_finite()) {
        return Err(DataError::value("logits", format!("{z} of a legal action")));
    }
    let highest = allowed().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = highest + allowed().map(|z| (z - highest).exp()).sum::<f64>().ln();
    let slope = logits
        .iter()
        .zip(legal)
        .enumerate()
        .map(|(j, (z, legal))| match *legal {
            false => 0.0,
            true => f64::from(u8::from(j == action)) - (z - log_sum).exp(),
        });
    Ok((logits[action] - log_sum, slope.collect()))
}

#[cfg(test)]
#[path = "hrpo_tests.rs"]
mod tests;
