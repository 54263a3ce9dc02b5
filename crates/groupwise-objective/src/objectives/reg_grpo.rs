//! Reg-GRPO: least squares of the standardized log-ratio of an answer on its standardized reward.
//!
//! The optimum of reward minus KL makes the reward an affine function of the log-ratio; standardizing both inside a
//! group removes the normalizer and the temperature, and the loss is `2 (1 - correlation)`.  Source: DeepVideo-R1
//! (arXiv 2506.07464, v5); the authors' code was not to be had, so conventions of deviation and eps are ours.

use groupwise_core::stats::{Moments, is_constant};
use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::answers::{Answer, answers, check_finite, check_loss, log_ratio_sum};
use super::engine::check_view;
use crate::aggregate::{Aggregation, Weights};
use crate::ratio::{has_slope, log_ratio};
use crate::regularizer::KlEstimator;

/// Parameters of Reg-GRPO.
///
/// # Formula
/// `loss = mean over groups of 1/G sum_i (A_i - scale z_i)^2 + beta KL`; `A_i = (r_i - mean r) / (std r + eps_adv)`,
/// `z_i = (x_i - mean x) / (std x + eps_rho)`, `x_i = sum_t (logp_t - logp_old_t)`, deviations with divisor G.  Mean
/// and deviation of x carry gradient.  KL: `mean_i mean_t kl_t` over all trajectories.
///
/// # Shapes
/// Log-probabilities in nats per token; one reward or advantage per trajectory: whatever increases linearly with the
/// reward inside a group (`raw`, `dr-grpo`, `grpo`) gives the same loss up to `eps_adv`.
///
/// # Edge cases
/// A group with one reward throughout, or of one trajectory, is left out of the mean; if none is left, the KL term
/// remains.  A trajectory without counted tokens is left out of its group.  At `logp = logp_old` all x are 0 and the
/// derivative by `x_i` is `-(2 scale / G) A_i / eps_rho`: clip the gradient norm (`max_grad_norm = 1` of the
/// optimizer belongs to the method).  A group of two has loss 0 or 4 and no gradient where its x differ.  Token
/// log-ratios are clamped to +-20, where the derivative is 0; their sum is not clamped.
///
/// # Errors
/// Building: `scale <= 0`, a negative `eps_adv`, `eps_rho`, `beta`, `sigma_floor <= 0`.  Data: every group holds one
/// trajectory; all x of a group equal where nothing bounds the quotient; a missing `logp_ref`; a number that is not
/// finite.
///
/// # Terms
/// `policy_loss`; `kl_loss` with `beta > 0`.
///
/// # Source
/// DeepVideo-R1 (arXiv 2506.07464).  `scale` is 1 in v5; v2 has a factor there.  Divisor G, eps and the norm of the
/// gradient are reconstructed.  `sigma_floor` is ours: a finite first step.
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
/// use groupwise_objective::objectives::RegGrpoConfig;
/// let objective = RegGrpoConfig { beta: 0.04, ..Default::default() }.build(&())?;
/// let row = |tokens: &[f64]| tokens.to_vec();
/// let at = evaluate_nested(objective.as_ref(), &NestedBatch {
///     logp: vec![vec![row(&[-0.9957, -1.4691, -2.4597, -0.005, -0.1901]), row(&[-1.5448, -0.282]), row(&[-0.6555, -0.6629])]],
///     logp_old: Some(vec![vec![
///         row(&[-0.3897, -1.3995, -2.2001, -0.3435, -0.2578]), row(&[-1.4848, -0.2893]), row(&[-0.5746, -0.5898])]]),
///     logp_ref: Some(vec![vec![
///         row(&[-0.4602, -1.4558, -2.3338, -0.5545, -0.336]), row(&[-1.1756, -0.1803]), row(&[-0.3741, -0.7671])]]),
///     mask: None,
///     advantages: NestedAdvantages::Trajectory(vec![vec![0.0, 1.0, 2.0]]),
/// })?;
/// assert!((at.loss - 0.5071888004).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegGrpoConfig {
    /// Slope of the target, > 0.
    pub scale: f64,
    /// Added to the deviation of the rewards, >= 0.
    pub eps_adv: f64,
    /// Added to the deviation of the log-ratios, >= 0; bounds the first gradient of every batch.
    pub eps_rho: f64,
    /// Takes the larger of this and the deviation of the log-ratios, > 0, without gradient through it.  Absent: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_floor: Option<f64>,
    /// Coefficient of the KL to the reference policy, >= 0; 0 switches it off.
    #[serde(alias = "kl_coef")]
    pub beta: f64,
    /// Which estimate of KL.
    #[serde(alias = "kl")]
    pub kl_estimator: KlEstimator,
}

