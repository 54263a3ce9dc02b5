//! `gtpo`: conflict weights, entropy shaping and the loss of both.

use groupwise_advantage::estimators::{DivideByConflicts, Gtpo, GtpoConfig, GtpoMember, GtpoShaped};
use groupwise_core::{DataError, Part};
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
use groupwise_objective::objectives::{GroupReduction, GtpoConfig as GtpoLossConfig};
use serde_json::{Value, json};

use crate::nested::{Tokens, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// Parameters of the specification, sections 5 and 6.
fn read(params: &Fields<'_>) -> Result<(Gtpo, GtpoLossConfig), Fault> {
    let function: Option<String> = params.get("function")?;
    if let Some(other) = function.filter(|f| !["loss", "weights", "advantages"].contains(&f.as_str())) {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        )));
    }
    let default = GtpoConfig::default();
    let config = GtpoConfig {
        amplify: params.or("amplify", default.amplify)?,
        entropy_coef: params.or("entropy_coef", default.entropy_coef)?,
        entropy_threshold: params.or("entropy_threshold", default.entropy_threshold)?,
        initial_entropy: params.or("initial_entropy", None)?,
        combine: params.or("combine", default.combine)?,
        divide_by_conflicts: if params.or("divide_by_conflicts", false)? {
            DivideByConflicts::On
        } else {
            DivideByConflicts::Off
        },
    };
    let loss = GtpoLossConfig {
        group_reduction: params.or("group_reduction", GroupReduction::Mean)?,
    };
    params.finish()?;
    Ok((Gtpo::new(&config)?, loss))
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (gtpo, loss) = read(&case.params())?;
    let input = case.input();
    let template = input.need_raw("rewards")?;
    let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    let ids_value = input.need_raw("token_ids")?;
    let tokens = Tokens::of("token_ids", ids_value)?;
    tokens.check_groups("rewards", &offsets("rewards", template, 0)?)?;
    let ids: Vec<u32> = leaves("token_ids", ids_value, 3)?;
    let entropy = tokens.numbers("entropy", input.need_raw("entropy")?)?;
    let mask = tokens.mask(input.raw("mask"))?;
    input.finish()?;
    let mut shaped: Vec<GtpoShaped> = Vec::new();
    for group in tokens.groups.spans().iter() {
        let members: Vec<GtpoMember<'_>> = group
            .map(|i| GtpoMember {
                reward: rewards[i],
                ids: &ids[tokens.tokens.range(i)],
                mask: &mask[tokens.tokens.range(i)],
                entropy: &entropy[tokens.tokens.range(i)],
            })
            .collect();
        shaped.extend(gtpo.group(&members)?);
    }
    let weights: Vec<f64> = shaped.iter().flat_map(|s| s.weights.iter().copied()).collect();
    let folded = fold(&tokens, &shaped, &weights, &mask)?;
    // The ratio is 1 in value whatever the log-probabilities are.
    let batch = NestedBatch {
        logp: tokens.nest(&vec![0.0; ids.len()]),
        logp_old: None,
        logp_ref: None,
        mask: Some(tokens.nest(&mask)),
        advantages: NestedAdvantages::Token(tokens.nest(&folded)),
    };
    let at = evaluate_nested(loss.build(&())?.as_ref(), &batch)?;
    let advantages: Vec<f64> = shaped.iter().map(|s| s.advantage).collect();
    let kept: Vec<u8> = shaped.iter().map(|s| u8::from(s.kept)).collect();
    Ok(answer([
        ("weights", like(ids_value, &weights)),
        ("advantages", like(template, &advantages)),
        ("mask", json!(tokens.nest_outer(&kept))),
        ("conflicts", conflicts(&tokens, &shaped)),
        ("loss", number(at.loss)),
        ("grad_logp", like(ids_value, &at.grad_logp.concat().concat())),
    ]))
}

fn fold(
    tokens: &Tokens<'_>,
    shaped: &[GtpoShaped],
    weights: &[f64],
    mask: &[bool],
) -> Result<Vec<f64>, DataError> {
    let per_trajectory: Vec<f64> = shaped.iter().map(|s| s.advantage / s.divisor).collect();
    let mut out = vec![0.0; weights.len()];
    groupwise_advantage::weigh_tokens(&per_trajectory, weights, tokens.tokens.spans(), mask, &mut out)?;
    Ok(out)
}

fn conflicts(tokens: &Tokens<'_>, shaped: &[GtpoShaped]) -> Value {
    let counts: Vec<usize> = shaped.iter().map(|s| s.conflicts).collect();
    json!(tokens.nest_outer(&counts))
}
