//! Rows of boxes, spans, rankings and sets of names.

use groupwise_advantage::estimators::{RankReward, rank_rewards};
use groupwise_reward::geometry::{BoxCorners, box_giou, box_overlap};
use groupwise_reward::interval_overlap;
use groupwise_reward::ranking::{Title, ndcg_at, ndcg_returned_at, recall_at, title_hits};
use groupwise_reward::verifiers::entity_scores;
use serde_json::Value;

use super::answers::expects;
use super::fields::{Fields, Mismatch};

/// `pred`, `gold` with `iou`, `giou`; or `pred_span`, `gold_span` with `tiou`.
pub(super) fn overlap(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let mut out = Vec::new();
    let mut any = false;
    if row.has("pred_span") {
        let span = |key: &str| {
            let ends = row.numbers(key)?;
            <[f64; 2]>::try_from(ends).map_err(|_| format!("`{key}` has no two ends"))
        };
        any |= row.compare(
            "tiou",
            interval_overlap(span("pred_span")?, span("gold_span")?),
            &mut out,
        );
    } else {
        let corners = |key: &str| {
            let corners = row.numbers(key)?;
            BoxCorners::try_from(corners).map_err(|_| format!("`{key}` has no four corners"))
        };
        let (pred, gold) = (corners("pred")?, corners("gold")?);
        any |= row.compare("iou", box_overlap(pred, gold), &mut out);
        any |= row.compare("giou", box_giou(pred, gold), &mut out);
    }
    expects(any, out)
}

/// `hits`, `relevant`, `k` with `recall`, `ndcg`, `ndcg_standard`; or `recommended`, `relevant_items`, `seen`,
/// `catalogue`, `slots` with `hits`, `log_decay_returns`, `exp_inf_returns`.
pub(super) fn ranking(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let mut out = Vec::new();
    let mut any = false;
    if row.has("recommended") {
        let seen: Vec<&str> = row.list_of("seen", "titles", |title| {
            title.as_str().or_else(|| title.get(0).and_then(Value::as_str))
        })?;
        let (list, relevant) = (titles(row, "recommended")?, titles(row, "relevant_items")?);
        let catalogue = match row.has("catalogue") {
            true => Some(titles(row, "catalogue")?),
            false => None,
        };
        let slots = row.size("slots")?;
        let hits = title_hits(&list, &relevant, &seen, catalogue.as_deref(), slots);
        let gains: Vec<f64> = hits.iter().map(|hit| f64::from(u8::from(*hit))).collect();
        any |= row.compare("hits", hits, &mut out);
        let returns = |reward| rank_rewards(reward, &gains);
        any |= row.compare("log_decay_returns", returns(RankReward::LogDecay), &mut out);
        any |= row.compare("exp_inf_returns", returns(RankReward::ExpInf), &mut out);
    } else {
        let hits = row.list_of("hits", "hits", |hit| match hit {
            Value::Bool(hit) => Some(*hit),
            hit => hit.as_f64().map(|hit| hit != 0.0),
        })?;
        let (n, k) = (row.size("relevant")?, row.size("k")?);
        any |= row.compare("recall", recall_at(&hits, n, k), &mut out);
        any |= row.compare("ndcg", ndcg_returned_at(&hits, n, k), &mut out);
        any |= row.compare("ndcg_standard", ndcg_at(&hits, n, k), &mut out);
    }
    expects(any, out)
}

/// A list of `[title, year]`.
fn titles(row: &Fields<'_>, key: &str) -> Result<Vec<Title>, String> {
    row.list_of(key, "titles and years", |pair| {
        let year = match pair.get(1)? {
            Value::String(text) => text.trim().parse().ok(),
            year => year.as_i64().and_then(|year| i32::try_from(year).ok()),
        };
        Some(Title {
            name: pair.get(0)?.as_str()?.to_owned(),
            year,
        })
    })
}

/// `predicted`, `gold` with `exact`, `f1`.
pub(super) fn entity_match(row: &Fields<'_>) -> Result<Vec<Mismatch>, String> {
    let scores = entity_scores(&row.texts("predicted")?, &row.texts("gold")?);
    let mut out = Vec::new();
    let mut any = row.compare("exact", scores.exact, &mut out);
    any |= row.compare("f1", scores.f1, &mut out);
    expects(any, out)
}
