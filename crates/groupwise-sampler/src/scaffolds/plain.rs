//! The task as it is.

use groupwise_core::seams::Rendered;
use groupwise_core::{DataError, ParamError, Part, PromptMemory, Scaffold, Task};
use serde::{Deserialize, Serialize};

/// Puts the observation as it is, in one round.
///
/// # Formula
/// No text before or after the observation, no forced answer, not billed as a hint.
///
/// # Source
/// Definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlainConfig {}

impl Part<dyn Scaffold> for PlainConfig {
    const SOURCE: &'static str = "definition";

    fn formula(&self) -> String {
        "the task as it is".to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn Scaffold>, ParamError> {
        Ok(Box::new(Plain))
    }
}

#[derive(Debug)]
struct Plain;

impl Scaffold for Plain {
    fn render(&self, _task: &Task, _memory: &PromptMemory) -> Result<Rendered, DataError> {
        Ok(Rendered::plain())
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::GroupOutcome;

    use super::*;
    use crate::scaffolds::ScaffoldSpec;

    #[test]
    fn adds_nothing_and_has_one_round() {
        let spec = ScaffoldSpec::named("plain").unwrap();
        let scaffold = spec.build(&()).unwrap();
        let task = Task::new("t", "1+1=", "2");
        let memory = PromptMemory::new(1, 4);
        assert_eq!(scaffold.render(&task, &memory), Ok(Rendered::plain()));
        let outcome = GroupOutcome {
            task: 0,
            rewards: vec![Some(0.0)],
            lengths: vec![1],
        };
        assert_eq!(scaffold.next_round(&task, &[], &outcome, 0), Ok(None));
        assert_eq!(spec.formula(), "the task as it is");
    }
}
