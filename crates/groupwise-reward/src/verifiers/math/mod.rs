//! Math answers: where an answer stands in a response, what it says, and whether that is the reference.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | options |
//! | `rational` | exact numbers of bounded size, fuel |

mod config;
mod lexer;
mod parser;
mod print;
mod rational;
mod text;
mod tokens;
mod tree;
mod units;

pub use config::{BoxPriority, MathConfig, Profile, RelationForSet, Variables};

pub use parser::ParseError;
pub use text::to_ascii;
pub use tree::Tree;

use crate::Verdict;

/// Reads an expression in LaTeX or plain notation.
///
/// # Errors
/// [`ParseError`] if it is empty, malformed, or takes more than the work allowed; never a panic.
pub fn parse(text: &str) -> Result<Tree, ParseError> {
    let mut tree = Tree::default();
    let mut fuel = rational::Fuel::new(rational::Fuel::VERDICT);
    let text = to_ascii(text);
    let (root, _) = parser::parse_into(&text, &mut tree, &mut fuel, parser::Reading::default())?;
    tree.set_root(root);
    Ok(tree)
}

/// Judges a whole response: finds the answer in it and compares that with the reference.
///
/// See [`MathConfig`] for the rules and an example.
pub fn verify(gold: &str, response: &str, config: &MathConfig) -> Verdict {
    compare(gold, response, config)
}

/// Compares a reference with an answer that stands alone.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::math::{self, MathConfig};
/// assert!(math::compare("1000", "1,000.0", &MathConfig::default()).is_correct());
/// ```
pub fn compare(gold: &str, answer: &str, _config: &MathConfig) -> Verdict {
    match (plain_number(gold), plain_number(answer)) {
        (Some(gold), Some(answer)) => {
            Verdict::judged(gold == answer, "numbers").normal_forms(answer, gold)
        }
        _ => Verdict::judged(gold.trim() == answer.trim(), "text"),
    }
}

/// Normal form of a plain numeral (`-1,234.50` is `-2469/2`): digits, one point, commas between groups of three or
/// none at all; `None` for any other text.
pub fn plain_number(text: &str) -> Option<String> {
    use std::fmt::Write as _;
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let digits: String = digits.trim_end_matches(['.', ',']).chars().filter(|c| *c != ',').collect();
    let shaped = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !shaped || digits.matches('.').count() > 1 || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut fuel = rational::Fuel::new(rational::Fuel::VERDICT);
    let value = rational::Rational::parse_decimal(&digits, &mut fuel).ok()?;
    let mut out = if value.is_zero() { String::new() } else { sign.to_owned() };
    let _ = write!(out, "{}", value.numerator());
    if !value.is_integer() {
        let _ = write!(out, "/{}", value.denominator());
    }
    Some(out)
}
