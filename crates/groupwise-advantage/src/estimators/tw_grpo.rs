//! TW-GRPO's token weights: places at which the answers of a group disagree about the next token weigh more.
//!
//! Not a named estimator: the weights need the whole next-token distribution at every place of every answer, which no
//! batch carries.  Whoever has them computes the weights here, place by place if memory is short, and either folds them
//! into advantages with [`weigh_tokens`](crate::weigh_tokens) or hands them to `groupwise_objective::losses::TokenWeighted`
//! (which also weighs a KL term).  The advantages themselves are GRPO's with `eps = 1e-4`.

use groupwise_core::{DataError, ParamError};
use serde::{Deserialize, Serialize};

/// Added to the range of the divergences.
const RANGE_EPS: f64 = 1e-8;
/// Bound on a difference of log-probabilities, nats.
const CLAMP: f64 = 11.0;

/// How far the distributions of a group are from one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// `exp(d) - d - 1` summed over the vocabulary, d the mean log-probability less the own one: the authors' code.
    ///
    /// Every entry counts alike, so with a large vocabulary the long tail dominates.
    #[default]
    K3Sum,
    /// Kullback-Leibler divergence to the mean distribution: the usual reading.
    Kl,
}

/// Parameters of the token weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenDivergenceConfig {
    /// Weight of the place with the largest divergence, >= 1; 1 switches the weights off.
    pub alpha: f64,
    /// How divergence is measured.
    pub divergence: Divergence,
}

impl Default for TokenDivergenceConfig {
    fn default() -> Self {
        Self {
            alpha: 1.7,
            divergence: Divergence::K3Sum,
        }
    }
}

/// Next-token distributions of one group, padded to the same length.
#[derive(Clone, Copy, Debug)]
pub struct GroupDistributions<'a> {
    /// Number of answers G.
    pub n_members: usize,
    /// Places of the longest answer, T.
    pub n_positions: usize,
    /// Entries of a distribution, V.
    pub vocabulary: usize,
    /// Log-probabilities, nats: answer -> place -> entry, `G T V` numbers.
    pub log_probs: &'a [f64],
    /// True where an answer has a token: answer -> place, `G T` flags.
    pub mask: &'a [bool],
}

/// Weights of a group, and what they were made of.
#[derive(Clone, Debug, PartialEq)]
pub struct DivergenceWeights {
    /// Weight per answer and place, 0 where padded.
    pub weights: Vec<f64>,
    /// Divergence per place, nats.
    pub divergence: Vec<f64>,
    /// Place of the largest divergence; report it: a place at which only some answers go on can flatten all others.
    pub peak: Option<usize>,
}

/// TW-GRPO's token weights, valid by construction.
///
/// # Formula
/// `w_t = 1 + (alpha - 1) (D_t - min D) / (max D - min D + 1e-8)` over all places of the group, padded ones included;
/// `w_it = w_t` where answer i has a token, else 0.  With `X_itv` the log-probabilities, uniform where answer i is padded:
/// `k3-sum` `D_t = mean_i sum_v (exp(d) - d - 1)`, `d = clamp(mean_i X_itv - X_itv, -11, 11)`;
/// `kl` `D_t = mean_i sum_v P_itv (X_itv - ln mean_j P_jtv)`, `P = exp(X)`.
///
/// The weights are constants: no gradient may flow through them.
///
/// # Shapes
/// See [`GroupDistributions`]; divergences in nats, weights without unit.
///
/// # Edge cases
/// - Equal distributions, one place, or one answer: all weights 1.
/// - Log-probabilities are used as they are, not renormalized, and so is their mean under `k3-sum`.
///
/// # Errors
/// Parameters: `alpha` not finite or below 1.  Data: lengths that disagree, an empty vocabulary, a log-probability of a
/// counted place that is not finite (a cut-off distribution has no divergence in this sense).
///
/// # Source
/// TW-GRPO (arXiv 2505.24718); `src/open_r1/trainer/grpo_trainer.py` of longmalongma/TW-GRPO, followed in every constant.
/// `alpha` 1.7 is that of the script of the reported run, 1.4 the code's default.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{GroupDistributions, TokenDivergence, TokenDivergenceConfig};
/// let (sure, even) = ([0.9_f64.ln(), 0.1_f64.ln()], [0.5_f64.ln(); 2]);
/// // Both answers are even about the first token; about the second they differ.
/// let log_probs = [even, sure, even, even].concat();
/// let block = TokenDivergence::new(TokenDivergenceConfig::default())?;
/// let found = block.weights(&GroupDistributions {
///     n_members: 2, n_positions: 2, vocabulary: 2, log_probs: &log_probs, mask: &[true, true, true, false],
/// })?;
/// assert_eq!((found.weights[0], found.weights[3], found.peak), (1.0, 0.0, Some(1)));
/// assert!((found.weights[1] - 1.7).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenDivergence {
    config: TokenDivergenceConfig,
}

