//! Methods that follow the naming convention need no adapter.
//!
//! A case whose method (its own `method`, else the slug of the file) is registered as an advantage estimator or
//! as an objective runs here if its parameters are the keys of that part's configuration:
//!
//! | the case holds | what runs | entries that come out |
//! |---|---|---|
//! | `rewards`, and any of `greedy_rewards`, `step_rewards`, `states`, `mask`, `lengths`, `logp_old`, `logp_ref`, `entropy`, `values` | the estimator | `advantages` |
//! | `logp`, `advantages`, and any of `logp_old`, `logp_ref`, `mask` | the objective | `loss`, `grad_logp` |
//!
//! Rewards are nested group > trajectory; a flat list is one group.  A case with steps and without tokens is
//! taken to have one token per step.

use groupwise_advantage::AdvantageSpec;
use groupwise_core::{Advantages, Offsets, RewardBatch};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::nested::{Tokens, depth, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, answer};

/// What runs the case by convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// The method is a registered advantage estimator.
    Advantage,
    /// The method is a registered objective.
    Objective,
}

/// The convention that fits a case, if one does.
pub fn find(slug: &str, case: &Case) -> Option<Convention> {
    let method = method(slug, case);
    let only = |known: &[&str]| {
        case.expect
            .keys()
            .all(|key| key == "error" || known.contains(&key.as_str()))
    };
    if case.input.contains_key("logp") {
        let fits = only(&["loss", "grad_logp"]) && case.input.contains_key("advantages");
        (fits && ObjectiveSpec::named(method).is_some()).then_some(Convention::Objective)
    } else {
        let fits = only(&["advantages"]) && case.input.contains_key("rewards");
        (fits && AdvantageSpec::named(method).is_some()).then_some(Convention::Advantage)
    }
}

/// Runs a case by convention.
///
/// # Errors
/// As an adapter.
pub fn run(convention: Convention, slug: &str, case: &Case) -> Result<Answer, Fault> {
    let method = method(slug, case);
    match convention {
        Convention::Advantage => advantages(&spec(method, &case.params)?, case),
        Convention::Objective => loss(&spec(method, &case.params)?, case),
    }
}

fn method<'a>(slug: &'a str, case: &'a Case) -> &'a str {
    case.method.as_deref().unwrap_or(slug)
}

/// The part of that name with these parameters.
fn spec<T: DeserializeOwned>(method: &str, params: &Map<String, Value>) -> Result<T, Fault> {
    let tagged = Map::from_iter([(method.to_owned(), Value::Object(params.clone()))]);
    serde_json::from_value(Value::Object(tagged)).map_err(|e| {
        let message = e.to_string();
        // A key the part does not have is the case's mistake, not a refusal by the method.
        if message.contains("unknown field") {
            Fault::Adapter(message)
        } else {
            Fault::Refused(message)
        }
    })
}

/// Inputs of an estimator, flattened.
struct Inputs<'a> {
    template: &'a Value,
    groups: Offsets,
    rewards: Vec<Option<f64>>,
    steps: Option<Steps<'a>>,
    /// Structure of the per-token inputs, where there are any.
    tokens: Option<Tokens<'a>>,
    mask: Vec<bool>,
}

struct Steps<'a> {
    template: &'a Value,
    offsets: Offsets,
    rewards: Option<Vec<f64>>,
    anchors: Option<Vec<String>>,
}

fn advantages(spec: &AdvantageSpec, case: &Case) -> Result<Answer, Fault> {
    let estimator = spec.build(&())?;
    let flat = depth(case.input.get("rewards").unwrap_or(&Value::Null)) < 2;
    // One group without its outer level: put the level on, take it off the result.
    let per_group = ["greedy_rewards"];
    let lift = |(key, value): (&String, &Value)| {
        let value = if flat && !per_group.contains(&key.as_str()) {
            Value::Array(vec![value.clone()])
        } else {
            value.clone()
        };
        (key.clone(), value)
    };
    let input: Map<String, Value> = case.input.iter().map(lift).collect();
    let found = estimate(estimator.as_ref(), &input)?;
    let found = match found {
        Value::Array(mut groups) if flat && groups.len() == 1 => groups.remove(0),
        nested => nested,
    };
    Ok(answer([("advantages", found)]))
}

