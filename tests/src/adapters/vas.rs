//! `vas`: scores, mixture and refresh steps of variance-aware sampling.

use groupwise_core::{DataError, Part};
use groupwise_sampler::SamplerContext;
use groupwise_sampler::samplers::vas::{Normalization, VasConfig, mixture, score};
use serde_json::json;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "score".to_owned())?;
    match function.as_str() {
        "score" => scores(&params, &input),
        "mixture" => weights(&params, &input),
        "refresh_steps" => refresh_steps(&params),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// Parameters out of range are refused as in a recipe.
fn build(config: &VasConfig) -> Result<Box<dyn groupwise_core::PromptSampler>, Fault> {
    let context = SamplerContext {
        n_tasks: 1,
        num_generations: 2,
    };
    Ok(config.build(&context)?)
}

fn scores(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = VasConfig::default();
    let config = VasConfig {
        alpha: params.or("alpha", default.alpha)?,
        beta: params.or("beta", default.beta)?,
        diversity: params.or("diversity", default.diversity)?,
        ..default
    };
    params.finish()?;
    build(&config)?;
    let rewards: Vec<Vec<f64>> = input.need("rewards")?;
    let answers: Vec<Vec<Vec<u32>>> = input.need("token_ids")?;
    DataError::check_len("token_ids", answers.len(), rewards.len())?;
    let mut found = Vec::new();
    for (rewards, answers) in rewards.iter().zip(&answers) {
        DataError::check_len("token_ids", answers.len(), rewards.len())?;
        let answers: Vec<&[u32]> = answers.iter().map(Vec::as_slice).collect();
        found.push(score(rewards, &answers, &config));
    }
    let column = |of: fn(&groupwise_sampler::samplers::vas::Promise) -> f64| {
        numbers(&found.iter().map(of).collect::<Vec<f64>>())
    };
    Ok(answer([
        ("ovs", column(|p| p.outcome_variance)),
        ("tds", column(|p| p.diversity)),
        ("scores", column(|p| p.total)),
    ]))
}

fn weights(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let momentum = params.or("momentum", 0.0)?;
    let normalization = if params.or("minmax", false)? {
        Normalization::MinMax
    } else {
        Normalization::Proportional
    };
    let (batch, ratio): (usize, f64) = (params.need("batch")?, params.or("mixture_ratio", 0.5)?);
    params.finish()?;
    let scores: Vec<f64> = input.need("scores")?;
    let previous: Option<Vec<f64>> = input.get("previous_weights")?;
    let found = mixture(
        &scores,
        previous.as_deref(),
        momentum,
        normalization,
        batch,
        ratio,
    )?;
    Ok(answer([
        ("weights", numbers(&found.weights)),
        ("probabilities", numbers(&found.probabilities)),
        ("weighted_draws", json!(found.weighted_draws)),
        ("uniform_draws", json!(found.uniform_draws)),
        ("expected_share", numbers(&found.expected_share)),
    ]))
}

fn refresh_steps(params: &Fields<'_>) -> Result<Answer, Fault> {
    let config = VasConfig {
        refresh_every: params.need("every")?,
        ..VasConfig::default()
    };
    let total: u64 = params.need("total_steps")?;
    params.finish()?;
    let sampler = build(&config)?;
    // The survey before training is no refresh, unless step 1 is due by itself.
    let is_refresh = |step: &u64| sampler.survey(*step).is_some() && (*step > 1 || config.refresh_every == 1);
    let steps: Vec<u64> = (1..=total).filter(is_refresh).collect();
    Ok(answer([("selected", json!(steps))]))
}
