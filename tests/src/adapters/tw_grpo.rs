//! `tw-grpo`: token weights, the loss under them, the soft reward and the inversion of questions.

use groupwise_advantage::estimators::{GroupDistributions, TokenDivergence, TokenDivergenceConfig};
use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::{DataError, Offsets};
use groupwise_env::inversion::invert_choice;
use groupwise_objective::aggregate::Aggregation;
use groupwise_objective::losses::{TokenWeighted, TokenWeightedConfig};
use groupwise_objective::nested::{NestedAdvantages, NestedBatch};
use groupwise_reward::choice_set_reward;
use groupwise_reward::verifiers::{Credit, has_think_answer_format};
use serde_json::{Value, json};

use crate::nested::{Tokens, depth, flags, leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "weights" => weights(&params, &input),
        "loss" => loss(&params, &input),
        "soft_reward" => choices(&params, &input, Credit::Soft),
        "hard_reward" => choices(&params, &input, Credit::Hard),
        "format_reward" => format(&params, &input),
        "invert" => invert(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// Weights of one group: answer > place > entry.
fn weights(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = TokenDivergenceConfig::default();
    let block = TokenDivergence::new(TokenDivergenceConfig {
        alpha: params.or("alpha", default.alpha)?,
        divergence: params.or("divergence", default.divergence)?,
    })?;
    params.finish()?;
    let value = input.need_raw("log_probs")?;
    let log_probs: Vec<f64> = leaves("log_probs", value, 3)?;
    let (rows, entries) = (offsets("log_probs", value, 0)?, offsets("log_probs", value, 1)?);
    let n_positions = same("places of an answer", &rows)?;
    let vocabulary = same("entries of a distribution", &entries)?;
    let mask = match input.raw("mask") {
        Some(mask) if offsets("mask", mask, 0)? == rows => flags("mask", mask, 2)?,
        Some(_) => return Err(Fault::refused("`mask` has other lengths than `log_probs`")),
        None => vec![true; rows.total()],
    };
    input.finish()?;
    let found = block.weights(&GroupDistributions {
        n_members: rows.len(),
        n_positions,
        vocabulary,
        log_probs: &log_probs,
        mask: &mask,
    })?;
    let nested: Value = rows.spans().iter().map(|r| numbers(&found.weights[r])).collect();
    Ok(answer([
        ("weights", nested),
        ("divergence", numbers(&found.divergence)),
        ("peak", json!(found.peak)),
    ]))
}

/// The common length of all items.
fn same(what: &str, items: &Offsets) -> Result<usize, Fault> {
    let mut lengths = items.spans().iter().map(|r| r.len());
    let first = lengths.next().unwrap_or(0);
    if lengths.all(|n| n == first) {
        Ok(first)
    } else {
        Err(Fault::refused(format!("`log_probs`: {what} differ in number")))
    }
}

/// The loss of given weights; one group without its outer level, or several.
fn loss(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = TokenWeightedConfig::default();
    let low = params.or("clip_low", default.epsilon)?;
    let weighted = TokenWeighted::new(&TokenWeightedConfig {
        epsilon: low,
        epsilon_high: Some(params.or("clip_high", low)?),
        beta: match params.get("beta")? {
            Some(beta) => beta,
            None => params.or("kl_coef", default.beta)?,
        },
        aggregation: params.or("aggregation", Aggregation::TokenMean)?,
        max_completion_length: params.or("max_len", None)?,
    })?;
    let relative = GroupRelative::new(GroupRelativeConfig {
        spread: params.or("std", GroupRelativeConfig::default().spread)?,
        eps: params.or("eps", 1e-4)?,
        ..GroupRelativeConfig::default()
    })?;
    // The weights of the case were made with it.
    TokenDivergence::new(TokenDivergenceConfig {
        alpha: params.or("alpha", TokenDivergenceConfig::default().alpha)?,
        divergence: params.or("divergence", TokenDivergenceConfig::default().divergence)?,
    })?;
    params.finish()?;
    let flat = depth(input.need_raw("logp")?) < 3;
    let lifted = |key: &str| {
        let value = input.raw(key).cloned();
        value.map(|v| if flat { Value::Array(vec![v]) } else { v })
    };
    let need =
        |key: &str| lifted(key).ok_or_else(|| Fault::adapter(format!("the case has no input `{key}`")));
    let (logp, rewards) = (need("logp")?, need("rewards")?);
    let tokens = Tokens::of("logp", &logp)?;
    let groups = offsets("rewards", &rewards, 0)?;
    tokens.check_groups("rewards", &groups)?;
    let advantages = relative.advantages(groups.spans(), &leaves::<Option<f64>>("rewards", &rewards, 2)?)?;
    let nested = |key: &str| match lifted(key) {
        None => Ok(None),
        Some(value) => tokens.numbers(key, &value).map(|flat| Some(tokens.nest(&flat))),
    };
    let (batch, current) = NestedBatch {
        logp: tokens.nest(&tokens.numbers("logp", &logp)?),
        logp_old: nested("logp_old")?,
        logp_ref: nested("logp_ref")?,
        mask: Some(tokens.nest(&tokens.mask(lifted("mask").as_ref())?)),
        advantages: NestedAdvantages::Trajectory(tokens.nest_outer(&advantages)),
    }
    .to_batch()?;
    let omega = tokens.numbers("weights", &need("weights")?)?;
    input.finish()?;
    let at = weighted.evaluate(&batch, &current, &omega)?;
    let shaped = |key: &str, values: &[f64]| input.raw(key).map_or(Value::Null, |v| like(v, values));
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", shaped("logp", &at.d_logp)),
        ("advantages", shaped("rewards", &advantages)),
    ]))
}

/// Rewards of answers that name options.
fn choices(params: &Fields<'_>, input: &Fields<'_>, credit: Credit) -> Result<Answer, Fault> {
    params.finish()?;
    let predicted: Vec<Vec<String>> = input.need("predicted")?;
    let gold: Vec<Vec<String>> = input.need("gold")?;
    DataError::check_len("gold", gold.len(), predicted.len())?;
    let rewards: Option<Vec<f64>> = predicted
        .iter()
        .zip(&gold)
        .map(|(p, g)| choice_set_reward(p, g, credit))
        .collect();
    let rewards = rewards.ok_or_else(|| Fault::refused("a gold set is empty"))?;
    Ok(answer([("rewards", numbers(&rewards))]))
}

fn format(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let texts: Vec<String> = input.need("texts")?;
    let rewards: Vec<f64> = texts
        .iter()
        .map(|text| f64::from(u8::from(has_think_answer_format(text))))
        .collect();
    Ok(answer([("rewards", numbers(&rewards))]))
}

fn invert(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let (kept, order): (Vec<usize>, Vec<usize>) = (input.need("kept")?, input.need("order")?);
    let inverted = invert_choice(input.need("options")?, input.need("correct")?, &kept, &order)?;
    Ok(answer([
        ("selected", json!(inverted.options)),
        ("gold", json!(inverted.gold)),
    ]))
}
