//! CurES: prompts drawn with a probability that grows with the standard deviation of their reward.
//!
//! Symbols of the paper: a successes of n rollouts, p the posterior mean, s = sqrt(p (1 - p)), tau the temperature.
//! Its other half, the split of rollouts, is the allocator
//! [`square-root`](crate::allocators::square_root::SquareRootConfig).

use groupwise_core::seams::Surveyed;
use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State};
use serde::{Deserialize, Serialize};

use super::{SamplerContext, check_pool};
use crate::success::{Counts, Decay, SuccessStats, Tally};
use crate::weighted::without_replacement;

/// Which formula gives the probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CuresMode {
    /// `exp(s / temperature)`.
    #[default]
    Paper,
    /// The released constants, `exp(0.01 s / (a + 1))`: within one per cent of uniform.
    Authors,
}

/// Whether a drawn prompt can be drawn by the next batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replacement {
    /// Every batch is drawn from the whole pool.
    #[default]
    EachBatch,
    /// Drawn prompts stay out until fewer than a batch are left.
    Epoch,
}

/// Draws the prompts whose reward varies most, by a Boltzmann distribution.
///
/// # Formula
/// `p_i = (a_i + 1) / (n_i + 2)`, `s_i = sqrt(p_i (1 - p_i))`, `pi_i = exp(s_i / temperature) / sum`; a batch is drawn
/// without replacement.  Counts start from `n_min` rollouts of every prompt, which are billed, and take in every
/// training group; they forget as those of `vade` do.
///
/// # Shapes
/// Success is a reward above `success_threshold`; s has no unit and lies in (0, 1/2].
///
/// # Edge cases
/// A batch as large as the pool takes it whole.  Unscorable rollouts are in no count.
///
/// # Errors
/// `temperature` not above 0, `n_min` 0, a decay outside [0, 1], a threshold that is NaN, when built; a task outside
/// the pool, when observing.
///
/// # Source
/// arXiv 2510.01037 (CurES), authors' code `ZexuSun/CurES` @eccf2983, `epic/epic_sampler.py`.  The code divides by
/// `(a + 1) / 0.01`, which looks like an inverted temperature and makes never-solved prompts the likeliest: `mode =
/// "authors"`.  Its counts restart with every part of the data; on one pool counts that only grow are stale and lost
/// against uniform in trials, so they decay here by default (0.2 and 0.999; 1 and 1 keep everything).
///
/// # Example
/// ```
/// use groupwise_sampler::samplers::cures::{CuresMode, sampling};
/// let table = sampling(&[0, 1, 2, 3, 4], &[4; 5], CuresMode::Paper, 0.25)?;
/// assert!((table.probabilities[2] - 0.250898).abs() < 1e-6);
/// assert!((table.scores[0] - 0.372678).abs() < 1e-6);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CuresConfig {
    /// Which formula gives the probabilities.
    pub mode: CuresMode,
    /// Temperature, > 0: small prefers rates near 1/2, large is uniform.  Ours: 0.25; the paper's is unknown.
    pub temperature: f64,
    /// Rollouts of every prompt before the first step, >= 1.  Code: 4.
    pub n_min: u32,
    /// A reward above it counts as a success.  Code: 0.5.
    pub success_threshold: f64,
    /// Whether a drawn prompt can be drawn by the next batch.
    pub replacement: Replacement,
    /// Factor on the counts of a prompt rolled out in the step, in [0, 1].
    pub fast_decay: f64,
    /// Factor on the counts of every other prompt, in [0, 1].
    pub slow_decay: f64,
}

impl Default for CuresConfig {
    fn default() -> Self {
        Self {
            mode: CuresMode::Paper,
            temperature: 0.25,
            n_min: 4,
            success_threshold: 0.5,
            replacement: Replacement::EachBatch,
            fast_decay: 0.2,
            slow_decay: 0.999,
        }
    }
}

