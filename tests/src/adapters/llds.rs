//! `llds`: the likelihood-preserving penalty alone.

use groupwise_objective::objectives::LldsConfig;
use groupwise_objective::objectives::llds::{Llds, LldsBatch};
use serde_json::Value;

use crate::nested::{Tokens, flags, leaves, like, number, offsets};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = LldsConfig::default();
    let penalty = Llds::new(
        match params.get("lam")? {
            Some(lambda) => lambda,
            None => params.or("lambda", default.lambda)?,
        },
        params.or("gate", default.gate)?,
        params.or("answer_weight", default.answer_weight)?,
        params.or("norm", default.norm)?,
    )?;
    params.finish()?;
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    let given = input.need_raw("advantages")?;
    tokens.check_groups("advantages", &offsets("advantages", given, 0)?)?;
    let answer_mask = input
        .raw("answer_mask")
        .map(|mask| flags("answer_mask", mask, 3))
        .transpose()?;
    let at = penalty.evaluate(&LldsBatch {
        tokens: tokens.tokens.spans(),
        mask: &tokens.mask(input.raw("mask"))?,
        logp: &tokens.numbers("logp", tokens.template)?,
        logp_old: &tokens.numbers("logp_old", input.need_raw("logp_old")?)?,
        advantages: &leaves::<f64>("advantages", given, 2)?,
        answer: answer_mask.as_deref(),
    })?;
    // Zeros and ones, as the masks of a case are written.
    let active: Vec<u8> = at.active.iter().map(|a| u8::from(*a)).collect();
    let nested: Value =
        serde_json::to_value(tokens.nest(&active)).map_err(|e| Fault::adapter(e.to_string()))?;
    Ok(answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(tokens.template, &at.d_logp)),
        ("mask", nested),
    ]))
}
