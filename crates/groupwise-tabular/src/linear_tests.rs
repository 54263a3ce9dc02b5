use std::ops::Range;
use std::sync::Arc;

use groupwise_core::seams::{Policy, PolicyError, Symbols, TokenScores};
use groupwise_core::{Advantages, DataError, Learner, Offsets, Scope, Stream, TokenBatch, TokenGrads};
use proptest::prelude::*;

use super::*;
use crate::{LinearConfig, TabularConfig, TabularLearner, TabularPolicy, linear_pair, pair};

const N_STATES: usize = 3;
const N_ACTIONS: usize = 4;
const N_WEIGHTS: usize = 5;

fn key() -> Key {
    Key::new(11, Stream::Init)
}

fn symbols() -> Symbols {
    let names = |letter: char, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect();
    Symbols::Words {
        states: names('s', N_STATES),
        actions: names('o', N_ACTIONS),
    }
}

/// Every row with every weight.
fn dense(values: &[f64]) -> Features {
    Features::new(N_STATES, N_ACTIONS, N_WEIGHTS, |s, a| {
        let start = (s * N_ACTIONS + a) * N_WEIGHTS;
        values[start..start + N_WEIGHTS]
            .iter()
            .copied()
            .enumerate()
            .collect()
    })
    .unwrap()
}

fn built(
    config: &LinearConfig,
    psi: &Features,
    base: Option<Vec<Vec<f64>>>,
) -> (TabularPolicy, TabularLearner) {
    linear_pair(config, &symbols(), Some(psi.clone()), base, key()).unwrap()
}

/// Weights drawn with deviation 1, and the learner that has them.
fn drawn(psi: &Features) -> TabularLearner {
    let config = LinearConfig {
        init_std: 1.0,
        ..Default::default()
    };
    built(&config, psi, None).1
}

/// One group of one-turn trajectories (state, action).
fn batch(turns: &[(u32, u32)]) -> TokenBatch {
    let ids: Vec<u32> = turns.iter().map(|(_, a)| N_STATES as u32 + a).collect();
    TokenBatch {
        groups: Offsets::from_lengths([turns.len()]),
        tokens: Offsets::from_lengths(turns.iter().map(|_| 1)),
        prompts: turns.iter().map(|(s, _)| Arc::from([*s])).collect(),
        logp_sampler: vec![-1.0; ids.len()],
        logp_old: None,
        logp_ref: None,
        segments: None,
        advantages: Advantages::Trajectory(vec![0.0; turns.len()]),
        temperature: 1.3,
        mask: vec![true; ids.len()],
        ids,
    }
}

/// Loss `sum w logp^2 + w' sin(H)`, whose weights depend on the token's place.
fn weight(k: usize) -> f64 {
    (1.0 + k as f64).sin()
}

fn loss(scores: &TokenScores) -> f64 {
    let terms = scores.logp.iter().zip(&scores.entropy).enumerate();
    terms
        .map(|(k, (l, h))| weight(k) * l * l + weight(k + 99) * h.sin())
        .sum()
}

fn step(learner: &mut TabularLearner, batch: &TokenBatch, rate: f64) -> f64 {
    let mut gradient = |part: Range<usize>, scores: &TokenScores| -> Result<TokenGrads, DataError> {
        let places = batch.tokens.range_of(part);
        let pairs = scores.logp.iter().zip(&scores.entropy).zip(places);
        let (d_logp, d_entropy) = pairs
            .map(|((l, h), k)| (2.0 * weight(k) * l, weight(k + 99) * h.cos()))
            .unzip();
        Ok(TokenGrads {
            d_logp,
            d_entropy: Some(d_entropy),
            d_value: None,
        })
    };
    learner
        .step(batch, Scope::Batch, rate, &mut gradient)
        .unwrap()
        .grad_norm
}

/// Parameters of a learner, from its checkpoint.
fn weights(learner: &TabularLearner) -> Vec<f64> {
    let bytes = learner.save().unwrap();
    let (numbers, _) = bytes[28..28 + 8 * N_WEIGHTS].as_chunks::<8>();
    numbers.iter().map(|b| f64::from_le_bytes(*b)).collect()
}

