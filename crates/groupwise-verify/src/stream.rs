//! From a reader to a writer, one row at a time.

use std::io::{BufRead, Read, Write};

use groupwise_reward::Verdict;
use serde::Serialize;
use serde_json::Value;

use crate::error::VerifyError;
use crate::family::Family;
use crate::row::Row;

/// Longest line that is read, bytes.
const LONGEST_LINE: u64 = 64 << 20;

/// How rows are judged.
#[derive(Debug)]
pub struct Options {
    /// By what.
    pub family: Family,
    /// Whether verdicts show what was extracted and the normal forms that were compared.
    pub explain: bool,
}

/// What was read, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Lines read, blank ones included.
    pub lines: u64,
    /// Rows judged.
    pub rows: u64,
    /// Rows that could not be judged.
    pub unscorable: u64,
    /// Sum of the scores of the others.
    pub total: f64,
}

#[derive(Serialize)]
struct Short<'a> {
    id: &'a Value,
    score: Option<f64>,
    reason: &'a str,
}

#[derive(Serialize)]
struct Long<'a> {
    id: &'a Value,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

/// Judges every row of `reader`, a JSON object per line, and writes a verdict per row to `writer`.
///
/// Memory holds one line.  Blank lines are skipped.  Verdicts written before an error are good.
///
/// # Errors
/// The first line that is no row, with its number and what is wrong; a line of more than 64 MiB.
///
/// # Example
/// ```
/// use groupwise_verify::{Family, Options, run};
/// let options = Options { family: Family::new("countdown", &Default::default())?, explain: false };
/// let mut out = Vec::new();
/// let row = r#"{"id": 1, "completion": "<answer>2 * 4</answer>", "numbers": [2, 4], "target": 8}"#;
/// run(row.as_bytes(), &mut out, &options)?;
/// let verdict = r#"{"id":1,"score":1.0,"reason":"these numbers, and the target"}"#;
/// assert_eq!(String::from_utf8(out)?.trim_end(), verdict);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(
    mut reader: impl BufRead,
    mut writer: impl Write,
    options: &Options,
) -> Result<Progress, VerifyError> {
    let mut progress = Progress::default();
    let judged = judge_all(&mut reader, &mut writer, options, &mut progress);
    // What came before a bad line is good.
    let flushed = writer.flush().map_err(VerifyError::Write);
    judged.and(flushed)?;
    Ok(progress)
}

fn judge_all(
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    options: &Options,
    progress: &mut Progress,
) -> Result<(), VerifyError> {
    let mut text = Vec::new();
    while next_line(reader, &mut text, &mut progress.lines)? {
        if is_blank(&text) {
            continue;
        }
        let row = Row::parse(&text, progress.lines)?;
        let verdict = options.family.judge(&row.task, &row.response);
        write(writer, &row.id, &verdict, options.explain).map_err(VerifyError::Write)?;
        progress.rows += 1;
        match verdict.score {
            Some(score) => progress.total += score,
            None => progress.unscorable += 1,
        }
    }
    Ok(())
}

fn write(writer: &mut impl Write, id: &Value, verdict: &Verdict, explain: bool) -> std::io::Result<()> {
    if explain {
        serde_json::to_writer(&mut *writer, &Long { id, verdict })?;
    } else {
        let short = Short {
            id,
            score: verdict.score,
            reason: &verdict.reason,
        };
        serde_json::to_writer(&mut *writer, &short)?;
    }
    writer.write_all(b"\n")
}

/// Reads the next line into `text`, without a byte order mark before the first; false at the end.
pub(crate) fn next_line(
    reader: &mut impl BufRead,
    text: &mut Vec<u8>,
    lines: &mut u64,
) -> Result<bool, VerifyError> {
    text.clear();
    let read = reader
        .by_ref()
        .take(LONGEST_LINE + 1)
        .read_until(b'\n', text)
        .map_err(|source| VerifyError::Read {
            after: *lines,
            source,
        })?;
    if read == 0 {
        return Ok(false);
    }
    *lines += 1;
    if text.len() as u64 > LONGEST_LINE {
        let what = format!("is longer than {} MiB", LONGEST_LINE >> 20);
        return Err(VerifyError::line(*lines, what));
    }
    if *lines == 1 && text.starts_with(b"\xef\xbb\xbf") {
        text.drain(..3);
    }
    Ok(true)
}

pub(crate) fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}
