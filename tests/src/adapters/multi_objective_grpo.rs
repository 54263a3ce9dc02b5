//! `multi-objective-grpo`: labels added up, loss of the label model.

use groupwise_advantage::Singleton;
use groupwise_reward::shapers::{LabelScale, MultiObjective, MultiObjectiveGrpoConfig, label_regression};
use serde_json::Value;

use super::relative::group_relative;
use crate::nested::{flags, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "combine" => combine(&params, &input),
        "regression_loss" => regression(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn combine(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = MultiObjectiveGrpoConfig::default();
    let relative = group_relative(params)?;
    let given = input.need_raw("label_scores")?;
    let (groups, rows) = (
        offsets("label_scores", given, 0)?,
        offsets("label_scores", given, 1)?,
    );
    let flat: Vec<Option<f64>> = leaves("label_scores", given, 3)?;
    let n_labels = rows.spans().iter().next().map_or(0, |row| row.len());
    if rows.spans().iter().any(|row| row.len() != n_labels) {
        return Err(Fault::refused(
            "`label_scores`: every trajectory needs every label",
        ));
    }
    let config = MultiObjectiveGrpoConfig {
        labels: params.or("labels", (0..n_labels).map(|k| format!("label {k}")).collect())?,
        weights: params.or("weights", default.weights)?,
        normalise: params.or("normalise", default.normalise)?,
        spread: relative.config().spread,
        eps: relative.config().eps,
    };
    params.finish()?;
    let model = MultiObjective::new(&config)?;
    let mut scores = Vec::new();
    for span in groups.spans().iter() {
        let labels: Vec<Vec<Option<f64>>> = (0..n_labels)
            .map(|k| span.clone().map(|i| flat[rows.range(i)][k]).collect())
            .collect();
        scores.extend(model.scalarize(&labels)?.totals);
    }
    let template: Value = groups
        .spans()
        .iter()
        .map(|span| Value::from(vec![0; span.len()]))
        .collect();
    let shown: Vec<f64> = scores.iter().map(|s| s.unwrap_or(f64::NAN)).collect();
    let advantages = match config.normalise {
        LabelScale::None => relative.advantages(groups.spans(), &scores)?,
        LabelScale::PerLabel if relative.config().singleton == Singleton::Raw => {
            return Err(Fault::adapter("a lone member has no label to be compared with"));
        }
        LabelScale::PerLabel => shown.clone(),
    };
    Ok(answer([
        ("scores", like(&template, &shown)),
        ("advantages", like(&template, &advantages)),
    ]))
}

fn regression(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let template = input.need_raw("pred")?;
    let rows = offsets("pred", template, 0)?;
    let n_labels = rows.spans().iter().next().map_or(0, |row| row.len());
    let weights: Vec<f64> = params.or("label_weights", vec![1.0; n_labels])?;
    params.finish()?;
    let same = |key: &str, value: &Value| match offsets(key, value, 0)? == rows {
        true => Ok(()),
        false => Err(Fault::refused(format!("`{key}` has another shape than `pred`"))),
    };
    if rows.spans().iter().any(|row| row.len() != weights.len()) {
        return Err(Fault::refused("`pred`: one label weight per label is needed"));
    }
    let predicted: Vec<f64> = leaves("pred", template, 2)?;
    let target = input.need_raw("target")?;
    same("target", target)?;
    let mut targets: Vec<Option<f64>> = leaves("target", target, 2)?;
    if let Some(mask) = input.raw("mask") {
        same("mask", mask)?;
        for (target, observed) in targets.iter_mut().zip(flags("mask", mask, 2)?) {
            *target = target.filter(|_| observed);
        }
    }
    let at = label_regression(&predicted, &targets, &weights)?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_pred", like(template, &at.d_predicted)),
    ]))
}
