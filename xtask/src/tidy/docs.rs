//! The architecture document knows every crate.

use super::{Finding, Tree};

const DOCUMENT: &str = "docs/architecture.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.get(DOCUMENT) else {
        return vec![Finding::error(DOCUMENT, None, "is missing")];
    };
    tree.manifests()
        .filter_map(|(dir, _)| dir.strip_prefix("crates/"))
        .filter(|name| !document.text.contains(&format!("`{name}`")))
        .map(|name| Finding::error(DOCUMENT, None, format!("does not mention `{name}`")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_the_document_forgets_is_found() {
        let crates = [
            ("crates/groupwise/Cargo.toml", ""),
            ("crates/groupwise-core/Cargo.toml", ""),
        ];
        let with = |text| Tree::of(&[crates[0], crates[1], (DOCUMENT, text)]);
        assert!(check(&with("`groupwise` `groupwise-core`")).is_empty());
        assert_eq!(
            check(&with("`groupwise-core`"))[0].to_string(),
            "docs/architecture.md: does not mention `groupwise`"
        );
        assert_eq!(
            check(&Tree::of(&crates))[0].to_string(),
            "docs/architecture.md: is missing"
        );
    }
}
