//! Flow-GRPO (AgentFlow): the outcome of a rollout, copied to all turns of the trained module.

use std::ops::Range;

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Spans, Spread,
    TurnAggregation,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;
use crate::nested::{EpisodeStats, NestedRollouts, ObjectiveAggregation};

const NAME: &str = "flow-grpo";

/// Flow-GRPO's advantage: one value per rollout for all its turns, times the weight its aggregation gives a turn.
///
/// # Formula
/// `A_it = lambda_t (R_i - mean(R)) / (s(R) + eps)`, statistics over the rollouts of a group (`trajectory`) or over
/// their turns, each with the reward of its rollout (`turn`).  `lambda_t` is the weight of the turn's tokens under
/// `aggregation` ([`TurnAggregation`]) over the weight the recipe's objective gives them
/// ([`ObjectiveAggregation`]); see [`folded_turn_weights`].
///
/// # Shapes
/// A trajectory is a rollout, its steps are the turns of the trained module.  One advantage per token; masked tokens
/// and tokens outside a turn get 0.
///
/// # Exactness
/// The gradient of the policy term equals that of the loss of `aggregation` if the objective aggregates as
/// `objective_aggregation` says (`grpo`: `seq-mean-token-mean`, `dapo`: `token-mean`) and the update is one batch.
/// Cut into mini-batches by groups, the relative weights stay right and the common factor is the mini-batch's own.
/// A KL term of the objective (`beta > 0`) keeps the objective's weights; for the loss with KL as specified see
/// `groupwise_objective::losses::TurnLoss`.
///
/// # Edge cases
/// - All usable rewards of a group equal, or one usable rollout: 0.
/// - A rollout without turns, or unscorable: 0, and in no statistic.
/// - A turn without counted tokens (an over-long prompt) counts in the statistics and not in the loss.
/// - One turn per rollout and groups of equal size: GRPO.
///
/// # Errors
/// Parameters: `eps` negative or not finite.  Data: no tokens, mask, steps or tokens of steps; a step outside its
/// trajectory; those of [`GroupRelative`].
///
/// # Source
/// "In-the-Flow Agentic System Optimization", arXiv 2510.05592; lupantech/AgentFlow, `agentflow/verl/trainer.py` and
/// `daemon.py`.  The authors' code takes the statistics over turns and the mean over tokens (`episode_stats = "turn"`,
/// `aggregation = "token-mean"`); the defaults here follow the definition of G as rollouts of a query.  The nested
/// mean is a reconstruction: the equation could not be seen.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// // Rollouts of 3, 1, 2 and 2 turns of one token each.
/// let (groups, turns) = (Offsets::from_lengths([4]), Offsets::from_lengths([3, 1, 2, 2]));
/// let (rewards, mask) = ([Some(1.0), Some(0.0), Some(0.0), Some(1.0)], [true; 8]);
/// let ranges: Vec<_> = (0..8).map(|t| t..t + 1).collect();
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// (batch.steps, batch.tokens, batch.mask) = (Some(turns.spans()), Some(turns.spans()), Some(&mask[..]));
/// batch.step_tokens = Some(&ranges);
/// let flow = AdvantageSpec::FlowGrpo(Default::default()).build(&())?;
/// let Advantages::Token(a) = flow.estimate(&batch)? else { unreachable!("per token") };
/// for (found, sign) in a.iter().zip([1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0, 1.0]) {
///     assert!((found - sign * 0.8660239037870368).abs() < 1e-12);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowGrpoConfig {
    /// Over what mean and deviation are taken.
    pub episode_stats: EpisodeStats,
    /// What the centred reward is divided by.
    #[serde(alias = "std")]
    pub spread: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
    /// How token losses shall be averaged.
    pub aggregation: TurnAggregation,
    /// How the recipe's objective averages them.
    pub objective_aggregation: ObjectiveAggregation,
}

impl Default for FlowGrpoConfig {
    fn default() -> Self {
        Self {
            episode_stats: EpisodeStats::Trajectory,
            spread: Spread::Sample,
            eps: 1e-6,
            aggregation: TurnAggregation::RolloutTurnToken,
            objective_aggregation: ObjectiveAggregation::SeqMeanTokenMean,
        }
    }
}

impl FlowGrpoConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            spread: self.spread,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        }
    }
}

impl Part<dyn AdvantageEstimator> for FlowGrpoConfig {
    const SOURCE: &'static str = "Flow-GRPO, arXiv 2510.05592; lupantech/AgentFlow agentflow/verl/trainer.py";

