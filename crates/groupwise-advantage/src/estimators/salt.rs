//! SALT: steps that rollouts take in the same way share their advantage.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spans, stats,
};
use serde::{Deserialize, Serialize};

use super::AdvantageSpec;
use crate::estimators::GrpoConfig;
use crate::interner::Interner;
use crate::keyed::Clusters;
use crate::steps::{self, StepTokens};

const NAME: &str = "salt";

/// Which part of a turn's text is the action that was executed.
///
/// Keyed on a whole response with reasoning in it, no two steps are ever equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKey {
    /// All of it.
    #[default]
    Whole,
    /// Its last line that is not blank.
    LastLine,
    /// Its last word.
    LastWord,
}

impl ActionKey {
    /// The action in a turn's text, without surrounding blanks; empty if there is none.
    ///
    /// # Example
    /// ```
    /// use groupwise_advantage::estimators::ActionKey;
    /// let text = "The till is east.\ngo till\n";
    /// assert_eq!(ActionKey::LastLine.of(text), "go till");
    /// assert_eq!(ActionKey::LastWord.of(text), "till");
    /// ```
    pub fn of(self, text: &str) -> &str {
        let found = match self {
            Self::Whole => Some(text.trim()),
            Self::LastLine => text.lines().rev().map(str::trim).find(|line| !line.is_empty()),
            Self::LastWord => text.split_whitespace().next_back(),
        };
        found.unwrap_or_default()
    }
}

/// SALT's advantage: that of another estimator, averaged over the steps that are one edge of the group's graph.
///
/// # Formula
/// `A_ik = mean of A_j over all occurrences (j, l) of the edge of (i, k)`; `A_j` from `base`; the edge is
/// `(h states before s_k, s_k, a_k, s_k+1)`, inside one prompt group, repeated visits of one trajectory included.
///
/// # Shapes
/// One advantage per step, on each of the step's counted tokens; unit of the base.
///
/// # Edge cases
/// - An edge that occurs once keeps the base's advantage.
/// - Before the first state stands a start marker, after the last observation a terminal marker; neither equals a
///   state.
/// - A trajectory without steps has no edge; its reward is in the base's statistics.
/// - An unscorable trajectory gets 0 and is in no mean.
///
/// # Errors
/// Parameters: those of `base`; a base that is itself `salt`.  Data: missing steps, anchors, tokens or trajectories; a
/// base that gives one advantage per token; base `rloo` in a group of one.
///
/// # Source
/// arXiv 2510.20022.  RECONSTRUCTED: of the paper only the abstract and summaries were seen, and no code; this is the
/// simplest rule they allow.  The mean runs over occurrences, not over distinct trajectories, which keeps the sum of
/// all advantages.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{Transitions, share_edges};
/// use groupwise_core::Offsets;
/// let (groups, steps) = (Offsets::from_lengths([3]), Offsets::from_lengths([3, 3, 2]));
/// let states = ["hall", "shelf", "till", "end", "hall", "shelf", "door", "out", "hall", "yard", "out"];
/// let actions = ["go shelf", "go till", "pay", "go shelf", "go door", "leave", "go yard", "leave"];
/// let visits = Offsets::from_lengths([4, 4, 3]);
/// let edges = Transitions { groups: groups.spans(), steps: steps.spans(), visits: visits.spans(), states: &states,
///     actions: &actions }.edges(0)?;
/// let base = [Some(1.1546985383827155), Some(-0.5773492691913577), Some(-0.5773492691913577)];
/// let shared = share_edges(&edges, steps.spans(), &base)?;
/// assert!((shared.advantages[0] - 0.28867463459567894).abs() < 1e-12);
/// assert_eq!(shared.multiplicity, [2, 1, 1, 2, 1, 1, 1, 1]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaltConfig {
    /// States before the step that belong to its edge; as many as the longest trajectory: only common prefixes merge.
    pub history: usize,
    /// Which part of a turn's text is the action.
    pub action: ActionKey,
    /// The estimator whose advantages are shared.
    pub base: Box<AdvantageSpec>,
}

impl Default for SaltConfig {
    fn default() -> Self {
        Self {
            history: 0,
            action: ActionKey::Whole,
            base: Box::new(AdvantageSpec::Grpo(GrpoConfig::default())),
        }
    }
}

impl Part<dyn AdvantageEstimator> for SaltConfig {
    const SOURCE: &'static str = "SALT, arXiv 2510.20022, reconstructed from its abstract and summaries";

