//! AEPO: arbitrary entropy policy optimization.
//!
//! A second, small rollout at another temperature supplies correct answers to imitate: hot ones while the policy's
//! entropy is at or below a target, cold ones above it.  Source: arXiv 2510.08141; the authors' code (`replace`) puts
//! them in place of on-policy trajectories, the paper's formula (`additive`) adds a term.
//!
//! The second rollout is not part of an update batch, so this is a set of functions, from the measured entropy to the
//! mixed batch or to the additive term, and no entry of the registry of objectives.

use std::sync::Arc;

use groupwise_core::{Advantages, DataError, Offsets, ParamError, Spans, TokenBatch};
use serde::{Deserialize, Serialize};

use super::{LikelihoodEvaluation, weighted_likelihood};

/// How auxiliary samples enter the update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AepoMode {
    /// The best of them stand in place of on-policy trajectories (the authors' code).
    #[default]
    Replace,
    /// All of them form a term of their own (the paper's formula).
    Additive,
}

/// Which auxiliary samples may stand in for on-policy trajectories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuxiliarySelection {
    /// Those with a group advantage above `threshold` (the authors' code): none of a group that is right throughout.
    #[default]
    Advantage,
    /// Those with a reward above 0: the reading of the formula.
    Reward,
}

/// Over which tokens the entropy that steers the temperature is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntropySource {
    /// Those of on-policy trajectories.
    #[default]
    OnPolicy,
    /// All of the update, hot or cold samples included (the authors' code).
    Update,
}

/// Parameters of AEPO.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AepoConfig {
    /// Entropy the policy is steered to, nats per token, > 0.
    pub entropy_target: f64,
    /// Temperature of the auxiliary rollout while entropy is at or below the target, > 1.
    pub t_high: f64,
    /// Temperature above the target, in (0, 1).
    pub t_low: f64,
    /// Largest number of trajectories that are replaced.  "As small as possible while entropy is controllable".
    pub reinforce_num: usize,
    /// Advantage that a selected sample exceeds, >= 0.
    pub threshold: f64,
    /// Share of the prompts that get an auxiliary group, in (0, 1].
    pub aux_fraction: f64,
    /// How auxiliary samples enter the update.
    pub mode: AepoMode,
    /// Weight of the additive term, >= 0; given with `additive` and only there.
    pub alpha: Option<f64>,
    /// Which samples may stand in.
    pub select: AuxiliarySelection,
    /// Over which tokens entropy is measured.
    pub entropy_source: EntropySource,
}

impl Default for AepoConfig {
    fn default() -> Self {
        Self {
            entropy_target: 0.5,
            t_high: 1.2,
            t_low: 0.8,
            reinforce_num: 60,
            threshold: 0.05,
            aux_fraction: 0.25,
            mode: AepoMode::Replace,
            alpha: None,
            select: AuxiliarySelection::Advantage,
            entropy_source: EntropySource::OnPolicy,
        }
    }
}

/// Which auxiliary samples replace which trajectories.
#[derive(Clone, Debug, PartialEq)]
pub struct AepoPlan {
    /// Temperature of the auxiliary rollout.
    pub temperature: f64,
    /// Auxiliary trajectories, in the order of their rollout.
    pub selected: Vec<usize>,
    /// On-policy trajectories they stand in for, as many.
    pub replaced: Vec<usize>,
}

/// AEPO, valid by construction.
///
/// # Formula
/// `T = t_high if H <= entropy_target else t_low`.  `S`: auxiliary trajectories with `A > threshold` (or `R > 0`), in
/// order; `k = min(reinforce_num, |S|)`, halved and rounded down above the target, at most the size of the batch.  The
/// first k of S replace the first k of the batch, with advantage 1.  Additive: the batch stays, and
/// `-(alpha / M) sum_o R(o) mean_t logp(o_t)` over the M auxiliary trajectories is added.
///
/// # Shapes
/// Entropies in nats per token; rewards and advantages per auxiliary trajectory.
///
/// # Edge cases
/// - No entropy measured yet: 0, hence hot.  Entropy equal to the target: hot.
/// - Nothing selected: k = 0, a plain step (the authors' code fails there).
/// - Fewer prompts than `1 / aux_fraction`: no auxiliary prompt.
/// - Unscorable samples are never selected, and not counted in M.
///
/// # Errors
/// An entropy, advantage or reward that is not finite; lengths that differ.
///
/// # Source
/// arXiv 2510.08141; 597358816/AEPO, `verl/trainer/ray_trainer.py` (`fit`, `_select_by_advantage`), which is followed
/// but for the tokens entropy is measured on: mixing in hot or cold samples biases what steers their temperature.
///
/// # Example
/// ```
/// use groupwise_objective::losses::{Aepo, AepoConfig};
/// let aepo = Aepo::new(&AepoConfig::default())?;
/// let rewards = [Some(1.0), Some(0.0), Some(0.0), Some(1.0)];
/// let advantages = [0.866, -0.866, -0.866, 0.866];
/// let low = aepo.plan(Some(0.3), &advantages, &rewards, 16)?;
/// assert_eq!((low.temperature, low.selected, low.replaced), (1.2, vec![0, 3], vec![0, 1]));
/// let high = aepo.plan(Some(0.9), &advantages, &rewards, 16)?;
/// assert_eq!((high.temperature, high.selected, high.replaced), (0.8, vec![0], vec![0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aepo {
    config: AepoConfig,
}

