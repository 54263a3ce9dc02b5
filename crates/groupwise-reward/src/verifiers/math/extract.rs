//! Where the answer stands in a response.

use serde::Serialize;

use super::config::{BoxPriority, MathConfig, Profile};
use super::spans::{self, Piece};

/// A kind of place where an answer can stand, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The whole text: a formula without a word around it.
    Whole,
    /// The last box, or boxes with only separators between them.
    Box,
    /// "The final answer is X. I hope it is correct."
    FinalAnswerHope,
    /// "final answer ... is X".
    FinalAnswer,
    /// "answer: X".
    AnswerColon,
    /// "answer ... X".
    Answer,
    /// Mathematics between its marks, or a plain number, anywhere.
    Anywhere,
}

/// A piece of text that may be the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Where it stands.
    pub place: Place,
    /// Its bytes in the response.
    pub start: usize,
    /// End of its bytes.
    pub end: usize,
    /// What it says, without its marks.
    pub text: String,
}

/// Most candidates that are tried.
const MAX_CANDIDATES: usize = 24;

/// The part of a response that counts: what follows the last `</think>`.
///
/// `None` if a thought is opened and never closed.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::math::answer_part;
/// assert_eq!(answer_part("<think>7</think> 8"), Some(" 8"));
/// assert_eq!(answer_part("<think>7"), None);
/// ```
pub fn answer_part(response: &str) -> Option<&str> {
    let rest = response
        .rfind("</think>")
        .map_or(response, |at| &response[at + "</think>".len()..]);
    (!rest.contains("<think>")).then_some(rest)
}

/// Candidates of a response, best first; thoughts must be cut before ([`answer_part`]).
///
/// Nothing if a box is never closed, or if there are too many boxes with different contents.
pub fn extract(text: &str, config: &MathConfig) -> Vec<Candidate> {
    Search::new(text, config, false).all()
}

/// As [`extract`] for a reference: lists every place whatever the profile, and a box may be left open.
pub(super) fn extract_reference(text: &str, config: &MathConfig) -> Vec<Candidate> {
    let config = MathConfig {
        profile: Profile::Flexible,
        ..config.clone()
    };
    Search::new(text, &config, true).all()
}

/// True if a text marks its mathematics.
pub(super) fn has_marks(text: &str) -> bool {
    if text.contains("\\boxed") || text.contains("\\(") || text.contains("\\[") {
        return true;
    }
    let escaped = text.matches("\\$").count();
    text.matches('$').count() >= escaped + 2
}

struct Search<'a> {
    text: &'a str,
    lower: String,
    config: &'a MathConfig,
    is_reference: bool,
    out: Vec<Candidate>,
}

impl<'a> Search<'a> {
    fn new(text: &'a str, config: &'a MathConfig, is_reference: bool) -> Self {
        Self {
            text,
            lower: String::new(),
            config,
            is_reference,
            out: Vec::new(),
        }
    }

    fn push(&mut self, place: Place, piece: &Piece) {
        if self.out.len() < MAX_CANDIDATES {
            let (start, end, text) = (piece.start, piece.end, piece.content.clone());
            self.out.push(Candidate {
                place,
                start,
                end,
                text,
            });
        }
    }

    fn all(mut self) -> Vec<Candidate> {
        let (boxes, unclosed) = spans::boxes(self.text);
        if let Some(start) = unclosed {
            if self.is_reference {
                let content = spans::unclosed_content(self.text, start).to_owned();
                self.push(
                    Place::Box,
                    &Piece {
                        start,
                        end: self.text.len(),
                        content,
                    },
                );
            }
            return self.out;
        }
        let Ok(boxed) = self.last_boxes(&boxes) else {
            return Vec::new();
        };
        let flexible = self.config.profile == Profile::Flexible;
        let boxes_first = self.config.boxes == BoxPriority::First || !flexible;
        if boxes_first && let Some(boxed) = &boxed {
            self.push(Place::Box, boxed);
            // Nothing else is looked for where the usual place is filled.
            return self.out;
        }
        self.lower = self.text.to_ascii_lowercase();
        let math = spans::joined(self.text, &spans::math(self.text));
        self.hopes(&math);
        self.final_answers(&math, boxed.as_ref());
        if flexible {
            if math.is_empty() && boxed.is_none() && is_formula(self.text) {
                let content = self.text.trim().to_owned();
                self.push(
                    Place::Whole,
                    &Piece {
                        start: 0,
                        end: self.text.len(),
                        content,
                    },
                );
            }
            self.answers(&math);
            self.anywhere(math);
        }
        self.out
    }

