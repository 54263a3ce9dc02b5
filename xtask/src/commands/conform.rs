//! Runs golden cases in this process.

use std::path::PathBuf;
use std::process::ExitCode;

use groupwise_tests::FileReport;

use crate::{Outcome, repo};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask conform                          the files of tests/golden
  cargo xtask conform --allow-missing          methods nothing runs yet do not fail it
  cargo xtask conform ../more-cases            any folder of files of the same schema

A disputed case is one whose numbers contradict themselves (docs/decisions): it is counted apart.

Exit code: 0 if every case passed or is disputed, 1 if one failed or is not implemented, 2 if the folder cannot be read.")]
pub(crate) struct Args {
    /// Folder of golden files [default: tests/golden].
    dir: Option<PathBuf>,
    /// Do not fail on methods that nothing runs yet.
    #[arg(long)]
    allow_missing: bool,
}

impl Args {
    /// What CI runs: the project's own files; what is not there yet is watched by `tidy`.
    pub(super) fn allowing_missing() -> Self {
        Self {
            dir: None,
            allow_missing: true,
        }
    }
}

/// Prints a line per method, what failed, and the totals.
pub(crate) fn run(args: &Args) -> Outcome {
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| repo::root().join("tests/golden"));
    let reports = groupwise_tests::run_dir(&dir)?;
    let width = reports.iter().map(|r| r.slug.len()).max().unwrap_or(0);
    for report in &reports {
        println!("{}", line(report, width));
        for (case, why) in report.failures() {
            println!("{:width$}    {case}: {why}", "");
        }
    }
    let totals = Totals::of(&reports);
    println!("{}", totals.line());
    let fails = totals.n_failed > 0 || (totals.n_missing > 0 && !args.allow_missing);
    Ok(ExitCode::from(u8::from(fails)))
}

fn line(report: &FileReport, width: usize) -> String {
    let (n_failed, n_missing) = (report.failures().len(), report.n_missing());
    let n_run = report.n_passed() + n_failed;
    let slug = &report.slug;
    let line = match (n_failed, n_missing) {
        (0, 0) => format!("{slug:width$}  passed {n_run}/{n_run}"),
        (0, n) if n_run == 0 => format!("{slug:width$}  not implemented ({n} cases)"),
        (0, n) => format!("{slug:width$}  passed {n_run}/{n_run}, not implemented {n}"),
        (f, 0) => format!("{slug:width$}  FAILED {f}/{n_run}"),
        (f, n) => format!("{slug:width$}  FAILED {f}/{n_run}, not implemented {n}"),
    };
    match report.n_disputed() {
        0 => line,
        n => format!("{line}, disputed {n}"),
    }
}

#[derive(Debug, Default, PartialEq)]
struct Totals {
    n_files: usize,
    n_passed: usize,
    n_failed: usize,
    n_missing: usize,
    n_missing_files: usize,
    n_disputed: usize,
}

impl Totals {
    fn of(reports: &[FileReport]) -> Self {
        let sum = |count: fn(&FileReport) -> usize| reports.iter().map(count).sum();
        Self {
            n_files: reports.len(),
            n_passed: sum(FileReport::n_passed),
            n_failed: sum(|r| r.failures().len()),
            n_missing: sum(FileReport::n_missing),
            n_disputed: sum(FileReport::n_disputed),
            n_missing_files: reports.iter().filter(|r| r.n_missing() > 0).count(),
        }
    }

    fn line(&self) -> String {
        format!(
            "{} methods: {} cases passed, {} failed, {} disputed, {} not implemented (of {} methods)",
            self.n_files, self.n_passed, self.n_failed, self.n_disputed, self.n_missing, self.n_missing_files
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groupwise_tests::Outcome::{Disputed, Failed, NotImplemented, Passed};

    fn report(outcomes: &[groupwise_tests::Outcome]) -> FileReport {
        let cases = outcomes.iter().map(|o| ("c".to_owned(), o.clone())).collect();
        FileReport {
            slug: "vade".into(),
            cases: Ok(cases),
        }
    }

    #[test]
    fn a_line_says_what_became_of_a_method() {
        let failed = || Failed("x".into());
        for (outcomes, expected) in [
            (vec![Passed, Passed], "vade    passed 2/2"),
            (vec![NotImplemented], "vade    not implemented (1 cases)"),
            (
                vec![Passed, NotImplemented],
                "vade    passed 1/1, not implemented 1",
            ),
            (vec![Passed, failed()], "vade    FAILED 1/2"),
            (vec![Passed, Disputed("x")], "vade    passed 1/1, disputed 1"),
            (
                vec![failed(), NotImplemented],
                "vade    FAILED 1/1, not implemented 1",
            ),
        ] {
            assert_eq!(line(&report(&outcomes), 6), expected);
        }
        let broken = FileReport {
            slug: "vade".into(),
            cases: Err("x".into()),
        };
        assert_eq!(line(&broken, 4), "vade  FAILED 1/1");
    }

    #[test]
    fn totals_add_up() {
        let totals = Totals::of(&[
            report(&[Passed, Failed("x".into())]),
            report(&vec![NotImplemented; 3]),
        ]);
        assert_eq!(
            totals.line(),
            "2 methods: 1 cases passed, 1 failed, 0 disputed, 3 not implemented (of 1 methods)"
        );
    }
}
