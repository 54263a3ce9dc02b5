//! `salt`: advantages shared along the edges of a group's graph.

use groupwise_advantage::estimators::{Transitions, share_edges};
use groupwise_advantage::{GroupRelative, GroupRelativeConfig, ScaleRewards};
use groupwise_core::{Centre, Offsets, Spread};
use serde::Deserialize;
use serde_json::Value;

use crate::nested::{leaves, like, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// Whose advantages are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Base {
    Grpo,
    Rloo,
    Given,
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "advantages".to_owned())?;
    if function != "advantages" {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{function}`"
        )));
    }
    let kind: Base = params.or("base", Base::Grpo)?;
    let history: usize = params.or("history", 0)?;
    let relative = block(&params, kind)?;
    params.finish()?;

    let template = input.need_raw("actions")?;
    let groups = offsets("actions", template, 0)?;
    let steps = offsets("actions", template, 1)?;
    let states = input
        .raw("states")
        .ok_or_else(|| Fault::refused("`states` is missing"))?;
    check_groups("states", states, &groups)?;
    let (texts, actions) = (
        leaves::<String>("states", states, 3)?,
        leaves::<String>("actions", template, 3)?,
    );
    let visits = offsets("states", states, 1)?;
    let edges = Transitions {
        groups: groups.spans(),
        steps: steps.spans(),
        visits: visits.spans(),
        states: &texts,
        actions: &actions,
    }
    .edges(history)?;
    let shared = share_edges(&edges, steps.spans(), &base(&input, kind, &relative, &groups)?)?;
    let multiplicity: Vec<f64> = shared.multiplicity.iter().map(|n| *n as f64).collect();
    Ok(answer([
        ("advantages", like(template, &shared.advantages)),
        ("multiplicity", like(template, &multiplicity)),
    ]))
}

fn block(params: &Fields<'_>, kind: Base) -> Result<GroupRelative, Fault> {
    let default = GroupRelativeConfig::default();
    let (spread, eps) = (params.or("std", Spread::Sample)?, params.or("eps", default.eps)?);
    Ok(GroupRelative::new(match (kind, spread) {
        (Base::Rloo, _) => GroupRelativeConfig::centred(Centre::LeaveOneOut, default.singleton),
        (_, Spread::None) => GroupRelativeConfig::centred(Centre::Mean, default.singleton),
        (_, Spread::Sample | Spread::Population) => GroupRelativeConfig {
            spread,
            scale_rewards: ScaleRewards::Group,
            eps,
            ..default
        },
        _ => return Err(Fault::refused("`std` must be none, sample or population")),
    })?)
}

fn check_groups(what: &str, value: &Value, groups: &Offsets) -> Result<(), Fault> {
    if offsets(what, value, 0)? == *groups {
        Ok(())
    } else {
        Err(Fault::refused(format!(
            "`{what}` has other groups than `actions`"
        )))
    }
}

fn base(
    input: &Fields<'_>,
    kind: Base,
    relative: &GroupRelative,
    groups: &Offsets,
) -> Result<Vec<Option<f64>>, Fault> {
    if kind == Base::Given {
        let (key, given) = ["base_advantages", "advantages"]
            .iter()
            .find_map(|key| Some((*key, input.raw(key)?)))
            .ok_or_else(|| Fault::adapter("the case has no input `base_advantages` or `advantages`"))?;
        check_groups(key, given, groups)?;
        return leaves(key, given, 2);
    }
    let given = input.need_raw("rewards")?;
    check_groups("rewards", given, groups)?;
    let rewards: Vec<Option<f64>> = leaves("rewards", given, 2)?;
    if kind == Base::Rloo && groups.spans().iter().any(|members| members.len() == 1) {
        return Err(Fault::refused("leave-one-out needs two trajectories"));
    }
    let a = relative.advantages(groups.spans(), &rewards)?;
    Ok(a.into_iter().zip(&rewards).map(|(a, r)| r.map(|_| a)).collect())
}
