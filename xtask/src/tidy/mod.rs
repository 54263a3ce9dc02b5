//! Structural checks: what the architecture promises and the compiler does not keep.
//!
//! Each check is a pure function from sources to findings, so that it can be tested on a sample.

mod docs;
mod golden;
mod layers;
mod manifests;
mod methods;
mod names;
mod paths;
mod purity;
mod recipes;
mod size;
mod stubs;

use std::fmt;
use std::path::Path;

use crate::repo;
use crate::source::Source;

/// Something that must not be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path from the root.
    path: String,
    /// Line, where there is one.
    line: Option<usize>,
    /// What is wrong and what to do about it.
    what: String,
    /// Whether it stops CI.
    severity: Severity,
}

/// Whether a finding stops CI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(path: &str, line: impl Into<Option<usize>>, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: line.into(),
            what: what.into(),
            severity: Severity::Error,
        }
    }

    fn warning(path: &str, line: impl Into<Option<usize>>, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(path, line, what)
        }
    }

    /// Whether it stops CI.
    pub(crate) fn severity(&self) -> Severity {
        self.severity
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The text files of the project.
#[derive(Debug)]
pub(crate) struct Tree {
    files: Vec<Source>,
}

impl Tree {
    /// Reads every text file below the root.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut files = Vec::new();
        for path in repo::files(root)? {
            let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(Source::new(repo::relative(root, &path), text));
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| Source::new(*path, *text))
                .collect(),
        }
    }

    /// Rust files.
    fn rust(&self) -> impl Iterator<Item = &Source> {
        self.files.iter().filter(|f| f.is_rust())
    }

    /// One file.
    fn get(&self, path: &str) -> Option<&Source> {
        self.files.iter().find(|f| f.path == path)
    }

    /// Files below a folder.
    fn below<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = &'a Source> {
        self.files
            .iter()
            .filter(move |f| f.path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Folder and manifest of every workspace member.
    fn manifests(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.files.iter().filter_map(|f| {
            let dir = f.path.strip_suffix("/Cargo.toml")?;
            let member = dir.starts_with("crates/") || ["benchmarks/speed", "tests", "xtask"].contains(&dir);
            member.then_some((dir, f))
        })
    }

    /// Slugs of the golden files.
    fn golden_slugs(&self) -> impl Iterator<Item = &str> {
        self.below("tests/golden")
            .filter_map(|f| f.path.strip_prefix("tests/golden/")?.strip_suffix(".json"))
    }
}

/// A structural check: its name and what it finds.
type Check = (&'static str, fn(&Tree) -> Vec<Finding>);

const CHECKS: &[Check] = &[
    ("size", size::check),
    ("layers", layers::check),
    ("purity", purity::check),
    ("names", names::check),
    ("golden", golden::check),
    ("recipes", recipes::check),
    ("stubs", stubs::check),
    ("paths", paths::check),
    ("manifests", manifests::check),
    ("methods", methods::check),
    ("docs", docs::check),
];

/// Runs every check; findings come in the order of the checks, each with the name of its check.
pub(crate) fn run(tree: &Tree) -> Vec<(&'static str, Finding)> {
    CHECKS
        .iter()
        .flat_map(|(name, check)| check(tree).into_iter().map(|finding| (*name, finding)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_points_at_file_and_line() {
        assert_eq!(Finding::error("a.rs", 3, "x").to_string(), "a.rs:3: x");
        assert_eq!(Finding::warning("a.rs", None, "x").to_string(), "a.rs: x");
    }

    #[test]
    fn members_and_golden_files_are_found() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", ""),
            ("xtask/Cargo.toml", ""),
            ("tests/fixtures/Cargo.toml", ""),
            ("tests/golden/vade.json", ""),
            ("tests/golden/README.md", ""),
        ]);
        assert_eq!(
            tree.manifests().map(|(dir, _)| dir).collect::<Vec<_>>(),
            ["crates/a", "xtask"]
        );
        assert_eq!(tree.golden_slugs().collect::<Vec<_>>(), ["vade"]);
    }
}
