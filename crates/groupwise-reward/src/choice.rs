//! Which letter a text chooses.

use std::borrow::Cow;

/// What a text chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One of the options.
    Option {
        /// Which.
        index: usize,
        /// Where it was found.
        place: &'static str,
    },
    /// None, or more than one; why.
    Missing(&'static str),
}

/// Several letters where one must stand.
const SEVERAL: &str = "several letters where one must stand";
/// A letter that is no option.
const NO_OPTION: &str = "a letter that is no option";
/// A letter that is denied.
const DENIED: &str = "the answer is denied, not given";
/// Nothing that could be a letter.
const NOTHING: &str = "no letter that stands alone";

/// The option a text settles on.
///
/// # Formula
/// Places in this order, the last one of a kind first: the last `\boxed{..}`; behind "final answer is", "answer:" and
/// "answer .. is" (any letter case), up to the end of the sentence; a line that starts with a letter and a stop or
/// bracket; a letter between blanks.  The first place that holds a letter decides.
///
/// # Shapes
/// `options`: letters, in upper case.
///
/// # Edge cases
/// - A list ("A or B", "A, C", "A/B") or a letter that is no option at the deciding place: no answer.  So are different
///   letters at line starts or between blanks.
/// - "not B" and "neither" chooses nothing.
/// - A lower case letter counts in a box, before a closing bracket, behind "option", as the first word of an answer that
///   ends there, and as the whole text.
/// - A sentence is read for 400 bytes.
/// - The article in "A man walked in" and the pronoun I are words, not letters.
///
/// # Example
/// ```
/// use groupwise_reward::choice::{Choice, find_choice};
/// let found = |text| match find_choice(text, &['A', 'B', 'C']) {
///     Choice::Option { index, .. } => Some(index),
///     Choice::Missing(_) => None,
/// };
/// assert_eq!(found("A. Because B is not valid"), Some(0));
/// assert_eq!(found("I think A is wrong, so the answer is C."), Some(2));
/// assert_eq!(found("A man walked in."), None);
/// ```
pub fn find_choice(text: &str, options: &[char]) -> Choice {
    let text = unstyled(text);
    let text = text.as_ref();
    let found = |letters: Letters, place| match letters {
        Letters::None => None,
        Letters::Several => Some(Choice::Missing(SEVERAL)),
        Letters::Denied => Some(Choice::Missing(DENIED)),
        Letters::One(letter) => Some(match options.iter().position(|o| *o == letter) {
            Some(index) => Choice::Option { index, place },
            None => Choice::Missing(NO_OPTION),
        }),
    };
    found(boxed(text), "in a box")
        .or_else(|| found(anchored(text), "after `answer`"))
        .or_else(|| found(at_line_starts(text, options), "at the start of a line"))
        .or_else(|| found(alone(text, options), "a letter that stands alone"))
        .unwrap_or(Choice::Missing(NOTHING))
}

/// Letters at one place, in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    None,
    One(char),
    Several,
    Denied,
}

impl Letters {
    fn and(self, letter: char) -> Self {
        match self {
            Self::None => Self::One(letter),
            Self::One(other) if other == letter => self,
            _ => Self::Several,
        }
    }
}

/// A word without what surrounds it.
#[derive(Clone, Copy)]
struct Word<'a> {
    bare: &'a str,
    /// A bracket closed behind it, as in `(b)` and `b)`.
    bracketed: bool,
    /// A stop or comma followed.
    ends: bool,
}

fn word(raw: &str) -> Word<'_> {
    let is_wrap = |c: char| {
        matches!(
            c,
            '*' | '_' | '`' | '"' | '\'' | '$' | '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}'
        )
    };
    let is_stop = |c: char| matches!(c, '.' | ',' | ';' | ':' | '!' | '?');
    let front = raw.trim_start_matches(is_wrap);
    let mut bare = front.trim_end_matches(|c| is_wrap(c) || is_stop(c));
    let ends = front.ends_with(is_stop) || bare.len() < front.trim_end_matches(is_wrap).len();
    let open = ['(', '[', '{', '<'];
    let close = [')', ']', '}', '>'];
    let bracketed = bare.ends_with(close);
    bare = bare
        .trim_start_matches(open)
        .trim_end_matches(close)
        .trim_matches(is_wrap);
    Word {
        bare,
        bracketed,
        ends,
    }
}

