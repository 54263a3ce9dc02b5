//! The result of a paper's miniature reproduction: small, machine-readable, kept beside the recipe.
//!
//! A result names the recipe it belongs to by its fingerprint, so that a recipe that has changed since is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::claim::{ClaimVerdict, Direction};
use crate::error::ReportError;
use crate::format::{count, duration, signed, value};
use crate::read::CellState;
use crate::say::{bracket, interval_decimals};
use crate::summary::{Estimate, Measure, Summary};
use crate::write::replace;

/// Version of a stored result.
pub const REPRODUCTION_VERSION: u32 = 1;

/// What a reproduction found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reproduction {
    /// [`REPRODUCTION_VERSION`].
    pub format: u32,
    /// Name of the recipe.
    pub name: String,
    /// Fingerprint of the resolved recipe that was run.
    pub recipe: String,
    /// Version of the numerics of the program that ran it.
    pub numerics: u32,
    /// Seeds of every arm.
    pub seeds: Vec<u64>,
    /// Primary metric.
    pub metric: String,
    /// The claims with what was found, in the order of the recipe.
    pub claims: Vec<JudgedClaim>,
    /// The arms, in the order of the recipe.
    pub arms: Vec<ArmResult>,
    /// What all runs together cost.
    pub cost: Cost,
}

/// A claim with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedClaim {
    /// In words.
    pub text: String,
    /// Metric with its measure.
    pub metric: String,
    /// Arm.
    pub arm: String,
    /// What it is compared with.
    pub control: String,
    /// Which way the effect goes.
    pub direction: Direction,
    /// Least effect that counts, or margin.
    pub least_effect: f64,
    /// Mean paired difference, arm minus control.
    pub effect: Option<f64>,
    /// Its interval at 95%.
    pub interval: Option<(f64, f64)>,
    /// Seeds that both arms finished.
    pub n_seeds: usize,
    /// The verdict.
    pub verdict: ClaimVerdict,
}

/// Levels of the primary metric of an arm, means over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmResult {
    /// Name.
    pub name: String,
    /// Mean over the common budget of rollouts.
    pub area: Level,
    /// Value at the common budget of rollouts.
    pub at_equal_rollouts: Level,
    /// Share of billed rollouts in groups that entered an update with mixed reward.
    pub effective: Option<f64>,
    /// Rollouts billed to one run.
    pub rollouts: Option<f64>,
    /// Policy tokens billed to one run.
    pub tokens: Option<f64>,
}

/// A mean over seeds with its interval at 95%.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Mean; `None` without values.
    pub mean: Option<f64>,
    /// Interval; `None` below two values.
    pub interval: Option<(f64, f64)>,
}

/// What runs cost.  Runs that arms share count once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Runs.
    pub runs: u64,
    /// Rollouts billed, all kinds.
    pub rollouts: u64,
    /// Policy tokens billed, all kinds.
    pub tokens: u64,
    /// Wall time of the training steps, summed over runs, in seconds; differs from machine to machine.
    pub seconds: f64,
}

/// How a result stands to the recipe as it is now.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// There is no result.
    NotRun,
    /// The recipe has changed since.
    OutOfDate(Reproduction),
    /// The result is that of the recipe.
    Current(Reproduction),
}

impl Reproduction {
    /// Takes the result from the report of a finished ablation.
    ///
    /// # Errors
    /// A cell that has not finished: a verdict on some of the seeds would not be the recipe's.
    pub fn new(summary: &Summary, recipe: String, numerics: u32) -> Result<Self, ReportError> {
        let unfinished = summary
            .cells
            .iter()
            .filter(|c| c.state != CellState::Finished)
            .count();
        if unfinished > 0 {
            return Err(ReportError::Unfinished {
                name: summary.name.clone(),
                cells: unfinished,
            });
        }
        let claims = summary.claims.iter().map(|found| JudgedClaim {
            text: found.claim.text.clone(),
            metric: found.claim.metric.clone(),
            arm: found.claim.arm.clone(),
            control: found.claim.control.clone(),
            direction: found.claim.direction,
            least_effect: found.claim.least_effect,
            effect: found.effect,
            interval: found.interval,
            n_seeds: found.n_seeds,
            verdict: found.verdict,
        });
        let level = |found: Option<&BTreeMap<Measure, Estimate>>, measure: Measure| {
            let estimate = found.and_then(|m| m.get(&measure));
            estimate.map_or_else(Level::default, |e| Level {
                mean: e.mean,
                interval: e.interval,
            })
        };
        let arms = summary.arms.iter().map(|arm| {
            let metric = arm.metrics.get(&summary.metric);
            ArmResult {
                name: arm.name.clone(),
                area: level(metric, Measure::AreaRollouts),
                at_equal_rollouts: level(metric, Measure::AtRollouts),
                effective: arm.effective.mean,
                rollouts: arm.rollouts.mean,
                tokens: arm.tokens.mean,
            }
        });
        Ok(Self {
            format: REPRODUCTION_VERSION,
            name: summary.name.clone(),
            recipe,
            numerics,
            seeds: summary.seeds.clone(),
            metric: summary.metric.clone(),
            claims: claims.collect(),
            arms: arms.collect(),
            cost: cost(summary),
        })
    }

