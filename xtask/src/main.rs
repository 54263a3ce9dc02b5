//! `cargo xtask <command>`: thin, one file per command, never links burn.
//!
//! Commands that train or read runs build the `groupwise` binary and become it; the others run here.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command line: printing is its work"
)]

mod commands;
mod repo;
mod source;
mod tidy;

use std::process::ExitCode;

use clap::Parser;
use commands::Command;

/// What can go wrong in a command, in words for the person at the terminal.
type Outcome = Result<ExitCode, String>;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    about,
    max_term_width = 100
)]
#[command(after_help = "Examples:
  cargo xtask ablate                 the quickstart ablation and its report
  cargo xtask conform                golden cases: passed, failed, not implemented
  cargo xtask ci --fast              everything CI checks that needs no tensor library")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}
