//! Files of at most 800 lines (400 aimed at), functions of at most 60.

use super::{Finding, Tree};

const FILE_AIM: usize = 400;
const FILE_HARD: usize = 800;
const FUNCTION_HARD: usize = 60;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in tree.rust() {
        let n_lines = file.text.lines().count();
        if n_lines > FILE_HARD {
            let what = format!("{n_lines} lines, at most {FILE_HARD} are allowed: split the file by purpose");
            out.push(Finding::error(&file.path, None, what));
        } else if n_lines > FILE_AIM {
            let what = format!("{n_lines} lines, {FILE_AIM} are aimed at");
            out.push(Finding::warning(&file.path, None, what));
        }
        for f in file.functions().into_iter().filter(|f| f.n_lines > FUNCTION_HARD) {
            let what = format!(
                "function `{}` has {} lines, at most {FUNCTION_HARD} are allowed: name its steps",
                f.name, f.n_lines
            );
            out.push(Finding::error(&file.path, f.line, what));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    fn lines(n: usize) -> String {
        "// x\n".repeat(n)
    }

    #[test]
    fn long_files_and_functions_are_found() {
        let function = |n: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(n));
        assert!(
            check(&Tree::of(&[
                ("a.rs", &lines(400)),
                ("b.rs", &function(58)),
                ("c.md", &lines(900))
            ]))
            .is_empty()
        );
        let found = check(&Tree::of(&[
            ("a.rs", &lines(401)),
            ("b.rs", &lines(801)),
            ("c.rs", &function(59)),
        ]));
        assert_eq!(found[0].severity(), Severity::Warning);
        assert_eq!(found[0].to_string(), "a.rs: 401 lines, 400 are aimed at");
        assert_eq!(found[1].severity(), Severity::Error);
        assert_eq!(
            found[2].to_string(),
            "c.rs:1: function `f` has 61 lines, at most 60 are allowed: name its steps"
        );
    }
}
