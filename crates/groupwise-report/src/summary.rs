//! The numbers of a report; `report.json` is this, serialized.
//!
//! Only finished cells are compared.  Arms are compared by paired differences on the seeds that both finished, at
//! equal budget: every curve is cut at the largest cost that all finished cells reached, interpolated, never
//! extrapolated.  P-values are adjusted by Holm over the arms, separately for each metric and measure.

use std::collections::BTreeMap;

use groupwise_core::event::BillKind;
use groupwise_stats::{PairedComparison, mean, student_t_interval};
use serde::{Deserialize, Serialize};

use crate::claim::ClaimSummary;
use crate::collect::Numbers;
use crate::figures::Figures;
use crate::read::CellState;
use crate::recipe::RecipeDifference;

/// Version of `report.json`.
pub const REPORT_VERSION: u32 = 3;

/// Nominal coverage of all intervals of a report.
pub const CONFIDENCE: f64 = 0.95;

/// How a run's curve becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Value at the common budget of rollouts.
    AtRollouts,
    /// Mean over the common budget of rollouts: area under the curve divided by its width.
    AreaRollouts,
    /// Value at the common budget of tokens.
    AtTokens,
    /// Mean over the common budget of tokens.
    AreaTokens,
    /// Last value, whatever it cost.
    Final,
    /// Value at the common number of training steps, whatever it cost.
    AtSteps,
    /// Mean over the common training steps, whatever they cost.
    AreaSteps,
    /// Mean of a figure of training steps over all steps.
    StepMean,
    /// The same over the second half of the steps, a middle one included.
    StepLate,
    /// A figure of the whole run: `effective`, `coverage`, `rollouts`, `tokens`, `tokens-per-solved`, `brier` or
    /// `rank-correlation`.
    Run,
}

impl Measure {
    /// Those of evaluated metrics, in the order of a report.
    pub const OF_EVALUATIONS: [Self; 5] = [
        Self::AtRollouts,
        Self::AreaRollouts,
        Self::AtTokens,
        Self::AreaTokens,
        Self::Final,
    ];

    /// In words, to follow the name of a metric.
    pub fn words(self) -> &'static str {
        match self {
            Self::AtRollouts => "at equal rollouts",
            Self::AreaRollouts => "mean over rollouts (area under the curve)",
            Self::AtTokens => "at equal tokens",
            Self::AreaTokens => "mean over tokens (area under the curve)",
            Self::Final => "last evaluation, unequal cost",
            Self::AtSteps => "at equal steps, unequal cost",
            Self::AreaSteps => "mean over steps (area under the curve), unequal cost",
            Self::StepMean => "mean over training steps",
            Self::StepLate => "mean over the second half of the training steps",
            Self::Run => "of the whole run",
        }
    }

    /// Measure and metric of a name such as `area:eval/success`.
    ///
    /// `final:` or nothing: [`Measure::AtRollouts`]; `area:`: [`Measure::AreaRollouts`]; `final-tokens:` and
    /// `area-tokens:` the same against tokens; `final-steps:` and `area-steps:` against training steps, which charge nothing
    /// for rollouts outside of training batches; `last:`: [`Measure::Final`].  Of training: `mean:` and `late:` are
    /// [`Measure::StepMean`] and [`Measure::StepLate`] of a figure of step events; `run:` is [`Measure::Run`], with
    /// `effective` the share of billed rollouts in groups that entered an update with mixed reward, `coverage` the share of
    /// the pool that entered one, `tokens-per-solved` the tokens billed per task that any paid rollout solved, `brier` and
    /// `rank-correlation` as in [`CalibrationSummary`].
    ///
    /// # Example
    /// ```
    /// use groupwise_report::summary::Measure;
    /// assert_eq!(Measure::parse("area:eval/success"), (Measure::AreaRollouts, "eval/success"));
    /// assert_eq!(Measure::parse("eval/success"), (Measure::AtRollouts, "eval/success"));
    /// ```
    pub fn parse(name: &str) -> (Self, &str) {
        let prefixes = [
            ("final:", Self::AtRollouts),
            ("area:", Self::AreaRollouts),
            ("final-tokens:", Self::AtTokens),
            ("area-tokens:", Self::AreaTokens),
            ("final-steps:", Self::AtSteps),
            ("area-steps:", Self::AreaSteps),
            ("last:", Self::Final),
            ("mean:", Self::StepMean),
            ("late:", Self::StepLate),
            ("run:", Self::Run),
        ];
        let found = prefixes
            .into_iter()
            .find_map(|(prefix, m)| Some((m, name.strip_prefix(prefix)?)));
        found.unwrap_or((Self::AtRollouts, name))
    }

    /// In few words, for a table's head.
    pub fn short(self) -> &'static str {
        match self {
            Self::AtRollouts => "at equal rollouts",
            Self::AreaRollouts => "area, rollouts",
            Self::AtTokens => "at equal tokens",
            Self::AreaTokens => "area, tokens",
            Self::Final => "last",
            Self::AtSteps => "at equal steps",
            Self::AreaSteps => "area, steps",
            Self::StepMean => "steps",
            Self::StepLate => "late steps",
            Self::Run => "run",
        }
    }

    /// True for measures against tokens.
    pub fn is_by_tokens(self) -> bool {
        matches!(self, Self::AtTokens | Self::AreaTokens)
    }

    pub(crate) fn of(self, numbers: &Numbers, metric: &str, budget: &Budget) -> Option<f64> {
        let curves = || numbers.metrics.get(metric);
        match self {
            Self::Final => Some(curves()?.by_rollouts.last()),
            Self::AtRollouts => curves()?.by_rollouts.value_at(budget.rollouts?.1),
            Self::AtTokens => curves()?.by_tokens.value_at(budget.tokens?.1),
            Self::AreaRollouts => {
                let (a, b) = budget.rollouts?;
                curves()?.by_rollouts.mean_height(a, b)
            }
            Self::AreaTokens => {
                let (a, b) = budget.tokens?;
                curves()?.by_tokens.mean_height(a, b)
            }
            Self::AtSteps => curves()?.by_steps.value_at(budget.steps?.1),
            Self::AreaSteps => {
                let (a, b) = budget.steps?;
                curves()?.by_steps.mean_height(a, b)
            }
            Self::StepMean => numbers.step_mean(metric, 0),
            Self::StepLate => numbers.step_mean(metric, numbers.steps_done / 2),
            Self::Run => match metric {
                "effective" => numbers.effective,
                "coverage" => numbers.coverage,
                "tokens-per-solved" => numbers.tokens_per_solved,
                "brier" => numbers.calibration.brier,
                "rank-correlation" => numbers.calibration.rank_outcome,
                "rollouts" => Some(numbers.rollouts as f64),
                "tokens" => Some(numbers.tokens as f64),
                _ => None,
            },
        }
    }
}

