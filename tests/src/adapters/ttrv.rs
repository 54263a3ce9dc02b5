//! `ttrv`: frequencies, entropy term, rewards of all votes, advantages of those that are trained on.

use groupwise_core::Offsets;
use groupwise_reward::shapers::{Ttrv, TtrvConfig};
use serde_json::Value;

use super::relative::named;
use crate::nested::numbers;
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function = params.or("function", "rewards".to_owned())?;
    if function != "rewards" {
        return Err(Fault::adapter(format!(
            "adapter does not know function `{function}`"
        )));
    }
    let default = TtrvConfig::default();
    // Stands among the inputs, as a number of votes, or among the parameters.
    let n_train = match input.or("n_train", None)? {
        None => params.or("n_train", None)?,
        given => given,
    };
    let ttrv = Ttrv::new(&TtrvConfig {
        kind: params.or("kind", default.kind)?,
        entropy: params.or("entropy", default.entropy)?,
        alpha: params.or("alpha", default.alpha)?,
        n_train,
        answer: default.answer,
    })?;
    let relative = named(&params)?;
    params.finish()?;
    let groups: Vec<Vec<Option<String>>> = input.need("answers")?;
    let (mut frequencies, mut entropies, mut scores, mut advantages) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for answers in &groups {
        let voted = ttrv.vote(answers)?;
        let n = ttrv.n_trained(answers.len())?;
        let trained: Vec<Option<f64>> = voted.rewards[..n].iter().copied().map(Some).collect();
        let a = relative.advantages(Offsets::from_lengths([n]).spans(), &trained)?;
        frequencies.push(numbers(&voted.frequencies));
        entropies.push(voted.entropy);
        scores.push(numbers(&voted.rewards));
        advantages.push(numbers(&a));
    }
    Ok(answer([
        ("frequencies", Value::Array(frequencies)),
        ("entropy", numbers(&entropies)),
        ("scores", Value::Array(scores)),
        ("advantages", Value::Array(advantages)),
    ]))
}
