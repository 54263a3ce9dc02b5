//! LLDS: likelihood-preserving regularization, added to any objective.
//!
//! Tokens of responses with a non-negative advantage that became less likely than at sampling time are pulled back,
//! inside actions that became less likely as a whole.  Source: arXiv 2512.04220 (v2), equations 4 to 6; the authors'
//! code divides otherwise (see [`LldsNorm`]), the paper is the default here.

use std::ops::Range;

use groupwise_core::batch::AdvantageRow;
use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, Spans,
    TokenBatch, TokenView,
};
use serde::{Deserialize, Serialize};

use super::ObjectiveSpec;
use super::engine::check_view;

/// Which run of tokens must have lost likelihood in total before its tokens are penalized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LldsGate {
    /// The action: a maximal run of tokens the policy chose (the paper's best; the authors' `chunk_noreduce`).
    #[default]
    Action,
    /// The whole response.
    Response,
    /// The token itself: a plain one-sided penalty.
    Token,
}

/// What the sum of penalties is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LldsNorm {
    /// Mean over preserved responses of their token means (the paper).
    #[default]
    Sequence,
    /// All tokens of the batch, those of negative advantage included (the authors' code, per micro-batch there).
    Token,
}

/// Which tokens are the final answer, for `answer_weight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerSpan {
    /// Not known: no token is weighed down.
    #[default]
    Unknown,
    /// The last action of the response, as in worlds where tools are called first and answered last.
    LastAction,
}

/// Parameters of LLDS.
///
/// # Formula
/// As [`Llds`]; `loss = base + penalty`.
///
/// # Shapes
/// Those of the base objective; log-probabilities in nats per token.
///
/// # Edge cases
/// Those of [`Llds`].  Advantages per token: their sum over the counted tokens decides whether a response is
/// preserved.  A response whose mask is cleared (unscorable, not trained on) is not.
///
/// # Errors
/// Building refuses parameters out of range, those of the base included.  Data: as the base and [`Llds`].
///
/// # Terms
/// Those of the base; `llds_loss`, the summand of the loss; `llds/active_mean`, the share of the counted tokens of the
/// batch that the penalty lifts.
///
/// # Source
/// arXiv 2512.04220; vengdeng/LLDS-On-Group-Relative-Policy-Optimization-Collapse-in-Search-R1,
/// `verl/workers/actor/dp_actor.py`.  The last action as the answer span is ours: an update batch carries no text.
///
/// # Example
/// ```
/// use groupwise_objective::ObjectiveSpec;
/// let spec: ObjectiveSpec = toml::from_str("[llds]\nlambda = 0.1\n[llds.base.gspo]\nbeta = 0.001")?;
/// let objective = spec.build(&())?;
/// assert_eq!(objective.scope(), groupwise_core::Scope::Trajectory);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LldsConfig {
    /// Strength of the penalty, >= 0.  Paper: 0.2; 0.01 only delays collapse.
    #[serde(alias = "lam")]
    pub lambda: f64,
    /// Which run of tokens opens the penalty.
    pub gate: LldsGate,
    /// Weight of the tokens of the final answer, in [0, 1]; below 1 is the variant MA.
    pub answer_weight: f64,
    /// Which tokens are the final answer.
    pub answer_span: AnswerSpan,
    /// What the penalties are divided by.
    pub norm: LldsNorm,
    /// The objective that is regularized.
    pub base: Box<ObjectiveSpec>,
}

impl Default for LldsConfig {
    fn default() -> Self {
        Self {
            lambda: 0.2,
            gate: LldsGate::Action,
            answer_weight: 1.0,
            answer_span: AnswerSpan::Unknown,
            norm: LldsNorm::Sequence,
            base: Box::new(ObjectiveSpec::Grpo(Default::default())),
        }
    }
}

impl Part<dyn Objective> for LldsConfig {
    const SOURCE: &'static str =
        "LLDS (arXiv 2512.04220 v2), equations 4-6; `norm = token` as the authors' `dp_actor.py`";

