//! WirelessMathLM: a letter, or equations in boxes.

use std::sync::LazyLock;

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::exact_match::Case;
use super::ifeval::Thinking;
use super::refuse_unjudgeable;
use crate::Verdict;

/// What a problem asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WirelessMathKind {
    /// One of the letters A to D.
    Mcq,
    /// The masked parts of an equation, one box each.
    #[default]
    #[serde(alias = "fill_25", alias = "fill_50", alias = "fill_75")]
    Fill,
    /// The whole equation.
    Full,
}

/// What is graded in a reply without a box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unboxed {
    /// Nothing: it is wrong.
    #[default]
    Wrong,
    /// Right if every part of the reference stands somewhere in it. A policy learns to write everything down.
    Substring,
}

/// 1 for the right letter, or for boxes among which those of the reference stand in order.
///
/// # Formula
/// `r = [letter = reference]`, or `r = [normal forms of the reference's boxes are a subsequence of those of the reply's]`.
/// Letter: the last one after "final answer is", else after "answer is", else after "option", else before "is correct"; else in
/// the last box that holds one; else the last capital that stands alone in the final 400 characters.  Normal form: lower case, font, size and
/// spacing commands and braces removed, and everything else but letters, digits and ``\ _ ^ + - * / = < > . , ( ) [ ]``.
///
/// # Shapes
/// 0 or 1.  Kind of a problem: the column `kind` of its task (`mcq`, `fill`, `fill_25`, `fill_50`, `fill_75`, `full`), else that
/// of the configuration.
///
/// # Edge cases
/// - A reference without a box is one part.  A part that is empty in normal form, or a letter that is none of A to D:
///   unscorable.
/// - A box that is never closed is no box; those inside it count.
/// - Dropping braces makes `\frac{a}{bc}` and `\frac{ab}{c}` equal: a wrong answer can pass.
/// - Letters stand alone: "answer is better" names no B.  The authors' pattern reads one there.
///
/// # Source
/// arXiv 2509.23219; rules of `scripts/exact_format_lower_bound.py` of LiXin97/WirelessMathBench-XL, which scores replies without a
/// box by substrings; here they are wrong unless asked for.  The paper's own verifier is a language model.
///
/// # Example
/// ```
/// use groupwise_core::{Score, Task, Trajectory};
/// use groupwise_reward::VerifierSpec;
/// let spec = VerifierSpec::named("wirelessmathlm").expect("a verifier");
/// let task = Task::new("t", "", r"\boxed{\mathbf{h}^H \mathbf{w}}");
/// let score = spec.build(&())?.score(&task, &Trajectory::of_reply(r"so \boxed{h^{H}w}", 4));
/// assert_eq!(score, Score::Value(1.0));
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WirelessMathConfig {
    /// What a problem asks for whose task does not say.
    pub kind: WirelessMathKind,
    /// What is graded in a reply without a box.
    pub unboxed: Unboxed,
    /// Whether `H` and `h` differ.
    pub case: Case,
    /// What becomes of a thinking part.
    pub thinking: Thinking,
}

impl Default for WirelessMathConfig {
    fn default() -> Self {
        Self {
            kind: WirelessMathKind::Fill,
            unboxed: Unboxed::Wrong,
            case: Case::Insensitive,
            thinking: Thinking::Cut,
        }
    }
}

/// Places of a letter, the surest first.
static PLACES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let places = [
        r"(?i)final answer is\s*[:\-]?\s*\**\(?([ABCD])\b",
        r"(?i)answer is\s*[:\-]?\s*\**\(?([ABCD])\b",
        r"(?i)option\s+([ABCD])\b",
        r"(?i)\b([ABCD])\s*(?:is correct|\(correct\))",
    ];
    places
        .into_iter()
        .filter_map(|place| Regex::new(place).ok())
        .collect()
});

/// Commands that change how a formula looks; the longer of two that start alike first.
const LOOKS: [&str; 16] = [
    r"\mathbf",
    r"\boldsymbol",
    r"\mathrm",
    r"\mathsf",
    r"\mathcal",
    r"\operatorname",
    r"\text",
    r"\left",
    r"\right",
    r"\,",
    r"\!",
    r"\;",
    r"\:",
    r"\quad",
    r"\qquad",
    r"\boxed",
];

