//! Optimizer steps: gradients, micro-batches, determinism, checkpoints, refusals.
#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in tests but not in their helpers"
)]

mod common;

use burn::tensor::{Int, Tensor, TensorData, activation};
use common::*;
use groupwise_core::seams::{Learner, Policy, Scope, TokenScores};
use groupwise_core::{TokenBatch, TokenGrads};
use groupwise_learner::{Engine, TransformerLearner};
use groupwise_model::forward::{Forward, Rectangle};

/// Parameters by name.
fn params(learner: &TransformerLearner) -> Vec<(String, Vec<f32>)> {
    let saved = learner.weights().read().export().unwrap();
    saved.into_iter().map(|t| (t.name, t.values)).collect()
}

/// The gradient a step followed, read from the first mean of AdamW: `exp_avg = 0.1 * factor * g`.
fn gradient(learner: &TransformerLearner, norm: f64) -> Vec<f64> {
    let bytes = learner.save().unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let factor = if norm > 1.0 { 1.0 / (norm + 1e-6) } else { 1.0 };
    let mut names: Vec<String> = file.names().iter().map(|n| n.to_string()).collect();
    names.retain(|n| n.starts_with("optimizer.exp_avg."));
    names.sort();
    names
        .iter()
        .flat_map(|n| file.tensor(n).unwrap().data().to_vec())
        .collect::<Vec<u8>>()
        .chunks(4)
        .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])) / 0.1 / factor)
        .collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied())
}

/// Every sequence of a batch in one rectangle, with target and factor `cos(t)` of each counted token.
fn rectangle(batch: &TokenBatch) -> (Rectangle, Vec<i32>, Vec<f32>) {
    let longest = (0..batch.n_trajectories())
        .map(|i| batch.prompts[i].len() + batch.tokens.range(i).len())
        .max()
        .unwrap();
    let mut rectangle = Rectangle::new(batch.n_trajectories(), longest);
    let (mut targets, mut factors) = (Vec::new(), Vec::new());
    for i in 0..batch.n_trajectories() {
        let (tokens, prompt) = (batch.tokens.range(i), &batch.prompts[i]);
        for (p, id) in prompt.iter().chain(&batch.ids[tokens.clone()]).enumerate() {
            rectangle.set(i, p, *id);
        }
        for (n, t) in tokens.enumerate().filter(|(_, t)| batch.mask[*t]) {
            rectangle.score_after(i, prompt.len() + n - 1);
            targets.push(batch.ids[t] as i32);
            factors.push((t as f32).cos());
        }
    }
    (rectangle, targets, factors)
}

/// Gradient of the sum over counted tokens of `cos(t) logp + logp^2 / 8 + entropy / 4`, by autodiff from end to
/// end; laid out as the checkpoint lays it out.
fn burn_gradient(learner: &TransformerLearner, batch: &TokenBatch) -> Vec<f64> {
    let weights = learner.weights().read();
    let leaves: Vec<Tensor<2>> = weights
        .tensors()
        .iter()
        .map(|t| Tensor::from_inner(t.clone()).require_grad())
        .collect();
    let (rectangle, targets, factors) = rectangle(batch);
    let n = targets.len();
    let logits = Forward::new(weights.config(), 16).logits(&leaves, &rectangle);
    let device = logits.device();
    let all = activation::log_softmax(logits / batch.temperature, 1);
    let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [n, 1]), &device);
    let factors = Tensor::<2>::from_data(TensorData::new(factors, [n, 1]), &device);
    let logp = all.clone().gather(1, targets);
    let entropy = -(all.clone().exp() * all).sum();
    let loss = (logp.clone() * factors + logp.square() / 8.0).sum() + entropy / 4.0;
    let grads = loss.backward();
    let mut named: Vec<(&str, Tensor<2>)> = Vec::new();
    for (p, leaf) in weights.layout().params.iter().zip(&leaves) {
        let g = leaf.grad(&grads).unwrap();
        let as_saved = p.saved_shape() == g.dims() || p.rows == 1;
        // Square matrices need the transpose too: the checkpoint holds [out, in].
        let is_square = p.rows == p.columns && p.name.ends_with("proj.weight");
        let g = if as_saved && !is_square { g } else { g.transpose() };
        named.push((&p.name, g));
    }
    named.sort_by_key(|(name, _)| *name);
    named
        .into_iter()
        .flat_map(|(_, g)| g.try_into_vec_as::<f32>().unwrap())
        .map(f64::from)
        .collect()
}