    fn formula(&self) -> String {
        let units = match self.gate {
            LldsGate::Action => "actions with sum D > 0",
            LldsGate::Response => "responses with sum D > 0",
            LldsGate::Token => "tokens with D > 0",
        };
        let mean = match self.norm {
            LldsNorm::Sequence => "mean_{i: A_i >= 0} 1/n_i sum_t",
            LldsNorm::Token => "1 / (sum_j n_j) sum_{i: A_i >= 0} sum_t",
        };
        let weight = match self.answer_span {
            AnswerSpan::Unknown => "1".to_owned(),
            AnswerSpan::LastAction => format!("{} in the last action, else 1", self.answer_weight),
        };
        format!(
            "{} + {} {mean} w_t max(0, D_t) over {units}; D_t = logp_old - logp, w_t = {weight}",
            self.base.formula(),
            self.lambda
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        let penalty = Llds::new(self.lambda, self.gate, self.answer_weight, self.norm)?;
        ParamError::check(
            self.answer_weight == 1.0 || self.answer_span != AnswerSpan::Unknown,
            "answer_weight",
            self.answer_weight,
            "1 where `answer_span` is unknown: no token could be weighed",
        )?;
        let base = self.base.build(&()).map_err(|error| ParamError {
            key: format!("base.{}.{}", self.base.name(), error.key),
            ..error
        })?;
        Ok(Box::new(Regularized {
            penalty,
            span: self.answer_span,
            base,
        }))
    }
}

/// Maximal runs of counted tokens, in order: the actions between tool outputs.
///
/// # Shapes
/// `mask`: per token of one response; the ranges index it.
///
/// # Edge cases
/// No counted token: nothing.
///
/// # Example
/// ```
/// use groupwise_objective::objectives::llds::actions;
/// let mask = [true, true, false, true];
/// assert_eq!(actions(&mask).collect::<Vec<_>>(), [0..2, 3..4]);
/// ```
pub fn actions(mask: &[bool]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + mask[next..].iter().position(|m| *m)?;
        let length = mask[start..].iter().position(|m| !*m);
        next = length.map_or(mask.len(), |length| start + length);
        Some(start..next)
    })
}

/// Responses as the penalty reads them.
#[derive(Clone, Copy, Debug)]
pub struct LldsBatch<'a> {
    /// Response -> tokens.
    pub tokens: Spans<'a>,
    /// True where the policy chose the token.
    pub mask: &'a [bool],
    /// Current log-probabilities, nats.
    pub logp: &'a [f64],
    /// Log-probabilities at sampling time, nats.
    pub logp_old: &'a [f64],
    /// One advantage per response.
    pub advantages: &'a [f64],
    /// True on tokens of the final answer; `None`: not known, no token is weighed down.
    pub answer: Option<&'a [bool]>,
}

/// The penalty of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct LldsEvaluation {
    /// The penalty, `lambda` included.
    pub loss: f64,
    /// Its derivative by each log-probability.
    pub d_logp: Vec<f64>,
    /// True on the tokens that are penalized.
    pub active: Vec<bool>,
}

