//! `groupwise score` without the rest of the command line, so that it builds in seconds and links no tensor library:
//!
//! ```sh
//! echo '{"rewards": [1, 0, 0, 1]}' | cargo run -p groupwise-score --example score -- --advantage grpo
//! ```

#![expect(clippy::print_stderr, reason = "a command line tells what it cannot do")]

use std::io::{BufReader, BufWriter, stdin, stdout};
use std::process::ExitCode;

use groupwise_recipe::Parts;
use groupwise_score::{Options, run};

fn main() -> ExitCode {
    match score() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn score() -> Result<(), Box<dyn std::error::Error>> {
    let (mut advantage, mut objective, mut set, mut batch) = (None, None, Vec::new(), None);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--advantage" => advantage = Some(value),
            "--objective" => objective = Some(value),
            "--set" => set.push(value),
            "--batch" => batch = Some(value.parse()?),
            other => {
                return Err(format!("{other}: known are --advantage, --objective, --set and --batch").into());
            }
        }
    }
    let parts = Parts::read(None, advantage.as_deref(), objective.as_deref(), &set)?;
    let options = Options {
        advantage: parts.advantage,
        objective: parts.objective,
        batch,
    };
    let (from, to) = (
        BufReader::with_capacity(1 << 20, stdin()),
        BufWriter::with_capacity(1 << 20, stdout()),
    );
    run(from, to, &options)?;
    Ok(())
}