/// The answer to a multiple-choice problem; `None` if there is none.
///
/// # Source
/// That of [`WirelessMathConfig`], which also has the rule.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::mcq_letter;
/// assert_eq!(mcq_letter("Option A fails. The answer is (c)"), Some('C'));
/// assert_eq!(mcq_letter(r"I considered A. \boxed{B}"), Some('B'));
/// assert_eq!(mcq_letter("it is b"), None);
/// ```
pub fn mcq_letter(reply: &str) -> Option<char> {
    let captured = |place: &Regex, text: &str| {
        let last = place.captures_iter(text).last()?;
        last.get(1)?.as_str().chars().next()
    };
    let named = PLACES.iter().find_map(|place| captured(place, reply));
    let boxed = || {
        boxes(reply)
            .into_iter()
            .rev()
            .find_map(|inside| lone_letters(inside).next())
    };
    let at_the_end = || {
        let tail = reply
            .char_indices()
            .rev()
            .nth(399)
            .map_or(reply, |(at, _)| &reply[at..]);
        lone_letters(tail).filter(char::is_ascii_uppercase).last()
    };
    let letter = named.or_else(boxed).or_else(at_the_end)?;
    Some(letter.to_ascii_uppercase())
}

/// Letters A to D, of either case, that are a word of their own.
fn lone_letters(text: &str) -> impl Iterator<Item = char> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter_map(|word| match word.as_bytes() {
        [letter] if matches!(letter.to_ascii_uppercase(), b'A'..=b'D') => Some(char::from(*letter)),
        _ => None,
    })
}

/// Contents of the boxes that are closed, in order, without those inside another.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::boxes;
/// assert_eq!(boxes(r"\boxed{a} \boxed {\frac{b}{2}} \boxed{c"), ["a", r"\frac{b}{2}"]);
/// ```
pub fn boxes(text: &str) -> Vec<&str> {
    let ends = closing_braces(text);
    let mut found = Vec::new();
    let mut from = 0;
    for (at, command) in text.match_indices(r"\boxed") {
        let after = at + command.len();
        let opened = text
            .get(after..)
            .map_or(0, |rest| rest.len() - rest.trim_start().len())
            + after;
        let Ok(brace) = ends.binary_search_by_key(&opened, |(open, _)| *open) else {
            continue;
        };
        let (open, close) = ends[brace];
        if at >= from {
            found.extend(text.get(open + 1..close));
            from = close;
        }
    }
    found
}

/// Opening braces with those that close them, by place.
fn closing_braces(text: &str) -> Vec<(usize, usize)> {
    let (mut open, mut pairs) = (Vec::new(), Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open.push(at),
            b'}' => pairs.extend(open.pop().map(|start| (start, at))),
            _ => {}
        }
    }
    pairs.sort_unstable();
    pairs
}

/// What is compared of a formula; the normal form of a normal form is itself.
///
/// # Source
/// That of [`WirelessMathConfig`], which also has the rule.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{Case, wireless_math_normal_form};
/// assert_eq!(wireless_math_normal_form(r"\mathbf{h}^{H}\, \left( w - 1 \right)", Case::Insensitive), "h^h(w-1)");
/// assert_eq!(wireless_math_normal_form("\u{2212}H", Case::Sensitive), "-H");
/// ```
pub fn wireless_math_normal_form(formula: &str, case: Case) -> String {
    let lowered = match case {
        Case::Insensitive => formula.to_lowercase(),
        Case::Sensitive => formula.to_owned(),
    };
    let mut out = String::with_capacity(lowered.len());
    for c in lowered.chars() {
        let c = if c == '\u{2212}' { '-' } else { c };
        let spaces = matches!(c, '!' | ';' | ':') && out.ends_with('\\');
        if spaces || c.is_ascii_alphanumeric() || r"\_^+-*/=<>.,()[]".contains(c) {
            out.push(c);
            // At once, so that no command is left that a removal has put together.
            if let Some(command) = LOOKS.iter().find(|command| out.ends_with(**command)) {
                out.truncate(out.len() - command.len());
            }
        }
    }
    out
}

