//! Ragged token batches: no padding, no rectangle; group -> trajectory -> token as offsets.

use std::ops::Range;
use std::sync::Arc;

use crate::error::DataError;
use crate::spans::{Offsets, Spans};

/// Advantages, at the level an estimator computes them; broadcasting to tokens is left to the reader.
#[derive(Clone, Debug, PartialEq)]
pub enum Advantages {
    /// One per trajectory.
    Trajectory(Vec<f64>),
    /// One per token of the completion, masked tokens included.
    Token(Vec<f64>),
}

impl Advantages {
    /// Spreads one advantage per step over the tokens of the step; tokens outside any step get 0.
    ///
    /// # Shapes
    /// `steps` trajectory -> step; `step_tokens` one token range per step, counted over the whole batch;
    /// `n_tokens` tokens of the batch.
    ///
    /// # Errors
    /// [`DataError::Length`] if counts disagree, [`DataError::Value`] if a range leaves the batch.
    pub fn from_steps(
        per_step: &[f64],
        step_tokens: &[Range<usize>],
        n_tokens: usize,
    ) -> Result<Self, DataError> {
        DataError::check_len("step_tokens", step_tokens.len(), per_step.len())?;
        let mut tokens = vec![0.0; n_tokens];
        for (k, (range, value)) in step_tokens.iter().zip(per_step).enumerate() {
            let slot = tokens.get_mut(range.clone()).ok_or_else(|| {
                DataError::value(
                    format!("step {k}"),
                    format!("tokens {range:?} leave the batch of {n_tokens}"),
                )
            })?;
            slot.fill(*value);
        }
        Ok(Self::Token(tokens))
    }

    fn len_name(&self) -> (usize, &'static str) {
        match self {
            Self::Trajectory(v) => (v.len(), "advantages per trajectory"),
            Self::Token(v) => (v.len(), "advantages per token"),
        }
    }

    /// Checks the length against the batch they are for, and that every value is finite.
    ///
    /// # Errors
    /// [`DataError::Length`] or [`DataError::NonFinite`].
    pub fn check(&self, tokens: Spans<'_>) -> Result<(), DataError> {
        let (found, name) = self.len_name();
        match self {
            Self::Trajectory(v) => {
                DataError::check_len(name, found, tokens.len())?;
                DataError::check_finite(name, v)
            }
            Self::Token(v) => {
                DataError::check_len(name, found, tokens.total())?;
                DataError::check_finite(name, v)
            }
        }
    }
}

/// Advantages of one trajectory, as an objective's inner loop reads them.
#[derive(Clone, Copy, Debug)]
pub enum AdvantageRow<'a> {
    /// The same for every token.
    Constant(f64),
    /// One per token.
    Tokens(&'a [f64]),
}

impl AdvantageRow<'_> {
    /// Advantage of token `t` of the trajectory.
    #[inline]
    pub fn at(&self, t: usize) -> f64 {
        match self {
            Self::Constant(a) => *a,
            Self::Tokens(row) => row[t],
        }
    }
}

/// An update batch: everything the learner and the objective need, ragged.
///
/// Trajectories of one group are contiguous.  Per-token vectors run over all completions in order.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenBatch {
    /// Group -> trajectories.
    pub groups: Offsets,
    /// Trajectory -> tokens of its completion.
    pub tokens: Offsets,
    /// First prompt of each trajectory; members of a group share the allocation.
    pub prompts: Vec<Arc<[u32]>>,
    /// Token ids of the completions.
    pub ids: Vec<u32>,
    /// True where a token counts in the loss.
    pub mask: Vec<bool>,
    /// Log-probability of each token under the sampler, nats.
    pub logp_sampler: Vec<f64>,
    /// Log-probability at the start of the update, nats; `None` means "equal to the current one" (on policy).
    pub logp_old: Option<Vec<f64>>,
    /// Log-probability under the reference policy, nats.
    pub logp_ref: Option<Vec<f64>>,
    /// Segment of each token inside its trajectory, counted from 0 (a rank, an item, a judged step); `None`: the run
    /// cuts nothing into segments.
    pub segments: Option<Vec<u32>>,
    /// Advantages.
    pub advantages: Advantages,
    /// Sampling temperature the log-probabilities refer to.
    pub temperature: f64,
}

impl TokenBatch {
    /// Number of trajectories.
    pub fn n_trajectories(&self) -> usize {
        self.tokens.len()
    }

    /// Number of completion tokens, masked ones included.
    pub fn n_tokens(&self) -> usize {
        self.tokens.total()
    }

