//! Dynamic sampling (DAPO): groups without a gradient are replaced.

use groupwise_core::{GroupFilter, GroupOutcome, ParamError, Part, stats};
use serde::{Deserialize, Serialize};

/// Keeps the groups whose rewards are not all equal and asks for more generation until the batch is full.
///
/// # Formula
/// `admits = rewards of the scorable members are not constant`, up to rounding (1e-12 of their scale: the mean of
/// equal rewards such as 0.1 is not exact).  In generation order, until the update batch is full or
/// `max_gen_batches` were generated.
///
/// # Edge cases
/// Unscorable members are left out; a group with fewer than two scorable members is constant.  A NaN reward is
/// admitted, so that the estimator reports it instead of a silent refill.
///
/// # Errors
/// `max_gen_batches` beyond 2^32 - 1.
///
/// # Source
/// DAPO, arXiv 2503.14476; verl @b178a3cd56f5 `docs/algo/dapo.md` (`filter_groups`, there with the cap of 10).
///
/// # Example
/// ```
/// use groupwise_core::GroupOutcome;
/// use groupwise_sampler::FilterSpec;
/// let filter = FilterSpec::named("dynamic-sampling").unwrap().build(&()).unwrap();
/// let group = |rewards: [f64; 2]| GroupOutcome { task: 0, rewards: rewards.map(Some).to_vec(), lengths: vec![1; 2] };
/// assert!(filter.admits(&group([0.0, 1.0])) && !filter.admits(&group([1.0, 1.0])));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DynamicSamplingConfig {
    /// Most generation batches per step; 0 or less: no limit, as in verl's `max_num_gen_batches`.
    pub max_gen_batches: i64,
}

impl Default for DynamicSamplingConfig {
    fn default() -> Self {
        Self { max_gen_batches: 10 }
    }
}

impl Part<dyn GroupFilter> for DynamicSamplingConfig {
    const SOURCE: &'static str =
        "arXiv 2503.14476 (DAPO); verl @b178a3cd56f5 docs/algo/dapo.md, from which the cap of 10 comes";

    fn formula(&self) -> String {
        let limit = if self.max_gen_batches <= 0 {
            "without limit".to_owned()
        } else {
            format!("at most {} generation batches per step", self.max_gen_batches)
        };
        format!("a group trains if its rewards are not constant; others are replaced, {limit}")
    }

    fn build(&self, _: &()) -> Result<Box<dyn GroupFilter>, ParamError> {
        let limit = match self.max_gen_batches {
            ..=0 => None,
            n => Some(u32::try_from(n).map_err(|_| {
                ParamError::new("max_gen_batches", n, "at most 4294967295 (0 or less: no limit)")
            })?),
        };
        Ok(Box::new(DynamicSampling { limit }))
    }
}

#[derive(Debug)]
struct DynamicSampling {
    limit: Option<u32>,
}

impl GroupFilter for DynamicSampling {
    fn admits(&self, outcome: &GroupOutcome) -> bool {
        outcome.is_mixed()
    }

    fn max_gen_batches(&self) -> Option<u32> {
        self.limit
    }
}

/// The first `train_groups` groups whose rewards are not constant, in generation order, and how many are missing.
///
/// # Example
/// ```
/// use groupwise_sampler::filters::dynamic_sampling::select_dynamic;
/// let rewards = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]].map(|group| group.map(Some));
/// assert_eq!(select_dynamic(&rewards, 2), (vec![1, 3], 0));
/// assert_eq!(select_dynamic(&rewards, 5), (vec![1, 3, 4], 2));
/// ```
pub fn select_dynamic<G: AsRef<[Option<f64>]>>(rewards: &[G], train_groups: usize) -> (Vec<usize>, usize) {
    let is_mixed = |group: &G| {
        let scored: Vec<f64> = group.as_ref().iter().flatten().copied().collect();
        !stats::is_constant(&scored)
    };
    let selected: Vec<usize> = rewards
        .iter()
        .enumerate()
        .filter(|(_, group)| is_mixed(group))
        .map(|(g, _)| g)
        .take(train_groups)
        .collect();
    let missing = train_groups - selected.len();
    (selected, missing)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn build(max_gen_batches: i64) -> Result<Box<dyn GroupFilter>, ParamError> {
        DynamicSamplingConfig { max_gen_batches }.build(&())
    }

    fn group(rewards: Vec<Option<f64>>) -> GroupOutcome {
        let lengths = vec![1; rewards.len()];
        GroupOutcome {
            task: 0,
            rewards,
            lengths,
        }
    }

    #[test]
    fn constant_and_unscorable_groups_are_refused() {
        let filter = build(10).unwrap();
        assert!(filter.refills());
        assert!(!filter.admits(&group(vec![])));
        assert!(!filter.admits(&group(vec![None, None])));
        assert!(!filter.admits(&group(vec![Some(1.0), None])));
        assert!(!filter.admits(&group(vec![Some(0.1); 7])));
        assert!(filter.admits(&group(vec![Some(0.1), None, Some(0.2)])));
        assert!(filter.admits(&group(vec![Some(f64::NAN), Some(0.0)])));
    }

    #[test]
    fn the_limit_follows_verl() {
        assert_eq!(build(10).unwrap().max_gen_batches(), Some(10));
        assert_eq!(build(0).unwrap().max_gen_batches(), None);
        assert_eq!(build(-1).unwrap().max_gen_batches(), None);
        assert_eq!(
            build(1 << 32).unwrap_err().to_string(),
            "`max_gen_batches` = 4294967296: must be at most 4294967295 (0 or less: no limit)"
        );
        let unlimited = DynamicSamplingConfig { max_gen_batches: 0 };
        assert!(unlimited.formula().ends_with("without limit"));
    }

    #[test]
    fn no_group_wanted_selects_none() {
        assert_eq!(select_dynamic(&[[Some(0.0), Some(1.0)]], 0), (vec![], 0));
        assert_eq!(select_dynamic::<[Option<f64>; 2]>(&[], 3), (vec![], 3));
    }

    proptest! {
        #[test]
        fn selection_agrees_with_the_filter_in_generation_order(
            rewards in prop::collection::vec(
                prop::collection::vec(prop::option::of(prop::sample::select(vec![0.0, 0.1, 1.0])), 0..5), 0..12,
            ),
            train_groups in 0usize..12,
        ) {
            let filter = build(0).unwrap();
            let admitted: Vec<usize> = (0..rewards.len()).filter(|g| filter.admits(&group(rewards[*g].clone()))).collect();
            let (selected, missing) = select_dynamic(&rewards, train_groups);
            prop_assert_eq!(selected.len() + missing, train_groups);
            prop_assert_eq!(&selected[..], &admitted[..admitted.len().min(train_groups)]);
        }
    }
}
