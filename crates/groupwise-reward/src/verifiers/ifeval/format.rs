//! `detectable_format:*`: marks of Markdown, sections, a title, JSON, fixed answers.

use regex::Regex;

use super::args::{Args, Case, InstructionError, Relation};
use super::json::is_python_json;
use super::text::{AskNext, count_marked_lines, strip};

const ANSWERS: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

#[derive(Debug)]
pub(super) enum Format {
    Bullets(u64),
    FixedAnswer,
    Highlights(u64),
    Sections(Regex, u64),
    Json,
    Title,
}

impl Format {
    pub(super) fn parse(name: &str, args: Args<'_>) -> Result<Option<Self>, InstructionError> {
        Ok(Some(match name {
            "number_bullet_lists" => {
                args.only(&["num_bullets"])?;
                Self::Bullets(args.count("num_bullets")?)
            }
            "number_highlighted_sections" => {
                args.only(&["num_highlights"])?;
                Self::Highlights(args.count("num_highlights")?)
            }
            "multiple_sections" => {
                args.only(&["section_spliter", "num_sections"])?;
                let space = r"[\s\x1c-\x1f]?";
                let word = strip(args.text("section_spliter")?);
                let pattern = [space, word, &format!(r"{space}\d+{space}")];
                let splitter = args.pattern("section_spliter", pattern, Case::Matters)?;
                Self::Sections(splitter, args.count("num_sections")?)
            }
            "constrained_response" => args.only(&[]).map(|()| Self::FixedAnswer)?,
            "json_format" => args.only(&[]).map(|()| Self::Json)?,
            "title" => args.only(&[]).map(|()| Self::Title)?,
            _ => return Ok(None),
        }))
    }

    pub(super) fn follows(&self, response: &str) -> bool {
        let at_least = |count, threshold: &u64| Relation::AtLeast.holds(count, *threshold);
        match self {
            Self::Bullets(expected) => bullets(response) as u64 == *expected,
            Self::FixedAnswer => ANSWERS.iter().any(|answer| response.contains(answer)),
            Self::Highlights(expected) => at_least(highlights(response), expected),
            Self::Sections(splitter, expected) => {
                // Python's `re.split` also returns what the groups of a pattern caught.
                at_least(
                    splitter.find_iter(response).count() * splitter.captures_len(),
                    expected,
                )
            }
            Self::Json => is_python_json(strip(without_fence(strip(response)))),
            Self::Title => response.split('\n').any(has_title),
        }
    }
}

/// Lines that open with `-`, or with `*` and something that is not another one.
fn bullets(response: &str) -> usize {
    count_marked_lines(response, '*', |c| c != '*', AskNext::Yes)
        + count_marked_lines(response, '-', |_| true, AskNext::No)
}

/// Spans in single asterisks plus spans in double ones, on one line each and not blank: `**a**` counts once, by the latter.
fn highlights(response: &str) -> usize {
    let single = spans(response, "*");
    let single = single
        .iter()
        .filter(|span| !strip(span.trim_matches('*')).is_empty());
    let double = spans(response, "**");
    single.count() + double.iter().filter(|span| !strip(span).is_empty()).count()
}

/// What stands between two `mark`s without line end or asterisk inside; from the left, none overlapping.
fn spans<'a>(response: &'a str, mark: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = response;
    while let Some(at) = rest.find(mark) {
        let inside = &rest[at + mark.len()..];
        let end = inside.find(['\n', '*']).unwrap_or(inside.len());
        rest = match inside[end..].strip_prefix(mark) {
            Some(after) => {
                found.push(&inside[..end]);
                after
            }
            None => &rest[at + 1..],
        };
    }
    found
}

/// Without the code fence around it.
fn without_fence(text: &str) -> &str {
    let mut opened = text;
    for mark in ["```json", "```Json", "```JSON", "```"] {
        opened = opened.strip_prefix(mark).unwrap_or(opened);
    }
    opened.strip_suffix("```").unwrap_or(opened)
}

/// True if the widest `<<..>>` of the line holds more than angular brackets and blanks.
fn has_title(line: &str) -> bool {
    let title = || {
        let (_, inside) = line.split_once("<<")?;
        let end = inside.rfind(">>").filter(|&end| end > 0)?;
        Some(&inside[..end])
    };
    title().is_some_and(|title| !strip(title.trim_start_matches('<').trim_end_matches('>')).is_empty())
}
