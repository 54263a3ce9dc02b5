//! Objectives: combinations of ratio, surrogate, aggregation and KL under the names they are known by.
//!
//! | name | ratio | surrogate | aggregation | KL |
//! |---|---|---|---|---|
//! | `grpo` | token | clip 0.2 / 0.2 | `seq-mean-token-mean` | off |
//! | `dr-grpo` | token | clip 0.2 / 0.2 | `seq-mean-token-sum-const` | off |
//! | `dapo` | token | clip 0.2 / 0.28 | `token-mean` | off |
//! | `gspo` | sequence | clip 3e-4 / 4e-4 | `seq-mean-token-mean` | off |
//! | `cispo` | token | weight capped at 5 | `token-mean` | off |
//! | `rloo` | sequence-sum | clip 0.2 / 0.2 | `seq-mean-token-mean` | k1, 0.05, off the reward |
//! | `ppo` | token | clip 0.2 / 0.2 | `token-mean` | off |
//! | `reinforce` | - | - | `seq-mean-token-sum` | off |
//! | `dialect` | token | as another library | as there | as there |
//! | `policy-gradient` | any | any | any | any |
//! | `supervised` | - | minus log-probability | `token-mean` | - |
//! | `grpo-d` | token | clip 0.2 / 0.2 | `seq-mean-token-mean` | k3, 0.01 to 0 to 0.02, in the loss |
//! | `rank-grpo` | rank, mean | clip 0.06 / 0.08 | `rank-mean` | k3, 0.001, in the loss |
//! | `gtpo` | to itself | - | mean over groups | - |
//! | `disco`, `disco-b` | token or none | scores of right answers above those of wrong ones | groups | hinge |
//! | `reg-grpo` | sequence log-ratio | regression on the reward | groups | off |
//! | `off-policy-reinforce`, [`rec`]'s rows | token or sequence, frozen | masked, weighted `-A logp` | any | k2 |
//! | `pairwise` | sequence log-ratio | squared differences of `A - tau x` | groups | - |
//! | `p3o` | pairs of whole trajectories | clip 0.2 of the log-ratio of a pair | mean over pairs, over groups | k1, 0.1, off the reward |
//! | `conciser` | token | clip 0.2 / 0.28, entropy bonus | `token-mean` | off |
//! | `llds` | as its base | as its base, plus a one-sided likelihood penalty | as its base | as its base |

mod answers;
pub mod cispo;
pub mod conciser;
pub mod dapo;
pub mod dialect;
pub mod disco;
pub mod dr_grpo;
mod engine;
pub mod grpo;
pub mod grpo_d;
pub mod gspo;
pub mod gtpo;
pub mod off_policy_reinforce;
pub mod pairwise;
pub mod policy_gradient;
pub mod ppo;
mod preset;
pub mod rank_grpo;
pub mod rec;
pub mod reg_grpo;
pub mod reinforce;
pub mod rloo;
pub mod supervised;

pub mod llds;
pub mod p3o;

pub use cispo::CispoConfig;
pub use conciser::ConciserConfig;
pub use dapo::DapoConfig;
pub use dialect::DialectConfig;
pub use disco::{DiscoBConfig, DiscoConfig, Negatives, Penalty, Score, answer_score, contrast};
pub use dr_grpo::DrGrpoConfig;
pub use grpo::GrpoConfig;
pub use grpo_d::GrpoDConfig;
pub use gspo::GspoConfig;
pub use gtpo::{GroupReduction, GtpoConfig};
pub use off_policy_reinforce::{
    ClipMode, K2Level, OffPolicyGate, OffPolicyReinforceConfig, Ratios, Regularizer, Weight,
};
pub use pairwise::{Anchor, PairwiseConfig, pairwise_loss};
pub use policy_gradient::PolicyGradientConfig;
pub use ppo::PpoConfig;
pub use rank_grpo::RankGrpoConfig;
pub use rec::{
    AsymreConfig, OpmdConfig, RecGspoIsConfig, RecGspoNoIsConfig, RecOneSideIsConfig, RecOneSideNoIsConfig,
    RecRingNoIsConfig, RecTwoSideIsConfig, RedWeightConfig,
};
pub use reg_grpo::{RegGrpoConfig, Regression};
pub use reinforce::ReinforceConfig;
pub use rloo::RlooConfig;
pub use supervised::{SupervisedConfig, supervised};

