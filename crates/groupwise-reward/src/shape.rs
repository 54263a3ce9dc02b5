//! Shape of a text: tags, steps, code fences, repetition.  Nothing here asks whether an answer is right.
//!
//! These rewards judge the whole text, thinking included; only [`code_block`] reads an answer.

use std::collections::BTreeMap;

use groupwise_core::ParamError;
use serde::{Deserialize, Serialize};

use crate::response::after_thinking;

const THINK: &str = "<think>\n";
const MIDDLE: &str = "\n</think>\n<answer>\n";
const END: &str = "\n</answer>";
const FENCE: &str = "```";

/// Where a format must end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormatEnd {
    /// The text ends with the closing tag.
    #[default]
    Exact,
    /// A line ends with it; more lines may follow.  So the published pattern, whose `$` is multi-line.
    Line,
}

/// What stands in the answer part if a text is a thinking part and an answer part, each on lines of their own.
fn answer_part(text: &str, end: FormatEnd) -> Option<&str> {
    let rest = text.strip_prefix(THINK)?;
    let (_, answer) = rest.split_once(MIDDLE)?;
    match end {
        FormatEnd::Exact => answer.strip_suffix(END),
        FormatEnd::Line => {
            let closes = |(at, _): &(usize, &str)| {
                let rest = &answer[at + END.len()..];
                rest.is_empty() || rest.starts_with('\n')
            };
            // The last such line: what precedes it may hold more of what is looked for.
            let at = answer.match_indices(END).filter(closes).last()?.0;
            Some(&answer[..at])
        }
    }
}

/// 1 if the text is a thinking part followed by an answer part, else 0.
///
/// # Formula
/// `<think>\n..\n</think>\n<answer>\n..\n</answer>`, and nothing else.
///
/// # Edge cases
/// - The parts may hold anything, further tags included, or nothing.
/// - Carriage returns, blank lines between the parts and capital letters: 0.
/// - What may follow the closing tag: [`FormatEnd`].
///
/// # Source
/// `format_reward` of huggingface/open-r1 @1416fa0cf215, `src/open_r1/rewards.py`; its pattern ends at a line.
///
/// # Example
/// ```
/// use groupwise_reward::shape::{FormatEnd, format_reward};
/// let text = "<think>\n2 + 3\n</think>\n<answer>\n5\n</answer>";
/// assert_eq!(format_reward(text, FormatEnd::Exact), 1.0);
/// let more = format!("{text}\nBye");
/// assert_eq!(format_reward(&more, FormatEnd::Exact), 0.0);
/// assert_eq!(format_reward(&more, FormatEnd::Line), 1.0);
/// ```
pub fn format_reward(text: &str, end: FormatEnd) -> f64 {
    one_if(answer_part(text, end).is_some())
}

/// 1 if the text starts with a thinking part that ends, and opens no second one; else 0.
///
/// # Edge cases
/// Further closing tags are free.
///
/// # Source
/// `think_format_reward` of huggingface/trl @f2cd57710ae3, `trl/rewards/format_rewards.py`.
///
/// # Example
/// ```
/// use groupwise_reward::shape::think_format_reward;
/// assert_eq!(think_format_reward("<think>2 + 3</think>5"), 1.0);
/// assert_eq!(think_format_reward("So: <think>2 + 3</think>5"), 0.0);
/// ```
pub fn think_format_reward(text: &str) -> f64 {
    let rest = text.strip_prefix("<think>");
    one_if(rest.is_some_and(|rest| !rest.contains("<think>") && rest.contains("</think>")))
}

/// A quarter for each of four tags that occurs exactly once, with its line breaks.
///
/// # Formula
/// `r = ([n("<think>\n") = 1] + [n("\n</think>\n") = 1] + [n("\n<answer>\n") = 1] + [n("\n</answer>") = 1]) / 4`.
///
/// # Source
/// `tag_count_reward` of huggingface/open-r1 @1416fa0cf215.
///
/// # Example
/// ```
/// use groupwise_reward::shape::tag_count_reward;
/// assert_eq!(tag_count_reward("<think>\n2 + 3\n</think>\n5"), 0.5);
/// ```
pub fn tag_count_reward(text: &str) -> f64 {
    let tags = [THINK, "\n</think>\n", "\n<answer>\n", END];
    let once = tags.iter().filter(|tag| text.matches(**tag).count() == 1);
    once.count() as f64 / 4.0
}

/// Marks of steps, at most three of which count.
///
/// # Formula
/// `r = min(1, n / 3)`; n counts "Step k:", a number with a dot at the very start of the text, line breaks followed by
/// `-` or `*`, and "First,", "Second,", "Next,", "Finally,".
///
/// # Edge cases
/// Numbered lines count only at the start of the text; k is a whole number of ASCII digits.
///
/// # Source
/// `reasoning_steps_reward` of huggingface/open-r1 @1416fa0cf215.
///
/// # Example
/// ```
/// use groupwise_reward::shape::reasoning_steps_reward;
/// assert_eq!(reasoning_steps_reward("First, add.\n- and so on"), 2.0 / 3.0);
/// ```
pub fn reasoning_steps_reward(text: &str) -> f64 {
    let numbered = |rest: &str, mark: char| {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        digits.len() < rest.len() && digits.starts_with(mark)
    };
    let steps = text
        .match_indices("Step ")
        .filter(|(at, step)| numbered(&text[at + step.len()..], ':'))
        .count();
    let words = ["\n-", "\n*", "First,", "Second,", "Next,", "Finally,"];
    let marks: usize = words.iter().map(|mark| text.matches(mark).count()).sum();
    let n = steps + marks + usize::from(numbered(text, '.'));
    (n as f64 / 3.0).min(1.0)
}

