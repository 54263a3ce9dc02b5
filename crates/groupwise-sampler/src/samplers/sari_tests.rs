use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::new(5, Stream::Sampler)
}

fn context(n_tasks: usize) -> SamplerContext {
    SamplerContext {
        n_tasks,
        num_generations: 4,
    }
}

fn sampler(config: &SariConfig, n_tasks: usize) -> Box<dyn PromptSampler> {
    config.build(&context(n_tasks)).unwrap()
}

/// One survey of which every task's scores are given.
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

/// Rates 0, 1/2, 1, 1/2.
fn four() -> Vec<Surveyed> {
    let (right, wrong) = (Some(1.0), Some(0.5));
    survey(&[&[wrong, wrong], &[right, wrong], &[right, right], &[wrong, right]])
}

/// Successes and attempts of up to eleven tasks.
fn counts() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    let task = (1u64..9).prop_flat_map(|n| (0..=n, Just(n)));
    prop::collection::vec(task, 0..12).prop_map(|tasks| tasks.into_iter().unzip())
}

const UNSOLVED: [Unsolved; 2] = [Unsolved::Drop, Unsolved::Keep];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_order_is_a_permutation_of_the_kept_tasks((s, n) in counts(), seed in any::<u64>()) {
        for unsolved in UNSOLVED {
            for direction in [Direction::EasyFirst, Direction::HardFirst, Direction::Shuffled] {
                let mut found = order(&s, &n, direction, unsolved, Key::new(seed, Stream::Sampler))?;
                found.sort_unstable();
                let kept: Vec<usize> =
                    (0..s.len()).filter(|i| unsolved == Unsolved::Keep || s[*i] != 0).collect();
                prop_assert_eq!(found, kept);
            }
        }
    }

    #[test]
    fn rates_never_rise_along_the_easy_order_and_ties_keep_their_index((s, n) in counts()) {
        let rate = |i: usize| s[i] as f64 / n[i] as f64;
        for unsolved in UNSOLVED {
            let easy = order(&s, &n, Direction::EasyFirst, unsolved, key())?;
            prop_assert!(easy.windows(2).all(|w| rate(w[0]) > rate(w[1]) || (rate(w[0]) == rate(w[1]) && w[0] < w[1])));
            let hard = order(&s, &n, Direction::HardFirst, unsolved, key())?;
            prop_assert!(hard.windows(2).all(|w| rate(w[0]) < rate(w[1]) || (rate(w[0]) == rate(w[1]) && w[0] < w[1])));
        }
    }

    #[test]
    fn the_other_direction_reverses_distinct_rates(s in Just((0..12u64).collect::<Vec<_>>()).prop_shuffle()) {
        let n = vec![12; s.len()];
        let easy = order(&s, &n, Direction::EasyFirst, Unsolved::Drop, key())?;
        let mut hard = order(&s, &n, Direction::HardFirst, Unsolved::Drop, key())?;
        hard.reverse();
        prop_assert_eq!(easy, hard);
    }

    #[test]
    fn batches_are_consecutive_pieces_of_the_repeated_order(
        sizes in prop::collection::vec(0usize..4, 1..9), passes in 1u32..4, shuffled in any::<bool>(),
    ) {
        let direction = if shuffled { Direction::Shuffled } else { Direction::EasyFirst };
        let config = SariConfig { direction, passes, ..SariConfig::default() };
        let mut whole = sampler(&config, 4);
        whole.observe_survey(1, &four())?;
        let all = whole.next(99, key().step(0))?;
        prop_assert_eq!(all.len(), 3 * passes as usize);
        prop_assert!(all.chunks(3).all(|pass| pass == &all[..3]));
        let mut resumed = sampler(&config, 4);
        resumed.observe_survey(1, &four())?;
        let mut found = Vec::new();
        for (step, size) in sizes.iter().enumerate() {
            let left = all.len() - found.len();
            let state = resumed.save();
            resumed = sampler(&config, 4);
            resumed.load(&state)?;
            // The key of the first batch alone matters.
            match resumed.next(*size, key().step(step as u64)) {
                Ok(batch) => {
                    prop_assert!(left > 0 || *size == 0);
                    prop_assert_eq!(batch.len(), left.min(*size));
                    found.extend(batch);
                }
                Err(_) => prop_assert!(left == 0 && *size > 0),
            }
        }
        prop_assert_eq!(&found[..], &all[..found.len()]);
    }
}

