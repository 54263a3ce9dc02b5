//! Weights folded into advantages against the losses they stand for: the gradients must be equal.

use std::sync::Arc;

use groupwise_advantage::estimators::{FlowGrpoConfig, MGrpoConfig};
use groupwise_advantage::{AdvantageSpec, EpisodeStats, NestedRollouts, ObjectiveAggregation};
use groupwise_core::testing::{Inputs, evaluate_whole};
use groupwise_core::{
    Advantages, Offsets, RewardBatch, StopReason, TokenBatch, Trajectory, Turn, TurnAggregation,
};
use groupwise_objective::ObjectiveSpec;
use groupwise_objective::losses::{TurnBatch, TurnLoss};
use proptest::prelude::*;

const OBJECTIVES: [(&str, ObjectiveAggregation); 2] = [
    ("grpo", ObjectiveAggregation::SeqMeanTokenMean),
    ("dapo", ObjectiveAggregation::TokenMean),
];

/// Current and old log-probability, and whether the token counts.
type Token = (f64, f64, bool);

fn token() -> impl Strategy<Value = Token> {
    (-3.0..-0.1f64, -0.6..0.6f64, prop::bool::weighted(0.85))
        .prop_map(|(logp, shift, m)| (logp, logp + shift, m))
}

fn reward() -> impl Strategy<Value = Option<f64>> {
    prop::option::weighted(0.9, prop::sample::select(vec![0.0, 0.1, 1.0]))
}

/// A batch for the objective, from trajectories of tokens; those of unscorable trajectories are masked.
fn batch(groups: &[usize], rows: &[(Option<f64>, Vec<Token>)]) -> (TokenBatch, Vec<f64>) {
    let all: Vec<(Token, bool)> = rows
        .iter()
        .flat_map(|(r, t)| t.iter().map(move |t| (*t, r.is_some())))
        .collect();
    let batch = TokenBatch {
        segments: None,
        groups: Offsets::from_lengths(groups.iter().copied()),
        tokens: Offsets::from_lengths(rows.iter().map(|r| r.1.len())),
        prompts: vec![Arc::from([1u32]); rows.len()],
        ids: vec![0; all.len()],
        mask: all.iter().map(|(t, scored)| t.2 && *scored).collect(),
        logp_sampler: all.iter().map(|(t, _)| t.1).collect(),
        logp_old: Some(all.iter().map(|(t, _)| t.1).collect()),
        logp_ref: None,
        advantages: Advantages::Trajectory(vec![0.0; rows.len()]),
        temperature: 1.0,
    };
    (batch, all.iter().map(|(t, _)| t.0).collect())
}

fn gradient(objective: &ObjectiveSpec, batch: &TokenBatch, logp: &[f64]) -> Result<Vec<f64>, TestCaseError> {
    let inputs = Inputs {
        logp,
        entropy: None,
        value: None,
    };
    let at = evaluate_whole(objective.build(&())?.as_ref(), batch, &inputs)?;
    Ok(at.grads.d_logp)
}

fn close(a: &[f64], b: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(a.len(), b.len());
    for (t, (a, b)) in a.iter().zip(b).enumerate() {
        prop_assert!((a - b).abs() < 1e-12 + 1e-9 * b.abs(), "token {t}: {a} {b}");
    }
    Ok(())
}

/// Group -> rollout: reward, and per turn the tokens of an observation (masked) and of the action.
type Rollouts = Vec<Vec<(Option<f64>, Vec<(usize, Vec<Token>)>)>>;

fn rollouts() -> impl Strategy<Value = Rollouts> {
    let turn = (0usize..3, prop::collection::vec(token(), 0..4));
    let rollout = (reward(), prop::collection::vec(turn, 0..4));
    prop::collection::vec(prop::collection::vec(rollout, 1..4), 1..4)
}

/// A main rollout: its reward and tokens, and the reward and tokens of each call.
type Main = (Option<f64>, Vec<Token>, Vec<(Option<f64>, Vec<Token>)>);

fn queries() -> impl Strategy<Value = Vec<Vec<Main>>> {
    let call = (reward(), prop::collection::vec(token(), 1..4));
    let main = (
        reward(),
        prop::collection::vec(token(), 1..4),
        prop::collection::vec(call, 0..4),
    );
    prop::collection::vec(prop::collection::vec(main, 1..4), 1..3)
}

