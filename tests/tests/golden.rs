//! Every golden case as a test of its own name, found by walking `tests/golden`.
//!
//! `cargo nextest run -p groupwise-tests -E 'test(vade::)'` runs one method.  Methods that nothing runs yet
//! appear as one ignored test each, with the number of their cases.

use std::path::Path;
use std::process::ExitCode;

use groupwise_tests::case::slug_of;
use groupwise_tests::harness::{golden_files, is_implemented, run_case};
use groupwise_tests::{GoldenFile, Outcome};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let trials = match golden_files(&dir) {
        Ok(paths) => paths.iter().flat_map(|path| trials_of(path)).collect(),
        Err(why) => vec![failing("golden::folder".into(), why)],
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn failing(name: String, why: String) -> Trial {
    Trial::test(name, move || Err(Failed::from(why)))
}

fn trials_of(path: &Path) -> Vec<Trial> {
    let slug = slug_of(path);
    let file = match GoldenFile::read(path) {
        Ok(file) => file,
        Err(why) => {
            return vec![failing(
                format!("{slug}::is_well_formed"),
                format!("{slug}.json: {why}"),
            )];
        }
    };
    let (run, missing): (Vec<_>, Vec<_>) = file
        .cases
        .into_iter()
        .partition(|case| is_implemented(&slug, case));
    let mut trials = Vec::with_capacity(run.len() + 1);
    if !missing.is_empty() {
        let name = format!("{slug}::not_implemented_{}_cases", missing.len());
        trials.push(failing(name, "nothing runs this method yet".into()).with_ignored_flag(true));
    }
    trials.extend(run.into_iter().map(|case| {
        let slug = slug.clone();
        Trial::test(format!("{slug}::{}", case.test_name()), move || {
            match run_case(&slug, &case) {
                Outcome::Passed | Outcome::Disputed(_) => Ok(()),
                Outcome::Failed(why) => Err(Failed::from(format!("{slug}, case `{}`: {why}", case.name))),
                Outcome::NotImplemented => Err(Failed::from("the runner disappeared")),
            }
        })
    }));
    trials
}
