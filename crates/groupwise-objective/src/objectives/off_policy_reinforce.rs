//! Group-relative REINFORCE off policy: one masked, weighted, regularized loss whose switches give REC, OPMD, AsymRE
//! and RED-Weight.
//!
//! Mask and weight stand behind a stop-gradient, so a token's derivative is its advantage times a constant, and
//! whoever sampled the answers does not matter for what the loss is.  Source: arXiv 2509.24203;
//! `rec_policy_loss.py` of Trinity-RFT.  The named rows are in [`rec`](super::rec).

use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenGrads, TokenView,
};
use serde::{Deserialize, Serialize};

use super::answers::{check_finite, check_loss, constants, log_ratio_sum};
use super::engine::check_view;
use crate::aggregate::{Aggregation, Weights};
use crate::exp::exp;
use crate::ratio::{SpanReduction, has_slope, log_ratio, reduce};
use crate::regularizer::KlEstimator;
use crate::surrogate::reinforce;

/// Largest exponent of the advantage weight.
const EXPONENT_CLAMP: f64 = 20.0;

/// Which tokens keep their policy term; `rho` the token ratio, `s` the geometric mean of the trajectory's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipMode {
    /// All.
    #[default]
    None,
    /// `A >= 0` and `rho <= 1 + eh`, or `A <= 0` and `rho >= 1 - el`: those a PPO clip leaves a gradient.
    OneSide,
    /// `1 - el <= rho <= 1 + eh`.
    TwoSide,
    /// Two-side, and those far off whose gradient pulls back: `A >= 0` and `rho <= 1 - el'`, or `A <= 0` and
    /// `rho >= 1 + eh'`.
    Ring,
    /// One-side with `s` in place of `rho`.
    GspoOneSide,
}

/// What a token's policy term is multiplied by, without gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// 1.
    #[default]
    None,
    /// The token ratio.
    #[serde(alias = "importance_sampling")]
    ImportanceSampling,
    /// The geometric mean of the trajectory's ratios.
    #[serde(alias = "gspo_importance_sampling")]
    GspoImportanceSampling,
    /// `exp(min(A / temp, 20))`.
    Advantage,
}

/// What is added to the policy term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Regularizer {
    /// Nothing.
    #[default]
    None,
    /// `-c logp`: forward KL to the sampling policy up to a constant, and the same as raising every advantage by c.
    ForwardKl,
    /// `c d^2`, `d` the log-ratio; of each token or of the trajectory.
    K2,
}

/// What the k2 term squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum K2Level {
    /// Each token's log-ratio, averaged as the policy term is (authors' code).
    #[default]
    Token,
    /// The trajectory's, averaged over trajectories (paper, where the factor is `beta / 2`).
    Sequence,
}

