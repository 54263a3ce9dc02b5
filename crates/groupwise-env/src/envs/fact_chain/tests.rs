use std::collections::BTreeSet;

use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn build(config: FactChainConfig) -> Result<Box<dyn World>, ParamError> {
    config.build(&WorldContext::default())
}

fn refused(change: impl FnOnce(&mut FactChainConfig)) -> String {
    let mut config = FactChainConfig::default();
    change(&mut config);
    build(config).map(|_| ()).unwrap_err().to_string()
}

fn key() -> Key {
    Key::new(3, Stream::Tasks)
}

fn tasks(entities: EntitiesOf) -> Vec<Task> {
    let config = FactChainConfig {
        entities,
        ..FactChainConfig::default()
    };
    build(config).unwrap().train_tasks(key()).unwrap()
}

#[test]
fn bad_parameters_are_refused_by_name() {
    assert_eq!(
        refused(|c| c.n_questions = 1),
        "`n_questions` = 1: must be in 2..=65535"
    );
    assert_eq!(refused(|c| c.n_hops = 65), "`n_hops` = 65: must be in 1..=64");
    assert_eq!(
        refused(|c| c.n_candidates = 1),
        "`n_candidates` = 1: must be in 2..=1024"
    );
}

fn play(actions: &[&str]) -> (f64, Vec<bool>) {
    let world = build(FactChainConfig::default()).unwrap();
    let task = &tasks(EntitiesOf::Question)[7];
    let mut episode = world.start(task, key()).unwrap();
    let mut outcomes = Vec::new();
    for (hop, action) in actions.iter().enumerate() {
        assert_eq!(episode.observe().text, format!("q7/h{hop}"));
        outcomes.push(episode.step(action).unwrap());
    }
    assert_eq!(episode.observe().text, "q7/h4");
    assert_eq!(episode.step("x").unwrap_err().0, "the episode is over");
    assert!(outcomes[..4].iter().all(|o| o.reward == 0.0 && o.stop.is_none()));
    assert_eq!(outcomes[4].stop, Some(StopReason::Terminal));
    (outcomes[4].reward, outcomes.iter().map(|o| o.valid).collect())
}

#[test]
fn one_wrong_hop_costs_the_reward_and_an_entity_of_another_hop_is_not_understood() {
    let task = &tasks(EntitiesOf::Question)[7];
    let chain: Vec<&str> = task.reference.split_whitespace().collect();
    assert_eq!(play(&chain), (1.0, vec![true; 5]));
    let wrong = format!(
        "<think>{}</think>",
        entity(1, (task.columns["right"][1].as_u64().unwrap() as usize + 1) % 6)
    );
    assert_eq!(
        play(&[chain[0], &wrong, chain[2], chain[3], chain[4]]),
        (0.0, vec![true; 5])
    );
    let odd = play(&[chain[0], chain[0], "x", chain[3], chain[4]]);
    assert_eq!(odd, (0.0, vec![true, false, false, true, true]));
}

#[test]
fn entities_are_those_of_the_question_or_of_the_next_one() {
    let own = tasks(EntitiesOf::Question);
    let next = tasks(EntitiesOf::NextQuestion);
    for (q, task) in own.iter().enumerate() {
        let entities = task.columns["entities"].as_array().unwrap();
        let words: Vec<&str> = task.reference.split_whitespace().collect();
        for (entity, word) in entities.iter().zip(&words) {
            assert_eq!(format!("<think>{}</think>", entity.as_str().unwrap()), *word);
        }
        let before = &next[(q + own.len() - 1) % own.len()];
        assert_eq!(before.columns["entities"], task.columns["entities"]);
        assert_eq!(next[q].columns["right"], task.columns["right"]);
        assert_eq!(next[q].reference, task.reference);
    }
}

