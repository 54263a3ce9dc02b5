//! The rows of known verdict, where they are at hand.

use std::path::PathBuf;

use groupwise_verify::check;

/// Folder of the rows: beside the task data of `GROUPWISE_DATA`, or in `shared` beside the workspace.
fn folder() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/verifiers"));
    let candidates = match std::env::var_os("GROUPWISE_DATA").map(PathBuf::from) {
        Some(data) => vec![data.join("verifiers"), data.join("../verifiers")],
        None => vec![beside],
    };
    candidates.into_iter().find(|folder| folder.is_dir())
}

#[test]
fn every_core_row_agrees() {
    let Some(folder) = folder() else {
        return println!("skipped: no rows beside GROUPWISE_DATA or the checkout");
    };
    let mut report = Vec::new();
    let agreement = check(&folder, &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    let is_built = |family: &str| family != "code_tests" || cfg!(all(feature = "sandbox", unix));
    for family in agreement.families.iter().filter(|f| is_built(&f.family)) {
        let core = family.core();
        assert_eq!(core.agree, core.rows, "{}\n{report}", family.family);
        assert!(family.rows > 0, "{}", family.family);
    }
    assert_eq!(agreement.unknown, Vec::<String>::new(), "{report}");
}
