//! P3O: pairwise proximal policy optimization.
//!
//! Only differences of rewards inside a group count: the policy gradient over pairs of answers, with importance
//! weights of whole answers, clipped per answer (`v1`) or in the log-ratio between the two (`v2`).
//! Source: arXiv 2310.00212.  No authors' code is known; the clipped forms are those whose gradient is the paper's
//! pairwise gradient where nothing is clipped.

use groupwise_core::batch::AdvantageView;
use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, Offsets, ParamError, Part, Scope, Spans,
    TokenBatch, TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::engine::check_view;
use crate::block::clamp;
use crate::exp::exp;
use crate::ratio::LOG_RATIO_CLAMP;
use crate::regularizer::{KlEstimator, KlPenalty};

/// What is clipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum P3oVariant {
    /// The ratio of each answer, as in PPO.
    V1,
    /// The log-ratio between the two answers.
    #[default]
    V2,
    /// Nothing: the plain pairwise gradient.
    None,
}

/// Parameters of P3O.
///
/// # Formula
/// As [`P3o`], with the advantages of the batch as rewards.
///
/// # Shapes
/// One advantage per trajectory, in units of reward, log-probabilities in nats per token.
///
/// # Edge cases
/// The loss sees rewards through the advantages, and these only through differences inside a group: `raw` and any
/// estimator that subtracts a common baseline (`dr-grpo`) give the same P3O; one that divides by a deviation rescales
/// each group.  A trajectory without counted tokens (unscorable, or not to be trained on) is in no pair.
///
/// # Errors
/// Building refuses parameters out of range.  Data: a group of one trajectory; advantages per token; numbers that are
/// not finite, named by trajectory and token.
///
/// # Terms
/// `policy_loss`; `clip_ratio/region_mean`, the share of pairs (of answers of pairs with `v1`) whose clip holds;
/// `p3o/ratio_product_mean`, the mean of `rho_1 rho_2` over pairs: it leaves 1 as the samples grow old.
///
/// # Source
/// arXiv 2310.00212; the mean over all pairs of a group larger than two is an extension that makes P3O on policy the
/// leave-one-out gradient, up to a factor.
///
/// # Example
/// ```
/// use groupwise_objective::ObjectiveSpec;
/// let spec: ObjectiveSpec = toml::from_str("[p3o]\nvariant = 'v1'\nbeta = 0.05")?;
/// assert!(spec.formula().contains("1 - 0.2"));
/// assert!(spec.kl_penalty()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct P3oConfig {
    /// What is clipped.
    pub variant: P3oVariant,
    /// Width of the clip, > 0.  With `v2` in nats of the log-ratio of whole answers: very tight for long ones.
    #[serde(alias = "eps")]
    pub epsilon: f64,
    /// Coefficient of the KL penalty (k1 summed over the answer, at the old log-probabilities) that is taken off the
    /// reward, >= 0.
    #[serde(alias = "kl_coef")]
    pub beta: f64,
}

impl Default for P3oConfig {
    fn default() -> Self {
        Self {
            variant: P3oVariant::V2,
            epsilon: 0.2,
            beta: 0.1,
        }
    }
}

impl P3oConfig {
    /// The penalty to take off rewards, where `beta > 0`.
    ///
    /// # Errors
    /// `beta` out of range.
    pub fn kl_penalty(&self) -> Result<Option<KlPenalty>, ParamError> {
        let penalty = KlPenalty::new(KlEstimator::K1, self.beta)?;
        Ok((self.beta > 0.0).then_some(penalty))
    }
}

impl Part<dyn Objective> for P3oConfig {
    const SOURCE: &'static str =
        "P3O (arXiv 2310.00212); pairwise gradient as its theorem, clipped forms reconstructed from it";

