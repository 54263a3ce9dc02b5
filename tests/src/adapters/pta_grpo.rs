//! `pta-grpo`: scores of plans, rewards of their solutions, and advantages by either rule of credit.

use groupwise_core::Spans;
use groupwise_reward::shapers::{PtaGrpo, PtaGrpoConfig};
use serde_json::Value;

use super::relative::named_block;
use crate::nested::{leaves, like, numbers, offsets};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "rewards".to_owned())?;
    if function != "rewards" {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{function}`"
        )));
    }
    let default = PtaGrpoConfig::default();
    let method = PtaGrpo::new(&PtaGrpoConfig {
        w_outcome: params.or("w_outcome", default.w_outcome)?,
        w_plan: params.or("w_plan", default.w_plan)?,
        w_format: params.or("w_format", default.w_format)?,
        credit: params.or("credit", default.credit)?,
    })?;
    let block = named_block(&params, 1e-6)?;
    params.finish()?;
    let template = input.need_raw("correct")?;
    let plans = offsets("correct", template, 0)?;
    let outcomes: Vec<f64> = leaves("correct", template, 2)?;
    let formats: Vec<f64> = match input.raw("format") {
        None => vec![0.0; outcomes.len()],
        Some(value) if offsets("format", value, 0)? == plans => leaves("format", value, 2)?,
        Some(_) => return Err(Fault::refused("`format` has other plans than `correct`")),
    };
    input.finish()?;
    let rewards = method.rewards(plans.spans(), &outcomes, &formats)?;
    let relative = |groups: Spans<'_>, rewards: &[f64]| {
        let rewards: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
        block.advantages(groups, &rewards)
    };
    let a = method.advantages(plans.spans(), &rewards, relative)?;
    Ok(answer([
        ("plan_scores", numbers(&rewards.plan_scores)),
        ("scores", like(template, &rewards.total)),
        ("plan_advantages", a.plans.map_or(Value::Null, |a| numbers(&a))),
        ("advantages", like(template, &a.solutions)),
    ]))
}