/// Verdict on a reply.
///
/// # Edge cases
/// Those of [`WirelessMathConfig`]; the kind and the options are taken from the configuration, the thinking part is not cut.
///
/// # Source
/// That of [`WirelessMathConfig`].
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::{WirelessMathConfig, wireless_math};
/// let grade = |reply| wireless_math(reply, r"\boxed{a} and \boxed{b}", &WirelessMathConfig::default()).score;
/// assert_eq!(grade(r"\boxed{a} \boxed{c} \boxed{B}"), Some(1.0));
/// assert_eq!(grade(r"\boxed{b} \boxed{a}"), Some(0.0));
/// ```
pub fn wireless_math(reply: &str, reference: &str, config: &WirelessMathConfig) -> Verdict {
    if config.kind == WirelessMathKind::Mcq {
        return letters(reply, reference);
    }
    let normal = |formula: &str| wireless_math_normal_form(formula, config.case);
    let mut parts: Vec<String> = boxes(reference).into_iter().map(normal).collect();
    if parts.is_empty() {
        parts.push(normal(reference));
    }
    if parts.iter().any(String::is_empty) {
        return Verdict::unscorable("a part of the reference is empty in normal form");
    }
    let found = boxes(reply);
    let normal_forms: Vec<String> = found.iter().map(|inside| normal(inside)).collect();
    let verdict = match (found.last(), config.unboxed) {
        (Some(last), _) => {
            // One walk: each part is looked for behind the one before.
            let mut rest = normal_forms.iter();
            let right = parts.iter().all(|part| rest.any(|inside| inside == part));
            let reason = if right {
                "the boxes agree"
            } else {
                "the boxes differ"
            };
            Verdict::judged(right, reason).extracted(*last)
        }
        (None, Unboxed::Wrong) => Verdict::judged(false, "no box"),
        (None, Unboxed::Substring) => {
            let whole = normal(reply);
            let right = parts.iter().all(|part| whole.contains(part.as_str()));
            Verdict::judged(right, "no box, parts looked for everywhere")
        }
    };
    verdict.normal_forms(normal_forms.join(" ; "), parts.join(" ; "))
}

fn letters(reply: &str, reference: &str) -> Verdict {
    let stripped = reference.trim();
    let inside = boxes(stripped).last().map_or(stripped, |inside| inside.trim());
    let mut expected = inside.chars();
    let letter = expected.next().map(|letter| letter.to_ascii_uppercase());
    let Some(letter) = letter.filter(|letter| ('A'..='D').contains(letter) && expected.next().is_none())
    else {
        return Verdict::unscorable("the reference is none of the letters A to D");
    };
    match mcq_letter(reply) {
        None => Verdict::judged(false, "no letter"),
        Some(found) => {
            let reason = if found == letter {
                "the letters agree"
            } else {
                "the letters differ"
            };
            let verdict = Verdict::judged(found == letter, reason).extracted(found);
            verdict.normal_forms(found, letter)
        }
    }
}

impl Part<dyn Verifier> for WirelessMathConfig {
    const SOURCE: &'static str =
        "WirelessMathLM, arXiv 2509.23219; scorer of LiXin97/WirelessMathBench-XL, boxes required";

    fn formula(&self) -> String {
        let unboxed = match self.unboxed {
            Unboxed::Wrong => "no box: 0",
            Unboxed::Substring => "no box: parts looked for everywhere",
        };
        let case = match self.case {
            Case::Insensitive => "case ignored",
            Case::Sensitive => "case counts",
        };
        format!(
            "r = [letter = reference] or [boxes of the reference among those of the reply, in order], {unboxed}, {case}"
        )
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(WirelessMath(*self)))
    }
}

#[derive(Debug)]
struct WirelessMath(WirelessMathConfig);

impl Verifier for WirelessMath {
    fn name(&self) -> &str {
        "wirelessmathlm"
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        let mut config = self.0;
        if let Some(kind) = task.columns.get("kind") {
            match WirelessMathKind::deserialize(kind) {
                Ok(kind) => config.kind = kind,
                Err(error) => {
                    return Score::Unscorable(format!("task `{}`, column `kind`: {error}", task.id));
                }
            }
        }
        let reply = config.thinking.of(trajectory.answer());
        match Score::from(&wireless_math(reply, &task.reference, &config)) {
            Score::Unscorable(reason) => Score::Unscorable(format!("task `{}`: {reason}", task.id)),
            score => score,
        }
    }
}

#[cfg(test)]
#[path = "wireless_math_tests.rs"]
mod tests;
