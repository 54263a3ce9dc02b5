//! `length_constraints:*`: how many words or paragraphs there are.

use regex::Regex;

use super::args::{Args, InstructionError, Relation};
use super::text::{first_word, is_space, strip};

#[derive(Debug)]
pub(super) enum Length {
    Words(Regex, u64, Relation),
    Paragraphs(u64),
    NthParagraph(NthParagraph),
}

/// So many paragraphs, and the first word of the n-th.
#[derive(Debug)]
pub(super) struct NthParagraph {
    n_paragraphs: u64,
    nth: u64,
    first_word: String,
}

impl Length {
    pub(super) fn parse(name: &str, args: Args<'_>) -> Result<Option<Self>, InstructionError> {
        Ok(Some(match name {
            "number_words" => {
                args.only(&["num_words", "relation"])?;
                let words = Regex::new(r"\w+").map_err(|_| InstructionError::Unsupported {
                    id: args.id.to_owned(),
                    reason: "words cannot be told apart",
                })?;
                Self::Words(words, args.count("num_words")?, args.relation("relation")?)
            }
            "number_paragraphs" => {
                args.only(&["num_paragraphs"])?;
                Self::Paragraphs(args.count("num_paragraphs")?)
            }
            "nth_paragraph_first_word" => {
                args.only(&["num_paragraphs", "nth_paragraph", "first_word"])?;
                let (n_paragraphs, nth) = (args.count("num_paragraphs")?, args.count("nth_paragraph")?);
                if nth == 0 || nth > n_paragraphs {
                    return Err(args.wrong("nth_paragraph", "one of the paragraphs, counted from 1"));
                }
                Self::NthParagraph(NthParagraph {
                    n_paragraphs,
                    nth,
                    first_word: args.text("first_word")?.to_lowercase(),
                })
            }
            "number_sentences" => {
                return Err(InstructionError::Unsupported {
                    id: args.id.to_owned(),
                    reason: "sentences are counted by the punkt model, which is not part of this crate",
                });
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Words(words, threshold, relation) => {
                relation.holds(words.find_iter(response).count(), *threshold)
            }
            Self::Paragraphs(expected) => divided_paragraphs(response) == Some(*expected),
            Self::NthParagraph(rule) => rule.follows(response),
        }
    }
}

/// Number of paragraphs between dividers `***`, each of which takes one white space at either side with it; `None` if
/// there is a blank one that is neither first nor last.
fn divided_paragraphs(response: &str) -> Option<u64> {
    let mut paragraphs = Vec::new();
    let mut rest = response;
    while let Some((before, after)) = rest.split_once("***") {
        paragraphs.push(before);
        rest = after.strip_prefix(is_space).unwrap_or(after);
    }
    paragraphs.push(rest);
    let last = paragraphs.len() - 1;
    let mut count = 0;
    for (at, paragraph) in paragraphs.iter().enumerate() {
        match strip(paragraph).is_empty() {
            false => count += 1,
            true if at == 0 || at == last => {}
            true => return None,
        }
    }
    Some(count)
}

impl NthParagraph {
    /// The n-th is counted among all pieces between blank lines, the number of paragraphs among those that are not blank.
    fn follows(&self, response: &str) -> bool {
        let filled = |piece: &&str| !strip(piece).is_empty();
        let count = response.split("\n\n").filter(filled).count() as u64;
        let nth = usize::try_from(self.nth - 1).ok();
        let piece = nth
            .and_then(|at| response.split("\n\n").nth(at))
            .unwrap_or_default();
        let word = first_word(piece).trim_start_matches('\'').trim_start_matches('"');
        let plain = word
            .split(['.', ',', '?', '!', '\'', '"'])
            .next()
            .unwrap_or_default();
        // Letter by letter, as a final sigma keeps its form then.
        let lowered: String = plain.chars().flat_map(char::to_lowercase).collect();
        self.nth <= count && filled(&piece) && count == self.n_paragraphs && lowered == self.first_word
    }
}
