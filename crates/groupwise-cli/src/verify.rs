//! `groupwise verify`: responses from elsewhere, judged by our verifiers; and the verifiers against known verdicts.

use std::io::{BufReader, BufWriter, Write, stderr, stdin, stdout};
use std::path::Path;

use groupwise_verify::{Family, Options, Progress, VerifyError, check, run as judge_rows, settings};

use crate::Outcome;
use crate::args::VerifyArgs;
use crate::error::CliError;

/// Bytes read and written at a time.
const BUFFER: usize = 1 << 20;

/// Judges standard input, or checks verifiers against files.
pub(crate) fn run(args: &VerifyArgs) -> Outcome {
    match (&args.check, &args.family) {
        (Some(path), _) => compare(path),
        (None, Some(family)) => judge(family, args),
        (None, None) => Err(CliError::Usage("which family? or --check FILE_OR_DIR".to_owned())),
    }
}

fn judge(family: &str, args: &VerifyArgs) -> Outcome {
    let options = Options {
        family: Family::new(family, &settings(&args.settings)?)?,
        explain: args.explain,
    };
    let from = BufReader::with_capacity(BUFFER, stdin());
    let to = BufWriter::with_capacity(BUFFER, stdout());
    match judge_rows(from, to, &options) {
        Ok(progress) => {
            remark(&progress);
            Ok(())
        }
        Err(error) => quiet_if_unread(error),
    }
}

fn compare(path: &Path) -> Outcome {
    match check(path, BufWriter::new(stdout())) {
        Ok(agreement) if agreement.is_good() => Ok(()),
        Ok(_) => Err(CliError::Disagree),
        Err(error) => quiet_if_unread(error),
    }
}

/// `groupwise verify ... | head` closes the pipe early; that is no failure.
fn quiet_if_unread(error: VerifyError) -> Outcome {
    if error.is_broken_pipe() {
        Ok(())
    } else {
        Err(error.into())
    }
}

/// Says how it went, beside the verdicts.
fn remark(progress: &Progress) {
    let judged = progress.rows - progress.unscorable;
    let mean = match judged {
        0 => "none".to_owned(),
        n => format!("{:.4}", progress.total / n as f64),
    };
    let note = format!(
        "note: {} rows, {} unscorable, mean score {mean}",
        progress.rows, progress.unscorable
    );
    let _ = writeln!(stderr(), "{note}");
}
