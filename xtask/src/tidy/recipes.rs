//! Every recipe under `benchmarks/` parses, plans and can be built.

use std::path::Path;

use groupwise_recipe::Experiment;

use super::{Finding, Tree};
use crate::source::Source;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.below("benchmarks")
        .filter(|file| file.path.ends_with(".toml") && !file.path.ends_with("/Cargo.toml"))
        .filter_map(judge)
        .collect()
}

fn judge(file: &Source) -> Option<Finding> {
    let error = Experiment::from_text(Path::new(&file.path), &file.text, &[])
        .err()?
        .to_string();
    // The error begins with file, line and column; the finding has the file already.
    let what = error.strip_prefix(&file.path).unwrap_or(&error);
    let what = what.trim_start_matches(':').trim_start();
    Some(
        match what
            .split_once(':')
            .and_then(|(line, rest)| Some((line.parse::<usize>().ok()?, rest)))
        {
            Some((line, rest)) => Finding::error(&file.path, line, format!("column {}", rest.trim_start())),
            None => Finding::error(&file.path, None, what),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "benchmarks/ablations/a.toml";

    #[test]
    fn a_recipe_with_a_typo_is_found_at_its_line() {
        let text = "name = \"a\"\nworlds = 3\n";
        let found = check(&Tree::of(&[
            (RECIPE, text),
            ("benchmarks/speed/Cargo.toml", text),
            ("docs/a.toml", text),
        ]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, Some(2), "{found:?}");
        assert!(found[0].to_string().contains("worlds"), "{found:?}");
    }

    #[test]
    fn the_recipes_of_the_project_pass() {
        let tree = Tree::read(&crate::repo::root().join("benchmarks")).unwrap();
        for file in tree.files.iter().filter(|f| f.path.starts_with("ablations/")) {
            assert_eq!(judge(file), None);
        }
    }
}