/// Parameters of off-policy REINFORCE; the default has no mask, weight or regularizer: REINFORCE with token mean.
///
/// # Formula
/// `loss = sum_i w_i sum_t (-A f_t logp_t + reg_t)`, `f_t = sg(M_t v_t)` mask times weight; `reg_t` is `-c logp_t`
/// (forward-kl) or `c d_t^2` (k2), or the loss has `c mean_i (sum_t d_t)^2` added (k2, `sequence`).
/// `d_t = clamp(logp - logp_old, -20, 20)`, `rho = exp(d_t)`, `s_i = exp(sum_t d_t / n_i)`.
///
/// # Shapes
/// Log-probabilities in nats per token, `logp_old` those of the policy that sampled, however stale; advantages per
/// trajectory or per token.
///
/// # Edge cases
/// `A = 0`: one-side masks admit the token, and a regularizer still acts on it.  The exponent of the advantage weight
/// is clamped at 20 from above.  Beyond the clamp of a token's log-ratio the k2 term is constant; the sum of a
/// trajectory is not clamped.
///
/// # Errors
/// Building: `epsilon` and `epsilon_low_prime` outside (0, 1], `epsilon_high`, `epsilon_high_prime` or `temp <= 0`,
/// `regularizer_coef < 0`.  Data: a number that is not finite, by trajectory and token.
///
/// # Terms
/// `policy_loss`; `approx_kl` (mean k3 to the sampling policy); `clip_ratio/region_mean` (share of counted tokens
/// that are masked); `kl_loss`, the regularizer, where there is one.
///
/// # Source
/// arXiv 2509.24203; `rec_policy_loss.py` of Trinity-RFT at 9051d637 for masks, weights and aggregation, including
/// the trajectory mean of `gspo-one-side`.  OPMD: the paper squares the log-ratio of the trajectory with factor 1/2,
/// the code that of the token without; the code is the default.
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::nested::{evaluate_nested, worked_example};
/// use groupwise_objective::objectives::{ClipMode, OffPolicyReinforceConfig, Weight};
/// let batch = worked_example();
/// let config = OffPolicyReinforceConfig {
///     clip_mode: ClipMode::OneSide, weight: Weight::ImportanceSampling, ..Default::default()
/// };
/// let at = evaluate_nested(config.build(&())?.as_ref(), &batch)?;
/// let ppo = groupwise_objective::objectives::PpoConfig::default().build(&())?;
/// // The derivative of PPO's clip, under another loss value.
/// assert_eq!(at.grad_logp, evaluate_nested(ppo.as_ref(), &batch)?.grad_logp);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OffPolicyReinforceConfig {
    /// Which tokens keep their policy term.
    pub clip_mode: ClipMode,
    /// What the policy term is multiplied by.
    pub weight: Weight,
    /// What is added to the policy term.
    pub regularizer: Regularizer,
    /// Its coefficient c, >= 0.
    pub regularizer_coef: f64,
    /// What the k2 term squares.
    pub k2_level: K2Level,
    /// Temperature of the advantage weight, > 0.
    pub temp: f64,
    /// el: how far below 1 a ratio may be; in (0, 1].
    #[serde(alias = "epsilon_low")]
    pub epsilon: f64,
    /// eh: how far above 1 a ratio may be; > 0.
    pub epsilon_high: f64,
    /// el' of the ring; in (0, 1].
    pub epsilon_low_prime: f64,
    /// eh' of the ring; > 0.
    pub epsilon_high_prime: f64,
    /// How tokens are averaged.  Absent: `seq-mean-token-mean` for `gspo-one-side`, else `token-mean`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<Aggregation>,
    /// Generation limit; needed by `seq-mean-token-sum-const`, unused by the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_length: Option<usize>,
}

impl Default for OffPolicyReinforceConfig {
    fn default() -> Self {
        Self {
            clip_mode: ClipMode::None,
            weight: Weight::None,
            regularizer: Regularizer::None,
            regularizer_coef: 0.0,
            k2_level: K2Level::Token,
            temp: 1.0,
            epsilon: 0.2,
            epsilon_high: 0.2,
            epsilon_low_prime: 0.6,
            epsilon_high_prime: 2.0,
            aggregation: None,
            max_completion_length: None,
        }
    }
}

impl OffPolicyReinforceConfig {
    /// The aggregation in force.
    pub fn resolved_aggregation(&self) -> Aggregation {
        self.aggregation.unwrap_or(match self.clip_mode {
            ClipMode::GspoOneSide => Aggregation::SeqMeanTokenMean,
            _ => Aggregation::TokenMean,
        })
    }

    fn mask_formula(&self) -> String {
        let (low, high) = (self.epsilon, self.epsilon_high);
        let one_side = |ratio: &str| {
            format!("; M = A >= 0 and {ratio} <= 1 + {high}, or A <= 0 and {ratio} >= 1 - {low}")
        };
        let two_side = format!("; M = 1 - {low} <= rho <= 1 + {high}");
        match self.clip_mode {
            ClipMode::None => String::new(),
            ClipMode::OneSide => one_side("rho"),
            ClipMode::GspoOneSide => one_side("s"),
            ClipMode::TwoSide => two_side,
            ClipMode::Ring => format!(
                "{two_side}, or A >= 0 and rho <= 1 - {}, or A <= 0 and rho >= 1 + {}",
                self.epsilon_low_prime, self.epsilon_high_prime
            ),
        }
    }

