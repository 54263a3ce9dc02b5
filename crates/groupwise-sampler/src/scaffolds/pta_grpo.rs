//! Rollouts that branch: so many plans, and so many solutions under each.

use groupwise_core::seams::{Rendered, SharedTurns};
use groupwise_core::{DataError, ParamError, Part, PromptMemory, Scaffold, Task};
use serde::{Deserialize, Serialize};

/// Consecutive members of a group share their plan, the first turn.
///
/// # Formula
/// Member i solves under plan `floor(i / solutions)`: a group of m z rollouts has m plans of z = `solutions`.
///
/// # Shapes
/// A plan is one turn.  Its tokens occur in each of its solutions, and are billed with each.
///
/// # Edge cases
/// - `solutions = 1`: every member has a plan of its own, as without a scaffold.
/// - A group whose size is no multiple of `solutions` has one plan with fewer; the shaper and the estimator of the same
///   name refuse it.
///
/// # Errors
/// Building refuses `solutions` 0.
///
/// # Source
/// PTA-GRPO, arXiv 2510.01833, as its public reviews describe it: 3 plans, 3 solutions each.  No code was found.
///
/// # Example
/// ```
/// use groupwise_core::seams::SharedTurns;
/// use groupwise_core::{PromptMemory, Task};
/// use groupwise_sampler::ScaffoldSpec;
/// let spec: ScaffoldSpec = serde_json::from_str(r#"{"pta-grpo": {"solutions": 3}}"#).unwrap();
/// let rendered = spec.build(&()).unwrap().render(&Task::new("t", "q", ""), &PromptMemory::new(1, 8)).unwrap();
/// assert_eq!(rendered.shared, Some(SharedTurns { members: 3, turns: 1 }));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PtaGrpoConfig {
    /// Solutions z of a plan, >= 1.
    pub solutions: u64,
}

impl Default for PtaGrpoConfig {
    fn default() -> Self {
        Self { solutions: 3 }
    }
}

impl Part<dyn Scaffold> for PtaGrpoConfig {
    const SOURCE: &'static str = "PTA-GRPO, arXiv 2510.01833, by its public reviews (no code found)";

    fn formula(&self) -> String {
        format!(
            "the first turn of member i is that of member {z} floor(i / {z})",
            z = self.solutions
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Scaffold>, ParamError> {
        ParamError::check(self.solutions >= 1, "solutions", self.solutions, ">= 1")?;
        Ok(Box::new(PtaGrpo(self.clone())))
    }
}

/// The validated scaffold.
#[derive(Debug)]
struct PtaGrpo(PtaGrpoConfig);

impl Scaffold for PtaGrpo {
    fn render(&self, _: &Task, _: &PromptMemory) -> Result<Rendered, DataError> {
        Ok(Rendered {
            shared: Some(SharedTurns {
                members: self.0.solutions,
                turns: 1,
            }),
            ..Rendered::plain()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_needs_a_solution_and_the_prompt_stays_as_it_is() {
        let refused = PtaGrpoConfig { solutions: 0 }.build(&()).map(|_| ()).unwrap_err();
        assert_eq!(refused.to_string(), "`solutions` = 0: must be >= 1");
        let scaffold = PtaGrpoConfig { solutions: 4 }.build(&()).unwrap();
        let (task, memory) = (Task::new("t", "q", "r"), PromptMemory::new(1, 1));
        let rendered = scaffold.render(&task, &memory).unwrap();
        let shared = rendered.shared.unwrap();
        assert_eq!([0, 3, 4, 11].map(|i| shared.drawn_as(i, 0)), [0, 0, 4, 8]);
        assert_eq!([0, 3, 4, 11].map(|i| shared.drawn_as(i, 1)), [0, 3, 4, 11]);
        assert_eq!(
            Rendered {
                shared: None,
                ..rendered
            },
            Rendered::plain()
        );
    }
}
