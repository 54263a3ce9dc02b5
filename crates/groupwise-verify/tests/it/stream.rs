//! Reading and writing: lines, errors, ends.

use std::io::{self, Read, Write};

use groupwise_verify::{Progress, VerifyError, run};
use proptest::prelude::*;
use serde_json::json;

use crate::common::{families, judge, options};

#[test]
fn a_verdict_is_short_unless_it_is_explained() {
    let text = r#"{"id": "a", "completion": "<answer>the Lamp</answer>", "solution": "lamp"}"#;
    assert_eq!(
        judge(text, &options("qa-match", &[], false)).unwrap(),
        [json!({"id": "a", "score": 1.0, "reason": "equal normal forms"})]
    );
    assert_eq!(
        judge(text, &options("qa-match", &[], true)).unwrap(),
        [
            json!({"id": "a", "score": 1.0, "reason": "equal normal forms", "extracted": "the Lamp", "normal_form": "lamp",
            "reference": "lamp"})
        ]
    );
}

#[test]
fn blank_lines_carriage_returns_and_a_byte_order_mark_are_no_matter() {
    let text = "\u{feff}{\"completion\": \"B\", \"answer\": \"B\"}\r\n\n  \r\n{\"completion\": \"C\", \"answer\": \"B\"}";
    let found = judge(text, &options("multiple-choice", &[], false)).unwrap();
    let scores: Vec<_> = found
        .iter()
        .map(|v| (v["id"].clone(), v["score"].clone()))
        .collect();
    assert_eq!(scores, [(json!(1), json!(1.0)), (json!(4), json!(0.0))]);
    let late = "{\"completion\": \"B\", \"answer\": \"B\"}\n\u{feff}{}\n";
    let error = judge(late, &options("choice", &[], false)).unwrap_err();
    assert!(
        error.to_string().starts_with("line 2: is no JSON object"),
        "{error}"
    );
    assert!(error.is_bad_input());
}

#[test]
fn rows_without_a_reference_are_counted_apart() {
    let text = "{\"completion\": \"<answer>a lamp</answer>\", \"solution\": \"lamp\"}\n{\"completion\": \"x\"}\n\
                {\"completion\": \"x\", \"golds\": [\"x\"]}\n";
    let mut out = Vec::new();
    let progress = run(text.as_bytes(), &mut out, &options("qa_em_f1", &[], false)).unwrap();
    let expected = Progress {
        lines: 3,
        rows: 3,
        unscorable: 1,
        total: 1.0,
    };
    assert_eq!(progress, expected);
    let second = String::from_utf8(out).unwrap().lines().nth(1).unwrap().to_owned();
    assert_eq!(
        second,
        r#"{"id":2,"score":null,"reason":"no reference has words"}"#
    );
}

#[test]
fn verdicts_before_a_bad_line_are_written() {
    let text = "{\"completion\": \"B\", \"answer\": \"B\"}\n{\"answer\": \"B\"}\n";
    let mut out = Vec::new();
    let error = run(text.as_bytes(), &mut out, &options("choice", &[], false)).unwrap_err();
    assert_eq!(error.to_string(), "line 2: has no `completion`");
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
}

/// A reader that never ends a line, and counts what was taken from it.
struct Endless(u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(b'x');
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn a_line_without_end_is_refused_in_bounded_memory() {
    let mut endless = Endless(0);
    let reader = io::BufReader::new(&mut endless);
    let error = run(reader, io::sink(), &options("choice", &[], false)).unwrap_err();
    assert_eq!(error.to_string(), "line 1: is longer than 64 MiB");
    assert!(endless.0 < 65 << 20);
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_output_is_told_apart() {
    let text = "{\"completion\": \"B\", \"answer\": \"B\"}\n";
    let error = run(text.as_bytes(), Closed, &options("choice", &[], false)).unwrap_err();
    assert!(error.is_broken_pipe() && !error.is_bad_input());
    assert!(matches!(error, VerifyError::Write(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_row_gets_the_same_verdict_alone_and_among_others(
        texts in prop::collection::vec("(<answer>|</answer>|lamp|[A-D]|[1-3]|\\+|, |\n){0,8}", 1..6),
    ) {
        // One row per text, with columns for every family.
        let rows: Vec<String> = texts
            .iter()
            .enumerate()
            .map(|(i, text)| {
                json!({"id": i, "completion": text, "solution": "A", "numbers": [1, 2], "target": 3, "functions": [], "accepted": []})
                    .to_string()
            })
            .collect();
        for family in families().filter(|f| *f != "code-tests") {
            let options = options(family, &[], true);
            let together = judge(&rows.join("\n"), &options).unwrap();
            for (row, verdict) in rows.iter().zip(&together) {
                let alone = judge(row, &options).unwrap();
                prop_assert_eq!(&alone[0], verdict);
            }
        }
    }
}
