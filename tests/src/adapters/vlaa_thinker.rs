//! `vlaa-thinker`: a reward per item, by its type.

use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{
    QuestionType, VlaaThinkerConfig, box_overlap, digit_matches, letter_matches, open_reward,
};
use serde::Deserialize;
use serde_json::Value;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    #[serde(rename = "type")]
    kind: QuestionType,
    #[serde(default)]
    answer: Value,
    gold: Value,
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "mixed".to_owned())?;
    if function != "mixed" {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{function}`"
        )));
    }
    let default = VlaaThinkerConfig::default();
    let config = VlaaThinkerConfig {
        beta: params.or("beta", default.beta)?,
        ..default
    };
    params.finish()?;
    VerifierSpec::VlaaThinker(config.clone()).build(&())?;
    let items: Vec<Item> = input.need("items")?;
    input.finish()?;
    let scores: Vec<f64> = items.iter().map(|item| score(item, config.beta)).collect();
    Ok(answer([("scores", numbers(&scores))]))
}

/// What is not of the type's form was not extracted.
fn score(item: &Item, beta: f64) -> f64 {
    let (found, gold) = (&item.answer, &item.gold);
    let flag = |holds: bool| f64::from(u8::from(holds));
    match item.kind {
        QuestionType::Digit => flag(texts(found, gold).is_some_and(|(a, b)| digit_matches(&a, &b))),
        QuestionType::Option => flag(texts(found, gold).is_some_and(|(a, b)| letter_matches(&a, &b))),
        QuestionType::Box => corners(found)
            .zip(corners(gold))
            .map_or(0.0, |(a, b)| box_overlap(a, b)),
        QuestionType::Open => found
            .as_f64()
            .zip(gold.as_f64())
            .map_or(0.0, |(a, b)| open_reward(a, b, beta)),
    }
}

fn texts(a: &Value, b: &Value) -> Option<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    text(a).zip(text(b))
}

fn corners(value: &Value) -> Option<[f64; 4]> {
    <[f64; 4]>::deserialize(value).ok()
}
