//! Pools of answers with their gold and member scores.

use groupwise_core::{DataError, Key, Spread, Task};
use groupwise_reward::ensemble::MemberScale;
use rand_distr::{Distribution, StudentT};
use serde_json::{Map, Value};

use super::AnswerPoolsConfig;
use super::members::{Gold, Learned, Preference};

/// One task per prompt, all with the same gold network and the same members.
pub(super) fn generate(
    config: &AnswerPoolsConfig,
    answers: &[String],
    key: Key,
) -> Result<Vec<Task>, DataError> {
    let gold = Gold::draw(
        config.gold_units,
        config.dimensions,
        key.named("answer-pools/gold", 0),
    );
    let pools: Vec<Vec<Vec<f64>>> = (0..config.n_prompts)
        .map(|p| draw_answers(config, config.n_answers, key.named("answer-pools/pool", p as u64)))
        .collect::<Result<_, _>>()?;
    let pairs = draw_pairs(config, &gold, key)?;
    let golds = standardized(&pools, |x| gold.score(x))?;
    let mut by_member = Vec::with_capacity(config.n_members);
    for j in 0..config.n_members {
        let key = key.named("answer-pools/member", j as u64);
        let member = Learned::fit(&pairs, config.n_features, config.fit_steps, config.fit_rate, key)?;
        by_member.push(standardized(&pools, |x| member.score(x))?);
    }
    let tasks = golds.into_iter().enumerate().map(|(p, gold)| {
        let mut task = Task::new(format!("answer-pools/prompt-{p:04}"), format!("p{p}"), "");
        task.difficulty = 1.0;
        let mut scores = Map::new();
        for (a, answer) in answers.iter().enumerate() {
            let of_answer: Vec<f64> = by_member.iter().map(|member| member[p][a]).collect();
            scores.insert(answer.clone(), of_answer.into());
        }
        task.columns.insert("gold".into(), gold.into());
        task.columns.insert("member_scores".into(), Value::Object(scores));
        task
    });
    Ok(tasks.collect())
}

fn draw_answers(config: &AnswerPoolsConfig, n: usize, key: Key) -> Result<Vec<Vec<f64>>, DataError> {
    let law = StudentT::new(config.degrees).map_err(|e| DataError::value("degrees", e.to_string()))?;
    let mut rng = key.rng();
    Ok((0..n)
        .map(|_| (0..config.dimensions).map(|_| law.sample(&mut rng)).collect())
        .collect())
}

/// Pairs of fresh answers in the order that gold has, or in the other one.
fn draw_pairs(config: &AnswerPoolsConfig, gold: &Gold, key: Key) -> Result<Vec<Preference>, DataError> {
    let answers = draw_answers(config, 2 * config.n_pairs, key.named("answer-pools/pairs", 0))?;
    let mut rng = key.named("answer-pools/flips", 0).rng();
    let pairs = answers.chunks_exact(2).map(|pair| {
        let flipped = rng.uniform() < config.label_flips;
        let (chosen, rejected) = if (gold.score(&pair[0]) >= gold.score(&pair[1])) != flipped {
            (&pair[0], &pair[1])
        } else {
            (&pair[1], &pair[0])
        };
        Preference {
            chosen: chosen.clone(),
            rejected: rejected.clone(),
        }
    });
    Ok(pairs.collect())
}

/// Scores of every pool's answers, mean 0 and deviation 1 over all of them.
fn standardized(pools: &[Vec<Vec<f64>>], score: impl Fn(&[f64]) -> f64) -> Result<Vec<Vec<f64>>, DataError> {
    let raw: Vec<Vec<f64>> = pools
        .iter()
        .map(|pool| pool.iter().map(|x| score(x)).collect())
        .collect();
    let scale = MemberScale::of(&raw.concat(), Spread::Population)?;
    let on_scale = |pool: Vec<f64>| pool.into_iter().map(|s| scale.apply(s)).collect();
    Ok(raw.into_iter().map(on_scale).collect())
}

#[cfg(test)]
mod tests {
    use groupwise_core::{Part, Stream};

    use super::*;
    use crate::WorldContext;

    fn tasks(config: &AnswerPoolsConfig) -> Vec<Task> {
        let world = config.build(&WorldContext::default()).unwrap();
        world.train_tasks(Key::new(1, Stream::Tasks)).unwrap()
    }

    fn gold(task: &Task) -> Vec<f64> {
        let column = task.columns["gold"].as_array().unwrap();
        column.iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn scores(task: &Task, member: usize) -> Vec<f64> {
        (0..gold(task).len())
            .map(|a| {
                task.columns["member_scores"][&format!("a{a}")][member]
                    .as_f64()
                    .unwrap()
            })
            .collect()
    }

    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / a.len() as f64
    }

    fn small() -> AnswerPoolsConfig {
        AnswerPoolsConfig {
            n_prompts: 4,
            n_answers: 500,
            n_members: 3,
            ..AnswerPoolsConfig {
                best_of: vec![],
                ..Default::default()
            }
        }
    }

    #[test]
    fn scores_are_on_one_scale_and_members_know_something_of_gold() {
        let tasks = tasks(&small());
        let golds: Vec<f64> = tasks.iter().flat_map(gold).collect();
        for column in (0..3).map(|j| tasks.iter().flat_map(|t| scores(t, j)).collect::<Vec<f64>>()) {
            assert!(correlation(&column, &vec![1.0; 2000]).abs() < 1e-9);
            assert!((correlation(&column, &column) - 1.0).abs() < 1e-9);
            let known = correlation(&column, &golds);
            assert!(known > 0.2 && known < 1.0, "{known}");
        }
        assert!((correlation(&golds, &golds) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn flips_cost_knowledge_and_change_no_answer() {
        let config = AnswerPoolsConfig {
            n_pairs: 2000,
            ..small()
        };
        let (noisy, clean) = (
            tasks(&AnswerPoolsConfig {
                label_flips: 0.45,
                ..config.clone()
            }),
            tasks(&AnswerPoolsConfig {
                label_flips: 0.0,
                ..config
            }),
        );
        let known = |tasks: &[Task]| {
            let golds: Vec<f64> = tasks.iter().flat_map(gold).collect();
            correlation(
                &golds,
                &tasks.iter().flat_map(|t| scores(t, 0)).collect::<Vec<f64>>(),
            )
        };
        assert_eq!(gold(&noisy[0]), gold(&clean[0]));
        assert!(
            known(&noisy) < known(&clean),
            "{} {}",
            known(&noisy),
            known(&clean)
        );
    }

    #[test]
    fn a_smaller_ensemble_is_the_head_of_a_larger_one() {
        let (three, one) = (
            tasks(&small()),
            tasks(&AnswerPoolsConfig {
                n_members: 1,
                ..small()
            }),
        );
        assert_eq!(scores(&three[3], 0), scores(&one[3], 0));
        assert_ne!(scores(&three[3], 0), scores(&three[3], 1));
    }
}
