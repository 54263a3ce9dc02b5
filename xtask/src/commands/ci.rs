//! What CI checks, cheapest first; the same locally.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use super::{conform, tidy};
use crate::{Outcome, repo};

// Other systems build other dependencies; there, at worst, a build takes longer.
#[cfg(all(test, target_os = "linux"))]
mod once;

/// Crates that link burn; they are built in the release profile only, so that burn is compiled once.
const BURN: &[&str] = &["groupwise-model", "groupwise-learner", "groupwise-cli"];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask ci            everything
  cargo xtask ci --fast     all that needs no tensor library: minutes
  cargo xtask ci --list     the stages and their commands

Stops at the first stage that fails and prints the command that repeats it.")]
pub(crate) struct Args {
    /// Leave out the stages that build burn.
    #[arg(long)]
    fast: bool,
    /// Print the stages instead of running them.
    #[arg(long)]
    list: bool,
}

/// One step of CI.
#[derive(Debug, PartialEq)]
struct Stage {
    name: &'static str,
    work: Work,
    needs_burn: bool,
}

#[derive(Debug, PartialEq)]
enum Work {
    /// Structural checks, in this process.
    Tidy,
    /// Golden cases, in this process.
    Golden,
    /// A command line; `env` is set for it, and the summary of a test runner is repeated at the end.
    Command {
        env: &'static [(&'static str, &'static str)],
        line: Vec<String>,
        is_test: bool,
    },
}

impl Work {
    /// The command that repeats it, for a shell.
    fn shell(&self) -> String {
        match self {
            Self::Tidy => "cargo xtask tidy".into(),
            Self::Golden => "cargo xtask conform --allow-missing".into(),
            Self::Command { env, line, .. } => {
                let env = env.iter().map(|(key, value)| format!("{key}=\"{value}\""));
                let words: Vec<String> = env.chain(line.iter().cloned()).collect();
                words.join(" ")
            }
        }
    }
}

/// Runs the stages in order.
pub(crate) fn run(args: &Args) -> Outcome {
    let nextest = has_nextest();
    let stages: Vec<Stage> = stages(nextest)
        .into_iter()
        .filter(|s| !(args.fast && s.needs_burn))
        .collect();
    if args.list {
        for stage in &stages {
            println!("{:20} {}", stage.name, stage.work.shell());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !nextest {
        eprintln!("cargo-nextest is not installed: `cargo test` runs instead");
    }
    // Left over from an earlier run, or not there: either is fine.
    let _ = std::fs::remove_dir_all(repo::root().join(SMOKE_RUNS));
    let clock = Clock::start();
    let mut summaries = Vec::new();
    for (i, stage) in stages.iter().enumerate() {
        eprintln!("[{}/{}] {}", i + 1, stages.len(), stage.name);
        let before = clock.elapsed();
        let passed = carry_out(stage, &mut summaries)?;
        let took = (clock.elapsed() - before).as_secs_f64();
        if !passed {
            eprintln!(
                "[{}/{}] {}: FAILED after {took:.1} s",
                i + 1,
                stages.len(),
                stage.name
            );
            eprintln!("repeat with: {}", stage.work.shell());
            return Ok(ExitCode::FAILURE);
        }
        eprintln!("[{}/{}] {}: {took:.1} s", i + 1, stages.len(), stage.name);
    }
    eprintln!(
        "ci: {} stages passed in {:.1} s",
        stages.len(),
        clock.elapsed().as_secs_f64()
    );
    for summary in summaries {
        eprintln!("{summary}");
    }
    Ok(ExitCode::SUCCESS)
}

fn carry_out(stage: &Stage, summaries: &mut Vec<String>) -> Result<bool, String> {
    match &stage.work {
        Work::Tidy => Ok(tidy::run(&tidy::Args::default())? == ExitCode::SUCCESS),
        Work::Golden => Ok(conform::run(&conform::Args::allowing_missing())? == ExitCode::SUCCESS),
        Work::Command { env, line, is_test } => {
            let mut command = match line[0].as_str() {
                "cargo" => repo::cargo(),
                other => Command::new(other),
            };
            command
                .args(&line[1..])
                .envs(env.iter().copied())
                .current_dir(repo::root());
            let (passed, found) = if *is_test {
                tee(command)?
            } else {
                (plain(command)?, Vec::new())
            };
            summaries.extend(found.into_iter().map(|s| format!("{:20} {s}", stage.name)));
            Ok(passed)
        }
    }
}

fn plain(mut command: Command) -> Result<bool, String> {
    let status = command
        .status()
        .map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    Ok(status.success())
}

/// Runs a test command, passes its output on, and keeps the lines in which a test runner sums up.
fn tee(mut command: Command) -> Result<(bool, Vec<String>), String> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    let stdout = child.stdout.take();
    let relay = std::thread::spawn(move || stdout.map(|pipe| pass_on(pipe, std::io::stdout())));
    let mut summaries = child
        .stderr
        .take()
        .map(|pipe| pass_on(pipe, std::io::stderr()))
        .unwrap_or_default();
    let from_stdout = relay.join().map_err(|_| "the relay of a test's output stopped")?;
    summaries.extend(from_stdout.into_iter().flatten());
    let status = child.wait().map_err(|e| e.to_string())?;
    Ok((status.success(), summaries))
}

fn pass_on(from: impl std::io::Read, mut to: impl Write) -> Vec<String> {
    let mut summaries = Vec::new();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let text = String::from_utf8_lossy(&line);
        // A reader of our output that went away is no reason to stop a test run.
        let _ = writeln!(to, "{text}");
        summaries.extend(summary(&text));
    }
    summaries
}

