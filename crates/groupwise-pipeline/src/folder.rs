//! The run folder: logs that only grow, checkpoints that appear whole or not at all.
//!
//! ```text
//! runs/<id>/recipe.toml       resolved recipe
//!           run.json          what it is
//!           events.jsonl      deterministic log
//!           rollouts.jsonl    trajectories, as far as the recipe asks for them
//!           timing.jsonl      wall time: the only place it is written
//!           checkpoint/       newest complete checkpoint: state.json, learner.bin
//!           failed.json       why the last attempt stopped, if it failed
//!           done              digest of the final weights; written last
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use groupwise_core::event::BillKind;
use groupwise_core::{Event, State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::PipelineError;
use crate::identity::hex;

/// What a run is, for people and for the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Experiment that first made it.
    pub name: String,
    /// Arm it was made as.
    pub arm: String,
    /// Run seed.
    pub seed: u64,
    /// Content hash: the folder's name.
    pub run: String,
    /// Training steps planned.
    pub steps: u64,
    /// Tasks in the pool.
    pub n_tasks: usize,
}

/// Wall time of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Training step.
    pub step: u64,
    /// Seconds of the whole step.
    pub seconds: f64,
    /// Seconds by phase.
    pub phase: BTreeMap<String, f64>,
}

/// Everything a run needs to go on where it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Training steps done.
    pub step: u64,
    /// Bytes of `events.jsonl` that belong to these steps.
    pub events: u64,
    /// Bytes of `rollouts.jsonl` that belong to these steps.
    pub rollouts: u64,
    /// Rollouts by kind.
    pub billed: BTreeMap<BillKind, u64>,
    /// Policy tokens of all kinds.
    pub tokens: u64,
    /// The prompt sampler.
    pub sampler: State,
    /// The group repair.
    #[serde(default)]
    pub repair: State,
    /// History of every prompt.
    pub memory: State,
    /// The learning-rate schedule.
    pub schedule: State,
    /// SHA-256 of `learner.bin`.
    pub learner: String,
}

/// A run folder, opened for writing and locked against other processes.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    events: Log,
    rollouts: Log,
    _lock: File,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> PipelineError {
    let path = path.to_owned();
    move |source| PipelineError::File { path, source }
}

impl Log {
    fn open(path: PathBuf) -> Result<Self, PipelineError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed(&path))?;
        Ok(Self {
            file: BufWriter::new(file),
            length: 0,
            path,
        })
    }

    /// Forgets everything after `length`.
    fn rewind(&mut self, length: u64) -> Result<(), PipelineError> {
        let path = self.path.clone();
        let mut inner = || -> std::io::Result<()> {
            self.file.flush()?;
            let found = self.file.get_ref().metadata()?.len();
            if found < length {
                let what = format!("is {found} bytes long, the checkpoint needs {length}");
                return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what));
            }
            self.file.get_ref().set_len(length)?;
            self.file.seek(SeekFrom::Start(length)).map(|_| ())
        };
        inner().map_err(failed(&path))?;
        self.length = length;
        Ok(())
    }

    fn write(&mut self, value: &impl Serialize) -> Result<(), PipelineError> {
        let mut line = serde_json::to_vec(value).map_err(|e| PipelineError::Corrupt {
            path: self.path.clone(),
            what: e.to_string(),
        })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed(&self.path))?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PipelineError> {
        self.file.flush().map_err(failed(&self.path))
    }

    fn sync(&mut self) -> Result<(), PipelineError> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(failed(&self.path))
    }
}

