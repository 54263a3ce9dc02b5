//! Numbers of a report against numbers computed by hand.

use std::fs;

use crate::small::*;
use groupwise_core::event::{BillKind, Event};
use groupwise_report::summary::Measure;
use groupwise_report::{ClaimVerdict, Summary, read_ablation, summarize, write_report};

fn pair() -> (tempfile::TempDir, Summary) {
    let root = tempfile::tempdir().expect("a folder");
    let dir = write_pair(root.path());
    let summary = summarize(&read_ablation(&dir).expect("reads"));
    (root, summary)
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
}

#[test]
fn arms_are_compared_at_the_budget_that_all_runs_reached() {
    let (_root, summary) = pair();
    assert_eq!(summary.budget.rollouts, Some((0.0, 8.0)));
    assert_eq!(summary.budget.tokens, Some((0.0, 80.0)));
    let find = |m: Measure| summary.comparisons.iter().find(|c| c.measure == m).unwrap();
    // The last run reached 0.8 after 12 rollouts: 0.8 * 8 / 12 after 8.
    let at_budget = 0.8 * 8.0 / 12.0;
    close(
        find(Measure::AtRollouts).difference.unwrap(),
        ((0.6 - 0.4) + (at_budget - 0.5)) / 2.0,
    );
    close(
        find(Measure::Final).difference.unwrap(),
        ((0.6 - 0.4) + (0.8 - 0.5)) / 2.0,
    );
    // Straight lines from 0: the mean height is half the end.
    close(
        find(Measure::AreaTokens).difference.unwrap(),
        ((0.6 - 0.4) + (at_budget - 0.5)) / 4.0,
    );
    assert_eq!(find(Measure::AtRollouts).seeds, [0, 1]);
    assert_eq!(find(Measure::AtRollouts).p_holm, Some(0.5));
}

#[test]
fn effective_ratio_counts_what_entered_an_update_over_everything_billed() {
    let root = tempfile::tempdir().unwrap();
    let events = vec![
        start(0),
        group(1, BillKind::Train, &[1.0, 0.0]),
        group(1, BillKind::Train, &[1.0, 1.0, 1.0]),
        group(1, BillKind::Discarded, &[1.0, 0.0, 1.0, 1.0]),
        group(1, BillKind::Hint, &[0.0, 1.0]),
        group(1, BillKind::Refresh, &[0.0, 1.0, 1.0]),
        step(1, 14),
        eval(1, 14, 0.5),
    ];
    let dir = write_run(root.path(), "r", "uniform", 0, &events);
    let summary = summarize(&read_ablation(&dir).unwrap());
    let arm = &summary.arms[0];
    close(arm.effective.mean.unwrap(), 4.0 / 14.0);
    assert_eq!(arm.rollouts_by_kind[&BillKind::Discarded], 4.0);
    assert_eq!(arm.tokens_by_kind[&BillKind::Refresh], 30.0);
    assert_eq!(summary.figures.allocation[0].sizes, [(2, 0.5), (3, 0.5)]);
    assert!(summary.comparisons.is_empty());
}

#[test]
fn coverage_counts_tasks_that_trained_and_a_solved_task_is_paid_by_all_tokens() {
    let root = tempfile::tempdir().unwrap();
    let of = |name: &str, kind, rewards: &[f64]| {
        let mut event = group(1, kind, rewards);
        if let Event::Group { task, .. } = &mut event {
            *task = name.into();
        }
        event
    };
    let events = vec![
        start(0),
        of("a", BillKind::Train, &[1.0, 0.0]),
        of("a", BillKind::Hint, &[1.0]),
        of("b", BillKind::Train, &[0.9, 0.0]),
        of("c", BillKind::Discarded, &[1.0]),
        of("d", BillKind::StartUp, &[0.0]),
        step(1, 7),
        eval(1, 7, 0.5),
    ];
    let dir = write_run(root.path(), "r", "uniform", 0, &events);
    let arm = &summarize(&read_ablation(&dir).unwrap()).arms[0];
    // Of eight tasks a and b trained; a and c were solved, for 70 tokens.
    close(arm.coverage.mean.unwrap(), 2.0 / 8.0);
    close(arm.tokens_per_solved.mean.unwrap(), 35.0);
    let dir = write_run(
        root.path(),
        "s",
        "uniform",
        0,
        &[start(0), of("b", BillKind::Train, &[0.9])],
    );
    let arm = &summarize(&read_ablation(&dir).unwrap()).arms[0];
    assert_eq!(arm.tokens_per_solved.mean, None, "nothing was solved");
}

