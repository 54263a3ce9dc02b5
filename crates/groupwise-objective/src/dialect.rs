//! What other libraries default to, as configurations of the general objective.
//!
//! Only what was read in their code or example configurations is stated; what was not is listed as unstated and
//! left at the house default.  Values of snapshots of August 2026; `tests/golden/dialects.json` holds losses and
//! derivatives under each, worked out apart from this code.
//!
//! | dialect | clip | dual clip | aggregation | KL |
//! |---|---|---|---|---|
//! | TRL | 0.2 / 0.2 | off | token mean | k3 in the loss, off |
//! | verl | 0.2 / 0.2 | 3 | token mean | off |
//! | OpenRLHF | 0.2 / 0.2 | off | token mean | k1 in the reward, 0.01 |
//! | open-instruct | 0.2 / 0.272 | off | token mean | k3 in the loss, 0.05 |
//! | prime-rl | not a ratio clip | - | token mean | - |
//! | NeMo-RL | 0.2 / 0.2 | off | token mean | k3 in the loss, 0.01 |
//! | SkyRL | 0.2 / 0.2 | off | token mean | k3 in the loss, 0.001 |
//! | slime | 0.2 / 0.2 | - | per sequence | off |
//! | ROLL | 0.2 / 0.2 | off | per sequence | off: its 0.2 acts with `add_token_level_kl` only |
//! | AReaL | 0.4 / 0.4 | - | token mean | off |
//! | Tinker | not a ratio clip | - | fixed by the service | - |
//!
//! "Token mean" divides by the counted tokens of the update batch, "per sequence" first by those of each
//! trajectory.  The log-ratio clamp at +-20 stays on in all of them: TRL has none, open-instruct clamps the
//! log-ratio to the reference at +-40 and NeMo-RL, OpenRLHF and AReaL clamp estimates of KL, so results differ
//! beyond those bounds.

use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregation;
use crate::objectives::PolicyGradientConfig;
use crate::regularizer::{KlEstimator, KlPlace};
use crate::surrogate::{ClipParams, SurrogateConfig};

/// A library whose defaults are known in part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// huggingface/trl, `GRPOConfig`.
    #[default]
    Trl,
    /// volcengine/verl, default configuration.
    Verl,
    /// OpenRLHF.
    #[serde(rename = "openrlhf", alias = "open-rlhf")]
    OpenRlhf,
    /// allenai/open-instruct, GRPO.
    OpenInstruct,
    /// prime-rl.
    PrimeRl,
    /// NVIDIA-NeMo/RL, example configuration.
    NemoRl,
    /// SkyRL.
    #[serde(rename = "skyrl")]
    SkyRl,
    /// slime.
    Slime,
    /// ROLL.
    Roll,
    /// AReaL, its GSM8K example.
    Areal,
    /// Tinker cookbook: the service computes the loss.
    Tinker,
}