/// The penalty alone, valid by construction.
///
/// # Formula
/// `D_t = logp_old_t - logp_t`; `Y` the responses with `A_i >= 0` and a counted token; `on_u = [sum_{t in u} D_t > 0]`
/// for each gate unit u, without gradient; `w_t = answer_weight` on answer tokens, else 1.
/// `loss = lambda mean_{i in Y} 1/n_i sum_{t in on units} w_t max(0, D_t)`, derivative `-lambda w_t / (n_i |Y|)` on
/// active tokens (unit on, `D_t > 0`).  `norm = token`: divisor `sum_j n_j` over all responses in place of `n_i |Y|`.
///
/// # Shapes
/// Advantages per response, everything else per token; nats.
///
/// # Edge cases
/// - No preserved response: 0.  An advantage of exactly 0 (a uniform group) is preserved.
/// - A response without counted tokens is not preserved.
/// - `D_t = 0` and a unit that sums to 0 are inactive, so the first update after sampling is untouched.
/// - Tokens that do not count, and responses that are not preserved, may hold any log-probability.
/// - No answer span: no token is weighed down.
///
/// # Errors
/// Lengths that differ; an advantage, or a log-probability of a counted token of a preserved response, that is not
/// finite, named by trajectory and token.
///
/// # Source
/// arXiv 2512.04220 v2, equations 4 to 6.  The authors' script gives answer tokens a strength of their own,
/// `min(answer lambda, lambda)`: that is `answer_weight = min(answer lambda, lambda) / lambda`.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_objective::objectives::llds::{Llds, LldsBatch, LldsGate, LldsNorm};
/// let tokens = Offsets::from_lengths([5, 2, 2]);
/// let mut mask = [true; 9];
/// mask[2] = false;
/// let at = Llds::new(0.2, LldsGate::Action, 1.0, LldsNorm::Sequence)?.evaluate(&LldsBatch {
///     tokens: tokens.spans(),
///     mask: &mask,
///     logp: &[-1.0, -0.5, -2.0, -0.7, -0.2, -0.3, -0.4, -3.0, -3.0],
///     logp_old: &[-0.8, -0.6, -2.0, -0.9, -0.1, -0.5, -0.1, -1.0, -1.0],
///     advantages: &[1.0, 0.0, -1.0],
///     answer: None,
/// })?;
/// assert!((at.loss - 0.02).abs() < 1e-12);
/// assert_eq!(at.d_logp, [-0.025, 0.0, 0.0, 0.0, 0.0, 0.0, -0.05, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llds {
    lambda: f64,
    gate: LldsGate,
    answer_weight: f64,
    norm: LldsNorm,
}

impl Llds {
    /// Validates.
    ///
    /// # Errors
    /// `lambda` negative or not finite, `answer_weight` outside [0, 1].
    pub fn new(lambda: f64, gate: LldsGate, answer_weight: f64, norm: LldsNorm) -> Result<Self, ParamError> {
        ParamError::check_coefficient("lambda", lambda)?;
        ParamError::check(
            (0.0..=1.0).contains(&answer_weight),
            "answer_weight",
            answer_weight,
            "a number in [0, 1]",
        )?;
        Ok(Self {
            lambda,
            gate,
            answer_weight,
            norm,
        })
    }

    /// Penalty, derivative and active tokens.
    ///
    /// # Errors
    /// See the type.
    pub fn evaluate(&self, batch: &LldsBatch<'_>) -> Result<LldsEvaluation, DataError> {
        let n = batch.tokens.total();
        DataError::check_len("mask", batch.mask.len(), n)?;
        DataError::check_len("logp", batch.logp.len(), n)?;
        DataError::check_len("logp_old", batch.logp_old.len(), n)?;
        DataError::check_len("advantages", batch.advantages.len(), batch.tokens.len())?;
        DataError::check_len("answer", batch.answer.map_or(n, <[bool]>::len), n)?;
        let constant = |i: usize| AdvantageRow::Constant(batch.advantages[i]);
        let divisors = Divisors::count(batch.tokens, batch.mask, constant)?;
        let weigh = self.lambda * divisors.scale(self.norm);
        let mut out = LldsEvaluation {
            loss: 0.0,
            d_logp: vec![0.0; n],
            active: vec![false; n],
        };
        for (i, tokens) in batch.tokens.iter().enumerate() {
            let row = Row::of(tokens.clone(), batch.mask, batch.logp, batch.logp_old);
            if !preserved(constant(i), row.mask, i)? {
                continue;
            }
            row.check(i)?;
            let weight = weigh * self.share(row.n_counted());
            self.for_each_open(&row, |t| {
                let answer = batch.answer.is_some_and(|answer| answer[tokens.start + t]);
                let weight = weight * if answer { self.answer_weight } else { 1.0 };
                let drop = row.drop(t);
                if drop > 0.0 {
                    out.loss += weight * drop;
                    out.d_logp[tokens.start + t] = -weight;
                    out.active[tokens.start + t] = true;
                }
            });
        }
        Ok(out)
    }

