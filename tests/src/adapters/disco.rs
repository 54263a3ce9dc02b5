//! `disco`: scores of right answers above those of wrong ones, and the hinge on KL.

use groupwise_objective::ObjectiveSpec;
use groupwise_objective::objectives::{DiscoConfig, Negatives, answer_score};
use serde_json::{Value, json};

use super::answers::{Losses, evaluation};
use crate::nested::number;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let config = config(&params)?;
    params.finish()?;
    let read = Losses::read(&input)?;
    let advantages: Vec<f64> = read.rewards.iter().map(|r| r.unwrap_or(0.0)).collect();
    let objective = ObjectiveSpec::Disco(config.clone()).build(&())?;
    let at = read.evaluate(objective.as_ref(), &advantages)?;
    let (logp, old, mask) = (&read.logp, read.old(), &read.mask);
    let score =
        |t: std::ops::Range<usize>| answer_score(config.score, &logp[t.clone()], &old[t.clone()], &mask[t]);
    let scores = read
        .tokens
        .tokens
        .spans()
        .iter()
        .map(score)
        .collect::<Result<Vec<Option<f64>>, _>>()?;
    let mut out = evaluation(&read, &at);
    let term = |name: &str| at.term(name).unwrap_or(f64::NAN);
    out.extend(answer([
        ("scores", json!(read.tokens.nest_outer(&scores))),
        ("objective", number(-term("policy_loss"))),
        ("kl", number(term("approx_kl"))),
    ]));
    Ok(out)
}

/// `tau: null` is DisCO-b, an absent one the default of the score.
fn config(params: &Fields<'_>) -> Result<DiscoConfig, Fault> {
    let default = DiscoConfig::default();
    let tau: Option<f64> = params.or("tau", None)?;
    let basic = params.raw("tau").is_some_and(Value::is_null);
    let negatives = if basic { Negatives::Mean } else { Negatives::Robust };
    Ok(DiscoConfig {
        score: params.or("score", default.score)?,
        negatives,
        tau,
        delta: params.or("delta", default.delta)?,
        beta: params.or("beta", default.beta)?,
        kl: params.or("kl", default.kl)?,
        penalty: params.or("penalty", default.penalty)?,
    })
}