/// Range of costs that all compared runs cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Rollouts, from and to; `None` if the runs have no range in common.
    pub rollouts: Option<(f64, f64)>,
    /// Tokens, from and to.
    pub tokens: Option<(f64, f64)>,
    /// Training steps, from and to.
    pub steps: Option<(f64, f64)>,
}

/// Mean over seeds with an interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// One value per seed that has one, in the order of seeds.
    pub values: Vec<f64>,
    /// Mean; `None` without values.
    pub mean: Option<f64>,
    /// Student-t interval at 95%; `None` below two values.
    pub interval: Option<(f64, f64)>,
}

impl Estimate {
    pub(crate) fn new(values: Vec<f64>) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        Self {
            mean: (!values.is_empty()).then(|| mean(&values)),
            interval: student_t_interval(&values, CONFIDENCE)
                .ok()
                .map(|i| (i.low, i.high)),
            values,
        }
    }
}

/// One arm over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// Name.
    pub name: String,
    /// Seeds that entered.
    pub seeds: Vec<u64>,
    /// Metric, then measure.
    pub metrics: BTreeMap<String, BTreeMap<Measure, Estimate>>,
    /// Rollouts billed, all kinds.
    pub rollouts: Estimate,
    /// Policy tokens billed, all kinds.
    pub tokens: Estimate,
    /// Rollouts by kind, mean over seeds.
    pub rollouts_by_kind: BTreeMap<BillKind, f64>,
    /// Tokens by kind, mean over seeds.
    pub tokens_by_kind: BTreeMap<BillKind, f64>,
    /// Share of billed rollouts in groups that entered an update with mixed reward.
    pub effective: Estimate,
    /// Share of the pool that entered an update at least once.
    pub coverage: Estimate,
    /// Tokens billed per task that a paid rollout solved at least once; only runs that solved any.
    pub tokens_per_solved: Estimate,
    /// What its estimates of difficulty were worth.
    pub calibration: CalibrationSummary,
    /// Wall time in seconds.
    pub seconds: Estimate,
    /// Wall time by phase in seconds, mean over seeds.
    pub phases: BTreeMap<String, f64>,
}

/// What the difficulty estimates of an arm were worth, over all groups for which its sampler or allocator had one.
///
/// Each estimate is a success rate stated before the rollouts that judge it.  An arm is judged on the tasks it chose
/// itself, so that scores of different arms are not about the same tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationSummary {
    /// Brier score, one prediction per rollout; none for graded rewards.
    pub brier: Estimate,
    /// Brier score of one who always states the success rate of the same rollouts.
    pub brier_constant: Estimate,
    /// Rank correlation with the success rate of the group that followed.
    pub rank_outcome: Estimate,
    /// Rank correlation with minus the generator's difficulty.
    pub rank_easiness: Estimate,
}