pub(crate) use engine::check_view;
pub use llds::LldsConfig;
pub use p3o::P3oConfig;

use groupwise_core::{Objective, ParamError, registry};

use crate::regularizer::KlPenalty;

registry! {
    /// Every objective, as it stands in a recipe under `[objective.<name>]`.
    pub enum ObjectiveSpec => dyn Objective, () {
        /// GRPO.
        Grpo = "grpo": GrpoConfig,
        /// Dr.GRPO.
        DrGrpo = "dr-grpo": DrGrpoConfig,
        /// DAPO.
        Dapo = "dapo": DapoConfig,
        /// GSPO.
        Gspo = "gspo": GspoConfig,
        /// CISPO.
        Cispo = "cispo": CispoConfig,
        /// RLOO.
        Rloo = "rloo": RlooConfig,
        /// PPO.
        Ppo = "ppo": PpoConfig,
        /// REINFORCE.
        Reinforce = "reinforce": ReinforceConfig,
        /// The general objective.
        PolicyGradient = "policy-gradient": PolicyGradientConfig,
        /// Maximum likelihood.
        Supervised = "supervised": SupervisedConfig,
        /// Rank-GRPO.
        RankGrpo = "rank-grpo": RankGrpoConfig,
        /// GRPO-D.
        GrpoD = "grpo-d": GrpoDConfig,
        /// The defaults of another library.
        Dialect = "dialect": DialectConfig,
        /// GTPO.
        Gtpo = "gtpo": GtpoConfig,
        /// DisCO.
        Disco = "disco": DiscoConfig,
        /// DisCO without the focus on the highest-scored wrong answers.
        DiscoB = "disco-b": DiscoBConfig,
        /// Reg-GRPO.
        RegGrpo = "reg-grpo": RegGrpoConfig,
        /// REINFORCE off policy: mask, weight and regularizer are free.
        OffPolicyReinforce = "off-policy-reinforce": OffPolicyReinforceConfig,
        /// REC-OneSide-IS.
        RecOneSideIs = "rec-one-side-is": RecOneSideIsConfig,
        /// REC-OneSide-NoIS.
        RecOneSideNoIs = "rec-one-side-no-is": RecOneSideNoIsConfig,
        /// REC-TwoSide-IS.
        RecTwoSideIs = "rec-two-side-is": RecTwoSideIsConfig,
        /// REC-Ring-NoIS.
        RecRingNoIs = "rec-ring-no-is": RecRingNoIsConfig,
        /// REC-GSPO-IS.
        RecGspoIs = "rec-gspo-is": RecGspoIsConfig,
        /// REC-GSPO-NoIS.
        RecGspoNoIs = "rec-gspo-no-is": RecGspoNoIsConfig,
        /// AsymRE.
        Asymre = "asymre": AsymreConfig,
        /// OPMD.
        Opmd = "opmd": OpmdConfig,
        /// RED-Weight.
        RedWeight = "red-weight": RedWeightConfig,
        /// The pairwise surrogate behind group-relative REINFORCE.
        Pairwise = "pairwise": PairwiseConfig,
        /// LLDS.
        Llds = "llds": LldsConfig,
        /// P3O.
        P3o = "p3o": P3oConfig,
        /// ConciseR.
        Conciser = "conciser": ConciserConfig,
    }
}

impl ObjectiveSpec {
    /// The objective in the general form, where it has one.
    pub fn general(&self) -> Option<PolicyGradientConfig> {
        match self {
            Self::Grpo(config) => Some(config.general()),
            Self::DrGrpo(config) => Some(config.general()),
            Self::Dapo(config) => Some(config.general()),
            Self::Gspo(config) => Some(config.general()),
            Self::Cispo(config) => Some(config.general()),
            Self::Rloo(config) => Some(config.general()),
            Self::Ppo(config) => Some(config.general()),
            Self::Reinforce(config) => Some(config.general()),
            Self::PolicyGradient(config) => Some(config.clone()),
            Self::Dialect(config) => Some(config.resolve()),
            _ => None,
        }
    }

