//! DR-IRL's GRPO-S: groups far from their demonstration, in categories the reward separates well, weigh more.

use std::collections::BTreeMap;
use std::ops::Range;

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Spread, Task,
    stats,
};
use serde::{Deserialize, Serialize};

use crate::clauses::{WordCounts, clauses};
use crate::group_relative::{GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton, ZeroSpread};
use crate::inputs;
use crate::multiplier::scale_groups;

const NAME: &str = "dr-irl";

/// How the data and the model coefficient of a prompt become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// Their product.
    #[default]
    Product,
    /// Their mean: the paper's ablation.
    Average,
}

impl Combine {
    /// The coefficient of a prompt.
    pub fn of(self, data: f64, model: f64) -> f64 {
        match self {
            Self::Product => data * model,
            Self::Average => (data + model) / 2.0,
        }
    }
}

/// Which prompt a coefficient weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assignment {
    /// The one it was computed for.
    #[default]
    Own,
    /// The next one of the batch, the last one's the first: a control that keeps how much coefficients vary and drops
    /// what they say.  Batches are in random order.
    Next,
}

/// GRPO's advantage times a coefficient of the prompt: how different the policy's answers are from the demonstration,
/// times how well the reward tells the two apart.
///
/// # Formula
/// `A_i = a (r_i - mean(r)) / (std(r) + eps)`, `a = a_D a_M` (or their mean), per category of prompts:
/// - data: `delta = 1 - W`, `a_D = s(delta) / s(mean delta)`, W the mean over the group of
///   `(1/K) sum_k max_l cos(clause k of the answer, clause l of the demonstration)`; s the logistic function;
/// - model: `gap = demonstration_reward - mean(r)`, `a_M = s(mean of kept gaps) / s(mean gap)`, kept:
///   `(gap - mean gap)^2 <= tau`.
///
/// # Shapes
/// One advantage per trajectory, without unit.
///
/// # Edge cases
/// - No gap kept: `a_M = 1`.  Zero-spread groups: 0.
/// - An answer without words: similarity 0.  A group without a scorable member: coefficient 1, in no statistic.
/// - Unscorable members: 0; neither their text nor their reward counts.
///
/// # Errors
/// Parameters: `tau` negative or not finite; `eps` negative or not finite; `std` neither sample nor population;
/// `demonstration_reward` not finite.  Data: no trajectories or tasks; a task whose reference, the demonstration, holds
/// no word; those of [`GroupRelative`].
///
/// # Source
/// "Inverse reinforcement learning with dynamic reward scaling" (DR-IRL, ICLR 2026), section 3, through two public
/// summaries that print it; no authors' code was found.  Ours: W averaged over the group (the paper has one answer per
/// prompt), statistics over the prompts of the update batch instead of the data set, `tau` of four population variances
/// (no number was found), clauses end at a full stop before white space, and a clause is encoded by its word counts.
/// The run's verifier stands for the shadow reward model, whose training is not part of this estimator.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{clause_similarity, data_coefficients, model_coefficient};
/// let w = clause_similarity(&[vec![0.9, 0.2], vec![0.4, 0.8]])?;
/// let a_d = data_coefficients(&[1.0 - w, 0.7, 0.0, 1.0])?;
/// assert!((a_d[0] - 0.8758533999745277).abs() < 1e-12);
/// let model = model_coefficient(&[1.0, 1.4, 0.8, 1.1, 6.0], Some(4.0))?;
/// assert_eq!(model.mask, [true, true, true, true, false]);
/// assert!((model.score - 0.8405694898384547).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrIrlConfig {
    /// Squared distance from the mean beyond which a gap is an outlier, >= 0; absent: four population variances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// How the two coefficients become one.
    pub combine: Combine,
    /// What the run's verifier gives the demonstration.
    pub demonstration_reward: f64,
    /// Task column that names the category; tasks without it form a category together.
    pub category_column: String,
    /// Deviation the centred reward is divided by: sample or population.
    pub std: Spread,
    /// Added to the deviation, >= 0.
    pub eps: f64,
    /// What a lone scorable member gets.
    pub singleton: Singleton,
    /// Which prompt a coefficient weighs; any but its own is a control of this workspace.
    pub assignment: Assignment,
}

impl Default for DrIrlConfig {
    fn default() -> Self {
        Self {
            tau: None,
            combine: Combine::Product,
            demonstration_reward: 1.0,
            category_column: "category".to_owned(),
            std: Spread::Sample,
            eps: 1e-6,
            singleton: Singleton::Zero,
            assignment: Assignment::Own,
        }
    }
}

