//! GRAO: exploration and imitation of a reference answer, as one weight per trajectory.

use groupwise_core::{
    AdvantageEstimator, Advantages, DataError, Needs, ParamError, Part, RewardBatch, Scope, Spans, Spread,
};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig};
use crate::inputs;

const NAME: &str = "grao";

/// Samples and the reference of their group, normalized together, weighed so that a plain policy gradient gives GRAO.
///
/// # Formula
/// A over all scorable members of the group, the reference y among them: `A = (r - mean) / (std_population + eps)`.
/// With G scorable samples: `w_i = (1 + lambda) A_i / G`, `w_y = beta A_y - lambda mean_i A_i`.  The advantage of a
/// trajectory is `w B / P`, B scorable trajectories in P groups, so that
/// `-(1 / B) sum_i (w_i B / P) mean_t logp_it = -(1 / P) sum_groups (sum_i w_i e_i + w_y e_y)`.
///
/// # Shapes
/// One advantage per trajectory.  Use with an objective without ratio, `[objective.reinforce]` with
/// `aggregation = "seq-mean-token-mean"`, one optimizer step per batch, and `[repair.inject-reference]`.
///
/// # Edge cases
/// - All rewards of a group equal: 0 throughout.
/// - No sample of a group can be scored: the reference is alone with its mean, and everything is 0.
/// - The reference cannot be scored: the samples are weighed among themselves, without imitation.
/// - Several references in a group share the weight of one.
///
/// # Errors
/// `beta` or `lambda` negative or not finite, `eps` not above 0, when built; a batch without `off_policy` flags; the
/// data errors of [`GroupRelative`].
///
/// # Source
/// GRAO, arXiv 2508.07750, equation 4, with the reference in the pool: with the samples alone, as printed, the
/// regularizer does not reach the reference, and its advantage is 1/eps where all samples fail.  The loss itself, with
/// both readings, is a function of `groupwise-objective` (`losses::grao`).
///
/// # Example
/// ```
/// use groupwise_advantage::estimators::{Grao, GraoConfig};
/// use groupwise_core::Offsets;
/// let grao = Grao::new(&GraoConfig::default())?;
/// let groups = Offsets::from_lengths([5]);
/// let rewards = [1.0, 0.0, 0.0, 1.0, 1.0].map(Some);
/// let weights = grao.weights(groups.spans(), &rewards, &[false, false, false, false, true])?;
/// assert!((weights[0] - 0.326598).abs() < 1e-6 && (weights[4] - 0.530722).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraoConfig {
    /// Weight of imitation, >= 0.
    pub beta: f64,
    /// Weight of the regularizer that parts samples from the reference, >= 0.
    #[serde(alias = "lam")]
    pub lambda: f64,
    /// Added to the standard deviation, > 0.
    pub eps: f64,
}

impl Default for GraoConfig {
    fn default() -> Self {
        Self {
            beta: 0.5,
            lambda: 0.6,
            eps: 1e-6,
        }
    }
}

impl GraoConfig {
    fn relative(&self) -> GroupRelativeConfig {
        GroupRelativeConfig {
            spread: Spread::Population,
            eps: self.eps,
            ..GroupRelativeConfig::default()
        }
    }
}

impl Part<dyn AdvantageEstimator> for GraoConfig {
    const SOURCE: &'static str =
        "GRAO, arXiv 2508.07750, eq. 4, the reference in the pool (no code published)";

    fn formula(&self) -> String {
        format!(
            "{}; sample: (1 + {lambda}) A / G, reference: {} A - {lambda} mean over samples of A, both times B / P",
            self.relative().formula(),
            self.beta,
            lambda = self.lambda,
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn AdvantageEstimator>, ParamError> {
        Ok(Box::new(Grao::new(self)?))
    }
}

/// The validated estimator; see [`GraoConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct Grao {
    beta: f64,
    lambda: f64,
    relative: GroupRelative,
}

impl Grao {
    /// Validates the parameters.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &GraoConfig) -> Result<Self, ParamError> {
        for (key, value) in [("beta", config.beta), ("lambda", config.lambda)] {
            ParamError::check_coefficient(key, value)?;
        }
        let eps = config.eps;
        ParamError::check(eps > 0.0 && eps.is_finite(), "eps", eps, "a finite number > 0")?;
        Ok(Self {
            beta: config.beta,
            lambda: config.lambda,
            relative: GroupRelative::new(config.relative())?,
        })
    }

