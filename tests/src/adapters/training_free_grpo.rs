//! `training-free-grpo`: which groups are compared, edits of the rules, and the text before a prompt.

use groupwise_sampler::rule_library::{
    GroundTruth, Rule, RuleEdit, RuleError, RuleLibrary, informative_groups,
};
use serde_json::json;

use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let found = match params.need::<String>("stage")?.as_str() {
        "filter" => filter(&params, &input),
        "apply" => apply(&input),
        "prompt" => Ok(answer([("text", json!(library(&input)?.prompt_text()))])),
        other => Err(Fault::adapter(format!("adapter does not know stage `{other}`"))),
    }?;
    params.finish()?;
    Ok(found)
}

fn filter(params: &Fields<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let truth = if params.or("given_ground_truth", true)? {
        GroundTruth::Given
    } else {
        GroundTruth::Withheld
    };
    let rewards: Vec<Vec<f64>> = input.need("rewards")?;
    let selected = informative_groups(&rewards, truth, params.or("group_size", 5)?);
    let selected = selected.map_err(|error: RuleError| Fault::refused(error.to_string()))?;
    Ok(answer([("selected", json!(selected))]))
}

fn apply(input: &Fields<'_>) -> Result<Answer, Fault> {
    let plan: Vec<RuleEdit> = input.need("plan")?;
    let edited = library(input)?.edited(&plan);
    let rules: Vec<[&str; 2]> = edited
        .rules()
        .iter()
        .map(|rule| [rule.id.as_str(), rule.text.as_str()])
        .collect();
    Ok(answer([("library", json!(rules))]))
}

fn library(input: &Fields<'_>) -> Result<RuleLibrary, Fault> {
    let pairs: Vec<(String, String)> = input.need("library")?;
    let rules = pairs.into_iter().map(|(id, text)| Rule { id, text }).collect();
    Ok(RuleLibrary::new(rules)?)
}