impl Aepo {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &AepoConfig) -> Result<Self, ParamError> {
        let AepoConfig {
            entropy_target,
            t_high,
            t_low,
            threshold,
            aux_fraction,
            ..
        } = *config;
        let positive = entropy_target > 0.0 && entropy_target.is_finite();
        ParamError::check(positive, "entropy_target", entropy_target, "a finite number > 0")?;
        let hot = t_high > 1.0 && t_high.is_finite();
        ParamError::check(hot, "t_high", t_high, "a finite number > 1")?;
        ParamError::check(t_low > 0.0 && t_low < 1.0, "t_low", t_low, "a number > 0 and < 1")?;
        ParamError::check_coefficient("threshold", threshold)?;
        let share = aux_fraction > 0.0 && aux_fraction <= 1.0;
        ParamError::check(share, "aux_fraction", aux_fraction, "a number > 0 and <= 1")?;
        match (config.mode, config.alpha) {
            (AepoMode::Replace, None) => {}
            (AepoMode::Replace, Some(alpha)) => {
                return Err(ParamError::new("alpha", alpha, "absent where `mode` is replace"));
            }
            (AepoMode::Additive, alpha) => {
                let printed = alpha.map_or("none".to_owned(), |a| a.to_string());
                let valid = alpha.is_some_and(|a| a >= 0.0 && a.is_finite());
                ParamError::check(
                    valid,
                    "alpha",
                    printed,
                    "a finite number >= 0 where `mode` is additive",
                )?;
            }
        }
        Ok(Self { config: *config })
    }

    /// True if entropy is at or below the target, so that it must rise.
    fn is_low(&self, entropy: Option<f64>) -> Result<bool, DataError> {
        let entropy = entropy.unwrap_or(0.0);
        if !entropy.is_finite() {
            return Err(DataError::NonFinite {
                place: "last update".into(),
                what: "entropy".into(),
                value: entropy.to_string(),
            });
        }
        Ok(entropy <= self.config.entropy_target)
    }

    /// Temperature of the auxiliary rollout; `None`: nothing measured yet.
    ///
    /// # Errors
    /// See the type.
    pub fn temperature(&self, entropy: Option<f64>) -> Result<f64, DataError> {
        let low = self.is_low(entropy)?;
        Ok(if low {
            self.config.t_high
        } else {
            self.config.t_low
        })
    }

    /// How many of the step's prompts, from the first on, get an auxiliary group.
    pub fn auxiliary_prompts(&self, n_prompts: usize) -> usize {
        // A fraction such as 1/3 may fall a rounding short of a whole number of prompts.
        (n_prompts as f64 * self.config.aux_fraction * (1.0 + 1e-12)) as usize
    }

    /// Temperature, and which auxiliary trajectories replace which of `batch_size` on-policy ones.
    ///
    /// # Shapes
    /// `advantages` (of the auxiliary groups, sample deviation) and `rewards`: one per auxiliary trajectory.
    ///
    /// # Errors
    /// See the type.
    pub fn plan(
        &self,
        entropy: Option<f64>,
        advantages: &[f64],
        rewards: &[Option<f64>],
        batch_size: usize,
    ) -> Result<AepoPlan, DataError> {
        DataError::check_len("advantages", advantages.len(), rewards.len())?;
        DataError::check_finite("advantages", advantages)?;
        check_rewards(rewards)?;
        let low = self.is_low(entropy)?;
        let fits = |i: &usize| match (self.config.select, rewards[*i]) {
            (_, None) => false,
            (AuxiliarySelection::Advantage, Some(_)) => advantages[*i] > self.config.threshold,
            (AuxiliarySelection::Reward, Some(r)) => r > 0.0,
        };
        let mut selected: Vec<usize> = (0..rewards.len()).filter(fits).collect();
        let wanted = self.config.reinforce_num.min(selected.len());
        let k = if low { wanted } else { wanted / 2 }.min(batch_size);
        selected.truncate(k);
        Ok(AepoPlan {
            temperature: self.temperature(entropy)?,
            selected,
            replaced: (0..k).collect(),
        })
    }

    /// The additive term on the auxiliary trajectories.
    ///
    /// # Formula
    /// `loss = -(alpha / M) sum_o R(o) mean_t logp(o_t)`; the derivative is `-(alpha / M) R / n_o` where counted.
    ///
    /// # Shapes
    /// `rewards`: one per auxiliary trajectory; `logp`, `mask`: per token, at temperature 1.
    ///
    /// # Edge cases
    /// With `replace` there is no term: 0.  Unscorable: no term, and not counted in M.  With rewards of 0 and 1 the
    /// derivative is never positive.
    ///
    /// # Errors
    /// Lengths that differ; a reward, or a log-probability that matters, that is not finite.
    ///
    /// # Example
    /// ```
    /// use groupwise_core::Offsets;
    /// use groupwise_objective::losses::{Aepo, AepoConfig, AepoMode};
    /// let aepo = Aepo::new(&AepoConfig { mode: AepoMode::Additive, alpha: Some(0.5), ..Default::default() })?;
    /// let tokens = Offsets::from_lengths([2, 1]);
    /// let at = aepo.additive(tokens.spans(), &[-0.5, -1.5, -2.0], &[true; 3], &[Some(1.0), Some(0.0)])?;
    /// assert_eq!((at.loss, at.d_logp), (0.25, vec![-0.125, -0.125, 0.0]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn additive(
        &self,
        tokens: Spans<'_>,
        logp: &[f64],
        mask: &[bool],
        rewards: &[Option<f64>],
    ) -> Result<LikelihoodEvaluation, DataError> {
        DataError::check_len("rewards", rewards.len(), tokens.len())?;
        check_rewards(rewards)?;
        let scored = rewards.iter().flatten().count().max(1) as f64;
        let each = self.config.alpha.unwrap_or(0.0) / scored;
        let weights: Vec<f64> = rewards.iter().map(|r| r.map_or(0.0, |r| each * r)).collect();
        weighted_likelihood(tokens, logp, mask, &weights)
    }

    /// Entropy as it steers the next step: the mean of minus the log-probability over counted tokens, which stands in
    /// for the entropy of the full distribution.  `None` if no token counts.
    ///
    /// # Shapes
    /// `tokens`, `mask`, `logp`: of the update batch, after replacement; `n_replaced`: how many of its trajectories, the
    /// first ones, are auxiliary.
    ///
    /// # Errors
    /// Lengths that differ; a counted log-probability that is not finite.
    pub fn measure(
        &self,
        tokens: Spans<'_>,
        logp: &[f64],
        mask: &[bool],
        n_replaced: usize,
    ) -> Result<Option<f64>, DataError> {
        DataError::check_len("logp", logp.len(), tokens.total())?;
        DataError::check_len("mask", mask.len(), tokens.total())?;
        let left_out = match self.config.entropy_source {
            EntropySource::OnPolicy => n_replaced,
            EntropySource::Update => 0,
        };
        let (mut sum, mut counted) = (0.0, 0_usize);
        for (i, span) in tokens.iter().enumerate().skip(left_out) {
            for t in span.clone().filter(|t| mask[*t]) {
                if !logp[t].is_finite() {
                    return Err(DataError::NonFinite {
                        place: format!("trajectory {i}, token {}", t - span.start),
                        what: "logp".into(),
                        value: logp[t].to_string(),
                    });
                }
                sum -= logp[t];
                counted += 1;
            }
        }
        Ok((counted > 0).then(|| sum / counted as f64))
    }
}

