//! The short form for a terminal.

use crate::format::{count, percent};
use crate::html::subtitle;
use crate::markdown::estimate;
use crate::summary::{Measure, Summary};

/// Renders a plain-text table of arms and the paired differences of the primary metric at equal rollouts.
pub fn render_text(summary: &Summary) -> String {
    let mut out = format!("{}\n{}\n\n", line(&summary.name), line(&subtitle(summary)));
    let dash = |v: Option<String>| v.unwrap_or_else(|| "-".to_owned());
    let mut rows: Vec<Vec<String>> = vec![
        [
            "arm",
            "seeds",
            "at equal rollouts",
            "area",
            "effective",
            "rollouts",
            "tokens",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for arm in &summary.arms {
        let metric = arm.metrics.get(&summary.metric);
        let measure = |m| dash(metric.and_then(|found| found.get(&m)).map(estimate));
        rows.push(vec![
            line(&arm.name),
            arm.seeds.len().to_string(),
            measure(Measure::AtRollouts),
            measure(Measure::AreaRollouts),
            dash(arm.effective.mean.map(percent)),
            dash(arm.rollouts.mean.map(count)),
            dash(arm.tokens.mean.map(count)),
        ]);
    }
    out.push_str(&align(&rows));
    let headline = summary
        .comparisons
        .iter()
        .filter(|c| c.metric == summary.metric && c.measure == Measure::AtRollouts);
    let words: Vec<String> = headline.map(|c| format!("{}\n", line(&c.words))).collect();
    if !words.is_empty() {
        out.push_str(&format!(
            "\n{}\n{}",
            line(&format!("{} at equal rollouts:", summary.metric)),
            words.concat()
        ));
    }
    for claim in &summary.claims {
        out.push_str(&format!(
            "\nclaim: {} ({})\n",
            claim.verdict.words(),
            line(&claim.basis)
        ));
    }
    for note in &summary.notes {
        out.push_str(&format!("note: {}\n", line(note)));
    }
    out
}

/// Names come from files: no control character reaches a terminal.
fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|c| {
            rows.iter()
                .filter_map(|r| r.get(c))
                .map(|s| s.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (cell, width))| {
                if i == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}
