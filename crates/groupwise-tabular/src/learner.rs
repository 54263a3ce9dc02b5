//! Exact gradients of the table.

use std::fmt::Write as _;
use std::ops::Range;

use groupwise_core::seams::{PolicyError, StepReport, TokenLoss, TokenScores};
use groupwise_core::{DataError, Learner, Scope, TokenBatch, TokenGrads};
use sha2::{Digest, Sha256};

use crate::checkpoint::{self, Shape};
use crate::table::{Shared, Softmax, Table, check_temperature};

/// The table, or the weights of a linear policy, as a learner: plain gradient descent on exact gradients.
///
/// # Formula
/// A token is action `a` taken in the state `s` just before it, `z = logits[s] / T`, `p = softmax(z)`:
/// `d logp / d logits[s][b] = ([a = b] - p_b) / T`, `d H / d logits[s][b] = -p_b (ln p_b + H) / T`, and
/// `logits <- logits - learning_rate * c * g`, `g = sum(d_logp * d logp + d_entropy * d H)`,
/// `c = min(1, max_grad_norm / |g|)`.  A linear policy has `logits = base + psi theta`, and
/// `theta <- theta - learning_rate * c * psi^T g`, c from the norm of `psi^T g`.
///
/// # Edge cases
/// A completion token that is not an action after a state (an observation of a later turn) has log-probability and
/// entropy 0 and no gradient; if the mask says the policy chose it, it is an error.  Tokens are summed in the order
/// of the batch, so that micro-batches change no bit.
#[derive(Debug)]
pub struct TabularLearner {
    shared: Shared,
    reference: Option<Table>,
    max_grad_norm: Option<f64>,
    micro_batch_tokens: usize,
}

impl TabularLearner {
    pub(crate) fn new(shared: Shared, max_grad_norm: Option<f64>, micro_batch_tokens: usize) -> Self {
        Self {
            shared,
            reference: None,
            max_grad_norm,
            micro_batch_tokens,
        }
    }

    /// What a checkpoint of this learner holds.
    fn shape(&self) -> Shape {
        match &self.shared.linear {
            None => Shape::Table {
                states: self.shared.words.n_states(),
                actions: self.shared.words.n_actions(),
            },
            Some(linear) => Shape::Linear {
                weights: linear.n_weights(),
            },
        }
    }

    /// Calls `visit` with the row and column of every token of `part`, `None` where it is not an action after a state.
    fn for_each_token(
        &self,
        batch: &TokenBatch,
        part: Range<usize>,
        mut visit: impl FnMut(Option<(usize, usize)>) -> Result<(), PolicyError>,
    ) -> Result<(), PolicyError> {
        let words = &self.shared.words;
        for i in part {
            let mut before = batch.prompts[i].last().copied();
            for (t, k) in batch.tokens.range(i).enumerate() {
                let token = batch.ids[k];
                let place = before.and_then(|b| words.state(b)).zip(words.action(token));
                if batch.mask[k] && place.is_none() {
                    let word = |token: Option<u32>| {
                        token.and_then(|t| words.word(t)).unwrap_or("nothing").to_owned()
                    };
                    return Err(DataError::value(
                        format!("trajectory {i}, token {t}"),
                        format!(
                            "{:?} after {:?} is not an action after a state",
                            word(Some(token)),
                            word(before)
                        ),
                    )
                    .into());
                }
                visit(place)?;
                before = Some(token);
            }
        }
        Ok(())
    }

    fn score_part(
        &self,
        table: &Table,
        batch: &TokenBatch,
        part: Range<usize>,
    ) -> Result<TokenScores, PolicyError> {
        let n = batch.tokens.range_of(part.clone()).len();
        let mut scores = TokenScores {
            logp: Vec::with_capacity(n),
            entropy: Vec::with_capacity(n),
        };
        let mut softmax = Softmax::default();
        self.for_each_token(batch, part, |place| {
            let (mut logp, mut entropy) = (0.0, 0.0);
            if let Some((state, action)) = place {
                softmax.set(state, table.row(state), batch.temperature);
                (logp, entropy) = (softmax.logp[action], softmax.entropy);
                if !logp.is_finite() {
                    let tensor = self.shared.words.tensor(state);
                    return Err(PolicyError::NonFinite {
                        what: "log-probability",
                        tensor,
                    });
                }
            }
            scores.logp.push(logp);
            scores.entropy.push(entropy);
            Ok(())
        })?;
        Ok(scores)
    }

    /// Adds the gradient of `sum(d_logp * logp) + sum(d_entropy * entropy)` over `part` to `gradient`.
    fn accumulate(
        &self,
        table: &Table,
        batch: &TokenBatch,
        part: Range<usize>,
        grads: &TokenGrads,
        gradient: &mut [f64],
    ) -> Result<(), PolicyError> {
        let n = batch.tokens.range_of(part.clone()).len();
        DataError::check_len("d_logp", grads.d_logp.len(), n)?;
        if let Some(d_entropy) = &grads.d_entropy {
            DataError::check_len("d_entropy", d_entropy.len(), n)?;
        }
        if grads.d_value.is_some() {
            return Err(PolicyError::Unavailable(
                "a table has no value head, and the loss asks for one".into(),
            ));
        }
        let mut softmax = Softmax::default();
        let mut k = 0;
        self.for_each_token(batch, part, |place| {
            if let Some((state, action)) = place {
                let d_logp = grads.d_logp[k] / batch.temperature;
                let d_entropy = grads.d_entropy.as_ref().map_or(0.0, |d| d[k]) / batch.temperature;
                softmax.set(state, table.row(state), batch.temperature);
                let row = &mut gradient[state * table.n_actions..(state + 1) * table.n_actions];
                for (slot, logp) in row.iter_mut().zip(&softmax.logp) {
                    let p = logp.exp();
                    // An impossible action has p ln p = 0, not 0 times infinity.
                    let surprise = if p > 0.0 {
                        p * (logp + softmax.entropy)
                    } else {
                        0.0
                    };
                    *slot -= d_logp * p + d_entropy * surprise;
                }
                row[action] += d_logp;
            }
            k += 1;
            Ok(())
        })
    }

