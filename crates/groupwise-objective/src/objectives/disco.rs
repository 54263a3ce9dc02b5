//! DisCO: right answers scored above wrong ones, the step held small by a constraint on KL.
//!
//! No advantage, no clip: an answer's score is its mean log-probability or its mean ratio, every mixed group weighs
//! the same whatever its success rate, and the penalty is exactly 0 while the KL to the sampling policy is below
//! delta.  Source: arXiv 2505.12366; `compute_policy_loss_disco_*` in `core_algos.py` of Optimization-AI/DisCO.
//! The rewards, 0 and 1, come as the advantages of `[advantage.raw]`.

use std::ops::Range;

use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::answers::{Answer, answers, check_finite, check_loss, constants};
use super::engine::check_view;
use crate::exp::exp;
use crate::ratio::{has_slope, log_ratio};
use crate::regularizer::{KlEstimator, KlPoint};

/// What an answer is scored by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Score {
    /// Mean log-probability, nats per token; needs no old log-probabilities.
    #[default]
    #[serde(rename = "logL")]
    LogL,
    /// Mean ratio to the sampling policy.
    Lratio,
}

impl Score {
    /// Temperature of the authors' scripts for the robust form.
    fn default_tau(self) -> f64 {
        match self {
            Self::LogL => 10.0,
            Self::Lratio => 1.0,
        }
    }
}

/// How the wrong answers of a group become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// `tau log mean exp(s / tau)`: the distributionally robust form, which looks at the highest scores most.
    #[default]
    Robust,
    /// The mean: DisCO-b.
    Mean,
}

/// The constant in front of the penalty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// `(beta / 2) max(K - delta, 0)^2`, whose gradient is that of the authors' code.
    #[default]
    Code,
    /// `beta max(K - delta, 0)^2`, as the paper writes it.
    Paper,
}

/// Parameters of DisCO; the default is the robust form with log-probability scores.
///
/// # Formula
/// `loss = -J + (beta / 2) max(K - delta, 0)^2`; `J = 1/Q sum_g (mean_{r = 1} s - B)` over groups with both kinds;
/// `B = tau log mean_{r = 0} exp(s / tau)`, or the mean for `negatives = "mean"`; `s_i` the mean over counted tokens
/// of `logp` (`logL`) or `exp(logp - logp_old)` (`Lratio`); `K` the mean over all counted tokens of the batch of
/// `logp_old - logp` (k1) or `exp(d) - d - 1`, `d = logp - logp_old` (k3).
///
/// # Shapes
/// Log-probabilities in nats per token; one reward per trajectory, 0 or 1, in the place of the advantage; Q counts
/// every group of the batch, `K` is in nats per token.
///
/// # Edge cases
/// A group without a right or without a wrong answer adds 0 to J, and counts in Q and K.  A trajectory without
/// counted tokens is left out of its group.  `K < 0`, possible with k1: no penalty.  Log-ratios are clamped to +-20,
/// where the derivative is 0.
///
/// # Errors
/// Building: `tau <= 0`, `tau` beside `negatives = "mean"`, `delta < 0`, `beta < 0`, `kl = "k2"`.  Data: a reward
/// other than 0 and 1; a view that is not the whole batch; a number that is not finite, by trajectory and token.
///
/// # Terms
/// `policy_loss` (`-J`), `approx_kl` (K), `kl_loss` (the penalty), `frac_groups_mixed` (share of groups with both
/// kinds).
///
/// # Source
/// DisCO (arXiv 2505.12366); `core_algos.py` of Optimization-AI/DisCO.  The factor 1/2 of the penalty is the code's,
/// to which the published beta belongs; `penalty = "paper"` leaves it out.  The code returns a surrogate of about 1
/// for the robust form; the value here is the true one, the gradient is the same.  Robust `Lratio` could not run as
/// published; it is as in the paper.
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested, worked_example};
/// use groupwise_objective::objectives::DiscoConfig;
/// let rewards = NestedAdvantages::Trajectory(vec![vec![1.0, 0.0, 0.0], vec![1.0, 0.0]]);
/// let batch = NestedBatch { advantages: rewards, ..worked_example() };
/// let at = evaluate_nested(DiscoConfig { delta: 1.0, ..Default::default() }.build(&())?.as_ref(), &batch)?;
/// // Within delta the loss is -J: scores -0.95160, -0.41030, -2.86495 and -1.420175, -0.28525.
/// assert!((at.loss - 0.262014002).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoConfig {
    /// What an answer is scored by.
    pub score: Score,
    /// How the wrong answers of a group become one number.
    pub negatives: Negatives,
    /// Temperature of the robust form, > 0; small: only the highest-scored wrong answer counts.  Absent: 10 for
    /// `logL`, 1 for `Lratio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// KL that costs nothing, nats per token, >= 0.
    pub delta: f64,
    /// Slope of the penalty, >= 0.  With a small model and larger steps: about 1 / delta.
    pub beta: f64,
    /// Estimate of the KL: k1 or k3.
    pub kl: KlEstimator,
    /// The constant in front of the penalty.
    pub penalty: Penalty,
}

