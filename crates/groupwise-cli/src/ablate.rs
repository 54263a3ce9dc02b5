//! `groupwise ablate`: the grid of arms and seeds as child processes, then the report.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use groupwise_pipeline::{RunFolder, run_id};
use groupwise_recipe::Experiment;
use groupwise_report::{CellState, ReportPaths, Summary};
use serde_json::json;

use crate::Outcome;
use crate::args::{AblateArgs, GridArgs};
use crate::error::CliError;
use crate::interrupt;
use crate::progress::{self, Board};
use crate::protocol::Message;

/// Lines of a failed cell's standard error that are shown.
const LAST_LINES: usize = 20;

/// One cell of the grid.
#[derive(Clone, Debug)]
struct Cell {
    arm: String,
    seed: u64,
    run: String,
    done: bool,
}

/// Runs the grid of a file and says what its report says.
pub(crate) fn run(args: &AblateArgs) -> Outcome {
    let experiment = read(&args.file, &args.grid)?;
    let Some(paths) = carry_out(&args.file, &experiment, &args.grid)? else {
        return Ok(());
    };
    progress::say(&paths.text);
    progress::say(&format!("report: {}", paths.html.display()));
    all_finished(&paths.summary)
}

/// Reads a recipe with what the command line changes of it.
pub(crate) fn read(file: &Path, args: &GridArgs) -> Result<Experiment, CliError> {
    let mut experiment = Experiment::from_file(file, &args.recipe.overrides)?;
    if let Some(seeds) = &args.seeds {
        experiment.ablation.seeds.clone_from(&seeds.0);
    }
    Ok(experiment)
}

/// An error if a cell failed.
pub(crate) fn all_finished(summary: &Summary) -> Outcome {
    let failed = summary
        .cells
        .iter()
        .filter(|c| c.state != CellState::Finished)
        .count();
    if failed == 0 {
        return Ok(());
    }
    Err(CliError::Cells {
        failed,
        total: summary.cells.len(),
    })
}

/// Expands the grid, runs what is missing, writes the report; none in a dry run.
pub(crate) fn carry_out(
    file: &Path,
    experiment: &Experiment,
    args: &GridArgs,
) -> Result<Option<ReportPaths>, CliError> {
    let cells = expand(experiment, args)?;
    let mut missing: Vec<Cell> = Vec::new();
    for cell in cells.iter().filter(|c| !c.done) {
        // Arms that resolve to the same recipe share their runs.
        if missing.iter().all(|m| m.run != cell.run) {
            missing.push(cell.clone());
        }
    }
    let jobs = jobs(args, missing.len());
    progress::say(&describe(experiment, &cells, missing.len(), jobs));
    if args.dry_run {
        for cell in &cells {
            let state = if cell.done { "finished" } else { "to run" };
            progress::say(&format!(
                "  {:24} seed {:<4} {} {state}",
                cell.arm, cell.seed, cell.run
            ));
        }
        return Ok(None);
    }
    let folder = write_index(experiment, &cells, &args.recipe.runs)?;
    interrupt::listen();
    if !missing.is_empty() {
        let grid = Grid {
            file,
            experiment,
            args,
        };
        grid.run(&missing, jobs)?;
    }
    Ok(Some(groupwise_report::write_report(&folder)?))
}

fn expand(experiment: &Experiment, args: &GridArgs) -> Result<Vec<Cell>, CliError> {
    let mut cells = Vec::new();
    // Seeds outermost: after a third of the time there is a third of every arm.
    let plans = experiment
        .arms
        .iter()
        .map(|arm| Ok((arm, arm.recipe.plan(args.recipe.data.clone())?)))
        .collect::<Result<Vec<_>, CliError>>()?;
    for seed in &experiment.ablation.seeds {
        for (arm, plan) in &plans {
            let run = run_id(plan, *seed)?;
            let done = RunFolder::is_done(&args.recipe.runs.join(&run));
            cells.push(Cell {
                arm: arm.name.clone(),
                seed: *seed,
                run,
                done,
            });
        }
    }
    Ok(cells)
}

fn jobs(args: &GridArgs, n_cells: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    args.jobs.map_or(cores, usize::from).min(n_cells.max(1))
}

fn describe(experiment: &Experiment, cells: &[Cell], n_missing: usize, jobs: usize) -> String {
    let (arms, seeds) = (experiment.arms.len(), experiment.ablation.seeds.len());
    let kept = cells.len() - n_missing;
    let kept = if kept > 0 {
        format!(", {kept} already finished")
    } else {
        String::new()
    };
    format!(
        "{}: {arms} arms x {seeds} seeds = {} cells{kept}, {jobs} at a time",
        experiment.name,
        cells.len()
    )
}

/// Writes `ablation.json`, from which the report finds its runs.
fn write_index(experiment: &Experiment, cells: &[Cell], runs: &Path) -> Result<PathBuf, CliError> {
    let folder = experiment.folder(runs);
    std::fs::create_dir_all(&folder).map_err(CliError::io(folder.display().to_string()))?;
    let index = json!({
        "name": experiment.name,
        "description": experiment.description,
        "baseline": experiment.baseline(),
        "arms": experiment.arms.iter().map(|a| &a.name).collect::<Vec<_>>(),
        "seeds": experiment.ablation.seeds,
        "metric": experiment.ablation.metric,
        "claims": experiment.claims,
        "cells": cells.iter().map(|c| json!({"arm": c.arm, "seed": c.seed, "run": c.run})).collect::<Vec<_>>(),
    });
    let path = folder.join("ablation.json");
    let partial = folder.join("ablation.json.partial");
    std::fs::write(&partial, format!("{index:#}\n"))
        .and_then(|()| std::fs::rename(&partial, &path))
        .map_err(CliError::io(path.display().to_string()))?;
    Ok(folder)
}