impl TokenDivergence {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: TokenDivergenceConfig) -> Result<Self, ParamError> {
        let alpha = config.alpha;
        let holds = alpha.is_finite() && alpha >= 1.0;
        ParamError::check(holds, "alpha", alpha, "a finite number >= 1")?;
        Ok(Self { config })
    }

    /// Weights of all tokens of a group.
    ///
    /// # Errors
    /// See the type.
    pub fn weights(&self, group: &GroupDistributions<'_>) -> Result<DivergenceWeights, DataError> {
        let (members, places, vocabulary) = (group.n_members, group.n_positions, group.vocabulary);
        let tokens = members.saturating_mul(places);
        DataError::check_len("mask", group.mask.len(), tokens)?;
        let numbers = tokens.saturating_mul(vocabulary);
        DataError::check_len("log_probs", group.log_probs.len(), numbers)?;
        let mut divergence = Vec::with_capacity(places);
        let (mut rows, mut scratch) = (Vec::with_capacity(members), Vec::new());
        for t in 0..places {
            rows.clear();
            rows.extend((0..members).map(|i| {
                let at = i * places + t;
                group.mask[at].then(|| &group.log_probs[at * vocabulary..(at + 1) * vocabulary])
            }));
            divergence.push(self.position(t, &rows, vocabulary, &mut scratch)?);
        }
        let of_place = self.of_divergences(&divergence);
        let weights = group
            .mask
            .iter()
            .enumerate()
            .map(|(at, counted)| if *counted { of_place[at % places] } else { 0.0 })
            .collect();
        let peak = (0..places).reduce(|a, b| if divergence[b] > divergence[a] { b } else { a });
        Ok(DivergenceWeights {
            weights,
            divergence,
            peak,
        })
    }

    /// Divergence at one place, for callers that hold one place at a time.
    ///
    /// `rows`: the distribution of each answer, `None` where it is padded; `t` names the place in errors; `scratch` is
    /// working memory.
    ///
    /// # Errors
    /// See the type.
    pub fn position(
        &self,
        t: usize,
        rows: &[Option<&[f64]>],
        vocabulary: usize,
        scratch: &mut Vec<f64>,
    ) -> Result<f64, DataError> {
        if vocabulary == 0 {
            return Err(DataError::value(format!("token {t}"), "the vocabulary is empty"));
        }
        for (i, row) in rows.iter().enumerate() {
            let Some(row) = row else { continue };
            DataError::check_len("log_probs of a place", row.len(), vocabulary)?;
            if let Some(v) = row.iter().position(|x| !x.is_finite()) {
                return Err(DataError::NonFinite {
                    place: format!("trajectory {i}, token {t}, entry {v}"),
                    what: "log_probs".into(),
                    value: row[v].to_string(),
                });
            }
        }
        let uniform = -(vocabulary as f64).ln();
        let n = rows.len() as f64;
        scratch.clear();
        scratch.resize(vocabulary, 0.0);
        let value = |x: f64| match self.config.divergence {
            Divergence::K3Sum => x,
            Divergence::Kl => x.exp(),
        };
        each_entry(rows, uniform, |v, x| scratch[v] += value(x) / n);
        let mut sum = 0.0;
        match self.config.divergence {
            Divergence::K3Sum => each_entry(rows, uniform, |v, x| {
                let d = (scratch[v] - x).clamp(-CLAMP, CLAMP);
                sum += d.exp_m1() - d;
            }),
            Divergence::Kl => each_entry(rows, uniform, |v, x| {
                let p = x.exp();
                // A probability too small for f64 contributes nothing; its logarithm times 0 would be NaN.
                if p > 0.0 {
                    sum += p * (x - scratch[v].ln());
                }
            }),
        }
        Ok(if rows.is_empty() { 0.0 } else { sum / n })
    }

    /// Weights of the places of a group from their divergences.
    pub fn of_divergences(&self, divergence: &[f64]) -> Vec<f64> {
        let low = divergence.iter().copied().fold(f64::INFINITY, f64::min);
        let high = divergence.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let extra = self.config.alpha - 1.0;
        let weight = |d: &f64| 1.0 + extra * (d - low) / (high - low + RANGE_EPS);
        divergence.iter().map(weight).collect()
    }
}

/// Visits every entry of every answer, the uniform distribution standing in for a padded one.
fn each_entry(rows: &[Option<&[f64]>], uniform: f64, mut visit: impl FnMut(usize, f64)) {
    let vocabulary = rows.iter().flatten().map(|r| r.len()).max().unwrap_or(0);
    for row in rows {
        match row {
            Some(row) => row.iter().enumerate().for_each(|(v, x)| visit(v, *x)),
            None => (0..vocabulary).for_each(|v| visit(v, uniform)),
        }
    }
}

#[cfg(test)]
#[path = "tw_grpo_tests.rs"]
mod tests;