    /// The last box with those that only separators divide from it; an error if there are too many different ones.
    fn last_boxes(&self, boxes: &[Piece]) -> Result<Option<Piece>, ()> {
        let Some(last) = boxes.last() else {
            return Ok(None);
        };
        let mut members = vec![last];
        for piece in boxes.iter().rev().skip(1) {
            let gap = members
                .last()
                .and_then(|next| self.text.get(piece.end..next.start))
                .unwrap_or("x");
            let joins = spans::is_separator_gap(gap) || spans::is_noun_gap(gap);
            if !joins {
                break;
            }
            members.push(piece);
        }
        let mut different: Vec<&str> = boxes.iter().map(|piece| piece.content.trim()).collect();
        different.sort_unstable();
        different.dedup();
        if members.len() < boxes.len() && different.len() > self.config.max_boxes {
            return Err(());
        }
        members.reverse();
        members.dedup_by(|a, b| a.content.trim() == b.content.trim());
        let content = members
            .iter()
            .map(|piece| piece.content.trim())
            .collect::<Vec<_>>()
            .join(", ");
        let start = members.first().map_or(last.start, |piece| piece.start);
        Ok(Some(Piece {
            start,
            end: last.end,
            content,
        }))
    }

    /// "final answer is X. I hope".
    fn hopes(&mut self, math: &[Piece]) {
        let anchors: Vec<usize> = self
            .lower
            .match_indices("final answer is")
            .map(|(at, a)| at + a.len())
            .collect();
        for start in anchors.into_iter().rev().take(MAX_CANDIDATES) {
            let window = floor(self.text, start + 400);
            let Some(length) = self.lower[start..window].find(". i hope") else {
                continue;
            };
            let end = start + length;
            let inside = math
                .iter()
                .rfind(|piece| piece.start >= start && piece.end <= end);
            let piece = inside.cloned().unwrap_or_else(|| Piece {
                start,
                end,
                content: self.text[start..end]
                    .trim()
                    .trim_start_matches([':', ' ', '*'])
                    .to_owned(),
            });
            self.push(Place::FinalAnswerHope, &piece);
        }
    }

    /// "final answer ... is X", and boxes where they share this place.
    fn final_answers(&mut self, math: &[Piece], boxed: Option<&Piece>) {
        let anchors: Vec<usize> = self
            .lower
            .match_indices("final answer")
            .map(|(at, a)| at + a.len())
            .collect();
        let mut pieces: Vec<Piece> = Vec::new();
        for start in anchors.into_iter().rev().take(MAX_CANDIDATES) {
            pieces.extend(self.after_verb(start, math));
        }
        let mut found: Vec<(Place, Piece)> = pieces
            .into_iter()
            .map(|piece| (Place::FinalAnswer, piece))
            .collect();
        found.extend(boxed.map(|piece| (Place::Box, piece.clone())));
        found.sort_by(|a, b| b.1.end.cmp(&a.1.end));
        for (place, piece) in found {
            self.push(place, &piece);
        }
    }

    /// The last X of a sentence that follows "is", "are" or a colon.
    fn after_verb(&self, start: usize, math: &[Piece]) -> Option<Piece> {
        let window = floor(self.text, start + 400);
        let sentence = &self.lower[start..window];
        let end = sentence.find("\n\n").unwrap_or(sentence.len());
        let mut found = None;
        for verb in [" is", " are", ":", " =", "*"] {
            for (at, verb) in sentence[..end].match_indices(verb) {
                if let Some(piece) = self.value_at(start + at + verb.len(), math)
                    && found.as_ref().is_none_or(|known: &Piece| piece.end > known.end)
                    && !sentence[..at].contains(". ")
                {
                    found = Some(piece);
                }
            }
        }
        found
    }

