//! Answer pools: prompts with a fixed pool of answers, a true reward, and an ensemble of learned ones.
//!
//! A prompt is a pool of N answers, points of `dimensions` coordinates drawn from Student's t: far-off answers are
//! rare, and exist.  The true reward (gold) is a fixed random network of one tanh layer.  Every member of the ensemble is
//! a logistic regression on random ReLU features of its own, trained on the same pairs of answers, of which a share
//! `label_flips` names the worse one as better.  Gold and members are put on one scale: mean 0 and deviation 1 over all
//! pools, so that gold reads in its standard deviations.
//!
//! # Reward
//! None of its own: verifier `reward-ensemble` reads column `member_scores` (answer -> a score per member).
//!
//! # Evaluation
//! On the training tasks, exact.  `eval/success` is the share of the pool's other answers that the policy's answer is
//! expected to beat in gold.  Measures: `gold` and `proxy` (the aggregate of this world's `ensemble`), expected under
//! the policy; `kl` to the uniform policy, nats.  With `best_of`: `best-of-n/gold/n=16` and so on, what the best of n
//! answers by proxy is expected to have, whatever the policy; `best-of-n/gold` and `best-of-n/proxy` are those of the
//! last n, and `best-of-n/kl` goes with them.  Aggregates and best-of-n are those of [`groupwise_reward::ensemble`].
//!
//! # Where the policy starts
//! Uniform over the pool.
//!
//! # What the specification leaves open
//! Width and biases of the gold network (`gold_units`), how far a member is trained (`fit_steps`, `fit_rate`: gradient
//! descent from 0 on [`pairwise_loss`](groupwise_reward::ensemble::pairwise_loss)), that members share their pairs.

mod members;
mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use groupwise_core::seams::{EnvError, Environment, Symbols, World};
use groupwise_core::{DataError, Key, ParamError, Part, Spread, Task};
use groupwise_reward::ensemble::{AnswerPool, EnsembleObjective, RewardEnsemble};
use serde::{Deserialize, Serialize};

use crate::WorldContext;
use crate::single_turn::SingleTurn;

/// Parameters of the answer pools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerPoolsConfig {
    /// Prompts, in 1..=4096.
    pub n_prompts: usize,
    /// Answers of each pool N, in 2..=65535.
    pub n_answers: usize,
    /// Coordinates of an answer, in 1..=1024.
    pub dimensions: usize,
    /// Degrees of freedom of a coordinate's t distribution, > 0.
    pub degrees: f64,
    /// Units of the gold network, in 1..=4096.
    pub gold_units: usize,
    /// Members of the ensemble, in 1..=64; the first members of a larger ensemble are a smaller one.
    pub n_members: usize,
    /// Random features of a member, in 1..=4096.
    pub n_features: usize,
    /// Pairs that every member is trained on, in 1..=1048576.
    pub n_pairs: usize,
    /// Share of pairs that name the worse answer as better, in [0, 0.5).
    pub label_flips: f64,
    /// Full-batch steps of gradient descent of a member, in 1..=100000.
    pub fit_steps: usize,
    /// Their learning rate, > 0.
    pub fit_rate: f64,
    /// How the members become the proxy of the measures.
    pub ensemble: EnsembleObjective,
    /// Weight of the variance (`uwo`), >= 0.
    pub lambda: f64,
    /// Divisor of the variance: sample or population.
    pub std: Spread,
    /// Sizes n of best-of-n that are measured, in 1..=N; the last one is also reported without its n.
    pub best_of: Vec<usize>,
}

impl Default for AnswerPoolsConfig {
    fn default() -> Self {
        Self {
            n_prompts: 30,
            n_answers: 3000,
            dimensions: 8,
            degrees: 4.0,
            gold_units: 32,
            n_members: 5,
            n_features: 64,
            n_pairs: 300,
            label_flips: 0.25,
            fit_steps: 2000,
            fit_rate: 1.0,
            ensemble: EnsembleObjective::Mean,
            lambda: 0.5,
            std: Spread::Population,
            best_of: vec![1, 4, 16, 64, 256, 1024, 3000],
        }
    }
}

impl AnswerPoolsConfig {
    fn check_sizes(&self) -> Result<(), ParamError> {
        for (key, value, least, most) in [
            ("n_prompts", self.n_prompts, 1, 4096),
            ("n_answers", self.n_answers, 2, 65_535),
            ("dimensions", self.dimensions, 1, 1024),
            ("gold_units", self.gold_units, 1, 4096),
            ("n_members", self.n_members, 1, 64),
            ("n_features", self.n_features, 1, 4096),
            ("n_pairs", self.n_pairs, 1, 1 << 20),
            ("fit_steps", self.fit_steps, 1, 100_000),
        ] {
            let range = format!("in {least}..={most}");
            ParamError::check((least..=most).contains(&value), key, value, &range)?;
        }
        for n in &self.best_of {
            let range = format!("in 1..={}, the number of answers", self.n_answers);
            ParamError::check((1..=self.n_answers).contains(n), "best_of", n, &range)?;
        }
        Ok(())
    }
}

