//! Group-relative advantages as cases spell them: `std_ddof` or `std`, and `eps`.

use groupwise_advantage::{GroupRelative, GroupRelativeConfig};
use groupwise_core::{Offsets, Spread};

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

/// The block with the `std`, `eps` and `singleton` of the parameters.
pub(super) fn group_relative(params: &Fields<'_>) -> Result<GroupRelative, Fault> {
    let default = GroupRelativeConfig::default();
    Ok(GroupRelative::new(GroupRelativeConfig {
        spread: params.or("std", default.spread)?,
        eps: params.or("eps", default.eps)?,
        singleton: params.or("singleton", default.singleton)?,
        ..default
    })?)
}