    /// Checks that all parts agree in length and all numbers are finite.
    ///
    /// # Errors
    /// Names the first array that does not fit.
    pub fn check(&self) -> Result<(), DataError> {
        let (n, t) = (self.n_trajectories(), self.n_tokens());
        self.groups.spans().check_covers("trajectories", n)?;
        DataError::check_len("prompts", self.prompts.len(), n)?;
        DataError::check_len("ids", self.ids.len(), t)?;
        DataError::check_len("mask", self.mask.len(), t)?;
        DataError::check_len("logp_sampler", self.logp_sampler.len(), t)?;
        for (name, values) in [("logp_old", &self.logp_old), ("logp_ref", &self.logp_ref)] {
            if let Some(values) = values {
                DataError::check_len(name, values.len(), t)?;
                DataError::check_finite(name, values)?;
            }
        }
        if let Some(segments) = &self.segments {
            DataError::check_len("segments", segments.len(), t)?;
        }
        DataError::check_finite("logp_sampler", &self.logp_sampler)?;
        self.advantages.check(self.tokens.spans())
    }

    /// Splits the trajectories into runs of at most `max_tokens` model tokens (prompt and completion), at least
    /// one trajectory or, with [`Scope::Group`](crate::Scope::Group), one group each; `Batch` scope gives one run.
    pub fn parts(&self, scope: crate::Scope, max_tokens: usize) -> Vec<Range<usize>> {
        let cost = |i: usize| self.prompts[i].len() + self.tokens.range(i).len();
        let units: Vec<Range<usize>> = match scope {
            crate::Scope::Batch => return vec![0..self.n_trajectories()],
            crate::Scope::Group => self.groups.spans().iter().collect(),
            crate::Scope::Token | crate::Scope::Trajectory => {
                (0..self.n_trajectories()).map(|i| i..i + 1).collect()
            }
        };
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut used = 0;
        for unit in units.into_iter().filter(|u| !u.is_empty()) {
            let size: usize = unit.clone().map(cost).sum();
            match parts.last_mut() {
                Some(last) if used + size <= max_tokens => last.end = unit.end,
                _ => {
                    parts.push(unit);
                    used = 0;
                }
            }
            used += size;
        }
        parts
    }

    /// The batch of some of its groups, in the order given.
    ///
    /// # Errors
    /// [`DataError::Value`] if a group does not exist.
    pub fn select_groups(&self, chosen: &[usize]) -> Result<Self, DataError> {
        if let Some(g) = chosen.iter().find(|g| **g >= self.groups.len()) {
            return Err(DataError::value(
                format!("group {g}"),
                format!("not in a batch of {}", self.groups.len()),
            ));
        }
        let members: Vec<usize> = chosen.iter().flat_map(|g| self.groups.range(*g)).collect();
        let per_token = |values: &[f64]| -> Vec<f64> {
            members
                .iter()
                .flat_map(|i| values[self.tokens.range(*i)].iter().copied())
                .collect()
        };
        let segments = |all: &Vec<u32>| {
            members
                .iter()
                .flat_map(|i| all[self.tokens.range(*i)].iter().copied())
                .collect()
        };
        Ok(Self {
            groups: Offsets::from_lengths(chosen.iter().map(|g| self.groups.range(*g).len())),
            tokens: Offsets::from_lengths(members.iter().map(|i| self.tokens.range(*i).len())),
            prompts: members.iter().map(|i| Arc::clone(&self.prompts[*i])).collect(),
            ids: members
                .iter()
                .flat_map(|i| self.ids[self.tokens.range(*i)].iter().copied())
                .collect(),
            mask: members
                .iter()
                .flat_map(|i| self.mask[self.tokens.range(*i)].iter().copied())
                .collect(),
            logp_sampler: per_token(&self.logp_sampler),
            logp_old: self.logp_old.as_deref().map(per_token),
            logp_ref: self.logp_ref.as_deref().map(per_token),
            segments: self.segments.as_ref().map(segments),
            advantages: match &self.advantages {
                Advantages::Trajectory(a) => Advantages::Trajectory(members.iter().map(|i| a[*i]).collect()),
                Advantages::Token(a) => Advantages::Token(per_token(a)),
            },
            temperature: self.temperature,
        })
    }

