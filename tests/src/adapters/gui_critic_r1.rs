//! `gui-critic-r1`: reward and advantages of verdicts, their metrics, and the efficiency rate.

use groupwise_core::DataError;
use groupwise_reward::VerifierSpec;
use groupwise_reward::verifiers::{GuiCriticR1Config, TaskRun, efficiency_rate, verdict_metrics};
use serde_json::{Value, json};

use super::relative::{named_block, nested};
use crate::nested::{flags, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let found = match params.need::<String>("function")?.as_str() {
        "reward" => reward(&params, &input),
        "metrics" => metrics(&input),
        "efficiency_rate" => efficiency(&input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }?;
    params.finish()?;
    input.finish()?;
    Ok(found)
}

fn reward(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = GuiCriticR1Config::default();
    let config = GuiCriticR1Config {
        lambda_format: params.or("lambda_format", default.lambda_format)?,
        lambda_suggestion: params.or("lambda_suggestion", default.lambda_suggestion)?,
    };
    VerifierSpec::GuiCriticR1(config.clone()).build(&())?;
    let block = named_block(params, 1e-6)?;
    let template = input.need_raw("correct")?;
    let groups = offsets("correct", template, 0)?;
    let grades = |key: &str| -> Result<Vec<f64>, Fault> {
        let given = input.need_raw(key)?;
        if offsets(key, given, 0)? != groups {
            return Err(Fault::refused(format!("`{key}` has other groups than `correct`")));
        }
        let grades: Vec<f64> = leaves(key, given, 2)?;
        match grades.iter().all(|grade| (0.0..=1.0).contains(grade)) {
            true => Ok(grades),
            false => Err(Fault::refused(format!("`{key}` must lie in [0, 1]"))),
        }
    };
    let (format, suggestion, verdict) = (grades("format")?, grades("suggestion")?, grades("correct")?);
    let rewards: Vec<f64> = (0..verdict.len())
        .map(|i| config.reward(format[i], suggestion[i], verdict[i]))
        .collect();
    Ok(answer([
        ("scores", like(template, &rewards)),
        ("advantages", nested(&block, template, &rewards)?),
    ]))
}

fn metrics(input: &Fields<'_>) -> Result<Answer, Fault> {
    let predicted: Vec<Value> = input.need("predicted")?;
    let gold = flags("gold", input.need_raw("gold")?, 1)?;
    DataError::check_len("predicted", predicted.len(), gold.len())?;
    // Anything but a 0 or a 1 cannot be read as a verdict.
    let verdict = |value: &Value| flags("predicted", value, 0).ok().map(|f| f[0]);
    let verdicts: Vec<_> = predicted.iter().map(verdict).zip(gold).collect();
    let m = verdict_metrics(&verdicts)?;
    let scores = json!({
        "accuracy": m.accuracy,
        "precision": m.precision,
        "recall": m.recall,
        "f1": m.f1,
        "specificity": m.specificity,
        "unreadable": m.unreadable,
    });
    Ok(answer([("scores", scores)]))
}

fn efficiency(input: &Fields<'_>) -> Result<Answer, Fault> {
    let runs = |who: &str| -> Result<Vec<TaskRun>, Fault> {
        let success = flags("success", input.need_raw(&format!("{who}_success"))?, 1)?;
        let steps: Vec<usize> = input.need(&format!("{who}_steps"))?;
        DataError::check_len("steps", steps.len(), success.len())?;
        let run = |(success, steps)| TaskRun { success, steps };
        Ok(success.into_iter().zip(steps).map(run).collect())
    };
    let (without, with) = (runs("baseline")?, runs("critic")?);
    DataError::check_len("critic", with.len(), without.len())?;
    let tasks: Vec<_> = without.into_iter().zip(with).collect();
    Ok(answer([("scores", number(efficiency_rate(&tasks)?))]))
}
