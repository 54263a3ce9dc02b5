//! `prefix-grouper`: the packed layout, what it saves, and attention over it.

use groupwise_core::shared_prefix::{AttentionWeights, SharedPrefix, packed_attention};
use serde_json::json;

use crate::nested::number;
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let suffixes: Vec<usize> = input.need("suffix_lens")?;
    let packed = SharedPrefix::new(input.need("prefix_len")?, &suffixes)?;
    let found = match params.need::<String>("kind")?.as_str() {
        "layout" => layout(&packed),
        "cost" => cost(&packed),
        "attention" => attention(&packed, &input)?,
        other => return Err(Fault::adapter(format!("adapter does not know kind `{other}`"))),
    };
    params.finish()?;
    Ok(found)
}

fn layout(packed: &SharedPrefix) -> Answer {
    let n = packed.segments().len();
    let row = |i: usize| -> Vec<u8> { (0..n).map(|j| u8::from(packed.sees(i, j))).collect() };
    let mask: Vec<Vec<u8>> = (0..n).map(row).collect();
    answer([
        ("position_ids", json!(packed.positions())),
        ("segments", json!(packed.segments())),
        ("mask", json!(mask)),
        ("predicting_index", json!(packed.predicting())),
    ])
}

fn cost(packed: &SharedPrefix) -> Answer {
    let cost = packed.cost();
    answer([
        ("tokens_base", json!(cost.tokens_base)),
        ("tokens_grouped", json!(cost.tokens_grouped)),
        ("tokens_base_padded", json!(cost.tokens_base_padded)),
        ("token_ratio", number(cost.token_ratio())),
        ("attention_base", json!(cost.attention_base)),
        ("attention_grouped", json!(cost.attention_grouped)),
        ("attention_ratio", number(cost.attention_ratio())),
    ])
}

fn attention(packed: &SharedPrefix, input: &Fields<'_>) -> Result<Answer, Fault> {
    let weights = AttentionWeights {
        query: input.need("wq")?,
        key: input.need("wk")?,
        value: input.need("wv")?,
    };
    let (x, readout): (Vec<Vec<f64>>, Vec<f64>) = (input.need("x")?, input.need("readout")?);
    let found = packed_attention(packed, &x, &weights, &readout)?;
    Ok(answer([
        ("attention_output", json!(found.outputs)),
        ("loss", number(found.loss)),
        ("grad_wq", json!(found.gradients.query)),
        ("grad_wk", json!(found.gradients.key)),
        ("grad_wv", json!(found.gradients.value)),
    ]))
}