    /// Weight `w` of each trajectory's mean log-probability in its group's objective, without the factor `B / P`.
    ///
    /// # Shapes
    /// `off_policy`: true for the reference answers, one per trajectory.
    ///
    /// # Errors
    /// See [`GraoConfig`].
    pub fn weights(
        &self,
        groups: Spans<'_>,
        rewards: &[Option<f64>],
        off_policy: &[bool],
    ) -> Result<Vec<f64>, DataError> {
        DataError::check_len("off_policy", off_policy.len(), rewards.len())?;
        let mut weights = self.relative.advantages(groups, rewards)?;
        for members in groups.iter() {
            let scored = |off: bool| {
                members
                    .clone()
                    .filter(move |i| off_policy[*i] == off && rewards[*i].is_some())
            };
            let (n_samples, n_references) = (scored(false).count(), scored(true).count());
            // Without a sample the sum is empty, and without a reference nobody reads what follows from it.
            let each = 1.0 / n_samples.max(1) as f64;
            let mean = each * scored(false).map(|i| weights[i]).sum::<f64>();
            for i in scored(false) {
                weights[i] *= (1.0 + self.lambda) * each;
            }
            for i in scored(true) {
                weights[i] = (self.beta * weights[i] - self.lambda * mean) / n_references as f64;
            }
        }
        Ok(weights)
    }
}

impl AdvantageEstimator for Grao {
    fn needs(&self) -> Needs {
        Needs::OFF_POLICY
    }

    fn scope(&self) -> Scope {
        Scope::Batch
    }

    fn estimate(&self, batch: &RewardBatch<'_>) -> Result<Advantages, DataError> {
        batch.check()?;
        let Some(off_policy) = batch.off_policy else {
            return Err(DataError::Missing {
                what: "off_policy",
                part: NAME,
            });
        };
        let mut advantages = self.weights(batch.groups, batch.rewards, off_policy)?;
        let counted = |members: std::ops::Range<usize>| batch.rewards[members].iter().flatten().count();
        let n_groups = batch.groups.iter().filter(|m| counted(m.clone()) > 0).count();
        let scale = counted(0..batch.rewards.len()) as f64 / n_groups.max(1) as f64;
        for advantage in &mut advantages {
            *advantage *= scale;
        }
        inputs::check_result(&advantages)?;
        Ok(Advantages::Trajectory(advantages))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Offsets;
    use proptest::prelude::*;

    use super::*;

    fn grao(beta: f64, lambda: f64) -> Grao {
        Grao::new(&GraoConfig {
            beta,
            lambda,
            ..GraoConfig::default()
        })
        .unwrap()
    }

    fn weights(grao: &Grao, samples: &[f64], reference: f64) -> Vec<f64> {
        let rewards: Vec<Option<f64>> = samples.iter().chain([&reference]).map(|r| Some(*r)).collect();
        let off_policy: Vec<bool> = (0..rewards.len()).map(|i| i == samples.len()).collect();
        let groups = Offsets::from_lengths([rewards.len()]);
        grao.weights(groups.spans(), &rewards, &off_policy).unwrap()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + a.abs())
    }

