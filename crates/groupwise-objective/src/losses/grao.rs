//! GRAO: group relative alignment optimization, one loss of exploration and imitation.
//!
//! Sampled answers and a reference answer are weighed by rewards that are normalized together, and each sample is
//! pushed away from (good) or towards (bad) the reference.  Source: arXiv 2508.07750, equations 3 and 4.
//!
//! The whole loss as a function of samples and references, with both readings of the paper.  In a run `[repair.inject-reference]`
//! puts the references into the groups, and `[advantage.grao]` weighs them so that `[objective.reinforce]` is this loss.

use groupwise_core::stats::{Moments, is_constant};
use groupwise_core::{DataError, ParamError, RewardBatch, Spans};
use serde::{Deserialize, Serialize};

use super::weighted_likelihood;

/// Over which rewards mean and deviation are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalizationPool {
    /// The samples and the reference answer: what the text describes.
    #[default]
    WithReference,
    /// The samples alone: equation 4 as printed.
    SamplesOnly,
}

/// What happens to a prompt without a scored reference answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingReference {
    /// The batch is refused.
    #[default]
    Refuse,
    /// The terms of the reference are off: the samples are normalized among themselves and explored.
    Skip,
}

/// Parameters of GRAO.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraoConfig {
    /// Weight of imitation, >= 0.
    pub beta: f64,
    /// Weight of the regularizer, >= 0: `1 + lambda` on exploration, `lambda / G` more on imitation.
    #[serde(alias = "lam")]
    pub lambda: f64,
    /// Over which rewards mean and deviation are taken.
    pub pool: NormalizationPool,
    /// Added to the deviation, > 0.
    pub eps: f64,
    /// What happens to a prompt without a scored reference answer.
    pub missing_reference: MissingReference,
}

impl Default for GraoConfig {
    fn default() -> Self {
        Self {
            beta: 0.5,
            lambda: 0.6,
            pool: NormalizationPool::WithReference,
            eps: 1e-6,
            missing_reference: MissingReference::Refuse,
        }
    }
}

/// Texts: their tokens, and which of them count.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// Text -> tokens.
    pub tokens: Spans<'a>,
    /// True where a token counts.
    pub mask: &'a [bool],
    /// Log-probabilities under the current policy, nats.
    pub logp: &'a [f64],
}

/// Sampled answers and one reference answer per prompt.
#[derive(Clone, Copy, Debug)]
pub struct GraoBatch<'a> {
    /// Prompt -> samples.
    pub groups: Spans<'a>,
    /// Reward of each sample; `None`: cannot be scored.
    pub rewards: &'a [Option<f64>],
    /// The samples.
    pub samples: Texts<'a>,
    /// Reward of the reference of each prompt, by the same verifier; `None`: there is no reference.
    pub reference_rewards: &'a [Option<f64>],
    /// The references, one per prompt; without tokens where there is none.
    pub references: Texts<'a>,
}

/// Rewards normalized in their pool.
#[derive(Clone, Debug, PartialEq)]
pub struct GraoAdvantages {
    /// One per sample; 0 where it cannot be scored.
    pub samples: Vec<f64>,
    /// One per prompt; 0 where there is no reference.
    pub references: Vec<f64>,
}

/// Loss of a batch, its derivatives, and what it was weighed by.
#[derive(Clone, Debug, PartialEq)]
pub struct GraoEvaluation {
    /// The scalar to minimize.
    pub loss: f64,
    /// Its derivative by each log-probability of the samples.
    pub d_samples: Vec<f64>,
    /// Its derivative by each log-probability of the references.
    pub d_references: Vec<f64>,
    /// The normalized rewards.
    pub advantages: GraoAdvantages,
    /// Mean log-probability of each reference.  Where the advantage of a reference is negative its likelihood has no
    /// floor: watch this.
    pub reference_means: Vec<f64>,
}

