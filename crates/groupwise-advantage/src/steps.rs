//! Step-level estimators: what they ask of a batch, and one advantage per step back to tokens.

use std::ops::Range;

use groupwise_core::{Advantages, Centre, DataError, ParamError, RewardBatch, Spans, Spread, Trajectory};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, Singleton};
use crate::inputs;

/// The block of an estimator whose one key `std` says what it divides by.
pub(crate) fn level(std: Spread, eps: f64, singleton: Singleton) -> Result<GroupRelative, ParamError> {
    let shown = match std {
        Spread::None => {
            ParamError::check_coefficient("eps", eps)?;
            return GroupRelative::new(GroupRelativeConfig::centred(Centre::Mean, singleton));
        }
        Spread::Sample | Spread::Population => "",
        Spread::LeaveOneOut => "leave-one-out",
        Spread::Mean => "mean",
    };
    ParamError::check(shown.is_empty(), "std", shown, "none, sample or population")?;
    GroupRelative::new(GroupRelativeConfig {
        spread: std,
        eps,
        singleton,
        ..Default::default()
    })
}

/// The divisor of that block as it stands in a formula, behind the centred value.
pub(crate) fn divisor_formula(std: Spread, eps: f64, of: &str) -> String {
    match std {
        Spread::None => String::new(),
        Spread::Population => format!(" / (std({of}; n) + {eps:e})"),
        _ => format!(" / (std({of}; n - 1) + {eps:e})"),
    }
}

/// Steps of a batch and the tokens the policy chose in each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepTokens<'a> {
    /// Trajectory -> steps.
    pub(crate) steps: Spans<'a>,
    ranges: &'a [Range<usize>],
    mask: &'a [bool],
}

impl<'a> StepTokens<'a> {
    /// Checks the batch and reads its step structure.
    pub(crate) fn of(batch: &RewardBatch<'a>, part: &'static str) -> Result<Self, DataError> {
        batch.check()?;
        let missing = |what| DataError::Missing { what, part };
        Ok(Self {
            steps: batch.steps.ok_or(missing("steps"))?,
            ranges: batch.step_tokens.ok_or(missing("step_tokens"))?,
            mask: inputs::tokens(batch, part)?.1,
        })
    }

    /// Every counted token of a step gets the step's advantage, every other token 0.
    pub(crate) fn spread(&self, per_step: &[f64]) -> Result<Advantages, DataError> {
        inputs::check_result(per_step)?;
        let mut out = Advantages::from_steps(per_step, self.ranges, self.mask.len())?;
        if let Advantages::Token(values) = &mut out {
            for (value, counted) in values.iter_mut().zip(self.mask) {
                if !counted {
                    *value = 0.0;
                }
            }
        }
        Ok(out)
    }
}

/// Rewards of the steps.
pub(crate) fn rewards<'a>(batch: &RewardBatch<'a>, part: &'static str) -> Result<&'a [f64], DataError> {
    let what = "step_rewards";
    batch.step_rewards.ok_or(DataError::Missing { what, part })
}

/// Group, trajectory and step of a step of the batch, for messages.
pub(crate) fn place(groups: Spans<'_>, steps: Spans<'_>, k: usize) -> String {
    let trajectory = steps
        .iter()
        .position(|range| range.contains(&k))
        .unwrap_or_default();
    let group = groups
        .iter()
        .position(|range| range.contains(&trajectory))
        .unwrap_or_default();
    format!(
        "group {group}, trajectory {trajectory}, step {}",
        k - steps.range(trajectory).start
    )
}

/// Refuses a number of a step that is not finite.
pub(crate) fn check_finite(
    groups: Spans<'_>,
    steps: Spans<'_>,
    what: &str,
    values: &[f64],
) -> Result<(), DataError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(k) => Err(DataError::NonFinite {
            place: place(groups, steps, k),
            what: what.into(),
            value: values[k].to_string(),
        }),
    }
}

/// The trajectories, one per reward, with one turn per step.
pub(crate) fn trajectories<'a>(
    batch: &RewardBatch<'a>,
    steps: Spans<'_>,
    part: &'static str,
) -> Result<&'a [Trajectory], DataError> {
    let what = "trajectories";
    let trajectories = batch.trajectories.ok_or(DataError::Missing { what, part })?;
    DataError::check_len(what, trajectories.len(), batch.rewards.len())?;
    for (i, trajectory) in trajectories.iter().enumerate() {
        DataError::check_len(
            &format!("turns of trajectory {i}"),
            trajectory.turns.len(),
            steps.len_of(i),
        )?;
    }
    Ok(trajectories)
}
