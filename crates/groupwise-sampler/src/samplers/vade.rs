//! VADE: the most informative prompts, by Thompson sampling over decayed success counts.
//!
//! Symbols of the paper: alpha, beta are the decayed counts of right and wrong rollouts ([`Counts`]), lambda1 and
//! lambda2 the fast and the slow decay, I the score, B the prompts per step, G the rollouts per prompt.

use groupwise_core::{DataError, GroupOutcome, Key, ParamError, Part, PromptSampler, State};
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::{SamplerContext, check_pool};
use crate::quantile::beta_quantile;
use crate::score::GainScore;
use crate::success::{Counts, Decay, SuccessStats, Tally};
use crate::topk::{top_k, top_k_with_ties};

/// Chooses prompts before rolling them out, by what the rollouts of earlier steps say about them.
///
/// # Formula
/// For every task i of the pool: `p_i ~ Beta(alpha_i + 1, beta_i + 1)`, `I_i = p_i (1 - p_i)^2`; the batch is the
/// `n` tasks with the largest `I_i`.  After the step, for a task rolled out `n_i` times with rewards of sum `r_i`:
/// `alpha <- fast_decay alpha + r_i`, `beta <- fast_decay beta + n_i - r_i`; for every other task
/// `alpha <- slow_decay alpha`, `beta <- slow_decay beta`.  Counts start at 0.
///
/// # Shapes
/// Rewards in [0, 1], partial ones add their share to both counts; decay per training step.  Each call of `next`
/// draws once for every task of the pool.
///
/// # Edge cases
/// A pool no larger than the batch is taken whole.  Ties: with `draw = "mean"` equal scores are ordered at random
/// (at a cold start all are equal), with draws they go to the lower index.  Unscorable rollouts are left out of
/// both counts; a group without any still decays fast.  Several calls of `next` in one step (refills) draw from
/// the same posteriors under their own keys and may choose a task again.  Tasks may never be chosen: log coverage.
///
/// # Errors
/// A decay outside [0, 1] or an empty pool when built; a reward outside [0, 1], a task outside the pool, a step
/// that is not after the last one when observing.
///
/// # Source
/// arXiv 2511.18902; posterior, score, selection and both decays from the figures of the authors' project page
/// (`VADE-RL/VADE-RL.github.io` @93bb18b6), as are 0.2 and 0.999.  Their code was not available: flat start,
/// partial rewards and the content of the ablation arms are reconstructed.  Arms: `score = "p(1-p)"`;
/// greedy: `draw = "mean"`; last update: decays 0 and 1; no decay: 1 and 1.
///
/// # Example
/// ```
/// use groupwise_core::{Key, Stream};
/// use groupwise_sampler::{SamplerContext, SamplerSpec};
/// let spec: SamplerSpec = serde_json::from_str(r#"{"vade": {"score": "p(1-p)"}}"#).unwrap();
/// let mut sampler = spec.build(&SamplerContext { n_tasks: 5, num_generations: 8 }).unwrap();
/// let batch = sampler.next(2, Key::new(0, Stream::Sampler).step(1)).unwrap();
/// assert_eq!(batch.len(), 2);
/// assert_eq!(sampler.estimate(batch[0]), Some(0.5));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VadeConfig {
    /// Factor on the counts of a prompt rolled out in the step, in [0, 1]; 0 keeps the last visit only.  Paper: 0.2.
    pub fast_decay: f64,
    /// Factor on the counts of every other prompt, in [0, 1]; 1 never widens their posterior.  Paper: 0.999.
    pub slow_decay: f64,
    /// What a success rate is worth.
    pub score: GainScore,
    /// How a rate is taken from the posterior.
    pub draw: Draw,
}

/// How a success rate is taken from a posterior.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Draw {
    /// A random draw.
    #[default]
    Thompson,
    /// Its mean; ties at random.
    Mean,
}

impl Default for VadeConfig {
    fn default() -> Self {
        Self {
            fast_decay: 0.2,
            slow_decay: 0.999,
            score: GainScore::Skewed,
            draw: Draw::Thompson,
        }
    }
}

impl Part<dyn PromptSampler, SamplerContext> for VadeConfig {
    const SOURCE: &'static str = "arXiv 2511.18902 (VADE); project page VADE-RL/VADE-RL.github.io @93bb18b6, whose \
        figures are followed; code and body were not available";

