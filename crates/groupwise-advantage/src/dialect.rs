//! What frameworks ship under the name "GRPO", with the numbers each of them computes.

use groupwise_core::{Centre, DataError, Offsets, ParamError, Spread};
use serde::{Deserialize, Serialize};

use crate::group_relative::{GroupRelative, GroupRelativeConfig, ScaleRewards, Singleton};

/// The default advantage settings of a framework's GRPO.
///
/// Advantages of the lone winner and of a loser for rewards `[1, 0, 0, 0, 0, 0, 0, 0]`, and of a group of one
/// with reward 1 (tested below, recomputed by [`table`]):
///
/// | dialect | centre | spread | eps | winner | loser | group of one |
/// |---|---|---|---|---|---|---|
/// | `house` | mean | sample | 1e-6 | 2.474867 | -0.353552 | 0 |
/// | `trl` | mean | sample | 1e-4 | 2.474174 | -0.353453 | 0 (never trained on) |
/// | `verl`, `skyrl` | mean | sample | 1e-6 | 2.474867 | -0.353552 | 0.999999 (the reward) |
/// | `slime`, `roll` | mean | sample | 1e-6 | 2.474867 | -0.353552 | 0 |
/// | `openrlhf` | mean | sample | 1e-9 | 2.474874 | -0.353553 | 0 |
/// | `open-instruct-standard` | mean | population | 1e-8 | 2.645751 | -0.377964 | 0 |
/// | `open-instruct`, `prime-rl`, `tinker` | mean | none | - | 0.875 | -0.125 | 0 |
/// | `nemo-rl` | leave-one-out | leave-one-out | 1e-6 | 1 | -0.377963 | 0 (own baseline) |
/// | `max-rl` | mean | mean | - | 7 | -1 | 0 |
///
/// `tests/golden/dialects.json` holds these numbers and others, worked out apart from this code.
///
/// # Edge cases
/// - OpenRLHF's formula gives NaN for a group of one; here it is 0.  Slime switches the division off for groups
///   of one, which leaves `r - r`.  ROLL's rule for groups of one was not established; 0 is an assumption.
/// - NeMo-RL's advantages do not sum to 0: its lone winner, whose others are all equal, is left undivided.
/// - AReaL's example (rewards rescaled, then normalized by the group and once more over the tokens of the batch)
///   is no setting of this block: it is the estimator `areal`.
/// - `max-rl` is prime-rl's alternative of that name, the estimator `max-rl` at its defaults.
/// - RLOO is the same everywhere (1 and -1/7 here): the estimator `rloo`.
///
/// # Source
/// Default settings read in the frameworks' repositories, July and August 2026: TRL `grpo_trainer.py`, verl
/// `core_algos.py`, SkyRL `ppo_utils.py`, slime's rollout post-processing, ROLL `functionals.py`, OpenRLHF
/// `group_norm`, open-instruct `grpo_utils` ("centered" is the default, "standard" the alternative), prime-rl
/// `algo/grpo.py`, Tinker cookbook `rl/data_processing.py`, NeMo-RL's example configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Ours: sample deviation, 1e-6, groups of one get 0.
    #[default]
    House,
    /// TRL: as ours with 1e-4.
    Trl,
    /// verl: groups of one are trained on their reward.
    Verl,
    /// SkyRL: as verl.
    #[serde(rename = "skyrl")]
    SkyRl,
    /// slime.
    Slime,
    /// ROLL.
    Roll,
    /// OpenRLHF's `group_norm`: 1e-9.
    #[serde(rename = "openrlhf", alias = "open-rlhf")]
    OpenRlhf,
    /// open-instruct's default, "centered": no division.
    OpenInstruct,
    /// open-instruct's "standard": population deviation, 1e-8.
    OpenInstructStandard,
    /// prime-rl: no division.
    PrimeRl,
    /// Tinker cookbook: no division.
    Tinker,
    /// NeMo-RL's example configuration: leave-one-out mean and deviation.
    NemoRl,
    /// prime-rl's `max_rl`: divided by the mean.
    MaxRl,
}