#[test]
fn rates_are_compared_as_fractions() {
    let run = |s: &[u64], n: &[u64]| order(s, n, Direction::EasyFirst, Unsolved::Drop, key()).unwrap();
    assert_eq!(run(&[1, 2, 1], &[3, 6, 2]), [2, 0, 1]);
    let large = u64::MAX;
    assert_eq!(run(&[large - 1, large], &[large, large]), [1, 0]);
    assert!(run(&[0, 0], &[1, 1]).is_empty());
    assert!(run(&[], &[]).is_empty());
}

#[test]
fn a_permutation_depends_on_its_key_only() {
    let (s, n) = (vec![1; 30], vec![2; 30]);
    let shuffled = |seed| {
        order(
            &s,
            &n,
            Direction::Shuffled,
            Unsolved::Drop,
            Key::new(seed, Stream::Sampler),
        )
        .unwrap()
    };
    assert_eq!(shuffled(1), shuffled(1));
    assert_ne!(shuffled(1), shuffled(2));
    assert_ne!(shuffled(1), (0..30).collect::<Vec<_>>());
}

#[test]
fn bad_counts_are_named() {
    let refused = |s: &[u64], n: &[u64]| {
        order(s, n, Direction::EasyFirst, Unsolved::Drop, key())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(&[1, 3], &[1, 2]), "task 1: has 3 successes of 2 attempts");
    assert_eq!(refused(&[0], &[0]), "task 0: has no attempt");
    assert_eq!(refused(&[0], &[]), "`attempts` has 0 entries, expected 1");
}

#[test]
fn the_survey_of_the_start_model_orders_the_tasks() {
    let config = SariConfig {
        attempts: 2,
        ..SariConfig::default()
    };
    let mut easy = sampler(&config, 4);
    assert_eq!([0, 1, 2].map(|step| easy.survey(step)), [None, Some(2), None]);
    assert_eq!(
        easy.next(1, key()).unwrap_err().to_string(),
        "sari sampler: has no start-up survey to order the tasks by"
    );
    assert_eq!(easy.estimate(1), None);
    easy.observe_survey(1, &four()).unwrap();
    assert_eq!(
        [0, 1, 2, 4].map(|t| easy.estimate(t)),
        [Some(0.0), Some(0.5), Some(1.0), None]
    );
    assert_eq!(easy.next(2, key()).unwrap(), [2, 1]);
    assert_eq!(easy.next(2, key()).unwrap(), [3]);
    assert!(easy.next(0, key()).unwrap().is_empty());
    assert_eq!(
        easy.next(2, key()).unwrap_err().to_string(),
        "sari sampler: the order is used up: 3 tasks in 1 passes; set fewer steps or more `passes`"
    );
    let kept = SariConfig {
        unsolved: Unsolved::Keep,
        success_threshold: 0.4,
        ..config
    };
    let mut kept = sampler(&kept, 4);
    kept.observe_survey(1, &four()).unwrap();
    assert_eq!(kept.next(9, key()).unwrap(), [0, 1, 2, 3]);
}

#[test]
fn unscorable_answers_are_no_attempts_and_a_task_of_such_alone_is_unsolved() {
    let mut sampler = sampler(&SariConfig::default(), 3);
    let results = survey(&[&[None, None], &[Some(1.0), Some(0.0)], &[Some(1.0), None]]);
    sampler.observe_survey(1, &results).unwrap();
    assert_eq!(
        [0, 1, 2].map(|t| sampler.estimate(t)),
        [Some(0.0), Some(0.5), Some(1.0)]
    );
    assert_eq!(sampler.next(3, key()).unwrap(), [2, 1]);
}

