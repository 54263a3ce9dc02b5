//! Results in words.

use groupwise_stats::{SMALL_SAMPLE, Verdict, seeds_needed};

use crate::CellState;
use crate::format::{decimals, fixed, signed, value};
use crate::manifest::Manifest;
use crate::summary::{ArmSummary, CONFIDENCE, Comparison, Measure, Summary};

/// What the table of estimates shows.
pub(crate) const CALIBRATION: &str = "A success rate that sampler or allocator stated before a group was rolled out, \
    against what followed. Brier score: mean squared error per rollout, lower is better; beside it that of always stating \
    the rate of the same rollouts. Each arm is judged on the tasks it chose.";

/// Heads of that table.
pub(crate) const CALIBRATION_HEADS: [&str; 5] = [
    "arm",
    "Brier score",
    "of a constant",
    "rank correlation with outcomes",
    "with easiness by the generator",
];

/// `knapsack - uniform: +0.041 [0.012, 0.070] resolved`.
pub(crate) fn comparison(found: &Comparison) -> String {
    let who = format!("{} - {}", found.arm, found.baseline);
    let Some(difference) = found.difference else {
        return format!("{who}: no seed in common");
    };
    let Some(paired) = &found.paired else {
        return format!(
            "{who}: {} (one seed: no interval)",
            signed(difference, decimals(difference))
        );
    };
    let verdict = match paired.verdict {
        Verdict::Higher | Verdict::Lower => "resolved",
        Verdict::Unresolved => "not resolved",
        Verdict::Degenerate if paired.mean == 0.0 => "identical on every seed",
        Verdict::Degenerate => "the same difference on every seed: spread unknown",
    };
    format!("{who}: {} {verdict}", numbers(found))
}

/// `+0.041 [0.012, 0.070]`.
pub(crate) fn numbers(found: &Comparison) -> String {
    match (&found.paired, found.difference) {
        (Some(p), _) => {
            let interval = p.interval();
            let d = interval_decimals(p.mean, interval.low, interval.high);
            format!(
                "{} {}",
                signed(p.mean, d),
                bracket(interval.low, interval.high, d)
            )
        }
        (None, Some(difference)) => signed(difference, decimals(difference)),
        (None, None) => "-".to_owned(),
    }
}

/// Decimals that suit an estimate and its interval.
pub(crate) fn interval_decimals(mean: f64, low: f64, high: f64) -> usize {
    decimals(mean.abs().max(high - low))
}

/// `[0.012, 0.070]`.
pub(crate) fn bracket(low: f64, high: f64, decimals: usize) -> String {
    format!("[{}, {}]", fixed(low, decimals), fixed(high, decimals))
}

/// What the report can and cannot say, one sentence or two each.
pub(crate) fn limits(manifest: &Manifest, arms: &[ArmSummary], comparisons: &[Comparison]) -> Vec<String> {
    let mut out = Vec::new();
    let least = arms.iter().map(|a| a.seeds.len()).min().unwrap_or(0);
    out.push(match least {
        0 => "At least one arm has no finished run: nothing can be said about it.".to_owned(),
        1 => "One seed per arm: differences between arms cannot be told from chance, and no interval is given. Add seeds.".to_owned(),
        n => format!(
            "{n} seeds per arm. Intervals cover seeds only: initial weights, task pool, order of prompts and sampling. They \
             do not cover other models, other tasks or other settings."
        ),
    });
    if (2..SMALL_SAMPLE).contains(&least) {
        out.push(format!(
            "Verdicts rest on Student-t intervals of paired differences. Bootstrap intervals over {least} seeds are listed \
             too, but are too narrow: at 3 seeds one that says 95% covers about 74%, at 5 about 82%."
        ));
    }
    if least >= 2 && manifest.arms.len() > 1 {
        let floor = 2.0_f64.powi(1 - least as i32);
        let tail = if floor > 1.0 - CONFIDENCE {
            ", so the test alone can never reject here"
        } else {
            ""
        };
        out.push(format!(
            "A sign-flip test over {least} pairs cannot give a p-value below {}{tail}.",
            value(floor)
        ));
    }
    for found in comparisons
        .iter()
        .filter(|c| c.metric == manifest.metric && c.measure == Measure::AtRollouts)
    {
        out.extend(detectable(found));
    }
    let names: std::collections::BTreeSet<&str> = comparisons.iter().map(|c| c.metric.as_str()).collect();
    if manifest.arms.len() > 2 || names.len() > 1 {
        out.push(
            "Several comparisons are shown. P-values are adjusted (Holm) over arms within one metric and measure; intervals \
             are not adjusted, and nothing is adjusted over metrics and measures."
                .to_owned(),
        );
    }
    out
}

fn detectable(found: &Comparison) -> Option<String> {
    let paired = found.paired.as_ref().filter(|p| p.sd > 0.0)?;
    let d = decimals(paired.detectable);
    let mut text = format!(
        "{} against {}: with the observed spread of paired differences (sd {}), {} seeds detect a difference of {} or more \
         with probability 0.8.",
        found.arm,
        found.baseline,
        value(paired.sd),
        paired.n,
        fixed(paired.detectable, d)
    );
    if paired.verdict == Verdict::Unresolved {
        let more = match seeds_needed(paired.mean, paired.sd, CONFIDENCE, 0.8, 1000) {
            Ok(Some(n)) => format!("about {n} seeds"),
            _ => "more than 1000 seeds".to_owned(),
        };
        text.push_str(&format!(
            " If the observed difference were the true one, it would take {more} to resolve it."
        ));
    }
    Some(text)
}

/// What went wrong in the cells: failures first, then warnings; empty if all went well.
pub(crate) fn incidents(summary: &Summary) -> Vec<String> {
    let failed = summary.cells.iter().filter_map(|c| match &c.state {
        CellState::Failed(message) => Some(format!("{} seed {} failed: {message}", c.arm, c.seed)),
        CellState::Finished | CellState::Unfinished | CellState::Missing => None,
    });
    let warned = summary.cells.iter().flat_map(|c| {
        let line = move |(step, m): &(u64, String)| format!("{} seed {}, step {step}: {m}", c.arm, c.seed);
        c.warnings.iter().map(line)
    });
    failed.chain(warned).collect()
}
