//! Fewer actions by grouping similar ones: what a grouping loses, what it saves, and which one a sample budget wants.
//!
//! With very many actions one can learn over groups of similar ones.  Taking the actions of a group for one costs an
//! approximation error; but the same number of samples, spread over fewer (state, group) pairs, estimates each of them
//! better.  So some number of groups is best, and it grows with the samples.
//!
//! Symbols: S states, A actions in G groups, P and R kernel and reward (those with index h are means over a group),
//! gamma the discount, `H = (max R - min R) / (1 - gamma)`, N samples spread evenly over the S G pairs.
//!
//! | item | answers |
//! |---|---|
//! | [`Mdp`] | a known decision process: best value and policy, value of a policy, its grouped version |
//! | [`Grouping`] | a partition of the actions |
//! | [`ActionGrouping`] | gaps, bounds and loss of a grouping; the best of several; candidates by agglomeration |
//! | [`group_softmax`] | a policy over groups, uniform inside each |
//!
//! These are pure functions of known processes, no part of a recipe: which actions are alike is known of a world, not
//! of a batch of rollouts.
//!
//! # Source
//! "Achieving Sample and Computational Efficient Reinforcement Learning by Action Space Reduction via Grouping",
//! arXiv 2306.12981; no code.  That groups are formed by similarity, that the loss splits into the two errors and that
//! the grouping is chosen by an optimisation is certain; the bounds and the rule of choice are reconstructed.

mod mdp;
mod partition;
mod policy;

use groupwise_core::{DataError, ParamError};

pub use mdp::{Mdp, Solution};
pub use partition::Grouping;
pub use policy::{GroupSoftmax, group_softmax};

/// Parameters of the analysis, not yet validated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupingConfig {
    /// Discount, in [0, 1).
    pub gamma: f64,
    /// Samples in all, spread evenly over the pairs of state and group, >= 1.
    pub samples: u64,
    /// Probability with which the estimation bound may fail, in (0, 1).
    pub delta: f64,
}

impl GroupingConfig {
    /// Usual discount.
    pub const GAMMA: f64 = 0.9;
    /// Usual probability of failure.
    pub const DELTA: f64 = 0.05;

    /// The usual discount and probability of failure at this number of samples.
    pub fn with_samples(samples: u64) -> Self {
        Self {
            gamma: Self::GAMMA,
            samples,
            delta: Self::DELTA,
        }
    }
}

/// Largest distance of an action from the mean of its group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaps {
    /// `e_R = max_(s, a) |R(s, a) - R_h(s, g(a))|`, in units of reward.
    pub reward: f64,
    /// `e_P = max_(s, a) sum_s' |P(s' | s, a) - P_h(s' | s, g(a))|`, in [0, 2].
    pub kernel: f64,
}

/// The two parts of what a grouping may cost, in units of value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Most that acting in groups loses, with known kernels and rewards.
    pub approximation: f64,
    /// Most that estimating the grouped process loses beyond, with probability `1 - delta`.
    pub estimation: f64,
}

impl Bounds {
    /// Sum of both: what groupings are ranked by.
    pub fn score(&self) -> f64 {
        self.approximation + self.estimation
    }
}

/// Everything known of one grouping.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupingReport {
    /// Best value of every state over all actions.
    pub optimal_value: Vec<f64>,
    /// Best value of every state over groups.
    pub grouped_value: Vec<f64>,
    /// Group played in every state.
    pub grouped_policy: Vec<usize>,
    /// How far actions are from their groups.
    pub gaps: Gaps,
    /// Bounds on the two errors.
    pub bounds: Bounds,
    /// `max_s (V*(s) - V_g(s))`, what the first bound bounds.
    pub loss: f64,
}

/// The best of several groupings.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupingChoice {
    /// Sum of the bounds of every option.
    pub scores: Vec<f64>,
    /// Index of the least score; of equal ones the first.
    pub selected: usize,
}