    /// Mathematics or a number right here, past blanks, stars and small words.
    fn value_at(&self, at: usize, math: &[Piece]) -> Option<Piece> {
        let mut start = at;
        loop {
            let rest = self.lower.get(start..)?;
            let trimmed = rest.trim_start_matches([' ', '*', ':', '\n', '_']);
            let word = [
                "approximately ",
                "equal to ",
                "about ",
                "exactly ",
                "just ",
                "therefore ",
                "is ",
            ]
            .into_iter()
            .find(|word| trimmed.starts_with(word));
            start += rest.len() - trimmed.len() + word.map_or(0, str::len);
            if word.is_none() {
                break;
            }
        }
        if let Some(piece) = math.iter().find(|piece| piece.start == start) {
            return Some(piece.clone());
        }
        let (length, content) = spans::number_at(self.text.get(start..)?)?;
        Some(Piece {
            start,
            end: start + length,
            content,
        })
    }

    /// "answer: X" and "answer ... X".
    fn answers(&mut self, math: &[Piece]) {
        let anchors: Vec<usize> = self
            .lower
            .match_indices("answer")
            .map(|(at, a)| at + a.len())
            .collect();
        let (mut colon, mut loose) = (Vec::new(), Vec::new());
        for start in anchors.into_iter().rev().take(MAX_CANDIDATES) {
            let line_end = self.text[start..]
                .find('\n')
                .map_or(self.text.len(), |at| start + at);
            let rest = &self.lower[start..line_end];
            let marked = rest.trim_start_matches(['s', '*', ' ', '_']).starts_with(':');
            if marked {
                let window = floor(self.text, (start + 50).min(line_end.max(start)));
                colon.extend(
                    self.value_at(start, math)
                        .or_else(|| self.first_in(start, window, math)),
                );
                colon.extend(self.short_word(start, line_end));
            }
            let window = floor(self.text, (start + 120).min(line_end));
            let verb = rest
                .find(" is ")
                .and_then(|at| self.value_at(start + at + 4, math));
            loose.extend(verb.or_else(|| self.first_in(start, window, math)));
            loose.extend(
                rest.find(" is ")
                    .and_then(|at| self.short_word(start + at + 4, line_end)),
            );
        }
        for (place, pieces) in [(Place::AnswerColon, colon), (Place::Answer, loose)] {
            for piece in pieces {
                self.push(place, &piece);
            }
        }
    }

    /// First mathematics or number between two places.
    fn first_in(&self, start: usize, end: usize, math: &[Piece]) -> Option<Piece> {
        let span = math
            .iter()
            .find(|piece| piece.start >= start && piece.start < end);
        let window = self.text.get(start..end)?;
        let number = spans::numbers(window, &[]).into_iter().next().map(|piece| Piece {
            start: piece.start + start,
            end: piece.end + start,
            content: piece.content,
        });
        match (span, number) {
            (Some(span), Some(number)) if number.start < span.start => Some(number),
            (Some(span), _) => Some(span.clone()),
            (None, number) => number,
        }
    }

    /// A word or two that end a line: "Answer: Tuesday."
    fn short_word(&self, start: usize, end: usize) -> Option<Piece> {
        let content = self.text.get(start..end)?;
        let content = content.trim_matches([':', ' ', '*', '.', '!', '_']);
        let is_word = !content.is_empty()
            && content.len() <= 30
            && content
                .chars()
                .all(|c| c.is_alphabetic() || c == ' ' || c == '(' || c == ')');
        is_word.then(|| Piece {
            start,
            end,
            content: content.to_owned(),
        })
    }

    /// All mathematics and numbers, last first.
    fn anywhere(&mut self, math: Vec<Piece>) {
        let mut all = spans::numbers(self.text, &math);
        let from = all.len().saturating_sub(MAX_CANDIDATES);
        all.drain(..from);
        all.extend(math);
        all.sort_by(|a, b| b.end.cmp(&a.end));
        for piece in all {
            if self.out.len() >= MAX_CANDIDATES {
                break;
            }
            self.push(Place::Anywhere, &piece);
        }
    }
}

/// The last character boundary at or before a place.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// True for a text without prose: every run of letters is short, a command, or a known word; or it is one word.
fn is_formula(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.len() > 2000 {
        return false;
    }
    if text.chars().all(char::is_alphabetic) {
        return true;
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
            at += 1;
        }
        let run = &text[start..at];
        let escaped = start > 0 && bytes[start - 1] == b'\\';
        let known = super::tokens::plain_word(run).is_some()
            || super::tokens::glued_separator(run).is_some()
            || super::units::canonical(run).is_some()
            || run.len() <= 3 && run.bytes().all(|b| b.is_ascii_uppercase());
        if run.len() > 1 && !escaped && !known {
            return false;
        }
    }
    true
}
