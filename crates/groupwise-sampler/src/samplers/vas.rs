//! VAS: part of each batch in proportion to variance and diversity of a prompt's answers, the rest uniform.
//!
//! Symbols of the paper: OVS = P (1 - P) outcome variance, TDS diversity of the answers, VPS = alpha OVS + beta TDS,
//! lambda the mixture ratio, T the refresh interval, N the rollouts of a refresh.

use groupwise_core::seams::Surveyed;
use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State, stats};
use serde::{Deserialize, Serialize};

use super::shuffled::check_tasks;
use super::{SamplerContext, check_pool};
use crate::diversity::Diversity;
use crate::weighted::{WeightedSampler, shares};

/// How scores become weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// The scores themselves, as the paper.
    #[default]
    Proportional,
    /// `(s - min) / (max - min + 1e-8)`, as the authors' code: the lowest prompt is never drawn by weight.
    MinMax,
}

/// Samples part of the batch where fresh rollouts of every prompt promise variation.
///
/// # Formula
/// `VPS_i = alpha P_i (1 - P_i) + beta diversity_i` from `rollouts` fresh answers; weights
/// `w <- momentum w + (1 - momentum) normalize(VPS)`; of a batch of B, `floor(lambda B)` are drawn with replacement in
/// proportion to w, the others walk through one fixed shuffle of the pool.
///
/// # Shapes
/// P is the share of rewards above 1/2; scores have no unit.  Refreshed before the first step, and at every step t (from
/// 1) with `t mod refresh_every = 0`; refresh rollouts are billed.
///
/// # Edge cases
/// A prompt may stand twice in a batch; its groups stay separate.  All weights 0: uniform.  A prompt none of whose
/// answers could be scored has P (1 - P) = 0.  `refresh_every = 0`: only before the first step.
///
/// # Errors
/// `alpha` or `beta` negative or both 0, `mixture_ratio` outside [0, 1], `rollouts` < 2, `momentum` outside [0, 1), when
/// built; a task outside the pool when observing.
///
/// # Source
/// MMR1, arXiv 2509.21268; `LengSicong/MMR1` @d8161a0c, `verl/curriculum/`.  The paper is followed where the code
/// differs: diversity, not similarity, enters; weights are proportional; no momentum.
///
/// # Example
/// ```
/// use groupwise_sampler::samplers::vas::{Normalization, mixture};
/// let found = mixture(&[0.25, 0.0, 0.1875, 0.1], None, 0.0, Normalization::Proportional, 9, 0.5)?;
/// assert_eq!((found.weighted_draws, found.uniform_draws), (4, 5));
/// assert!((found.probabilities[0] - 0.465116).abs() < 1e-6);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VasConfig {
    /// Weight of the outcome variance, >= 0.
    pub alpha: f64,
    /// Weight of the diversity, >= 0.
    pub beta: f64,
    /// Share of a batch that is drawn by weight, in [0, 1].
    pub mixture_ratio: f64,
    /// Steps between refreshes; 0: only before the first step.
    pub refresh_every: u64,
    /// Answers of every prompt in a refresh, >= 2.
    pub rollouts: u32,
    /// Share of the old weights that a refresh keeps, in [0, 1).
    pub momentum: f64,
    /// How scores become weights.
    pub normalization: Normalization,
    /// Measure of diversity.
    pub diversity: Diversity,
}

impl Default for VasConfig {
    fn default() -> Self {
        Self {
            alpha: 0.8,
            beta: 0.2,
            mixture_ratio: 0.5,
            refresh_every: 28,
            rollouts: 8,
            momentum: 0.0,
            normalization: Normalization::Proportional,
            diversity: Diversity::Distinct3,
        }
    }
}

impl VasConfig {
    fn validate(&self) -> Result<(), ParamError> {
        for (key, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            ParamError::check_coefficient(key, value)?;
        }
        ParamError::check(
            self.alpha + self.beta > 0.0,
            "alpha",
            self.alpha,
            "> 0 where `beta` is 0",
        )?;
        let ratio = self.mixture_ratio;
        ParamError::check((0.0..=1.0).contains(&ratio), "mixture_ratio", ratio, "in [0, 1]")?;
        ParamError::check(self.rollouts >= 2, "rollouts", self.rollouts, ">= 2")?;
        let momentum = self.momentum;
        ParamError::check((0.0..1.0).contains(&momentum), "momentum", momentum, "in [0, 1)")
    }
}