impl Dialect {
    /// Every dialect, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::House,
        Self::Trl,
        Self::Verl,
        Self::SkyRl,
        Self::Slime,
        Self::Roll,
        Self::OpenRlhf,
        Self::OpenInstruct,
        Self::OpenInstructStandard,
        Self::PrimeRl,
        Self::Tinker,
        Self::NemoRl,
        Self::MaxRl,
    ];

    /// Name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::House => "house",
            Self::Trl => "trl",
            Self::Verl => "verl",
            Self::SkyRl => "skyrl",
            Self::Slime => "slime",
            Self::Roll => "roll",
            Self::OpenRlhf => "openrlhf",
            Self::OpenInstruct => "open-instruct",
            Self::OpenInstructStandard => "open-instruct-standard",
            Self::PrimeRl => "prime-rl",
            Self::Tinker => "tinker",
            Self::NemoRl => "nemo-rl",
            Self::MaxRl => "max-rl",
        }
    }

    /// Settings of the group-relative block under this dialect.
    pub fn settings(self) -> GroupRelativeConfig {
        let house = GroupRelativeConfig::default();
        match self {
            Self::House | Self::Slime | Self::Roll => house,
            Self::Trl => GroupRelativeConfig { eps: 1e-4, ..house },
            Self::Verl | Self::SkyRl => GroupRelativeConfig {
                singleton: Singleton::Raw,
                ..house
            },
            Self::OpenRlhf => GroupRelativeConfig { eps: 1e-9, ..house },
            Self::OpenInstructStandard => GroupRelativeConfig {
                spread: Spread::Population,
                eps: 1e-8,
                ..house
            },
            Self::OpenInstruct | Self::PrimeRl | Self::Tinker => GroupRelativeConfig {
                scale_rewards: ScaleRewards::None,
                ..house
            },
            Self::NemoRl => GroupRelativeConfig {
                centre: Centre::LeaveOneOut,
                spread: Spread::LeaveOneOut,
                singleton: Singleton::OwnBaseline,
                ..house
            },
            Self::MaxRl => GroupRelativeConfig {
                spread: Spread::Mean,
                eps: 0.0,
                ..house
            },
        }
    }
}

/// What a dialect computes on the table's inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DialectRow {
    /// The dialect.
    pub dialect: Dialect,
    /// Advantage of the one member of eight with reward 1.
    pub winner: f64,
    /// Advantage of each of the seven with reward 0.
    pub loser: f64,
    /// Advantage of a group of one with reward 1.
    pub singleton: f64,
}

