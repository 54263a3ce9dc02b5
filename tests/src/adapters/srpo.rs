//! `srpo`: components, scores and advantages of replies with two answers.

use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{SrpoConfig, TwoAnswers};
use serde::Deserialize;
use serde_json::{Value, json};

use super::relative::{named_block, nested};
use crate::nested::{flags, leaves, like};
use crate::{Answer, Case, Fault, answer};

/// A reply as cases describe it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    first_correct: Value,
    #[serde(default)]
    second_correct: Value,
    format: Value,
    reflection_format: Value,
    length: usize,
    first_length: usize,
}

impl Row {
    fn read(&self) -> Result<TwoAnswers, Fault> {
        let flag = |name: &str, value: &Value| flags(name, value, 0).map(|f| f[0]);
        Ok(TwoAnswers {
            first_correct: flag("first_correct", &self.first_correct)?,
            second_correct: match &self.second_correct {
                Value::Null => None,
                value => Some(flag("second_correct", value)?),
            },
            format: flag("format", &self.format)?,
            reflection_format: flag("reflection_format", &self.reflection_format)?,
            length: self.length,
            first_length: self.first_length,
        })
    }
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "reward".to_owned())?;
    if function != "reward" {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{function}`"
        )));
    }
    let default = SrpoConfig::default();
    let config = SrpoConfig {
        version: params.or("version", default.version)?,
        alpha: params.or("alpha", default.alpha)?,
        ..default
    };
    let block = named_block(&params, 1e-6)?;
    params.finish()?;
    VerifierSpec::Srpo(config.clone()).build(&())?;
    let outputs = input.need_raw("outputs")?;
    input.finish()?;
    let rows: Vec<Row> = leaves("outputs", outputs, 2)?;
    let rewards = rows
        .iter()
        .map(|row| Ok(config.reward(&row.read()?)))
        .collect::<Result<Vec<_>, Fault>>()?;
    let mut shown = rewards.iter().map(|r| {
        json!({
            "format": r.format,
            "accuracy": r.accuracy,
            "effectiveness": r.effectiveness,
            "reflection": r.reflection,
            "brevity": r.brevity,
        })
    });
    let groups = outputs.as_array().into_iter().flatten();
    let template: Vec<Vec<f64>> = groups
        .map(|members| vec![0.0; members.as_array().map_or(0, Vec::len)])
        .collect();
    let components: Vec<Vec<Value>> = template
        .iter()
        .map(|members| shown.by_ref().take(members.len()).collect())
        .collect();
    let template = json!(template);
    let totals: Vec<f64> = rewards.iter().map(|r| r.total()).collect();
    Ok(answer([
        ("components", json!(components)),
        ("scores", like(&template, &totals)),
        ("advantages", nested(&block, &template, &totals)?),
    ]))
}
