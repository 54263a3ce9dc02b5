//! From a row of logits to a token, its log-probability and the entropy, in f64.
//!
//! Sampler and learner use the same functions, so their log-probabilities differ only by the rounding of the
//! logits themselves.

use crate::kernels::{exp_f64, vectorized};

/// How a token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The most likely token, the lowest id among equals.
    Greedy,
    /// By inverse distribution function at this uniform number in [0, 1).
    Uniform(f64),
}

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Its id.
    pub token: u32,
    /// Its log-probability, nats.
    pub logp: f64,
    /// Entropy of the distribution, nats.
    pub entropy: f64,
}

/// A softmax over one row of logits, kept in a reusable buffer.
///
/// # Formula
/// `z = logits / temperature`, `w = exp(z - max z)`, `p = w / sum w`, `log p_a = z_a - max z - log sum w`,
/// `H = log sum w - sum w (z - max z) / sum w`.
///
/// # Edge cases
/// A row with NaN or an infinity is refused by [`RowSoftmax::load`].
///
/// # Example
/// ```
/// use groupwise_model::scores::{Choice, RowSoftmax};
/// let mut row = RowSoftmax::default();
/// assert!(row.load(&[0.0, 0.0, 0.0, 0.0], 1.0));
/// assert_eq!(row.logp(2), -(4.0_f64.ln()));
/// assert_eq!(row.choose(Choice::Uniform(0.6)).token, 2);
/// assert_eq!(row.choose(Choice::Greedy).token, 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct RowSoftmax {
    /// `z - max z`.
    shifted: Vec<f64>,
    weights: Vec<f64>,
    total: f64,
    log_total: f64,
    entropy: f64,
}

impl RowSoftmax {
    /// Takes in one row; false if it holds a number that is not finite.
    pub fn load(&mut self, logits: &[f32], temperature: f64) -> bool {
        let scale = 1.0 / temperature;
        self.shifted.resize(logits.len(), 0.0);
        self.weights.resize(logits.len(), 0.0);
        let (shifted, weights) = (&mut self.shifted[..], &mut self.weights[..]);
        let (total, moment) = vectorized(
            #[inline(always)]
            || fill(logits, scale, shifted, weights),
        );
        self.total = total;
        self.log_total = total.ln();
        self.entropy = self.log_total - moment / total;
        // A NaN or an infinity anywhere makes the sums NaN: infinity minus infinity, or zero times infinity.
        self.entropy.is_finite()
    }

    /// Log-probability of a token, nats.
    pub fn logp(&self, token: u32) -> f64 {
        self.shifted[token as usize] - self.log_total
    }

    /// Entropy, nats.
    pub fn entropy(&self) -> f64 {
        self.entropy
    }

    /// Chooses a token.
    pub fn choose(&self, choice: Choice) -> Draw {
        let token = match choice {
            Choice::Greedy => self.shifted.iter().position(|z| *z == 0.0).unwrap_or(0),
            Choice::Uniform(u) => self.invert(u),
        } as u32;
        Draw {
            token,
            logp: self.logp(token),
            entropy: self.entropy,
        }
    }

    /// First token whose cumulative probability exceeds `u`.
    fn invert(&self, u: f64) -> usize {
        let target = u * self.total;
        let mut sum = 0.0;
        for (token, w) in self.weights.iter().enumerate() {
            sum += w;
            if target < sum {
                return token;
            }
        }
        // The sum above is rounded in another order than `total`; the last token closes the gap.
        self.weights.len() - 1
    }

    /// `out = d(d_logp * logp(token) + d_entropy * entropy) / d logits`.
    ///
    /// # Formula
    /// `(d_logp (1[a = token] - p_a) - d_entropy p_a (log p_a + H)) / temperature`
    pub fn gradient(&self, token: u32, d_logp: f64, d_entropy: f64, temperature: f64, out: &mut [f32]) {
        let scale = 1.0 / temperature;
        let inverse = 1.0 / self.total;
        let offset = self.entropy - self.log_total;
        let (shifted, weights) = (&self.shifted, &self.weights);
        vectorized(
            #[inline(always)]
            || {
                for ((o, z), w) in out.iter_mut().zip(shifted).zip(weights) {
                    let p = w * inverse;
                    *o = (-p * (d_logp + d_entropy * (z + offset)) * scale) as f32;
                }
            },
        );
        let p = self.weights[token as usize] * inverse;
        let z = self.shifted[token as usize];
        out[token as usize] = ((d_logp * (1.0 - p) - d_entropy * p * (z + offset)) * scale) as f32;
    }
}