impl Part<dyn PromptSampler, SamplerContext> for CuresConfig {
    const SOURCE: &'static str = "arXiv 2510.01037 (CurES); authors' code ZexuSun/CurES @eccf2983, whose inverted \
        temperature is `mode = \"authors\"`";

    fn formula(&self) -> String {
        let exponent = match self.mode {
            CuresMode::Paper => format!("s_i / {}", self.temperature),
            CuresMode::Authors => "0.01 s_i / (a_i + 1)".to_owned(),
        };
        let pool = match self.replacement {
            Replacement::EachBatch => "the pool",
            Replacement::Epoch => "what the epoch has left",
        };
        format!(
            "batch drawn from {pool} without replacement, pi_i ~ exp({exponent}), s_i = sqrt(p_i (1 - p_i)), \
             p_i = (a_i + 1) / (n_i + 2), success: reward > {}; {} start-up rollouts a task; rolled out: counts <- \
             {} counts + results; idle: counts <- {} counts",
            self.success_threshold, self.n_min, self.fast_decay, self.slow_decay
        )
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        let n_tasks = check_pool(context)?;
        check_temperature(self.temperature)?;
        ParamError::check(self.n_min >= 1, "n_min", self.n_min, ">= 1")?;
        let threshold = self.success_threshold;
        ParamError::check(!threshold.is_nan(), "success_threshold", threshold, "a number")?;
        let decay = Decay::new(self.fast_decay, self.slow_decay)?;
        Ok(Box::new(Cures {
            config: self.clone(),
            stats: SuccessStats::new(n_tasks, decay),
            drawn: Vec::new(),
        }))
    }
}

fn check_temperature(temperature: f64) -> Result<(), ParamError> {
    ParamError::check(
        temperature > 0.0 && temperature.is_finite(),
        "temperature",
        temperature,
        "a finite number > 0",
    )
}

#[derive(Debug)]
struct Cures {
    config: CuresConfig,
    stats: SuccessStats,
    /// Tasks that this epoch has drawn, ascending; empty where every batch is drawn from the whole pool.
    drawn: Vec<usize>,
}

/// What a checkpoint holds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    stats: State,
    drawn: Vec<usize>,
}

impl Cures {
    fn tallies<'a>(&self, outcomes: impl Iterator<Item = &'a GroupOutcome>) -> Vec<Tally> {
        let threshold = self.config.success_threshold;
        let tally = |outcome: &GroupOutcome| {
            let scored = outcome.rewards.iter().flatten();
            Tally {
                task: outcome.task,
                right: scored.clone().filter(|r| **r > threshold).count() as f64,
                attempts: scored.count() as u32,
            }
        };
        outcomes.map(tally).collect()
    }
}

impl PromptSampler for Cures {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        let n_tasks = self.stats.n_tasks();
        if self.drawn.len() + n > n_tasks {
            self.drawn.clear();
        }
        let candidates: Vec<usize> = (0..n_tasks)
            .filter(|task| self.drawn.binary_search(task).is_err())
            .collect();
        let exponents: Vec<f64> = candidates
            .iter()
            .map(|task| {
                let counts = self.stats.counts(*task).unwrap_or_default();
                exponent(counts, self.config.mode, self.config.temperature)
            })
            .collect();
        let chosen = without_replacement(&candidates, &exponents, n, key)?;
        if self.config.replacement == Replacement::Epoch {
            self.drawn.extend(&chosen);
            self.drawn.sort_unstable();
        }
        Ok(chosen)
    }

    fn observe(&mut self, step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        let tallies = self.tallies(outcomes.iter());
        self.stats.record(step, &tallies)
    }

    fn survey(&self, step: u64) -> Option<u32> {
        (step == 1).then_some(self.config.n_min)
    }

    fn observe_survey(&mut self, step: u64, results: &[Surveyed]) -> Result<(), DataError> {
        let tallies = self.tallies(results.iter().map(|r| &r.outcome));
        // As of the step before, so that the training groups of this one come after it.
        self.stats.record(step.saturating_sub(1), &tallies)
    }

    fn save(&self) -> State {
        let memory = Memory {
            stats: self.stats.save(),
            drawn: self.drawn.clone(),
        };
        serde_json::to_value(memory).unwrap_or_default()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        let loaded =
            Memory::deserialize(state).map_err(|e| DataError::value("cures sampler", e.to_string()))?;
        let n_tasks = self.stats.n_tasks();
        let ascending = loaded.drawn.windows(2).all(|w| w[0] < w[1]);
        if !ascending || loaded.drawn.last().is_some_and(|task| *task >= n_tasks) {
            return Err(DataError::value(
                "cures sampler",
                format!("drawn tasks do not ascend inside the pool of {n_tasks}"),
            ));
        }
        self.stats.load(&loaded.stats)?;
        self.drawn = loaded.drawn;
        Ok(())
    }

    fn estimate(&self, task: usize) -> Option<f64> {
        self.stats.counts(task).map(Counts::mean)
    }
}

