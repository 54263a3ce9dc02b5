//! `sari`: order of a curriculum, and the reward for layout and answer.

use groupwise_core::{Key, Score, Stream, Task, Trajectory};
use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{Layout, SariConfig, sari_reward};
use groupwise_sampler::samplers::sari::{self, Direction, Unsolved, order};
use groupwise_sampler::{SamplerContext, SamplerSpec};
use serde_json::json;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "order".to_owned())?;
    match function.as_str() {
        "order" => curriculum(&params, &input),
        "reward" => rewards(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn curriculum(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = sari::SariConfig::default();
    let unsolved = if params.or("drop_zero", true)? {
        Unsolved::Drop
    } else {
        Unsolved::Keep
    };
    let config = sari::SariConfig {
        direction: params.or("direction", Direction::EasyFirst)?,
        unsolved,
        attempts: params.or("attempts", default.attempts)?,
        passes: params.or("passes", default.passes)?,
        ..default
    };
    let seed: u64 = params.or("seed", 0)?;
    params.finish()?;
    // Parameters out of range are refused as in a recipe.
    SamplerSpec::Sari(config.clone()).build(&SamplerContext {
        n_tasks: 1,
        num_generations: 2,
    })?;
    let (successes, attempts): (Vec<u64>, Vec<u64>) = (input.need("successes")?, input.need("attempts")?);
    let key = Key::new(seed, Stream::Sampler);
    let once = order(&successes, &attempts, config.direction, config.unsolved, key)?;
    let selected = once.repeat(config.passes as usize);
    Ok(answer([("selected", json!(selected))]))
}

fn rewards(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = SariConfig::default();
    let layout = if params.or("structured", true)? {
        Layout::Structured
    } else {
        Layout::FreeForm
    };
    let config = SariConfig {
        layout,
        w_layout: params.or("w_layout", default.w_layout)?,
        w_answer: params.or("w_answer", default.w_answer)?,
    };
    params.finish()?;
    let verifier = VerifierSpec::Sari(config.clone()).build(&())?;
    let (texts, truths): (Vec<String>, Vec<String>) = (input.need("texts")?, input.need("truths")?);
    groupwise_core::DataError::check_len("truths", truths.len(), texts.len())?;
    let mut rewards = Vec::with_capacity(texts.len());
    for (text, truth) in texts.iter().zip(&truths) {
        let reward = sari_reward(text, truth, &config);
        // The part of a recipe must say the same.
        let scored = verifier.score(
            &Task::new("case", "", truth.clone()),
            &Trajectory::of_reply(text, 1),
        );
        if scored != Score::Value(reward) && !truth.trim().is_empty() {
            return Err(Fault::adapter(format!(
                "the verifier gives {scored:?}, the function {reward}"
            )));
        }
        rewards.push(reward);
    }
    Ok(answer([("rewards", numbers(&rewards))]))
}