/// The line in which nextest, or cargo's own runner, sums up.
fn summary(line: &str) -> Option<String> {
    let line = line.trim();
    let is_nextest = line.starts_with("Summary [");
    let is_cargo = line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed; 0 ignored");
    (is_nextest || is_cargo).then(|| line.to_owned())
}

/// What a row of [`STAGES`] is besides its command.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A command whose exit code counts.
    Plain,
    /// As `Plain`, with warnings of the documentation denied.
    Docs,
    /// As `Plain`, and its test runner's summary is repeated at the end.
    Test,
}

/// Name, kind and command, cheapest first; the first two run in this process.
///
/// `@light` stands for the crates without burn, `@burn` for those with it, `@test` for the test runner.
const STAGES: &[(&str, Kind, &str)] = &[
    ("format", Kind::Plain, "cargo fmt --all --check"),
    (TIDY, Kind::Plain, "cargo xtask tidy"),
    (GOLDEN, Kind::Plain, "cargo xtask conform --allow-missing"),
    ("papers", Kind::Plain, "cargo xtask papers --check"),
    (
        "clippy",
        Kind::Plain,
        "cargo clippy @light --all-targets -- -D warnings",
    ),
    ("docs", Kind::Docs, "cargo doc @light --no-deps"),
    ("tests", Kind::Test, "cargo @test @light"),
    ("doc tests", Kind::Test, "cargo test --doc @light"),
    (
        "clippy (sandbox)",
        Kind::Plain,
        "cargo clippy -p groupwise-reward --features sandbox --all-targets -- -D warnings",
    ),
    (
        "tests (sandbox)",
        Kind::Test,
        "cargo @test -p groupwise-reward --features sandbox",
    ),
    (
        "clippy (burn)",
        Kind::Plain,
        "cargo clippy --release @burn --all-targets -- -D warnings",
    ),
    ("docs (burn)", Kind::Docs, "cargo doc --release @burn --no-deps"),
    ("build", Kind::Plain, "cargo build --release -p groupwise-cli"),
    (
        "smoke",
        Kind::Plain,
        "cargo xtask ablate benchmarks/ablations/smoke.toml --runs target/ci-smoke",
    ),
    (
        "tests (burn)",
        Kind::Test,
        "cargo @test --release -p groupwise-model -p groupwise-learner",
    ),
    (
        "doc tests (burn)",
        Kind::Test,
        "cargo test --doc --release -p groupwise-model -p groupwise-learner",
    ),
    (
        "tests (cli)",
        Kind::Test,
        "cargo @test --release -p groupwise-cli",
    ),
];
/// Where the smoke ablation writes; emptied first, since finished cells are never run again.
const SMOKE_RUNS: &str = "target/ci-smoke";
const TIDY: &str = "tidy";
const GOLDEN: &str = "golden";

