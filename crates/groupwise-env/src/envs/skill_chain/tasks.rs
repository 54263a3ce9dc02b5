//! Tasks and starting logits of the skill chain.

use std::collections::BTreeSet;

use groupwise_core::key::KeyedRng;
use groupwise_core::{DataError, Key, Task};
use rand_distr::{Distribution, StandardNormal};

use super::{RIGHT, SkillChainConfig};

/// Draws tried for a set of skills that is not trained on.
const ATTEMPTS: usize = 1000;

/// `n_tasks` sets of skills, sizes uniform in `min_skills..=max_skills`; two may be equal.
pub(super) fn generate_train(config: &SkillChainConfig, states: &[String], key: Key) -> Vec<Task> {
    (0..config.n_tasks)
        .map(|i| {
            let mut rng = key.named("skill-chain/train", i as u64).rng();
            make_task("train", i, states, &draw_skills(config, &mut rng))
        })
        .collect()
}

/// `n` different sets of skills of which none is in `train`.
pub(super) fn generate_held_out(
    config: &SkillChainConfig,
    states: &[String],
    train: &[Task],
    n: usize,
    key: Key,
) -> Result<Vec<Task>, DataError> {
    let mut seen: BTreeSet<Vec<usize>> = train.iter().map(set_of).collect();
    let mut tasks = Vec::with_capacity(n);
    for i in 0..n {
        let mut rng = key.named("skill-chain/eval", i as u64).rng();
        let fresh = (0..ATTEMPTS)
            .map(|_| draw_skills(config, &mut rng))
            .find(|skills| seen.insert(sorted(skills)));
        match fresh {
            Some(skills) => tasks.push(make_task("eval", i, states, &skills)),
            None => {
                let what =
                    format!("no set of skills is left for held-out task {i}; ask for fewer in `evaluate`");
                return Err(DataError::value("skill-chain", what));
            }
        }
    }
    Ok(tasks)
}

/// Logits of the starting policy, skills x options; the module says how the specification is read.
pub(super) fn draw_logits(config: &SkillChainConfig, key: Key) -> Vec<Vec<f64>> {
    (0..config.n_skills)
        .map(|skill| {
            let mut rng = key.named("skill-chain/logits", skill as u64).rng();
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            let ease = config.logit_shift + config.logit_std * normal();
            let mut row: Vec<f64> = (0..config.n_options)
                .map(|_| config.logit_noise * normal())
                .collect();
            row[0] += ease;
            row
        })
        .collect()
}

/// Distinct skills in random order, by a partial Fisher-Yates shuffle.
fn draw_skills(config: &SkillChainConfig, rng: &mut KeyedRng) -> Vec<usize> {
    let sizes = (config.max_skills - config.min_skills) as u64 + 1;
    let size = config.min_skills + rng.below(sizes) as usize;
    let mut skills: Vec<usize> = config.skills_for(size).collect();
    for i in 0..size {
        let j = i + rng.below((skills.len() - i) as u64) as usize;
        skills.swap(i, j);
    }
    skills.truncate(size);
    skills
}

fn make_task(split: &str, i: usize, states: &[String], skills: &[usize]) -> Task {
    let mut task = Task::new(
        format!("skill-chain/{split}-{i:04}"),
        states[skills[0]].clone(),
        vec![RIGHT; skills.len()].join(" "),
    );
    task.difficulty = skills.len() as f64;
    task.columns.insert("skills".into(), skills.into());
    task
}

fn sorted(skills: &[usize]) -> Vec<usize> {
    let mut set = skills.to_vec();
    set.sort_unstable();
    set
}