/// 1 if the text has the format of [`format_reward`], with a closed code block of the language in its answer part.
///
/// # Edge cases
/// - The language is compared by letter case, and as a beginning: "```python3" is a block of python.
/// - An empty block counts.  So does one that begins inside a line.
///
/// # Source
/// `get_code_format_reward` of huggingface/open-r1 @1416fa0cf215.
///
/// # Example
/// ```
/// use groupwise_reward::shape::{FormatEnd, code_format_reward};
/// let text = "<think>\nprint it\n</think>\n<answer>\n```python\nprint(5)\n```\n</answer>";
/// assert_eq!(code_format_reward(text, "python", FormatEnd::Exact), 1.0);
/// assert_eq!(code_format_reward(text, "rust", FormatEnd::Exact), 0.0);
/// ```
pub fn code_format_reward(text: &str, language: &str, end: FormatEnd) -> f64 {
    let has_block = |answer: &str| {
        let block = answer.split_once(&format!("{FENCE}{language}"));
        block.is_some_and(|(_, rest)| rest.contains(FENCE))
    };
    one_if(answer_part(text, end).is_some_and(has_block))
}

/// Content of the last code block of a language behind the thinking; empty without one.
///
/// # Edge cases
/// - A block begins with the fence, the language and a line break, and ends at the next fence, wherever that stands.
/// - A block that is never closed is none.
///
/// # Source
/// `extract_code` of huggingface/open-r1 @1416fa0cf215, which also reads blocks inside the thinking.
///
/// # Example
/// ```
/// use groupwise_reward::shape::code_block;
/// assert_eq!(code_block("```python\na\n```\nor\n```python\nb\n```", "python"), "b\n");
/// ```
pub fn code_block<'a>(text: &'a str, language: &str) -> &'a str {
    let open = format!("{FENCE}{language}\n");
    let (mut rest, mut last) = (after_thinking(text).unwrap_or(""), "");
    while let Some((code, after)) = rest
        .split_once(open.as_str())
        .and_then(|(_, inside)| inside.split_once(FENCE))
    {
        (last, rest) = (code, after);
    }
    last
}

/// Penalty for n-grams that repeat.
///
/// # Formula
/// `r = (1 - unique / total) max_penalty` over the n-grams of the items.
///
/// # Shapes
/// `items`: words or token ids in order; r in `[max_penalty, 0]`.
///
/// # Edge cases
/// Fewer items than n: 0.
///
/// # Errors
/// `ngram_size` 0; `max_penalty` above 0 or not finite.
///
/// # Source
/// "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373), appendix C.2; `get_repetition_penalty_reward` of
/// huggingface/open-r1 @1416fa0cf215 (words in lower case, [`words`]) and of huggingface/trl @f2cd57710ae3 (token ids).
///
/// # Example
/// ```
/// use groupwise_reward::shape::{repetition_penalty, words};
/// assert_eq!(repetition_penalty(&[5, 5, 5, 5, 5], 2, -1.0)?, -0.75);
/// let text = words("A b c a b C");
/// assert_eq!(repetition_penalty(&text, 3, -1.0)?, -0.25);
/// # Ok::<(), groupwise_core::ParamError>(())
/// ```
pub fn repetition_penalty<T: Ord>(
    items: &[T],
    ngram_size: usize,
    max_penalty: f64,
) -> Result<f64, ParamError> {
    check_repetition(ngram_size, max_penalty)?;
    if items.len() < ngram_size {
        return Ok(0.0);
    }
    // Small numbers instead of words, so that comparing is cheap.
    let mut known: BTreeMap<&T, usize> = BTreeMap::new();
    let ids: Vec<usize> = items
        .iter()
        .map(|item| {
            let next = known.len();
            *known.entry(item).or_insert(next)
        })
        .collect();
    let mut ngrams: Vec<&[usize]> = ids.windows(ngram_size).collect();
    let total = ngrams.len();
    ngrams.sort_unstable();
    ngrams.dedup();
    let repeated = (total - ngrams.len()) as f64 / total as f64;
    // Not -0.
    Ok(repeated * max_penalty + 0.0)
}

/// Refuses parameters of [`repetition_penalty`].
pub(crate) fn check_repetition(ngram_size: usize, max_penalty: f64) -> Result<(), ParamError> {
    ParamError::check(ngram_size >= 1, "ngram_size", ngram_size, ">= 1")?;
    ParamError::check(
        max_penalty.is_finite() && max_penalty <= 0.0,
        "max_penalty",
        max_penalty,
        "a finite number <= 0",
    )
}

/// Words of a text in lower case, split at white space.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_lowercase).collect()
}

fn one_if(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
