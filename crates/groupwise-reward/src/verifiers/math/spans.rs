//! Pieces of a text that can be an answer: boxes, mathematics between its marks, plain numbers.

use super::tokens::scan_number;

/// A piece of a text, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) content: String,
}

/// Boxes of a text in order, outermost ones only, and the start of one that is never closed.
pub(super) fn boxes(text: &str) -> (Vec<Piece>, Option<usize>) {
    let bytes = text.as_bytes();
    let (mut found, mut open) = (Vec::new(), Vec::<Option<(usize, usize)>>::new());
    let (mut n_boxes, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                let command = ["\\boxed", "\\fbox"]
                    .into_iter()
                    .find(|c| text[at..].starts_with(c));
                if let Some(command) = command {
                    let rest = &text[at + command.len()..];
                    let blanks = rest.len() - rest.trim_start_matches(' ').len();
                    if rest.as_bytes().get(blanks) == Some(&b'{') {
                        open.push(Some((at, at + command.len() + blanks + 1)));
                        n_boxes += 1;
                        at += command.len() + blanks + 1;
                        continue;
                    }
                }
                // The next character is escaped; a brace there opens nothing.
                let skipped = text[at + 1..].chars().next().map_or(0, char::len_utf8);
                at += 1 + skipped;
                continue;
            }
            b'{' => open.push(None),
            b'}' => {
                if let Some(Some((start, from))) = open.pop() {
                    n_boxes -= 1;
                    if n_boxes == 0 {
                        found.push(Piece {
                            start,
                            end: at + 1,
                            content: text[from..at].to_owned(),
                        });
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    let unclosed = open.into_iter().flatten().next().map(|(start, _)| start);
    (found, unclosed)
}

/// Content of a box that is never closed.
pub(super) fn unclosed_content(text: &str, start: usize) -> &str {
    let rest = &text[start..];
    rest.split_once('{')
        .map_or("", |(_, content)| content)
        .trim_end_matches(['$', ' ', '\n'])
}

/// Mathematics between marks: `$$..$$`, `\[..\]`, `$..$`, `\(..\)`, ` [ .. ] `, and bare `\frac{1}{2}`.
pub(super) fn math(text: &str) -> Vec<Piece> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    // Where no closing mark follows any more, so that no text is searched twice.
    let mut closed = [true; 4];
    while at < bytes.len() {
        let rest = &text[at..];
        let mark = match bytes[at] {
            b'$' if rest.starts_with("$$") => Some(("$$", "$$", 0)),
            b'$' => Some(("$", "$", 1)),
            b'\\' if rest.starts_with("\\[") => Some(("\\[", "\\]", 2)),
            b'\\' if rest.starts_with("\\(") => Some(("\\(", "\\)", 3)),
            _ => None,
        };
        let span = match mark {
            Some((open, close, kind)) if closed[kind] => {
                let span = enclosed(rest, open, close, kind == 1 || kind == 3);
                closed[kind] = span.is_some() || kind == 1 || kind == 3;
                span
            }
            None if rest.starts_with("\\frac{") => plain_fraction(rest).map(|end| (0, end, end)),
            None if rest.starts_with(" [ ") => bracketed(rest),
            _ => None,
        };
        if let Some((from, to, end)) = span {
            let content = rest[from..to].trim();
            if !content.is_empty() {
                found.push(Piece {
                    start: at,
                    end: at + end,
                    content: content.to_owned(),
                });
            }
            at += end;
            continue;
        }
        // An escaped dollar is money.
        at += match bytes[at] {
            b'\\' if rest.starts_with("\\$") => 2,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    found
}

/// Content between two marks: its start, its end, and the end of the closing mark.
fn enclosed(text: &str, open: &str, close: &str, one_line: bool) -> Option<(usize, usize, usize)> {
    let from = open.len();
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if one_line && bytes[at] == b'\n' {
            return None;
        }
        if text[at..].starts_with(close) {
            return Some((from, at, at + close.len()));
        }
        let escaped = bytes[at] == b'\\' && close.starts_with('$');
        let step = text[at..].chars().next().map_or(1, char::len_utf8);
        let next = text[at + step..].chars().next().map_or(0, char::len_utf8);
        at += if escaped { step + next } else { step };
    }
    None
}

/// ` [ .. ] ` on one line, as a text has it that lost its backslashes.
fn bracketed(text: &str) -> Option<(usize, usize, usize)> {
    let line = text.lines().next().unwrap_or("");
    let end = line.find(" ]").filter(|end| *end >= 3)?;
    let follows = line[end + 2..].chars().next();
    let alone = follows.is_none_or(|c| c.is_whitespace() || c == '.' || c == ',');
    alone.then_some((3, end, end + 2))
}

/// `\frac{12}{-3}`: its length.
fn plain_fraction(text: &str) -> Option<usize> {
    let mut at = "\\frac".len();
    for _ in 0..2 {
        let rest = text.get(at..)?.strip_prefix('{')?;
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..]
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        if digits == 0 || !rest[sign + digits..].starts_with('}') {
            return None;
        }
        at += sign + digits + 2;
    }
    Some(at)
}

/// Joins pieces with nothing but separators between them into lists of at most six.
pub(super) fn joined(text: &str, pieces: &[Piece]) -> Vec<Piece> {
    let mut out: Vec<(Piece, usize)> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if let Some((last, members)) = out.last_mut()
            && *members < 6
            && text.get(last.end..piece.start).is_some_and(is_list_gap)
        {
            last.content.push_str(", ");
            last.content.push_str(&piece.content);
            last.end = piece.end;
            *members += 1;
            continue;
        }
        out.push((piece.clone(), 1));
    }
    out.into_iter().map(|(piece, _)| piece).collect()
}

/// True for a gap of blanks with at least one separator.
fn is_list_gap(gap: &str) -> bool {
    gap.len() < 20 && gap.chars().any(|c| !c.is_whitespace()) && is_separator_gap(gap)
}

/// True if only blanks, marks of mathematics, commas, "and", "or" stand here.
pub(super) fn is_separator_gap(gap: &str) -> bool {
    const PARTS: [&str; 24] = [
        ",",
        ";",
        "and",
        "or",
        "$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "\\quad",
        "\\qquad",
        "\\text{",
        "\\mbox{",
        "\\textbf{",
        "}",
        "\\,",
        "\\;",
        "\\ ",
        "\\!",
        "\\\\",
        "&",
        "*",
        "\\:",
        "~",
    ];
    if gap.len() > 70 {
        return false;
    }
    let mut rest = gap.trim_start();
    while !rest.is_empty() {
        let Some(part) = PARTS.iter().find(|part| rest.starts_with(**part)) else {
            return false;
        };
        rest = rest[part.len()..].trim_start();
    }
    true
}

/// True for one or two nouns before a separator that stands right before the next box: `papers and `.
pub(super) fn is_noun_gap(gap: &str) -> bool {
    let gap = gap.trim();
    let Some(nouns) = [" and", ","].iter().find_map(|end| gap.strip_suffix(end)) else {
        return false;
    };
    let nouns: Vec<&str> = nouns.split(' ').collect();
    nouns.len() <= 2
        && nouns
            .iter()
            .all(|n| n.len() > 2 && n.bytes().all(|b| b.is_ascii_lowercase()))
}

/// A plain number that starts the text: its length and how it is written as mathematics.
pub(super) fn number_at(text: &str) -> Option<(usize, String)> {
    let start = text.trim_start_matches(['$', '€', '£', '¥']);
    let mut at = text.len() - start.len();
    let mut content = String::new();
    let after = text[at..].trim_start_matches(' ');
    if at > 0 && after.starts_with(|c: char| c.is_ascii_digit()) {
        at = text.len() - after.len();
    }
    if let Some(rest) = text[at..].strip_prefix(['-', '\u{2212}']) {
        content.push('-');
        at = text.len() - rest.len();
        at += rest.len() - rest.trim_start_matches(['$', '€', '£']).len();
    }
    let rest = &text[at..];
    let leads = rest.starts_with(|c: char| c.is_ascii_digit());
    let point = rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit());
    if !leads && !point {
        return None;
    }
    let (digits, length) = numeral(rest);
    content.push_str(&digits);
    at += length;
    // `3/4`, but no date.
    if let Some(lower) = text[at..].strip_prefix('/') {
        let length = lower.bytes().take_while(u8::is_ascii_digit).count();
        if length > 0 && !lower[length..].starts_with('/') {
            content.push('/');
            content.push_str(&lower[..length]);
            at += 1 + length;
        }
    }
    let (percent, length) = percent(&text[at..]);
    if percent {
        content.push_str("\\%");
    }
    Some((at + length, content))
}

