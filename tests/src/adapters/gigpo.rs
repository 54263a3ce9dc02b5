//! `gigpo`: advantages of both levels, and the clipped loss on them.

use groupwise_advantage::estimators::{EpisodeStats, Gigpo, GigpoAdvantages, GigpoConfig, StepBatch};
use groupwise_core::{Offsets, Spans};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::aggregate::Aggregation;
use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
use groupwise_objective::objectives::PolicyGradientConfig;
use groupwise_objective::regularizer::{KlEstimator, KlPlace};
use groupwise_objective::surrogate::{ClipParams, SurrogateConfig};
use serde_json::Value;

use crate::nested::{flags, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let function: String = params.or("function", "advantages".to_owned())?;
    let gigpo = Gigpo::new(&config(&params)?)?;
    match function.as_str() {
        "advantages" => {
            params.finish()?;
            let steps = Steps::read(&input)?;
            let a = steps.advantages(&gigpo)?;
            Ok(answer([
                ("advantages", like(steps.template, &a.total)),
                ("episode_advantages", like(steps.template, &a.episode)),
                ("step_advantages", like(steps.template, &a.step)),
                ("step_groups", steps.step_groups(&a)),
            ]))
        }
        "loss" => loss(&params, &input, &gigpo),
        other => Err(Fault::adapter(format!(
            "adapter does not know function `{other}`"
        ))),
    }
}

/// Parameters of the specification, section 6, with their defaults there.
fn config(params: &Fields<'_>) -> Result<GigpoConfig, Fault> {
    let default = GigpoConfig::default();
    Ok(GigpoConfig {
        step_weight: params.or("step_weight", default.step_weight)?,
        gamma: params.or("gamma", default.gamma)?,
        std: params.or("std", default.std)?,
        eps: params.or("eps", default.eps)?,
        episode_stats: params.or("episode_stats", EpisodeStats::default())?,
        invalid_penalty: params.or("invalid_penalty", default.invalid_penalty)?,
        similarity: match params.raw("similarity") {
            Some(Value::String(off)) if off == "off" => None,
            _ => params.or("similarity", None)?,
        },
        singleton: params.or("singleton", default.singleton)?,
        rewards: default.rewards,
    })
}

/// Steps of the case, group > trajectory > step.
struct Steps<'a> {
    template: &'a Value,
    groups: Offsets,
    steps: Offsets,
    rewards: Vec<f64>,
    states: Vec<String>,
    invalid: Option<Vec<bool>>,
}

impl<'a> Steps<'a> {
    fn read(input: &Fields<'a>) -> Result<Self, Fault> {
        let template = input.need_raw("step_rewards")?;
        let groups = offsets("step_rewards", template, 0)?;
        let steps = offsets("step_rewards", template, 1)?;
        let fits = |what: &str, value: &Value| {
            if offsets(what, value, 0)? == groups && offsets(what, value, 1)? == steps {
                Ok(())
            } else {
                Err(Fault::refused(format!(
                    "`{what}` has other lengths than `step_rewards`"
                )))
            }
        };
        let states = input
            .raw("states")
            .ok_or_else(|| Fault::refused("`states` is missing"))?;
        fits("states", states)?;
        let invalid = input.raw("invalid");
        invalid.map(|value| fits("invalid", value)).transpose()?;
        Ok(Self {
            template,
            rewards: leaves("step_rewards", template, 3)?,
            states: leaves("states", states, 3)?,
            invalid: invalid.map(|value| flags("invalid", value, 3)).transpose()?,
            groups,
            steps,
        })
    }

    fn advantages(&self, gigpo: &Gigpo) -> Result<GigpoAdvantages, Fault> {
        Ok(gigpo.advantages(&StepBatch {
            groups: self.groups.spans(),
            steps: self.steps.spans(),
            rewards: &self.rewards,
            states: &self.states,
            invalid: self.invalid.as_deref(),
            unscorable: None,
        })?)
    }

    /// Clusters numbered inside their prompt group, nested like the steps.
    fn step_groups(&self, a: &GigpoAdvantages) -> Value {
        let ids = a.clusters.ids();
        let of_group = |members: std::ops::Range<usize>| -> Value {
            let first = ids[self.steps.range_of(members.clone())]
                .iter()
                .min()
                .copied()
                .unwrap_or(0);
            let row = |i| {
                ids[self.steps.range(i)]
                    .iter()
                    .map(|id| Value::from(id - first))
                    .collect()
            };
            members.map(row).collect::<Vec<Value>>().into()
        };
        self.groups.spans().iter().map(of_group).collect()
    }
}

