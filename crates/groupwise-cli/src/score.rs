//! `groupwise score`: rollouts from elsewhere, scored by our parts.

use std::io::{BufReader, BufWriter, IsTerminal, Write, stderr, stdin, stdout};

use groupwise_pipeline::Clock;
use groupwise_recipe::{Experiment, Parts};
use groupwise_score::{Options, Progress, run_watched};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Outcome;
use crate::args::ScoreArgs;
use crate::clock::Wall;
use crate::train::choose;

/// Bytes read and written at a time.
const BUFFER: usize = 1 << 20;
/// Seconds between two looks at the bar.
const REFRESH: f64 = 0.2;

/// Scores standard input.
pub(crate) fn run(args: &ScoreArgs) -> Outcome {
    let options = options(args)?;
    let mut meter = Meter::new();
    let from = BufReader::with_capacity(BUFFER, stdin());
    let to = BufWriter::with_capacity(BUFFER, stdout());
    let scored = run_watched(from, to, &options, |progress| meter.show(progress));
    meter.close();
    match scored {
        Ok(progress) => {
            remark(&progress, &options);
            Ok(())
        }
        // `groupwise score ... | head` closes the pipe early; that is no failure.
        Err(error) if error.is_broken_pipe() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn options(args: &ScoreArgs) -> Result<Options, crate::error::CliError> {
    let experiment = match &args.recipe {
        Some(file) => Some(Experiment::from_file(file, &[])?),
        None => None,
    };
    let arm = match &experiment {
        Some(experiment) => Some(choose(experiment, args.arm.as_deref())?),
        None => None,
    };
    let parts = Parts::read(
        arm.map(|arm| &arm.recipe),
        args.advantage.as_deref(),
        args.objective.as_deref(),
        &args.overrides,
    )?;
    Ok(Options {
        advantage: parts.advantage,
        objective: parts.objective,
        batch: args.batch,
    })
}

/// Says what numbers depend on and nobody would see.
fn remark(progress: &Progress, options: &Options) {
    let note = match (progress.groups, progress.short_batch, options.batch) {
        (0, _, _) => "note: standard input held no group".to_owned(),
        (_, Some(short), Some(batch)) => format!("note: the last batch holds {short} of {batch} groups"),
        _ => return,
    };
    let _ = writeln!(stderr(), "{note}");
}

/// How far it has come, where somebody looks on and the results go elsewhere.
struct Meter {
    bar: Option<ProgressBar>,
    clock: Wall,
    shown: f64,
}

impl Meter {
    fn new() -> Self {
        let watched = stderr().is_terminal() && !stdout().is_terminal();
        let bar = watched.then(|| {
            let style = ProgressStyle::with_template("{elapsed_precise} {msg}");
            ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self {
            bar,
            clock: Wall::start(),
            shown: 0.0,
        }
    }

    fn show(&mut self, progress: &Progress) {
        let Some(bar) = &self.bar else { return };
        let now = self.clock.seconds();
        if now - self.shown >= REFRESH {
            self.shown = now;
            let megabytes = progress.bytes as f64 / 1e6;
            bar.set_message(format!(
                "{} groups, {megabytes:.0} MB, {:.0} MB/s",
                progress.groups,
                megabytes / now
            ));
            bar.tick();
        }
    }

    fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
