//! Logits that are linear in the features of a world.

use groupwise_core::seams::Features;
use groupwise_core::{Key, ParamError};
use rand_distr::{Distribution, StandardNormal};

use crate::table::{Table, Words};

/// `logits = base + psi theta`; the weights stand in the [`Table`] that it makes.
#[derive(Debug)]
pub(crate) struct Linear {
    features: Features,
    /// Logits of weights 0, row by row.
    base: Vec<f64>,
}

impl Linear {
    /// Checks that the features are those of these words.
    pub(crate) fn new(
        words: &Words,
        features: Option<Features>,
        base: Option<Vec<Vec<f64>>>,
    ) -> Result<Self, ParamError> {
        let Some(features) = features else {
            let range = "used in a world that gives features of states and actions";
            return Err(ParamError::new("policy", "linear", range));
        };
        let (states, actions) = (words.n_states(), words.n_actions());
        ParamError::check(
            (features.n_states(), features.n_actions()) == (states, actions),
            "features",
            format!(
                "{} states x {} actions",
                features.n_states(),
                features.n_actions()
            ),
            &format!("those of the world's {states} states x {actions} actions"),
        )?;
        let base = match base {
            Some(rows) => Table::from_rows(words, rows)?.logits,
            None => vec![0.0; states * actions],
        };
        Ok(Self { features, base })
    }

    pub(crate) fn n_weights(&self) -> usize {
        self.features.n_weights()
    }

    /// Weights drawn from `N(0, std^2)`.
    pub(crate) fn draw(&self, std: f64, key: Key) -> Vec<f64> {
        let mut rng = key.named("linear/weights", 0).rng();
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        (0..self.n_weights()).map(|_| std * normal()).collect()
    }

    /// Logits of these weights, row by row.
    pub(crate) fn logits(&self, weights: &[f64]) -> Vec<f64> {
        let mut logits = self.features.logits(weights);
        logits.iter_mut().zip(&self.base).for_each(|(z, base)| *z += base);
        logits
    }

    /// Derivative by the weights from that by the logits.
    pub(crate) fn gradient(&self, d_logits: &[f64]) -> Vec<f64> {
        self.features.gradient(d_logits)
    }
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