impl Part<dyn World, WorldContext> for AnswerPoolsConfig {
    const SOURCE: &'static str = "world of the miniature reproduction of reward-ensembles (arXiv 2310.02743)";

    fn formula(&self) -> String {
        format!(
            "gold(x) = v tanh(A x + b), {} units; member(x) = w relu(B x + c), {} features, {} pairs, {} flipped; {} pools of {} answers x ~ t({}), {} coordinates",
            self.gold_units,
            self.n_features,
            self.n_pairs,
            self.label_flips,
            self.n_prompts,
            self.n_answers,
            self.degrees,
            self.dimensions,
        )
    }

    fn build(&self, _: &WorldContext) -> Result<Box<dyn World>, ParamError> {
        self.check_sizes()?;
        let range = "a finite number > 0";
        for (key, value) in [("degrees", self.degrees), ("fit_rate", self.fit_rate)] {
            ParamError::check(value > 0.0 && value.is_finite(), key, value, range)?;
        }
        let flips = self.label_flips;
        ParamError::check((0.0..0.5).contains(&flips), "label_flips", flips, "in [0, 0.5)")?;
        Ok(Box::new(AnswerPools {
            ensemble: RewardEnsemble::new(self.ensemble, self.lambda, self.std)?,
            answers: (0..self.n_answers).map(|a| format!("a{a}")).collect(),
            config: self.clone(),
        }))
    }
}

/// The validated world.
#[derive(Debug)]
struct AnswerPools {
    config: AnswerPoolsConfig,
    ensemble: RewardEnsemble,
    answers: Arc<[String]>,
}

/// Gold and proxy of a pool's answers.
struct Pool {
    gold: Vec<f64>,
    proxy: Vec<f64>,
}

impl AnswerPools {
    /// Gold scores of a task, one per answer.
    fn gold_of(&self, task: &Task) -> Option<Vec<f64>> {
        let column = task.columns.get("gold")?.as_array()?;
        let gold: Vec<f64> = column.iter().map(|v| v.as_f64()).collect::<Option<_>>()?;
        (gold.len() == self.answers.len()).then_some(gold)
    }

    fn pool_of(&self, task: &Task) -> Option<Pool> {
        let gold = self.gold_of(task)?;
        let scores = task.columns.get("member_scores")?.as_object()?;
        let mut by_member = vec![Vec::with_capacity(gold.len()); self.config.n_members];
        for answer in self.answers.iter() {
            let of_answer = scores.get(answer)?.as_array()?;
            if of_answer.len() != by_member.len() {
                return None;
            }
            for (member, score) in by_member.iter_mut().zip(of_answer) {
                member.push(score.as_f64()?);
            }
        }
        let proxy = self.ensemble.aggregate(&by_member).ok()?;
        Some(Pool { gold, proxy })
    }

    fn best_of(&self, pool: &Pool, out: &mut BTreeMap<String, f64>) -> Result<(), DataError> {
        if self.config.best_of.is_empty() {
            return Ok(());
        }
        let sorted = AnswerPool::new(&pool.proxy, &pool.gold)?;
        for n in &self.config.best_of {
            let best = sorted.best_of(*n)?;
            for (what, value) in [("gold", best.gold), ("proxy", best.proxy)] {
                out.insert(format!("best-of-n/{what}/n={n}"), value);
                out.insert(format!("best-of-n/{what}"), value);
            }
            out.insert("best-of-n/kl".into(), best.kl);
        }
        Ok(())
    }
}

/// For each answer the share of the others that have a lower gold.
fn beaten(gold: &[f64]) -> Vec<f64> {
    let mut sorted = gold.to_vec();
    sorted.sort_by(f64::total_cmp);
    let others = (gold.len().max(2) - 1) as f64;
    gold.iter()
        .map(|g| sorted.partition_point(|other| other < g) as f64 / others)
        .collect()
}

fn expected(policy: &[f64], values: &[f64]) -> f64 {
    policy.iter().zip(values).map(|(p, v)| p * v).sum()
}

/// KL divergence to the uniform policy, nats.
fn divergence(policy: &[f64]) -> f64 {
    let n = policy.len() as f64;
    let term = |p: &f64| if *p > 0.0 { p * (p * n).ln() } else { 0.0 };
    policy.iter().map(term).sum()
}

impl World for AnswerPools {
    fn symbols(&self) -> Symbols {
        Symbols::Words {
            states: (0..self.config.n_prompts).map(|p| format!("p{p}")).collect(),
            actions: self.answers.to_vec(),
        }
    }