/// The letter a text is.
fn letter(text: &str) -> Option<char> {
    let mut chars = text.chars();
    let letter = chars.next().filter(char::is_ascii_alphabetic)?;
    chars.next().is_none().then_some(letter)
}

/// Letters joined without blanks, as in "A/B" or "A,C".
fn is_joined_list(bare: &str) -> bool {
    let mut parts = bare.split(['/', ',', '&', '|', '+']);
    bare.len() > 1 && parts.all(|part| letter(part).is_some_and(|l| l.is_ascii_uppercase()))
}

/// Without the commands that style text, whose braces are seen through, and with blanks for marks of mathematics.
fn unstyled(text: &str) -> Cow<'_, str> {
    const STYLES: [&str; 9] = [
        "text", "textbf", "textit", "textrm", "textsf", "mathrm", "mathbf", "mathsf", "mbox",
    ];
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out += before;
        let name = &after[..after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len())];
        rest = if STYLES.contains(&name) {
            &after[name.len()..]
        } else if let Some(rest) = after.strip_prefix(['(', ')', '[', ']', ' ', ',', ';', '!', '\\']) {
            out.push(' ');
            rest
        } else {
            out.push('\\');
            after
        };
    }
    out += rest;
    Cow::Owned(out)
}

/// The last box.
fn boxed(text: &str) -> Letters {
    const BOX: &str = "\\boxed{";
    let Some(at) = text.rfind(BOX) else {
        return Letters::None;
    };
    let inside = &text[at + BOX.len()..];
    let mut depth = 1_usize;
    let end = inside.find(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some(end) = end else { return Letters::None };
    let content = inside[..end].trim();
    match letter(word(content).bare) {
        Some(letter) => Letters::One(letter.to_ascii_uppercase()),
        None => in_sentence(content),
    }
}

/// What stands behind an announcement of the answer.
fn anchored(text: &str) -> Letters {
    // Letters of ASCII keep their places.
    let lower = text.to_ascii_lowercase();
    let places = |anchor: &'static str, end: fn(&str) -> Option<usize>| {
        let mut places: Vec<usize> = lower
            .match_indices(anchor)
            .filter_map(|(at, _)| {
                let from = at + anchor.len();
                Some(from + end(&lower[from..])?)
            })
            .collect();
        places.reverse();
        places
    };
    let colon = |rest: &str| {
        let rest_trimmed = rest.trim_start_matches(['*', '_', ' ']);
        (rest_trimmed.starts_with(':')).then(|| rest.len() - rest_trimmed.len() + 1)
    };
    let verb = |rest: &str| {
        let sentence = &rest[..sentence_end(rest)];
        [" is", " are", " should be", " must be", " would be"]
            .iter()
            .filter_map(|verb| {
                let at = sentence.find(verb)? + verb.len();
                sentence[at..]
                    .starts_with(|c: char| !c.is_alphanumeric())
                    .then_some(at)
            })
            .min()
    };
    let kinds = [
        places("final answer", verb),
        places("answer", colon),
        places("answer", verb),
    ];
    kinds
        .iter()
        .flatten()
        .map(|at| in_sentence(&text[*at..]))
        .find(|letters| *letters != Letters::None)
        .unwrap_or(Letters::None)
}

/// Longest sentence that is read, bytes: an answer stands near its announcement, and any number of announcements
/// costs no more than reading the text.
const LONGEST_SENTENCE: usize = 400;

/// Where a sentence ends: at a stop before a blank, or at the line's end unless nothing stands there yet.
fn sentence_end(text: &str) -> usize {
    let mut seen = false;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        let stop = seen && (c == '\n' || (c.is_whitespace() && matches!(previous, '.' | '!' | '?' | ';')));
        if stop || at >= LONGEST_SENTENCE {
            return at;
        }
        seen |= c.is_alphanumeric();
        previous = c;
    }
    text.len()
}

