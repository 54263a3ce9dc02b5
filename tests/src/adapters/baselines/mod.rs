//! `baselines`: the common ground, one case per building block.
//!
//! A case names its method (a row of the table in the specification, section 6) and is told apart further by
//! what it holds: log-probabilities make it a loss, lengths an overlong penalty, and so on.

mod advantages;
mod losses;
mod shaping;

use crate::{Answer, Case, Fault};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let method = case
        .method
        .as_deref()
        .ok_or_else(|| Fault::adapter("the case names no `method`"))?;
    let has = |key: &str| case.input.contains_key(key);
    match method {
        "kl" => losses::kl(case),
        "dpo" => losses::dpo(case),
        _ if has("values_old") => losses::value_clip(case),
        _ if has("logp") => losses::policy(case, method),
        _ if has("values") => advantages::gae(case),
        _ if has("lengths") && !has("rewards") => shaping::overlong(case),
        _ if case.params.contains_key("train_groups") => shaping::dynamic_sampling(case),
        _ => advantages::estimate(case, method),
    }
}