/// The stages, with the test runner that is there.
fn stages(nextest: bool) -> Vec<Stage> {
    let listed = |flag: &str| {
        BURN.iter()
            .flat_map(|c| [flag.to_owned(), (*c).to_owned()])
            .collect::<Vec<_>>()
    };
    let light = [vec!["--workspace".to_owned()], listed("--exclude")].concat();
    // The facade links burn behind its feature; without it, it is one of the light crates.
    let facade = ["-p", "groupwise", "--features", "groupwise/burn"].map(str::to_owned);
    let burn = [listed("-p"), facade.to_vec()].concat();
    let runner: Vec<String> = if nextest {
        &["nextest", "run"][..]
    } else {
        &["test", "--tests"]
    }
    .iter()
    .map(|w| (*w).to_owned())
    .collect();
    let expand = |word: &str| match word {
        "@light" => light.clone(),
        "@burn" => burn.clone(),
        "@test" => runner.clone(),
        other => vec![other.to_owned()],
    };
    let mut needs_burn = false;
    let mut stages = Vec::new();
    for (name, kind, line) in STAGES {
        needs_burn |= line.contains("@burn");
        let work = match *name {
            TIDY => Work::Tidy,
            GOLDEN => Work::Golden,
            _ => Work::Command {
                env: if *kind == Kind::Docs {
                    &[("RUSTDOCFLAGS", "-D warnings")]
                } else {
                    &[]
                },
                line: line.split(' ').flat_map(expand).collect(),
                is_test: *kind == Kind::Test,
            },
        };
        stages.push(Stage {
            name,
            work,
            needs_burn,
        });
    }
    stages
}

fn has_nextest() -> bool {
    let probe = repo::cargo()
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

/// Wall-clock time of the run; nothing but what is printed depends on it.
struct Clock(std::time::Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "CI tells how long its stages took")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, nextest: bool) -> String {
        let stages = stages(nextest);
        stages.iter().find(|s| s.name == name).unwrap().work.shell()
    }

    #[test]
    fn burn_is_built_in_release_only_and_never_by_the_light_stages() {
        for stage in stages(true) {
            let shell = stage.work.shell();
            let is_light_build = shell.contains("--workspace");
            assert_eq!(
                is_light_build,
                shell.contains("--exclude groupwise-model"),
                "{shell}"
            );
            if stage.needs_burn {
                assert!(shell.contains("--release") || shell.contains("xtask"), "{shell}");
            }
        }
        let from = stages(true).iter().position(|s| s.needs_burn).unwrap();
        assert!(
            stages(true)[from..].iter().all(|s| s.needs_burn),
            "cheapest first"
        );
    }

    #[test]
    fn the_smoke_ablation_starts_from_an_empty_folder() {
        assert!(line("smoke", true).ends_with(&format!(" --runs {SMOKE_RUNS}")));
    }

    #[test]
    fn a_stage_prints_the_command_that_repeats_it() {
        assert_eq!(line("format", true), "cargo fmt --all --check");
        assert_eq!(
            line("docs", true),
            "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --exclude groupwise-model --exclude \
             groupwise-learner --exclude groupwise-cli --no-deps"
        );
        assert!(line("tests", true).starts_with("cargo nextest run --workspace"));
        assert!(line("tests", false).starts_with("cargo test --tests --workspace"));
    }

    #[test]
    fn summaries_of_both_runners_are_kept() {
        let nextest = "     Summary [   0.049s] 14 tests run: 14 passed, 58 skipped";
        assert_eq!(summary(nextest).as_deref(), Some(nextest.trim()));
        assert!(summary("test result: ok. 3 passed; 0 failed; 0 ignored").is_some());
        assert!(summary("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured").is_none());
        assert!(summary("        PASS [   0.006s] summary").is_none());
        let mut copy = Vec::new();
        assert_eq!(
            pass_on(&b"a\n Summary [ 1s] x\nb"[..], &mut copy),
            ["Summary [ 1s] x"]
        );
        assert_eq!(copy, b"a\n Summary [ 1s] x\nb\n");
    }

    #[cfg(unix)]
    #[test]
    fn the_exit_code_of_a_test_command_decides() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        assert_eq!(
            tee(shell("echo 'Summary [ 1s] x' >&2; exit 1")).unwrap(),
            (false, vec!["Summary [ 1s] x".into()])
        );
        assert!(tee(shell("exit 0")).unwrap().0);
        assert!(!plain(shell("exit 3")).unwrap());
        assert!(plain(Command::new("no-such-program-anywhere")).is_err());
    }
}
