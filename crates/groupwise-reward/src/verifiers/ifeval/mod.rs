//! Instructions whose following a program can check: IFEval's list, strict and loose.
//!
//! [`Instruction`] is one of them with its arguments, valid by construction; [`check_instruction`] and
//! [`check_instructions`] give a [`Verdict`] on a response, [`IfevalConfig`] is the verifier of recipes.

mod args;
mod content;
mod format;
mod json;
mod keywords;
mod language;
mod length;
mod shape;
mod text;
mod verifier;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use args::InstructionError;
pub use verifier::{Credit, IfevalConfig, Thinking, check_instructions};

use self::args::Args;
use crate::Verdict;

/// Names of the instructions that can be checked.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::ifeval::INSTRUCTIONS;
/// assert!(INSTRUCTIONS.contains(&"punctuation:no_comma"));
/// assert_eq!(INSTRUCTIONS.len(), 23);
/// ```
pub const INSTRUCTIONS: [&str; 23] = [
    "change_case:english_capital",
    "change_case:english_lowercase",
    "combination:repeat_prompt",
    "combination:two_responses",
    "detectable_content:number_placeholders",
    "detectable_content:postscript",
    "detectable_format:constrained_response",
    "detectable_format:json_format",
    "detectable_format:multiple_sections",
    "detectable_format:number_bullet_lists",
    "detectable_format:number_highlighted_sections",
    "detectable_format:title",
    "keywords:existence",
    "keywords:forbidden_words",
    "keywords:frequency",
    "keywords:letter_frequency",
    "language:response_language",
    "length_constraints:nth_paragraph_first_word",
    "length_constraints:number_paragraphs",
    "length_constraints:number_words",
    "punctuation:no_comma",
    "startend:end_checker",
    "startend:quotation",
];

/// How much around the text itself may stand in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strictness {
    /// The response as it stands.
    #[default]
    Strict,
    /// Any of eight versions of it, see [`loose_versions`].
    Loose,
}

/// An instruction with its arguments.
///
/// # Edge cases
/// - A response of white space only follows no instruction.
/// - Words in arguments are patterns, as in the source: `c.t` finds `cat`; what is no pattern stands for itself.
/// - A word is a run of letters, marks, digits and `_` as Unicode defines them, so `it's` is two; it is the pattern `\w` of NLTK
///   3.10, while older versions of it split words at combining marks.
/// - A count of 0 means 0. In the source it means "any number", drawn at random for each check; so does a missing argument,
///   which is an error here.
/// - `keywords:letter_frequency` takes any one character; the source draws a letter where it is none of a to z.
/// - Languages are told by the first 10,000 characters in lower case (the crates `whatlang`, and `whichlang` where the former
///   is not sure); the
///   source uses `langdetect`, which draws random numbers and, of words in capitals, reads only the first letter.  On a
///   sentence or more they agree; on a word or two none is to be trusted.  Swahili is not among the languages known.
///
/// # Errors
/// [`InstructionError`] if no instruction has the name, if an argument is missing, wrong or not one of the instruction, and
/// for `length_constraints:number_sentences` and `change_case:capital_word_frequency`, which need the punkt model.
///
/// # Source
/// IFEval, arXiv 2311.07911; the rules are those of `lm_eval/tasks/ifeval` of EleutherAI/lm-evaluation-harness.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::ifeval::{Instruction, Strictness};
/// let args = serde_json::json!({"num_bullets": 2});
/// let two = Instruction::new("detectable_format:number_bullet_lists", args.as_object().unwrap())?;
/// assert!(two.follows("* one\n- two", Strictness::Strict));
/// assert!(!two.follows("- Here you are:\n* one\n* two", Strictness::Strict));
/// assert!(two.follows("- Here you are:\n* one\n* two", Strictness::Loose));
/// # Ok::<(), groupwise_reward::verifiers::ifeval::InstructionError>(())
/// ```
#[derive(Debug)]
pub struct Instruction {
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    Keywords(keywords::Keywords),
    Length(length::Length),
    Content(content::Content),
    Format(format::Format),
    Shape(shape::Shape),
    Language(language::Language),
}

impl Instruction {
    /// The instruction `id`, such as `keywords:existence`, with its arguments.
    ///
    /// # Errors
    /// Those of [`Instruction`].
    pub fn new(id: &str, args: &Map<String, Value>) -> Result<Self, InstructionError> {
        let args = Args { id, values: args };
        let (group, name) = id.split_once(':').unwrap_or((id, ""));
        let rule = match group {
            "keywords" => keywords::Keywords::parse(name, args)?.map(Rule::Keywords),
            "length_constraints" => length::Length::parse(name, args)?.map(Rule::Length),
            "detectable_content" => content::Content::parse(name, args)?.map(Rule::Content),
            "detectable_format" => format::Format::parse(name, args)?.map(Rule::Format),
            "combination" | "startend" | "punctuation" => shape::Shape::parse(id, args)?.map(Rule::Shape),
            "language" | "change_case" => language::Language::parse(id, args)?.map(Rule::Language),
            _ => None,
        };
        let unknown = || InstructionError::Unknown { id: id.to_owned() };
        rule.map(|rule| Self { rule }).ok_or_else(unknown)
    }

