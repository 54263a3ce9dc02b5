//! `m-grpo`: two reward ladders, the alignment of calls, and the advantages of both agents.

use groupwise_advantage::estimators::{Alignment, SubGrouping, align_calls, aligned_advantages};
use groupwise_advantage::{GroupRelative, NestedRollouts};
use groupwise_core::{DataError, Offsets, Spread};
use groupwise_reward::shapers::check_format_score;
use groupwise_reward::{main_reward, sub_reward};
use serde_json::{Value, json};

use super::relative;
use crate::nested::{depth, flags, leaves, like, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// Parameters of the specification, section 6, with their defaults there.
struct Params {
    format_score: f64,
    target: usize,
    alignment: Alignment,
    grouping: SubGrouping,
    queue_size: usize,
    relative: GroupRelative,
}

impl Params {
    fn read(params: &Fields<'_>) -> Result<Self, Fault> {
        let read = Self {
            format_score: params.or("format_score", 0.1)?,
            target: params.or("target", 8)?,
            alignment: params.or("alignment", Alignment::default())?,
            grouping: params.or("grouping", SubGrouping::default())?,
            queue_size: params.or("queue_size", 8)?,
            relative: relative(params.or("std", Spread::Sample)?, params.or("eps", 1e-6)?)?,
        };
        params.finish()?;
        check_format_score(read.format_score)?;
        if read.target == 0 || read.queue_size == 0 {
            return Err(Fault::refused("`target` and `queue_size` must be >= 1"));
        }
        Ok(read)
    }
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let params = case.params();
    let function: String = params.need("function")?;
    let (read, input) = (Params::read(&params)?, case.input());
    match function.as_str() {
        "main_reward" => main_rewards(&read, &input),
        "sub_reward" => sub_rewards(&read, &input),
        "align" => Ok(answer([("selected", json!(align(&read, &input)?))])),
        "main_advantages" => main_advantages(&read, &input),
        "sub_advantages" => sub_advantages(&read, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn main_rewards(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let valid = flags("valid", input.need_raw("valid")?, 1)?;
    let correct = flags("correct", input.need_raw("correct")?, 1)?;
    DataError::check_len("correct", correct.len(), valid.len())?;
    let pairs = valid.iter().zip(&correct);
    let rewards: Vec<f64> = pairs
        .map(|(v, c)| main_reward(*v, *c, read.format_score))
        .collect();
    Ok(answer([("rewards", numbers(&rewards))]))
}

fn sub_rewards(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let well_formed = flags("format_ok", input.need_raw("format_ok")?, 1)?;
    let main: Vec<f64> = input.need("main_rewards")?;
    DataError::check_len("main_rewards", main.len(), well_formed.len())?;
    let pairs = well_formed.iter().zip(&main);
    let rewards: Vec<f64> = pairs
        .map(|(f, r)| sub_reward(*f, *r, read.format_score))
        .collect();
    Ok(answer([("rewards", numbers(&rewards))]))
}

/// Selected calls of every rollout.
fn align(read: &Params, input: &Fields<'_>) -> Result<Vec<Vec<usize>>, Fault> {
    let counts: Vec<usize> = input.need("counts")?;
    if read.alignment == Alignment::None {
        return Ok(counts.iter().map(|d| (0..*d).collect()).collect());
    }
    let per_rollout = |key: &str| -> Result<Vec<Vec<f64>>, Fault> {
        let given = input.get(key)?.unwrap_or_else(|| vec![Vec::new(); counts.len()]);
        DataError::check_len(key, given.len(), counts.len())?;
        Ok(given)
    };
    let (keys, draws) = (per_rollout("keys")?, per_rollout("draws")?);
    let rows = counts.iter().zip(keys.iter().zip(&draws));
    rows.map(|(d, (keys, draws))| Ok(align_calls(*d, keys, draws, read.target)?))
        .collect()
}

fn main_advantages(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let given = match input.raw("main_rewards") {
        Some(given) => given,
        None => input.need_raw("rewards")?,
    };
    let levels = depth(given).max(1);
    let rewards: Vec<Option<f64>> = leaves("rewards", given, levels)?;
    let groups = match levels {
        1 => Offsets::from_lengths([rewards.len()]),
        _ => offsets("rewards", given, 0)?,
    };
    let a = read.relative.advantages(groups.spans(), &rewards)?;
    Ok(answer([("advantages", like(given, &a))]))
}

/// One query: rollouts and the rewards of their calls.
fn sub_advantages(read: &Params, input: &Fields<'_>) -> Result<Answer, Fault> {
    let rewards: Vec<Vec<f64>> = input.need("sub_rewards")?;
    let counts: Vec<usize> = match input.raw("counts") {
        Some(_) => input.need("counts")?,
        None => return Err(Fault::adapter("the case has no input `counts`")),
    };
    if counts != rewards.iter().map(Vec::len).collect::<Vec<_>>() {
        return Err(Fault::refused("`counts` are not the numbers of `sub_rewards`"));
    }
    let selected = align(read, input)?;
    let (query, calls) = (
        Offsets::from_lengths([counts.len()]),
        Offsets::from_lengths(counts),
    );
    let nested = NestedRollouts::new(query.spans(), calls.spans())?;
    let queue = (read.grouping == SubGrouping::Queue).then_some(read.queue_size);
    let a = aligned_advantages(&read.relative, &nested, &rewards.concat(), &selected, queue)?;
    let template: Value = json!(selected);
    Ok(answer([
        ("advantages", like(&template, &a)),
        ("selected", template),
    ]))
}
