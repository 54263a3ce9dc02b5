//! GSM8K: the number after the last `####`, compared as a number.

use groupwise_core::{ParamError, Part, Score, Task, Trajectory, Verifier};
use serde::{Deserialize, Serialize};

use super::{math, refuse_unjudgeable};
use crate::Verdict;
use crate::response::{Judge, UNCLOSED_THINKING, after_thinking};

/// Only this many of the last characters are searched, as the published scorer does.
const WINDOW: usize = 300;

/// Which number of a response is its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gsm8kMethod {
    /// The one after the last marker `#### `.
    #[default]
    Strict,
    /// The last one.
    Flexible,
}

/// 1 if the number a response ends in is the reference, else 0.
///
/// # Formula
/// `r = [number(answer) = number(reference)]`, exactly; commas between digits and stops at the end are dropped.
///
/// # Edge cases
/// - Reference without a number: unscorable.  A reference may be a whole solution that ends in `#### number`.
/// - Only text behind the thinking counts ([`verify`]; [`extract`] reads what it is given).
/// - `18.` and `18.0` are 18: numbers are compared.  `1/2` after the marker reads 1, as in the published scorer.
/// - Digits of other scripts are no digits here.
///
/// # Source
/// Marker and window: volcengine/verl, `reward_score/gsm8k.py`, commit b178a3c.  The authors compare strings, so
/// that `#### 18.0` loses against 18; numbers are compared here.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::gsm8k::{self, Gsm8kMethod};
/// assert_eq!(gsm8k::extract("20 - 2\n#### 1,018", Gsm8kMethod::Strict).as_deref(), Some("1018"));
/// assert_eq!(gsm8k::verify("18", "#### 18.0", Gsm8kMethod::Strict).score, Some(1.0));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gsm8kConfig {
    /// Which number of a response is its answer.
    pub method: Gsm8kMethod,
}

/// The answer of a response as text: commas dropped for the strict method, as it stands for the flexible one.
///
/// See [`Gsm8kConfig`] for an example.
pub fn extract(response: &str, method: Gsm8kMethod) -> Option<String> {
    let window = window(response);
    match method {
        Gsm8kMethod::Strict => {
            // Overlapping marks (`##### 5`) end in one mark and a blank as well.
            let found = window.match_indices("#### ").filter_map(|(at, mark)| {
                let number = leading_number(&window[at + mark.len()..]);
                (!number.is_empty()).then_some(number)
            });
            found.last().map(|number| number.replace(',', ""))
        }
        Gsm8kMethod::Flexible => last_number(window).map(str::to_owned),
    }
}

/// The last [`WINDOW`] characters.
fn window(text: &str) -> &str {
    let start = text.char_indices().rev().nth(WINDOW - 1).map_or(0, |(at, _)| at);
    &text[start..]
}

fn is_numeral(c: char) -> bool {
    c.is_ascii_digit() || c == '.' || c == ','
}

/// An optional minus and at least one of digits, dots and commas; empty if the text does not start so.
fn leading_number(text: &str) -> &str {
    let sign = usize::from(text.starts_with('-'));
    let rest = &text[sign..];
    let length = rest.find(|c| !is_numeral(c)).unwrap_or(rest.len());
    if length == 0 { "" } else { &text[..sign + length] }
}

/// The last run of digits, dots and commas that is not a lone full stop, with a minus before it.
fn last_number(text: &str) -> Option<&str> {
    let mut end = text.len();
    loop {
        let stop = text[..end].rfind(is_numeral)? + 1;
        let start = text[..stop]
            .rfind(|c| !is_numeral(c))
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let signed = start - usize::from(text[..start].ends_with('-'));
        if &text[signed..stop] != "." {
            return Some(&text[signed..stop]);
        }
        end = start;
    }
}

/// Judges a response; the reference is a number, or a solution with the marker.
///
/// See [`Gsm8kConfig`] for the rules and an example.
pub fn verify(gold: &str, response: &str, method: Gsm8kMethod) -> Verdict {
    let reference = extract(gold, Gsm8kMethod::Strict).unwrap_or_else(|| gold.trim().to_owned());
    let Some(reference) = math::plain_number(&reference) else {
        return Verdict::unscorable("the reference is no number");
    };
    let Some(response) = after_thinking(response) else {
        return Verdict::judged(false, UNCLOSED_THINKING).normal_forms("", reference);
    };
    let Some(text) = extract(response, method) else {
        return Verdict::judged(false, "no answer").normal_forms("", reference);
    };
    let Some(answer) = math::plain_number(&text) else {
        return Verdict::judged(false, "the answer is no number")
            .extracted(text)
            .normal_forms("", reference);
    };
    let equal = answer == reference;
    let reason = if equal {
        "equal numbers"
    } else {
        "different numbers"
    };
    Verdict::judged(equal, reason)
        .extracted(text)
        .normal_forms(answer, reference)
}