impl Default for RegGrpoConfig {
    fn default() -> Self {
        Self {
            scale: 1.0,
            eps_adv: 1e-6,
            eps_rho: 1e-6,
            sigma_floor: None,
            beta: 0.0,
            kl_estimator: KlEstimator::K3,
        }
    }
}

impl Part<dyn Objective> for RegGrpoConfig {
    const SOURCE: &'static str =
        "DeepVideo-R1 (arXiv 2506.07464, v5); deviations, eps and gradient clipping are reconstructed";

    fn formula(&self) -> String {
        let scale = if self.scale == 1.0 {
            String::new()
        } else {
            format!("{} ", self.scale)
        };
        let spread = match self.sigma_floor {
            None => "std(x)".into(),
            Some(floor) => format!("sg(max(std(x), {floor}))"),
        };
        let kl = match self.beta {
            0.0 => String::new(),
            beta => format!(
                " + {beta} mean_i mean_t ({}), u = clamp(logp_ref - logp, -20, 20)",
                self.kl_estimator.formula()
            ),
        };
        format!(
            "loss = mean over mixed groups of 1/G sum_i (A_i - {scale}z_i)^2{kl}; A_i = (r_i - mean(r)) / (std(r; n) \
             + {:e}), z_i = (x_i - mean(x)) / ({spread} + {:e}), x_i = sum_t clamp(logp - logp_old, -20, 20)",
            self.eps_adv, self.eps_rho
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        ParamError::check_coefficient("beta", self.beta)?;
        Ok(Box::new(RegGrpo {
            regression: Regression::new(self)?,
            beta: self.beta,
            kl: self.kl_estimator,
            weights: Aggregation::SeqMeanTokenMean.with_max_length(None)?,
        }))
    }
}

/// The regression of one group, valid by construction.
///
/// # Formula, shapes, edge cases, source
/// Those of [`RegGrpoConfig`], for the answers of one group.
///
/// # Errors
/// Parameters out of range; lengths that differ; log-ratios that are all equal where `eps_rho` is 0 and there is no
/// floor.
///
/// # Example
/// ```
/// use groupwise_objective::objectives::{RegGrpoConfig, Regression};
/// let regression = Regression::new(&RegGrpoConfig { eps_adv: 0.0, eps_rho: 0.0, ..Default::default() })?;
/// let targets = regression.targets(&[0.0, 1.0, 3.0]);
/// assert!((targets[2] - 1.336306210).abs() < 1e-9);
/// let mut slopes = [0.0; 3];
/// let fits = regression.evaluate(&targets, &[0.0, 0.2, 0.6], None, &mut slopes)?;
/// let opposes = regression.evaluate(&targets, &[0.0, -0.2, -0.6], None, &mut slopes)?;
/// assert!(fits < 1e-30 && (opposes - 4.0).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Regression {
    scale: f64,
    eps_adv: f64,
    eps_rho: f64,
    floor: Option<f64>,
}

