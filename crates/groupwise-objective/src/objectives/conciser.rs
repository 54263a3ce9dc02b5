//! ConciseR, the loss of both stages (GRPO++): clip-higher, mean over all tokens, entropy bonus, no KL.
//!
//! The condition on groups and the reward for length are parts of other seams.

use groupwise_core::{
    DataError, Denominators, Evaluation, Frozen, Needs, Objective, ParamError, Part, Scope, TokenBatch,
    TokenView,
};
use serde::{Deserialize, Serialize};

use super::DapoConfig;

const PART: &str = "conciser";

/// Parameters of ConciseR's loss.
///
/// # Formula
/// `loss = -1/N sum_i sum_t [min(A rho_t, A clip(rho_t, 1 - epsilon, 1 + epsilon_high)) + entropy_coef H_t]`, N the counted
/// tokens of the batch.
///
/// # Shapes
/// Log-probabilities and entropies in nats per token; advantages per trajectory or per token.
///
/// # Edge cases
/// - `entropy_coef = 0` is DAPO's loss, and no entropy is needed.
/// - Where both branches of the minimum are equal the derivative is that of the unclipped one.
/// - A batch without counted tokens has loss 0.
///
/// # Errors
/// Parameters: `epsilon` outside (0, 1); `epsilon_high` below it or not finite; `entropy_coef` negative or not finite.  Data:
/// as DAPO's loss; entropies that are missing, do not cover the tokens or are not finite, where the bonus is on.
///
/// # Terms
/// Those of DAPO, and `entropy_bonus`, the summand `entropy_coef mean H`, where it is on.
///
/// # Source
/// ConciseR, arXiv 2505.21178.  The authors' repository holds no code: the clip ranges are DAPO's, and the coefficient of
/// the bonus is reconstructed (0.001 is a start).
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::nested::{NestedAdvantages, NestedBatch, evaluate_nested};
/// use groupwise_objective::objectives::ConciserConfig;
/// let at = evaluate_nested(ConciserConfig::default().build(&())?.as_ref(), &NestedBatch {
///     logp: vec![vec![vec![-0.1, -0.5, -2.0], vec![-1.0, -0.2]]],
///     logp_old: Some(vec![vec![vec![-0.5, -0.5, -1.0], vec![-0.6, -0.5]]]),
///     logp_ref: None,
///     mask: None,
///     advantages: NestedAdvantages::Trajectory(vec![vec![1.2, -0.8]]),
/// })?;
/// assert!((at.loss + 0.291_513_656_668_985_54).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConciserConfig {
    /// Lower clip range, in (0, 1).
    #[serde(alias = "eps_low")]
    pub epsilon: f64,
    /// Upper clip range, at least `epsilon`; larger lets rare tokens grow.
    #[serde(alias = "eps_high")]
    pub epsilon_high: f64,
    /// Coefficient of the entropy bonus, >= 0; 0 switches it off.
    pub entropy_coef: f64,
}

impl Default for ConciserConfig {
    fn default() -> Self {
        Self {
            epsilon: 0.2,
            epsilon_high: 0.28,
            entropy_coef: 0.0,
        }
    }
}

impl ConciserConfig {
    /// The loss without its bonus.
    fn base(&self) -> DapoConfig {
        DapoConfig {
            epsilon: self.epsilon,
            epsilon_high: Some(self.epsilon_high),
            ..DapoConfig::default()
        }
    }
}

impl Part<dyn Objective> for ConciserConfig {
    const SOURCE: &'static str =
        "ConciseR (arXiv 2505.21178), GRPO++; no authors' code, clip ranges of DAPO, bonus reconstructed";

    fn formula(&self) -> String {
        let base = self.base().formula();
        match self.entropy_coef > 0.0 {
            true => format!("{base} - {} sum_i w_i sum_t H_t", self.entropy_coef),
            false => base,
        }
    }

