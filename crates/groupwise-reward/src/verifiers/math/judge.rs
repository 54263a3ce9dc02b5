//! From two texts to a verdict: fast paths, reading, comparison.

use std::borrow::Cow;

use super::algebra::{Algebra, Percent};
use super::compare::{Comparison, may_be_undefined};
use super::config::{MathConfig, Profile, Variables};
use super::form::{Form, Scalar};
use super::parser::{self, Finding, ParseError, Reading};
use super::print::print;
use super::rational::{Fuel, Stop, VERDICT_FUEL};
use super::text::to_ascii;
use super::tree::{Id, Op, Tree};
use crate::Verdict;

/// Longest text that is read as an expression.
const MAX_TEXT: usize = 1 << 21;

/// Compares a reference with the first of the answers that can be read; tells which one it was.
pub(super) fn judge<'a>(
    gold: &str,
    answers: impl IntoIterator<Item = &'a str>,
    config: &MathConfig,
    strict: bool,
) -> (Verdict, usize) {
    let gold = to_ascii(gold.trim());
    let mut answers = answers.into_iter().map(|answer| to_ascii(answer.trim()));
    let Some(first) = answers.next() else {
        return (wrong("no answer"), 0);
    };
    if let Some(equal) = numerals(&gold, &first) {
        let reason = ["different numbers", "equal numbers"][usize::from(equal)];
        return (Verdict::judged(equal, reason).normal_forms(first, gold), 0);
    }
    let mut reader = Reader::new();
    let reference = match reader.read(&gold, Reading::default()) {
        Ok(read) => read,
        Err(error) => return (complaint(error), 0),
    };
    let mut reason = "no answer";
    for (at, answer) in std::iter::once(first).chain(answers).enumerate() {
        let read = if answer == gold {
            Ok(reference)
        } else {
            reader.read(&answer, Reading::default())
        };
        let (id, finding) = match read {
            Ok(read) => read,
            Err(ParseError::Limit) => return (wrong("limit"), at),
            Err(error) => {
                if same_words(&gold, &answer) {
                    return (right("equal words"), at);
                }
                let is_empty = error == ParseError::Empty;
                reason = if is_empty {
                    "empty answer"
                } else {
                    "the answer cannot be read"
                };
                continue;
            }
        };
        if finding.malformed && strict && config.profile == Profile::Strict {
            reason = "malformed answer";
            continue;
        }
        let sides = Sides {
            reference: reference.0,
            id,
            finding,
        };
        return (reader.decide(&gold, &answer, sides, config), at);
    }
    (wrong(reason), 0)
}

fn wrong(reason: impl Into<Cow<'static, str>>) -> Verdict {
    Verdict::judged(false, reason)
}

fn right(reason: impl Into<Cow<'static, str>>) -> Verdict {
    Verdict::judged(true, reason)
}

/// The verdict where the reference cannot be read.
fn complaint(error: ParseError) -> Verdict {
    Verdict::unscorable(match error {
        ParseError::Empty => "the reference is empty",
        ParseError::Malformed => "the reference cannot be read",
        ParseError::Limit => "the reference takes too long to read",
    })
}

/// Whole numbers and decimals written plainly: equal or, if both are whole, different.
fn numerals(gold: &str, answer: &str) -> Option<bool> {
    let (a, b) = (numeral(gold)?, numeral(answer)?);
    let scale = |(n, places): (i64, u32), to: u32| n.checked_mul(10_i64.checked_pow(to - places)?);
    let places = a.1.max(b.1);
    let equal = scale(a, places)? == scale(b, places)?;
    (equal || places == 0).then_some(equal)
}

/// Digits and number of places of a plain numeral of up to 15 digits.
fn numeral(text: &str) -> Option<(i64, u32)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 15 || digits.starts_with('.') || digits.ends_with('.') {
        return None;
    }
    let (mut value, mut places) = (0_i64, None);
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte - b'0');
                places = places.map(|places| places + 1);
            }
            b'.' if places.is_none() => places = Some(0),
            _ => return None,
        }
    }
    Some((if negative { -value } else { value }, places.unwrap_or(0)))
}

/// Trees of both sides, and the fuel for all of it.
pub(super) struct Reader {
    pub(super) tree: Tree,
    pub(super) fuel: Fuel,
}

