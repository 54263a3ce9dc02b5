//! The Markdown form of a report: the same tables, no figures.

use std::collections::BTreeSet;

use groupwise_core::event::BillKind;

use crate::format::{count, duration, maybe, p_value, percent, short};
use crate::html::{kind_name, state_words, subtitle, verdict_words};
use crate::say;
use crate::summary::{Comparison, Estimate, Measure, Summary, is_breakdown};

/// Renders the report as Markdown.
pub fn render_markdown(summary: &Summary) -> String {
    let mut out = format!("# {}\n\n{}\n", text(&summary.name), text(&subtitle(summary)));
    if !summary.description.is_empty() {
        out.push_str(&format!("\n{}\n", text(&summary.description)));
    }
    for claim in &summary.claims {
        if !claim.claim.text.is_empty() {
            out.push_str(&format!("\n{}\n", text(&claim.claim.text)));
        }
        let basis = text(&claim.basis);
        out.push_str(&format!("\n**Claim: {}** ({basis})\n", claim.verdict.words()));
    }
    if !summary.comparisons.is_empty() {
        out.push_str("\n## Paired differences\n\n");
        let heads = [
            "arm",
            "metric",
            "measure",
            "seeds",
            "difference [95%]",
            "p",
            "p (Holm)",
            "verdict",
        ];
        let shown = summary.shown_comparisons();
        table(&mut out, &heads, shown.map(comparison_row));
    }
    arms(&mut out, summary);
    cost(&mut out, summary);
    calibration(&mut out, summary);
    list(&mut out, "What this report can and cannot say", &summary.limits);
    recipe(&mut out, summary);
    cells(&mut out, summary);
    list(&mut out, "Failures and warnings", &say::incidents(summary));
    list(&mut out, "Notes on the data", &summary.notes);
    out
}

fn comparison_row(found: &Comparison) -> Vec<String> {
    vec![
        found.arm.clone(),
        found.metric.clone(),
        found.measure.short().to_owned(),
        found.seeds.len().to_string(),
        say::numbers(found),
        found
            .paired
            .as_ref()
            .map_or_else(|| "-".to_owned(), |p| p_value(p.p_value)),
        found.p_holm.map_or_else(|| "-".to_owned(), p_value),
        verdict_words(found).to_owned(),
    ]
}

fn arms(out: &mut String, summary: &Summary) {
    let names: BTreeSet<&String> = summary
        .arms
        .iter()
        .flat_map(|a| a.metrics.keys())
        .filter(|n| !is_breakdown(n) && !summary.constant.contains_key(*n))
        .collect();
    if names.is_empty() {
        return;
    }
    out.push_str("\n## Arms\n\n");
    let mut heads = vec!["arm", "metric", "seeds"];
    heads.extend(Measure::OF_EVALUATIONS.iter().map(|m| m.short()));
    let mut rows = Vec::new();
    for name in names {
        for arm in &summary.arms {
            let Some(measures) = arm.metrics.get(name) else {
                continue;
            };
            let mut row = vec![arm.name.clone(), name.clone(), arm.seeds.len().to_string()];
            row.extend(
                Measure::OF_EVALUATIONS
                    .iter()
                    .map(|m| measures.get(m).map_or_else(|| "-".to_owned(), estimate)),
            );
            rows.push(row);
        }
    }
    table(out, &heads, rows);
}

/// `0.612 [0.580, 0.644]`.
pub(crate) fn estimate(found: &Estimate) -> String {
    match (found.mean, found.interval) {
        (Some(mean), Some((low, high))) => {
            let d = say::interval_decimals(mean, low, high);
            format!("{} {}", crate::format::fixed(mean, d), say::bracket(low, high, d))
        }
        (mean, _) => maybe(mean),
    }
}

