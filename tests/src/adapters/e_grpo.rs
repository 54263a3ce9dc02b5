//! `e-grpo`: entities in thoughts, rewards and mask of groups.

use groupwise_core::DataError;
use groupwise_reward::shapers::{
    EGrpo, EGrpoConfig, EGrpoMember, EGrpoStatus, EntityMatches, entity_matches,
};
use serde_json::{Value, json};

use super::relative::group_relative;
use crate::nested::{leaves, like, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "match" => {
            params.finish()?;
            matches(&input)
        }
        "group" => group(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn matches(input: &Fields<'_>) -> Result<Answer, Fault> {
    let entities: Vec<String> = input.need("entities")?;
    let rollouts: Vec<Vec<String>> = input.need("thoughts")?;
    let found = rollouts
        .iter()
        .map(|thoughts| entity_matches(&entities, thoughts))
        .collect::<Result<Vec<EntityMatches>, _>>()?;
    let total = entity_matches::<_, String>(&entities, &[])?.total;
    let counts: Vec<usize> = found.iter().map(|f| f.matched).collect();
    let rates: Vec<f64> = found.iter().map(|f| f.rate()).collect();
    Ok(answer([
        ("matches", json!(counts)),
        ("entities_total", json!(total)),
        ("scores", numbers(&rates)),
    ]))
}

fn group(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = EGrpoConfig::default();
    let egrpo = EGrpo::new(&EGrpoConfig {
        alpha: params.or("alpha", default.alpha)?,
        ..default
    })?;
    let relative = group_relative(params)?;
    params.finish()?;
    let template = input.need_raw("status")?;
    let groups = offsets("status", template, 0)?;
    let status: Vec<Option<EGrpoStatus>> = leaves("status", template, 2)?;
    let given = input.need_raw("matches")?;
    if offsets("matches", given, 0)? != groups {
        return Err(Fault::refused("`matches` has other groups than `status`"));
    }
    let matches: Vec<usize> = leaves("matches", given, 2)?;
    let totals: Vec<usize> = input.need("entities_total")?;
    DataError::check_len("entities_total", totals.len(), groups.len())?;
    let (mut bonuses, mut rewards, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    for (span, total) in groups.spans().iter().zip(totals) {
        let members: Vec<EGrpoMember> = span
            .map(|i| EGrpoMember {
                status: status[i],
                matches: matches[i],
            })
            .collect();
        let shaped = egrpo.shape_group(&members, total)?;
        bonuses.extend(shaped.bonuses);
        rewards.extend(shaped.rewards);
        mask.push(shaped.trained.iter().map(|t| u8::from(*t)).collect::<Vec<_>>());
    }
    let advantages = relative.advantages(groups.spans(), &rewards)?;
    // An unscorable member has neither: NaN equals nothing that a case can expect.
    let shown = |values: &[Option<f64>]| -> Value {
        let filled: Vec<f64> = values.iter().map(|v| v.unwrap_or(f64::NAN)).collect();
        like(template, &filled)
    };
    Ok(answer([
        ("weights", shown(&bonuses)),
        ("scores", shown(&rewards)),
        ("mask", json!(mask)),
        ("advantages", like(template, &advantages)),
    ]))
}
