//! `grpo-d`: the KL coefficient by optimizer step, and the loss at a step.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::{Schedule, Spread};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_batch};
use groupwise_objective::objectives::GrpoDConfig;

use crate::generic::advantages_of;
use crate::nested::{Tokens, leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let kind: String = params.need("kind")?;
    let config = config(&params)?;
    let total: f64 = params.need("total")?;
    if !(total >= 2.0 && total.is_finite()) {
        return Err(Fault::refused("`total` must be >= 2"));
    }
    let beta = config.schedule()?;
    match kind.as_str() {
        "schedule" => {
            params.finish()?;
            let steps: Vec<f64> = input.need("steps")?;
            let weights: Vec<f64> = steps.iter().map(|s| beta.value(s / total)).collect();
            Ok(answer([("weights", numbers(&weights))]))
        }
        "loss" => {
            let step: f64 = params.need("step")?;
            let mut out = loss(&config, step / total, &params, &input)?;
            out.insert("kl_coef".into(), number(beta.value(step / total)));
            Ok(out)
        }
        other => Err(Fault::adapter(format!("adapter does not know kind `{other}`"))),
    }
}

fn config(params: &Fields<'_>) -> Result<GrpoDConfig, Fault> {
    let default = GrpoDConfig::default();
    Ok(GrpoDConfig {
        epsilon: params.or("clip_low", default.epsilon)?,
        epsilon_high: params.or("clip_high", default.epsilon_high)?,
        aggregation: params.or("aggregation", default.aggregation)?,
        max_completion_length: params.or("max_len", None)?,
        beta_min: params.or("beta_min", default.beta_min)?,
        beta_max: params.or("beta_max", default.beta_max)?,
        warm_frac: params.or("warm_frac", default.warm_frac)?,
        shape: params.or("shape", default.shape)?,
        kl_estimator: params.or("kl", default.kl_estimator)?,
    })
}

fn loss(
    config: &GrpoDConfig,
    progress: f64,
    params: &Fields<'_>,
    input: &Fields<'_>,
) -> Result<Answer, Fault> {
    let relative = GroupRelative::new(GroupRelativeConfig {
        spread: params.or("std", Spread::Sample)?,
        eps: params.or("eps", GroupRelativeConfig::default().eps)?,
        ..GroupRelativeConfig::default()
    })?;
    params.finish()?;
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    let advantages = match input.raw("advantages") {
        Some(given) => advantages_of(&tokens, given)?,
        None => {
            let template = input.need_raw("rewards")?;
            let groups = offsets("rewards", template, 0)?;
            tokens.check_groups("rewards", &groups)?;
            let a = relative.advantages(groups.spans(), &leaves::<Option<f64>>("rewards", template, 2)?)?;
            NestedAdvantages::Trajectory(tokens.nest_outer(&a))
        }
    };
    let nested = |key: &str| match input.raw(key) {
        None => Ok(None),
        Some(value) => tokens.numbers(key, value).map(|flat| Some(tokens.nest(&flat))),
    };
    let (batch, logp) = NestedBatch {
        logp: tokens.nest(&tokens.numbers("logp", tokens.template)?),
        logp_old: nested("logp_old")?,
        logp_ref: nested("logp_ref")?,
        mask: Some(tokens.nest(&tokens.mask(input.raw("mask"))?)),
        advantages,
    }
    .to_batch()?;
    let objective = ObjectiveSpec::GrpoD(config.clone()).build(&())?;
    let now = objective
        .scheduled(progress)
        .ok_or_else(|| Fault::adapter("the objective has no schedule"))?;
    let at = evaluate_batch(now.as_ref(), &batch, &logp)?;
    Ok(answer([
        ("loss", number(at.loss)),
        (
            "grad_logp",
            like(tokens.template, &at.grad_logp.concat().concat()),
        ),
    ]))
}