    fn formula(&self) -> String {
        let rate = match self.draw {
            Draw::Thompson => "p_i ~ Beta(a_i + 1, b_i + 1)",
            Draw::Mean => "p_i = (a_i + 1) / (a_i + b_i + 2)",
        };
        format!(
            "{rate}; batch = the n largest I_i = {} with p = p_i; rolled out: a <- {fast} a + right, \
             b <- {fast} b + wrong; idle: a <- {slow} a, b <- {slow} b",
            self.score.formula(),
            fast = self.fast_decay,
            slow = self.slow_decay,
        )
    }

    fn build(&self, context: &SamplerContext) -> Result<Box<dyn PromptSampler>, ParamError> {
        let decay = Decay::new(self.fast_decay, self.slow_decay)?;
        let n_tasks = check_pool(context)?;
        Ok(Box::new(Vade {
            stats: SuccessStats::new(n_tasks, decay),
            score: self.score,
            draw: self.draw,
        }))
    }
}

#[derive(Debug)]
struct Vade {
    stats: SuccessStats,
    score: GainScore,
    draw: Draw,
}

impl PromptSampler for Vade {
    fn next(&mut self, n: usize, key: Key) -> Result<Vec<usize>, DataError> {
        match self.draw {
            Draw::Thompson => {
                let draws = draw_rates(&self.stats, key)?;
                Ok(top_k(&score_all(&draws, self.score), n))
            }
            Draw::Mean => {
                let scores = score_all(&self.stats.means(), self.score);
                let ties: Vec<f64> = (0..scores.len() as u64)
                    .map(|task| key.task(task).uniform())
                    .collect();
                Ok(top_k_with_ties(&scores, &ties, n))
            }
        }
    }

    fn observe(&mut self, step: u64, outcomes: &[GroupOutcome]) -> Result<(), DataError> {
        self.stats.observe(step, outcomes)
    }

    fn save(&self) -> State {
        self.stats.save()
    }

    fn load(&mut self, state: &State) -> Result<(), DataError> {
        self.stats.load(state)
    }

    fn estimate(&self, task: usize) -> Option<f64> {
        self.stats.counts(task).map(Counts::mean)
    }
}

/// Scores of all tasks and the batch they lead to, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Score of every task.
    pub scores: Vec<f64>,
    /// Chosen tasks in rank order; of equal scores the lower index first.
    pub selected: Vec<usize>,
}

/// What the posterior means say, without a draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Greedy {
    /// Posterior mean of every task.
    pub means: Vec<f64>,
    /// Their scores and selection.
    pub ranking: Ranking,
    /// Expectation of the score under each posterior, in closed form.
    pub expected_scores: Vec<f64>,
}

/// One draw from every posterior, each under its task's own key, by rejection (Cheng's algorithms BB and BC).
///
/// Half a microsecond each, where [`quantile_rates`] takes tens; the law is the same.
///
/// # Errors
/// Counts too large for the sampler.
pub fn draw_rates(stats: &SuccessStats, key: Key) -> Result<Vec<f64>, DataError> {
    let draw = |(task, counts): (usize, Counts)| {
        let (a, b) = counts.posterior();
        let beta = Beta::new(a, b).map_err(|e| DataError::value(format!("task {task}"), e.to_string()))?;
        Ok(beta.sample(&mut key.task(task as u64).rng()))
    };
    stats.iter().enumerate().map(draw).collect()
}

/// The `uniforms[i]` quantile of every posterior: the same draw, from numbers that are given.
///
/// # Errors
/// Another number of uniforms than tasks, a uniform outside [0, 1].
///
/// # Example
/// ```
/// use groupwise_sampler::samplers::vade::{quantile_rates, select};
/// use groupwise_sampler::score::GainScore;
/// use groupwise_sampler::success::{Decay, SuccessStats};
/// let stats = SuccessStats::new(5, Decay::new(0.2, 0.999).unwrap());
/// let rates = quantile_rates(&stats, &[0.9, 0.35, 0.02, 0.6, 0.3])?;
/// let ranking = select(&rates, GainScore::Skewed, 2)?;
/// assert_eq!(ranking.selected, [1, 4]);
/// assert!((ranking.scores[1] - 0.147875).abs() < 1e-9);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn quantile_rates(stats: &SuccessStats, uniforms: &[f64]) -> Result<Vec<f64>, DataError> {
    DataError::check_len("uniforms", uniforms.len(), stats.n_tasks())?;
    let quantile = |(counts, u): (Counts, &f64)| {
        let (a, b) = counts.posterior();
        beta_quantile(a, b, *u)
    };
    stats.iter().zip(uniforms).map(quantile).collect()
}

