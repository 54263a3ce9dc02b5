//! The update phase: old and reference log-probabilities, advantages, optimizer steps.

use std::collections::BTreeMap;
use std::ops::Range;

use groupwise_core::seams::TokenScores;
use groupwise_core::{DataError, Key, Learner, Needs, Objective, Stream, Task, TokenBatch, TokenGrads};
use groupwise_recipe::Plan;

use crate::assemble::{Assembled, assemble};
use crate::error::{PipelineError, StepError, at};
use crate::generate::Group;
use crate::metrics::{Metrics, mean};

/// True if the old log-probabilities must be computed before the first optimizer step.
fn needs_old(plan: &Plan) -> bool {
    let run = &plan.recipe.run;
    let several = run.num_iterations > 1 || run.mini_batches > 1;
    several || plan.estimator.needs().contains(Needs::LOGP_OLD)
}

/// True if a part asks for the reference policy.
pub(crate) fn needs_reference(plan: &Plan) -> bool {
    plan.kl_penalty.is_some() || (plan.estimator.needs() | plan.objective.needs()).contains(Needs::LOGP_REF)
}

/// Where in a run an update stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// Steps done over steps planned, in [0, 1].
    pub(crate) progress: f64,
    /// Learning rate.
    pub(crate) rate: f64,
}

/// One training step on these groups of the pool `tasks`.
pub(crate) fn update(
    plan: &Plan,
    place: Place,
    groups: &[&Group],
    tasks: &[Task],
    learner: &mut dyn Learner,
    metrics: &mut Metrics,
) -> Result<(), PipelineError> {
    let step = place.step;
    let run = &plan.recipe.run;
    let mut assembled =
        assemble(groups, run.temperature, plan.estimator.needs()).map_err(at(step, "segments"))?;
    if assembled.batch.n_tokens() == 0 {
        return Ok(());
    }
    let whole = needs_old(plan) || assembled.has_stored();
    score_anew(&mut assembled, whole, learner).map_err(at(step, "old log-probabilities"))?;
    if needs_reference(plan) {
        let reference = learner.score_reference(&assembled.batch);
        assembled.batch.logp_ref = Some(reference.map_err(at(step, "reference log-probabilities"))?);
    }
    if let Some(penalty) = &plan.kl_penalty {
        let penalties = assembled.penalize(penalty).map_err(at(step, "kl penalty"))?;
        metrics.set("rewards/kl_penalty/mean", -mean(&penalties));
    }
    let tasks: Vec<&Task> = groups.iter().map(|g| &tasks[g.task]).collect();
    assembled
        .estimate(plan.estimator.as_ref(), &tasks)
        .map_err(at(step, "advantage estimator"))?;
    record_batch(&assembled, metrics);
    metrics.set("learning_rate", place.rate);
    let totals = iterate(plan, place, &assembled.batch, learner)?;
    totals.record(metrics);
    Ok(())
}

/// Log-probabilities at the weights the update starts from: of the `whole` batch, or of the groups that hold something
/// whose own are not known.
fn score_anew(assembled: &mut Assembled, whole: bool, learner: &mut dyn Learner) -> Result<(), StepError> {
    if whole {
        let scores = learner.score(&assembled.batch)?;
        let all: Vec<usize> = (0..assembled.batch.groups.len()).collect();
        assembled.rescore(&all, &scores);
        assembled.set_old(scores);
        return Ok(());
    }
    let unscored = assembled.unscored_groups();
    if !unscored.is_empty() {
        let part = assembled.batch.select_groups(&unscored)?;
        assembled.rescore(&unscored, &learner.score(&part)?);
    }
    Ok(())
}

/// The optimizer steps of one training step.
fn iterate(
    plan: &Plan,
    place: Place,
    whole: &TokenBatch,
    learner: &mut dyn Learner,
) -> Result<Totals, PipelineError> {
    let Place {
        seed,
        step,
        progress,
        rate,
    } = place;
    let run = &plan.recipe.run;
    let mut totals = Totals::default();
    for iteration in 0..run.num_iterations {
        let key = Key::new(seed, Stream::MiniBatch)
            .step(step)
            .named("iteration", u64::from(iteration));
        let mini_batches = deal(whole.groups.len(), run.mini_batches, key);
        for (chosen, nth) in mini_batches.into_iter().zip(0u32..) {
            let done = f64::from(iteration * run.mini_batches + nth);
            let within = done / f64::from(run.num_iterations * run.mini_batches) / run.steps as f64;
            let scheduled = plan.objective.scheduled(progress + within);
            let objective = scheduled.as_deref().unwrap_or(plan.objective.as_ref());
            let part = if run.mini_batches == 1 {
                None
            } else {
                Some(whole.select_groups(&chosen).map_err(at(step, "mini-batch"))?)
            };
            let batch = part.as_ref().unwrap_or(whole);
            if batch.mask.iter().any(|m| *m) {
                optimize(objective, batch, rate, learner, &mut totals).map_err(at(step, "update"))?;
            }
        }
    }
    Ok(totals)
}

