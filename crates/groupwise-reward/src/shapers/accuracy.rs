//! Which component of the rewards says whether an answer is right.

use groupwise_core::{DataError, GroupRewards, ParamError};

/// Accuracy of each member: the component of that name, or the only one there.
///
/// A shaper that asks whether an answer is right must read what the verifier said, not a reward that another shaper
/// has changed.
///
/// # Errors
/// No component of that name; several and none named; another number of entries than rewards.
pub(super) fn accuracies<'a>(
    rewards: &'a GroupRewards,
    name: Option<&str>,
) -> Result<&'a [Option<f64>], DataError> {
    let names = || {
        rewards
            .components
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match (name, rewards.components.len()) {
        (Some(name), _) => rewards.components.get(name),
        (None, 1) => rewards.components.values().next(),
        (None, _) => {
            return Err(DataError::value(
                "components",
                format!("`accuracy` must name one of: {}", names()),
            ));
        }
    };
    let found = found.ok_or_else(|| {
        DataError::value(
            format!("component `{}`", name.unwrap_or_default()),
            format!("is not there, but: {}", names()),
        )
    })?;
    DataError::check_len("accuracies", found.len(), rewards.rewards.len())?;
    Ok(found)
}

/// Whether each member is right: its accuracy is at least `correct_at`.  `None`: cannot be scored, or was made
/// unscorable by a shaper before.
///
/// # Errors
/// Those of [`accuracies`].
pub(super) fn correctness(
    rewards: &GroupRewards,
    name: Option<&str>,
    correct_at: f64,
) -> Result<Vec<Option<bool>>, DataError> {
    let accuracies = accuracies(rewards, name)?;
    let pairs = rewards.rewards.iter().zip(accuracies);
    Ok(pairs
        .map(|(reward, accuracy)| reward.and(*accuracy).map(|a| a >= correct_at))
        .collect())
}

/// Refuses a threshold of correctness that is not finite.
pub(super) fn check_correct_at(correct_at: f64) -> Result<(), ParamError> {
    ParamError::check(
        correct_at.is_finite(),
        "correct_at",
        correct_at,
        "a finite number",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_reached_by_equality_and_unscorable_members_are_neither() {
        let mut rewards = GroupRewards::new("v", vec![Some(0.5), Some(0.4), None, Some(0.9)]);
        rewards.rewards[3] = None;
        assert_eq!(
            correctness(&rewards, None, 0.5).expect("one component"),
            [Some(true), Some(false), None, None]
        );
        rewards.rewards.pop();
        assert_eq!(
            correctness(&rewards, Some("v"), 0.5)
                .expect_err("refused")
                .to_string(),
            "`accuracies` has 4 entries, expected 3"
        );
    }

    #[test]
    fn thresholds_must_be_finite() {
        assert!(check_correct_at(-1.0).is_ok());
        for bad in [f64::NAN, f64::INFINITY] {
            assert_eq!(
                check_correct_at(bad).expect_err("refused").to_string(),
                format!("`correct_at` = {bad}: must be a finite number")
            );
        }
    }
}
