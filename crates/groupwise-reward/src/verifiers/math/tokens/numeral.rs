//! Numerals: digits with thousands marks, decimal marks, exponents, repeating digits.

use std::borrow::Cow;

/// A numeral found at the start of a text.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Numeral<'t> {
    /// Its digits with at most one point, marks removed.
    pub(in super::super) digits: Cow<'t, str>,
    pub(in super::super) length: usize,
    /// True if digits follow the point.
    pub(in super::super) decimal: bool,
    /// True if it ends in a point.
    pub(in super::super) point: bool,
    /// `Some(None)` if there is an exponent too large to read.
    pub(in super::super) exponent: Option<Option<i64>>,
}

/// Reads a numeral; `open` allows commas and blanks as thousands marks.
pub(in super::super) fn scan_number(text: &str, open: bool) -> Numeral<'_> {
    let count = |at: usize| {
        text.as_bytes()[at..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let first = count(0);
    let mut end = first;
    let mut digits = Cow::Borrowed(&text[..first]);
    if (1..=3).contains(&first)
        && let Some(marked) = thousands(text, first, open)
    {
        let plain: String = text[..marked].chars().filter(char::is_ascii_digit).collect();
        (digits, end) = (Cow::Owned(plain), marked);
    }
    let bytes = text.as_bytes();
    let (mut decimal, mut point) = (false, false);
    if bytes.get(end) == Some(&b'.') {
        let part = count(end + 1);
        if part > 0 {
            digits = match digits {
                Cow::Borrowed(_) => Cow::Borrowed(&text[..end + 1 + part]),
                Cow::Owned(mut whole) => {
                    whole.push_str(&text[end..end + 1 + part]);
                    Cow::Owned(whole)
                }
            };
            (end, decimal) = (end + 1 + part, true);
        } else if repeating(&text[end + 1..]).is_some() {
            (end, point) = (end + 1, true);
        }
    } else if text[end..].starts_with("{,}") && count(end + 3) > 0 {
        // A decimal comma kept together by braces.
        let part = count(end + 3);
        digits = Cow::Owned(format!("{digits}.{}", &text[end + 3..end + 3 + part]));
        (end, decimal) = (end + 3 + part, true);
    }
    let mut exponent = None;
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let length = count((end + 1 + sign).min(text.len()));
        if length > 0 {
            let stop = end + 1 + sign + length;
            exponent = Some(text[end + 1..stop].trim_start_matches('+').parse().ok());
            end = stop;
        }
    }
    Numeral {
        digits,
        length: end,
        decimal,
        point,
        exponent,
    }
}

/// End of a numeral whose groups of three are divided by marks; all groups must be whole.
fn thousands(text: &str, first: usize, open: bool) -> Option<usize> {
    const ALWAYS: [&str; 9] = [
        "{,}\\!", "{,}", ",\\!", "\\!,\\!", "\\!,", "\\,", "\\ ", "\\;", "\\:",
    ];
    let mut end = first;
    let mut kind = None;
    loop {
        let rest = &text[end..];
        let always = ALWAYS
            .iter()
            .find(|mark| rest.starts_with(**mark))
            .map(|mark| mark.len());
        let mark = always.or_else(|| {
            let is_plain =
                rest.starts_with([',', ' ', '~']) && open && kind.is_none_or(|k| rest.starts_with(k));
            is_plain.then_some(1)
        });
        let Some(mark) = mark else { break };
        // `,\! 111`: blanks after a mark that cannot be a separator.
        let blanks = match always {
            Some(_) => rest[mark..].bytes().take_while(|b| *b == b' ').count(),
            None => 0,
        };
        let group = rest.as_bytes()[mark + blanks..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        match (group, always) {
            (3, _) => {}
            (0, _) => break,
            (_, Some(_)) => break,
            // One odd group makes the whole a list.
            (_, None) => return None,
        }
        if always.is_none() {
            kind = rest.chars().next();
        }
        end += mark + blanks + group;
    }
    (end > first).then_some(end)
}

/// `\overline{36}`: the digits that repeat, and the length of the command.
pub(in super::super) fn repeating(text: &str) -> Option<(&str, usize)> {
    let command = ["\\overline", "\\bar", "\\dot"]
        .iter()
        .find(|c| text.starts_with(**c))?;
    let inner = text[command.len()..].strip_prefix('{')?;
    let digits = &inner[..inner.bytes().take_while(u8::is_ascii_digit).count()];
    let closed = !digits.is_empty() && inner[digits.len()..].starts_with('}');
    closed.then_some((digits, command.len() + digits.len() + 2))
}