/// Groups of each optimizer step: all in order for one, dealt out after a keyed shuffle for several.
fn deal(n_groups: usize, mini_batches: u32, key: Key) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..n_groups).collect();
    if mini_batches == 1 {
        return vec![order];
    }
    key.rng().shuffle(&mut order);
    let size = n_groups.div_ceil(mini_batches as usize).max(1);
    order.chunks(size).map(<[usize]>::to_vec).collect()
}

/// Sums over the optimizer steps of one training step.
#[derive(Default)]
struct Totals {
    steps: f64,
    loss: f64,
    grad_norm: f64,
    terms: BTreeMap<&'static str, f64>,
    /// Sampler against learner, at the first optimizer step: the weights are then the same.
    differences: Vec<f64>,
}

impl Totals {
    fn record(&self, metrics: &mut Metrics) {
        if self.steps == 0.0 {
            return;
        }
        metrics.set("loss", self.loss / self.steps);
        metrics.set("grad_norm", self.grad_norm / self.steps);
        for (name, total) in &self.terms {
            metrics.set(*name, total / self.steps);
        }
        let absolute: Vec<f64> = self.differences.iter().map(|d| d.abs()).collect();
        metrics.set("sampling/sampling_logp_difference/mean", mean(&absolute));
        metrics.set(
            "sampling/sampling_logp_difference/max",
            absolute.iter().copied().fold(0.0, f64::max),
        );
        let ratios: Vec<f64> = self.differences.iter().map(|d| d.exp()).collect();
        metrics.spread("sampling/importance_sampling_ratio", "", &ratios);
    }
}

/// One optimizer step.
fn optimize(
    objective: &dyn Objective,
    batch: &TokenBatch,
    rate: f64,
    learner: &mut dyn Learner,
    totals: &mut Totals,
) -> Result<(), StepError> {
    let denominators = objective.denominators(batch)?;
    let first = totals.steps == 0.0;
    let mut loss = |part: Range<usize>, scores: &TokenScores| -> Result<TokenGrads, DataError> {
        let span = batch.tokens.range_of(part.clone());
        let entropy = (scores.entropy.len() == span.len()).then_some(scores.entropy.as_slice());
        let view = batch.view(part, &scores.logp, entropy)?;
        let frozen = objective.freeze(&denominators, &view)?;
        let evaluation = objective.evaluate(&frozen, &view)?;
        if !evaluation.loss.is_finite() {
            let value = evaluation.loss.to_string();
            return Err(DataError::NonFinite {
                place: "objective".into(),
                what: "loss".into(),
                value,
            });
        }
        totals.loss += evaluation.loss;
        for (name, value) in evaluation.terms {
            *totals.terms.entry(name).or_default() += value;
        }
        if first {
            let counted = span.filter(|t| batch.mask[*t]);
            let offset = batch
                .tokens
                .range_of(view.first_trajectory..view.first_trajectory)
                .start;
            totals
                .differences
                .extend(counted.map(|t| scores.logp[t - offset] - batch.logp_sampler[t]));
        }
        Ok(evaluation.grads)
    };
    let report = learner.step(batch, objective.scope(), rate, &mut loss)?;
    totals.grad_norm += report.grad_norm;
    totals.steps += 1.0;
    Ok(())
}

fn record_batch(assembled: &Assembled, metrics: &mut Metrics) {
    let batch = &assembled.batch;
    let counted: Vec<f64> = assembled
        .entropy()
        .iter()
        .zip(&batch.mask)
        .filter(|(_, m)| **m)
        .map(|(e, _)| *e)
        .collect();
    metrics.set("entropy", mean(&counted));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_dealt_exactly_once() {
        let key = Key::new(3, Stream::MiniBatch).step(1);
        for (n, k) in [(7, 3), (4, 4), (5, 1), (2, 2)] {
            let dealt = deal(n, k, key);
            assert!(dealt.len() <= k as usize);
            let mut all: Vec<usize> = dealt.into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
        assert_eq!(deal(5, 1, key), vec![vec![0, 1, 2, 3, 4]]);
        assert_ne!(deal(9, 2, key), deal(9, 2, key.step(2)));
    }
}