impl Regression {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &RegGrpoConfig) -> Result<Self, ParamError> {
        let above = |key: &str, value: f64| {
            ParamError::check(
                value > 0.0 && value.is_finite(),
                key,
                value,
                "a finite number > 0",
            )
        };
        above("scale", config.scale)?;
        for (key, value) in [("eps_adv", config.eps_adv), ("eps_rho", config.eps_rho)] {
            ParamError::check_coefficient(key, value)?;
        }
        if let Some(floor) = config.sigma_floor {
            above("sigma_floor", floor)?;
        }
        Ok(Self {
            scale: config.scale,
            eps_adv: config.eps_adv,
            eps_rho: config.eps_rho,
            floor: config.sigma_floor,
        })
    }

    /// Standardized rewards; zeros where all are equal.
    pub fn targets(&self, rewards: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        self.targets_into(rewards, &mut out);
        out
    }

    fn targets_into(&self, rewards: &[f64], out: &mut Vec<f64>) {
        out.clear();
        if is_constant(rewards) {
            out.resize(rewards.len(), 0.0);
            return;
        }
        let moments = Moments::of(rewards);
        let divisor = moments.population_variance().sqrt() + self.eps_adv;
        out.extend(rewards.iter().map(|r| (r - moments.mean()) / divisor));
    }

    /// The divisor that stands behind a stop-gradient, where there is a floor.
    pub fn held_spread(&self, log_ratios: &[f64]) -> Option<f64> {
        let deviation = || Moments::of(log_ratios).population_variance().sqrt();
        self.floor.map(|floor| deviation().max(floor) + self.eps_rho)
    }

    /// Mean squared difference of target and standardized log-ratio, with the derivative by each log-ratio.
    ///
    /// `held` is the divisor to use instead of the deviation, without gradient ([`Regression::held_spread`]).
    ///
    /// # Errors
    /// See [`Regression`].
    pub fn evaluate(
        &self,
        targets: &[f64],
        log_ratios: &[f64],
        held: Option<f64>,
        slopes: &mut [f64],
    ) -> Result<f64, DataError> {
        DataError::check_len("log-ratios", log_ratios.len(), targets.len())?;
        DataError::check_len("slopes", slopes.len(), targets.len())?;
        let n = targets.len() as f64;
        let moments = Moments::of(log_ratios);
        let (mean, deviation) = (moments.mean(), moments.population_variance().sqrt());
        let divisor = held.unwrap_or(deviation + self.eps_rho);
        if divisor == 0.0 {
            return Err(DataError::value(
                "log-ratios",
                "all are equal, and eps_rho is 0: the gradient has no bound",
            ));
        }
        let (mut loss, mut slope_sum, mut along) = (0.0, 0.0, 0.0);
        for ((slope, target), x) in slopes.iter_mut().zip(targets).zip(log_ratios) {
            let rest = target - self.scale * (x - mean) / divisor;
            loss += rest * rest / n;
            *slope = -2.0 * self.scale * rest / n;
            slope_sum += *slope;
            along += *slope * (x - mean);
        }
        // Through the mean; and through the deviation, where it is not held.  Where it is 0, so is `along`.
        let through = match held {
            None if deviation > 0.0 => along / (divisor * divisor * n * deviation),
            _ => 0.0,
        };
        for (slope, x) in slopes.iter_mut().zip(log_ratios) {
            *slope = (*slope - slope_sum / n) / divisor - through * (x - mean);
        }
        Ok(loss)
    }
}

/// `Denominators`: `trajectory` weights of the KL term, `scalars` the weight of a regressed group.
/// `Frozen`: `trajectory` as there; `scalars` that weight, then the held divisor of each group of the view.
#[derive(Debug)]
struct RegGrpo {
    regression: Regression,
    beta: f64,
    kl: KlEstimator,
    weights: Weights,
}

/// Room for one group.
#[derive(Default)]
struct Scratch {
    answers: Vec<Answer>,
    rewards: Vec<f64>,
    targets: Vec<f64>,
    log_ratios: Vec<f64>,
    slopes: Vec<f64>,
}

impl Scratch {
    /// Reads the rewards of a group; false if they teach nothing.
    fn read(&mut self, view: &TokenView<'_>, members: std::ops::Range<usize>) -> Result<bool, DataError> {
        answers(view, members, &mut self.answers)?;
        self.rewards.clear();
        self.rewards.extend(self.answers.iter().map(|a| a.advantage));
        Ok(!is_constant(&self.rewards))
    }

    /// Reads the log-ratios of the answers.
    fn read_log_ratios(&mut self, view: &TokenView<'_>) -> Result<(), DataError> {
        self.log_ratios.clear();
        for answer in &self.answers {
            let sum = log_ratio_sum(view, answer.index, ("logp_old", view.logp_old))?;
            self.log_ratios.push(sum);
        }
        Ok(())
    }
}

impl Objective for RegGrpo {
    fn needs(&self) -> Needs {
        let reference = if self.beta > 0.0 {
            Needs::LOGP_REF
        } else {
            Needs::empty()
        };
        Needs::TOKENS | Needs::LOGP_OLD | reference
    }

