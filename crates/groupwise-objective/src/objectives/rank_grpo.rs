//! Rank-GRPO: each rank of a list is one action, with one ratio and one share of the loss.
//!
//! Ranks are the segments of the batch (judged steps in a run); advantages come per token from the estimator of the
//! same name, and carry its length shaping.

use std::ops::Range;

use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::answers::{self, check_loss};
use super::engine::check_view;
use crate::block::clamp;
use crate::exp::exp;
use crate::ratio::{SpanRatio, SpanReduction, has_slope, log_ratio};
use crate::regularizer::KlEstimator;

/// Longest list, so that the sums per rank fit into memory whatever a recipe says.
const MAX_RANKS: u32 = 1 << 20;

/// What one ratio is taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankRatio {
    /// The tokens of a rank, geometric mean; all overflow tokens are one rank more.
    #[default]
    Rank,
    /// Each token (GRPO).
    Token,
    /// The whole list, geometric mean (GSPO).
    Sequence,
}

/// How token losses are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RankAggregation {
    /// Every rank of every list weighs the same: `1 / (lists N)`, shared by its tokens.
    #[default]
    RankMean,
    /// Mean over all counted tokens of the update batch, overflow included (authors' code).
    TokenMean,
}

/// What becomes of tokens behind rank N under [`RankAggregation::RankMean`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// Left out of the loss.
    #[default]
    LeftOut,
    /// One segment more, with the weight of a rank: the choice where the estimator shapes the length.
    Segment,
}

/// Parameters of Rank-GRPO's objective.
///
/// # Formula
/// Per trajectory, k = min(segment of t, N), `w_k = exp(mean over the counted tokens of k of d)`,
/// `d_t = clamp(logp_t - logp_old_t, -20, 20)`; token loss
/// `l_t = max(-A_t w_k, -A_t clip(w_k, 1 - epsilon, 1 + epsilon_high)) + beta kl_t`;
/// `loss = 1/(lists N) sum_lists sum_(k<N) mean over the tokens of k of l_t`.
/// The derivative by `logp_u` of a counted token is
/// `1/n_k sum_(t in k) W_t s_t + W_u beta kl'_u`, with W the weights, `s_t = -A_t w_k` where the clip lets through
/// and 0 elsewhere; the first part is 0 where `|d_u| >= 20`.
///
/// # Shapes
/// Log-probabilities in nats per token; advantages per trajectory or per token; one segment per token.
///
/// # Edge cases
/// - A rank without counted tokens contributes 0 and N stays the divisor; so does a list without any.
/// - N = 1 and `rank-mean` is GRPO with the sequence's geometric-mean ratio.
/// - The KL estimate is each token's own, never averaged inside the exponential.
///
/// # Errors
/// Building refuses parameters out of range.  Evaluating refuses slices that do not fit, missing segments, a missing
/// `logp_ref` where `beta > 0`, and names trajectory and token of a number that is not finite.
///
/// # Terms
/// `policy_loss`; `clip_ratio/low_mean`, `/high_mean`, `/region_mean` (share of counted tokens below with `A < 0`,
/// above with `A > 0`, either); `kl` (mean estimate to the reference) where `logp_ref` is there; `kl_loss` with
/// `beta > 0`.
///
/// # Source
/// Rank-GRPO (arXiv 2510.20150); ratio, surrogate and `token-mean` as `rank_grpo_trainer.py` of the authors
/// (yaochenzhu/Rank-GRPO at 0808d82c).  `rank-mean`, the default, follows the paper, which makes the rank the unit.
/// The clamp on the log-ratio is ours.
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_batch};
/// use groupwise_objective::objectives::RankGrpoConfig;
/// let config = RankGrpoConfig { n_ranks: 2, beta: 0.0, ..RankGrpoConfig::default() };
/// let (mut batch, logp) = NestedBatch {
///     logp: vec![vec![vec![-0.5, -1.0, -1.0]]],
///     logp_old: Some(vec![vec![vec![-0.52, -1.02, -1.04]]]),
///     logp_ref: None,
///     mask: None,
///     advantages: NestedAdvantages::Token(vec![vec![vec![1.0, 1.0, -2.0]]]),
/// }
/// .to_batch()?;
/// batch.segments = Some(vec![0, 0, 1]);
/// let at = evaluate_batch(config.build(&())?.as_ref(), &batch, &logp)?;
/// let w = [f64::exp(0.02), f64::exp(0.04)];
/// assert!((at.loss - (-w[0] + 2.0 * w[1]) / 2.0).abs() < 1e-12);
/// assert!((at.grad_logp[0][0][0] + w[0] / 4.0).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankGrpoConfig {
    /// N, ranks of a list; in 1..=1048576.
    pub n_ranks: u32,
    /// What one ratio is taken over.
    pub ratio: RankRatio,
    /// The ratio is cut below `1 - epsilon`; in [0, 1).
    pub epsilon: f64,
    /// The ratio is cut above `1 + epsilon_high`; in [0, 1).
    pub epsilon_high: f64,
    /// How token losses are averaged.
    pub aggregation: RankAggregation,
    /// What becomes of tokens behind rank N.
    pub overflow: Overflow,
    /// Coefficient of the KL term, >= 0; 0 switches it off.
    pub beta: f64,
    /// Which estimate of KL.
    pub kl_estimator: KlEstimator,
}

