//! `groupwise score` as others call it.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::common::{TABULAR, groupwise, write};

/// Exit code, standard output and standard error of `score` on this input.
fn score(args: &[&str], input: &str) -> (i32, String, String) {
    let mut command: Command = groupwise();
    command.arg("score").args(args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The command may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), out, err)
}

const GROUPS: &str =
    "{\"id\": \"a\", \"rewards\": [1, 0]}\n{\"id\": \"b\", \"rewards\": [0, 0]}\n{\"rewards\": [2, 0]}\n";

#[test]
fn results_go_to_standard_output_and_nothing_else_does() {
    let (code, out, err) = score(&["--advantage", "dr-grpo"], GROUPS);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        "{\"id\":\"a\",\"advantages\":[0.5,-0.5]}\n{\"id\":\"b\",\"advantages\":[0.0,0.0]}\n{\"id\":3,\"advantages\":[1.0,-1.0]}\n"
    );
}

#[test]
fn bad_input_exits_with_2_and_keeps_what_was_scored() {
    let (code, out, err) = score(
        &["--advantage", "raw"],
        "{\"rewards\": [1]}\n{\"rewards\": [NaN]}\n",
    );
    assert_eq!((code, out.as_str()), (2, "{\"id\":1,\"advantages\":[1.0]}\n"));
    assert!(
        err.starts_with("error: line 2, column 1") && err.contains("NaN is not JSON"),
        "{err}"
    );
    let (code, out, err) = score(&["--advantage", "gae"], GROUPS);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("say with --batch how many groups"), "{err}");
    let (code, _, err) = score(&["--advantage", "gpro"], GROUPS);
    assert!(code == 2 && err.ends_with("; did you mean `grpo`?\n"), "{err}");
    let (code, _, err) = score(&[], GROUPS);
    assert_eq!(
        (code, err.as_str()),
        (
            2,
            "error: nothing to compute: name an advantage, an objective or both\n"
        )
    );
    let (code, _, err) = score(&["--advantage", "raw", "--batch", "0"], GROUPS);
    assert!(code == 2 && err.contains("--batch"), "{err}");
    let (code, _, err) = score(&["--advantage", "raw", "--arm", "x"], GROUPS);
    assert!(code == 2 && err.contains("--recipe"), "{err}");
}

#[test]
fn a_short_last_batch_and_an_empty_input_are_remarked() {
    let (code, out, err) = score(
        &["--advantage", "grpo.scale_rewards = 'batch'", "--batch", "2"],
        GROUPS,
    );
    assert_eq!((code, out.lines().count()), (0, 3));
    assert_eq!(err, "note: the last batch holds 1 of 2 groups\n");
    let (code, out, err) = score(&["--advantage", "raw"], "\n");
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "", "note: standard input held no group\n")
    );
}

#[test]
fn parts_come_from_a_recipe_and_single_ones_can_be_left_out_or_changed() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = write(folder.path(), &format!("{TABULAR}[arms.raw.advantage.raw]\n"));
    let recipe = recipe.to_str().unwrap();
    let (code, _, err) = score(&["--recipe", recipe], GROUPS);
    assert!(
        code == 2 && err.contains("choose one with --arm: uniform, vade, raw"),
        "{err}"
    );
    let (code, out, err) = score(
        &["--recipe", recipe, "--arm", "raw", "--objective", "none"],
        GROUPS,
    );
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.starts_with("{\"id\":\"a\",\"advantages\":[1.0,0.0]}"),
        "{out}"
    );
    let (code, _, err) = score(&["--recipe", recipe, "--arm", "raw"], GROUPS);
    assert_eq!(
        (code, err.as_str()),
        (
            2,
            "error: line 1: lacks `tokens.logp`, which objective `reinforce` needs\n"
        )
    );
    let set = [
        "--recipe",
        recipe,
        "--arm",
        "uniform",
        "--objective",
        "none",
        "--set",
        "advantage.grpo.scale_rewards=none",
    ];
    let (code, out, _) = score(&set, GROUPS);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("{\"id\":\"a\",\"advantages\":[0.5,-0.5]}"),
        "{out}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = groupwise();
    command.args(["score", "--advantage", "raw"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let _ = child
        .stdin
        .take()
        .unwrap()
        .write_all("{\"rewards\": [1]}\n".repeat(100_000).as_bytes());
    let end = child.wait_with_output().unwrap();
    assert_eq!((end.status.code(), end.stderr.len()), (Some(0), 0));
}
