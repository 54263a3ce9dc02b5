//! `off-policy-reinforce`: advantages, mask, loss; and the pairwise surrogate.

use groupwise_advantage::estimators::{Drop, RecConfig, surplus_below_mean};
use groupwise_advantage::{AdvantageSpec, ScaleRewards};
use groupwise_core::{Advantages, RewardBatch};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
use groupwise_objective::objectives::{OffPolicyGate, OffPolicyReinforceConfig, PairwiseConfig, Ratios};
use groupwise_objective::ratio::{SpanReduction, log_ratio, span_ratio};
use serde_json::Value;

use super::answers::{Losses, evaluation};
use crate::nested::{depth, like, number, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    match params.get::<String>("kind")?.as_deref() {
        None => {}
        Some("pairwise") => return pairwise(&params, &input),
        Some(other) => return Err(Fault::adapter(format!("adapter does not know kind `{other}`"))),
    }
    let config = config(&params)?;
    let estimator = estimator(&params)?;
    let order = params.raw("drop_order").or(input.raw("drop_order"));
    params.finish()?;
    let objective = ObjectiveSpec::OffPolicyReinforce(config.clone()).build(&())?;
    let read = Losses::read(&input)?;
    let advantages = advantages(&estimator, &read, order)?;
    let at = read.evaluate(objective.as_ref(), &advantages)?;
    let mut out = evaluation(&read, &at);
    out.extend(answer([
        ("advantages", like(read.template, &advantages)),
        (
            "mask",
            like(read.tokens.template, &mask(&config, &read, &advantages)?),
        ),
    ]));
    Ok(out)
}

fn config(params: &Fields<'_>) -> Result<OffPolicyReinforceConfig, Fault> {
    let default = OffPolicyReinforceConfig::default();
    Ok(OffPolicyReinforceConfig {
        clip_mode: params.or("clip_mode", default.clip_mode)?,
        weight: params.or("weight", default.weight)?,
        regularizer: params.or("regularizer", default.regularizer)?,
        regularizer_coef: params.or("regularizer_coef", default.regularizer_coef)?,
        k2_level: params.or("k2_level", default.k2_level)?,
        temp: params.or("temp", default.temp)?,
        epsilon: params.or("epsilon_low", default.epsilon)?,
        epsilon_high: params.or("epsilon_high", default.epsilon_high)?,
        epsilon_low_prime: params.or("epsilon_low_prime", default.epsilon_low_prime)?,
        epsilon_high_prime: params.or("epsilon_high_prime", default.epsilon_high_prime)?,
        aggregation: params.or("aggregation", None)?,
        max_completion_length: params.or("max_len", None)?,
    })
}

fn estimator(params: &Fields<'_>) -> Result<RecConfig, Fault> {
    let default = RecConfig::default();
    Ok(RecConfig {
        drop: params.or("drop", None)?.unwrap_or(Drop::None),
        scale_rewards: match params.or("std_normalize", false)? {
            true => ScaleRewards::Group,
            false => ScaleRewards::None,
        },
        eps: params.or("eps", default.eps)?,
        seed: default.seed,
    })
}

/// Advantages with the drop order of the case in place of the draw.
fn advantages(config: &RecConfig, read: &Losses<'_>, order: Option<&Value>) -> Result<Vec<f64>, Fault> {
    let mut rewards = read.rewards.clone();
    if config.drop == Drop::Balance {
        for (g, members) in read.tokens.groups.spans().iter().enumerate() {
            let (below, surplus) = surplus_below_mean(&rewards[members.clone()]);
            if surplus > 0 {
                let order = drop_order(order, g)?;
                let places = order
                    .get(..surplus)
                    .ok_or_else(|| Fault::refused("`drop_order` is too short"))?;
                for k in places {
                    let place = below
                        .get(*k)
                        .ok_or_else(|| Fault::refused("`drop_order` leaves the negatives"))?;
                    rewards[members.start + place] = None;
                }
            }
        }
    }
    let kept = RecConfig {
        drop: Drop::None,
        ..config.clone()
    };
    let groups = read.tokens.groups.spans();
    let estimator = AdvantageSpec::Rec(kept).build(&())?;
    match estimator.estimate(&RewardBatch::new(groups, &rewards))? {
        Advantages::Trajectory(a) => Ok(a),
        Advantages::Token(_) => Err(Fault::adapter("advantages must stand per trajectory")),
    }
}

/// Positions among the negatives of a group, in the order of removal: one list per group, or one for all.
fn drop_order(order: Option<&Value>, g: usize) -> Result<Vec<usize>, Fault> {
    let own = match order {
        None | Some(Value::Null) => return Err(Fault::adapter("the case has no `drop_order`")),
        Some(lists) if depth(lists) == 2 => lists.get(g).unwrap_or(&Value::Null),
        Some(Value::Array(items)) if items.iter().any(|item| !item.is_number()) => &items[g],
        Some(list) => list,
    };
    match own {
        Value::Null => Ok(Vec::new()),
        list => {
            serde_json::from_value(list.clone()).map_err(|e| Fault::refused(format!("`drop_order`: {e}")))
        }
    }
}

/// The mask of the policy term, 1 where kept, for every token of the case.
fn mask(config: &OffPolicyReinforceConfig, read: &Losses<'_>, advantages: &[f64]) -> Result<Vec<f64>, Fault> {
    let gate = OffPolicyGate::new(config)?;
    let mut out = Vec::with_capacity(read.logp.len());
    for (tokens, advantage) in read.tokens.tokens.spans().iter().zip(advantages) {
        let (logp, old) = (&read.logp[tokens.clone()], &read.old()[tokens.clone()]);
        let sequence = span_ratio(logp, old, &read.mask[tokens], SpanReduction::Mean)?.ratio();
        for (logp, old) in logp.iter().zip(old) {
            let token = log_ratio(*logp, *old).exp();
            out.push(f64::from(u8::from(
                gate.admits(*advantage, Ratios { token, sequence }),
            )));
        }
    }
    Ok(out)
}

/// One group of sequences, each with one log-probability.
fn pairwise(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let config = PairwiseConfig {
        tau: params.or("tau", PairwiseConfig::default().tau)?,
        ..PairwiseConfig::default()
    };
    params.finish()?;
    let column = |values: Vec<f64>| vec![values.into_iter().map(|v| vec![v]).collect::<Vec<_>>()];
    let anchor: Option<Vec<f64>> = match input.get("logp_anchor")? {
        Some(anchor) => Some(anchor),
        None => input.get("logp_old")?,
    };
    let batch = NestedBatch {
        logp: column(input.need("logp")?),
        logp_old: anchor.map(column),
        logp_ref: None,
        mask: None,
        advantages: NestedAdvantages::Trajectory(vec![input.need("rewards")?]),
    };
    let at = evaluate_nested(ObjectiveSpec::Pairwise(config).build(&())?.as_ref(), &batch)?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", numbers(&at.grad_logp.concat().concat())),
    ]))
}
