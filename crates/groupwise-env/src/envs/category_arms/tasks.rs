//! Prompts and their right arms.

use groupwise_core::dense::dot;
use groupwise_core::{Key, Task};
use rand_distr::{Distribution, StandardNormal};

use super::{CategoryArms, CategoryArmsConfig};

fn normals(n: usize, key: Key) -> Vec<f64> {
    let mut rng = key.rng();
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Numbers of a prompt.
pub(super) fn prompt(config: &CategoryArmsConfig, category: usize, number: usize, key: Key) -> Vec<f64> {
    let category = key.named("category-arms/category", category as u64);
    normals(config.dimensions, category.named("prompt", number as u64))
}

/// Weights, in the order of the features, whose largest logit is the right arm.
pub(super) fn true_weights(config: &CategoryArmsConfig, key: Key) -> Vec<f64> {
    let n_arms = config.n_arms;
    let mut weights = normals(n_arms * config.dimensions, key.named("category-arms/shared", 0));
    let steps = (config.counts.len().max(2) - 1) as f64;
    for j in 0..config.counts.len() {
        let weight = config.hardness * j as f64 / steps;
        let offsets = normals(n_arms, key.named("category-arms/offsets", j as u64));
        weights.extend(offsets.iter().map(|o| weight * o));
    }
    weights
}

impl CategoryArms {
    /// One task per prompt; difficulty is the place of its category, from 1.
    pub(super) fn tasks(&self, key: Key) -> Vec<Task> {
        let config = &self.config;
        let weights = true_weights(config, key);
        let (d, n_arms) = (config.dimensions, config.n_arms);
        let tasks = self.places.iter().map(|(j, i)| {
            let x = prompt(config, *j, *i, key);
            let score = |a: usize| dot(&weights[a * d..(a + 1) * d], &x) + weights[n_arms * (d + j) + a];
            let mut right = 0;
            for a in 1..n_arms {
                if score(a) > score(right) {
                    right = a;
                }
            }
            let id = format!("category-arms/category-{j:03}-{i:05}");
            let mut task = Task::new(id, format!("c{j}/{i}"), self.arms[right].clone());
            task.difficulty = (j + 1) as f64;
            task.columns.insert("category".into(), format!("c{j}").into());
            task
        });
        tasks.collect()
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Part, Stream};

    use super::*;
    use crate::WorldContext;

    #[test]
    fn hard_categories_prefer_few_arms() {
        // With large offsets a category has few right arms, without them all arms are right about as often.
        let config = CategoryArmsConfig {
            counts: vec![3000, 3000],
            hardness: 10.0,
            ..Default::default()
        };
        let world = config.build(&WorldContext::default()).unwrap();
        let tasks = world.train_tasks(Key::new(1, Stream::Tasks)).unwrap();
        let largest = |tasks: &[Task]| {
            let mut counts = std::collections::BTreeMap::new();
            tasks
                .iter()
                .for_each(|t| *counts.entry(t.reference.clone()).or_insert(0) += 1);
            counts.values().copied().max().unwrap()
        };
        let (easy, hard) = (largest(&tasks[..3000]), largest(&tasks[3000..]));
        assert!(easy < 900 && hard > 900, "{easy} {hard}");
        assert_eq!((tasks[0].difficulty, tasks[5999].difficulty), (1.0, 2.0));
    }
}
