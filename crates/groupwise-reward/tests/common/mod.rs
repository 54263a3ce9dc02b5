//! Rows that are no part of the project, where they are at hand.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Rows of a file such as `verifiers/ifeval_examples.jsonl`: below or beside `GROUPWISE_DATA`, or in `shared` beside the
/// workspace.  `None`, and said so, without the file.
#[expect(clippy::print_stdout, reason = "who runs the test learns that it was skipped")]
pub(crate) fn rows(file: &str) -> Option<Vec<Value>> {
    let given = std::env::var_os("GROUPWISE_DATA").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let mut roots = given
        .iter()
        .flat_map(|g| [g.clone(), g.join("..")])
        .chain([beside]);
    let Some(text) = roots.find_map(|root| std::fs::read_to_string(root.join(file)).ok()) else {
        println!("skipped: no {file} at GROUPWISE_DATA or beside the workspace");
        return None;
    };
    let rows = text.lines().filter(|line| !line.trim().is_empty());
    Some(
        rows.map(|line| serde_json::from_str(line).expect("a JSON row"))
            .collect(),
    )
}