struct Sides {
    reference: Id,
    id: Id,
    finding: Finding,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::default(),
            fuel: Fuel::new(VERDICT_FUEL),
        }
    }

    pub(super) fn read(&mut self, text: &str, reading: Reading) -> Result<(Id, Finding), ParseError> {
        if text.len() > MAX_TEXT {
            return Err(ParseError::Limit);
        }
        parser::parse_into(text, &mut self.tree, &mut self.fuel, reading)
    }

    fn decide(mut self, gold: &str, answer: &str, sides: Sides, config: &MathConfig) -> Verdict {
        let (reference, id) = (sides.reference, sides.id);
        let alike = self.tree.same(reference, id);
        if alike && !may_be_undefined(&self.tree, reference) {
            return right("equal expressions")
                .normal_forms(print(&self.tree, id), print(&self.tree, reference));
        }
        let (outcome, step, left) = self.compare(reference, id, config);
        self.fuel = left;
        let mut verdict = match outcome {
            Ok(true) => right(step),
            // `x < x` has no difference to compare; it is still what was asked for.
            Ok(false) if alike && matches!(self.tree.op(reference), Op::Relation(_)) => {
                right("equal expressions")
            }
            Ok(false) if same_words(gold, answer) => right("equal words"),
            Ok(false) => wrong(step),
            Err(Stop::Limit) if alike => right("equal expressions"),
            Err(Stop::Limit) => wrong("limit"),
            Err(Stop::Undefined) => wrong("a side has no value"),
        };
        let listed = matches!(self.tree.op(reference), Op::List(..));
        if !verdict.is_correct() && sides.finding.merged && listed {
            verdict = self.with_commas(reference, answer, config).unwrap_or(verdict);
        }
        verdict.normal_forms(print(&self.tree, id), print(&self.tree, reference))
    }

    /// The other reading of `100,200`: a list.
    fn with_commas(&mut self, reference: Id, answer: &str, config: &MathConfig) -> Option<Verdict> {
        let (id, _) = self.read(answer, Reading { commas_divide: true }).ok()?;
        let (outcome, step, _) = self.compare(reference, id, config);
        (outcome == Ok(true)).then(|| right(step))
    }

    fn compare(
        &mut self,
        reference: Id,
        id: Id,
        config: &MathConfig,
    ) -> (Result<bool, Stop>, &'static str, Fuel) {
        let mut algebra = Algebra::new(self.fuel);
        let bound = match config.variables {
            Variables::Named => Ok([Vec::new(), Vec::new()]),
            Variables::ByPosition => self.by_position(reference, id, &mut algebra),
        };
        let bound = match bound {
            Ok(bound) => bound,
            Err(stop) => return (Err(stop), "", algebra.fuel),
        };
        let forms = (
            Form::of(&self.tree, reference, &mut algebra),
            Form::of(&self.tree, id, &mut algebra),
        );
        let mut comparison = Comparison {
            tree: &self.tree,
            algebra,
            config,
            bound,
            step: "not proved equal",
        };
        let outcome = match forms {
            (Ok(gold), Ok(answer)) => comparison.meets(&gold, &answer),
            (Err(stop), _) | (_, Err(stop)) => Err(stop),
        };
        (outcome, comparison.step, comparison.algebra.fuel)
    }

    /// Names in the order in which they first stand, each bound to its place.
    fn by_position(
        &self,
        reference: Id,
        id: Id,
        algebra: &mut Algebra,
    ) -> Result<[Vec<(String, super::algebra::Fraction)>; 2], Stop> {
        let mut side = |root: Id| {
            let mut names: Vec<String> = Vec::new();
            for n in self.tree.subtree(root) {
                if let Op::Name(name) = self.tree.op(n) {
                    let name = self.tree.name(name);
                    algebra.fuel.spend(1 + names.len() as u64)?;
                    if !names.iter().any(|known| known == name) {
                        names.push(name.to_owned());
                    }
                }
            }
            let places = names.into_iter().enumerate();
            places
                .map(|(at, name)| Ok((name, algebra.place(at)?)))
                .collect::<Result<Vec<_>, Stop>>()
        };
        Ok([side(reference)?, side(id)?])
    }

    /// Normal form of one expression as text, or why there is none.
    pub(super) fn normal_form(&self, id: Id) -> String {
        let mut algebra = Algebra::new(self.fuel);
        let scalar = Scalar { id, upper_sign: true };
        let setting = super::form::setting(&self.tree, scalar, Percent::Hundredth, &[]);
        match algebra.evaluate(&self.tree, id, &setting) {
            Ok(value) => algebra.show(&value),
            Err(_) => print(&self.tree, id),
        }
    }
}

/// True if both texts are words only, and the same ones.
fn same_words(gold: &str, answer: &str) -> bool {
    match (bare_words(gold), bare_words(answer)) {
        (Some(a), Some(b)) => a.chars().count() > 1 && a == b,
        _ => false,
    }
}

/// A text of words, without text commands, blanks and case; `None` if it holds any mathematics.
fn bare_words(text: &str) -> Option<String> {
    if text.len() > 400 {
        return None;
    }
    let mut rest = text.trim_end_matches('.').trim();
    let mut out = String::new();
    while let Some(c) = rest.chars().next() {
        let command = ["\\text{", "\\mbox{", "\\textbf{", "\\mathrm{", "\\ "]
            .into_iter()
            .find(|c| rest.starts_with(c));
        if let Some(command) = command {
            rest = &rest[command.len()..];
            continue;
        }
        match c {
            '}' | ' ' => {}
            '-' | '\'' | '.' | ':' | '?' => out.push(c),
            c if c.is_alphabetic() => out.extend(c.to_lowercase()),
            _ => return None,
        }
        rest = &rest[c.len_utf8()..];
    }
    let letters = out.chars().filter(|c| c.is_alphabetic()).count();
    (letters * 2 > out.chars().count()).then_some(out)
}
