//! `open-rs`: format, cosine of the length, advantages of one group.

use groupwise_core::DataError;
use groupwise_reward::ShaperSpec;
use groupwise_reward::shapers::{Clamp, CosineLengthConfig, OpenRsConfig, closing_tag_format};

use super::relative::one_group;
use crate::nested::numbers;
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = CosineLengthConfig::default();
    let clamp = if params.or("clamp", true)? {
        Clamp::On
    } else {
        Clamp::Off
    };
    let config = OpenRsConfig {
        weights: params.or("weights", OpenRsConfig::default().weights)?,
        cosine: CosineLengthConfig {
            min_wrong: params.or("min_wrong", default.min_wrong)?,
            max_wrong: params.or("max_wrong", default.max_wrong)?,
            min_correct: params.or("min_correct", default.min_correct)?,
            max_correct: params.or("max_correct", default.max_correct)?,
            max_len: params.or("max_len", default.max_len)?,
            clamp,
            unit: default.unit,
        },
    };
    ShaperSpec::OpenRs(config.clone()).build(&())?;
    let correct: Vec<bool> = input.need("correct")?;
    let lengths: Vec<usize> = input.need("lengths")?;
    let texts: Vec<String> = input.need("texts")?;
    DataError::check_len("lengths", lengths.len(), correct.len())?;
    DataError::check_len("texts", texts.len(), correct.len())?;
    let scores: Vec<f64> = correct
        .iter()
        .zip(&lengths)
        .map(|(c, n)| config.cosine.reward(*c, *n))
        .collect();
    let format: Vec<f64> = texts.iter().map(|text| closing_tag_format(text)).collect();
    let rewards: Vec<f64> = format
        .iter()
        .zip(&scores)
        .map(|(f, c)| config.total(*f, *c))
        .collect();
    let advantages = one_group(&params, 1e-4, &rewards)?;
    params.finish()?;
    Ok(answer([
        ("scores", numbers(&scores)),
        ("format", numbers(&format)),
        ("rewards", numbers(&rewards)),
        ("advantages", numbers(&advantages)),
    ]))
}