    /// True if the objective compares the rewards themselves, handed over unchanged in the place of advantages.
    ///
    /// Whoever joins the parts of a run asks here, so that a wrong estimator is refused before the first rollout.
    pub fn reads_rewards(&self) -> bool {
        matches!(self, Self::Disco(_) | Self::DiscoB(_))
    }

    /// The KL penalty that must be taken off rewards before advantages are computed (`kl_in = "reward"`).
    ///
    /// An objective cannot do this itself: whoever prepares rewards asks here.
    ///
    /// # Errors
    /// `beta` out of range.
    pub fn kl_penalty(&self) -> Result<Option<KlPenalty>, ParamError> {
        match self {
            Self::Llds(config) => config.base.kl_penalty(),
            Self::P3o(config) => config.kl_penalty(),
            _ => self.general().map_or(Ok(None), |general| general.kl_penalty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regularizer::{KlEstimator, KlPlace};

    #[test]
    fn every_name_builds_at_its_default_but_the_one_that_needs_a_length() {
        for name in ObjectiveSpec::NAMES {
            let spec = ObjectiveSpec::named(name).expect("listed");
            assert_eq!(spec.name(), *name);
            match (*name, spec.build(&())) {
                ("dr-grpo", built) => assert_eq!(
                    built.expect_err("refused").to_string(),
                    "`max_completion_length` = none: must be a number >= 1: the generation limit, which the loss \
                     divides by"
                ),
                (_, built) => assert!(built.is_ok(), "{name}"),
            }
        }
        assert_eq!(ObjectiveSpec::catalogue().len(), ObjectiveSpec::NAMES.len());
    }

    #[test]
    fn specs_survive_a_recipe() {
        for name in ObjectiveSpec::NAMES {
            let spec = ObjectiveSpec::named(name).expect("listed");
            let text = toml::to_string(&spec).expect("prints");
            assert_eq!(
                toml::from_str::<ObjectiveSpec>(&text).expect("parses"),
                spec,
                "{text}"
            );
        }
        let typo = toml::from_str::<ObjectiveSpec>("[grpo]\nepsilon_hi = 0.1")
            .expect_err("refused")
            .to_string();
        assert!(typo.contains("unknown field `epsilon_hi`"), "{typo}");
    }

    #[test]
    fn what_is_written_in_the_general_form_is_returned_as_written() {
        let config = PolicyGradientConfig {
            beta: 0.125,
            ..Default::default()
        };
        let spec = ObjectiveSpec::PolicyGradient(config.clone());
        assert_eq!(spec.general(), Some(config));
        let dialect = DialectConfig::default();
        assert_eq!(
            ObjectiveSpec::Dialect(dialect.clone()).general(),
            Some(dialect.resolve())
        );
        assert_eq!(ObjectiveSpec::named("gtpo").and_then(|spec| spec.general()), None);
    }

    #[test]
    fn only_disco_reads_rewards() {
        let names = ObjectiveSpec::NAMES.iter().copied();
        let reads = |name: &&str| ObjectiveSpec::named(name).is_some_and(|spec| spec.reads_rewards());
        assert_eq!(names.filter(reads).collect::<Vec<_>>(), ["disco", "disco-b"]);
    }

    #[test]
    fn only_rloo_and_p3o_take_their_penalty_off_the_reward() {
        for name in ObjectiveSpec::NAMES {
            let spec = ObjectiveSpec::named(name).expect("listed");
            let taken_off = ["rloo", "p3o"].contains(name);
            assert_eq!(spec.kl_penalty().expect("valid").is_some(), taken_off);
        }
        let rloo = ObjectiveSpec::named("rloo")
            .and_then(|spec| spec.general())
            .expect("general");
        assert_eq!(
            (rloo.beta, rloo.kl_estimator, rloo.kl_in),
            (0.05, KlEstimator::K1, KlPlace::Reward)
        );
        assert_eq!(rloo.kl_penalty(), KlPenalty::new(KlEstimator::K1, 0.05).map(Some));
    }
}