    #[test]
    fn the_worked_examples_of_the_paper_s_loss() {
        let w = weights(&grao(0.5, 0.6), &[1.0, 0.0, 0.0, 1.0], 1.0);
        for (found, expected) in w.iter().zip([0.326598, -0.489897, -0.489897, 0.326598, 0.530722]) {
            assert!((found - expected).abs() < 1e-6, "{w:?}");
        }
        // All wrong: A = -0.577349 each, A_y = 1.732047.
        let w = weights(&grao(0.5, 0.6), &[0.0; 3], 1.0);
        assert!((w[0] - 1.6 * -0.577349 / 3.0).abs() < 1e-6);
        assert!((w[3] - (0.5 * 1.732047 + 0.6 * 0.577349)).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_scored_is_in_no_mean() {
        let groups = Offsets::from_lengths([4, 2, 2]);
        let rewards = [
            Some(1.0),
            None,
            Some(0.0),
            Some(1.0),
            Some(1.0),
            None,
            None,
            Some(1.0),
        ];
        let off = [false, false, false, true, false, true, false, true];
        let w = grao(0.5, 0.6).weights(groups.spans(), &rewards, &off).unwrap();
        let whole = weights(&grao(0.5, 0.6), &[1.0, 0.0], 1.0);
        assert_eq!((w[0], w[1], w[2], w[3]), (whole[0], 0.0, whole[1], whole[2]));
        assert_eq!(w[4..], [0.0; 4]);
    }

    #[test]
    fn references_of_one_group_share_the_weight_of_one() {
        let groups = Offsets::from_lengths([4]);
        let rewards = [0.0, 0.0, 1.0, 1.0].map(Some);
        let w = grao(1.0, 0.0)
            .weights(groups.spans(), &rewards, &[false, false, true, true])
            .unwrap();
        assert!(close(w[2] + w[3], 1.0 / (1.0 + 2e-6)) && w[2] == w[3], "{w:?}");
    }

    #[test]
    fn advantages_turn_the_mean_over_trajectories_into_a_mean_over_groups() {
        let groups = Offsets::from_lengths([3, 2]);
        let rewards = [Some(1.0), Some(0.0), Some(1.0), Some(0.0), Some(1.0)];
        let off = [false, false, true, false, true];
        let mut batch = RewardBatch::new(groups.spans(), &rewards);
        let estimator = grao(0.5, 0.6);
        assert_eq!(
            estimator.estimate(&batch).unwrap_err().to_string(),
            "`off_policy` is missing, and `grao` needs it"
        );
        batch.off_policy = Some(&off);
        let Advantages::Trajectory(a) = estimator.estimate(&batch).unwrap() else {
            panic!("per trajectory")
        };
        let w = estimator.weights(groups.spans(), &rewards, &off).unwrap();
        for (a, w) in a.iter().zip(&w) {
            assert!(close(*a, w * 5.0 / 2.0));
        }
        assert_eq!(
            (estimator.needs(), estimator.scope()),
            (Needs::OFF_POLICY, Scope::Batch)
        );
    }

    #[test]
    fn a_group_without_a_scorable_member_is_no_group_of_the_mean() {
        let estimate = |lengths: &[usize], rewards: &[Option<f64>], off: &[bool]| {
            let groups = Offsets::from_lengths(lengths.iter().copied());
            let mut batch = RewardBatch::new(groups.spans(), rewards);
            batch.off_policy = Some(off);
            match grao(0.5, 0.6).estimate(&batch).unwrap() {
                Advantages::Trajectory(a) => a,
                Advantages::Token(_) => panic!("one per trajectory"),
            }
        };
        let (rewards, off) = ([1.0, 0.0, 1.0].map(Some), [false, false, true]);
        let alone = estimate(&[3], &rewards, &off);
        let beside = estimate(
            &[3, 2],
            &[&rewards[..], &[None; 2]].concat(),
            &[&off[..], &[false, true]].concat(),
        );
        assert_eq!(beside, [alone, vec![0.0; 2]].concat());
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let refused = |config: GraoConfig| Grao::new(&config).unwrap_err().to_string();
        let base = GraoConfig::default;
        assert_eq!(
            refused(GraoConfig { beta: -1.0, ..base() }),
            "`beta` = -1: must be a finite number >= 0"
        );
        assert_eq!(
            refused(GraoConfig {
                lambda: f64::NAN,
                ..base()
            }),
            "`lambda` = NaN: must be a finite number >= 0"
        );
        assert_eq!(
            refused(GraoConfig { eps: 0.0, ..base() }),
            "`eps` = 0: must be a finite number > 0"
        );
        assert!(serde_json::from_str::<GraoConfig>(r#"{"lam": 0.1}"#).is_ok_and(|c| c.lambda == 0.1));
    }

    proptest! {
        #[test]
        fn in_the_pool_advantages_sum_to_zero(samples in prop::collection::vec(0.0f64..1.0, 1..8), r in 0.0f64..1.0) {
            // With lambda = 0 and beta = 1 the weights are A_i / G and A_y.
            let w = weights(&grao(1.0, 0.0), &samples, r);
            let (y, rest) = w.split_last().unwrap();
            prop_assert!((rest.iter().sum::<f64>() * samples.len() as f64 + y).abs() < 1e-9);
        }

        #[test]
        fn without_beta_and_lambda_it_is_reinforce_with_standardized_rewards(
            samples in prop::collection::vec(0.0f64..1.0, 1..8), r in 0.0f64..1.0,
        ) {
            let w = weights(&grao(0.0, 0.0), &samples, r);
            prop_assert_eq!(w[samples.len()], 0.0);
            let all: Vec<Option<f64>> = samples.iter().chain([&r]).map(|r| Some(*r)).collect();
            let groups = Offsets::from_lengths([all.len()]);
            let relative = GroupRelative::new(GraoConfig::default().relative()).unwrap();
            let a = relative.advantages(groups.spans(), &all).unwrap();
            for (w, a) in w.iter().zip(&a).take(samples.len()) {
                prop_assert!(close(*w, a / samples.len() as f64));
            }
        }

        #[test]
        fn a_reference_below_every_sample_is_pushed_down_and_one_above_up(
            samples in prop::collection::vec(0.2f64..0.8, 1..8), beta in 0.1f64..1.0, lambda in 0.0f64..1.0,
        ) {
            prop_assert!(weights(&grao(beta, lambda), &samples, 0.0).pop() < Some(0.0));
            prop_assert!(weights(&grao(beta, lambda), &samples, 1.0).pop() > Some(0.0));
        }

        #[test]
        fn shift_and_scale_of_the_rewards_change_nothing(
            samples in prop::collection::vec(prop::sample::select(vec![0.0, 0.5, 1.0]), 1..8),
            r in prop::sample::select(vec![0.0, 1.0]), shift in -3.0f64..3.0, scale in 0.1f64..9.0,
        ) {
            let tight = Grao::new(&GraoConfig { eps: 1e-12, ..GraoConfig::default() }).unwrap();
            let moved: Vec<f64> = samples.iter().map(|s| s * scale + shift).collect();
            let (a, b) = (weights(&tight, &samples, r), weights(&tight, &moved, r * scale + shift));
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a - b).abs() < 1e-7, "{a} {b}");
            }
        }
    }
}