/// Log-probability of a task, up to the normalizer.
fn exponent(counts: Counts, mode: CuresMode, temperature: f64) -> f64 {
    let s = deviation(counts.mean());
    match mode {
        CuresMode::Paper => s / temperature,
        CuresMode::Authors => 0.01 * s / (counts.right + 1.0),
    }
}

fn deviation(p: f64) -> f64 {
    (p * (1.0 - p)).max(0.0).sqrt()
}

/// What CurES thinks of every task.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Posterior means.
    pub means: Vec<f64>,
    /// Standard deviations of the reward at these means.
    pub scores: Vec<f64>,
    /// Probabilities of the first draw.
    pub probabilities: Vec<f64>,
    /// Their logarithms.
    pub log_probabilities: Vec<f64>,
}

/// Means, scores and probabilities from plain counts.
///
/// # Formula
/// As [`CuresConfig`]; the largest exponent is subtracted before `exp`.
///
/// # Errors
/// Lengths that differ or are 0, more successes than attempts, a temperature that is not above 0.
pub fn sampling(
    successes: &[u32],
    attempts: &[u32],
    mode: CuresMode,
    temperature: f64,
) -> Result<Sampling, DataError> {
    check_counts(successes, attempts)?;
    check_temperature(temperature).map_err(|e| DataError::value("temperature", e.to_string()))?;
    let counts = successes.iter().zip(attempts).map(|(a, n)| Counts {
        right: f64::from(*a),
        wrong: f64::from(n - a),
    });
    let means: Vec<f64> = counts.clone().map(Counts::mean).collect();
    let exponents: Vec<f64> = counts.map(|c| exponent(c, mode, temperature)).collect();
    let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = exponents.iter().map(|e| (e - largest).exp()).sum();
    let log_probabilities: Vec<f64> = exponents.iter().map(|e| e - largest - sum.ln()).collect();
    Ok(Sampling {
        scores: means.iter().copied().map(deviation).collect(),
        probabilities: log_probabilities.iter().map(|l| l.exp()).collect(),
        log_probabilities,
        means,
    })
}

/// Refuses counts that cannot be: no prompt, other lengths, more successes than attempts.
pub(crate) fn check_counts(successes: &[u32], attempts: &[u32]) -> Result<(), DataError> {
    DataError::check_len("attempts", attempts.len(), successes.len())?;
    if successes.is_empty() {
        return Err(DataError::value("successes", "must hold at least one entry"));
    }
    match successes.iter().zip(attempts).position(|(a, n)| a > n) {
        None => Ok(()),
        Some(i) => Err(DataError::value(
            format!("task {i}"),
            format!("{} successes are outside 0..{}", successes[i], attempts[i]),
        )),
    }
}

#[cfg(test)]
#[path = "cures_tests.rs"]
mod tests;