#[test]
fn unusable_data_are_refused() {
    let mut none = sampler(&SariConfig::default(), 2);
    none.observe_survey(1, &survey(&[&[Some(0.0)], &[None]])).unwrap();
    assert_eq!(
        none.next(1, key()).unwrap_err().to_string(),
        "sari sampler: no task is left: none of 2 was ever solved by the start model"
    );
    assert_eq!(
        none.observe_survey(1, &survey(&[&[]])).unwrap_err().to_string(),
        "`survey` has 1 entries, expected 2"
    );
    let mut foreign = survey(&[&[], &[]]);
    foreign[1].outcome.task = 2;
    assert_eq!(
        none.observe_survey(1, &foreign).unwrap_err().to_string(),
        "task 2: is not in the pool of 2"
    );
    assert!(none.observe(1, &[foreign[1].outcome.clone()]).is_err());
    let state = |successes: &[u64]| {
        serde_json::json!({
            "start": {"successes": successes, "attempts": [1, 1]}, "order_seed": 1, "places": 0,
        })
    };
    let mut refused = |successes: &[u64]| none.load(&state(successes)).unwrap_err().to_string();
    assert_eq!(refused(&[1]), "`sari successes` has 1 entries, expected 2");
    assert_eq!(refused(&[1, 2]), "task 1: has 2 successes of 1 attempts");
}

#[test]
fn bad_parameters_are_refused_and_the_formula_prints_the_numbers() {
    let refused = |config: SariConfig| config.build(&context(2)).unwrap_err().to_string();
    let default = SariConfig::default;
    assert_eq!(
        refused(SariConfig {
            attempts: 0,
            ..default()
        }),
        "`attempts` = 0: must be >= 1"
    );
    assert_eq!(
        refused(SariConfig {
            passes: 0,
            ..default()
        }),
        "`passes` = 0: must be >= 1"
    );
    assert_eq!(
        refused(SariConfig {
            success_threshold: f64::NAN,
            ..default()
        }),
        "`success_threshold` = NaN: must be a finite number"
    );
    assert_eq!(
        default().formula(),
        "1 x every task, highest rate first, tasks of rate 0 dropped; rate = share of rewards > 0.5 in 8 answers per \
         task before step 1"
    );
    let arm: SariConfig =
        serde_json::from_str(r#"{"direction": "hard_first", "unsolved": "keep", "passes": 2}"#).unwrap();
    assert!(
        arm.formula()
            .starts_with("2 x every task, lowest rate first, tasks of rate 0 kept;")
    );
    let arm: SariConfig = serde_json::from_str(r#"{"direction": "shuffled"}"#).unwrap();
    assert!(arm.formula().contains("one uniform permutation"));
}

fn in_blocks(count: u32, batches: u32, unsolved: Unsolved) -> SariConfig {
    SariConfig {
        blocks: Some(Blocks { count, batches }),
        unsolved,
        ..SariConfig::default()
    }
}

#[test]
fn blocks_are_trained_one_after_the_other() {
    // The order is 2, 1, 3, 0: two blocks of two, each walked round in batches of three.
    let mut sampler = sampler(&in_blocks(2, 2, Unsolved::Keep), 4);
    sampler.observe_survey(1, &four()).unwrap();
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for step in 0..4 {
        let state = sampler.save();
        sampler.load(&state).unwrap();
        batches.push(sampler.next(3, key().step(step)).unwrap());
    }
    assert_eq!(batches, [[2, 1, 2], [1, 2, 1], [3, 0, 3], [0, 3, 0]]);
    assert_eq!(
        sampler.next(3, key()).unwrap_err().to_string(),
        "sari sampler: the order is used up: 2 blocks of 2 batches in 1 passes; set fewer steps, or more `passes` or \
         `blocks.batches`"
    );
}

#[test]
fn blocks_of_unequal_size_cover_the_order_and_empty_ones_repeat_the_one_before() {
    let walk = |count: u32, unsolved: Unsolved| {
        let mut sampler = sampler(&in_blocks(count, 1, unsolved), 4);
        sampler.observe_survey(1, &four()).unwrap();
        (0..count)
            .map(|i| sampler.next(1, key().step(u64::from(i))).unwrap()[0])
            .collect::<Vec<_>>()
    };
    // Three solved tasks in two blocks: one of one, one of two.
    assert_eq!(walk(2, Unsolved::Drop), [2, 1]);
    assert_eq!(walk(4, Unsolved::Keep), [2, 1, 3, 0]);
    assert_eq!(walk(6, Unsolved::Drop), [2, 2, 2, 1, 1, 3]);
}

#[test]
fn blocks_of_nothing_are_refused() {
    let refused = |config: SariConfig| config.build(&context(4)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        refused(in_blocks(0, 1, Unsolved::Keep)),
        "`blocks.count` = 0: must be >= 1"
    );
    assert_eq!(
        refused(in_blocks(1, 0, Unsolved::Keep)),
        "`blocks.batches` = 0: must be >= 1"
    );
}
