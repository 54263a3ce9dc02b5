//! Runs golden files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::case::slug_of;
use crate::{Answer, Case, Fault, GoldenFile, adapters, compare, disputed, generic};

/// What became of one case.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All expected entries came out, or the expected refusal.
    Passed,
    /// Something else came out, in words.
    Failed(String),
    /// Nothing in this workspace runs this method yet.
    NotImplemented,
    /// Something else came out, as it must: the case is known to be wrong, in words.
    Disputed(&'static str),
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileReport {
    /// Slug of the method.
    pub slug: String,
    /// Outcome per case, by name in file order; or why the file cannot be used.
    pub cases: Result<Vec<(String, Outcome)>, String>,
}

impl FileReport {
    /// Number of cases with an outcome for which `pick` is true.
    fn count(&self, pick: impl Fn(&Outcome) -> bool) -> usize {
        self.cases
            .iter()
            .flatten()
            .filter(|(_, outcome)| pick(outcome))
            .count()
    }

    /// Cases that passed.
    pub fn n_passed(&self) -> usize {
        self.count(|o| matches!(o, Outcome::Passed))
    }

    /// Cases that nothing runs yet.
    pub fn n_missing(&self) -> usize {
        self.count(|o| matches!(o, Outcome::NotImplemented))
    }

    /// Cases that are known to be wrong.
    pub fn n_disputed(&self) -> usize {
        self.count(|o| matches!(o, Outcome::Disputed(_)))
    }

    /// Failures in words, by case name; a file that cannot be used is one failure under the name `file`.
    pub fn failures(&self) -> Vec<(&str, &str)> {
        match &self.cases {
            Err(reason) => vec![("file", reason)],
            Ok(cases) => cases
                .iter()
                .filter_map(|(name, outcome)| match outcome {
                    Outcome::Failed(why) => Some((name.as_str(), why.as_str())),
                    _ => None,
                })
                .collect(),
        }
    }
}

/// True if something runs the case: the adapter of the slug, else the convention.
pub fn is_implemented(slug: &str, case: &Case) -> bool {
    adapters::find(slug).is_some() || generic::find(slug, case).is_some()
}

/// Runs one case.
///
/// A panic inside a method is a failure of the case, not of the harness.  A case of [`disputed`] that passes fails.
pub fn run_case(slug: &str, case: &Case) -> Outcome {
    settle(run_undisputed(slug, case), disputed::find(slug, &case.name))
}

/// What a dispute makes of an outcome.
fn settle(outcome: Outcome, why: Option<&'static str>) -> Outcome {
    match (outcome, why) {
        (Outcome::Failed(_), Some(why)) => Outcome::Disputed(why),
        (Outcome::Passed, Some(_)) => {
            Outcome::Failed("passes, yet is listed as disputed: delete its line".to_owned())
        }
        (outcome, _) => outcome,
    }
}

fn run_undisputed(slug: &str, case: &Case) -> Outcome {
    let (own, convention) = (adapters::find(slug), generic::find(slug, case));
    let run = || match (own, convention) {
        (Some(run), _) => Some(run(case)),
        (None, Some(convention)) => Some(generic::run(convention, slug, case)),
        (None, None) => None,
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(None) => Outcome::NotImplemented,
        Ok(Some(result)) => judge(case, result),
        Err(payload) => {
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied());
            Outcome::Failed(format!("panicked: {}", text.unwrap_or("without a message")))
        }
    }
}

fn judge(case: &Case, result: Result<Answer, Fault>) -> Outcome {
    let why = match (result, case.expect.get("error")) {
        (Err(Fault::Refused(_)), Some(_)) => return Outcome::Passed,
        (Err(fault), _) => fault.to_string(),
        (Ok(_), Some(reason)) => format!("must be refused ({reason}), but gave an answer"),
        (Ok(answer), None) => {
            let expected = Value::Object(case.expect.clone());
            match compare(&expected, &Value::Object(answer), case.tolerance) {
                Ok(()) => return Outcome::Passed,
                Err(difference) => difference.to_string(),
            }
        }
    };
    Outcome::Failed(why)
}