/// Refuses a reward that is not finite.
fn check_rewards(rewards: &[Option<f64>]) -> Result<(), DataError> {
    for (i, reward) in rewards.iter().enumerate() {
        if let Some(value) = reward.filter(|r| !r.is_finite()) {
            return Err(DataError::NonFinite {
                place: format!("auxiliary trajectory {i}"),
                what: "reward".into(),
                value: value.to_string(),
            });
        }
    }
    Ok(())
}

/// The update batch with auxiliary trajectories in place of its first ones, as the plan says.
///
/// # Formula
/// Trajectory `replaced[m]` becomes auxiliary trajectory `selected[m]` with advantage 1 on every token; all others stay.
///
/// # Shapes
/// `auxiliary`: the second rollout; its advantages are not read.  Groups keep their sizes, so the advantages of the
/// batch must have been computed before.
///
/// # Edge cases
/// - Nothing selected: the batch as it is.
/// - Otherwise `logp_old` is absent from the result (the current policy's, at temperature 1): those of the hot or cold
///   sampler would put ratios far from 1 and clip the samples away.  Whoever makes several updates scores the mixed batch
///   again.  `logp_ref` stays only where both rollouts have it.
///
/// # Errors
/// A plan that does not fit the batches.
///
/// # Source
/// 597358816/AEPO, `ray_trainer.py` (`fit`).
pub fn replace_head(
    batch: &TokenBatch,
    auxiliary: &TokenBatch,
    plan: &AepoPlan,
) -> Result<TokenBatch, DataError> {
    DataError::check_len("replaced", plan.replaced.len(), plan.selected.len())?;
    for (what, indices, n) in [
        ("replaced", &plan.replaced, batch.n_trajectories()),
        ("selected", &plan.selected, auxiliary.n_trajectories()),
    ] {
        if let Some(i) = indices.iter().find(|i| **i >= n) {
            return Err(DataError::value(
                what,
                format!("trajectory {i} is not in a batch of {n}"),
            ));
        }
    }
    if plan.selected.is_empty() {
        return Ok(batch.clone());
    }
    // Where each trajectory of the result comes from.
    let mut from: Vec<(&TokenBatch, usize)> = (0..batch.n_trajectories()).map(|i| (batch, i)).collect();
    for (slot, chosen) in plan.replaced.iter().zip(&plan.selected) {
        from[*slot] = (auxiliary, *chosen);
    }
    let logp_ref = from
        .iter()
        .map(|(source, i)| source.logp_ref.as_ref().map(|r| &r[source.tokens.range(*i)]))
        .collect::<Option<Vec<_>>>();
    Ok(TokenBatch {
        groups: batch.groups.clone(),
        tokens: Offsets::from_lengths(from.iter().map(|(source, i)| source.tokens.range(*i).len())),
        prompts: from
            .iter()
            .map(|(source, i)| Arc::clone(&source.prompts[*i]))
            .collect(),
        ids: gather(&from, |source| &source.ids),
        mask: gather(&from, |source| &source.mask),
        logp_sampler: gather(&from, |source| &source.logp_sampler),
        logp_old: None,
        logp_ref: logp_ref.map(|rows| rows.concat()),
        advantages: with_ones(batch, &from, &plan.replaced),
        // Auxiliary samples are not cut into segments.
        segments: None,
        temperature: batch.temperature,
    })
}

