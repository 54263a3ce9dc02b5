//! Scaf-GRPO: a success under hints, put into a group that failed.

use groupwise_core::seams::{GroupRepair, Placement, Rendered, Repair, RolledGroup, Substitute};
use groupwise_core::{DataError, Key, ParamError, Part, Task};
use serde::{Deserialize, Serialize};

use super::RepairContext;
use crate::group_repair::{ReplaceIndex, repair};
use crate::hint_prefix::{HintUnit, first_units, unit_ends};
use crate::hint_tiers::{ScafGrpo, ScafGrpoConfig};

/// Where hints come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HintSource {
    /// Column `hints` of the task: a list of `tiers` lists of `chunks` texts, put before the prompt, a line each.
    #[default]
    Column,
    /// The reference: level v gives away its first v characters, words or lines, never the last.
    Reference(HintUnit),
}

/// Order in which levels are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HintOrder {
    /// From the weakest hint on, as the paper.
    #[default]
    WeakestFirst,
    /// From the strongest on: an ablation.
    StrongestFirst,
}

/// One hinted rollout per level until one succeeds; it replaces a member of a group in which all failed.
///
/// # Formula
/// At step t of T: if `t > floor(exemption T)` and `max_i r_i <= 0`, roll out once under levels `1, 2, ..` until one
/// has a score above 0; that one takes the place of a failed member.
///
/// # Shapes
/// `exemption` is a share of the run's steps; there are `tiers * chunks` levels, or one per unit of the reference but
/// the last, if that is fewer.
///
/// # Edge cases
/// - No level succeeds: the group stays as it is.
/// - Every level that was tried is billed as a hint rollout.
/// - Level (u, c) shows the first c chunks of tier u only, not the tiers before it: so the authors' code.
/// - A reference of one unit has nothing to give away: no search.
/// - Prompt and hint stay together for old, current and reference log-probabilities.
///
/// # Errors
/// `exemption` outside [0, 1), no tiers or chunks, when built; a task whose column `hints` is missing or has other
/// numbers of tiers or chunks.
///
/// # Source
/// Scaf-GRPO, arXiv 2510.19807, sections 3.1 and 3.2; JIA-Lab-research/Scaf-GRPO @ac9f99ef rolls out all levels at once
/// and takes the lowest that succeeded: the same outcome at other cost.
///
/// # Example
/// ```
/// use groupwise_sampler::RepairSpec;
/// let spec: RepairSpec = serde_json::from_str(r#"{"scaf-grpo": {"exemption": 0.0, "hints": {"reference": "word"}}}"#)?;
/// assert_eq!(spec.name(), "scaf-grpo");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScafGrpoRepairConfig {
    /// Share of the steps without hints, in [0, 1).
    pub exemption: f64,
    /// Tiers of hints, >= 1.
    pub tiers: usize,
    /// Chunks per tier, >= 1.
    pub chunks: usize,
    /// Which failed member gives way.
    pub replace_index: ReplaceIndex,
    /// Where hints come from.
    pub hints: HintSource,
    /// Order of the levels.
    pub order: HintOrder,
}

impl Default for ScafGrpoRepairConfig {
    fn default() -> Self {
        let ScafGrpoConfig {
            exemption,
            tiers,
            chunks,
            replace_index,
        } = ScafGrpoConfig::default();
        Self {
            exemption,
            tiers,
            chunks,
            replace_index,
            hints: HintSource::default(),
            order: HintOrder::default(),
        }
    }
}

impl ScafGrpoRepairConfig {
    fn tiers(&self) -> ScafGrpoConfig {
        ScafGrpoConfig {
            exemption: self.exemption,
            tiers: self.tiers,
            chunks: self.chunks,
            replace_index: self.replace_index,
        }
    }
}

impl Part<dyn GroupRepair, RepairContext> for ScafGrpoRepairConfig {
    const SOURCE: &'static str =
        "arXiv 2510.19807 (Scaf-GRPO), sections 3.1 and 3.2; JIA-Lab-research/Scaf-GRPO @ac9f99ef";

    fn formula(&self) -> String {
        let member = match self.replace_index {
            ReplaceIndex::First => "the first",
            ReplaceIndex::Random => "a random",
        };
        let order = match self.order {
            HintOrder::WeakestFirst => "weakest first",
            HintOrder::StrongestFirst => "strongest first",
        };
        format!(
            "t > floor({} T) and max_i r_i <= 0: the first success of {} hint levels, {order}, replaces {member} failed member",
            self.exemption,
            self.tiers * self.chunks
        )
    }

