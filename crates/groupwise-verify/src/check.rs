//! Verifiers against rows whose verdicts are known.

mod answers;
mod fields;
mod lists;
mod mathematics;
mod programs;
mod report;
mod shapes;
mod tools;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use self::report::{Agreement, Cell, Disagreement, FamilyReport};

use self::fields::{Fields, Mismatch};
use crate::error::VerifyError;
use crate::stream::{is_blank, next_line};

/// Checks one row: what differs from what the row expects.
type RowCheck = fn(&Fields<'_>) -> Result<Vec<Mismatch>, String>;

/// Families whose rows can be checked, by the beginning of a file's name; of several that fit, the longest counts.
pub const CHECKED: [&str; 18] = [
    "choice",
    "code_tests",
    "countdown",
    "entity_match",
    "gsm8k_extract",
    "ifeval",
    "iou",
    "math",
    "math_hostile",
    "math_other",
    "math_own",
    "math_reported",
    "math_responses",
    "math_rewrites",
    "qa_em_f1",
    "ranking",
    "shape_rewards",
    "tool_calls",
];

/// The check of a family of [`CHECKED`].
fn row_check(family: &str) -> Option<RowCheck> {
    Some(match family {
        "choice" => answers::choice,
        "code_tests" => programs::tests,
        "countdown" => answers::countdown,
        "entity_match" => lists::entity_match,
        "gsm8k_extract" => mathematics::marker,
        "ifeval" => programs::instruction,
        "iou" => lists::overlap,
        "math" => mathematics::suite,
        "math_hostile" | "math_other" | "math_own" | "math_reported" | "math_rewrites" => mathematics::pair,
        "math_responses" => mathematics::response,
        "qa_em_f1" => answers::short_answer,
        "ranking" => lists::ranking,
        "shape_rewards" => shapes::shape,
        "tool_calls" => tools::calls,
        _ => return None,
    })
}

/// The family of a file: the longest name of [`CHECKED`] its own begins with, up to the end or a `_`, `-` or `.`.
fn family_of(path: &Path) -> Result<&'static str, String> {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let fits = |name: &&&str| {
        stem.strip_prefix(**name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '-', '.']))
    };
    let longest = CHECKED.iter().filter(fits).max_by_key(|name| name.len());
    longest
        .copied()
        .ok_or_else(|| stem.trim_end_matches("_examples").to_owned())
}

/// Checks a file of rows, or every `.jsonl` file of a folder in the order of their names, and writes a report.
///
/// A row is a JSON object with `id`, `tier` (`core`, `convention` or `disputed`), perhaps `kind`, and the fields of its
/// family.  The report counts agreement by family, kind and tier, and names the rows that disagree.
///
/// # Errors
/// A file that cannot be read; a line that is no such row, with file and line.  A file of an unknown family is no error
/// but stands in the result, which then is not [`Agreement::is_good`].
pub fn check(path: &Path, mut writer: impl Write) -> Result<Agreement, VerifyError> {
    let mut agreement = Agreement::default();
    for file in files(path)? {
        match family_of(&file) {
            Err(name) => agreement.unknown.push(name),
            Ok(family) => {
                let open = |source| VerifyError::Open {
                    path: file.clone(),
                    source,
                };
                let reader = BufReader::new(File::open(&file).map_err(open)?);
                let report = check_rows(family, reader).map_err(|e| within(&file, e))?;
                agreement.families.push(report);
            }
        }
    }
    agreement
        .write(&mut writer)
        .and_then(|()| writer.flush())
        .map_err(VerifyError::Write)?;
    Ok(agreement)
}

/// Checks rows of one family of [`CHECKED`].
///
/// # Errors
/// An unknown family; the first line that is no row, with its number.
///
/// # Example
/// ```
/// use groupwise_verify::check_rows;
/// let rows = r#"{"id": "a", "tier": "core", "response": "The answer is B.", "expected": "B"}
/// {"id": "b", "tier": "convention", "response": "A or B", "expected": "A"}"#;
/// let report = check_rows("choice", rows.as_bytes())?;
/// assert_eq!((report.agree, report.rows), (1, 2));
/// assert_eq!(report.disagreements[0].id, "b");
/// # Ok::<(), groupwise_verify::VerifyError>(())
/// ```
pub fn check_rows(family: &str, mut reader: impl BufRead) -> Result<FamilyReport, VerifyError> {
    let check = row_check(family).ok_or_else(|| VerifyError::UnknownFamily {
        name: family.to_owned(),
        known: CHECKED.map(str::to_owned).to_vec(),
    })?;
    let mut report = FamilyReport::new(family);
    let (mut text, mut line) = (Vec::new(), 0);
    while next_line(&mut reader, &mut text, &mut line)? {
        if is_blank(&text) {
            continue;
        }
        let bad = |what: String| VerifyError::line(line, what);
        let row: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|e| bad(format!("is no JSON object: {e}")))?;
        let fields = Fields::new(&row);
        let (id, tier) = (fields.id(line), fields.text("tier").map_err(bad)?);
        let kind = fields.optional_text("kind").unwrap_or("-");
        let mismatches = check(&fields).map_err(|e| bad(format!("row `{id}`: {e}")))?;
        report.count(&id, kind, tier, mismatches);
    }
    Ok(report)
}

fn within(file: &Path, error: VerifyError) -> VerifyError {
    match error {
        VerifyError::Line { line, what, .. } => VerifyError::Line {
            file: Some(file.to_owned()),
            line,
            what,
        },
        other => other,
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let open = |source| VerifyError::Open {
        path: path.to_owned(),
        source,
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(open)? {
        let file = entry.map_err(open)?.path();
        if file.extension().is_some_and(|e| e == "jsonl") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(VerifyError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_their_family() {
        for (file, family) in [
            ("choice.jsonl", Ok("choice")),
            ("a/b/qa_em_f1_examples.jsonl", Ok("qa_em_f1")),
            ("iou-kept.jsonl", Ok("iou")),
            ("ranking.v2.jsonl", Ok("ranking")),
            ("choices.jsonl", Err("choices")),
            ("poetry_examples.jsonl", Err("poetry")),
        ] {
            assert_eq!(
                family_of(Path::new(file)),
                family.map_err(str::to_owned),
                "{file}"
            );
        }
    }

    #[test]
    fn every_checked_family_has_a_check() {
        for family in CHECKED {
            assert!(row_check(family).is_some(), "{family}");
        }
        assert!(check_rows("poetry", &b""[..]).is_err());
    }
}
