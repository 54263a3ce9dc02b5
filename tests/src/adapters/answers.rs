//! What cases of losses hold in common: rewards per trajectory, log-probabilities per token.

use groupwise_core::{Evaluation, Objective};
use groupwise_objective::nested::{NestedAdvantages, NestedBatch};
use serde_json::Value;

use crate::nested::{Tokens, leaves, like, number, offsets};
use crate::{Answer, Fault, Fields, answer};

/// Rewards, log-probabilities and mask of a case, flattened.
pub(super) struct Losses<'a> {
    /// The rewards, whose nesting results per trajectory have.
    pub(super) template: &'a Value,
    pub(super) rewards: Vec<Option<f64>>,
    pub(super) tokens: Tokens<'a>,
    pub(super) logp: Vec<f64>,
    logp_old: Option<Vec<f64>>,
    logp_ref: Option<Vec<f64>>,
    /// True where a token counts; the tokens of an unscorable trajectory do not, as in a run.
    pub(super) mask: Vec<bool>,
}

impl<'a> Losses<'a> {
    pub(super) fn read(input: &Fields<'a>) -> Result<Self, Fault> {
        let template = input.need_raw("rewards")?;
        let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
        let tokens = Tokens::of("logp", input.need_raw("logp")?)?;
        tokens.check_groups("rewards", &offsets("rewards", template, 0)?)?;
        let optional = |key: &str| match input.raw(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => tokens.numbers(key, value).map(Some),
        };
        let mut mask = tokens.mask(input.raw("mask"))?;
        for (range, _) in tokens
            .tokens
            .spans()
            .iter()
            .zip(&rewards)
            .filter(|r| r.1.is_none())
        {
            mask[range].fill(false);
        }
        Ok(Self {
            template,
            rewards,
            logp: tokens.numbers("logp", tokens.template)?,
            logp_old: optional("logp_old")?,
            logp_ref: optional("logp_ref")?,
            tokens,
            mask,
        })
    }

    /// Log-probabilities under the sampling policy; without any the current ones.
    pub(super) fn old(&self) -> &[f64] {
        self.logp_old.as_deref().unwrap_or(&self.logp)
    }

    /// Runs an objective with these advantages, the whole batch as one view.
    pub(super) fn evaluate(
        &self,
        objective: &dyn Objective,
        advantages: &[f64],
    ) -> Result<Evaluation, Fault> {
        let nest = |flat: &Vec<f64>| self.tokens.nest(flat);
        let nested = NestedBatch {
            logp: nest(&self.logp),
            logp_old: self.logp_old.as_ref().map(nest),
            logp_ref: self.logp_ref.as_ref().map(nest),
            mask: Some(self.tokens.nest(&self.mask)),
            advantages: NestedAdvantages::Trajectory(self.tokens.nest_outer(advantages)),
        };
        let (batch, logp) = nested.to_batch()?;
        let view = batch.view(0..batch.n_trajectories(), &logp, None)?;
        let frozen = objective.freeze(&objective.denominators(&batch)?, &view)?;
        Ok(objective.evaluate(&frozen, &view)?)
    }
}

/// Loss and derivative of an evaluation.
pub(super) fn evaluation(read: &Losses<'_>, at: &Evaluation) -> Answer {
    answer([
        ("loss", number(at.loss)),
        ("grad_logp", like(read.tokens.template, &at.grads.d_logp)),
    ])
}