    fn train_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        tasks::generate(&self.config, &self.answers, key)
    }

    fn eval_tasks(&self, key: Key) -> Result<Vec<Task>, DataError> {
        self.train_tasks(key)
    }

    fn start(&self, task: &Task, _: Key) -> Result<Box<dyn Environment>, EnvError> {
        let n = self.answers.len();
        let known = move |answer: &str| {
            let index = answer.strip_prefix('a').and_then(|i| i.parse::<usize>().ok());
            (0.0, index.is_some_and(|i| i < n))
        };
        Ok(Box::new(SingleTurn::rewarding(task.prompt.clone(), known)))
    }

    /// None: what a demonstration would show is the answer that gold likes best.
    fn demonstration(&self, _: &Task) -> Option<String> {
        None
    }

    fn exact_success(&self, task: &Task, policy: &dyn Fn(&str) -> Option<Vec<f64>>) -> Option<f64> {
        let gold = self.gold_of(task)?;
        Some(expected(&policy(&task.prompt)?, &beaten(&gold)))
    }

    fn exact_measures(
        &self,
        task: &Task,
        policy: &dyn Fn(&str) -> Option<Vec<f64>>,
    ) -> BTreeMap<String, f64> {
        let mut out = BTreeMap::new();
        let Some((pool, policy)) = self.pool_of(task).zip(policy(&task.prompt)) else {
            return out;
        };
        out.insert("gold".into(), expected(&policy, &pool.gold));
        out.insert("proxy".into(), expected(&policy, &pool.proxy));
        out.insert("kl".into(), divergence(&policy));
        match self.best_of(&pool, &mut out) {
            Ok(()) => out,
            // Scores of a task that is not this world's: no figure is better than a wrong one.
            Err(_) => BTreeMap::new(),
        }
    }

    fn initial_logits(&self, _: Key) -> Option<Vec<Vec<f64>>> {
        Some(vec![vec![0.0; self.answers.len()]; self.config.n_prompts])
    }
}

#[cfg(test)]
mod tests {
    use groupwise_core::Stream;
    use proptest::prelude::*;

    use super::*;

    fn small() -> AnswerPoolsConfig {
        AnswerPoolsConfig {
            n_prompts: 2,
            n_answers: 6,
            n_members: 3,
            n_features: 8,
            n_pairs: 20,
            fit_steps: 5,
            best_of: vec![2],
            ..Default::default()
        }
    }

    fn build(config: &AnswerPoolsConfig) -> Box<dyn World> {
        config.build(&WorldContext::default()).unwrap()
    }

    fn refused(change: impl FnOnce(&mut AnswerPoolsConfig)) -> String {
        let mut config = AnswerPoolsConfig::default();
        change(&mut config);
        let error = config.build(&WorldContext::default()).map(|_| ()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        assert_eq!(
            refused(|c| c.n_prompts = 0),
            "`n_prompts` = 0: must be in 1..=4096"
        );
        assert_eq!(
            refused(|c| c.n_answers = 1),
            "`n_answers` = 1: must be in 2..=65535"
        );
        assert_eq!(
            refused(|c| c.dimensions = 0),
            "`dimensions` = 0: must be in 1..=1024"
        );
        assert_eq!(
            refused(|c| c.gold_units = 0),
            "`gold_units` = 0: must be in 1..=4096"
        );
        assert_eq!(
            refused(|c| c.n_members = 65),
            "`n_members` = 65: must be in 1..=64"
        );
        assert_eq!(
            refused(|c| c.n_features = 0),
            "`n_features` = 0: must be in 1..=4096"
        );
        assert_eq!(
            refused(|c| c.n_pairs = 0),
            "`n_pairs` = 0: must be in 1..=1048576"
        );
        assert_eq!(
            refused(|c| c.fit_steps = 0),
            "`fit_steps` = 0: must be in 1..=100000"
        );
        let range = "must be in 1..=3000, the number of answers";
        assert_eq!(
            refused(|c| c.best_of = vec![3001]),
            format!("`best_of` = 3001: {range}")
        );
        assert_eq!(
            refused(|c| c.best_of = vec![1, 0]),
            format!("`best_of` = 0: {range}")
        );
        assert_eq!(
            refused(|c| c.degrees = 0.0),
            "`degrees` = 0: must be a finite number > 0"
        );
        assert_eq!(
            refused(|c| c.fit_rate = f64::NAN),
            "`fit_rate` = NaN: must be a finite number > 0"
        );
        assert_eq!(
            refused(|c| c.label_flips = 0.5),
            "`label_flips` = 0.5: must be in [0, 0.5)"
        );
        assert_eq!(
            refused(|c| c.lambda = -1.0),
            "`lambda` = -1: must be a finite number >= 0"
        );
    }

    /// Three members over six answers, and gold.
    fn task() -> Task {
        let mut task = Task::new("t", "p1", "");
        let scores: Vec<[f64; 3]> = vec![
            [1.0, 0.0, 2.0],
            [4.0, 4.0, 1.0],
            [2.0, 2.0, 2.0],
            [0.0, 3.0, 0.0],
            [-1.0, -1.0, -1.0],
            [5.0, 0.0, 4.0],
        ];
        let by_answer = scores.iter().enumerate();
        let object = by_answer
            .map(|(a, s)| (format!("a{a}"), s.to_vec().into()))
            .collect();
        task.columns
            .insert("member_scores".into(), serde_json::Value::Object(object));
        task.columns
            .insert("gold".into(), vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0].into());
        task
    }