    /// Part of a response's weight that depends on its own length.
    fn share(&self, n_counted: usize) -> f64 {
        match self.norm {
            LldsNorm::Sequence => 1.0 / n_counted as f64,
            LldsNorm::Token => 1.0,
        }
    }

    /// Visits the counted tokens of the gate units that are on.
    fn for_each_open(&self, row: &Row<'_>, mut visit: impl FnMut(usize)) {
        let counted = |range: Range<usize>| range.filter(|t| row.mask[*t]);
        let lost = |range: Range<usize>| counted(range).map(|t| row.drop(t)).sum::<f64>() > 0.0;
        match self.gate {
            LldsGate::Action => actions(row.mask)
                .filter(|action| lost(action.clone()))
                .for_each(|action| action.for_each(&mut visit)),
            LldsGate::Response => {
                let whole = 0..row.mask.len();
                if lost(whole.clone()) {
                    counted(whole).for_each(visit);
                }
            }
            LldsGate::Token => counted(0..row.mask.len())
                .filter(|t| row.drop(*t) > 0.0)
                .for_each(visit),
        }
    }
}

/// One response.
struct Row<'a> {
    mask: &'a [bool],
    logp: &'a [f64],
    logp_old: &'a [f64],
}

impl<'a> Row<'a> {
    fn of(tokens: Range<usize>, mask: &'a [bool], logp: &'a [f64], logp_old: &'a [f64]) -> Self {
        Self {
            mask: &mask[tokens.clone()],
            logp: &logp[tokens.clone()],
            logp_old: &logp_old[tokens],
        }
    }

    /// `D_t`: how much less likely the token became.
    fn drop(&self, t: usize) -> f64 {
        self.logp_old[t] - self.logp[t]
    }

    fn n_counted(&self) -> usize {
        self.mask.iter().filter(|m| **m).count()
    }

