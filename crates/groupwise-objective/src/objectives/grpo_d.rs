//! GRPO-D: GRPO whose KL coefficient first falls and then rises with training.

use groupwise_core::schedule::PiecewiseLinear;
use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Schedule, Scope,
    TokenBatch, TokenView,
};
use serde::{Deserialize, Serialize};

use super::PolicyGradientConfig;
use super::engine::{LossKl, PolicyGradient};
use crate::aggregate::Aggregation;
use crate::ratio::ImportanceSamplingLevel;
use crate::regularizer::{KlCorrection, KlEstimator};
use crate::surrogate::{ClipParams, SurrogateConfig};

/// How the coefficient moves between its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BetaShape {
    /// From the middle down to `beta_min` at `warm_frac`, then up to `beta_max` (the paper's equation).
    #[default]
    V,
    /// From `beta_min` to `beta_max` (one reading of the paper's prose).
    Rise,
    /// From `beta_max` to `beta_min` (control).
    Fall,
}

/// Parameters of GRPO-D.
///
/// # Formula
/// The loss of [`GrpoConfig`](super::GrpoConfig) with `beta(x)` at training progress `x = s / t`, s optimizer steps
/// of t.  `v`, with `mid = (beta_min + beta_max) / 2` and `w = warm_frac`: `mid - (mid - beta_min) x / w` for `x <= w`,
/// then `beta_min + (beta_max - beta_min) (x - w) / (1 - w)`.
///
/// # Shapes
/// Those of [`PolicyGradientConfig`].
///
/// # Edge cases
/// - Progress outside [0, 1] is clamped.
/// - Where beta is 0 the term is left out; the reference is still asked for, it is needed again.
/// - `beta_min = beta_max = b` is GRPO with `beta = b`, step for step.
/// - Evaluated without [`Objective::scheduled`], it stands at the start of training.
///
/// # Errors
/// Building refuses `beta_min` < 0, `beta_max < beta_min`, `warm_frac` outside (0, 1), and what the clip refuses.
/// Evaluating: those of [`PolicyGradientConfig`].
///
/// # Source
/// OThink-MR1 (arXiv 2503.16081 v2), equation 3 for the coefficient, 4 and 5 for the loss; 0.3, 0 and 0.02 are its
/// geometry setting.  Its prose also says that the weight "gradually increases": that is `rise`.
///
/// # Example
/// ```
/// use groupwise_core::Schedule;
/// use groupwise_objective::objectives::GrpoDConfig;
/// let beta = GrpoDConfig::default().schedule()?;
/// assert_eq!((beta.value(0.0), beta.value(0.15), beta.value(0.3), beta.value(1.0)), (0.01, 0.005, 0.0, 0.02));
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoDConfig {
    /// The ratio is cut below `1 - epsilon`; in (0, 1).
    pub epsilon: f64,
    /// The ratio is cut above `1 + epsilon_high`; > 0.  Absent: as `epsilon`.
    pub epsilon_high: Option<f64>,
    /// How tokens are averaged.
    pub aggregation: Aggregation,
    /// Generation limit; needed by `seq-mean-token-sum-const`, unused by the others.
    pub max_completion_length: Option<usize>,
    /// Smallest coefficient; >= 0.
    pub beta_min: f64,
    /// Largest coefficient; >= `beta_min`.
    pub beta_max: f64,
    /// Share of training after which the coefficient is smallest; in (0, 1).
    pub warm_frac: f64,
    /// How the coefficient moves between its bounds.
    pub shape: BetaShape,
    /// Which estimate of KL.
    pub kl_estimator: KlEstimator,
}

impl Default for GrpoDConfig {
    fn default() -> Self {
        Self {
            epsilon: 0.2,
            epsilon_high: None,
            aggregation: Aggregation::SeqMeanTokenMean,
            max_completion_length: None,
            beta_min: 0.0,
            beta_max: 0.02,
            warm_frac: 0.3,
            shape: BetaShape::V,
            kl_estimator: KlEstimator::K3,
        }
    }
}

