//! Group repairs: episodes from elsewhere that are put into a group.

use groupwise_core::registry;
use groupwise_core::seams::GroupRepair;
use serde::{Deserialize, Serialize};

pub mod arpo_replay;
pub mod inject_reference;
pub mod none;
pub mod scaf_grpo;

/// What building a repair needs besides its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairContext {
    /// Training steps of the run.
    pub steps: u64,
}

registry! {
    /// Every group repair, `[repair.<name>]` in a recipe.
    pub enum RepairSpec => dyn GroupRepair, RepairContext {
        /// Groups as they were sampled.
        None = "none": none::NoRepairConfig,
        /// A past success for a group that failed.
        ArpoReplay = "arpo-replay": arpo_replay::ArpoReplayConfig,
        /// A success under hints for a group that failed.
        ScafGrpo = "scaf-grpo": scaf_grpo::ScafGrpoRepairConfig,
        /// The reference solution beside the sampled members.
        InjectReference = "inject-reference": inject_reference::InjectReferenceConfig,
    }
}

#[cfg(test)]
mod testing {
    use groupwise_core::seams::{GroupRepair, Repair, RolledGroup};
    use groupwise_core::{DataError, GroupOutcome, Key, Stream, Task, Trajectory};

    /// Groups of one step, given as task and scores, put to a repair; member `i` answers `"<task><i>"`.
    pub(super) fn put(
        repair: &mut dyn GroupRepair,
        step: u64,
        groups: &[(&Task, &[Option<f64>])],
    ) -> Result<Vec<Option<Repair>>, DataError> {
        let held: Vec<(Vec<Trajectory>, GroupOutcome)> = groups
            .iter()
            .map(|(task, scores)| {
                let members = (0..scores.len()).map(|i| Trajectory::of_reply(&format!("{}{i}", task.id), 2));
                let outcome = GroupOutcome {
                    task: 0,
                    rewards: scores.to_vec(),
                    lengths: vec![2; scores.len()],
                };
                (members.collect(), outcome)
            })
            .collect();
        let rolled: Vec<RolledGroup<'_>> = groups
            .iter()
            .zip(&held)
            .map(|((task, _), (members, outcome))| RolledGroup {
                task,
                members,
                outcome,
            })
            .collect();
        let repairs = repair.repair(step, &rolled, Key::new(7, Stream::Auxiliary).step(step))?;
        repair.observe(step, &rolled)?;
        Ok(repairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_repair_builds_describes_itself_and_keeps_its_state() {
        let context = RepairContext { steps: 10 };
        for name in RepairSpec::NAMES {
            let spec = RepairSpec::named(name).unwrap();
            assert!(!spec.formula().is_empty() && !spec.source().is_empty());
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<RepairSpec>(&text).unwrap(), spec);
            let mut repair = spec.build(&context).unwrap();
            let state = repair.save().unwrap();
            repair.load(&state).unwrap();
            assert_eq!(repair.save().unwrap(), state);
            assert_eq!(repair.injects_references(), *name == "inject-reference");
        }
    }
}