impl Default for RankGrpoConfig {
    fn default() -> Self {
        Self {
            n_ranks: 20,
            ratio: RankRatio::Rank,
            epsilon: 0.06,
            epsilon_high: 0.08,
            aggregation: RankAggregation::RankMean,
            overflow: Overflow::LeftOut,
            beta: 1e-3,
            kl_estimator: KlEstimator::K3,
        }
    }
}

impl Part<dyn Objective> for RankGrpoConfig {
    const SOURCE: &'static str = "Rank-GRPO (arXiv 2510.20150) and rank_grpo_trainer.py of its authors; `rank-mean` \
         follows the paper, `token-mean` the code";

    fn formula(&self) -> String {
        let n = self.n_ranks;
        let ratio = match self.ratio {
            RankRatio::Rank => format!("w = exp(mean of d over the tokens of rank min(k, {n}))"),
            RankRatio::Token => "w = exp(d_t)".into(),
            RankRatio::Sequence => "w = exp(mean of d over the list)".into(),
        };
        let mean = match (self.aggregation, self.overflow) {
            (RankAggregation::TokenMean, _) => "loss = 1/tokens sum l".into(),
            (RankAggregation::RankMean, Overflow::LeftOut) => {
                format!("loss = 1/lists 1/{n} sum_(k < {n}) mean of l over rank k")
            }
            (RankAggregation::RankMean, Overflow::Segment) => {
                format!("loss = 1/lists 1/{n} sum_(k <= {n}) mean of l over rank k, {n} all overflow")
            }
        };
        let kl = if self.beta == 0.0 {
            String::new()
        } else {
            let k = self.kl_estimator.formula();
            format!(" + {} ({k}), u = clamp(logp_ref - logp, -20, 20)", self.beta)
        };
        let (low, high) = (self.epsilon, self.epsilon_high);
        format!(
            "{mean}; l = max(-A w, -A clip(w, 1 - {low}, 1 + {high})){kl}; {ratio}, d = clamp(logp - logp_old, -20, 20)"
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        let n = self.n_ranks;
        ParamError::check(
            (1..=MAX_RANKS).contains(&n),
            "n_ranks",
            n,
            "a number in 1..=1048576",
        )?;
        for (key, value) in [("epsilon", self.epsilon), ("epsilon_high", self.epsilon_high)] {
            ParamError::check((0.0..1.0).contains(&value), key, value, "a number in [0, 1)")?;
        }
        let beta = self.beta;
        ParamError::check_coefficient("beta", beta)?;
        Ok(Box::new(RankGrpo(self.clone())))
    }
}

/// Valid by construction.  `Frozen::scalars`: lists and counted tokens of the whole batch.
#[derive(Debug)]
struct RankGrpo(RankGrpoConfig);

/// Log-ratio and counted tokens of every segment of one trajectory, reused along a view.
struct Segments {
    sums: Vec<f64>,
    counts: Vec<usize>,
    /// Sum over the tokens of the segment of weight times slope.
    pulls: Vec<f64>,
}

/// What a view adds up to.
#[derive(Default)]
struct Figures {
    policy: f64,
    kl_loss: f64,
    kl: f64,
    low: f64,
    high: f64,
}

impl Objective for RankGrpo {
    fn needs(&self) -> Needs {
        let needs = Needs::TOKENS | Needs::LOGP_OLD | Needs::SEGMENTS;
        if self.0.beta > 0.0 {
            needs | Needs::LOGP_REF
        } else {
            needs
        }
    }

