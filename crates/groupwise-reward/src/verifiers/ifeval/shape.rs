//! `combination:*`, `startend:*` and `punctuation:*`: what stands where.

use super::args::{Args, InstructionError};
use super::text::strip;

#[derive(Debug)]
pub(super) enum Shape {
    TwoResponses,
    RepeatPrompt(String),
    EndsWith(String),
    Quotation,
    NoComma,
}

impl Shape {
    pub(super) fn parse(id: &str, args: Args<'_>) -> Result<Option<Self>, InstructionError> {
        Ok(Some(match id {
            "combination:two_responses" => args.only(&[]).map(|()| Self::TwoResponses)?,
            "combination:repeat_prompt" => {
                args.only(&["prompt_to_repeat"])?;
                Self::RepeatPrompt(strip(args.text("prompt_to_repeat")?).to_lowercase())
            }
            "startend:end_checker" => {
                args.only(&["end_phrase"])?;
                Self::EndsWith(strip(args.text("end_phrase")?).to_lowercase())
            }
            "startend:quotation" => args.only(&[]).map(|()| Self::Quotation)?,
            "punctuation:no_comma" => args.only(&[]).map(|()| Self::NoComma)?,
            _ => return Ok(None),
        }))
    }

    pub(super) fn follows(&self, response: &str) -> bool {
        let stripped = strip(response);
        match self {
            Self::TwoResponses => two_responses(response),
            Self::RepeatPrompt(prompt) => stripped.to_lowercase().starts_with(prompt.as_str()),
            Self::EndsWith(phrase) => {
                let unquoted = stripped.trim_matches('"').to_lowercase();
                unquoted.ends_with(phrase.as_str())
            }
            Self::Quotation => stripped.len() > 1 && stripped.starts_with('"') && stripped.ends_with('"'),
            Self::NoComma => !response.contains(','),
        }
    }
}

/// Two different texts around `******`; only the first and the last piece may be blank.
fn two_responses(response: &str) -> bool {
    let pieces: Vec<&str> = response.split("******").map(strip).collect();
    let last = pieces.len() - 1;
    let gap = |(at, piece): (usize, &&str)| piece.is_empty() && at != 0 && at != last;
    if pieces.iter().enumerate().any(gap) {
        return false;
    }
    let filled: Vec<&str> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    matches!(filled[..], [first, second] if first != second)
}