    fn formula(&self) -> String {
        let e = self.epsilon;
        let pair = match self.variant {
            P3oVariant::V1 => format!(
                "O = 1/2 sum_{{i in pair}} min(k_i rho_i, k_i clip(rho_i, 1 - {e}, 1 + {e})), k_i = sg(D_i rho_other)"
            ),
            P3oVariant::V2 => format!("O = 1/2 min(k u, k clip(u, -{e}, {e})), k = sg(D rho_1 rho_2)"),
            P3oVariant::None => "O = 1/2 k u, k = sg(D rho_1 rho_2)".into(),
        };
        let reward = match self.beta > 0.0 {
            true => format!("; reward -= {} sum_t (logp_old - logp_ref)", self.beta),
            false => String::new(),
        };
        format!(
            "loss = -mean over groups of mean over pairs O; {pair}; D = A_1 - A_2, u = l_1 - l_2, \
             l = sum_t (logp - logp_old), rho = exp(clamp(l, -20, 20)){reward}"
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        self.kl_penalty()?;
        Ok(Box::new(Pairwise {
            rule: P3o::new(self.variant, self.epsilon)?,
            penalized: self.beta > 0.0,
        }))
    }
}

/// What one pair of answers adds to the objective to be raised, and its derivatives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairTerm {
    /// `O`.
    pub value: f64,
    /// Its derivatives by the log-ratios `l_1` and `l_2`.
    pub slopes: [f64; 2],
    /// Share of the pair's clips that hold, in [0, 1].
    pub clipped: f64,
}

/// Answers as P3O reads them.
#[derive(Clone, Copy, Debug)]
pub struct P3oBatch<'a> {
    /// Group -> answers.
    pub groups: Spans<'a>,
    /// Answer -> tokens.
    pub tokens: Spans<'a>,
    /// True where a token counts.
    pub mask: &'a [bool],
    /// Current log-probabilities, nats.
    pub logp: &'a [f64],
    /// Log-probabilities at sampling time, nats.
    pub logp_old: &'a [f64],
    /// Reward of each answer, KL penalty taken off; `None`: cannot be scored, in no pair.
    pub rewards: &'a [Option<f64>],
}

/// Loss of a batch and its derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct P3oEvaluation {
    /// The scalar to minimize.
    pub loss: f64,
    /// Its derivative by each log-probability, what stands behind a stop-gradient held.
    pub d_logp: Vec<f64>,
}

/// The pairwise loss, valid by construction.
///
/// # Formula
/// `l_i = sum_t mask (logp - logp_old)`, `rho_i = exp(clamp(l_i, -20, 20))`; for a pair `D = R_1 - R_2`,
/// `u = l_1 - l_2`, `k = sg(D rho_1 rho_2)`:
///
/// | variant | `O` |
/// |---|---|
/// | `v1` | `1/2 sum_i min(k_i rho_i, k_i clip(rho_i, 1 - eps, 1 + eps))`, `k_1 = sg(D rho_2)`, `k_2 = sg(-D rho_1)` |
/// | `v2` | `1/2 min(k u, k clip(u, -eps, eps))` |
/// | `none` | `1/2 k u` |
///
/// `loss = -mean over groups of (mean over pairs i < j of O)`; each counted token of an answer has the derivative of
/// the answer's `l`.
///
/// # Shapes
/// Rewards per answer; log-probabilities in nats per token.  Lengths are not normalized.
///
/// # Edge cases
/// - `D = 0`: the pair has no gradient.  A masked token is left out of `l`.
/// - Where `l` is clamped, `rho` has no derivative (`u` is not clamped).
/// - On the edge of a clip the derivative is that of the unclipped side.
/// - Unscorable (`None`): in no pair; a group without a pair is left out of the mean over groups.
///
/// # Errors
/// A group with fewer than two answers; lengths that differ; a reward or a counted log-probability that is not finite.
///
/// # Source
/// arXiv 2310.00212.  Subtracting the old log-ratio from `u` moves the value by a constant, not the gradient.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_objective::objectives::p3o::{P3o, P3oBatch, P3oVariant};
/// let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([2, 1]));
/// let at = P3o::new(P3oVariant::V2, 0.2)?.evaluate(&P3oBatch {
///     groups: groups.spans(),
///     tokens: tokens.spans(),
///     mask: &[true; 3],
///     logp: &[-1.0, -2.0, -0.5],
///     logp_old: &[-1.0, -2.0, -0.5],
///     rewards: &[Some(1.0), Some(0.0)],
/// })?;
/// assert_eq!((at.loss, at.d_logp), (0.0, vec![-0.5, -0.5, 0.5]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct P3o {
    variant: P3oVariant,
    epsilon: f64,
}