impl CalibrationSummary {
    /// The figures in the order of a report's table.
    pub fn columns(&self) -> [&Estimate; 4] {
        [
            &self.brier,
            &self.brier_constant,
            &self.rank_outcome,
            &self.rank_easiness,
        ]
    }

    /// True if no run of the arm had an estimate that could be judged.
    pub fn is_empty(&self) -> bool {
        self.columns().iter().all(|found| found.mean.is_none())
    }
}

/// An arm against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The arm.
    pub arm: String,
    /// What it is compared with.
    pub baseline: String,
    /// The metric.
    pub metric: String,
    /// How runs were reduced to one number.
    pub measure: Measure,
    /// Seeds that both arms finished.
    pub seeds: Vec<u64>,
    /// Mean difference; `None` without a common seed.
    pub difference: Option<f64>,
    /// The whole comparison; `None` below two common seeds.
    pub paired: Option<PairedComparison>,
    /// Sign-flip p-value adjusted by Holm over the arms.
    pub p_holm: Option<f64>,
    /// The result in words.
    pub words: String,
}

/// One cell, for the table at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellSummary {
    /// Arm.
    pub arm: String,
    /// Run seed.
    pub seed: u64,
    /// Run hash.
    pub run: String,
    /// How far it came.
    pub state: CellState,
    /// Training steps done.
    pub steps_done: u64,
    /// Training steps planned; 0 if it never started.
    pub steps: u64,
    /// Last value of the primary metric.
    pub last: Option<f64>,
    /// Rollouts billed.
    pub rollouts: u64,
    /// Tokens billed.
    pub tokens: u64,
    /// Wall time in seconds.
    pub seconds: Option<f64>,
    /// SHA-256 of the final weights.
    pub weights: Option<String>,
    /// SHA-256 of `events.jsonl`.
    pub events_sha: Option<String>,
    /// Warnings the run emitted: step and message.
    pub warnings: Vec<(u64, String)>,
}

/// A whole report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`REPORT_VERSION`].
    pub format: u32,
    /// Name of the ablation.
    pub name: String,
    /// What it asks.
    pub description: String,
    /// Baseline arm.
    pub baseline: String,
    /// Primary metric.
    pub metric: String,
    /// Run seeds planned.
    pub seeds: Vec<u64>,
    /// Budget at which arms are compared.
    pub budget: Budget,
    /// Metrics other than the primary one that never changed, in any evaluation of any run, with their value.
    pub constant: BTreeMap<String, f64>,
    /// Arms, in the manifest's order.
    pub arms: Vec<ArmSummary>,
    /// Arms against the baseline: the primary metric first.
    pub comparisons: Vec<Comparison>,
    /// The claims with their verdicts.
    pub claims: Vec<ClaimSummary>,
    /// What the report cannot say, in words.
    pub limits: Vec<String>,
    /// Keys in which the recipes of the arms differ.
    pub recipe: Vec<RecipeDifference>,
    /// All cells.
    pub cells: Vec<CellSummary>,
    /// What was tolerated or left out.
    pub notes: Vec<String>,
    /// Data of the figures.
    pub figures: Figures,
}

/// True for a metric that repeats another one for a part of the tasks, `eval/success/difficulty=3`: these are drawn
/// as a map, not compared one by one.
pub fn is_breakdown(metric: &str) -> bool {
    metric.contains("/difficulty=")
}

impl Summary {
    /// Arms with estimates of difficulty that could be judged.
    pub fn calibrated_arms(&self) -> impl Iterator<Item = &ArmSummary> {
        self.arms.iter().filter(|arm| !arm.calibration.is_empty())
    }

    /// Comparisons worth a row: not those of a metric that never changed, and not the last value where every run
    /// ended at the common budget anyway.
    pub fn shown_comparisons(&self) -> impl Iterator<Item = &Comparison> {
        let find = |of: &Comparison, measure: Measure| {
            self.comparisons
                .iter()
                .find(|c| c.arm == of.arm && c.metric == of.metric && c.measure == measure)
        };
        let redundant = self
            .comparisons
            .iter()
            .filter(|c| c.measure == Measure::Final)
            .all(|c| find(c, Measure::AtRollouts).is_some_and(|other| other.difference == c.difference));
        self.comparisons.iter().filter(move |c| {
            !self.constant.contains_key(&c.metric) && (!redundant || c.measure != Measure::Final)
        })
    }
}
