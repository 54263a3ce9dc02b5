//! GAE: generalized advantage estimation with a value function, PPO's advantage.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope,
};
use serde::{Deserialize, Serialize};

use crate::inputs;
use crate::returns::{gae_into, token_rewards};
use crate::whitening::whiten;

const NAME: &str = "gae";

/// Where the reward of a trajectory is paid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardSource {
    /// The shaped outcome, on the last counted token.
    #[default]
    Outcome,
    /// The environment's reward of each step, on the last counted token of the step; the outcome and with it
    /// everything shapers did is not read, except that an unscorable trajectory stays unscorable.
    Steps,
}

/// What is done to the advantages of the batch afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whitening {
    /// Mean 0 and variance 1 over the counted tokens of the batch.
    #[default]
    Batch,
    /// Nothing.
    None,
}

/// PPO's advantage.
///
/// # Formula
/// Backwards over the counted tokens of a trajectory: `delta = R_t + gamma V_next - V_t`,
/// `A_t = delta + gamma lam A_next`; R as in [`token_rewards`]; then [`whiten`] over the batch.
///
/// # Shapes
/// One advantage per token; `values` per token; log-probabilities in nats.
///
/// # Edge cases
/// - A masked token changes neither A_next nor V_next and gets 0.
/// - Unscorable trajectory: 0 on every token, left out of the whitening.
///
/// # Errors
/// Parameters: `gamma` or `lam` outside [0, 1], `kl_coef` negative or not finite.  Data: missing inputs; fewer
/// than two counted tokens when whitening; a step with a reward but no counted token.
///
/// # Source
/// arXiv 1506.02438, equations 11 to 16; PPO, arXiv 1707.06347; `compute_gae_advantage_return` of verl (its
/// `lam` defaults to 1; the house default 0.95 is the paper's and TRL's).
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let spec: AdvantageSpec = serde_json::from_str(r#"{"gae": {"lam": 1.0, "whiten": "none"}}"#)?;
/// let (groups, tokens) = (Offsets::from_lengths([1]), Offsets::from_lengths([2]));
/// let mut batch = RewardBatch::new(groups.spans(), &[Some(1.0)]);
/// batch.tokens = Some(tokens.spans());
/// batch.mask = Some(&[true; 2]);
/// batch.values = Some(&[0.25, 0.5]);
/// assert_eq!(spec.build(&())?.estimate(&batch)?, Advantages::Token(vec![0.75, 0.5]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GaeConfig {
    /// Discount per token, in [0, 1].
    pub gamma: f64,
    /// Weight of longer estimates, in [0, 1].
    pub lam: f64,
    /// Coefficient of the KL taken off the reward of each token, >= 0.
    pub kl_coef: f64,
    /// Where the reward is paid out.
    pub rewards: RewardSource,
    /// What is done to the advantages of the batch afterwards.
    pub whiten: Whitening,
}

impl Default for GaeConfig {
    fn default() -> Self {
        Self {
            gamma: 1.0,
            lam: 0.95,
            kl_coef: 0.0,
            rewards: RewardSource::Outcome,
            whiten: Whitening::Batch,
        }
    }
}

impl Part<dyn AdvantageEstimator> for GaeConfig {
    const SOURCE: &'static str = "GAE, arXiv 1506.02438, equations 11 to 16; PPO, arXiv 1707.06347";

    fn formula(&self) -> String {
        let last = match self.rewards {
            RewardSource::Outcome => "[t last] r",
            RewardSource::Steps => "[t last of step k] r_k",
        };
        let white = match self.whiten {
            Whitening::Batch => "; then whiten(A) over the tokens of the batch (n - 1, 1e-8)",
            Whitening::None => "",
        };
        format!(
            "A_t = delta_t + {gamma} * {lam} A_t+1, delta_t = R_t + {gamma} V_t+1 - V_t, \
             R_t = -{kl} (logp_old - logp_ref) + {last}{white}",
            gamma = self.gamma,
            lam = self.lam,
            kl = self.kl_coef,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        inputs::check_discount("gamma", self.gamma)?;
        inputs::check_discount("lam", self.lam)?;
        ParamError::check_coefficient("kl_coef", self.kl_coef)?;
        Ok(Box::new(GaeEstimator(self.clone())))
    }
}

#[derive(Debug)]
struct GaeEstimator(GaeConfig);

impl AdvantageEstimator for GaeEstimator {
    fn needs(&self) -> Needs {
        let mut needs = Needs::TOKENS | Needs::VALUES;
        if self.0.kl_coef > 0.0 {
            needs |= Needs::LOGP_OLD | Needs::LOGP_REF;
        }
        if self.0.rewards == RewardSource::Steps {
            needs |= Needs::STEP_REWARDS;
        }
        needs
    }

    fn scope(&self) -> Scope {
        match self.0.whiten {
            Whitening::Batch => Scope::Batch,
            Whitening::None => Scope::Group,
        }
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let values = batch.values.ok_or(DataError::Missing {
            what: "values",
            part: NAME,
        })?;
        let penalty = inputs::penalty(batch, self.0.kl_coef, NAME)?;
        let rewards = match self.0.rewards {
            RewardSource::Outcome => token_rewards(tokens, mask, batch.rewards, penalty)?,
            RewardSource::Steps => {
                // The penalty alone, then the steps on top; an unscorable trajectory is cleared by both.
                let zeros: Vec<Option<f64>> = batch.rewards.iter().map(|r| r.map(|_| 0.0)).collect();
                let mut rewards = token_rewards(tokens, mask, &zeros, penalty)?;
                add_step_rewards(batch, mask, &mut rewards)?;
                rewards
            }
        };
        let counted = inputs::counted(tokens, mask, batch.rewards);
        let mut a = vec![0.0; rewards.len()];
        for range in tokens.iter() {
            let (gamma, lam) = (self.0.gamma, self.0.lam);
            let r = range.clone();
            gae_into(
                &rewards[r.clone()],
                &values[r.clone()],
                &counted[r],
                gamma,
                lam,
                &mut a[range],
            )?;
        }
        inputs::check_result(&a)?;
        if self.0.whiten == Whitening::Batch {
            whiten(&mut a, &counted)?;
        }
        Ok(Advantages::Token(a))
    }
}

/// Adds the reward of each step of a scorable trajectory to the last counted token of the step.
fn add_step_rewards(batch: &RewardBatch<'_>, mask: &[bool], out: &mut [f64]) -> Result<(), DataError> {
    let missing = |what| DataError::Missing { what, part: NAME };
    let steps = batch.steps.ok_or(missing("steps"))?;
    let step_rewards = batch.step_rewards.ok_or(missing("step_rewards"))?;
    let step_tokens = batch.step_tokens.ok_or(missing("step_tokens"))?;
    DataError::check_finite("step_rewards", step_rewards)?;
    for (i, range) in steps.iter().enumerate() {
        if batch.rewards[i].is_none() {
            continue;
        }
        for k in range {
            let place = || format!("trajectory {i}, step {k}");
            let span = step_tokens[k].clone();
            let counted = mask
                .get(span.clone())
                .ok_or_else(|| DataError::value(place(), format!("tokens {span:?} leave the batch")))?;
            match counted.iter().rposition(|m| *m) {
                Some(last) => out[span.start + last] += step_rewards[k],
                None if step_rewards[k] == 0.0 => {}
                None => {
                    let what = format!("reward {} has no counted token to stand on", step_rewards[k]);
                    return Err(DataError::value(place(), what));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "gae_tests.rs"]
mod tests;
