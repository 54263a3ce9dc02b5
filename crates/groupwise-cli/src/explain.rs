//! `groupwise explain`.

use std::io::Write;

use groupwise_recipe::Experiment;

use crate::Outcome;
use crate::args::ExplainArgs;
use crate::error::CliError;

/// Prints every arm, or one.
pub(crate) fn run(args: &ExplainArgs) -> Outcome {
    let experiment = Experiment::from_file(&args.file, &args.overrides)?;
    let text = groupwise_recipe::explain(&experiment, args.arm.as_deref())
        .ok_or_else(|| CliError::Usage(unknown_arm(&experiment, args.arm.as_deref().unwrap_or_default())))?;
    match std::io::stdout().write_all(text.as_bytes()) {
        // `groupwise explain ... | head` closes the pipe early; that is no failure.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::io("standard output")(e)),
        _ => Ok(()),
    }
}

/// Names the arms there are.
pub(crate) fn unknown_arm(experiment: &Experiment, arm: &str) -> String {
    let known = experiment
        .arms
        .iter()
        .map(|a| a.name.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    format!("no arm is called `{arm}`, known: {known}")
}
