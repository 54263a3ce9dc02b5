//! Data of the figures: curves over seeds, allocation of rollouts, reward by difficulty.

use std::collections::{BTreeMap, BTreeSet};

use groupwise_stats::{Curve, common_range, mean, student_t_interval};
use serde::{Deserialize, Serialize};

use crate::collect::{Numbers, thin};
use crate::difficulty::{DifficultyMap, difficulty_map};
use crate::manifest::Manifest;
use crate::summarize::Used;
use crate::summary::{CONFIDENCE, is_breakdown};

/// Points of a curve at most, and bins of a noisy series.
const POINTS: usize = 48;

/// Label of the axis most curves stand on.
const ROLLOUTS: &str = "rollouts billed";

/// Data of all figures but the forest plot, whose data are the comparisons.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Curves, in the order of the report.
    pub curves: Vec<CurveFigure>,
    /// Group sizes per arm.
    pub allocation: Vec<Allocation>,
    /// Reward by difficulty over time; absent if tasks do not differ in difficulty.
    pub difficulty: Option<DifficultyMap>,
}

/// A metric against a cost, one line per arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurveFigure {
    /// Title.
    pub title: String,
    /// Label of the horizontal axis.
    pub x_label: String,
    /// Label of the vertical axis; empty where the title says it.
    pub y_label: String,
    /// What the reader must know.
    pub caption: String,
    /// True for a figure of differences, which shows the line of no difference.
    pub zero_line: bool,
    /// Lines, in the order of arms.
    pub lines: Vec<Line>,
}

/// One arm in a [`CurveFigure`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The arm.
    pub arm: String,
    /// Seeds behind it.
    pub seeds: usize,
    /// Points, cost rising.
    pub points: Vec<CurvePoint>,
}

/// One point of a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Cost.
    pub x: f64,
    /// Mean over seeds.
    pub mean: f64,
    /// Student-t interval from three seeds on, smallest and largest for two, none for one.
    pub band: Option<(f64, f64)>,
}

/// How large the groups of an arm were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// The arm.
    pub arm: String,
    /// Group size and share of the groups that entered an update, all seeds pooled.
    pub sizes: Vec<(usize, f64)>,
    /// Mean group size.
    pub mean: f64,
}

