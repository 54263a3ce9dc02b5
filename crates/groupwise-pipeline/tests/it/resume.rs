//! A run that is interrupted, killed or started again leaves the bytes of one that was not.

use std::fs::OpenOptions;
use std::io::Write;

use crate::common::{CrashAfter, Tabular, bytes, plan, recipe, run};
use groupwise_core::Event;
use groupwise_pipeline::{Ending, PipelineError, RunFolder};
use proptest::prelude::*;

const FACTORY: Tabular = Tabular {
    learner: true,
    poisoned_step: None,
};

/// Recipes that exercise every part with memory.
fn recipes() -> Vec<String> {
    vec![
        recipe(""),
        recipe("[sampler.vade]\n[allocator.knapsack]"),
        recipe("[sampler.vas]\nrefresh_every = 4\nrollouts = 2\n[allocator.square-root]"),
        recipe("[sampler.cures]\nreplacement = \"epoch\"\n"),
        recipe("[filter.dynamic-sampling]\nmax_gen_batches = 50\n"),
        recipe("[repair.arpo-replay]\nmax_age = 5\n"),
        // Prompts chosen, rollouts split among them and hints set in one recipe.
        recipe("[sampler.vade]\n[allocator.knapsack]\n[scaffold.seele]\nunit = \"word\"\n"),
        recipe("[sampler.sari]\nblocks = { count = 3, batches = 4 }\n[allocator.knapsack]\n"),
        recipe("[sampler.temporal-r1]\n"),
        recipe("[repair.scaf-grpo]\nhints = { reference = \"word\" }\n"),
    ]
}

fn uninterrupted(text: &str) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let runs = tempfile::tempdir().expect("a folder");
    let trained = run(
        &plan(text),
        runs.path(),
        usize::MAX,
        &mut Vec::<Event>::new(),
        &FACTORY,
    )
    .expect("a run");
    assert_eq!(trained.ending, Ending::Finished);
    bytes(&trained.folder)
}

#[test]
fn interrupted_runs_end_in_the_same_bytes() {
    for text in recipes() {
        let expected = uninterrupted(&text);
        for pace in [1, 2, 5] {
            let runs = tempfile::tempdir().unwrap();
            let plan = plan(&text);
            let folder = loop {
                let mut sink = Vec::<Event>::new();
                let trained = run(&plan, runs.path(), pace, &mut sink, &FACTORY).unwrap();
                if trained.ending == Ending::Finished {
                    break trained.folder;
                }
            };
            assert_eq!(bytes(&folder), expected, "pace {pace}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A crash at any event, with torn log lines behind it, twice in a row.
    #[test]
    fn crashed_runs_end_in_the_same_bytes(first in 0usize..100, second in 0usize..100, which in 0usize..10) {
        let text = &recipes()[which];
        let expected = uninterrupted(text);
        let runs = tempfile::tempdir().unwrap();
        let plan = plan(text);
        for crash in [first, second] {
            if run(&plan, runs.path(), usize::MAX, &mut CrashAfter(crash), &FACTORY).is_err() {
                for folder in std::fs::read_dir(runs.path()).unwrap().flatten() {
                    for log in ["events.jsonl", "rollouts.jsonl"] {
                        let log = OpenOptions::new().append(true).open(folder.path().join(log));
                        log.unwrap().write_all(b"{\"event\":\"st").unwrap();
                    }
                }
            }
        }
        let trained = run(&plan, runs.path(), usize::MAX, &mut Vec::<Event>::new(), &FACTORY).unwrap();
        prop_assert_eq!(bytes(&trained.folder), expected);
    }
}

#[test]
fn a_finished_run_is_not_run_again() {
    let runs = tempfile::tempdir().unwrap();
    let plan = plan(&recipe(""));
    let mut sink = Vec::<Event>::new();
    let first = run(&plan, runs.path(), usize::MAX, &mut sink, &FACTORY).unwrap();
    let before = bytes(&first.folder);
    let mut silent = Vec::<Event>::new();
    let second = run(&plan, runs.path(), usize::MAX, &mut silent, &FACTORY).unwrap();
    assert_eq!(second, first);
    assert!(silent.is_empty());
    assert_eq!(bytes(&first.folder), before);
}

#[test]
fn what_is_heard_is_what_is_written() {
    let runs = tempfile::tempdir().unwrap();
    let mut heard = Vec::<Event>::new();
    let trained = run(&plan(&recipe("")), runs.path(), usize::MAX, &mut heard, &FACTORY).unwrap();
    let text = std::fs::read_to_string(trained.folder.join("events.jsonl")).unwrap();
    let written: Vec<Event> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(written, heard);
}

#[test]
fn two_processes_cannot_work_on_one_run() {
    let runs = tempfile::tempdir().unwrap();
    let plan = plan(&recipe(""));
    let id = groupwise_pipeline::run_id(&plan, 5).unwrap();
    let held = RunFolder::open(&runs.path().join(&id)).unwrap();
    let error = run(&plan, runs.path(), 1, &mut Vec::<Event>::new(), &FACTORY).unwrap_err();
    assert!(matches!(error, PipelineError::Busy { .. }), "{error}");
    drop(held);
    assert!(run(&plan, runs.path(), 1, &mut Vec::<Event>::new(), &FACTORY).is_ok());
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let runs = tempfile::tempdir().unwrap();
    let plan = plan(&recipe(""));
    let trained = run(&plan, runs.path(), 4, &mut Vec::<Event>::new(), &FACTORY).unwrap();
    assert_eq!(trained.ending, Ending::Interrupted);
    let path = trained.folder.join("checkpoint/learner.bin");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = run(&plan, runs.path(), 1, &mut Vec::<Event>::new(), &FACTORY)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("learner.bin: does not match the digest"),
        "{error}"
    );
}
