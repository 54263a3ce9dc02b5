//! Tables of the page.

use std::collections::BTreeSet;

use groupwise_core::event::BillKind;

use crate::format::{count, duration, fixed, maybe, p_value, percent, short, signed, value};
use crate::read::CellState;
use crate::say;
use crate::say::{bracket, interval_decimals};
use crate::summary::{CellSummary, Comparison, Estimate, Measure, Summary, is_breakdown};
use crate::svg::escape;

/// Opens a table that scrolls inside its own box.  Heads marked with `<` are left-aligned.
fn open(page: &mut String, heads: &[&str]) {
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for head in heads {
        match head.strip_prefix('<') {
            Some(left) => page.push_str(&format!("<th class=\"t\">{}</th>", escape(left))),
            None => page.push_str(&format!("<th>{}</th>", escape(head))),
        }
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

fn close(page: &mut String) {
    page.push_str("</tbody></table></div>\n");
}

/// A row; cells are markup already.
fn row(page: &mut String, cells: &[String]) {
    page.push_str("<tr>");
    for cell in cells {
        let (class, text) = match cell.strip_prefix('<') {
            Some(rest) if !rest.starts_with("span") && !rest.starts_with("code") => (" class=\"t\"", rest),
            _ => ("", cell.as_str()),
        };
        page.push_str(&format!("<td{class}>{text}</td>"));
    }
    page.push_str("</tr>\n");
}

/// A typographic minus for table cells.
fn minus(text: &str) -> String {
    text.replace('-', "\u{2212}")
}

fn with_interval(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    let Some(mean) = estimate.mean else {
        return "-".to_owned();
    };
    match estimate.interval {
        Some((low, high)) => {
            let bracket = format!("[{}, {}]", show(low), show(high));
            format!(
                "{}<span class=\"iv\">{}</span>",
                minus(&show(mean)),
                minus(&bracket)
            )
        }
        None => minus(&show(mean)),
    }
}

/// Every paired difference, with both kinds of interval.
pub(super) fn comparisons(page: &mut String, summary: &Summary) {
    if summary.comparisons.is_empty() {
        return;
    }
    page.push_str("<h2>Paired differences</h2>\n");
    page.push_str(&format!(
        "<p>Each arm minus {}, seed by seed, at the budget that all compared runs reached{}. Below 8 seeds the Student-t interval decides, from 8 on the bootstrap; p: two-sided \
         sign-flip test, adjusted for the number of arms in the last column (Holm).</p>\n",
        escape(&summary.baseline),
        escape(&budget_words(summary))
    ));
    open(
        page,
        &[
            "arm",
            "<metric",
            "<measure",
            "seeds",
            "difference",
            "<verdict",
            "Student t",
            "BCa bootstrap",
            "improved",
            "p",
            "Holm",
        ],
    );
    for found in summary.shown_comparisons() {
        row(page, &comparison_row(found));
    }
    close(page);
}

/// `: 7,680 rollouts, 301,224 tokens`.
pub(crate) fn budget_words(summary: &Summary) -> String {
    let part = |range: Option<(f64, f64)>, unit: &str| range.map(|(_, to)| format!("{} {unit}", count(to)));
    let parts: Vec<String> = [
        part(summary.budget.rollouts, "rollouts"),
        part(summary.budget.tokens, "tokens"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

fn comparison_row(found: &Comparison) -> Vec<String> {
    let mut cells = vec![
        escape(&found.arm),
        format!("<{}", escape(&found.metric)),
        format!("<{}", found.measure.short()),
        found.seeds.len().to_string(),
    ];
    match &found.paired {
        Some(p) => {
            let interval = p.interval();
            let d = interval_decimals(p.mean, interval.low, interval.high);
            cells.extend([
                minus(&signed(p.mean, d)),
                format!("<{}", verdict_words(found)),
                minus(&bracket(p.student_t.low, p.student_t.high, d)),
                minus(&bracket(p.bca.low, p.bca.high, d)),
                percent(p.improvement).replace(".0%", "%"),
                escape(&p_value(p.p_value)),
                found
                    .p_holm
                    .map_or_else(|| "-".to_owned(), |p| escape(&p_value(p))),
            ]);
        }
        None => {
            let difference = found
                .difference
                .map_or_else(|| "-".to_owned(), |d| minus(&signed(d, 3)));
            cells.extend([difference, format!("<{}", verdict_words(found))]);
            cells.extend(std::iter::repeat_n("-".to_owned(), 5));
        }
    }
    cells
}

/// The verdict in one or two words.
pub(crate) fn verdict_words(found: &Comparison) -> &'static str {
    use groupwise_stats::Verdict;
    match (&found.paired, found.seeds.len()) {
        (Some(p), _) => match p.verdict {
            Verdict::Higher => "higher",
            Verdict::Lower => "lower",
            Verdict::Unresolved => "not resolved",
            Verdict::Degenerate => "no spread",
        },
        (None, 1) => "one seed",
        (None, _) => "no data",
    }
}

/// Metrics of each arm.
pub(super) fn arms(page: &mut String, summary: &Summary) {
    let names: BTreeSet<&String> = summary
        .arms
        .iter()
        .flat_map(|a| a.metrics.keys())
        .filter(|n| !is_breakdown(n) && !summary.constant.contains_key(*n))
        .collect();
    if names.is_empty() {
        return;
    }
    page.push_str("<h2>Arms</h2>\n<p>Mean over seeds with its 95% Student-t interval. Areas are means of the metric over the budget.</p>\n");
    let mut heads = vec!["arm", "<metric", "seeds"];
    heads.extend(Measure::OF_EVALUATIONS.iter().map(|m| m.short()));
    open(page, &heads);
    let primary_first = names
        .iter()
        .filter(|n| ***n == summary.metric)
        .chain(names.iter().filter(|n| ***n != summary.metric));
    for name in primary_first {
        for arm in &summary.arms {
            let Some(measures) = arm.metrics.get(*name) else {
                continue;
            };
            let mut cells = vec![
                escape(&arm.name),
                format!("<{}", escape(name)),
                arm.seeds.len().to_string(),
            ];
            cells.extend(Measure::OF_EVALUATIONS.iter().map(|m| {
                let estimate = measures.get(m).cloned().unwrap_or_default();
                let d = estimate.mean.map_or(3, crate::format::decimals);
                with_interval(&estimate, |v| fixed(v, d))
            }));
            row(page, &cells);
        }
    }
    close(page);
    if !summary.constant.is_empty() {
        let list: Vec<String> = summary
            .constant
            .iter()
            .map(|(n, v)| format!("{n} = {}", value(*v)))
            .collect();
        page.push_str(&format!(
            "<p>The same in every evaluation of every run: {}.</p>\n",
            escape(&list.join(", "))
        ));
    }
}

/// What each arm cost.
pub(super) fn cost(page: &mut String, summary: &Summary) {
    page.push_str("<h2>Cost</h2>\n<p>Every rollout is billed, whatever it was made for. Effective: share of billed rollouts in groups that entered an update with mixed reward. Coverage: share of the pool that entered one. A task is solved if any paid rollout scored full. Means over seeds.</p>\n");
    let kinds: BTreeSet<BillKind> = summary
        .arms
        .iter()
        .flat_map(|a| a.rollouts_by_kind.keys().copied())
        .collect();
    let names: Vec<&str> = kinds.iter().map(|k| kind_name(*k)).collect();
    let mut heads = vec!["arm", "effective", "coverage", "rollouts"];
    heads.extend(&names);
    heads.extend([
        "tokens",
        "tokens per rollout",
        "tokens per solved task",
        "wall time",
    ]);
    open(page, &heads);
    for arm in &summary.arms {
        let per = arm
            .tokens
            .mean
            .zip(arm.rollouts.mean)
            .filter(|(_, r)| *r > 0.0)
            .map(|(t, r)| t / r);
        let mut cells = vec![escape(&arm.name), with_interval(&arm.effective, percent)];
        cells.push(arm.coverage.mean.map_or_else(|| "-".to_owned(), percent));
        cells.push(arm.rollouts.mean.map_or_else(|| "-".to_owned(), count));
        cells.extend(kinds.iter().map(|k| {
            arm.rollouts_by_kind
                .get(k)
                .map_or_else(|| "-".to_owned(), |v| count(*v))
        }));
        cells.push(arm.tokens.mean.map_or_else(|| "-".to_owned(), count));
        cells.push(per.map_or_else(|| "-".to_owned(), |p| format!("{p:.1}")));
        let per_solved = arm.tokens_per_solved.mean;
        cells.push(per_solved.map_or_else(|| "-".to_owned(), count));
        cells.push(arm.seconds.mean.map_or_else(|| "-".to_owned(), duration));
        row(page, &cells);
    }
    close(page);
    phases(page, summary);
}

/// What estimates of difficulty were worth.
pub(super) fn calibration(page: &mut String, summary: &Summary) {
    if summary.calibrated_arms().next().is_none() {
        return;
    }
    page.push_str(&format!(
        "<h2>Estimates of difficulty</h2>\n<p>{}</p>\n",
        say::CALIBRATION
    ));
    open(page, &say::CALIBRATION_HEADS);
    for arm in summary.calibrated_arms() {
        let mut cells = vec![escape(&arm.name)];
        cells.extend(arm.calibration.columns().map(|c| with_interval(c, value)));
        row(page, &cells);
    }
    close(page);
}

fn phases(page: &mut String, summary: &Summary) {
    let names: BTreeSet<&String> = summary.arms.iter().flat_map(|a| a.phases.keys()).collect();
    if names.is_empty() {
        return;
    }
    page.push_str("<details><summary>Wall time by phase</summary>\n");
    let mut heads = vec!["arm"];
    heads.extend(names.iter().map(|n| n.as_str()));
    open(page, &heads);
    for arm in &summary.arms {
        let mut cells = vec![escape(&arm.name)];
        cells.extend(names.iter().map(|n| {
            arm.phases
                .get(*n)
                .map_or_else(|| "-".to_owned(), |s| duration(*s))
        }));
        row(page, &cells);
    }
    close(page);
    page.push_str("</details>\n");
}

/// Kind of bill as a column head.
pub(crate) fn kind_name(kind: BillKind) -> &'static str {
    match kind {
        BillKind::Train => "trained",
        BillKind::Discarded => "discarded",
        BillKind::Refresh => "refresh",
        BillKind::Hint => "hinted",
        BillKind::StartUp => "start-up",
        BillKind::Auxiliary => "auxiliary",
    }
}

/// In which keys the recipes differ.
pub(super) fn recipe(page: &mut String, summary: &Summary) {
    if summary.recipe.is_empty() {
        return;
    }
    page.push_str("<h2>What differs between the arms</h2>\n<p>Keys of the resolved recipes that are not the same in all arms.</p>\n");
    let mut heads = vec!["key".to_owned()];
    heads.extend(summary.arms.iter().map(|a| format!("<{}", a.name)));
    open(page, &heads.iter().map(String::as_str).collect::<Vec<_>>());
    for difference in &summary.recipe {
        let mut cells = vec![format!("<code>{}</code>", escape(&difference.key))];
        cells.extend(difference.values.iter().map(|v| match v {
            Some(v) => format!("<<code>{}</code>", escape(v)),
            None => "<-".to_owned(),
        }));
        row(page, &cells);
    }
    close(page);
}

/// All cells.
pub(super) fn cells(page: &mut String, summary: &Summary) {
    page.push_str("<h2>Cells</h2>\n<p>One run per arm and seed. The same run hash gives the same weights and the same events, bit for bit.</p>\n");
    open(
        page,
        &[
            "arm",
            "seed",
            "<state",
            "steps",
            "last",
            "rollouts",
            "tokens",
            "wall time",
            "<run",
            "<weights",
            "<events",
        ],
    );
    for cell in &summary.cells {
        row(page, &cell_row(cell));
    }
    close(page);
    failures_and_warnings(page, summary);
}

fn cell_row(cell: &CellSummary) -> [String; 11] {
    let digest = |d: Option<&String>| {
        d.map_or_else(
            || "<-".to_owned(),
            |d| format!("<<code>{}</code>", escape(&short(d))),
        )
    };
    [
        escape(&cell.arm),
        cell.seed.to_string(),
        format!("<{}", escape(state_words(&cell.state))),
        format!("{}/{}", cell.steps_done, cell.steps),
        minus(&maybe(cell.last)),
        count(cell.rollouts as f64),
        count(cell.tokens as f64),
        cell.seconds.map_or_else(|| "-".to_owned(), duration),
        digest(Some(&cell.run)),
        digest(cell.weights.as_ref()),
        digest(cell.events_sha.as_ref()),
    ]
}

/// What went wrong in the cells: failures first, then warnings; nothing if all went well.
fn failures_and_warnings(page: &mut String, summary: &Summary) {
    let lines = say::incidents(summary);
    if lines.is_empty() {
        return;
    }
    page.push_str(&format!(
        "<details open><summary>Failures and warnings ({})</summary>\n<ul class=\"limits\">\n",
        lines.len()
    ));
    for line in lines {
        page.push_str(&format!("<li>{}</li>\n", escape(&line)));
    }
    page.push_str("</ul></details>\n");
}

/// State of a cell in one word.
pub(crate) fn state_words(state: &CellState) -> &'static str {
    match state {
        CellState::Finished => "finished",
        CellState::Unfinished => "unfinished",
        CellState::Missing => "not started",
        CellState::Failed(_) => "failed",
    }
}
