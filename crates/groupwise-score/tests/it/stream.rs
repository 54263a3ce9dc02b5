//! Reading and writing: lines, batches, ends.

use std::io::{self, BufReader, Read, Write};

use groupwise_score::{Progress, ScoreError, run, run_watched};
use serde_json::json;

use crate::common::{options, score};

#[test]
fn blank_lines_carriage_returns_a_byte_order_mark_and_a_missing_last_newline_are_no_matter() {
    let text = "\u{feff}{\"rewards\": [1, 0]}\r\n\n   \r\n{\"id\": \"b\", \"rewards\": [0, 0]}";
    let found = score(text, &options(Some("dr-grpo"), None, 0)).unwrap();
    assert_eq!(
        found,
        [
            json!({"id": 1, "advantages": [0.5, -0.5]}),
            json!({"id": "b", "advantages": [0.0, 0.0]})
        ]
    );
    assert!(score("", &options(Some("grpo"), None, 0)).unwrap().is_empty());
    let late = "{\"rewards\": [1]}\n\u{feff}{\"rewards\": [1]}\n";
    let error = score(late, &options(Some("grpo"), None, 0)).unwrap_err();
    assert_eq!(error.to_string(), "line 2: is no JSON object");
}

#[test]
fn ids_come_back_as_they_were() {
    let text = "{\"id\": \"a\\\"\\u00e9\\n\", \"rewards\": [1]}\n{\"id\": -7, \"rewards\": [1]}\n{\"id\": null, \"rewards\": [1]}";
    let ids: Vec<_> = score(text, &options(Some("raw"), None, 0))
        .unwrap()
        .into_iter()
        .map(|mut line| line["id"].take())
        .collect();
    assert_eq!(ids, [json!("a\"\u{e9}\n"), json!(-7), json!(3)]);
}

#[test]
fn a_batch_is_so_many_groups_and_the_last_may_be_short() {
    let text = "{\"rewards\": [1, 0]}\n".repeat(5);
    let mut seen = Vec::new();
    let end = run_watched(
        text.as_bytes(),
        io::sink(),
        &options(Some("grpo.scale_rewards = 'batch'"), None, 2),
        |p| seen.push((p.lines, p.groups, p.batches, p.short_batch)),
    )
    .unwrap();
    assert_eq!(seen, [(2, 2, 1, None), (4, 4, 2, None), (5, 5, 3, Some(1))]);
    assert_eq!(
        end,
        Progress {
            lines: 5,
            bytes: text.len() as u64,
            groups: 5,
            batches: 3,
            short_batch: Some(1)
        }
    );
}

#[test]
fn what_was_scored_before_a_bad_line_is_written() {
    let text = "{\"rewards\": [1, 0]}\n{\"rewards\": [1, 0]}\n{\"rewards\": [}\n";
    for (batch, lines) in [(1, 2), (2, 2), (3, 0)] {
        let mut out = Vec::new();
        let error = run(text.as_bytes(), &mut out, &options(Some("raw"), None, batch)).unwrap_err();
        assert!(
            error.to_string().starts_with("line 3, column 14: rewards"),
            "{error}"
        );
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), lines, "{batch}");
        assert!(error.is_bad_input());
    }
}

struct Fails(io::ErrorKind);

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
}

impl Write for Fails {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_system_s_errors_are_told_from_bad_input() {
    let raw = options(Some("raw"), None, 0);
    let text = &b"{\"rewards\": [1]}\n"[..];
    let read = text.chain(Fails(io::ErrorKind::TimedOut));
    let error = run(BufReader::new(read), io::sink(), &raw).unwrap_err();
    assert!(
        error.to_string().starts_with("after line 1: cannot read: "),
        "{error}"
    );
    assert!(!error.is_bad_input() && !error.is_broken_pipe());
    for (kind, broken) in [
        (io::ErrorKind::BrokenPipe, true),
        (io::ErrorKind::StorageFull, false),
    ] {
        let error = run(text, Fails(kind), &raw).unwrap_err();
        assert!(matches!(error, ScoreError::Write(_)), "{error}");
        assert_eq!((error.is_broken_pipe(), error.is_bad_input()), (broken, false));
    }
}
