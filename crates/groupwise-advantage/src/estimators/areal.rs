//! AReaL's GRPO: rewards rescaled, normalized over their group, and once more over the tokens of the batch.

use groupwise_core::stats::{Moments, is_constant};
use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;

/// Parameters of AReaL's advantage; the default is its GSM8K example.
///
/// # Formula
/// `y_i = clip((r_i + reward_bias) reward_scaling, +-reward_clip)`; `z_i = (y_i - mean(y)) / (std(y) + eps)` over the
/// group; `A_it = (z_i - m) / (s + eps)`, m and s over the counted tokens of the update batch.  Sample deviations.
///
/// # Shapes
/// One advantage per token.
///
/// # Edge cases
/// - The batch is weighed by tokens: where lengths differ m is not 0, and a group of equal rewards (z = 0) is pushed
///   to `-m / (s + eps)`.  That is AReaL's behavior.
/// - A group of one: z = 0.  All z of the batch equal, or fewer than two counted tokens: 0.
/// - Masked tokens and unscorable members get 0 and are in no statistic.
///
/// # Errors
/// Parameters out of range.  Data: no tokens or mask; those of [`GroupRelative`].
///
/// # Source
/// `Normalization` in `areal/utils/data.py` and `examples/math/gsm8k_grpo.yaml` of AReaL, with its KL control off and
/// discount and lambda 1, where every token's return is the reward of its answer.
///
/// # Example
/// ```
/// use groupwise_advantage::AdvantageSpec;
/// use groupwise_core::{Advantages, Offsets, RewardBatch};
/// let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([3, 1]));
/// let rewards = [Some(1.0), Some(0.0)];
/// let mut batch = RewardBatch::new(groups.spans(), &rewards);
/// batch.tokens = Some(tokens.spans());
/// batch.mask = Some(&[true; 4]);
/// let Advantages::Token(a) = AdvantageSpec::Areal(Default::default()).build(&())?.estimate(&batch)? else {
///     unreachable!("per token")
/// };
/// assert!((a[0] - 0.5).abs() < 1e-4 && (a[3] + 1.5).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArealConfig {
    /// Added to the reward.
    pub reward_bias: f64,
    /// Factor of the reward; > 0.
    pub reward_scaling: f64,
    /// Bound of the rescaled reward; > 0.
    pub reward_clip: f64,
    /// Added to both deviations; > 0.
    pub eps: f64,
}

impl Default for ArealConfig {
    fn default() -> Self {
        Self {
            reward_bias: -0.5,
            reward_scaling: 10.0,
            reward_clip: 20.0,
            eps: 1e-5,
        }
    }
}

impl Part<dyn AdvantageEstimator> for ArealConfig {
    const SOURCE: &'static str =
        "AReaL areal/utils/data.py (Normalization) and examples/math/gsm8k_grpo.yaml";

    fn formula(&self) -> String {
        let (bias, scaling, clip, eps) = (self.reward_bias, self.reward_scaling, self.reward_clip, self.eps);
        format!(
            "A_it = (z_i - m) / (s + {eps:e}), m and s (n - 1) of z over the counted tokens of the batch; \
             z_i = (y_i - mean(y)) / (std(y; n - 1) + {eps:e}) over the group; y = clip((r + {bias}) {scaling}, +-{clip})"
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        let bias = self.reward_bias;
        ParamError::check(bias.is_finite(), "reward_bias", bias, "a finite number")?;
        for (key, value) in [
            ("reward_scaling", self.reward_scaling),
            ("reward_clip", self.reward_clip),
            ("eps", self.eps),
        ] {
            let holds = value > 0.0 && value.is_finite();
            ParamError::check(holds, key, value, "a finite number > 0")?;
        }
        let group = GroupRelative::new(GroupRelativeConfig {
            spread: Spread::Sample,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        })?;
        Ok(Box::new(Areal {
            config: self.clone(),
            group,
        }))
    }
}

#[derive(Debug)]
struct Areal {
    config: ArealConfig,
    group: GroupRelative,
}

impl AdvantageEstimator for Areal {
    fn needs(&self) -> Needs {
        Needs::TOKENS
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let (tokens, mask) = inputs::tokens(batch, "areal")?;
        let c = &self.config;
        let rescale = |r: &Option<f64>| {
            r.map(|r| ((r + c.reward_bias) * c.reward_scaling).clamp(-c.reward_clip, c.reward_clip))
        };
        let rewards: Vec<Option<f64>> = batch.rewards.iter().map(rescale).collect();
        let z = self.group.advantages(batch.groups, &rewards)?;
        let counted = inputs::counted(tokens, mask, batch.rewards);
        let mut out = vec![0.0; tokens.total()];
        for (span, z) in tokens.iter().zip(&z) {
            out[span].fill(*z);
        }
        let kept = || {
            out.iter()
                .zip(counted.iter())
                .filter(|(_, c)| **c)
                .map(|(x, _)| x)
        };
        if is_constant(kept()) {
            return Ok(Advantages::Token(vec![0.0; out.len()]));
        }
        let moments = Moments::of(kept());
        let (mean, scale) = (moments.mean(), moments.sample_variance().sqrt() + c.eps);
        for (x, counts) in out.iter_mut().zip(counted.iter()) {
            *x = if *counts { (*x - mean) / scale } else { 0.0 };
        }
        inputs::check_result(&out)?;
        Ok(Advantages::Token(out))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    /// Reward, counted tokens, masked tokens behind them.
    type Member = (Option<f64>, usize, usize);

    fn run(config: &ArealConfig, groups: &[Vec<Member>]) -> Result<Vec<Vec<f64>>, DataError> {
        let members = groups.concat();
        let offsets = Offsets::from_lengths(groups.iter().map(Vec::len));
        let tokens = Offsets::from_lengths(members.iter().map(|m| m.1 + m.2));
        let rewards: Vec<Option<f64>> = members.iter().map(|m| m.0).collect();
        let mask: Vec<bool> = members
            .iter()
            .flat_map(|m| [vec![true; m.1], vec![false; m.2]].concat())
            .collect();
        let mut batch = RewardBatch::new(offsets.spans(), &rewards);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&mask);
        match config.build(&()).unwrap().estimate(&batch)? {
            Advantages::Token(a) => Ok(tokens.spans().iter().map(|r| a[r].to_vec()).collect()),
            Advantages::Trajectory(_) => unreachable!("per token"),
        }
    }

