//! A resumed sampler equals an uninterrupted one, bit for bit, whatever the interleaving.
#![expect(clippy::unwrap_used, reason = "a test stops where its data are wrong")]

use groupwise_core::seams::Surveyed;
use groupwise_core::{GroupOutcome, Key, PromptSampler, Stream, Task};
use groupwise_sampler::{SamplerContext, SamplerSpec};
use proptest::prelude::*;

const N_TASKS: usize = 9;

/// Every named sampler, and the ablation arms of those that have some.
fn specs() -> Vec<SamplerSpec> {
    let mut specs: Vec<SamplerSpec> = SamplerSpec::NAMES
        .iter()
        .map(|name| SamplerSpec::named(name).unwrap())
        .collect();
    for arm in [
        r#"{"vade": {"draw": "mean"}}"#,
        r#"{"vade": {"score": "p(1-p)"}}"#,
        r#"{"vade": {"fast_decay": 0.0, "slow_decay": 1.0}}"#,
        r#"{"vade": {"fast_decay": 1.0, "slow_decay": 1.0}}"#,
    ] {
        specs.push(serde_json::from_str(arm).unwrap());
    }
    specs
}

fn build(spec: &SamplerSpec) -> Box<dyn PromptSampler> {
    let context = SamplerContext {
        n_tasks: N_TASKS,
        num_generations: 4,
    };
    let mut sampler = spec.build(&context).unwrap();
    let task = |i: usize| Task {
        difficulty: (i % 10 + 1) as f64,
        ..Task::new(format!("t{i}"), "", "")
    };
    let pool: Vec<Task> = (0..N_TASKS).map(task).collect();
    sampler.prepare(&pool, 20).unwrap();
    sampler
}

#[derive(Clone, Debug)]
enum Action {
    /// Ask for a batch.
    Next(usize),
    /// A step ends with these results per task.
    Observe(Vec<(usize, Vec<Option<f64>>)>),
    /// The rollouts of every task that a sampler may ask for.
    Survey(Vec<Vec<Option<f64>>>),
    /// Killed and resumed from a checkpoint that went through text.
    Restart,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let reward = prop_oneof![3 => Just(Some(0.0)), 3 => Just(Some(1.0)), 1 => (0.0..=1.0f64).prop_map(Some), 1 => Just(None)];
    let group = (0..N_TASKS, prop::collection::vec(reward.clone(), 0..5));
    let pool = prop::collection::vec(prop::collection::vec(reward, 0..5), N_TASKS);
    let action = prop_oneof![
        4 => (0usize..12).prop_map(Action::Next),
        3 => prop::collection::vec(group, 0..4).prop_map(Action::Observe),
        1 => pool.prop_map(Action::Survey),
        2 => Just(Action::Restart),
    ];
    prop::collection::vec(action, 1..40)
}

fn outcomes(groups: &[(usize, Vec<Option<f64>>)]) -> Vec<GroupOutcome> {
    let outcome = |(task, rewards): &(usize, Vec<Option<f64>>)| GroupOutcome {
        task: *task,
        rewards: rewards.clone(),
        lengths: vec![1; rewards.len()],
    };
    groups.iter().map(outcome).collect()
}

fn surveyed(scores: &[Vec<Option<f64>>]) -> Vec<Surveyed> {
    let groups: Vec<_> = scores.iter().cloned().enumerate().collect();
    let with_tokens = |outcome: GroupOutcome| Surveyed {
        completions: vec![vec![0]; outcome.rewards.len()],
        outcome,
    };
    outcomes(&groups).into_iter().map(with_tokens).collect()
}

proptest! {
    #[test]
    fn resumed_sampler_equals_an_uninterrupted_one(actions in actions(), seed in 0u64..1_000) {
        for spec in specs() {
            let (mut whole, mut resumed) = (build(&spec), build(&spec));
            let (mut calls, mut step) = (0, 0);
            for action in &actions {
                match action {
                    Action::Next(n) => {
                        calls += 1;
                        let key = Key::new(seed, Stream::Sampler).step(step).named("batch", calls);
                        // A sampler that waits for its survey, or whose order is used up, refuses; so must the other.
                        prop_assert_eq!(whole.next(*n, key), resumed.next(*n, key));
                    }
                    Action::Observe(groups) => {
                        step += 1;
                        let outcomes = outcomes(groups);
                        whole.observe(step, &outcomes).unwrap();
                        resumed.observe(step, &outcomes).unwrap();
                    }
                    Action::Survey(scores) => {
                        let results = surveyed(scores);
                        prop_assert_eq!(whole.observe_survey(1, &results), resumed.observe_survey(1, &results));
                    }
                    Action::Restart => {
                        let text = serde_json::to_string(&resumed.save()).unwrap();
                        resumed = build(&spec);
                        resumed.load(&serde_json::from_str(&text).unwrap()).unwrap();
                    }
                }
                prop_assert_eq!(whole.save(), resumed.save(), "{}", spec.name());
                for task in 0..N_TASKS {
                    let (a, b) = (whole.estimate(task), resumed.estimate(task));
                    prop_assert_eq!(a.map(f64::to_bits), b.map(f64::to_bits));
                }
            }
        }
    }
}

#[test]
fn a_checkpoint_of_another_sampler_or_pool_is_refused() {
    let mut larger = SamplerSpec::named("vade")
        .unwrap()
        .build(&SamplerContext {
            n_tasks: N_TASKS + 1,
            num_generations: 4,
        })
        .unwrap();
    for a in SamplerSpec::NAMES {
        for b in SamplerSpec::NAMES.iter().filter(|b| *b != a) {
            let state = build(&SamplerSpec::named(a).unwrap()).save();
            assert!(
                build(&SamplerSpec::named(b).unwrap()).load(&state).is_err(),
                "{a} into {b}"
            );
        }
    }
    let state = build(&SamplerSpec::named("vade").unwrap()).save();
    assert_eq!(
        larger.load(&state).unwrap_err().to_string(),
        "`success counts` has 9 entries, expected 10"
    );
}
