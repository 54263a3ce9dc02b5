//! From what was read to the numbers of a report.

use std::collections::BTreeMap;

use groupwise_stats::common_range;

use crate::collect::{MetricCurves, Numbers, collect};
use crate::compare;
use crate::figures;
use crate::read::{Ablation, Cell, CellState};
use crate::recipe;
use crate::say;
use crate::summary::{
    ArmSummary, Budget, CalibrationSummary, CellSummary, Estimate, Measure, REPORT_VERSION, Summary,
    is_breakdown,
};

/// A cell that enters the report, with its numbers.
pub(crate) struct Used<'a> {
    pub(crate) arm: &'a str,
    pub(crate) seed: u64,
    pub(crate) numbers: &'a Numbers,
}

/// Reduces an ablation to the numbers of its report.
pub fn summarize(ablation: &Ablation) -> Summary {
    let manifest = &ablation.manifest;
    let numbers: Vec<Option<Numbers>> = ablation
        .cells
        .iter()
        .map(|c| c.record.as_ref().map(collect))
        .collect();
    let mut notes = ablation.notes.clone();
    let used = choose_cells(ablation, &numbers, &mut notes);
    let budget = common_budget(&used, &manifest.metric);
    let arms: Vec<ArmSummary> = manifest
        .arms
        .iter()
        .map(|a| summarize_arm(a, &used, &budget))
        .collect();
    if used
        .iter()
        .all(|u| !u.numbers.metrics.contains_key(&manifest.metric))
    {
        notes.push(format!(
            "no run evaluated the primary metric `{}`",
            manifest.metric
        ));
    }
    let comparisons = compare::compare_arms(manifest, &used, &budget);
    let claims = manifest
        .claims
        .iter()
        .filter_map(|value| compare::judge_claim(value, manifest, &used, &budget, &mut notes))
        .collect();
    Summary {
        format: REPORT_VERSION,
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        baseline: manifest.baseline.clone(),
        metric: manifest.metric.clone(),
        seeds: manifest.seeds.clone(),
        limits: say::limits(manifest, &arms, &comparisons),
        recipe: recipe::differences(manifest, &ablation.cells),
        cells: ablation
            .cells
            .iter()
            .zip(&numbers)
            .map(|(c, n)| summarize_cell(c, n.as_ref(), &manifest.metric))
            .collect(),
        figures: figures::draw_data(manifest, &used),
        constant: constant_metrics(&used, &manifest.metric),
        budget,
        arms,
        comparisons,
        claims,
        notes,
    }
}

/// Finished cells; if there are none, whatever has begun, and a note says so.
fn choose_cells<'a>(
    ablation: &'a Ablation,
    numbers: &'a [Option<Numbers>],
    notes: &mut Vec<String>,
) -> Vec<Used<'a>> {
    let select = |finished_only: bool| -> Vec<Used<'a>> {
        let cells = ablation.cells.iter().zip(numbers);
        cells
            .filter(|(c, _)| !finished_only || c.state == CellState::Finished)
            .filter_map(|(c, n)| {
                Some(Used {
                    arm: &c.at.arm,
                    seed: c.at.seed,
                    numbers: n.as_ref()?,
                })
            })
            .collect()
    };
    let mut used = select(true);
    if used.is_empty() {
        used = select(false);
        if !used.is_empty() {
            notes.push("no cell has finished: every number is of runs under way and will change".to_owned());
        }
    } else if used.len() < ablation.cells.len() {
        let n = ablation.cells.len() - used.len();
        notes.push(format!(
            "{n} of {} cells have not finished and enter no comparison",
            ablation.cells.len()
        ));
    }
    for cell in &used {
        notes.extend(
            cell.numbers
                .problems
                .iter()
                .map(|p| format!("{} seed {}: {p}", cell.arm, cell.seed)),
        );
    }
    used
}

