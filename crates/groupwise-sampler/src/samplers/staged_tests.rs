use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;
use crate::SamplerContext;
use crate::SamplerSpec;
use crate::length_stages::TaskKind;

const MODES: [StageMode; 4] = [
    StageMode::Replace,
    StageMode::Cumulative,
    StageMode::Joint,
    StageMode::Reverse,
];

fn tasks(lengths: &[u64]) -> Vec<TaskLength> {
    let task = |steps: &u64| TaskLength {
        steps: *steps,
        kind: TaskKind::Action,
    };
    lengths.iter().map(task).collect()
}

fn sampler(lengths: &[u64], total: u64, mode: StageMode) -> StagedSampler {
    StagedSampler::new(&LengthStages::default(), mode, &tasks(lengths), total).unwrap()
}

fn key(seed: u64, step: u64) -> Key {
    Key::new(seed, Stream::Sampler).step(step)
}

/// Stage of a task by hand.
fn stage_of(length: u64) -> usize {
    usize::from(length > 3) + usize::from(length > 8)
}

fn lengths() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(1u64..13, 1..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_batch_holds_tasks_of_the_stages_of_its_step_only(
        lengths in lengths(), total in 1u64..12, n in 0usize..9, refills in 1usize..3,
    ) {
        for mode in MODES {
            let mut sampler = sampler(&lengths, total, mode);
            for step in 1..=total + 2 {
                let active = sampler.plan().active(step - 1);
                for _ in 0..refills {
                    let batch = sampler.next(n, key(1, step))?;
                    prop_assert_eq!(batch.len(), n);
                    prop_assert!(batch.iter().all(|task| active.contains(&stage_of(lengths[*task]))));
                    prop_assert_eq!(sampler.stage(), sampler.plan().stage(step - 1));
                }
                sampler.observe(step, &[])?;
            }
        }
    }

    #[test]
    fn epochs_of_a_stage_hold_every_active_task_once(lengths in lengths(), sizes in prop::collection::vec(0usize..9, 1..9)) {
        for mode in MODES {
            // No step ends, so the stage stays the first.
            let mut sampler = sampler(&lengths, 9, mode);
            let active = sampler.active(sampler.epoch_stage());
            let mut drawn = Vec::new();
            for (call, n) in sizes.iter().enumerate() {
                let batch = sampler.next(*n, key(2, call as u64))?;
                let mut distinct = batch.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert!(*n > active.len() || distinct.len() == *n);
                drawn.extend(batch);
            }
            for epoch in drawn.chunks_exact(active.len()) {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                prop_assert_eq!(&epoch, &active);
            }
        }
    }

    #[test]
    fn joint_is_the_shuffled_sampler(lengths in lengths(), n in 0usize..20, total in 0u64..9) {
        let context = SamplerContext { n_tasks: lengths.len(), num_generations: 4 };
        let mut shuffled = SamplerSpec::named("shuffled").unwrap().build(&context)?;
        let mut joint = sampler(&lengths, total, StageMode::Joint);
        for step in 1..6 {
            prop_assert_eq!(joint.next(n, key(3, step))?, shuffled.next(n, key(3, step))?);
            joint.observe(step, &[])?;
        }
    }

    #[test]
    fn a_resumed_sampler_equals_an_uninterrupted_one(
        lengths in lengths(), total in 0u64..9, sizes in prop::collection::vec(0usize..9, 1..12), cut in 0u64..12,
    ) {
        for mode in MODES {
            let (mut whole, mut resumed) = (sampler(&lengths, total, mode), sampler(&lengths, total, mode));
            for (t, n) in sizes.iter().enumerate() {
                let step = t as u64 + 1;
                if step == cut {
                    let text = resumed.save().to_string();
                    resumed = sampler(&lengths, total, mode);
                    resumed.load(&serde_json::from_str(&text)?)?;
                }
                prop_assert_eq!(whole.next(*n, key(4, step))?, resumed.next(*n, key(4, step))?);
                whole.observe(step, &[])?;
                resumed.observe(step, &[])?;
                prop_assert_eq!(whole.save(), resumed.save());
            }
        }
    }
}

#[test]
fn a_new_stage_carries_nothing_over_and_orders_differ_between_stages_and_epochs() {
    // Twelve tasks of the first stage and twelve of the second, two steps each.
    let lengths: Vec<u64> = (0..24).map(|i| if i < 12 { 1 } else { 5 }).collect();
    let mut sampler = sampler(&lengths, 4, StageMode::Replace);
    let first = sampler.next(5, key(5, 1)).unwrap();
    sampler.observe(1, &[]).unwrap();
    sampler.observe(2, &[]).unwrap();
    let second = sampler.next(24, key(5, 3)).unwrap();
    assert!(first.iter().all(|task| *task < 12) && second.iter().all(|task| *task >= 12));
    let shifted: Vec<usize> = second[..5].iter().map(|task| task - 12).collect();
    assert_ne!(shifted, first);
    assert_ne!(second[..12], second[12..]);
    assert_eq!(sampler.save()["epochs"], 2);
}

#[test]
fn another_seed_gives_another_order_and_the_first_key_alone_decides() {
    let lengths = [1; 20];
    let order = |seed, step| {
        let mut sampler = sampler(&lengths, 4, StageMode::Replace);
        let mut batch = sampler.next(10, key(seed, 1)).unwrap();
        batch.extend(sampler.next(10, key(seed, step)).unwrap());
        batch
    };
    assert_eq!(order(1, 2), order(1, 7));
    assert_ne!(order(1, 2), order(2, 2));
}

#[test]
fn an_earlier_step_observed_late_does_not_turn_the_stage_back() {
    let mut sampler = sampler(&[1, 5], 2, StageMode::Replace);
    sampler.observe(1, &[]).unwrap();
    assert_eq!(sampler.stage(), 1);
    sampler.observe(0, &[]).unwrap();
    assert_eq!(sampler.stage(), 1);
}

#[test]
fn bad_tasks_and_states_are_refused() {
    let new = |lengths: &[u64]| {
        let error = StagedSampler::new(&LengthStages::default(), StageMode::Replace, &tasks(lengths), 5);
        error.unwrap_err().to_string()
    };
    assert_eq!(new(&[]), "stages: hold no task");
    assert_eq!(new(&[2, 0]), "task 1: has 0 steps, must have at least 1");
    let mut sampler = sampler(&[1, 5, 1], 3, StageMode::Replace);
    let outcome = GroupOutcome {
        task: 3,
        rewards: vec![],
        lengths: vec![],
    };
    let error = sampler.observe(1, &[outcome]).unwrap_err();
    assert_eq!(error.to_string(), "task 3: is not in the pool of 3");
    let state = |stage: Option<usize>, to_come: &[usize]| serde_json::json!({"seed": 1, "ended": 0, "stage": stage, "epochs": 1, "to_come": to_come});
    let mut refused = |state: &State| sampler.load(state).unwrap_err().to_string();
    let place =
        |task: usize| format!("staged sampler: task {task} stands twice in the epoch or is not in its stage");
    assert_eq!(refused(&state(Some(0), &[1])), place(1));
    assert_eq!(refused(&state(Some(0), &[2, 2])), place(2));
    assert_eq!(refused(&state(None, &[0])), place(0));
    assert_eq!(refused(&state(Some(3), &[])), "staged sampler: stage 3 of 3");
    assert_eq!(
        refused(&State::Null),
        "staged sampler: invalid type: null, expected struct Memory"
    );
    sampler.load(&state(Some(0), &[2, 0])).unwrap();
    assert_eq!(sampler.next(2, key(0, 1)).unwrap(), [2, 0]);
}