/// Cosine of two vectors; 0 if either is zero.
///
/// # Errors
/// Vectors of different lengths or with entries that are not finite.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::cosine;
/// assert!((cosine(&[1.0, 0.0, 1.0], &[1.0, 1.0, 0.0])? - 0.5).abs() < 1e-12);
/// assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0])?, 0.0);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn cosine(a: &[f64], b: &[f64]) -> Result<f64, DataError> {
    DataError::check_len("vector", b.len(), a.len())?;
    DataError::check_finite("vector", a)?;
    DataError::check_finite("vector", b)?;
    // Scaled by the largest entry, so that no square overflows or vanishes.
    let scale = |v: &[f64]| v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    let (sa, sb) = (scale(a), scale(b));
    if sa == 0.0 || sb == 0.0 {
        return Ok(0.0);
    }
    let norm = |v: &[f64], s: f64| v.iter().map(|x| (x / s) * (x / s)).sum::<f64>().sqrt();
    let dot: f64 = a.iter().zip(b).map(|(x, y)| (x / sa) * (y / sb)).sum();
    Ok(dot / (norm(a, sa) * norm(b, sb)))
}

/// How much of an answer stands in the demonstration: each clause by its best match, averaged.
///
/// # Formula
/// `W = (1/K) sum_k max_l s_kl`.
///
/// # Shapes
/// `similarities`: K clauses of the answer by L of the demonstration, cosines.
///
/// # Errors
/// No row, a row without entries or of another length, an entry that is not finite.
pub fn clause_similarity(similarities: &[Vec<f64>]) -> Result<f64, DataError> {
    let Some(first) = similarities.first().filter(|row| !row.is_empty()) else {
        return Err(DataError::value("similarities", "hold no entry"));
    };
    let mut best = Vec::with_capacity(similarities.len());
    for row in similarities {
        DataError::check_len("row of similarities", row.len(), first.len())?;
        DataError::check_finite("similarity", row)?;
        best.push(row.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    }
    Ok(stats::mean(&best))
}

/// Coefficient of each prompt of a category from its difference to the demonstration.
///
/// # Formula
/// `a_i = s(delta_i) / s(mean delta)`, s the logistic function.
///
/// # Shapes
/// `differences`: `delta_i = 1 - W_i` of each prompt, in [0, 2] for cosines.
///
/// # Errors
/// No prompt, a difference that is not finite.
pub fn data_coefficients(differences: &[f64]) -> Result<Vec<f64>, DataError> {
    if differences.is_empty() {
        return Err(DataError::value("differences", "hold no prompt"));
    }
    DataError::check_finite("difference", differences)?;
    let level = stats::mean(differences);
    Ok(differences
        .iter()
        .map(|delta| logistic_ratio(*delta, level))
        .collect())
}

/// Coefficient of a category from its reward gaps.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCoefficient {
    /// True where the gap was kept.
    pub mask: Vec<bool>,
    /// The coefficient.
    pub score: f64,
}

/// Coefficient of a category: how well the reward separates demonstrations from answers, outliers set aside.
///
/// # Formula
/// `a = s(mean of kept gaps) / s(mean gap)`, kept: `(gap - mean gap)^2 <= tau`, s the logistic function.
///
/// # Shapes
/// `gaps`: reward of the demonstration less that of the answer, one per prompt.
///
/// # Edge cases
/// None kept: 1.  `tau` absent: four population variances of the gaps.
///
/// # Errors
/// No gap, a gap that is not finite, `tau` negative or not finite.
pub fn model_coefficient(gaps: &[f64], tau: Option<f64>) -> Result<ModelCoefficient, DataError> {
    if gaps.is_empty() {
        return Err(DataError::value("gaps", "hold no prompt"));
    }
    DataError::check_finite("gap", gaps)?;
    if let Some(tau) = tau.filter(|tau| !tau.is_finite() || *tau < 0.0) {
        return Err(DataError::value(
            "tau",
            format!("is {tau}: must be a finite number >= 0"),
        ));
    }
    let moments = stats::Moments::of(gaps);
    let tau = tau.unwrap_or(4.0 * moments.population_variance());
    let mask: Vec<bool> = gaps
        .iter()
        .map(|gap| (gap - moments.mean()).powi(2) <= tau)
        .collect();
    let kept: Vec<f64> = gaps
        .iter()
        .zip(&mask)
        .filter(|(_, kept)| **kept)
        .map(|(g, _)| *g)
        .collect();
    let score = if kept.is_empty() {
        1.0
    } else {
        logistic_ratio(stats::mean(&kept), moments.mean())
    };
    Ok(ModelCoefficient { mask, score })
}

/// Logarithm of the logistic function, exact in both tails.
fn log_logistic(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// `s(x) / s(level)`, which far below 0 would be 0 / 0 if written out.
fn logistic_ratio(x: f64, level: f64) -> f64 {
    (log_logistic(x) - log_logistic(level)).exp()
}

impl DrIrlConfig {
    /// The group-relative part, before the coefficients.
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            centre: Centre::Mean,
            spread: self.std,
            scale_rewards: ScaleRewards::Group,
            eps: self.eps,
            singleton: self.singleton,
            zero_spread: ZeroSpread::Skip,
        }
    }
}