fn common_budget(used: &[Used<'_>], metric: &str) -> Budget {
    let curves: Vec<&MetricCurves> = used
        .iter()
        .filter_map(|u| u.numbers.metrics.get(metric))
        .collect();
    Budget {
        rollouts: common_range(curves.iter().map(|c| &c.by_rollouts)),
        tokens: common_range(curves.iter().map(|c| &c.by_tokens)),
        steps: common_range(curves.iter().map(|c| &c.by_steps)),
    }
}

/// Metrics of one value, such as a count of errors that stayed at 0.
fn constant_metrics(used: &[Used<'_>], primary: &str) -> BTreeMap<String, f64> {
    let mut found: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for (name, curves) in used.iter().flat_map(|u| &u.numbers.metrics) {
        for (_, value) in curves.by_rollouts.points() {
            let entry = found.entry(name.clone()).or_insert(Some(*value));
            if *entry != Some(*value) {
                *entry = None;
            }
        }
    }
    let kept = found
        .into_iter()
        .filter(|(name, _)| name != primary && !is_breakdown(name));
    kept.filter_map(|(name, value)| Some((name, value?))).collect()
}

fn summarize_arm(arm: &str, used: &[Used<'_>], budget: &Budget) -> ArmSummary {
    let cells: Vec<&Used<'_>> = used.iter().filter(|u| u.arm == arm).collect();
    let over = |f: &dyn Fn(&Numbers) -> Option<f64>| {
        Estimate::new(cells.iter().filter_map(|c| f(c.numbers)).collect())
    };
    let mut metrics: BTreeMap<String, BTreeMap<Measure, Estimate>> = BTreeMap::new();
    for name in cells.iter().flat_map(|c| c.numbers.metrics.keys()) {
        metrics.entry(name.clone()).or_insert_with(|| {
            let estimate = |m: Measure| over(&|n: &Numbers| m.of(n, name, budget));
            Measure::OF_EVALUATIONS
                .into_iter()
                .map(|m| (m, estimate(m)))
                .collect()
        });
    }
    ArmSummary {
        name: arm.to_owned(),
        seeds: cells.iter().map(|c| c.seed).collect(),
        metrics,
        rollouts: over(&|n| Some(n.rollouts as f64)),
        tokens: over(&|n| Some(n.tokens as f64)),
        rollouts_by_kind: average(&cells, |n| {
            n.billed_rollouts.iter().map(|(k, v)| (*k, *v as f64)).collect()
        }),
        tokens_by_kind: average(&cells, |n| {
            n.billed_tokens.iter().map(|(k, v)| (*k, *v as f64)).collect()
        }),
        effective: over(&|n| n.effective),
        coverage: over(&|n| n.coverage),
        tokens_per_solved: over(&|n| n.tokens_per_solved),
        calibration: CalibrationSummary {
            brier: over(&|n| n.calibration.brier),
            brier_constant: over(&|n| n.calibration.brier_constant),
            rank_outcome: over(&|n| n.calibration.rank_outcome),
            rank_easiness: over(&|n| n.calibration.rank_easiness),
        },
        seconds: over(&|n| n.seconds),
        phases: average(&cells, |n| {
            n.phases.iter().map(|(k, v)| (k.clone(), *v)).collect()
        }),
    }
}

/// Mean per key over cells; a key that a cell lacks counts as 0 there.
fn average<K: Ord>(cells: &[&Used<'_>], entries: impl Fn(&Numbers) -> Vec<(K, f64)>) -> BTreeMap<K, f64> {
    let mut sums: BTreeMap<K, f64> = BTreeMap::new();
    for (key, value) in cells.iter().flat_map(|c| entries(c.numbers)) {
        *sums.entry(key).or_default() += value;
    }
    sums.into_iter()
        .map(|(k, v)| (k, v / cells.len() as f64))
        .collect()
}

fn summarize_cell(cell: &Cell, numbers: Option<&Numbers>, metric: &str) -> CellSummary {
    CellSummary {
        arm: cell.at.arm.clone(),
        seed: cell.at.seed,
        run: cell.at.run.clone(),
        state: cell.state.clone(),
        steps_done: numbers.map_or(0, |n| n.steps_done),
        steps: cell.record.as_ref().map_or(0, |r| r.info.steps),
        last: numbers
            .and_then(|n| n.metrics.get(metric))
            .map(|c| c.by_rollouts.last()),
        rollouts: numbers.map_or(0, |n| n.rollouts),
        tokens: numbers.map_or(0, |n| n.tokens),
        seconds: numbers.and_then(|n| n.seconds),
        weights: numbers.and_then(|n| n.weights.clone()),
        events_sha: cell.record.as_ref().map(|r| r.events_sha.clone()),
        warnings: numbers.map(|n| n.warnings.clone()).unwrap_or_default(),
    }
}
