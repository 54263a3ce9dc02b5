//! Sampler, learner and a naive f64 implementation compute one function.

mod common;

use common::*;
use groupwise_core::StopReason;
use groupwise_core::seams::{Learner, Policy, PolicyError};
use groupwise_model::TransformerConfig;

fn forms() -> Vec<TransformerConfig> {
    let base = config();
    vec![
        base.clone(),
        TransformerConfig {
            attention_bias: true,
            tie_word_embeddings: false,
            num_key_value_heads: 1,
            ..base.clone()
        },
        TransformerConfig {
            qk_norm: true,
            num_key_value_heads: 4,
            ..base.clone()
        },
        TransformerConfig {
            hidden_size: 64,
            num_attention_heads: 2,
            num_key_value_heads: 2,
            rope_theta: 100.0,
            initializer_range: Some(0.15),
            ..base
        },
    ]
}

#[test]
fn sampler_and_learner_equal_the_definition_in_every_form() {
    for config in forms() {
        let (mut policy, mut learner) = pair(&config, 300);
        let texts = texts();
        let done = extend(&mut policy, &texts, &sampling(false, 30));
        let batch = sampled_batch(&texts, &done);
        let scores = learner.score(&batch).unwrap();
        let entropy: Vec<f64> = done.iter().flatten().flat_map(|c| c.entropy.clone()).collect();
        let weights = learner.weights().read();
        for i in 0..batch.n_trajectories() {
            let tokens = batch.tokens.range(i);
            let prompt = &batch.prompts[i];
            let all: Vec<u32> = prompt.iter().chain(&batch.ids[tokens.clone()]).copied().collect();
            let logits = naive_logits(&weights, &all);
            for (n, t) in tokens.enumerate() {
                let (logp, h) = log_softmax(&logits[prompt.len() + n - 1], 0.9);
                let exact = logp[batch.ids[t] as usize];
                let what = format!("trajectory {i}, token {n}, {config:?}");
                assert!(
                    (exact - scores.logp[t]).abs() < 2e-5,
                    "learner {} {exact} {what}",
                    scores.logp[t]
                );
                assert!(
                    (exact - batch.logp_sampler[t]).abs() < 2e-5,
                    "sampler {} {exact} {what}",
                    batch.logp_sampler[t]
                );
                assert!((h - scores.entropy[t]).abs() < 2e-5, "entropy {what}");
                assert!((h - entropy[t]).abs() < 2e-5, "sampler's entropy {what}");
            }
        }
    }
}

#[test]
fn draws_are_the_inverse_distribution_function_at_the_keyed_uniform() {
    let (mut policy, learner) = pair(&config(), 300);
    let texts = texts();
    let done = extend(&mut policy, &texts, &sampling(false, 20));
    let weights = learner.weights().read();
    let mut near_an_edge = 0;
    for ((shared, members), done) in texts.iter().zip(&done) {
        for ((id, tail), c) in members.iter().zip(done) {
            let all = [shared.as_slice(), tail, &c.tokens].concat();
            let logits = naive_logits(&weights, &all);
            for (t, token) in c.tokens.iter().enumerate() {
                let (logp, _) = log_softmax(&logits[shared.len() + tail.len() + t - 1], 0.9);
                let u = member(*id, &[]).key.token(t as u64).uniform();
                let mut sum = 0.0;
                let mut drawn = logp.len() - 1;
                for (a, l) in logp.iter().enumerate() {
                    sum += l.exp();
                    if (u - sum).abs() < 1e-5 {
                        near_an_edge += 1;
                        drawn = *token as usize;
                        break;
                    }
                    if u < sum {
                        drawn = a;
                        break;
                    }
                }
                assert_eq!(drawn, *token as usize);
            }
        }
    }
    assert!(near_an_edge < 3, "{near_an_edge} draws fell on an edge");
}

#[test]
fn greedy_takes_the_most_likely_token() {
    let (mut policy, learner) = pair(&config(), 300);
    let texts = texts();
    let done = extend(&mut policy, &texts, &sampling(true, 12));
    let weights = learner.weights().read();
    for ((shared, members), done) in texts.iter().zip(&done) {
        for ((_, tail), c) in members.iter().zip(done) {
            let all = [shared.as_slice(), tail, &c.tokens].concat();
            let logits = naive_logits(&weights, &all);
            for (t, token) in c.tokens.iter().enumerate() {
                let row = &logits[shared.len() + tail.len() + t - 1];
                let best = row.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
                assert!(best - row[*token as usize] < 1e-5);
            }
        }
    }
}

