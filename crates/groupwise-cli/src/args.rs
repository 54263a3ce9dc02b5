//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A wind tunnel for group-relative policy optimisation.
#[derive(Debug, Parser)]
#[command(name = "groupwise", version, about, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 a run failed, 2 bad input, 130 interrupted (resumable).")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every arm with every seed, then write the report
    #[command(after_help = "Examples:
  groupwise ablate                                         the quickstart
  groupwise ablate benchmarks/ablations/digit-completion.toml --jobs 2
  groupwise ablate my.toml --seeds 0..10 --set run.steps=200
  groupwise ablate my.toml --dry-run                       show the grid, run nothing

Finished cells are kept and never run again; a killed or interrupted command goes on where it stopped.")]
    Ablate(AblateArgs),
    /// Run the recipes of papers, judge their claims, store the results
    #[command(after_help = "Examples:
  groupwise reproduce                                      every recipe of benchmarks/papers
  groupwise reproduce vade knapsack-rl --jobs 2
  groupwise reproduce vade --dry-run                       show the grid, run nothing

A result goes to benchmarks/papers/results/<slug>.json and belongs to the recipe as it stands in the file: with --set
or --seeds the verdicts are printed and nothing is stored.  `cargo xtask papers` makes docs/papers.md of the results.")]
    Reproduce(ReproduceArgs),
    /// Carry out one run of a recipe
    #[command(after_help = "Examples:
  groupwise train benchmarks/ablations/quickstart.toml --arm vade --seed 1
  groupwise train my.toml --set run.learning_rate=3e-4")]
    Train(TrainArgs),
    /// Print what a recipe computes: formulas, sources, every number that matters
    #[command(after_help = "Examples:
  groupwise explain benchmarks/ablations/quickstart.toml
  groupwise explain my.toml --arm knapsack")]
    Explain(ExplainArgs),
    /// Score rollouts from standard input: advantages, or loss and gradients, a JSON object per line
    #[command(after_help = "Examples:
  groupwise score --advantage rloo < rollouts.jsonl
  groupwise score --advantage 'grpo = { dialect = \"trl\" }' --objective dapo --batch 16 < rollouts.jsonl
  groupwise score --objective grpo --set objective.grpo.beta=0.04 < with-advantages.jsonl
  groupwise score --recipe my.toml --arm knapsack --objective none < rollouts.jsonl

A line is a group: {\"id\": \"p1\", \"rewards\": [1, 0, null], \"tokens\": {\"logp\": [[-0.1], ..]}}.
docs/score.md explains the fields, docs/score.schema.json describes them.")]
    Score(ScoreArgs),
    /// Judge responses from standard input: a score and its reason, a JSON object per line
    #[command(after_help = "Examples:
  groupwise verify math --explain < rows.jsonl
  groupwise verify qa-match < rows.jsonl
  groupwise verify countdown --explain --set answer=any < rows.jsonl
  groupwise verify tool-use < rows.jsonl | jq 'select(.score == 0) | .reason'
  groupwise verify --check shared/verifiers                verifiers against rows of known verdict

A line is a response: {\"prompt\": .., \"completion\": text or messages, \"solution\": reference, more columns}.
Families: math, gsm8k, qa-match, countdown, multiple-choice, tool-use, overlap, ranked-list, entity-match, ifeval,
code-tests, format, think-format, tag-count, reasoning-steps, code-format, every verifier of docs/methods.md.
docs/verify.md explains columns and verdicts.")]
    Verify(VerifyArgs),
    /// Rebuild the report of an ablation or a run from its folder
    #[command(after_help = "Examples:
  groupwise report runs/ablations/quickstart
  groupwise report runs/1f0c9a5e7b2d4c36")]
    Report(ReportArgs),
    /// One cell of an ablation, as a child process
    #[command(hide = true)]
    Cell(CellArgs),
}

/// What recipe, and how it is changed from outside.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RecipeArgs {
    /// Override a value of every arm: dotted key = TOML value; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Folder of real task data
    #[arg(long, value_name = "DIR", env = "GROUPWISE_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Folder of all runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AblateArgs {
    /// Recipe file with arms
    #[arg(default_value = "benchmarks/ablations/quickstart.toml")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) grid: GridArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReproduceArgs {
    /// Papers by the name of their recipe; default: all
    #[arg(value_name = "SLUG")]
    pub(crate) slugs: Vec<String>,
    /// Folder of the recipes
    #[arg(long, value_name = "DIR", default_value = "benchmarks/papers")]
    pub(crate) papers: PathBuf,
    #[command(flatten)]
    pub(crate) grid: GridArgs,
}

