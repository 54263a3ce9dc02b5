//! `action-grouping`: bounds, values and choice of a grouping of actions, and the policy over groups.

use groupwise_tabular::grouping::{ActionGrouping, Grouping, GroupingConfig, Mdp, group_softmax};
use serde_json::json;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "group".to_owned())?;
    match function.as_str() {
        "group" => report(&params, &input),
        "choose" => choose(&params, &input),
        "policy" => policy(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn setting(params: &Fields<'_>) -> Result<ActionGrouping, Fault> {
    let config = GroupingConfig {
        gamma: params.or("gamma", GroupingConfig::GAMMA)?,
        samples: params.need("samples")?,
        delta: params.or("delta", GroupingConfig::DELTA)?,
    };
    params.finish()?;
    Ok(ActionGrouping::new(config)?)
}

fn process(input: &Fields<'_>) -> Result<Mdp, Fault> {
    let transition: Vec<Vec<Vec<f64>>> = input.need("transition")?;
    let reward: Vec<Vec<f64>> = input.need("reward")?;
    Ok(Mdp::new(&transition, &reward)?)
}

fn report(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let (setting, mdp) = (setting(params)?, process(input)?);
    let labels: Vec<usize> = input.need("groups")?;
    let found = setting.report(&mdp, &Grouping::new(&labels)?)?;
    Ok(answer([
        ("optimal_value", numbers(&found.optimal_value)),
        ("grouped_value", numbers(&found.grouped_value)),
        ("grouped_policy", json!(found.grouped_policy)),
        ("reward_gap", json!(found.gaps.reward)),
        ("kernel_gap", json!(found.gaps.kernel)),
        ("approximation_bound", json!(found.bounds.approximation)),
        ("estimation_bound", json!(found.bounds.estimation)),
        ("loss", json!(found.loss)),
    ]))
}

fn choose(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let (setting, mdp) = (setting(params)?, process(input)?);
    let options: Vec<Vec<usize>> = input.need("options")?;
    let options: Vec<Grouping> = options
        .iter()
        .map(|o| Grouping::new(o))
        .collect::<Result<_, _>>()?;
    let choice = setting.choose(&mdp, &options)?;
    Ok(answer([
        ("scores", numbers(&choice.scores)),
        ("selected", json!([choice.selected])),
    ]))
}

fn policy(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let logits: Vec<f64> = input.need("logits")?;
    let labels: Vec<usize> = input.need("groups")?;
    let grouping = Grouping::new(&labels)?;
    let policy = group_softmax(&logits, &grouping)?;
    let action: usize = input.need("action")?;
    Ok(answer([
        ("probabilities", numbers(&policy.probabilities())),
        ("logp", json!(policy.logp(action)?)),
        ("grad_logits", numbers(&policy.grad_logits(action)?)),
    ]))
}
