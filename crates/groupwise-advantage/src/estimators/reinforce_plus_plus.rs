//! REINFORCE++: return to go with a KL penalty per token, whitened over all tokens of the batch.

use groupwise_core::{AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch};
use serde::{Deserialize, Serialize};

use crate::inputs;
use crate::returns::{MaskedTokens, sum_from_the_end, token_rewards};
use crate::whitening::whiten;

const NAME: &str = "reinforce-plus-plus";

/// REINFORCE++'s advantage: no group baseline, the mean of the batch takes its place.
///
/// # Formula
/// `R_t = -kl_coef (logp_old_t - logp_ref_t) + [t last] r`, `G_t = R_t + gamma G_{t+1}`,
/// `A_t = (G_t - m) / sqrt(v + 1e-8)`, m and v mean and sample variance over all counted tokens of the batch.
///
/// # Shapes
/// One advantage per token; log-probabilities in nats.
///
/// # Edge cases
/// - Unscorable trajectory: 0 on every token, left out of m and v.
/// - Masked token: 0; the running sum starts again there ([`MaskedTokens::Reset`]) unless told to skip.
/// - All G equal: exactly 0.
///
/// # Errors
/// Parameters: `gamma` outside [0, 1], `kl_coef` negative or not finite.  Data: missing inputs, fewer than two
/// counted tokens in the batch.
///
/// # Source
/// arXiv 2501.03262; `compute_reinforce_plus_plus_outcome_advantage` of verl, which is followed.  "REINFORCE++"
/// names different code elsewhere; OpenRLHF's default coefficient is 0.01, here 0 so that KL is taken once.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([2, 1]));
/// let rewards = [Some(1.0), Some(0.0)];
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// batch.tokens = Some(tokens.spans());
/// batch.mask = Some(&[true; 3]);
/// let a = AdvantageSpec::ReinforcePlusPlus(Default::default()).build(&())?.estimate(&batch)?;
/// let Advantages::Token(a) = a else { unreachable!("REINFORCE++ is per token") };
/// assert!((a[0] - 0.5773502605).abs() < 1e-9 && (a[2] + 1.1547005210).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReinforcePlusPlusConfig {
    /// Discount per token, in [0, 1].
    pub gamma: f64,
    /// Coefficient of the KL taken off the reward of each token, >= 0.
    pub kl_coef: f64,
    /// What a masked token does to the return.
    pub masked_tokens: MaskedTokens,
}

impl Default for ReinforcePlusPlusConfig {
    fn default() -> Self {
        Self {
            gamma: 1.0,
            kl_coef: 0.0,
            masked_tokens: MaskedTokens::Reset,
        }
    }
}

impl Part<dyn AdvantageEstimator> for ReinforcePlusPlusConfig {
    const SOURCE: &'static str = "REINFORCE++, arXiv 2501.03262; verl core_algos.py is followed";

    fn formula(&self) -> String {
        let masked = match self.masked_tokens {
            MaskedTokens::Reset => "resets",
            MaskedTokens::Skip => "passes",
        };
        format!(
            "A_t = whiten(G_t) over the tokens of the batch (n - 1, 1e-8), G_t = R_t + {} G_t+1 (a masked token {masked} it), \
             R_t = -{} (logp_old - logp_ref) + [t last] r",
            self.gamma, self.kl_coef
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        inputs::check_discount("gamma", self.gamma)?;
        ParamError::check_coefficient("kl_coef", self.kl_coef)?;
        Ok(Box::new(ReinforcePlusPlus(self.clone())))
    }
}

#[derive(Debug)]
struct ReinforcePlusPlus(ReinforcePlusPlusConfig);

impl AdvantageEstimator for ReinforcePlusPlus {
    fn needs(&self) -> Needs {
        if self.0.kl_coef > 0.0 {
            Needs::TOKENS | Needs::LOGP_OLD | Needs::LOGP_REF
        } else {
            Needs::TOKENS
        }
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let penalty = inputs::penalty(batch, self.0.kl_coef, NAME)?;
        let mut a = token_rewards(tokens, mask, batch.rewards, penalty)?;
        for range in tokens.iter() {
            let mask = &mask[range.clone()];
            sum_from_the_end(&mut a[range], mask, self.0.gamma, self.0.masked_tokens);
        }
        inputs::check_result(&a)?;
        whiten(&mut a, &inputs::counted(tokens, mask, batch.rewards))?;
        Ok(Advantages::Token(a))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;

    use super::*;

    #[test]
    fn an_unscorable_trajectory_is_left_out_of_the_whitening() {
        let groups = Offsets::from_lengths([3]);
        let tokens = Offsets::from_lengths([1, 2, 1]);
        let rewards = [Some(1.0), None, Some(0.0)];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&[true; 4]);
        let part = ReinforcePlusPlusConfig::default().build(&()).unwrap();
        assert_eq!(part.needs(), Needs::TOKENS);
        let Advantages::Token(a) = part.estimate(&batch).unwrap() else {
            panic!("per token")
        };
        // Values 1 and 0: mean 0.5, sample variance 0.5.
        let expected = 0.5 / (0.5_f64 + 1e-8).sqrt();
        assert!((a[0] - expected).abs() < 1e-12 && (a[3] + expected).abs() < 1e-12);
        assert_eq!(&a[1..3], [0.0, 0.0]);
    }