/// Most that the best policy over groups loses against the best over actions.
///
/// # Formula
/// `(e_R + gamma e_P H / 2) / (1 - gamma)`.  One Bellman step from V* loses at most `e_R + gamma e_P span(V*) / 2`, and
/// `span(V*) <= H`; the discount sums it up.
///
/// # Shapes
/// `reward_range = max R - min R`; in units of value.
///
/// # Edge cases
/// No gaps: 0.  The bound is loose: rank by it, do not predict with it.
///
/// # Source
/// Derived; checked against the exact loss for random processes in the tests.
///
/// # Example
/// ```
/// use groupwise_tabular::grouping::{Gaps, approximation_bound};
/// let bound = approximation_bound(Gaps { reward: 0.05, kernel: 0.1 }, 1.0, 0.9);
/// assert!((bound - 5.0).abs() < 1e-12);
/// ```
pub fn approximation_bound(gaps: Gaps, reward_range: f64, gamma: f64) -> f64 {
    let horizon = reward_range / (1.0 - gamma);
    (gaps.reward + gamma * gaps.kernel * horizon / 2.0) / (1.0 - gamma)
}

/// Most that planning on an estimated grouped process loses, with probability `1 - delta`.
///
/// # Formula
/// `2 gamma H / (1 - gamma) sqrt(ln(2 S G / delta) S G / (2 N))`: Hoeffding's inequality for `(P^ - P) V*` and a union
/// bound over the pairs, times the usual factor for acting greedily in an estimated process.
///
/// # Shapes
/// `reward_range = max R - min R`; `n_pairs = S G`; in units of value.
///
/// # Edge cases
/// Fewer samples than pairs leave a pair without any; the number returned is then no guarantee, but it still ranks.
///
/// # Source
/// Derived; see the module.
///
/// # Example
/// ```
/// use groupwise_tabular::grouping::{GroupingConfig, estimation_bound};
/// let bound = estimation_bound(1.0, 4, &GroupingConfig::with_samples(1000));
/// assert!((bound - 18.134808).abs() < 1e-6);
/// ```
pub fn estimation_bound(reward_range: f64, n_pairs: usize, config: &GroupingConfig) -> f64 {
    let GroupingConfig {
        gamma,
        samples,
        delta,
    } = *config;
    let horizon = reward_range / (1.0 - gamma);
    let pairs = n_pairs as f64;
    let deviation = ((2.0 * pairs / delta).ln() * pairs / (2.0 * samples as f64)).sqrt();
    2.0 * gamma * horizon / (1.0 - gamma) * deviation
}

/// Analysis of groupings at one discount, number of samples and probability of failure.
///
/// # Example
/// ```
/// use groupwise_tabular::grouping::{ActionGrouping, Grouping, GroupingConfig, Mdp};
/// // Two states; stay, move, and almost stay.
/// let stay = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
/// let swap = vec![vec![0.0, 1.0], vec![1.0, 0.0]];
/// let almost = vec![vec![0.9, 0.1], vec![0.1, 0.9]];
/// let mdp = Mdp::new(&[stay, swap, almost], &[vec![0.0, 0.0, 0.1], vec![1.0, 0.5, 0.9]])?;
/// let analysis = ActionGrouping::new(GroupingConfig::with_samples(200))?;
/// let found = analysis.report(&mdp, &Grouping::new(&[0, 1, 0])?)?;
/// assert!((found.loss - 0.909091).abs() < 1e-6 && (found.bounds.approximation - 5.0).abs() < 1e-9);
/// let options = [[0, 0, 0], [0, 1, 0], [0, 1, 2]].map(|labels| Grouping::new(&labels));
/// let options = options.into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(analysis.choose(&mdp, &options)?.selected, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionGrouping {
    config: GroupingConfig,
}

