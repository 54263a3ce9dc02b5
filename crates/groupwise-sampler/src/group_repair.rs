//! A group in which every member failed, and one success put in the place of a failed member.
//!
//! Such a group has no gradient.  Where the success comes from (a hinted rollout, a buffer) is the caller's business.

use groupwise_core::DataError;
use serde::{Deserialize, Serialize};

/// Which failed member gives way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplaceIndex {
    /// The first one (the authors' code of Scaf-GRPO).
    #[default]
    First,
    /// One drawn at random, every one equally likely (its paper).
    Random,
}

/// A repaired group.
#[derive(Clone, Debug, PartialEq)]
pub struct Repaired {
    /// Member that gave way.
    pub replaced: usize,
    /// Rewards of the group with the success in its place.
    pub rewards: Vec<Option<f64>>,
}

/// True if no member succeeded: there are scorable members, and none has a reward above 0.
///
/// # Formula
/// `max_i r_i <= 0`.
///
/// # Edge cases
/// Unscorable members show nothing, and a group without scorable members has not failed.
///
/// # Errors
/// An empty group; a reward that is not finite.
///
/// # Source
/// Scaf-GRPO (arXiv 2510.19807), section 3.1; its code asks for rewards of exactly 0, the same for rewards of 0 and 1.
///
/// # Example
/// ```
/// use groupwise_sampler::group_repair::all_failed;
/// assert!(all_failed(&[Some(0.0), None])?);
/// assert!(!all_failed(&[Some(0.0), Some(0.5)])?);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn all_failed(rewards: &[Option<f64>]) -> Result<bool, DataError> {
    if rewards.is_empty() {
        return Err(DataError::value("group", "is empty"));
    }
    for (i, reward) in rewards.iter().enumerate() {
        if let Some(value) = reward.filter(|r| !r.is_finite()) {
            return Err(DataError::NonFinite {
                place: format!("trajectory {i}"),
                what: "reward".into(),
                value: value.to_string(),
            });
        }
    }
    let mut scored = rewards.iter().flatten().peekable();
    Ok(scored.peek().is_some() && scored.all(|r| *r <= 0.0))
}

/// Puts a success in the place of one member of a group that failed.
///
/// # Formula
/// Of the F scorable members the first gives way, or number `floor(u F)`.
///
/// # Shapes
/// `success`: reward of the trajectory that comes in; `uniform` in [0, 1), read for a random choice only.
///
/// # Edge cases
/// The size of the group stays; unscorable members keep their place.
///
/// # Errors
/// As [`all_failed`]; a group that did not fail; a success that is not a finite reward above 0; a uniform outside
/// [0, 1).
///
/// # Source
/// Scaf-GRPO (arXiv 2510.19807), section 3.2, a random member; JIA-Lab-research/Scaf-GRPO @ac9f99ef,
/// `hint_mix_grpo/trainer/ray_trainer.py`, the first one.
///
/// # Example
/// ```
/// use groupwise_sampler::group_repair::{ReplaceIndex, repair};
/// let group = [Some(0.0); 4];
/// let repaired = repair(&group, 1.0, ReplaceIndex::Random, 0.6)?;
/// assert_eq!((repaired.replaced, repaired.rewards[2]), (2, Some(1.0)));
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn repair(
    rewards: &[Option<f64>],
    success: f64,
    index: ReplaceIndex,
    uniform: f64,
) -> Result<Repaired, DataError> {
    if !all_failed(rewards)? {
        return Err(DataError::value("group", "has not failed"));
    }
    if !(success > 0.0 && success.is_finite()) {
        return Err(DataError::value(
            "success",
            format!("reward {success} is not a finite number > 0"),
        ));
    }
    let failed: Vec<usize> = (0..rewards.len()).filter(|i| rewards[*i].is_some()).collect();
    let chosen = match index {
        ReplaceIndex::First => 0,
        ReplaceIndex::Random if (0.0..1.0).contains(&uniform) => {
            // Rounding may lift the product of a uniform next to 1.
            ((uniform * failed.len() as f64) as usize).min(failed.len() - 1)
        }
        ReplaceIndex::Random => {
            return Err(DataError::value(
                "uniform",
                format!("{uniform} is outside [0, 1)"),
            ));
        }
    };
    let replaced = failed[chosen];
    let mut repaired = rewards.to_vec();
    repaired[replaced] = Some(success);
    Ok(Repaired {
        replaced,
        rewards: repaired,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_group_failed_if_nothing_is_above_zero() {
        let (zero, half, below) = (Some(0.0), Some(0.5), Some(-1.0));
        for (rewards, failed) in [
            (vec![zero], true),
            (vec![zero, below, None], true),
            (vec![zero, half], false),
            (vec![None, None], false),
            (vec![Some(1e-300), zero], false),
        ] {
            assert_eq!(all_failed(&rewards), Ok(failed), "{rewards:?}");
        }
    }

    #[test]
    fn bad_data_is_named() {
        let message = |rewards: &[Option<f64>], success, uniform| {
            repair(rewards, success, ReplaceIndex::Random, uniform)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(message(&[], 1.0, 0.0), "group: is empty");
        assert_eq!(
            message(&[Some(1.0), Some(0.0)], 1.0, 0.0),
            "group: has not failed"
        );
        assert_eq!(message(&[None], 1.0, 0.0), "group: has not failed");
        assert_eq!(
            message(&[None, Some(f64::NAN)], 1.0, 0.0),
            "trajectory 1: `reward` is NaN"
        );
        for success in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(
                message(&[Some(0.0)], success, 0.0),
                format!("success: reward {success} is not a finite number > 0")
            );
        }
        for uniform in [-0.1, 1.0, f64::NAN] {
            assert_eq!(
                message(&[Some(0.0)], 1.0, uniform),
                format!("uniform: {uniform} is outside [0, 1)")
            );
        }
    }

    #[test]
    fn the_first_scorable_member_gives_way_unless_drawn() {
        let group = [None, Some(0.0), None, Some(-1.0), Some(0.0)];
        // A choice that is not random does not look at the uniform.
        let first = repair(&group, 0.5, ReplaceIndex::First, f64::NAN).unwrap();
        assert_eq!(first.replaced, 1);
        assert_eq!(first.rewards, [None, Some(0.5), None, Some(-1.0), Some(0.0)]);
        let drawn = |u| repair(&group, 1.0, ReplaceIndex::Random, u).unwrap().replaced;
        assert_eq!(
            [0.0, 0.33, 0.34, 0.66, 0.67, 1.0 - f64::EPSILON / 2.0].map(drawn),
            [1, 1, 3, 3, 4, 4]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn exactly_one_failed_member_is_replaced(
            rewards in prop::collection::vec(prop::option::of(-1.0..=0.0f64), 1..9),
            success in 0.01..2.0f64, uniform in 0.0..1.0f64, random in any::<bool>(),
        ) {
            prop_assume!(rewards.iter().any(Option::is_some));
            let index = if random { ReplaceIndex::Random } else { ReplaceIndex::First };
            let Repaired { replaced, rewards: after } = repair(&rewards, success, index, uniform).unwrap();
            prop_assert_eq!(after.len(), rewards.len());
            prop_assert!(rewards[replaced].is_some());
            for i in 0..rewards.len() {
                let expected = if i == replaced { Some(success) } else { rewards[i] };
                prop_assert_eq!(after[i], expected);
            }
            prop_assert!(!all_failed(&after).unwrap());
        }
    }
}
