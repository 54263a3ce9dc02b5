//! The HTML page: one file, no script, nothing fetched.

mod figures;
mod tables;

pub(crate) use tables::{kind_name, state_words, verdict_words};

use groupwise_stats::Verdict;

use crate::summary::{Measure, Summary};
use crate::svg::escape;

const STYLE: &str = include_str!("style.css");

/// Renders the page.  The same summary gives the same bytes.
pub fn render_html(summary: &Summary) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let title = escape(&summary.name);
    page.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    page.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    page.push_str(&format!(
        "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    ));
    page.push_str(&format!(
        "<h1>{title}</h1>\n<p class=\"sub\">{}</p>\n",
        escape(&subtitle(summary))
    ));
    if !summary.description.is_empty() {
        page.push_str(&format!("<p>{}</p>\n", escape(&summary.description)));
    }
    findings(&mut page, summary);
    figures::curves(&mut page, summary);
    tables::comparisons(&mut page, summary);
    tables::arms(&mut page, summary);
    tables::cost(&mut page, summary);
    tables::calibration(&mut page, summary);
    figures::allocation(&mut page, summary);
    limits(&mut page, summary);
    tables::recipe(&mut page, summary);
    tables::cells(&mut page, summary);
    notes(&mut page, summary);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// What was run, in one line.
pub(crate) fn subtitle(summary: &Summary) -> String {
    let finished = summary
        .cells
        .iter()
        .filter(|c| c.state == crate::read::CellState::Finished)
        .count();
    let plural = |n: usize, one: &str| {
        if n == 1 {
            format!("1 {one}")
        } else {
            format!("{n} {one}s")
        }
    };
    let against = if summary.arms.len() > 1 {
        format!(", compared with {}", summary.baseline)
    } else {
        String::new()
    };
    format!(
        "{}, {}{against}; {finished} of {} finished. Primary metric: {}.",
        plural(summary.arms.len(), "arm"),
        plural(summary.seeds.len(), "seed"),
        plural(summary.cells.len(), "cell"),
        summary.metric
    )
}

/// The headline: primary metric at equal rollouts, in words, and the forest plot.
fn findings(page: &mut String, summary: &Summary) {
    for claim in &summary.claims {
        let text = if claim.claim.text.is_empty() {
            String::new()
        } else {
            format!("{}<br>", escape(&claim.claim.text))
        };
        page.push_str(&format!(
            "<div class=\"claim\">{text}<b>Claim: {}</b><br>{}</div>\n",
            claim.verdict.words(),
            escape(&claim.basis)
        ));
    }
    if summary.comparisons.is_empty() {
        return;
    }
    page.push_str(&format!(
        "<h2>Findings: {} at equal rollouts</h2>\n<ul class=\"findings\">\n",
        escape(&summary.metric)
    ));
    let headline =
        |c: &&crate::summary::Comparison| c.metric == summary.metric && c.measure == Measure::AtRollouts;
    for found in summary.comparisons.iter().filter(headline) {
        let class = match found.paired.as_ref().map(|p| p.verdict) {
            Some(Verdict::Higher) => " class=\"up\"",
            Some(Verdict::Lower) => " class=\"down\"",
            _ => "",
        };
        page.push_str(&format!("<li{class}>{}</li>\n", escape(&found.words)));
    }
    page.push_str("</ul>\n");
    figures::forest(page, summary);
}

fn limits(page: &mut String, summary: &Summary) {
    page.push_str("<h2>What this report can and cannot say</h2>\n<ul class=\"limits\">\n");
    for sentence in &summary.limits {
        page.push_str(&format!("<li>{}</li>\n", escape(sentence)));
    }
    page.push_str("</ul>\n");
}

fn notes(page: &mut String, summary: &Summary) {
    if summary.notes.is_empty() {
        return;
    }
    page.push_str("<h2>Notes on the data</h2>\n<ul class=\"limits\">\n");
    for note in &summary.notes {
        page.push_str(&format!("<li>{}</li>\n", escape(note)));
    }
    page.push_str("</ul>\n");
}