    #[test]
    fn measures_are_those_of_the_aggregate_the_world_is_given() {
        let measure = |ensemble| {
            let world = build(&AnswerPoolsConfig { ensemble, ..small() });
            world.exact_measures(&task(), &|_| Some(vec![0.0, 0.5, 0.5, 0.0, 0.0, 0.0]))
        };
        // Worst case: 0, 1, 2, 0, -1, 0.
        let worst = measure(EnsembleObjective::Wco);
        assert_eq!((worst["proxy"], worst["gold"]), (1.5, 1.5));
        assert!((worst["kl"] - 3f64.ln()).abs() < 1e-15);
        // Ascending a4, a0, a3, a5, a1, a2 with chances 0..=5 of 15 to be the better of two.
        let gold: f64 = [4.0, 0.0, 3.0, 5.0, 1.0, 2.0]
            .iter()
            .zip(0..)
            .map(|(g, w)| g * f64::from(w) / 15.0)
            .sum();
        assert!((worst["best-of-n/gold/n=2"] - gold).abs() < 1e-12);
        assert_eq!(worst["best-of-n/gold"], worst["best-of-n/gold/n=2"]);
        assert!((worst["best-of-n/kl"] - (2f64.ln() - 0.5)).abs() < 1e-15);
        // Mean: 1, 3, 2, 1, -1, 3.
        let mean = measure(EnsembleObjective::Mean);
        assert_eq!(mean["proxy"], 2.5);
        assert!(mean["best-of-n/proxy"] > worst["best-of-n/proxy"]);
    }

    #[test]
    fn a_task_of_another_world_has_no_figure() {
        let world = build(&small());
        let uniform = |_: &str| Some(vec![1.0 / 6.0; 6]);
        let mut short = task();
        short.columns.insert("gold".into(), vec![0.5; 5].into());
        let mut lacking = task();
        lacking
            .columns
            .insert("member_scores".into(), serde_json::json!({"a0": [1.0, 2.0, 3.0]}));
        for bad in [Task::new("t", "p0", ""), short, lacking] {
            assert!(world.exact_measures(&bad, &uniform).is_empty());
        }
        assert_eq!(world.exact_success(&Task::new("t", "p0", ""), &uniform), None);
    }

    #[test]
    fn an_episode_is_one_answer_and_earns_nothing_here() {
        let world = build(&small());
        for (answer, valid) in [("a5", true), ("a6", false), ("5", false)] {
            let mut episode = world.start(&task(), Key::new(0, Stream::Environment)).unwrap();
            let outcome = episode.step(answer).unwrap();
            assert_eq!((outcome.reward, outcome.valid), (0.0, valid), "{answer}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn success_is_the_chance_to_beat_another_answer(weights in prop::collection::vec(0.01..1.0f64, 6)) {
            let total: f64 = weights.iter().sum();
            let policy: Vec<f64> = weights.iter().map(|w| w / total).collect();
            let world = build(&small());
            let mut expected = 0.0;
            for (a, p) in policy.iter().enumerate() {
                for b in 0..6 {
                    // Gold of the task is the answer's index.
                    expected += if a != b && a > b { p / 5.0 } else { 0.0 };
                }
            }
            let found = world.exact_success(&task(), &|_| Some(policy.clone())).unwrap();
            prop_assert!((found - expected).abs() < 1e-12);
        }

        #[test]
        fn divergence_is_not_negative_and_that_of_a_certain_answer_is_ln_n(
            weights in prop::collection::vec(0.01..1.0f64, 2..9),
        ) {
            let total: f64 = weights.iter().sum();
            let policy: Vec<f64> = weights.iter().map(|w| w / total).collect();
            prop_assert!(divergence(&policy) >= -1e-12);
            let mut certain = vec![0.0; policy.len()];
            certain[0] = 1.0;
            prop_assert!((divergence(&certain) - (policy.len() as f64).ln()).abs() < 1e-12);
            prop_assert!(divergence(&policy) <= divergence(&certain) + 1e-12);
        }
    }
}