/// How a grid of arms and seeds is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GridArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Seeds: a list `0,3,5` or a range `0..10`; default: those of the file
    #[arg(long, value_parser = parse_seeds)]
    pub(crate) seeds: Option<Seeds>,
    /// Cells run side by side; default: one per core
    #[arg(long, short, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Only show what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    /// Recipe file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    /// Arm; needed if the file has several
    #[arg(long)]
    pub(crate) arm: Option<String>,
    /// Seed; default: the first of the file
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Recipe file
    pub(crate) file: PathBuf,
    /// Override a value of every arm
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Only this arm
    #[arg(long)]
    pub(crate) arm: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ScoreArgs {
    /// Estimator: a name, or a name with settings as TOML or JSON; `none`: not the recipe's
    #[arg(long, value_name = "PART")]
    pub(crate) advantage: Option<String>,
    /// Objective: a name, or a name with settings as TOML or JSON; `none`: not the recipe's
    #[arg(long, value_name = "PART")]
    pub(crate) objective: Option<String>,
    /// Recipe file to take both from
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,
    /// Arm of the recipe; needed if the file has several
    #[arg(long, requires = "recipe")]
    pub(crate) arm: Option<String>,
    /// Override a value: dotted key = TOML value; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Groups (lines) of an update batch, which denominators and batch statistics refer to; default: one
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<NonZeroUsize>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// What judges: a family, by its name in recipes
    #[arg(required_unless_present = "check")]
    pub(crate) family: Option<String>,
    /// Setting of the family: dotted key = JSON value or text; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Show what was extracted and the normal forms that were compared
    #[arg(long)]
    pub(crate) explain: bool,
    /// Check the verifiers against rows of known verdict; exit code 1 if a row of tier `core` disagrees
    #[arg(long, value_name = "FILE_OR_DIR", conflicts_with_all = ["family", "settings", "explain"])]
    pub(crate) check: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Folder of an ablation or of a run
    pub(crate) dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CellArgs {
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[arg(long)]
    pub(crate) arm: String,
    #[arg(long)]
    pub(crate) seed: u64,
    /// Run the parent expects; a file that changed meanwhile is refused
    #[arg(long)]
    pub(crate) run: String,
}

/// Seeds given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

fn parse_seeds(text: &str) -> Result<Seeds, String> {
    let number = |t: &str| {
        t.trim()
            .parse::<u64>()
            .map_err(|_| format!("`{t}` is no seed (a number from 0)"))
    };
    let seeds: Vec<u64> = match text.split_once("..") {
        Some((from, to)) => (number(from)?..number(to)?).collect(),
        None => text.split(',').map(number).collect::<Result<_, _>>()?,
    };
    if seeds.is_empty() {
        Err(format!("`{text}` names no seed"))
    } else {
        Ok(Seeds(seeds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn verify_takes_a_family_or_a_check() {
        let parse = |args: &[&str]| Args::try_parse_from([&["groupwise", "verify"], args].concat());
        assert!(parse(&["qa-match", "--explain", "--set", "format_score=0.1"]).is_ok());
        assert!(parse(&["--check", "rows"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["qa-match", "--check", "rows"]).is_err());
    }

    #[test]
    fn seeds_are_lists_or_ranges() {
        assert_eq!(parse_seeds("0..3").unwrap().0, [0, 1, 2]);
        assert_eq!(parse_seeds("7, 2").unwrap().0, [7, 2]);
        assert_eq!(parse_seeds("3..3").unwrap_err(), "`3..3` names no seed");
        assert_eq!(parse_seeds("a").unwrap_err(), "`a` is no seed (a number from 0)");
    }
}