/// Error of [`table`]: settings of a dialect that the block refuses, or data it refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TableError {
    /// Settings refused.
    #[error(transparent)]
    Settings(#[from] ParamError),
    /// Data refused.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// The table of [`Dialect`], computed.
///
/// # Errors
/// None for the dialects listed; the type says what could go wrong with a new row.
pub fn table() -> Result<Vec<DialectRow>, TableError> {
    let mut rewards = vec![Some(0.0); 9];
    rewards[0] = Some(1.0);
    rewards[8] = Some(1.0);
    let groups = Offsets::from_lengths([8, 1]);
    Dialect::ALL
        .iter()
        .map(|dialect| {
            let a = GroupRelative::new(dialect.settings())?.advantages(groups.spans(), &rewards)?;
            Ok(DialectRow {
                dialect: *dialect,
                winner: a[0],
                loser: a[1],
                singleton: a[8],
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (name in recipes, winner, loser, group of one), worked out by hand from the frameworks' formulas:
    /// deviation^2 of the winner 49/64, of a loser 1/64, sum 56/64; sample variance 1/8, population 7/64.
    fn expected() -> [(&'static str, f64, f64, f64); 13] {
        let sample = 0.125_f64.sqrt();
        let row = |name, eps: f64, lone| (name, 0.875 / (sample + eps), -0.125 / (sample + eps), lone);
        let raw = 1.0 / (1.0 + 1e-6);
        let population = (7.0_f64 / 64.0).sqrt() + 1e-8;
        // A loser's others: one winner and six losers, mean 1/7, sum of squares 6/7, sample variance 1/7.
        let others = (1.0_f64 / 7.0).sqrt() + 1e-6;
        [
            row("house", 1e-6, 0.0),
            row("trl", 1e-4, 0.0),
            row("verl", 1e-6, raw),
            row("skyrl", 1e-6, raw),
            row("slime", 1e-6, 0.0),
            row("roll", 1e-6, 0.0),
            row("openrlhf", 1e-9, 0.0),
            ("open-instruct", 0.875, -0.125, 0.0),
            (
                "open-instruct-standard",
                0.875 / population,
                -0.125 / population,
                0.0,
            ),
            ("prime-rl", 0.875, -0.125, 0.0),
            ("tinker", 0.875, -0.125, 0.0),
            ("nemo-rl", 1.0, -1.0 / 7.0 / others, 0.0),
            ("max-rl", 7.0, -1.0, 0.0),
        ]
    }

    #[test]
    fn every_dialect_computes_its_framework_s_numbers() {
        for (row, (name, winner, loser, lone)) in table().unwrap().iter().zip(expected()) {
            assert_eq!(serde_json::to_value(row.dialect).unwrap(), name);
            assert_eq!(row.dialect.name(), name);
            assert!((row.winner - winner).abs() < 1e-12, "{name}: {}", row.winner);
            assert!((row.loser - loser).abs() < 1e-12, "{name}: {}", row.loser);
            assert!((row.singleton - lone).abs() < 1e-12, "{name}: {}", row.singleton);
        }
    }

    #[test]
    fn the_printed_figures_are_the_computed_ones() {
        // Rounded to the five digits of the survey that the dialects were read for.
        let figures = |d: Dialect| {
            let row = table().unwrap().into_iter().find(|r| r.dialect == d).unwrap();
            (format!("{:.5}", row.winner), format!("{:.5}", row.loser))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(figures(Dialect::Trl), pair("2.47417", "-0.35345"));
        assert_eq!(figures(Dialect::Verl), pair("2.47487", "-0.35355"));
        assert_eq!(figures(Dialect::OpenRlhf), pair("2.47487", "-0.35355"));
        assert_eq!(
            figures(Dialect::OpenInstructStandard),
            pair("2.64575", "-0.37796")
        );
        assert_eq!(figures(Dialect::PrimeRl), pair("0.87500", "-0.12500"));
        assert_eq!(figures(Dialect::NemoRl), pair("1.00000", "-0.37796"));
        assert_eq!(figures(Dialect::MaxRl), pair("7.00000", "-1.00000"));
    }

    #[test]
    fn the_settings_carry_the_rule_for_groups_of_one_by_its_own_name() {
        assert_eq!(Dialect::NemoRl.settings().singleton, Singleton::OwnBaseline);
        assert_eq!(Dialect::Verl.settings().singleton, Singleton::Raw);
        assert_eq!(Dialect::House.settings().singleton, Singleton::Zero);
    }

    #[test]
    fn the_older_spelling_of_openrlhf_is_read() {
        let old: Dialect = serde_json::from_str(r#""open-rlhf""#).unwrap();
        assert_eq!(old, Dialect::OpenRlhf);
    }

    #[test]
    fn only_leave_one_out_spreads_do_not_sum_to_zero() {
        for row in table().unwrap() {
            let sum = row.winner + 7.0 * row.loser;
            if row.dialect == Dialect::NemoRl {
                assert!((sum + 1.646).abs() < 1e-3);
            } else {
                assert!(sum.abs() < 1e-12);
            }
        }
    }
}
