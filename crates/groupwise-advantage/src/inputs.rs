//! Inputs that estimators ask a batch for, checked in one place.

use std::borrow::Cow;
use std::ops::Range;

use groupwise_core::{Advantages, DataError, ParamError, RewardBatch, Spans, Spread, Trajectory};

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

/// Number of tokens that count in each trajectory.
pub(crate) fn n_counted(tokens: Spans<'_>, mask: &[bool]) -> Vec<usize> {
    let count = |range: std::ops::Range<usize>| mask[range].iter().filter(|m| **m).count();
    tokens.iter().map(count).collect()
}

/// The trajectories themselves.
pub(crate) fn trajectories<'a>(
    batch: &RewardBatch<'a>,
    part: &'static str,
) -> Result<&'a [Trajectory], DataError> {
    let found = batch.trajectories.ok_or(DataError::Missing {
        what: "trajectories",
        part,
    })?;
    DataError::check_len("trajectories", found.len(), batch.rewards.len())?;
    Ok(found)
}

/// Steps of the trajectories and the tokens of each, checked to lie in their trajectory.
pub(crate) fn steps<'a>(
    batch: &RewardBatch<'a>,
    tokens: Spans<'_>,
    part: &'static str,
) -> Result<(Spans<'a>, &'a [Range<usize>]), DataError> {
    let steps = batch.steps.ok_or(DataError::Missing { what: "steps", part })?;
    let ranges = batch.step_tokens.ok_or(DataError::Missing {
        what: "step_tokens",
        part,
    })?;
    for (i, (own, span)) in steps.iter().zip(tokens.iter()).enumerate() {
        let first = own.start;
        for k in own {
            let Range { start, end } = ranges[k];
            if !(span.start <= start && start <= end && end <= span.end) {
                return Err(DataError::value(
                    format!("trajectory {i}, step {}", k - first),
                    format!(
                        "tokens {start}..{end} leave the trajectory's {}..{}",
                        span.start, span.end
                    ),
                ));
            }
        }
    }
    Ok((steps, ranges))
}

/// One advantage per step to its counted tokens; all others get 0.
pub(crate) fn token_advantages(
    per_step: &[f64],
    ranges: &[Range<usize>],
    mask: &[bool],
) -> Result<Advantages, DataError> {
    let mut spread = Advantages::from_steps(per_step, ranges, mask.len())?;
    if let Advantages::Token(tokens) = &mut spread {
        for (a, counted) in tokens.iter_mut().zip(mask) {
            *a = if *counted { *a } else { 0.0 };
        }
    }
    Ok(spread)
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
