//! Writing the three files of a report, each whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::ReportError;
use crate::html::render_html;
use crate::markdown::render_markdown;
use crate::read::read_ablation;
use crate::summarize::summarize;
use crate::summary::Summary;
use crate::text::render_text;

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportPaths {
    /// The page.
    pub html: PathBuf,
    /// The Markdown form.
    pub markdown: PathBuf,
    /// The numbers.
    pub json: PathBuf,
    /// The short form, for a terminal.
    pub text: String,
    /// The same numbers, for whoever goes on with them.
    pub summary: Summary,
}

/// Reads an ablation or run folder and writes `report.html`, `report.md` and `report.json` into it.
///
/// # Errors
/// As [`read_ablation`]; a file that cannot be written.
pub fn write_report(dir: &Path) -> Result<ReportPaths, ReportError> {
    let summary = summarize(&read_ablation(dir)?);
    let paths = ReportPaths {
        html: dir.join("report.html"),
        markdown: dir.join("report.md"),
        json: dir.join("report.json"),
        text: render_text(&summary),
        summary,
    };
    let json = serde_json::to_string_pretty(&paths.summary).map_err(|e| ReportError::Content {
        path: paths.json.clone(),
        message: e.to_string(),
    })?;
    replace(&paths.json, &(json + "\n"))?;
    replace(&paths.markdown, &render_markdown(&paths.summary))?;
    replace(&paths.html, &render_html(&paths.summary))?;
    Ok(paths)
}

/// Writes to a file beside the target, then renames: a reader never sees half a report.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), ReportError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Io { action, path, source }
    };
    let mut file = std::fs::File::create(&beside).map_err(io("write", &beside))?;
    file.write_all(text.as_bytes()).map_err(io("write", &beside))?;
    file.sync_all().map_err(io("write", &beside))?;
    std::fs::rename(&beside, path).map_err(io("rename", path))
}
