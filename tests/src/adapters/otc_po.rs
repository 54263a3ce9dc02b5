//! `otc-po`: factor of tool calls, shaped group, tool productivity.

use groupwise_core::DataError;
use groupwise_reward::shapers::{OtcMember, OtcPo, OtcPoConfig, tool_productivity};
use serde_json::{Value, json};

use super::relative::group_relative;
use crate::nested::{flags, leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

fn otc(params: &Fields<'_>) -> Result<OtcPo, Fault> {
    let default = OtcPoConfig::default();
    Ok(OtcPo::new(&OtcPoConfig {
        variant: params.or("variant", default.variant)?,
        alpha: params.or("alpha", default.alpha)?,
        c: params.or("c", default.c)?,
        ..default
    })?)
}

/// Whether the optimum of earlier epochs counts.
fn remembers(params: &Fields<'_>) -> Result<bool, Fault> {
    match params.raw("memory") {
        None => Ok(true),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(word)) if word == "on" => Ok(true),
        Some(Value::String(word)) if word == "off" => Ok(false),
        Some(other) => Err(Fault::refused(format!("`memory` = {other}: must be on or off"))),
    }
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "r_tool" => {
            let otc = otc(&params)?;
            params.finish()?;
            let optimum: Option<u64> = input.or("n_opt", None)?;
            let calls: Vec<u64> = input.need("tool_calls")?;
            let weights: Vec<f64> = calls.iter().map(|m| otc.weight(*m, optimum)).collect();
            Ok(answer([("weights", numbers(&weights))]))
        }
        "group" => group(&params, &input),
        "productivity" => {
            params.finish()?;
            let correct = flags("correct", input.need_raw("correct")?, 1)?;
            let calls: Vec<u64> = input.need("tool_calls")?;
            let found = number(tool_productivity(&correct, &calls)?);
            Ok(answer([
                ("productivity", found.clone()),
                ("tool_productivity", found.clone()),
                ("tp", found),
            ]))
        }
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn group(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let (otc, relative, remembers) = (otc(params)?, group_relative(params)?, remembers(params)?);
    params.finish()?;
    let template = input.need_raw("rewards")?;
    let groups = offsets("rewards", template, 0)?;
    let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    for key in ["correct", "tool_calls"] {
        if offsets(key, input.need_raw(key)?, 0)? != groups {
            return Err(Fault::refused(format!("`{key}` has other groups than `rewards`")));
        }
    }
    let correct = flags("correct", input.need_raw("correct")?, 2)?;
    let calls: Vec<u64> = leaves("tool_calls", input.need_raw("tool_calls")?, 2)?;
    let prior: Vec<Option<u64>> = match input.or("n_prior", None)? {
        Some(prior) => prior,
        None => vec![None; groups.len()],
    };
    DataError::check_len("n_prior", prior.len(), groups.len())?;
    let (mut weights, mut shaped, mut optima) = (Vec::new(), Vec::new(), Vec::new());
    for (span, prior) in groups.spans().iter().zip(prior) {
        let members: Vec<OtcMember> = span
            .map(|i| OtcMember {
                reward: rewards[i],
                correct: correct[i],
                calls: calls[i],
            })
            .collect();
        let found = otc.shape_group(&members, prior.filter(|_| remembers))?;
        weights.extend(found.weights);
        shaped.extend(found.rewards);
        optima.push(found.optimum);
    }
    let advantages = relative.advantages(groups.spans(), &shaped)?;
    // An unscorable member has no reward: NaN equals nothing that a case can expect.
    let shown: Vec<f64> = shaped.iter().map(|r| r.unwrap_or(f64::NAN)).collect();
    Ok(answer([
        ("weights", like(template, &weights)),
        ("scores", like(template, &shown)),
        ("advantages", like(template, &advantages)),
        ("n_opt", json!(optima)),
    ]))
}
