//! GRPO with eps inside the root, as the length curriculum "Train Long, Think Short" has it.

use groupwise_core::stats::{Moments, is_constant};
use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope,
};
use serde::{Deserialize, Serialize};

use crate::inputs;

/// Parameters of the curriculum's advantage.
///
/// # Formula
/// `A_i = (r_i - mean(r)) / sqrt(var(r) + eps)` over the scorable rewards of a group, population variance.
///
/// # Shapes
/// One advantage per trajectory.
///
/// # Edge cases
/// Equal rewards, or one scorable member: exactly 0.  Unscorable: 0, and left out of mean and variance.
///
/// # Errors
/// Parameters: `eps` not a finite number > 0.  Data: those of [`RewardBatch::check`], an advantage that overflows.
///
/// # Source
/// "Train Long, Think Short" (arXiv 2508.08940), section 3.1; 1e-8 is ours.  Its budget and rewards are functions of
/// the reward crate.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::root_variance_advantages;
/// let a = root_variance_advantages(&[1.0, 0.0, 0.0, 1.0], 0.0625);
/// assert!((a[0] - 0.5 / 0.3125_f64.sqrt()).abs() < 1e-15);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CurriculumLengthConfig {
    /// Added to the variance; > 0.
    pub eps: f64,
}

impl Default for CurriculumLengthConfig {
    fn default() -> Self {
        Self { eps: 1e-8 }
    }
}

impl Part<dyn AdvantageEstimator> for CurriculumLengthConfig {
    const SOURCE: &'static str = "Train Long, Think Short (arXiv 2508.08940), section 3.1";

    fn formula(&self) -> String {
        format!("A_i = (r_i - mean(r)) / sqrt(var(r; n) + {:e})", self.eps)
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        let eps = self.eps;
        ParamError::check(eps > 0.0 && eps.is_finite(), "eps", eps, "a finite number > 0")?;
        Ok(Box::new(CurriculumLength { eps }))
    }
}

/// Advantages of one group, `eps` added to its population variance; equal rewards give exactly 0, rewards whose
/// variance overflows NaN.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::root_variance_advantages;
/// assert_eq!(root_variance_advantages(&[0.1; 3], 1e-8), [0.0; 3]);
/// ```
pub fn root_variance_advantages(rewards: &[f64], eps: f64) -> Vec<f64> {
    if is_constant(rewards) {
        return vec![0.0; rewards.len()];
    }
    let moments = Moments::of(rewards);
    let scale = (moments.population_variance() + eps).sqrt();
    if !scale.is_finite() {
        return vec![f64::NAN; rewards.len()];
    }
    rewards.iter().map(|r| (r - moments.mean()) / scale).collect()
}

#[derive(Debug)]
struct CurriculumLength {
    eps: f64,
}

impl AdvantageEstimator for CurriculumLength {
    fn needs(&self) -> Needs {
        Needs::empty()
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let mut out = vec![0.0; batch.rewards.len()];
        let mut scored = Vec::new();
        for members in batch.groups.iter() {
            scored.clear();
            scored.extend(batch.rewards[members.clone()].iter().flatten());
            let mut found = root_variance_advantages(&scored, self.eps).into_iter();
            for i in members.filter(|i| batch.rewards[*i].is_some()) {
                out[i] = found.next().unwrap_or(0.0);
            }
        }
        inputs::check_result(&out)?;
        Ok(Advantages::Trajectory(out))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    fn estimate(rewards: &[Option<f64>], lengths: &[usize]) -> Vec<f64> {
        let groups = Offsets::from_lengths(lengths.iter().copied());
        let estimator = CurriculumLengthConfig::default().build(&()).unwrap();
        match estimator
            .estimate(&RewardBatch::new(groups.spans(), rewards))
            .unwrap()
        {
            Advantages::Trajectory(a) => a,
            Advantages::Token(_) => unreachable!("per trajectory"),
        }
    }

    proptest! {
        #[test]
        fn a_group_of_equal_rewards_has_zero_advantages(r in -5.0..5.0f64, n in 1usize..9) {
            prop_assert_eq!(root_variance_advantages(&vec![r; n], 1e-8), vec![0.0; n]);
        }

        #[test]
        fn advantages_sum_to_zero_and_their_mean_square_is_below_one(
            rewards in prop::collection::vec(0.0..1.0f64, 2..9), eps in 1e-8..1.0f64,
        ) {
            let (a, n) = (root_variance_advantages(&rewards, eps), rewards.len() as f64);
            prop_assert!(a.iter().sum::<f64>().abs() < 1e-9);
            let square = a.iter().map(|a| a * a).sum::<f64>() / n;
            let variance = Moments::of(&rewards).population_variance();
            prop_assert!(is_constant(&rewards) || (square - variance / (variance + eps)).abs() < 1e-9);
        }
    }

    #[test]
    fn groups_are_apart_and_unscorable_members_in_no_statistic() {
        let a = estimate(&[Some(1.0), None, Some(0.0), Some(3.0), Some(3.0)], &[3, 2]);
        let one = 0.5 / (0.25_f64 + 1e-8).sqrt();
        assert_eq!(a, [one, 0.0, -one, 0.0, 0.0]);
        assert_eq!(estimate(&[None, Some(2.0)], &[2]), [0.0, 0.0]);
    }

    #[test]
    fn bad_input_is_named() {
        for (eps, text) in [
            (0.0, "0"),
            (-1.0, "-1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            let error = CurriculumLengthConfig { eps }.build(&()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`eps` = {text}: must be a finite number > 0")
            );
        }
        let groups = Offsets::from_lengths([2]);
        let far = [Some(f64::MAX), Some(-f64::MAX)];
        let estimator = CurriculumLengthConfig::default().build(&()).unwrap();
        let error = estimator
            .estimate(&RewardBatch::new(groups.spans(), &far))
            .unwrap_err();
        assert!(error.to_string().contains("`advantage` is"), "{error}");
    }

    #[test]
    fn the_formula_shows_eps() {
        assert_eq!(
            CurriculumLengthConfig::default().formula(),
            "A_i = (r_i - mean(r)) / sqrt(var(r; n) + 1e-8)"
        );
    }
}
