//! From folders to memory, tolerant of what a killed process leaves behind and of nothing else.
//!
//! | found | what happens |
//! |---|---|
//! | last line of `events.jsonl` cut short or corrupt | left out, with a note that names the line |
//! | any other corrupt line | error with file and line |
//! | metric that is `null` (NaN or infinite when written) | that value is left out, with a note |
//! | events of a newer version | error |
//! | run folder absent, no `done` marker, `failed.json` | the cell is listed, and compared with nothing |
//! | corrupt line of `timing.jsonl` | left out, with a note: only wall time depends on it |

use std::path::{Path, PathBuf};

use groupwise_core::event::{EVENT_VERSION, Event};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::ReportError;
use crate::manifest::{CellRef, Manifest, RunInfo};

/// An ablation as found on disk.
#[derive(Clone, Debug)]
pub struct Ablation {
    /// `ablation.json`, or its equivalent for a single run.
    pub manifest: Manifest,
    /// All cells, in the manifest's order.
    pub cells: Vec<Cell>,
    /// What was tolerated while reading.
    pub notes: Vec<String>,
}

/// One arm under one seed.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Which one.
    pub at: CellRef,
    /// How far it came.
    pub state: CellState,
    /// What it recorded; `None` if it never started.
    pub record: Option<Record>,
}

/// How far a cell came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellState {
    /// Ran to the end.
    Finished,
    /// Started, not finished: running, or killed and not resumed.
    Unfinished,
    /// No run folder.
    Missing,
    /// Ended with an error.
    Failed(String),
}

/// What a run folder holds, as far as a report needs it.
#[derive(Clone, Debug)]
pub struct Record {
    /// `run.json`.
    pub info: RunInfo,
    /// `events.jsonl`.
    pub events: Vec<Event>,
    /// SHA-256 of `events.jsonl`, in hexadecimal.
    pub events_sha: String,
    /// `timing.jsonl`.
    pub timing: Vec<Timing>,
    /// `recipe.toml`, resolved.
    pub recipe: Option<toml::Table>,
}

/// One line of `timing.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Training step.
    pub step: u64,
    /// Wall time of the step in seconds.
    pub seconds: f64,
    /// Wall time by phase.
    #[serde(default)]
    pub phase: std::collections::BTreeMap<String, f64>,
}

/// Reads an ablation folder, or a single run folder as an ablation of one cell.
///
/// # Errors
/// The folder is neither; a file is unreadable or corrupt beyond what the module's table tolerates.
pub fn read_ablation(dir: &Path) -> Result<Ablation, ReportError> {
    let mut notes = Vec::new();
    let manifest_path = dir.join("ablation.json");
    if !manifest_path.is_file() {
        return read_single(dir);
    }
    let manifest: Manifest = parse_json(&manifest_path)?;
    check_manifest(&manifest, &manifest_path)?;
    let runs = dir.join("..").join("..");
    let mut cells = Vec::with_capacity(manifest.cells.len());
    for at in &manifest.cells {
        let cell = read_cell(&runs.join(&at.run), at, &mut notes)?;
        // The arm may be another one: equal recipes share a run.
        if let Some(record) = &cell.record
            && record.info.seed != at.seed
        {
            let message = format!(
                "the cell `{}` has seed {}, its `run.json` says {}",
                at.run, at.seed, record.info.seed
            );
            return Err(content(&manifest_path, message));
        }
        cells.push(cell);
    }
    Ok(Ablation {
        manifest,
        cells,
        notes,
    })
}

fn read_single(dir: &Path) -> Result<Ablation, ReportError> {
    let path = dir.join("run.json");
    if !path.is_file() {
        return Err(ReportError::NotARun { dir: dir.to_owned() });
    }
    let info: RunInfo = parse_json(&path)?;
    let at = CellRef {
        arm: info.arm.clone(),
        seed: info.seed,
        run: info.run.clone(),
    };
    let mut notes = Vec::new();
    let cell = read_cell(dir, &at, &mut notes)?;
    let manifest = Manifest {
        name: info.name,
        description: String::new(),
        baseline: info.arm.clone(),
        arms: vec![info.arm],
        seeds: vec![info.seed],
        metric: primary_metric(cell.record.as_ref()),
        cells: vec![at],
        claims: Vec::new(),
    };
    Ok(Ablation {
        manifest,
        cells: vec![cell],
        notes,
    })
}

