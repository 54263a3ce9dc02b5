//! Only the learner side links burn, read off `Cargo.lock`.

use std::collections::BTreeMap;

use super::{Finding, Tree};

/// Crates that may link burn; the facade only behind its feature `burn`.
const MAY_LINK_BURN: &[&str] = &[
    "groupwise-model",
    "groupwise-learner",
    "groupwise-cli",
    "groupwise",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(lock) = tree.get("Cargo.lock") else {
        return vec![Finding::error(
            "Cargo.lock",
            None,
            "is missing; it belongs to the project",
        )];
    };
    let edges = match edges(&lock.text) {
        Ok(edges) => edges,
        Err(why) => return vec![Finding::error("Cargo.lock", None, why)],
    };
    let mut out = Vec::new();
    for (dir, manifest) in tree.manifests() {
        let name = package_name(&manifest.text).unwrap_or_default();
        if !MAY_LINK_BURN.contains(&name.as_str())
            && let Some(path) = path_to_burn(&edges, &name)
        {
            let what = format!(
                "must not depend on burn, but does: {}; only {} may",
                path.join(" -> "),
                MAY_LINK_BURN.join(", ")
            );
            out.push(Finding::error(&manifest.path, None, what));
        }
        if dir == "crates/groupwise" {
            out.extend(facade(manifest.path.as_str(), &manifest.text));
        }
    }
    out
}

/// The facade may name crates that link burn only as optional dependencies.
fn facade(path: &str, text: &str) -> Vec<Finding> {
    let manifest: toml::Table = toml::from_str(text).unwrap_or_default();
    let dependencies = manifest.get("dependencies").and_then(|d| d.as_table());
    let linked = |name: &str| ["burn", "groupwise-model", "groupwise-learner"].contains(&name);
    dependencies
        .into_iter()
        .flatten()
        .filter(|(name, value)| linked(name) && value.get("optional") != Some(&toml::Value::Boolean(true)))
        .map(|(name, _)| {
            Finding::error(
                path,
                None,
                format!("`{name}` links burn and must be optional (feature `burn`)"),
            )
        })
        .collect()
}

/// The name under `[package]`.
pub(super) fn package_name(manifest: &str) -> Option<String> {
    let manifest: toml::Table = toml::from_str(manifest).ok()?;
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

/// Package -> its dependencies, by name.
fn edges(lock: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let lock: toml::Table = toml::from_str(lock).map_err(|e| e.to_string())?;
    let packages = lock
        .get("package")
        .and_then(|p| p.as_array())
        .ok_or("lists no package")?;
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let name = package.get("name").and_then(|n| n.as_str()).unwrap_or_default();
        let dependencies = package.get("dependencies").and_then(|d| d.as_array());
        // An entry is `name`, or `name version` where several versions exist.
        let names = dependencies
            .into_iter()
            .flatten()
            .filter_map(|d| Some(d.as_str()?.split(' ').next()?.to_owned()));
        out.entry(name.to_owned()).or_default().extend(names);
    }
    Ok(out)
}

/// A shortest path to a package of burn.
fn path_to_burn(edges: &BTreeMap<String, Vec<String>>, from: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == "burn" || at.starts_with("burn-") {
            let mut path = vec![at.to_owned()];
            let mut step = at;
            while let Some(before) = came_from.get(step) {
                path.insert(0, (*before).to_owned());
                step = before;
            }
            return Some(path);
        }
        for next in edges.get(at).into_iter().flatten() {
            if next != from && !came_from.contains_key(next.as_str()) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        [[package]]
        name = "groupwise-rollout"
        dependencies = ["serde 1.0.0", "groupwise-model"]
        [[package]]
        name = "groupwise-model"
        dependencies = ["burn"]
        [[package]]
        name = "groupwise-core"
        dependencies = ["serde"]
        [[package]]
        name = "burn"
        [[package]]
        name = "serde"
    "#;

    fn manifest(name: &str) -> String {
        format!("[package]\nname = \"{name}\"\n")
    }

    #[test]
    fn a_path_to_burn_is_found_and_named() {
        let found = check(&Tree::of(&[
            ("Cargo.lock", LOCK),
            ("crates/groupwise-core/Cargo.toml", &manifest("groupwise-core")),
            ("crates/groupwise-model/Cargo.toml", &manifest("groupwise-model")),
            (
                "crates/groupwise-rollout/Cargo.toml",
                &manifest("groupwise-rollout"),
            ),
        ]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].to_string().starts_with(
            "crates/groupwise-rollout/Cargo.toml: must not depend on burn, but does: groupwise-rollout -> groupwise-model -> burn;"
        ));
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn the_facade_links_burn_only_behind_a_feature() {
        let bad = "[dependencies]\ngroupwise-model.workspace = true\n";
        let good = "[dependencies]\ngroupwise-model = { workspace = true, optional = true }\ngroupwise-core.workspace = true\n";
        assert_eq!(facade("c", bad).len(), 1);
        assert!(facade("c", good).is_empty());
    }
}
