//! Pipeline, rollout and learner contain no method's name.

use std::collections::BTreeSet;

use crate::source::{line_of, macro_bodies, words};

use super::{Finding, Tree};

/// Crates that must not know a method.
const BLIND: &[&str] = &[
    "crates/groupwise-pipeline/src",
    "crates/groupwise-rollout/src",
    "crates/groupwise-learner/src",
];
/// Crates whose registries name methods; worlds and policies are named elsewhere.
const NAMING: &[&str] = &[
    "crates/groupwise-sampler/src",
    "crates/groupwise-reward/src",
    "crates/groupwise-advantage/src",
    "crates/groupwise-objective/src",
];
/// Names of parts that are ordinary words of the domain, and may stand anywhere.
const ORDINARY: &[&str] = &[
    "baselines",
    "constant",
    "countdown",
    "environment",
    "exact",
    "fixed",
    "mixed",
    "none",
    "plain",
    "raw",
    "supervised",
    "uniform",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let names = names(tree);
    let mut out = Vec::new();
    for file in BLIND
        .iter()
        .flat_map(|dir| tree.below(dir))
        .filter(|f| f.is_rust())
    {
        let text = file.text.to_lowercase().replace('_', "-");
        for name in &names {
            if let Some(at) = words(&text, name).next() {
                let what = format!(
                    "names the method `{name}`; this crate must work with any: give the seam what it lacks, or \
                     list the word as ordinary in xtask/src/tidy/names.rs"
                );
                out.push(Finding::error(&file.path, line_of(&text, at), what));
            }
        }
    }
    out
}

/// Names in registries and slugs of golden files, lower case with `-`.
fn names(tree: &Tree) -> BTreeSet<String> {
    let registered = NAMING
        .iter()
        .flat_map(|dir| tree.below(dir))
        .filter(|f| f.is_rust())
        .flat_map(|file| {
            macro_bodies(&file.code, "registry")
                .into_iter()
                .flat_map(|body| registered_names(&file.text[body]))
                .collect::<Vec<_>>()
        });
    registered
        .chain(tree.golden_slugs().map(str::to_owned))
        .map(|name| name.to_lowercase().replace('_', "-"))
        .filter(|name| !ORDINARY.contains(&name.as_str()))
        .collect()
}

/// The names in the body of a `registry!`: `Variant = "name": Config`.
fn registered_names(body: &str) -> Vec<String> {
    let named = |line: &str| {
        let (before, rest) = line.split_once("= \"")?;
        let (name, after) = rest.split_once('"')?;
        let is_entry = !before.trim_start().starts_with("//") && after.trim_start().starts_with(':');
        is_entry.then(|| name.to_owned())
    };
    body.lines().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "registry! {\n    /// All.\n    pub enum S => dyn T, () {\n        /// `X = \"no\": y`\n        Grpo = \"grpo\": GrpoConfig,\n        Uniform = \"uniform\": UniformConfig,\n    }\n}\n";

    #[test]
    fn a_method_name_in_a_blind_crate_is_found() {
        let found = check(&Tree::of(&[
            ("crates/groupwise-advantage/src/estimators/mod.rs", REGISTRY),
            ("tests/golden/knapsack-rl.json", "{}"),
            (
                "crates/groupwise-pipeline/src/a.rs",
                "// uniform, fixed\n\n// As in GRPO.\nlet knapsack_rl = 1;",
            ),
            ("crates/groupwise-pipeline/src/b.rs", "let grpo2 = no;"),
            ("crates/groupwise-report/src/c.rs", "grpo"),
        ]));
        let places: Vec<_> = found
            .iter()
            .map(|f| f.to_string().split(';').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            places,
            [
                "crates/groupwise-pipeline/src/a.rs:3: names the method `grpo`",
                "crates/groupwise-pipeline/src/a.rs:4: names the method `knapsack-rl`",
            ]
        );
    }
}
