//! `scaf-grpo`: hints in tiers, the repair of a failed group, the loss with a hinted row.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::{DataError, Offsets};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::aggregate::Aggregation;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
use groupwise_objective::objectives::PolicyGradientConfig;
use groupwise_objective::surrogate::{ClipParams, SurrogateConfig};
use groupwise_sampler::group_repair::ReplaceIndex;
use groupwise_sampler::hint_tiers::{ScafGrpo, ScafGrpoConfig};
use serde_json::{Value, json};

use crate::nested::{leaves, number, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "step" => step(&params, &input),
        "levels" => levels(&params, &input),
        "exemption" => exemption(&params, &input),
        "loss" => loss(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// Parameters of the specification, section 6; a uniform asks for the random choice.
fn config(params: &Fields<'_>) -> Result<(ScafGrpoConfig, f64), Fault> {
    let default = ScafGrpoConfig::default();
    let uniform: Option<f64> = params.or("uniform", None)?;
    let index = match uniform {
        Some(_) => ReplaceIndex::Random,
        None => default.replace_index,
    };
    let config = ScafGrpoConfig {
        exemption: params.or("exemption", default.exemption)?,
        tiers: params.or("tiers", default.tiers)?,
        chunks: params.or("chunks", default.chunks)?,
        replace_index: params.or("replace_index", index)?,
    };
    Ok((config, uniform.unwrap_or(0.0)))
}

/// Advantages of GRPO on the rewards of one group.
fn advantages(params: &Fields<'_>, rewards: &[Option<f64>]) -> Result<Vec<f64>, Fault> {
    let default = GroupRelativeConfig::default();
    let block = GroupRelative::new(GroupRelativeConfig {
        eps: params.or("eps", default.eps)?,
        ..default
    })?;
    let groups = Offsets::from_lengths([rewards.len()]);
    Ok(block.advantages(groups.spans(), rewards)?)
}

fn step(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let (config, uniform) = config(params)?;
    let scaf = ScafGrpo::new(&config)?;
    let total: Option<u64> = params.get("total_steps")?;
    let exempt: Option<u64> = params.get("exemption_steps")?;
    let exempt = exempt.or(total.map(|t| scaf.exemption_steps(t))).unwrap_or(0);
    let at: u64 = params.need("step")?;
    let rewards: Vec<Option<f64>> = input.need("rewards")?;
    let outcomes: Vec<Option<f64>> = input.need("hint_outcomes")?;
    let group = scaf.step(at, exempt, &rewards, &outcomes, uniform)?;
    let advantages = advantages(params, &group.rewards)?;
    params.finish()?;
    Ok(answer([
        ("triggered", json!(group.triggered)),
        ("hint_level", json!(group.hint_level)),
        ("replaced", json!(group.replaced)),
        ("rewards", json!(group.rewards)),
        ("advantages", numbers(&advantages)),
        ("extra_rollouts", json!(group.extra_rollouts)),
    ]))
}

/// As many tiers as the case holds, of `chunks` chunks.
fn levels(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let tiers: Vec<Vec<String>> = input.need("tiers")?;
    let (config, _) = config(params)?;
    params.finish()?;
    let scaf = ScafGrpo::new(&ScafGrpoConfig {
        tiers: tiers.len(),
        ..config
    })?;
    let found: Value = scaf
        .levels(&tiers)?
        .iter()
        .map(|level| json!({ "level": level.level, "tier": level.tier, "shown": level.shown }))
        .collect();
    Ok(answer([("levels", found)]))
}

/// One number of steps, or several.
fn exemption(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let (config, _) = config(params)?;
    let scaf = ScafGrpo::new(&config)?;
    let total = params.raw("total_steps").or(input.raw("total_steps"));
    params.finish()?;
    let read = |value: &Value| -> Result<u64, Fault> {
        let total = value.as_u64();
        let total =
            total.ok_or_else(|| Fault::refused(format!("`total_steps` {value} is no number of steps")))?;
        Ok(scaf.exemption_steps(total))
    };
    let steps = match total {
        Some(Value::Array(all)) => json!(all.iter().map(read).collect::<Result<Vec<_>, _>>()?),
        Some(one) => json!(read(one)?),
        None => return Err(Fault::adapter("the case has no `total_steps`")),
    };
    Ok(answer([("exemption_steps", steps)]))
}

/// One row per member; the replaced one is taken under the hinted prompt, above and below the line.
fn rows(input: &Fields<'_>, key: &str, hinted: &str) -> Result<Vec<Vec<f64>>, Fault> {
    let mut rows: Vec<Option<Vec<f64>>> = leaves(key, input.need_raw(key)?, 1)?;
    if let Some(replaced) = input.or("replaced", None::<usize>)? {
        let n = rows.len();
        let row = rows
            .get_mut(replaced)
            .ok_or_else(|| Fault::refused(format!("`replaced` {replaced}: the group has {n} members")))?;
        *row = Some(input.need(hinted)?);
    }
    rows.into_iter()
        .enumerate()
        .map(|(i, row)| row.ok_or_else(|| Fault::refused(format!("`{key}`: row {i} is missing"))))
        .collect()
}

fn loss(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let rewards: Vec<Option<f64>> = input.need("rewards")?;
    let logp = rows(input, "logp", "logp_hinted")?;
    let old = rows(input, "logp_old", "logp_old_hinted")?;
    DataError::check_len("logp", logp.len(), rewards.len())?;
    let advantages = advantages(params, &rewards)?;
    let aggregate: String = params.or("aggregate", "token-mean".to_owned())?;
    let aggregation: Aggregation = serde_json::from_value(json!(aggregate.replace('_', "-")))
        .map_err(|e| Fault::refused(format!("`aggregate`: {e}")))?;
    let config = PolicyGradientConfig {
        surrogate: SurrogateConfig::Clip(ClipParams {
            epsilon: params.or("clip", 0.2)?,
            epsilon_high: params.or("clip_high", None)?,
            ..ClipParams::default()
        }),
        aggregation,
        ..PolicyGradientConfig::default()
    };
    params.finish()?;
    let at = evaluate_nested(
        ObjectiveSpec::PolicyGradient(config).build(&())?.as_ref(),
        &NestedBatch {
            logp: vec![logp.clone()],
            logp_old: Some(vec![old.clone()]),
            logp_ref: None,
            mask: None,
            advantages: NestedAdvantages::Trajectory(vec![advantages.clone()]),
        },
    )?;
    let weights: Vec<Vec<f64>> = logp
        .iter()
        .zip(&old)
        .map(|(now, old)| now.iter().zip(old).map(|(a, b)| (a - b).exp()).collect())
        .collect();
    Ok(answer([
        ("weights", weights.iter().map(|row| numbers(row)).collect()),
        ("advantages", numbers(&advantages)),
        ("loss", number(at.loss)),
        (
            "grad_logp",
            at.grad_logp[0].iter().map(|row| numbers(row)).collect(),
        ),
    ]))
}