fn set_of(task: &Task) -> Vec<usize> {
    let values = task.columns["skills"].as_array().map_or(&[][..], Vec::as_slice);
    sorted(
        &values
            .iter()
            .filter_map(|v| v.as_u64())
            .map(|s| s as usize)
            .collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Part, Stream};
    use proptest::prelude::*;

    use super::super::{Evaluate, Sharing};
    use super::*;
    use crate::WorldContext;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn skills_of_a_task_are_distinct_and_within_bounds(
            seed in any::<u64>(), n_skills in 1..20usize, low in 0.0..1.0f64, high in 0.0..1.0f64,
        ) {
            let bound = |x: f64| 1 + (x * n_skills as f64) as usize;
            let (min_skills, max_skills) = (bound(low.min(high)), bound(low.max(high)));
            let config = SkillChainConfig { n_skills, min_skills, max_skills, n_tasks: 32, ..Default::default() };
            let world = config.build(&WorldContext::default()).unwrap();
            for task in world.train_tasks(Key::new(seed, Stream::Tasks)).unwrap() {
                let mut set = set_of(&task);
                prop_assert!((min_skills..=max_skills).contains(&set.len()));
                prop_assert_eq!(set.len() as f64, task.difficulty);
                set.dedup();
                prop_assert_eq!(set.len() as f64, task.difficulty);
            }
        }

        #[test]
        fn held_out_sets_are_new_and_different(seed in any::<u64>()) {
            let config = SkillChainConfig { evaluate: Evaluate::HeldOut(120), ..Default::default() };
            let world = config.build(&WorldContext::default()).unwrap();
            let key = Key::new(seed, Stream::Tasks);
            let train: BTreeSet<_> = world.train_tasks(key).unwrap().iter().map(set_of).collect();
            let eval = world.eval_tasks(key).unwrap();
            let sets: BTreeSet<_> = eval.iter().map(set_of).collect();
            prop_assert_eq!((eval.len(), sets.len()), (120, 120));
            prop_assert!(train.is_disjoint(&sets));
        }
    }

    #[test]
    fn classes_of_length_share_no_skill() {
        let config = SkillChainConfig {
            sharing: Sharing::ByLength(vec![3, 6, 8]),
            ..Default::default()
        };
        let world = config.build(&WorldContext::default()).unwrap();
        let mut used = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        for task in world.train_tasks(Key::new(0, Stream::Tasks)).unwrap() {
            let skills = set_of(&task);
            used[[3, 6, 8].partition_point(|most| *most < skills.len())].extend(skills);
        }
        for (class, used) in used.iter().enumerate() {
            // Some 80 tasks of one to eight skills leave out none of twenty.
            assert_eq!(
                used.iter().copied().collect::<Vec<_>>(),
                (20 * class..20 * class + 20).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn held_out_tasks_that_cannot_exist_are_refused() {
        let config = SkillChainConfig {
            n_skills: 2,
            max_skills: 2,
            evaluate: Evaluate::HeldOut(4),
            ..Default::default()
        };
        let world = config.build(&WorldContext::default()).unwrap();
        assert_eq!(
            world
                .eval_tasks(Key::new(0, Stream::Tasks))
                .unwrap_err()
                .to_string(),
            "skill-chain: no set of skills is left for held-out task 0; ask for fewer in `evaluate`"
        );
    }

    #[test]
    fn sizes_and_skills_are_uniform() {
        // Chi-square at alpha 0.001: 24.3 with 7 degrees of freedom, 98.3 with 59.  Skills of one task are drawn
        // without replacement, which makes their counts vary less than the reference law.
        let config = SkillChainConfig {
            n_tasks: 16_000,
            ..Default::default()
        };
        let tasks = generate_train(&config, &vec![String::new(); 60], Key::new(0, Stream::Tasks));
        let (mut sizes, mut skills) = ([0.0; 8], [0.0; 60]);
        for task in &tasks {
            let set = set_of(task);
            sizes[set.len() - 1] += 1.0;
            set.iter().for_each(|s| skills[*s] += 1.0);
        }
        let chi = |counts: &[f64]| {
            let mean = counts.iter().sum::<f64>() / counts.len() as f64;
            counts.iter().map(|c| (c - mean).powi(2) / mean).sum::<f64>()
        };
        assert!(
            chi(&sizes) < 24.3 && chi(&skills) < 98.3,
            "{} {}",
            chi(&sizes),
            chi(&skills)
        );
    }

    #[test]
    fn logits_follow_their_law() {
        // Kolmogorov-Smirnov at alpha 0.001 against N(1, 1.5^2 + 0.3^2) and N(0, 0.3^2).
        let config = SkillChainConfig {
            n_skills: 4000,
            n_options: 2,
            logit_shift: 1.0,
            ..Default::default()
        };
        let logits = draw_logits(&config, Key::new(0, Stream::Init));
        let distance = |mut x: Vec<f64>, mean: f64, std: f64| {
            x.sort_by(f64::total_cmp);
            let n = x.len() as f64;
            x.iter()
                .enumerate()
                .map(|(i, v)| {
                    let cdf = normal_cdf((v - mean) / std);
                    (cdf - i as f64 / n).abs().max((cdf - (i + 1) as f64 / n).abs())
                })
                .fold(0.0, f64::max)
        };
        let right = distance(
            logits.iter().map(|r| r[0]).collect(),
            1.0,
            (1.5f64.powi(2) + 0.09).sqrt(),
        );
        let other = distance(logits.iter().map(|r| r[1]).collect(), 0.0, 0.3);
        let limit = 1.95 / 4000f64.sqrt();
        assert!(right < limit && other < limit, "{right} {other} {limit}");
    }

    /// By the trapezoidal rule on the density, exact to 1e-6.
    fn normal_cdf(x: f64) -> f64 {
        let steps = 2000;
        let h = x / f64::from(steps);
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        0.5 + (0..steps)
            .map(|i| h / 2.0 * (density(h * f64::from(i)) + density(h * f64::from(i + 1))))
            .sum::<f64>()
    }
}