    /// What an objective sees of a run of trajectories, at the given current log-probabilities.
    ///
    /// # Shapes
    /// `logp`, `entropy`: tokens of `part` only.
    ///
    /// # Errors
    /// [`DataError::Length`] if `logp` or `entropy` do not cover `part`.
    pub fn view<'a>(
        &'a self,
        part: Range<usize>,
        logp: &'a [f64],
        entropy: Option<&'a [f64]>,
    ) -> Result<TokenView<'a>, DataError> {
        let span = self.tokens.range_of(part.clone());
        DataError::check_len("logp", logp.len(), span.len())?;
        if let Some(entropy) = entropy {
            DataError::check_len("entropy", entropy.len(), span.len())?;
        }
        let clip = |x: usize| x.clamp(part.start, part.end) - part.start;
        let groups = self
            .groups
            .spans()
            .iter()
            .map(|g| clip(g.start)..clip(g.end))
            .filter(|g| !g.is_empty());
        Ok(TokenView {
            groups: Offsets::from_lengths(groups.map(|g| g.len())),
            tokens: self.tokens.slice(part.clone()),
            first_trajectory: part.start,
            mask: &self.mask[span.clone()],
            logp,
            logp_old: self.logp_old.as_ref().map_or(logp, |old| &old[span.clone()]),
            logp_ref: self.logp_ref.as_ref().map(|reference| &reference[span.clone()]),
            entropy,
            value: None,
            segments: self.segments.as_ref().map(|segments| &segments[span.clone()]),
            advantages: match &self.advantages {
                Advantages::Trajectory(a) => AdvantageView::Trajectory(&a[part]),
                Advantages::Token(a) => AdvantageView::Token(&a[span]),
            },
        })
    }
}

/// Advantages of a run of trajectories, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum AdvantageView<'a> {
    /// One per trajectory.
    Trajectory(&'a [f64]),
    /// One per token.
    Token(&'a [f64]),
}

/// A run of trajectories of an update batch, as an [`Objective`](crate::Objective) sees it: slices only.
#[derive(Clone, Debug)]
pub struct TokenView<'a> {
    /// Group -> trajectories of this view; whole groups when the objective's scope asks for them.
    pub groups: Offsets,
    /// Trajectory -> tokens of this view.
    pub tokens: Spans<'a>,
    /// Index of the first trajectory in the whole batch (for [`Denominators`]).
    pub first_trajectory: usize,
    /// True where a token counts.
    pub mask: &'a [bool],
    /// Current log-probabilities, nats.
    pub logp: &'a [f64],
    /// Log-probabilities at the start of the update, nats.
    pub logp_old: &'a [f64],
    /// Reference log-probabilities, nats.
    pub logp_ref: Option<&'a [f64]>,
    /// Entropy of the current distribution at each token, nats.
    pub entropy: Option<&'a [f64]>,
    /// Value estimates, where a critic exists.
    pub value: Option<&'a [f64]>,
    /// Segment of each token inside its trajectory.
    pub segments: Option<&'a [u32]>,
    /// Advantages.
    pub advantages: AdvantageView<'a>,
}

impl<'a> TokenView<'a> {
    /// Number of trajectories.
    pub fn n_trajectories(&self) -> usize {
        self.tokens.len()
    }

    /// Advantages of trajectory `i` of this view.
    pub fn advantage_row(&self, i: usize) -> AdvantageRow<'a> {
        match self.advantages {
            AdvantageView::Trajectory(a) => AdvantageRow::Constant(a[i]),
            AdvantageView::Token(a) => AdvantageRow::Tokens(&a[self.tokens.range(i)]),
        }
    }

    /// Number of tokens of trajectory `i` that count.
    pub fn n_counted(&self, i: usize) -> usize {
        self.mask[self.tokens.range(i)].iter().filter(|m| **m).count()
    }
}

/// What an objective divides by, for the whole update batch: a function of masks and groups only.
///
/// Computed before any micro-batch is formed; a micro-batch cannot change it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Denominators {
    /// Weight of a counted token of each trajectory: the policy term is `sum_i w_i sum_t mask_it x_it`.
    pub trajectory: Vec<f64>,
    /// Further whole-batch constants of an objective, in its own order.
    pub scalars: Vec<f64>,
}

impl Denominators {
    /// Weights of the trajectories of a view, out of those of the whole batch.
    ///
    /// # Errors
    /// [`DataError::Length`] if they end before the view does.
    pub fn of_view(&self, view: &TokenView<'_>) -> Result<&[f64], DataError> {
        let end = view.first_trajectory + view.n_trajectories();
        let weights = self.trajectory.get(view.first_trajectory..end);
        weights.ok_or_else(|| DataError::Length {
            what: "denominators".into(),
            found: self.trajectory.len(),
            expected: end,
        })
    }
}

/// Everything that stands behind a stop-gradient, for one view, in the objective's own order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frozen {
    /// Weight of a counted token of each trajectory of the view.
    pub trajectory: Vec<f64>,
    /// Per-token constants (for example CISPO's clipped weight).
    pub token: Vec<f64>,
    /// Further constants.
    pub scalars: Vec<f64>,
}

