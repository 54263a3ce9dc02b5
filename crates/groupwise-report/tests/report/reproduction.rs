//! Results of reproductions: taken from a summary, stored, found again.

use std::fs;
use std::path::Path;

use groupwise_report::claim::ClaimVerdict;
use groupwise_report::{Reproduction, Standing, Summary, read_ablation, summarize};

use crate::synthetic::{ARMS, write_ablation};

fn summary(root: &Path) -> Summary {
    let dir = write_ablation(root, "synthetic", &ARMS, &[0, 1, 2, 3], 40);
    summarize(&read_ablation(&dir).expect("a good folder"))
}

#[test]
fn a_result_repeats_the_verdicts_levels_and_bill_of_the_report() {
    let root = tempfile::tempdir().expect("a good folder");
    let summary = summary(root.path());
    let found = Reproduction::new(&summary, "abc".into(), 2).expect("a good folder");
    assert_eq!((found.claims.len(), found.arms.len()), (1, 3));
    let (claim, judged) = (&summary.claims[0], &found.claims[0]);
    assert_eq!(
        (judged.effect, judged.interval, judged.verdict),
        (claim.effect, claim.interval, claim.verdict)
    );
    assert_eq!(judged.n_seeds, 4);
    assert_ne!(
        judged.verdict,
        ClaimVerdict::Inconclusive,
        "the synthetic effect is large"
    );
    let bill: u64 = summary.cells.iter().map(|c| c.rollouts).sum();
    assert_eq!((found.cost.rollouts, found.cost.runs), (bill, 12));
    let uniform = &summary.arms[0];
    assert_eq!(found.arms[0].rollouts, uniform.rollouts.mean);
    assert!(found.arms[0].area.mean.is_some_and(|m| (0.0..=1.0).contains(&m)));
    let text = found.render_text();
    assert!(
        text.contains(&judged.numbers()) && text.contains("12 runs"),
        "{text}"
    );
}

#[test]
fn arms_that_share_a_run_pay_for_it_once() {
    let root = tempfile::tempdir().expect("a good folder");
    let mut summary = summary(root.path());
    let before = Reproduction::new(&summary, String::new(), 2).expect("a good folder").cost;
    summary.cells[1].run = summary.cells[0].run.clone();
    let after = Reproduction::new(&summary, String::new(), 2).expect("a good folder").cost;
    assert_eq!(after.runs, before.runs - 1);
    assert_eq!(after.rollouts, before.rollouts - summary.cells[1].rollouts);
}

#[test]
fn an_unfinished_cell_gives_no_result() {
    let root = tempfile::tempdir().expect("a good folder");
    let dir = write_ablation(root.path(), "synthetic", &ARMS, &[0, 1], 40);
    let ablation = read_ablation(&dir).expect("a good folder");
    fs::remove_file(root.path().join(&ablation.manifest.cells[0].run).join("done")).expect("a good folder");
    let summary = summarize(&read_ablation(&dir).expect("a good folder"));
    let error = Reproduction::new(&summary, String::new(), 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`synthetic` has 1 cells that have not finished, so that nothing can be judged"
    );
}

#[test]
fn a_stored_result_is_found_and_knows_its_recipe() {
    let root = tempfile::tempdir().expect("a good folder");
    let recipe = root.path().join("papers").join("synthetic.toml");
    assert_eq!(Reproduction::find(&recipe, "abc").expect("a good folder"), Standing::NotRun);
    let result = Reproduction::new(&summary(root.path()), "abc".into(), 2).expect("a good folder");
    let path = Reproduction::path(&recipe);
    assert!(path.ends_with("papers/results/synthetic.json"));
    result.write(&path).expect("a good folder");
    assert_eq!(
        Reproduction::find(&recipe, "abc").expect("a good folder"),
        Standing::Current(result.clone())
    );
    assert_eq!(
        Reproduction::find(&recipe, "abd").expect("a good folder"),
        Standing::OutOfDate(result)
    );
    let text = fs::read_to_string(&path).expect("a good folder");
    fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).expect("a good folder");
    let error = Reproduction::find(&recipe, "abc").unwrap_err().to_string();
    assert!(
        error.ends_with("synthetic.json`: version 2 is newer than this program"),
        "{error}"
    );
    fs::write(&path, "{}").expect("a good folder");
    assert!(Reproduction::find(&recipe, "abc").is_err());
}