fn estimate(
    estimator: &dyn groupwise_core::AdvantageEstimator,
    input: &Map<String, Value>,
) -> Result<Value, Fault> {
    let read = Inputs::read(input)?;
    let greedy: Option<Vec<f64>> = input
        .get("greedy_rewards")
        .map(|v| leaves("greedy_rewards", v, 1))
        .transpose()?;
    let per_token = |key: &str| match (&read.tokens, input.get(key)) {
        (Some(tokens), Some(value)) => tokens.numbers(key, value).map(Some),
        _ => Ok(None),
    };
    let (logp_old, logp_ref) = (per_token("logp_old")?, per_token("logp_ref")?);
    let (entropy, values) = (per_token("entropy")?, per_token("values")?);
    // Without tokens of its own a step is one token.
    let n_steps = read.steps.as_ref().map_or(0, |s| s.offsets.total());
    let singles: Vec<std::ops::Range<usize>> = (0..n_steps).map(|k| k..k + 1).collect();
    let step_mask = vec![true; n_steps];
    let mut batch = RewardBatch::new(read.groups.spans(), &read.rewards);
    batch.greedy_rewards = greedy.as_deref();
    if let Some(steps) = &read.steps {
        batch.steps = Some(steps.offsets.spans());
        batch.step_rewards = steps.rewards.as_deref();
        batch.anchors = steps.anchors.as_deref();
        if read.tokens.is_none() {
            batch.step_tokens = Some(&singles);
            batch.tokens = Some(steps.offsets.spans());
            batch.mask = Some(&step_mask);
        }
    }
    if let Some(tokens) = &read.tokens {
        batch.tokens = Some(tokens.tokens.spans());
        batch.mask = Some(&read.mask);
    }
    batch.logp_old = logp_old.as_deref();
    batch.logp_ref = logp_ref.as_deref();
    batch.entropy = entropy.as_deref();
    batch.values = values.as_deref();
    let template = match (&read.tokens, &read.steps) {
        (Some(tokens), _) => Some(tokens.template),
        (None, Some(steps)) => Some(steps.template),
        (None, None) => None,
    };
    match (estimator.estimate(&batch)?, template) {
        (Advantages::Trajectory(a), _) => Ok(like(read.template, &a)),
        (Advantages::Token(a), Some(template)) => Ok(like(template, &a)),
        (Advantages::Token(_), None) => Err(Fault::adapter("the case has neither tokens nor steps")),
    }
}

impl<'a> Inputs<'a> {
    fn read(input: &'a Map<String, Value>) -> Result<Self, Fault> {
        let template = &input["rewards"];
        let tokens = ["mask", "logp_old", "logp_ref", "entropy", "values"]
            .iter()
            .find_map(|key| Some((key, input.get(*key)?)))
            .map(|(key, value)| Tokens::of(key, value))
            .transpose()?;
        let groups = offsets("rewards", template, 0)?;
        if let Some(tokens) = &tokens {
            tokens.check_groups("rewards", &groups)?;
        }
        let mask = match &tokens {
            Some(tokens) => tokens.mask(input.get("mask"))?,
            None => Vec::new(),
        };
        let rewards = leaves("rewards", template, 2)?;
        Ok(Self {
            template,
            groups,
            rewards,
            steps: Steps::read(input)?,
            tokens,
            mask,
        })
    }
}

impl<'a> Steps<'a> {
    fn read(input: &'a Map<String, Value>) -> Result<Option<Self>, Fault> {
        let (rewards, anchors) = (input.get("step_rewards"), input.get("states"));
        let Some(template) = rewards.or(anchors) else {
            return Ok(None);
        };
        let steps = offsets("steps", template, 1)?;
        if let Some(anchors) = anchors
            && offsets("states", anchors, 1)? != steps
        {
            return Err(Fault::refused("`states` has other lengths than `step_rewards`"));
        }
        Ok(Some(Self {
            template,
            offsets: steps,
            rewards: rewards.map(|v| leaves("step_rewards", v, 3)).transpose()?,
            anchors: anchors.map(|v| leaves("states", v, 3)).transpose()?,
        }))
    }
}

