//! Core, advantage, objective and stats do no I/O, read no clock and hold no global.

use crate::source::{Source, line_of, words};

use super::{Finding, Tree};

const PURE: &[&str] = &[
    "crates/groupwise-core/src",
    "crates/groupwise-advantage/src",
    "crates/groupwise-objective/src",
    "crates/groupwise-stats/src",
];
/// Modules of the standard library that reach outside the program.
const MODULES: &[&str] = &["fs", "net", "env", "process"];
/// Words that read a clock or hold a global.
const WORDS: &[&str] = &["Instant", "SystemTime", "thread_local"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    PURE.iter()
        .flat_map(|dir| tree.below(dir))
        .filter(|file| file.is_rust() && !is_test_file(&file.path))
        .flat_map(impurities)
        .collect()
}

/// Tests may read golden files.
fn is_test_file(path: &str) -> bool {
    path.ends_with("_tests.rs") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn impurities(file: &Source) -> Vec<Finding> {
    let code = file.code_without_tests();
    let mut hits: Vec<(usize, String)> = std_modules(&code);
    for word in WORDS {
        hits.extend(words(&code, word).map(|at| (at, (*word).to_owned())));
    }
    for at in words(&code, "static") {
        if code[at + "static".len()..].trim_start().starts_with("mut ") {
            hits.push((at, "static mut".into()));
        }
    }
    hits.sort();
    let finding = |(at, what): (usize, String)| {
        let text = format!("`{what}` in a crate that does no I/O, reads no clock and holds no global");
        Finding::error(&file.path, line_of(&code, at), text)
    };
    hits.into_iter().map(finding).collect()
}

/// Uses of the listed modules, as `std::fs` or inside `use std::{..}`.
fn std_modules(code: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for at in words(code, "std") {
        let Some(rest) = code[at + 3..].strip_prefix("::") else {
            continue;
        };
        let start = code.len() - rest.len();
        let names = match rest.strip_prefix('{') {
            Some(_) => crate::source::closing(code, start).map_or(rest, |end| &code[start..end]),
            None => {
                &rest[..rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len())]
            }
        };
        for module in MODULES {
            out.extend(words(names, module).map(|offset| (start + offset, format!("std::{module}"))));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_code_is_found_and_tests_are_free() {
        let text = "use std::{fs, path::Path};\n// std::net\nlet t = std::time::Instant::now();\nstatic  mut X: u8 = 0;\nlet e = std::env::var(\"a\");\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let tree = Tree::of(&[
            ("crates/groupwise-core/src/a.rs", text),
            ("crates/groupwise-core/src/a_tests.rs", text),
            ("crates/groupwise-report/src/a.rs", text),
        ]);
        let found: Vec<_> = check(&tree).iter().map(|f| f.to_string()).collect();
        let brief: Vec<_> = found
            .iter()
            .map(|f| f.split(" in a crate").next().unwrap())
            .collect();
        assert_eq!(
            brief,
            [
                "crates/groupwise-core/src/a.rs:1: `std::fs`",
                "crates/groupwise-core/src/a.rs:3: `Instant`",
                "crates/groupwise-core/src/a.rs:4: `static mut`",
                "crates/groupwise-core/src/a.rs:5: `std::env`",
            ]
        );
    }

    #[test]
    fn pure_code_passes() {
        let text = "use std::{fmt, sync::Arc};\nfn f(x: &'static str) { let fs = std::cmp::max(1, 2); env!(\"X\"); }";
        assert!(check(&Tree::of(&[("crates/groupwise-core/src/a.rs", text)])).is_empty());
    }
}