    fn scope(&self) -> Scope {
        Scope::Group
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let groups = batch.groups.spans();
        if !groups.is_empty() && groups.iter().all(|g| g.len() < 2) {
            return Err(DataError::value(
                "batch",
                "every group holds one trajectory: there is nothing to regress on",
            ));
        }
        let (trajectory, _) = self.weights.weigh_batch(batch)?;
        // Which groups are regressed depends on masks and advantages only, never on log-probabilities.
        let view = batch.view(0..batch.n_trajectories(), &batch.logp_sampler, None)?;
        let (mut regressed, mut room) = (0usize, Scratch::default());
        for members in groups.iter() {
            regressed += usize::from(room.read(&view, members)?);
        }
        Ok(Denominators {
            trajectory,
            scalars: vec![1.0 / regressed.max(1) as f64],
        })
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        check_view(view)?;
        let mut scalars = denominators.scalars.clone();
        let mut room = Scratch::default();
        for members in view
            .groups
            .spans()
            .iter()
            .filter(|_| self.regression.floor.is_some())
        {
            room.read(view, members)?;
            room.read_log_ratios(view)?;
            scalars.extend(self.regression.held_spread(&room.log_ratios));
        }
        Ok(Frozen {
            trajectory: denominators.of_view(view)?.to_vec(),
            scalars,
            ..Frozen::default()
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        DataError::check_len("frozen weights", frozen.trajectory.len(), view.n_trajectories())?;
        let held = usize::from(self.regression.floor.is_some()) * view.groups.len();
        DataError::check_len("frozen constants", frozen.scalars.len(), 1 + held)?;
        let mut d_logp = vec![0.0; view.logp.len()];
        let mut room = Scratch::default();
        let mut policy = 0.0;
        for (g, members) in view.groups.spans().iter().enumerate() {
            if room.read(view, members)? {
                let held = frozen.scalars.get(1 + g).copied();
                policy += self.regress(view, (g, frozen.scalars[0], held), &mut room, &mut d_logp)?;
            }
        }
        let mut terms = vec![("policy_loss", policy)];
        let mut loss = policy;
        if self.beta > 0.0 {
            let kl_loss = self.to_reference(view, &frozen.trajectory, &mut d_logp)?;
            terms.push(("kl_loss", kl_loss));
            loss += kl_loss;
        }
        Ok(Evaluation {
            loss: check_loss(loss)?,
            grads: TokenGrads {
                d_logp,
                d_entropy: None,
                d_value: None,
            },
            terms,
        })
    }
}

impl RegGrpo {
    /// The weighted loss of a group, its derivative written to `d_logp`.
    fn regress(
        &self,
        view: &TokenView<'_>,
        (g, weight, held): (usize, f64, Option<f64>),
        room: &mut Scratch,
        d_logp: &mut [f64],
    ) -> Result<f64, DataError> {
        room.read_log_ratios(view)?;
        self.regression.targets_into(&room.rewards, &mut room.targets);
        room.slopes.resize(room.targets.len(), 0.0);
        let loss = self
            .regression
            .evaluate(&room.targets, &room.log_ratios, held, &mut room.slopes)
            .map_err(|error| {
                let first = view.first_trajectory + room.answers[0].index;
                DataError::value(
                    format!("group {g} of the view, from trajectory {first}"),
                    error.to_string(),
                )
            })?;
        for (answer, slope) in room.answers.iter().zip(&room.slopes) {
            let open = |t: &usize| view.mask[*t] && has_slope(log_ratio(view.logp[*t], view.logp_old[*t]));
            for t in view.tokens.range(answer.index).filter(open) {
                d_logp[t] = weight * slope;
            }
        }
        Ok(weight * loss)
    }

    /// The KL term, its derivative added to `d_logp`.
    fn to_reference(
        &self,
        view: &TokenView<'_>,
        weights: &[f64],
        d_logp: &mut [f64],
    ) -> Result<f64, DataError> {
        let reference = view.logp_ref.ok_or(DataError::Missing {
            what: "logp_ref",
            part: "the KL term of the objective",
        })?;
        let mut sum = 0.0;
        for (i, (tokens, weight)) in view.tokens.iter().zip(weights).enumerate() {
            for t in tokens.clone().filter(|t| view.mask[*t]) {
                check_finite(view, (i, t - tokens.start), "logp", view.logp[t])?;
                check_finite(view, (i, t - tokens.start), "logp_ref", reference[t])?;
                let point = self.kl.evaluate(view.logp[t], reference[t]);
                sum += self.beta * weight * point.value;
                d_logp[t] += self.beta * weight * point.slope;
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
#[path = "reg_grpo_tests.rs"]
mod tests;
