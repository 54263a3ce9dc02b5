//! Runs written by hand, small enough to compute every number of their report on paper.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use groupwise_core::event::{BillKind, EVENT_VERSION, Event};
use serde_json::json;

/// Start of a run.
pub(crate) fn start(seed: u64) -> Event {
    Event::Start {
        version: EVENT_VERSION,
        seed,
        run: "r".to_owned(),
        steps: 2,
        n_tasks: 8,
    }
}

/// An evaluation of `eval/success`.
pub(crate) fn eval(step: u64, rollouts: u64, success: f64) -> Event {
    let metrics = BTreeMap::from([("eval/success".to_owned(), success)]);
    Event::Eval {
        step,
        rollouts,
        tokens: 10 * rollouts,
        metrics,
    }
}

/// A group of a step.
pub(crate) fn group(step: u64, kind: BillKind, rewards: &[f64]) -> Event {
    Event::Group {
        step,
        task: "t".to_owned(),
        difficulty: 1.0,
        kind,
        rewards: rewards.iter().map(|r| Some(*r)).collect(),
        lengths: vec![10; rewards.len()],
        estimate: None,
    }
}

/// End of a step.
pub(crate) fn step(step: u64, rollouts: u64) -> Event {
    Event::Step {
        step,
        rollouts,
        tokens: 10 * rollouts,
        metrics: BTreeMap::from([("work".to_owned(), (step * rollouts) as f64)]),
    }
}

/// End of a run.
pub(crate) fn finish(rollouts: u64) -> Event {
    let billed = BTreeMap::from([(BillKind::Train, rollouts)]);
    Event::Finish {
        step: 2,
        rollouts,
        tokens: 10 * rollouts,
        billed,
        weights: "ab".repeat(32),
    }
}

/// A run whose success rises from 0 to `last` over `rollouts`, in two steps of one mixed and one unmixed group.
pub(crate) fn rising(seed: u64, last: f64, rollouts: u64) -> Vec<Event> {
    let half = rollouts / 2;
    vec![
        start(seed),
        eval(0, 0, 0.0),
        group(1, BillKind::Train, &vec![1.0; half as usize]),
        step(1, half),
        group(
            2,
            BillKind::Train,
            &[vec![1.0], vec![0.0; half as usize - 1]].concat(),
        ),
        step(2, rollouts),
        eval(2, rollouts, last),
        finish(rollouts),
    ]
}

/// Events as the lines of a log.
pub(crate) fn lines(events: &[Event]) -> String {
    events
        .iter()
        .map(|e| serde_json::to_string(e).expect("events are JSON") + "\n")
        .collect()
}

/// Writes a finished run.
pub(crate) fn write_run(root: &Path, run: &str, arm: &str, seed: u64, events: &[Event]) -> PathBuf {
    let dir = root.join(run);
    fs::create_dir_all(&dir).expect("the test folder can be written");
    let info = json!({"name": "small", "arm": arm, "seed": seed, "run": run, "steps": 2, "n_tasks": 8});
    fs::write(dir.join("run.json"), info.to_string()).expect("the test folder can be written");
    fs::write(dir.join("events.jsonl"), lines(events)).expect("the test folder can be written");
    fs::write(
        dir.join("recipe.toml"),
        format!("seed = {seed}\n[sampler.{arm}]\nwidth = 1\n"),
    )
    .expect("the test folder can be written");
    fs::write(dir.join("done"), "").expect("the test folder can be written");
    dir
}

/// Writes the index of an ablation; cells are (arm, seed, run).
pub(crate) fn write_index(root: &Path, arms: &[&str], seeds: &[u64], cells: &[(&str, u64, &str)]) -> PathBuf {
    let dir = root.join("ablations").join("small");
    fs::create_dir_all(&dir).expect("the test folder can be written");
    let cells: Vec<_> = cells
        .iter()
        .map(|(a, s, r)| json!({"arm": a, "seed": s, "run": r}))
        .collect();
    let index = json!({
        "name": "small", "description": "", "baseline": arms[0], "arms": arms, "seeds": seeds,
        "metric": "eval/success", "cells": cells, "claims": [],
    });
    fs::write(dir.join("ablation.json"), index.to_string()).expect("the test folder can be written");
    dir
}

/// Two arms, two seeds, both arms finished on both.
pub(crate) fn write_pair(root: &Path) -> PathBuf {
    write_run(root, "u0", "uniform", 0, &rising(0, 0.4, 8));
    write_run(root, "u1", "uniform", 1, &rising(1, 0.5, 8));
    write_run(root, "v0", "vade", 0, &rising(0, 0.6, 8));
    write_run(root, "v1", "vade", 1, &rising(1, 0.8, 12));
    write_index(
        root,
        &["uniform", "vade"],
        &[0, 1],
        &[
            ("uniform", 0, "u0"),
            ("vade", 0, "v0"),
            ("uniform", 1, "u1"),
            ("vade", 1, "v1"),
        ],
    )
}