#[test]
fn no_entity_is_part_of_another() {
    let names: BTreeSet<String> = (0..64).flat_map(|h| (0..12).map(move |c| entity(h, c))).collect();
    for a in &names {
        assert_eq!(names.iter().filter(|b| b.contains(a.as_str())).count(), 1, "{a}");
    }
}

#[test]
fn right_candidates_are_uniform_and_hops_start_uniform_over_their_own() {
    // Chi-square at alpha 0.001 with 5 degrees of freedom: 20.5.
    let world = build(FactChainConfig {
        n_questions: 2000,
        ..FactChainConfig::default()
    })
    .unwrap();
    let mut counts = [0.0; 6];
    for task in world.train_tasks(key()).unwrap() {
        for right in task.columns["right"].as_array().unwrap() {
            counts[right.as_u64().unwrap() as usize] += 1.0;
        }
    }
    let mean = 10_000.0 / 6.0;
    let chi: f64 = counts.iter().map(|c: &f64| (c - mean).powi(2) / mean).sum();
    assert!(chi < 20.5, "{counts:?}");
    let rows = build(FactChainConfig::default())
        .unwrap()
        .initial_logits(key())
        .unwrap();
    assert_eq!(rows.len(), 240);
    for (state, row) in rows.iter().enumerate() {
        let possible: Vec<usize> = (0..30).filter(|a| row[*a].exp() > 0.0).collect();
        let first = state % 5 * 6;
        assert_eq!(possible, (first..first + 6).collect::<Vec<_>>());
    }
}

#[test]
fn a_task_of_another_world_is_refused() {
    let world = build(FactChainConfig::default()).unwrap();
    let mut short = tasks(EntitiesOf::Question)[0].clone();
    short.columns.insert("right".into(), vec![1, 2].into());
    let mut large = tasks(EntitiesOf::Question)[0].clone();
    large.columns.insert("right".into(), vec![6; 5].into());
    for bad in [Task::new("t", "q0/h0", ""), short, large] {
        let error = world.start(&bad, key()).unwrap_err();
        assert!(
            error.0.ends_with("do not name a question and 5 of 6 candidates"),
            "{}",
            error.0
        );
        assert_eq!(world.exact_success(&bad, &|_| Some(vec![1.0; 30])), None);
        assert!(world.exact_measures(&bad, &|_| Some(vec![1.0; 30])).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn exact_figures_are_sums_over_all_chains(weights in prop::collection::vec(0.01..1.0f64, 18), q in 0..4usize) {
        let config = FactChainConfig { n_questions: 4, n_hops: 3, n_candidates: 3, ..FactChainConfig::default() };
        let world = build(config).unwrap();
        let task = &world.train_tasks(key()).unwrap()[q];
        // Three hops of nine actions; only the hop's own three have weight.
        let law = |state: &str| {
            let hop: usize = state.rsplit('h').next().and_then(|h| h.parse().ok()).unwrap();
            let own = &weights[3 * hop..3 * hop + 3];
            let total: f64 = own.iter().sum();
            (0..9).map(|a| if a / 3 == hop { own[a % 3] / total } else { 0.0 }).collect::<Vec<f64>>()
        };
        let (mut success, mut hops) = (0.0, 0.0);
        for code in 0..27usize {
            let chain = [code / 9, code / 3 % 3, code % 3];
            let mut p = 1.0;
            let mut right = 0;
            for (hop, c) in chain.iter().enumerate() {
                p *= law(&format!("q{q}/h{hop}"))[3 * hop + c];
                right += usize::from(task.columns["right"][hop].as_u64() == Some(*c as u64));
            }
            success += if right == 3 { p } else { 0.0 };
            hops += p * right as f64 / 3.0;
        }
        let policy = |state: &str| Some(law(state));
        prop_assert!((world.exact_success(task, &policy).unwrap() - success).abs() < 1e-12);
        prop_assert!((world.exact_measures(task, &policy)["right-hops"] - hops).abs() < 1e-12);
    }
}