/// GRAO, valid by construction.
///
/// # Formula
/// `A = (R - mean) / (std + eps)`, deviation with divisor n, over the pool of the prompt; `e` the mean
/// log-probability over counted tokens.
/// `J = 1/G sum_i A_i e_i + beta A_y e_y + lambda 1/G sum_i A_i (e_i - e_y)`; `loss = -mean over prompts of J`.
/// Thus `e_i` is weighed by `(1 + lambda) A_i / G`, `e_y` by `beta A_y - lambda mean_i A_i`.
///
/// # Shapes
/// Rewards per sample and per prompt; log-probabilities in nats per token.
///
/// # Edge cases
/// - Equal rewards in the pool: exactly 0 for its members.  A reference outside of a pool without spread has
///   `A_y = (R_y - mean) / eps`: the explosion for which the pool with the reference is the default.
/// - Unscorable samples: 0, in no statistic, and not counted in G.  No scorable sample: only the reference is left,
///   which alone in its pool has `A_y = 0`.
/// - One sample is enough where the reference is in the pool.
/// - A text without counted tokens has `e = 0` and no derivative.
/// - No ratio and no clip: sound for one update per rollout.
///
/// # Errors
/// Lengths that differ; an empty group; a reward or a counted log-probability that is not finite; no scored reference
/// ([`MissingReference`]); fewer than two scorable samples where the reference is judged by their pool alone.
///
/// # Source
/// arXiv 2508.07750, equations 3 and 4; no authors' code is known.  The text normalizes in "one group (o_i, y)", the
/// equation over the samples: with samples only, `mean_i A_i = 0`, so that the reference drops out of the regularizer,
/// and a group of failures makes `A_y` explode.  The text is followed.
///
/// # Example
/// ```
/// use groupwise_core::Offsets;
/// use groupwise_objective::losses::{Grao, GraoBatch, GraoConfig, Texts};
/// let (groups, tokens) = (Offsets::from_lengths([4]), Offsets::from_lengths([1; 4]));
/// let reference = Offsets::from_lengths([2]);
/// let at = Grao::new(&GraoConfig::default())?.evaluate(&GraoBatch {
///     groups: groups.spans(),
///     rewards: &[Some(1.0), Some(0.0), Some(0.0), Some(1.0)],
///     samples: Texts { tokens: tokens.spans(), mask: &[true; 4], logp: &[-1.0; 4] },
///     reference_rewards: &[Some(1.0)],
///     references: Texts { tokens: reference.spans(), mask: &[true; 2], logp: &[-1.0; 2] },
/// })?;
/// assert!((at.d_samples[0] + 0.326598).abs() < 1e-6);
/// assert!((at.d_references[0] + 0.530722 / 2.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grao {
    config: GraoConfig,
}

impl Grao {
    /// Validates.
    ///
    /// # Errors
    /// `beta` or `lambda` negative or not finite; `eps` not a finite number > 0.
    pub fn new(config: &GraoConfig) -> Result<Self, ParamError> {
        for (key, value) in [("beta", config.beta), ("lambda", config.lambda)] {
            ParamError::check_coefficient(key, value)?;
        }
        let eps = config.eps;
        ParamError::check(eps > 0.0 && eps.is_finite(), "eps", eps, "a finite number > 0")?;
        Ok(Self { config: *config })
    }

    /// Normalized rewards of the samples and of the references.
    ///
    /// # Errors
    /// See the type.
    pub fn advantages(
        &self,
        groups: Spans<'_>,
        rewards: &[Option<f64>],
        reference_rewards: &[Option<f64>],
    ) -> Result<GraoAdvantages, DataError> {
        RewardBatch::new(groups, rewards).check()?;
        DataError::check_len("reference_rewards", reference_rewards.len(), groups.len())?;
        let mut out = GraoAdvantages {
            samples: vec![0.0; rewards.len()],
            references: vec![0.0; groups.len()],
        };
        for (g, members) in groups.iter().enumerate() {
            let samples = &rewards[members.clone()];
            let reference = self.reference(g, reference_rewards[g])?;
            let norm = self.normalizer(g, samples, reference)?;
            for (slot, reward) in out.samples[members.clone()].iter_mut().zip(samples) {
                *slot = reward.map_or(0.0, |r| norm.member(r));
            }
            out.references[g] = reference.map_or(0.0, |r| match self.config.pool {
                NormalizationPool::WithReference => norm.member(r),
                NormalizationPool::SamplesOnly => norm.outsider(r),
            });
            let mut all = out.samples[members].iter().chain(&out.references[g..=g]);
            if let Some(a) = all.find(|a| !a.is_finite()) {
                return Err(too_far_apart(g, "advantage", *a));
            }
        }
        Ok(out)
    }

    /// The reference's reward, if the prompt has a usable one.
    fn reference(&self, g: usize, reward: Option<f64>) -> Result<Option<f64>, DataError> {
        match (reward, self.config.missing_reference) {
            (Some(r), _) if r.is_finite() => Ok(Some(r)),
            (Some(r), _) => Err(DataError::NonFinite {
                place: format!("group {g}"),
                what: "reference reward".into(),
                value: r.to_string(),
            }),
            (None, MissingReference::Skip) => Ok(None),
            (None, MissingReference::Refuse) => Err(DataError::value(
                format!("group {g}"),
                "has no scored reference answer, and `missing_reference` is refuse",
            )),
        }
    }

