//! One optimizer step: forward, derivatives, backward, clip, update.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use groupwise_core::architecture::AdamWConfig;
use groupwise_core::seams::{Learner, PolicyError, Scope, StepReport, TokenLoss, TokenScores};
use groupwise_core::{DataError, ParamError, TokenBatch, TokenGrads};
use groupwise_model::scores::RowSoftmax;
use groupwise_model::weights::read_values;
use groupwise_model::{SharedWeights, Weights};
use rayon::prelude::*;

use crate::adamw::{AdamW, as_data};
use crate::checkpoint;
use crate::engine::{Engine, Kept, Snapshot};
use crate::pieces::{Piece, cut};

/// Trains the weights of a [`groupwise_model::TransformerPolicy`].
///
/// Masked tokens are not scored: their log-probability and entropy read 0.
#[derive(Debug)]
pub struct TransformerLearner {
    pub(crate) weights: SharedWeights,
    pub(crate) optimizer: AdamW,
    pub(crate) reference: Option<Vec<Tensor<2>>>,
    engine: Engine,
    micro_batch_tokens: usize,
}

/// One gradient per parameter; `None` where nothing depends on it.
type Gradients = Vec<Option<Tensor<2>>>;

impl TransformerLearner {
    /// A learner without optimizer memory.
    ///
    /// # Errors
    /// [`PolicyError::Data`] naming a value out of range.
    pub fn new(weights: SharedWeights, optimizer: &AdamWConfig, engine: Engine) -> Result<Self, PolicyError> {
        optimizer.validate().map_err(as_data)?;
        Ok(Self {
            weights,
            optimizer: AdamW::new(optimizer.clone()),
            reference: None,
            engine,
            micro_batch_tokens: optimizer.micro_batch_tokens,
        })
    }

    /// The weights it changes.
    pub fn weights(&self) -> &SharedWeights {
        &self.weights
    }

    /// Scores of the whole batch under `params`, in micro-batches.
    fn score_with(
        &self,
        batch: &TokenBatch,
        weights: &Weights,
        params: &[Tensor<2>],
    ) -> Result<TokenScores, PolicyError> {
        let snapshot = self.engine.snapshot(weights, params)?;
        let mut out = blank(batch.n_tokens());
        for part in batch.parts(Scope::Trajectory, self.micro_batch_tokens) {
            let start = batch.tokens.range_of(part.clone()).start;
            let pieces = self.pieces(batch, part, weights)?;
            let scores: Vec<TokenScores> = pieces
                .par_iter()
                .map(|piece| {
                    let logits = snapshot.logits(&piece.packed)?;
                    score_rows(&logits, piece, batch.temperature)
                })
                .collect::<Result<_, _>>()
                .map_err(|e| blame(e, weights, params))?;
            for (piece, scores) in pieces.iter().zip(&scores) {
                spread(piece, scores, start, &mut out);
            }
        }
        Ok(out)
    }

    fn pieces(
        &self,
        batch: &TokenBatch,
        part: Range<usize>,
        weights: &Weights,
    ) -> Result<Vec<Piece>, PolicyError> {
        let limits = (weights.config().max_position_embeddings, weights.vocab_size());
        cut(batch, part, limits, self.engine.least_fill())
    }

    /// Adds the gradient of one part to `total`: one forward with a graph, the loss, one backward.
    fn accumulate(
        &self,
        batch: &TokenBatch,
        part: Range<usize>,
        (weights, snapshot): (&Weights, &Snapshot),
        loss: &mut dyn FnMut(&TokenScores) -> Result<TokenGrads, PolicyError>,
        total: &mut Gradients,
    ) -> Result<(), PolicyError> {
        let pieces = self.pieces(batch, part.clone(), weights)?;
        let n_tokens = batch.tokens.range_of(part).len();
        let forward = |piece: &Piece| -> Result<(TensorData, Kept, TokenScores), PolicyError> {
            let (values, kept) = snapshot.forward(&piece.packed)?;
            let scores = score_rows(&values, piece, batch.temperature)?;
            Ok((values, kept, scores))
        };
        let passed: Vec<(TensorData, Kept, TokenScores)> = pieces
            .par_iter()
            .map(forward)
            .collect::<Result<_, _>>()
            .map_err(|e| blame(e, weights, weights.tensors()))?;
        let mut scores = blank(n_tokens);
        for (piece, (_, _, s)) in pieces.iter().zip(&passed) {
            spread(piece, s, 0, &mut scores);
        }
        let grads = loss(&scores)?;
        check(&grads, n_tokens)?;
        let backward = |((values, kept, _), piece): ((TensorData, Kept, TokenScores), &Piece)| {
            let d_logits = inject(&values, piece, &grads, batch.temperature)?;
            snapshot.backward(&piece.packed, kept, d_logits)
        };
        let mut passed = passed.into_iter().zip(&pieces);
        loop {
            let wave: Vec<_> = passed.by_ref().take(wave(weights)).collect();
            if wave.is_empty() {
                return Ok(());
            }
            let gradients: Vec<Gradients> = wave.into_par_iter().map(backward).collect::<Result<_, _>>()?;
            gradients.into_iter().for_each(|piece| add(total, piece));
        }
    }