fn loss(params: &Fields<'_>, input: &Fields<'_>, gigpo: &Gigpo) -> Result<Answer, Fault> {
    let with_reference = input.raw("logp_ref").is_some();
    let objective = objective(params, with_reference)?;
    params.finish()?;
    let steps = Steps::read(input)?;
    let a = steps.advantages(gigpo)?;
    let template = input.need_raw("logp")?;
    let tokens = Tokens::read(template, &steps)?;
    let per_token = |key: &str| match input.raw(key) {
        None => Ok(None),
        Some(value) => tokens.nested::<f64>(key, value).map(Some),
    };
    let mask = match input.raw("mask") {
        None => None,
        Some(value) => {
            tokens.check("mask", value)?;
            Some(tokens.nest(&flags("mask", value, 4)?))
        }
    };
    let batch = NestedBatch {
        logp: tokens.nested("logp", template)?,
        logp_old: per_token("logp_old")?,
        logp_ref: per_token("logp_ref")?,
        mask,
        // Each step is a training sequence of its own.
        advantages: NestedAdvantages::Trajectory(
            tokens
                .steps_of_groups
                .spans()
                .iter()
                .map(|range| a.total[range].to_vec())
                .collect(),
        ),
    };
    let at = evaluate_nested(
        ObjectiveSpec::PolicyGradient(objective).build(&())?.as_ref(),
        &batch,
    )?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(template, &at.grad_logp.concat().concat())),
        ("advantages", like(steps.template, &a.total)),
        ("episode_advantages", like(steps.template, &a.episode)),
        ("step_advantages", like(steps.template, &a.step)),
        ("step_groups", steps.step_groups(&a)),
    ]))
}

/// Clipped surrogate, token mean, k3 against the reference where the case has one.
fn objective(params: &Fields<'_>, with_reference: bool) -> Result<PolicyGradientConfig, Fault> {
    Ok(PolicyGradientConfig {
        surrogate: SurrogateConfig::Clip(ClipParams {
            epsilon: params.or("clip_low", 0.2)?,
            epsilon_high: Some(params.or("clip_high", 0.2)?),
            ..Default::default()
        }),
        aggregation: params.or("aggregation", Aggregation::TokenMean)?,
        max_completion_length: params.or("max_len", None)?,
        beta: params.or("kl_coef", if with_reference { 0.01 } else { 0.0 })?,
        kl_estimator: params.or("kl", KlEstimator::K3)?,
        kl_in: KlPlace::Loss,
        ..Default::default()
    })
}

/// Tokens of every step, group > trajectory > step > token, seen as group > step > token.
struct Tokens {
    steps_of_groups: Offsets,
    tokens: Offsets,
    levels: [Offsets; 2],
}

impl Tokens {
    fn read(template: &Value, steps: &Steps<'_>) -> Result<Self, Fault> {
        let groups = steps.groups.spans();
        let read = Self {
            steps_of_groups: Offsets::from_lengths(groups.iter().map(|g| steps.steps.range_of(g).len())),
            tokens: offsets("logp", template, 2)?,
            levels: [steps.groups.clone(), steps.steps.clone()],
        };
        read.check("logp", template)?;
        Ok(read)
    }

    fn check(&self, what: &str, value: &Value) -> Result<(), Fault> {
        let [groups, steps] = &self.levels;
        let fits = offsets(what, value, 0)? == *groups
            && offsets(what, value, 1)? == *steps
            && offsets(what, value, 2)? == self.tokens;
        if fits {
            Ok(())
        } else {
            Err(Fault::refused(format!("`{what}` does not fit the steps")))
        }
    }

    fn nested<T: Copy + serde::de::DeserializeOwned>(
        &self,
        what: &str,
        value: &Value,
    ) -> Result<Vec<Vec<Vec<T>>>, Fault> {
        self.check(what, value)?;
        Ok(self.nest(&leaves(what, value, 4)?))
    }

    fn nest<T: Copy>(&self, flat: &[T]) -> Vec<Vec<Vec<T>>> {
        let sequences: Spans<'_> = self.steps_of_groups.spans();
        let row = |k: usize| flat[self.tokens.range(k)].to_vec();
        sequences.iter().map(|steps| steps.map(row).collect()).collect()
    }
}
