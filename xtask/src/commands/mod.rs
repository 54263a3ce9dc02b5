//! One file per command.

mod bench;
mod ci;
mod conform;
mod forward;
mod generated;
mod methods;
mod papers;
mod tidy;

use crate::Outcome;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Expand a grid of recipes, run the missing cells, write the report.
    #[command(disable_help_flag = true)]
    Ablate(forward::Args),
    /// Run the recipes of papers, judge their claims, store the results.
    #[command(disable_help_flag = true)]
    Reproduce(forward::Args),
    /// One training run.
    #[command(disable_help_flag = true)]
    Train(forward::Args),
    /// Rebuild the report from run folders.
    #[command(disable_help_flag = true)]
    Report(forward::Args),
    /// A recipe as formulas, sources and the numbers that matter.
    #[command(disable_help_flag = true)]
    Explain(forward::Args),
    /// Judge responses from standard input, or check verifiers against rows of known verdict.
    #[command(disable_help_flag = true)]
    Verify(forward::Args),
    /// One cell of an ablation, as a launcher starts it.
    #[command(disable_help_flag = true, hide = true)]
    Cell(forward::Args),
    /// Run golden cases: one line per method, passed, failed or not implemented.
    Conform(conform::Args),
    /// Structural checks: sizes, layers, names, golden files, recipes, docs.
    Tidy(tidy::Args),
    /// All that CI checks, cheapest first.
    Ci(ci::Args),
    /// Regenerate docs/papers.md from the recipes of papers and their results.
    Papers(papers::Args),
    /// Regenerate the list of methods in docs/methods.md.
    Methods(methods::Args),
    /// Criterion benches and whole-pipeline throughput.
    Bench(bench::Args),
}

impl Command {
    /// Carries the command out.
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Ablate(args) => forward::run("ablate", args),
            Self::Reproduce(args) => forward::run("reproduce", args),
            Self::Train(args) => forward::run("train", args),
            Self::Report(args) => forward::run("report", args),
            Self::Explain(args) => forward::run("explain", args),
            Self::Verify(args) => forward::run("verify", args),
            Self::Cell(args) => forward::run("cell", args),
            Self::Conform(args) => conform::run(&args),
            Self::Tidy(args) => tidy::run(&args),
            Self::Ci(args) => ci::run(&args),
            Self::Papers(args) => papers::run(&args),
            Self::Methods(args) => methods::run(&args),
            Self::Bench(args) => bench::run(&args),
        }
    }
}
