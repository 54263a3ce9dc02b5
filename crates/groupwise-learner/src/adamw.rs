//! AdamW on tensors: burn's own optimizer hides its moments behind records, and its defaults differ from ours.

use burn::tensor::Tensor;
use groupwise_core::architecture::AdamWConfig;
use groupwise_core::seams::PolicyError;
use groupwise_core::{DataError, ParamError};

/// A parameter error where only data errors can travel.
pub(crate) fn as_data(error: ParamError) -> PolicyError {
    DataError::value("configuration", error.to_string()).into()
}

/// Running means of one parameter.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) mean: Tensor<2>,
    pub(crate) square: Tensor<2>,
}

/// The optimizer and its memory.
#[derive(Clone, Debug)]
pub(crate) struct AdamW {
    config: AdamWConfig,
    /// Empty before the first step.
    pub(crate) moments: Vec<Moments>,
    /// Steps taken.
    pub(crate) steps: u64,
}

impl AdamW {
    pub(crate) fn new(config: AdamWConfig) -> Self {
        Self {
            config,
            moments: Vec::new(),
            steps: 0,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.moments.clear();
        self.steps = 0;
    }

    /// Factor that shortens a gradient of this norm to the limit; PyTorch's 1e-6 keeps it strictly inside.
    pub(crate) fn clip_factor(&self, norm: f64) -> f64 {
        match self.config.max_grad_norm {
            Some(limit) if norm > limit => limit / (norm + 1e-6),
            _ => 1.0,
        }
    }

    /// Parameters after one step along `factor * gradients`.
    pub(crate) fn step(
        &mut self,
        params: &[Tensor<2>],
        gradients: Vec<Tensor<2>>,
        factor: f64,
        learning_rate: f64,
    ) -> Vec<Tensor<2>> {
        let AdamWConfig {
            adam_beta1: b1,
            adam_beta2: b2,
            adam_epsilon,
            weight_decay,
            ..
        } = self.config;
        if self.moments.is_empty() {
            let zero = |p: &Tensor<2>| Moments {
                mean: p.zeros_like(),
                square: p.zeros_like(),
            };
            self.moments = params.iter().map(zero).collect();
        }
        self.steps += 1;
        let t = self.steps as f64;
        let rate = learning_rate / (1.0 - b1.powf(t));
        let inverse = 1.0 / (1.0 - b2.powf(t));
        let update = |((param, gradient), moments): ((&Tensor<2>, Tensor<2>), &mut Moments)| {
            let gradient = if factor == 1.0 {
                gradient
            } else {
                gradient.mul_scalar(factor)
            };
            moments
                .square
                .inplace(|v| v.mul_scalar(b2) + gradient.clone().square().mul_scalar(1.0 - b2));
            moments
                .mean
                .inplace(|m| m.mul_scalar(b1) + gradient.mul_scalar(1.0 - b1));
            let spread = moments
                .square
                .clone()
                .mul_scalar(inverse)
                .sqrt()
                .add_scalar(adam_epsilon);
            let step = moments.mean.clone().mul_scalar(rate) / spread;
            match weight_decay == 0.0 {
                true => param.clone() - step,
                false => param.clone().mul_scalar(1.0 - learning_rate * weight_decay) - step,
            }
        };
        params
            .iter()
            .zip(gradients)
            .zip(&mut self.moments)
            .map(update)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn three_steps_equal_the_formula_in_f64() {
        let config = AdamWConfig {
            weight_decay: 0.1,
            adam_beta2: 0.95,
            ..AdamWConfig::default()
        };
        let mut adamw = AdamW::new(config.clone());
        let mut param = vec![Tensor::<2>::from_floats([[1.0, -2.0, 0.5]], &Device::flex())];
        let mut w = [1.0_f64, -2.0, 0.5];
        let (mut m, mut v) = ([0.0_f64; 3], [0.0_f64; 3]);
        for (t, rate) in [(1, 0.01), (2, 0.02), (3, 0.005)] {
            let g: Vec<f64> = (0..3).map(|i| ((i * 3 + t) as f64).sin()).collect();
            let g32: Vec<f32> = g.iter().map(|g| *g as f32).collect();
            let tensor = Tensor::<2>::from_floats([[g32[0], g32[1], g32[2]]], &Device::flex());
            param = adamw.step(&param, vec![tensor], 0.5, rate);
            for i in 0..3 {
                let g = 0.5 * g[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let (mh, vh) = (m[i] / (1.0 - 0.9_f64.powi(t)), v[i] / (1.0 - 0.95_f64.powi(t)));
                w[i] = w[i] * (1.0 - rate * 0.1) - rate * mh / (vh.sqrt() + 1e-8);
            }
            let now = param[0].to_data();
            for (x, w) in now.as_slice::<f32>().unwrap().iter().zip(w) {
                assert!((f64::from(*x) - w).abs() < 1e-6, "{x} against {w} after step {t}");
            }
        }
        assert_eq!(adamw.steps, 3);
    }

    #[test]
    fn the_first_step_has_the_size_of_the_learning_rate() {
        // Numbers of torch.optim.AdamW(lr=0.1, weight_decay=0): w - lr * sign(g), whatever the size of g.
        let mut adamw = AdamW::new(AdamWConfig::default());
        let param = vec![Tensor::<2>::from_floats([[1.0, 1.0]], &Device::flex())];
        let gradient = Tensor::<2>::from_floats([[1e-3, -20.0]], &Device::flex());
        let after = adamw.step(&param, vec![gradient], 1.0, 0.1)[0].to_data();
        let after = after.as_slice::<f32>().unwrap();
        assert!(
            (after[0] - 0.9).abs() < 1e-5 && (after[1] - 1.1).abs() < 1e-6,
            "{after:?}"
        );
    }

    #[test]
    fn clipping_shortens_long_gradients_only() {
        let adamw = AdamW::new(AdamWConfig::default());
        assert_eq!(adamw.clip_factor(0.5), 1.0);
        assert!((adamw.clip_factor(4.0) - 0.25).abs() < 1e-6);
        let free = AdamW::new(AdamWConfig {
            max_grad_norm: None,
            ..AdamWConfig::default()
        });
        assert_eq!(free.clip_factor(1e30), 1.0);
    }
}
