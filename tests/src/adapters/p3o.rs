//! `p3o`: the pairwise loss, on rewards with the KL penalty taken off.

use groupwise_objective::objectives::P3oConfig;
use groupwise_objective::objectives::p3o::{P3o, P3oBatch};

use crate::nested::{Tokens, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = P3oConfig::default();
    let config = P3oConfig {
        variant: params.or("variant", default.variant)?,
        epsilon: params.or("eps", default.epsilon)?,
        beta: params.or("kl_coef", default.beta)?,
    };
    params.finish()?;
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    let given = input.need_raw("rewards")?;
    tokens.check_groups("rewards", &offsets("rewards", given, 0)?)?;
    let mask = tokens.mask(input.raw("mask"))?;
    let logp_old = tokens.numbers("logp_old", input.need_raw("logp_old")?)?;
    let mut rewards: Vec<Option<f64>> = leaves("rewards", given, 2)?;
    if let Some(penalty) = config.kl_penalty()? {
        let reference = tokens.numbers("logp_ref", input.need_raw("logp_ref")?)?;
        let off = penalty.per_trajectory(tokens.tokens.spans(), &logp_old, &reference, &mask)?;
        for (reward, off) in rewards.iter_mut().zip(off) {
            *reward = reward.map(|r| r - off);
        }
    }
    let at = P3o::new(config.variant, config.epsilon)?.evaluate(&P3oBatch {
        groups: tokens.groups.spans(),
        tokens: tokens.tokens.spans(),
        mask: &mask,
        logp: &tokens.numbers("logp", tokens.template)?,
        logp_old: &logp_old,
        rewards: &rewards,
    })?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(tokens.template, &at.d_logp)),
    ]))
}
