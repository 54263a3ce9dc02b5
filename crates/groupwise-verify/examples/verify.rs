//! `groupwise verify` without the rest of the command line, so that it builds in seconds and links no tensor library:
//!
//! ```sh
//! echo '{"completion": "<answer>Paris</answer>", "solution": "Paris"}' | \
//!     cargo run -p groupwise-verify --example verify -- qa-match --explain
//! cargo run -p groupwise-verify --example verify -- --check FOLDER
//! ```

#![expect(clippy::print_stderr, reason = "a command line tells what it cannot do")]

use std::io::{BufReader, BufWriter, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use groupwise_verify::{Family, Options, check, run, settings};

fn main() -> ExitCode {
    match verify() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn verify() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let (mut name, mut explain, mut pairs) = (None, false, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--explain" => explain = true,
            "--set" => pairs.push(args.next().ok_or("--set needs KEY=VALUE")?),
            "--check" => {
                let path = args.next().ok_or("--check needs a file or folder")?;
                let agreement = check(Path::new(&path), BufWriter::new(stdout()))?;
                return Ok(ExitCode::from(u8::from(!agreement.is_good())));
            }
            family => name = Some(family.to_owned()),
        }
    }
    let name = name.ok_or("which family? or --check FILE_OR_DIR")?;
    let options = Options {
        family: Family::new(&name, &settings(&pairs)?)?,
        explain,
    };
    let (from, to) = (
        BufReader::with_capacity(1 << 20, stdin()),
        BufWriter::with_capacity(1 << 20, stdout()),
    );
    run(from, to, &options)?;
    Ok(ExitCode::SUCCESS)
}
