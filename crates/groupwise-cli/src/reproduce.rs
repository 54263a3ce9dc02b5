//! `groupwise reproduce`: the recipes of papers, run, judged and remembered.

use std::path::{Path, PathBuf};

use groupwise_pipeline::NUMERICS_VERSION;
use groupwise_recipe::suggest;
use groupwise_report::Reproduction;

use crate::Outcome;
use crate::args::ReproduceArgs;
use crate::error::CliError;
use crate::{ablate, progress};

/// Runs one recipe after the other; a cell that fails in one keeps none of the others from running.
pub(crate) fn run(args: &ReproduceArgs) -> Outcome {
    let mut failed = None;
    for recipe in recipes(&args.papers, &args.slugs)? {
        match reproduce(&recipe, args) {
            Err(error @ CliError::Cells { .. }) => {
                progress::say_error(&format!("{}: {error}", recipe.display()));
                failed.get_or_insert(error);
            }
            other => other?,
        }
    }
    failed.map_or(Ok(()), Err)
}

fn reproduce(recipe: &Path, args: &ReproduceArgs) -> Outcome {
    let experiment = ablate::read(recipe, &args.grid)?;
    let Some(paths) = ablate::carry_out(recipe, &experiment, &args.grid)? else {
        return Ok(());
    };
    ablate::all_finished(&paths.summary)?;
    let found = Reproduction::new(&paths.summary, experiment.fingerprint()?, NUMERICS_VERSION)?;
    progress::say(&found.render_text());
    for note in &paths.summary.notes {
        progress::say(&format!("note: {note}"));
    }
    progress::say(&format!("report: {}", paths.html.display()));
    if args.grid.seeds.is_some() || !args.grid.recipe.overrides.is_empty() {
        progress::say("not stored: the result of a changed recipe is not the recipe's\n");
        return Ok(());
    }
    let path = Reproduction::path(recipe);
    found.write(&path)?;
    progress::say(&format!("result: {}\n", path.display()));
    Ok(())
}

/// The recipe files of the papers asked for, or of all.
fn recipes(folder: &Path, slugs: &[String]) -> Result<Vec<PathBuf>, CliError> {
    let entries = std::fs::read_dir(folder).map_err(CliError::io(folder.display().to_string()))?;
    let mut known: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    known.sort();
    if let Some(stranger) = slugs.iter().find(|slug| !known.contains(slug)) {
        let meant =
            suggest(stranger, &known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        return Err(CliError::Usage(format!(
            "{} has no recipe `{stranger}`, known: {}{meant}",
            folder.display(),
            known.join(", ")
        )));
    }
    let chosen = if slugs.is_empty() { &known } else { slugs };
    Ok(chosen
        .iter()
        .map(|slug| folder.join(format!("{slug}.toml")))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn papers_are_found_by_name_and_strangers_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["vade.toml", "cures.toml", "notes.md"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |slugs: &[&str]| {
            let slugs: Vec<String> = slugs.iter().map(|s| (*s).to_owned()).collect();
            recipes(dir.path(), &slugs).map(|paths| {
                let stem = |p: &PathBuf| p.file_stem().unwrap().to_string_lossy().into_owned();
                paths.iter().map(stem).collect::<Vec<_>>()
            })
        };
        assert_eq!(names(&[]).unwrap(), ["cures", "vade"]);
        assert_eq!(names(&["vade"]).unwrap(), ["vade"]);
        let error = names(&["vaed"]).unwrap_err().to_string();
        assert!(
            error.ends_with("has no recipe `vaed`, known: cures, vade; did you mean `vade`?"),
            "{error}"
        );
    }
}
