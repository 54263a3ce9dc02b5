//! Figures of the page, with their captions.

use crate::difficulty::DifficultySource;
use crate::summary::{Comparison, Summary};
use crate::svg::{escape, forest as forest_plot, heatmap, histogram, line};

/// Index of an arm: the baseline is 0 (neutral), others follow in order; colors repeat after eight.
pub(crate) fn arm_index(summary: &Summary) -> impl Fn(&str) -> usize + '_ {
    move |arm| {
        if arm == summary.baseline {
            return 0;
        }
        let others = summary.arms.iter().filter(|a| a.name != summary.baseline);
        others
            .enumerate()
            .find(|(_, a)| a.name == arm)
            .map_or(0, |(i, _)| 1 + i % 7)
    }
}

fn figure(page: &mut String, class: &str, title: &str, svg: &str, caption: &str) {
    page.push_str(&format!("<figure{class}>\n"));
    if !title.is_empty() {
        page.push_str(&format!("<h3>{}</h3>\n", escape(title)));
    }
    page.push_str(svg);
    if !caption.is_empty() {
        page.push_str(&format!("<figcaption>{}</figcaption>\n", escape(caption)));
    }
    page.push_str("</figure>\n");
}

/// Paired differences of the primary metric.
pub(super) fn forest(page: &mut String, summary: &Summary) {
    // With many arms the figure keeps to rollouts; the table has everything.
    let few = summary.arms.len() <= 4;
    let shown: Vec<&Comparison> = summary
        .shown_comparisons()
        .filter(|c| c.metric == summary.metric && c.paired.is_some() && (few || !c.measure.is_by_tokens()))
        .collect();
    if shown.is_empty() {
        return;
    }
    let method = if shown.iter().any(|c| {
        c.paired
            .as_ref()
            .is_some_and(|p| p.n < groupwise_stats::SMALL_SAMPLE)
    }) {
        "Student-t"
    } else {
        "BCa bootstrap"
    };
    let caption = format!(
        "Mean paired differences with 95% {method} intervals; filled: resolved (the interval excludes 0), hollow: not resolved. \
         Short strokes below are single seeds."
    );
    figure(
        page,
        " class=\"wide\"",
        "",
        &forest_plot::render(&shown, &arm_index(summary)),
        &caption,
    );
}

/// All curves.
pub(super) fn curves(page: &mut String, summary: &Summary) {
    if summary.figures.curves.is_empty() {
        return;
    }
    page.push_str("<h2>Learning curves</h2>\n");
    page.push_str(&format!(
        "<p class=\"sub\">{}</p>\n<div class=\"cols\">\n",
        escape(&band_caption(summary))
    ));
    for found in &summary.figures.curves {
        figure(
            page,
            "",
            &found.title,
            &line::render(found, &arm_index(summary)),
            &found.caption,
        );
    }
    page.push_str("</div>\n");
}

/// What lines and bands are.
pub(crate) fn band_caption(summary: &Summary) -> String {
    let seeds = summary.arms.iter().map(|a| a.seeds.len());
    let (least, most) = (seeds.clone().min().unwrap_or(0), seeds.max().unwrap_or(0));
    let n = if least == most {
        format!("{most}")
    } else {
        format!("{least} to {most}")
    };
    match least {
        _ if most <= 1 => "One seed per arm: lines without bands.".to_owned(),
        3.. => format!(
            "Lines: mean over {n} seeds. Bands: 95% Student-t interval of that mean, cut where it leaves the axis. Overlapping \
             bands do not mean that arms are alike: seeds are paired, and only paired differences decide."
        ),
        _ => format!(
            "Lines: mean over {n} seeds. Bands: smallest to largest seed (fewer than 3 seeds), otherwise the 95% Student-t \
             interval of the mean. Only paired differences decide between arms."
        ),
    }
}

/// Allocation of rollouts and reward by difficulty.
pub(super) fn allocation(page: &mut String, summary: &Summary) {
    let data = &summary.figures;
    if data.allocation.is_empty() && data.difficulty.is_none() {
        return;
    }
    page.push_str("<h2>Where the rollouts went</h2>\n<div class=\"cols\">\n");
    if !data.allocation.is_empty() {
        let caption = "Share of groups that entered an update, all seeds and steps pooled. Each row is scaled to its highest bar.";
        figure(
            page,
            "",
            "Group sizes",
            &histogram::render(&data.allocation, &arm_index(summary)),
            caption,
        );
    }
    if let Some(map) = &data.difficulty {
        let (title, caption) = match map.source {
            DifficultySource::Evaluation => (
                format!("{} by difficulty", summary.metric),
                "Evaluation set, the same for all arms; mean over seeds, interpolated between evaluations.",
            ),
            DifficultySource::Training => (
                "Training reward by difficulty".to_owned(),
                "Mean reward of the groups rolled out, hinted ones left out, all seeds pooled. It shows tasks that an arm chose, \
                 not a fixed evaluation set.",
            ),
        };
        figure(
            page,
            "",
            &title,
            &heatmap::render(map, &arm_index(summary)),
            caption,
        );
    }
    page.push_str("</div>\n");
}
