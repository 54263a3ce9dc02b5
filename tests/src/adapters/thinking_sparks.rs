//! `thinking-sparks`: scores of edges, importance of heads, how heads come and go, pass@k.

use std::collections::BTreeMap;

use groupwise_stats::attribution::{Destination, OutputMetric, ResidualNetwork, Source};
use groupwise_stats::circuits::{head_history, head_importance, success_at_k, training_effect};
use groupwise_stats::{mean, pass_at_k};
use serde_json::{Value, json};

use crate::nested::{number, numbers};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let found = match params.need::<String>("stage")?.as_str() {
        "eap_ig" => edges(&params, &input),
        "effect" => effect(&params, &input),
        "cohorts" => cohorts(&input),
        "pass_at_k" => passes(&params, &input),
        other => Err(Fault::adapter(format!("adapter does not know stage `{other}`"))),
    }?;
    params.finish()?;
    Ok(found)
}

/// The network of the cases: nodes a and b.
fn edges(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let nodes = vec![input.need("Wa")?, input.need("Wb")?];
    let network = ResidualNetwork::new(nodes, input.need("Wo")?)?;
    let (clean, corrupt): (Vec<f64>, Vec<f64>) = (input.need("clean")?, input.need("corrupt")?);
    let metric: OutputMetric = params.or("metric", OutputMetric::Kl)?;
    let scores = network.edge_scores(&clean, &corrupt, params.or("steps", 8)?, metric)?;
    let node = |at: usize| ["a", "b"][at];
    let named = scores.iter().map(|edge| {
        let from = match edge.from {
            Source::Input => "in",
            Source::Node(at) => node(at),
        };
        let to = match edge.to {
            Destination::Node(at) => node(at),
            Destination::Output => "out",
        };
        (format!("{from}>{to}"), number(edge.score))
    });
    Ok(answer([("scores", Value::Object(named.collect()))]))
}

fn effect(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let heads: Vec<String> = input.need("heads")?;
    let threshold = params.or("threshold", 0.1)?;
    let read = |key: &str| -> Result<BTreeMap<String, f64>, Fault> {
        let edges: Vec<Vec<(String, f64)>> = input.need(key)?;
        Ok(head_importance(&edges, threshold)?)
    };
    let (pre, post) = (read("pre")?, read("post")?);
    let eps = params.or("eps", 1e-6)?;
    let of =
        |importance: &BTreeMap<String, f64>, head: &str| importance.get(head).copied().unwrap_or_default();
    let table = |value: &dyn Fn(&str) -> f64| {
        let pairs = heads.iter().map(|head| (head.clone(), number(value(head))));
        Value::Object(pairs.collect())
    };
    Ok(answer([
        ("importance_pre", table(&|head| of(&pre, head))),
        ("importance_post", table(&|head| of(&post, head))),
        (
            "scores",
            table(&|head| training_effect(of(&pre, head), of(&post, head), eps)),
        ),
    ]))
}

fn cohorts(input: &Fields<'_>) -> Result<Answer, Fault> {
    let base: Vec<String> = input.need("base")?;
    let checkpoints: Vec<Vec<String>> = input.need("checkpoints")?;
    let history = head_history(&base, &checkpoints);
    let checkpoint = history.checkpoints.iter().map(|checkpoint| {
        json!({
            "emergent": checkpoint.emergent, "retained": checkpoint.retained,
            "cohorts": checkpoint.cohorts, "turnover": number(checkpoint.turnover),
        })
    });
    Ok(answer([
        ("checkpoints", checkpoint.collect()),
        ("survival", number(history.survival)),
    ]))
}

fn passes(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let k: u64 = params.need("k")?;
    let (successes, attempts): (Vec<u64>, Vec<u64>) = (input.need("successes")?, input.need("attempts")?);
    groupwise_core::DataError::check_len("successes", successes.len(), attempts.len())?;
    let pairs = attempts.iter().zip(&successes);
    let scores: Vec<f64> = pairs
        .map(|(n, c)| pass_at_k(*n, *c, k))
        .collect::<Result<_, _>>()?;
    let success = match input.get::<Vec<Vec<u8>>>("order")? {
        None => Value::Null,
        Some(order) => {
            let right = |task: &Vec<u8>| task.iter().map(|right| *right != 0).collect();
            let order: Vec<Vec<bool>> = order.iter().map(right).collect();
            number(success_at_k(&order, usize::try_from(k).unwrap_or(usize::MAX))?)
        }
    };
    Ok(answer([
        ("scores", numbers(&scores)),
        ("mean", number(mean(&scores))),
        ("success_at_k", success),
    ]))
}