impl Part<dyn AdvantageEstimator> for DrIrlConfig {
    const SOURCE: &'static str = "DR-IRL (GRPO-S), ICLR 2026, section 3, through public summaries";

    fn formula(&self) -> String {
        let n = if self.std == Spread::Sample { "n - 1" } else { "n" };
        let a = match self.combine {
            Combine::Product => "a_D a_M",
            Combine::Average => "(a_D + a_M) / 2",
        };
        let tau = self.tau.map_or("4 var(gap)".to_owned(), |tau| tau.to_string());
        format!(
            "A_i = a (r_i - mean(r)) / (std(r; {n}) + {:e}), a = {a}; a_D = s(1 - W) / s(mean(1 - W)), \
             a_M = s(mean kept gap) / s(mean gap), gap = {} - mean(r), tau = {tau}, per `{}`{}",
            self.eps,
            self.demonstration_reward,
            self.category_column,
            match self.assignment {
                Assignment::Own => "",
                Assignment::Next => "; each a weighs the next prompt instead",
            }
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        if let Some(tau) = self.tau {
            ParamError::check_coefficient("tau", tau)?;
        }
        ParamError::check(
            self.demonstration_reward.is_finite(),
            "demonstration_reward",
            self.demonstration_reward,
            "a finite number",
        )?;
        inputs::check_deviation("std", self.std)?;
        Ok(Box::new(DrIrl {
            config: self.clone(),
            relative: GroupRelative::new(self.settings())?,
        }))
    }
}

#[derive(Debug)]
struct DrIrl {
    config: DrIrlConfig,
    relative: GroupRelative,
}

impl AdvantageEstimator for DrIrl {
    fn needs(&self) -> Needs {
        Needs::TRAJECTORIES | Needs::TASKS
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let mut advantages = self.relative.advantages(batch.groups, batch.rewards)?;
        batch.check()?;
        let tasks = batch.tasks.ok_or(DataError::Missing {
            what: "tasks",
            part: NAME,
        })?;
        let mut categories: BTreeMap<String, Vec<Prompt>> = BTreeMap::new();
        for (g, (members, task)) in batch.groups.iter().zip(tasks).enumerate() {
            if let Some(prompt) = self.prompt(batch, g, members, task)? {
                let category = task.columns.get(&self.config.category_column);
                let category = category.map_or(String::new(), ToString::to_string);
                categories.entry(category).or_default().push(prompt);
            }
        }
        let mut factors = vec![1.0; batch.groups.len()];
        for prompts in categories.values() {
            let column = |of: fn(&Prompt) -> f64| prompts.iter().map(of).collect::<Vec<f64>>();
            let data = data_coefficients(&column(|p| p.difference))?;
            let model = model_coefficient(&column(|p| p.gap), self.config.tau)?.score;
            for (prompt, data) in prompts.iter().zip(data) {
                factors[prompt.group] = self.config.combine.of(data, model);
            }
        }
        if self.config.assignment == Assignment::Next {
            let shift = factors.len().min(1);
            factors.rotate_right(shift);
        }
        scale_groups(batch.groups, &factors, &mut advantages)?;
        inputs::check_result(&advantages)?;
        Ok(Advantages::Trajectory(advantages))
    }
}

/// What one group contributes to the statistics of its category.
struct Prompt {
    group: usize,
    difference: f64,
    gap: f64,
}

impl DrIrl {
    /// The group's difference and gap; `None` if no member can be scored.
    fn prompt(
        &self,
        batch: &RewardBatch<'_>,
        group: usize,
        members: Range<usize>,
        task: &Task,
    ) -> Result<Option<Prompt>, DataError> {
        let trajectories = inputs::trajectories(batch, NAME)?;
        let demonstration: Vec<WordCounts<'_>> = clauses(&task.reference).map(WordCounts::of).collect();
        if demonstration.iter().all(WordCounts::is_empty) {
            let what = format!(
                "the reference of task `{}` holds no word to compare with",
                task.id
            );
            return Err(DataError::value(format!("group {group}"), what));
        }
        let (mut similarity, mut rewards) = (Vec::new(), Vec::new());
        for i in members {
            let Some(reward) = batch.rewards[i] else { continue };
            rewards.push(reward);
            let rows: Vec<Vec<f64>> = clauses(trajectories[i].answer())
                .map(WordCounts::of)
                .map(|clause| demonstration.iter().map(|other| clause.cosine(other)).collect())
                .collect();
            similarity.push(if rows.is_empty() {
                0.0
            } else {
                clause_similarity(&rows)?
            });
        }
        Ok((!rewards.is_empty()).then(|| Prompt {
            group,
            difference: 1.0 - stats::mean(&similarity),
            gap: self.config.demonstration_reward - stats::mean(&rewards),
        }))
    }
}

#[cfg(test)]
#[path = "dr_irl_tests.rs"]
mod tests;
