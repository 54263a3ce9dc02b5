//! `hrpo`: group advantages with action rewards, and the reward of an action by leaving it out.

use groupwise_advantage::estimators::{ActionReward, ActionRewardConfig, Constructions, Hrpo, HrpoConfig};
use serde_json::Value;

use crate::nested::{leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "advantages".to_owned())?;
    let hrpo = Hrpo::new(&weights(&params)?)?;
    let default = ActionRewardConfig::default();
    let action_reward = ActionReward::new(&ActionRewardConfig {
        useful: params.or("useful", default.useful)?,
        useless: params.or("useless", default.useless)?,
        harmful: params.or("harmful", default.harmful)?,
    })?;
    if params.or("max_nodes", 6_usize)? == 0 {
        return Err(Fault::refused("`max_nodes` must be >= 1"));
    }
    params.finish()?;
    match function.as_str() {
        "advantages" => advantages(&hrpo, &input),
        "action_reward" => rewards_of_actions(&action_reward, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn weights(params: &Fields<'_>) -> Result<HrpoConfig, Fault> {
    let default = HrpoConfig::default();
    Ok(HrpoConfig {
        group_weight: params.or("group_weight", default.group_weight)?,
        action_weight: params.or("action_weight", default.action_weight)?,
        cost_weight: params.or("cost_weight", default.cost_weight)?,
        std: params.or("std", default.std)?,
        eps: params.or("eps", default.eps)?,
    })
}

fn advantages(hrpo: &Hrpo, input: &Fields<'_>) -> Result<Answer, Fault> {
    let outcomes = input.need_raw("correct")?;
    let groups = offsets("correct", outcomes, 0)?;
    let fits = |what: &str, value: &Value| {
        if offsets(what, value, 0)? == groups {
            Ok(())
        } else {
            Err(Fault::refused(format!(
                "`{what}` has other groups than `correct`"
            )))
        }
    };
    let costs = input.need_raw("cost")?;
    fits("cost", costs)?;
    let template = input.need_raw("action_rewards")?;
    fits("action_rewards", template)?;
    let steps = offsets("action_rewards", template, 1)?;
    let a = hrpo.advantages(&Constructions {
        groups: groups.spans(),
        steps: steps.spans(),
        outcomes: &leaves::<Option<f64>>("correct", outcomes, 2)?,
        costs: &leaves::<f64>("cost", costs, 2)?,
        action_rewards: &leaves::<f64>("action_rewards", template, 3)?,
    })?;
    let rewards: Vec<f64> = a.rewards.iter().map(|r| r.unwrap_or(f64::NAN)).collect();
    Ok(answer([
        ("rewards", like(outcomes, &rewards)),
        ("group_advantages", like(outcomes, &a.group)),
        ("advantages", like(template, &a.actions)),
    ]))
}

/// Nested as deep as the case nests it; `null` where an action was not left out.
fn rewards_of_actions(reward: &ActionReward, input: &Fields<'_>) -> Result<Answer, Fault> {
    let found = of_nested(reward, input.need_raw("with")?, input.need_raw("without")?)?;
    Ok(answer([("rewards", found)]))
}

fn of_nested(reward: &ActionReward, with: &Value, without: &Value) -> Result<Value, Fault> {
    match (with, without) {
        (Value::Array(with), Value::Array(without)) if with.len() == without.len() => with
            .iter()
            .zip(without)
            .map(|(w, z)| of_nested(reward, w, z))
            .collect(),
        (with, without) => {
            let outcome = |value: &Value| {
                let flag = value.as_bool().map(|b| f64::from(u8::from(b)));
                value.as_f64().or(flag)
            };
            let known = outcome(with).ok_or_else(|| Fault::refused("`with` and `without` do not fit"))?;
            if outcome(without).is_none() && !without.is_null() {
                return Err(Fault::refused("`with` and `without` do not fit"));
            }
            Ok(number(reward.of(known, outcome(without))?))
        }
    }
}
