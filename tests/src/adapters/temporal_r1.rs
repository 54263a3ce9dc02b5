//! `temporal-r1`: overlap of intervals, the two rewards, and the selection of tasks.

use groupwise_core::ParamError;
use groupwise_reward::verifiers::{TemporalR1Config, choice_accuracy, grounding_accuracy, interval_overlap};
use groupwise_sampler::samplers::temporal_r1::{Selection, select};
use serde::Deserialize;
use serde_json::json;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

/// One reply, already read: an interval or a choice (`null`: unparsable), and whether its format is right.
#[derive(Deserialize)]
struct Row<T> {
    pred: Option<T>,
    truth: T,
    format: f64,
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "tiou" => overlaps(&params, &input),
        "grounding_reward" => grounding(&params, &input),
        "qa_reward" => choices(&params, &input),
        "select" => selection(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn overlaps(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let pairs: Vec<[[f64; 2]; 2]> = input.need("pairs")?;
    let scores: Vec<f64> = pairs.iter().map(|[a, b]| interval_overlap(*a, *b)).collect();
    Ok(answer([("scores", numbers(&scores))]))
}

/// Parameters out of range are refused as in a recipe.
fn config(params: &Fields<'_>) -> Result<TemporalR1Config, Fault> {
    let default = TemporalR1Config::default();
    let config = TemporalR1Config {
        format_weight: params.or("format_weight", default.format_weight)?,
        threshold: params.or("threshold", default.threshold)?,
    };
    config.validate()?;
    Ok(config)
}

fn grounding(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let config = config(params)?;
    let video_length: f64 = params.or("video_length", 1.0)?;
    params.finish()?;
    let rows: Vec<Row<[f64; 2]>> = input.need("rows")?;
    let mut rewards = Vec::with_capacity(rows.len());
    for row in rows {
        let accuracy = grounding_accuracy(row.pred, row.truth, video_length, config.threshold)?;
        rewards.push(config.reward(accuracy, row.format));
    }
    Ok(answer([("rewards", numbers(&rewards))]))
}

fn choices(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let config = config(params)?;
    params.finish()?;
    let rows: Vec<Row<String>> = input.need("rows")?;
    let reward = |row: &Row<String>| {
        let accuracy = row.pred.as_ref().map_or(0.0, |p| choice_accuracy(p, &row.truth));
        config.reward(accuracy, row.format)
    };
    let rewards: Vec<f64> = rows.iter().map(reward).collect();
    Ok(answer([("rewards", numbers(&rewards))]))
}

fn selection(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = Selection::default();
    let rule = Selection {
        kind: params.or("kind", default.kind)?,
        std_min: params.or("std_min", default.std_min)?,
        top: params.or("top", default.top)?,
    };
    let repeats: Option<usize> = params.get("repeats")?;
    params.finish()?;
    rule.validate()?;
    let rewards: Vec<Vec<f64>> = input.need("rewards")?;
    if let Some(k) = repeats {
        ParamError::check(k >= 2, "repeats", k, ">= 2")?;
    }
    let found = select(&rewards, &rule)?;
    Ok(answer([
        ("scores", numbers(&found.stds)),
        ("means", numbers(&found.means)),
        ("selected", json!(found.selected)),
    ]))
}
