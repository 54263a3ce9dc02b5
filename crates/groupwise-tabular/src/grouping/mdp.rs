//! A known Markov decision process.

use groupwise_core::dense::dot;
use groupwise_core::{DataError, ParamError};

use super::{Gaps, Grouping};

/// Change of a sweep below which values count as found.
const STOP: f64 = 1e-13;
/// A change within this many roundings of the largest value is no change.
const ROUNDINGS: f64 = 2.0 * f64::EPSILON;
/// By how much the sweeps at most reduce the first change; beyond, only rounding is left.
const REDUCTION: f64 = 1e-17;
/// Values of two actions that differ by less, relative to their size, tie.
const TIE: f64 = 1e-12;

/// States, actions, where they lead and what they earn.
///
/// # Shapes
/// `transition[a][s][s']` probabilities, `reward[s][a]`.
///
/// # Errors
/// No state or no action; lengths that differ; a probability that is negative or not finite; probabilities that do not
/// sum to 1 within 1e-9; a reward that is not finite.
///
/// # Example
/// ```
/// use groupwise_tabular::grouping::Mdp;
/// // One state, two actions that stay: the better one forever is worth 1 / (1 - 0.5).
/// let mdp = Mdp::new(&[vec![vec![1.0]], vec![vec![1.0]]], &[vec![0.25, 1.0]])?;
/// let best = mdp.best(0.5)?;
/// assert!((best.value[0] - 2.0).abs() < 1e-12);
/// assert_eq!(best.policy, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Mdp {
    n_states: usize,
    n_actions: usize,
    /// `[a][s][s']`.
    transition: Vec<f64>,
    /// `[s][a]`.
    reward: Vec<f64>,
}

/// Best values and a policy that earns them.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// Value of every state.
    pub value: Vec<f64>,
    /// Action of every state; of equally good ones the lowest index.
    pub policy: Vec<usize>,
}

impl Mdp {
    /// Validates a process.
    ///
    /// # Errors
    /// See [`Mdp`].
    pub fn new(transition: &[Vec<Vec<f64>>], reward: &[Vec<f64>]) -> Result<Self, DataError> {
        let (n_actions, n_states) = (transition.len(), reward.len());
        if n_actions == 0 || n_states == 0 {
            let what = format!("has {n_states} states and {n_actions} actions, and needs one of each");
            return Err(DataError::value("process", what));
        }
        for (s, row) in reward.iter().enumerate() {
            let what = format!("reward of state {s}");
            DataError::check_len(&what, row.len(), n_actions)?;
            DataError::check_finite(&what, row)?;
        }
        for (a, rows) in transition.iter().enumerate() {
            DataError::check_len(&format!("transition of action {a}"), rows.len(), n_states)?;
            for (s, row) in rows.iter().enumerate() {
                let place = format!("transition of action {a} in state {s}");
                DataError::check_len(&place, row.len(), n_states)?;
                if let Some(p) = row.iter().find(|p| !(**p >= 0.0 && p.is_finite())) {
                    return Err(DataError::value(place, format!("{p} is no probability")));
                }
                let sum: f64 = row.iter().sum();
                if (sum - 1.0).abs() > 1e-9 {
                    return Err(DataError::value(place, format!("the probabilities sum to {sum}")));
                }
            }
        }
        Ok(Self {
            n_states,
            n_actions,
            transition: transition.iter().flatten().flatten().copied().collect(),
            reward: reward.iter().flatten().copied().collect(),
        })
    }

    /// Number of states.
    pub fn n_states(&self) -> usize {
        self.n_states
    }

    /// Number of actions.
    pub fn n_actions(&self) -> usize {
        self.n_actions
    }

    /// Probabilities of the next state after an action in a state, both in range.
    pub(super) fn kernel(&self, action: usize, state: usize) -> &[f64] {
        let start = (action * self.n_states + state) * self.n_states;
        &self.transition[start..start + self.n_states]
    }

    /// Reward of an action in a state, both in range.
    pub(super) fn reward(&self, state: usize, action: usize) -> f64 {
        self.reward[state * self.n_actions + action]
    }

