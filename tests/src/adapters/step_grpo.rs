//! `step-grpo`: typed rewards of steps, and one group per step.

use groupwise_advantage::AdvantageSpec;
use groupwise_advantage::estimators::{StepGrpoConfig, StepLayout};
use groupwise_core::{Advantages, DataError, RewardBatch, Spread};
use groupwise_reward::{RouteReward, answer_recall};

use crate::nested::{flags, leaves, like, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "advantages".to_owned())?;
    // Section 6 of the specification, with its defaults.
    let config = StepGrpoConfig {
        layout: StepLayout::Rows,
        spread: params.or("std", Spread::Sample)?,
        eps: params.or("eps", 1e-6)?,
    };
    let route = RouteReward::new(
        params.or("similarity_weight", 0.5)?,
        params.or("match_weight", 0.5)?,
    )?;
    let short_gold: usize = params.or("short_gold", 5)?;
    params.finish()?;
    match function.as_str() {
        "route_reward" => route_rewards(&route, &input),
        "answer_reward" => answer_rewards(short_gold, &input),
        "advantages" => advantages(config, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn route_rewards(route: &RouteReward, input: &Fields<'_>) -> Result<Answer, Fault> {
    let similarity: Vec<f64> = input.need("similarity")?;
    let predicted: Vec<Vec<String>> = input.need("predicted")?;
    let expected: Vec<Vec<String>> = input.need("expected")?;
    let well_formed = match input.raw("format_ok") {
        None => vec![true; similarity.len()],
        Some(given) => flags("format_ok", given, 1)?,
    };
    for (what, n) in [
        ("predicted", predicted.len()),
        ("expected", expected.len()),
        ("format_ok", well_formed.len()),
    ] {
        DataError::check_len(what, n, similarity.len())?;
    }
    let mut rewards = Vec::with_capacity(similarity.len());
    for (i, sim) in similarity.iter().enumerate() {
        let reward = route.score(*sim, &predicted[i], &expected[i])?;
        rewards.push(if well_formed[i] { reward } else { 0.0 });
    }
    Ok(answer([("rewards", numbers(&rewards))]))
}

fn answer_rewards(short_gold: usize, input: &Fields<'_>) -> Result<Answer, Fault> {
    let predicted: Vec<Vec<String>> = input.need("predicted")?;
    let golds: Vec<Vec<Vec<String>>> = input.need("golds")?;
    DataError::check_len("golds", golds.len(), predicted.len())?;
    let pairs = predicted.iter().zip(&golds);
    let rewards: Vec<f64> = pairs.map(|(p, g)| answer_recall(p, g, short_gold)).collect();
    Ok(answer([("rewards", numbers(&rewards))]))
}

fn advantages(config: StepGrpoConfig, input: &Fields<'_>) -> Result<Answer, Fault> {
    let given = match input.raw("step_rewards") {
        Some(given) => given,
        None => input.need_raw("rewards")?,
    };
    let groups = offsets("step_rewards", given, 0)?;
    let rewards: Vec<Option<f64>> = leaves("step_rewards", given, 2)?;
    let estimator = AdvantageSpec::StepGrpo(config).build(&())?;
    match estimator.estimate(&RewardBatch::new(groups.spans(), &rewards))? {
        Advantages::Trajectory(a) => Ok(answer([("advantages", like(given, &a))])),
        Advantages::Token(_) => Err(Fault::adapter("rows have one advantage each")),
    }
}