    fn formula(&self) -> String {
        let action = match self.action {
            ActionKey::Whole => "the turn's text",
            ActionKey::LastLine => "the turn's last line",
            ActionKey::LastWord => "the turn's last word",
        };
        format!(
            "A_ik = mean of A_j over all steps (j, l) of the group with the edge ({} states before, s_k, a_k, s_k+1); \
             a_k {action}; base: {}",
            self.history,
            self.base.formula()
        )
    }

    fn build(&self, context: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        ParamError::check(
            !matches!(*self.base, AdvantageSpec::Salt(_)),
            "base",
            NAME,
            "an estimator of one advantage per trajectory",
        )?;
        Ok(Box::new(Salt {
            config: self.clone(),
            base: self.base.build(context)?,
        }))
    }
}

/// Steps of a batch as edges of a graph.
#[derive(Clone, Copy, Debug)]
pub struct Transitions<'a, T> {
    /// Group -> trajectories.
    pub groups: Spans<'a>,
    /// Trajectory -> steps.
    pub steps: Spans<'a>,
    /// Trajectory -> states: one more than it has steps.
    pub visits: Spans<'a>,
    /// States.
    pub states: &'a [T],
    /// Actions: one per step.
    pub actions: &'a [T],
}

impl<T: AsRef<str>> Transitions<'_, T> {
    /// Steps with one edge key inside one prompt group.
    ///
    /// # Formula
    /// Key `(s_(k-history), ..., s_k, s_(k+1), a_k)`, a start marker where there was no state yet.
    ///
    /// # Shapes
    /// Clusters of the steps of the batch, numbered in order of first appearance.
    ///
    /// # Errors
    /// A trajectory whose states are not one more than its actions, or groups that do not cover the trajectories.
    pub fn edges(&self, history: usize) -> Result<Clusters, DataError> {
        let (n_trajectories, n_steps) = (self.steps.len(), self.steps.total());
        self.groups.check_covers("trajectories", n_trajectories)?;
        DataError::check_len("actions", self.actions.len(), n_steps)?;
        DataError::check_len("visits", self.visits.len(), n_trajectories)?;
        self.visits.check_covers("states", self.states.len())?;
        for (i, visits) in self.visits.iter().enumerate() {
            let what = format!("states of trajectory {i}");
            DataError::check_len(&what, visits.len(), self.steps.len_of(i) + 1)?;
        }
        Ok(edges(self.groups, self.steps, history, |i, k| Named {
            state: self.states[k + i].as_ref(),
            action: self.actions[k].as_ref(),
            last: Some(self.states[k + i + 1].as_ref()),
        }))
    }
}

/// A step: state, action, and the state after it, read for the last step of a trajectory only.
struct Named<'a> {
    state: &'a str,
    action: &'a str,
    /// `None`: the terminal marker.
    last: Option<&'a str>,
}

const START: usize = 0;
const TERMINAL: usize = 1;
const FIRST_NAME: usize = 2;

/// [`Transitions::edges`] of steps given one by one, by trajectory and step of the batch.
fn edges<'a>(
    groups: Spans<'_>,
    steps: Spans<'_>,
    history: usize,
    named: impl Fn(usize, usize) -> Named<'a>,
) -> Clusters {
    let longest = steps.iter().map(|range| range.len()).max().unwrap_or(0);
    // Beyond the longest trajectory there are start markers only.
    let history = history.min(longest);
    let mut interner = Interner::default();
    // Of each trajectory: `history` start markers, its states, the state after its last step.
    let mut path = Vec::with_capacity(steps.total() + steps.len() * (history + 1));
    let mut actions = Vec::with_capacity(steps.total());
    for members in groups.iter() {
        interner.clear();
        for i in members {
            path.extend(std::iter::repeat_n(START, history));
            let range = steps.range(i);
            let mut after = None;
            for k in range.clone() {
                let step = named(i, k);
                path.push(FIRST_NAME + interner.intern(step.state));
                actions.push(interner.intern(step.action));
                after = step.last;
            }
            path.push(after.map_or(TERMINAL, |state| FIRST_NAME + interner.intern(state)));
        }
    }
    let group_of = groups
        .iter()
        .enumerate()
        .flat_map(|(g, members)| members.map(move |_| g));
    let (path, actions) = (&path, &actions);
    let keys = group_of
        .zip(steps.iter().enumerate())
        .flat_map(|(g, (i, range))| {
            let lead = i * (history + 1);
            range.map(move |k| (g, actions[k], &path[lead + k..lead + k + history + 2]))
        });
    Clusters::from_keys(keys)
}

