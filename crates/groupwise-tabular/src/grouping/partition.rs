//! Partitions of the actions.

use groupwise_core::DataError;

use super::Mdp;

/// Which group each action belongs to.
///
/// # Shapes
/// One label per action, `0..G`, none of them unused.
///
/// # Errors
/// No action; a group without actions.
///
/// # Example
/// ```
/// use groupwise_tabular::grouping::Grouping;
/// let grouping = Grouping::new(&[0, 1, 0])?;
/// assert_eq!((grouping.n_groups(), grouping.sizes()), (2, &[2, 1][..]));
/// // Group 0 in state 0, group 1 in state 1: a uniform member of each.
/// assert_eq!(grouping.lift(&[0, 1])?, [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]);
/// assert_eq!(Grouping::new(&[0, 2]).unwrap_err().to_string(), "groups: group 1 has no action, but group 2 has");
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    labels: Vec<usize>,
    sizes: Vec<usize>,
}

impl Grouping {
    /// Validates labels.
    ///
    /// # Errors
    /// See [`Grouping`].
    pub fn new(labels: &[usize]) -> Result<Self, DataError> {
        let Some(last) = labels.iter().max() else {
            return Err(DataError::value("groups", "hold no action"));
        };
        // More groups than actions leave a gap below the largest label, too; so the sizes never outgrow the actions.
        let mut sizes = vec![0; labels.len().min(last.saturating_add(1))];
        for label in labels {
            if let Some(size) = sizes.get_mut(*label) {
                *size += 1;
            }
        }
        let gap = sizes.iter().position(|size| *size == 0);
        match gap {
            None => Ok(Self {
                labels: labels.to_vec(),
                sizes,
            }),
            Some(gap) => {
                let what = format!("group {gap} has no action, but group {last} has");
                Err(DataError::value("groups", what))
            }
        }
    }

    /// Group of every action.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Number of actions of every group.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Number of groups.
    pub fn n_groups(&self) -> usize {
        self.sizes.len()
    }

    /// Number of actions.
    pub fn n_actions(&self) -> usize {
        self.labels.len()
    }

    /// Action probabilities of a policy that plays one group per state, uniformly inside it.
    ///
    /// Its value in the process itself is that of the groups in the grouped one.
    ///
    /// # Errors
    /// A group out of range.
    pub fn lift(&self, policy: &[usize]) -> Result<Vec<Vec<f64>>, DataError> {
        let row = |(state, group): (usize, &usize)| {
            let Some(size) = self.sizes.get(*group) else {
                let what = format!("group {group} is not one of {}", self.n_groups());
                return Err(DataError::value(format!("state {state}"), what));
            };
            let share = |label: &usize| if label == group { 1.0 / *size as f64 } else { 0.0 };
            Ok(self.labels.iter().map(share).collect())
        };
        policy.iter().enumerate().map(row).collect()
    }

    pub(super) fn check(&self, n_actions: usize) -> Result<(), DataError> {
        DataError::check_len("groups", self.labels.len(), n_actions)
    }
}

/// A group during agglomeration: its members, and sums of their rewards and kernels.
struct Cluster {
    members: Vec<usize>,
    reward: Vec<f64>,
    kernel: Vec<f64>,
}

impl Cluster {
    fn single(mdp: &Mdp, action: usize) -> Self {
        let states = 0..mdp.n_states();
        Self {
            members: vec![action],
            reward: states.clone().map(|s| mdp.reward(s, action)).collect(),
            kernel: states.flat_map(|s| mdp.kernel(action, s)).copied().collect(),
        }
    }

    fn absorb(&mut self, other: Self) {
        let add = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        add(&mut self.reward, &other.reward);
        add(&mut self.kernel, &other.kernel);
        self.members.extend(other.members);
    }

    fn distance(&self, other: &Self, kernel_weight: f64) -> f64 {
        let (n, m) = (self.members.len() as f64, other.members.len() as f64);
        let difference = |(a, b): (&f64, &f64)| (a / n - b / m).abs();
        let rewards = self.reward.iter().zip(&other.reward).map(difference);
        let n_states = self.reward.len();
        let rows = self.kernel.chunks(n_states).zip(other.kernel.chunks(n_states));
        let kernels = rows.map(|(ours, theirs)| ours.iter().zip(theirs).map(difference).sum::<f64>());
        let reward = rewards.fold(0.0, f64::max);
        reward.max(kernel_weight * kernels.fold(0.0, f64::max))
    }
}

/// Groupings from one group per action to a single one; see [`super::ActionGrouping::candidates`].
pub(super) fn agglomerate(mdp: &Mdp, kernel_weight: f64) -> Vec<Grouping> {
    let n_actions = mdp.n_actions();
    let mut clusters: Vec<Cluster> = (0..n_actions).map(|a| Cluster::single(mdp, a)).collect();
    // Distances to the clusters before, so that one more cluster adds a row.
    let mut distances: Vec<Vec<f64>> = (0..n_actions)
        .map(|j| {
            (0..j)
                .map(|i| clusters[i].distance(&clusters[j], kernel_weight))
                .collect()
        })
        .collect();
    let mut found = vec![snapshot(&clusters, n_actions)];
    while let Some((i, j)) = nearest(&distances) {
        let merged = clusters.remove(j);
        distances.remove(j);
        for row in &mut distances[j..] {
            row.remove(j);
        }
        clusters[i].absorb(merged);
        for k in (0..clusters.len()).filter(|k| *k != i) {
            let distance = clusters[i].distance(&clusters[k], kernel_weight);
            distances[i.max(k)][i.min(k)] = distance;
        }
        found.push(snapshot(&clusters, n_actions));
    }
    found
}

/// The pair of the least distance, the lower index first; of equal ones the lexicographically first pair.
fn nearest(distances: &[Vec<f64>]) -> Option<(usize, usize)> {
    let mut best: Option<(f64, usize, usize)> = None;
    for i in 0..distances.len() {
        for (j, row) in distances.iter().enumerate().skip(i + 1) {
            if best.is_none_or(|(least, ..)| row[i] < least) {
                best = Some((row[i], i, j));
            }
        }
    }
    best.map(|(_, i, j)| (i, j))
}

fn snapshot(clusters: &[Cluster], n_actions: usize) -> Grouping {
    let mut labels = vec![0; n_actions];
    for (g, cluster) in clusters.iter().enumerate() {
        cluster.members.iter().for_each(|a| labels[*a] = g);
    }
    Grouping {
        labels,
        sizes: clusters.iter().map(|c| c.members.len()).collect(),
    }
}