/// Runs every case of a file.
pub fn run_file(path: &Path) -> FileReport {
    let slug = slug_of(path);
    let cases = GoldenFile::read(path).map(|file| {
        let run = |case: &Case| (case.name.clone(), run_case(&slug, case));
        file.cases.iter().map(run).collect()
    });
    FileReport { slug, cases }
}

/// Golden files of a folder, sorted by name.
///
/// # Errors
/// If the folder cannot be read or holds none.
pub fn golden_files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", dir.display()))?.path();
        if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(format!("{}: holds no `.json` file", dir.display()));
    }
    paths.sort();
    Ok(paths)
}

/// Runs every file of a folder, in order of name.
///
/// # Errors
/// As [`golden_files`]; what is wrong with a single file stands in its report.
pub fn run_dir(dir: &Path) -> Result<Vec<FileReport>, String> {
    Ok(golden_files(dir)?.iter().map(|path| run_file(path)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(expect: Value) -> Case {
        let value = json!({"name": "c", "params": {}, "input": {}, "expect": expect, "tolerance": 1e-6});
        serde_json::from_value(value).unwrap()
    }

    fn answer(value: Value) -> Result<Answer, Fault> {
        Ok(value.as_object().unwrap().clone())
    }

    #[test]
    fn a_refusal_passes_only_where_it_is_expected() {
        let refused = case(json!({"error": "x"}));
        let refusal = || Err(Fault::refused("no"));
        assert_eq!(judge(&refused, refusal()), Outcome::Passed);
        assert_eq!(
            judge(&refused, Err(Fault::adapter("adapter does not know param `x`"))),
            Outcome::Failed("adapter does not know param `x`".into())
        );
        assert_eq!(
            judge(&refused, answer(json!({"a": 1}))),
            Outcome::Failed("must be refused (\"x\"), but gave an answer".into())
        );
        assert_eq!(
            judge(&case(json!({"a": 1})), refusal()),
            Outcome::Failed("refused: no".into())
        );
    }

    #[test]
    fn a_disputed_case_must_go_on_failing() {
        assert_eq!(
            settle(Outcome::Failed("x".into()), Some("why")),
            Outcome::Disputed("why")
        );
        assert!(matches!(settle(Outcome::Passed, Some("why")), Outcome::Failed(_)));
        assert_eq!(settle(Outcome::Passed, None), Outcome::Passed);
        assert_eq!(
            settle(Outcome::NotImplemented, Some("why")),
            Outcome::NotImplemented
        );
        for entry in disputed::DISPUTED {
            assert_eq!(disputed::find(entry.slug, entry.case), Some(entry.why));
        }
        assert_eq!(disputed::find("ton", "another"), None);
    }

    #[test]
    fn an_answer_is_compared() {
        assert_eq!(
            judge(&case(json!({"a": 1.0})), answer(json!({"a": 1.0, "b": 0}))),
            Outcome::Passed
        );
        assert_eq!(
            judge(&case(json!({"a": 1.0})), answer(json!({"a": 2.0}))),
            Outcome::Failed("a: expected 1.0, found 2.0".into())
        );
    }

    #[test]
    fn a_folder_is_walked_and_a_bad_file_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        assert!(run_dir(dir.path()).unwrap_err().contains("holds no `.json` file"));
        std::fs::write(dir.path().join("bad.json"), "{").unwrap();
        let good = r#"{"method": "no-such", "provenance": "none", "cases": [
            {"name": "c", "params": {}, "input": {}, "expect": {"a": 1}, "tolerance": 0}]}"#;
        std::fs::write(dir.path().join("no-such.json"), good).unwrap();
        std::fs::write(dir.path().join("notes.txt"), "").unwrap();
        let reports = run_dir(dir.path()).unwrap();
        assert_eq!(reports.len(), 2);
        assert_eq!(
            reports[0].failures(),
            [("file", "EOF while parsing an object at line 1 column 1")]
        );
        assert_eq!((reports[1].n_passed(), reports[1].n_missing()), (0, 1));
        assert!(run_dir(&dir.path().join("nowhere")).is_err());
    }
}
