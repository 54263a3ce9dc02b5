//! The schema of a golden file.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::fields::Fields;

/// One golden file: the cases of a method.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenFile {
    /// Slug of the method: the name of the file without its ending.
    pub method: String,
    /// Where the numbers come from.
    pub provenance: String,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case: parameters and input of a method, and what must come out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case shows; unique in its file.
    pub name: String,
    /// The method of this case, where a file holds several.
    pub method: Option<String>,
    /// Parameters; what is absent has the default of the specification.
    pub params: Map<String, Value>,
    /// Data.
    pub input: Map<String, Value>,
    /// Entries that must come out, or `error` for a case that must be refused.
    pub expect: Map<String, Value>,
    /// Absolute tolerance of a number.
    pub tolerance: f64,
}

impl Case {
    /// Typed access to the parameters.
    pub fn params(&self) -> Fields<'_> {
        Fields::new("param", &self.params)
    }

    /// Typed access to the input.
    pub fn input(&self) -> Fields<'_> {
        Fields::new("input", &self.input)
    }

    /// True if the case must be refused.
    pub fn must_be_refused(&self) -> bool {
        self.expect.contains_key("error")
    }

    /// True if the case expects an entry of this name.
    pub fn expects(&self, key: &str) -> bool {
        self.expect.contains_key(key)
    }

    /// The name as a test path: lower case, words joined by `_`.
    pub fn test_name(&self) -> String {
        let mut out = String::with_capacity(self.name.len());
        for c in self.name.chars() {
            if c.is_alphanumeric() {
                out.extend(c.to_lowercase());
            } else if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
        }
        out.truncate(out.trim_end_matches('_').len());
        out
    }
}

impl GoldenFile {
    /// Parses and checks a file.
    ///
    /// # Errors
    /// The reason in words, with line and column where it is a matter of syntax.
    pub fn parse(slug: &str, text: &str) -> Result<Self, String> {
        let file: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if file.method != slug {
            return Err(format!(
                "`method` is `{}`, but the file is called `{slug}.json`",
                file.method
            ));
        }
        if file.provenance.trim().is_empty() {
            return Err("`provenance` is empty".into());
        }
        if file.cases.is_empty() {
            return Err("`cases` is empty".into());
        }
        for (i, case) in file.cases.iter().enumerate() {
            let place = format!("case {i} (`{}`)", case.name);
            if case.test_name().is_empty() {
                return Err(format!("case {i} has no name"));
            }
            if file.cases[..i].iter().any(|c| c.test_name() == case.test_name()) {
                return Err(format!("{place}: another case has the same name"));
            }
            if !(case.tolerance >= 0.0 && case.tolerance.is_finite()) {
                return Err(format!("{place}: `tolerance` = {}: must be >= 0", case.tolerance));
            }
            if case.expect.is_empty() {
                return Err(format!("{place}: `expect` is empty"));
            }
            if case.must_be_refused() && case.expect.len() > 1 {
                return Err(format!("{place}: `expect` holds `error` and other entries"));
            }
        }
        Ok(file)
    }

    /// Reads, parses and checks a file.
    ///
    /// # Errors
    /// As [`GoldenFile::parse`], or that the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        Self::parse(&slug_of(path), &text)
    }
}

/// Slug of a golden file: its name without the ending.
pub fn slug_of(path: &Path) -> String {
    path.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(cases: &str) -> String {
        format!(r#"{{"method": "m", "provenance": "formula", "cases": [{cases}]}}"#)
    }

    fn case(name: &str, rest: &str) -> String {
        format!(r#"{{"name": "{name}", "params": {{}}, "input": {{}}, {rest}}}"#)
    }

    #[test]
    fn a_good_file_parses() {
        let text = file(&case(
            "Tie: equal rates, odd.",
            r#""expect": {"a": 1}, "tolerance": 0"#,
        ));
        let parsed = GoldenFile::parse("m", &text).unwrap();
        assert_eq!(parsed.cases[0].test_name(), "tie_equal_rates_odd");
        assert!(parsed.cases[0].expects("a"));
    }

    #[test]
    fn every_defect_is_named() {
        let good = r#""expect": {"a": 1}, "tolerance": 1e-6"#;
        for (slug, text, reason) in [
            (
                "m",
                "{".to_owned(),
                "EOF while parsing an object at line 1 column 1",
            ),
            (
                "x",
                file(&case("c", good)),
                "`method` is `m`, but the file is called `x.json`",
            ),
            ("m", file(""), "`cases` is empty"),
            (
                "m",
                file(&format!("{},{}", case("c d", good), case("c-d", good))),
                "case 1 (`c-d`): another case has the same name",
            ),
            (
                "m",
                file(&case("c", r#""expect": {"a": 1}, "tolerance": -1"#)),
                "case 0 (`c`): `tolerance` = -1: must be >= 0",
            ),
            (
                "m",
                file(&case("c", r#""expect": {}, "tolerance": 0"#)),
                "case 0 (`c`): `expect` is empty",
            ),
            (
                "m",
                file(&case("c", r#""expect": {"error": "x", "a": 1}, "tolerance": 0"#)),
                "case 0 (`c`): `expect` holds `error` and other entries",
            ),
            ("m", file(&case("", good)), "case 0 has no name"),
        ] {
            assert_eq!(GoldenFile::parse(slug, &text).unwrap_err(), reason);
        }
        let extra = file(&case("c", r#""expect": {"a": 1}, "tolerance": 0, "tol": 1"#));
        assert!(
            GoldenFile::parse("m", &extra)
                .unwrap_err()
                .contains("unknown field `tol`")
        );
        let without = file(&case("c", r#""expect": {"a": 1}"#));
        assert!(
            GoldenFile::parse("m", &without)
                .unwrap_err()
                .contains("tolerance")
        );
    }
}
