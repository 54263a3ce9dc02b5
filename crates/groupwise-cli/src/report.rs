//! `groupwise report`.

use crate::Outcome;
use crate::args::ReportArgs;
use crate::progress;

/// Rebuilds a report from run folders.
pub(crate) fn run(args: &ReportArgs) -> Outcome {
    let paths = groupwise_report::write_report(&args.dir)?;
    progress::say(&paths.text);
    progress::say(&format!("report: {}", paths.html.display()));
    Ok(())
}
