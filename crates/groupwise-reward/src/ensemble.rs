//! Ensembles of reward models: conservative reductions of their scores, and what they are judged by.
//!
//! Verifier `reward-ensemble` reduces member scores that come with the task; the rest are functions.

use groupwise_core::stats::Moments;
use groupwise_core::{DataError, ParamError, Spread, stats};
use serde::{Deserialize, Serialize};

/// How the scores of the members are reduced to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnsembleObjective {
    /// Their mean.
    #[default]
    Mean,
    /// Worst case: their minimum.
    Wco,
    /// Uncertainty weighted: mean less lambda times variance.
    Uwo,
}

/// An ensemble's reward, valid by construction.
///
/// # Formula
/// Over the scores `R_j` of the k members for one sample: `mean`: `mean_j R_j`; `wco`: `min_j R_j`; `uwo`:
/// `mean_j R_j - lambda var_j R_j`, the variance with divisor k (`population`) or k - 1 (`sample`).
///
/// # Shapes
/// `member_scores`: member -> samples; one reward per sample, in units of the scores (lambda: one over them).  Put the
/// members on one scale first ([`MemberScale`]): the minimum of raw scores is that of the member scaled lowest.
///
/// # Edge cases
/// - One member, or members that agree: variance 0, all objectives equal.
/// - `lambda = 0`: the mean.  The authors' code takes a weight of 0 for "not given" and uses 1; here 0 means 0.
/// - The minimum is not always below the uncertainty-weighted mean.
///
/// # Errors
/// Parameters: `lambda` negative or not finite; a spread that is neither sample nor population.  Data: no member, no
/// sample, members with different numbers of samples, a score that is not finite, a result that is not.
///
/// # Source
/// "Reward Model Ensembles Help Mitigate Overoptimization", arXiv 2310.02743; `ensemble_rm.py` (population variance, for
/// best-of-n) and `ppo_reward_functions.py` (sample variance, for RL) of tlc4418/llm_optimization at 416b03cc.
///
/// # Example
/// ```
/// use groupwise_core::Spread;
/// use groupwise_reward::ensemble::{EnsembleObjective, RewardEnsemble};
/// let scores = [[1.0, 2.0, -0.5], [1.2, -1.0, -0.4], [0.8, 3.0, -0.6]];
/// let wco = RewardEnsemble::new(EnsembleObjective::Wco, 0.5, Spread::Population)?;
/// assert_eq!(wco.aggregate(&scores)?, [0.8, -1.0, -0.6]);
/// let uwo = RewardEnsemble::new(EnsembleObjective::Uwo, 0.5, Spread::Population)?;
/// assert!((uwo.aggregate(&scores)?[1] + 0.1111111111111111).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RewardEnsemble {
    objective: EnsembleObjective,
    lambda: f64,
    std: Spread,
}

impl RewardEnsemble {
    /// Validates the parameters.  The authors' lambda is 0.5 for best-of-n and 0.1 for RL.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(objective: EnsembleObjective, lambda: f64, std: Spread) -> Result<Self, ParamError> {
        ParamError::check_coefficient("lambda", lambda)?;
        check_spread(std)?;
        Ok(Self {
            objective,
            lambda,
            std,
        })
    }

    /// Reward of every sample.
    ///
    /// # Errors
    /// See [`RewardEnsemble`].
    pub fn aggregate<M: AsRef<[f64]>>(&self, member_scores: &[M]) -> Result<Vec<f64>, DataError> {
        let Some(first) = member_scores.first() else {
            return Err(DataError::value("ensemble", "has no member"));
        };
        let n_samples = first.as_ref().len();
        if n_samples == 0 {
            return Err(DataError::value("ensemble", "has no sample to score"));
        }
        for (j, scores) in member_scores.iter().map(AsRef::as_ref).enumerate() {
            DataError::check_len(&format!("scores of member {j}"), scores.len(), n_samples)?;
            DataError::check_finite(&format!("scores of member {j}"), scores)?;
        }
        let mut of_sample = vec![0.0; member_scores.len()];
        let mut out = Vec::with_capacity(n_samples);
        for i in 0..n_samples {
            for (slot, scores) in of_sample.iter_mut().zip(member_scores) {
                *slot = scores.as_ref()[i];
            }
            out.push(self.reduce(&of_sample));
        }
        // Squares of scores beyond 1e154 overflow.
        DataError::check_finite("rewards of the ensemble", &out)?;
        Ok(out)
    }

    fn reduce(&self, scores: &[f64]) -> f64 {
        let mean = stats::mean(scores);
        match self.objective {
            EnsembleObjective::Mean => mean,
            EnsembleObjective::Wco => scores.iter().copied().fold(f64::INFINITY, f64::min),
            EnsembleObjective::Uwo => mean - self.lambda * variance(scores, self.std),
        }
    }
}