impl Part<dyn PromptSampler, SamplerContext> for VasConfig {
    const SOURCE: &'static str = "arXiv 2509.21268 (MMR1), report and LengSicong/MMR1 @d8161a0c; the report is followed \
        where the code differs";

    fn formula(&self) -> String {
        let weight = match self.normalization {
            Normalization::Proportional => "VPS",
            Normalization::MinMax => "(VPS - min) / (max - min + 1e-8)",
        };
        format!(
            "floor({} B) of a batch drawn with replacement in proportion to w, the rest uniform; w <- {} w + {} {weight}, \
             VPS = {} P (1 - P) + {} [{}]; {} rollouts of every task before step 1 and every {} steps",
            self.mixture_ratio,
            self.momentum,
            1.0 - self.momentum,
            self.alpha,
            self.beta,
            self.diversity.formula(),
            self.rollouts,
            self.refresh_every
        )
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        self.validate()?;
        Ok(Box::new(Vas {
            n_tasks: check_pool(context)?,
            config: self.clone(),
            memory: Memory::default(),
        }))
    }
}

#[derive(Debug)]
struct Vas {
    n_tasks: usize,
    config: VasConfig,
    memory: Memory,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    /// Weight of every task; none before the first refresh.
    weights: Option<Vec<f64>>,
    /// Success rates of the last refresh; none where nothing could be scored.
    rates: Vec<Option<f64>>,
    /// Root of the fixed shuffle; none before the first batch.
    seed: Option<u64>,
    /// Places of the shuffle that were passed, over all rounds.
    passed: u64,
}

impl Vas {
    /// The next `n` places of the fixed shuffle, wrapping round.
    fn walk(&mut self, n: usize, seed: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.n_tasks).collect();
        let root = Key::new(seed, groupwise_core::Stream::Sampler).named("shuffle", 0);
        root.rng().shuffle(&mut order);
        let first = self.memory.passed;
        self.memory.passed += n as u64;
        (0..n as u64)
            .map(|i| order[((first + i) % self.n_tasks as u64) as usize])
            .collect()
    }
}

impl PromptSampler for Vas {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        let seed = *self.memory.seed.get_or_insert_with(|| key.bits());
        let n_weighted = weighted_part(n, self.config.mixture_ratio);
        let weights = match &self.memory.weights {
            Some(weights) => WeightedSampler::new(weights)?,
            None => WeightedSampler::new(&vec![0.0; self.n_tasks])?,
        };
        let draw = |i: usize| weights.draw(key.named("weighted", i as u64).uniform());
        let mut batch: Vec<usize> = (0..n_weighted).map(draw).collect();
        batch.extend(self.walk(n - n_weighted, seed));
        Ok(batch)
    }

    fn observe(&mut self, _: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        check_tasks(self.n_tasks, outcomes)
    }

    fn survey(&self, step: u64) -> Option<u32> {
        let every = self.config.refresh_every;
        let due = step == 1 || (every > 0 && step.is_multiple_of(every));
        due.then_some(self.config.rollouts)
    }

    fn observe_survey(&mut self, _: u64, results: &[Surveyed]) -> Result<(), DataError> {
        DataError::check_len("survey", results.len(), self.n_tasks)?;
        let (mut scores, mut rates) = (vec![0.0; self.n_tasks], vec![None; self.n_tasks]);
        for result in results {
            let task = result.outcome.task;
            check_tasks(self.n_tasks, std::slice::from_ref(&result.outcome))?;
            let answers: Vec<&[u32]> = result.completions.iter().map(Vec::as_slice).collect();
            let scored = result.outcome.scored();
            let score = score(&scored, &answers, &self.config);
            scores[task] = score.total;
            rates[task] = (!scored.is_empty()).then_some(score.rate);
        }
        let weights = blend(
            &scores,
            self.memory.weights.as_deref(),
            self.config.momentum,
            self.config.normalization,
        )?;
        self.memory.weights = Some(weights);
        self.memory.rates = rates;
        Ok(())
    }

    fn save(&self) -> State {
        serde_json::to_value(&self.memory).unwrap_or_default()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        let loaded =
            Memory::deserialize(state).map_err(|e| DataError::value("vas sampler", e.to_string()))?;
        if let Some(weights) = &loaded.weights {
            DataError::check_len("vas weights", weights.len(), self.n_tasks)?;
            DataError::check_len("vas rates", loaded.rates.len(), self.n_tasks)?;
            shares(weights)?;
        }
        self.memory = loaded;
        Ok(())
    }

    fn estimate(&self, task: usize) -> Option<f64> {
        self.memory.rates.get(task).copied().flatten()
    }
}

