//! `dr-irl`: the coefficients of GRPO-S, one function per case.

use groupwise_advantage::estimators::{
    Combine, DrIrlConfig, clause_similarity, cosine, data_coefficients, model_coefficient,
};
use groupwise_advantage::{AdvantageSpec, GroupRelative, GroupRelativeConfig, scale_groups};
use groupwise_core::DataError;
use serde_json::{Value, json};

use crate::nested::{leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "cosine" => cosines(&params, &input),
        "data_hardness" => data_hardness(&params, &input),
        "responsiveness" => responsiveness(&params, &input),
        "scaled_advantage" => scaled_advantage(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn cosines(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let generated: Vec<Vec<f64>> = input.need("generated")?;
    let demonstration: Vec<Vec<f64>> = input.need("demonstration")?;
    let row = |a: &Vec<f64>| -> Result<Value, Fault> {
        let row: Result<Vec<f64>, DataError> = demonstration.iter().map(|b| cosine(a, b)).collect();
        Ok(numbers(&row?))
    };
    let scores: Result<Vec<Value>, Fault> = generated.iter().map(row).collect();
    Ok(answer([("scores", Value::Array(scores?))]))
}

fn data_hardness(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let prompts: Vec<Vec<Vec<f64>>> = input.need("similarities")?;
    let similarity: Result<Vec<f64>, DataError> = prompts.iter().map(|s| clause_similarity(s)).collect();
    let similarity = similarity?;
    let difference: Vec<f64> = similarity.iter().map(|w| 1.0 - w).collect();
    let weights = data_coefficients(&difference)?;
    Ok(answer([
        ("similarity", numbers(&similarity)),
        ("difference", numbers(&difference)),
        ("weights", numbers(&weights)),
    ]))
}

fn responsiveness(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let config = DrIrlConfig {
        tau: params.or("tau", None)?,
        ..Default::default()
    };
    params.finish()?;
    AdvantageSpec::DrIrl(config.clone()).build(&())?;
    let gaps: Vec<f64> = input.need("gaps")?;
    let found = model_coefficient(&gaps, config.tau)?;
    let mask: Vec<u8> = found.mask.iter().map(|kept| u8::from(*kept)).collect();
    Ok(answer([("mask", json!(mask)), ("scores", number(found.score))]))
}

fn scaled_advantage(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = DrIrlConfig::default();
    let combine: Combine = params.or("combine", default.combine)?;
    let config = DrIrlConfig {
        combine,
        std: params.or("std", default.std)?,
        eps: params.or("eps", default.eps)?,
        singleton: params.or("singleton", default.singleton)?,
        ..default
    };
    params.finish()?;
    AdvantageSpec::DrIrl(config.clone()).build(&())?;
    let relative = GroupRelative::new(GroupRelativeConfig {
        spread: config.std,
        eps: config.eps,
        singleton: config.singleton,
        ..Default::default()
    })?;
    let template = input.need_raw("rewards")?;
    let groups = offsets("rewards", template, 0)?;
    let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    let hardness: Vec<f64> = input.need("hardness")?;
    let given = input.need_raw("responsiveness")?;
    let responsiveness = match given.as_f64() {
        Some(one) => vec![one; hardness.len()],
        None => leaves("responsiveness", given, 1)?,
    };
    DataError::check_len("responsiveness", responsiveness.len(), hardness.len())?;
    let weights: Vec<f64> = hardness
        .iter()
        .zip(&responsiveness)
        .map(|(data, model)| combine.of(*data, *model))
        .collect();
    let mut advantages = relative.advantages(groups.spans(), &rewards)?;
    scale_groups(groups.spans(), &weights, &mut advantages)?;
    Ok(answer([
        ("weights", numbers(&weights)),
        ("advantages", like(template, &advantages)),
    ]))
}
