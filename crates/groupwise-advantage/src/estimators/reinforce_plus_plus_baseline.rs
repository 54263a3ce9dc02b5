//! REINFORCE++ with the group mean as baseline, whitened over all tokens of the batch.

use groupwise_core::{
    AdvantageEstimator, Advantages, Centre, DataError, Needs, ParamError, Part, RewardBatch,
};
use serde::{Deserialize, Serialize};

use crate::broadcast::spread_to_tokens;
use crate::group_relative::{GroupRelative, GroupRelativeConfig, Singleton};
use crate::inputs;
use crate::whitening::whiten;

const NAME: &str = "reinforce-plus-plus-baseline";

/// REINFORCE++-baseline's advantage: centred in the group, scaled over the batch, token-weighted.
///
/// # Formula
/// `x_it = r_i - mean(r)` on every counted token, `A_it = (x_it - m) / sqrt(v + 1e-8)`, m and v mean and sample
/// variance over all counted tokens of the batch.
///
/// # Shapes
/// One advantage per token.
///
/// # Edge cases
/// - Unscorable trajectory: 0 on every token, left out of m and v.
/// - A lone scorable member keeps its reward ([`Singleton::Raw`], as verl).
/// - m is not 0 where trajectories differ in length: a group of equal rewards need not get 0 after whitening;
///   only a batch whose x are all equal does.
///
/// # Errors
/// Missing tokens or mask; fewer than two counted tokens in the batch; those of [`GroupRelative`].
///
/// # Source
/// arXiv 2501.03262, "REINFORCE++-baseline"; `compute_reinforce_plus_plus_baseline_outcome_advantage` of verl,
/// which is followed.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([1, 1]));
/// let rewards = [Some(1.0), Some(0.0)];
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// batch.tokens = Some(tokens.spans());
/// batch.mask = Some(&[true; 2]);
/// let a = AdvantageSpec::ReinforcePlusPlusBaseline(Default::default()).build(&())?.estimate(&batch)?;
/// let Advantages::Token(a) = a else { unreachable!("per token") };
/// assert!((a[0] - 0.5_f64.sqrt()).abs() < 1e-8 && a[1] == -a[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReinforcePlusPlusBaselineConfig {
    /// What a lone scorable member gets before whitening.
    pub singleton: Singleton,
}

impl Default for ReinforcePlusPlusBaselineConfig {
    fn default() -> Self {
        Self {
            singleton: Singleton::Raw,
        }
    }
}

impl ReinforcePlusPlusBaselineConfig {
    fn settings(&self) -> GroupRelativeConfig {
        GroupRelativeConfig::centred(Centre::Mean, self.singleton)
    }
}

impl Part<dyn AdvantageEstimator> for ReinforcePlusPlusBaselineConfig {
    const SOURCE: &'static str = "REINFORCE++-baseline, arXiv 2501.03262; verl core_algos.py is followed";

    fn formula(&self) -> String {
        let centred = self.settings().formula();
        format!("{centred}; then whiten(A) over the tokens of the batch (n - 1, 1e-8)")
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(ReinforcePlusPlusBaseline(GroupRelative::new(
            self.settings(),
        )?)))
    }
}

#[derive(Debug)]
struct ReinforcePlusPlusBaseline(GroupRelative);

impl AdvantageEstimator for ReinforcePlusPlusBaseline {
    fn needs(&self) -> Needs {
        Needs::TOKENS
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, NAME)?;
        let centred = self.0.advantages(batch.groups, batch.rewards)?;
        let mut a = vec![0.0; tokens.total()];
        spread_to_tokens(&centred, tokens, &mut a)?;
        whiten(&mut a, &inputs::counted(tokens, mask, batch.rewards))?;
        Ok(Advantages::Token(a))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;

    use super::*;

    #[test]
    fn a_lone_member_keeps_its_reward_and_masked_tokens_get_zero() {
        let (groups, tokens) = (Offsets::from_lengths([1, 1]), Offsets::from_lengths([2, 1]));
        let rewards = [Some(1.0), Some(0.0)];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&[true, false, true]);
        let estimate = |singleton| {
            let part = ReinforcePlusPlusBaselineConfig { singleton }.build(&()).unwrap();
            assert_eq!(part.needs(), Needs::TOKENS);
            part.estimate(&batch).unwrap()
        };
        let Advantages::Token(a) = estimate(Singleton::Raw) else {
            panic!("per token")
        };
        assert!((a[0] - 0.5_f64.sqrt()).abs() < 1e-7);
        assert_eq!(a[1], 0.0);
        assert_eq!(estimate(Singleton::Zero), Advantages::Token(vec![0.0; 3]));
    }

    #[test]
    fn missing_inputs_are_named() {
        let groups = Offsets::from_lengths([1]);
        let part = ReinforcePlusPlusBaselineConfig::default().build(&()).unwrap();
        let error = part
            .estimate(&RewardBatch::new(groups.spans(), &[Some(1.0)]))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`tokens` is missing, and `reinforce-plus-plus-baseline` needs it"
        );
    }

    #[test]
    fn the_formula_prints_the_rule() {
        assert_eq!(
            ReinforcePlusPlusBaselineConfig::default().formula(),
            "A_i = r_i - mean(r); lone member: r; then whiten(A) over the tokens of the batch (n - 1, 1e-8)"
        );
    }
}