impl P3o {
    /// Validates.
    ///
    /// # Errors
    /// `epsilon` not a finite number > 0.
    pub fn new(variant: P3oVariant, epsilon: f64) -> Result<Self, ParamError> {
        ParamError::check(
            epsilon > 0.0 && epsilon.is_finite(),
            "epsilon",
            epsilon,
            "a finite number > 0",
        )?;
        Ok(Self { variant, epsilon })
    }

    /// The term of one pair.
    ///
    /// # Shapes
    /// `difference`: `D`, in units of reward; `log_ratios`: `l_1`, `l_2`, nats; `frozen`: `rho_1`, `rho_2` as they
    /// stand behind the stop-gradient.
    ///
    /// # Example
    /// ```
    /// use groupwise_objective::objectives::p3o::{P3o, P3oVariant};
    /// let pair = P3o::new(P3oVariant::V2, 0.25)?.pair(2.0, [0.5, 0.0], [1.0, 1.0]);
    /// assert_eq!((pair.value, pair.slopes, pair.clipped), (0.25, [0.0, 0.0], 1.0));
    /// # Ok::<(), groupwise_core::ParamError>(())
    /// ```
    pub fn pair(&self, difference: f64, log_ratios: [f64; 2], frozen: [f64; 2]) -> PairTerm {
        let [first, second] = log_ratios;
        let (k, u, e) = (difference * frozen[0] * frozen[1], first - second, self.epsilon);
        match self.variant {
            P3oVariant::None => joint(k, u, u),
            P3oVariant::V2 => joint(k, u, clamp(u, -e, e)),
            P3oVariant::V1 => {
                let (value, slope, clipped) = self.separate(difference * frozen[1], first);
                let (other, other_slope, other_clipped) = self.separate(-difference * frozen[0], second);
                PairTerm {
                    value: 0.5 * (value + other),
                    slopes: [0.5 * slope, 0.5 * other_slope],
                    clipped: 0.5 * (clipped + other_clipped),
                }
            }
        }
    }

    /// `min(k rho, k clip(rho))`, its derivative by the log-ratio, and whether the clip holds.
    fn separate(&self, k: f64, log_ratio: f64) -> (f64, f64, f64) {
        let rho = ratio(log_ratio);
        let (open, shut) = (k * rho, k * clamp(rho, 1.0 - self.epsilon, 1.0 + self.epsilon));
        match (open <= shut, log_ratio.abs() < LOG_RATIO_CLAMP) {
            (true, true) => (open, open, 0.0),
            (true, false) => (open, 0.0, 0.0),
            (false, _) => (shut, 0.0, 1.0),
        }
    }

    /// Loss and derivative of a batch.
    ///
    /// # Errors
    /// See the type.
    pub fn evaluate(&self, batch: &P3oBatch<'_>) -> Result<P3oEvaluation, DataError> {
        let (n, answers) = (batch.tokens.total(), batch.tokens.len());
        batch.groups.check_covers("answers", answers)?;
        DataError::check_len("mask", batch.mask.len(), n)?;
        DataError::check_len("logp", batch.logp.len(), n)?;
        DataError::check_len("logp_old", batch.logp_old.len(), n)?;
        DataError::check_len("rewards", batch.rewards.len(), answers)?;
        let weights = pair_weights(batch.groups, |i| batch.rewards[i].is_some())?;
        let rewards: Vec<f64> = batch.rewards.iter().map(|r| r.unwrap_or(0.0)).collect();
        let answers = Answers {
            tokens: batch.tokens,
            mask: batch.mask,
            first: 0,
        };
        let log_ratios = answers.log_ratios(batch.logp, batch.logp_old, &weights)?;
        let frozen: Vec<f64> = log_ratios.iter().map(|l| ratio(*l)).collect();
        let sums = self.sum(batch.groups, &weights, &rewards, &log_ratios, &frozen);
        if !sums.value.is_finite() {
            return Err(not_finite(-sums.value));
        }
        Ok(P3oEvaluation {
            loss: 0.0 - sums.value,
            d_logp: answers.spread(&sums.slopes),
        })
    }

