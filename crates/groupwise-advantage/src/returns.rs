//! Token rewards, returns to go and generalized advantage estimation, as functions of slices.

use groupwise_core::{DataError, Spans};
use serde::{Deserialize, Serialize};

/// What a masked token does to a running sum that passes over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskedTokens {
    /// The sum starts again at 0: rewards after an observation do not reach the turns before it.
    ///
    /// What verl does; in a single-turn answer only padding is masked, and both rules agree.
    #[default]
    Reset,
    /// The sum passes unchanged, undiscounted: every turn is credited with what comes after it.
    Skip,
}

/// KL taken off the reward token by token, with the estimator k1.
#[derive(Clone, Copy, Debug)]
pub struct KlPenalty<'a> {
    /// Coefficient, >= 0.
    pub kl_coef: f64,
    /// Log-probability per token at the start of the update, nats.
    pub logp_old: &'a [f64],
    /// Log-probability per token under the reference policy, nats.
    pub logp_ref: &'a [f64],
}

impl KlPenalty<'_> {
    fn check(&self, n_tokens: usize) -> Result<(), DataError> {
        DataError::check_len("logp_old", self.logp_old.len(), n_tokens)?;
        DataError::check_len("logp_ref", self.logp_ref.len(), n_tokens)
    }
}

/// Rewards per token: the outcome on the last counted token, less the KL penalty of each counted token.
///
/// # Formula
/// `R_t = -kl_coef (logp_old_t - logp_ref_t) + [t is the last counted token] r`; 0 where masked.
///
/// # Shapes
/// `tokens`: trajectory -> tokens; `mask`, penalty, result: one per token; `rewards`: one per trajectory.
/// Log-probabilities in nats.
///
/// # Edge cases
/// - Unscorable trajectory: 0 on every token.
/// - Trajectory without a counted token: its outcome reaches no token.
///
/// # Errors
/// [`DataError::Length`] naming the input.
///
/// # Source
/// REINFORCE++ (arXiv 2501.03262), section 3; `apply_kl_penalty` of verl.
///
/// # Example
/// ```
/// use groupwise_advantage::token_rewards;
/// use groupwise_core::Offsets;
/// let tokens = Offsets::from_lengths([3]);
/// let r = token_rewards(tokens.spans(), &[true, true, false], &[Some(1.0)], None)?;
/// assert_eq!(r, [0.0, 1.0, 0.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn token_rewards(
    tokens: Spans<'_>,
    mask: &[bool],
    rewards: &[Option<f64>],
    penalty: Option<KlPenalty<'_>>,
) -> Result<Vec<f64>, DataError> {
    DataError::check_len("mask", mask.len(), tokens.total())?;
    DataError::check_len("rewards", rewards.len(), tokens.len())?;
    if let Some(p) = penalty {
        p.check(tokens.total())?;
    }
    // Grown row by row: pages that an allocation of zeros leaves to the first read cost two faults each.
    let mut out = Vec::with_capacity(tokens.total());
    for (range, reward) in tokens.iter().zip(rewards) {
        out.resize(range.end, 0.0);
        let Some(r) = reward else { continue };
        if let Some(p) = penalty {
            for t in range.clone().filter(|t| mask[*t]) {
                out[t] = -p.kl_coef * (p.logp_old[t] - p.logp_ref[t]);
            }
        }
        if let Some(last) = range.rev().find(|t| mask[*t]) {
            out[last] += r;
        }
    }
    Ok(out)
}