    fn factor_formula(&self) -> String {
        let weight = match self.weight {
            Weight::None => String::new(),
            Weight::ImportanceSampling => "rho".into(),
            Weight::GspoImportanceSampling => "s".into(),
            Weight::Advantage => format!("exp(min(A / {}, 20))", self.temp),
        };
        match (self.clip_mode, weight.is_empty()) {
            (ClipMode::None, true) => String::new(),
            (ClipMode::None, false) => format!("sg({weight}) "),
            (_, true) => "sg(M) ".into(),
            (_, false) => format!("sg(M {weight}) "),
        }
    }
}

impl Part<dyn Objective> for OffPolicyReinforceConfig {
    const SOURCE: &'static str =
        "arXiv 2509.24203; Trinity-RFT `rec_policy_loss.py` at 9051d637, whose token-level k2 is the default";

    fn formula(&self) -> String {
        let c = self.regularizer_coef;
        let (inside, outside) = match (self.regularizer, self.k2_level) {
            _ if c == 0.0 => (String::new(), String::new()),
            (Regularizer::None, _) => (String::new(), String::new()),
            (Regularizer::ForwardKl, _) => (format!(" - {c} logp"), String::new()),
            (Regularizer::K2, K2Level::Token) => (format!(" + {c} d_t^2"), String::new()),
            (Regularizer::K2, K2Level::Sequence) => (String::new(), format!(" + {c} mean_i (sum_t d_t)^2")),
        };
        format!(
            "loss = sum_i w_i sum_t (-A {}logp{inside}){outside}{}; d_t = clamp(logp - logp_old, -20, 20), rho = \
             exp(d_t), s = exp(mean_t d_t); {}",
            self.factor_formula(),
            self.mask_formula(),
            self.resolved_aggregation().formula(self.max_completion_length)
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Objective>, ParamError> {
        let coef = self.regularizer_coef;
        ParamError::check_coefficient("regularizer_coef", coef)?;
        Ok(Box::new(OffPolicyReinforce {
            gate: OffPolicyGate::new(self)?,
            regularizer: if coef > 0.0 {
                self.regularizer
            } else {
                Regularizer::None
            },
            coef,
            level: self.k2_level,
            weights: self
                .resolved_aggregation()
                .with_max_length(self.max_completion_length)?,
        }))
    }
}

/// Ratios of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratios {
    /// Of the token itself.
    pub token: f64,
    /// Geometric mean over the counted tokens of its trajectory.
    pub sequence: f64,
}

/// Mask and weight of a token, valid by construction.
///
/// # Formula, edge cases, source
/// Those of [`OffPolicyReinforceConfig`].
///
/// # Shapes
/// One token; ratios and advantage are plain numbers.
///
/// # Errors
/// Parameters out of range.
///
/// # Example
/// ```
/// use groupwise_objective::objectives::{ClipMode, OffPolicyGate, OffPolicyReinforceConfig, Ratios};
/// let config = OffPolicyReinforceConfig { clip_mode: ClipMode::Ring, ..Default::default() };
/// let gate = OffPolicyGate::new(&config)?;
/// let admits = |advantage, token| gate.admits(advantage, Ratios { token, sequence: 1.0 });
/// assert!(admits(1.0, 0.9) && !admits(1.0, 0.7) && admits(1.0, 0.3) && !admits(-1.0, 0.3));
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OffPolicyGate {
    clip_mode: ClipMode,
    weight: Weight,
    temp: f64,
    near: (f64, f64),
    far: (f64, f64),
}

impl OffPolicyGate {
    /// Validates.
    ///
    /// # Errors
    /// Names key, value and range.
    pub fn new(config: &OffPolicyReinforceConfig) -> Result<Self, ParamError> {
        for (key, value) in [
            ("epsilon", config.epsilon),
            ("epsilon_low_prime", config.epsilon_low_prime),
        ] {
            ParamError::check(value > 0.0 && value <= 1.0, key, value, "a number in (0, 1]")?;
        }
        for (key, value) in [
            ("epsilon_high", config.epsilon_high),
            ("epsilon_high_prime", config.epsilon_high_prime),
            ("temp", config.temp),
        ] {
            let holds = value > 0.0 && value.is_finite();
            ParamError::check(holds, key, value, "a finite number > 0")?;
        }
        Ok(Self {
            clip_mode: config.clip_mode,
            weight: config.weight,
            temp: config.temp,
            near: (1.0 - config.epsilon, 1.0 + config.epsilon_high),
            far: (1.0 - config.epsilon_low_prime, 1.0 + config.epsilon_high_prime),
        })
    }

