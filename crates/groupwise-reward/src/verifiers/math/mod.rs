//! Math answers: where an answer stands in a response, what it says, and whether that is the reference.
//!
//! | module | holds |
//! |---|---|
//! | `config` | options |
//! | `extract`, `spans` | places in a response where an answer can stand |
//! | `text`, `tokens`, `lexer`, `parser`, `tree`, `print` | from characters to a tree and back |
//! | `rational`, `algebra` | exact numbers under fuel; normal form; enclosures |
//! | `form`, `sets`, `compare`, `units` | what kind of answer it is, and when two are equal |
//! | `judge` | the whole way from two texts to a verdict |
//!
//! No step recurses on the input: trees are arenas in which children stand before parents.  Work is counted
//! ([`Fuel`]), so that every verdict comes in bounded time and memory, the same on every machine.

mod algebra;
mod compare;
mod config;
mod extract;
mod form;
mod judge;
mod lexer;
mod parser;
mod print;
mod rational;
mod sets;
mod spans;
mod text;
mod tokens;
mod tree;
mod units;

use groupwise_core::{ParamError, Part, Task, Verifier};
use serde::Serialize;

pub use config::{BoxPriority, MathConfig, Profile, RelationForSet, Variables};
pub use extract::{Candidate, Place, answer_part, extract};
pub use parser::ParseError;
pub use text::to_ascii;
pub use tree::Tree;

use crate::Verdict;
use crate::response::{Judge, Judged};
use judge::Reader;
use rational::{Fuel, Rational, VERDICT_FUEL};

/// Reads an expression in LaTeX or plain notation.
///
/// # Errors
/// [`ParseError`] if it is empty, malformed, or takes more than the work allowed; never a panic.
pub fn parse(text: &str) -> Result<Tree, ParseError> {
    let mut reader = Reader::new();
    let (root, _) = reader.read(&to_ascii(text), parser::Reading::default())?;
    reader.tree.set_root(root);
    Ok(reader.tree)
}

/// Judges a whole response: finds the answer in it and compares that with the reference.
///
/// See [`MathConfig`] for the rules and an example.
pub fn verify(gold: &str, response: &str, config: &MathConfig) -> Verdict {
    let Some(part) = answer_part(response) else {
        return Verdict::judged(false, "the thought is never closed");
    };
    let candidates = extract(part, config);
    let (verdict, judged) = judge_texts(gold, &candidates, config, true);
    match candidates.into_iter().nth(judged) {
        Some(candidate) => verdict.extracted(candidate.text),
        None => verdict,
    }
}

/// Compares a reference with an answer that stands alone; marks of mathematics around either are seen through.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::math::{self, MathConfig};
/// let config = MathConfig::default();
/// assert!(math::compare("1000", "1,000.0", &config).is_correct());
/// assert!(math::compare(r"\frac{\sqrt{2}}{2}", r"1/\sqrt{2}", &config).is_correct());
/// assert!(!math::compare("(1,2)", "(2,1)", &config).is_correct());
/// assert_eq!(math::compare(r"\frac{", "1", &config).score, None);
/// ```
pub fn compare(gold: &str, answer: &str, config: &MathConfig) -> Verdict {
    let marked = extract::has_marks(answer).then(|| extract::extract_reference(answer, config));
    if let Some(candidates) = marked.filter(|candidates| !candidates.is_empty()) {
        return judge_texts(gold, &candidates, config, false).0;
    }
    // Marks around nothing are no reason to leave the text unread: the reference is not.
    judge::judge(&reference(gold, config), [answer], config, false).0
}

/// The verdict, and the number of the candidate that was judged.
fn judge_texts(gold: &str, candidates: &[Candidate], config: &MathConfig, strict: bool) -> (Verdict, usize) {
    let answers = candidates.iter().map(|candidate| candidate.text.as_str());
    let gold = reference(gold, config);
    if candidates.is_empty() {
        return match parse(&gold) {
            Ok(_) => (Verdict::judged(false, "no answer"), 0),
            Err(_) => judge::judge(&gold, [""], config, strict),
        };
    }
    judge::judge(&gold, answers, config, strict)
}

