//! One cell of an ablation in a process of its own: what goes wrong here harms no other cell.

use std::process::ExitCode;

use groupwise_pipeline::{Ending, PipelineError, Prepared, Run, RunFolder, RunOptions};
use groupwise_recipe::Experiment;

use crate::args::CellArgs;
use crate::clock::Wall;
use crate::error::CliError;
use crate::factory::Factory;
use crate::interrupt;
use crate::protocol::{Message, Progress, send};

/// Runs the cell and reports through the protocol; the exit code says the same.
pub(crate) fn run(args: &CellArgs) -> ExitCode {
    interrupt::listen();
    interrupt::watch_parent();
    match carry_out(args) {
        Ok(Ending::Finished) => {
            send(&Message::Ended { finished: true });
            ExitCode::SUCCESS
        }
        Ok(Ending::Interrupted) => {
            send(&Message::Ended { finished: false });
            ExitCode::from(130)
        }
        Err(error) => {
            let text = error.to_string();
            // A run that another process works on has not failed.
            if !matches!(error, CliError::Pipeline(PipelineError::Busy { .. })) {
                let noted = RunFolder::note_failure(&args.recipe.runs.join(&args.run), &text);
                if let Err(second) = noted {
                    send(&Message::Failed {
                        error: format!("{text} (and the failure could not be noted: {second})"),
                    });
                    return error.exit_code();
                }
            }
            send(&Message::Failed { error: text });
            error.exit_code()
        }
    }
}

fn carry_out(args: &CellArgs) -> Result<Ending, CliError> {
    let experiment = Experiment::from_file(&args.file, &args.recipe.overrides)?;
    let arm = experiment.arm(&args.arm).ok_or_else(|| {
        CliError::Usage(format!(
            "{} has no arm `{}` any more",
            args.file.display(),
            args.arm
        ))
    })?;
    let plan = arm.recipe.plan(args.recipe.data.clone())?;
    let prepared = Prepared::new(&plan, args.seed)?;
    if prepared.id() != args.run {
        let what = format!("{} changed while the ablation was running", args.file.display());
        return Err(CliError::Usage(what));
    }
    let mut sink = Progress {
        metric: experiment.ablation.metric.clone(),
        send: |m| send(&m),
    };
    let options = RunOptions {
        runs: &args.recipe.runs,
        name: &experiment.name,
        arm: &args.arm,
        stop: &interrupt::requested,
        sink: &mut sink,
        warming: &mut |done, total| send(&Message::Warm { done, total }),
        clock: &Wall::start(),
    };
    Ok(Run::carry_out(prepared, &Factory, options)?.ending)
}