impl ActionGrouping {
    /// Validates the parameters.
    ///
    /// # Errors
    /// `gamma` outside [0, 1), no samples, `delta` outside (0, 1).
    pub fn new(config: GroupingConfig) -> Result<Self, ParamError> {
        let GroupingConfig {
            gamma,
            samples,
            delta,
        } = config;
        ParamError::check((0.0..1.0).contains(&gamma), "gamma", gamma, "in [0, 1)")?;
        ParamError::check(samples >= 1, "samples", samples, ">= 1")?;
        ParamError::check(delta > 0.0 && delta < 1.0, "delta", delta, "in (0, 1)")?;
        Ok(Self { config })
    }

    /// Both bounds of a grouping.
    ///
    /// # Errors
    /// A grouping of another number of actions.
    pub fn bounds(&self, mdp: &Mdp, grouping: &Grouping) -> Result<Bounds, DataError> {
        Ok(self.bounds_of(mdp, grouping, mdp.gaps(grouping)?))
    }

    fn bounds_of(&self, mdp: &Mdp, grouping: &Grouping, gaps: Gaps) -> Bounds {
        let range = mdp.reward_range();
        let n_pairs = mdp.n_states() * grouping.n_groups();
        Bounds {
            approximation: approximation_bound(gaps, range, self.config.gamma),
            estimation: estimation_bound(range, n_pairs, &self.config),
        }
    }

    /// Values, gaps, bounds and loss of a grouping.
    ///
    /// # Errors
    /// A grouping of another number of actions.
    pub fn report(&self, mdp: &Mdp, grouping: &Grouping) -> Result<GroupingReport, DataError> {
        let gaps = mdp.gaps(grouping)?;
        let best = mdp.solve(self.config.gamma);
        let grouped = mdp.grouped(grouping)?.solve(self.config.gamma);
        let losses = best.value.iter().zip(&grouped.value).map(|(v, g)| v - g);
        Ok(GroupingReport {
            loss: losses.fold(f64::NEG_INFINITY, f64::max),
            optimal_value: best.value,
            grouped_value: grouped.value,
            grouped_policy: grouped.policy,
            bounds: self.bounds_of(mdp, grouping, gaps),
            gaps,
        })
    }

    /// The option of the least sum of both bounds; of equal ones the first.
    ///
    /// # Errors
    /// No option, or one of another number of actions.
    pub fn choose(&self, mdp: &Mdp, options: &[Grouping]) -> Result<GroupingChoice, DataError> {
        let scores = options
            .iter()
            .map(|grouping| Ok(self.bounds(mdp, grouping)?.score()))
            .collect::<Result<Vec<f64>, DataError>>()?;
        let least = (0..scores.len()).reduce(|best, i| if scores[i] < scores[best] { i } else { best });
        match least {
            Some(selected) => Ok(GroupingChoice { scores, selected }),
            None => Err(DataError::value("options", "are empty, and none can be chosen")),
        }
    }

    /// Nested groupings from one group per action to a single one, by merging the two groups that are most alike.
    ///
    /// # Formula
    /// Distance of two groups: `max(max_s |R_1(s) - R_2(s)|, gamma H / 2 max_s sum_s' |P_1(s' | s) - P_2(s' | s)|)` of
    /// their means; the pair of the least one becomes a group, of equal ones the pair of the lowest indices.  Groups are
    /// numbered by their first action.
    ///
    /// # Shapes
    /// A groupings of A actions, the i-th of `A - i` groups.  Time in O(A^3 + A^2 S^2).
    ///
    /// # Source
    /// Ours; the paper assumes that a hierarchy is known and so avoids the dependence on A.
    pub fn candidates(&self, mdp: &Mdp) -> Vec<Grouping> {
        let kernel_weight = self.config.gamma * mdp.reward_range() / (1.0 - self.config.gamma) / 2.0;
        partition::agglomerate(mdp, kernel_weight)
    }
}

#[cfg(test)]
mod tests;