#[test]
fn wall_time_is_the_sum_of_the_steps() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_run(root.path(), "r", "uniform", 0, &rising(0, 0.4, 8));
    let timing =
        "{\"step\":1,\"seconds\":1.5,\"phase\":{\"rollout\":1.0}}\n{\"step\":2,\"seconds\":0.5}\n{\"st";
    fs::write(dir.join("timing.jsonl"), timing).unwrap();
    let summary = summarize(&read_ablation(&dir).unwrap());
    assert_eq!(summary.cells[0].seconds, Some(2.0));
    assert_eq!(summary.arms[0].phases["rollout"], 1.0);
    assert_eq!(
        summary.notes,
        ["uniform seed 0: line 3 of timing.jsonl is incomplete and was left out"]
    );
}

#[test]
fn recipes_are_compared_without_their_names_and_seeds() {
    let (_root, summary) = pair();
    let keys: Vec<(&str, Vec<Option<&str>>)> = summary
        .recipe
        .iter()
        .map(|d| (d.key.as_str(), d.values.iter().map(Option::as_deref).collect()))
        .collect();
    assert_eq!(
        keys,
        [
            ("sampler.uniform.width", vec![Some("1"), None]),
            ("sampler.vade.width", vec![None, Some("1")])
        ]
    );
}

#[test]
fn claims_are_judged_by_their_measure_and_bad_ones_noted() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_pair(root.path());
    let path = dir.join("ablation.json");
    let index = fs::read_to_string(&path).unwrap();
    let judged = |claim: &str| {
        fs::write(
            &path,
            index.replace("\"claims\":[]", &format!("\"claims\":[{claim}]")),
        )
        .unwrap();
        summarize(&read_ablation(&dir).unwrap())
    };
    let claim = |metric: &str, effect: f64| {
        format!(
            r#"{{"text":"t","metric":"{metric}","arm":"vade","control":"uniform","direction":"higher","least_effect":{effect}}}"#
        )
    };
    let found = judged(&claim("area:eval/success", 0.01)).claims.remove(0);
    assert_eq!(
        found.verdict,
        ClaimVerdict::Inconclusive,
        "two seeds: the interval is 12.7 standard errors wide"
    );
    assert!(
        found
            .basis
            .ends_with("; eval/success mean over rollouts (area under the curve)"),
        "{}",
        found.basis
    );
    assert_eq!(found.n_seeds, 2);
    let (low, high) = found.interval.unwrap();
    assert!(low < 0.0 && found.effect.unwrap() > 0.0 && found.effect.unwrap() < high);
    let impossible = judged(&claim("final:eval/success", 5.0)).claims.remove(0);
    assert_eq!(impossible.verdict, ClaimVerdict::DoesNotHold);
    let bad = judged(&claim("eval/success", -1.0));
    assert_eq!(
        bad.notes,
        ["the claim was not judged: `least_effect` = -1 must be finite and at least 0"]
    );
    assert!(bad.claims.is_empty());
    let stranger = judged(&claim("eval/success", 0.0).replace("\"vade\"", "\"nobody\""));
    assert_eq!(
        stranger.notes,
        ["the claim was not judged: `nobody` is none of the arms"]
    );
    let unknown = judged("{\"arms\": 1}");
    assert!(
        unknown.notes[0].starts_with("the claim was not judged: unknown field `arms`"),
        "{}",
        unknown.notes[0]
    );
}

