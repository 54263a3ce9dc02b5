//! `grao`: samples and reference answers, normalized together and weighed.

use groupwise_core::{Offsets, Spans};
use groupwise_objective::losses::{Grao, GraoBatch, GraoConfig, NormalizationPool, Texts};
use serde_json::Value;

use crate::nested::{Tokens, flags, leaves, like, number, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let grao = Grao::new(&config(&params)?)?;
    params.finish()?;
    let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
    let given = input.need_raw("rewards")?;
    tokens.check_groups("rewards", &offsets("rewards", given, 0)?)?;
    let references = References::read(&input, tokens.groups.len())?;
    let at = grao.evaluate(&GraoBatch {
        groups: tokens.groups.spans(),
        rewards: &leaves::<Option<f64>>("rewards", given, 2)?,
        samples: Texts {
            tokens: tokens.tokens.spans(),
            mask: &tokens.mask(input.raw("mask"))?,
            logp: &tokens.numbers("logp", tokens.template)?,
        },
        reference_rewards: &references.rewards,
        references: Texts {
            tokens: references.tokens(),
            mask: &references.mask,
            logp: &references.logp,
        },
    })?;
    Ok(answer([
        ("advantages", like(given, &at.advantages.samples)),
        ("reference_advantages", numbers(&at.advantages.references)),
        ("loss", number(at.loss)),
        ("grad_logp", like(tokens.template, &at.d_samples)),
        ("grad_reference", references.nest(&at.d_references)),
    ]))
}

fn config(params: &Fields<'_>) -> Result<GraoConfig, Fault> {
    let default = GraoConfig::default();
    let pool = match params.or("include_reference", true)? {
        true => NormalizationPool::WithReference,
        false => NormalizationPool::SamplesOnly,
    };
    Ok(GraoConfig {
        beta: params.or("beta", default.beta)?,
        lambda: match params.get("lam")? {
            Some(lambda) => lambda,
            None => params.or("lambda", default.lambda)?,
        },
        pool,
        eps: params.or("eps", default.eps)?,
        missing_reference: params.or("missing_reference", default.missing_reference)?,
    })
}

/// One reference answer per prompt; a prompt without one has a `null`, or nothing at all where no prompt has.
struct References {
    rewards: Vec<Option<f64>>,
    tokens: Offsets,
    logp: Vec<f64>,
    mask: Vec<bool>,
}

impl References {
    fn read(input: &Fields<'_>, n_groups: usize) -> Result<Self, Fault> {
        let rewards = match input.raw("reference_rewards") {
            None | Some(Value::Null) => vec![None; n_groups],
            Some(rewards) => leaves("reference_rewards", rewards, 1)?,
        };
        let rows: Vec<Option<Vec<f64>>> = match input.raw("logp_reference") {
            None | Some(Value::Null) => vec![None; n_groups],
            Some(rows) => leaves("logp_reference", rows, 1)?,
        };
        // What has no tokens is no reference, whatever reward stands beside it.
        let rewards = rewards
            .iter()
            .zip(&rows)
            .map(|(r, row)| row.as_ref().and(*r))
            .collect();
        let rows: Vec<Vec<f64>> = rows.into_iter().map(Option::unwrap_or_default).collect();
        let mask = match input.raw("reference_mask") {
            None => vec![true; rows.iter().map(Vec::len).sum()],
            Some(mask) => flags("reference_mask", mask, 2)?,
        };
        Ok(Self {
            rewards,
            tokens: Offsets::from_lengths(rows.iter().map(Vec::len)),
            logp: rows.concat(),
            mask,
        })
    }

    fn tokens(&self) -> Spans<'_> {
        self.tokens.spans()
    }

    fn nest(&self, flat: &[f64]) -> Value {
        self.tokens().iter().map(|span| numbers(&flat[span])).collect()
    }
}