    /// Names the first row that holds a NaN or an infinity.
    fn check_rows(&self, what: &'static str, values: &[f64], n_actions: usize) -> Result<(), PolicyError> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(index) => {
                let tensor = self.shared.words.tensor(index / n_actions);
                Err(PolicyError::NonFinite { what, tensor })
            }
        }
    }

    /// Names the first parameter that is a NaN or an infinity.
    fn check_parameters(
        &self,
        what: &'static str,
        values: &[f64],
        n_actions: usize,
    ) -> Result<(), PolicyError> {
        if self.shared.linear.is_none() {
            return self.check_rows(what, values, n_actions);
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(index) => Err(PolicyError::NonFinite {
                what,
                tensor: format!("weights[{index}]"),
            }),
        }
    }

    /// Factor of the update, from the norm of the gradient.
    fn clip(&self, norm: f64) -> f64 {
        match self.max_grad_norm {
            Some(most) if norm > most => most / norm,
            _ => 1.0,
        }
    }
}

/// Euclidean norm, safe for entries whose squares overflow.
fn norm(values: &[f64]) -> f64 {
    let scale = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    if scale == 0.0 {
        return 0.0;
    }
    scale * values.iter().map(|x| (x / scale).powi(2)).sum::<f64>().sqrt()
}

fn check_batch(batch: &TokenBatch) -> Result<(), PolicyError> {
    check_temperature(batch.temperature)?;
    Ok(batch.check()?)
}

impl Learner for TabularLearner {
    fn score(&mut self, batch: &TokenBatch) -> Result<TokenScores, PolicyError> {
        check_batch(batch)?;
        self.score_part(&self.shared.read(), batch, 0..batch.n_trajectories())
    }

    fn freeze_reference(&mut self) -> Result<(), PolicyError> {
        self.reference = Some(self.shared.read().clone());
        Ok(())
    }

    fn score_reference(&mut self, batch: &TokenBatch) -> Result<Vec<f64>, PolicyError> {
        check_batch(batch)?;
        let Some(reference) = &self.reference else {
            return Err(PolicyError::Unavailable("no reference policy was frozen".into()));
        };
        Ok(self.score_part(reference, batch, 0..batch.n_trajectories())?.logp)
    }

    fn step(
        &mut self,
        batch: &TokenBatch,
        scope: Scope,
        learning_rate: f64,
        loss: &mut dyn TokenLoss,
    ) -> Result<StepReport, PolicyError> {
        check_batch(batch)?;
        if !learning_rate.is_finite() {
            return Err(
                DataError::value("learning_rate", format!("is {learning_rate}, must be finite")).into(),
            );
        }
        let table = self.shared.read().clone();
        let n_actions = table.n_actions;
        let mut gradient = vec![0.0; table.logits.len()];
        let parts = batch.parts(scope, self.micro_batch_tokens);
        for part in &parts {
            let scores = self.score_part(&table, batch, part.clone())?;
            let grads = loss.gradient(part.clone(), &scores)?;
            self.accumulate(&table, batch, part.clone(), &grads, &mut gradient)?;
        }
        self.check_rows("gradient", &gradient, n_actions)?;
        if let Some(linear) = &self.shared.linear {
            gradient = linear.gradient(&gradient);
            self.check_parameters("gradient", &gradient, n_actions)?;
        }
        let grad_norm = norm(&gradient);
        let rate = learning_rate * self.clip(grad_norm);
        let version = table.version + 1;
        let mut parameters = table.into_parameters();
        for (parameter, slope) in parameters.iter_mut().zip(&gradient) {
            *parameter -= rate * slope;
        }
        self.check_parameters("weight", &parameters, n_actions)?;
        let next = self.shared.table_of(parameters, version);
        if self.shared.linear.is_some() {
            self.check_rows("logit", &next.logits, n_actions)?;
        }
        *self.shared.write() = next;
        Ok(StepReport {
            grad_norm,
            micro_batches: parts.len(),
        })
    }

    /// Plain gradient descent has no state to forget.
    fn restart(&mut self) -> Result<(), PolicyError> {
        self.shared.write().version = 0;
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, PolicyError> {
        let table = self.shared.read();
        let reference = self.reference.as_ref().map(Table::parameters);
        Ok(checkpoint::write(
            self.shape(),
            table.version,
            table.parameters(),
            reference,
        ))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), PolicyError> {
        let saved = checkpoint::read(bytes, self.shape())?;
        let table_of = |parameters| self.shared.table_of(parameters, saved.version);
        let reference = saved.reference.map(table_of);
        let table = table_of(saved.parameters);
        self.reference = reference;
        *self.shared.write() = table;
        Ok(())
    }

    /// SHA-256 of the logits, row by row, or of a linear policy's weights, as little-endian numbers.
    fn digest(&self) -> Result<String, PolicyError> {
        let mut hash = Sha256::new();
        for parameter in self.shared.read().parameters() {
            hash.update(parameter.to_le_bytes());
        }
        let mut text = String::with_capacity(64);
        for byte in hash.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(text)
    }
}

#[cfg(test)]
#[path = "learner_tests.rs"]
mod tests;
