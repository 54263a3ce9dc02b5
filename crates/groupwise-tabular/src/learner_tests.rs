use std::sync::Arc;

use groupwise_core::seams::{Policy, Symbols};
use groupwise_core::{Advantages, Key, Offsets, Stream};
use proptest::prelude::*;

use super::*;
use crate::{TabularConfig, pair};

const N_STATES: usize = 3;
const N_ACTIONS: usize = 4;

fn learner(config: &TabularConfig, logits: Vec<f64>) -> TabularLearner {
    let names = |letter: char, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect();
    let symbols = Symbols::Words {
        states: names('s', N_STATES),
        actions: names('o', N_ACTIONS),
    };
    let rows = logits.chunks(N_ACTIONS).map(<[f64]>::to_vec).collect();
    pair(config, &symbols, Some(rows), Key::new(0, Stream::Init))
        .unwrap()
        .1
}

fn plain(logits: Vec<f64>) -> TabularLearner {
    learner(&TabularConfig::default(), logits)
}

/// One group; a trajectory is (state, action) pairs, its first state is the prompt.
fn batch(trajectories: &[Vec<(u32, u32)>], temperature: f64) -> TokenBatch {
    let (mut ids, mut mask) = (Vec::new(), Vec::new());
    for turns in trajectories {
        for (k, (state, action)) in turns.iter().enumerate() {
            if k > 0 {
                ids.push(*state);
                mask.push(false);
            }
            ids.push(N_STATES as u32 + action);
            mask.push(true);
        }
    }
    TokenBatch {
        groups: Offsets::from_lengths([trajectories.len()]),
        tokens: Offsets::from_lengths(trajectories.iter().map(|turns| 2 * turns.len() - 1)),
        prompts: trajectories.iter().map(|turns| Arc::from([turns[0].0])).collect(),
        logp_sampler: vec![-1.0; ids.len()],
        logp_old: None,
        logp_ref: None,
        segments: None,
        advantages: Advantages::Trajectory(vec![0.0; trajectories.len()]),
        temperature,
        ids,
        mask,
    }
}

fn trajectories() -> impl Strategy<Value = Vec<Vec<(u32, u32)>>> {
    let turn = (0..N_STATES as u32, 0..N_ACTIONS as u32);
    prop::collection::vec(prop::collection::vec(turn, 1..4), 1..6)
}

fn logits() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-3.0..3.0f64, N_STATES * N_ACTIONS)
}

/// Weight of a token in the test's loss.
fn weight(k: usize) -> f64 {
    (1.0 + k as f64).sin()
}

/// `sum w logp^2 + w' sin(H)`: nonlinear in both scalars.
fn loss(scores: &TokenScores) -> f64 {
    let terms = scores.logp.iter().zip(&scores.entropy).enumerate();
    terms
        .map(|(k, (logp, entropy))| weight(k) * logp * logp + weight(k + 99) * entropy.sin())
        .sum()
}

fn grads(batch: &TokenBatch, part: Range<usize>, scores: &TokenScores) -> TokenGrads {
    let tokens = batch.tokens.range_of(part);
    let d_logp = scores
        .logp
        .iter()
        .zip(tokens.clone())
        .map(|(logp, k)| 2.0 * weight(k) * logp)
        .collect();
    let d_entropy = scores
        .entropy
        .iter()
        .zip(tokens)
        .map(|(h, k)| weight(k + 99) * h.cos())
        .collect();
    TokenGrads {
        d_logp,
        d_entropy: Some(d_entropy),
        d_value: None,
    }
}

/// Takes one step of rate 1 and returns the gradient it used.
fn gradient(learner: &mut TabularLearner, batch: &TokenBatch, scope: Scope) -> (Vec<f64>, StepReport) {
    let before = learner.shared.read().logits.clone();
    let mut loss = |part: Range<usize>, scores: &TokenScores| Ok::<_, DataError>(grads(batch, part, scores));
    let report = learner.step(batch, scope, 1.0, &mut loss).unwrap();
    let after = learner.shared.read().logits.clone();
    (before.iter().zip(&after).map(|(b, a)| b - a).collect(), report)
}