/// Digits with their marks: thousands by comma or blank, decimals by point or comma.
fn numeral(text: &str) -> (String, usize) {
    let found = scan_number(text, true);
    let (mut digits, mut length) = (found.digits.into_owned(), found.length);
    if !found.decimal
        && let Some(rest) = text[length..].strip_prefix(',')
    {
        let part = rest.bytes().take_while(u8::is_ascii_digit).count();
        // `2,74`: a decimal comma.
        if part > 0 && part != 3 && !rest[part..].starts_with(',') {
            digits = format!("{digits}.{}", &rest[..part]);
            length += 1 + part;
        }
    }
    if found.exponent.is_some() {
        digits = text[..length].to_owned();
    }
    (digits, length)
}

fn percent(text: &str) -> (bool, usize) {
    let trimmed = text.trim_start_matches([' ', '\\']);
    let skipped = text.len() - trimmed.len();
    for word in ["%", "percentage", "percent", "pct"] {
        if trimmed.starts_with(word) {
            return (true, skipped + word.len());
        }
    }
    (false, 0)
}

/// Plain numbers of a text outside the given pieces.
pub(super) fn numbers(text: &str, outside: &[Piece]) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut pieces = outside.iter().peekable();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        while pieces.next_if(|piece| piece.end <= at).is_some() {}
        if let Some(piece) = pieces.peek()
            && piece.start <= at
        {
            at = piece.end;
            continue;
        }
        let step = text[at..].chars().next().map_or(1, char::len_utf8);
        let begins = bytes[at].is_ascii_digit()
            || bytes[at] == b'.'
            || bytes[at] == b'-'
            || bytes[at] == b'$'
            || step > 1;
        let before = text[..at].chars().next_back();
        let glued = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.');
        if begins
            && !glued
            && let Some((length, content)) = number_at(&text[at..])
        {
            found.push(Piece {
                start: at,
                end: at + length,
                content,
            });
            at += length;
            continue;
        }
        // The rest of a word or number that does not count.
        at += step;
    }
    found
}