/// Fills `z - max z` and its exponentials; returns their sum and the sum of `w (z - max z)`.
#[inline(always)]
fn fill(logits: &[f32], scale: f64, shifted: &mut [f64], weights: &mut [f64]) -> (f64, f64) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in logits.chunks(16) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let top = lanes
        .iter()
        .fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
    let top = f64::from(top) * scale;
    for ((s, w), x) in shifted.iter_mut().zip(weights.iter_mut()).zip(logits) {
        *s = f64::from(*x) * scale - top;
        *w = exp_f64(*s);
    }
    let (mut total, mut moment) = ([0.0_f64; 8], [0.0_f64; 8]);
    for (s, w) in shifted.chunks(8).zip(weights.chunks(8)) {
        for (((t, m), s), w) in total.iter_mut().zip(&mut moment).zip(s).zip(w) {
            *t += w;
            *m += w * s;
        }
    }
    let fold = |x: [f64; 8]| ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
    (fold(total), fold(moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(logits: &[f32], temperature: f64) -> RowSoftmax {
        let mut row = RowSoftmax::default();
        assert!(row.load(logits, temperature));
        row
    }

    #[test]
    fn agrees_with_the_definition_at_any_temperature() {
        let logits: Vec<f32> = (0..37).map(|i| (i as f32 * 1.3).sin() * 4.0).collect();
        for temperature in [0.3, 1.0, 2.5] {
            let row = loaded(&logits, temperature);
            let weights: Vec<f64> = logits
                .iter()
                .map(|x| (f64::from(*x) / temperature).exp())
                .collect();
            let total: f64 = weights.iter().sum();
            let entropy: f64 = weights.iter().map(|w| -w / total * (w / total).ln()).sum();
            assert!((row.entropy() - entropy).abs() < 1e-12);
            for (token, w) in weights.iter().enumerate() {
                assert!((row.logp(token as u32) - (w / total).ln()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn gradient_is_the_central_difference() {
        let logits: Vec<f32> = (0..9).map(|i| (i as f32 * 1.7).cos() * 2.0).collect();
        let (token, d_logp, d_entropy, temperature) = (4, 0.8, -0.6, 1.7);
        let loss = |logits: &[f32]| {
            let row = loaded(logits, temperature);
            d_logp * row.logp(token) + d_entropy * row.entropy()
        };
        let mut gradient = vec![0.0; 9];
        loaded(&logits, temperature).gradient(token, d_logp, d_entropy, temperature, &mut gradient);
        for (i, g) in gradient.iter().enumerate() {
            // Steps that f32 can represent exactly around these values.
            let h = 1.0 / 1024.0;
            let moved = |by: f32| {
                let mut moved = logits.clone();
                moved[i] = (moved[i] * 1024.0).round() / 1024.0 + by;
                loss(&moved)
            };
            let mut centre = logits.clone();
            centre[i] = (centre[i] * 1024.0).round() / 1024.0;
            let difference = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
            assert!(
                (difference - f64::from(*g)).abs() < 1e-3,
                "{difference} against {g}"
            );
        }
        assert!(gradient.iter().sum::<f32>().abs() < 1e-6);
    }

    #[test]
    fn draws_follow_the_distribution_and_hit_both_ends() {
        let row = loaded(&[0.0, 2.0_f32.ln(), 3.0_f32.ln()], 1.0);
        let at = |u| row.choose(Choice::Uniform(u)).token;
        assert_eq!(
            (at(0.0), at(0.166), at(0.167), at(0.499), at(0.501)),
            (0, 0, 1, 1, 2)
        );
        assert_eq!(at(1.0 - f64::EPSILON / 2.0), 2);
        assert_eq!(row.choose(Choice::Greedy).token, 2);
        assert_eq!(
            loaded(&[1.0, 3.0, 3.0], 1.0).choose(Choice::Greedy).token,
            1,
            "ties: lowest id"
        );
    }

    #[test]
    fn rows_that_are_not_finite_are_refused() {
        let mut row = RowSoftmax::default();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!row.load(&[0.0, bad, 1.0], 1.0), "{bad}");
            assert!(!row.load(&[bad; 3], 1.0), "{bad}");
        }
        assert!(row.load(&[0.0, -3e38, 3e38], 1.0), "extreme but finite");
        assert!(row.entropy().abs() < 1e-12);
    }
}
