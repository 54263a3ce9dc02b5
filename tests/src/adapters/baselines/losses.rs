//! S, G, K, V, D: policy losses, KL estimates, value loss, preference loss.

use groupwise_objective::ObjectiveSpec;
use groupwise_objective::losses::{Dpo, DpoConfig, PairLogps, ValueClip, ValueClipConfig};
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
use groupwise_objective::objectives::PolicyGradientConfig;
use groupwise_objective::regularizer::{KlEstimator, KlPlace, kl_estimates};
use groupwise_objective::surrogate::SurrogateConfig;
use serde_json::Value;

use super::advantages::{Rewards, group_relative};
use crate::generic::advantages_of;
use crate::nested::{Tokens, depth, flags, leaves, like, number, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

/// S1 to S4 with G and K: loss and its derivative, with advantages of the case or by A1.
pub(super) fn policy(case: &Case, method: &str) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let config = objective(&params, method)?;
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    let (advantages, shown) = match input.raw("advantages") {
        Some(given) => (advantages_of(&tokens, given)?, given.clone()),
        None => computed_advantages(&params, method, &tokens, &input)?,
    };
    params.finish()?;
    let nested = |key: &str| match input.raw(key) {
        None => Ok(None),
        Some(value) => tokens.numbers(key, value).map(|flat| Some(tokens.nest(&flat))),
    };
    let batch = NestedBatch {
        logp: tokens.nest(&tokens.numbers("logp", tokens.template)?),
        logp_old: nested("logp_old")?,
        logp_ref: nested("logp_ref")?,
        mask: Some(tokens.nest(&tokens.mask(input.raw("mask"))?)),
        advantages,
    };
    let objective = ObjectiveSpec::PolicyGradient(config).build(&())?;
    let at = evaluate_nested(objective.as_ref(), &batch)?;
    let mut out: Answer = at
        .terms
        .iter()
        .map(|(name, value)| (name.clone(), number(*value)))
        .collect();
    let grads: Vec<f64> = at.grad_logp.concat().concat();
    out.extend(answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(tokens.template, &grads)),
        ("advantages", shown),
    ]));
    Ok(out)
}

/// The row of the method with the parameters of the case put over it.
fn objective(params: &Fields<'_>, method: &str) -> Result<PolicyGradientConfig, Fault> {
    let row = match method {
        "remax" => "grpo",
        "reinforce++" | "reinforce++-baseline" => "ppo",
        other => other,
    };
    let mut config = ObjectiveSpec::named(row)
        .and_then(|spec| spec.general())
        .ok_or_else(|| Fault::adapter(format!("adapter does not know method `{method}`")))?;
    match &mut config.surrogate {
        SurrogateConfig::Clip(clip) => {
            clip.epsilon_high = Some(params.or("clip_high", clip.epsilon_high.unwrap_or(clip.epsilon))?);
            clip.epsilon = params.or("clip_low", clip.epsilon)?;
            clip.dual_clip = params.or("dual_clip", None)?;
            clip.delta = params.or("delta", None)?;
        }
        SurrogateConfig::Cispo(cispo) => {
            cispo.ratio_min = params.or("ratio_min", cispo.ratio_min)?;
            cispo.ratio_max = params.or("ratio_max", cispo.ratio_max)?;
        }
        SurrogateConfig::Reinforce => {}
    }
    config.aggregation = params.or("aggregation", config.aggregation)?;
    config.max_completion_length = params.or("max_len", None)?;
    // In a loss case the coefficient is that of a term of the loss, whatever the row does with its rewards.
    config.beta = params.or("kl_coef", 0.0)?;
    config.kl_estimator = params.or("kl", KlEstimator::K3)?;
    config.kl_in = KlPlace::Loss;
    Ok(config)
}

fn computed_advantages(
    params: &Fields<'_>,
    method: &str,
    tokens: &Tokens<'_>,
    input: &Fields<'_>,
) -> Result<(NestedAdvantages, Value), Fault> {
    let relative = group_relative(params, method)?;
    let rewards = Rewards::read(input)?;
    tokens.check_groups("rewards", &rewards.groups)?;
    let a = relative.advantages(rewards.groups.spans(), &rewards.values)?;
    Ok((
        NestedAdvantages::Trajectory(tokens.nest_outer(&a)),
        like(rewards.template, &a),
    ))
}

/// K: all three estimates and their derivatives.
pub(super) fn kl(case: &Case) -> Result<Answer, Fault> {
    let input = case.input();
    case.params().finish()?;
    let template = input.need_raw("logp")?;
    let deep = depth(template).max(1);
    let logp: Vec<f64> = leaves("logp", template, deep)?;
    let logp_ref: Vec<f64> = leaves("logp_ref", input.need_raw("logp_ref")?, deep)?;
    let mut out = Answer::new();
    for (name, estimator) in [
        ("k1", KlEstimator::K1),
        ("k2", KlEstimator::K2),
        ("k3", KlEstimator::K3),
    ] {
        let points = kl_estimates(estimator, &logp, &logp_ref)?;
        let column = |of: fn(&groupwise_objective::regularizer::KlPoint) -> f64| {
            like(template, &points.iter().map(of).collect::<Vec<_>>())
        };
        out.insert(name.into(), column(|p| p.value));
        out.insert(format!("grad_{name}"), column(|p| p.slope));
    }
    Ok(out)
}

/// V: the clipped value loss.
pub(super) fn value_clip(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = ValueClipConfig::default();
    let loss = ValueClip::new(&ValueClipConfig {
        value_clip: params.or("value_clip", default.value_clip)?,
    })?;
    params.finish()?;
    let template = input.need_raw("values")?;
    let deep = depth(template).max(1);
    let read = |key: &str| leaves::<f64>(key, input.need_raw(key)?, deep);
    let values = read("values")?;
    let mask = match input.raw("mask") {
        None => vec![true; values.len()],
        Some(mask) => flags("mask", mask, deep)?,
    };
    let at = loss.evaluate(&values, &read("values_old")?, &read("returns")?, &mask)?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_values", like(template, &at.d_value)),
    ]))
}

/// D: direct preference optimization on sequence sums.
pub(super) fn dpo(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = DpoConfig::default();
    let dpo = Dpo::new(&DpoConfig {
        beta: params.or("beta", default.beta)?,
        label_smoothing: params.or("label_smoothing", default.label_smoothing)?,
    })?;
    params.finish()?;
    let read = |key: &str| input.need::<Vec<f64>>(key);
    let (chosen, rejected) = (read("logp_chosen")?, read("logp_rejected")?);
    let (ref_chosen, ref_rejected) = (read("ref_chosen")?, read("ref_rejected")?);
    let at = dpo.evaluate(PairLogps {
        chosen: &chosen,
        rejected: &rejected,
        ref_chosen: &ref_chosen,
        ref_rejected: &ref_rejected,
    })?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_chosen", numbers(&at.d_chosen)),
        ("grad_rejected", numbers(&at.d_rejected)),
        ("accuracy", number(at.accuracy)),
    ]))
}
