//! Group by key, centre, scale: the block under every method that compares what is not a whole trajectory.
//!
//! GiGPO compares steps taken from one state, SALT edges of one graph, Step-GRPO and Hi-Agent samples of one step,
//! M-GRPO the calls of one query.  All of them build [`Clusters`] from keys and hand the values to
//! [`GroupRelative::advantages_by_key`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use groupwise_core::{DataError, Offsets, Spans};

use crate::group_relative::GroupRelative;

/// A partition of items `0..n` into clusters, numbered in order of first appearance.
///
/// # Shapes
/// `n` items; members of a cluster are listed in ascending order.
///
/// # Edge cases
/// No item: no cluster.  An item always has a cluster; what takes no part is left out by giving it a key of its own.
///
/// # Example
/// ```
/// use groupwise_advantage::Clusters;
/// let clusters = Clusters::from_keys(["hall", "shelf", "hall"]);
/// assert_eq!(clusters.ids(), [0, 1, 0]);
/// assert_eq!(clusters.members(0), [0, 2]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clusters {
    ids: Vec<usize>,
    order: Vec<usize>,
    offsets: Offsets,
}

impl Clusters {
    /// Items with equal keys share a cluster; a logarithm of the number of clusters per item.
    pub fn from_keys<K: Ord>(keys: impl IntoIterator<Item = K>) -> Self {
        let mut known: BTreeMap<K, usize> = BTreeMap::new();
        let mut ids = Vec::new();
        for key in keys {
            let next = known.len();
            ids.push(match known.entry(key) {
                Entry::Occupied(found) => *found.get(),
                Entry::Vacant(free) => *free.insert(next),
            });
        }
        Self::from_dense(ids, known.len())
    }

    /// Cluster numbers that were found elsewhere, renumbered in order of first appearance.
    pub fn from_ids(ids: &[usize]) -> Self {
        Self::from_keys(ids)
    }

    /// Counting sort of items by cluster; every id is below `n`, and the ids first appear in ascending order.
    pub(crate) fn from_dense(ids: Vec<usize>, n: usize) -> Self {
        let mut lengths = vec![0; n];
        ids.iter().for_each(|id| lengths[*id] += 1);
        let offsets = Offsets::from_lengths(lengths);
        let mut next: Vec<usize> = offsets.spans().iter().map(|r| r.start).collect();
        let mut order = vec![0; ids.len()];
        for (item, id) in ids.iter().enumerate() {
            order[next[*id]] = item;
            next[*id] += 1;
        }
        Self { ids, order, offsets }
    }

    /// Number of clusters.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// True if there is no cluster.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.ids.len()
    }

    /// Cluster of every item.
    pub fn ids(&self) -> &[usize] {
        &self.ids
    }

    /// Items of a cluster, ascending.
    pub fn members(&self, cluster: usize) -> &[usize] {
        &self.order[self.offsets.range(cluster)]
    }

    /// Items of every cluster in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.offsets.spans().iter().map(|range| &self.order[range])
    }

    /// Cluster -> members, for blocks that work on contiguous runs.
    pub fn spans(&self) -> Spans<'_> {
        self.offsets.spans()
    }

    /// Items in the order of [`Clusters::spans`].
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

