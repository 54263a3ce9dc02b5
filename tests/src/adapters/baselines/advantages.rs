//! A1 to A5: rewards to advantages.

use groupwise_advantage::estimators::{
    GaeConfig, ReinforcePlusPlusBaselineConfig, ReinforcePlusPlusConfig, RemaxConfig, RlooConfig, Whitening,
};
use groupwise_advantage::{
    AdvantageSpec, GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton, gae as gae_of, whiten,
};
use groupwise_core::{Advantages, Centre, Offsets, RewardBatch, Spread};
use serde_json::Value;

use crate::nested::{Tokens, flags, leaves, like, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// Rewards per trajectory, in their groups.
pub(super) struct Rewards<'a> {
    pub(super) template: &'a Value,
    pub(super) groups: Offsets,
    pub(super) values: Vec<Option<f64>>,
}

impl<'a> Rewards<'a> {
    pub(super) fn read(input: &Fields<'a>) -> Result<Self, Fault> {
        let template = input.need_raw("rewards")?;
        Ok(Self {
            template,
            groups: offsets("rewards", template, 0)?,
            values: leaves("rewards", template, 2)?,
        })
    }
}

/// A1: the parameters of the group-relative advantage; `scale` is what the method's row says unless given.
pub(super) fn group_relative(params: &Fields<'_>, method: &str) -> Result<GroupRelative, Fault> {
    let scale = if method == "dr-grpo" {
        ScaleRewards::None
    } else {
        ScaleRewards::Group
    };
    let spread: Spread = params.or("std", Spread::Sample)?;
    if !matches!(spread, Spread::Sample | Spread::Population) {
        return Err(Fault::refused("`std` must be sample or population"));
    }
    let default = GroupRelativeConfig::default();
    Ok(GroupRelative::new(GroupRelativeConfig {
        centre: Centre::Mean,
        spread,
        scale_rewards: params.or("scale", scale)?,
        eps: params.or("eps", default.eps)?,
        singleton: params.or("singleton", default.singleton)?,
        zero_spread: default.zero_spread,
    })?)
}

/// A1 to A4: the estimator of the method on the rewards of the case.
pub(super) fn estimate(case: &Case, method: &str) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let rewards = Rewards::read(&input)?;
    let spec = match method {
        "grpo" | "dr-grpo" | "dapo" | "gspo" | "cispo" => {
            let relative = group_relative(&params, method)?;
            params.finish()?;
            let a = relative.advantages(rewards.groups.spans(), &rewards.values)?;
            return Ok(answer([("advantages", like(rewards.template, &a))]));
        }
        "rloo" => AdvantageSpec::Rloo(RlooConfig {
            kl_coef: params.or("kl_coef", 0.0)?,
            singleton: params.or("singleton", Singleton::Zero)?,
        }),
        "reinforce++" => {
            let default = ReinforcePlusPlusConfig::default();
            AdvantageSpec::ReinforcePlusPlus(ReinforcePlusPlusConfig {
                gamma: params.or("gamma", default.gamma)?,
                kl_coef: params.or("kl_coef", default.kl_coef)?,
                masked_tokens: default.masked_tokens,
            })
        }
        "reinforce++-baseline" => AdvantageSpec::ReinforcePlusPlusBaseline(ReinforcePlusPlusBaselineConfig {
            singleton: params.or("singleton", Singleton::Raw)?,
        }),
        "remax" => AdvantageSpec::Remax(RemaxConfig::default()),
        other => return Err(Fault::adapter(format!("adapter does not know method `{other}`"))),
    };
    params.finish()?;
    estimate_with(&spec, &rewards, &input)
}

fn estimate_with(spec: &AdvantageSpec, rewards: &Rewards<'_>, input: &Fields<'_>) -> Result<Answer, Fault> {
    let estimator = spec.build(&())?;
    let tokens = token_structure(input)?;
    let read = |key: &str| -> Result<Option<Vec<f64>>, Fault> {
        match (&tokens, input.raw(key)) {
            (Some(tokens), Some(value)) => Ok(Some(tokens.numbers(key, value)?)),
            _ => Ok(None),
        }
    };
    let (logp_old, logp_ref) = (read("logp_old")?, read("logp_ref")?);
    let greedy: Option<Vec<f64>> = input.get("greedy_rewards")?;
    let mask = tokens.as_ref().map(|t| t.mask(input.raw("mask"))).transpose()?;
    if let Some(tokens) = &tokens {
        tokens.check_groups("rewards", &rewards.groups)?;
    }
    let mut batch = RewardBatch::new(rewards.groups.spans(), &rewards.values);
    batch.greedy_rewards = greedy.as_deref();
    batch.tokens = tokens.as_ref().map(|t| t.tokens.spans());
    batch.mask = mask.as_deref();
    batch.logp_old = logp_old.as_deref();
    batch.logp_ref = logp_ref.as_deref();
    let advantages = match (estimator.estimate(&batch)?, &tokens) {
        (Advantages::Trajectory(a), _) => like(rewards.template, &a),
        (Advantages::Token(a), Some(tokens)) => like(tokens.template, &a),
        (Advantages::Token(_), None) => return Err(Fault::adapter("token advantages without tokens")),
    };
    Ok(answer([("advantages", advantages)]))
}

/// Token structure of the case, if it has one.
fn token_structure<'a>(input: &Fields<'a>) -> Result<Option<Tokens<'a>>, Fault> {
    ["logp_old", "logp_ref", "mask"]
        .iter()
        .find_map(|key| Some((key, input.raw(key)?)))
        .map(|(key, value)| Tokens::of(key, value))
        .transpose()
}

/// A5: generalized advantage estimation; trajectories of token rewards, without a level of groups.
pub(super) fn gae(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = GaeConfig::default();
    let config = GaeConfig {
        gamma: params.or("gamma", default.gamma)?,
        lam: params.or("lam", default.lam)?,
        whiten: Whitening::None,
        ..default
    };
    params.finish()?;
    AdvantageSpec::Gae(config.clone()).build(&())?;
    let template = input.need_raw("step_rewards")?;
    let tokens = offsets("step_rewards", template, 0)?;
    let rewards: Vec<f64> = leaves("step_rewards", template, 2)?;
    let read = |key: &str| -> Result<&Value, Fault> {
        let value = input.need_raw(key)?;
        let fits = offsets(key, value, 0)? == tokens;
        if fits {
            Ok(value)
        } else {
            Err(Fault::refused(format!("`{key}` has other lengths")))
        }
    };
    let values: Vec<f64> = leaves("values", read("values")?, 2)?;
    let mask = match input.raw("mask") {
        None => vec![true; rewards.len()],
        Some(_) => flags("mask", read("mask")?, 2)?,
    };
    let (mut advantages, mut returns) = (Vec::new(), Vec::new());
    for span in tokens.spans().iter() {
        let (r, v, m) = (&rewards[span.clone()], &values[span.clone()], &mask[span]);
        let one = gae_of(r, v, m, config.gamma, config.lam)?;
        advantages.extend(one.advantages);
        returns.extend(one.returns);
    }
    let mut out = answer([
        ("advantages", like(template, &advantages)),
        ("returns", like(template, &returns)),
    ]);
    // Whitening refuses fewer than two tokens; only a case that is about it may fail on that.
    if case.expects("advantages_whitened") || case.must_be_refused() {
        whiten(&mut advantages, &mask)?;
        out.insert("advantages_whitened".into(), like(template, &advantages));
    }
    Ok(out)
}
