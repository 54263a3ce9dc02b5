//! Points, classes and noisy labels.

use groupwise_core::dense::dot;
use groupwise_core::{Key, Task};
use rand_distr::{Distribution, StandardNormal};

use super::{ClassPoints, ClassPointsConfig, largest};

/// Which points tasks are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Adapted on.
    Adapted,
    /// Evaluated.
    Others,
    /// Shown with noisy labels at the start.
    Labeled,
}

fn normals(n: usize, key: Key) -> Vec<f64> {
    let mut rng = key.rng();
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Coordinates of a point.
pub(super) fn point(config: &ClassPointsConfig, index: usize, key: Key) -> Vec<f64> {
    normals(config.dimensions, key.named("class-points/point", index as u64))
}

/// Rows `w_k` of the linear scores.
pub(super) fn true_weights(config: &ClassPointsConfig, key: Key) -> Vec<Vec<f64>> {
    (0..config.n_classes)
        .map(|k| normals(config.dimensions, key.named("class-points/class", k as u64)))
        .collect()
}

impl ClassPoints {
    pub(super) fn tasks(&self, part: Part, key: Key) -> Vec<Task> {
        let config = &self.config;
        let (first, n, name) = match part {
            Part::Adapted => (0, config.n_adapted, "adapted"),
            Part::Others => (config.n_adapted, config.n_others, "other"),
            Part::Labeled => (config.n_adapted + config.n_others, config.n_labeled, "labeled"),
        };
        let weights = true_weights(config, key);
        (first..first + n)
            .map(|index| {
                let x = point(config, index, key);
                let scores: Vec<f64> = weights.iter().map(|w| dot(w, &x)).collect();
                let mut class = largest(&scores);
                if part == Part::Labeled {
                    class = noisy(config, class, key.named("class-points/noise", index as u64));
                }
                let id = format!("class-points/{name}-{index:05}");
                let mut task = Task::new(id, self.points[index].clone(), self.classes[class].clone());
                task.difficulty = 1.0;
                task
            })
            .collect()
    }
}

/// The class, or with the probability of noise any other one.
fn noisy(config: &ClassPointsConfig, class: usize, key: Key) -> usize {
    let mut rng = key.rng();
    if rng.uniform() >= config.label_noise {
        return class;
    }
    let other = rng.below(config.n_classes as u64 - 1) as usize;
    if other < class { other } else { other + 1 }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;

    use super::*;

    #[test]
    fn labels_are_wrong_as_often_as_asked_for_and_in_every_way() {
        // 3.29 standard errors of a binomial share, and chi-square with 6 degrees of freedom, 22.46: alpha 0.001.
        let config = ClassPointsConfig {
            label_noise: 0.3,
            ..Default::default()
        };
        let n = 20_000;
        let mut counts = [0.0; 8];
        for i in 0..n {
            counts[noisy(&config, 2, Key::new(1, Stream::Tasks).task(i))] += 1.0;
        }
        let share = counts[2] / n as f64;
        assert!((share - 0.7).abs() < 3.29 * (0.21 / n as f64).sqrt(), "{share}");
        let wrong: Vec<f64> = (0..8).filter(|k| *k != 2).map(|k| counts[k]).collect();
        let mean = wrong.iter().sum::<f64>() / 7.0;
        let chi: f64 = wrong.iter().map(|c| (c - mean).powi(2) / mean).sum();
        assert!(chi < 22.46, "{chi}");
    }

    #[test]
    fn points_are_standard_normal() {
        // The mean square of 16,000 normals is within 3.29 sqrt(2 / n) of 1 at alpha 0.001.
        let config = ClassPointsConfig::default();
        let all: Vec<f64> = (0..1000)
            .flat_map(|i| point(&config, i, Key::new(2, Stream::Tasks)))
            .collect();
        let square = all.iter().map(|x| x * x).sum::<f64>() / all.len() as f64;
        assert!(
            (square - 1.0).abs() < 3.29 * (2.0 / all.len() as f64).sqrt(),
            "{square}"
        );
    }
}