    /// True if the policy term of the token is kept.
    #[inline]
    pub fn admits(&self, advantage: f64, ratios: Ratios) -> bool {
        let (low, high) = self.near;
        let one_side = |ratio: f64| (advantage >= 0.0 && ratio <= high) || (advantage <= 0.0 && ratio >= low);
        let rho = ratios.token;
        let two_side = rho >= low && rho <= high;
        match self.clip_mode {
            ClipMode::None => true,
            ClipMode::OneSide => one_side(rho),
            ClipMode::GspoOneSide => one_side(ratios.sequence),
            ClipMode::TwoSide => two_side,
            ClipMode::Ring => {
                let back = |kept: bool, sign: f64| kept && sign * advantage >= 0.0;
                two_side || back(rho <= self.far.0, 1.0) || back(rho >= self.far.1, -1.0)
            }
        }
    }

    /// What the policy term is multiplied by, if it is kept.
    #[inline]
    pub fn weight(&self, advantage: f64, ratios: Ratios) -> f64 {
        match self.weight {
            Weight::None => 1.0,
            Weight::ImportanceSampling => ratios.token,
            Weight::GspoImportanceSampling => ratios.sequence,
            // Below e^-700 the weight is 0 to every digit.
            Weight::Advantage => exp((advantage / self.temp).clamp(-700.0, EXPONENT_CLAMP)),
        }
    }

    fn reads_sequence(&self) -> bool {
        self.clip_mode == ClipMode::GspoOneSide || self.weight == Weight::GspoImportanceSampling
    }

    fn reads_ratio(&self) -> bool {
        self.clip_mode != ClipMode::None || !matches!(self.weight, Weight::None | Weight::Advantage)
    }
}

/// `Denominators`: `trajectory` weights; `scalars` counted tokens and trajectories with any.
/// `Frozen`: `trajectory` as there; `token` mask times weight; `scalars` as there, then the masked tokens of the view.
#[derive(Debug)]
struct OffPolicyReinforce {
    gate: OffPolicyGate,
    regularizer: Regularizer,
    coef: f64,
    level: K2Level,
    weights: Weights,
}

/// What a view adds up to.
#[derive(Default)]
struct Figures {
    policy: f64,
    regularizer: f64,
    approx_kl: f64,
}

impl Objective for OffPolicyReinforce {
    fn needs(&self) -> Needs {
        if self.gate.reads_ratio() || self.regularizer == Regularizer::K2 {
            Needs::TOKENS | Needs::LOGP_OLD
        } else {
            Needs::TOKENS
        }
    }

