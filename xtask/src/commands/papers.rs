//! Regenerates the table of papers.

use std::path::Path;
use std::process::ExitCode;

use groupwise_recipe::Experiment;
use groupwise_report::reproduction::{JudgedClaim, Reproduction, Standing, condition};

use super::generated;
use crate::{Outcome, repo};

const RECIPES: &str = "benchmarks/papers";
const DOCUMENT: &str = "docs/papers.md";
const COMMAND: &str = "papers";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask papers              rewrite docs/papers.md from benchmarks/papers/*.toml and its results
  cargo xtask papers --check      exit 1 if it is out of date

Results come from `cargo xtask reproduce`.  Text outside the two markers of the document is left as it is.")]
pub(crate) struct Args {
    /// Write nothing; fail if the document is out of date.
    #[arg(long)]
    check: bool,
}

/// A paper's recipe and what is known about it.
#[derive(Debug, PartialEq)]
struct Paper {
    slug: String,
    experiment: Experiment,
    standing: Standing,
}

/// Rewrites, or checks, the text between the markers.
pub(crate) fn run(args: &Args) -> Outcome {
    let root = repo::root();
    let dir = root.join(RECIPES);
    let papers = if dir.is_dir() {
        read_papers(&dir)?
    } else {
        Vec::new()
    };
    if papers.is_empty() {
        println!("{RECIPES}: there is no recipe of a paper yet, nothing to do");
        return Ok(ExitCode::SUCCESS);
    }
    let count = papers.len();
    generated::write(
        DOCUMENT,
        "# Papers",
        COMMAND,
        &render(&papers),
        args.check,
        &format!("{count} papers"),
    )
}

fn read_papers(dir: &Path) -> Result<Vec<Paper>, String> {
    let recipes = repo::files(dir)?
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "toml") && p.parent() == Some(dir));
    recipes
        .map(|path| {
            let experiment = Experiment::from_file(&path, &[]).map_err(|e| e.to_string())?;
            let fingerprint = experiment.fingerprint().map_err(|e| e.to_string())?;
            let standing = Reproduction::find(&path, &fingerprint).map_err(|e| e.to_string())?;
            let slug = path
                .file_stem()
                .map(|s| s.to_string_lossy().into_owned())
                .unwrap_or_default();
            Ok(Paper {
                slug,
                experiment,
                standing,
            })
        })
        .collect()
}

/// The table of all claims, then a section per paper.
fn render(papers: &[Paper]) -> String {
    let mut out = String::from(
        "\n| recipe | claim under test | effect [95%] | seeds | verdict | cost |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for paper in papers {
        claim_rows(&mut out, paper);
    }
    for paper in papers {
        section(&mut out, paper);
    }
    out.push('\n');
    out
}

impl Paper {
    /// The claims as they stand in the recipe, with what the result says where it is that of the recipe.
    fn claims(&self) -> Vec<(String, Option<&JudgedClaim>)> {
        let judged = match &self.standing {
            Standing::Current(found) => found.claims.as_slice(),
            Standing::NotRun | Standing::OutOfDate(_) => &[],
        };
        let claims = self.experiment.claims.iter().enumerate();
        claims.map(|(i, c)| (c.text.clone(), judged.get(i))).collect()
    }

    /// What stands in place of a verdict.
    fn state(&self) -> &'static str {
        match self.standing {
            Standing::NotRun => "not run",
            Standing::OutOfDate(_) => "out of date",
            Standing::Current(_) => "not judged",
        }
    }
}

fn claim_rows(out: &mut String, paper: &Paper) {
    let slug = &paper.slug;
    let cost = match &paper.standing {
        Standing::Current(found) => found.cost.words(),
        Standing::NotRun | Standing::OutOfDate(_) => "-".into(),
    };
    let mut claims = paper.claims();
    if claims.is_empty() {
        claims.push(("none".into(), None));
    }
    for (i, (text, judged)) in claims.iter().enumerate() {
        let (name, cost) = match i {
            0 => (format!("[`{slug}`](#{slug})"), cost.as_str()),
            _ => (String::new(), ""),
        };
        let (effect, seeds, verdict) = match judged {
            Some(c) => (c.numbers(), c.n_seeds.to_string(), c.verdict.words()),
            None => ("-".into(), "-".into(), paper.state()),
        };
        row(out, &[&name, text, &effect, &seeds, verdict, cost]);
    }
}

fn section(out: &mut String, paper: &Paper) {
    let Paper {
        slug,
        experiment,
        standing,
    } = paper;
    out.push_str(&format!("\n## {slug}\n\n{}\n\n", escape(&experiment.description)));
    out.push_str(&format!(
        "Recipe: [`{RECIPES}/{slug}.toml`](../{RECIPES}/{slug}.toml). "
    ));
    match standing {
        Standing::NotRun => out.push_str("Not run yet.\n"),
        Standing::OutOfDate(_) => out.push_str("The recipe has changed since it was last run.\n"),
        Standing::Current(found) => out.push_str(&format!(
            "{} seeds; {}; recipe `{}`, numerics {}.\n",
            found.seeds.len(),
            found.cost.words(),
            found.recipe,
            found.numerics
        )),
    }
    if !experiment.claims.is_empty() {
        out.push_str("\nEach claim holds if\n\n");
    }
    for (claim, (_, judged)) in experiment.claims.iter().zip(paper.claims()) {
        let verdict = judged.map_or(paper.state(), |j| j.verdict.words());
        // The two crates write a direction alike; a word that one lacks could not have been read.
        let direction = serde_json::to_value(claim.direction)
            .and_then(serde_json::from_value)
            .unwrap_or_default();
        let condition = condition(
            &claim.arm,
            &claim.control,
            &claim.metric,
            direction,
            claim.least_effect,
        );
        out.push_str(&format!(
            "- {}: `{condition}`. **{verdict}**\n",
            escape(claim.text.trim_end_matches('.'))
        ));
    }
    if let Standing::Current(found) = standing {
        arm_table(out, found);
    }
}

/// Levels of the arms; the interval of an arm alone is wider than that of a paired difference.
fn arm_table(out: &mut String, found: &Reproduction) {
    out.push_str(&format!(
        "\n| arm | {metric}, area | {metric}, at equal rollouts | effective | rollouts a run |\n\
         | --- | --- | --- | --- | --- |\n",
        metric = found.metric
    ));
    for arm in &found.arms {
        let effective = arm.effective.map_or("-".into(), |e| format!("{:.1}%", 100.0 * e));
        let rollouts = arm.rollouts.map_or("-".into(), |r| format!("{r:.0}"));
        let (area, last) = (arm.area.words(), arm.at_equal_rollouts.words());
        row(
            out,
            &[&format!("`{}`", arm.name), &area, &last, &effective, &rollouts],
        );
    }
}

fn row(out: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|c| escape(c)).collect();
    out.push_str(&format!("| {} |\n", cells.join(" | ")));
}

fn escape(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use groupwise_report::claim::{ClaimVerdict, Direction};
    use groupwise_report::reproduction::{ArmResult, Cost, Level, REPRODUCTION_VERSION};

    use super::*;

    const RECIPE: &str = r#"name = "p"
description = "Does it | help?"
[run]
[env.skill-chain]
[policy.tabular]
[arms.a]
[arms.b.sampler.vade]
[[claim]]
text = "More."
metric = "area:eval/success"
arm = "b"
control = "a"
direction = "higher"
least_effect = 0.03
[[claim]]
text = "As much"
metric = "run:effective"
arm = "b"
control = "a"
direction = "equal"
least_effect = 0.1
"#;

    fn result(recipe: &str) -> Reproduction {
        let claim = |text: &str, effect, verdict| JudgedClaim {
            text: text.into(),
            metric: "area:eval/success".into(),
            arm: "b".into(),
            control: "a".into(),
            direction: Direction::Higher,
            least_effect: 0.03,
            effect: Some(effect),
            interval: Some((effect - 0.01, effect + 0.01)),
            n_seeds: 6,
            verdict,
        };
        let level = |mean| Level {
            mean: Some(mean),
            interval: None,
        };
        let arm = |name: &str, mean| ArmResult {
            name: name.into(),
            area: level(mean),
            at_equal_rollouts: level(mean + 0.1),
            effective: Some(0.5),
            rollouts: Some(38_400.0),
            tokens: None,
        };
        Reproduction {
            format: REPRODUCTION_VERSION,
            name: "p".into(),
            recipe: recipe.into(),
            numerics: 2,
            seeds: vec![0, 1, 2, 3, 4, 5],
            metric: "eval/success".into(),
            claims: vec![
                claim("More.", 0.05, ClaimVerdict::Holds),
                claim("As much", -0.2, ClaimVerdict::DoesNotHold),
            ],
            arms: vec![arm("a", 0.5), arm("b", 0.55)],
            cost: Cost {
                runs: 12,
                rollouts: 1000,
                tokens: 2000,
                seconds: 7.0,
            },
        }
    }

    /// The text for a folder that holds the recipe, and the result if it belongs to `recipe`.
    fn rendered(change: impl FnOnce(&str) -> Option<Reproduction>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        std::fs::write(&path, RECIPE).unwrap();
        let fingerprint = Experiment::from_file(&path, &[]).unwrap().fingerprint().unwrap();
        if let Some(result) = change(&fingerprint) {
            result.write(&Reproduction::path(&path)).unwrap();
        }
        render(&read_papers(dir.path()).unwrap())
    }

    #[test]
    fn a_result_fills_the_rows_of_its_recipe() {
        let text = rendered(|fingerprint| Some(result(fingerprint)));
        for expected in [
            "| [`p`](#p) | More. | +0.050 [0.040, 0.060] | 6 | holds | 12 runs, 1,000 rollouts, 2,000 tokens, 7.0 s |\n",
            "|  | As much | -0.200 [-0.210, -0.190] | 6 | does not hold |  |\n",
            "\n## p\n\nDoes it \\| help?\n",
            "- More: `b - a, area:eval/success: at least +0.03`. **holds**\n",
            "- As much: `b - a, run:effective: within -0.1 and +0.1`. **does not hold**\n",
            "| `b` | 0.550 | 0.650 | 50.0% | 38400 |\n",
        ] {
            assert!(text.contains(expected), "{expected}\nis missing in\n{text}");
        }
    }

    #[test]
    fn a_recipe_without_a_result_of_its_own_says_so() {
        let text = rendered(|_| None);
        assert!(
            text.contains("| [`p`](#p) | More. | - | - | not run | - |\n"),
            "{text}"
        );
        assert!(
            text.contains("Not run yet.\n") && !text.contains("| `b` |"),
            "{text}"
        );
        let text = rendered(|_| Some(result("another")));
        assert!(
            text.contains("| [`p`](#p) | More. | - | - | out of date | - |\n"),
            "{text}"
        );
        assert!(
            !text.contains("0.050"),
            "numbers of another recipe are not shown: {text}"
        );
    }
}