/// What SALT says of every step.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedAdvantages {
    /// One advantage per step.
    pub advantages: Vec<f64>,
    /// How many scorable steps have the step's edge; 0 for a step of an unscorable trajectory.
    pub multiplicity: Vec<usize>,
}

/// Averages the advantages of trajectories over the occurrences of each edge.
///
/// # Formula
/// `A_k = mean of base_j over the steps of the cluster of k`, `j` the trajectory of the step.
///
/// # Shapes
/// `edges`: clusters of the steps; `steps`: trajectory -> steps; `base`: one per trajectory, `None` for one that is in
/// no mean and gets 0.
///
/// # Edge cases
/// A cluster of one keeps its value to the last bit.
///
/// # Errors
/// Lengths that disagree; a base advantage that is not finite.
///
/// # Source
/// See [`SaltConfig`].
pub fn share_edges(
    edges: &Clusters,
    steps: Spans<'_>,
    base: &[Option<f64>],
) -> Result<SharedAdvantages, DataError> {
    DataError::check_len("base advantages", base.len(), steps.len())?;
    steps.check_covers("edges", edges.n_items())?;
    if let Some(i) = base.iter().position(|a| a.is_some_and(|a| !a.is_finite())) {
        return Err(DataError::NonFinite {
            place: format!("trajectory {i}"),
            what: "base advantage".into(),
            value: base[i].unwrap_or_default().to_string(),
        });
    }
    let of_step: Vec<Option<f64>> = steps
        .iter()
        .zip(base)
        .flat_map(|(range, a)| range.map(|_| *a))
        .collect();
    let mut out = SharedAdvantages {
        advantages: vec![0.0; of_step.len()],
        multiplicity: vec![0; of_step.len()],
    };
    let mut values = Vec::new();
    for members in edges.iter() {
        values.clear();
        values.extend(members.iter().filter_map(|k| of_step[*k]));
        let mean = stats::mean(&values);
        for k in members.iter().filter(|k| of_step[**k].is_some()) {
            out.advantages[*k] = mean;
            out.multiplicity[*k] = values.len();
        }
    }
    Ok(out)
}

#[derive(Debug)]
struct Salt {
    config: SaltConfig,
    base: Box<dyn AdvantageEstimator>,
}

impl Salt {
    fn base(&self, batch: &RewardBatch<'_>) -> Result<Vec<Option<f64>>, DataError> {
        let one = batch.groups.iter().position(|members| members.len() == 1);
        if let (AdvantageSpec::Rloo(_), Some(g)) = (&*self.config.base, one) {
            let what = "holds one trajectory, and leaving it out leaves none to compare with";
            return Err(DataError::value(format!("group {g}"), what));
        }
        match self.base.estimate(batch)? {
            Advantages::Trajectory(a) => Ok(a
                .into_iter()
                .zip(batch.rewards)
                .map(|(a, r)| r.map(|_| a))
                .collect()),
            Advantages::Token(_) => Err(DataError::value(
                format!("base `{}`", self.config.base.name()),
                "gives one advantage per token, and `salt` shares those of trajectories",
            )),
        }
    }
}

impl AdvantageEstimator for Salt {
    fn needs(&self) -> Needs {
        self.base.needs() | Needs::ANCHORS | Needs::TOKENS | Needs::TRAJECTORIES
    }

    fn scope(&self) -> Scope {
        self.base.scope()
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let tokens = StepTokens::of(batch, NAME)?;
        let states = batch.anchors.ok_or(DataError::Missing {
            what: "anchors",
            part: NAME,
        })?;
        let trajectories = steps::trajectories(batch, tokens.steps, NAME)?;
        let base = self.base(batch)?;
        let edges = edges(batch.groups, tokens.steps, self.config.history, |i, k| {
            let turn = &trajectories[i].turns[k - tokens.steps.range(i).start];
            Named {
                state: &states[k],
                action: self.config.action.of(&turn.action),
                last: None,
            }
        });
        tokens.spread(&share_edges(&edges, tokens.steps, &base)?.advantages)
    }
}

#[cfg(test)]
#[path = "salt_tests.rs"]
mod tests;
