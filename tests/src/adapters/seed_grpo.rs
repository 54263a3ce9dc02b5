//! `seed-grpo`: advantages scaled by semantic entropy.

use groupwise_advantage::AdvantageSpec;
use groupwise_advantage::estimators::{ClusterProbability, SeedGrpoConfig, seed_entropy, seed_factor};
use groupwise_core::answers::AnswerPart;
use groupwise_core::{AdvantageEstimator, Advantages, DataError, Offsets, RewardBatch, Trajectory};
use serde_json::Value;

use crate::nested::{leaves, like, numbers, offsets};
use crate::{Answer, Case, Fault, Fields, answer};

/// A case, flattened.
struct Inputs<'a> {
    template: &'a Value,
    groups: Offsets,
    rewards: Vec<Option<f64>>,
    /// Canonical answers; `None` is an unparsable one.
    answers: Vec<Option<String>>,
    /// Log-probability of each answer; zeros where nothing reads it.
    logp: Vec<f64>,
}

impl<'a> Inputs<'a> {
    fn read(input: &Fields<'a>, prob: ClusterProbability) -> Result<Self, Fault> {
        let template = input.need_raw("rewards")?;
        let groups = offsets("rewards", template, 0)?;
        let rewards: Vec<Option<f64>> = leaves("rewards", template, 2)?;
        let given = input.need_raw("answers")?;
        if offsets("answers", given, 0)? != groups {
            return Err(Fault::refused("`answers` has other groups than `rewards`"));
        }
        let logp: Vec<f64> = match (prob, input.raw("logp_seq")) {
            (ClusterProbability::Count, _) => vec![0.0; rewards.len()],
            (_, Some(logp)) => leaves("logp_seq", logp, 2)?,
            (_, None) => return Err(Fault::refused("`logp_seq` is missing")),
        };
        DataError::check_len("logp_seq", logp.len(), rewards.len())?;
        Ok(Self {
            template,
            groups,
            rewards,
            answers: leaves("answers", given, 2)?,
            logp,
        })
    }

    /// Advantages by the estimator itself, on replies of one token.
    fn advantages(&self, estimator: &dyn AdvantageEstimator) -> Result<Value, Fault> {
        let tagged = |a: &Option<String>| {
            a.as_ref()
                .map_or(String::new(), |a| format!("<answer>{a}</answer>"))
        };
        let trajectories: Vec<Trajectory> = self
            .answers
            .iter()
            .map(|a| Trajectory::of_reply(&tagged(a), 1))
            .collect();
        let tokens = Offsets::from_lengths(self.logp.iter().map(|_| 1));
        let mask = vec![true; self.logp.len()];
        let mut batch = RewardBatch::new(self.groups.spans(), &self.rewards);
        batch.trajectories = Some(&trajectories);
        batch.tokens = Some(tokens.spans());
        batch.mask = Some(&mask);
        batch.logp_old = Some(&self.logp);
        match estimator.estimate(&batch)? {
            Advantages::Trajectory(a) => Ok(like(self.template, &a)),
            Advantages::Token(_) => Err(Fault::adapter("advantages per token")),
        }
    }
}

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
    let read = Inputs::read(&input, config.prob)?;
    let advantages = read.advantages(estimator.as_ref())?;
    let (mut entropies, mut weights) = (Vec::new(), Vec::new());
    for members in read.groups.spans().iter() {
        let scored: Vec<usize> = members.filter(|i| read.rewards[*i].is_some()).collect();
        let own: Vec<Option<&str>> = scored.iter().map(|i| read.answers[*i].as_deref()).collect();
        let logp: Vec<f64> = scored.iter().map(|i| read.logp[*i]).collect();
        let entropy = seed_entropy(&own, config.prob, &logp, config.estimator)?;
        let (alpha, gamma) = (config.alpha, config.gamma);
        entropies.push(entropy);
        weights.push(seed_factor(entropy, own.len(), alpha, config.func, gamma));
    }
    Ok(answer([
        ("semantic_entropy", numbers(&entropies)),
        ("weights", numbers(&weights)),
        ("advantages", advantages),
    ]))
}
