//! `multirole-r1`: diversity of a text, shaped rewards, merged accuracy, choice of roles.

use groupwise_reward::diversity::TextDiversity;
use groupwise_reward::roles::{Merge, RoleSelector, merged_accuracy};
use groupwise_reward::shapers::{MultiroleR1Config, diversity_shaped_rewards};
use serde_json::{Value, json};

use super::relative::named;
use crate::nested::{leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.need("function")?;
    match function.as_str() {
        "diversity" => diversity(&params, &input),
        "shape" => shape(&params, &input),
        "accuracy" => accuracy(&params, &input),
        "roles" => roles(&params, &input),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// A token, a type or an answer: words and ids work alike.
fn name(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn names(values: &[Value]) -> Vec<String> {
    values.iter().map(name).collect()
}

fn diversity(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let default = MultiroleR1Config::default();
    let diversity = TextDiversity::new(
        params.or("num_types", default.num_types)?,
        params.or("yule_scale", default.yule_scale)?,
        params.or("ngram", default.ngram)?,
    )?;
    let function_words = match params.get::<Vec<Value>>("function_words")? {
        Some(given) => names(&given),
        None => default.function_words,
    };
    params.finish()?;
    let sentences: Vec<Vec<Value>> = input.need("sentences")?;
    let sentences: Vec<Vec<String>> = sentences.iter().map(|s| names(s)).collect();
    let types: Vec<Value> = input.need("types")?;
    let found = diversity.scores(&sentences, &names(&types), &function_words)?;
    let parts = [
        ("lex", found.lex),
        ("ent", found.ent),
        ("len", found.len),
        ("pat", found.pat),
        ("adj", found.adj),
        ("yule_k", found.yule_k),
        ("yule", found.yule),
        ("dist", found.dist),
        ("func", found.func),
        ("final", found.mean()),
    ];
    let scores = parts.map(|(key, value)| (key.to_owned(), number(value)));
    Ok(answer([("scores", Value::Object(scores.into_iter().collect()))]))
}

fn shape(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let delta = params.or("delta", MultiroleR1Config::default().delta)?;
    let relative = named(params)?;
    params.finish()?;
    let (template, other) = (input.need_raw("r_acc")?, input.need_raw("r_div")?);
    let groups = offsets("r_acc", template, 0)?;
    if offsets("r_div", other, 0)? != groups {
        return Err(Fault::refused("`r_div` has other groups than `r_acc`"));
    }
    let (acc, div) = (leaves("r_acc", template, 2)?, leaves("r_div", other, 2)?);
    let scores = diversity_shaped_rewards(&acc, &div, delta)?;
    let rewards: Vec<Option<f64>> = scores.iter().copied().map(Some).collect();
    let advantages = relative.advantages(groups.spans(), &rewards)?;
    Ok(answer([
        ("scores", like(template, &scores)),
        ("advantages", like(template, &advantages)),
    ]))
}

fn accuracy(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let merge = params.or("merge", Merge::Divergent)?;
    params.finish()?;
    let answers: Vec<Option<Value>> = input.need("answers")?;
    let answers: Vec<Option<String>> = answers.iter().map(|a| a.as_ref().map(name)).collect();
    let gold: Vec<Value> = input.need("gold")?;
    let found = merged_accuracy(&answers, &names(&gold), merge)?;
    Ok(answer([
        ("merged", json!(found.merged)),
        ("scores", number(found.accuracy)),
    ]))
}

fn roles(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let selector = RoleSelector::new(params.or("alpha", 1.0)?, params.or("roles", 3)?)?;
    params.finish()?;
    let relevance: Vec<f64> = input.need("relevance")?;
    let similarity: Vec<Vec<f64>> = input.need("similarity")?;
    let found = selector.select(&relevance, &similarity)?;
    Ok(answer([
        ("probabilities", numbers(&found.probabilities)),
        ("selected", json!(found.selected)),
    ]))
}