/// What a reference says: its best candidate that can be read, if it marks its mathematics, else all of it.
fn reference<'g>(gold: &'g str, config: &MathConfig) -> std::borrow::Cow<'g, str> {
    if !extract::has_marks(gold) {
        return gold.into();
    }
    let candidates = extract::extract_reference(gold, config);
    let readable = candidates
        .iter()
        .position(|candidate| parse(&candidate.text).is_ok());
    match candidates.into_iter().nth(readable.unwrap_or(0)) {
        Some(candidate) => candidate.text.into(),
        None => gold.into(),
    }
}

/// Everything that led to a verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// What the reference says.
    pub reference: String,
    /// Places of the response where an answer was looked for, in the order of trial.
    pub candidates: Vec<Candidate>,
    /// Normal form of the reference as an expression.
    pub reference_normal_form: String,
    /// Normal form of the first candidate that can be read.
    pub answer_normal_form: Option<String>,
}

/// Judges a response as [`verify`] does and tells what was found on the way.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::math::{self, MathConfig};
/// let told = math::explain("4", r"So \boxed{2+2}.", &MathConfig::default());
/// assert_eq!((told.candidates[0].text.as_str(), told.answer_normal_form.as_deref()), ("2+2", Some("4")));
/// ```
pub fn explain(gold: &str, response: &str, config: &MathConfig) -> Explanation {
    let candidates = answer_part(response).map_or_else(Vec::new, |part| extract(part, config));
    let reference = reference(gold, config).into_owned();
    let readable = candidates.iter().find(|candidate| parse(&candidate.text).is_ok());
    Explanation {
        verdict: verify(gold, response, config),
        reference_normal_form: normal_form(&reference),
        answer_normal_form: readable.map(|candidate| normal_form(&candidate.text)),
        reference,
        candidates,
    }
}

/// Normal form of an expression; a text that cannot be read stays as it is.
pub fn normal_form(text: &str) -> String {
    let mut reader = Reader::new();
    match reader.read(&to_ascii(text), parser::Reading::default()) {
        Ok((id, _)) => reader.normal_form(id),
        Err(_) => text.trim().to_owned(),
    }
}

/// Normal form of a plain numeral (`-1,234.50` is `-2469/2`): digits, commas, at most one point, a minus before it;
/// `None` for any other text.
pub fn plain_number(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let digits: String = digits
        .trim_end_matches(['.', ','])
        .chars()
        .filter(|c| *c != ',')
        .collect();
    let shaped = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !shaped || digits.matches('.').count() > 1 || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = Rational::parse_decimal(&digits, &mut Fuel::new(VERDICT_FUEL)).ok()?;
    let sign = if value.is_zero() { "" } else { sign };
    Some(format!("{sign}{}", print::rational(&value)))
}

impl Judge for MathConfig {
    fn name(&self) -> &'static str {
        "math"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        match task.reference.trim() {
            "" => Verdict::unscorable(format!("task `{}` has no reference", task.id)),
            _ => verify(&task.reference, response, self),
        }
    }
}

impl Part<dyn Verifier> for MathConfig {
    const SOURCE: &'static str = "order of extraction and rules of comparison as Math-Verify 0.9.0, exact arithmetic and \
                                  a normal form in place of floating point";

    fn formula(&self) -> String {
        let place = match self.profile {
            Profile::Strict => "box or final answer",
            Profile::Flexible => "answer anywhere",
        };
        format!(
            "r = [{place} = reference], as mathematics, decimals to {} places",
            self.decimals
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        if self.decimals > 15 {
            return Err(ParamError::new("decimals", self.decimals, "at most 15"));
        }
        if self.max_boxes == 0 {
            return Err(ParamError::new("max_boxes", self.max_boxes, "at least 1"));
        }
        Ok(Box::new(Judged(self.clone())))
    }
}

#[cfg(test)]
#[path = "math_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "math_properties.rs"]
mod properties;