proptest! {
    #[test]
    fn the_gradient_is_that_of_the_loss(logits in logits(), turns in trajectories(), temperature in 0.5..2.0f64) {
        let batch = batch(&turns, temperature);
        let (found, report) = gradient(&mut plain(logits.clone()), &batch, Scope::Batch);
        let h = 1e-5;
        for i in 0..logits.len() {
            let at = |shift: f64| {
                let mut moved = logits.clone();
                moved[i] += shift;
                loss(&plain(moved).score(&batch).unwrap())
            };
            let expected = (at(h) - at(-h)) / (2.0 * h);
            prop_assert!((found[i] - expected).abs() < 1e-6, "logit {}: {} and {}", i, found[i], expected);
        }
        prop_assert!((report.grad_norm - found.iter().map(|g| g * g).sum::<f64>().sqrt()).abs() < 1e-9);
    }

    #[test]
    fn micro_batches_change_no_bit(logits in logits(), turns in trajectories(), tokens in 1..12usize) {
        let batch = batch(&turns, 1.0);
        let config = TabularConfig { micro_batch_tokens: tokens, ..Default::default() };
        let (split, report) = gradient(&mut learner(&config, logits.clone()), &batch, Scope::Trajectory);
        let (whole, one) = gradient(&mut plain(logits), &batch, Scope::Batch);
        prop_assert_eq!(split, whole);
        prop_assert_eq!(one.micro_batches, 1);
        prop_assert_eq!(report.micro_batches, batch.parts(Scope::Trajectory, tokens).len());
    }

    #[test]
    fn clipping_scales_the_gradient_to_the_norm_allowed(
        logits in logits(), turns in trajectories(), most in 0.01..3.0f64,
    ) {
        let batch = batch(&turns, 1.0);
        let (whole, free) = gradient(&mut plain(logits.clone()), &batch, Scope::Batch);
        let config = TabularConfig { max_grad_norm: Some(most), ..Default::default() };
        let (clipped, report) = gradient(&mut learner(&config, logits), &batch, Scope::Batch);
        prop_assert_eq!(report.grad_norm, free.grad_norm);
        let factor = (most / free.grad_norm).min(1.0);
        for (c, w) in clipped.iter().zip(&whole) {
            prop_assert!((c - factor * w).abs() < 1e-12);
        }
    }

    #[test]
    fn a_resumed_run_equals_an_uninterrupted_one(logits in logits(), turns in trajectories(), stop in 0..5usize) {
        let batch = batch(&turns, 1.0);
        let mut whole = plain(logits);
        whole.freeze_reference().unwrap();
        let mut saved = Vec::new();
        for step in 0..5 {
            if step == stop {
                saved = whole.save().unwrap();
            }
            gradient(&mut whole, &batch, Scope::Batch);
        }
        let mut resumed = plain(vec![0.0; N_STATES * N_ACTIONS]);
        resumed.load(&saved).unwrap();
        prop_assert_eq!(resumed.save().unwrap(), saved);
        for _ in stop..5 {
            gradient(&mut resumed, &batch, Scope::Batch);
        }
        prop_assert_eq!(resumed.save().unwrap(), whole.save().unwrap());
        prop_assert_eq!(resumed.digest().unwrap(), whole.digest().unwrap());
        prop_assert_eq!(resumed.score_reference(&batch).unwrap(), whole.score_reference(&batch).unwrap());
    }
}

fn zeros() -> Vec<f64> {
    vec![0.0; N_STATES * N_ACTIONS]
}

