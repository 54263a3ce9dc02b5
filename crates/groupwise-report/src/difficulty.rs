//! Success by difficulty over the course of training.
//!
//! Taken from evaluation metrics `<primary metric>/difficulty=<d>` where a run has them: a fixed set of tasks, the same
//! for all arms.  Otherwise from the groups of training, whose tasks an arm chose.

use std::collections::BTreeSet;

use groupwise_stats::Curve;
use serde::{Deserialize, Serialize};

use crate::manifest::Manifest;
use crate::summarize::Used;

/// Columns of the map.
const TIME_BINS: usize = 16;
/// Rows of the map at most.
const ROWS: usize = 8;

/// Mean success or reward by difficulty over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DifficultyMap {
    /// Where the values come from.
    pub source: DifficultySource,
    /// Label of each row, easiest first.
    pub rows: Vec<String>,
    /// Range of rollouts that the columns divide evenly.
    pub range: (f64, f64),
    /// Range of values that colors span.
    pub scale: (f64, f64),
    /// Arm and its cells, row by row; `None` where nothing fell.
    pub arms: Vec<(String, Vec<Vec<Option<f64>>>)>,
}

/// Where the values of a [`DifficultyMap`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifficultySource {
    /// The evaluation set, fixed and shared.
    Evaluation,
    /// Groups of training, chosen by each arm.
    Training,
}

/// One observation: arm, rollouts billed, difficulty, value.
struct Point<'a> {
    arm: &'a str,
    rollouts: f64,
    difficulty: f64,
    value: f64,
}

/// The map, or `None` if tasks do not differ in difficulty.
pub(crate) fn difficulty_map(manifest: &Manifest, used: &[Used<'_>]) -> Option<DifficultyMap> {
    let evaluated = evaluation_points(used, &manifest.metric);
    if evaluated.is_empty() {
        return draw_map(manifest, &training_points(used), DifficultySource::Training);
    }
    draw_map(manifest, &evaluated, DifficultySource::Evaluation)
}

fn training_points<'a>(used: &[Used<'a>]) -> Vec<Point<'a>> {
    let mut points = Vec::new();
    for cell in used {
        points.extend(cell.numbers.groups.iter().map(|g| Point {
            arm: cell.arm,
            rollouts: g.rollouts,
            difficulty: g.difficulty,
            value: g.reward,
        }));
    }
    points
}

/// Values at the middle of each column, interpolated between evaluations.
fn evaluation_points<'a>(used: &[Used<'a>], metric: &str) -> Vec<Point<'a>> {
    let prefix = format!("{metric}/difficulty=");
    let mut found: Vec<(&'a str, f64, &Curve)> = Vec::new();
    for cell in used {
        for (name, curves) in &cell.numbers.metrics {
            if let Some(Ok(difficulty)) = name.strip_prefix(&prefix).map(str::parse::<f64>)
                && difficulty.is_finite()
            {
                found.push((cell.arm, difficulty, &curves.by_rollouts));
            }
        }
    }
    let end = found.iter().map(|(_, _, c)| c.range().1).fold(0.0, f64::max);
    let mut points = Vec::new();
    for (arm, difficulty, curve) in found {
        for column in 0..TIME_BINS {
            let rollouts = (column as f64 + 0.5) / TIME_BINS as f64 * end;
            points.extend(curve.value_at(rollouts).map(|value| Point {
                arm,
                rollouts,
                difficulty,
                value,
            }));
        }
    }
    points
}

fn draw_map(manifest: &Manifest, points: &[Point<'_>], source: DifficultySource) -> Option<DifficultyMap> {
    let mut levels: Vec<f64> = points.iter().map(|p| p.difficulty).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    // Columns end where rollouts do; evaluation points stand in the middle of theirs.
    let last = points.iter().map(|p| p.rollouts).fold(0.0, f64::max);
    let end = match source {
        DifficultySource::Evaluation => last * TIME_BINS as f64 / (TIME_BINS as f64 - 0.5),
        DifficultySource::Training => last,
    };
    if levels.len() < 2 || end <= 0.0 {
        return None;
    }
    let (rows, row_of) = rows_of(&levels);
    let present: BTreeSet<&str> = points.iter().map(|p| p.arm).collect();
    let mut arms = Vec::new();
    let mut scale = (f64::INFINITY, f64::NEG_INFINITY);
    for arm in manifest.arms.iter().filter(|a| present.contains(a.as_str())) {
        let mut sums = vec![vec![(0.0, 0u32); TIME_BINS]; rows.len()];
        for point in points.iter().filter(|p| p.arm == arm) {
            let column = ((point.rollouts / end * TIME_BINS as f64).ceil() as usize).clamp(1, TIME_BINS) - 1;
            let cell = &mut sums[row_of(point.difficulty)][column];
            cell.0 += point.value;
            cell.1 += 1;
        }
        let average = |(sum, n): (f64, u32)| (n > 0).then(|| sum / f64::from(n));
        let cells: Vec<Vec<Option<f64>>> = sums
            .into_iter()
            .map(|row| row.into_iter().map(average).collect())
            .collect();
        for value in cells.iter().flatten().flatten() {
            scale = (scale.0.min(*value), scale.1.max(*value));
        }
        arms.push((arm.clone(), cells));
    }
    if scale.0 >= 0.0 && scale.1 <= 1.0 {
        scale = (0.0, 1.0);
    }
    Some(DifficultyMap {
        source,
        rows,
        range: (0.0, end),
        scale,
        arms,
    })
}

/// One row per level if they are few, otherwise bins of equal width; also the row of a level.
fn rows_of(levels: &[f64]) -> (Vec<String>, impl Fn(f64) -> usize + use<>) {
    let (low, high) = (levels[0], levels[levels.len() - 1]);
    let each = levels.len() <= ROWS;
    let n = if each { levels.len() } else { ROWS };
    let width = (high - low) / n as f64;
    let short = |v: f64| {
        let text = format!("{v:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let labels = if each {
        levels.iter().map(|l| short(*l)).collect()
    } else {
        let edge = |i: usize| short(low + i as f64 * width);
        (0..n)
            .map(|i| format!("{} to {}", edge(i), edge(i + 1)))
            .collect()
    };
    let levels = levels.to_vec();
    let row = move |level: f64| {
        if each {
            levels.partition_point(|l| *l < level).min(n - 1)
        } else {
            (((level - low) / width) as usize).min(n - 1)
        }
    };
    (labels, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_levels_have_a_row_each_and_many_are_binned() {
        let (labels, row) = rows_of(&[0.5, 1.0, 3.0]);
        assert_eq!(labels, ["0.5", "1", "3"]);
        assert_eq!([0.5, 1.0, 3.0].map(&row), [0, 1, 2]);
        let many: Vec<f64> = (0..=16).map(f64::from).collect();
        let (labels, row) = rows_of(&many);
        assert_eq!(
            (labels.len(), labels[0].as_str(), labels[7].as_str()),
            (8, "0 to 2", "14 to 16")
        );
        assert_eq!([0.0, 1.9, 2.0, 16.0].map(&row), [0, 0, 1, 7]);
    }
}