fn loss(spec: &ObjectiveSpec, case: &Case) -> Result<Answer, Fault> {
    let input = case.input();
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    let nested = |key: &str| match input.raw(key) {
        None => Ok(None),
        Some(value) => tokens.numbers(key, value).map(|flat| Some(tokens.nest(&flat))),
    };
    let batch = NestedBatch {
        logp: tokens.nest(&tokens.numbers("logp", tokens.template)?),
        logp_old: nested("logp_old")?,
        logp_ref: nested("logp_ref")?,
        mask: Some(tokens.nest(&tokens.mask(input.raw("mask"))?)),
        advantages: advantages_of(&tokens, input.need_raw("advantages")?)?,
    };
    let at = evaluate_nested(spec.build(&())?.as_ref(), &batch)?;
    Ok(answer([
        ("loss", number(at.loss)),
        (
            "grad_logp",
            like(tokens.template, &at.grad_logp.concat().concat()),
        ),
    ]))
}

/// Advantages of a loss case, per trajectory or per token.
///
/// # Errors
/// [`Fault::Refused`] if they do not fit the tokens.
pub(crate) fn advantages_of(tokens: &Tokens<'_>, given: &Value) -> Result<NestedAdvantages, Fault> {
    if depth(given) == 3 {
        return Ok(NestedAdvantages::Token(
            tokens.nest(&tokens.numbers("advantages", given)?),
        ));
    }
    tokens.check_groups("advantages", &offsets("advantages", given, 0)?)?;
    Ok(NestedAdvantages::Trajectory(tokens.nest_outer(&leaves::<f64>(
        "advantages",
        given,
        2,
    )?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Outcome;
    use crate::harness::run_case;

    fn case(params: Value, input: Value, expect: Value) -> Case {
        let value =
            json!({"name": "c", "params": params, "input": input, "expect": expect, "tolerance": 1e-6});
        serde_json::from_value(value).unwrap()
    }

    fn passes(slug: &str, params: Value, input: Value, expect: Value) {
        assert_eq!(run_case(slug, &case(params, input, expect)), Outcome::Passed);
    }

    #[test]
    fn a_registered_estimator_runs_without_an_adapter() {
        let a = 0.866_023_903_8;
        passes(
            "grpo",
            json!({"eps": 1e-6}),
            json!({"rewards": [1, 0, 0, 1]}),
            json!({"advantages": [a, -a, -a, a]}),
        );
        passes(
            "remax",
            json!({}),
            json!({"rewards": [[1, null]], "greedy_rewards": [0.4]}),
            json!({"advantages": [[0.6, 0]]}),
        );
        passes(
            "grpo",
            json!({"eps": -1.0}),
            json!({"rewards": [1, 0]}),
            json!({"error": "eps"}),
        );
        passes(
            "grpo",
            json!({}),
            json!({"rewards": [[]]}),
            json!({"error": "empty group"}),
        );
    }

    #[test]
    fn token_inputs_give_their_structure_to_the_result() {
        passes(
            "gae",
            json!({"gamma": 1.0, "lam": 1.0, "whiten": "none"}),
            json!({"rewards": [[1.0]], "values": [[[0.25, 0.5]]], "mask": [[[1, 1]]]}),
            json!({"advantages": [[[0.75, 0.5]]]}),
        );
        passes(
            "gae",
            json!({}),
            json!({"rewards": [[1.0]], "values": [[[0.25, 0.5]]], "mask": [[[1]]]}),
            json!({"error": "lengths"}),
        );
    }

    #[test]
    fn a_registered_objective_runs_without_an_adapter() {
        passes(
            "reinforce",
            json!({}),
            json!({"logp": [[[-0.5, -0.25], [-1.0]]], "advantages": [[1.0, -1.0]]}),
            json!({"loss": -0.125, "grad_logp": [[[-0.5, -0.5], [0.5]]]}),
        );
        passes(
            "grpo",
            json!({"epsilon": 0.0}),
            json!({"logp": [[[-0.5]]], "advantages": [[1.0]]}),
            json!({"error": "epsilon"}),
        );
    }

    #[test]
    fn unknown_methods_and_parameters_are_not_guessed() {
        let unknown = case(json!({}), json!({"rewards": [1]}), json!({"advantages": [1]}));
        assert_eq!(run_case("no-such-method", &unknown), Outcome::NotImplemented);
        let other = case(json!({}), json!({"rewards": [1]}), json!({"scores": [1]}));
        assert_eq!(run_case("grpo", &other), Outcome::NotImplemented);
        let key = case(
            json!({"epsilom": 1.0}),
            json!({"rewards": [1]}),
            json!({"error": "x"}),
        );
        let Outcome::Failed(why) = run_case("grpo", &key) else {
            panic!("must fail")
        };
        assert!(why.contains("unknown field `epsilom`"), "{why}");
    }
}