#[test]
fn known_values() {
    // Two actions at logits (ln 3, 0) among four: p = (3, 1, 1, 1) / 6.
    let mut logits = zeros();
    logits[4] = 3f64.ln();
    let scores = plain(logits).score(&batch(&[vec![(1, 0), (2, 3)]], 1.0)).unwrap();
    assert!((scores.logp[0] - 0.5f64.ln()).abs() < 1e-15);
    assert_eq!((scores.logp[1], scores.entropy[1]), (0.0, 0.0));
    assert!((scores.logp[2] - 0.25f64.ln()).abs() < 1e-15);
    assert!((scores.entropy[0] - (0.5 * 2f64.ln() + 0.5 * 6f64.ln())).abs() < 1e-15);
    assert!((scores.entropy[2] - 4f64.ln()).abs() < 1e-15);
}

#[test]
fn tokens_left_out_of_the_loss_are_scored_and_observations_are_not() {
    let mut masked = batch(&[vec![(0, 1), (2, 3)]], 1.0);
    masked.mask = vec![false; 3];
    let scores = plain(zeros()).score(&masked).unwrap();
    assert_eq!((scores.logp[1], scores.entropy[1]), (0.0, 0.0));
    assert!((scores.logp[0] - 0.25f64.ln()).abs() < 1e-15 && scores.logp[2] == scores.logp[0]);
}

#[test]
fn a_non_finite_gradient_is_named_before_the_weights_change() {
    let batch = batch(&[vec![(0, 1), (2, 3)]], 1.0);
    let mut learner = plain(zeros());
    let before = learner.save().unwrap();
    let mut broken = |_: Range<usize>, _: &TokenScores| -> Result<TokenGrads, DataError> {
        Ok(TokenGrads {
            d_logp: vec![1.0, 0.0, f64::NAN],
            ..TokenGrads::default()
        })
    };
    let error = learner.step(&batch, Scope::Batch, 1.0, &mut broken).unwrap_err();
    assert_eq!(error.to_string(), "gradient of `logits[s2]` is not finite");
    let mut finite = |_: Range<usize>, _: &TokenScores| -> Result<TokenGrads, DataError> {
        Ok(TokenGrads {
            d_logp: vec![1e200, 0.0, 0.0],
            ..TokenGrads::default()
        })
    };
    let error = learner
        .step(&batch, Scope::Batch, 1e200, &mut finite)
        .unwrap_err();
    assert_eq!(error.to_string(), "weight of `logits[s0]` is not finite");
    assert_eq!(learner.save().unwrap(), before);
}

#[test]
fn an_impossible_action_has_no_log_probability() {
    let mut logits = zeros();
    logits[1] = -1e300;
    let error = plain(logits).score(&batch(&[vec![(0, 1)]], 1e-9)).unwrap_err();
    assert_eq!(error.to_string(), "log-probability of `logits[s0]` is not finite");
}

#[test]
fn an_impossible_action_leaves_the_gradient_finite() {
    let mut logits = zeros();
    logits[1] = -1e4;
    let (found, _) = gradient(&mut plain(logits), &batch(&[vec![(0, 0)]], 1.0), Scope::Batch);
    assert!(
        found.iter().all(|g| g.is_finite()) && found[1] == 0.0,
        "{found:?}"
    );
}

