//! `groupwise train`: one run in this process.

use groupwise_pipeline::{Ending, Prepared, Run, RunFolder, RunOptions};
use groupwise_recipe::{Arm, Experiment};

use crate::Outcome;
use crate::args::TrainArgs;
use crate::clock::Wall;
use crate::error::CliError;
use crate::explain::unknown_arm;
use crate::factory::Factory;
use crate::interrupt;
use crate::progress::{self, Board};
use crate::protocol::Progress;

/// Carries out one run with a progress bar.
pub(crate) fn run(args: &TrainArgs) -> Outcome {
    let experiment = Experiment::from_file(&args.file, &args.recipe.overrides)?;
    let arm = choose(&experiment, args.arm.as_deref())?;
    let seed = args
        .seed
        .or(experiment.ablation.seeds.first().copied())
        .unwrap_or(0);
    let plan = arm.recipe.plan(args.recipe.data.clone())?;
    let prepared = Prepared::new(&plan, seed)?;
    let folder = args.recipe.runs.join(prepared.id());
    if RunFolder::is_done(&folder) {
        progress::say(&format!("already finished: {}", folder.display()));
        return Ok(());
    }
    interrupt::listen();
    let mut board = Board::new(1, arm.recipe.run.steps, &experiment.ablation.metric);
    board.begin(0, &format!("{} seed {seed}", arm.name));
    let board = std::cell::RefCell::new(board);
    let mut sink = Progress {
        metric: experiment.ablation.metric.clone(),
        send: |message| board.borrow_mut().hear(0, &message),
    };
    let options = RunOptions {
        runs: &args.recipe.runs,
        name: &experiment.name,
        arm: &arm.name,
        stop: &interrupt::requested,
        sink: &mut sink,
        warming: &mut |done, total| {
            board
                .borrow_mut()
                .hear(0, &crate::protocol::Message::Warm { done, total })
        },
        clock: &Wall::start(),
    };
    let trained = match Run::carry_out(prepared, &Factory, options) {
        Ok(trained) => trained,
        Err(error) => {
            RunFolder::note_failure(&folder, &error.to_string())?;
            return Err(error.into());
        }
    };
    board.borrow_mut().close();
    progress::say(&format!("run: {}", trained.folder.display()));
    match trained.ending {
        Ending::Finished => Ok(()),
        Ending::Interrupted => Err(CliError::Interrupted),
    }
}

/// The arm of that name, or the only one.
pub(crate) fn choose<'a>(experiment: &'a Experiment, arm: Option<&str>) -> Result<&'a Arm, CliError> {
    match arm {
        Some(name) => experiment
            .arm(name)
            .ok_or_else(|| CliError::Usage(unknown_arm(experiment, name))),
        None if experiment.arms.len() == 1 => Ok(&experiment.arms[0]),
        None => {
            let known = experiment
                .arms
                .iter()
                .map(|a| a.name.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            Err(CliError::Usage(format!(
                "the recipe has several arms, choose one with --arm: {known}"
            )))
        }
    }
}
