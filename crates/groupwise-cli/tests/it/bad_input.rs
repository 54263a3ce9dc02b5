//! What goes wrong says so, with an exit code, and harms nothing else.

use std::fs;
use std::process::Command;

use crate::common::{TABULAR, TRANSFORMER, groupwise, run, write};

#[test]
fn a_typo_in_a_recipe_is_located() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = write(
        folder.path(),
        &TABULAR.replace("prompts_per_step", "prompt_per_step"),
    );
    let (code, _, err) = run(groupwise()
        .arg("ablate")
        .arg(&recipe)
        .arg("--runs")
        .arg(folder.path()));
    assert_eq!(code, 2);
    assert!(
        err.contains("recipe.toml:7:1: run.prompt_per_step: unknown key"),
        "{err}"
    );
    assert!(err.contains("did you mean `prompts_per_step`?"), "{err}");
}

#[test]
fn usage_errors_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = write(folder.path(), TABULAR);
    let (code, _, err) = run(groupwise()
        .arg("train")
        .arg(&recipe)
        .arg("--runs")
        .arg(folder.path()));
    assert_eq!(code, 2);
    assert!(
        err.contains("the recipe has several arms, choose one with --arm: uniform, vade"),
        "{err}"
    );
    let (code, _, err) = run(groupwise().arg("explain").arg(&recipe).args(["--arm", "x"]));
    assert_eq!(
        (code, err.trim()),
        (2, "error: no arm is called `x`, known: uniform, vade")
    );
    let (code, _, err) = run(groupwise().args(["ablate", "no-such.toml"]));
    assert_eq!(code, 2);
    assert!(err.contains("cannot read no-such.toml"), "{err}");
    let (code, _, err) = run(groupwise().arg("ablate").arg(&recipe).args(["--seeds", "x"]));
    assert_eq!(code, 2);
    assert!(err.contains("`x` is no seed"), "{err}");
}

#[test]
fn a_missing_data_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
name = "data"
[run]
steps = 1
[env.digit-completion]
rows = "file"
[policy.transformer]
[verifier.digit-completion]
"#;
    let recipe = write(folder.path(), text);
    let data = folder.path().join("nowhere");
    let mut command = groupwise();
    command
        .arg("train")
        .arg(&recipe)
        .arg("--runs")
        .arg(folder.path())
        .arg("--data")
        .arg(&data);
    let (code, _, err) = run(&mut command);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("nowhere"), "{err}");
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = run(groupwise().arg("report").arg(folder.path()));
    assert_eq!(code, 2);
    assert!(err.contains("run.json") || err.contains("ablation.json"), "{err}");
}

#[test]
fn a_torn_last_line_does_not_hinder_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = write(folder.path(), &TABULAR.replace("steps = 40", "steps = 10"));
    let runs = folder.path().join("runs");
    let (code, out, err) = run(groupwise().arg("ablate").arg(&recipe).arg("--runs").arg(&runs));
    assert_eq!(code, 0, "{out}{err}");
    let cell = fs::read_dir(&runs)
        .unwrap()
        .flatten()
        .find(|e| e.path().join("run.json").is_file())
        .unwrap();
    let log = cell.path().join("events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, &text[..text.len() - 20]).unwrap();
    let (code, out, err) = run(groupwise().arg("report").arg(runs.join("ablations/tabular")));
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        fs::read_to_string(runs.join("ablations/tabular/report.md"))
            .unwrap()
            .contains("is incomplete and was left out")
    );
}

/// One arm's filter starves; the other arms must finish, and the report must say which failed.
#[test]
fn an_arm_that_fails_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let broken = "[arms.broken.filter.dynamic-sampling]\nmax_gen_batches = 1\n";
    let recipe = write(folder.path(), &format!("{TABULAR}{broken}"));
    let runs = folder.path().join("runs");
    let (code, out, err) = run(groupwise().arg("ablate").arg(&recipe).arg("--runs").arg(&runs));
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        err.contains("2 of 6 cells failed; the same command tries them again"),
        "{err}"
    );
    assert!(
        out.contains("broken seed 0: FAILED: step 1: after 1 generation batches only "),
        "{out}"
    );
    let count = |name: &str| {
        let cells = fs::read_dir(&runs).unwrap().flatten();
        cells.filter(|e| e.path().join(name).is_file()).count()
    };
    assert_eq!((count("done"), count("failed.json")), (4, 2));
    let report = fs::read_to_string(runs.join("ablations/tabular/report.md")).unwrap();
    assert!(report.contains("generation batches"), "{report}");
}

/// Weights that overflow stop the run: step and tensor are named, the log up to there stays readable.
#[test]
fn weights_that_are_not_finite_stop_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let text = TRANSFORMER.replace("learning_rate = 1e-3\neval", "learning_rate = 1e38\neval");
    assert_ne!(text, TRANSFORMER);
    let recipe = write(folder.path(), &text);
    let runs = folder.path().join("runs");
    let (code, out, err) = run(groupwise().arg("train").arg(&recipe).arg("--runs").arg(&runs));
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        err.starts_with("error: step ") && err.contains("not finite") && err.contains('`'),
        "{err}"
    );
    let cell = fs::read_dir(&runs)
        .unwrap()
        .flatten()
        .find(|e| e.path().join("failed.json").is_file())
        .unwrap();
    let (code, out, err) = run(groupwise().arg("report").arg(cell.path()));
    assert_eq!(code, 0, "{out}{err}");
}

/// A limit on file size stands for a full disk: the message names the file, what was written stays, and the same
/// command without the limit finishes to the same bytes.
#[test]
fn a_full_disk_is_reported_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let text = TABULAR.replace("[arms.uniform]\n[arms.vade.sampler.vade]\n", "");
    let recipe = write(folder.path(), &text);
    let (full, calm) = (folder.path().join("full"), folder.path().join("calm"));
    let train = |runs: &std::path::Path| {
        let mut command = groupwise();
        command
            .arg("train")
            .arg(&recipe)
            .arg("--runs")
            .arg(runs)
            .args(["--seed", "3"]);
        command
    };
    let binary = env!("CARGO_BIN_EXE_groupwise");
    let line = format!(
        "trap '' XFSZ; ulimit -f 24; exec {binary} train {} --runs {} --seed 3",
        recipe.display(),
        full.display()
    );
    let (code, out, err) = run(Command::new("bash").args(["-c", &line]));
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        err.contains("File too large") && err.contains(&*full.to_string_lossy()),
        "{err}"
    );
    let (code, out, err) = run(&mut train(&full));
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = run(&mut train(&calm));
    assert_eq!(code, 0, "{out}{err}");
    let log = |runs: &std::path::Path| {
        let cell = fs::read_dir(runs)
            .unwrap()
            .flatten()
            .find(|e| e.path().join("done").is_file())
            .unwrap();
        fs::read(cell.path().join("events.jsonl")).unwrap()
    };
    assert!(log(&full) == log(&calm));
}

#[test]
fn help_has_examples() {
    for command in ["ablate", "train", "explain", "report"] {
        let (code, out, _) = run(groupwise().args([command, "--help"]));
        assert_eq!(code, 0);
        assert!(out.contains("Examples:"), "{command}: {out}");
    }
}
