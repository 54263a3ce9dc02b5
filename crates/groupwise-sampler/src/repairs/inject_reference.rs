//! The reference solution inside the group.

use groupwise_core::seams::{GroupRepair, Placement, Repair, RolledGroup, Substitute};
use groupwise_core::{DataError, Key, ParamError, Part};
use serde::{Deserialize, Serialize};

use super::RepairContext;
use crate::group_repair::all_failed;

/// Groups that get the reference solution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inject {
    /// Every group.
    #[default]
    Always,
    /// Those in which no scorable member succeeded.
    AllFailed,
}

/// The task's reference joins the sampled members of its group, scored like them and marked as not sampled.
///
/// # Formula
/// Group of G members: `o_1 .. o_(G-1)` sampled, `o_G` the reference.
///
/// # Shapes
/// `num_generations` counts what is sampled: set it to G - 1.  The reference costs no rollout.
///
/// # Edge cases
/// - A task without a reference is refused; so is, by the estimator, a reference that the verifier cannot score.
/// - A group without members stays empty.
/// - The old log-probabilities of the reference are those of the weights the update starts from: its ratio begins at 1.
///
/// # Source
/// TempSamp-R1 (arXiv 2509.18056), the "off-policy" solution of a group; GRAO (arXiv 2508.07750), equation 4, the
/// reference answer in the pool of rewards.
///
/// # Example
/// ```
/// use groupwise_sampler::RepairSpec;
/// let spec: RepairSpec = serde_json::from_str(r#"{"inject-reference": {"when": "all-failed"}}"#)?;
/// assert_eq!(spec.name(), "inject-reference");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InjectReferenceConfig {
    /// Groups that get it.
    pub when: Inject,
}

impl Part<dyn GroupRepair, RepairContext> for InjectReferenceConfig {
    const SOURCE: &'static str = "TempSamp-R1 (arXiv 2509.18056) and GRAO (arXiv 2508.07750, eq. 4)";

    fn formula(&self) -> String {
        let when = match self.when {
            Inject::Always => "every group",
            Inject::AllFailed => "a group with max_i r_i <= 0",
        };
        format!("{when}: o_G = reference beside o_1 .. o_(G-1) sampled, old = current policy")
    }

    fn build(&self, _: &RepairContext) -> Result<Box<dyn GroupRepair>, ParamError> {
        Ok(Box::new(Reference { when: self.when }))
    }
}

#[derive(Debug)]
struct Reference {
    when: Inject,
}

impl Reference {
    fn one(&self, group: &RolledGroup<'_>) -> Result<Option<Repair>, DataError> {
        let rewards = &group.outcome.rewards;
        let wanted = !rewards.is_empty()
            && match self.when {
                Inject::Always => true,
                Inject::AllFailed => all_failed(rewards)?,
            };
        let text = &group.task.reference;
        if wanted && text.trim().is_empty() {
            return Err(DataError::value(
                format!("task {}", group.task.id),
                "has no reference to put into its group",
            ));
        }
        Ok(wanted.then(|| Repair {
            placement: Placement::Append,
            substitute: Substitute::Reference(text.clone()),
        }))
    }
}

impl GroupRepair for Reference {
    fn repair(
        &mut self,
        _: u64,
        groups: &[RolledGroup<'_>],
        _: Key,
    ) -> Result<Vec<Option<Repair>>, DataError> {
        groups.iter().map(|g| self.one(g)).collect()
    }

    fn injects_references(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Task;
    use proptest::prelude::*;

    use super::super::testing::put;
    use super::*;

    fn groups_with_reference(when: Inject, groups: &[(&Task, &[Option<f64>])]) -> Result<Vec<bool>, String> {
        let mut repair = InjectReferenceConfig { when }
            .build(&RepairContext { steps: 1 })
            .unwrap();
        let repairs = put(repair.as_mut(), 1, groups).map_err(|e| e.to_string())?;
        let expected = Repair {
            placement: Placement::Append,
            substitute: Substitute::Reference("4 2".to_owned()),
        };
        for repair in repairs.iter().flatten() {
            assert_eq!(*repair, expected);
        }
        Ok(repairs.iter().map(Option::is_some).collect())
    }

    #[test]
    fn a_task_without_a_reference_is_named() {
        let bare = Task::new("bare", "?", " ");
        let refused = groups_with_reference(Inject::Always, &[(&bare, &[Some(0.0)])]);
        assert_eq!(
            refused,
            Err("task bare: has no reference to put into its group".to_owned())
        );
        // It is not missed where it is not wanted.
        let solved = groups_with_reference(Inject::AllFailed, &[(&bare, &[Some(1.0)])]);
        assert_eq!(solved, Ok(vec![false]));
    }

    proptest! {
        #[test]
        fn the_reference_joins_every_group_or_those_that_failed(
            groups in prop::collection::vec(
                prop::collection::vec(prop::option::of(prop::sample::select(vec![0.0, 0.5, 1.0])), 0..4), 0..5),
        ) {
            let task = Task::new("t", "?", "4 2");
            let given: Vec<(&Task, &[Option<f64>])> = groups.iter().map(|g| (&task, g.as_slice())).collect();
            let filled = groups.iter().map(|g| !g.is_empty()).collect::<Vec<_>>();
            prop_assert_eq!(groups_with_reference(Inject::Always, &given), Ok(filled));
            let failed = groups.iter()
                .map(|g| g.iter().flatten().count() > 0 && g.iter().flatten().all(|r| *r == 0.0))
                .collect::<Vec<_>>();
            prop_assert_eq!(groups_with_reference(Inject::AllFailed, &given), Ok(failed));
        }
    }
}