    /// Largest less smallest reward.
    pub fn reward_range(&self) -> f64 {
        let (low, high) = self
            .reward
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), r| {
                (low.min(*r), high.max(*r))
            });
        high - low
    }

    /// Best value of every state and a policy that earns it.
    ///
    /// # Formula
    /// `V(s) = max_a R(s, a) + gamma sum_s' P(s' | s, a) V(s')` by value iteration from 0, until no value changes by more
    /// than 1e-13, or than rounding; the policy takes the lowest action whose value is the largest within 1e-12.
    ///
    /// # Edge cases
    /// The number of sweeps grows as `1 / (1 - gamma)`.
    ///
    /// # Errors
    /// `gamma` outside [0, 1).
    ///
    /// # Source
    /// Bellman; [`Mdp`] has an example.
    pub fn best(&self, gamma: f64) -> Result<Solution, ParamError> {
        check_gamma(gamma)?;
        Ok(self.solve(gamma))
    }

    /// As [`Mdp::best`], of a discount known to be valid.
    pub(super) fn solve(&self, gamma: f64) -> Solution {
        let worth =
            |values: &[f64], s: usize, a: usize| self.reward(s, a) + gamma * dot(self.kernel(a, s), values);
        let value = fixed_point(self.n_states, gamma, |values, s| {
            (0..self.n_actions)
                .map(|a| worth(values, s, a))
                .fold(f64::NEG_INFINITY, f64::max)
        });
        let best = |s: usize| {
            let first = (0, worth(&value, s, 0));
            let better = |best: (usize, f64), a: usize| {
                let found = worth(&value, s, a);
                let margin = TIE * best.1.abs().max(1.0);
                if found > best.1 + margin { (a, found) } else { best }
            };
            (1..self.n_actions).fold(first, better).0
        };
        Solution {
            policy: (0..self.n_states).map(best).collect(),
            value,
        }
    }

    /// Value of every state under a policy, `policy[s][a]` its probabilities.
    ///
    /// # Formula
    /// `V(s) = sum_a pi(a | s) (R(s, a) + gamma sum_s' P(s' | s, a) V(s'))`, iterated as in [`Mdp::best`].
    ///
    /// # Errors
    /// `gamma` outside [0, 1); a policy of another shape, or a row that is no distribution.
    pub fn value_of(&self, policy: &[Vec<f64>], gamma: f64) -> Result<Vec<f64>, DataError> {
        check_gamma(gamma).map_err(|e| DataError::value("policy", e.to_string()))?;
        DataError::check_len("policy", policy.len(), self.n_states)?;
        for (s, row) in policy.iter().enumerate() {
            DataError::check_len(&format!("policy of state {s}"), row.len(), self.n_actions)?;
            let sum: f64 = row.iter().sum();
            if !((sum - 1.0).abs() <= 1e-9 && row.iter().all(|p| *p >= 0.0)) {
                return Err(DataError::value(
                    format!("policy of state {s}"),
                    "is no distribution over actions",
                ));
            }
        }
        Ok(fixed_point(self.n_states, gamma, |values, s| {
            let worth = |a: usize| self.reward(s, a) + gamma * dot(self.kernel(a, s), values);
            policy[s].iter().enumerate().map(|(a, p)| p * worth(a)).sum()
        }))
    }

    /// The process whose actions are the groups: their kernels and rewards are means over their members.
    ///
    /// # Errors
    /// A grouping of another number of actions.
    pub fn grouped(&self, grouping: &Grouping) -> Result<Self, DataError> {
        grouping.check(self.n_actions)?;
        let (n_groups, row) = (grouping.n_groups(), self.n_states * self.n_states);
        let mut transition = vec![0.0; n_groups * row];
        let mut reward = vec![0.0; self.n_states * n_groups];
        for (a, g) in grouping.labels().iter().enumerate() {
            let kernel = &self.transition[a * row..(a + 1) * row];
            for (sum, p) in transition[g * row..(g + 1) * row].iter_mut().zip(kernel) {
                *sum += p;
            }
            for s in 0..self.n_states {
                reward[s * n_groups + g] += self.reward(s, a);
            }
        }
        for (g, size) in grouping.sizes().iter().enumerate() {
            let size = *size as f64;
            transition[g * row..(g + 1) * row]
                .iter_mut()
                .for_each(|p| *p /= size);
            (0..self.n_states).for_each(|s| reward[s * n_groups + g] /= size);
        }
        Ok(Self {
            n_states: self.n_states,
            n_actions: n_groups,
            transition,
            reward,
        })
    }

    /// Largest distance of an action from the mean of its group.
    ///
    /// # Errors
    /// A grouping of another number of actions.
    pub fn gaps(&self, grouping: &Grouping) -> Result<Gaps, DataError> {
        let grouped = self.grouped(grouping)?;
        let mut gaps = Gaps {
            reward: 0.0,
            kernel: 0.0,
        };
        for (a, g) in grouping.labels().iter().enumerate() {
            for s in 0..self.n_states {
                let reward = (self.reward(s, a) - grouped.reward(s, *g)).abs();
                gaps.reward = gaps.reward.max(reward);
                let kernel = l1(self.kernel(a, s), grouped.kernel(*g, s));
                gaps.kernel = gaps.kernel.max(kernel);
            }
        }
        Ok(gaps)
    }
}

fn check_gamma(gamma: f64) -> Result<(), ParamError> {
    ParamError::check((0.0..1.0).contains(&gamma), "gamma", gamma, "in [0, 1)")
}

/// Sum of absolute differences.
fn l1(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

/// The fixed point of a backup that contracts by `gamma`, from 0.
fn fixed_point(n_states: usize, gamma: f64, backup: impl Fn(&[f64], usize) -> f64) -> Vec<f64> {
    let mut values = vec![0.0; n_states];
    let mut next = values.clone();
    // Rounding may keep the changes above any threshold; the contraction bounds the sweeps that are of use.
    let n_sweeps = (REDUCTION.ln() / gamma.ln()).ceil() as u64 + 64;
    for _ in 0..n_sweeps {
        next.iter_mut()
            .enumerate()
            .for_each(|(s, v)| *v = backup(&values, s));
        let (mut change, mut scale) = (0.0_f64, 0.0_f64);
        for (new, old) in next.iter().zip(&values) {
            change = change.max((new - old).abs());
            scale = scale.max(new.abs());
        }
        std::mem::swap(&mut values, &mut next);
        if change <= STOP.max(ROUNDINGS * scale) {
            break;
        }
    }
    values
}