/// One field of the tokens of each trajectory.
fn gather<T: Copy>(from: &[(&TokenBatch, usize)], field: impl Fn(&TokenBatch) -> &Vec<T>) -> Vec<T> {
    from.iter()
        .flat_map(|(source, i)| field(source)[source.tokens.range(*i)].iter().copied())
        .collect()
}

/// The batch's advantages, 1 where a trajectory was replaced.
fn with_ones(batch: &TokenBatch, from: &[(&TokenBatch, usize)], replaced: &[usize]) -> Advantages {
    match &batch.advantages {
        Advantages::Trajectory(a) => {
            let mut a = a.clone();
            for i in replaced {
                a[*i] = 1.0;
            }
            Advantages::Trajectory(a)
        }
        Advantages::Token(a) => {
            let mut stands_in = vec![false; from.len()];
            for i in replaced {
                stands_in[*i] = true;
            }
            let mut out = Vec::with_capacity(a.len());
            for (slot, (source, i)) in from.iter().enumerate() {
                match stands_in[slot] {
                    true => out.extend(std::iter::repeat_n(1.0, source.tokens.range(*i).len())),
                    false => out.extend_from_slice(&a[batch.tokens.range(slot)]),
                }
            }
            Advantages::Token(out)
        }
    }
}

#[cfg(test)]
#[path = "aepo_tests.rs"]
mod tests;
