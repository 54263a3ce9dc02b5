//! Every crate takes the workspace's lints and says what it is.

use super::{Finding, Tree};

/// Shortest description that can say something.
const MIN_DESCRIPTION: usize = 20;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.manifests()
        .flat_map(|(dir, file)| judge(dir, &file.path, &file.text))
        .collect()
}

fn judge(dir: &str, path: &str, text: &str) -> Vec<Finding> {
    let manifest: toml::Table = match toml::from_str(text) {
        Ok(manifest) => manifest,
        Err(e) => return vec![Finding::error(path, None, e.to_string())],
    };
    let mut out = Vec::new();
    let lints = manifest.get("lints").and_then(|l| l.get("workspace"));
    if lints != Some(&toml::Value::Boolean(true)) {
        out.push(Finding::error(path, None, "needs `[lints] workspace = true`"));
    }
    let package = manifest.get("package");
    let field = |key: &str| {
        package
            .and_then(|p| p.get(key))
            .and_then(|v| v.as_str())
            .unwrap_or_default()
    };
    let description = field("description");
    if description.len() < MIN_DESCRIPTION || description.contains("TODO") {
        let what = format!("`description` = \"{description}\": say what the crate is for");
        out.push(Finding::error(path, None, what));
    }
    let folder = dir.rsplit('/').next().unwrap_or(dir);
    if dir.starts_with("crates/") && field("name") != folder {
        out.push(Finding::error(
            path,
            None,
            format!("crate `{}` lives in `{folder}`", field("name")),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_description_and_name_are_required() {
        let good = "[package]\nname = \"a\"\ndescription = \"Interval estimates and tests\"\n[lints]\nworkspace = true\n";
        assert!(judge("crates/a", "p", good).is_empty());
        let bad = "[package]\nname = \"b\"\ndescription = \"TODO\"\n";
        let found: Vec<_> = judge("crates/a", "p", bad)
            .iter()
            .map(|f| f.what.clone())
            .collect();
        assert_eq!(
            found,
            [
                "needs `[lints] workspace = true`",
                "`description` = \"TODO\": say what the crate is for",
                "crate `b` lives in `a`",
            ]
        );
        assert_eq!(judge("crates/a", "p", "[").len(), 1);
    }
}
