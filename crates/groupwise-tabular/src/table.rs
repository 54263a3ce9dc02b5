//! The vocabulary, the table, and the one implementation of its softmax.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use groupwise_core::seams::{PolicyError, Symbols};
use groupwise_core::{Key, ParamError};
use rand_distr::{Distribution, StandardNormal};

use crate::linear::Linear;

/// States, then actions; a word's token is its place in this order.
#[derive(Debug)]
pub(crate) struct Words {
    list: Vec<String>,
    tokens: BTreeMap<String, u32>,
    n_states: usize,
}

impl Words {
    pub(crate) fn new(symbols: &Symbols) -> Result<Self, ParamError> {
        let Symbols::Words { states, actions } = symbols else {
            let range = "used in a world whose symbols are words (states and actions)";
            return Err(ParamError::new("policy", "tabular", range));
        };
        let total = states.len().saturating_add(actions.len());
        ParamError::check(
            !states.is_empty() && !actions.is_empty() && u32::try_from(total).is_ok(),
            "symbols",
            format!("{} states and {} actions", states.len(), actions.len()),
            "at least one state and one action, in all below 2^32",
        )?;
        let list: Vec<String> = states.iter().chain(actions).cloned().collect();
        let mut tokens = BTreeMap::new();
        for (token, word) in (0u32..).zip(&list) {
            let plain = !word.is_empty() && !word.contains(char::is_whitespace);
            let fresh = tokens.insert(word.clone(), token).is_none();
            ParamError::check(
                plain && fresh,
                "symbols",
                word,
                "distinct words without white space",
            )?;
        }
        Ok(Self {
            list,
            tokens,
            n_states: states.len(),
        })
    }

    pub(crate) fn n_states(&self) -> usize {
        self.n_states
    }

    pub(crate) fn n_actions(&self) -> usize {
        self.list.len() - self.n_states
    }

    /// The word of a token, if there is one.
    pub(crate) fn word(&self, token: u32) -> Option<&str> {
        self.list.get(token as usize).map(String::as_str)
    }

    pub(crate) fn token(&self, word: &str) -> Option<u32> {
        self.tokens.get(word).copied()
    }

    /// The row of a state's token.
    pub(crate) fn state(&self, token: u32) -> Option<usize> {
        Some(token as usize).filter(|s| *s < self.n_states)
    }

    /// The column of an action's token.
    pub(crate) fn action(&self, token: u32) -> Option<usize> {
        (token as usize)
            .checked_sub(self.n_states)
            .filter(|a| *a < self.n_actions())
    }

    /// The token of an action's column.
    pub(crate) fn action_token(&self, action: usize) -> u32 {
        (self.n_states + action) as u32
    }

    /// Name of a row of the table, for errors.
    pub(crate) fn tensor(&self, state: usize) -> String {
        format!("logits[{}]", self.list[state])
    }
}

/// Logits, states x actions, row by row, and the weights they come from where that is not themselves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) logits: Vec<f64>,
    /// Weights of a linear policy; empty for a table, which is trained itself.
    weights: Vec<f64>,
    pub(crate) n_actions: usize,
    pub(crate) version: u64,
}

impl Table {
    /// The table of these parameters: logits, or the weights of a linear policy.
    pub(crate) fn of(parameters: Vec<f64>, linear: Option<&Linear>, n_actions: usize, version: u64) -> Self {
        let (logits, weights) = match linear {
            None => (parameters, Vec::new()),
            Some(linear) => (linear.logits(&parameters), parameters),
        };
        Self {
            logits,
            weights,
            n_actions,
            version,
        }
    }

    /// What is trained.
    pub(crate) fn parameters(&self) -> &[f64] {
        if self.weights.is_empty() {
            &self.logits
        } else {
            &self.weights
        }
    }

    /// What is trained, without the rest.
    pub(crate) fn into_parameters(self) -> Vec<f64> {
        if self.weights.is_empty() {
            self.logits
        } else {
            self.weights
        }
    }

    pub(crate) fn from_rows(words: &Words, rows: Vec<Vec<f64>>) -> Result<Self, ParamError> {
        let (n_states, n_actions) = (words.n_states(), words.n_actions());
        ParamError::check(
            rows.len() == n_states,
            "initial_logits",
            format!("{} rows", rows.len()),
            &format!("one row of logits for each of the {n_states} states"),
        )?;
        for (row, state) in rows.iter().zip(&words.list) {
            ParamError::check(
                row.len() == n_actions,
                "initial_logits",
                format!("{} logits of `{state}`", row.len()),
                &format!("one logit for each of the {n_actions} actions"),
            )?;
            if let Some(bad) = row.iter().find(|logit| !logit.is_finite()) {
                return Err(ParamError::new(
                    "initial_logits",
                    format!("{bad} at `{state}`"),
                    "a finite number",
                ));
            }
        }
        Ok(Self::of(rows.concat(), None, n_actions, 0))
    }

    pub(crate) fn draw(words: &Words, std: f64, key: Key) -> Self {
        let n_actions = words.n_actions();
        let mut logits = Vec::with_capacity(words.n_states() * n_actions);
        for state in 0..words.n_states() {
            let mut rng = key.named("tabular/logits", state as u64).rng();
            logits.extend((0..n_actions).map(|_| {
                let normal: f64 = StandardNormal.sample(&mut rng);
                std * normal
            }));
        }
        Self::of(logits, None, n_actions, 0)
    }

    pub(crate) fn row(&self, state: usize) -> &[f64] {
        &self.logits[state * self.n_actions..(state + 1) * self.n_actions]
    }
}