impl GrpoDConfig {
    /// The coefficient by training progress.
    ///
    /// # Errors
    /// Bounds or `warm_frac` out of range.
    pub fn schedule(&self) -> Result<PiecewiseLinear, ParamError> {
        let (min, max, w) = (self.beta_min, self.beta_max, self.warm_frac);
        ParamError::check_coefficient("beta_min", min)?;
        let range = format!("a finite number >= `beta_min` = {min}");
        ParamError::check(max >= min && max.is_finite(), "beta_max", max, &range)?;
        ParamError::check(w > 0.0 && w < 1.0, "warm_frac", w, "a number > 0 and < 1")?;
        match self.shape {
            BetaShape::V => PiecewiseLinear::new(&[(0.0, (min + max) / 2.0), (w, min), (1.0, max)]),
            BetaShape::Rise => PiecewiseLinear::new(&[(0.0, min), (1.0, max)]),
            BetaShape::Fall => PiecewiseLinear::new(&[(0.0, max), (1.0, min)]),
        }
    }

    /// GRPO with a coefficient that stays.
    fn constant(&self, beta: f64) -> PolicyGradientConfig {
        PolicyGradientConfig {
            surrogate: SurrogateConfig::Clip(ClipParams {
                epsilon: self.epsilon,
                epsilon_high: self.epsilon_high,
                ..ClipParams::default()
            }),
            aggregation: self.aggregation,
            max_completion_length: self.max_completion_length,
            beta,
            kl_estimator: self.kl_estimator,
            ..PolicyGradientConfig::default()
        }
    }
}

impl Part<dyn Objective> for GrpoDConfig {
    const SOURCE: &'static str =
        "OThink-MR1 (arXiv 2503.16081 v2), equations 3 to 5; no code of the authors found";

    fn formula(&self) -> String {
        let (min, max, w) = (self.beta_min, self.beta_max, self.warm_frac);
        let beta = match self.shape {
            BetaShape::V => format!("{} -> {min} at {w} -> {max}", (min + max) / 2.0),
            BetaShape::Rise => format!("{min} -> {max}"),
            BetaShape::Fall => format!("{max} -> {min}"),
        };
        // The general formula prints a coefficient only where there is one.
        let general = self.constant(1.0).formula();
        let general = general.replacen(" + 1 sum", " + beta(x) sum", 1);
        format!("{general}; beta(x) = {beta}, linear in x = optimizer steps done / planned")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        let schedule = self.schedule()?;
        let general = self.constant(0.0);
        let base = PolicyGradient {
            level: ImportanceSamplingLevel::Token,
            surrogate: general.surrogate.build()?,
            weights: self.aggregation.with_max_length(self.max_completion_length)?,
            kl: None,
            wants_reference: self.beta_max > 0.0,
        };
        let estimator = self.kl_estimator;
        let at = |beta: f64| PolicyGradient {
            kl: (beta > 0.0).then_some(LossKl {
                estimator,
                beta,
                correction: KlCorrection::None,
            }),
            ..base
        };
        Ok(Box::new(GrpoD {
            now: at(schedule.value(0.0)),
            estimator,
            schedule,
        }))
    }
}

/// GRPO at one point of training, and how its coefficient goes on.
#[derive(Clone, Debug)]
struct GrpoD {
    now: PolicyGradient,
    estimator: KlEstimator,
    schedule: PiecewiseLinear,
}

impl Objective for GrpoD {
    fn needs(&self) -> Needs {
        self.now.needs()
    }

    fn scope(&self) -> Scope {
        self.now.scope()
    }

