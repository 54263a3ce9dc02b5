use groupwise_core::Stream;
use proptest::prelude::*;

use super::*;

fn key(step: u64) -> Key {
    Key::new(3, Stream::Sampler).step(step)
}

fn context(n_tasks: usize) -> SamplerContext {
    SamplerContext {
        n_tasks,
        num_generations: 4,
    }
}

fn rule(kind: RewardKind, std_min: f64, top: Option<usize>) -> Selection {
    Selection { kind, std_min, top }
}

fn survey(scores: &[&[Option<f64>]]) -> Vec<Surveyed> {
    let surveyed = |(task, rewards): (usize, &&[Option<f64>])| Surveyed {
        outcome: GroupOutcome {
            task,
            rewards: rewards.to_vec(),
            lengths: vec![1; rewards.len()],
        },
        completions: vec![vec![0]; rewards.len()],
    };
    scores.iter().enumerate().map(surveyed).collect()
}

/// Tasks 1 and 3 are mixed.
fn four() -> Vec<Surveyed> {
    let (right, wrong) = (Some(1.0), Some(0.0));
    survey(&[
        &[wrong, wrong],
        &[right, wrong],
        &[right, right],
        &[wrong, right, None],
    ])
}

fn graded() -> impl Strategy<Value = Vec<Vec<f64>>> {
    let reward = prop_oneof![Just(0.0), Just(0.1), Just(1.0), 0.0..=1.0f64];
    prop::collection::vec(prop::collection::vec(reward, 2..6), 1..9)
}