    /// Where the result of a recipe lies: `results/<name>.json` beside it.
    pub fn path(recipe: &Path) -> PathBuf {
        let name = recipe.file_stem().unwrap_or_default().to_string_lossy();
        let folder = recipe.parent().unwrap_or(Path::new(""));
        folder.join("results").join(format!("{name}.json"))
    }

    /// Writes the result, whole or not at all.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| ReportError::Io {
                action: "create",
                path: folder.to_owned(),
                source,
            })?;
        }
        let json = serde_json::to_string_pretty(self).map_err(|e| content(path, e.to_string()))?;
        replace(path, &(json + "\n"))
    }

    /// Reads the result of a recipe and compares it with the recipe's fingerprint.
    ///
    /// # Errors
    /// A file that cannot be read, is no result, or is of a newer version.
    pub fn find(recipe: &Path, fingerprint: &str) -> Result<Standing, ReportError> {
        let path = Self::path(recipe);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Standing::NotRun),
            Err(source) => {
                return Err(ReportError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let found: Self = serde_json::from_str(&text).map_err(|e| content(&path, e.to_string()))?;
        if found.format > REPRODUCTION_VERSION {
            return Err(content(
                &path,
                format!("version {} is newer than this program", found.format),
            ));
        }
        if found.recipe == fingerprint {
            Ok(Standing::Current(found))
        } else {
            Ok(Standing::OutOfDate(found))
        }
    }

    /// The verdicts as a table for a terminal.
    pub fn render_text(&self) -> String {
        let widest = self.claims.iter().map(|c| c.numbers().len()).max().unwrap_or(0);
        let mut table = String::new();
        for claim in &self.claims {
            table.push_str(&format!(
                "{:<13}  {:>widest$}  {} seeds  {} ({})\n",
                claim.verdict.words(),
                claim.numbers(),
                claim.n_seeds,
                claim.text,
                claim.condition()
            ));
        }
        format!("{}: {}\n{table}", self.name, self.cost.words())
    }
}

impl JudgedClaim {
    /// `+0.041 [0.012, 0.070]`, or a dash without a common seed.
    pub fn numbers(&self) -> String {
        match (self.effect, self.interval) {
            (Some(effect), Some((low, high))) => {
                let d = interval_decimals(effect, low, high);
                format!("{} {}", signed(effect, d), bracket(low, high, d))
            }
            (Some(effect), None) => format!("{}{}", if effect < 0.0 { "" } else { "+" }, value(effect)),
            (None, _) => "-".to_owned(),
        }
    }

    /// What must come out for the claim to hold, in words.
    pub fn condition(&self) -> String {
        condition(
            &self.arm,
            &self.control,
            &self.metric,
            self.direction,
            self.least_effect,
        )
    }
}

/// What must come out for a claim to hold, in words: `vade - uniform, area:eval/success: at least +0.03`.
///
/// # Example
/// ```
/// use groupwise_report::claim::Direction;
/// use groupwise_report::reproduction::condition;
/// let text = condition("vade", "uniform", "area:eval/success", Direction::Higher, 0.03);
/// assert_eq!(text, "vade - uniform, area:eval/success: at least +0.03");
/// ```
pub fn condition(arm: &str, control: &str, metric: &str, direction: Direction, least_effect: f64) -> String {
    let bound = match (direction, least_effect == 0.0) {
        (Direction::Higher, true) => "above 0".to_owned(),
        (Direction::Lower, true) => "below 0".to_owned(),
        (Direction::Higher, false) => format!("at least +{least_effect}"),
        (Direction::Lower, false) => format!("at most -{least_effect}"),
        (Direction::NotLower, _) => format!("above -{least_effect}"),
        (Direction::Equal, _) => format!("within -{least_effect} and +{least_effect}"),
    };
    format!("{arm} - {control}, {metric}: {bound}")
}

impl Level {
    /// `0.612 [0.580, 0.644]`, or a dash.
    pub fn words(&self) -> String {
        match (self.mean, self.interval) {
            (Some(mean), Some((low, high))) => {
                let d = interval_decimals(mean, low, high);
                format!("{} {}", crate::format::fixed(mean, d), bracket(low, high, d))
            }
            (mean, _) => crate::format::maybe(mean),
        }
    }
}

impl Cost {
    /// `60 runs, 2,304,000 rollouts, 10,368,000 tokens, 41 s`.
    pub fn words(&self) -> String {
        format!(
            "{} runs, {} rollouts, {} tokens, {}",
            self.runs,
            count(self.rollouts as f64),
            count(self.tokens as f64),
            duration(self.seconds)
        )
    }
}

fn cost(summary: &Summary) -> Cost {
    let mut seen = BTreeSet::new();
    let mut cost = Cost::default();
    for cell in summary.cells.iter().filter(|c| seen.insert(c.run.as_str())) {
        cost.runs += 1;
        cost.rollouts += cell.rollouts;
        cost.tokens += cell.tokens;
        cost.seconds += cell.seconds.unwrap_or(0.0);
    }
    // Tenths are all that a wall time means.
    cost.seconds = (cost.seconds * 10.0).round() / 10.0;
    cost
}

fn content(path: &Path, message: String) -> ReportError {
    ReportError::Content {
        path: path.to_owned(),
        message,
    }
}
