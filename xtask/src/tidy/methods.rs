//! A method file names its source, holds its properties as proptests, and its golden numbers are checked: by its own
//! tests, or by the conformance harness, which knows methods that need no adapter by themselves.
//!
//! In a folder with a registry, methods are the files that define, or are named after, a configuration it lists
//! (`x.rs` and `XConfig`); in a folder without one every file is a method.  Tests may live in the file, beside it (`x_tests.rs`, `x/tests.rs`), or in `tests/`
//! of the crate, where they must name the method or run over the whole registry.

use std::collections::BTreeSet;

use groupwise_tests::GoldenFile;
use groupwise_tests::harness::is_implemented;

use super::{Finding, Tree};
use crate::source::{Source, macro_bodies, words};

/// Folders that hold methods.
const FOLDERS: &[&str] = &[
    "crates/groupwise-sampler/src/samplers",
    "crates/groupwise-sampler/src/allocators",
    "crates/groupwise-sampler/src/scaffolds",
    "crates/groupwise-sampler/src/repairs",
    "crates/groupwise-sampler/src/schedules",
    "crates/groupwise-sampler/src/filters",
    "crates/groupwise-sampler/src/replay",
    "crates/groupwise-reward/src/verifiers",
    "crates/groupwise-reward/src/shapers",
    "crates/groupwise-advantage/src/estimators",
    "crates/groupwise-objective/src/ratio",
    "crates/groupwise-objective/src/surrogate",
    "crates/groupwise-objective/src/aggregate",
    "crates/groupwise-objective/src/regularizer",
    "crates/groupwise-objective/src/objectives",
];
/// Parts that pass on what they get: there is no invariant to test.
const TRIVIAL: &[&str] = &["environment", "none", "plain"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    FOLDERS.iter().flat_map(|dir| check_folder(tree, dir)).collect()
}

fn check_folder(tree: &Tree, dir: &str) -> Vec<Finding> {
    let registered = tree
        .get(&format!("{dir}/mod.rs"))
        .map(registered_configs)
        .unwrap_or_default();
    let files: Vec<&Source> = tree.below(dir).filter(|file| is_code(&file.path)).collect();
    if registered.is_empty() {
        return files.into_iter().flat_map(|file| judge(tree, file)).collect();
    }
    let mut out = Vec::new();
    for config in registered {
        let definition = format!("struct {config}");
        let method = |file: &&&Source| config_of(&file.path) == config || file.code.contains(&definition);
        match files.iter().find(method) {
            Some(file) => out.extend(judge(tree, file)),
            None => {
                let what = format!("registers `{config}`, but no file here defines it or is named after it");
                out.push(Finding::error(&format!("{dir}/mod.rs"), None, what));
            }
        }
    }
    out
}

fn is_code(path: &str) -> bool {
    path.ends_with(".rs")
        && !["/mod.rs", "/tests.rs", "_tests.rs"]
            .iter()
            .any(|end| path.ends_with(end))
}

/// Names of the configurations a registry lists, without their paths.
fn registered_configs(file: &Source) -> BTreeSet<String> {
    let entry = |line: &str| {
        let config = line.split_once(':')?.1.trim().trim_end_matches(',');
        let name = config.rsplit("::").next()?.trim();
        name.ends_with("Config").then(|| name.to_owned())
    };
    macro_bodies(&file.code, "registry")
        .into_iter()
        .flat_map(|body| file.code[body].lines().filter_map(entry).collect::<Vec<_>>())
        .collect()
}

/// The configuration a file must hold by its name: `max_rl.rs` holds `MaxRlConfig`.
fn config_of(path: &str) -> String {
    let capitalized = |word: &str| {
        let mut chars = word.chars();
        chars
            .next()
            .map(|c| c.to_uppercase().chain(chars).collect::<String>())
            .unwrap_or_default()
    };
    stem(path).split('_').map(capitalized).collect::<String>() + "Config"
}

fn stem(path: &str) -> &str {
    path.trim_end_matches(".rs")
        .rsplit('/')
        .next()
        .unwrap_or_default()
}

fn judge(tree: &Tree, file: &Source) -> Vec<Finding> {
    let error = |what: String| Finding::error(&file.path, None, what);
    let tests = tests_of(tree, file);
    let mut out = Vec::new();
    if !file.text.contains("SOURCE") && !file.text.contains("# Source") && !file.text.contains("source:") {
        out.push(error(
            "names no source: `SOURCE` of its part, or `# Source` in its docs".into(),
        ));
    }
    let has_properties = |source: &&Source| source.text.contains("proptest!");
    if !TRIVIAL.contains(&stem(&file.path)) && !tests.iter().any(has_properties) {
        let what = "has no `proptest!`, here, beside it or in the tests of its crate: every invariant of a method \
                    is a named property";
        out.push(error(what.into()));
    }
    let slug = stem(&file.path).replace('_', "-");
    let reads = |source: &&Source| {
        let text = &source.text;
        text.contains("golden") && words(text, &slug).next().is_some()
    };
    let golden = tree.get(&format!("tests/golden/{slug}.json"));
    if golden.is_some_and(|file| !runs_in_harness(&slug, file)) && !tests.iter().any(reads) {
        out.push(error(format!(
            "does not read its golden numbers, tests/golden/{slug}.json, and the harness does not run them all"
        )));
    }
    out
}