/// Log-softmax of one row at a temperature, kept for as long as the same state is asked for.
///
/// Policy and learner both go through here, so that their log-probabilities are the same bits.
#[derive(Debug, Default)]
pub(crate) struct Softmax {
    state: Option<usize>,
    /// Log-probability of each action, nats.
    pub(crate) logp: Vec<f64>,
    /// Entropy, nats.
    pub(crate) entropy: f64,
}

impl Softmax {
    /// Makes this the softmax of `row`, the row of `state`; a caller keeps one value per table and temperature.
    ///
    /// # Formula
    /// `logp_a = z_a - max z - ln sum_b exp(z_b - max z)`, `z = logits / temperature`; `H = -sum_a p_a logp_a`, where
    /// an action of probability 0 adds 0.
    pub(crate) fn set(&mut self, state: usize, row: &[f64], temperature: f64) {
        if self.state == Some(state) {
            return;
        }
        let top = row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
        self.logp.clear();
        // The difference first: logits far from 0 lose nothing, and a low temperature cannot overflow it to NaN.
        self.logp.extend(row.iter().map(|x| (x - top) / temperature));
        let total = self.logp.iter().map(|z| z.exp()).sum::<f64>().ln();
        self.entropy = 0.0;
        for logp in &mut self.logp {
            *logp -= total;
            let p = logp.exp();
            if p > 0.0 {
                self.entropy -= p * *logp;
            }
        }
        self.state = Some(state);
    }

    /// The action at `uniform` of the cumulative distribution.
    pub(crate) fn invert(&self, uniform: f64) -> usize {
        let (mut cumulative, mut last) = (0.0, 0);
        for (action, logp) in self.logp.iter().enumerate() {
            let p = logp.exp();
            if p > 0.0 {
                cumulative += p;
                last = action;
                if uniform < cumulative {
                    return action;
                }
            }
        }
        // Rounding may leave the sum just below 1; an action of probability 0 is never the answer.
        last
    }

    /// The most likely action, the first of several.
    pub(crate) fn argmax(&self) -> usize {
        let mut best = 0;
        for (action, logp) in self.logp.iter().enumerate() {
            if *logp > self.logp[best] {
                best = action;
            }
        }
        best
    }
}

/// Vocabulary and table, shared by policy and learner.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) words: Arc<Words>,
    /// Where the logits come from, if they are not trained themselves.
    pub(crate) linear: Option<Arc<Linear>>,
    table: Arc<RwLock<Table>>,
}

impl Shared {
    pub(crate) fn new(words: Words, linear: Option<Linear>, table: Table) -> Self {
        Self {
            words: Arc::new(words),
            linear: linear.map(Arc::new),
            table: Arc::new(RwLock::new(table)),
        }
    }

    /// The table of other parameters.
    pub(crate) fn table_of(&self, parameters: Vec<f64>, version: u64) -> Table {
        Table::of(
            parameters,
            self.linear.as_deref(),
            self.words.n_actions(),
            version,
        )
    }

    /// A table is replaced as a whole, so a writer that died cannot have left half of one.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a temperature that is not a finite number > 0.
pub(crate) fn check_temperature(temperature: f64) -> Result<(), PolicyError> {
    if temperature > 0.0 && temperature.is_finite() {
        Ok(())
    } else {
        let what = format!("is {temperature}, must be a finite number > 0");
        Err(groupwise_core::DataError::value("temperature", what).into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn softmax(row: &[f64], temperature: f64) -> Softmax {
        let mut softmax = Softmax::default();
        softmax.set(0, row, temperature);
        softmax
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one_and_entropy_is_within_its_bounds(
            row in prop::collection::vec(-50.0..50.0f64, 1..9), temperature in 0.05..5.0f64, shift in -1e6..1e6f64,
        ) {
            let here = softmax(&row, temperature);
            let total: f64 = here.logp.iter().map(|l| l.exp()).sum();
            prop_assert!((total - 1.0).abs() < 1e-12);
            prop_assert!(here.entropy >= -1e-15 && here.entropy <= (row.len() as f64).ln() + 1e-12);
            let moved = softmax(&row.iter().map(|x| x + shift).collect::<Vec<_>>(), temperature);
            for (a, b) in here.logp.iter().zip(&moved.logp) {
                prop_assert!((a - b).abs() < 1e-6);
            }
        }

        #[test]
        fn inversion_lands_where_the_cumulative_probability_passes_the_uniform(
            row in prop::collection::vec(-5.0..5.0f64, 1..9), uniform in 0.0..1.0f64,
        ) {
            let here = softmax(&row, 1.0);
            let action = here.invert(uniform);
            let below: f64 = here.logp[..action].iter().map(|l| l.exp()).sum();
            prop_assert!(below <= uniform + 1e-12 && uniform <= below + here.logp[action].exp() + 1e-12);
        }
    }

    #[test]
    fn extreme_logits_stay_finite_and_impossible_actions_are_never_drawn() {
        let here = softmax(&[1e300, -1e300, 1e300], 1e-9);
        assert_eq!(here.logp[0], -std::f64::consts::LN_2);
        assert_eq!(
            (here.logp[1], here.entropy),
            (f64::NEG_INFINITY, std::f64::consts::LN_2)
        );
        let top = 1.0 - f64::EPSILON / 2.0;
        assert_eq!(here.invert(top), 2);
        assert_eq!(softmax(&[0.0, -2000.0], 1.0).invert(top), 0);
        assert_eq!(softmax(&[1.0, 3.0, 3.0], 1.0).argmax(), 1);
    }
}
