//! The two kinds of network: the true reward and the members that learn it from pairs.

use groupwise_core::dense::{add_scaled, dot};
use groupwise_core::{DataError, Key};
use groupwise_reward::ensemble::pairwise_loss;
use rand_distr::{Distribution, StandardNormal};

/// One random layer: rows of weights with variance 1 / inputs, biases with variance 1.
#[derive(Debug)]
struct Layer {
    weights: Vec<Vec<f64>>,
    biases: Vec<f64>,
}

impl Layer {
    fn draw(units: usize, inputs: usize, key: Key) -> Self {
        let mut rng = key.rng();
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let scale = 1.0 / (inputs as f64).sqrt();
        Self {
            weights: (0..units)
                .map(|_| (0..inputs).map(|_| scale * normal()).collect())
                .collect(),
            biases: (0..units).map(|_| normal()).collect(),
        }
    }

    fn apply(&self, x: &[f64], activation: fn(f64) -> f64) -> Vec<f64> {
        let rows = self.weights.iter().zip(&self.biases);
        rows.map(|(w, b)| activation(dot(w, x) + b)).collect()
    }
}

/// The true reward: `v tanh(A x + b)`, fixed.
#[derive(Debug)]
pub(super) struct Gold {
    layer: Layer,
    out: Vec<f64>,
}

impl Gold {
    pub(super) fn draw(units: usize, inputs: usize, key: Key) -> Self {
        let mut rng = key.named("out", 0).rng();
        Self {
            layer: Layer::draw(units, inputs, key.named("layer", 0)),
            out: (0..units).map(|_| StandardNormal.sample(&mut rng)).collect(),
        }
    }

    pub(super) fn score(&self, x: &[f64]) -> f64 {
        dot(&self.out, &self.layer.apply(x, f64::tanh))
    }
}

/// A pair of answers, the one called better first.
pub(super) struct Preference {
    pub(super) chosen: Vec<f64>,
    pub(super) rejected: Vec<f64>,
}

/// A learned reward: `w relu(B x + c)`, B and c random and fixed.
#[derive(Debug)]
pub(super) struct Learned {
    layer: Layer,
    weights: Vec<f64>,
}

impl Learned {
    /// Gradient descent from 0 on the mean loss of the pairs.
    pub(super) fn fit(
        pairs: &[Preference],
        n_features: usize,
        steps: usize,
        rate: f64,
        key: Key,
    ) -> Result<Self, DataError> {
        let inputs = pairs.first().map_or(0, |pair| pair.chosen.len());
        let mut model = Self {
            layer: Layer::draw(n_features, inputs, key),
            weights: vec![0.0; n_features],
        };
        let differences: Vec<Vec<f64>> = pairs
            .iter()
            .map(|pair| {
                let mut difference = model.features(&pair.chosen);
                add_scaled(&mut difference, &model.features(&pair.rejected), -1.0);
                difference
            })
            .collect();
        let zeros = vec![0.0; pairs.len()];
        for _ in 0..steps {
            // A loss of differences: the chosen answer's score less the rejected one's against 0.
            let margins: Vec<f64> = differences.iter().map(|d| dot(&model.weights, d)).collect();
            let at = pairwise_loss(&margins, &zeros)?;
            for (difference, slope) in differences.iter().zip(&at.grad_chosen) {
                add_scaled(&mut model.weights, difference, -rate * slope);
            }
        }
        Ok(model)
    }

    /// Scaled so that their squares add up to order 1, whatever their number.
    fn features(&self, x: &[f64]) -> Vec<f64> {
        let scale = 1.0 / (self.weights.len() as f64).sqrt();
        let mut features = self.layer.apply(x, |z| z.max(0.0));
        features.iter_mut().for_each(|f| *f *= scale);
        features
    }

    pub(super) fn score(&self, x: &[f64]) -> f64 {
        dot(&self.weights, &self.features(x))
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::new(3, Stream::Tasks)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn descent_lowers_the_loss_and_learns_which_answers_are_better(seed in 0..1000u64) {
            let mut rng = Key::new(seed, Stream::Tasks).rng();
            let mut answer = || (0..4).map(|_| StandardNormal.sample(&mut rng)).collect::<Vec<f64>>();
            // The better answer has the larger first coordinate.
            let pairs: Vec<Preference> = (0..200)
                .map(|_| {
                    let (a, b) = (answer(), answer());
                    if a[0] > b[0] { Preference { chosen: a, rejected: b } } else { Preference { chosen: b, rejected: a } }
                })
                .collect();
            let loss = |steps: usize| {
                let model = Learned::fit(&pairs, 32, steps, 1.0, key()).unwrap();
                let (chosen, rejected): (Vec<f64>, Vec<f64>) =
                    pairs.iter().map(|p| (model.score(&p.chosen), model.score(&p.rejected))).unzip();
                let right = chosen.iter().zip(&rejected).filter(|(c, r)| c > r).count();
                (pairwise_loss(&chosen, &rejected).unwrap().loss, right)
            };
            let (first, last) = (loss(1), loss(200));
            prop_assert!(last.0 < first.0 && first.0 < 2f64.ln(), "{:?} {:?}", first, last);
            prop_assert!(last.1 > 160, "{:?}", last);
        }
    }

    #[test]
    fn gold_is_bounded_by_its_weights_and_members_are_not() {
        let gold = Gold::draw(5, 3, key());
        let bound: f64 = gold.out.iter().map(|v| v.abs()).sum();
        assert!(gold.score(&[1e6, -1e6, 1e6]).abs() <= bound);
        let pair = Preference {
            chosen: vec![1.0, 0.0, 0.0],
            rejected: vec![0.0, 1.0, 0.0],
        };
        let model = Learned::fit(&[pair], 16, 10, 1.0, key()).unwrap();
        let (near, far) = (model.score(&[1e3, 0.0, 0.0]), model.score(&[1e6, 0.0, 0.0]));
        assert!((far / near - 1e3).abs() < 10.0, "{near} {far}");
    }
}
