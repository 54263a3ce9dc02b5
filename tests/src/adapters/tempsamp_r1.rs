//! `tempsamp-r1`: a reference solution in the group, and the overlap of intervals.

use groupwise_advantage::estimators::{TempsampR1, TempsampR1Config};
use groupwise_core::{DataError, Offsets};
use groupwise_reward::interval_overlap;
use serde_json::Value;

use crate::nested::{leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: Option<String> = params.get("function")?;
    match function.as_deref() {
        None | Some("advantages") => advantages(&params, &input),
        Some("soft_reward" | "transform") => transform(&params, &input),
        Some("iou") => overlap(&params, &input),
        Some(other) => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// Parameters of the specification, section 6.
fn config(params: &Fields<'_>) -> Result<TempsampR1Config, Fault> {
    let default = TempsampR1Config::default();
    let config = TempsampR1Config {
        mode: params.or("mode", default.mode)?,
        tau: params.or("tau", default.tau)?,
        alpha1: params.or("alpha1", default.alpha1)?,
        alpha2: params.or("alpha2", default.alpha2)?,
        lambda_off: match params.get("anchor")? {
            Some(factor) => factor,
            None => params.or("lambda_off", default.lambda_off)?,
        },
        off_scale: params.or("off_scale", default.off_scale)?,
        spread: params.or("std", default.spread)?,
        eps: params.or("eps", default.eps)?,
    };
    params.finish()?;
    Ok(config)
}

fn advantages(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let block = TempsampR1::new(&config(params)?)?;
    let template = input.need_raw("rewards")?;
    let groups = offsets("rewards", template, 0)?;
    let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    let off_policy = flags(&groups, input.or("off_policy", None)?)?;
    input.finish()?;
    let shaped = block.advantages(groups.spans(), &rewards, &off_policy)?;
    let numbers: Vec<Value> = shaped
        .rewards
        .iter()
        .map(|r| r.map_or(Value::Null, number))
        .collect();
    let nested = groups
        .spans()
        .iter()
        .map(|g| Value::Array(numbers[g].to_vec()))
        .collect();
    Ok(answer([
        ("advantages", like(template, &shaped.advantages)),
        ("rewards", nested),
    ]))
}

/// Which member of each group is the reference; `null` or a negative index: none.
fn flags(groups: &Offsets, off: Option<Vec<Option<i64>>>) -> Result<Vec<bool>, Fault> {
    let mut flags = vec![false; groups.total()];
    let Some(off) = off else { return Ok(flags) };
    DataError::check_len("off_policy", off.len(), groups.len())?;
    for (group, index) in groups.spans().iter().zip(off) {
        let Some(index) = index.and_then(|i| usize::try_from(i).ok()) else {
            continue;
        };
        if index >= group.len() {
            return Err(Fault::refused(format!(
                "`off_policy` {index}: the group has {} members",
                group.len()
            )));
        }
        flags[group.start + index] = true;
    }
    Ok(flags)
}

/// The transform alone, of a list of rewards.
fn transform(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let config = config(params)?;
    TempsampR1::new(&config)?;
    let rewards: Vec<f64> = input.need("rewards")?;
    let soft =
        |r: &f64| groupwise_advantage::estimators::soft_reward(*r, config.tau, config.alpha1, config.alpha2);
    Ok(answer([(
        "rewards",
        numbers(&rewards.iter().map(soft).collect::<Vec<_>>()),
    )]))
}

fn overlap(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let (predicted, gold): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (input.need("predicted")?, input.need("gold")?);
    DataError::check_len("gold", gold.len(), predicted.len())?;
    let overlaps: Vec<f64> = predicted
        .iter()
        .zip(&gold)
        .map(|(p, g)| interval_overlap(*p, *g))
        .collect();
    Ok(answer([("rewards", numbers(&overlaps))]))
}