/// Derivatives of the loss by per-token scalars.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenGrads {
    /// d loss / d logp.
    pub d_logp: Vec<f64>,
    /// d loss / d entropy, if the loss depends on it.
    pub d_entropy: Option<Vec<f64>>,
    /// d loss / d value, if the loss depends on it.
    pub d_value: Option<Vec<f64>>,
}

/// Loss of a view, its derivatives and its named terms.  Loss and terms add up over the views of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The scalar to minimise.
    pub loss: f64,
    /// Its derivatives.
    pub grads: TokenGrads,
    /// Named figures for the log, in TRL's vocabulary; additive over views.
    pub terms: Vec<(&'static str, f64)>,
}

impl Evaluation {
    /// A named figure.
    pub fn term(&self, name: &str) -> Option<f64> {
        self.terms
            .iter()
            .find(|(found, _)| *found == name)
            .map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    fn batch() -> TokenBatch {
        let tokens = Offsets::from_lengths([2, 3, 1, 4]);
        TokenBatch {
            groups: Offsets::from_lengths([2, 2]),
            prompts: vec![Arc::from([1, 2]); 4],
            ids: vec![0; 10],
            mask: vec![true; 10],
            logp_sampler: vec![-1.0; 10],
            logp_old: None,
            logp_ref: None,
            segments: None,
            advantages: Advantages::Trajectory(vec![1.0, -1.0, 0.5, -0.5]),
            temperature: 1.0,
            tokens,
        }
    }

    #[test]
    fn parts_respect_the_scope_and_cover_the_batch() {
        let batch = batch();
        assert_eq!(batch.parts(Scope::Batch, 1), vec![0..4]);
        assert_eq!(batch.parts(Scope::Group, 1), vec![0..2, 2..4]);
        assert_eq!(batch.parts(Scope::Token, 9), vec![0..2, 2..4]);
        assert_eq!(batch.parts(Scope::Token, 1), vec![0..1, 1..2, 2..3, 3..4]);
    }

    #[test]
    fn a_view_starts_at_zero_and_reads_old_as_current_when_on_policy() {
        let batch = batch();
        let logp = [-0.1, -0.2, -0.3, -0.4];
        let view = batch.view(1..3, &logp, None).unwrap();
        assert_eq!(view.groups, Offsets::from_lengths([1, 1]));
        assert_eq!(view.tokens.iter().collect::<Vec<_>>(), vec![0..3, 3..4]);
        assert_eq!(view.logp_old, &logp);
        assert_eq!(view.advantage_row(1).at(0), 0.5);
        assert_eq!(view.segments, None);
        assert!(batch.view(0..1, &logp, None).is_err());
    }

    #[test]
    fn groups_can_be_selected_in_any_order() {
        let mut whole = batch();
        whole.ids = (0..10).collect();
        let picked = whole.select_groups(&[1, 0]).unwrap();
        assert_eq!(picked.ids, [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]);
        assert_eq!(
            picked.advantages,
            Advantages::Trajectory(vec![0.5, -0.5, 1.0, -1.0])
        );
        picked.check().unwrap();
        assert_eq!(whole.select_groups(&[0, 1]).unwrap(), whole);
        assert!(whole.select_groups(&[2]).is_err());
    }

    #[test]
    fn segments_go_with_their_tokens() {
        let mut whole = batch();
        whole.segments = Some((10..20).collect());
        let logp = [-0.1; 4];
        assert_eq!(
            whole.view(1..3, &logp, None).unwrap().segments,
            Some(&[12, 13, 14, 15][..])
        );
        let picked = whole.select_groups(&[1]).unwrap();
        assert_eq!(picked.segments, Some(vec![15, 16, 17, 18, 19]));
        whole.segments = Some(vec![0; 9]);
        assert_eq!(
            whole.check().unwrap_err().to_string(),
            "`segments` has 9 entries, expected 10"
        );
    }

    #[test]
    fn check_names_the_offender() {
        let mut wrong = batch();
        wrong.mask.pop();
        assert_eq!(
            wrong.check().unwrap_err().to_string(),
            "`mask` has 9 entries, expected 10"
        );
        let mut nan = batch();
        nan.logp_ref = Some(vec![f64::NAN; 10]);
        assert_eq!(nan.check().unwrap_err().to_string(), "index 0: `logp_ref` is NaN");
        let steps = Advantages::from_steps(&[2.0], &[1..3], 4).unwrap();
        assert_eq!(steps, Advantages::Token(vec![0.0, 2.0, 2.0, 0.0]));
        assert!(Advantages::from_steps(&[2.0], &[1..9], 4).is_err());
    }
}
