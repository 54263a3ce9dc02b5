//! `detectable_content:*`: placeholders and a postscript.

use regex::Regex;

use super::args::{Args, Case, InstructionError, Relation};
use super::text::{is_space, strip};

#[derive(Debug)]
pub(super) enum Content {
    Placeholders(u64),
    Postscript(Postscript),
}

/// Marker of a postscript; the two of the data set may hold blanks.
#[derive(Debug)]
pub(super) enum Postscript {
    Ps,
    Pps,
    Other(Regex),
}

impl Content {
    pub(super) fn parse(name: &str, args: Args<'_>) -> Result<Option<Self>, InstructionError> {
        Ok(Some(match name {
            "number_placeholders" => {
                args.only(&["num_placeholders"])?;
                Self::Placeholders(args.count("num_placeholders")?)
            }
            "postscript" => {
                args.only(&["postscript_marker"])?;
                Self::Postscript(match strip(args.text("postscript_marker")?) {
                    "P.S." => Postscript::Ps,
                    "P.P.S" => Postscript::Pps,
                    other => {
                        let lowered = other.to_lowercase();
                        let pattern = ["", lowered.as_str(), ""];
                        Postscript::Other(args.pattern("postscript_marker", pattern, Case::Matters)?)
                    }
                })
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Placeholders(expected) => Relation::AtLeast.holds(placeholders(response), *expected),
            Self::Postscript(marker) => {
                let lowered = response.to_lowercase();
                match marker {
                    Postscript::Ps => holds_in_row(&lowered, "p.", &["s."]),
                    Postscript::Pps => holds_in_row(&lowered, "p.", &["p.", "s"]),
                    Postscript::Other(pattern) => pattern.is_match(&lowered),
                }
            }
        }
    }
}

/// Number of `[..]` on one line each, from the left, the shortest first: `[a [b]]` is one.
fn placeholders(response: &str) -> usize {
    let mut count = 0;
    for line in response.split('\n') {
        let mut rest = line;
        while let Some((_, after)) = rest
            .split_once('[')
            .and_then(|(_, inside)| inside.split_once(']'))
        {
            count += 1;
            rest = after;
        }
    }
    count
}

/// True if `first` and then `parts` follow one another somewhere, with at most one white space between.
fn holds_in_row(text: &str, first: &str, parts: &[&str]) -> bool {
    text.match_indices(first).any(|(at, _)| {
        let mut rest = &text[at + first.len()..];
        parts.iter().all(|part| {
            let spaced = rest.strip_prefix(is_space).unwrap_or(rest);
            let found = spaced.strip_prefix(part);
            rest = found.unwrap_or_default();
            found.is_some()
        })
    })
}
