//! What a damaged folder does to a report: see the table in `groupwise_report::read`.

use std::fs;

use crate::small::*;
use groupwise_core::event::EVENT_VERSION;
use groupwise_report::{CellState, read_ablation, summarize};

fn error_of(dir: &std::path::Path) -> String {
    let root = dir.parent().expect("has a parent").display().to_string();
    read_ablation(dir)
        .expect_err("is refused")
        .to_string()
        .replace(&root, "ROOT")
}

#[test]
fn a_folder_that_is_no_run_says_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("empty");
    fs::create_dir(&dir).unwrap();
    assert_eq!(
        error_of(&dir),
        "`ROOT/empty` is no run: it holds neither `ablation.json` (an ablation) nor `run.json` (a single run)"
    );
}

#[test]
fn a_cut_last_line_is_left_out_with_a_note() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_run(root.path(), "r", "uniform", 0, &rising(0, 0.4, 8));
    let whole = fs::read(dir.join("events.jsonl")).unwrap();
    fs::write(dir.join("events.jsonl"), &whole[..whole.len() - 20]).unwrap();
    let ablation = read_ablation(&dir).unwrap();
    assert_eq!(ablation.cells[0].record.as_ref().unwrap().events.len(), 7);
    assert_eq!(ablation.notes.len(), 1);
    assert!(
        ablation.notes[0]
            .starts_with("uniform seed 0: line 8 of events.jsonl is incomplete and was left out")
    );
    // Bytes that are no text at all are a damaged line too.
    fs::write(dir.join("events.jsonl"), [&whole[..], b"\xff\xfe"].concat()).unwrap();
    assert!(read_ablation(&dir).unwrap().notes[0].contains("line 9"));
}

#[test]
fn a_corrupt_line_in_the_middle_is_an_error_with_file_and_line() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_run(root.path(), "r", "uniform", 0, &rising(0, 0.4, 8));
    let text = lines(&rising(0, 0.4, 8)).replacen("\"event\":\"group\"", "\"event\":\"grup\"", 1);
    fs::write(dir.join("events.jsonl"), text).unwrap();
    let message = error_of(&dir);
    assert!(
        message.starts_with("`ROOT/r/events.jsonl`, line 3: unknown variant `grup`"),
        "{message}"
    );
    fs::write(dir.join("events.jsonl"), lines(&rising(0, 0.4, 8)[1..])).unwrap();
    assert_eq!(
        error_of(&dir),
        "`ROOT/r/events.jsonl`, line 1: the first event is not `start`"
    );
}

#[test]
fn a_newer_version_is_refused_even_if_its_events_are_unknown() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_run(root.path(), "r", "uniform", 0, &[]);
    let newer = EVENT_VERSION + 1;
    fs::write(
        dir.join("events.jsonl"),
        format!("{{\"event\":\"start\",\"version\":{newer},\"novel\":1}}\n"),
    )
    .unwrap();
    assert_eq!(
        error_of(&dir),
        format!(
            "`ROOT/r/events.jsonl` holds events of version {newer}; this build reads versions up to {EVENT_VERSION}"
        )
    );
}

#[test]
fn values_that_were_not_finite_are_left_out_with_a_note() {
    let root = tempfile::tempdir().unwrap();
    let dir = write_run(root.path(), "r", "uniform", 0, &[]);
    let text = lines(&rising(0, 0.4, 8))
        .replacen(
            "\"metrics\":{\"eval/success\":0.0}",
            "\"metrics\":{\"eval/success\":0.0,\"eval/kl\":null}",
            1,
        )
        .replacen("\"difficulty\":1.0", "\"difficulty\":null", 1);
    fs::write(dir.join("events.jsonl"), text).unwrap();
    let ablation = read_ablation(&dir).unwrap();
    assert_eq!(
        ablation.notes,
        ["uniform seed 0: 2 values that are not finite were left out, first `eval/kl` in line 2"]
    );
    assert_eq!(summarize(&ablation).cells[0].last, Some(0.4));
}

#[test]
fn cells_that_did_not_finish_are_listed_and_not_compared() {
    let root = tempfile::tempdir().unwrap();
    write_pair(root.path());
    fs::remove_file(root.path().join("v1").join("done")).unwrap();
    fs::remove_file(root.path().join("u1").join("done")).unwrap();
    fs::write(
        root.path().join("u1").join("failed.json"),
        r#"{"error": "out of memory"}"#,
    )
    .unwrap();
    let dir = write_index(
        root.path(),
        &["uniform", "vade"],
        &[0, 1, 2],
        &[
            ("uniform", 0, "u0"),
            ("uniform", 1, "u1"),
            ("uniform", 2, "u2"),
            ("vade", 0, "v0"),
            ("vade", 1, "v1"),
        ],
    );
    let summary = summarize(&read_ablation(&dir).unwrap());
    let states: Vec<&CellState> = summary.cells.iter().map(|c| &c.state).collect();
    let failed = CellState::Failed("out of memory".to_owned());
    assert_eq!(
        states,
        [
            &CellState::Finished,
            &failed,
            &CellState::Missing,
            &CellState::Finished,
            &CellState::Unfinished
        ]
    );
    assert_eq!(summary.comparisons[0].seeds, [0]);
    assert_eq!(
        summary.comparisons[0].words,
        "vade - uniform: +0.200 (one seed: no interval)"
    );
    assert_eq!(
        summary.notes,
        ["3 of 5 cells have not finished and enter no comparison"]
    );
    assert!(groupwise_report::render_html(&summary).contains("uniform seed 1 failed: out of memory"));
}

#[test]
fn an_index_that_contradicts_itself_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let refused = |arms: &[&str], cells: &[(&str, u64, &str)]| {
        let dir = write_index(root.path(), arms, &[0], cells);
        let message = read_ablation(&dir).unwrap_err().to_string();
        message.split_once("ablation.json`: ").unwrap().1.to_owned()
    };
    assert_eq!(
        refused(&["a"], &[("b", 0, "x")]),
        "cell 0 names arm `b`, which is none of the arms"
    );
    assert_eq!(
        refused(&["a"], &[("a", 0, "../x")]),
        "cell 0: `../x` is no name of a run folder"
    );
    assert_eq!(
        refused(&["a"], &[("a", 0, "x"), ("a", 0, "y")]),
        "cell 1 repeats arm `a`, seed 0"
    );
    assert_eq!(refused(&["a", "b", "a"], &[]), "arm 2 repeats the name `a`");
    write_run(root.path(), "x", "a", 7, &[]);
    assert_eq!(
        refused(&["a"], &[("a", 0, "x")]),
        "the cell `x` has seed 0, its `run.json` says 7"
    );
}

#[test]
fn arms_with_equal_recipes_may_share_a_run() {
    let root = tempfile::tempdir().unwrap();
    write_run(root.path(), "u0", "uniform", 0, &rising(0, 0.4, 8));
    write_run(root.path(), "u1", "uniform", 1, &rising(1, 0.5, 8));
    let cells = [
        ("uniform", 0, "u0"),
        ("uniform", 1, "u1"),
        ("again", 0, "u0"),
        ("again", 1, "u1"),
    ];
    let dir = write_index(root.path(), &["uniform", "again"], &[0, 1], &cells);
    let summary = summarize(&read_ablation(&dir).unwrap());
    assert_eq!(
        summary.comparisons[0].words,
        "again - uniform: +0.000 [0.000, 0.000] identical on every seed"
    );
}
