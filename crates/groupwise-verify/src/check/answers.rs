//! Rows of short answers, countdown and multiple choice.

use groupwise_reward::choice::Choice;
use groupwise_reward::qa::{F1Rule, QaScorer, normal_form};
use groupwise_reward::verifiers::{
    CountdownConfig, QaMatchConfig, choice_of_response, letters, sub_exact_match,
};
use serde_json::Value;

use super::fields::{Fields, Mismatch};

/// `prediction` with `em`, `f1_hotpot`, `f1_squad`, `sub_em`, `normalised`; or `response` with `score_em`,
/// `score_sub_em`, `format_score`; both with `golds`.
pub(super) fn short_answer(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let golds = row.texts("golds")?;
    let mut out = Vec::new();
    let mut any = false;
    if row.has("prediction") {
        let prediction = row.text("prediction")?;
        let mut scorer = QaScorer::default();
        any |= row.compare("normalised", normal_form(prediction), &mut out);
        any |= row.compare("em", scorer.is_exact_match(prediction, &golds), &mut out);
        any |= row.compare("sub_em", scorer.is_sub_exact_match(prediction, &golds), &mut out);
        for (key, rule) in [("f1_hotpot", F1Rule::Hotpot), ("f1_squad", F1Rule::Squad)] {
            any |= row.compare(key, scorer.f1(prediction, &golds, rule), &mut out);
        }
    } else {
        let response = row.text("response")?;
        let format_score = if row.has("format_score") {
            row.number("format_score")?
        } else {
            0.0
        };
        let config = QaMatchConfig {
            format_score,
            ..QaMatchConfig::default()
        };
        let score = config.verdict(response, &golds).score;
        any |= row.compare("score_em", score, &mut out);
        let listed = sub_exact_match(response, &golds, format_score);
        any |= row.compare("score_sub_em", listed, &mut out);
    }
    expects(any, out)
}

/// `response`, `numbers`, `target` with `expected`: `correct`, `wrong` or `no_answer`.
pub(super) fn countdown(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let numbers = row.list_of("numbers", "whole numbers", Value::as_u64)?;
    let target = row
        .value("target")?
        .as_i64()
        .ok_or("`target` is no whole number")?;
    let config = CountdownConfig::default();
    let found = match config.verdict(row.text("response")?, &numbers, target).score {
        Some(1.0) => "correct",
        Some(0.0) => "no_answer",
        Some(_) => "wrong",
        None => "unscorable",
    };
    let mut out = Vec::new();
    let any = row.compare("expected", found, &mut out);
    expects(any, out)
}

/// `response`, `options` with `expected`: an option or null.
pub(super) fn choice(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let options = if row.has("options") {
        row.texts("options")?
    } else {
        vec!["A", "B", "C", "D"]
    };
    let found = match choice_of_response(row.text("response")?, &letters(&options)) {
        Choice::Option { index, .. } => options.get(index).copied(),
        Choice::Missing(_) => None,
    };
    let mut out = Vec::new();
    let any = row.compare("expected", found, &mut out);
    expects(any, out)
}

/// Refuses a row that expects nothing: it would always agree.
pub(super) fn expects(any: bool, out: Vec<Mismatch>) -> Result<Vec<Mismatch>, String> {
    match any {
        true => Ok(out),
        false => Err("expects nothing that can be checked".to_owned()),
    }
}