impl RunFolder {
    /// Opens or creates the folder and takes its lock.
    ///
    /// # Errors
    /// [`PipelineError::Busy`] if another process holds it, [`PipelineError::File`] if it cannot be written.
    pub fn open(path: &Path) -> Result<Self, PipelineError> {
        fs::create_dir_all(path).map_err(failed(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(PipelineError::Busy {
                    path: path.to_owned(),
                });
            }
            Err(fs::TryLockError::Error(source)) => {
                return Err(PipelineError::File {
                    path: lock_path,
                    source,
                });
            }
        }
        let events = Log::open(path.join("events.jsonl"))?;
        let rollouts = Log::open(path.join("rollouts.jsonl"))?;
        Ok(Self {
            path: path.to_owned(),
            events,
            rollouts,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True if the run in this folder is finished.
    pub fn is_done(path: &Path) -> bool {
        path.join("done").is_file()
    }

    /// Writes what the run is; the resolved recipe and `run.json`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn describe(&self, info: &RunInfo, recipe: &str) -> Result<(), PipelineError> {
        write_atomic(&self.path.join("recipe.toml"), recipe.as_bytes())?;
        write_atomic(
            &self.path.join("run.json"),
            &to_json(&self.path.join("run.json"), info)?,
        )
    }

    /// The newest complete checkpoint with the learner's bytes.  Rewinds the logs to it, or to nothing.
    ///
    /// # Errors
    /// If the checkpoint does not fit its own digest or the logs are shorter than it says.
    pub fn resume(&mut self) -> Result<Option<(Checkpoint, Vec<u8>)>, PipelineError> {
        let found = self.read_checkpoint()?;
        let (events, rollouts) = found.as_ref().map_or((0, 0), |(c, _)| (c.events, c.rollouts));
        self.events.rewind(events)?;
        self.rollouts.rewind(rollouts)?;
        Ok(found)
    }

    fn read_checkpoint(&self) -> Result<Option<(Checkpoint, Vec<u8>)>, PipelineError> {
        // A crash between the two renames of `save` leaves only the old one, under its other name.
        let candidates = [self.path.join("checkpoint"), self.path.join("checkpoint.old")];
        let Some(folder) = candidates.iter().find(|p| p.is_dir()) else {
            return Ok(None);
        };
        let state_path = folder.join("state.json");
        let learner_path = folder.join("learner.bin");
        let state = fs::read(&state_path).map_err(failed(&state_path))?;
        let state: Checkpoint = serde_json::from_slice(&state).map_err(|e| PipelineError::Corrupt {
            path: state_path,
            what: e.to_string(),
        })?;
        let learner = fs::read(&learner_path).map_err(failed(&learner_path))?;
        if hex(&Sha256::digest(&learner)) != state.learner {
            let what = "does not match the digest in state.json; remove the run folder to start over".into();
            return Err(PipelineError::Corrupt {
                path: learner_path,
                what,
            });
        }
        Ok(Some((state, learner)))
    }

    /// Writes a checkpoint: complete under another name first, then renamed over the old one.
    ///
    /// # Errors
    /// If it cannot be written; the old one is then still there.
    pub fn save(&mut self, mut state: Checkpoint, learner: &[u8]) -> Result<(), PipelineError> {
        self.events.sync()?;
        self.rollouts.sync()?;
        (state.events, state.rollouts) = (self.events.length, self.rollouts.length);
        state.learner = hex(&Sha256::digest(learner));
        let (partial, current, old) = (
            self.path.join("checkpoint.partial"),
            self.path.join("checkpoint"),
            self.path.join("checkpoint.old"),
        );
        remove_dir(&partial)?;
        fs::create_dir(&partial).map_err(failed(&partial))?;
        write_synced(&partial.join("learner.bin"), learner)?;
        let state_path = partial.join("state.json");
        write_synced(&state_path, &to_json(&state_path, &state)?)?;
        remove_dir(&old)?;
        if current.is_dir() {
            fs::rename(&current, &old).map_err(failed(&current))?;
        }
        fs::rename(&partial, &current).map_err(failed(&current))?;
        sync_dir(&self.path)?;
        remove_dir(&old)
    }

    /// Appends an event.
    ///
    /// # Errors
    /// If it cannot be written (disk full).
    pub fn event(&mut self, event: &Event) -> Result<(), PipelineError> {
        self.events.write(event)
    }

    /// Appends a line to `rollouts.jsonl`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn rollout(&mut self, line: &impl Serialize) -> Result<(), PipelineError> {
        self.rollouts.write(line)
    }

    /// Hands buffered lines to the system.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn flush(&mut self) -> Result<(), PipelineError> {
        self.events.flush()?;
        self.rollouts.flush()
    }

    /// Appends wall time; not part of the deterministic log.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn timing(&self, timing: &Timing) -> Result<(), PipelineError> {
        let path = self.path.join("timing.jsonl");
        let mut line = to_json(&path, timing)?;
        line.push(b'\n');
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut f| f.write_all(&line)).map_err(failed(&path))
    }

    /// Marks the run as finished.
    ///
    /// # Errors
    /// If the marker cannot be written.
    pub fn finish(&mut self, digest: &str) -> Result<(), PipelineError> {
        self.events.sync()?;
        self.rollouts.sync()?;
        let failure = self.path.join("failed.json");
        if failure.exists() {
            fs::remove_file(&failure).map_err(failed(&failure))?;
        }
        write_atomic(&self.path.join("done"), format!("{digest}\n").as_bytes())
    }

    /// Notes why a run folder's last attempt failed.
    ///
    /// # Errors
    /// If the note cannot be written.
    pub fn note_failure(path: &Path, error: &str) -> Result<(), PipelineError> {
        fs::create_dir_all(path).map_err(failed(path))?;
        let file = path.join("failed.json");
        write_atomic(&file, &to_json(&file, &serde_json::json!({ "error": error }))?)
    }
}

fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, PipelineError> {
    serde_json::to_vec(value).map_err(|e| PipelineError::Corrupt {
        path: path.to_owned(),
        what: e.to_string(),
    })
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), PipelineError> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(failed(path))
}

/// Writes a file whole or not at all.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), PipelineError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    write_synced(&partial, bytes)?;
    fs::rename(&partial, path).map_err(failed(path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(path: &Path) -> Result<(), PipelineError> {
    File::open(path).and_then(|d| d.sync_all()).map_err(failed(path))
}

fn remove_dir(path: &Path) -> Result<(), PipelineError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(path)(e)),
        _ => Ok(()),
    }
}