    fn batches() -> impl Strategy<Value = Vec<Vec<Member>>> {
        // On a grid, so that z are equal or far apart: a deviation that is all rounding compares with nothing.
        let reward = prop::sample::select(vec![0.0, 0.25, 0.5, 1.0]);
        let member = (prop::option::weighted(0.85, reward), 0usize..4, 0usize..3);
        prop::collection::vec(prop::collection::vec(member, 1..5), 1..4)
    }

    proptest! {
        #[test]
        fn counted_tokens_have_mean_zero_and_a_deviation_of_at_most_one(groups in batches()) {
            let members = groups.concat();
            let a = run(&ArealConfig::default(), &groups)?;
            let counted: Vec<f64> = a.iter().zip(&members).filter(|(_, m)| m.0.is_some())
                .flat_map(|(row, m)| row[..m.1].to_vec()).collect();
            prop_assert!(counted.is_empty() || (counted.iter().sum::<f64>() / counted.len() as f64).abs() < 1e-9);
            prop_assert!(Moments::of(&counted).sample_variance() <= 1.0);
            for (row, m) in a.iter().zip(&members) {
                let first_masked = if m.0.is_some() { m.1 } else { 0 };
                prop_assert!(row[first_masked..].iter().all(|a| *a == 0.0));
            }
        }

        #[test]
        fn bias_and_scaling_below_the_clip_matter_only_through_eps(groups in batches()) {
            let plain = ArealConfig { reward_bias: 0.0, reward_scaling: 1.0, ..ArealConfig::default() };
            // So small that z that are equal but for eps stay equal within the tolerance of constants.
            let tight = |c: ArealConfig| run(&ArealConfig { eps: 1e-15, ..c }, &groups);
            for (a, b) in tight(plain)?.concat().iter().zip(tight(ArealConfig::default())?.concat()) {
                prop_assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()));
            }
        }
    }

    #[test]
    fn a_group_of_equal_rewards_is_pushed_where_lengths_differ() {
        let groups = [
            vec![(Some(1.0), 3, 0), (Some(0.0), 1, 0)],
            vec![(Some(1.0), 1, 0), (Some(1.0), 1, 0)],
        ];
        let a = run(
            &ArealConfig {
                eps: 1e-12,
                ..ArealConfig::default()
            },
            &groups,
        )
        .unwrap();
        // z = h, h, h, -h, 0, 0 with h = 1 / sqrt 2: mean h/3, squares 4 h^2 - 6 h^2/9.
        let h = 0.5_f64.sqrt();
        let s = ((4.0 - 6.0 / 9.0) * h * h / 5.0).sqrt();
        for (row, z) in a.iter().zip([h, -h, 0.0, 0.0]) {
            assert!(row.iter().all(|x| (x - (z - h / 3.0) / s).abs() < 1e-9));
        }
        assert!(a[2][0] < 0.0);
    }

    #[test]
    fn the_clip_bounds_the_rescaled_reward() {
        let clip = ArealConfig {
            reward_clip: 1.0,
            ..ArealConfig::default()
        };
        let far = [vec![(Some(9.0), 1, 0), (Some(1.0), 1, 0), (Some(0.0), 1, 0)]];
        let a = run(&clip, &far).unwrap();
        assert_eq!(a[0], a[1]);
        assert!(a[2][0] < 0.0);
        let one = run(&clip, &[vec![(Some(9.0), 2, 0)]]).unwrap();
        assert_eq!(one, [[0.0, 0.0]]);
    }

    #[test]
    fn bad_input_is_named() {
        let refuse = |json: &str| {
            let config: ArealConfig = serde_json::from_str(json).unwrap();
            config.build(&()).unwrap_err().to_string()
        };
        for key in ["reward_scaling", "reward_clip", "eps"] {
            let message = refuse(&format!(r#"{{"{key}": 0.0}}"#));
            assert_eq!(message, format!("`{key}` = 0: must be a finite number > 0"));
        }
        let nan = ArealConfig {
            reward_bias: f64::NAN,
            ..ArealConfig::default()
        };
        assert_eq!(
            nan.build(&()).unwrap_err().to_string(),
            "`reward_bias` = NaN: must be a finite number"
        );
        let groups = Offsets::from_lengths([1]);
        let part = ArealConfig::default().build(&()).unwrap();
        let error = part
            .estimate(&RewardBatch::new(groups.spans(), &[Some(1.0)]))
            .unwrap_err();
        assert_eq!(error.to_string(), "`tokens` is missing, and `areal` needs it");
    }

    #[test]
    fn the_formula_shows_the_numbers() {
        assert_eq!(
            ArealConfig::default().formula(),
            "A_it = (z_i - m) / (s + 1e-5), m and s (n - 1) of z over the counted tokens of the batch; z_i = (y_i - \
             mean(y)) / (std(y; n - 1) + 1e-5) over the group; y = clip((r + -0.5) 10, +-20)"
        );
    }
}
