//! `seed-grpo`: advantages scaled by semantic entropy.

use groupwise_advantage::AdvantageSpec;
use groupwise_advantage::estimators::{ClusterProbability, SeedGrpoConfig, seed_entropy, seed_factor};
use groupwise_core::answers::AnswerPart;
use groupwise_core::{Advantages, DataError, Offsets, RewardBatch, Trajectory};

use super::replies::reply;
use crate::nested::{leaves, like, numbers, offsets};
use crate::{Answer, Case, Fault, answer};

pub(super) fn run(case: &Case) -> Result<Answer, Fault> {
    let (params, input) = (case.params(), case.input());
    let default = SeedGrpoConfig::default();
    let config = SeedGrpoConfig {
        alpha: params.or("alpha", default.alpha)?,
        func: params.or("func", default.func)?,
        gamma: params.or("gamma", default.gamma)?,
        estimator: params.or("estimator", default.estimator)?,
        prob: params.or("prob", default.prob)?,
        // Answers of a case are extracted already; the tag lets an unparsable one be told from an empty one.
        answer: AnswerPart::AnswerTag,
    };
    params.finish()?;
    let estimator = AdvantageSpec::SeedGrpo(config.clone()).build(&())?;
    let template = input.need_raw("rewards")?;
    let groups = offsets("rewards", template, 0)?;
    let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
    let given = input.need_raw("answers")?;
    let answers: Vec<Option<String>> = leaves("answers", given, 2)?;
    if offsets("answers", given, 0)? != groups {
        return Err(Fault::refused("`answers` has other groups than `rewards`"));
    }
    let logp: Vec<f64> = match (config.prob, input.raw("logp_seq")) {
        (ClusterProbability::Count, _) => vec![0.0; rewards.len()],
        (_, Some(logp)) => leaves("logp_seq", logp, 2)?,
        (_, None) => return Err(Fault::refused("`logp_seq` is missing")),
    };
    DataError::check_len("logp_seq", logp.len(), rewards.len())?;

    let trajectories: Vec<Trajectory> = answers
        .iter()
        .map(|a| match a {
            Some(a) => reply(&format!("<answer>{a}</answer>"), 1),
            None => reply("", 1),
        })
        .collect();
    let (tokens, mask) = (
        Offsets::from_lengths(logp.iter().map(|_| 1)),
        vec![true; logp.len()],
    );
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    batch.trajectories = Some(&trajectories);
    batch.tokens = Some(tokens.spans());
    batch.mask = Some(&mask);
    batch.logp_old = Some(&logp);
    let advantages = match estimator.estimate(&batch)? {
        Advantages::Trajectory(a) => like(template, &a),
        Advantages::Token(_) => return Err(Fault::adapter("advantages per token")),
    };

    let (mut entropies, mut weights) = (Vec::new(), Vec::new());
    for members in groups.spans().iter() {
        let scored: Vec<usize> = members.filter(|i| rewards[*i].is_some()).collect();
        let own: Vec<Option<&str>> = scored.iter().map(|i| answers[*i].as_deref()).collect();
        let own_logp: Vec<f64> = scored.iter().map(|i| logp[*i]).collect();
        let entropy = seed_entropy(&own, config.prob, &own_logp, config.estimator)?;
        entropies.push(entropy);
        weights.push(seed_factor(
            entropy,
            own.len(),
            config.alpha,
            config.func,
            config.gamma,
        ));
    }
    Ok(answer([
        ("semantic_entropy", numbers(&entropies)),
        ("weights", numbers(&weights)),
        ("advantages", advantages),
    ]))
}
