//! Class points: name the class of a point, with weights that all points share.
//!
//! A point has d standard normal coordinates, and its class is the largest of K fixed random linear scores of them.  There
//! are three disjoint sets of points: those that are adapted on, the others, which are evaluated, and labeled ones for
//! a supervised start, whose labels are wrong with probability `label_noise` (any other class, all alike).
//!
//! The policy sees one point (`x17`) and names a class (`k3`).  Its features are the point's coordinates, once for each
//! class: a linear policy has K d weights and can learn every class exactly.
//!
//! # Reward
//! 1 for the right class, else 0; or, as a control, a fair coin that knows nothing.  A method without labels replaces it
//! by a shaper of its own (`ttrv`).
//!
//! # Evaluation
//! On the other points, exact.  `eval/success` is the accuracy of a sampled answer.  Measures: `greedy`, the accuracy of
//! the most likely answer (of several the first), and `entropy`, nats.
//!
//! # Where the policy starts
//! Uniform; a recipe's `[warm_start]` trains on the labeled points.

mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Features, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// What an answer earns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassReward {
    /// 1 for the right class.
    #[default]
    Labels,
    /// 1 with probability 1/2, whatever the answer: a control.
    Coin,
}

/// Parameters of the class points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassPointsConfig {
    /// Classes K, in 2..=1024.
    pub n_classes: usize,
    /// Coordinates of a point d, in 1..=1024.
    pub dimensions: usize,
    /// Points that are adapted on, in 1..=65535.
    pub n_adapted: usize,
    /// Points that are evaluated, in 1..=65535.
    pub n_others: usize,
    /// Points of the supervised start, in 1..=65535.
    pub n_labeled: usize,
    /// Probability that a label of those is wrong, in [0, 1].
    pub label_noise: f64,
    /// What an answer earns.
    pub reward: ClassReward,
}

impl Default for ClassPointsConfig {
    fn default() -> Self {
        Self {
            n_classes: 8,
            dimensions: 16,
            n_adapted: 100,
            n_others: 1000,
            n_labeled: 500,
            label_noise: 0.5,
            reward: ClassReward::Labels,
        }
    }
}

impl Part<dyn World, WorldContext> for ClassPointsConfig {
    const SOURCE: &'static str =
        "world of the miniature reproduction of ttrv (arXiv 2510.06783), linear version";