/// What a child's reader thread says.
enum News {
    Said(usize, Message),
    Closed(usize),
}

struct Running {
    child: Child,
    /// Closing it asks the child to stop.
    stdin: Option<ChildStdin>,
    stderr: JoinHandle<String>,
    failure: Option<String>,
}

/// A recipe file and how its cells are run.
struct Grid<'a> {
    file: &'a Path,
    experiment: &'a Experiment,
    args: &'a GridArgs,
}

impl Grid<'_> {
    /// Runs the missing cells, `jobs` at a time.
    fn run(&self, missing: &[Cell], jobs: usize) -> Result<(), CliError> {
        let steps = self
            .experiment
            .arms
            .iter()
            .map(|a| a.recipe.run.steps)
            .max()
            .unwrap_or(1);
        let mut board = Board::new(missing.len(), steps, &self.experiment.ablation.metric);
        let (sender, receiver) = channel();
        let mut waiting: VecDeque<usize> = (0..missing.len()).collect();
        let mut running: Vec<Option<Running>> = Vec::new();
        while running.iter().any(Option::is_some) || (!waiting.is_empty() && !interrupt::requested()) {
            while running.iter().flatten().count() < jobs && !interrupt::requested() {
                let Some(index) = waiting.pop_front() else { break };
                let cell = &missing[index];
                board.begin(index, &format!("{} seed {}", cell.arm, cell.seed));
                running.push(Some(self.spawn(cell, index, jobs, &sender)?));
            }
            match wait(&receiver) {
                Some(News::Said(index, message)) => {
                    board.hear(index, &message);
                    if let (Message::Failed { error }, Some(Some(cell))) = (message, running.get_mut(index)) {
                        cell.failure = Some(error);
                    }
                }
                Some(News::Closed(index)) => {
                    let Some(cell) = running.get_mut(index).and_then(Option::take) else {
                        continue;
                    };
                    conclude(cell, index, &mut board)?;
                }
                None if interrupt::requested() => {
                    running
                        .iter_mut()
                        .flatten()
                        .for_each(|cell| drop(cell.stdin.take()));
                }
                None => {}
            }
        }
        board.close();
        if interrupt::requested() {
            Err(CliError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// The command line of a cell.
    fn command(&self, cell: &Cell, jobs: usize) -> Result<Command, CliError> {
        let program = std::env::current_exe().map_err(CliError::io("this program"))?;
        let mut command = Command::new(program);
        command.arg("cell").arg(self.file);
        command.args([
            "--arm",
            &cell.arm,
            "--run",
            &cell.run,
            "--seed",
            &cell.seed.to_string(),
        ]);
        command.arg("--runs").arg(&self.args.recipe.runs);
        if let Some(data) = &self.args.recipe.data {
            command.arg("--data").arg(data);
        }
        for over in &self.args.recipe.overrides {
            command.args(["--set", over]);
        }
        if std::env::var_os("RAYON_NUM_THREADS").is_none() {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            command.env("RAYON_NUM_THREADS", (cores / jobs).max(1).to_string());
        }
        Ok(command)
    }

    /// Starts a cell; its messages arrive through `sender`.
    fn spawn(
        &self,
        cell: &Cell,
        index: usize,
        jobs: usize,
        sender: &Sender<News>,
    ) -> Result<Running, CliError> {
        let mut command = self.command(cell, jobs)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(CliError::io("cannot start a cell"))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let sender = sender.clone();
        thread::spawn(move || {
            for line in lines(stdout) {
                if let Ok(message) = serde_json::from_str(&line) {
                    let _ = sender.send(News::Said(index, message));
                }
            }
            let _ = sender.send(News::Closed(index));
        });
        let stderr = thread::spawn(move || {
            let mut last: VecDeque<String> = VecDeque::new();
            for line in lines(stderr) {
                last.push_back(line);
                if last.len() > LAST_LINES {
                    last.pop_front();
                }
            }
            Vec::from(last).join("\n")
        });
        Ok(Running {
            child,
            stdin,
            stderr,
            failure: None,
        })
    }
}

/// The next news, or `None` after a moment, to look whether a stop was asked for.
fn wait(receiver: &Receiver<News>) -> Option<News> {
    // A closed channel cannot happen while the sender is kept; it would read as silence.
    receiver.recv_timeout(Duration::from_millis(200)).ok()
}

/// Lines of a pipe until it closes.
fn lines(pipe: Option<impl Read>) -> impl Iterator<Item = String> {
    pipe.into_iter()
        .flat_map(|p| BufReader::new(p).lines())
        .map_while(Result::ok)
}

/// Says how a cell ended; a failure is in its folder too, where the report finds it.
fn conclude(mut cell: Running, index: usize, board: &mut Board) -> Result<(), CliError> {
    drop(cell.stdin.take());
    let status = cell
        .child
        .wait()
        .map_err(CliError::io("cannot wait for a cell"))?;
    let stderr = cell.stderr.join().unwrap_or_default();
    match status.code() {
        Some(0) => board.end(index, "finished"),
        Some(130) => board.end(index, "stopped, resumable"),
        _ => {
            let why = cell
                .failure
                .unwrap_or_else(|| format!("the process ended with {status}\n{stderr}"));
            board.end(index, &format!("FAILED: {}", why.trim_end()));
        }
    }
    Ok(())
}