    fn scope(&self) -> Scope {
        Scope::Trajectory
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let counted = batch.mask.iter().filter(|m| **m).count();
        Ok(Denominators {
            trajectory: Vec::new(),
            scalars: vec![batch.n_trajectories() as f64, counted as f64],
        })
    }

    fn freeze(&self, denominators: &Denominators, _: &TokenView<'_>) -> Result<Frozen, DataError> {
        DataError::check_len("denominators", denominators.scalars.len(), 2)?;
        Ok(Frozen {
            scalars: denominators.scalars.clone(),
            ..Frozen::default()
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        let part = "rank-grpo";
        let ranks = view.segments.ok_or(DataError::Missing {
            what: "segments",
            part,
        })?;
        if self.0.beta > 0.0 && view.logp_ref.is_none() {
            return Err(DataError::Missing {
                what: "logp_ref",
                part,
            });
        }
        DataError::check_len("frozen scalars", frozen.scalars.len(), 2)?;
        let (lists, counted) = (frozen.scalars[0], frozen.scalars[1]);
        let mut d_logp = vec![0.0; view.logp.len()];
        let (mut figures, mut segments) = (Figures::default(), Segments::new(self.0.n_ranks));
        for (i, tokens) in view.tokens.iter().enumerate() {
            check_finite(view, i, tokens.clone())?;
            self.row(
                view,
                (i, tokens),
                ranks,
                (lists, counted),
                &mut segments,
                (&mut figures, &mut d_logp),
            );
        }
        let loss = check_loss(figures.policy + figures.kl_loss)?;
        Ok(Evaluation {
            loss,
            grads: TokenGrads {
                d_logp,
                d_entropy: None,
                d_value: None,
            },
            terms: self.terms(&figures, counted, view),
        })
    }
}

impl RankGrpo {
    /// One list: adds its figures and writes its derivatives.
    fn row(
        &self,
        view: &TokenView<'_>,
        (i, tokens): (usize, Range<usize>),
        ranks: &[u32],
        (lists, counted): (f64, f64),
        segments: &mut Segments,
        (figures, d_logp): (&mut Figures, &mut [f64]),
    ) {
        let config = &self.0;
        let mine = || tokens.clone().filter(|t| view.mask[*t]);
        segments.gather(mine(), ranks, view);
        let whole = segments.whole();
        let advantages = view.advantage_row(i);
        for t in mine() {
            let k = segments.index(ranks[t]);
            let weight = match config.aggregation {
                RankAggregation::TokenMean => 1.0 / counted,
                RankAggregation::RankMean => {
                    let left_out = k == config.n_ranks as usize && config.overflow == Overflow::LeftOut;
                    let share = lists * f64::from(config.n_ranks) * segments.counts[k] as f64;
                    if left_out { 0.0 } else { 1.0 / share }
                }
            };
            let d = log_ratio(view.logp[t], view.logp_old[t]);
            let ratio = exp(match config.ratio {
                RankRatio::Token => d,
                RankRatio::Rank => segments.of(k).log_ratio,
                RankRatio::Sequence => whole.log_ratio,
            });
            let slope = self.token(weight * advantages.at(t - tokens.start), ratio, figures);
            segments.pulls[k] += slope;
            d_logp[t] = match config.ratio {
                RankRatio::Token if has_slope(d) => slope,
                _ => 0.0,
            };
            if let Some(reference) = view.logp_ref {
                let point = config.kl_estimator.evaluate(view.logp[t], reference[t]);
                figures.kl += point.value;
                figures.kl_loss += weight * config.beta * point.value;
                d_logp[t] += weight * config.beta * point.slope;
            }
        }
        let pull_of_all: f64 = segments.pulls.iter().sum();
        for t in mine().filter(|t| has_slope(log_ratio(view.logp[*t], view.logp_old[*t]))) {
            let k = segments.index(ranks[t]);
            d_logp[t] += match config.ratio {
                RankRatio::Token => 0.0,
                RankRatio::Rank => segments.of(k).share * segments.pulls[k],
                RankRatio::Sequence => whole.share * pull_of_all,
            };
        }
    }

    /// Adds the policy loss of a token, `a` its weighted advantage; gives the derivative by the log-ratio.
    fn token(&self, a: f64, ratio: f64, figures: &mut Figures) -> f64 {
        let (low, high) = (1.0 - self.0.epsilon, 1.0 + self.0.epsilon_high);
        let below = a < 0.0 && ratio < low;
        let above = a > 0.0 && ratio > high;
        figures.low += f64::from(u8::from(below));
        figures.high += f64::from(u8::from(above));
        let kept = if below || above {
            clamp(ratio, low, high)
        } else {
            ratio
        };
        figures.policy -= a * kept;
        if below || above { 0.0 } else { -a * ratio }
    }

    fn terms(&self, figures: &Figures, counted: f64, view: &TokenView<'_>) -> Vec<(&'static str, f64)> {
        let mean = |total: f64| if counted > 0.0 { total / counted } else { 0.0 };
        let mut terms = vec![
            ("policy_loss", figures.policy),
            ("clip_ratio/low_mean", mean(figures.low)),
            ("clip_ratio/high_mean", mean(figures.high)),
            ("clip_ratio/region_mean", mean(figures.low + figures.high)),
        ];
        if view.logp_ref.is_some() {
            terms.push(("kl", mean(figures.kl)));
        }
        if self.0.beta > 0.0 {
            terms.push(("kl_loss", figures.kl_loss));
        }
        terms
    }
}

impl Segments {
    /// N ranks and one segment for all that overflows.
    fn new(n_ranks: u32) -> Self {
        let n = n_ranks as usize + 1;
        Self {
            sums: vec![0.0; n],
            counts: vec![0; n],
            pulls: vec![0.0; n],
        }
    }

    fn index(&self, rank: u32) -> usize {
        (rank as usize).min(self.sums.len() - 1)
    }

    /// Starts over with the tokens of another trajectory.
    fn gather(&mut self, tokens: impl Iterator<Item = usize>, ranks: &[u32], view: &TokenView<'_>) {
        self.sums.fill(0.0);
        self.counts.fill(0);
        self.pulls.fill(0.0);
        for t in tokens {
            let k = self.index(ranks[t]);
            self.sums[k] += log_ratio(view.logp[t], view.logp_old[t]);
            self.counts[k] += 1;
        }
    }

    fn of(&self, k: usize) -> SpanRatio {
        SpanRatio::of_sum(self.sums[k], self.counts[k], SpanReduction::Mean)
    }

    /// All segments as one span.
    fn whole(&self) -> SpanRatio {
        let (sum, counted) = (self.sums.iter().sum(), self.counts.iter().sum());
        SpanRatio::of_sum(sum, counted, SpanReduction::Mean)
    }
}

/// Names the first number of trajectory `i` that is not finite.
fn check_finite(view: &TokenView<'_>, i: usize, tokens: Range<usize>) -> Result<(), DataError> {
    let advantages = view.advantage_row(i);
    for t in tokens.clone().filter(|t| view.mask[*t]) {
        for (what, value) in [
            ("logp", view.logp[t]),
            ("logp_old", view.logp_old[t]),
            ("logp_ref", view.logp_ref.map_or(0.0, |r| r[t])),
            ("advantage", advantages.at(t - tokens.start)),
        ] {
            answers::check_finite(view, (i, t - tokens.start), what, value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "rank_grpo_tests.rs"]
mod tests;
