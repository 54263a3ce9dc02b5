//! `craft-gui`: stages by length, their steps, and the rewards of actions and of answers.

use groupwise_core::DataError;
use groupwise_reward::interface_action::{
    ActionReward, ActionRewardConfig, InterfaceAction, UnderstandingReward, UnderstandingRewardConfig,
};
use groupwise_sampler::length_stages::{LengthStages, StagePlan, TaskKind, TaskLength};
use groupwise_sampler::stages::StageMode;
use serde_json::{Map, Value, json};

use crate::nested::{flags, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "stage" => stage(&params, &input),
        "schedule" => schedule(&params, &input),
        "action_reward" => action_reward(&params, &input),
        "understanding_reward" => understanding_reward(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// Cases count stages from 1.
fn stage(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let stages = LengthStages::new(params.or("bounds", vec![3, 8])?)?;
    params.finish()?;
    let lengths: Vec<u64> = input.need("lengths")?;
    let kinds = input.or("kinds", vec![TaskKind::Action; lengths.len()])?;
    DataError::check_len("kinds", kinds.len(), lengths.len())?;
    let tasks: Vec<TaskLength> = lengths
        .into_iter()
        .zip(kinds)
        .map(|(steps, kind)| TaskLength { steps, kind })
        .collect();
    let pools = stages.pools(&tasks)?;
    let of: Result<Vec<usize>, DataError> = tasks
        .iter()
        .map(|task| stages.stage(*task).map(|k| k + 1))
        .collect();
    Ok(answer([
        ("scores", json!(of?)),
        ("selected", json!(pools.concat())),
    ]))
}

fn schedule(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let total: u64 = params.need("total_steps")?;
    let mode: StageMode = params.or("mode", StageMode::Replace)?;
    params.finish()?;
    let sizes: Vec<usize> = input.need("lengths")?;
    let plan = StagePlan::new(&sizes, total, mode)?;
    let stage_at: Vec<usize> = (0..total).map(|step| plan.stage(step) + 1).collect();
    let active: Vec<Vec<usize>> = (0..total)
        .map(|step| plan.active(step).map(|k| k + 1).collect())
        .collect();
    Ok(answer([
        ("allocation", json!(plan.steps())),
        ("stage_at", json!(stage_at)),
        ("active", json!(active)),
    ]))
}

fn action_reward(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = ActionRewardConfig::default();
    let [w_f, w_t, w_p] = params.or("weights", [default.w_f, default.w_t, default.w_p])?;
    let reward = ActionReward::new(ActionRewardConfig {
        w_f: params.or("w_f", w_f)?,
        w_t: params.or("w_t", w_t)?,
        w_p: params.or("w_p", w_p)?,
        point_tolerance: params.or("point_tolerance", default.point_tolerance)?,
    })?;
    params.finish()?;
    let rows: Vec<Map<String, Value>> = input.need("rows")?;
    let score = |row: &Map<String, Value>| -> Result<f64, Fault> {
        let row = Fields::new("row", row);
        let prediction: Option<InterfaceAction> = row.or("pred", None)?;
        let truth: InterfaceAction = row.need("truth")?;
        let format = flags("format", row.need_raw("format")?, 0)?;
        row.finish()?;
        Ok(reward.score(prediction.as_ref(), &truth, format == [true])?)
    };
    let rewards: Result<Vec<f64>, Fault> = rows.iter().map(score).collect();
    Ok(answer([("rewards", numbers(&rewards?))]))
}

fn understanding_reward(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = UnderstandingRewardConfig::default().w_f;
    let [w_f, judged] = match params.get::<[f64; 2]>("weights")? {
        Some(weights) => weights,
        None => {
            let w_f = params.or("w_f", default)?;
            [w_f, 1.0 - w_f]
        }
    };
    params.finish()?;
    if (w_f + judged - 1.0).abs() > 1e-9 {
        return Err(Fault::refused("`weights` must sum to 1"));
    }
    let reward = UnderstandingReward::new(UnderstandingRewardConfig { w_f })?;
    let judge: Vec<f64> = input.need("judge")?;
    let format = flags("format", input.need_raw("format")?, 1)?;
    DataError::check_len("format", format.len(), judge.len())?;
    let rewards: Result<Vec<f64>, DataError> = judge
        .iter()
        .zip(format)
        .map(|(judge, format)| reward.score(*judge, format))
        .collect();
    Ok(answer([("rewards", numbers(&rewards?))]))
}
