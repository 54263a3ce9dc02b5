//! SEED-GRPO: a group whose answers scatter moves the policy less.

use groupwise_core::answers::{AnswerClusters, AnswerPart, EntropyEstimator, semantic_entropy};
use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch, Scope,
    Trajectory,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, Singleton};
use crate::inputs;
use crate::multiplier::scale_groups;

const NAME: &str = "seed-grpo";

/// How the factor falls with the normalized uncertainty `x`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attenuation {
    /// `max(0, 1 - x)`.
    #[default]
    Linear,
    /// `exp(-x)`.
    Exponential,
    /// `max(0, 1 - x)^gamma`.
    Focal,
}

/// What the probability of a cluster of equal answers is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterProbability {
    /// Its share of the group's answers, `|C_k| / G`.
    #[default]
    Count,
    /// Its share of the group's sequence likelihood.
    Likelihood,
}

/// Dr. GRPO's advantage, scaled down by the semantic entropy of the group's answers.
///
/// # Formula
/// `A_i = (r_i - mean(r)) f(x)`, `x = alpha SE / ln G`.  Clusters C_1..C_K are the equal answers of the group, p_k
/// their probabilities; `SE = -(1/K) sum_k ln p_k` (or Shannon's); `f(x)` is `max(0, 1 - x)` (or another).
///
/// # Shapes
/// One advantage per trajectory, in the unit of the reward; SE in nats.
///
/// # Edge cases
/// - One scorable member: advantage 0.  One cluster: SE = 0, f = 1.
/// - Unscorable members: 0, and their answers belong to no cluster; G counts the scorable ones.
/// - Unparsable answers (see [`AnswerPart`]) form one cluster; the empty string is an answer of its own.
/// - With `likelihood` SE can exceed ln G; linear and focal factors then end at 0.
/// - Members kept out of the loss still count: entropy and mean must be those of the same answers.
///
/// # Errors
/// Parameters: `alpha` or `gamma` negative or not finite.  Data: no trajectories, with `likelihood` no tokens or
/// `logp_old`; those of [`GroupRelative`].
///
/// # Source
/// "SEED-GRPO", arXiv 2505.12346, equations 1, 5 and 6; the published repository holds no code.  Equation 5 is
/// written for raw sequence probabilities, for which SE has neither the stated minimum (0 for one cluster) nor the
/// stated maximum (ln G); counts have both and are the default.  With counts the paper's alpha = 0.02 scales by 0.98
/// to 1; the effective size of the published alpha is therefore unknown.
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{seed_entropy, seed_factor, Attenuation, ClusterProbability};
/// use groupwise_core::answers::EntropyEstimator;
/// let answers = ["3", "3", "3", "9", "3", "3"].map(Some);
/// let se = seed_entropy(&answers, ClusterProbability::Count, &[], EntropyEstimator::ClusterMean)?;
/// assert!((se - 0.9870405130110048).abs() < 1e-12);
/// assert!((seed_factor(se, 6, 0.02, Attenuation::Linear, 2.0) - 0.9889824440170393).abs() < 1e-12);
/// assert!((seed_factor(se, 6, 0.5, Attenuation::Focal, 2.0) - 0.5249887882505097).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedGrpoConfig {
    /// Strength, >= 0; 0 is Dr. GRPO.  Paper: 0.02.
    pub alpha: f64,
    /// How the factor falls.
    pub func: Attenuation,
    /// Exponent of the focal factor, >= 0.
    pub gamma: f64,
    /// How the entropy is estimated.
    pub estimator: EntropyEstimator,
    /// What the probability of a cluster is.
    pub prob: ClusterProbability,
    /// Where in a reply the answer stands.
    pub answer: AnswerPart,
}

impl Default for SeedGrpoConfig {
    fn default() -> Self {
        Self {
            alpha: 0.02,
            func: Attenuation::Linear,
            gamma: 2.0,
            estimator: EntropyEstimator::ClusterMean,
            prob: ClusterProbability::Count,
            answer: AnswerPart::Whole,
        }
    }
}

/// Semantic entropy of one group, nats; see [`SeedGrpoConfig`] for formula and example.
///
/// # Shapes
/// `answers`: one per member, `None` where unparsable; `logp`: log-probability of each whole answer, nats, read
/// with [`ClusterProbability::Likelihood`] only.
///
/// # Errors
/// With `Likelihood`: `logp` of another length or not finite.
pub fn seed_entropy(
    answers: &[Option<&str>],
    prob: ClusterProbability,
    logp: &[f64],
    estimator: EntropyEstimator,
) -> Result<f64, DataError> {
    let clusters = AnswerClusters::of(answers.iter().copied());
    let log_p = match prob {
        ClusterProbability::Count => clusters.log_shares(),
        ClusterProbability::Likelihood => clusters.log_likelihood_shares(logp)?,
    };
    Ok(semantic_entropy(&log_p, estimator))
}