    fn scheduled(&self, progress: f64) -> Option<Box<dyn Objective>> {
        let beta = self.schedule.value(progress);
        let kl = (beta > 0.0).then_some(LossKl {
            estimator: self.estimator,
            beta,
            correction: KlCorrection::None,
        });
        Some(Box::new(PolicyGradient { kl, ..self.now }))
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        self.now.denominators(batch)
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        self.now.freeze(denominators, view)
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        self.now.evaluate(frozen, view)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::{check_gradient_away_from, check_invariance, evaluate_whole, samples};
    use proptest::prelude::*;

    use super::*;
    use crate::objectives::GrpoConfig;
    use crate::ratio::log_ratio;

    fn shapes() -> impl Strategy<Value = BetaShape> {
        prop::sample::select(vec![BetaShape::V, BetaShape::Rise, BetaShape::Fall])
    }

    fn configs() -> impl Strategy<Value = GrpoDConfig> {
        (0.0..0.5f64, 0.0..0.5f64, 0.01..0.99f64, shapes()).prop_map(|(min, more, warm_frac, shape)| {
            GrpoDConfig {
                beta_min: min,
                beta_max: min + more,
                warm_frac,
                shape,
                ..GrpoDConfig::default()
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn beta_starts_in_the_middle_falls_to_its_minimum_and_rises_to_its_maximum(
            config in configs(), x in 0.0..1.0f64, y in 0.0..1.0f64,
        ) {
            let config = GrpoDConfig { shape: BetaShape::V, ..config };
            let (min, max, w) = (config.beta_min, config.beta_max, config.warm_frac);
            let beta = config.schedule()?;
            prop_assert_eq!(
                (beta.value(0.0), beta.value(w), beta.value(1.0)),
                ((min + max) / 2.0, min, max)
            );
            let (low, high) = (x.min(y), x.max(y));
            let (first, second) = (beta.value(low), beta.value(high));
            prop_assert!((min - 1e-15..=max + 1e-15).contains(&first));
            prop_assert!(high > w || second <= first + 1e-15);
            prop_assert!(low < w || second >= first - 1e-15);
            let slope = (max - min) / w.min(1.0 - w);
            prop_assert!((first - second).abs() <= slope * (high - low) + 1e-12, "continuous");
        }

        #[test]
        fn equal_bounds_are_grpo_at_every_step(
            sample in samples(), b in prop_oneof![Just(0.0), 0.01..0.5f64], x in 0.0..1.0f64, shape in shapes(),
            epsilon_high in prop::option::of(0.2..1.0f64),
        ) {
            let config = GrpoDConfig { beta_min: b, beta_max: b, shape, epsilon_high, ..GrpoDConfig::default() };
            let objective = config.build(&())?;
            let grpo = GrpoConfig { beta: b, epsilon_high, ..GrpoConfig::default() }.build(&())?;
            let expected = evaluate_whole(grpo.as_ref(), &sample.batch, &sample.inputs())?;
            let now = objective.scheduled(x).expect("scheduled");
            prop_assert_eq!(&evaluate_whole(now.as_ref(), &sample.batch, &sample.inputs())?, &expected);
            prop_assert_eq!(evaluate_whole(objective.as_ref(), &sample.batch, &sample.inputs())?, expected);
            prop_assert_eq!((now.needs(), now.scope()), (objective.needs(), objective.scope()));
        }

        #[test]
        fn at_any_progress_it_is_grpo_with_the_coefficient_of_the_schedule(
            sample in samples(), config in configs(), x in -0.5..1.5f64,
        ) {
            let beta = config.schedule()?.value(x);
            let now = config.build(&())?.scheduled(x).expect("scheduled");
            let grpo = GrpoConfig { beta, ..GrpoConfig::default() }.build(&())?;
            let expected = evaluate_whole(grpo.as_ref(), &sample.batch, &sample.inputs())?;
            prop_assert_eq!(evaluate_whole(now.as_ref(), &sample.batch, &sample.inputs())?, expected);
        }

        #[test]
        fn gradient_split_order_and_padding(sample in samples(), config in configs(), x in 0.0..1.0f64) {
            let objective = config.build(&())?.scheduled(x).expect("scheduled");
            let distance = |view: &TokenView<'_>, t: usize| {
                let d = log_ratio(view.logp[t], view.logp_old[t]);
                [0.8_f64, 1.2].iter().map(|k| (k.ln() - d).abs()).fold(f64::INFINITY, f64::min)
            };
            check_gradient_away_from(objective.as_ref(), &sample.batch, &sample.inputs(), &distance)?;
            check_invariance(objective.as_ref(), &sample.batch, &sample.inputs())?;
        }
    }

    #[test]
    fn the_other_shapes_are_straight_lines() {
        let with = |shape| {
            GrpoDConfig {
                shape,
                ..GrpoDConfig::default()
            }
            .schedule()
            .expect("valid")
        };
        let (rise, fall) = (with(BetaShape::Rise), with(BetaShape::Fall));
        for (x, up) in [(0.0, 0.0), (0.25, 0.005), (1.0, 0.02)] {
            assert!((rise.value(x) - up).abs() < 1e-15);
            assert!((fall.value(x) - (0.02 - up)).abs() < 1e-15);
        }
    }

    #[test]
    fn the_reference_is_asked_for_unless_beta_is_zero_throughout() {
        let needs = |config: GrpoDConfig| {
            config
                .build(&())
                .expect("valid")
                .needs()
                .contains(Needs::LOGP_REF)
        };
        assert!(needs(GrpoDConfig::default()));
        let rise = GrpoDConfig {
            shape: BetaShape::Rise,
            ..GrpoDConfig::default()
        };
        assert!(needs(rise.clone()));
        assert!(!needs(GrpoDConfig {
            beta_max: 0.0,
            ..rise
        }));
    }

    #[test]
    fn refused_parameters() {
        let refuse = |text: &str| {
            let config: GrpoDConfig = toml::from_str(text).expect("parses");
            config.build(&()).expect_err("refused").to_string()
        };
        assert_eq!(
            refuse("beta_min = -0.1"),
            "`beta_min` = -0.1: must be a finite number >= 0"
        );
        assert_eq!(
            refuse("beta_min = nan"),
            "`beta_min` = NaN: must be a finite number >= 0"
        );
        assert_eq!(
            refuse("beta_min = 0.2\nbeta_max = 0.1"),
            "`beta_max` = 0.1: must be a finite number >= `beta_min` = 0.2"
        );
        assert_eq!(
            refuse("beta_max = inf"),
            "`beta_max` = inf: must be a finite number >= `beta_min` = 0"
        );
        for w in ["0.0", "1.0", "nan"] {
            let message = refuse(&format!("warm_frac = {w}"));
            assert!(message.ends_with("must be a number > 0 and < 1"), "{message}");
        }
        assert_eq!(
            refuse("epsilon = 0.0"),
            "`epsilon` = 0: must be a number > 0 and < 1"
        );
        assert!(
            refuse("aggregation = 'seq-mean-token-sum-const'").starts_with("`max_completion_length` = none")
        );
    }

    #[test]
    fn the_formula_shows_every_key_it_shares_with_grpo() {
        let config = GrpoDConfig {
            epsilon_high: Some(0.28),
            aggregation: Aggregation::SeqMeanTokenSumConst,
            max_completion_length: Some(7),
            kl_estimator: KlEstimator::K2,
            ..GrpoDConfig::default()
        };
        let formula = config.formula();
        for part in [
            "clip(rho, 1 - 0.2, 1 + 0.28)",
            KlEstimator::K2.formula(),
            &Aggregation::SeqMeanTokenSumConst.formula(Some(7)),
        ] {
            assert!(formula.contains(part), "{part}: {formula}");
        }
    }

    #[test]
    fn the_formula_shows_the_schedule() {
        let formula = GrpoDConfig::default().formula();
        assert!(
            formula.contains("+ beta(x) sum_i w_i sum_t (exp(u) - u - 1)"),
            "{formula}"
        );
        assert!(formula.contains("clip(rho, 1 - 0.2, 1 + 0.2)"), "{formula}");
        assert!(
            formula.ends_with(
                "; beta(x) = 0.01 -> 0 at 0.3 -> 0.02, linear in x = optimizer steps done / planned"
            ),
            "{formula}"
        );
        let rise = GrpoDConfig {
            shape: BetaShape::Rise,
            ..GrpoDConfig::default()
        };
        assert!(rise.formula().contains("beta(x) = 0 -> 0.02,"));
        let fall = GrpoDConfig {
            shape: BetaShape::Fall,
            ..GrpoDConfig::default()
        };
        assert!(fall.formula().contains("beta(x) = 0.02 -> 0,"));
    }
}