/// `eval/success` if the run evaluated it or nothing, otherwise its first metric.
fn primary_metric(record: Option<&Record>) -> String {
    let success = "eval/success".to_owned();
    let metrics = record.and_then(|r| {
        r.events.iter().find_map(|e| match e {
            Event::Eval { metrics, .. } if !metrics.is_empty() => Some(metrics),
            _ => None,
        })
    });
    match metrics {
        Some(m) if !m.contains_key(&success) => m.keys().next().cloned().unwrap_or(success),
        _ => success,
    }
}

fn check_manifest(manifest: &Manifest, path: &Path) -> Result<(), ReportError> {
    if !manifest.arms.contains(&manifest.baseline) {
        let message = format!(
            "baseline `{}` is none of the arms {:?}",
            manifest.baseline, manifest.arms
        );
        return Err(content(path, message));
    }
    if let Some((i, arm)) = manifest
        .arms
        .iter()
        .enumerate()
        .find(|(i, a)| manifest.arms[..*i].contains(a))
    {
        return Err(content(path, format!("arm {i} repeats the name `{arm}`")));
    }
    for (i, cell) in manifest.cells.iter().enumerate() {
        if !manifest.arms.contains(&cell.arm) {
            return Err(content(
                path,
                format!("cell {i} names arm `{}`, which is none of the arms", cell.arm),
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if cell.run.is_empty() || !cell.run.chars().all(plain) {
            return Err(content(
                path,
                format!("cell {i}: `{}` is no name of a run folder", cell.run),
            ));
        }
        if manifest.cells[..i]
            .iter()
            .any(|c| c.arm == cell.arm && c.seed == cell.seed)
        {
            let message = format!("cell {i} repeats arm `{}`, seed {}", cell.arm, cell.seed);
            return Err(content(path, message));
        }
    }
    Ok(())
}

fn read_cell(dir: &Path, at: &CellRef, notes: &mut Vec<String>) -> Result<Cell, ReportError> {
    let failure = dir.join("failed.json");
    let done = dir.join("done").is_file();
    let record = if dir.join("run.json").is_file() {
        Some(read_record(dir, at, notes)?)
    } else {
        None
    };
    let state = if done {
        CellState::Finished
    } else if failure.is_file() {
        CellState::Failed(read_failure(&failure))
    } else if record.is_some() {
        CellState::Unfinished
    } else {
        CellState::Missing
    };
    if done && record.is_none() {
        return Err(content(
            &dir.join("run.json"),
            "is missing, although the run is marked as done".to_owned(),
        ));
    }
    Ok(Cell {
        at: at.clone(),
        state,
        record,
    })
}

/// The message of `failed.json`; a damaged one still says that the cell failed.
fn read_failure(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(fields)) => match fields.get("error") {
            Some(Value::String(message)) => message.clone(),
            Some(other) => other.to_string(),
            None => "no message".to_owned(),
        },
        _ => "`failed.json` is unreadable".to_owned(),
    }
}

fn read_record(dir: &Path, at: &CellRef, notes: &mut Vec<String>) -> Result<Record, ReportError> {
    let path = dir.join("events.jsonl");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            return Err(ReportError::Io {
                action: "read",
                path,
                source,
            });
        }
    };
    let who = format!("{} seed {}", at.arm, at.seed);
    Ok(Record {
        info: parse_json(&dir.join("run.json"))?,
        events: parse_events(&path, &bytes, &who, notes)?,
        events_sha: Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect(),
        timing: read_timing(&dir.join("timing.jsonl"), &who, notes),
        recipe: std::fs::read_to_string(dir.join("recipe.toml"))
            .ok()
            .and_then(|t| t.parse().ok()),
    })
}

