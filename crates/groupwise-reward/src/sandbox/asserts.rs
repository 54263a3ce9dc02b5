//! Assertions: the tests in one process, the program in another, plain data between them.

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::process::{Group, collected, ends_within, read_start, system};
use super::{SandboxError, TestReport, TestStatus};

/// The process of the program.
pub(super) const CALLEE: &str = concat!(include_str!("wire.py"), include_str!("callee.py"));
/// The process of the tests.
pub(super) const CALLER: &str = concat!(include_str!("wire.py"), include_str!("caller.py"));
/// Bytes of the report on one test: a status, and the reason cut to 300 characters of at most 12 bytes each.
const REPORT_BYTES: u64 = 4096;

/// Runs the tests; both processes end with them, or when the time is up.
pub(super) fn run(
    mut callee: Command,
    mut caller: Command,
    tests: &[String],
    limit: Duration,
) -> Result<Vec<TestReport>, SandboxError> {
    let failed = system("starting a program");
    callee
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut program = Group::spawn(&mut callee).map_err(&failed)?;
    let to_program = program.child.stdin.take().map_or_else(Stdio::null, Stdio::from);
    caller
        .stdin(Stdio::piped())
        .stdout(to_program)
        .stderr(Stdio::piped());
    let mut asking = Group::spawn(&mut caller).map_err(&failed)?;
    // The command still holds the program's input, which has to end with the process of the tests.
    drop(caller);
    let first = serde_json::json!(tests).to_string() + "\n";
    let (from, to) = (program.child.stdout.take(), asking.child.stdin.take());
    if let (Some(from), Some(to)) = (from, to) {
        thread::spawn(move || relay(first, from, to));
    }
    let report = read_start(
        asking.child.stderr.take(),
        REPORT_BYTES * (tests.len() as u64 + 1),
    );
    let in_time = ends_within(limit, asking.pid(), &[asking.pid(), program.pid()]);
    asking.finish()?;
    program.finish()?;
    let report = collected(&report).unwrap_or_default();
    Ok(reports(&report.bytes, tests.len(), in_time))
}

/// Hands the tests over, then everything the program says.
fn relay(first: String, mut from: ChildStdout, mut to: ChildStdin) -> std::io::Result<()> {
    to.write_all(first.as_bytes())?;
    let mut buffer = [0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(buffer.get(..count).unwrap_or_default())?,
        }
    }
}

/// One report for each test: what was told, and for the rest what ended them.
fn reports(told: &[u8], n_tests: usize, in_time: bool) -> Vec<TestReport> {
    let rest = if in_time {
        TestReport::new(TestStatus::Error, "the process of the tests ended early")
    } else {
        TestReport::new(TestStatus::Timeout, "not within the time")
    };
    let told = String::from_utf8_lossy(told);
    let parsed = told.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut reports: Vec<TestReport> = parsed
        .map(|(status, why): (TestStatus, String)| TestReport { status, why })
        .take(n_tests)
        .collect();
    reports.resize(n_tests, rest);
    reports
}
