//! Rust sources as the structural checks see them: comments and literals blanked, tests cut out.

use std::ops::Range;

/// A text file of the project.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// The text as it stands.
    pub(crate) text: String,
    /// For Rust: the text with comments, strings and character literals blanked; same length, same lines.
    pub(crate) code: String,
}

/// A function: name, the line it starts on, the number of lines to its closing brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) n_lines: usize,
}

impl Source {
    /// Wraps a text; Rust files are tokenized.
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let code = if path.ends_with(".rs") {
            blank(&text)
        } else {
            String::new()
        };
        Self { path, text, code }
    }

    /// True for a Rust file.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The code with every item under `#[cfg(test)]` blanked too.
    pub(crate) fn code_without_tests(&self) -> String {
        let mut code = self.code.clone();
        let mut from = 0;
        while let Some(found) = code[from..].find("#[cfg(test)]") {
            let start = from + found;
            let after = start + "#[cfg(test)]".len();
            let end = match code[after..].find(['{', ';']) {
                Some(open) if code.as_bytes()[after + open] == b'{' => {
                    closing(&code, after + open).map_or(code.len(), |close| close + 1)
                }
                Some(semicolon) => after + semicolon + 1,
                None => code.len(),
            };
            let blanked: String = code[start..end]
                .chars()
                .map(|c| if c == '\n' { c } else { ' ' })
                .collect();
            let blanked = pad(blanked, end - start);
            code.replace_range(start..end, &blanked);
            from = end;
        }
        code
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let code = &self.code;
        let mut out = Vec::new();
        for at in words(code, "fn") {
            let name: String = code[at + 2..]
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let Some(open) = body_of(code, at) else { continue };
            let Some(close) = closing(code, open) else {
                continue;
            };
            if !name.is_empty() {
                let line = line_of(code, at);
                out.push(Function {
                    name,
                    line,
                    n_lines: line_of(code, close) - line + 1,
                });
            }
        }
        out
    }
}

/// Line of a byte offset, counted from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()
}

/// Offsets at which `word` stands alone: no letter, digit or `_` on either side.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}

/// Where the body of the function whose `fn` stands at `at` opens; `None` for a declaration.
fn body_of(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (i, b) in code.bytes().enumerate().skip(at) {
        match b {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(i),
            b';' if depth == 0 => return None,
            _ => {}
        }
        if depth < 0 {
            return None; // a function type inside other brackets
        }
    }
    None
}

/// The brace that closes the one at `open`.
pub(crate) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
    }
    None
}

/// Pads with spaces to `n` bytes: blanking a character of several bytes must not move what follows.
fn pad(mut text: String, n: usize) -> String {
    while text.len() < n {
        text.push(' ');
    }
    text
}

/// The text with comments, strings and character literals replaced by spaces; line ends stay.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let end = literal_or_comment(bytes, i);
        for slot in &mut out[i..end] {
            if *slot != b'\n' {
                *slot = b' ';
            }
        }
        i = end.max(i + 1);
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// End of the comment or literal that starts at `i`; `i` if none does.
fn literal_or_comment(bytes: &[u8], i: usize) -> usize {
    let rest = &bytes[i..];
    let in_word = i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_');
    match rest[0] {
        b'/' if rest.starts_with(b"//") => i + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
        b'/' if rest.starts_with(b"/*") => i + block_comment(rest),
        b'"' => i + string(rest),
        b'r' | b'b' | b'c' if !in_word => {
            let prefix = rest.iter().take_while(|b| b"rbc".contains(b)).count().min(2);
            let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
            let is_raw = rest[..prefix].contains(&b'r');
            match rest.get(prefix + hashes) {
                Some(b'"') if is_raw => i + raw_string(rest, prefix + hashes, hashes),
                Some(b'"') if hashes == 0 => i + prefix + string(&rest[prefix..]),
                Some(b'\'') if prefix == 1 && rest[0] == b'b' => i + 1 + character(&rest[1..]),
                _ => i,
            }
        }
        b'\'' => i + character(rest),
        _ => i,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut i = 0;
    while i < rest.len() {
        if rest[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else if rest[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> usize {
    let mut i = 1;
    while i < rest.len() {
        match rest[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8], quote: usize, hashes: usize) -> usize {
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let body = &rest[quote + 1..];
    body.windows(end.len())
        .position(|w| w == end)
        .map_or(rest.len(), |at| quote + 1 + at + end.len())
}

/// Length of a character literal at the start, 0 for a lifetime or label.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[3.min(rest.len())..]
            .iter()
            .position(|b| *b == b'\'')
            .map_or(rest.len(), |at| at + 4);
    }
    let text = String::from_utf8_lossy(&rest[..rest.len().min(6)]);
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some(c), Some('\'')) => 1 + c.len_utf8() + 1,
        _ => 0,
    }
}

/// Byte ranges of the bodies of `name! { .. }` invocations.
pub(crate) fn macro_bodies(code: &str, name: &str) -> Vec<Range<usize>> {
    words(code, name)
        .filter_map(|at| {
            let after = code[at + name.len()..].strip_prefix('!')?.trim_start();
            let open = code.len() - after.len();
            after
                .starts_with('{')
                .then(|| closing(code, open).map(|close| open + 1..close))?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text = "let a = \"fn { \\\" x\"; // todo!()\n/* { /* nested */ } */ let b = '{'; let c: &'static str = r#\"}\"\"#;\nlet d = b'}'; let e = b\"{\"; let f = '\\u{7b}'; let g = 'ä'; for_r\"x\";";
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), 3);
        for gone in ["fn", "todo", "nested", "{", "}", "ä"] {
            assert!(!code.contains(gone), "{gone} in {code}");
        }
        for kept in [
            "let a =",
            "let b =",
            "&'static str",
            "let d =",
            "let e =",
            "let g =",
        ] {
            assert!(code.contains(kept), "{kept} in {code}");
        }
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text = "trait T { fn declared(&self) -> [u8; 3]; }\nfn outer(f: fn(u8) -> u8)\nwhere u8: Copy,\n{\n    fn inner() {}\n    let s = \"}\";\n}\nfn last() {\n}\n";
        let found = Source::new("a.rs", text).functions();
        let brief: Vec<_> = found
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.n_lines))
            .collect();
        assert_eq!(brief, [("outer", 2, 6), ("inner", 5, 1), ("last", 8, 2)]);
    }

    #[test]
    fn test_modules_are_cut_out() {
        let source = Source::new(
            "a.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }\n#[cfg(test)]\nuse x;\nfn b() {}\n",
        );
        let code = source.code_without_tests();
        assert!(code.contains("fn a()") && code.contains("fn b()"));
        assert!(!code.contains("std::fs") && !code.contains("use x"));
        assert_eq!(code.lines().count(), source.text.lines().count());
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("fn fnx xfn fn_ (fn)", "fn").collect::<Vec<_>>(), [0, 16]);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }

    #[test]
    fn macro_bodies_are_found() {
        let code = "registry! { enum A {} } registry_x! { no } proptest! {}";
        let bodies: Vec<_> = macro_bodies(code, "registry")
            .into_iter()
            .map(|r| &code[r])
            .collect();
        assert_eq!(bodies, [" enum A {} "]);
    }
}
