//! `seagent`: step labels, step rewards with their advantages, adversarial imitation.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::{Offsets, Spread};
use groupwise_objective::losses::{Repulsion, RepulsionConfig};
use groupwise_reward::screen_action::{ScreenAction, TextOrder, action_reward, reply_reward};
use groupwise_reward::step_labels::{Judgement, step_labels};
use serde_json::{Value, json};

use crate::nested::{flags, leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let stage: String = params.need("stage")?;
    match stage.as_str() {
        "labels" => labels(&params, &input),
        "step_reward" => step_reward(&params, &input),
        "adversarial_imitation" => adversarial_imitation(&params, &input),
        other => Err(Fault::adapter(format!("adapter does not know stage `{other}`"))),
    }
}

fn labels(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let rule = params.or("rule", Default::default())?;
    params.finish()?;
    let steps: usize = input.need("steps")?;
    let judgement = Judgement {
        correct: input.need("correct")?,
        optimized: input.or("optimized", false)?,
        redundant: input.or("redundant", Vec::new())?,
        first_error: input.or("first_error_step", None)?,
    };
    // One screen is stored before every step and one behind the last.
    let images: usize = input.or("images", steps + 1)?;
    let labels: Vec<i8> = step_labels(rule, steps, &judgement, images)?
        .into_iter()
        .map(|label| label.sign())
        .collect();
    Ok(answer([("labels", json!(labels))]))
}

fn step_reward(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let spread = match params.or("std_ddof", 1u8)? {
        0 => Spread::Population,
        1 => Spread::Sample,
        _ => return Err(Fault::refused("`std_ddof` must be 0 or 1")),
    };
    let relative = GroupRelative::new(GroupRelativeConfig {
        spread,
        eps: params.or("eps", 1e-4)?,
        ..GroupRelativeConfig::default()
    })?;
    let order: TextOrder = params.or("text_order", TextOrder::Four)?;
    params.finish()?;
    let predictions: Vec<Value> = input.need("predictions")?;
    let target = input.need_raw("target")?;
    // What does not read as an action earns nothing.
    let read = |value: &Value| serde_json::from_value::<ScreenAction>(value.clone());
    let rewards: Vec<f64> = match target {
        Value::Array(targets) => {
            let targets: Vec<ScreenAction> = targets
                .iter()
                .map(|t| read(t).map_err(|e| Fault::refused(format!("`target`: {e}"))))
                .collect::<Result<_, _>>()?;
            let actions = |reply: &Value| match reply {
                Value::Array(actions) => actions.iter().map(|a| read(a).ok()).collect(),
                one => vec![read(one).ok()],
            };
            predictions
                .iter()
                .map(|reply| reply_reward(&actions(reply), &targets, order))
                .collect::<Result<_, _>>()?
        }
        one => {
            let target = read(one).map_err(|e| Fault::refused(format!("`target`: {e}")))?;
            predictions
                .iter()
                .map(|p| action_reward(read(p).ok().as_ref(), &target, order))
                .collect()
        }
    };
    let group = Offsets::from_lengths([rewards.len()]);
    let scored: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
    let advantages = relative.advantages(group.spans(), &scored)?;
    Ok(answer([
        ("step_rewards", numbers(&rewards)),
        ("advantages", numbers(&advantages)),
    ]))
}

fn adversarial_imitation(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = RepulsionConfig::default();
    let repulsion = Repulsion::new(&RepulsionConfig {
        gamma: params.or("gamma", default.gamma)?,
        form: params.or("form", default.form)?,
    })?;
    params.finish()?;
    let template = input.need_raw("logp")?;
    let actions = offsets("logp", template, 0)?;
    let read = |key: &str| -> Result<&Value, Fault> {
        let value = input.need_raw(key)?;
        if offsets(key, value, 0)? == actions {
            Ok(value)
        } else {
            Err(Fault::refused(format!("`{key}` has other lengths than `logp`")))
        }
    };
    let logp: Vec<f64> = leaves("logp", template, 2)?;
    let logp_ref: Vec<f64> = leaves("logp_ref", read("logp_ref")?, 2)?;
    let mask = match input.raw("mask") {
        None => vec![true; logp.len()],
        Some(_) => flags("mask", read("mask")?, 2)?,
    };
    let at = repulsion.evaluate(&logp, &logp_ref, &mask)?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(template, &at.d_logp)),
    ]))
}
