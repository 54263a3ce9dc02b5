//! `aepo`: which auxiliary samples replace which trajectories, and the additive term.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_objective::losses::{Aepo, AepoConfig, AepoMode};
use serde_json::json;

use crate::nested::{Tokens, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let kind: String = params.need("kind")?;
    let mode = match kind.as_str() {
        "plan" => AepoMode::Replace,
        "additive" => AepoMode::Additive,
        other => return Err(Fault::adapter(format!("adapter does not know kind `{other}`"))),
    };
    let default = AepoConfig::default();
    let aepo = Aepo::new(&AepoConfig {
        entropy_target: params.or("entropy_target", default.entropy_target)?,
        t_high: params.or("t_high", default.t_high)?,
        t_low: params.or("t_low", default.t_low)?,
        reinforce_num: params.or("reinforce_num", default.reinforce_num)?,
        threshold: params.or("threshold", default.threshold)?,
        aux_fraction: params.or("aux_fraction", default.aux_fraction)?,
        mode: params.or("mode", mode)?,
        alpha: params.get("alpha")?,
        select: params.or("select", default.select)?,
        entropy_source: default.entropy_source,
    })?;
    params.finish()?;
    match mode {
        AepoMode::Replace => plan(&aepo, &input),
        AepoMode::Additive => additive(&aepo, &input),
    }
}

/// The rewards of the case are those of the auxiliary groups.
fn plan(aepo: &Aepo, input: &Fields<'_>) -> Result<Answer, Fault> {
    let given = input.need_raw("rewards")?;
    let rewards: Vec<Option<f64>> = leaves("rewards", given, 2)?;
    let groups = offsets("rewards", given, 0)?;
    let advantages =
        GroupRelative::new(GroupRelativeConfig::default())?.advantages(groups.spans(), &rewards)?;
    let entropy = input.or("entropy", None)?;
    let plan = aepo.plan(entropy, &advantages, &rewards, input.need("batch_size")?)?;
    let mut out = answer([
        ("temperature", number(plan.temperature)),
        ("selected", json!(plan.selected)),
        ("replaced", json!(plan.replaced)),
        ("advantages", like(given, &advantages)),
    ]);
    if let Some(prompts) = input.get("prompts")? {
        out.insert("auxiliary_prompts".into(), json!(aepo.auxiliary_prompts(prompts)));
    }
    Ok(out)
}

fn additive(aepo: &Aepo, input: &Fields<'_>) -> Result<Answer, Fault> {
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    let given = input.need_raw("rewards")?;
    tokens.check_groups("rewards", &offsets("rewards", given, 0)?)?;
    let at = aepo.additive(
        tokens.tokens.spans(),
        &tokens.numbers("logp", tokens.template)?,
        &tokens.mask(input.raw("mask"))?,
        &leaves::<Option<f64>>("rewards", given, 2)?,
    )?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(tokens.template, &at.d_logp)),
    ]))
}