#[test]
fn the_injected_gradient_is_burns_gradient_of_the_same_loss() {
    for form in 0..4 {
        let mut config = config();
        config.attention_bias = form & 1 == 1;
        config.qk_norm = form & 2 == 2;
        config.tie_word_embeddings = form != 3;
        let (_, learner) = pair(&config, 100_000);
        let batch = batch(4);
        let expected = burn_gradient(&learner, &batch);
        for mut learner in [learner, autodiff_learner(&config, 100_000)] {
            let report = learner
                .step(&batch, Scope::Token, 0.0, &mut loss(&batch))
                .unwrap();
            let injected = gradient(&learner, report.grad_norm);
            let error = distance(&expected, &injected);
            assert!(error < 1e-5, "form {form}: relative distance {error}");
            let norm = expected.iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!((norm / report.grad_norm - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn the_gradient_is_the_central_difference_of_the_scores() {
    // Independent of burn's autodiff: move along a direction and watch sum(d_logp * logp + d_entropy * entropy).
    let (_, mut learner) = pair(&config(), 100_000);
    let batch = batch(3);
    let before = learner.weights().read().export().unwrap();
    let scores = learner.score(&batch).unwrap();
    let fixed = loss(&batch)(0..batch.n_trajectories(), &scores).unwrap();
    let report = learner
        .step(&batch, Scope::Token, 0.0, &mut loss(&batch))
        .unwrap();
    let g = gradient(&learner, report.grad_norm);
    let value = |scores: &TokenScores| -> f64 {
        let entropy = fixed.d_entropy.as_ref().unwrap();
        let terms = scores
            .logp
            .iter()
            .zip(&fixed.d_logp)
            .chain(scores.entropy.iter().zip(entropy));
        terms.map(|(x, d)| x * d).sum()
    };
    let mut names: Vec<&str> = before.iter().map(|t| t.name.as_str()).collect();
    names.sort_unstable();
    let mut start = 0;
    for name in names {
        let t = before.iter().find(|t| t.name == name).unwrap();
        let slope = &g[start..start + t.values.len()];
        start += t.values.len();
        let length = slope.iter().map(|x| x * x).sum::<f64>().sqrt();
        let h = 2e-3;
        let mut at = |sign: f64| {
            let moved = |other: &str| {
                let o = before.iter().find(|t| t.name == other).unwrap();
                let mut values = o.values.clone();
                if other == name {
                    for (x, s) in values.iter_mut().zip(slope) {
                        *x += (sign * h * s / length) as f32;
                    }
                }
                Ok((o.shape.clone(), values))
            };
            learner.weights().write().import(moved).unwrap();
            value(&learner.score(&batch).unwrap())
        };
        let difference = (at(1.0) - at(-1.0)) / (2.0 * h);
        assert!(
            (difference / length - 1.0).abs() < 0.01,
            "{name}: {difference} against {length}"
        );
    }
}

#[test]
fn every_split_into_micro_batches_agrees() {
    let batch = batch(7);
    let whole = {
        let (_, mut learner) = pair(&config(), 100_000);
        let report = learner
            .step(&batch, Scope::Token, 1e-3, &mut loss(&batch))
            .unwrap();
        assert_eq!(report.micro_batches, 1);
        gradient(&learner, report.grad_norm)
    };
    for scope in [Scope::Token, Scope::Trajectory, Scope::Group, Scope::Batch] {
        for tokens in [1, 60, 200] {
            let (_, mut learner) = pair(&config(), tokens);
            let mut asked = Vec::new();
            let mut inner = loss(&batch);
            let mut watched = |part: std::ops::Range<usize>, scores: &TokenScores| {
                asked.push(part.clone());
                inner(part, scores)
            };
            let report = learner.step(&batch, scope, 1e-3, &mut watched).unwrap();
            assert!(report.micro_batches > 1);
            let expected = match scope {
                Scope::Batch => vec![0..batch.n_trajectories()],
                _ => batch.parts(scope, tokens),
            };
            assert_eq!(asked, expected, "the loss sees each part once");
            let error = distance(&whole, &gradient(&learner, report.grad_norm));
            assert!(
                error < 1e-5,
                "{scope:?}, {tokens} tokens: relative distance {error}"
            );
        }
    }
}

/// Bytes after two steps and tokens sampled between them, in a pool of this many threads.
fn run(
    threads: usize,
    hidden: usize,
    engine: Engine,
) -> (Vec<u8>, Vec<Vec<groupwise_core::seams::Continuation>>) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
        let mut config = config();
        config.hidden_size = hidden;
        config.intermediate_size = 2 * hidden;
        config.initializer_range = Some(0.1);
        let (mut policy, learner) = pair(&config, 400);
        let shared = learner.weights().clone();
        let mut learner = TransformerLearner::new(shared, &optimizer(400), engine).unwrap();
        let batch = batch(12);
        learner
            .step(&batch, Scope::Group, 1e-3, &mut loss(&batch))
            .unwrap();
        let mut texts = texts();
        texts[0].1.extend((100..200).map(|i| (i, vec![])));
        let done = extend(&mut policy, &texts, &sampling(false, 20));
        learner
            .step(&batch, Scope::Batch, 1e-3, &mut loss(&batch))
            .unwrap();
        (learner.save().unwrap(), done)
    })
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    // 256 is wide enough for products that burn-flex spreads over threads.
    for engine in [Engine::Host, Engine::Autodiff] {
        for hidden in [24, 256] {
            let one = run(1, hidden, engine);
            for threads in [2, 3] {
                let many = run(threads, hidden, engine);
                let what = format!("{threads} threads, width {hidden}, {engine:?}");
                assert!(one.0 == many.0, "weights differ with {what}");
                assert_eq!(one.1, many.1, "tokens differ with {what}");
            }
        }
    }
}

#[test]
fn a_resumed_run_is_byte_identical() {
    let batch = batch(5);
    let step = |learner: &mut TransformerLearner| {
        learner
            .step(&batch, Scope::Trajectory, 1e-3, &mut loss(&batch))
            .unwrap()
    };
    let (_, mut straight) = pair(&config(), 200);
    step(&mut straight);
    straight.freeze_reference().unwrap();
    step(&mut straight);
    let saved = straight.save().unwrap();
    let (mut policy, mut resumed) = pair(&config(), 200);
    let fresh = resumed.digest().unwrap();
    resumed.load(&saved).unwrap();
    assert_ne!(resumed.digest().unwrap(), fresh);
    assert_eq!(resumed.digest().unwrap(), straight.digest().unwrap());
    assert_eq!(policy.version(), 2);
    assert!(resumed.save().unwrap() == saved);
    assert_eq!(
        resumed.score_reference(&batch).unwrap(),
        straight.score_reference(&batch).unwrap()
    );
    step(&mut straight);
    step(&mut resumed);
    assert!(resumed.save().unwrap() == straight.save().unwrap());
    // The policy reads the weights that were loaded.
    let c = extend(&mut policy, &texts(), &sampling(false, 5));
    let scores = resumed.score(&sampled_batch(&texts(), &c)).unwrap();
    let sampled: Vec<f64> = c.iter().flatten().flat_map(|c| c.logp.clone()).collect();
    assert!(
        scores
            .logp
            .iter()
            .zip(&sampled)
            .all(|(a, b)| (a - b).abs() < 1e-4)
    );
    // Before any step there are no moments to save, and restart forgets them.
    let (_, mut new) = pair(&config(), 200);
    let bytes = new.save().unwrap();
    new.load(&bytes).unwrap();
    assert!(new.save().unwrap() == bytes);
    step(&mut new);
    let digest = new.digest().unwrap();
    new.restart().unwrap();
    assert_eq!(
        (new.digest().unwrap(), new.weights().read().version()),
        (digest, 0)
    );
    assert!(new.save().unwrap().len() == bytes.len());
}

#[test]
fn checkpoints_that_do_not_fit_are_refused_and_change_nothing() {
    let (_, mut learner) = pair(&config(), 200);
    let before = learner.save().unwrap();
    let mut other = config();
    other.intermediate_size = 48;
    let foreign = pair(&other, 200).1.save().unwrap();
    assert_eq!(
        learner.load(&foreign).unwrap_err().to_string(),
        "checkpoint does not fit: `model.layers.0.mlp.gate_proj.weight` has shape [48, 24], the model needs [40, 24]"
    );
    other = config();
    other.num_hidden_layers = 3;
    let deeper = pair(&other, 200).1.save().unwrap();
    assert_eq!(
        learner.load(&deeper).unwrap_err().to_string(),
        "checkpoint does not fit: the model has no tensor `model.layers.2.input_layernorm.weight`"
    );
    assert!(learner.load(&before[..before.len() / 2]).is_err());
    assert!(learner.load(b"nonsense").is_err());
    assert!(learner.save().unwrap() == before);
}

#[test]
fn a_step_that_is_not_finite_names_the_tensor_and_changes_nothing() {
    let (_, mut learner) = pair(&config(), 200);
    let batch = batch(3);
    let before = learner.save().unwrap();
    let mut broken = |part: std::ops::Range<usize>, scores: &TokenScores| {
        let mut grads = loss(&batch)(part, scores)?;
        grads.d_logp[0] = f64::NAN;
        Ok(grads)
    };
    let error = learner.step(&batch, Scope::Token, 1e-3, &mut broken).unwrap_err();
    assert_eq!(
        error.to_string(),
        "gradient of `model.embed_tokens.weight` is not finite"
    );
    assert!(
        learner.save().unwrap() == before,
        "neither weights nor moments nor version changed"
    );
    let saved = learner.weights().read().export().unwrap();
    let poison = |name: &str| {
        let t = saved.iter().find(|t| t.name == name).unwrap();
        let mut values = t.values.clone();
        if name == "model.layers.1.self_attn.k_proj.weight" {
            values[7] = f32::NAN;
        }
        Ok((t.shape.clone(), values))
    };
    learner.weights().write().import(poison).unwrap();
    let expected = "weight of `model.layers.1.self_attn.k_proj.weight` is not finite";
    assert_eq!(learner.score(&batch).unwrap_err().to_string(), expected);
    let error = learner
        .step(&batch, Scope::Token, 1e-3, &mut loss(&batch))
        .unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn bad_arguments_are_refused_in_words() {
    let (_, mut learner) = pair(&config(), 200);
    let batch = batch(2);
    let error = learner
        .step(&batch, Scope::Token, f64::NAN, &mut loss(&batch))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "configuration: `learning_rate` = NaN: must be a finite number >= 0"
    );
    let mut short = |_: std::ops::Range<usize>, _: &TokenScores| Ok(TokenGrads::default());
    let error = learner.step(&batch, Scope::Token, 1e-3, &mut short).unwrap_err();
    assert!(error.to_string().starts_with("`d_logp` has 0 entries"), "{error}");
    let mut critic = |part, scores: &TokenScores| {
        let mut grads = loss(&batch)(part, scores)?;
        grads.d_value = Some(Vec::new());
        Ok(grads)
    };
    let error = learner.step(&batch, Scope::Token, 1e-3, &mut critic).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the loss depends on values, and this learner has no critic"
    );
    let error = learner.score_reference(&batch).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no reference policy: freeze one before scoring under it"
    );
}

#[test]
fn the_reference_stays_and_the_likelihood_rises() {
    let (_, mut learner) = pair(&config(), 200);
    let batch = batch(3);
    learner.freeze_reference().unwrap();
    let start = learner.score(&batch).unwrap().logp;
    let mut likelihood = |part: std::ops::Range<usize>, scores: &TokenScores| {
        let tokens = batch.tokens.range_of(part);
        let n = batch.n_tokens() as f64;
        let d_logp = batch.mask[tokens]
            .iter()
            .map(|m| if *m { -1.0 / n } else { 0.0 })
            .collect();
        assert!(scores.entropy.iter().all(|h| *h >= 0.0));
        Ok(TokenGrads {
            d_logp,
            ..TokenGrads::default()
        })
    };
    for _ in 0..30 {
        learner.step(&batch, Scope::Token, 3e-3, &mut likelihood).unwrap();
    }
    let end = learner.score(&batch).unwrap().logp;
    assert!(end.iter().sum::<f64>() > 0.6 * start.iter().sum::<f64>());
    assert_eq!(learner.score_reference(&batch).unwrap(), start);
    assert_eq!(learner.weights().read().version(), 30);
    assert_eq!(params(&learner).len(), 2 + 2 * 9);
}
