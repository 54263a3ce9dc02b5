//! `reg-grpo`: the regression loss, and the difficulty of a prompt.

use groupwise_core::DataError;
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::objectives::{RegGrpoConfig, Regression};
use groupwise_sampler::difficulty::{Augmentation, DifficultyConfig, RewardBuffer, difficulty};
use serde_json::json;

use super::answers::{Losses, evaluation};
use crate::nested::{depth, leaves, like, number};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    if case.input.contains_key("buffer") || case.params.contains_key("guide_unit") {
        return augmentation(case);
    }
    let (params, input) = (case.params(), case.input());
    let default = RegGrpoConfig::default();
    let config = RegGrpoConfig {
        scale: params.or("scale", default.scale)?,
        eps_adv: params.or("eps_adv", default.eps_adv)?,
        eps_rho: params.or("eps_rho", default.eps_rho)?,
        sigma_floor: params.or("floor", None)?,
        beta: params.or("kl_coef", default.beta)?,
        kl_estimator: params.or("kl", default.kl_estimator)?,
    };
    params.finish()?;
    let read = Losses::read(&input)?;
    let objective = ObjectiveSpec::RegGrpo(config.clone()).build(&())?;
    let rewards: Vec<f64> = read.rewards.iter().map(|r| r.unwrap_or(0.0)).collect();
    let at = read.evaluate(objective.as_ref(), &rewards)?;
    let mut out = evaluation(&read, &at);
    let regression = Regression::new(&config)?;
    let mut advantages = vec![0.0; rewards.len()];
    for members in read.tokens.groups.spans().iter() {
        let scored: Vec<usize> = members.filter(|i| read.rewards[*i].is_some()).collect();
        let targets = regression.targets(&scored.iter().map(|i| rewards[*i]).collect::<Vec<_>>());
        for (i, target) in scored.into_iter().zip(targets) {
            advantages[i] = target;
        }
    }
    out.extend(answer([("advantages", like(read.template, &advantages))]));
    Ok(out)
}

/// One group against the buffer.
fn augmentation(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = DifficultyConfig::default();
    let config = DifficultyConfig {
        guide_unit: params.or("guide_unit", default.guide_unit)?,
        noise_unit: params.or("noise_unit", default.noise_unit)?,
    };
    let window: usize = params.or("W", 10)?;
    params.finish()?;
    config.validate()?;
    let rewards: Vec<Option<f64>> = leaves("rewards", input.need_raw("rewards")?, 2)?;
    let rewards: Vec<f64> = rewards.into_iter().flatten().collect();
    // A nested buffer holds steps, of which the last W count; a flat one has been cut already.
    let buffer: Vec<f64> = match input.raw("buffer") {
        Some(steps) if depth(steps) == 2 => {
            let mut buffer = RewardBuffer::new(window)?;
            for step in input.need::<Vec<Vec<f64>>>("buffer")? {
                buffer.push(&step)?;
            }
            buffer.means()
        }
        _ => input.or("buffer", Vec::new())?,
    };
    DataError::check_finite("rewards", &rewards)?;
    DataError::check_finite("buffer", &buffer)?;
    let difficulty = difficulty(&rewards, &buffer).unwrap_or(0.0);
    let (action, level, scale) = match config.augmentation(difficulty) {
        Augmentation::None => ("none", 0, 0.0),
        Augmentation::Easier { level } => ("easier", level, 0.0),
        Augmentation::Harder { scale } => ("harder", 0, scale),
    };
    Ok(answer([
        ("difficulty", number(difficulty)),
        ("action", json!(action)),
        ("guide_level", json!(level)),
        ("noise_scale", number(scale)),
    ]))
}
