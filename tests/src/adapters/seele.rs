//! `seele`: the item-response curve, its fit, hint lengths, advantages over all rounds.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig, Singleton};
use groupwise_core::{Centre, DataError, Offsets, ParamError};
use groupwise_sampler::hint_length::{HintTarget, cold_start_rate, hint_length};
use groupwise_sampler::item_response::{CurveBounds, Measured, ResponseCurve, fit_curve};
use serde_json::json;

use crate::nested::{leaves, like, number, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "curve" => curve(&params, &input),
        "fit" => fit(case, &params, &input),
        "hint_length" => lengths(&params, &input),
        "advantages" => advantages(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn curve(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let curve = ResponseCurve::new(params.need("k")?, params.need("mu")?, params.need("b")?)?;
    params.finish()?;
    let read = |key: &str| -> Result<Vec<f64>, Fault> { input.or(key, Vec::new()) };
    let (rates, targets) = (read("hint_rates")?, read("targets")?);
    if let Some(target) = targets.iter().find(|a| !(0.0..=1.0).contains(*a)) {
        return Err(Fault::refused(format!("target {target} is outside [0, 1]")));
    }
    let accuracy: Vec<f64> = rates.iter().map(|p| curve.accuracy(*p)).collect();
    let inverse: Vec<f64> = targets.iter().map(|a| curve.hint_rate(*a)).collect();
    Ok(answer([
        ("accuracy", numbers(&accuracy)),
        ("hint_rate", numbers(&inverse)),
    ]))
}

/// `max_sse` is what the residual may be at most: a smaller one meets it, whatever the tolerance.
fn fit(case: &Case, params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let target = HintTarget::new(params.or("target", 0.5)?)?;
    let bounds = CurveBounds::new(
        params.or("k_range", [0.1, 50.0])?,
        params.or("mu_range", [-1.5, 1.5])?,
        params.or("b_range", [0.0, 0.95])?,
    )?;
    params.finish()?;
    let pairs: Vec<[f64; 2]> = input.need("pairs")?;
    let measured: Vec<Measured> = pairs
        .iter()
        .map(|[rate, accuracy]| Measured {
            rate: *rate,
            accuracy: *accuracy,
        })
        .collect();
    let fit = fit_curve(&measured, &bounds)?;
    let allowed = case.expect.get("max_sse").and_then(serde_json::Value::as_f64);
    Ok(answer([
        ("sse", number(fit.sse)),
        (
            "max_sse",
            number(allowed.map_or(fit.sse, |most| fit.sse.max(most))),
        ),
        ("hint_rate", number(fit.curve.hint_rate(target.accuracy()))),
    ]))
}

fn lengths(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let n_units: Vec<usize> = input.need("lengths")?;
    let rates: Vec<f64> = input.need("hint_rates")?;
    DataError::check_len("hint_rates", rates.len(), n_units.len())?;
    let shown = rates
        .iter()
        .zip(&n_units)
        .map(|(rate, n)| hint_length(*rate, *n))
        .collect::<Result<Vec<usize>, _>>()?;
    let cold = n_units
        .iter()
        .map(|n| cold_start_rate(*n))
        .collect::<Result<Vec<f64>, _>>()?;
    Ok(answer([
        ("lengths", json!(shown)),
        ("cold_start", numbers(&cold)),
    ]))
}

/// All rounds of the prompt are one group.
fn advantages(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let template = input.need_raw("rewards")?;
    let n_rounds = template.as_array().map_or(0, Vec::len);
    ParamError::check(n_rounds >= 1, "rounds", n_rounds, ">= 1")?;
    let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    let block = GroupRelative::new(GroupRelativeConfig::centred(Centre::Mean, Singleton::Zero))?;
    let groups = Offsets::from_lengths([rewards.len()]);
    let a = block.advantages(groups.spans(), &rewards)?;
    Ok(answer([("advantages", like(template, &a))]))
}
