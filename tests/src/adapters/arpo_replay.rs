//! `arpo-replay`: steps of groups through the replay buffer, and the selection of tasks.

use groupwise_core::{DataError, Spread};
use groupwise_reward::outcome_format::{OutcomeFormat, OutcomeFormatConfig};
use groupwise_sampler::replay::{Episode, EpisodeGroup, ReplayBuffer, ReplayConfig};
use groupwise_sampler::task_filter::{TaskFilter, TaskFilterConfig};
use serde_json::{Map, Value, json};

use super::relative;
use crate::nested::{flags, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "replay" => replay(&params, &input),
        "task_selection" => task_selection(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn replay(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = ReplayConfig::default();
    let config = ReplayConfig {
        buffer_size: params.or("buffer_size", default.buffer_size)?,
        insert_above: params.or("insert_above", default.insert_above)?,
        std_max: params.or("std_max", default.std_max)?,
        mean_max: params.or("mean_max", default.mean_max)?,
        max_age: params.or("max_age", default.max_age)?,
    };
    let reward = OutcomeFormat::new(OutcomeFormatConfig {
        format_weight: params.or("format_weight", OutcomeFormatConfig::default().format_weight)?,
    })?;
    let eps = params.or("eps", 1e-6)?;
    params.finish()?;
    let mut buffer = ReplayBuffer::new(config)?;
    let steps: Vec<Vec<Map<String, Value>>> = input.need("steps")?;
    let mut found = Vec::new();
    for (t, step) in steps.iter().enumerate() {
        let read: Result<Vec<_>, Fault> = step.iter().map(group).collect();
        let (mut groups, uniforms): (Vec<_>, Vec<f64>) = read?.into_iter().unzip();
        let replayed = buffer.step(t as u64, &mut groups, &uniforms)?;
        let groups: Result<Vec<Value>, Fault> = groups
            .iter()
            .zip(&replayed)
            .map(|(group, replayed)| trained(group, replayed.is_some(), &reward, eps))
            .collect();
        found.push(Value::Array(groups?));
    }
    let contents = |task: &str| -> Vec<&str> {
        let stored = buffer.stored(task);
        stored.map(|s| s.episode.content.as_str()).collect()
    };
    let stored: Map<String, Value> = buffer
        .tasks()
        .map(|task| (task.to_owned(), json!(contents(task))))
        .collect();
    Ok(answer([
        ("steps", Value::Array(found)),
        ("buffer", Value::Object(stored)),
    ]))
}

/// A group with its draw; without one the oldest is drawn.
fn group(value: &Map<String, Value>) -> Result<(EpisodeGroup<String>, f64), Fault> {
    let fields = Fields::new("group", value);
    let outcomes: Vec<f64> = fields.need("outcomes")?;
    let format = flags("format", fields.need_raw("format")?, 1)?;
    let ids: Vec<String> = fields.need("ids")?;
    DataError::check_len("format", format.len(), outcomes.len())?;
    DataError::check_len("ids", ids.len(), outcomes.len())?;
    let group = EpisodeGroup {
        task: fields.need("task")?,
        episodes: ids
            .into_iter()
            .zip(outcomes)
            .zip(format)
            .map(|((content, outcome), format)| Episode {
                content,
                outcome,
                format,
            })
            .collect(),
    };
    let uniform = fields.or("uniform", 0.0)?;
    fields.finish()?;
    Ok((group, uniform))
}

/// A group as it is trained on.
fn trained(
    group: &EpisodeGroup<String>,
    replayed: bool,
    reward: &OutcomeFormat,
    eps: f64,
) -> Result<Value, Fault> {
    let ids: Vec<&str> = group.episodes.iter().map(|e| e.content.as_str()).collect();
    let rewards: Result<Vec<f64>, DataError> = group
        .episodes
        .iter()
        .map(|e| reward.score(e.outcome, e.format))
        .collect();
    let rewards = rewards?;
    let scored: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
    let one = groupwise_core::Offsets::from_lengths([rewards.len()]);
    let advantages = relative(Spread::Sample, eps)?.advantages(one.spans(), &scored)?;
    Ok(json!({
        "ids": ids,
        "rewards": numbers(&rewards),
        "advantages": numbers(&advantages),
        "replayed": replayed,
    }))
}

fn task_selection(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let successes: Vec<u32> = input.need("successes")?;
    let default = TaskFilterConfig::default();
    let per_task = params.or("attempts", default.attempts)?;
    let attempts: Vec<u32> = input.or("attempts", vec![per_task; successes.len()])?;
    let filter = TaskFilter::new(TaskFilterConfig {
        min_successes: params.or("min_successes", default.min_successes)?,
        max_successes: params.or("max_successes", default.max_successes)?,
        // The case may give other attempts for each task.
        attempts: attempts.iter().copied().fold(per_task, u32::max),
    })?;
    params.finish()?;
    Ok(answer([(
        "selected",
        json!(filter.select(&successes, &attempts)?),
    )]))
}