    /// Statistics of the pool of one prompt.
    fn normalizer(
        &self,
        g: usize,
        samples: &[Option<f64>],
        reference: Option<f64>,
    ) -> Result<Normalizer, DataError> {
        let scored = samples.iter().flatten();
        let member = match self.config.pool {
            NormalizationPool::WithReference => reference,
            NormalizationPool::SamplesOnly => None,
        };
        if reference.is_some() && member.is_none() && scored.clone().count() < 2 {
            let what =
                "has fewer than the two scorable samples by which a reference outside of the pool is judged";
            return Err(DataError::value(format!("group {g}"), what));
        }
        let pool = scored.chain(member.as_ref());
        let moments = Moments::of(pool.clone());
        let deviation = moments.population_variance().sqrt();
        if !deviation.is_finite() {
            return Err(too_far_apart(g, "deviation", deviation));
        }
        Ok(Normalizer {
            mean: moments.mean(),
            deviation: if is_constant(pool) { None } else { Some(deviation) },
            eps: self.config.eps,
        })
    }

    /// Loss, derivatives and normalized rewards.
    ///
    /// # Errors
    /// See the type.
    pub fn evaluate(&self, batch: &GraoBatch<'_>) -> Result<GraoEvaluation, DataError> {
        let GraoBatch {
            groups,
            samples,
            references,
            ..
        } = *batch;
        DataError::check_len("samples", samples.tokens.len(), batch.rewards.len())?;
        DataError::check_len("references", references.tokens.len(), groups.len())?;
        let advantages = self.advantages(groups, batch.rewards, batch.reference_rewards)?;
        let mut weights = vec![0.0; batch.rewards.len()];
        let mut reference_weights = vec![0.0; groups.len()];
        let GraoConfig { beta, lambda, .. } = self.config;
        let prompts = groups.len().max(1) as f64;
        for (g, members) in groups.iter().enumerate() {
            let scored = batch.rewards[members.clone()].iter().flatten().count().max(1) as f64;
            let each = 1.0 / (scored * prompts);
            let mut sum = 0.0;
            for i in members {
                sum += advantages.samples[i];
                weights[i] = (1.0 + lambda) * advantages.samples[i] * each;
            }
            if batch.reference_rewards[g].is_some() {
                reference_weights[g] = beta * advantages.references[g] / prompts - lambda * sum * each;
            }
        }
        let sampled = weighted_likelihood(samples.tokens, samples.logp, samples.mask, &weights)?;
        let imitated = weighted_likelihood(
            references.tokens,
            references.logp,
            references.mask,
            &reference_weights,
        )
        .map_err(of_reference)?;
        Ok(GraoEvaluation {
            loss: sampled.loss + imitated.loss,
            d_samples: sampled.d_logp,
            d_references: imitated.d_logp,
            advantages,
            reference_means: imitated.means,
        })
    }
}

/// Rewards whose statistics leave the range of numbers.
fn too_far_apart(g: usize, what: &str, value: f64) -> DataError {
    DataError::NonFinite {
        place: format!("group {g}"),
        what: format!("{what} (rewards too far apart)"),
        value: value.to_string(),
    }
}

/// A text that does not fit is a reference, not a sample.
fn of_reference(error: DataError) -> DataError {
    match error {
        DataError::NonFinite { place, what, value } => DataError::NonFinite {
            place: place.replacen("trajectory", "reference", 1),
            what,
            value,
        },
        DataError::Length {
            what,
            found,
            expected,
        } => DataError::Length {
            what: format!("references: {what}"),
            found,
            expected,
        },
        other => other,
    }
}

/// Mean and deviation of a pool; no deviation where it is constant.
struct Normalizer {
    mean: f64,
    deviation: Option<f64>,
    eps: f64,
}

impl Normalizer {
    /// A member of the pool.
    fn member(&self, reward: f64) -> f64 {
        // The mean of equal rewards is not exact: what is left must not be divided by eps.
        self.deviation
            .map_or(0.0, |s| (reward - self.mean) / (s + self.eps))
    }

    /// A reward that is not in the pool.
    fn outsider(&self, reward: f64) -> f64 {
        match self.deviation {
            None if is_constant(&[self.mean, reward]) => 0.0,
            deviation => (reward - self.mean) / (deviation.unwrap_or(0.0) + self.eps),
        }
    }
}

#[cfg(test)]
#[path = "grao_tests.rs"]
mod tests;
