//! `unlikeliness`: ranks, shaped rewards, advantages.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::ranks::ascending_ranks;
use groupwise_core::{GroupRewards, PromptMemory, Task, Trajectory};
use groupwise_reward::ShaperSpec;
use groupwise_reward::shapers::{FilterUniform, UnlikelinessConfig, answer_log_probability};
use serde_json::json;

use super::replies::reply;
use crate::nested::{Tokens, leaves, like, offsets};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = UnlikelinessConfig::default();
    // The cases show what groups get; whether a uniform one is dropped is asked for by name.
    let filter = if params.or("filter_uniform", false)? {
        FilterUniform::On
    } else {
        FilterUniform::Off
    };
    let config = UnlikelinessConfig {
        penalty: params.or("penalty", default.penalty)?,
        rank_by: params.or("rank_by", default.rank_by)?,
        offset: params.or("offset", default.offset)?,
        ties: params.or("ties", default.ties)?,
        filter_uniform: filter,
    };
    let relative = GroupRelative::new(GroupRelativeConfig {
        eps: params.or("eps", 1e-6)?,
        ..Default::default()
    })?;
    params.finish()?;
    let shaper = ShaperSpec::Unlikeliness(config.clone()).build(&())?;

    let template = input.need_raw("rewards")?;
    let groups = offsets("rewards", template, 0)?;
    let raw: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    let rows = input.need_raw("logp_old")?;
    let tokens = Tokens::of("logp_old", rows)?;
    tokens.check_groups("rewards", &groups)?;
    let logp = tokens.numbers("logp_old", rows)?;
    let mask = tokens.mask(input.raw("mask"))?;

    let (task, memory) = (Task::new("case", "", ""), PromptMemory::new(1, 1));
    let (mut ranks, mut shaped, mut selected) = (Vec::new(), Vec::new(), Vec::new());
    for (g, span) in groups.spans().iter().enumerate() {
        let members: Vec<Trajectory> = span
            .clone()
            .map(|i| Trajectory {
                logp: logp[tokens.tokens.range(i)].to_vec(),
                mask: mask[tokens.tokens.range(i)].to_vec(),
                ..reply("", tokens.tokens.range(i).len())
            })
            .collect();
        let mut rewards = GroupRewards::new("case", raw[span].to_vec());
        let likelihoods: Vec<f64> = members
            .iter()
            .zip(&rewards.rewards)
            .filter(|(_, r)| r.is_some())
            .map(|(m, _)| answer_log_probability(&m.logp, &m.mask, config.rank_by))
            .collect();
        let mut next = ascending_ranks(&likelihoods, config.ties).into_iter();
        ranks.extend(rewards.rewards.iter().map(|r| r.and_then(|_| next.next())));
        shaper.shape(&task, &members, &mut rewards, &memory)?;
        if rewards.trained.contains(&true) {
            selected.push(g);
        }
        shaped.extend(rewards.rewards);
    }
    let mut advantages = relative.advantages(groups.spans(), &shaped)?;
    for (g, span) in groups.spans().iter().enumerate() {
        if !selected.contains(&g) {
            advantages[span].fill(0.0);
        }
    }
    // An unscorable member has neither rank nor reward: NaN equals nothing that a case can expect.
    let filled = |values: &[Option<f64>]| values.iter().map(|v| v.unwrap_or(f64::NAN)).collect::<Vec<_>>();
    Ok(answer([
        ("ranks", like(template, &filled(&ranks))),
        ("scores", like(template, &filled(&shaped))),
        ("advantages", like(template, &advantages)),
        ("selected", json!(selected)),
    ]))
}
