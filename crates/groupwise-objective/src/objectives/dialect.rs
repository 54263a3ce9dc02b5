//! The loss that another library computes under the name "GRPO", with its defaults written out.

use groupwise_core::{Objective, ParamError, Part};
use serde::{Deserialize, Serialize};

use super::PolicyGradientConfig;
use crate::aggregate::Aggregation;
use crate::dialect::Dialect;
use crate::regularizer::{KlEstimator, KlPlace};
use crate::surrogate::SurrogateConfig;

/// The library sets every number, and any key written out beside it overrides that number.
///
/// # Formula
/// That of [`PolicyGradientConfig`] with the numbers of [`Dialect`].
///
/// # Shapes, edge cases, errors
/// Those of [`PolicyGradientConfig`]; building also refuses a library whose loss has no ratio clip.
///
/// # Source
/// See [`Dialect`].
///
/// # Example
/// ```
/// use groupwise_core::Part;
/// use groupwise_objective::Dialect;
/// use groupwise_objective::objectives::DialectConfig;
/// let verl = DialectConfig { dialect: Dialect::Verl, ..DialectConfig::default() };
/// assert!(verl.formula().ends_with("; dialect verl"));
/// assert!(verl.formula().contains("-A 3"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DialectConfig {
    /// Whose loss.
    pub dialect: Dialect,
    /// Overrides the lower clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Overrides the upper clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_high: Option<f64>,
    /// Overrides how tokens are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<Aggregation>,
    /// Generation limit; needed by `seq-mean-token-sum-const`, unused by the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_length: Option<usize>,
    /// Overrides the coefficient of the KL penalty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Overrides which estimate of KL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_estimator: Option<KlEstimator>,
    /// Overrides the place of the penalty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_in: Option<KlPlace>,
}

impl DialectConfig {
    /// The library's numbers with the keys written out put over them.
    pub fn resolve(&self) -> PolicyGradientConfig {
        let base = self.dialect.objective();
        let surrogate = match base.surrogate {
            SurrogateConfig::Clip(mut clip) => {
                clip.epsilon = self.epsilon.unwrap_or(clip.epsilon);
                clip.epsilon_high = self.epsilon_high.or(clip.epsilon_high);
                SurrogateConfig::Clip(clip)
            }
            other => other,
        };
        PolicyGradientConfig {
            surrogate,
            aggregation: self.aggregation.unwrap_or(base.aggregation),
            max_completion_length: self.max_completion_length,
            beta: self.beta.unwrap_or(base.beta),
            kl_estimator: self.kl_estimator.unwrap_or(base.kl_estimator),
            kl_in: self.kl_in.unwrap_or(base.kl_in),
            ..base
        }
    }
}

impl Part<dyn Objective> for DialectConfig {
    const SOURCE: &'static str = "defaults of the libraries, see groupwise_objective::Dialect";

    fn formula(&self) -> String {
        let mut formula = format!("{}; dialect {}", self.resolve().formula(), self.dialect.name());
        if let Some(beyond) = self.dialect.row().beyond {
            formula += &format!(", which also {beyond}");
        }
        formula
    }

    fn build(&self, context: &()) -> Result<Box<dyn Objective>, ParamError> {
        if !self.dialect.is_clip() {
            let range = "a library with a ratio clip: the loss of this one is another";
            return Err(ParamError::new("dialect", self.dialect.name(), range));
        }
        self.resolve().build(context)
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::testing::{check_invariance, evaluate_whole, samples};
    use proptest::prelude::*;

    use super::*;
    use crate::surrogate::ClipParams;

    fn clips() -> Vec<Dialect> {
        Dialect::ALL.into_iter().filter(|d| d.is_clip()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_dialect_is_the_general_objective_with_its_numbers(
            sample in samples(), dialect in prop::sample::select(clips()),
        ) {
            let config = DialectConfig { dialect, ..DialectConfig::default() };
            let (named, general) = (config.build(&())?, dialect.objective().build(&())?);
            let expected = evaluate_whole(general.as_ref(), &sample.batch, &sample.inputs())?;
            prop_assert_eq!(evaluate_whole(named.as_ref(), &sample.batch, &sample.inputs())?, expected);
            check_invariance(named.as_ref(), &sample.batch, &sample.inputs())?;
        }
    }

    #[test]
    fn keys_written_out_override_the_dialect_and_only_those() {
        let config: DialectConfig = toml::from_str(
            "dialect = 'verl'\nepsilon_high = 0.3\nbeta = 0.1\nkl_estimator = 'k2'\nkl_in = 'reward'\n\
             aggregation = 'seq-mean-token-sum-const'\nmax_completion_length = 9",
        )
        .expect("parses");
        let verl = Dialect::Verl.objective();
        let expected = PolicyGradientConfig {
            surrogate: SurrogateConfig::Clip(ClipParams {
                epsilon: 0.2,
                epsilon_high: Some(0.3),
                dual_clip: Some(3.0),
                delta: None,
            }),
            aggregation: Aggregation::SeqMeanTokenSumConst,
            max_completion_length: Some(9),
            beta: 0.1,
            kl_estimator: KlEstimator::K2,
            kl_in: KlPlace::Reward,
            ..verl.clone()
        };
        assert_eq!(config.resolve(), expected);
        let low: DialectConfig = toml::from_str("dialect = 'verl'\nepsilon = 0.1").expect("parses");
        let SurrogateConfig::Clip(clip) = low.resolve().surrogate else {
            panic!("verl clips")
        };
        assert_eq!((clip.epsilon, clip.epsilon_high), (0.1, Some(0.2)));
        assert_eq!(low.resolve().aggregation, verl.aggregation);
    }

    #[test]
    fn libraries_with_another_loss_are_refused() {
        for (dialect, name) in [(Dialect::PrimeRl, "prime-rl"), (Dialect::Tinker, "tinker")] {
            let config = DialectConfig {
                dialect,
                ..DialectConfig::default()
            };
            assert_eq!(
                config.build(&()).expect_err("refused").to_string(),
                format!(
                    "`dialect` = {name}: must be a library with a ratio clip: the loss of this one is another"
                )
            );
        }
        let negative = DialectConfig {
            beta: Some(-1.0),
            ..DialectConfig::default()
        };
        assert!(negative.build(&()).is_err());
    }

    #[test]
    fn the_formula_names_the_dialect_and_what_it_does_beyond() {
        let with = |dialect| {
            DialectConfig {
                dialect,
                ..DialectConfig::default()
            }
            .formula()
        };
        assert!(with(Dialect::Trl).ends_with("w_i = 1 / sum_j n_j; dialect trl"));
        assert!(with(Dialect::OpenInstruct).contains("1 + 0.272"));
        assert!(with(Dialect::OpenInstruct).contains("+ 0.05 sum_i w_i sum_t (exp(u) - u - 1)"));
        assert!(with(Dialect::OpenRlhf).contains("reward -= 0.01 sum_t (-u)"));
        assert!(with(Dialect::Slime).contains("w_i = 1 / (B n_i)"));
        assert!(with(Dialect::Areal).contains("dialect areal, which also "));
    }
}
