//! Environment: the sum of the rewards the environment gave along the episode.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::refuse_aborted;

/// The environment's own judgement.
///
/// # Formula
/// `r = sum_k reward_k` over the turns of the episode, undiscounted.
///
/// # Edge cases
/// - No turn: 0.
/// - Aborted rollout, or a sum that is not finite: unscorable.
///
/// # Source
/// The undiscounted return of Sutton and Barto, "Reinforcement learning", equation 3.7.
///
/// # Example
/// ```
/// use groupwise_reward::VerifierSpec;
/// let spec: VerifierSpec = serde_json::from_str(r#"{"environment": {}}"#)?;
/// assert_eq!(spec.formula(), "r = sum of the environment's rewards");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentConfig {}

impl Part<dyn Verifier> for EnvironmentConfig {
    const SOURCE: &'static str = "Undiscounted return; Sutton and Barto, equation 3.7";

    fn formula(&self) -> String {
        "r = sum of the environment's rewards".to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Environment))
    }
}

#[derive(Debug)]
struct Environment;

impl Verifier for Environment {
    fn name(&self) -> &str {
        "environment"
    }

    fn score(&self, _: &Task, trajectory: &Trajectory) -> Score {
        refuse_aborted(trajectory).unwrap_or_else(|| match trajectory.environment_return() {
            sum if sum.is_finite() => Score::Value(sum),
            sum => Score::Unscorable(format!("the environment's rewards add up to {sum}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::StopReason;

    use super::super::testing::trajectory;
    use super::*;

    fn score(turns: &[(&str, f64)]) -> Score {
        let verifier = EnvironmentConfig::default().build(&()).unwrap();
        verifier.score(&Task::new("t", "", ""), &trajectory(turns, StopReason::Terminal))
    }

    #[test]
    fn rewards_of_all_turns_add_up() {
        assert_eq!(score(&[("a", 0.5), ("b", -0.25), ("c", 1.0)]), Score::Value(1.25));
        assert_eq!(score(&[]), Score::Value(0.0));
    }

    #[test]
    fn a_sum_that_is_not_finite_is_unscorable() {
        assert_eq!(
            score(&[("a", f64::NAN)]),
            Score::Unscorable("the environment's rewards add up to NaN".to_owned())
        );
        assert_eq!(
            score(&[("a", f64::INFINITY)]),
            Score::Unscorable("the environment's rewards add up to inf".to_owned())
        );
    }
}