/// KL of one trajectory: k1 summed over its counted tokens.
///
/// # Formula
/// `sum_t mask_t (logp_old_t - logp_ref_t)`, one per trajectory, in nats, not multiplied by the coefficient.
///
/// # Shapes
/// `tokens`: trajectory -> tokens; `mask`, penalty: one per token.
///
/// # Errors
/// [`DataError::Length`] naming the input.
///
/// # Source
/// RLOO (arXiv 2402.14740), section 2.1: the penalty belongs to the reward of the whole sequence.
///
/// # Example
/// ```
/// use groupwise_advantage::{sequence_kl, KlPenalty};
/// use groupwise_core::Offsets;
/// let tokens = Offsets::from_lengths([2]);
/// let p = KlPenalty { kl_coef: 0.05, logp_old: &[-1.0, -2.0], logp_ref: &[-1.5, -2.25] };
/// assert_eq!(sequence_kl(tokens.spans(), &[true, true], p)?, [0.75]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn sequence_kl(tokens: Spans<'_>, mask: &[bool], penalty: KlPenalty<'_>) -> Result<Vec<f64>, DataError> {
    DataError::check_len("mask", mask.len(), tokens.total())?;
    penalty.check(tokens.total())?;
    Ok(tokens
        .iter()
        .map(|range| {
            range
                .filter(|t| mask[*t])
                .map(|t| penalty.logp_old[t] - penalty.logp_ref[t])
                .sum()
        })
        .collect())
}

/// Discounted sum of the rewards from each counted token of one trajectory on.
///
/// # Formula
/// `G_t = R_t + gamma G_{t+1}`, backwards; a masked token has G = 0 and follows [`MaskedTokens`].
///
/// # Shapes
/// All slices: one per token of one trajectory.
///
/// # Errors
/// [`DataError::Length`] naming the input.
///
/// # Source
/// REINFORCE++ (arXiv 2501.03262); `compute_reinforce_plus_plus_outcome_advantage` of verl.
///
/// # Example
/// ```
/// use groupwise_advantage::{discounted_returns, MaskedTokens};
/// let (rewards, mask) = ([1.0, 0.0, 2.0], [true, false, true]);
/// let mut out = [0.0; 3];
/// discounted_returns(&rewards, &mask, 0.5, MaskedTokens::Reset, &mut out)?;
/// assert_eq!(out, [1.0, 0.0, 2.0]);
/// discounted_returns(&rewards, &mask, 0.5, MaskedTokens::Skip, &mut out)?;
/// assert_eq!(out, [2.0, 0.0, 2.0]);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn discounted_returns(
    rewards: &[f64],
    mask: &[bool],
    gamma: f64,
    masked: MaskedTokens,
    out: &mut [f64],
) -> Result<(), DataError> {
    DataError::check_len("mask", mask.len(), rewards.len())?;
    DataError::check_len("out", out.len(), rewards.len())?;
    out.copy_from_slice(rewards);
    sum_from_the_end(out, mask, gamma, masked);
    Ok(())
}

/// [`discounted_returns`] in place of the rewards; as many of `mask`.
pub(crate) fn sum_from_the_end(values: &mut [f64], mask: &[bool], gamma: f64, masked: MaskedTokens) {
    let mut running = 0.0;
    for (value, counted) in values.iter_mut().zip(mask).rev() {
        if *counted {
            running = *value + gamma * running;
            *value = running;
        } else {
            *value = 0.0;
            if masked == MaskedTokens::Reset {
                running = 0.0;
            }
        }
    }
}

/// Advantages and value targets of one trajectory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gae {
    /// Advantage per token, not whitened; 0 where masked.
    pub advantages: Vec<f64>,
    /// Target of the value function per token, `advantage + value`.
    pub returns: Vec<f64>,
}