    fn build(&self, context: &()) -> Result<Box<dyn Objective>, ParamError> {
        let base = self.base().build(context)?;
        ParamError::check(
            self.epsilon_high >= self.epsilon,
            "epsilon_high",
            self.epsilon_high,
            "at least `epsilon`",
        )?;
        let coef = self.entropy_coef;
        ParamError::check_coefficient("entropy_coef", coef)?;
        Ok(match coef > 0.0 {
            true => Box::new(EntropyBonus { coef, base }),
            false => base,
        })
    }
}

/// The base with a bonus on entropy; it divides by what the base divides by.
#[derive(Debug)]
struct EntropyBonus {
    coef: f64,
    base: Box<dyn Objective>,
}

impl Objective for EntropyBonus {
    fn needs(&self) -> Needs {
        self.base.needs() | Needs::ENTROPY
    }

    fn scope(&self) -> Scope {
        self.base.scope()
    }

    fn denominators(&self, batch: &TokenBatch) -> Result<Denominators, DataError> {
        self.base.denominators(batch)
    }

    fn freeze(&self, denominators: &Denominators, view: &TokenView<'_>) -> Result<Frozen, DataError> {
        self.base.freeze(denominators, view)
    }

    fn evaluate(&self, frozen: &Frozen, view: &TokenView<'_>) -> Result<Evaluation, DataError> {
        let mut out = self.base.evaluate(frozen, view)?;
        let entropy = view.entropy.ok_or(DataError::Missing {
            what: "entropy",
            part: PART,
        })?;
        DataError::check_len("entropy", entropy.len(), view.logp.len())?;
        let mut d_entropy = vec![0.0; entropy.len()];
        let mut bonus = 0.0;
        for (i, tokens) in view.tokens.iter().enumerate() {
            let slope = self.coef * frozen.trajectory[i];
            for t in tokens.clone().filter(|t| view.mask[*t]) {
                if !entropy[t].is_finite() {
                    return Err(DataError::NonFinite {
                        place: format!(
                            "trajectory {}, token {}",
                            view.first_trajectory + i,
                            t - tokens.start
                        ),
                        what: "entropy".into(),
                        value: entropy[t].to_string(),
                    });
                }
                bonus += slope * entropy[t];
                d_entropy[t] = -slope;
            }
        }
        out.loss -= bonus;
        out.grads.d_entropy = Some(d_entropy);
        out.terms.push(("entropy_bonus", bonus));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::{
        Inputs, Sample, check_gradient_away_from, check_invariance, evaluate_whole, samples,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::ratio::log_ratio;

    fn config(entropy_coef: f64) -> ConciserConfig {
        ConciserConfig {
            entropy_coef,
            ..ConciserConfig::default()
        }
    }

    fn build(entropy_coef: f64) -> Box<dyn Objective> {
        config(entropy_coef).build(&()).expect("valid")
    }

    fn inputs(sample: &Sample) -> Inputs<'_> {
        Inputs {
            value: None,
            ..sample.inputs()
        }
    }

    /// How far token `t` is from where the clip or the clamp of the log-ratio sets in.
    fn distance(view: &TokenView<'_>, t: usize) -> f64 {
        let d = log_ratio(view.logp[t], view.logp_old[t]);
        let kinks = [0.8_f64.ln(), 1.28_f64.ln(), -20.0, 20.0];
        kinks.iter().map(|k| (k - d).abs()).fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn derivatives_are_central_differences(sample in samples(), coef in 0.001..1.0f64) {
            check_gradient_away_from(build(coef).as_ref(), &sample.batch, &inputs(&sample), &distance)?;
        }

        #[test]
        fn micro_batches_order_and_padding_change_nothing(sample in samples(), coef in 0.001..1.0f64) {
            let objective = build(coef);
            check_invariance(objective.as_ref(), &sample.batch, &inputs(&sample))?;
        }

        #[test]
        fn the_bonus_is_the_mean_entropy_off_dapos_loss(sample in samples(), coef in 0.001..1.0f64) {
            let with = evaluate_whole(build(coef).as_ref(), &sample.batch, &inputs(&sample))?;
            let dapo = DapoConfig::default().build(&()).expect("valid");
            let base = evaluate_whole(dapo.as_ref(), &sample.batch, &inputs(&sample))?;
            let counted: Vec<f64> = sample.entropy.iter().zip(&sample.batch.mask).filter(|(_, m)| **m).map(|(h, _)| *h).collect();
            let bonus = coef * counted.iter().sum::<f64>() / counted.len().max(1) as f64;
            prop_assert!((with.loss - (base.loss - bonus)).abs() < 1e-12);
            prop_assert_eq!(with.grads.d_logp, base.grads.d_logp);
            let found = with.terms.last().copied();
            prop_assert!(found.is_some_and(|(name, b)| name == "entropy_bonus" && (b - bonus).abs() < 1e-12));
        }

        #[test]
        fn without_a_bonus_it_is_dapo_and_needs_no_entropy(sample in samples()) {
            let without = Inputs { entropy: None, ..inputs(&sample) };
            let dapo = DapoConfig::default().build(&()).expect("valid");
            let objective = build(0.0);
            prop_assert!(!objective.needs().contains(Needs::ENTROPY));
            let (a, b) = (
                evaluate_whole(objective.as_ref(), &sample.batch, &without)?,
                evaluate_whole(dapo.as_ref(), &sample.batch, &without)?,
            );
            prop_assert_eq!((a.loss, a.grads), (b.loss, b.grads));
        }

        #[test]
        fn missing_or_odd_entropies_are_named(sample in samples()) {
            let objective = build(0.1);
            prop_assert!(objective.needs().contains(Needs::ENTROPY | Needs::LOGP_OLD));
            prop_assert_eq!(objective.scope(), Scope::Token);
            let without = Inputs { entropy: None, ..inputs(&sample) };
            let message = |inputs: &Inputs<'_>| {
                evaluate_whole(objective.as_ref(), &sample.batch, inputs).expect_err("refused").to_string()
            };
            prop_assert_eq!(
                message(&without),
                "the objective refused the batch: `entropy` is missing, and `conciser` needs it"
            );
            if let Some(t) = sample.batch.mask.iter().rposition(|m| *m) {
                let mut entropy = sample.entropy.clone();
                entropy[t] = f64::NAN;
                let spans = sample.batch.tokens.spans();
                let (i, span) = spans.iter().enumerate().find(|(_, s)| s.contains(&t)).expect("a trajectory");
                prop_assert_eq!(
                    message(&Inputs { entropy: Some(&entropy), ..inputs(&sample) }),
                    format!("the objective refused the batch: trajectory {i}, token {}: `entropy` is NaN", t - span.start)
                );
            }
        }
    }