/// Scores the rates and takes the `batch` best.
///
/// # Errors
/// `batch` = 0, a rate outside [0, 1].
pub fn select(rates: &[f64], score: GainScore, batch: usize) -> Result<Ranking, DataError> {
    if batch == 0 {
        return Err(DataError::value("batch", "is 0, must be >= 1"));
    }
    if let Some(i) = rates.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(DataError::value(
            format!("task {i}"),
            format!("success rate {} is outside [0, 1]", rates[i]),
        ));
    }
    let scores = score_all(rates, score);
    let selected = top_k(&scores, batch);
    Ok(Ranking { scores, selected })
}

/// The greedy ablation on given counts: scores of the posterior means, ties to the lower index.
///
/// # Errors
/// `batch` = 0.
pub fn greedy(stats: &SuccessStats, score: GainScore, batch: usize) -> Result<Greedy, DataError> {
    let means = stats.means();
    let ranking = select(&means, score, batch)?;
    let expected = |counts: Counts| {
        let (a, b) = counts.posterior();
        score.expected(a, b)
    };
    Ok(Greedy {
        means,
        ranking,
        expected_scores: stats.iter().map(expected).collect(),
    })
}

/// One step's decay and results: `successes[j]` of `group` for task `selected[j]`, all other tasks idle.
///
/// # Errors
/// `group` = 0, another number of successes than tasks, successes outside 0..group, a task outside the pool.
pub fn update(
    stats: &mut SuccessStats,
    selected: &[usize],
    successes: &[f64],
    group: u32,
) -> Result<(), DataError> {
    if group == 0 {
        return Err(DataError::value("group", "is 0, must be >= 1"));
    }
    DataError::check_len("successes", successes.len(), selected.len())?;
    let tallies: Vec<Tally> = selected
        .iter()
        .zip(successes)
        .map(|(task, right)| Tally {
            task: *task,
            right: *right,
            attempts: group,
        })
        .collect();
    stats.record(next_step(stats, 1), &tallies)
}

/// `steps` steps without any result.
///
/// # Errors
/// None for counts that exist; the signature is that of [`update`].
pub fn idle(stats: &mut SuccessStats, steps: u64) -> Result<(), DataError> {
    if steps == 0 {
        return Ok(());
    }
    stats.record(next_step(stats, steps), &[])
}

/// Whole steps from given numbers: in step t the rates are the `uniforms[t][i]` quantiles, and a chosen task i
/// would score `successes[t][i]` of `group`.  Returns the selection of each step.
///
/// # Errors
/// As [`quantile_rates`], [`select`] and [`update`]; another number of successes than of uniforms.
pub fn run(
    stats: &mut SuccessStats,
    uniforms: &[Vec<f64>],
    successes: &[Vec<f64>],
    score: GainScore,
    batch: usize,
    group: u32,
) -> Result<Vec<Vec<usize>>, DataError> {
    DataError::check_len("successes", successes.len(), uniforms.len())?;
    let mut selections = Vec::with_capacity(uniforms.len());
    for (uniforms, successes) in uniforms.iter().zip(successes) {
        DataError::check_len("successes", successes.len(), stats.n_tasks())?;
        let rates = quantile_rates(stats, uniforms)?;
        let selected = select(&rates, score, batch)?.selected;
        let right: Vec<f64> = selected.iter().map(|task| successes[*task]).collect();
        update(stats, &selected, &right, group)?;
        selections.push(selected);
    }
    Ok(selections)
}

fn score_all(rates: &[f64], score: GainScore) -> Vec<f64> {
    rates.iter().map(|p| score.at(*p)).collect()
}

fn next_step(stats: &SuccessStats, steps: u64) -> u64 {
    stats.clock().unwrap_or(0).saturating_add(steps)
}

#[cfg(test)]
#[path = "vade_tests.rs"]
mod tests;