/// The same learner with other weights.
fn with_weights(psi: &Features, weights: &[f64]) -> TabularLearner {
    let mut learner = drawn(psi);
    let mut bytes = learner.save().unwrap();
    for (i, w) in weights.iter().enumerate() {
        bytes[28 + 8 * i..36 + 8 * i].copy_from_slice(&w.to_le_bytes());
    }
    learner.load(&bytes).unwrap();
    learner
}

fn features() -> impl Strategy<Value = Features> {
    prop::collection::vec(-2.0..2.0f64, N_STATES * N_ACTIONS * N_WEIGHTS).prop_map(|v| dense(&v))
}

fn turns() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0..N_STATES as u32, 0..N_ACTIONS as u32), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_gradient_is_that_of_the_loss(psi in features(), turns in turns()) {
        let batch = batch(&turns);
        let mut learner = drawn(&psi);
        let before = weights(&learner);
        let norm = step(&mut learner, &batch, 1.0);
        let found: Vec<f64> = before.iter().zip(weights(&learner)).map(|(b, a)| b - a).collect();
        let h = 1e-5;
        for i in 0..N_WEIGHTS {
            let at = |shift: f64| {
                let mut moved = before.clone();
                moved[i] += shift;
                loss(&with_weights(&psi, &moved).score(&batch).unwrap())
            };
            let expected = (at(h) - at(-h)) / (2.0 * h);
            prop_assert!((found[i] - expected).abs() < 1e-5, "weight {}: {} and {}", i, found[i], expected);
        }
        prop_assert!((norm - found.iter().map(|g| g * g).sum::<f64>().sqrt()).abs() < 1e-6);
    }

    #[test]
    fn with_a_feature_of_its_own_for_every_action_it_is_the_table(
        start in prop::collection::vec(-2.0..2.0f64, N_STATES * N_ACTIONS), turns in turns(),
    ) {
        let own = Features::new(N_STATES, N_ACTIONS, N_STATES * N_ACTIONS, |s, a| vec![(s * N_ACTIONS + a, 1.0)]);
        let rows: Vec<Vec<f64>> = start.chunks(N_ACTIONS).map(<[f64]>::to_vec).collect();
        let batch = batch(&turns);
        let (linear, mut linear_learner) = built(&LinearConfig::default(), &own.unwrap(), Some(rows.clone()));
        let (table, mut table_learner) = pair(&TabularConfig::default(), &symbols(), Some(rows), key()).unwrap();
        for _ in 0..3 {
            let (a, b) = (step(&mut linear_learner, &batch, 0.5), step(&mut table_learner, &batch, 0.5));
            prop_assert!((a - b).abs() < 1e-12);
        }
        for state in ["s0", "s1", "s2"] {
            let (a, b) = (linear.action_probabilities(state).unwrap(), table.action_probabilities(state).unwrap());
            for (x, y) in a.iter().zip(&b) {
                prop_assert!((x - y).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_resumed_run_equals_an_uninterrupted_one(psi in features(), turns in turns(), stop in 0..4usize) {
        let batch = batch(&turns);
        let mut whole = drawn(&psi);
        whole.freeze_reference().unwrap();
        let mut saved = Vec::new();
        for k in 0..4 {
            if k == stop {
                saved = whole.save().unwrap();
            }
            step(&mut whole, &batch, 0.3);
        }
        let mut resumed = built(&LinearConfig::default(), &psi, None).1;
        resumed.load(&saved).unwrap();
        prop_assert_eq!(resumed.save().unwrap(), saved);
        for _ in stop..4 {
            step(&mut resumed, &batch, 0.3);
        }
        prop_assert_eq!(resumed.save().unwrap(), whole.save().unwrap());
        prop_assert_eq!(resumed.digest().unwrap(), whole.digest().unwrap());
        prop_assert_eq!(resumed.score_reference(&batch).unwrap(), whole.score_reference(&batch).unwrap());
    }

    #[test]
    fn policy_and_learner_have_the_same_bits(psi in features(), turns in turns()) {
        let (policy, mut learner) = built(&LinearConfig { init_std: 1.0, ..Default::default() }, &psi, None);
        let mut one = batch(&turns);
        one.temperature = 1.0;
        step(&mut learner, &one, 0.3);
        let scores = learner.score(&one).unwrap();
        for ((state, action), logp) in turns.iter().zip(&scores.logp) {
            let p = policy.action_probabilities(&format!("s{state}")).unwrap();
            prop_assert_eq!(p[*action as usize], logp.exp());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refuse = |features: Option<Features>, base: Option<Vec<Vec<f64>>>| {
        let made = linear_pair(&LinearConfig::default(), &symbols(), features, base, key());
        made.map(|_| ()).unwrap_err().to_string()
    };
    let one = |n_states, n_actions| Features::new(n_states, n_actions, 1, |_, _| vec![(0, 1.0)]).ok();
    assert_eq!(
        refuse(None, None),
        "`policy` = linear: must be used in a world that gives features of states and actions"
    );
    assert_eq!(
        refuse(one(2, 4), None),
        "`features` = 2 states x 4 actions: must be those of the world's 3 states x 4 actions"
    );
    assert_eq!(
        refuse(one(3, 4), Some(vec![vec![0.0; 4]])),
        "`initial_logits` = 1 rows: must be one row of logits for each of the 3 states"
    );
}

#[test]
fn what_is_not_finite_is_named_and_changes_nothing() {
    let psi = Features::new(N_STATES, N_ACTIONS, N_WEIGHTS, |_, a| vec![(a, 1e200)]).unwrap();
    let mut learner = built(&LinearConfig::default(), &psi, None).1;
    let before = learner.save().unwrap();
    let batch = batch(&[(1, 2)]);
    let mut refuse = |d_logp: f64, rate: f64| {
        let mut broken = |_: Range<usize>, _: &TokenScores| -> Result<TokenGrads, DataError> {
            Ok(TokenGrads {
                d_logp: vec![d_logp],
                ..TokenGrads::default()
            })
        };
        let error: PolicyError = learner.step(&batch, Scope::Batch, rate, &mut broken).unwrap_err();
        assert_eq!(learner.save().unwrap(), before);
        error.to_string()
    };
    assert_eq!(refuse(f64::NAN, 1.0), "gradient of `logits[s1]` is not finite");
    assert_eq!(refuse(1e200, 1.0), "gradient of `weights[0]` is not finite");
    assert_eq!(refuse(1.0, 1e200), "weight of `weights[0]` is not finite");
    assert_eq!(refuse(1.0, 1.0), "logit of `logits[s0]` is not finite");
}

#[test]
fn bytes_and_a_foreign_checkpoint() {
    let psi = dense(&[0.5; N_STATES * N_ACTIONS * N_WEIGHTS]);
    let mut learner = built(&LinearConfig::default(), &psi, None).1;
    let bytes = learner.save().unwrap();
    assert_eq!(bytes.len(), 28 + 8 * N_WEIGHTS + 1);
    assert_eq!(&bytes[..20], b"gw-theta\x01\0\0\0\x05\0\0\0\0\0\0\0");
    let table = pair(&TabularConfig::default(), &symbols(), None, key())
        .unwrap()
        .1;
    let mut refuse = |bytes: &[u8]| learner.load(bytes).unwrap_err().to_string();
    assert_eq!(
        refuse(&table.save().unwrap()),
        "checkpoint does not fit: not a checkpoint of a linear policy"
    );
    let mut other = bytes.clone();
    other[12] = 6;
    assert_eq!(
        refuse(&other),
        "checkpoint does not fit: 6 weights, the world has 5"
    );
    let mut nan = bytes;
    nan[28..36].copy_from_slice(&f64::NAN.to_le_bytes());
    assert_eq!(refuse(&nan), "checkpoint does not fit: weights hold NaN");
}

#[test]
fn starting_weights_are_pinned_and_zero_by_default() {
    let psi = dense(&[0.5; N_STATES * N_ACTIONS * N_WEIGHTS]);
    assert_eq!(
        weights(&built(&LinearConfig::default(), &psi, None).1),
        [0.0; N_WEIGHTS]
    );
    assert_eq!(weights(&drawn(&psi)), weights(&drawn(&psi)));
    // Value stability: a change here changes every run of a linear policy with drawn weights.
    assert_eq!(format!("{:.6}", weights(&drawn(&psi))[0]), "0.418631");
}