impl Default for DiscoConfig {
    fn default() -> Self {
        Self {
            score: Score::LogL,
            negatives: Negatives::Robust,
            tau: None,
            delta: 1e-4,
            beta: 1e3,
            kl: KlEstimator::K1,
            penalty: Penalty::Code,
        }
    }
}

/// Parameters of DisCO-b, the form without the focus on the highest-scored wrong answers.
///
/// # Formula, shapes, edge cases, errors, source
/// Those of [`DiscoConfig`] with `negatives = "mean"`.
///
/// # Example
/// ```
/// use groupwise_objective::objectives::{DiscoBConfig, Negatives};
/// assert_eq!(DiscoBConfig::default().general().negatives, Negatives::Mean);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoBConfig {
    /// What an answer is scored by.
    pub score: Score,
    /// KL that costs nothing, nats per token, >= 0.
    pub delta: f64,
    /// Slope of the penalty, >= 0.
    pub beta: f64,
    /// Estimate of the KL: k1 or k3.
    pub kl: KlEstimator,
    /// The constant in front of the penalty.
    pub penalty: Penalty,
}

impl Default for DiscoBConfig {
    fn default() -> Self {
        let DiscoConfig {
            score,
            delta,
            beta,
            kl,
            penalty,
            ..
        } = DiscoConfig::default();
        Self {
            score,
            delta,
            beta,
            kl,
            penalty,
        }
    }
}

impl DiscoBConfig {
    /// The same objective in the general form.
    pub fn general(&self) -> DiscoConfig {
        DiscoConfig {
            score: self.score,
            negatives: Negatives::Mean,
            tau: None,
            delta: self.delta,
            beta: self.beta,
            kl: self.kl,
            penalty: self.penalty,
        }
    }
}

const SOURCE: &str = "DisCO (arXiv 2505.12366); Optimization-AI/DisCO `core_algos.py`, whose factor of the \
                      penalty is the default";

impl Part<dyn Objective> for DiscoBConfig {
    const SOURCE: &'static str = SOURCE;

    fn formula(&self) -> String {
        self.general().formula()
    }

    fn build(&self, context: &()) -> Result<Box<dyn Objective>, ParamError> {
        self.general().build(context)
    }
}

impl Part<dyn Objective> for DiscoConfig {
    const SOURCE: &'static str = SOURCE;

