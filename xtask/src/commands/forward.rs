//! Builds the `groupwise` binary and becomes it.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Outcome, repo};

/// A rebuild that takes longer than this is announced.
const QUIET: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// How the binary is built, here and in CI.
pub(super) const BUILD: &[&str] = &["build", "--release", "-p", "groupwise-cli"];
/// What `ablate` runs when no file is named.
const QUICKSTART: &str = "benchmarks/ablations/quickstart.toml";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to the `groupwise` binary as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Builds, then runs `groupwise <command> <args>`; on Unix in place of this process, so that signals and the
/// exit code are the child's own.
pub(crate) fn run(command: &str, args: Args) -> Outcome {
    let binary = repo::target_dir()?
        .join("release")
        .join(format!("groupwise{}", std::env::consts::EXE_SUFFIX));
    let asks_for_help = args.args.iter().any(|a| a == "--help" || a == "-h");
    if asks_for_help && !binary.is_file() {
        print!("{}", help(command));
        return Ok(std::process::ExitCode::SUCCESS);
    }
    if !asks_for_help {
        build(&binary)?;
    }
    let mut child = Command::new(&binary);
    child.arg(command).args(&args.args);
    if command == "ablate" && args.args.is_empty() {
        child.arg(repo::root().join(QUICKSTART));
    }
    become_child(child, &binary)
}

/// What can be said before the binary exists.
fn help(command: &str) -> String {
    let examples = match command {
        "ablate" => {
            "  cargo xtask ablate                                        the quickstart, minutes on two cores
  cargo xtask ablate benchmarks/ablations/quickstart.toml --dry-run
  cargo xtask ablate my.toml --jobs 2 --seeds 0..10 --set run.steps=200"
        }
        "reproduce" => {
            "  cargo xtask reproduce                                     every recipe of benchmarks/papers
  cargo xtask reproduce vade knapsack-rl --jobs 2
  cargo xtask reproduce vade --dry-run"
        }
        "train" => "  cargo xtask train benchmarks/ablations/quickstart.toml --arm vade --seed 1",
        "report" => "  cargo xtask report runs/ablations/quickstart",
        "explain" => "  cargo xtask explain benchmarks/ablations/quickstart.toml",
        "verify" => {
            "  cargo xtask verify qa-match --explain < rows.jsonl
  cargo xtask verify --check ../shared/verifiers"
        }
        _ => "  started by `ablate`",
    };
    format!(
        "Usage: cargo xtask {command} [ARGS]\n\nExamples:\n{examples}\n\nThe `groupwise` binary is not built yet; once it is \
         (`cargo build --release -p groupwise-cli`), this prints every option.\n"
    )
}

/// Brings the binary up to date: in full view the first time, quietly afterwards unless it takes long.
fn build(binary: &Path) -> Result<(), String> {
    let first = !binary.is_file();
    let mut cargo = repo::cargo();
    cargo.args(BUILD).current_dir(repo::root()).stdin(Stdio::null());
    if first {
        eprintln!("building groupwise (the first build takes a few minutes)");
    } else {
        cargo.arg("--quiet");
    }
    let mut child = cargo.spawn().map_err(|e| format!("cargo build: {e}"))?;
    let mut waited = Duration::ZERO;
    let status = loop {
        match child.try_wait().map_err(|e| format!("cargo build: {e}"))? {
            Some(status) => break status,
            None => {
                std::thread::sleep(POLL);
                waited += POLL;
                if !first && waited == QUIET {
                    eprintln!("building groupwise");
                }
            }
        }
    };
    if status.success() {
        Ok(())
    } else {
        Err("groupwise was not built; see above, or run `cargo build --release -p groupwise-cli`".into())
    }
}

#[cfg(unix)]
fn become_child(mut child: Command, binary: &Path) -> Outcome {
    use std::os::unix::process::CommandExt;
    let error = child.exec(); // returns only if it failed
    Err(format!("{}: {error}", binary.display()))
}

#[cfg(not(unix))]
fn become_child(mut child: Command, binary: &Path) -> Outcome {
    let status = child.status().map_err(|e| format!("{}: {e}", binary.display()))?;
    let code = status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1);
    Ok(std::process::ExitCode::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_examples_of_the_command_itself() {
        for command in ["ablate", "reproduce", "train", "report", "explain", "verify"] {
            assert!(
                help(command).contains(&format!("\n  cargo xtask {command} ")),
                "{command}"
            );
        }
    }
}