/// Generalized advantage estimation over the tokens of one trajectory.
///
/// # Formula
/// Backwards: `delta = R_t + gamma V_next - V_t`, `g = delta + gamma lam g`; V after the last token is 0.
///
/// # Shapes
/// All slices: one per token of one trajectory; values in the unit of the reward.
///
/// # Edge cases
/// - A masked token changes neither g nor V_next, its reward is not read and its advantage is 0.
/// - `lam = 1`, `gamma = 1`: returns to go less the value; `lam = 0`: one-step errors.
///
/// # Errors
/// [`DataError::Length`] naming the input.
///
/// # Source
/// Schulman et al., arXiv 1506.02438, equations 11 to 16; masked tokens as in `compute_gae_advantage_return`
/// of verl.
///
/// # Example
/// ```
/// use groupwise_advantage::gae;
/// let rewards = [-0.802, -1.324, -0.248, 0.42];
/// let values = [0.749, 1.635, 0.273, -1.233];
/// let out = gae(&rewards, &values, &[true; 4], 1.0, 0.95)?;
/// assert!((out.advantages[0] + 2.633444125).abs() < 1e-12);
/// assert!((out.returns[0] + 1.884444125).abs() < 1e-12);
/// # Ok::<(), groupwise_core::DataError>(())
/// ```
pub fn gae(rewards: &[f64], values: &[f64], mask: &[bool], gamma: f64, lam: f64) -> Result<Gae, DataError> {
    let mut advantages = vec![0.0; rewards.len()];
    gae_into(rewards, values, mask, gamma, lam, &mut advantages)?;
    let returns = advantages.iter().zip(values).map(|(a, v)| a + v).collect();
    Ok(Gae { advantages, returns })
}