/// True if the conformance harness runs every case of a golden file.
fn runs_in_harness(slug: &str, file: &Source) -> bool {
    GoldenFile::parse(slug, &file.text)
        .is_ok_and(|golden| golden.cases.iter().all(|case| is_implemented(slug, case)))
}

/// Where the tests of a method may be: its own file, files beside it, and those of its crate's `tests/` that
/// name it or run over the whole registry.
fn tests_of<'a>(tree: &'a Tree, file: &'a Source) -> Vec<&'a Source> {
    let base = file.path.trim_end_matches(".rs");
    let beside = [format!("{base}_tests.rs"), format!("{base}/tests.rs")];
    let name = stem(&file.path);
    let (slug, config) = (name.replace('_', "-"), config_of(&file.path));
    let camel = config.trim_end_matches("Config");
    let concerns = |test: &&Source| {
        let named = [name, slug.as_str(), config.as_str(), camel];
        named.iter().any(|n| words(&test.text, n).next().is_some()) || test.text.contains("::NAMES")
    };
    let krate = file.path.split("/src/").next().unwrap_or_default();
    let integration = tree.files.iter().filter(move |f| {
        f.is_rust()
            && f.path
                .strip_prefix(krate)
                .is_some_and(|rest| rest.starts_with("/tests/"))
    });
    let mut out = vec![file];
    out.extend(beside.iter().filter_map(|path| tree.get(path)));
    out.extend(integration.filter(concerns));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "crates/groupwise-sampler/src/samplers/vade.rs";
    const MOD: (&str, &str) = (
        "crates/groupwise-sampler/src/samplers/mod.rs",
        "registry! { pub enum S => dyn T, () {\n/// x\nVade = \"vade\": vade::VadeConfig,\n} }",
    );
    const GOLDEN: (&str, &str) = ("tests/golden/vade.json", "{}");

    fn whats(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .iter()
            .map(|f| f.what.split([',', ':']).next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_method_without_source_properties_or_golden_numbers_is_found() {
        assert_eq!(
            whats(&[MOD, (FILE, ""), GOLDEN]),
            [
                "names no source",
                "has no `proptest!`",
                "does not read its golden numbers"
            ]
        );
        assert_eq!(whats(&[MOD, (FILE, "")]).len(), 2);
        let good = "const SOURCE: &str = x; proptest! { } read(\"tests/golden/vade.json\")";
        assert!(whats(&[MOD, (FILE, good), GOLDEN]).is_empty());
    }

    #[test]
    fn golden_numbers_that_the_harness_runs_need_no_other_reader() {
        let file = (
            "crates/groupwise-advantage/src/estimators/rloo.rs",
            "SOURCE proptest! {}",
        );
        let registry = (
            "crates/groupwise-advantage/src/estimators/mod.rs",
            "registry! { pub enum S => dyn T, () {\n/// x\nRloo = \"rloo\": rloo::RlooConfig,\n} }",
        );
        let with = |expected: &str| {
            let case = |i: u32, key: &str| {
                format!(
                    r#"{{"name": "c{i}", "params": {{}}, "input": {{"rewards": [[1, 0]]}}, "expect": {{"{key}": [[1, -1]]}}, "tolerance": 0}}"#
                )
            };
            let golden = format!(
                r#"{{"method": "rloo", "provenance": "by hand", "cases": [{}, {}]}}"#,
                case(0, "advantages"),
                case(1, expected)
            );
            whats(&[registry, file, ("tests/golden/rloo.json", &golden)])
        };
        assert!(with("advantages").is_empty());
        // No convention and no adapter answers this, so it is run by nobody.
        assert_eq!(with("halting_odds"), ["does not read its golden numbers"]);
    }

    #[test]
    fn tests_beside_the_method_or_of_its_crate_count() {
        let with = |path, text| whats(&[MOD, (FILE, "/// # Source"), (path, text)]);
        assert!(
            with(
                "crates/groupwise-sampler/src/samplers/vade_tests.rs",
                "proptest! {}"
            )
            .is_empty()
        );
        assert!(
            with(
                "crates/groupwise-sampler/tests/a.rs",
                "proptest! { SamplerSpec::NAMES }"
            )
            .is_empty()
        );
        assert!(with("crates/groupwise-sampler/tests/a.rs", "proptest! { VadeConfig }").is_empty());
        assert_eq!(
            with("crates/groupwise-sampler/tests/a.rs", "proptest! { Other }").len(),
            1
        );
        assert_eq!(
            with("crates/groupwise-reward/tests/a.rs", "proptest! { VadeConfig }").len(),
            1
        );
    }

    #[test]
    fn helpers_beside_registered_methods_are_free_and_strays_are_found() {
        let helper = ("crates/groupwise-sampler/src/samplers/helper.rs", "");
        let good = (FILE, "SOURCE proptest! {}");
        assert!(whats(&[MOD, good, helper]).is_empty());
        assert_eq!(
            whats(&[MOD, ("crates/groupwise-sampler/src/samplers/vades.rs", "")]),
            ["registers `VadeConfig`"]
        );
        assert_eq!(
            whats(&[("crates/groupwise-objective/src/ratio/token.rs", "/// # Source")]).len(),
            1
        );
        assert_eq!(config_of("a/max_rl.rs"), "MaxRlConfig");
    }
}