/// The kept tasks; none where that is the refusal.
fn kept(rewards: &[Vec<f64>], rule: &Selection) -> Vec<usize> {
    select(rewards, rule).map_or_else(|_| Vec::new(), |s| s.selected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_constant_task_is_never_kept(rewards in graded(), value in 0.0..=1.0f64, k in 2usize..9, std_min in 1e-6..0.5f64) {
        let mut rewards = rewards;
        rewards.push(vec![value; k]);
        let last = rewards.len() - 1;
        prop_assert!(!kept(&rewards, &rule(RewardKind::Continuous, std_min, None)).contains(&last));
        for value in [0.0, 1.0] {
            rewards[last] = vec![value; k];
            prop_assert!(!kept(&rewards, &rule(RewardKind::Discrete, std_min, None)).contains(&last));
        }
    }

    #[test]
    fn raising_the_least_spread_only_removes_tasks(rewards in graded(), a in 0.0..0.6f64, b in 0.0..0.6f64) {
        let loose = kept(&rewards, &rule(RewardKind::Continuous, a.min(b), None));
        let strict = kept(&rewards, &rule(RewardKind::Continuous, a.max(b), None));
        prop_assert!(strict.iter().all(|i| loose.contains(i)));
    }

    #[test]
    fn top_bounds_the_count_and_keeps_the_largest_spreads(rewards in graded(), top in 1usize..9, discrete in any::<bool>()) {
        let kind = if discrete { RewardKind::Discrete } else { RewardKind::Continuous };
        let all = kept(&rewards, &rule(kind, 0.05, None));
        let best = kept(&rewards, &rule(kind, 0.05, Some(top)));
        prop_assert_eq!(best.len(), top.min(all.len()));
        prop_assert!(best.windows(2).all(|w| w[0] < w[1]));
        let Ok(found) = select(&rewards, &rule(kind, 0.05, Some(top))) else { return Ok(()) };
        for out in all.iter().filter(|i| !best.contains(i)) {
            for kept in &best {
                prop_assert!(found.stds[*kept] > found.stds[*out] - 2e-12);
            }
        }
    }

    #[test]
    fn the_order_of_answers_changes_nothing(rows in prop::collection::vec((0u32..=6, any::<u64>()), 1..7), top in 1usize..7) {
        let row = |ones: u32| (0..6).map(|i| f64::from(u8::from(i < ones))).collect::<Vec<f64>>();
        let sorted: Vec<Vec<f64>> = rows.iter().map(|r| row(r.0)).collect();
        let shuffled: Vec<Vec<f64>> = rows
            .iter()
            .map(|r| {
                let mut row = row(r.0);
                Key::new(r.1, Stream::Sampler).rng().shuffle(&mut row);
                row
            })
            .collect();
        let rule = rule(RewardKind::Discrete, 0.1, Some(top));
        prop_assert_eq!(kept(&sorted, &rule), kept(&shuffled, &rule));
    }

    #[test]
    fn a_resumed_sampler_goes_on_in_the_same_epoch(sizes in prop::collection::vec(0usize..4, 1..9), cut in 0usize..9) {
        let build = || TemporalR1Config::default().build(&context(4)).unwrap();
        let (mut whole, mut resumed) = (build(), build());
        whole.observe_survey(1, &four())?;
        resumed.observe_survey(1, &four())?;
        let mut drawn = Vec::new();
        for (step, n) in sizes.iter().enumerate() {
            if step == cut {
                let state = resumed.save();
                resumed = build();
                resumed.load(&state)?;
            }
            let batch = whole.next(*n, key(step as u64))?;
            prop_assert_eq!(&batch, &resumed.next(*n, key(step as u64))?);
            prop_assert_eq!(whole.save(), resumed.save());
            drawn.extend(batch);
        }
        // Every kept task once per epoch.
        for epoch in drawn.chunks_exact(2) {
            prop_assert!(epoch == [1, 3] || epoch == [3, 1]);
        }
    }
}

#[test]
fn discrete_tasks_are_kept_between_all_wrong_and_all_right() {
    let rewards = [
        vec![1.0; 4],
        vec![0.0; 4],
        vec![1.0, 0.0, 0.0, 0.0],
        vec![1.0, 1.0, 0.0, 0.0],
    ];
    let found = select(&rewards, &Selection::default()).unwrap();
    assert_eq!(found.means, [1.0, 0.0, 0.25, 0.5]);
    assert_eq!(found.selected, [2, 3]);
    assert!((found.stds[2] - 0.1875_f64.sqrt()).abs() < 1e-15);
    assert_eq!(
        select(&rewards, &rule(RewardKind::Discrete, 0.1, Some(1)))
            .unwrap()
            .selected,
        [3]
    );
}

#[test]
fn a_spread_equal_to_the_least_one_is_kept() {
    let rewards = [vec![0.25, 0.75], vec![0.5, 0.5]];
    assert_eq!(kept(&rewards, &rule(RewardKind::Continuous, 0.25, None)), [0]);
    assert_eq!(kept(&rewards, &rule(RewardKind::Continuous, 0.0, None)), [0, 1]);
}

#[test]
fn equal_spreads_go_by_index() {
    // The same three rewards in another order, whose squares add up to other last bits.
    let rewards = [
        vec![1.0, 0.0, 0.0],
        vec![0.0, 0.0, 1.0],
        vec![0.0, 1.0, 0.0],
        vec![1.0, 1.0, 0.0],
    ];
    for top in 1..5 {
        assert_eq!(
            kept(&rewards, &rule(RewardKind::Discrete, 0.1, Some(top))),
            (0..top).collect::<Vec<_>>()
        );
    }
}

#[test]
fn unusable_rewards_and_parameters_are_refused() {
    let refused = |rewards: &[Vec<f64>], rule: Selection| select(rewards, &rule).unwrap_err().to_string();
    let mixed = vec![0.0, 1.0];
    assert_eq!(
        refused(&[mixed.clone(), vec![1.0]], Selection::default()),
        "task 1: has 1 rewards, and their spread needs 2"
    );
    assert_eq!(
        refused(&[vec![0.0, f64::NAN]], Selection::default()),
        "index 1: `rewards of task 0` is NaN"
    );
    assert_eq!(
        refused(&[vec![0.0; 2], vec![1.0; 3]], Selection::default()),
        "selection: the rewards of none of 2 tasks vary enough, so none is kept"
    );
    assert_eq!(
        refused(
            std::slice::from_ref(&mixed),
            rule(RewardKind::Discrete, -0.1, None)
        ),
        "selection: `std_min` = -0.1: must be a finite number >= 0"
    );
    assert_eq!(
        refused(&[mixed], rule(RewardKind::Discrete, 0.1, Some(0))),
        "selection: `top` = 0: must be >= 1"
    );
}

#[test]
fn the_survey_of_the_start_model_selects_the_tasks() {
    let mut sampler = TemporalR1Config {
        repeats: 2,
        ..TemporalR1Config::default()
    }
    .build(&context(4))
    .unwrap();
    assert_eq!([0, 1, 2].map(|step| sampler.survey(step)), [None, Some(2), None]);
    assert_eq!(
        sampler.next(1, key(1)).unwrap_err().to_string(),
        "temporal-r1 sampler: has no start-up survey to select tasks by"
    );
    sampler.observe_survey(1, &four()).unwrap();
    let mut batch = sampler.next(2, key(1)).unwrap();
    batch.sort_unstable();
    assert_eq!(batch, [1, 3]);
    // One scorable answer shows no spread.
    let lone = survey(&[&[Some(0.5), None], &[Some(0.0), Some(1.0)], &[None], &[]]);
    sampler.observe_survey(1, &lone).unwrap();
    assert_eq!(sampler.next(1, key(2)).unwrap(), [1]);
}

#[test]
fn unusable_surveys_and_checkpoints_are_refused() {
    let mut sampler = TemporalR1Config::default().build(&context(2)).unwrap();
    let mut text = |results: &[Surveyed]| sampler.observe_survey(1, results).unwrap_err().to_string();
    assert_eq!(text(&survey(&[&[]])), "`survey` has 1 entries, expected 2");
    assert_eq!(
        text(&survey(&[&[Some(1.0)], &[None]])),
        "selection: the rewards of none of 2 tasks vary enough, so none is kept"
    );
    assert_eq!(
        text(&survey(&[&[Some(1.0), Some(f64::INFINITY)], &[]])),
        "index 1: `rewards of task 0` is inf"
    );
    let mut foreign = survey(&[&[], &[]]);
    foreign[1].outcome.task = 2;
    assert_eq!(text(&foreign), "task 2: is not in the pool of 2");
    assert!(sampler.observe(1, &[foreign[1].outcome.clone()]).is_err());
    for tasks in [vec![], vec![2], vec![1, 0], vec![1, 1]] {
        let state = serde_json::json!({"kept_tasks": tasks, "epochs": null});
        assert_eq!(
            sampler.load(&state).unwrap_err().to_string(),
            "temporal-r1 sampler: the kept tasks are not a rising list out of a pool of 2"
        );
    }
}

#[test]
fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
    let refused = |config: TemporalR1Config| config.build(&context(2)).unwrap_err().to_string();
    let default = TemporalR1Config::default;
    for (std_min, given) in [(-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        assert_eq!(
            refused(TemporalR1Config { std_min, ..default() }),
            format!("`std_min` = {given}: must be a finite number >= 0")
        );
    }
    assert_eq!(
        refused(TemporalR1Config {
            top: Some(0),
            ..default()
        }),
        "`top` = 0: must be >= 1"
    );
    assert_eq!(
        refused(TemporalR1Config {
            repeats: 1,
            ..default()
        }),
        "`repeats` = 1: must be >= 2"
    );
    assert_eq!(
        default().formula(),
        "shuffled epochs over the tasks with 0 < mean reward < 1 in 8 answers before step 1"
    );
    let graded: TemporalR1Config =
        serde_json::from_str(r#"{"kind": "continuous", "std_min": 0.2, "top": 5}"#).unwrap();
    assert_eq!(
        graded.formula(),
        "shuffled epochs over the tasks with population std of the rewards >= 0.2 in 8 answers before step 1, of these \
         the 5 of the largest std"
    );
}