#[test]
fn neighbours_change_no_token_and_no_bit() {
    let (mut policy, _) = pair(&config(), 300);
    let texts = texts();
    for greedy in [true, false] {
        let together = extend(&mut policy, &texts, &sampling(greedy, 25));
        let mut reversed = texts.clone();
        reversed.reverse();
        for (_, members) in &mut reversed {
            members.reverse();
        }
        let mut back = extend(&mut policy, &reversed, &sampling(greedy, 25));
        back.reverse();
        for group in &mut back {
            group.reverse();
        }
        assert_eq!(together, back);
        for (text, group) in texts.iter().zip(&together) {
            for (member, c) in text.1.iter().zip(group) {
                let alone = extend(
                    &mut policy,
                    &[(text.0.clone(), vec![member.clone()])],
                    &sampling(greedy, 25),
                );
                assert_eq!(alone[0][0].tokens, c.tokens);
                for (a, b) in alone[0][0].logp.iter().zip(&c.logp) {
                    assert!((a - b).abs() < 1e-5);
                }
            }
        }
    }
}

#[test]
fn more_members_than_a_chunk_holds_change_nothing() {
    let (mut policy, _) = pair(&config(), 300);
    let prompt = vec![5, 6, 7];
    let many: Vec<(u64, Vec<u32>)> = (0..150).map(|i| (i, vec![])).collect();
    let all = extend(
        &mut policy,
        &[(prompt.clone(), many.clone())],
        &sampling(false, 10),
    );
    let some = extend(
        &mut policy,
        &[(prompt, many[70..75].to_vec())],
        &sampling(false, 10),
    );
    for (a, b) in all[0][70..75].iter().zip(&some[0]) {
        assert_eq!(a.tokens, b.tokens);
    }
    let ends = all[0].iter().filter(|c| c.stop == StopReason::EndToken).count();
    assert!(ends > 10 && ends < 150, "{ends} ended: the test must see both");
    for c in &all[0] {
        let stopped = c.tokens.last() == Some(&1);
        assert_eq!(stopped, c.stop == StopReason::EndToken);
        assert!(stopped || c.tokens.len() == 10);
        assert!(!c.tokens[..c.tokens.len() - 1].contains(&1));
    }
}

#[test]
fn the_context_is_a_limit_for_sampler_and_learner() {
    let (mut policy, mut learner) = pair(&config(), 300);
    let full: Vec<u32> = vec![5; 80];
    let almost: Vec<u32> = vec![5; 79];
    let prefix = |shared| groupwise_core::seams::Prefix {
        shared,
        members: vec![member(0, &[])],
    };
    let error = policy.extend(&[prefix(&full)], &sampling(true, 4)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sequence of 81 tokens exceeds the context of 80"
    );
    let one = policy.extend(&[prefix(&almost)], &sampling(false, 4)).unwrap();
    assert_eq!(one[0][0].tokens.len(), 1);
    let none = policy.extend(&[prefix(&almost)], &sampling(false, 0)).unwrap();
    assert!(none[0][0].tokens.is_empty());
    let error = policy.extend(&[prefix(&[])], &sampling(true, 4)).unwrap_err();
    assert_eq!(error.to_string(), "prefix 0, member 0: has no token to continue");
    let error = policy.extend(&[prefix(&[99])], &sampling(true, 4)).unwrap_err();
    assert!(matches!(error, PolicyError::Vocabulary { .. }), "{error}");
    let mut cold = sampling(true, 4);
    cold.temperature = 0.0;
    let error = policy.extend(&[prefix(&[5])], &cold).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sampling: `temperature` = 0: must be a finite number > 0"
    );
    let mut batch = batch(2);
    batch.prompts[0] = vec![5; 79].into();
    assert!(matches!(
        learner.score(&batch).unwrap_err(),
        PolicyError::Context { limit: 80, .. }
    ));
    batch.prompts[0] = vec![].into();
    assert_eq!(
        learner.score(&batch).unwrap_err().to_string(),
        "trajectory 0: has an empty prompt"
    );
    batch.prompts[0] = vec![16].into();
    assert_eq!(
        learner.score(&batch).unwrap_err().to_string(),
        "trajectory 0: token 16 is not in the vocabulary of 16"
    );
}

#[test]
fn padding_changes_nothing() {
    // The same trajectory alone and beside longer ones.
    let (_, mut learner) = pair(&config(), 100_000);
    let batch = batch(6);
    let together = learner.score(&batch).unwrap();
    for i in 0..batch.n_trajectories() {
        let tokens = batch.tokens.range(i);
        let alone = groupwise_core::TokenBatch {
            groups: groupwise_core::Offsets::from_lengths([1]),
            tokens: groupwise_core::Offsets::from_lengths([tokens.len()]),
            prompts: vec![batch.prompts[i].clone()],
            ids: batch.ids[tokens.clone()].to_vec(),
            mask: batch.mask[tokens.clone()].to_vec(),
            logp_sampler: batch.logp_sampler[tokens.clone()].to_vec(),
            logp_old: None,
            logp_ref: None,
            segments: None,
            advantages: groupwise_core::Advantages::Trajectory(vec![0.0]),
            temperature: 0.9,
        };
        let alone = learner.score(&alone).unwrap();
        for (a, b) in alone.logp.iter().zip(&together.logp[tokens.clone()]) {
            assert!((a - b).abs() < 1e-5);
        }
    }
    for (t, counts) in batch.mask.iter().enumerate() {
        assert_eq!(
            together.logp[t] == 0.0,
            !counts,
            "masked tokens, and only they, read 0"
        );
    }
}