impl GroupRelative {
    /// Advantages of items relative to the other items of their cluster.
    ///
    /// # Formula
    /// That of [`GroupRelative`] with "group" read as "cluster".
    ///
    /// # Shapes
    /// `values` and the result: one per item of `clusters`, in the order of the items.
    ///
    /// # Edge cases
    /// Those of [`GroupRelative`]; `None` takes no part and gets 0.
    ///
    /// # Errors
    /// [`DataError::Length`] if the number of values is another; those of [`GroupRelative`], with the number of the
    /// cluster named as the group.
    ///
    /// # Example
    /// ```
    /// use groupwise_advantage::{Clusters, GroupRelative, GroupRelativeConfig};
    /// use groupwise_core::Centre;
    /// let block = GroupRelative::new(GroupRelativeConfig::centred(Centre::Mean, Default::default()))?;
    /// let clusters = Clusters::from_keys(["hall", "shelf", "hall"]);
    /// let a = block.advantages_by_key(&clusters, &[Some(1.0), Some(5.0), Some(0.0)])?;
    /// assert_eq!(a, [0.5, 0.0, -0.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advantages_by_key(
        &self,
        clusters: &Clusters,
        values: &[Option<f64>],
    ) -> Result<Vec<f64>, DataError> {
        DataError::check_len("values", values.len(), clusters.n_items())?;
        let sorted: Vec<Option<f64>> = clusters.order.iter().map(|item| values[*item]).collect();
        let found = self.advantages(clusters.spans(), &sorted)?;
        let mut out = vec![0.0; values.len()];
        for (item, a) in clusters.order.iter().zip(found) {
            out[*item] = a;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Centre, stats};
    use proptest::prelude::*;

    use super::*;
    use crate::group_relative::{GroupRelativeConfig, Singleton};

    fn block() -> GroupRelative {
        GroupRelative::new(GroupRelativeConfig::default()).expect("defaults are valid")
    }

    #[test]
    fn nothing_makes_no_cluster() {
        let clusters = Clusters::from_keys(Vec::<u8>::new());
        assert!(clusters.is_empty());
        assert_eq!(clusters, Clusters::default());
        assert_eq!(block().advantages_by_key(&clusters, &[]), Ok(vec![]));
    }

    #[test]
    fn ids_are_numbered_by_first_appearance() {
        let clusters = Clusters::from_ids(&[7, 2, 7, 9]);
        assert_eq!(clusters.ids(), [0, 1, 0, 2]);
        assert!(!clusters.is_empty());
        assert_eq!((clusters.len(), clusters.n_items()), (3, 4));
        assert_eq!(clusters.order(), [0, 2, 1, 3]);
        assert_eq!(clusters.iter().map(<[usize]>::len).collect::<Vec<_>>(), [2, 1, 1]);
    }

    #[test]
    fn the_number_of_values_must_fit() {
        let clusters = Clusters::from_keys([1, 1]);
        assert_eq!(
            block()
                .advantages_by_key(&clusters, &[Some(1.0)])
                .expect_err("refused")
                .to_string(),
            "`values` has 1 entries, expected 2"
        );
    }

    #[test]
    fn a_lone_item_follows_the_rule_for_singletons() {
        let raw =
            GroupRelative::new(GroupRelativeConfig::centred(Centre::Mean, Singleton::Raw)).expect("valid");
        let clusters = Clusters::from_keys([1, 2, 1]);
        let a = raw.advantages_by_key(&clusters, &[Some(3.0), Some(7.0), None]);
        assert_eq!(a, Ok(vec![3.0, 7.0, 0.0]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn clusters_partition_the_items(keys in prop::collection::vec(0u8..5, 0..20)) {
            let clusters = Clusters::from_keys(&keys);
            let mut seen: Vec<usize> = clusters.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..keys.len()).collect::<Vec<_>>());
            for (c, members) in clusters.iter().enumerate() {
                prop_assert!(members.is_sorted());
                prop_assert_eq!(members, clusters.members(c));
                prop_assert!(members.iter().all(|i| clusters.ids()[*i] == c && keys[*i] == keys[members[0]]));
            }
            let firsts: Vec<usize> = clusters.iter().map(|m| m[0]).collect();
            prop_assert!(firsts.is_sorted());
        }

        #[test]
        fn each_cluster_is_normalized_by_itself(
            items in prop::collection::vec((0u8..4, prop::option::weighted(0.8, -5.0..5.0f64)), 1..20),
        ) {
            let clusters = Clusters::from_keys(items.iter().map(|x| x.0));
            let values: Vec<_> = items.iter().map(|x| x.1).collect();
            let a = block().advantages_by_key(&clusters, &values)?;
            for members in clusters.iter() {
                let scored: Vec<f64> = members.iter().filter_map(|i| values[*i]).collect();
                let (mean, std) = (stats::mean(&scored), stats::sample_std(&scored));
                for i in members {
                    let expected = match values[*i] {
                        Some(v) if scored.len() > 1 && !stats::is_constant(&scored) => (v - mean) / (std + 1e-6),
                        _ => 0.0,
                    };
                    prop_assert!((a[*i] - expected).abs() < 1e-9);
                }
            }
        }

        #[test]
        fn renaming_keys_changes_nothing(keys in prop::collection::vec(0usize..5, 1..20)) {
            let renamed = Clusters::from_keys(keys.iter().map(|k| format!("{}", 100 - k)));
            prop_assert_eq!(renamed, Clusters::from_ids(&keys));
        }
    }
}