impl Judge for Gsm8kConfig {
    fn name(&self) -> &'static str {
        "gsm8k"
    }

    fn judge(&self, task: &Task, response: &str) -> Verdict {
        verify(&task.reference, response, self.method)
    }
}

impl Part<dyn Verifier> for Gsm8kConfig {
    const SOURCE: &'static str =
        "GSM8K's answer marker (arXiv 2110.14168); extraction as verl's scorer, numbers compared as numbers";

    fn formula(&self) -> String {
        let place = match self.method {
            Gsm8kMethod::Strict => "after the last ####",
            Gsm8kMethod::Flexible => "last of the text",
        };
        format!("r = [number {place} = reference], as numbers")
    }

    fn build(&self, _: &()) -> Result<Box<dyn Verifier>, ParamError> {
        Ok(Box::new(Gsm8k(self.clone())))
    }
}

#[derive(Debug)]
struct Gsm8k(Gsm8kConfig);

impl Verifier for Gsm8k {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn score(&self, task: &Task, trajectory: &Trajectory) -> Score {
        if let Some(score) = refuse_unjudgeable(task, trajectory) {
            return score;
        }
        Score::from(&self.0.judge(task, trajectory.answer()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict(text: &str) -> Option<String> {
        extract(text, Gsm8kMethod::Strict)
    }

    fn flexible(text: &str) -> Option<String> {
        extract(text, Gsm8kMethod::Flexible)
    }

    #[test]
    fn a_number_in_the_thinking_is_no_answer() {
        let score = |response| verify("18", response, Gsm8kMethod::Strict).score;
        assert_eq!(score("<think>#### 18</think>So it is."), Some(0.0));
        assert_eq!(score("<think>#### 18"), Some(0.0));
        assert_eq!(score("<think>#### 7</think>\n#### 18"), Some(1.0));
    }

    #[test]
    fn the_marker_takes_one_blank_and_the_last_one_counts() {
        assert_eq!(strict("#### 7\n#### 8").as_deref(), Some("8"));
        assert_eq!(strict("##### 8").as_deref(), Some("8"));
        assert_eq!(strict("#### -2,500.50 dollars").as_deref(), Some("-2500.50"));
        assert_eq!(strict("####8"), None);
        assert_eq!(strict("####  8"), None);
        assert_eq!(strict("#### \u{663}"), None);
        assert_eq!(strict("#### 1/2").as_deref(), Some("1"));
        assert_eq!(strict("#### 5 then #### none").as_deref(), Some("5"));
    }

    #[test]
    fn only_the_last_300_characters_count() {
        let far = format!("#### 8{}", "é".repeat(299));
        assert_eq!((strict(&far), flexible(&far).as_deref()), (None, Some("8")));
        let near = format!("#### 8{}", "é".repeat(294));
        assert_eq!(strict(&near).as_deref(), Some("8"));
    }

    #[test]
    fn the_last_number_of_a_text() {
        assert_eq!(flexible("from 3 to -4.").as_deref(), Some("-4."));
        assert_eq!(flexible("it is 12 .").as_deref(), Some("12"));
        assert_eq!(flexible("none. at all."), None);
        assert_eq!(flexible(""), None);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let score = |gold, response| verify(gold, response, Gsm8kMethod::Strict).score;
        assert_eq!(score("18", "#### 18."), Some(1.0));
        assert_eq!(score("1,000", "#### 1000.00"), Some(1.0));
        assert_eq!(score("so 9 * 2\n#### 18", "#### 18"), Some(1.0));
        assert_eq!(score("18", "#### -18"), Some(0.0));
        assert_eq!(score("18", "it is 18"), Some(0.0));
        assert_eq!(score("18", "#### 1.8.0"), Some(0.0));
        assert_eq!(score("many", "#### 18"), None);
        assert_eq!(verify("18", "it is 18", Gsm8kMethod::Flexible).score, Some(1.0));
    }

    proptest! {
        #[test]
        fn a_number_is_found_after_its_marker(n: i32, before in "[a-z#. ]{0,40}") {
            let text = format!("{before}\n#### {n}");
            prop_assert_eq!(strict(&text), Some(n.to_string()));
            prop_assert_eq!(flexible(&text), Some(n.to_string()));
            prop_assert_eq!(verify(&n.to_string(), &text, Gsm8kMethod::Strict).score, Some(1.0));
        }

        #[test]
        fn any_text_is_judged(gold: String, text: String) {
            for method in [Gsm8kMethod::Strict, Gsm8kMethod::Flexible] {
                verify(&gold, &text, method);
            }
        }
    }
}
