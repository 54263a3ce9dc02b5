//! `keywords:*`: words and letters that must or must not occur.

use regex::Regex;

use super::args::{Args, Case, InstructionError, Relation};
use super::text::strip;

#[derive(Debug)]
pub(super) enum Keywords {
    Existence(Vec<Regex>),
    Frequency(Regex, u64, Relation),
    Forbidden(Vec<Regex>),
    LetterFrequency(char, u64, Relation),
}

impl Keywords {
    pub(super) fn parse(name: &str, args: Args<'_>) -> Result<Option<Self>, InstructionError> {
        Ok(Some(match name {
            "existence" => {
                args.only(&["keywords"])?;
                Self::Existence(patterns(args, "keywords", "")?)
            }
            "forbidden_words" => {
                args.only(&["forbidden_words"])?;
                Self::Forbidden(patterns(args, "forbidden_words", r"\b")?)
            }
            "frequency" => {
                args.only(&["keyword", "frequency", "relation"])?;
                let word = ["", strip(args.text("keyword")?), ""];
                let pattern = args.pattern("keyword", word, Case::Ignored)?;
                Self::Frequency(pattern, args.count("frequency")?, args.relation("relation")?)
            }
            "letter_frequency" => {
                args.only(&["letter", "let_frequency", "let_relation"])?;
                let letter = lowered_letter(args.text("letter")?);
                let letter = letter.ok_or_else(|| args.wrong("letter", "a single character"))?;
                Self::LetterFrequency(
                    letter,
                    args.count("let_frequency")?,
                    args.relation("let_relation")?,
                )
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Existence(words) => words.iter().all(|word| word.is_match(response)),
            Self::Forbidden(words) => !words.iter().any(|word| word.is_match(response)),
            Self::Frequency(word, threshold, relation) => {
                relation.holds(word.find_iter(response).count(), *threshold)
            }
            Self::LetterFrequency(letter, threshold, relation) => {
                let lowered = response.to_lowercase();
                relation.holds(lowered.chars().filter(|c| c == letter).count(), *threshold)
            }
        }
    }
}

fn patterns(args: Args<'_>, key: &str, edge: &str) -> Result<Vec<Regex>, InstructionError> {
    let pattern = |word| args.pattern(key, [edge, word, edge], Case::Ignored);
    args.texts(key)?.into_iter().map(pattern).collect()
}

fn lowered_letter(text: &str) -> Option<char> {
    let lowered = text.to_lowercase();
    let mut chars = lowered.chars();
    chars.next().filter(|_| chars.next().is_none())
}
