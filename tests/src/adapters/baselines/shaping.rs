//! O and Y: overlong shaping, dynamic sampling.

use groupwise_reward::ShaperSpec;
use groupwise_reward::shapers::{OverlongConfig, overlong_penalty};
use groupwise_sampler::filters::FilterSpec;
use groupwise_sampler::filters::dynamic_sampling::{DynamicSamplingConfig, select_dynamic};
use serde_json::json;

use crate::nested::numbers;
use crate::{Answer, Case, Fault, answer};

/// Penalties of the lengths of the case.
pub(super) fn overlong(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = OverlongConfig::default();
    let config = OverlongConfig {
        max_completion_length: params.or("max_len", default.max_completion_length)?,
        cache: params.or("cache", default.cache)?,
        factor: params.or("factor", default.factor)?,
    };
    params.finish()?;
    ShaperSpec::Overlong(config.clone()).build(&())?;
    let lengths: Vec<usize> = input.need("lengths")?;
    let penalty =
        |length| overlong_penalty(length, config.max_completion_length, config.cache, config.factor);
    let penalties: Vec<f64> = lengths.into_iter().map(penalty).collect();
    Ok(answer([("scores", numbers(&penalties))]))
}

/// Groups that enter the update, in generation order, and how many are missing.
pub(super) fn dynamic_sampling(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let train_groups: usize = params.need("train_groups")?;
    let default = DynamicSamplingConfig::default();
    let config = DynamicSamplingConfig {
        max_gen_batches: params.or("max_gen_batches", default.max_gen_batches)?,
    };
    params.finish()?;
    FilterSpec::DynamicSampling(config).build(&())?;
    let rewards: Vec<Vec<Option<f64>>> = input.need("rewards")?;
    let (selected, missing) = select_dynamic(&rewards, train_groups);
    Ok(answer([
        ("selected", json!(selected)),
        ("missing", json!(missing)),
    ]))
}
