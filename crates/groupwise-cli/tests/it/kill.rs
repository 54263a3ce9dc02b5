//! `kill -9` at random moments, another number of jobs, another number of threads: the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::common::{TABULAR, TRANSFORMER, groupwise, run, write};
use groupwise_core::{Key, Stream};

/// Everything deterministic in every run folder.
fn bytes(runs: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for run in fs::read_dir(runs).unwrap().flatten() {
        let name = run.file_name().to_string_lossy().into_owned();
        if name == "ablations" || name == ".cache" {
            continue;
        }
        for file in [
            "events.jsonl",
            "rollouts.jsonl",
            "done",
            "recipe.toml",
            "checkpoint/learner.bin",
        ] {
            let content = fs::read(run.path().join(file)).unwrap_or_else(|e| panic!("{name}/{file}: {e}"));
            out.insert(format!("{name}/{file}"), content);
        }
    }
    out
}

fn ablate(recipe: &Path, runs: &Path, jobs: usize, threads: usize) -> std::process::Command {
    let mut command = groupwise();
    command
        .arg("ablate")
        .arg(recipe)
        .arg("--runs")
        .arg(runs)
        .args(["--jobs", &jobs.to_string()]);
    command.env("RAYON_NUM_THREADS", threads.to_string());
    command
}

/// Kills the whole command `kills` times at keyed moments within `span`, then lets it finish.
fn kill_and_finish(text: &str, kills: u64, span: Duration, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let recipe = write(folder.path(), text);
    let (calm, hunted) = (folder.path().join("calm"), folder.path().join("hunted"));
    let (code, out, err) = run(&mut ablate(&recipe, &calm, 1, 1));
    assert_eq!(code, 0, "{out}{err}");
    for i in 0..kills {
        let mut command = ablate(&recipe, &hunted, 1 + (i as usize) % 2, 1 + (i as usize) % 3);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(span.mul_f64(Key::new(seed, Stream::Auxiliary).step(i).uniform()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // The cells of the last killed command notice that their parent is gone; until then they hold their folders.
    let mut last = (1, String::new(), String::new());
    for _ in 0..50 {
        last = run(&mut ablate(&recipe, &hunted, 2, 2));
        if last.0 == 0 {
            break;
        }
        sleep(Duration::from_millis(200));
    }
    assert_eq!(last.0, 0, "{}{}", last.1, last.2);
    let (expected, found) = (bytes(&calm), bytes(&hunted));
    assert_eq!(
        expected.keys().collect::<Vec<_>>(),
        found.keys().collect::<Vec<_>>()
    );
    for (name, content) in &expected {
        assert!(content == &found[name], "{name} differs");
    }
}

#[test]
fn a_killed_tabular_ablation_ends_in_the_same_bytes() {
    kill_and_finish(TABULAR, 10, Duration::from_millis(700), 1);
}

#[test]
fn a_killed_transformer_ablation_ends_in_the_same_bytes() {
    kill_and_finish(TRANSFORMER, 10, Duration::from_millis(2500), 2);
}

#[test]
fn jobs_and_threads_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = write(folder.path(), TRANSFORMER);
    let mut seen = None;
    for (jobs, threads) in [(1, 1), (2, 2), (1, 3)] {
        let runs = folder.path().join(format!("j{jobs}t{threads}"));
        let (code, out, err) = run(&mut ablate(&recipe, &runs, jobs, threads));
        assert_eq!(code, 0, "{out}{err}");
        let bytes = bytes(&runs);
        if let Some(seen) = &seen {
            assert!(seen == &bytes, "jobs {jobs}, threads {threads}");
        }
        seen = Some(bytes);
    }
}
