//! Inputs that estimators ask a batch for, checked in one place.

use std::borrow::Cow;

use groupwise_core::{DataError, ParamError, RewardBatch, Spans, Spread, Trajectory};

use crate::returns::KlPenalty;

/// Token structure and mask.
pub(crate) fn tokens<'a>(
    batch: &RewardBatch<'a>,
    part: &'static str,
) -> Result<(Spans<'a>, &'a [bool]), DataError> {
    let tokens = batch.tokens.ok_or(DataError::Missing { what: "tokens", part })?;
    let mask = batch.mask.ok_or(DataError::Missing { what: "mask", part })?;
    Ok((tokens, mask))
}

/// The trajectories themselves.
pub(crate) fn trajectories<'a>(
    batch: &RewardBatch<'a>,
    part: &'static str,
) -> Result<&'a [Trajectory], DataError> {
    batch.trajectories.ok_or(DataError::Missing {
        what: "trajectories",
        part,
    })
}

/// The KL penalty, if its coefficient asks for one.
pub(crate) fn penalty<'a>(
    batch: &RewardBatch<'a>,
    kl_coef: f64,
    part: &'static str,
) -> Result<Option<KlPenalty<'a>>, DataError> {
    if kl_coef == 0.0 {
        return Ok(None);
    }
    let logp_old = batch.logp_old.ok_or(DataError::Missing {
        what: "logp_old",
        part,
    })?;
    let logp_ref = batch.logp_ref.ok_or(DataError::Missing {
        what: "logp_ref",
        part,
    })?;
    Ok(Some(KlPenalty {
        kl_coef,
        logp_old,
        logp_ref,
    }))
}

/// Tokens that count and whose trajectory could be scored.
pub(crate) fn counted<'a>(tokens: Spans<'_>, mask: &'a [bool], rewards: &[Option<f64>]) -> Cow<'a, [bool]> {
    if rewards.iter().all(Option::is_some) {
        return Cow::Borrowed(mask);
    }
    let mut counted = mask.to_vec();
    for (range, reward) in tokens.iter().zip(rewards) {
        if reward.is_none() {
            counted[range].fill(false);
        }
    }
    Cow::Owned(counted)
}

/// A discount: in [0, 1].
pub(crate) fn check_discount(key: &str, value: f64) -> Result<(), ParamError> {
    ParamError::check((0.0..=1.0).contains(&value), key, value, "a number in [0, 1]")
}

/// A coefficient: finite, not negative.
pub(crate) fn check_coefficient(key: &str, value: f64) -> Result<(), ParamError> {
    ParamError::check(
        value.is_finite() && value >= 0.0,
        key,
        value,
        "a finite number >= 0",
    )
}

/// Refuses a result that overflowed.
pub(crate) fn check_result(advantages: &[f64]) -> Result<(), DataError> {
    DataError::check_finite("advantage", advantages)
}

/// A deviation of the group: sample or population.
pub(crate) fn check_deviation(key: &str, spread: Spread) -> Result<(), ParamError> {
    let other = match spread {
        Spread::Sample | Spread::Population => return Ok(()),
        Spread::LeaveOneOut => "leave-one-out",
        Spread::Mean => "mean",
        Spread::None => "none",
    };
    Err(ParamError::new(key, other, "sample or population"))
}
