//! From a reader to a writer, one batch at a time.

use std::io::{BufRead, Write};

use crate::batch::Batch;
use crate::error::ScoreError;
use crate::line::Line;
use crate::output;
use crate::scorer::{Options, Scorer};

/// How far scoring has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Lines read, blank ones included.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Groups scored.
    pub groups: u64,
    /// Update batches scored.
    pub batches: u64,
    /// Groups of the last batch, if it held fewer than the others.
    pub short_batch: Option<usize>,
}

/// Scores every group of `reader`, a JSON object per line, and writes a line per group to `writer`.
///
/// Memory holds one line and one batch.  Blank lines are skipped.  What was scored before an error stands in
/// `writer`; the last batch may be short.
///
/// # Errors
/// The first line that cannot be scored, with its number and what is wrong.
///
/// # Example
/// ```
/// use groupwise_score::{Options, run};
/// let options = Options { advantage: serde_json::from_str(r#"{"grpo": {"dialect": "trl"}}"#)?, ..Options::default() };
/// let mut out = Vec::new();
/// run(&br#"{"id": "p1", "rewards": [1, 0, null]}"#[..], &mut out, &options)?;
/// let line = r#"{"id":"p1","advantages":[0.7070067953266834,-0.7070067953266834,0.0]}"#;
/// assert_eq!(String::from_utf8(out)?.trim_end(), line);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(reader: impl BufRead, writer: impl Write, options: &Options) -> Result<Progress, ScoreError> {
    run_watched(reader, writer, options, |_| {})
}

/// [`run`], telling `watch` after each batch how far it has come.
///
/// # Errors
/// As [`run`].
pub fn run_watched(
    mut reader: impl BufRead,
    mut writer: impl Write,
    options: &Options,
    mut watch: impl FnMut(&Progress),
) -> Result<Progress, ScoreError> {
    let scorer = Scorer::new(options)?;
    let mut progress = Progress::default();
    let scored = score_all(&scorer, &mut reader, &mut writer, &mut progress, &mut watch);
    // What came before a bad line is good.
    let flushed = writer.flush().map_err(ScoreError::Write);
    scored.and(flushed)?;
    Ok(progress)
}

fn score_all(
    scorer: &Scorer,
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    progress: &mut Progress,
    watch: &mut impl FnMut(&Progress),
) -> Result<(), ScoreError> {
    let mut text = Vec::new();
    let mut batch = Batch::default();
    loop {
        text.clear();
        let read = reader
            .read_until(b'\n', &mut text)
            .map_err(|source| ScoreError::Read {
                after: progress.lines,
                source,
            })?;
        let is_end = read == 0;
        if !is_end {
            progress.lines += 1;
            progress.bytes += read as u64;
            let line = without_mark(&text, progress.lines);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            batch.push(Line::parse(line, progress.lines)?, progress.lines)?;
        }
        if batch.len() == scorer.batch || (is_end && batch.len() > 0) {
            let scored = scorer.score(&mut batch)?;
            output::write(writer, &batch, &scored)?;
            progress.groups += batch.len() as u64;
            progress.batches += 1;
            progress.short_batch = (batch.len() < scorer.batch).then_some(batch.len());
            batch = Batch::default();
            watch(progress);
        }
        if is_end {
            return Ok(());
        }
    }
}

/// The line without the byte order mark that some editors put in front of the first.
fn without_mark(text: &[u8], line: u64) -> &[u8] {
    let mark = if line == 1 {
        text.strip_prefix(b"\xef\xbb\xbf")
    } else {
        None
    };
    mark.unwrap_or(text)
}