    fn formula(&self) -> String {
        let score = match self.score {
            Score::LogL => "logp_t",
            Score::Lratio => "exp(d_t)",
        };
        let negatives = match self.negatives {
            Negatives::Mean => "mean_{r = 0} s".into(),
            Negatives::Robust => {
                let tau = self.tau.unwrap_or(self.score.default_tau());
                format!("{tau} log mean_{{r = 0}} exp(s / {tau})")
            }
        };
        let factor = match self.penalty {
            Penalty::Code => self.beta / 2.0,
            Penalty::Paper => self.beta,
        };
        let kl = match self.kl {
            KlEstimator::K3 => "exp(d_t) - d_t - 1",
            _ => "-d_t",
        };
        format!(
            "loss = -J + {factor} max(K - {}, 0)^2; J = 1/Q sum_g (mean_{{r = 1}} s - {negatives}), groups of one \
             kind add 0; s_i = mean_t {score}; K = mean over all tokens of {kl}, d_t = clamp(logp - logp_old, -20, \
             20); r = advantage, 0 or 1",
            self.delta
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        if let (Negatives::Mean, Some(tau)) = (self.negatives, self.tau) {
            return Err(ParamError::new("tau", tau, "absent where `negatives` = mean"));
        }
        let tau = self.tau.unwrap_or(self.score.default_tau());
        let positive = tau > 0.0 && tau.is_finite();
        ParamError::check(positive, "tau", tau, "a finite number > 0")?;
        for (key, value) in [("delta", self.delta), ("beta", self.beta)] {
            ParamError::check_coefficient(key, value)?;
        }
        ParamError::check(self.kl != KlEstimator::K2, "kl", "k2", "k1 or k3")?;
        Ok(Box::new(Disco {
            score: self.score,
            tau: (self.negatives == Negatives::Robust).then_some(tau),
            delta: self.delta,
            beta: match self.penalty {
                Penalty::Code => self.beta,
                Penalty::Paper => 2.0 * self.beta,
            },
            kl: self.kl,
        }))
    }
}

/// Mean log-probability or mean ratio of one answer; `None` if no token counts.
///
/// # Formula
/// `logL`: `s = 1/n sum_t mask logp_t`.  `Lratio`: `s = 1/n sum_t mask exp(clamp(logp_t - logp_old_t, -20, 20))`.
///
/// # Shapes
/// Slices of one trajectory, equally long; nats.
///
/// # Errors
/// [`DataError::Length`] if the lengths differ.
///
/// # Source
/// DisCO (arXiv 2505.12366), section 4.2.
///
/// # Example
/// ```
/// use groupwise_objective::objectives::{Score, answer_score};
/// let logp = [-0.2638, -5.4291, -0.3083];
/// let s = answer_score(Score::LogL, &logp, &[-0.3085, -5.3754, -0.3664], &[true; 3])?;
/// assert!((s.unwrap_or(0.0) + 2.0004).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn answer_score(
    score: Score,
    logp: &[f64],
    logp_old: &[f64],
    mask: &[bool],
) -> Result<Option<f64>, DataError> {
    DataError::check_len("logp_old", logp_old.len(), logp.len())?;
    DataError::check_len("mask", mask.len(), logp.len())?;
    let counted = mask.iter().filter(|m| **m).count();
    let sum: f64 = (0..logp.len())
        .filter(|t| mask[*t])
        .map(|t| token_score(score, logp[t], logp_old[t]))
        .sum();
    Ok((counted > 0).then(|| sum / counted as f64))
}

#[inline]
fn token_score(score: Score, logp: f64, logp_old: f64) -> f64 {
    match score {
        Score::LogL => logp,
        Score::Lratio => exp(log_ratio(logp, logp_old)),
    }
}