    /// True if the response follows.
    pub fn follows(&self, response: &str, strictness: Strictness) -> bool {
        match strictness {
            Strictness::Strict => self.accepts(response),
            Strictness::Loose => self.accepted_version(response).is_some(),
        }
    }

    fn accepts(&self, text: &str) -> bool {
        if text::strip(text).is_empty() {
            return false;
        }
        match &self.rule {
            Rule::Keywords(rule) => rule.follows(text),
            Rule::Length(rule) => rule.follows(text),
            Rule::Content(rule) => rule.follows(text),
            Rule::Format(rule) => rule.follows(text),
            Rule::Shape(rule) => rule.follows(text),
            Rule::Language(rule) => rule.follows(text),
        }
    }

    /// The first of the eight versions that follows, by what was done to it.
    fn accepted_version(&self, response: &str) -> Option<&'static str> {
        let versions = loose_versions(response);
        let accepted = versions.iter().position(|version| self.accepts(version))?;
        VERSIONS.get(accepted).copied()
    }
}

/// What was done to each of the [`loose_versions`].
const VERSIONS: [&str; 8] = [
    "followed",
    "followed without asterisks",
    "followed without the first line",
    "followed without the last line",
    "followed without the first and last line",
    "followed without the first line and asterisks",
    "followed without the last line and asterisks",
    "followed without the first and last line and asterisks",
];

/// The versions of which one has to follow, if an instruction is checked loosely.
///
/// # Formula
/// The response; without its first line; without its last; without both; and each of the four without asterisks.  White space
/// at the ends of the last three goes too.  Order: as it stands, with asterisks removed, then the three shortened ones with
/// and then without asterisks.
///
/// # Edge cases
/// - A response of one line has no text without its first or last line; those versions are empty and follow nothing.
/// - Of two lines, the version without both is empty.
///
/// # Source
/// IFEval, arXiv 2311.07911, section 2.2; `test_instruction_following_loose` of lm-evaluation-harness.
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::ifeval::loose_versions;
/// let [whole, .., neither] = loose_versions("Sure:\n*x*\nBye");
/// assert_eq!((whole.as_str(), neither.as_str()), ("Sure:\n*x*\nBye", "x"));
/// ```
pub fn loose_versions(response: &str) -> [String; 8] {
    let after_first = |text: &str| text.split_once('\n').map_or("", |(_, rest)| rest).to_owned();
    let before_last = |text: &str| text.rsplit_once('\n').map_or("", |(rest, _)| rest).to_owned();
    let stripped = |text: String| text::strip(&text).to_owned();
    let without_first = stripped(after_first(response));
    let without_last = stripped(before_last(response));
    let without_both = stripped(before_last(&after_first(response)));
    let plain = |text: &str| text.replace('*', "");
    [
        response.to_owned(),
        plain(response),
        without_first.clone(),
        without_last.clone(),
        without_both.clone(),
        plain(&without_first),
        plain(&without_last),
        plain(&without_both),
    ]
}

/// Verdict on one instruction: 1 if the response follows it, else 0.
///
/// # Edge cases
/// An instruction that is unknown, or has bad arguments: unscorable, with the text of [`InstructionError`] as reason.  More:
/// [`Instruction`].
///
/// # Source
/// That of [`Instruction`].
///
/// # Example
/// ```
/// use groupwise_reward::verifiers::ifeval::{Strictness, check_instruction};
/// let args = serde_json::json!({"end_phrase": "That is all."});
/// let args = args.as_object().unwrap();
/// let check = |strictness| check_instruction("startend:end_checker", args, "Hello. That is all.\nBye", strictness);
/// assert_eq!(check(Strictness::Strict).score, Some(0.0));
/// let loose = check(Strictness::Loose);
/// assert_eq!((loose.score, loose.reason.as_ref()), (Some(1.0), "followed without the last line"));
/// let missing = check_instruction("startend:end_checker", &Default::default(), "Hello.", Strictness::Strict);
/// assert_eq!(missing.score, None);
/// ```
pub fn check_instruction(
    id: &str,
    args: &Map<String, Value>,
    response: &str,
    strictness: Strictness,
) -> Verdict {
    let instruction = match Instruction::new(id, args) {
        Ok(instruction) => instruction,
        Err(error) => return Verdict::unscorable(error.to_string()),
    };
    let version = match strictness {
        Strictness::Strict => instruction.accepts(response).then_some(VERSIONS[0]),
        Strictness::Loose => instruction.accepted_version(response),
    };
    Verdict::judged(version.is_some(), version.unwrap_or("not followed"))
}

#[cfg(test)]
#[path = "ifeval_tests.rs"]
mod tests;