fn trajectory(agent: Option<&str>, sample: usize, tokens: &[Token]) -> Trajectory {
    Trajectory {
        task: 0,
        sample: sample as u64,
        agent: agent.map(Into::into),
        prompt: [1].into(),
        completion: vec![0; tokens.len()],
        mask: tokens.iter().map(|t| t.2).collect(),
        logp: tokens.iter().map(|t| t.1).collect(),
        entropy: vec![0.0; tokens.len()],
        turns: vec![Turn {
            anchor: None,
            action: String::new(),
            tokens: 0..tokens.len(),
            reward: 0.0,
            valid: true,
        }],
        version: 0,
        stop: StopReason::EndToken,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// `flow-grpo` with an objective of either aggregation has the gradient of the loss over turns.
    #[test]
    fn flow_grpo_folds_the_weights_of_turns(
        rollouts in rollouts(),
        aggregation in prop::sample::select(vec![
            TurnAggregation::RolloutTurnToken, TurnAggregation::TurnToken, TurnAggregation::TokenMean,
        ]),
        episode_stats in prop::sample::select(vec![EpisodeStats::Trajectory, EpisodeStats::Turn]),
    ) {
        let lengths: Vec<usize> = rollouts.iter().map(Vec::len).collect();
        let all: Vec<_> = rollouts.concat();
        let (mut rows, mut ranges, mut next) = (Vec::new(), Vec::new(), 0);
        for (reward, turns) in &all {
            let mut row: Vec<Token> = Vec::new();
            for (observed, action) in turns {
                row.extend(std::iter::repeat_n((-1.0, -1.0, false), *observed));
                ranges.push(next + row.len()..next + row.len() + action.len());
                row.extend(action);
            }
            next += row.len();
            rows.push((*reward, row));
        }
        let (mut tokens, logp) = batch(&lengths, &rows);
        let (steps, rewards) = (
            Offsets::from_lengths(all.iter().map(|r| r.1.len())),
            all.iter().map(|r| r.0).collect::<Vec<_>>(),
        );
        for (name, objective_aggregation) in OBJECTIVES {
            let config = FlowGrpoConfig { episode_stats, aggregation, objective_aggregation, ..Default::default() };
            let mut seen = RewardBatch::new(tokens.groups.spans(), &rewards);
            seen.tokens = Some(tokens.tokens.spans());
            seen.mask = Some(&tokens.mask);
            seen.steps = Some(steps.spans());
            seen.step_tokens = Some(&ranges);
            let folded = AdvantageSpec::FlowGrpo(config).build(&())?.estimate(&seen)?;
            // The loss over turns, with the advantages before any weight.
            let nested = NestedRollouts::new(tokens.groups.spans(), steps.spans())?;
            let block = groupwise_advantage::GroupRelative::new(Default::default())?;
            let per_turn = nested.broadcast(&nested.outcome_advantages(&block, &rewards, episode_stats)?)?;
            let of = |values: &[f64]| ranges.iter().flat_map(|r| values[r.clone()].to_vec()).collect::<Vec<f64>>();
            let turns = Offsets::from_lengths(ranges.iter().map(|r| r.len()));
            let objective = ObjectiveSpec::named(name).expect("listed");
            let general = objective.general().expect("a policy gradient");
            let at = TurnLoss::new(&general, aggregation)?.evaluate(&TurnBatch {
                groups: tokens.groups.spans(),
                turns: steps.spans(),
                tokens: turns.spans(),
                mask: &ranges.iter().flat_map(|r| tokens.mask[r.clone()].to_vec()).collect::<Vec<_>>(),
                logp: &of(&logp),
                logp_old: &of(&tokens.logp_sampler),
                logp_ref: None,
                advantages: &per_turn,
            })?;
            tokens.advantages = folded;
            close(&of(&gradient(&objective, &tokens, &logp)?), &at.grads.d_logp)?;
        }
    }

    /// `m-grpo` counts a copy as often as the alignment holds it: the gradient of the sub part is that of a batch in
    /// which the copies stand, times the share of sub trajectories in the objective.
    #[test]
    fn m_grpo_folds_the_copies_of_calls(queries in queries(), target in 1usize..5, seed in any::<u64>()) {
        let (mut rows, mut all, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for query in &queries {
            let before = rows.len();
            for (k, (reward, tokens, _)) in query.iter().enumerate() {
                rows.push((*reward, tokens.clone()));
                all.push(trajectory(None, k, tokens));
            }
            for (k, (_, _, calls)) in query.iter().enumerate() {
                for (reward, tokens) in calls {
                    rows.push((*reward, tokens.clone()));
                    all.push(trajectory(Some("sub"), k, tokens));
                }
            }
            lengths.push(rows.len() - before);
        }
        let (mut joint, logp) = batch(&lengths, &rows);
        let rewards: Vec<Option<f64>> = rows.iter().map(|r| r.0).collect();
        for (name, objective_aggregation) in OBJECTIVES {
            let config = MGrpoConfig { target, seed, objective_aggregation, ..Default::default() };
            let mut seen = RewardBatch::new(joint.groups.spans(), &rewards);
            seen.tokens = Some(joint.tokens.spans());
            seen.mask = Some(&joint.mask);
            seen.trajectories = Some(&all);
            let Advantages::Trajectory(a) = AdvantageSpec::MGrpo(config).build(&())?.estimate(&seen)? else {
                return Err(TestCaseError::fail("per trajectory"));
            };
            let objective = ObjectiveSpec::named(name).expect("listed");
            joint.advantages = Advantages::Trajectory(a.clone());
            let found = gradient(&objective, &joint, &logp)?;
            let copies = copies_of(&queries, target, seed);
            let sub: Vec<usize> = (0..all.len()).filter(|i| all[*i].agent.is_some()).collect();
            let aligned_rows: Vec<_> = sub
                .iter()
                .zip(&copies)
                .flat_map(|(i, c)| std::iter::repeat_n((*i, rows[*i].clone()), *c))
                .collect();
            let plain = aligned_advantages(&queries, &copies);
            let (mut aligned, aligned_logp) =
                batch(&[aligned_rows.len()], &aligned_rows.iter().map(|r| r.1.clone()).collect::<Vec<_>>());
            aligned.advantages = Advantages::Trajectory(
                sub.iter().zip(&copies).zip(&plain).flat_map(|((_, c), a)| std::iter::repeat_n(*a, *c)).collect(),
            );
            let each = gradient(&objective, &aligned, &aligned_logp)?;
            let mut expected = vec![0.0; logp.len()];
            for ((i, _), span) in aligned_rows.iter().zip(aligned.tokens.spans().iter()) {
                for (t, g) in joint.tokens.range(*i).zip(&each[span]) {
                    expected[t] += g;
                }
            }
            let share = share_of(&joint, &sub, objective_aggregation);
            for i in sub {
                let span = joint.tokens.range(i);
                let expected: Vec<f64> = expected[span.clone()].iter().map(|g| g * share).collect();
                close(&found[span], &expected)?;
            }
        }
    }
}

/// Share of some trajectories in what the objective divides by.
fn share_of(batch: &TokenBatch, members: &[usize], aggregation: ObjectiveAggregation) -> f64 {
    let unit = |i: usize| {
        let counted = batch.mask[batch.tokens.range(i)].iter().filter(|m| **m).count();
        match aggregation {
            ObjectiveAggregation::SeqMeanTokenMean => f64::from(u8::from(counted > 0)),
            ObjectiveAggregation::TokenMean => counted as f64,
        }
    };
    let all: f64 = (0..batch.n_trajectories()).map(unit).sum();
    members.iter().map(|i| unit(*i)).sum::<f64>() / all.max(1.0)
}

/// How often each call stands in the aligned batch; 0 for unscorable ones.
fn copies_of(queries: &[Vec<Main>], target: usize, seed: u64) -> Vec<usize> {
    use groupwise_advantage::estimators::align_calls;
    use groupwise_core::{Key, Stream};
    let mut copies = Vec::new();
    for (k, (_, _, calls)) in queries.iter().flat_map(|q| q.iter().enumerate()) {
        let scored: Vec<usize> = (0..calls.len()).filter(|j| calls[*j].0.is_some()).collect();
        let place = Key::new(seed, Stream::Auxiliary).step(0).task(0).sample(k as u64);
        let uniforms = |name: &str, n: usize| {
            (0..n as u64)
                .map(|j| place.named(name, j).uniform())
                .collect::<Vec<_>>()
        };
        let (keys, draws) = (
            uniforms("m-grpo keep", scored.len()),
            uniforms("m-grpo repeat", target),
        );
        let chosen = align_calls(scored.len(), &keys, &draws, target).expect("valid");
        let mut own = vec![0; calls.len()];
        chosen.iter().for_each(|j| own[scored[*j]] += 1);
        copies.extend(own);
    }
    copies
}

/// Advantage of each call among the aligned samples of its query, from the definition.
fn aligned_advantages(queries: &[Vec<Main>], copies: &[usize]) -> Vec<f64> {
    let (mut out, mut next) = (Vec::new(), copies.iter());
    for query in queries {
        let calls: Vec<(Option<f64>, usize)> = query
            .iter()
            .flat_map(|(_, _, calls)| calls.iter().map(|c| c.0))
            .zip(next.by_ref().copied().take(query.iter().map(|m| m.2.len()).sum()))
            .collect();
        let values: Vec<f64> = calls
            .iter()
            .flat_map(|(r, c)| std::iter::repeat_n(r.unwrap_or(0.0), *c))
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let spread = values.iter().any(|v| (v - values[0]).abs() > 1e-9);
        out.extend(calls.iter().map(|(r, _)| match r {
            Some(r) if spread => (r - mean) / (std + 1e-6),
            _ => 0.0,
        }));
    }
    out
}
