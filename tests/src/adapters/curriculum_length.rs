//! `curriculum-length`: the budget by step, the length reward, rewards and advantages of a group.

use groupwise_advantage::AdvantageSpec;
use groupwise_advantage::estimators::{CurriculumLengthConfig, root_variance_advantages};
use groupwise_reward::length_curriculum::{
    LengthBudget, LengthBudgetConfig, LengthCurriculum, LengthCurriculumAnswer, LengthCurriculumConfig,
    LengthEarnedBy, LengthShape, length_reward,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::nested::{flags, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "budget" => budget(&params, &input),
        "length_reward" => length(&params, &input),
        "reward" => reward(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn budget(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = LengthBudgetConfig::default();
    let budget = LengthBudget::new(&LengthBudgetConfig {
        kind: params.or("kind", default.kind)?,
        b0: params.or("b0", default.b0)?,
        gamma: params.or("gamma", default.gamma)?,
        every: params.or("every", default.every)?,
        bf: params.or("bf", default.bf)?,
        drops: params.or("drops", default.drops)?,
        total: params.or("total", default.total)?,
    })?;
    params.finish()?;
    let steps: Vec<u64> = input.need("steps")?;
    let scores: Vec<f64> = steps.iter().map(|t| budget.at(*t)).collect();
    let lengths: Vec<u64> = steps.iter().map(|t| budget.tokens(*t)).collect();
    Ok(answer([
        ("scores", numbers(&scores)),
        ("lengths", json!(lengths)),
    ]))
}

fn length(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let (shape, target) = (params.or("shape", LengthShape::Triangle)?, params.need("target")?);
    params.finish()?;
    let lengths: Vec<usize> = input.need("lengths")?;
    let rewards: Vec<f64> = lengths
        .iter()
        .map(|l| length_reward(*l, target, shape))
        .collect::<Result<_, _>>()?;
    // Without a length there is nothing that refuses a target out of range.
    length_reward(0, target, shape)?;
    Ok(answer([("rewards", numbers(&rewards))]))
}

/// One answer of a group; flags are 0 and 1, or booleans.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    correct: f64,
    length: usize,
    think: Value,
    answer: Value,
    #[serde(default)]
    truncated: Value,
}

fn flag(what: &str, value: &Value) -> Result<bool, Fault> {
    match value {
        Value::Null => Ok(false),
        value => Ok(flags(what, value, 0)?.first().copied().unwrap_or(false)),
    }
}

fn reward(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = LengthCurriculumConfig::default();
    let only_correct = params.or("length_needs_correct", false)?;
    let curriculum = LengthCurriculum::new(&LengthCurriculumConfig {
        w_correct: params.or("w_correct", default.w_correct)?,
        w_length: params.or("w_length", default.w_length)?,
        w_format: params.or("w_format", default.w_format)?,
        a_think: params.or("a_think", default.a_think)?,
        a_answer: params.or("a_answer", default.a_answer)?,
        shape: params.or("shape", default.shape)?,
        length_earned_by: if only_correct {
            LengthEarnedBy::Correct
        } else {
            LengthEarnedBy::All
        },
    })?;
    let advantage = CurriculumLengthConfig {
        eps: params.or("eps", CurriculumLengthConfig::default().eps)?,
    };
    let target: f64 = params.need("target")?;
    params.finish()?;
    AdvantageSpec::CurriculumLength(advantage.clone()).build(&())?;
    let rows: Vec<Row> = input.need("rows")?;
    let mut rewards = Vec::new();
    for row in &rows {
        let answer = LengthCurriculumAnswer {
            correct: row.correct,
            length: row.length,
            think: flag("think", &row.think)?,
            answer: flag("answer", &row.answer)?,
            truncated: flag("truncated", &row.truncated)?,
        };
        rewards.push(curriculum.reward(&answer, target)?);
    }
    let advantages = root_variance_advantages(&rewards, advantage.eps);
    Ok(answer([
        ("rewards", numbers(&rewards)),
        ("advantages", numbers(&advantages)),
    ]))
}
