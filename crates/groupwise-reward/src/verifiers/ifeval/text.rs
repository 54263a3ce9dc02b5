//! What Python's string methods do, which the published checkers are written with.
//!
//! The differences to Rust's own are few and decide verdicts: four more control characters count as white space, and a
//! text is in upper case only if it holds a letter that has a case.

/// White space for Python's `str.strip`, `str.split` and `\s`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Without white space at both ends.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The first word: up to the first white space.
pub(super) fn first_word(text: &str) -> &str {
    text.split(is_space)
        .find(|word| !word.is_empty())
        .unwrap_or_default()
}

/// True if there is a letter with a case and every such letter is a capital.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_title_case(c))
}

/// True if there is a letter with a case and none of them is a capital.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_title_case(c))
}

/// Digraphs with a capital first letter (general category Lt): neither upper nor lower case.
fn is_title_case(c: char) -> bool {
    matches!(
        c,
        '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}' | '\u{1f88}'
            ..='\u{1f8f}' | '\u{1f98}'
            ..='\u{1f9f}' | '\u{1fa8}'
            ..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}'
    )
}

/// Number of blocks of white space and `mark` that open a line and are followed by `next` (if it asks for a character).
///
/// As a pattern: `^\s*MARK NEXT .*$`, matches that do not overlap; white space may run over line ends.
pub(super) fn count_marked_lines(
    text: &str,
    mark: char,
    next: impl Fn(char) -> bool,
    ask_next: AskNext,
) -> usize {
    let (mut count, mut line) = (0, 0);
    while let Some(rest) = text.get(line..) {
        let opened = rest.trim_start_matches(is_space);
        let at = text.len() - opened.len();
        let after = opened.strip_prefix(mark).and_then(|tail| match ask_next {
            AskNext::No => Some(tail),
            AskNext::Yes => {
                let first = tail.chars().next().filter(|&c| next(c))?;
                tail.get(first.len_utf8()..)
            }
        });
        let from = match after {
            Some(tail) => {
                count += 1;
                text.len() - tail.len()
            }
            None => at,
        };
        // A match may end where a line is empty, and the next one may start on that very line.
        let end = from + text[from..].find('\n').unwrap_or(text.len() - from);
        let at_line_start = after.is_some() && end > line && text[..end].ends_with('\n');
        line = if at_line_start { end } else { end + 1 };
    }
    count
}

/// Whether a mark must be followed by a certain character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AskNext {
    Yes,
    No,
}
