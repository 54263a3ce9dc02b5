//! `gcpo`: rewards shaped by what a group shows about an optional behavior.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::DataError;
use groupwise_reward::shapers::{AuxiliaryReward, Gcpo, GcpoConfig, GcpoMember};
use serde_json::{Value, json};

use crate::nested::{flags, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// Parameters of the specification, sections 5 and 6.
fn read(params: &Fields<'_>) -> Result<(Gcpo, GroupRelative), Fault> {
    let function: Option<String> = params.get("function")?;
    if let Some(other) = function.filter(|f| !["advantages", "rewards", "mask"].contains(&f.as_str())) {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        )));
    }
    let default = GcpoConfig::default();
    let config = GcpoConfig {
        auxiliary: if params.or("unconditional", false)? {
            AuxiliaryReward::Unconditional
        } else {
            AuxiliaryReward::Contrast
        },
        epsilon: params.or("epsilon", default.epsilon)?,
        aux_weight: params.or("aux_weight", default.aux_weight)?,
        length_weight: params.or("length_weight", default.length_weight)?,
        max_length: params.or("max_length", default.max_length)?,
        ..default
    };
    let relative = GroupRelativeConfig::default();
    let relative = GroupRelativeConfig {
        spread: params.or("std", relative.spread)?,
        eps: params.or("eps", relative.eps)?,
        ..relative
    };
    params.finish()?;
    Ok((Gcpo::new(&config)?, GroupRelative::new(relative)?))
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (gcpo, relative) = read(&case.params())?;
    let input = case.input();
    let template = input.need_raw("correct")?;
    let groups = offsets("correct", template, 0)?;
    let accuracies: Vec<Option<f64>> = leaves("correct", template, 2)?;
    let used = flags("auxiliary", input.need_raw("auxiliary")?, 2)?;
    let lengths: Vec<usize> = leaves("lengths", input.need_raw("lengths")?, 2)?;
    let format: Vec<f64> = match input.raw("format") {
        Some(value) => leaves("format", value, 2)?,
        None => vec![0.0; accuracies.len()],
    };
    input.finish()?;
    for (name, found) in [
        ("auxiliary", used.len()),
        ("lengths", lengths.len()),
        ("format", format.len()),
    ] {
        DataError::check_len(name, found, accuracies.len())?;
    }
    for key in ["auxiliary", "lengths"] {
        if offsets(key, input.need_raw(key)?, 0)? != groups {
            return Err(Fault::refused(format!("`{key}` has other groups than `correct`")));
        }
    }
    let (mut mask, mut rewards) = (Vec::new(), Vec::new());
    for group in groups.spans().iter() {
        let members: Vec<GcpoMember> = group
            .clone()
            .map(|i| GcpoMember {
                accuracy: accuracies[i],
                used: used[i],
                length: lengths[i],
            })
            .collect();
        let shaped = gcpo.shape_group(&members)?;
        mask.push(shaped.contrast.sign());
        for (i, bonus) in group.zip(&shaped.bonuses) {
            rewards.push(accuracies[i].zip(*bonus).map(|(a, b)| a + b + format[i]));
        }
    }
    let advantages = relative.advantages(groups.spans(), &rewards)?;
    let shown: Vec<Value> = rewards.iter().map(|r| r.map_or(Value::Null, number)).collect();
    let nested = groups
        .spans()
        .iter()
        .map(|g| Value::Array(shown[g].to_vec()))
        .collect();
    Ok(answer([
        ("mask", json!(mask)),
        ("rewards", nested),
        ("advantages", like(template, &advantages)),
    ]))
}