    /// All pairs of all groups.
    fn sum(
        &self,
        groups: Spans<'_>,
        weights: &[f64],
        rewards: &[f64],
        log_ratios: &[f64],
        frozen: &[f64],
    ) -> Sums {
        let mut out = Sums {
            value: 0.0,
            clipped: 0.0,
            product: 0.0,
            slopes: vec![0.0; rewards.len()],
        };
        for members in groups.iter() {
            for i in members.clone().filter(|i| weights[*i] > 0.0) {
                for j in (i + 1..members.end).filter(|j| weights[*j] > 0.0) {
                    let term = self.pair(
                        rewards[i] - rewards[j],
                        [log_ratios[i], log_ratios[j]],
                        [frozen[i], frozen[j]],
                    );
                    let w = weights[i];
                    out.value += w * term.value;
                    out.clipped += w * term.clipped;
                    out.product += w * frozen[i] * frozen[j];
                    out.slopes[i] += w * term.slopes[0];
                    out.slopes[j] += w * term.slopes[1];
                }
            }
        }
        out
    }
}

/// Sums over pairs, each with its weight.
struct Sums {
    value: f64,
    clipped: f64,
    product: f64,
    /// Derivative of the value by each answer's log-ratio.
    slopes: Vec<f64>,
}

/// `O = min(k u, k clip(u)) / 2`.
fn joint(k: f64, u: f64, shut: f64) -> PairTerm {
    let open = k * u <= k * shut;
    let slope = if open { 0.5 * k } else { 0.0 };
    PairTerm {
        value: 0.5 * k * if open { u } else { shut },
        slopes: [slope, -slope],
        clipped: if open { 0.0 } else { 1.0 },
    }
}

fn ratio(log_ratio: f64) -> f64 {
    exp(clamp(log_ratio, -LOG_RATIO_CLAMP, LOG_RATIO_CLAMP))
}

/// Weight of a pair of each answer's group, 0 for answers in no pair: one over the pairs of the group and over the
/// groups that have any.
///
/// # Errors
/// A group of fewer than two answers.
fn pair_weights(groups: Spans<'_>, in_pairs: impl Fn(usize) -> bool) -> Result<Vec<f64>, DataError> {
    let mut weights = vec![0.0; groups.total()];
    let mut n_groups = 0_usize;
    for (g, members) in groups.iter().enumerate() {
        if members.len() < 2 {
            let what = format!(
                "has {} of the two or more trajectories a pair needs",
                members.len()
            );
            return Err(DataError::value(format!("group {g}"), what));
        }
        let n = members.clone().filter(|i| in_pairs(*i)).count();
        if n < 2 {
            continue;
        }
        n_groups += 1;
        for i in members.filter(|i| in_pairs(*i)) {
            weights[i] = 2.0 / (n as f64 * (n as f64 - 1.0));
        }
    }
    for w in &mut weights {
        *w /= n_groups.max(1) as f64;
    }
    Ok(weights)
}

/// Token structure of a run of answers.
struct Answers<'a> {
    tokens: Spans<'a>,
    mask: &'a [bool],
    /// Index of the first answer in the whole batch, for messages.
    first: usize,
}