/// Factor in [0, 1] of a group of `n_answers` with this entropy; see [`SeedGrpoConfig`] for formula and example.
///
/// Fewer than two answers: 1.
pub fn seed_factor(entropy: f64, n_answers: usize, alpha: f64, func: Attenuation, gamma: f64) -> f64 {
    if n_answers < 2 {
        return 1.0;
    }
    let x = alpha * entropy / (n_answers as f64).ln();
    match func {
        Attenuation::Linear => (1.0 - x).max(0.0),
        Attenuation::Exponential => (-x).exp(),
        Attenuation::Focal => (1.0 - x).max(0.0).powf(gamma),
    }
}

impl Part<dyn AdvantageEstimator> for SeedGrpoConfig {
    const SOURCE: &'static str =
        "SEED-GRPO, arXiv 2505.12346, equations 1, 5, 6; base Dr. GRPO, arXiv 2503.20783";

    fn formula(&self) -> String {
        let f = match self.func {
            Attenuation::Linear => "max(0, 1 - x)".to_owned(),
            Attenuation::Exponential => "exp(-x)".to_owned(),
            Attenuation::Focal => format!("max(0, 1 - x)^{}", self.gamma),
        };
        let entropy = match self.estimator {
            EntropyEstimator::ClusterMean => "-(1/K) sum_k ln p_k",
            EntropyEstimator::Shannon => "-sum_k p_k ln p_k",
        };
        let p = match self.prob {
            ClusterProbability::Count => "|C_k| / G",
            ClusterProbability::Likelihood => "sum_(i in C_k) exp(logp_i) / sum_i exp(logp_i)",
        };
        let answer = match self.answer {
            AnswerPart::Whole => "whole reply",
            AnswerPart::AnswerTag => "first answer block",
        };
        format!(
            "A_i = (r_i - mean(r)) f; f = {f}, x = {} SE / ln G, SE = {entropy}, p_k = {p}; C_k: equal answers ({answer})",
            self.alpha
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        ParamError::check_coefficient("alpha", self.alpha)?;
        ParamError::check_coefficient("gamma", self.gamma)?;
        let centred = GroupRelativeConfig::centred(Centre::Mean, Singleton::Zero);
        Ok(Box::new(SeedGrpo {
            config: self.clone(),
            relative: GroupRelative::new(centred)?,
        }))
    }
}

#[derive(Debug)]
struct SeedGrpo {
    config: SeedGrpoConfig,
    relative: GroupRelative,
}

impl AdvantageEstimator for SeedGrpo {
    fn needs(&self) -> Needs {
        match self.config.prob {
            ClusterProbability::Count => Needs::TRAJECTORIES,
            ClusterProbability::Likelihood => Needs::TRAJECTORIES | Needs::TOKENS | Needs::LOGP_OLD,
        }
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        let mut advantages = self.relative.advantages(batch.groups, batch.rewards)?;
        batch.check()?;
        let trajectories = inputs::trajectories(batch, NAME)?;
        let config = &self.config;
        let logp = match config.prob {
            ClusterProbability::Count => Vec::new(),
            ClusterProbability::Likelihood => sequence_logp(batch, trajectories)?,
        };
        let mut factors = Vec::with_capacity(batch.groups.len());
        for members in batch.groups.iter() {
            let scored: Vec<usize> = members.filter(|i| batch.rewards[*i].is_some()).collect();
            let answers: Vec<Option<&str>> = scored
                .iter()
                .map(|i| config.answer.of(trajectories[*i].answer()))
                .collect();
            let own: Vec<f64> = scored.iter().filter_map(|i| logp.get(*i).copied()).collect();
            let entropy = seed_entropy(&answers, config.prob, &own, config.estimator)?;
            factors.push(seed_factor(
                entropy,
                answers.len(),
                config.alpha,
                config.func,
                config.gamma,
            ));
        }
        scale_groups(batch.groups, &factors, &mut advantages)?;
        Ok(Advantages::Trajectory(advantages))
    }
}

/// Log-probability of every completion: the tokens the policy chose, also of members kept out of the loss.
fn sequence_logp(batch: &RewardBatch<'_>, trajectories: &[Trajectory]) -> Result<Vec<f64>, DataError> {
    let (tokens, _) = inputs::tokens(batch, NAME)?;
    let logp = batch.logp_old.ok_or(DataError::Missing {
        what: "logp_old",
        part: NAME,
    })?;
    trajectories
        .iter()
        .zip(tokens.iter())
        .map(|(trajectory, span)| {
            DataError::check_len("mask of the trajectory", trajectory.mask.len(), span.len())?;
            let chosen = trajectory.mask.iter().zip(&logp[span]).filter(|(m, _)| **m);
            Ok(chosen.map(|(_, l)| l).sum())
        })
        .collect()
}

#[cfg(test)]
#[path = "seed_grpo_tests.rs"]
mod tests;
