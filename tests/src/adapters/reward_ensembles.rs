//! `reward-ensembles`: aggregates of member scores, best-of-n, the loss of a member.

use groupwise_core::Spread;
use groupwise_reward::ensemble::{AnswerPool, EnsembleObjective, RewardEnsemble, pairwise_loss};

use crate::nested::{number, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "aggregate" => aggregate(&params, &input),
        "best_of_n" => best_of_n(&params, &input),
        "pairwise_loss" => loss(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

fn aggregate(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let ensemble = RewardEnsemble::new(
        params.or("objective", EnsembleObjective::Mean)?,
        params.or("lambda", 0.5)?,
        params.or("std", Spread::Population)?,
    )?;
    params.finish()?;
    let scores: Vec<Vec<f64>> = input.need("member_scores")?;
    Ok(answer([("scores", numbers(&ensemble.aggregate(&scores)?))]))
}

fn best_of_n(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let n: usize = params.need("n")?;
    params.finish()?;
    let (proxy, gold): (Vec<f64>, Vec<f64>) = (input.need("proxy")?, input.need("gold")?);
    let best = AnswerPool::new(&proxy, &gold)?.best_of(n)?;
    Ok(answer([
        ("proxy", number(best.proxy)),
        ("gold", number(best.gold)),
        ("kl", number(best.kl)),
    ]))
}

fn loss(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    params.finish()?;
    let (chosen, rejected): (Vec<f64>, Vec<f64>) = (input.need("chosen")?, input.need("rejected")?);
    let at = pairwise_loss(&chosen, &rejected)?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_chosen", numbers(&at.grad_chosen)),
    ]))
}