    fn build(&self, context: &RepairContext) -> Result<Box<dyn GroupRepair>, ParamError> {
        let rule = ScafGrpo::new(&self.tiers())?;
        Ok(Box::new(Search {
            exempt: rule.exemption_steps(context.steps),
            rule,
            config: self.clone(),
        }))
    }
}

#[derive(Debug)]
struct Search {
    rule: ScafGrpo,
    exempt: u64,
    config: ScafGrpoRepairConfig,
}

impl Search {
    fn levels(&self, task: &Task) -> Result<Vec<Rendered>, DataError> {
        let mut levels: Vec<Rendered> = match self.config.hints {
            HintSource::Column => {
                let tiers = column(task)?;
                let of_task = |e: DataError| DataError::value(format!("task {}", task.id), e.to_string());
                let levels = self.rule.levels(&tiers).map_err(of_task)?;
                levels
                    .iter()
                    .map(|level| hinted(format!("{}\n", level.shown.join("\n")), String::new()))
                    .collect()
            }
            HintSource::Reference(unit) => {
                let ends = unit_ends(&task.reference, unit);
                let n_levels = self.rule.n_levels().min(ends.len().saturating_sub(1));
                (1..=n_levels)
                    .map(|v| hinted(String::new(), first_units(&task.reference, &ends, v).to_owned()))
                    .collect()
            }
        };
        if self.config.order == HintOrder::StrongestFirst {
            levels.reverse();
        }
        Ok(levels)
    }

    fn one(&self, step: u64, group: &RolledGroup<'_>, uniform: f64) -> Result<Option<Repair>, DataError> {
        let rewards = &group.outcome.rewards;
        if rewards.is_empty() || !self.rule.triggers(step, self.exempt, rewards)? {
            return Ok(None);
        }
        let levels = self.levels(group.task)?;
        if levels.is_empty() {
            return Ok(None);
        }
        let replaced = repair(rewards, 1.0, self.config.replace_index, uniform)?.replaced;
        Ok(Some(Repair {
            placement: Placement::Replace(replaced),
            substitute: Substitute::Search(levels),
        }))
    }
}

fn hinted(prefix: String, forced_answer: String) -> Rendered {
    Rendered {
        prefix,
        forced_answer,
        hinted: true,
        shared: None,
    }
}

/// Tiers of hint texts as they stand in the task.
fn column(task: &Task) -> Result<Vec<Vec<String>>, DataError> {
    let refused = |what: &str| Err(DataError::value(format!("task {}", task.id), what));
    match task.columns.get("hints") {
        None => refused("has no column `hints`"),
        Some(value) => Vec::<Vec<String>>::deserialize(value)
            .or_else(|e| refused(&format!("column `hints` is no list of lists of texts: {e}"))),
    }
}

