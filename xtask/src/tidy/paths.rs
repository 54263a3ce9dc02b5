//! No path of somebody's machine, no private registry.

use super::{Finding, Tree};
use crate::source::line_of;

/// Top folders that only a particular machine has.
const FOLDERS: &[&str] = &["work", "farm", "root", "home", "Users", "mnt"];
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in &tree.files {
        if file.path == "Cargo.lock" {
            out.extend(foreign_sources(&file.path, &file.text));
        } else {
            let found = machine_paths(&file.text)
                .into_iter()
                .chain(registries(&file.text));
            out.extend(found.map(|(at, what)| Finding::error(&file.path, line_of(&file.text, at), what)));
        }
    }
    out
}

/// Absolute paths below a folder of the list, or below the temporary folder.
fn machine_paths(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for (at, _) in text.match_indices('/') {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || "_.-/})>*~".contains(c)) {
            continue;
        }
        let rest = &text[at + 1..];
        let top = rest
            .split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        let next = rest[top.len()..].chars().next();
        let below = next == Some('/') && rest[top.len() + 1..].starts_with(|c: char| c.is_alphanumeric());
        if below && (FOLDERS.contains(&top) || top == "tmp") {
            out.push((at, format!("`/{top}/..` is a path of one machine")));
        }
    }
    out
}

/// Settings that send cargo to another registry.
fn registries(text: &str) -> Vec<(usize, String)> {
    [concat!("sparse", "+http"), concat!("replace", "-with")]
        .iter()
        .flat_map(|needle| text.match_indices(needle))
        .map(|(at, needle)| (at, format!("`{needle}` sends cargo to another registry")))
        .collect()
}

fn foreign_sources(path: &str, lock: &str) -> Vec<Finding> {
    let source = |line: &str| Some(line.strip_prefix("source = \"")?.trim_end_matches('"').to_owned());
    lock.lines()
        .enumerate()
        .filter_map(|(i, line)| Some((i + 1, source(line)?)))
        .filter(|(_, source)| source != CRATES_IO)
        .map(|(line, source)| Finding::error(path, line, format!("`{source}` is not crates.io")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_paths_are_found() {
        for top in ["work", "root", "home", "tmp"] {
            let text = format!("a\nlet p = \"/{top}/x/y\";");
            let found = check(&Tree::of(&[("a.rs", &text)]));
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].line, Some(2));
        }
    }

    #[test]
    fn other_slashes_pass() {
        let text = "https://example.org/home/x a/work/b ./tmp/x /usr/bin $HOME/work/x loss / root of x /tmp";
        assert!(check(&Tree::of(&[("a.md", text)])).is_empty());
    }

    #[test]
    fn other_registries_are_found() {
        let text = format!("[source]\n{} = \"x\"\n", concat!("replace", "-with"));
        assert_eq!(
            check(&Tree::of(&[(".cargo/config.toml", &text)]))[0].line,
            Some(2)
        );
        let lock = format!("source = \"{CRATES_IO}\"\nsource = \"git+https://example.org/x\"\n");
        let found = check(&Tree::of(&[("Cargo.lock", &lock)]));
        assert_eq!(
            found[0].to_string(),
            "Cargo.lock:2: `git+https://example.org/x` is not crates.io"
        );
        assert_eq!(found.len(), 1);
    }
}
