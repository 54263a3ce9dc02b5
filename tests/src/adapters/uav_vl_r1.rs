//! `uav-vl-r1`: format and answer with advantages of one group, or the stages of the curriculum.

use groupwise_core::{Score, Task, Trajectory};
use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{UavVlR1Config, tagged_answer_matches, think_answer_format};
use groupwise_sampler::stages::{StageMode, StageSchedule, Stages};
use serde_json::{Value, json};

use super::relative::one_group;
use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    if case.params.contains_key("stage_tasks") {
        stages(&params, &input)
    } else {
        rewards(&params, &input)
    }
}

fn stages(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let families: Vec<Vec<String>> = params.need("stage_tasks")?;
    let mode: StageMode = params.or("mode", StageMode::Replace)?;
    let boundaries: Vec<u64> = params.need("boundaries")?;
    params.finish()?;
    let schedule = StageSchedule::new(Stages::new(families, mode)?, boundaries)?;
    let steps: Vec<u64> = input.need("steps")?;
    let at = |step: &u64| json!({"stage": schedule.stage(*step), "tasks": schedule.active(*step)});
    let schedule: Vec<Value> = steps.iter().map(at).collect();
    Ok(answer([("schedule", Value::Array(schedule))]))
}

fn rewards(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = UavVlR1Config::default();
    let config = UavVlR1Config {
        format_weight: params.or("format_weight", default.format_weight)?,
        accuracy_weight: params.or("accuracy_weight", default.accuracy_weight)?,
    };
    let verifier = VerifierSpec::UavVlR1(config).build(&())?;
    let reference: String = input.need("answer")?;
    let texts: Vec<String> = input.need("texts")?;
    let task = Task::new("case", "", reference.clone());
    let rewards: Result<Vec<f64>, Fault> = texts
        .iter()
        .map(
            |text| match verifier.score(&task, &Trajectory::of_reply(text, 1)) {
                Score::Value(reward) => Ok(reward),
                Score::Unscorable(reason) => Err(Fault::refused(reason)),
            },
        )
        .collect();
    let rewards = rewards?;
    let advantages = one_group(params, 1e-4, &rewards)?;
    params.finish()?;
    let format: Vec<f64> = texts.iter().map(|text| think_answer_format(text)).collect();
    let accuracy: Vec<f64> = texts
        .iter()
        .map(|text| f64::from(u8::from(tagged_answer_matches(text, &reference))))
        .collect();
    Ok(answer([
        ("format", numbers(&format)),
        ("accuracy", numbers(&accuracy)),
        ("rewards", numbers(&rewards)),
        ("advantages", numbers(&advantages)),
    ]))
}