fn cost(out: &mut String, summary: &Summary) {
    out.push_str("\n## Cost\n\n");
    let kinds: BTreeSet<BillKind> = summary
        .arms
        .iter()
        .flat_map(|a| a.rollouts_by_kind.keys().copied())
        .collect();
    let mut heads = vec!["arm", "effective", "coverage", "rollouts"];
    heads.extend(kinds.iter().map(|k| kind_name(*k)));
    heads.extend(["tokens", "tokens per solved task", "wall time"]);
    let dash = |v: Option<String>| v.unwrap_or_else(|| "-".to_owned());
    let rows = summary.arms.iter().map(|arm| {
        let mut row = vec![
            arm.name.clone(),
            dash(arm.effective.mean.map(percent)),
            dash(arm.coverage.mean.map(percent)),
            dash(arm.rollouts.mean.map(count)),
        ];
        row.extend(
            kinds
                .iter()
                .map(|k| dash(arm.rollouts_by_kind.get(k).map(|v| count(*v)))),
        );
        row.extend([
            dash(arm.tokens.mean.map(count)),
            dash(arm.tokens_per_solved.mean.map(count)),
            dash(arm.seconds.mean.map(duration)),
        ]);
        row
    });
    table(out, &heads, rows);
}

fn calibration(out: &mut String, summary: &Summary) {
    if summary.calibrated_arms().next().is_none() {
        return;
    }
    out.push_str(&format!(
        "\n## Estimates of difficulty\n\n{}\n\n",
        say::CALIBRATION
    ));
    let rows = summary.calibrated_arms().map(|arm| {
        let mut row = vec![arm.name.clone()];
        row.extend(arm.calibration.columns().map(estimate));
        row
    });
    table(out, &say::CALIBRATION_HEADS, rows);
}

fn recipe(out: &mut String, summary: &Summary) {
    if summary.recipe.is_empty() {
        return;
    }
    out.push_str("\n## What differs between the arms\n\n");
    let mut heads = vec!["key"];
    heads.extend(summary.arms.iter().map(|a| a.name.as_str()));
    let rows = summary.recipe.iter().map(|d| {
        let mut row = vec![d.key.clone()];
        row.extend(
            d.values
                .iter()
                .map(|v| v.clone().unwrap_or_else(|| "-".to_owned())),
        );
        row
    });
    table(out, &heads, rows);
}

fn cells(out: &mut String, summary: &Summary) {
    out.push_str("\n## Cells\n\n");
    let heads = [
        "arm", "seed", "state", "steps", "last", "rollouts", "tokens", "run", "weights", "events",
    ];
    let digest = |d: Option<&String>| d.map_or_else(|| "-".to_owned(), |d| short(d));
    let rows = summary.cells.iter().map(|c| {
        vec![
            c.arm.clone(),
            c.seed.to_string(),
            state_words(&c.state).to_owned(),
            format!("{}/{}", c.steps_done, c.steps),
            maybe(c.last),
            count(c.rollouts as f64),
            count(c.tokens as f64),
            digest(Some(&c.run)),
            digest(c.weights.as_ref()),
            digest(c.events_sha.as_ref()),
        ]
    });
    table(out, &heads, rows);
}

fn list(out: &mut String, head: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.push_str(&format!("\n## {head}\n\n"));
    for line in lines {
        out.push_str(&format!("- {}\n", text(line)));
    }
}

fn table(out: &mut String, heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    out.push_str(&line(heads.iter().map(|h| text(h)).collect()));
    out.push_str(&line(heads.iter().map(|_| "---".to_owned()).collect()));
    for row in rows {
        out.push_str(&line(row.iter().map(|c| text(c)).collect()));
    }
}

/// Escapes what Markdown would read as markup; keeps to one line.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '|' | '*' | '_' | '`' | '\\' | '[' | ']' => {
                // Brackets of intervals open no link unless a parenthesis follows; they stay readable.
                if !matches!(c, '[' | ']') {
                    out.push('\\');
                }
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.replace("](", "]\\(")
}