#[test]
fn several_claims_are_judged_each_by_its_own_measure() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_pair(root.path());
    let path = dir.join("ablation.json");
    let index = fs::read_to_string(&path).unwrap();
    let metrics = [
        "run:effective",
        "run:rollouts",
        "mean:work",
        "late:work",
        "late:nothing",
        "final-steps:eval/success",
        "area-steps:eval/success",
    ];
    let claims: Vec<String> = metrics
        .iter()
        .map(|metric| {
            format!(
                r#"{{"text":"t","metric":"{metric}","arm":"vade","control":"uniform","direction":"equal","least_effect":9}}"#
            )
        })
        .collect();
    let claims = format!("\"claims\":[{}]", claims.join(","));
    fs::write(&path, index.replace("\"claims\":[]", &claims)).unwrap();
    let summary = summarize(&read_ablation(&dir).unwrap());
    let effects: Vec<Option<f64>> = summary.claims.iter().map(|c| c.effect).collect();
    // Half of the rollouts lie in a mixed group in every run; the second run of `vade` has 12 rollouts, not 8.
    assert_eq!(effects[0], Some(0.0));
    assert_eq!(effects[1], Some(2.0));
    // Steps of 4 and 2 * 8 against 6 and 2 * 12.
    assert_eq!((effects[2], effects[3]), (Some(2.5), Some(4.0)));
    // At equal steps the twelve rollouts count as much as eight: 0.2 and 0.3 at the end, half of it on the way.
    let close = |x: Option<f64>, y: f64| assert!((x.unwrap() - y).abs() < 1e-12, "{x:?}, not {y}");
    close(effects[5], 0.25);
    close(effects[6], 0.125);
    assert_eq!((effects[4], summary.claims[4].n_seeds), (None, 0));
    assert_eq!(
        summary.notes,
        ["no run has a value of the claim's metric `late:nothing`"]
    );
}

#[test]
fn the_report_is_a_pure_function_of_the_folders_and_its_json_is_the_summary() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_pair(root.path());
    let bytes = || {
        let paths = write_report(&dir).unwrap();
        [&paths.html, &paths.markdown, &paths.json].map(|p| fs::read(p).unwrap())
    };
    let first = bytes();
    assert_eq!(first, bytes());
    let parsed: Summary = serde_json::from_slice(&first[2]).unwrap();
    assert_eq!(parsed, summarize(&read_ablation(&dir).unwrap()));
    let left: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.len(), 4, "no temporary file stays: {left:?}");
}

#[test]
fn estimates_of_difficulty_are_judged_in_both_forms_of_the_report() {
    let root = tempfile::tempdir().unwrap();
    let stated = |p: f64, rewards: &[f64]| {
        let mut event = group(1, BillKind::Train, rewards);
        if let Event::Group { estimate, .. } = &mut event {
            *estimate = Some(p);
        }
        event
    };
    let events = [
        start(0),
        stated(0.75, &[1.0, 0.0]),
        stated(0.25, &[0.0, 0.0]),
        step(1, 4),
        eval(1, 4, 0.5),
    ];
    let dir = write_run(root.path(), "r", "uniform", 0, &events);
    let summary = summarize(&read_ablation(&dir).unwrap());
    let found = &summary.arms[0].calibration;
    close(found.brier.mean.unwrap(), (0.0625 + 0.5625 + 0.125) / 4.0);
    close(found.brier_constant.mean.unwrap(), 0.25 * 0.75);
    close(found.rank_outcome.mean.unwrap(), 1.0);
    assert_eq!(found.rank_easiness.mean, None, "one difficulty has no order");
    let markdown = groupwise_report::render_markdown(&summary);
    assert!(
        markdown.contains("## Estimates of difficulty") && markdown.contains("| uniform | 0.188 |"),
        "{markdown}"
    );
    assert!(groupwise_report::render_html(&summary).contains("<h2>Estimates of difficulty</h2>"));
    // A run without estimates has no such table.
    let plain = write_run(root.path(), "s", "uniform", 0, &rising(0, 0.4, 8));
    let summary = summarize(&read_ablation(&plain).unwrap());
    assert!(!groupwise_report::render_markdown(&summary).contains("Estimates of difficulty"));
}