/// The advantages of [`gae`], into a buffer of the caller.
///
/// # Errors
/// [`DataError::Length`] naming the input.
pub fn gae_into(
    rewards: &[f64],
    values: &[f64],
    mask: &[bool],
    gamma: f64,
    lam: f64,
    out: &mut [f64],
) -> Result<(), DataError> {
    DataError::check_len("values", values.len(), rewards.len())?;
    DataError::check_len("mask", mask.len(), rewards.len())?;
    DataError::check_len("out", out.len(), rewards.len())?;
    let (mut g, mut next_value) = (0.0, 0.0);
    for t in (0..rewards.len()).rev() {
        out[t] = 0.0;
        if mask[t] {
            let delta = rewards[t] + gamma * next_value - values[t];
            g = delta + gamma * lam * g;
            next_value = values[t];
            out[t] = g;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    fn trajectory() -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<bool>)> {
        (1usize..12).prop_flat_map(|n| {
            (
                prop::collection::vec(-1.0..1.0f64, n),
                prop::collection::vec(-1.0..1.0f64, n),
                prop::collection::vec(any::<bool>(), n),
            )
        })
    }

    /// The counted tokens alone, as if the others had never been there.
    fn squeeze(x: &[f64], mask: &[bool]) -> Vec<f64> {
        x.iter().zip(mask).filter(|(_, m)| **m).map(|(x, _)| *x).collect()
    }

    proptest! {
        #[test]
        fn gae_with_lambda_one_is_the_return_to_go_less_the_value((r, v, mask) in trajectory(), gamma in 0.5..1.0f64) {
            let out = gae(&r, &v, &mask, gamma, 1.0).unwrap();
            let mut to_go = vec![0.0; r.len()];
            discounted_returns(&r, &mask, gamma, MaskedTokens::Skip, &mut to_go).unwrap();
            for t in (0..r.len()).filter(|t| mask[*t]) {
                prop_assert!((out.advantages[t] - (to_go[t] - v[t])).abs() < 1e-9);
            }
        }

        #[test]
        fn gae_with_lambda_zero_is_the_one_step_error((r, v, _) in trajectory(), gamma in 0.5..1.0f64) {
            let out = gae(&r, &v, &vec![true; r.len()], gamma, 0.0).unwrap();
            for t in 0..r.len() {
                let next = v.get(t + 1).copied().unwrap_or(0.0);
                prop_assert!((out.advantages[t] - (r[t] + gamma * next - v[t])).abs() < 1e-12);
            }
        }

        #[test]
        fn masked_tokens_are_as_if_absent((r, v, mask) in trajectory(), gamma in 0.5..1.0f64, lam in 0.0..1.0f64) {
            let (r1, v1) = (squeeze(&r, &mask), squeeze(&v, &mask));
            let all = vec![true; r1.len()];
            let whole = gae(&r, &v, &mask, gamma, lam).unwrap();
            prop_assert_eq!(squeeze(&whole.advantages, &mask), gae(&r1, &v1, &all, gamma, lam).unwrap().advantages);
            let (mut long, mut short) = (vec![0.0; r.len()], vec![0.0; r1.len()]);
            discounted_returns(&r, &mask, gamma, MaskedTokens::Skip, &mut long).unwrap();
            discounted_returns(&r1, &all, gamma, MaskedTokens::Skip, &mut short).unwrap();
            prop_assert_eq!(squeeze(&long, &mask), short);
        }

        #[test]
        fn the_reset_rule_treats_each_run_of_counted_tokens_alone((r, _, mask) in trajectory(), gamma in 0.5..1.0f64) {
            let mut out = vec![0.0; r.len()];
            discounted_returns(&r, &mask, gamma, MaskedTokens::Reset, &mut out).unwrap();
            for (t, found) in out.iter().enumerate() {
                let run = (t..r.len()).take_while(|k| mask[*k]);
                let direct: f64 = run.map(|k| gamma.powi((k - t) as i32) * r[k]).sum();
                prop_assert!((found - direct).abs() < 1e-9);
            }
        }

        #[test]
        fn token_rewards_add_up_to_the_outcome_less_the_penalty((lp, lr, mask) in trajectory(), r in -1.0..1.0f64) {
            let tokens = Offsets::from_lengths([lp.len()]);
            let p = KlPenalty { kl_coef: 0.3, logp_old: &lp, logp_ref: &lr };
            let per_token = token_rewards(tokens.spans(), &mask, &[Some(r)], Some(p)).unwrap();
            let kl = sequence_kl(tokens.spans(), &mask, p).unwrap()[0];
            let outcome = if mask.contains(&true) { r } else { 0.0 };
            prop_assert!((per_token.iter().sum::<f64>() - (outcome - 0.3 * kl)).abs() < 1e-12);
        }
    }

    #[test]
    fn an_unscorable_trajectory_has_no_token_rewards() {
        let tokens = Offsets::from_lengths([2, 0, 1]);
        let p = KlPenalty {
            kl_coef: 1.0,
            logp_old: &[-1.0; 3],
            logp_ref: &[-2.0; 3],
        };
        let r = token_rewards(tokens.spans(), &[true; 3], &[None, Some(1.0), Some(2.0)], Some(p)).unwrap();
        assert_eq!(r, [0.0, 0.0, 1.0]);
    }

    #[test]
    fn lengths_are_named() {
        let tokens = Offsets::from_lengths([2]);
        let p = KlPenalty {
            kl_coef: 1.0,
            logp_old: &[0.0; 2],
            logp_ref: &[0.0; 3],
        };
        let text = |e: DataError| e.to_string();
        assert_eq!(
            text(token_rewards(tokens.spans(), &[true; 2], &[None], Some(p)).unwrap_err()),
            "`logp_ref` has 3 entries, expected 2"
        );
        assert_eq!(
            text(token_rewards(tokens.spans(), &[true; 2], &[], None).unwrap_err()),
            "`rewards` has 0 entries, expected 1"
        );
        assert_eq!(
            text(gae(&[0.0], &[], &[true], 1.0, 1.0).unwrap_err()),
            "`values` has 0 entries, expected 1"
        );
        assert_eq!(
            text(discounted_returns(&[0.0], &[true], 1.0, MaskedTokens::Reset, &mut []).unwrap_err()),
            "`out` has 0 entries, expected 1"
        );
        assert_eq!(
            text(sequence_kl(tokens.spans(), &[true], p).unwrap_err()),
            "`mask` has 1 entries, expected 2"
        );
    }
}