    #[test]
    fn the_mask_rule_decides_whether_earlier_turns_are_credited() {
        let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([3, 1]));
        let rewards = [Some(1.0), Some(0.0)];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&[true, false, true, true]);
        let first_turn = |masked_tokens| {
            let config = ReinforcePlusPlusConfig {
                masked_tokens,
                ..Default::default()
            };
            let Advantages::Token(a) = config.build(&()).unwrap().estimate(&batch).unwrap() else {
                panic!("per token")
            };
            assert_eq!(a[1], 0.0);
            a[0]
        };
        assert!(first_turn(MaskedTokens::Reset) < 0.0);
        assert!(first_turn(MaskedTokens::Skip) > 0.0);
    }

    #[test]
    fn missing_inputs_and_small_batches_are_named() {
        let groups = Offsets::from_lengths([1]);
        let tokens = Offsets::from_lengths([1]);
        let rewards = [Some(1.0)];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        let config = ReinforcePlusPlusConfig {
            kl_coef: 0.01,
            ..Default::default()
        };
        let part = config.build(&()).unwrap();
        let text = |batch: &RewardBatch<'_>| part.estimate(batch).unwrap_err().to_string();
        assert_eq!(
            text(&batch),
            "`tokens` is missing, and `reinforce-plus-plus` needs it"
        );
        batch.tokens = Some(tokens.spans());
        assert_eq!(
            text(&batch),
            "`mask` is missing, and `reinforce-plus-plus` needs it"
        );
        batch.mask = Some(&[true]);
        assert_eq!(
            text(&batch),
            "`logp_old` is missing, and `reinforce-plus-plus` needs it"
        );
        batch.logp_old = Some(&[-1.0]);
        batch.logp_ref = Some(&[-1.0]);
        assert_eq!(text(&batch), "batch: whitening needs two counted tokens, found 1");
    }

    #[test]
    fn bad_parameters_are_refused() {
        let refused = |gamma, kl_coef| {
            let config = ReinforcePlusPlusConfig {
                gamma,
                kl_coef,
                ..Default::default()
            };
            config.build(&()).unwrap_err().to_string()
        };
        assert_eq!(refused(1.5, 0.0), "`gamma` = 1.5: must be a number in [0, 1]");
        assert_eq!(
            refused(f64::NAN, 0.0),
            "`gamma` = NaN: must be a number in [0, 1]"
        );
        assert_eq!(
            refused(1.0, -0.1),
            "`kl_coef` = -0.1: must be a finite number >= 0"
        );
    }

    #[test]
    fn the_formula_prints_the_numbers() {
        assert_eq!(
            ReinforcePlusPlusConfig::default().formula(),
            "A_t = whiten(G_t) over the tokens of the batch (n - 1, 1e-8), G_t = R_t + 1 G_t+1 (a masked token resets it), \
             R_t = -0 (logp_old - logp_ref) + [t last] r"
        );
    }
}
