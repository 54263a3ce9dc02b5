//! The `groupwise` command.

mod ablate;
mod args;
mod cell;
mod clock;
mod error;
mod explain;
mod factory;
mod interrupt;
mod progress;
mod protocol;
mod report;
mod reproduce;
mod score;
mod train;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::error::CliError;

// A training step of a small model allocates and frees many mid-sized tensors; the system allocator gives their
// pages back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Command::Ablate(args) => ablate::run(&args),
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Cell(args) => return cell::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say_error(&error.to_string());
            error.exit_code()
        }
    }
}

/// What a command ends with.
pub(crate) type Outcome = Result<(), CliError>;
