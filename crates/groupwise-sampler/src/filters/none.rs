//! No filter.

use groupwise_core::{GroupFilter, GroupOutcome, ParamError, Part};
use serde::{Deserialize, Serialize};

/// Every group enters the update, nothing is generated anew: plain GRPO.
///
/// # Formula
/// `admits = true`.
///
/// # Source
/// Definition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoFilterConfig {}

impl Part<dyn GroupFilter> for NoFilterConfig {
    const SOURCE: &'static str = "definition";

    fn formula(&self) -> String {
        "every group trains".to_owned()
    }

    fn build(&self, _: &()) -> Result<Box<dyn GroupFilter>, ParamError> {
        Ok(Box::new(NoFilter))
    }
}

#[derive(Debug)]
struct NoFilter;

impl GroupFilter for NoFilter {
    fn admits(&self, _outcome: &GroupOutcome) -> bool {
        true
    }

    fn refills(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_everything_and_never_refills() {
        let filter = NoFilterConfig {}.build(&()).unwrap();
        for rewards in [vec![], vec![None], vec![Some(1.0); 3]] {
            let lengths = vec![1; rewards.len()];
            assert!(filter.admits(&GroupOutcome {
                task: 0,
                rewards,
                lengths
            }));
        }
        assert!(!filter.refills());
        assert_eq!(filter.max_gen_batches(), None);
    }
}
