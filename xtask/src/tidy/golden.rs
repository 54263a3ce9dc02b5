//! Every golden file runs, or is listed as not implemented.

use groupwise_tests::GoldenFile;
use groupwise_tests::harness::is_implemented;

use super::{Finding, Tree};

const LIST: &str = "tests/not-implemented.txt";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let listed: Vec<(usize, &str)> = tree.get(LIST).map_or_else(Vec::new, |list| entries(&list.text));
    let mut out = Vec::new();
    let mut slugs = Vec::new();
    for file in tree.below("tests/golden").filter(|f| f.path.ends_with(".json")) {
        let slug = file
            .path
            .trim_start_matches("tests/golden/")
            .trim_end_matches(".json");
        slugs.push(slug);
        match GoldenFile::parse(slug, &file.text) {
            Err(why) => out.push(Finding::error(&file.path, None, why)),
            Ok(golden) => {
                let n_missing = golden
                    .cases
                    .iter()
                    .filter(|case| !is_implemented(slug, case))
                    .count();
                out.extend(judge(slug, &file.path, n_missing, &listed));
            }
        }
    }
    for (line, slug) in listed {
        if !slugs.contains(&slug) {
            out.push(Finding::error(
                LIST,
                line,
                format!("`{slug}` has no file in tests/golden"),
            ));
        }
    }
    out
}

/// Slugs and their lines; `#` starts a comment.
fn entries(list: &str) -> Vec<(usize, &str)> {
    list.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, slug)| !slug.is_empty())
        .collect()
}

fn judge(slug: &str, path: &str, n_missing: usize, listed: &[(usize, &str)]) -> Option<Finding> {
    let line = listed
        .iter()
        .find(|(_, name)| *name == slug)
        .map(|(line, _)| *line);
    match (n_missing, line) {
        (0, Some(line)) => Some(Finding::error(
            LIST,
            line,
            format!("`{slug}` is implemented now: delete the line"),
        )),
        (n, None) if n > 0 => Some(Finding::error(
            path,
            None,
            format!(
                "nothing runs {n} of its cases: register the method or an adapter in tests/src/adapters, or list `{slug}` in {LIST}"
            ),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"method": "no-such", "provenance": "p", "cases": [
        {"name": "c", "params": {}, "input": {}, "expect": {"a": 1}, "tolerance": 0}]}"#;

    #[test]
    fn a_golden_file_that_nothing_runs_must_be_listed() {
        let path = "tests/golden/no-such.json";
        assert!(check(&Tree::of(&[(path, FILE), (LIST, "# why\nno-such  # later\n")])).is_empty());
        assert!(
            check(&Tree::of(&[(path, FILE)]))[0]
                .to_string()
                .contains("nothing runs 1 of its cases")
        );
        let stale = check(&Tree::of(&[(LIST, "gone\n")]));
        assert_eq!(
            stale[0].to_string(),
            format!("{LIST}:1: `gone` has no file in tests/golden")
        );
        let broken = check(&Tree::of(&[(path, "{")]));
        assert_eq!(
            broken[0].to_string(),
            format!("{path}: EOF while parsing an object at line 1 column 1")
        );
    }

    #[test]
    fn an_implemented_method_must_leave_the_list() {
        assert!(judge("a", "p", 0, &[]).is_none());
        assert!(judge("a", "p", 2, &[(1, "a")]).is_none());
        let found = judge("a", "p", 0, &[(1, "b"), (2, "a")]).unwrap();
        assert_eq!(
            found.to_string(),
            format!("{LIST}:2: `a` is implemented now: delete the line")
        );
    }
}