fn parse_events(
    path: &Path,
    bytes: &[u8],
    who: &str,
    notes: &mut Vec<String>,
) -> Result<Vec<Event>, ReportError> {
    let lines: Vec<(usize, &[u8])> = numbered_lines(bytes);
    let mut events = Vec::with_capacity(lines.len());
    let mut dropped: Vec<(String, usize)> = Vec::new();
    for (i, (line, text)) in lines.iter().enumerate() {
        if i == 0 {
            check_version(path, text)?;
        }
        match parse_event(text, *line, &mut dropped) {
            Ok(event) => events.push(event),
            Err(message) if i + 1 == lines.len() => {
                notes.push(format!(
                    "{who}: line {line} of events.jsonl is incomplete and was left out ({message})"
                ));
            }
            Err(message) => {
                return Err(ReportError::Line {
                    path: path.to_owned(),
                    line: *line,
                    message,
                });
            }
        }
    }
    if let Some(first) = events.first()
        && !matches!(first, Event::Start { .. })
    {
        let message = "the first event is not `start`".to_owned();
        return Err(ReportError::Line {
            path: path.to_owned(),
            line: 1,
            message,
        });
    }
    if let Some((metric, line)) = dropped.first() {
        let n = dropped.len();
        notes.push(format!(
            "{who}: {n} values that are not finite were left out, first `{metric}` in line {line}"
        ));
    }
    Ok(events)
}

/// Lines that are not blank, with their numbers from 1.
fn numbered_lines(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    bytes
        .split(|b| *b == b'\n')
        .enumerate()
        .filter(|(_, l)| !l.trim_ascii().is_empty())
        .map(|(i, l)| (i + 1, l))
        .collect()
}

/// Refuses a newer format before its events are parsed, so that the message is about the version.
fn check_version(path: &Path, text: &[u8]) -> Result<(), ReportError> {
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return Ok(());
    };
    match value.get("version").and_then(Value::as_u64) {
        Some(found) if found > u64::from(EVENT_VERSION) => Err(ReportError::Version {
            path: path.to_owned(),
            found,
        }),
        _ => Ok(()),
    }
}

fn parse_event(text: &[u8], line: usize, dropped: &mut Vec<(String, usize)>) -> Result<Event, String> {
    let error = match serde_json::from_slice::<Event>(text) {
        Ok(event) => return Ok(event),
        Err(error) => error.to_string(),
    };
    // JSON has no NaN: it was written as null, where a number must stand.
    let mut value: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    if let Some(metrics) = value.get_mut("metrics").and_then(Value::as_object_mut) {
        metrics.retain(|name, v| {
            if v.is_null() {
                found.push((name.clone(), line));
            }
            !v.is_null()
        });
    }
    let no_difficulty = value.get("difficulty").is_some_and(Value::is_null);
    if no_difficulty {
        value["difficulty"] = Value::from(0.0);
        found.push(("difficulty".to_owned(), line));
    }
    if found.is_empty() {
        return Err(error);
    }
    let mut event: Event = serde_json::from_value(value).map_err(|e| e.to_string())?;
    if let (Event::Group { difficulty, .. }, true) = (&mut event, no_difficulty) {
        *difficulty = f64::NAN;
    }
    dropped.extend(found);
    Ok(event)
}

fn read_timing(path: &Path, who: &str, notes: &mut Vec<String>) -> Vec<Timing> {
    let Ok(bytes) = std::fs::read(path) else {
        return Vec::new();
    };
    let mut timing: Vec<Timing> = Vec::new();
    for (line, text) in numbered_lines(&bytes) {
        match serde_json::from_slice::<Timing>(text) {
            Ok(t) => timing.push(t),
            Err(_) => notes.push(format!(
                "{who}: line {line} of timing.jsonl is incomplete and was left out"
            )),
        }
    }
    timing
}

fn parse_json<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    let text = std::fs::read_to_string(path).map_err(|source| ReportError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|e| content(path, e.to_string()))
}

fn content(path: &Path, message: String) -> ReportError {
    ReportError::Content {
        path: PathBuf::from(path),
        message,
    }
}