impl GroupRepair for Search {
    fn repair(
        &mut self,
        step: u64,
        groups: &[RolledGroup<'_>],
        key: Key,
    ) -> Result<Vec<Option<Repair>>, DataError> {
        let place = |g: u64, task: &Task| key.task(task.key()).named("replaced", g).uniform();
        (0..)
            .zip(groups)
            .map(|(g, group)| self.one(step, group, place(g, group.task)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::put;
    use super::*;

    const FAILED: &[Option<f64>] = &[None, Some(0.0), Some(0.0)];

    fn built(config: &ScafGrpoRepairConfig, steps: u64) -> Box<dyn GroupRepair> {
        config.build(&RepairContext { steps }).unwrap()
    }

    fn by_words() -> ScafGrpoRepairConfig {
        ScafGrpoRepairConfig {
            hints: HintSource::Reference(HintUnit::Word),
            ..ScafGrpoRepairConfig::default()
        }
    }

    /// Prefix and forced answer of each level.
    fn levels(repair: &Option<Repair>) -> Vec<(String, String)> {
        match repair {
            Some(Repair {
                substitute: Substitute::Search(levels),
                ..
            }) => {
                assert!(levels.iter().all(|l| l.hinted));
                levels
                    .iter()
                    .map(|l| (l.prefix.clone(), l.forced_answer.clone()))
                    .collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_reference_gives_away_ever_more_but_never_all() {
        let task = Task::new("t", "?", "a b c");
        let mut repair = built(&by_words(), 0);
        let repairs = put(repair.as_mut(), 1, &[(&task, FAILED)]).unwrap();
        let words = |texts: [&str; 2]| texts.map(|t| (String::new(), t.to_owned())).to_vec();
        assert_eq!(levels(&repairs[0]), words(["a ", "a b "]));
        assert_eq!(repairs[0].as_ref().unwrap().placement, Placement::Replace(1));
        let strong = ScafGrpoRepairConfig {
            order: HintOrder::StrongestFirst,
            ..by_words()
        };
        let repairs = put(built(&strong, 0).as_mut(), 1, &[(&task, FAILED)]).unwrap();
        assert_eq!(levels(&repairs[0]), words(["a b ", "a "]));
        let few = ScafGrpoRepairConfig {
            tiers: 1,
            chunks: 1,
            ..by_words()
        };
        let repairs = put(built(&few, 0).as_mut(), 1, &[(&task, FAILED)]).unwrap();
        assert_eq!(levels(&repairs[0]), words(["a ", "a b "])[..1]);
        let short = Task::new("t", "?", "a");
        assert_eq!(put(repair.as_mut(), 1, &[(&short, FAILED)]).unwrap(), [None]);
    }

    #[test]
    fn a_level_shows_its_own_tier_only() {
        let mut task = Task::new("t", "?", "");
        task.columns
            .insert("hints".into(), json!([["k1", "k2"], ["s1", "s2"]]));
        let config = ScafGrpoRepairConfig {
            tiers: 2,
            chunks: 2,
            ..ScafGrpoRepairConfig::default()
        };
        let repairs = put(built(&config, 0).as_mut(), 1, &[(&task, FAILED)]).unwrap();
        let shown = ["k1\n", "k1\nk2\n", "s1\n", "s1\ns2\n"].map(|t| (t.to_owned(), String::new()));
        assert_eq!(levels(&repairs[0]), shown);
        let refused = |task: &Task| {
            let put = put(built(&config, 0).as_mut(), 1, &[(task, FAILED)]);
            put.unwrap_err().to_string()
        };
        assert_eq!(refused(&Task::new("t", "?", "")), "task t: has no column `hints`");
        task.columns.insert("hints".into(), json!([["k1", "k2"]]));
        assert_eq!(refused(&task), "task t: `tiers` has 1 entries, expected 2");
        task.columns.insert("hints".into(), json!("no"));
        assert!(refused(&task).starts_with("task t: column `hints` is no list of lists of texts: "));
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let refused = |config: ScafGrpoRepairConfig| {
            let built = config.build(&RepairContext { steps: 9 });
            built.map(|_| ()).unwrap_err().to_string()
        };
        let exemption = ScafGrpoRepairConfig {
            exemption: 1.0,
            ..by_words()
        };
        assert_eq!(refused(exemption), "`exemption` = 1: must be in [0, 1)");
        assert_eq!(
            refused(ScafGrpoRepairConfig {
                tiers: 0,
                ..by_words()
            }),
            "`tiers` = 0: must be >= 1"
        );
        assert_eq!(
            refused(ScafGrpoRepairConfig {
                chunks: 0,
                ..by_words()
            }),
            "`chunks` = 0: must be >= 1"
        );
    }

    proptest! {
        #[test]
        fn hints_wait_for_the_end_of_the_exemption_and_for_a_failed_group(
            exemption in 0.0f64..0.99,
            steps in 1u64..200,
            step in 1u64..200,
            scores in prop::collection::vec(prop::option::of(prop::sample::select(vec![0.0, 0.5])), 0..5),
        ) {
            let task = Task::new("t", "?", "a b");
            let random = ScafGrpoRepairConfig { exemption, replace_index: ReplaceIndex::Random, ..by_words() };
            let repairs = put(built(&random, steps).as_mut(), step, &[(&task, &scores)]).unwrap();
            let failed = scores.contains(&Some(0.0)) && !scores.contains(&Some(0.5));
            prop_assert_eq!(repairs[0].is_some(), failed && step > (exemption * steps as f64) as u64);
            if let Some(Repair { placement: Placement::Replace(i), .. }) = &repairs[0] {
                prop_assert_eq!(scores[*i], Some(0.0));
            }
        }
    }
}
