//! Evaluation: exact where the world has a closed form, by sampling elsewhere.  Not billed as training cost.

use std::collections::BTreeMap;

use groupwise_core::seams::{Rendered, Sampling};
use groupwise_core::{Key, Policy, Stream, Task};
use groupwise_recipe::Plan;
use groupwise_rollout::{GroupRequest, roll_out};

use crate::PipelineError;
use crate::error::at;
use crate::metrics::{Metrics, mean};

/// Metrics `eval/...` of the policy as it is.
///
/// The draws of an evaluation depend on task and sample, not on the step: two evaluations of one run, and the same
/// evaluation of two arms, differ by their weights alone.
///
/// `eval/success`: share of answers with a full score (>= 1), exact where the world can tell; `eval/reward`: mean
/// score; `eval/success/difficulty=<d>` where tasks carry a difficulty; `eval/<name>` for each measure of the world's
/// own, where the name is not taken by one of these.
pub(crate) fn evaluate(
    plan: &Plan,
    tasks: &[Task],
    seed: u64,
    step: u64,
    policy: &mut dyn Policy,
) -> Result<BTreeMap<String, f64>, PipelineError> {
    let mut metrics = Metrics::default();
    let successes = match exact(plan, tasks, policy, &mut metrics) {
        Some(successes) => successes,
        None => sampled(plan, tasks, seed, step, policy, &mut metrics)?,
    };
    let flat: Vec<f64> = successes.iter().map(|(_, s)| *s).collect();
    metrics.set("eval/success", mean(&flat));
    let mut by_difficulty: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (difficulty, success) in successes.iter().filter(|(d, _)| *d > 0.0) {
        by_difficulty
            .entry(format!("eval/success/difficulty={difficulty}"))
            .or_default()
            .push(*success);
    }
    for (name, values) in by_difficulty {
        metrics.set(name, mean(&values));
    }
    Ok(metrics.into_map())
}

/// Means of a world's own measures, each over the tasks or answers that have it.
#[derive(Default)]
struct Measures(BTreeMap<String, Vec<f64>>);

impl Measures {
    fn add(&mut self, found: BTreeMap<String, f64>) {
        for (name, value) in found {
            self.0.entry(name).or_default().push(value);
        }
    }

    fn record(self, metrics: &mut Metrics) {
        for (name, values) in self.0 {
            metrics.set(format!("eval/{name}"), mean(&values));
        }
    }
}

/// (difficulty, probability of success) of every task, where world and policy have a closed form.
fn exact(plan: &Plan, tasks: &[Task], policy: &dyn Policy, metrics: &mut Metrics) -> Option<Vec<(f64, f64)>> {
    let probabilities = |observation: &str| policy.action_probabilities(observation);
    let successes = tasks
        .iter()
        .map(|task| Some((task.difficulty, plan.world.exact_success(task, &probabilities)?)))
        .collect::<Option<Vec<_>>>()?;
    let mut measures = Measures::default();
    for task in tasks {
        measures.add(plan.world.exact_measures(task, &probabilities));
    }
    measures.record(metrics);
    Some(successes)
}

/// (difficulty, success) of every sampled answer.
fn sampled(
    plan: &Plan,
    tasks: &[Task],
    seed: u64,
    step: u64,
    policy: &mut dyn Policy,
    metrics: &mut Metrics,
) -> Result<Vec<(f64, f64)>, PipelineError> {
    let run = &plan.recipe.run;
    let requests: Vec<_> = tasks
        .iter()
        .enumerate()
        .map(|(index, task)| GroupRequest {
            index,
            task,
            rendered: Rendered::plain(),
            n_samples: run.eval_samples,
            first_sample: 0,
            policy_key: Key::new(seed, Stream::Eval),
            environment_key: Key::new(seed, Stream::Eval).named("environment", 0),
        })
        .collect();
    let greedy = run.eval_temperature == 0.0;
    let temperature = if greedy { 1.0 } else { run.eval_temperature };
    let sampling = Sampling {
        temperature,
        max_new_tokens: run.max_completion_length,
        greedy,
    };
    let rolled =
        roll_out(plan.world.as_ref(), policy, &requests, &sampling).map_err(at(step, "evaluation"))?;
    let (mut scores, mut lengths, mut successes) = (vec![], vec![], vec![]);
    let (mut n_clipped, mut n_unscorable) = (0usize, 0usize);
    let mut measures = Measures::default();
    for (task, members) in tasks.iter().zip(&rolled) {
        for member in members {
            lengths.push(member.n_policy_tokens() as f64);
            measures.add(plan.world.measures(task, member));
            n_clipped += usize::from(member.stop.is_truncation());
            match plan.verifier.score(task, member).value() {
                Some(score) => {
                    scores.push(score);
                    successes.push((task.difficulty, f64::from(u8::from(score >= 1.0 - 1e-9))));
                }
                None => n_unscorable += 1,
            }
        }
    }
    measures.record(metrics);
    metrics.set("eval/reward", mean(&scores));
    metrics.set("eval/mean_length", mean(&lengths));
    metrics.set("eval/clipped_ratio", n_clipped as f64 / lengths.len() as f64);
    metrics.set("eval/unscorable", n_unscorable as f64);
    Ok(successes)
}