    fn formula(&self) -> String {
        let over = match self.episode_stats {
            EpisodeStats::Trajectory => "rollouts",
            EpisodeStats::Turn => "turns, each with its rollout's reward",
        };
        format!(
            "{}; statistics over {over}; copied to turns, times w / w_objective: {}, objective {}",
            self.settings().formula(),
            self.aggregation.formula(),
            self.objective_aggregation.name()
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(FlowGrpo {
            relative: GroupRelative::new(self.settings())?,
            config: self.clone(),
        }))
    }
}

/// Weight of the tokens of each turn relative to the weight an objective gives them.
///
/// # Formula
/// `lambda_t = w_t / w_i`: `w_t` by [`TurnAggregation::weigh`]; `w_i` the objective's weight of a counted token of the
/// rollout, `1 / (B n_i)` or `1 / sum_j n_j` ([`ObjectiveAggregation::divisors`]).
///
/// # Shapes
/// `groups`: group -> rollouts; `turns`: rollout -> turns; `turn_tokens`: tokens of each turn, counted over the batch;
/// `mask`: true where a token takes part in the loss; `n_i`: tokens of each rollout that the objective counts.
/// The result: one per turn, >= 0.
///
/// # Edge cases
/// A turn without counted tokens: 0.
///
/// # Errors
/// [`DataError::Length`] if counts disagree, [`DataError::Value`] if a turn leaves the mask.
///
/// # Source
/// That of [`FlowGrpoConfig`]; the surrogates are positively homogeneous in the advantage, so that
/// `lambda l(A, rho) = l(lambda A, rho)`.
///
/// # Example
/// ```
/// use groupwise_advantage::ObjectiveAggregation;
/// use groupwise_advantage::estimators::folded_turn_weights;
/// use groupwise_core::{Offsets, TurnAggregation};
/// // One rollout of two turns, 1 and 3 tokens: a turn's mean counts half, its tokens 1/2 and 1/6 instead of 1/4.
/// let (groups, turns) = (Offsets::from_lengths([1]), Offsets::from_lengths([2]));
/// let lambda = folded_turn_weights(
///     (TurnAggregation::RolloutTurnToken, ObjectiveAggregation::SeqMeanTokenMean),
///     groups.spans(), turns.spans(), &[0..1, 1..4], &[true; 4], &[4],
/// )?;
/// assert_eq!(lambda, [2.0, 4.0 / 6.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn folded_turn_weights(
    (aggregation, objective): (TurnAggregation, ObjectiveAggregation),
    groups: Spans<'_>,
    turns: Spans<'_>,
    turn_tokens: &[Range<usize>],
    mask: &[bool],
    n_i: &[usize],
) -> Result<Vec<f64>, DataError> {
    DataError::check_len("counted tokens per rollout", n_i.len(), turns.len())?;
    let mut counted = Vec::with_capacity(turn_tokens.len());
    for (k, range) in turn_tokens.iter().enumerate() {
        let own = mask.get(range.clone()).ok_or_else(|| {
            let what = format!("tokens {range:?} leave the batch of {}", mask.len());
            DataError::value(format!("turn {k}"), what)
        })?;
        counted.push(own.iter().filter(|m| **m).count());
    }
    let mut weights = aggregation.weigh(groups, turns, &counted)?;
    for (own, divisor) in turns.iter().zip(objective.divisors(n_i)) {
        weights[own].iter_mut().for_each(|w| *w *= divisor);
    }
    Ok(weights)
}

#[derive(Debug)]
struct FlowGrpo {
    relative: GroupRelative,
    config: FlowGrpoConfig,
}

impl AdvantageEstimator for FlowGrpo {
    fn needs(&self) -> Needs {
        Needs::TOKENS
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let (steps, ranges) = inputs::steps(batch, tokens, NAME)?;
        let nested = NestedRollouts::new(batch.groups, steps)?;
        let per_rollout =
            nested.outcome_advantages(&self.relative, batch.rewards, self.config.episode_stats)?;
        // An unscorable rollout is in no loss: whoever assembles the batch clears its mask, if not done yet.
        let taking_part = inputs::counted(tokens, mask, batch.rewards);
        let weights = folded_turn_weights(
            (self.config.aggregation, self.config.objective_aggregation),
            batch.groups,
            steps,
            ranges,
            &taking_part,
            &inputs::n_counted(tokens, &taking_part),
        )?;
        let per_turn: Vec<f64> = nested
            .broadcast(&per_rollout)?
            .iter()
            .zip(&weights)
            .map(|(a, w)| a * w)
            .collect();
        inputs::check_result(&per_turn)?;
        inputs::token_advantages(&per_turn, ranges, mask)
    }
}

#[cfg(test)]
#[path = "flow_grpo_tests.rs"]
mod tests;