    fn formula(&self) -> String {
        let reward = match self.reward {
            ClassReward::Labels => "[a = class]",
            ClassReward::Coin => "a fair coin",
        };
        format!(
            "R = {reward}, class = argmax_k w_k x, {} classes, x ~ N(0, 1) in {} coordinates; {} points adapted, {} evaluated, {} labeled with {} wrong",
            self.n_classes, self.dimensions, self.n_adapted, self.n_others, self.n_labeled, self.label_noise
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        for (key, value, least, most) in [
            ("n_classes", self.n_classes, 2, 1024),
            ("dimensions", self.dimensions, 1, 1024),
            ("n_adapted", self.n_adapted, 1, 65_535),
            ("n_others", self.n_others, 1, 65_535),
            ("n_labeled", self.n_labeled, 1, 65_535),
        ] {
            let range = format!("in {least}..={most}");
            ParamError::check((least..=most).contains(&value), key, value, &range)?;
        }
        let noise = self.label_noise;
        ParamError::check((0.0..=1.0).contains(&noise), "label_noise", noise, "in [0, 1]")?;
        let words = |letter: char, n: usize| (0..n).map(|i| format!("{letter}{i}")).collect();
        let n_points = self.n_adapted + self.n_others + self.n_labeled;
        Ok(Box::new(ClassPoints {
            config: self.clone(),
            points: words('x', n_points),
            classes: words('k', self.n_classes).into(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct ClassPoints {
    config: ClassPointsConfig,
    points: Vec<String>,
    classes: Arc<[String]>,
}

impl ClassPoints {
    fn class_of(&self, task: &Task) -> Option<usize> {
        self.classes.iter().position(|class| *class == task.reference)
    }
}

/// The largest entry, of several the first.
fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

impl World for ClassPoints {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.points.clone(),
            actions: self.classes.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(self.tasks(tasks::Part::Adapted, key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(self.tasks(tasks::Part::Others, key))
    }

    fn warm_start_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(self.tasks(tasks::Part::Labeled, key))
    }

    fn start(&self, task: &Task, key: Key) -> Result<Box<dyn Environment>, EnvError> {
        let Some(right) = self.class_of(task) else {
            return Err(EnvError(format!("task {}: its reference is no class", task.id)));
        };
        let coin = key.named("coin", 0).uniform() < 0.5;
        let reward = self.config.reward;
        let classes = Arc::clone(&self.classes);
        let answered = move |answer: &str| {
            let class = classes.iter().position(|class| class == answer);
            let earned = match reward {
                ClassReward::Labels => class == Some(right),
                ClassReward::Coin => coin,
            };
            (f64::from(u8::from(earned)), class.is_some())
        };
        Ok(Box::new(SingleTurn::rewarding(task.prompt.clone(), answered)))
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        policy(&task.prompt)?.get(self.class_of(task)?).copied()
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let Some((right, p)) = self.class_of(task).zip(policy(&task.prompt)) else {
            return BTreeMap::new();
        };
        let surprise = |p: &f64| if *p > 0.0 { -p * p.ln() } else { 0.0 };
        BTreeMap::from([
            ("greedy".to_owned(), f64::from(u8::from(largest(&p) == right))),
            ("entropy".to_owned(), p.iter().map(surprise).sum()),
        ])
    }

    fn features(&self, key: Key) -> Option<Features> {
        let points: Vec<Vec<f64>> = (0..self.points.len())
            .map(|i| tasks::point(&self.config, i, key))
            .collect();
        let d = self.config.dimensions;
        let row = |s: usize, a: usize| {
            points[s]
                .iter()
                .enumerate()
                .map(|(i, x)| (a * d + i, *x))
                .collect()
        };
        Features::new(points.len(), self.classes.len(), self.classes.len() * d, row).ok()
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::new(5, Stream::Tasks)
    }

    fn build(config: ClassPointsConfig) -> Result<Box<dyn World>, ParamError> {
        config.build(&WorldContext::default())
    }

    fn refused(change: impl FnOnce(&mut ClassPointsConfig)) -> String {
        let mut config = ClassPointsConfig::default();
        change(&mut config);
        build(config).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        assert_eq!(
            refused(|c| c.n_classes = 1),
            "`n_classes` = 1: must be in 2..=1024"
        );
        assert_eq!(
            refused(|c| c.dimensions = 0),
            "`dimensions` = 0: must be in 1..=1024"
        );
        assert_eq!(
            refused(|c| c.n_adapted = 0),
            "`n_adapted` = 0: must be in 1..=65535"
        );
        assert_eq!(
            refused(|c| c.n_others = 0),
            "`n_others` = 0: must be in 1..=65535"
        );
        assert_eq!(
            refused(|c| c.n_labeled = 0),
            "`n_labeled` = 0: must be in 1..=65535"
        );
        assert_eq!(
            refused(|c| c.label_noise = 1.5),
            "`label_noise` = 1.5: must be in [0, 1]"
        );
    }

    #[test]
    fn answers_earn_their_label_or_a_coin() {
        let task = Task::new("t", "x0", "k2");
        let play = |reward, answer: &str, sample| {
            let world = build(ClassPointsConfig {
                reward,
                ..Default::default()
            })
            .unwrap();
            let mut episode = world.start(&task, key().sample(sample)).unwrap();
            let outcome = episode.step(answer).unwrap();
            (outcome.reward, outcome.valid)
        };
        assert_eq!(play(ClassReward::Labels, "k2", 0), (1.0, true));
        assert_eq!(play(ClassReward::Labels, "k1", 0), (0.0, true));
        assert_eq!(play(ClassReward::Labels, "2", 0), (0.0, false));
        // 3.29 standard errors of a fair share: alpha 0.001.
        let wins: f64 = (0..4000).map(|i| play(ClassReward::Coin, "k1", i).0).sum();
        assert!((wins / 4000.0 - 0.5).abs() < 3.29 * 0.5 / 4000f64.sqrt());
        let world = build(ClassPointsConfig::default()).unwrap();
        let foreign = Task::new("t", "x0", "k8");
        let error = world.start(&foreign, key()).unwrap_err();
        assert_eq!(error.0, "task t: its reference is no class");
        assert_eq!(world.exact_success(&foreign, &|_| Some(vec![0.125; 8])), None);
        assert!(
            world
                .exact_measures(&foreign, &|_| Some(vec![0.125; 8]))
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn measures_are_those_of_the_answer_s_law(weights in prop::collection::vec(0.01..1.0f64, 8), right in 0..8usize) {
            let total: f64 = weights.iter().sum();
            let p: Vec<f64> = weights.iter().map(|w| w / total).collect();
            let world = build(ClassPointsConfig::default()).unwrap();
            let task = Task::new("t", "x0", format!("k{right}"));
            let policy = |_: &str| Some(p.clone());
            prop_assert_eq!(world.exact_success(&task, &policy), Some(p[right]));
            let found = world.exact_measures(&task, &policy);
            let best = p.iter().copied().fold(0.0, f64::max);
            prop_assert_eq!(found["greedy"], f64::from(u8::from(p[right] == best)));
            prop_assert!(found["entropy"] > 0.0 && found["entropy"] <= 8f64.ln() + 1e-12);
        }
    }

    #[test]
    fn the_true_weights_are_within_the_policy_s_reach() {
        let config = ClassPointsConfig {
            label_noise: 0.0,
            ..Default::default()
        };
        let world = build(config.clone()).unwrap();
        let psi = world.features(key()).unwrap();
        let logits = psi.logits(&tasks::true_weights(&config, key()).concat());
        let all = [
            world.train_tasks(key()),
            world.eval_tasks(key()),
            world.warm_start_tasks(key()),
        ];
        let all: Vec<Task> = all.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(all.len(), 1600);
        for (i, task) in all.iter().enumerate() {
            assert_eq!(task.prompt, format!("x{i}"));
            assert_eq!(task.reference, format!("k{}", largest(&logits[8 * i..8 * i + 8])));
        }
    }
}
