//! Child processes: started in a group of their own, read up to a limit, killed as a whole.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::SandboxError;

/// Time for pipes to run dry after everything was killed.
const GRACE: Duration = Duration::from_secs(2);
/// Of error messages only the end is kept.
const ERRORS_KEPT: usize = 4096;

pub(super) fn system(what: &'static str) -> impl Fn(std::io::Error) -> SandboxError {
    move |error| SandboxError::System {
        what,
        reason: error.to_string(),
    }
}

/// A child that leads a group.  Dropped, the group is killed and the child reaped: nothing is left behind by an early return.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) child: Child,
}

impl Group {
    pub(super) fn spawn(command: &mut Command) -> std::io::Result<Self> {
        command.process_group(0).spawn().map(|child| Self { child })
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills what is left of the group, then reaps its leader.
    pub(super) fn finish(&mut self) -> Result<ExitStatus, SandboxError> {
        kill(&[self.pid()]);
        self.child.wait().map_err(system("waiting for a program"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A reaped leader has given its number back: another group may have it by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill(&[self.pid()]);
            let _ = self.child.wait();
        }
    }
}

/// Kills groups whose leaders are not reaped yet; a group that has ended is no error.
fn kill(groups: &[Pid]) {
    for group in groups {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

/// Waits until `leader` has ended and leaves it unreaped, or until `limit` has passed, when all `groups` are killed.  True if it
/// was in time.
pub(super) fn ends_within(limit: Duration, leader: Pid, groups: &[Pid]) -> bool {
    let (done, watch) = channel::<()>();
    thread::scope(|scope| {
        let watcher = scope.spawn(move || {
            let late = watch.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                kill(groups);
            }
            late
        });
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(leader), options), Err(rustix::io::Errno::INTR)) {}
        drop(done);
        !watcher.join().unwrap_or(true)
    })
}

/// What a pipe held.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    /// There was more than the limit.
    pub(super) cut: bool,
}

/// Reads a pipe in a thread of its own: up to `limit` bytes, then the pipe is closed.
pub(super) fn read_start(pipe: Option<impl Read + Send + 'static>, limit: u64) -> Receiver<Content> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error counts.
            let _ = pipe.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let cut = bytes.len() > limit;
        bytes.truncate(limit);
        // Nobody listens if the run was given up.
        let _ = sender.send(Content { bytes, cut });
    });
    receiver
}

/// Reads a pipe to its end and keeps the last bytes.
fn read_tail(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let (mut tail, mut buffer) = (Vec::new(), [0; ERRORS_KEPT]);
        if let Some(mut pipe) = pipe {
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                tail.extend_from_slice(buffer.get(..count).unwrap_or_default());
                let surplus = tail.len().saturating_sub(ERRORS_KEPT);
                tail.drain(..surplus);
            }
        }
        let _ = sender.send(tail);
    });
    receiver
}

/// The result of a reader whose pipe everybody should have closed by now; `None` if something escaped and holds it.
pub(super) fn collected<T>(receiver: &Receiver<T>) -> Option<T> {
    receiver.recv_timeout(GRACE).ok()
}

/// A process that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) in_time: bool,
    pub(super) status: ExitStatus,
    pub(super) output: Content,
    /// Last line of what it wrote to its error output.
    pub(super) last_words: String,
}

/// Runs a command to its end with `input`, within `limit` of wall time.
pub(super) fn run(
    mut command: Command,
    input: Vec<u8>,
    limit: Duration,
    max_output: u64,
) -> std::io::Result<Result<Ended, SandboxError>> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut group = Group::spawn(&mut command)?;
    if let Some(mut pipe) = group.child.stdin.take() {
        // A program need not read its input.
        thread::spawn(move || pipe.write_all(&input));
    }
    let output = read_start(group.child.stdout.take(), max_output);
    let errors = read_tail(group.child.stderr.take());
    let in_time = ends_within(limit, group.pid(), &[group.pid()]);
    Ok(group.finish().map(|status| {
        let errors = collected(&errors).unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors);
        Ended {
            in_time,
            status,
            output: collected(&output).unwrap_or_default(),
            last_words: errors.trim_end().lines().last().unwrap_or_default().to_owned(),
        }
    }))
}