/// The two deviations an ensemble knows.
fn check_spread(std: Spread) -> Result<(), ParamError> {
    let holds = matches!(std, Spread::Sample | Spread::Population);
    ParamError::check(holds, "std", format!("{std:?}"), "sample or population")
}

fn variance(values: &[f64], std: Spread) -> f64 {
    let moments = Moments::of(values);
    match std {
        Spread::Population => moments.population_variance(),
        _ => moments.sample_variance(),
    }
}

/// The scale of one member, from its scores of base samples: subtract the mean, divide by the deviation.
///
/// # Edge cases
/// Base scores that are all equal have no scale and are refused.
///
/// # Example
/// ```
/// use groupwise_core::Spread;
/// use groupwise_reward::ensemble::MemberScale;
/// let scale = MemberScale::of(&[1.0, 3.0], Spread::Population)?;
/// assert_eq!([scale.apply(2.0), scale.apply(4.0)], [0.0, 2.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemberScale {
    mean: f64,
    std: f64,
}

impl MemberScale {
    /// Measures the scale.
    ///
    /// # Errors
    /// Base scores not finite or without spread; a deviation that is neither sample nor population.
    pub fn of(base_scores: &[f64], std: Spread) -> Result<Self, DataError> {
        check_spread(std).map_err(|e| DataError::value("scale of a member", e.to_string()))?;
        DataError::check_finite("base scores", base_scores)?;
        if stats::is_constant(base_scores) {
            return Err(DataError::value("base scores", "have no spread"));
        }
        Ok(Self {
            mean: stats::mean(base_scores),
            std: variance(base_scores, std).sqrt(),
        })
    }

    /// A score on the common scale.
    pub fn apply(&self, score: f64) -> f64 {
        (score - self.mean) / self.std
    }
}

/// What best-of-n is expected to reach, and how far it goes from the start policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestOfN {
    /// Expected proxy reward of the chosen answer.
    pub proxy: f64,
    /// Expected true reward of the answer that the proxy chooses.
    pub gold: f64,
    /// `ln n - (n - 1) / n`, nats.
    pub kl: f64,
}

/// A pool of answers to one prompt, sorted by proxy reward: best-of-n for every n without resampling.
///
/// # Formula
/// `E = sum_(i = n..N) C(i-1, n-1) / C(N, n) score_(i)`, `score_(i)` of the answer with the i-th smallest proxy: the mean
/// over all sets of n of the N answers.
///
/// # Shapes
/// One proxy and one true reward per answer; `n` in 1..=N.
///
/// # Edge cases
/// - Equal proxies keep their order, and the later one counts as better.
/// - `n = 1`: the mean.  `n = N`: the last of the best proxies.
/// - Weights are built downward from `n / N` by factors below 1, so that no binomial overflows; those too small for
///   `f64` are 0.
///
/// # Errors
/// No answer, different lengths, a value that is not finite; `n` outside 1..=N.
///
/// # Source
/// arXiv 2310.02743 with the estimator of `bon_sampling.py`, tlc4418/llm_optimization at 416b03cc.
///
/// # Example
/// ```
/// use groupwise_reward::ensemble::AnswerPool;
/// let best = AnswerPool::new(&[0.1, 0.9, 0.4, 0.3], &[1.0, -1.0, 2.0, 0.0])?.best_of(2)?;
/// assert!((best.proxy - 0.6333333333333333).abs() < 1e-12);
/// assert!((best.gold - 1.0 / 6.0).abs() < 1e-12);
/// assert!((best.kl - 0.1931471805599453).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerPool {
    /// (proxy, gold), proxies ascending.
    sorted: Vec<(f64, f64)>,
}

impl AnswerPool {
    /// Sorts the answers.
    ///
    /// # Errors
    /// See [`AnswerPool`].
    pub fn new(proxy: &[f64], gold: &[f64]) -> Result<Self, DataError> {
        DataError::check_len("gold", gold.len(), proxy.len())?;
        DataError::check_finite("proxy", proxy)?;
        DataError::check_finite("gold", gold)?;
        if proxy.is_empty() {
            return Err(DataError::value("answers", "there is none"));
        }
        let mut sorted: Vec<(f64, f64)> = proxy.iter().copied().zip(gold.iter().copied()).collect();
        // Not `total_cmp`: -0 and 0 are ties.
        sorted.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
        Ok(Self { sorted })
    }

