//! Category arms: contextual bandits of categories that are common and easy or rare and hard.
//!
//! A prompt belongs to a category and has d standard normal numbers x.  Its right arm, the demonstration, is the largest of
//! `w_a x + h_j o_ja`: w are shared by all categories, the offsets o of category j are its own, and
//! `h_j = hardness j / (J - 1)` grows with rarity (categories stand in order).  All are fixed standard normals.  So the more
//! an offset weighs, the more a category is unlike those that give the policy most of its experience.
//!
//! Arms are texts of four traits each, `t3-t4-t5-t6` for arm 3: neighbors share traits, so that an answer can be more or
//! less like the demonstration for estimators that compare texts (`dr-irl`).
//!
//! # Features
//! x once for each arm, and an offset for each category and arm: a linear policy can learn every right arm.
//!
//! # Reward
//! 1 for the demonstration, else 0.
//!
//! # Evaluation
//! On the training prompts, exact.  `eval/success` is the mean over prompts.  Measures: `macro`, the mean over categories of
//! their mean; `tail`, the same over the last three; `category/0` and so on.
//!
//! # Where the policy starts
//! Uniform.

mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Features, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Task};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// Parameters of the category arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CategoryArmsConfig {
    /// Prompts of each category, common ones first; 1 to 256 categories, each in 1..=65535.
    pub counts: Vec<usize>,
    /// Arms, in 5..=1024.
    pub n_arms: usize,
    /// Numbers of a prompt d, in 1..=1024.
    pub dimensions: usize,
    /// Weight of the last category's own offsets, >= 0.
    pub hardness: f64,
}

impl Default for CategoryArmsConfig {
    fn default() -> Self {
        Self {
            counts: vec![400, 200, 100, 50, 25, 12, 6],
            n_arms: 10,
            dimensions: 8,
            hardness: 3.0,
        }
    }
}

/// Categories that `tail` is about.
const TAIL: usize = 3;