/// Draws together the data of all figures.
pub(crate) fn draw_data(manifest: &Manifest, used: &[Used<'_>]) -> Figures {
    let mut curves = metric_figures(manifest, used);
    curves.extend(training_figures(manifest, used));
    curves.extend(other_figures(manifest, used));
    curves.retain(|c| c.lines.iter().any(|l| l.points.len() > 1) && varies(c));
    Figures {
        curves,
        allocation: manifest.arms.iter().filter_map(|a| allocation(a, used)).collect(),
        difficulty: difficulty_map(manifest, used),
    }
}

/// The metric of the ablation against both costs, and its paired differences.
fn metric_figures(manifest: &Manifest, used: &[Used<'_>]) -> Vec<CurveFigure> {
    let metric = manifest.metric.as_str();
    let by_tokens = |n: &Numbers| n.metrics.get(metric).map(|m| m.by_tokens.clone());
    vec![
        figure(
            manifest,
            used,
            (&format!("{metric} against rollouts"), ROLLOUTS, ""),
            "",
            |n| by_rollouts(n, metric),
        ),
        figure(
            manifest,
            used,
            (&format!("{metric} against tokens"), "tokens billed", ""),
            "",
            by_tokens,
        ),
        difference_figure(manifest, used, metric),
    ]
}

/// What every step logs, thinned: reward and effective-gradient ratio.
fn training_figures(manifest: &Manifest, used: &[Used<'_>]) -> [CurveFigure; 2] {
    let mut bin = 1;
    let mut series = |n: &Numbers, value: fn(&crate::collect::StepPoint) -> Option<f64>| {
        let points: Vec<(f64, f64)> = n
            .steps
            .iter()
            .filter_map(|s| Some((s.rollouts, value(s)?)))
            .collect();
        let (thinned, size) = thin(&points, POINTS);
        bin = bin.max(size);
        Curve::new(&thinned).ok()
    };
    let reward = figure(manifest, used, ("Training reward", ROLLOUTS, ""), "", |n| {
        series(n, |s| s.reward)
    });
    let effective = figure(
        manifest,
        used,
        ("Effective-gradient ratio", ROLLOUTS, "share of billed rollouts"),
        "Rollouts in groups that entered an update with mixed reward; every other rollout was paid for and taught nothing.",
        |n| series(n, |s| s.effective),
    );
    let mut figures = [reward, effective];
    if bin > 1 {
        for found in &mut figures {
            found.caption = format!("{} Averaged over bins of {bin} steps.", found.caption)
                .trim()
                .to_owned();
        }
    }
    figures
}

/// Every other evaluated metric against rollouts; breakdowns by task have their own figures.
fn other_figures(manifest: &Manifest, used: &[Used<'_>]) -> Vec<CurveFigure> {
    let names: BTreeSet<&String> = used.iter().flat_map(|u| u.numbers.metrics.keys()).collect();
    let others = names
        .into_iter()
        .filter(|n| **n != manifest.metric && !is_breakdown(n));
    others
        .map(|name| figure(manifest, used, (name, ROLLOUTS, ""), "", |n| by_rollouts(n, name)))
        .collect()
}

fn by_rollouts(numbers: &Numbers, metric: &str) -> Option<Curve> {
    numbers.metrics.get(metric).map(|m| m.by_rollouts.clone())
}

/// False for a figure that would show one flat line, such as a count of errors that never rose above 0.
fn varies(figure: &CurveFigure) -> bool {
    let mut means = figure.lines.iter().flat_map(|l| l.points.iter().map(|p| p.mean));
    let first = means.next();
    means.any(|m| Some(m) != first)
}

/// One line per arm: mean and band over the curves of its seeds.
fn figure(
    manifest: &Manifest,
    used: &[Used<'_>],
    (title, x_label, y_label): (&str, &str, &str),
    caption: &str,
    mut curve: impl FnMut(&Numbers) -> Option<Curve>,
) -> CurveFigure {
    let mut lines = Vec::new();
    for arm in &manifest.arms {
        let of_arm = used.iter().filter(|u| u.arm == *arm);
        let curves: Vec<Curve> = of_arm.filter_map(|u| curve(u.numbers)).collect();
        lines.extend(line_over_seeds(arm, &curves));
    }
    CurveFigure {
        title: title.to_owned(),
        x_label: x_label.to_owned(),
        y_label: y_label.to_owned(),
        caption: caption.to_owned(),
        zero_line: false,
        lines,
    }
}

/// Mean paired difference to the baseline over the course of training.
fn difference_figure(manifest: &Manifest, used: &[Used<'_>], metric: &str) -> CurveFigure {
    let curve = |arm: &str, seed: u64| {
        let cell = used.iter().find(|u| u.arm == arm && u.seed == seed)?;
        cell.numbers.metrics.get(metric).map(|m| &m.by_rollouts)
    };
    let mut lines = Vec::new();
    for arm in manifest.arms.iter().filter(|a| **a != manifest.baseline) {
        let seeds = used.iter().filter(|u| u.arm == *arm).map(|u| u.seed);
        let differences: Vec<Curve> = seeds
            .filter_map(|s| subtract(curve(arm, s)?, curve(&manifest.baseline, s)?))
            .collect();
        lines.extend(line_over_seeds(arm, &differences));
    }
    CurveFigure {
        title: format!("{metric}: paired difference to {}", manifest.baseline),
        x_label: ROLLOUTS.to_owned(),
        y_label: String::new(),
        caption: "Differences are taken seed by seed, so a spread that both arms share cancels. Where the band leaves \
                  the line of no difference, that one point is resolved; reading many points multiplies false alarms."
            .to_owned(),
        zero_line: true,
        lines,
    }
}

/// Difference of two curves where both are known, at the points of either.
fn subtract(a: &Curve, b: &Curve) -> Option<Curve> {
    let mut costs: Vec<f64> = a.points().iter().chain(b.points()).map(|p| p.0).collect();
    costs.sort_by(f64::total_cmp);
    costs.dedup();
    let points: Vec<(f64, f64)> = costs
        .into_iter()
        .filter_map(|x| Some((x, a.value_at(x)? - b.value_at(x)?)))
        .collect();
    Curve::new(&points).ok()
}

fn line_over_seeds(arm: &str, curves: &[Curve]) -> Option<Line> {
    let (from, to) = common_range(curves)?;
    let first: Vec<f64> = curves[0].points().iter().map(|p| p.0).collect();
    let same = curves
        .iter()
        .all(|c| c.points().iter().map(|p| p.0).eq(first.iter().copied()));
    let grid: Vec<f64> = if same && first.len() <= 2 * POINTS {
        first
    } else {
        (0..=POINTS)
            .map(|i| from + (to - from) * i as f64 / POINTS as f64)
            .collect()
    };
    let points = grid
        .into_iter()
        .filter_map(|x| {
            let values: Option<Vec<f64>> = curves.iter().map(|c| c.value_at(x)).collect();
            let values = values?;
            Some(CurvePoint {
                x,
                mean: mean(&values),
                band: band(&values),
            })
        })
        .collect();
    Some(Line {
        arm: arm.to_owned(),
        seeds: curves.len(),
        points,
    })
}

fn band(values: &[f64]) -> Option<(f64, f64)> {
    match values {
        [] | [_] => None,
        [a, b] => Some((a.min(*b), a.max(*b))),
        more => student_t_interval(more, CONFIDENCE).ok().map(|i| (i.low, i.high)),
    }
}

fn allocation(arm: &str, used: &[Used<'_>]) -> Option<Allocation> {
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    for cell in used.iter().filter(|u| u.arm == arm) {
        for (size, n) in &cell.numbers.sizes {
            *counts.entry(*size).or_default() += n;
        }
    }
    let all: u64 = counts.values().sum();
    let rollouts: u64 = counts.iter().map(|(size, n)| *size as u64 * n).sum();
    (all > 0).then(|| Allocation {
        arm: arm.to_owned(),
        sizes: counts
            .into_iter()
            .map(|(size, n)| (size, n as f64 / all as f64))
            .collect(),
        mean: rollouts as f64 / all as f64,
    })
}