    fn scope(&self) -> Scope {
        if self.gate.reads_sequence() || self.squares_sequences() {
            Scope::Trajectory
        } else {
            Scope::Token
        }
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        let (trajectory, counted) = self.weights.weigh_batch(batch)?;
        let filled = batch
            .tokens
            .spans()
            .iter()
            .filter(|t| batch.mask[t.clone()].contains(&true));
        Ok(Denominators {
            trajectory,
            scalars: vec![counted as f64, filled.count() as f64],
        })
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        check_view(view)?;
        let weights = denominators.of_view(view)?.to_vec();
        let [counted, filled] = constants(&denominators.scalars)?;
        let (mut token, mut masked) = (vec![0.0; view.logp.len()], 0u64);
        for (i, tokens) in view.tokens.iter().enumerate() {
            let (logp, old) = (&view.logp[tokens.clone()], &view.logp_old[tokens.clone()]);
            let mask = &view.mask[tokens.clone()];
            let sequence = match self.gate.reads_sequence() {
                true => reduce(logp, old, mask, SpanReduction::Mean).ratio(),
                false => 1.0,
            };
            let row = view.advantage_row(i);
            for t in (0..mask.len()).filter(|t| mask[*t]) {
                let token_ratio = match self.gate.reads_ratio() {
                    true => exp(log_ratio(logp[t], old[t])),
                    false => 1.0,
                };
                let ratios = Ratios {
                    token: token_ratio,
                    sequence,
                };
                if self.gate.admits(row.at(t), ratios) {
                    token[tokens.start + t] = self.gate.weight(row.at(t), ratios);
                } else {
                    masked += 1;
                }
            }
        }
        Ok(Frozen {
            trajectory: weights,
            token,
            scalars: vec![counted, filled, masked as f64],
        })
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        check_view(view)?;
        DataError::check_len("frozen weights", frozen.trajectory.len(), view.n_trajectories())?;
        DataError::check_len("frozen tokens", frozen.token.len(), view.logp.len())?;
        let [counted, filled, masked] = constants(&frozen.scalars)?;
        let (mut d_logp, mut figures) = (vec![0.0; view.logp.len()], Figures::default());
        for (i, weight) in frozen.trajectory.iter().enumerate() {
            self.row(view, (i, *weight), &frozen.token, &mut d_logp, &mut figures)?;
            if self.squares_sequences() {
                self.sequence(view, (i, 1.0 / filled), &mut d_logp, &mut figures)?;
            }
        }
        let share = |total: f64| if counted > 0.0 { total / counted } else { 0.0 };
        let mut terms = vec![
            ("policy_loss", figures.policy),
            ("approx_kl", share(figures.approx_kl)),
            ("clip_ratio/region_mean", share(masked)),
        ];
        if self.regularizer != Regularizer::None {
            terms.push(("kl_loss", figures.regularizer));
        }
        Ok(Evaluation {
            loss: check_loss(figures.policy + figures.regularizer)?,
            grads: TokenGrads {
                d_logp,
                d_entropy: None,
                d_value: None,
            },
            terms,
        })
    }
}

impl OffPolicyReinforce {
    fn squares_sequences(&self) -> bool {
        self.regularizer == Regularizer::K2 && self.level == K2Level::Sequence
    }

    /// The token terms of a trajectory.
    fn row(
        &self,
        view: &TokenView<'_>,
        (i, weight): (usize, f64),
        factors: &[f64],
        d_logp: &mut [f64],
        figures: &mut Figures,
    ) -> Result<(), DataError> {
        let (tokens, row) = (view.tokens.range(i), view.advantage_row(i));
        for t in tokens.clone().filter(|t| view.mask[*t]) {
            let at = t - tokens.start;
            let (logp, old, advantage) = (view.logp[t], view.logp_old[t], row.at(at));
            for (what, value) in [("logp", logp), ("logp_old", old), ("advantage", advantage)] {
                check_finite(view, (i, at), what, value)?;
            }
            let d = log_ratio(logp, old);
            figures.approx_kl += (exp(-d) + d) - 1.0;
            let policy = reinforce::evaluate(advantage * factors[t], logp);
            figures.policy += weight * policy.loss;
            d_logp[t] = weight * policy.slope;
            let (value, slope) = match (self.regularizer, self.level) {
                (Regularizer::ForwardKl, _) => (-logp, -1.0),
                (Regularizer::K2, K2Level::Token) => {
                    // The block has the factor 1/2.
                    let k2 = KlEstimator::K2.evaluate(logp, old);
                    (2.0 * k2.value, 2.0 * k2.slope)
                }
                _ => continue,
            };
            figures.regularizer += weight * self.coef * value;
            d_logp[t] += weight * self.coef * slope;
        }
        Ok(())
    }

    /// The squared log-ratio of a trajectory.
    fn sequence(
        &self,
        view: &TokenView<'_>,
        (i, weight): (usize, f64),
        d_logp: &mut [f64],
        figures: &mut Figures,
    ) -> Result<(), DataError> {
        let tokens = view.tokens.range(i);
        if !view.mask[tokens.clone()].contains(&true) {
            return Ok(());
        }
        let sum = log_ratio_sum(view, i, ("logp_old", view.logp_old))?;
        figures.regularizer += self.coef * weight * sum * sum;
        let open = |t: &usize| view.mask[*t] && has_slope(log_ratio(view.logp[*t], view.logp_old[*t]));
        for t in tokens.filter(open) {
            d_logp[t] += 2.0 * self.coef * weight * sum;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "off_policy_reinforce_tests.rs"]
mod tests;
