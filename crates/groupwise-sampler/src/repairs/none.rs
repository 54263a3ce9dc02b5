//! No repair.

use groupwise_core::seams::{GroupRepair, Repair, RolledGroup};
use groupwise_core::{DataError, Key, ParamError, Part};
use serde::{Deserialize, Serialize};

use super::RepairContext;

/// Groups train as they were sampled: plain GRPO.
///
/// # Formula
/// `repair = none`.
///
/// # Source
/// Definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoRepairConfig {}

impl Part<dyn GroupRepair, RepairContext> for NoRepairConfig {
    const SOURCE: &'static str = "definition";

    fn formula(&self) -> String {
        "groups as they were sampled".to_owned()
    }

    fn build(&self, _: &RepairContext) -> Result<Box<dyn GroupRepair>, ParamError> {
        Ok(Box::new(NoRepair))
    }
}

#[derive(Debug)]
struct NoRepair;

impl GroupRepair for NoRepair {
    fn repair(
        &mut self,
        _: u64,
        groups: &[RolledGroup<'_>],
        _: Key,
    ) -> Result<Vec<Option<Repair>>, DataError> {
        Ok(vec![None; groups.len()])
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Task;

    use super::super::testing::put;
    use super::*;

    #[test]
    fn every_group_stays() {
        let mut repair = NoRepairConfig {}.build(&RepairContext { steps: 1 }).unwrap();
        let task = Task::new("t", "", "");
        let groups: [(&Task, &[Option<f64>]); 2] = [(&task, &[Some(0.0)]), (&task, &[])];
        assert_eq!(put(repair.as_mut(), 1, &groups).unwrap(), [None, None]);
    }
}
