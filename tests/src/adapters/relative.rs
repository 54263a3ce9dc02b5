//! Group-relative advantages as cases spell them: `std_ddof` or `std`, `eps` and `singleton`.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig, Singleton};
use groupwise_core::{Offsets, Spread};
use serde_json::Value;

use crate::nested::{like, offsets};
use crate::{Fault, Fields};

/// The deviation that `std_ddof` names; sample if it is absent.
pub(super) fn spread(params: &Fields<'_>) -> Result<Spread, Fault> {
    match params.or("std_ddof", 1u64)? {
        0 => Ok(Spread::Population),
        1 => Ok(Spread::Sample),
        other => Err(Fault::refused(format!("`std_ddof` = {other}: must be 0 or 1"))),
    }
}

/// Advantages of one group with the deviation and eps of the parameters.
pub(super) fn one_group(params: &Fields<'_>, eps: f64, rewards: &[f64]) -> Result<Vec<f64>, Fault> {
    let relative = GroupRelative::new(GroupRelativeConfig {
        spread: spread(params)?,
        eps: params.or("eps", eps)?,
        ..Default::default()
    })?;
    let groups = Offsets::from_lengths([rewards.len()]);
    let rewards: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
    Ok(relative.advantages(groups.spans(), &rewards)?)
}

/// The block that `std`, `eps` and `singleton` name, with the default `eps` of group statistics.
pub(super) fn group_relative(params: &Fields<'_>) -> Result<GroupRelative, Fault> {
    named_block(params, GroupRelativeConfig::default().eps)
}

/// The block that `std`, `eps` and `singleton` name.
pub(super) fn named_block(params: &Fields<'_>, eps: f64) -> Result<GroupRelative, Fault> {
    let default = GroupRelativeConfig::default();
    Ok(GroupRelative::new(GroupRelativeConfig {
        spread: params.or("std", default.spread)?,
        eps: params.or("eps", eps)?,
        singleton: params.or("singleton", default.singleton)?,
        ..default
    })?)
}

/// Advantages of rewards in the nesting group > member of `template`.
pub(super) fn nested(block: &GroupRelative, template: &Value, rewards: &[f64]) -> Result<Value, Fault> {
    let rewards: Vec<Option<f64>> = rewards.iter().copied().map(Some).collect();
    let a = block.advantages(offsets("rewards", template, 0)?.spans(), &rewards)?;
    Ok(like(template, &a))
}

/// The block with `std`, `eps` and `singleton` of the parameters.
pub(super) fn named(params: &Fields<'_>) -> Result<GroupRelative, Fault> {
    let spread = params.or("std", Spread::Sample)?;
    if !matches!(spread, Spread::Sample | Spread::Population) {
        return Err(Fault::refused("`std` must be sample or population"));
    }
    Ok(GroupRelative::new(GroupRelativeConfig {
        spread,
        eps: params.or("eps", 1e-6)?,
        singleton: params.or("singleton", Singleton::Zero)?,
        ..Default::default()
    })?)
}
