//! `conciser`: which groups train, the reward of the second stage, the loss.

use groupwise_core::{Advantages, DataError, Offsets, Part};
use groupwise_objective::nested::{NestedAdvantages, NestedBatch};
use groupwise_objective::objectives::ConciserConfig as LossConfig;
use groupwise_reward::shapers::{Conciser, ConciserConfig, all_correct};
use groupwise_sampler::filters::dynamic_sampling::select_dynamic;
use serde_json::json;

use super::relative::group_relative;
use crate::nested::{flags, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "dynamic_sampling" => {
            params.finish()?;
            dynamic_sampling(&input)
        }
        "lgrpo" => lgrpo(&params, &input),
        "loss" => loss(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// Correctness by group.
fn correctness(input: &Fields<'_>) -> Result<(Offsets, Vec<Option<bool>>), Fault> {
    let given = input.need_raw("correct")?;
    let correct = flags("correct", given, 2)?.into_iter().map(Some).collect();
    Ok((offsets("correct", given, 0)?, correct))
}

fn dynamic_sampling(input: &Fields<'_>) -> Result<Answer, Fault> {
    let (groups, correct) = correctness(input)?;
    let rows: Vec<Vec<Option<f64>>> = groups
        .spans()
        .iter()
        .map(|span| {
            correct[span]
                .iter()
                .map(|c| c.map(|c| f64::from(u8::from(c))))
                .collect()
        })
        .collect();
    // More groups than there are cannot be asked for: all that differ are selected.
    let selected: Vec<usize> = select_dynamic(&rows, rows.len()).0;
    let solved: Vec<usize> = (0..groups.len())
        .filter(|g| all_correct(&correct[groups.range(*g)]))
        .collect();
    Ok(answer([
        ("selected", json!(selected)),
        ("all_correct", json!(solved)),
    ]))
}

fn lgrpo(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = ConciserConfig::default();
    let conciser = Conciser::new(&ConciserConfig {
        lambda: params.or("lambda", default.lambda)?,
        l_max: params.or("l_max", default.l_max)?,
        mixed: params.or("mixed", default.mixed)?,
        ..default
    })?;
    let relative = group_relative(params)?;
    params.finish()?;
    let (groups, correct) = correctness(input)?;
    let template = input.need_raw("lengths")?;
    if offsets("lengths", template, 0)? != groups {
        return Err(Fault::refused("`lengths` has other groups than `correct`"));
    }
    let lengths: Vec<usize> = leaves("lengths", template, 2)?;
    let (mut scores, mut mask) = (Vec::new(), Vec::new());
    for span in groups.spans().iter() {
        let shaped = conciser.shape_group(&correct[span.clone()], &lengths[span.clone()])?;
        mask.push(vec![u8::from(shaped.trained); span.len()]);
        let pairs = correct[span].iter().zip(shaped.bonuses);
        scores.extend(pairs.map(|(c, b)| c.zip(b).map(|(c, b)| f64::from(u8::from(c)) + b)));
    }
    let advantages = relative.advantages(groups.spans(), &scores)?;
    let shown: Vec<f64> = scores.iter().map(|s| s.unwrap_or(f64::NAN)).collect();
    Ok(answer([
        ("scores", like(template, &shown)),
        ("mask", json!(mask)),
        ("advantages", like(template, &advantages)),
    ]))
}

/// Trajectories and their tokens, without groups: the loss is a mean over all tokens.
fn loss(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = LossConfig::default();
    let objective = LossConfig {
        epsilon: params.or("eps_low", default.epsilon)?,
        epsilon_high: params.or("eps_high", default.epsilon_high)?,
        entropy_coef: params.or("entropy_coef", default.entropy_coef)?,
    }
    .build(&())?;
    params.finish()?;
    let template = input.need_raw("logp")?;
    let logp: Vec<Vec<f64>> = input.need("logp")?;
    let mask = match input.raw("mask") {
        None => None,
        Some(mask) => {
            let (flat, rows) = (flags("mask", mask, 2)?, offsets("mask", mask, 0)?);
            Some(vec![rows.spans().iter().map(|r| flat[r].to_vec()).collect()])
        }
    };
    let nested = NestedBatch {
        logp: vec![logp],
        logp_old: input.get("logp_old")?.map(|old| vec![old]),
        logp_ref: None,
        mask,
        advantages: NestedAdvantages::Trajectory(vec![input.need("advantages")?]),
    };
    let (batch, logp) = nested.to_batch()?;
    if let Advantages::Trajectory(a) = &batch.advantages {
        DataError::check_finite("advantages", a)?;
    }
    let entropy: Option<Vec<Vec<f64>>> = input.get("entropy")?;
    let entropy = entropy.map(|rows| rows.concat());
    let view = batch.view(0..batch.n_trajectories(), &logp, entropy.as_deref())?;
    let frozen = objective.freeze(&objective.denominators(&batch)?, &view)?;
    let at = objective.evaluate(&frozen, &view)?;
    let mut out = answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(template, &at.grads.d_logp)),
    ]);
    if let Some(d_entropy) = &at.grads.d_entropy {
        out.insert("grad_entropy".into(), like(template, d_entropy));
    }
    Ok(out)
}