/// How far the right answers of a group are scored above the wrong ones, with the derivative by each score.
///
/// # Formula
/// `J = mean_{right} s - B`, `B = tau log mean_{wrong} exp(s / tau)` with the maximum taken out, or the mean of the
/// wrong ones without `tau`.  `dJ/ds_i` is `1 / n_right` for right answers and, for wrong ones,
/// `-softmax(s / tau)_i` or `-1 / n_wrong`.
///
/// # Shapes
/// One entry per answer of a group; `tau` in units of the score; `slopes` is overwritten.
///
/// # Edge cases
/// No right or no wrong answer: 0, slopes 0.
///
/// # Errors
/// [`DataError::Length`] if the lengths differ.
///
/// # Source
/// DisCO (arXiv 2505.12366), equations 7 and 8.
///
/// # Example
/// ```
/// let (scores, right) = ([-0.813120, -1.173380, -0.350340], [false, false, true]);
/// let mut slopes = [0.0; 3];
/// let robust = groupwise_objective::objectives::contrast(&scores, &right, Some(10.0), &mut slopes)?;
/// assert!((robust - 0.641287747).abs() < 1e-9);
/// assert!((slopes[0] + 0.509005526).abs() < 1e-9);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn contrast(
    scores: &[f64],
    right: &[bool],
    tau: Option<f64>,
    slopes: &mut [f64],
) -> Result<f64, DataError> {
    DataError::check_len("right", right.len(), scores.len())?;
    DataError::check_len("slopes", slopes.len(), scores.len())?;
    slopes.fill(0.0);
    let n_right = right.iter().filter(|r| **r).count() as f64;
    let n_wrong = scores.len() as f64 - n_right;
    if n_right == 0.0 || n_wrong == 0.0 {
        return Ok(0.0);
    }
    // Scores are taken relative to the highest wrong one: nothing overflows, and a common offset costs no digits.
    let wrong = || (0..scores.len()).filter(|i| !right[*i]);
    let top = wrong().map(|i| scores[i]).fold(f64::NEG_INFINITY, f64::max);
    let (mut above, mut total) = (0.0, 0.0);
    for (i, slope) in slopes.iter_mut().enumerate() {
        let relative = scores[i] - top;
        if right[i] {
            above += relative / n_right;
            *slope = 1.0 / n_right;
        } else {
            // Below e^-700 a share is 0 to every digit.
            *slope = tau.map_or(relative, |tau| exp((relative / tau).max(-700.0)));
            total += *slope;
        }
    }
    for i in wrong() {
        slopes[i] = tau.map_or(-1.0 / n_wrong, |_| -slopes[i] / total);
    }
    Ok(above - tau.map_or(total / n_wrong, |tau| tau * (total / n_wrong).ln()))
}

/// `Denominators` and `Frozen`: `scalars` are `1 / Q` and the counted tokens of the batch.
#[derive(Debug)]
struct Disco {
    score: Score,
    /// `None`: the mean of the wrong answers.
    tau: Option<f64>,
    delta: f64,
    /// Slope of the penalty: its derivative is `beta max(K - delta, 0) dK`.
    beta: f64,
    kl: KlEstimator,
}

/// Room for one group.
#[derive(Default)]
struct Scratch {
    answers: Vec<Answer>,
    scores: Vec<f64>,
    right: Vec<bool>,
    slopes: Vec<f64>,
}

/// What the groups of a batch add up to.
#[derive(Default)]
struct Totals {
    objective: f64,
    kl: f64,
    mixed: usize,
}

impl Objective for Disco {
    fn needs(&self) -> Needs {
        Needs::TOKENS | Needs::LOGP_OLD
    }

    fn scope(&self) -> Scope {
        Scope::Batch
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let counted = batch.mask.iter().filter(|m| **m).count();
        Ok(Denominators {
            trajectory: Vec::new(),
            scalars: vec![1.0 / batch.groups.len().max(1) as f64, counted as f64],
        })
    }

