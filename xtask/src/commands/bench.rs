//! Benches.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::{Outcome, repo};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench                            every bench
  cargo xtask bench --bench advantage          one of them
  cargo xtask bench -- knapsack                those whose name contains the word")]
pub(crate) struct Args {
    /// Passed on to `cargo bench -p groupwise-speed`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs criterion through cargo.
pub(crate) fn run(args: &Args) -> Outcome {
    let mut cargo = repo::cargo();
    cargo.args(["bench", "-p", "groupwise-speed"]);
    // `cargo bench NAME` and `cargo bench -- NAME` both filter; clap has eaten a leading `--`.
    if args
        .args
        .first()
        .is_some_and(|a| !a.to_string_lossy().starts_with('-'))
    {
        cargo.arg("--");
    }
    let status = cargo
        .args(&args.args)
        .current_dir(repo::root())
        .status()
        .map_err(|e| format!("cargo bench: {e}"))?;
    Ok(ExitCode::from(u8::from(!status.success())))
}
