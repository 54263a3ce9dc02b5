//! Paired comparisons of every arm with the baseline.

use std::collections::BTreeSet;

use groupwise_core::{Key, Stream};
use groupwise_stats::{PairedConfig, compare_paired, holm, mean};

use crate::claim::{Claim, ClaimSummary, ClaimVerdict, judge};
use crate::manifest::Manifest;
use crate::say;
use crate::summarize::Used;
use crate::summary::{Budget, CONFIDENCE, Comparison, Measure, is_breakdown};

/// Every arm against the baseline: all measures of the primary metric, then the others at equal budget.
pub(crate) fn compare_arms(manifest: &Manifest, used: &[Used<'_>], budget: &Budget) -> Vec<Comparison> {
    let names: BTreeSet<&String> = used.iter().flat_map(|u| u.numbers.metrics.keys()).collect();
    let primary = Measure::OF_EVALUATIONS
        .into_iter()
        .map(|m| (manifest.metric.as_str(), m));
    let others = names
        .into_iter()
        .filter(|n| **n != manifest.metric && !is_breakdown(n))
        .flat_map(|n| [Measure::AtRollouts, Measure::AreaRollouts].map(|m| (n.as_str(), m)));
    let mut all = Vec::new();
    for (metric, measure) in primary.chain(others) {
        let arms = manifest.arms.iter().filter(|a| **a != manifest.baseline);
        let mut family: Vec<Comparison> = arms
            .map(|arm| compare(arm, &manifest.baseline, metric, measure, used, budget))
            .collect();
        adjust(&mut family);
        all.extend(family);
    }
    all
}

fn compare(
    arm: &str,
    baseline: &str,
    metric: &str,
    measure: Measure,
    used: &[Used<'_>],
    budget: &Budget,
) -> Comparison {
    let value = |arm: &str, seed: u64| {
        let cell = used.iter().find(|u| u.arm == arm && u.seed == seed)?;
        measure.of(cell.numbers, metric, budget)
    };
    let (mut seeds, mut treatment, mut control) = (Vec::new(), Vec::new(), Vec::new());
    for cell in used.iter().filter(|u| u.arm == arm) {
        if let (Some(t), Some(c)) = (value(arm, cell.seed), value(baseline, cell.seed)) {
            seeds.push(cell.seed);
            treatment.push(t);
            control.push(c);
        }
    }
    let config = PairedConfig {
        confidence: CONFIDENCE,
        ..PairedConfig::default()
    };
    // The key names what is compared, so that a further arm or metric changes no interval.
    let key = Key::new(0, Stream::Bootstrap)
        .named(arm, 0)
        .named(metric, measure as u64);
    let differences: Vec<f64> = treatment.iter().zip(&control).map(|(t, c)| t - c).collect();
    let mut found = Comparison {
        arm: arm.to_owned(),
        baseline: baseline.to_owned(),
        metric: metric.to_owned(),
        measure,
        seeds,
        difference: (!differences.is_empty()).then(|| mean(&differences)),
        paired: compare_paired(&treatment, &control, &config, key).ok(),
        p_holm: None,
        words: String::new(),
    };
    found.words = say::comparison(&found);
    found
}

fn adjust(family: &mut [Comparison]) {
    let p_values: Vec<f64> = family
        .iter()
        .filter_map(|c| c.paired.as_ref())
        .map(|p| p.p_value)
        .collect();
    let Ok(adjusted) = holm(&p_values) else { return };
    let with_p = family.iter_mut().filter(|c| c.paired.is_some());
    for (comparison, p) in with_p.zip(adjusted) {
        comparison.p_holm = Some(p);
    }
}

/// Judges a claim of the manifest; one that cannot be read is left out with a note.
pub(crate) fn judge_claim(
    value: &serde_json::Value,
    manifest: &Manifest,
    used: &[Used<'_>],
    budget: &Budget,
    notes: &mut Vec<String>,
) -> Option<ClaimSummary> {
    let claim: Claim = match serde_json::from_value(value.clone()) {
        Ok(claim) => claim,
        Err(error) => {
            notes.push(format!("the claim was not judged: {error}"));
            return None;
        }
    };
    for arm in [&claim.arm, &claim.control] {
        if !manifest.arms.contains(arm) {
            notes.push(format!("the claim was not judged: `{arm}` is none of the arms"));
            return None;
        }
    }
    if !(claim.least_effect >= 0.0 && claim.least_effect.is_finite()) {
        notes.push(format!(
            "the claim was not judged: `least_effect` = {} must be finite and at least 0",
            claim.least_effect
        ));
        return None;
    }
    let (measure, metric) = Measure::parse(&claim.metric);
    if used
        .iter()
        .all(|u| measure.of(u.numbers, metric, budget).is_none())
    {
        notes.push(format!(
            "no run has a value of the claim's metric `{}`",
            claim.metric
        ));
    }
    let found = compare(&claim.arm, &claim.control, metric, measure, used, budget);
    let verdict = found
        .paired
        .as_ref()
        .map_or(ClaimVerdict::Inconclusive, |p| judge(&claim, p.interval()));
    let basis = format!("{}; {metric} {}", found.words, measure.words());
    Some(ClaimSummary {
        claim,
        verdict,
        basis,
        effect: found.difference,
        interval: found
            .paired
            .as_ref()
            .map(|p| (p.interval().low, p.interval().high)),
        n_seeds: found.seeds.len(),
    })
}