/// The stated defaults of a library; `None`: not stated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DialectRow {
    /// `epsilon` and `epsilon_high`.
    pub clip: Option<(f64, f64)>,
    /// Dual clip bound, where it is on.
    pub dual_clip: Option<f64>,
    /// Aggregation.
    pub aggregation: Option<Aggregation>,
    /// Coefficient of the KL penalty; 0 is off.
    pub beta: Option<f64>,
    /// Estimator of KL.
    pub kl_estimator: Option<KlEstimator>,
    /// Place of the penalty.
    pub kl_in: Option<KlPlace>,
    /// What the general objective cannot express.
    pub beyond: Option<&'static str>,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 11] = [
        Self::Trl,
        Self::Verl,
        Self::OpenRlhf,
        Self::OpenInstruct,
        Self::PrimeRl,
        Self::NemoRl,
        Self::SkyRl,
        Self::Slime,
        Self::Roll,
        Self::Areal,
        Self::Tinker,
    ];

    /// Name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trl => "trl",
            Self::Verl => "verl",
            Self::OpenRlhf => "openrlhf",
            Self::OpenInstruct => "open-instruct",
            Self::PrimeRl => "prime-rl",
            Self::NemoRl => "nemo-rl",
            Self::SkyRl => "skyrl",
            Self::Slime => "slime",
            Self::Roll => "roll",
            Self::Areal => "areal",
            Self::Tinker => "tinker",
        }
    }

    /// True if its loss is a clipped ratio, as the general objective has one.
    pub fn is_clip(self) -> bool {
        self.row().clip.is_some()
    }

    /// The stated defaults.
    pub fn row(self) -> DialectRow {
        let none = DialectRow::default();
        let token_mean = DialectRow {
            clip: Some((0.2, 0.2)),
            aggregation: Some(Aggregation::TokenMean),
            ..none
        };
        let with_k3 = |beta| DialectRow {
            beta: Some(beta),
            kl_estimator: Some(KlEstimator::K3),
            kl_in: Some(KlPlace::Loss),
            ..token_mean
        };
        let per_sequence = DialectRow {
            aggregation: Some(Aggregation::SeqMeanTokenMean),
            beta: Some(0.0),
            ..token_mean
        };
        match self {
            Self::Trl => with_k3(0.0),
            Self::Verl => DialectRow {
                dual_clip: Some(3.0),
                beta: Some(0.0),
                ..token_mean
            },
            Self::OpenRlhf => DialectRow {
                beta: Some(0.01),
                kl_estimator: Some(KlEstimator::K1),
                kl_in: Some(KlPlace::Reward),
                ..token_mean
            },
            Self::OpenInstruct => DialectRow {
                clip: Some((0.2, 0.272)),
                ..with_k3(0.05)
            },
            Self::PrimeRl => DialectRow {
                clip: None,
                beyond: Some("masks tokens by the difference of probabilities (0.2 / 0.2), not by the ratio"),
                ..token_mean
            },
            Self::NemoRl => with_k3(0.01),
            Self::SkyRl => with_k3(0.001),
            Self::Slime | Self::Roll => per_sequence,
            Self::Areal => DialectRow {
                clip: Some((0.4, 0.4)),
                beta: Some(0.0),
                beyond: Some(
                    "weighs each token by the ratio of the recomputed to the sampler's policy, capped at 5",
                ),
                ..token_mean
            },
            Self::Tinker => DialectRow {
                beyond: Some(
                    "leaves the loss to its service: the importance-weighted advantage, without a clip",
                ),
                ..none
            },
        }
    }

    /// The general objective with the stated values, and house defaults for the rest.
    ///
    /// # Example
    /// ```
    /// use groupwise_objective::{Dialect, aggregate::Aggregation};
    /// let verl = Dialect::Verl.objective();
    /// assert_eq!(verl.aggregation, Aggregation::TokenMean);
    /// assert_eq!(Dialect::PrimeRl.unstated(), ["epsilon", "beta", "kl_estimator", "kl_in"]);
    /// ```
    pub fn objective(self) -> PolicyGradientConfig {
        let (row, house) = (self.row(), PolicyGradientConfig::default());
        let mut clip = ClipParams {
            dual_clip: row.dual_clip,
            ..ClipParams::default()
        };
        if let Some((low, high)) = row.clip {
            (clip.epsilon, clip.epsilon_high) = (low, Some(high));
        }
        PolicyGradientConfig {
            surrogate: SurrogateConfig::Clip(clip),
            aggregation: row.aggregation.unwrap_or(house.aggregation),
            beta: row.beta.unwrap_or(house.beta),
            kl_estimator: row.kl_estimator.unwrap_or(house.kl_estimator),
            kl_in: row.kl_in.unwrap_or(house.kl_in),
            ..house
        }
    }

    /// Keys that change a number here and whose default in the library is not known; an estimator and a place
    /// matter only where the penalty is on.
    pub fn unstated(self) -> Vec<&'static str> {
        let row = self.row();
        let with_kl = row.beta != Some(0.0);
        [
            ("epsilon", row.clip.is_none()),
            ("aggregation", row.aggregation.is_none()),
            ("beta", row.beta.is_none()),
            ("kl_estimator", with_kl && row.kl_estimator.is_none()),
            ("kl_in", with_kl && row.kl_in.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, unstated)| unstated.then_some(key))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Part;

    use super::*;

    #[test]
    fn every_dialect_builds_and_carries_its_stated_values() {
        for dialect in Dialect::ALL {
            let (row, config) = (dialect.row(), dialect.objective());
            assert!(config.build(&()).is_ok(), "{dialect:?}");
            assert!(row.beta.is_none_or(|beta| beta == config.beta));
            assert!(
                row.aggregation
                    .is_none_or(|aggregation| aggregation == config.aggregation)
            );
            let SurrogateConfig::Clip(clip) = config.surrogate else {
                panic!("{dialect:?} clips")
            };
            assert_eq!(clip.dual_clip, row.dual_clip);
            assert!(
                row.clip
                    .is_none_or(|(low, high)| (clip.epsilon, clip.epsilon_high) == (low, Some(high)))
            );
        }
    }

    #[test]
    fn what_is_not_stated_is_listed() {
        for dialect in Dialect::ALL {
            let expected: &[&str] = match dialect {
                Dialect::PrimeRl => &["epsilon", "beta", "kl_estimator", "kl_in"],
                Dialect::Tinker => &["epsilon", "aggregation", "beta", "kl_estimator", "kl_in"],
                _ => &[],
            };
            assert_eq!(dialect.unstated(), expected, "{dialect:?}");
            assert_eq!(dialect.is_clip(), expected.is_empty(), "{dialect:?}");
            let beyond = matches!(dialect, Dialect::PrimeRl | Dialect::Tinker | Dialect::Areal);
            assert_eq!(dialect.row().beyond.is_some(), beyond, "{dialect:?}");
        }
    }

    #[test]
    fn names_as_in_recipes() {
        for dialect in Dialect::ALL {
            let name = serde_json::to_value(dialect).expect("prints");
            assert_eq!(name, dialect.name());
        }
        let old: Dialect = serde_json::from_str(r#""open-rlhf""#).expect("reads");
        assert_eq!((old, Dialect::default()), (Dialect::OpenRlhf, Dialect::Trl));
    }
}