impl Part<dyn World, WorldContext> for CategoryArmsConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of dr-irl (DR-IRL, ICLR 2026)";

    fn formula(&self) -> String {
        format!(
            "R = [a = argmax_a w_a x + h_j o_ja], h_j from 0 to {} by category; {:?} prompts, {} arms, x ~ N(0, 1) of {} numbers",
            self.hardness, self.counts, self.n_arms, self.dimensions
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        let counts = &self.counts;
        let holds = (1..=256).contains(&counts.len()) && counts.iter().all(|n| (1..=65_535).contains(n));
        let range = "1 to 256 numbers, each in 1..=65535";
        ParamError::check(holds, "counts", format!("{counts:?}"), range)?;
        for (key, value, least) in [("n_arms", self.n_arms, 5), ("dimensions", self.dimensions, 1)] {
            let range = format!("in {least}..=1024");
            ParamError::check((least..=1024).contains(&value), key, value, &range)?;
        }
        ParamError::check_coefficient("hardness", self.hardness)?;
        let trait_of = |arm: usize, k: usize| format!("t{}", (arm + k) % self.n_arms);
        let arm = |a: usize| (0..4).map(|k| trait_of(a, k)).collect::<Vec<_>>().join("-");
        let categories = counts.iter().enumerate();
        Ok(Box::new(CategoryArms {
            arms: (0..self.n_arms).map(arm).collect(),
            places: categories
                .flat_map(|(j, n)| (0..*n).map(move |i| (j, i)))
                .collect(),
            config: self.clone(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct CategoryArms {
    config: CategoryArmsConfig,
    arms: Arc<[String]>,
    /// (category, number within it) of each prompt.
    places: Vec<(usize, usize)>,
}

impl CategoryArms {
    fn right_of(&self, task: &Task) -> Option<usize> {
        self.arms.iter().position(|arm| *arm == task.reference)
    }

    /// Category of a task, from its column.
    fn category_of(&self, task: &Task) -> Option<usize> {
        let name = task.columns.get("category")?.as_str()?.strip_prefix('c')?;
        name.parse().ok().filter(|j| *j < self.config.counts.len())
    }
}

impl World for CategoryArms {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: self.places.iter().map(|(j, i)| format!("c{j}/{i}")).collect(),
            actions: self.arms.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        Ok(self.tasks(key))
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let Some(right) = self.right_of(task) else {
            return Err(EnvError(format!("task {}: its reference is no arm", task.id)));
        };
        let arms = Arc::clone(&self.arms);
        let answered = move |answer: &str| {
            let arm = arms.iter().position(|arm| arm == answer);
            (f64::from(u8::from(arm == Some(right))), arm.is_some())
        };
        Ok(Box::new(SingleTurn::rewarding(task.prompt.clone(), answered)))
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        policy(&task.prompt)?.get(self.right_of(task)?).copied()
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let Some((success, j)) = self.exact_success(task, policy).zip(self.category_of(task)) else {
            return BTreeMap::new();
        };
        let counts = &self.config.counts;
        // Weighed so that the mean over all prompts that have the measure is the mean over categories.
        let share = |of: &[usize]| {
            let all: usize = of.iter().sum();
            all as f64 / (of.len() * counts[j]) as f64
        };
        let mut out = BTreeMap::from([
            (format!("category/{j}"), success),
            ("macro".to_owned(), success * share(counts)),
        ]);
        let first = counts.len().saturating_sub(TAIL);
        if j >= first {
            out.insert("tail".to_owned(), success * share(&counts[first..]));
        }
        out
    }

    fn features(&self, key: Key) -> Option<Features> {
        let (d, n_arms) = (self.config.dimensions, self.config.n_arms);
        let prompts: Vec<Vec<f64>> = self
            .places
            .iter()
            .map(|(j, i)| tasks::prompt(&self.config, *j, *i, key))
            .collect();
        let row = |s: usize, a: usize| {
            let mut row: Vec<(usize, f64)> = prompts[s]
                .iter()
                .enumerate()
                .map(|(i, x)| (a * d + i, *x))
                .collect();
            row.push((n_arms * (d + self.places[s].0) + a, 1.0));
            row
        };
        let n_weights = n_arms * (d + self.config.counts.len());
        Features::new(prompts.len(), n_arms, n_weights, row).ok()
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::new(4, Stream::Tasks)
    }

    fn build(config: &CategoryArmsConfig) -> Box<dyn World> {
        config.build(&WorldContext::default()).unwrap()
    }

    fn refused(change: impl FnOnce(&mut CategoryArmsConfig)) -> String {
        let mut config = CategoryArmsConfig::default();
        change(&mut config);
        let error = config.build(&WorldContext::default()).map(|_| ()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        let range = "must be 1 to 256 numbers, each in 1..=65535";
        assert_eq!(refused(|c| c.counts = vec![]), format!("`counts` = []: {range}"));
        assert_eq!(
            refused(|c| c.counts = vec![3, 0]),
            format!("`counts` = [3, 0]: {range}")
        );
        assert_eq!(refused(|c| c.n_arms = 4), "`n_arms` = 4: must be in 5..=1024");
        assert_eq!(
            refused(|c| c.dimensions = 0),
            "`dimensions` = 0: must be in 1..=1024"
        );
        assert_eq!(
            refused(|c| c.hardness = -1.0),
            "`hardness` = -1: must be a finite number >= 0"
        );
    }

    #[test]
    fn the_demonstration_earns_the_reward() {
        let world = build(&CategoryArmsConfig::default());
        let task = Task::new("t", "c0/0", "t9-t0-t1-t2");
        for (answer, outcome) in [
            ("t9-t0-t1-t2", (1.0, true)),
            ("t0-t1-t2-t3", (0.0, true)),
            ("t9", (0.0, false)),
        ] {
            let mut episode = world.start(&task, key()).unwrap();
            let step = episode.step(answer).unwrap();
            assert_eq!((step.reward, step.valid), outcome, "{answer}");
        }
        let foreign = Task::new("t", "c0/0", "t9");
        let error = world.start(&foreign, key()).unwrap_err();
        assert_eq!(error.0, "task t: its reference is no arm");
        assert!(world.exact_measures(&task, &|_| Some(vec![0.1; 10])).is_empty());
    }

    #[test]
    fn a_linear_policy_can_know_every_right_arm() {
        let config = CategoryArmsConfig::default();
        let world = build(&config);
        let psi = world.features(key()).unwrap();
        let logits = psi.logits(&tasks::true_weights(&config, key()));
        let tasks = world.train_tasks(key()).unwrap();
        assert_eq!(tasks.len(), 793);
        for (i, task) in tasks.iter().enumerate() {
            let row = &logits[10 * i..10 * i + 10];
            let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let right = world.symbols();
            let Symbols::Words { states, actions } = right else {
                panic!("words")
            };
            let at = actions.iter().position(|arm| *arm == task.reference).unwrap();
            assert_eq!((row[at], &states[i]), (best, &task.prompt));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn macro_is_the_mean_over_categories(rates in prop::collection::vec(0.0..1.0f64, 4)) {
            let config = CategoryArmsConfig { counts: vec![7, 5, 2, 1], ..Default::default() };
            let world = build(&config);
            let tasks = world.train_tasks(key()).unwrap();
            // A policy whose chance of any arm is the rate of the prompt's category.
            let policy = |state: &str| {
                let j: usize = state[1..2].parse().ok()?;
                Some(vec![rates[j]; 10])
            };
            let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
            for task in &tasks {
                for (name, value) in world.exact_measures(task, &policy) {
                    let sum = sums.entry(name).or_default();
                    *sum = (sum.0 + value, sum.1 + 1.0);
                }
            }
            let mean = |name: &str| sums[name].0 / sums[name].1;
            prop_assert!((mean("macro") - rates.iter().sum::<f64>() / 4.0).abs() < 1e-12);
            prop_assert!((mean("tail") - rates[1..].iter().sum::<f64>() / 3.0).abs() < 1e-12);
            for (j, rate) in rates.iter().enumerate() {
                let name = format!("category/{j}");
                prop_assert!((mean(&name) - rate).abs() < 1e-12);
            }
        }
    }
}