    /// Refuses a counted log-probability that is not finite.
    fn check(&self, trajectory: usize) -> Result<(), DataError> {
        for t in (0..self.mask.len()).filter(|t| self.mask[*t]) {
            for (what, value) in [("logp", self.logp[t]), ("logp_old", self.logp_old[t])] {
                if !value.is_finite() {
                    return Err(DataError::NonFinite {
                        place: format!("trajectory {trajectory}, token {t}"),
                        what: what.into(),
                        value: value.to_string(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// True if the response's likelihood is to be preserved.
fn preserved(advantages: AdvantageRow<'_>, mask: &[bool], trajectory: usize) -> Result<bool, DataError> {
    let counted = || (0..mask.len()).filter(|t| mask[*t]);
    let advantage = match advantages {
        AdvantageRow::Constant(a) => a,
        AdvantageRow::Tokens(row) => counted().map(|t| row[t]).sum(),
    };
    if !advantage.is_finite() {
        return Err(DataError::NonFinite {
            place: format!("trajectory {trajectory}"),
            what: "advantage".into(),
            value: advantage.to_string(),
        });
    }
    Ok(advantage >= 0.0 && counted().next().is_some())
}

/// What penalties of the whole batch are divided by.
struct Divisors {
    preserved: usize,
    counted: usize,
}

impl Divisors {
    fn count<'a>(
        tokens: Spans<'_>,
        mask: &[bool],
        advantages: impl Fn(usize) -> AdvantageRow<'a>,
    ) -> Result<Self, DataError> {
        let mut out = Self {
            preserved: 0,
            counted: mask.iter().filter(|m| **m).count(),
        };
        for (i, span) in tokens.iter().enumerate() {
            out.preserved += usize::from(preserved(advantages(i), &mask[span], i)?);
        }
        Ok(out)
    }

    fn scale(&self, norm: LldsNorm) -> f64 {
        let divisor = match norm {
            LldsNorm::Sequence => self.preserved,
            LldsNorm::Token => self.counted,
        };
        // Without anything to divide by there is nothing to divide.
        1.0 / divisor.max(1) as f64
    }
}

/// Any objective with the penalty added.
///
/// `Denominators`: those of the base, then two scalars: the scale of the penalty, one over the counted tokens.
/// `Frozen`: that of the base, then one weight per token, and one more scalar: one over the counted tokens.
#[derive(Debug)]
struct Regularized {
    penalty: Llds,
    span: AnswerSpan,
    base: Box<dyn Objective>,
}

impl Regularized {
    /// Appends the weight of every token of the view: 0 where its gate is shut.
    fn push_weights(&self, scale: f64, view: &TokenView<'_>, out: &mut Vec<f64>) -> Result<(), DataError> {
        let first = out.len();
        out.resize(first + view.logp.len(), 0.0);
        for (i, tokens) in view.tokens.iter().enumerate() {
            let (row, trajectory) = (
                Row::of(tokens.clone(), view.mask, view.logp, view.logp_old),
                view.first_trajectory + i,
            );
            if !preserved(view.advantage_row(i), row.mask, trajectory)? {
                continue;
            }
            row.check(trajectory)?;
            let weight = scale * self.penalty.share(row.n_counted());
            let weights = &mut out[first + tokens.start..first + tokens.end];
            self.penalty.for_each_open(&row, |t| weights[t] = weight);
            if self.span == AnswerSpan::LastAction
                && let Some(answer) = actions(row.mask).last()
            {
                for w in &mut weights[answer] {
                    *w *= self.penalty.answer_weight;
                }
            }
        }
        Ok(())
    }
}

impl Objective for Regularized {
    fn needs(&self) -> Needs {
        self.base.needs() | Needs::TOKENS | Needs::LOGP_OLD
    }

    fn scope(&self) -> Scope {
        self.base.scope().max(Scope::Trajectory)
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let mut out = self.base.denominators(batch)?;
        let advantages = |i: usize| match &batch.advantages {
            groupwise_core::Advantages::Trajectory(a) => AdvantageRow::Constant(a[i]),
            groupwise_core::Advantages::Token(a) => AdvantageRow::Tokens(&a[batch.tokens.range(i)]),
        };
        let divisors = Divisors::count(batch.tokens.spans(), &batch.mask, advantages)?;
        out.scalars
            .push(self.penalty.lambda * divisors.scale(self.penalty.norm));
        out.scalars.push(divisors.scale(LldsNorm::Token));
        Ok(out)
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        check_view(view)?;
        let [rest @ .., scale, per_token] = denominators.scalars.as_slice() else {
            return Err(too_few("denominators", denominators.scalars.len(), 2));
        };
        let mut frozen = self.base.freeze(
            &Denominators {
                trajectory: denominators.trajectory.clone(),
                scalars: rest.to_vec(),
            },
            view,
        )?;
        self.push_weights(*scale, view, &mut frozen.token)?;
        frozen.scalars.push(*per_token);
        Ok(frozen)
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        let n = view.logp.len();
        let Some((tokens, weights)) = frozen
            .token
            .len()
            .checked_sub(n)
            .map(|held| frozen.token.split_at(held))
        else {
            return Err(too_few("frozen tokens", frozen.token.len(), n));
        };
        let [scalars @ .., per_token] = frozen.scalars.as_slice() else {
            return Err(too_few("frozen scalars", 0, 1));
        };
        let held = Frozen {
            trajectory: frozen.trajectory.clone(),
            token: tokens.to_vec(),
            scalars: scalars.to_vec(),
        };
        let mut out = self.base.evaluate(&held, view)?;
        let (mut penalty, mut active) = (0.0, 0_usize);
        for (t, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            let drop = view.logp_old[t] - view.logp[t];
            if drop > 0.0 {
                penalty += weight * drop;
                out.grads.d_logp[t] -= weight;
                active += 1;
            }
        }
        out.loss += penalty;
        out.terms.push(("llds_loss", penalty));
        out.terms.push(("llds/active_mean", active as f64 * per_token));
        Ok(out)
    }
}

fn too_few(what: &str, found: usize, expected: usize) -> DataError {
    DataError::Length {
        what: what.into(),
        found,
        expected,
    }
}

#[cfg(test)]
#[path = "llds_tests.rs"]
mod tests;
