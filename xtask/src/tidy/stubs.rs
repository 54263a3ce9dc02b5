//! No unfinished code, no muted test, no silenced lint.

use crate::source::{line_of, words};

use super::{Finding, Tree};

/// What must not stand in code, as word and what follows it, and why.
const BANNED: &[(&str, &str, &str)] = &[
    ("todo", "!", "unfinished code"),
    ("unimplemented", "!", "unfinished code"),
    ("ignore", "", "a muted test: mend or delete it"),
    ("should_panic", "", "assert the error instead"),
    ("allow", "(", "use #[expect(.., reason = \"..\")]"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in tree.rust() {
        for (word, next, why) in BANNED {
            for at in words(&file.code, word) {
                let is_macro = *next == "!";
                let follows = file.code[at + word.len()..].starts_with(next);
                if follows && (is_macro || in_attribute(&file.code, at)) {
                    let what = format!("`{word}{next}`: {why}");
                    out.push(Finding::error(&file.path, line_of(&file.code, at), what));
                }
            }
        }
    }
    out
}

/// True right after `#[` or `#![`.
fn in_attribute(code: &str, at: usize) -> bool {
    let before = code[..at].trim_end();
    before.ends_with("#[") || before.ends_with("#![")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_and_muted_tests_are_found() {
        let text = "fn f() { todo!() }\n#[ignore = \"slow\"]\n#[should_panic]\n#![allow(dead_code)]\nunimplemented!()\n";
        let found: Vec<_> = check(&Tree::of(&[("a.rs", text)]))
            .iter()
            .map(|f| f.line)
            .collect();
        assert_eq!(found, [Some(1), Some(5), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn words_in_text_and_ordinary_names_pass() {
        let text = "// todo!() #[ignore]\nlet a = \"#[allow(x)]\"; fn ignore() { allow(1); }\n#[expect(x, reason = \"y\")]\n";
        assert!(check(&Tree::of(&[("a.rs", text), ("b.md", "todo!()")])).is_empty());
    }
}
