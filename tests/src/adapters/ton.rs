//! `ton`: thought dropout, format, reward, loss of one batch, and the drift of the choice to skip.

use groupwise_core::DataError;
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
use groupwise_objective::objectives::GrpoConfig;
use groupwise_reward::verifiers::{SkipChoice, ThoughtDropout, skips_thought, ton_format};
use serde_json::{Value, json};

use super::relative::{named_block, nested};
use crate::nested::{Tokens, leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let found = match params.need::<String>("function")?.as_str() {
        "dropout" => dropout(&params, &input),
        "format" => format(&input),
        "reward" => reward(&params, &input),
        "loss" => loss(&params, &input),
        "drift" => drift(&input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }?;
    params.finish()?;
    input.finish()?;
    Ok(found)
}

fn dropout(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let dropout = ThoughtDropout::new(params.or("p", 0.5)?)?;
    let draws: Vec<f64> = input.need("draws")?;
    let (thoughts, answers): (Vec<String>, Vec<String>) = (input.need("thoughts")?, input.need("answers")?);
    DataError::check_len("thoughts", thoughts.len(), draws.len())?;
    DataError::check_len("answers", answers.len(), draws.len())?;
    let (mut mask, mut text) = (Vec::new(), Vec::new());
    for (draw, (thought, answer)) in draws.iter().zip(thoughts.iter().zip(&answers)) {
        mask.push(u8::from(dropout.drops(*draw)?));
        text.push(dropout.trace(*draw, thought, answer)?);
    }
    Ok(answer([("mask", json!(mask)), ("text", json!(text))]))
}

fn format(input: &Fields<'_>) -> Result<Answer, Fault> {
    let texts: Vec<String> = input.need("text")?;
    let scores: Vec<f64> = texts.iter().map(|text| ton_format(text)).collect();
    let mask: Vec<u8> = texts.iter().map(|text| u8::from(skips_thought(text))).collect();
    Ok(answer([("scores", numbers(&scores)), ("mask", json!(mask))]))
}

fn reward(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let block = named_block(params, 1e-4)?;
    let (correct, format) = (input.need_raw("correct")?, input.need_raw("format")?);
    if offsets("correct", correct, 0)? != offsets("format", format, 0)? {
        return Err(Fault::refused("`format` has other groups than `correct`"));
    }
    let (right, shaped): (Vec<f64>, Vec<f64>) =
        (leaves("correct", correct, 2)?, leaves("format", format, 2)?);
    let rewards: Vec<f64> = right.iter().zip(&shaped).map(|(c, f)| c + f).collect();
    Ok(answer([
        ("scores", like(correct, &rewards)),
        ("advantages", nested(&block, correct, &rewards)?),
    ]))
}

/// The objective `grpo` on the policy that sampled: every ratio is 1.
fn loss(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let config = GrpoConfig {
        beta: params.or("beta", 0.04)?,
        ..GrpoConfig::default()
    };
    let with_reference = config.beta > 0.0;
    let objective = ObjectiveSpec::Grpo(config).build(&())?;
    // The responses form one group for the shape's sake; the loss does not look at groups.
    let lift = |value: &Value| Value::Array(vec![value.clone()]);
    let logp = lift(input.need_raw("logp")?);
    let tokens = Tokens::of("logp", &logp)?;
    let reference = input.raw("logp_ref").map(lift);
    let reference = reference
        .filter(|_| with_reference)
        .map(|value| tokens.numbers("logp_ref", &value))
        .transpose()?;
    let mask = input.raw("mask").map(lift);
    let mask = tokens.nest(&tokens.mask(mask.as_ref())?);
    if let Some(i) = mask[0].iter().position(|row| !row.contains(&true)) {
        return Err(DataError::value(format!("response {i}"), "is empty").into());
    }
    let current = tokens.nest(&tokens.numbers("logp", &logp)?);
    let batch = NestedBatch {
        logp_old: Some(current.clone()),
        logp: current,
        logp_ref: reference.map(|flat| tokens.nest(&flat)),
        mask: Some(mask),
        advantages: NestedAdvantages::Trajectory(vec![input.need("advantages")?]),
    };
    let at = evaluate_nested(objective.as_ref(), &batch)?;
    Ok(answer([
        ("loss", number(at.loss)),
        (
            "grad_logp",
            like(input.need_raw("logp")?, &at.grad_logp.concat().concat()),
        ),
    ]))
}

fn drift(input: &Fields<'_>) -> Result<Answer, Fault> {
    let skip_prob: Vec<f64> = input.need("skip_prob")?;
    let column = |name: &str| -> Result<Vec<f64>, Fault> {
        let values: Vec<f64> = input.need(name)?;
        DataError::check_len(name, values.len(), skip_prob.len())?;
        Ok(values)
    };
    let (acc_skip, acc_think) = (column("acc_skip")?, column("acc_think")?);
    let (len_skip, len_think) = (column("len_skip")?, column("len_think")?);
    let drift = |i: usize| {
        let choice = SkipChoice {
            skip_prob: skip_prob[i],
            acc_skip: acc_skip[i],
            acc_think: acc_think[i],
            len_skip: len_skip[i],
            len_think: len_think[i],
        };
        Ok(choice.drift()?)
    };
    let scores = (0..skip_prob.len())
        .map(drift)
        .collect::<Result<Vec<f64>, Fault>>()?;
    Ok(answer([("scores", numbers(&scores))]))
}