    fn freeze(&self, denominators: &Denominators, _: &TokenView<'_>) -> Result<Frozen, DataError> {
        Ok(Frozen {
            scalars: denominators.scalars.clone(),
            ..Frozen::default()
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        let [per_group, counted] = constants(&frozen.scalars)?;
        let here = view.mask.iter().filter(|m| **m).count();
        if here as f64 != counted {
            return Err(DataError::value(
                "view",
                format!(
                    "{here} counted tokens of {counted}: the constraint on KL, and mixed groups, need the whole batch"
                ),
            ));
        }
        let (mut d_logp, mut totals) = (vec![0.0; view.logp.len()], Totals::default());
        let mut scratch = Scratch::default();
        for members in view.groups.spans().iter() {
            self.group(view, members, per_group, &mut scratch, (&mut d_logp, &mut totals))?;
        }
        let kl = if here > 0 { totals.kl / counted } else { 0.0 };
        let excess = (kl - self.delta).max(0.0);
        if excess > 0.0 {
            let slope = self.beta * excess / counted;
            for t in (0..d_logp.len()).filter(|t| view.mask[*t]) {
                d_logp[t] += slope * self.divergence(view.logp[t], view.logp_old[t]).slope;
            }
        }
        let objective = per_group * totals.objective;
        let penalty = 0.5 * self.beta * excess * excess;
        let loss = check_loss(penalty - objective)?;
        Ok(Evaluation {
            loss,
            grads: TokenGrads {
                d_logp,
                d_entropy: None,
                d_value: None,
            },
            terms: vec![
                ("policy_loss", -objective),
                ("approx_kl", kl),
                ("kl_loss", penalty),
                ("frac_groups_mixed", per_group * totals.mixed as f64),
            ],
        })
    }
}

impl Disco {
    /// KL to the sampling policy, estimated from one of its tokens, and the derivative by `logp`.
    #[inline]
    fn divergence(&self, logp: f64, logp_old: f64) -> KlPoint {
        // The block estimates the KL of its first argument to its second and differentiates by the first; both
        // depend on the difference only.
        let point = self.kl.evaluate(logp_old, logp);
        KlPoint {
            slope: -point.slope,
            ..point
        }
    }

    /// One group: its J, its share of K, and the derivative of `-J / Q`.
    fn group(
        &self,
        view: &TokenView<'_>,
        members: Range<usize>,
        per_group: f64,
        room: &mut Scratch,
        (d_logp, totals): (&mut [f64], &mut Totals),
    ) -> Result<(), DataError> {
        answers(view, members, &mut room.answers)?;
        room.scores.clear();
        room.right.clear();
        for answer in &room.answers {
            room.right.push(is_right(view, answer)?);
            let tokens = view.tokens.range(answer.index);
            let mut sum = 0.0;
            for t in tokens.clone().filter(|t| view.mask[*t]) {
                let (logp, old) = (view.logp[t], view.logp_old[t]);
                check_finite(view, (answer.index, t - tokens.start), "logp", logp)?;
                check_finite(view, (answer.index, t - tokens.start), "logp_old", old)?;
                let score = token_score(self.score, logp, old);
                totals.kl += self.divergence(logp, old).value;
                sum += score;
                d_logp[t] = match self.score {
                    Score::LogL => 1.0,
                    Score::Lratio if has_slope(log_ratio(logp, old)) => score,
                    Score::Lratio => 0.0,
                };
            }
            room.scores.push(sum / answer.counted as f64);
        }
        room.slopes.resize(room.scores.len(), 0.0);
        totals.objective += contrast(&room.scores, &room.right, self.tau, &mut room.slopes)?;
        totals.mixed += usize::from(room.right.contains(&true) && room.right.contains(&false));
        for (answer, slope) in room.answers.iter().zip(&room.slopes) {
            let each = -per_group * slope / answer.counted as f64;
            for t in view.tokens.range(answer.index).filter(|t| view.mask[*t]) {
                d_logp[t] *= each;
            }
        }
        Ok(())
    }
}

/// The kind of an answer, by its reward.
fn is_right(view: &TokenView<'_>, answer: &Answer) -> Result<bool, DataError> {
    match answer.advantage {
        1.0 => Ok(true),
        0.0 => Ok(false),
        other => Err(DataError::value(
            format!("trajectory {}", view.first_trajectory + answer.index),
            format!("reward {other}: must be 0 or 1, as `[advantage.raw]` hands it over"),
        )),
    }
}

#[cfg(test)]
#[path = "disco_tests.rs"]
mod tests;