    /// Gradients of the whole batch and the number of micro-batches they took.
    fn gradients(
        &self,
        batch: &TokenBatch,
        scope: Scope,
        weights: &Weights,
        loss: &mut dyn TokenLoss,
    ) -> Result<(Gradients, usize), PolicyError> {
        let snapshot = self.engine.snapshot(weights, weights.tensors())?;
        let mut total = vec![None; weights.tensors().len()];
        let small = batch.parts(Scope::Trajectory, self.micro_batch_tokens);
        if scope == Scope::Batch && small.len() > 1 {
            let scores = self.score_with(batch, weights, weights.tensors())?;
            let whole = loss.gradient(0..batch.n_trajectories(), &scores)?;
            check(&whole, batch.n_tokens())?;
            for part in &small {
                let mine = slice(&whole, batch.tokens.range_of(part.clone()));
                let mut fixed = |_: &TokenScores| Ok(mine.clone());
                self.accumulate(batch, part.clone(), (weights, &snapshot), &mut fixed, &mut total)?;
            }
            return Ok((total, small.len()));
        }
        let parts = batch.parts(scope, self.micro_batch_tokens);
        for part in &parts {
            let mut ask = |scores: &TokenScores| Ok(loss.gradient(part.clone(), scores)?);
            self.accumulate(batch, part.clone(), (weights, &snapshot), &mut ask, &mut total)?;
        }
        Ok((total, parts.len()))
    }
}

impl Learner for TransformerLearner {
    fn score(&mut self, batch: &TokenBatch) -> Result<TokenScores, PolicyError> {
        batch.check()?;
        let weights = self.weights.read();
        self.score_with(batch, &weights, weights.tensors())
    }

    fn freeze_reference(&mut self) -> Result<(), PolicyError> {
        self.reference = Some(self.weights.read().tensors().to_vec());
        Ok(())
    }

    fn score_reference(&mut self, batch: &TokenBatch) -> Result<Vec<f64>, PolicyError> {
        batch.check()?;
        let Some(params) = &self.reference else {
            return Err(PolicyError::Unavailable(
                "no reference policy: freeze one before scoring under it".into(),
            ));
        };
        Ok(self.score_with(batch, &self.weights.read(), params)?.logp)
    }

    fn step(
        &mut self,
        batch: &TokenBatch,
        scope: Scope,
        learning_rate: f64,
        loss: &mut dyn TokenLoss,
    ) -> Result<StepReport, PolicyError> {
        batch.check()?;
        ParamError::check_coefficient("learning_rate", learning_rate).map_err(as_data)?;
        let (gradients, micro_batches, grad_norm, params) = {
            let weights = self.weights.read();
            let (gradients, micro_batches) = self.gradients(batch, scope, &weights, loss)?;
            let (gradients, norm) = finish(gradients, &weights)?;
            (gradients, micro_batches, norm, weights.tensors().to_vec())
        };
        let factor = self.optimizer.clip_factor(grad_norm);
        let params = self.optimizer.step(&params, gradients, factor, learning_rate);
        let mut weights = self.weights.write();
        weights.replace(params);
        let version = weights.version() + 1;
        weights.set_version(version);
        Ok(StepReport {
            grad_norm,
            micro_batches,
        })
    }

