//! `hi-agent`: subgoals ranked by their executions, executions ranked within their subgoal.

use groupwise_advantage::NestedRollouts;
use groupwise_advantage::estimators::{HiAgentConfig, Subgoals, foresight_rewards};
use groupwise_core::{Part, Spread};

use super::relative;
use crate::nested::{flags, leaves, like, offsets};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = HiAgentConfig::default();
    let function: String = params.or("function", "foresight".to_owned())?;
    let config = HiAgentConfig {
        format_weight: params.or("format_weight", default.format_weight)?,
        execution_weight: params.or("execution_weight", default.execution_weight)?,
        judge_weight: params.or("judge_weight", default.judge_weight)?,
        spread: params.or("std", Spread::Sample)?,
        eps: params.or("eps", default.eps)?,
        ..default
    };
    params.finish()?;
    if function != "foresight" {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{function}`"
        )));
    }
    config.build(&())?;
    let given = input.need_raw("format_ok")?;
    let states = offsets("format_ok", given, 0)?;
    let format_ok = flags("format_ok", given, 2)?;
    let low = input.need_raw("low_rewards")?;
    let executions = offsets("low_rewards", low, 1)?;
    if offsets("low_rewards", low, 0)? != states {
        return Err(Fault::refused(
            "`low_rewards` has other subgoals than `format_ok`",
        ));
    }
    let execution_rewards: Vec<Option<f64>> = leaves("low_rewards", low, 3)?;
    let judge = match input.raw("judge") {
        None => None,
        Some(judge) if offsets("judge", judge, 0)? == states => Some(leaves::<f64>("judge", judge, 2)?),
        Some(_) => return Err(Fault::refused("`judge` has other subgoals than `format_ok`")),
    };
    let rewards = foresight_rewards(
        &config,
        &Subgoals {
            executions: executions.spans(),
            format_ok: &format_ok,
            execution_rewards: &execution_rewards,
            judge: judge.as_deref(),
        },
    )?;
    let block = relative(config.spread, config.eps)?;
    let scored: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
    let nested = NestedRollouts::new(states.spans(), executions.spans())?;
    Ok(answer([
        ("rewards", like(given, &rewards)),
        (
            "advantages",
            like(given, &block.advantages(states.spans(), &scored)?),
        ),
        (
            "low_advantages",
            like(low, &nested.advantages_within(&block, &execution_rewards)?),
        ),
    ]))
}