/// What the answers of one prompt promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// Share of right answers; 0 without any.
    pub rate: f64,
    /// `rate (1 - rate)`.
    pub outcome_variance: f64,
    /// Diversity of the answers.
    pub diversity: f64,
    /// `alpha outcome_variance + beta diversity`.
    pub total: f64,
}

/// Scores the answers of one prompt.
///
/// # Formula
/// As [`VasConfig`]; right is a reward above 1/2.
///
/// # Shapes
/// `rewards` of the answers that could be scored; `answers`: tokens of all, without padding.
pub fn score(rewards: &[f64], answers: &[&[u32]], config: &VasConfig) -> Promise {
    let right: Vec<f64> = rewards.iter().map(|r| f64::from(u8::from(*r > 0.5))).collect();
    let rate = if right.is_empty() {
        0.0
    } else {
        stats::mean(&right)
    };
    let (outcome_variance, diversity) = (rate * (1.0 - rate), config.diversity.of(answers));
    Promise {
        rate,
        outcome_variance,
        diversity,
        total: config.alpha * outcome_variance + config.beta * diversity,
    }
}

/// Prompts of a batch of `n` that are drawn by weight.
fn weighted_part(n: usize, mixture_ratio: f64) -> usize {
    ((mixture_ratio * n as f64).floor() as usize).min(n)
}

/// New weights from scores and the weights before.
///
/// # Errors
/// A score that is negative or not finite, another number of old weights.
fn blend(
    scores: &[f64],
    previous: Option<&[f64]>,
    momentum: f64,
    normalization: Normalization,
) -> Result<Vec<f64>, DataError> {
    shares(scores)?;
    let (low, high) = scores
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| {
            (low.min(*s), high.max(*s))
        });
    let normalized = scores.iter().map(|s| match normalization {
        Normalization::Proportional => *s,
        Normalization::MinMax => (s - low) / (high - low + 1e-8),
    });
    let Some(previous) = previous else {
        return Ok(normalized.collect());
    };
    DataError::check_len("previous weights", previous.len(), scores.len())?;
    let mix = |(new, old): (f64, &f64)| momentum * old + (1.0 - momentum) * new;
    Ok(normalized.zip(previous).map(mix).collect())
}

/// What a batch is drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Weight of every task.
    pub weights: Vec<f64>,
    /// Probabilities of a draw by weight.
    pub probabilities: Vec<f64>,
    /// Draws by weight.
    pub weighted_draws: usize,
    /// Uniform draws.
    pub uniform_draws: usize,
    /// Expected share of a batch's places per task.
    pub expected_share: Vec<f64>,
}

/// Weights and probabilities after a refresh.
///
/// # Formula
/// As [`VasConfig`]; the expected share is `(B_w p_i + B_u / n) / B`.
///
/// # Errors
/// A score that is negative or not finite, an empty pool or batch, a mixture ratio outside [0, 1], a momentum outside
/// [0, 1).
pub fn mixture(
    scores: &[f64],
    previous: Option<&[f64]>,
    momentum: f64,
    normalization: Normalization,
    batch: usize,
    mixture_ratio: f64,
) -> Result<Mixture, DataError> {
    let config = VasConfig {
        momentum,
        mixture_ratio,
        ..VasConfig::default()
    };
    config
        .validate()
        .map_err(|e| DataError::value("mixture", e.to_string()))?;
    if batch == 0 {
        return Err(DataError::value("batch", "is 0, must be >= 1"));
    }
    let weights = blend(scores, previous, momentum, normalization)?;
    let probabilities = shares(&weights)?;
    let weighted_draws = weighted_part(batch, mixture_ratio);
    let uniform_draws = batch - weighted_draws;
    let share =
        |p: &f64| (weighted_draws as f64 * p + uniform_draws as f64 / scores.len() as f64) / batch as f64;
    Ok(Mixture {
        expected_share: probabilities.iter().map(share).collect(),
        weights,
        probabilities,
        weighted_draws,
        uniform_draws,
    })
}

#[cfg(test)]
#[path = "vas_tests.rs"]
mod tests;