    fn restart(&mut self) -> Result<(), PolicyError> {
        self.optimizer.reset();
        self.weights.write().set_version(0);
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, PolicyError> {
        checkpoint::save(self)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), PolicyError> {
        checkpoint::load(self, bytes)
    }

    fn digest(&self) -> Result<String, PolicyError> {
        checkpoint::digest(&self.weights.read())
    }
}

/// Pieces whose gradients are held at a time before they are added up: all of them for a small model, few where
/// each copy is large.  A function of the model alone, so that threads change nothing.
fn wave(weights: &Weights) -> usize {
    let parameters = weights.config().n_parameters(weights.vocab_size());
    if parameters <= 4_000_000 { 64 } else { 4 }
}

fn add(total: &mut Gradients, piece: Gradients) {
    for (total, gradient) in total.iter_mut().zip(piece) {
        *total = match (total.take(), gradient) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }
}

/// Derivative by the logits of `sum(d_logp * logp + d_entropy * entropy)` over the piece's tokens.
fn inject(
    values: &TensorData,
    piece: &Piece,
    grads: &TokenGrads,
    temperature: f64,
) -> Result<Vec<f32>, PolicyError> {
    let values = as_slice(values)?;
    let width = values.len() / piece.slots.len().max(1);
    let mut d_logits = vec![0.0_f32; values.len()];
    let mut softmax = RowSoftmax::default();
    let rows = values
        .chunks_exact(width.max(1))
        .zip(d_logits.chunks_exact_mut(width.max(1)));
    for ((logits, out), (slot, target)) in rows.zip(piece.slots.iter().zip(&piece.targets)) {
        let d_logp = grads.d_logp[*slot];
        let d_entropy = grads.d_entropy.as_ref().map_or(0.0, |d| d[*slot]);
        if d_logp != 0.0 || d_entropy != 0.0 {
            softmax.load(logits, temperature);
            softmax.gradient(*target, d_logp, d_entropy, temperature, out);
        }
    }
    Ok(d_logits)
}

/// Global norm and finite check of the gradients, before anything changes.
fn finish(gradients: Gradients, weights: &Weights) -> Result<(Vec<Tensor<2>>, f64), PolicyError> {
    let mut square = 0.0;
    let mut out = Vec::with_capacity(gradients.len());
    for ((gradient, tensor), param) in gradients
        .into_iter()
        .zip(weights.tensors())
        .zip(&weights.layout().params)
    {
        let gradient = gradient.unwrap_or_else(|| tensor.zeros_like());
        let sum: f64 = read_values(gradient.clone())?
            .iter()
            .map(|g| f64::from(*g) * f64::from(*g))
            .sum();
        if !sum.is_finite() {
            return Err(PolicyError::NonFinite {
                what: "gradient",
                tensor: param.name.clone(),
            });
        }
        square += sum;
        out.push(gradient);
    }
    Ok((out, square.sqrt()))
}

/// A score that is not finite comes from a weight that is not, if there is one: name it.
fn blame(error: PolicyError, weights: &Weights, params: &[Tensor<2>]) -> PolicyError {
    if !matches!(error, PolicyError::NonFinite { .. }) {
        return error;
    }
    let is_bad = |tensor: &Tensor<2>| {
        read_values(tensor.clone()).is_ok_and(|values| values.iter().any(|x| !x.is_finite()))
    };
    let named = params.iter().zip(&weights.layout().params);
    named
        .into_iter()
        .find(|(tensor, _)| is_bad(tensor))
        .map_or(error, |(_, param)| PolicyError::NonFinite {
            what: "weight",
            tensor: param.name.clone(),
        })
}

fn score_rows(values: &TensorData, piece: &Piece, temperature: f64) -> Result<TokenScores, PolicyError> {
    let values = as_slice(values)?;
    let width = values.len() / piece.slots.len().max(1);
    let mut out = blank(piece.slots.len());
    let mut softmax = RowSoftmax::default();
    for (n, (logits, target)) in values.chunks_exact(width.max(1)).zip(&piece.targets).enumerate() {
        if !softmax.load(logits, temperature) {
            return Err(PolicyError::NonFinite {
                what: "log-probability",
                tensor: "logits".into(),
            });
        }
        out.logp[n] = softmax.logp(*target);
        out.entropy[n] = softmax.entropy();
    }
    Ok(out)
}

fn spread(piece: &Piece, scores: &TokenScores, start: usize, out: &mut TokenScores) {
    for ((slot, logp), entropy) in piece.slots.iter().zip(&scores.logp).zip(&scores.entropy) {
        out.logp[start + slot] = *logp;
        out.entropy[start + slot] = *entropy;
    }
}

fn blank(n: usize) -> TokenScores {
    TokenScores {
        logp: vec![0.0; n],
        entropy: vec![0.0; n],
    }
}

fn slice(grads: &TokenGrads, tokens: Range<usize>) -> TokenGrads {
    TokenGrads {
        d_logp: grads.d_logp[tokens.clone()].to_vec(),
        d_entropy: grads.d_entropy.as_ref().map(|d| d[tokens].to_vec()),
        d_value: None,
    }
}

fn check(grads: &TokenGrads, n_tokens: usize) -> Result<(), PolicyError> {
    DataError::check_len("d_logp", grads.d_logp.len(), n_tokens)?;
    if let Some(d_entropy) = &grads.d_entropy {
        DataError::check_len("d_entropy", d_entropy.len(), n_tokens)?;
    }
    if grads.d_value.is_some() {
        return Err(PolicyError::Unavailable(
            "the loss depends on values, and this learner has no critic".into(),
        ));
    }
    Ok(())
}

fn as_slice(data: &TensorData) -> Result<&[f32], PolicyError> {
    data.as_slice::<f32>()
        .map_err(|e| PolicyError::Unavailable(format!("the device computes in another type: {e:?}")))
}
