//! Rows of shape rewards: a `kind`, its `inputs`, and what is `expected`.

use groupwise_core::ParamError;
use groupwise_reward::overlong_penalty;
use groupwise_reward::shape::{
    FormatEnd, code_block, code_format_reward, format_reward, reasoning_steps_reward, repetition_penalty,
    tag_count_reward, think_format_reward, words,
};
use groupwise_reward::shapers::{Clamp, CosineLengthConfig, kimi_length_rewards};
use groupwise_reward::verifiers::math::{self, MathConfig};
use serde_json::Value;

use super::answers::expects;
use super::fields::{Fields, Mismatch};

pub(super) fn shape(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let inputs = row.object("inputs")?;
    let end = match inputs.has("exact_end") && inputs.value("exact_end")? == &Value::Bool(false) {
        true => FormatEnd::Line,
        false => FormatEnd::Exact,
    };
    let text = || inputs.text("text");
    let language = || inputs.optional_text("language").unwrap_or("python");
    let found: Value = match row.text("kind")? {
        "format" => format_reward(text()?, end).into(),
        "think_format" => think_format_reward(text()?).into(),
        "tag_count" => tag_count_reward(text()?).into(),
        "reasoning_steps" => reasoning_steps_reward(text()?).into(),
        "code_format" => code_format_reward(text()?, language(), end).into(),
        "code_extract" => code_block(text()?, language()).into(),
        "repetition" => repetition(&words(text()?), &inputs)?,
        "repetition_tokens" => repetition(&inputs.list_of("ids", "token ids", Value::as_i64)?, &inputs)?,
        "accuracy" => {
            let verdict = math::verify(inputs.text("gold")?, text()?, &MathConfig::default());
            verdict.score.into()
        }
        "cosine" => cosine(&inputs, "length", Clamp::Off)?,
        "cosine_clamped" => cosine(&inputs, "length_tokens", Clamp::On)?,
        "length_kimi" => kimi(&inputs)?,
        "soft_overlong" => {
            let (length, limit) = (inputs.size("length")?, inputs.size("max_len")?);
            overlong_penalty(length, limit, inputs.size("cache")?, 1.0).into()
        }
        // One strange row must not hide the others.
        other => {
            return Ok(vec![Mismatch {
                field: "kind".to_owned(),
                expected: "a kind that is known".into(),
                found: other.into(),
            }]);
        }
    };
    let mut out = Vec::new();
    let any = row.compare("expected", found, &mut out);
    expects(any, out)
}

/// Parameters that are refused give `"error"`.
fn or_error(found: Result<f64, ParamError>) -> Value {
    found.map_or_else(|_| "error".into(), Value::from)
}

fn repetition<T: Ord>(items: &[T], inputs: &Fields<'_>) -> Result<Value, String> {
    let (n, penalty) = (inputs.size("ngram")?, inputs.number("max_penalty")?);
    Ok(or_error(repetition_penalty(items, n, penalty)))
}

fn cosine(inputs: &Fields<'_>, length: &str, clamp: Clamp) -> Result<Value, String> {
    let config = CosineLengthConfig {
        min_wrong: inputs.number("min_value_wrong")?,
        max_wrong: inputs.number("max_value_wrong")?,
        min_correct: inputs.number("min_value_correct")?,
        max_correct: inputs.number("max_value_correct")?,
        max_len: inputs.size("max_len")?,
        clamp,
        ..CosineLengthConfig::default()
    };
    let length = inputs.size(length)?;
    let valid = config.validate();
    Ok(match inputs.value("correct")? {
        Value::Bool(correct) => or_error(valid.map(|()| config.reward(*correct, length))),
        _ => Value::Null,
    })
}

fn kimi(inputs: &Fields<'_>) -> Result<Value, String> {
    let lengths = inputs.list_of("lengths", "sizes", |v| {
        v.as_u64().and_then(|n| usize::try_from(n).ok())
    })?;
    let correct = inputs.list_of("correct", "verdicts", |v| Some(v.as_bool()))?;
    let rewards = kimi_length_rewards(&lengths, &correct).map_err(|e| e.to_string())?;
    Ok(rewards.into())
}
