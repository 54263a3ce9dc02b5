//! Structural checks.

use std::process::ExitCode;

use crate::tidy::{Severity, Tree, run as check};
use crate::{Outcome, repo};

#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask tidy                 errors, and how many warnings there are
  cargo xtask tidy --warnings      the warnings too

Exit code: 0 if there is no error, 1 otherwise.")]
pub(crate) struct Args {
    /// List warnings as well.
    #[arg(long)]
    warnings: bool,
}

/// Prints what is found, one line each.
pub(crate) fn run(args: &Args) -> Outcome {
    let findings = check(&Tree::read(&repo::root())?);
    let (errors, warnings): (Vec<_>, Vec<_>) = findings
        .iter()
        .partition(|(_, f)| f.severity() == Severity::Error);
    for (name, finding) in &errors {
        println!("error[{name}]: {finding}");
    }
    if args.warnings {
        for (name, finding) in &warnings {
            println!("warning[{name}]: {finding}");
        }
    }
    let hint = if warnings.is_empty() || args.warnings {
        ""
    } else {
        " (--warnings lists them)"
    };
    println!("tidy: {} errors, {} warnings{hint}", errors.len(), warnings.len());
    Ok(ExitCode::from(u8::from(!errors.is_empty())))
}