#[test]
fn data_that_does_not_fit_is_named() {
    let mut learner = plain(zeros());
    let good = batch(&[vec![(0, 1), (2, 3)]], 1.0);
    let mut wrong = good.clone();
    wrong.ids[2] = 1;
    assert_eq!(
        learner.score(&wrong).unwrap_err().to_string(),
        "trajectory 0, token 2: \"s1\" after \"s2\" is not an action after a state"
    );
    wrong.ids[2] = 99;
    wrong.prompts[0] = Arc::from([]);
    assert_eq!(
        learner.score(&wrong).unwrap_err().to_string(),
        "trajectory 0, token 0: \"o1\" after \"nothing\" is not an action after a state"
    );
    let cold = TokenBatch {
        temperature: 0.0,
        ..good.clone()
    };
    assert_eq!(
        learner.score(&cold).unwrap_err().to_string(),
        "temperature: is 0, must be a finite number > 0"
    );
    let mut step = |grads: TokenGrads, rate: f64| {
        let mut loss = |_: Range<usize>, _: &TokenScores| Ok::<_, DataError>(grads.clone());
        learner
            .step(&good, Scope::Batch, rate, &mut loss)
            .unwrap_err()
            .to_string()
    };
    let three = TokenGrads {
        d_logp: vec![0.0; 3],
        ..TokenGrads::default()
    };
    assert_eq!(
        step(TokenGrads::default(), 1.0),
        "`d_logp` has 0 entries, expected 3"
    );
    let entropy = TokenGrads {
        d_entropy: Some(vec![]),
        ..three.clone()
    };
    assert_eq!(step(entropy, 1.0), "`d_entropy` has 0 entries, expected 3");
    let value = TokenGrads {
        d_value: Some(vec![0.0; 3]),
        ..three.clone()
    };
    assert_eq!(
        step(value, 1.0),
        "a table has no value head, and the loss asks for one"
    );
    assert_eq!(step(three, f64::NAN), "learning_rate: is NaN, must be finite");
    assert_eq!(
        learner.score_reference(&good).unwrap_err().to_string(),
        "no reference policy was frozen"
    );
}

#[test]
fn the_reference_stays_and_restart_keeps_the_weights() {
    let batch = batch(&[vec![(0, 1), (2, 3)]], 1.0);
    let mut learner = plain(zeros());
    learner.freeze_reference().unwrap();
    let before = learner.score(&batch).unwrap().logp;
    gradient(&mut learner, &batch, Scope::Batch);
    assert_eq!(learner.score_reference(&batch).unwrap(), before);
    let policy = crate::TabularPolicy::new(learner.shared.clone());
    assert_eq!(policy.version(), 1);
    let digest = learner.digest().unwrap();
    learner.restart().unwrap();
    assert_eq!((policy.version(), learner.digest().unwrap()), (0, digest));
}

#[test]
fn bytes_and_digest_are_pinned() {
    let mut learner = plain((0..12).map(f64::from).collect());
    let bytes = learner.save().unwrap();
    assert_eq!(bytes.len(), 36 + 12 * 8 + 1);
    assert_eq!(&bytes[..20], b"gw-table\x01\0\0\0\x03\0\0\0\0\0\0\0");
    assert_eq!(
        learner.digest().unwrap(),
        "3cdb84857b942fe6dfa5d5b90444935652a4a319bab777539926f4b43fe579fa"
    );
    learner.freeze_reference().unwrap();
    assert_eq!(learner.save().unwrap().len(), bytes.len() + 12 * 8);
}

#[test]
fn a_checkpoint_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut learner = plain(zeros());
    let good = learner.save().unwrap();
    let mut refuse = |bytes: &[u8]| {
        let error = learner.load(bytes).unwrap_err().to_string();
        assert_eq!(learner.save().unwrap(), good);
        error
    };
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(
        refuse(&with(0, b'x')),
        "checkpoint does not fit: not a checkpoint of a table"
    );
    assert_eq!(
        refuse(&with(8, 2)),
        "checkpoint does not fit: format 2, this build reads 1"
    );
    assert_eq!(
        refuse(&with(12, 7)),
        "checkpoint does not fit: 7 states x 4 actions, the world has 3 x 4"
    );
    assert_eq!(refuse(&good[..50]), "checkpoint does not fit: cut short");
    assert_eq!(
        refuse(&with(good.len() - 1, 3)),
        "checkpoint does not fit: reference flag 3"
    );
    assert_eq!(
        refuse(&[&good[..], &[0]].concat()),
        "checkpoint does not fit: 1 bytes too many"
    );
    let mut nan = good.clone();
    nan[36..44].copy_from_slice(&f64::NAN.to_le_bytes());
    assert_eq!(refuse(&nan), "checkpoint does not fit: logits hold NaN");
}
