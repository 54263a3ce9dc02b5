//! Rows through a family.

use groupwise_verify::{FAMILIES, Family, Options, VerifyError, run, settings};
use serde_json::Value;

/// Families that this build can run.
pub(crate) fn families() -> impl Iterator<Item = &'static str> {
    let is_built = |name: &&str| *name != "code-tests" || cfg!(all(feature = "sandbox", unix));
    FAMILIES.iter().map(|(name, _)| *name).filter(is_built)
}

pub(crate) fn options(family: &str, pairs: &[&str], explain: bool) -> Options {
    Options {
        family: Family::new(family, &settings(pairs).unwrap()).unwrap(),
        explain,
    }
}

/// Verdicts on lines.
pub(crate) fn judge(text: &str, options: &Options) -> Result<Vec<Value>, VerifyError> {
    let mut out = Vec::new();
    run(text.as_bytes(), &mut out, options)?;
    let lines = String::from_utf8(out).unwrap();
    Ok(lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect())
}