    /// Expected rewards of the best of n.
    ///
    /// # Errors
    /// `n` outside 1..=N.
    pub fn best_of(&self, n: usize) -> Result<BestOfN, DataError> {
        let weights = best_of_n_weights(self.sorted.len(), n)?;
        let (mut proxy, mut gold) = (0.0, 0.0);
        for (weight, (p, g)) in weights.iter().zip(&self.sorted) {
            proxy += weight * p;
            gold += weight * g;
        }
        let size = n as f64;
        Ok(BestOfN {
            proxy,
            gold,
            kl: size.ln() - (size - 1.0) / size,
        })
    }
}

/// Probability of each of N ranks, ascending, to be the largest of n drawn without replacement.
///
/// # Formula
/// `w_i = C(i-1, n-1) / C(N, n)` for ranks `i` = 1..=N: 0 below n, `w_N = n / N`, `w_(i-1) = w_i (i - n) / (i - 1)`.
///
/// # Errors
/// `n` outside 1..=N.
///
/// # Example
/// ```
/// use groupwise_reward::ensemble::best_of_n_weights;
/// let weights = best_of_n_weights(4, 2)?;
/// for (w, expected) in weights.iter().zip([0.0, 1.0 / 6.0, 1.0 / 3.0, 0.5]) {
///     assert!((w - expected).abs() < 1e-15);
/// }
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn best_of_n_weights(n_answers: usize, n: usize) -> Result<Vec<f64>, DataError> {
    if !(1..=n_answers).contains(&n) {
        let what = format!("{n} is not in 1..={n_answers}, the number of answers");
        return Err(DataError::value("n of best-of-n", what));
    }
    let mut weights = vec![0.0; n_answers];
    let mut weight = n as f64 / n_answers as f64;
    for i in (n..=n_answers).rev() {
        weights[i - 1] = weight;
        if i > 1 {
            weight *= (i - n) as f64 / (i - 1) as f64;
        }
    }
    Ok(weights)
}

/// Loss of a reward model on preferences, with its derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct PairwiseLoss {
    /// Mean over the pairs, nats.
    pub loss: f64,
    /// Derivative by the reward of each chosen answer; by that of the rejected one, its negative.
    pub grad_chosen: Vec<f64>,
}

/// Bradley-Terry loss of the members: how a reward model learns from pairs.
///
/// # Formula
/// `L = mean_i softplus(-(chosen_i - rejected_i))`, `dL / d chosen_i = -sigmoid(-(chosen_i - rejected_i)) / n`.
///
/// # Edge cases
/// Exact for differences of any size: `softplus(x) = max(x, 0) + ln(1 + exp(-|x|))`.
///
/// # Errors
/// No pair, different lengths, a reward that is not finite, a difference that is not.
///
/// # Source
/// arXiv 2310.02743, section 2.
///
/// # Example
/// ```
/// use groupwise_reward::ensemble::pairwise_loss;
/// let at = pairwise_loss(&[1.0, 0.0], &[1.0, 800.0])?;
/// assert!((at.loss - (2.0_f64.ln() + 800.0) / 2.0).abs() < 1e-12);
/// assert_eq!(at.grad_chosen, [-0.25, -0.5]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn pairwise_loss(chosen: &[f64], rejected: &[f64]) -> Result<PairwiseLoss, DataError> {
    DataError::check_len("rejected", rejected.len(), chosen.len())?;
    if chosen.is_empty() {
        return Err(DataError::value("pairs", "there is none"));
    }
    DataError::check_finite("chosen", chosen)?;
    DataError::check_finite("rejected", rejected)?;
    let margins: Vec<f64> = chosen.iter().zip(rejected).map(|(c, r)| c - r).collect();
    DataError::check_finite("chosen less rejected", &margins)?;
    let n = chosen.len() as f64;
    // With e = exp(-|d|) neither function overflows.
    let softplus = |d: &f64| (-d).max(0.0) + (-d.abs()).exp().ln_1p();
    let sigmoid = |d: &f64| {
        let e = (-d.abs()).exp();
        if *d > 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
    };
    Ok(PairwiseLoss {
        loss: margins.iter().map(softplus).sum::<f64>() / n,
        grad_chosen: margins.iter().map(|d| -sigmoid(d) / n).collect(),
    })
}

#[cfg(test)]
#[path = "ensemble_tests.rs"]
mod tests;