impl Answers<'_> {
    /// `l` of every answer that is in a pair, 0 for the others.
    fn log_ratios(&self, logp: &[f64], logp_old: &[f64], weights: &[f64]) -> Result<Vec<f64>, DataError> {
        let mut out = vec![0.0; self.tokens.len()];
        for (i, tokens) in self.tokens.iter().enumerate().filter(|(i, _)| weights[*i] > 0.0) {
            for t in tokens.clone().filter(|t| self.mask[*t]) {
                for (what, value) in [("logp", logp[t]), ("logp_old", logp_old[t])] {
                    if !value.is_finite() {
                        return Err(DataError::NonFinite {
                            place: format!("trajectory {}, token {}", self.first + i, t - tokens.start),
                            what: what.into(),
                            value: value.to_string(),
                        });
                    }
                }
                out[i] += logp[t] - logp_old[t];
            }
        }
        Ok(out)
    }

    /// Minus the slope of each answer, on its counted tokens: the derivative of the loss.
    fn spread(&self, slopes: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.mask.len()];
        for (tokens, slope) in self.tokens.iter().zip(slopes).filter(|(_, s)| **s != 0.0) {
            for t in tokens.filter(|t| self.mask[*t]) {
                out[t] = -slope;
            }
        }
        out
    }
}

fn not_finite(value: f64) -> DataError {
    DataError::NonFinite {
        place: "sum over pairs".into(),
        what: "loss".into(),
        value: value.to_string(),
    }
}

/// The pairwise loss as an objective.
///
/// `Frozen`: `trajectory` the weight of a pair of the trajectory, 0 where it is in none; `scalars` its ratio.
#[derive(Debug)]
struct Pairwise {
    rule: P3o,
    /// True if a KL penalty is taken off the rewards.
    penalized: bool,
}

/// Any counted token: what makes a trajectory of an update batch one of a pair.
fn speaks(tokens: std::ops::Range<usize>, mask: &[bool]) -> bool {
    mask[tokens].iter().any(|m| *m)
}

fn answers<'a>(view: &TokenView<'a>) -> Answers<'a> {
    Answers {
        tokens: view.tokens,
        mask: view.mask,
        first: view.first_trajectory,
    }
}

impl Objective for Pairwise {
    fn needs(&self) -> Needs {
        let reference = if self.penalized {
            Needs::LOGP_REF
        } else {
            Needs::empty()
        };
        Needs::TOKENS | Needs::LOGP_OLD | reference
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let groups: &Offsets = &batch.groups;
        let in_pairs = |i: usize| speaks(batch.tokens.range(i), &batch.mask);
        Ok(Denominators {
            trajectory: pair_weights(groups.spans(), in_pairs)?,
            scalars: Vec::new(),
        })
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        check_view(view)?;
        let weights = denominators.of_view(view)?;
        let log_ratios = answers(view).log_ratios(view.logp, view.logp_old, weights)?;
        Ok(Frozen {
            trajectory: weights.to_vec(),
            token: Vec::new(),
            scalars: log_ratios.into_iter().map(ratio).collect(),
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        DataError::check_len("frozen weights", frozen.trajectory.len(), view.n_trajectories())?;
        DataError::check_len("frozen ratios", frozen.scalars.len(), view.n_trajectories())?;
        let AdvantageView::Trajectory(rewards) = view.advantages else {
            let what = "stand per token, and P3O compares whole trajectories";
            return Err(DataError::value("advantages", what));
        };
        let answers = answers(view);
        let log_ratios = answers.log_ratios(view.logp, view.logp_old, &frozen.trajectory)?;
        let sums = self.rule.sum(
            view.groups.spans(),
            &frozen.trajectory,
            rewards,
            &log_ratios,
            &frozen.scalars,
        );
        if !sums.value.is_finite() {
            return Err(not_finite(-sums.value));
        }
        Ok(Evaluation {
            loss: 0.0 - sums.value,
            grads: TokenGrads {
                d_logp: answers.spread(&sums.slopes),
                d_entropy: None,
                d_value: None,
            },
            terms: vec![
                ("policy_loss", 0.0 - sums.value),
                ("clip_ratio/region_mean", sums.clipped),
                ("p3o/ratio_product_mean", sums.product),
            ],
        })
    }
}

#[cfg(test)]
#[path = "p3o_tests.rs"]
mod tests;
