//! Rows of mathematical answers.

use std::borrow::Cow;

use groupwise_reward::Verdict;
use groupwise_reward::verifiers::gsm8k::{self, Gsm8kMethod};
use groupwise_reward::verifiers::math::{self, BoxPriority, MathConfig, RelationForSet, Variables};
use serde_json::Value;

use super::answers::expects;
use super::fields::{Fields, Mismatch};

/// `gold`, a text `answer` in which the answer is looked for everywhere, and `opts`.
pub(super) fn suite(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let config = match row.has("opts") {
        true => options(&row.object("opts")?)?,
        false => MathConfig::flexible(),
    };
    let answer = text(row, "answer")?;
    told(row, &math::verify(row.text("gold")?, &answer, &config))
}

/// `gold` and a bare `answer`, or its `build`.
pub(super) fn pair(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let answer = text(row, "answer")?;
    told(
        row,
        &math::compare(row.text("gold")?, &answer, &MathConfig::flexible()),
    )
}

/// `gold` and a whole `response`, or its `build`.
pub(super) fn response(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let response = text(row, "response")?;
    told(
        row,
        &math::verify(row.text("gold")?, &response, &MathConfig::flexible()),
    )
}

/// Correct or not; null where the reference cannot be read.
fn told(row: &Fields<'_>, verdict: &Verdict) -> Result<Vec<Mismatch>, String> {
    let mut out = Vec::new();
    let found = match verdict.score {
        Some(_) => Value::from(verdict.is_correct()),
        None => Value::Null,
    };
    let any = row.compare("expected", found, &mut out);
    expects(any, out)
}

/// The text of a field, or `head` repeated, `core`, and `tail` repeated.
fn text<'a>(row: &Fields<'a>, key: &str) -> Result<Cow<'a, str>, String> {
    /// Longest text that is built, bytes.
    const LONGEST: usize = 64 << 20;
    if !row.has("build") {
        return row.text(key).map(Cow::Borrowed);
    }
    let build = row.object("build")?;
    let (head, tail, times) = (build.text("head")?, build.text("tail")?, build.size("times")?);
    if times.saturating_mul(head.len().max(tail.len())) > LONGEST {
        return Err(format!("`build` makes a text of more than {} MiB", LONGEST >> 20));
    }
    Ok(Cow::Owned(
        [&head.repeat(times), build.text("core")?, &tail.repeat(times)].concat(),
    ))
}

fn options(opts: &Fields<'_>) -> Result<MathConfig, String> {
    let is = |key: &str, value: bool| opts.value(key).is_ok_and(|found| found == &Value::Bool(value));
    let decimals = match opts.has("decimals") {
        true => u32::try_from(opts.size("decimals")?).map_err(|_| "`decimals` is too large")?,
        false => MathConfig::default().decimals,
    };
    Ok(MathConfig {
        boxes: match is("boxed_first", false) {
            true => BoxPriority::Shared,
            false => BoxPriority::First,
        },
        variables: match is("strict", false) {
            true => Variables::ByPosition,
            false => Variables::Named,
        },
        relation_for_set: match is("set_vs_relation", true) {
            true => RelationForSet::Accepted,
            false => RelationForSet::Refused,
        },
        decimals,
        ..MathConfig::flexible()
    })
}

/// `response` with the texts `strict`, `flexible`; or with `gold` and the published scorer's `score_strict`,
/// `score_flexible`.
///
/// The published scorer compares texts, so that "18.0" loses against 18.  What it accepts, numbers must accept, too.
pub(super) fn marker(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let response = row.text("response")?;
    let mut out = Vec::new();
    let mut any = false;
    for (text, score, method) in [
        ("strict", "score_strict", Gsm8kMethod::Strict),
        ("flexible", "score_flexible", Gsm8kMethod::Flexible),
    ] {
        let extracted = gsm8k::extract(response, method);
        if row.has(score) {
            let gold = row.text("gold")?;
            let published = extracted.as_deref() == Some(gold);
            let ours = gsm8k::verify(gold, response, method).score;
            let found = match ours {
                Some(ours) if published && ours < 1.0 => ours.into(),
                None => Value::Null,
                Some(_) => Value::from(published),
            };
            any |= row.compare(score, found, &mut out);
        }
        any |= row.compare(text, extracted, &mut out);
    }
    expects(any, out)
}
