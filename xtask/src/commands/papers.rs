//! Regenerates the table of papers.

use std::path::Path;
use std::process::ExitCode;

use groupwise_recipe::{Claim, Direction, Experiment};

use super::generated;
use crate::{Outcome, repo};

const RECIPES: &str = "benchmarks/papers";
const DOCUMENT: &str = "docs/papers.md";
const COMMAND: &str = "papers";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask papers              rewrite the table in docs/papers.md from benchmarks/papers/*.toml
  cargo xtask papers --check      exit 1 if it is out of date

Text outside the two markers of the document is left as it is.")]
pub(crate) struct Args {
    /// Write nothing; fail if the document is out of date.
    #[arg(long)]
    check: bool,
}

/// One row: a paper's recipe and the claim it tests.
#[derive(Debug, PartialEq)]
struct Row {
    slug: String,
    description: String,
    claim: Option<Claim>,
}

/// Rewrites, or checks, the table between the markers.
pub(crate) fn run(args: &Args) -> Outcome {
    let root = repo::root();
    let dir = root.join(RECIPES);
    let rows = if dir.is_dir() {
        read_rows(&dir)?
    } else {
        Vec::new()
    };
    if rows.is_empty() {
        println!("{RECIPES}: there is no recipe of a paper yet, nothing to do");
        return Ok(ExitCode::SUCCESS);
    }
    let count = rows.len();
    generated::write(
        DOCUMENT,
        "# Papers",
        COMMAND,
        &table(&rows),
        args.check,
        &format!("{count} papers"),
    )
}

fn read_rows(dir: &Path) -> Result<Vec<Row>, String> {
    let recipes = repo::files(dir)?
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "toml"));
    recipes
        .map(|path| {
            let recipe = Experiment::from_file(&path, &[]).map_err(|e| e.to_string())?;
            let slug = path
                .file_stem()
                .map(|s| s.to_string_lossy().into_owned())
                .unwrap_or_default();
            Ok(Row {
                slug,
                description: recipe.description,
                claim: recipe.claim,
            })
        })
        .collect()
}

fn table(rows: &[Row]) -> String {
    let mut out =
        String::from("| recipe | asks | claim under test | holds if |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let (text, condition) = row.claim.as_ref().map_or_else(
            || ("none".to_owned(), "-".to_owned()),
            |c| {
                let sign = match c.direction {
                    Direction::Lower => "-",
                    Direction::Higher => "+",
                };
                let condition = format!(
                    "`{}` against `{}`: `{}` by at least {sign}{}",
                    c.arm, c.control, c.metric, c.least_effect
                );
                (c.text.clone(), condition)
            },
        );
        let cell = |text: &str| text.trim().replace('|', "\\|").replace('\n', " ");
        out.push_str(&format!(
            "| [`{slug}`](../{RECIPES}/{slug}.toml) | {} | {} | {} |\n",
            cell(&row.description),
            cell(&text),
            cell(&condition),
            slug = row.slug
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_becomes_a_row() {
        let claim = Claim {
            text: "more".into(),
            metric: "area:eval/success".into(),
            arm: "vade".into(),
            control: "uniform".into(),
            direction: Direction::Higher,
            least_effect: 0.03,
        };
        let row = |slug: &str, description: &str, claim| Row {
            slug: slug.into(),
            description: description.into(),
            claim,
        };
        let rows = [row("vade", "Does it | help?", Some(claim)), row("bare", "", None)];
        let after = table(&rows);
        assert!(after.contains(
            "| [`vade`](../benchmarks/papers/vade.toml) | Does it \\| help? | more | `vade` against `uniform`: `area:eval/success` by at least +0.03 |\n"
        ));
        assert!(after.contains("| [`bare`](../benchmarks/papers/bare.toml) |  | none | - |\n"));
    }
}