    #[test]
    fn bad_parameters_are_refused() {
        let refused =
            |config: ConciserConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
        for bad in [-0.1, f64::NAN, f64::INFINITY] {
            assert_eq!(
                refused(config(bad)),
                format!("`entropy_coef` = {bad}: must be a finite number >= 0")
            );
        }
        let range = |epsilon, epsilon_high| ConciserConfig {
            epsilon,
            epsilon_high,
            entropy_coef: 0.0,
        };
        assert_eq!(
            refused(range(0.3, 0.2)),
            "`epsilon_high` = 0.2: must be at least `epsilon`"
        );
        assert_eq!(
            refused(range(1.0, 1.0)),
            "`epsilon` = 1: must be a number > 0 and < 1"
        );
        assert_eq!(
            refused(range(0.2, f64::NAN)),
            "`epsilon_high` = NaN: must be a finite number > 0"
        );
        assert!(range(0.2, 0.2).build(&()).is_ok());
    }

    #[test]
    fn the_formula_prints_the_bonus_where_it_is_on() {
        let plain = config(0.0).formula();
        assert_eq!(plain, DapoConfig::default().formula());
        assert_eq!(
            config(0.5).formula(),
            format!("{plain} - 0.5 sum_i w_i sum_t H_t")
        );
        let named: ConciserConfig =
            serde_json::from_str(r#"{"eps_low": 0.1, "eps_high": 0.4}"#).expect("parses");
        assert_eq!((named.epsilon, named.epsilon_high), (0.1, 0.4));
    }
}
