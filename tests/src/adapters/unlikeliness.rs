//! `unlikeliness`: ranks, shaped rewards, advantages.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::ranks::ascending_ranks;
use groupwise_core::{GroupRewards, PromptMemory, Task, Trajectory};
use groupwise_reward::ShaperSpec;
use groupwise_reward::shapers::{FilterUniform, UnlikelinessConfig, answer_log_probability};
use serde_json::json;

use crate::nested::{Tokens, leaves, like, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// Parameters of the shaper.
fn read_config(params: &Fields<'_>) -> Result<UnlikelinessConfig, Fault> {
    let default = UnlikelinessConfig::default();
    // The cases show what groups get; whether a uniform one is dropped is asked for by name.
    let filter = if params.or("filter_uniform", false)? {
        FilterUniform::On
    } else {
        FilterUniform::Off
    };
    Ok(UnlikelinessConfig {
        penalty: params.or("penalty", default.penalty)?,
        rank_by: params.or("rank_by", default.rank_by)?,
        offset: params.or("offset", default.offset)?,
        ties: params.or("ties", default.ties)?,
        filter_uniform: filter,
    })
}

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let config = read_config(&params)?;
    let relative = GroupRelative::new(GroupRelativeConfig {
        eps: params.or("eps", 1e-6)?,
        ..Default::default()
    })?;
    params.finish()?;
    ShaperSpec::Unlikeliness(config.clone()).build(&())?;

    let template = input.need_raw("rewards")?;
    let groups = offsets("rewards", template, 0)?;
    let raw: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    let rows = input.need_raw("logp_old")?;
    let tokens = Tokens::of("logp_old", rows)?;
    tokens.check_groups("rewards", &groups)?;
    let logp = tokens.numbers("logp_old", rows)?;
    let mask = tokens.mask(input.raw("mask"))?;
    let member = |i: usize| {
        let span = tokens.tokens.range(i);
        Trajectory {
            logp: logp[span.clone()].to_vec(),
            mask: mask[span.clone()].to_vec(),
            ..Trajectory::of_reply("", span.len())
        }
    };

    let (mut ranks, mut shaped, mut selected) = (Vec::new(), Vec::new(), Vec::new());
    for (g, span) in groups.spans().iter().enumerate() {
        let members: Vec<Trajectory> = span.clone().map(member).collect();
        ranks.extend(ranks_of(&config, &members, &raw[span.clone()]));
        let rewards = shape(&config, &members, raw[span].to_vec())?;
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

/// Rank of each scorable member.
fn ranks_of(
    config: &UnlikelinessConfig,
    members: &[Trajectory],
    rewards: &[Option<f64>],
) -> Vec<Option<f64>> {
    let scored = members.iter().zip(rewards).filter(|(_, r)| r.is_some());
    let likelihoods: Vec<f64> = scored
        .map(|(m, _)| answer_log_probability(&m.logp, &m.mask, config.rank_by))
        .collect();
    let mut next = ascending_ranks(&likelihoods, config.ties).into_iter();
    rewards.iter().map(|r| r.and_then(|_| next.next())).collect()
}

/// One group after the shaper itself.
fn shape(
    config: &UnlikelinessConfig,
    members: &[Trajectory],
    rewards: Vec<Option<f64>>,
) -> Result<GroupRewards, Fault> {
    let shaper = ShaperSpec::Unlikeliness(config.clone()).build(&())?;
    let (task, memory) = (Task::new("case", "", ""), PromptMemory::new(1, 1));
    let mut rewards = GroupRewards::new("case", rewards);
    shaper.shape(&task, members, &mut rewards, &memory)?;
    Ok(rewards)
}
