//! `listener-reward`: the listener's belief, the combined reward, contradictions.

use groupwise_core::DataError;
use groupwise_reward::listener::{ListenerReward, contradictions, listener_probabilities};
use serde_json::{Value, json};

use super::relative::named;
use crate::nested::{flags, leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "listener_prob" => listener_prob(&params, &input),
        "combine" => combine(&params, &input),
        "contradiction" => contradiction(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn listener_prob(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let logits: Vec<Vec<f64>> = input.need("listener_logits")?;
    let labels: Vec<usize> = input.need("labels")?;
    DataError::check_len("labels", labels.len(), logits.len())?;
    let (mut probabilities, mut scores) = (Vec::new(), Vec::new());
    for (row, label) in logits.iter().zip(labels) {
        let p = listener_probabilities(row)?;
        let right = p
            .get(label)
            .ok_or_else(|| Fault::refused(format!("label {label} is not among {} choices", p.len())))?;
        scores.push(*right);
        probabilities.push(numbers(&p));
    }
    Ok(answer([
        ("probabilities", Value::Array(probabilities)),
        ("scores", numbers(&scores)),
    ]))
}

fn combine(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let reward = ListenerReward::new(
        params.or("w_format", 1.0)?,
        params.or("w_acc", 0.5)?,
        params.or("w_listener", 0.5)?,
    )?;
    let relative = named(params)?;
    params.finish()?;
    let template = input.need_raw("format")?;
    let groups = offsets("format", template, 0)?;
    for key in ["correct", "listener_probs"] {
        if offsets(key, input.need_raw(key)?, 0)? != groups {
            return Err(Fault::refused(format!("`{key}` has other groups than `format`")));
        }
    }
    let scores = reward.score_group(
        &flags("format", template, 2)?,
        &flags("correct", input.need_raw("correct")?, 2)?,
        &leaves::<Option<f64>>("listener_probs", input.need_raw("listener_probs")?, 2)?,
    )?;
    let rewards: Vec<Option<f64>> = scores.iter().copied().map(Some).collect();
    let advantages = relative.advantages(groups.spans(), &rewards)?;
    Ok(answer([
        ("scores", like(template, &scores)),
        ("advantages", like(template, &advantages)),
    ]))
}

fn contradiction(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let probabilities: Vec<Vec<f64>> = input.need("probabilities")?;
    let answers: Vec<Option<usize>> = input.need("answers")?;
    let found = contradictions(&probabilities, &answers)?;
    // Missing answers are left out of the mask as of the rate.
    let mask: Vec<u8> = found.contradicts.iter().flatten().map(|c| u8::from(*c)).collect();
    Ok(answer([
        ("mask", json!(mask)),
        ("scores", found.rate.map_or(Value::Null, number)),
    ]))
}
