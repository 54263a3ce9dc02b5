//! `flow-grpo`: advantages copied to the turns of a rollout, and the loss averaged over turns and rollouts.

use groupwise_advantage::estimators::FlowGrpoConfig;
use groupwise_advantage::{AdvantageSpec, EpisodeStats, NestedRollouts, ObjectiveAggregation};
use groupwise_core::{Advantages, Offsets, RewardBatch, Spread, TurnAggregation};
use groupwise_objective::losses::{TurnBatch, TurnLoss};
use groupwise_objective::objectives::PolicyGradientConfig;
use groupwise_objective::regularizer::KlEstimator;
use groupwise_objective::surrogate::{ClipParams, SurrogateConfig};
use serde_json::Value;

use super::relative;
use crate::nested::{flags, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// Parameters of the specification, section 6, with their defaults there.
struct Params {
    episode_stats: EpisodeStats,
    spread: Spread,
    eps: f64,
    aggregation: TurnAggregation,
    loss: PolicyGradientConfig,
}

impl Params {
    fn read(params: &Fields<'_>) -> Result<Self, Fault> {
        let clip = ClipParams {
            epsilon: params.or("clip_low", 0.2)?,
            epsilon_high: Some(params.or("clip_high", 0.3)?),
            ..ClipParams::default()
        };
        let read = Self {
            episode_stats: params.or("episode_stats", EpisodeStats::default())?,
            spread: params.or("std", Spread::Sample)?,
            eps: params.or("eps", 1e-6)?,
            aggregation: params.or("aggregation", TurnAggregation::default())?,
            loss: PolicyGradientConfig {
                surrogate: SurrogateConfig::Clip(clip),
                beta: params.or("kl_coef", 0.001)?,
                kl_estimator: params.or("kl", KlEstimator::K3)?,
                ..PolicyGradientConfig::default()
            },
        };
        params.finish()?;
        Ok(read)
    }
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let params = case.params();
    let function: String = params.or("function", "advantages".to_owned())?;
    let (read, input) = (Params::read(&params)?, case.input());
    match function.as_str() {
        "advantages" => advantages(&read, &input),
        "loss" => loss(&read, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// One value per turn, nested group > rollout > turn.
fn nest(groups: &Offsets, turns: &Offsets, per_turn: &[f64]) -> Value {
    let rollout = |i: usize| crate::nested::numbers(&per_turn[turns.range(i)]);
    groups
        .spans()
        .iter()
        .map(|members| members.map(rollout).collect::<Value>())
        .collect()
}

/// The registered estimator on turns of one token, with every token of the same weight.
fn advantages(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let given = input.need_raw("rewards")?;
    let groups = offsets("rewards", given, 0)?;
    let rewards: Vec<Option<f64>> = leaves("rewards", given, 2)?;
    let counts = input.need_raw("turns")?;
    if offsets("turns", counts, 0)? != groups {
        return Err(Fault::refused("`turns` has other groups than `rewards`"));
    }
    let turns = Offsets::from_lengths(leaves::<usize>("turns", counts, 2)?);
    let ranges: Vec<_> = (0..turns.total()).map(|t| t..t + 1).collect();
    let mask = vec![true; turns.total()];
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    batch.steps = Some(turns.spans());
    batch.tokens = Some(turns.spans());
    batch.step_tokens = Some(&ranges);
    batch.mask = Some(&mask);
    let spec = AdvantageSpec::FlowGrpo(FlowGrpoConfig {
        episode_stats: read.episode_stats,
        spread: read.spread,
        eps: read.eps,
        aggregation: TurnAggregation::TokenMean,
        objective_aggregation: ObjectiveAggregation::TokenMean,
    });
    match spec.build(&())?.estimate(&batch)? {
        Advantages::Token(a) => Ok(answer([("advantages", nest(&groups, &turns, &a))])),
        Advantages::Trajectory(_) => Err(Fault::adapter("flow-grpo is per token")),
    }
}

fn loss(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let template = input.need_raw("logp")?;
    let (groups, turns) = (offsets("logp", template, 0)?, offsets("logp", template, 1)?);
    let tokens = offsets("logp", template, 2)?;
    let fits = |key: &str, value: &Value| -> Result<(), Fault> {
        let levels = [
            offsets(key, value, 0)?,
            offsets(key, value, 1)?,
            offsets(key, value, 2)?,
        ];
        if levels == [groups.clone(), turns.clone(), tokens.clone()] {
            Ok(())
        } else {
            Err(Fault::refused(format!("`{key}` has other lengths than `logp`")))
        }
    };
    let column = |key: &str| -> Result<Option<Vec<f64>>, Fault> {
        let Some(value) = input.raw(key) else {
            return Ok(None);
        };
        fits(key, value)?;
        leaves(key, value, 4).map(Some)
    };
    let logp: Vec<f64> = leaves("logp", template, 4)?;
    let (logp_old, logp_ref) = (column("logp_old")?, column("logp_ref")?);
    let mask = match input.raw("mask") {
        None => vec![true; logp.len()],
        Some(value) => {
            fits("mask", value)?;
            flags("mask", value, 4)?
        }
    };
    let given = input.need_raw("rewards")?;
    if offsets("rewards", given, 0)? != groups {
        return Err(Fault::refused("`rewards` has other groups than `logp`"));
    }
    let rewards: Vec<Option<f64>> = leaves("rewards", given, 2)?;
    let nested = NestedRollouts::new(groups.spans(), turns.spans())?;
    let block = relative(read.spread, read.eps)?;
    let per_turn = nested.broadcast(&nested.outcome_advantages(&block, &rewards, read.episode_stats)?)?;
    let at = TurnLoss::new(&read.loss, read.aggregation)?.evaluate(&TurnBatch {
        groups: groups.spans(),
        turns: turns.spans(),
        tokens: tokens.spans(),
        mask: &mask,
        logp: &logp,
        logp_old: logp_old.as_deref().unwrap_or(&logp),
        logp_ref: logp_ref.as_deref(),
        advantages: &per_turn,
    })?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(template, &at.grads.d_logp)),
        ("advantages", nest(&groups, &turns, &per_turn)),
    ]))
}