/// The letter a sentence names, the first one unless it begins a list.
fn in_sentence(text: &str) -> Letters {
    let sentence = &text[..sentence_end(text)];
    let words: Vec<Word<'_>> = sentence
        .split_whitespace()
        .map(word)
        .filter(|w| !w.bare.is_empty())
        .collect();
    let is_negation = |w: &Word<'_>| {
        ["not", "neither", "nor", "never"]
            .iter()
            .any(|n| w.bare.eq_ignore_ascii_case(n))
    };
    let candidate = |i: usize, w: &Word<'_>| {
        let letter = letter(w.bare)?;
        let last_word = i + 1 == words.len() || w.ends;
        let named = i.checked_sub(1).and_then(|j| words.get(j)).is_some_and(|before| {
            ["option", "choice", "letter"]
                .iter()
                .any(|name| before.bare.eq_ignore_ascii_case(name))
        });
        let is_letter = match letter {
            'I' => last_word || w.bracketed || named,
            _ => letter.is_ascii_uppercase() || w.bracketed || named || (i == 0 && last_word),
        };
        is_letter.then_some(letter.to_ascii_uppercase())
    };
    for (i, w) in words.iter().enumerate() {
        if is_negation(w) {
            return Letters::Denied;
        }
        if is_joined_list(w.bare) {
            return Letters::Several;
        }
        let Some(first) = candidate(i, w) else { continue };
        // "A or B", "A, B": the next word, or the one behind a connection, is another letter.
        let rest = &words[i + 1..];
        let connected = rest.first().is_some_and(|w| {
            ["or", "and", "&", "/", "nor"]
                .iter()
                .any(|c| w.bare.eq_ignore_ascii_case(c))
        });
        let next = rest.get(usize::from(connected));
        let second = next.and_then(|w| {
            (connected || words[i].ends)
                .then(|| letter(w.bare))
                .flatten()
                .filter(|l| l.is_ascii_uppercase() || w.bracketed || connected)
        });
        return match second.map(|l| l.to_ascii_uppercase()) {
            Some(second) if second != first => Letters::Several,
            _ => Letters::One(first),
        };
    }
    Letters::None
}

/// Options at the start of lines, with a mark behind them.
fn at_line_starts(text: &str, options: &[char]) -> Letters {
    let starts = text.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches(['*', '(', '_']);
        let first = line.chars().next().filter(|c| options.contains(c))?;
        let rest = line[first.len_utf8()..].trim_start_matches(['*', '_']);
        let mark = rest.strip_prefix(['.', ')'])?;
        (mark.is_empty() || mark.starts_with(|c: char| c.is_whitespace() || c == '*')).then_some(first)
    });
    starts.fold(Letters::None, Letters::and)
}

/// Options between blanks that are no article or pronoun.
fn alone(text: &str, options: &[char]) -> Letters {
    if let Some(whole) = letter(word(text.trim()).bare) {
        return Letters::One(whole.to_ascii_uppercase());
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out = Letters::None;
    for (i, raw) in words.iter().enumerate() {
        let w = word(raw);
        if is_joined_list(w.bare) && w.bare.chars().any(|c| options.contains(&c)) {
            return Letters::Several;
        }
        let Some(letter) = letter(w.bare).filter(|l| options.contains(l)) else {
            continue;
        };
        let before = i.checked_sub(1).and_then(|j| words.get(j));
        let after = words.get(i + 1);
        if w.bracketed || w.ends || !matches!(letter, 'A' | 'I') || is_named(before, after) {
            out = out.and(letter);
        }
    }
    out
}

/// True if the words around a lone A or I show that it is the name of an option.
fn is_named(before: Option<&&str>, after: Option<&&str>) -> bool {
    const BEFORE: [&str; 9] = [
        "option", "choice", "letter", "choose", "pick", "select", "is", "be", "or",
    ];
    const AFTER: [&str; 12] = [
        "is", "was", "seems", "looks", "because", "since", "as", "or", "and", "would", "must", "should",
    ];
    let among = |raw: Option<&&str>, list: &[&str]| {
        raw.is_some_and(|raw| list.iter().any(|w| word(raw).bare.eq_ignore_ascii_case(w)))
    };
    let starts_lower = after.is_some_and(|raw| raw.starts_with(|c: char| c.is_lowercase()));
    among(before, &BEFORE) || among(after, &AFTER) || !starts_lower
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
