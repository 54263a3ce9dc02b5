//! Edge cases and invariants of M-GRPO.

use proptest::prelude::*;

use super::*;
use crate::AdvantageSpec;
use crate::delegation::testing::trajectory;

/// Query -> rollout: main reward, and its calls as (reward, counted tokens).
type Batch = Vec<Vec<(Option<f64>, Vec<(Option<f64>, usize)>)>>;

/// Advantages of rollouts, and of the calls of each.
type Found = (Vec<f64>, Vec<Vec<f64>>);

fn run(config: &MGrpoConfig, batch: &Batch) -> Result<Found, DataError> {
    let (mut all, mut rewards, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for (q, query) in batch.iter().enumerate() {
        let before = all.len();
        for (k, (reward, _)) in query.iter().enumerate() {
            all.push(trajectory(None, k as u64, 2));
            rewards.push(*reward);
        }
        for (k, (_, calls)) in query.iter().enumerate() {
            all.extend(calls.iter().map(|(_, n)| trajectory(Some("sub"), k as u64, *n)));
            rewards.extend(calls.iter().map(|c| c.0));
        }
        all[before..].iter_mut().for_each(|t| t.task = q);
        lengths.push(all.len() - before);
    }
    let groups = Offsets::from_lengths(lengths);
    let tokens = Offsets::from_lengths(all.iter().map(|t| t.completion.len()));
    let mask: Vec<bool> = all.iter().flat_map(|t| t.mask.clone()).collect();
    let mut reward_batch = RewardBatch::new(groups.spans(), &rewards);
    reward_batch.tokens = Some(tokens.spans());
    reward_batch.mask = Some(&mask);
    reward_batch.trajectories = Some(&all);
    let Advantages::Trajectory(a) = config.build(&()).expect("valid").estimate(&reward_batch)? else {
        return Err(DataError::value("test", "not per trajectory"));
    };
    let (mut main, mut sub, mut next) = (Vec::new(), Vec::new(), a.into_iter());
    for query in batch {
        main.extend(next.by_ref().take(query.len()));
        sub.extend(
            query
                .iter()
                .map(|r| next.by_ref().take(r.1.len()).collect::<Vec<_>>()),
        );
    }
    Ok((main, sub))
}

fn batches() -> impl Strategy<Value = Batch> {
    let call = (
        prop::option::weighted(0.9, prop::sample::select(vec![0.0, 0.1, 1.0])),
        0usize..4,
    );
    let rollout = (
        prop::option::weighted(0.9, prop::sample::select(vec![0.0, 0.1, 1.0])),
        prop::collection::vec(call, 0..5),
    );
    prop::collection::vec(prop::collection::vec(rollout, 1..5), 1..4)
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

#[test]
fn alignment_worked_by_hand() {
    let keys = [0.9, 0.1, 0.5, 0.3, 0.7];
    assert_eq!(align_calls(5, &keys, &[], 3), Ok(vec![1, 2, 3]));
    assert_eq!(align_calls(5, &keys, &[], 5), Ok(vec![0, 1, 2, 3, 4]));
    assert_eq!(align_calls(3, &[], &[], 3), Ok(vec![0, 1, 2]));
    assert_eq!(
        align_calls(2, &[], &[0.49, 0.5, 0.9], 4),
        Ok(vec![0, 1, 0, 1]),
        "further draws stay unread"
    );
    assert_eq!(align_calls(0, &[], &[], 3), Ok(vec![]));
    // Ties: the earlier call; 0 and -0 are a tie.
    assert_eq!(align_calls(3, &[0.5, 0.5, 0.5], &[], 2), Ok(vec![0, 1]));
    assert_eq!(align_calls(3, &[0.0, 1.0, -0.0], &[], 1), Ok(vec![0]));
    // The largest draw below 1 picks the last call, whatever the count.
    let last = 1.0 - f64::EPSILON / 2.0;
    for d in 1..200 {
        assert_eq!(align_calls(d, &[], &[last], d + 1).expect("valid")[d], d - 1);
    }
}

#[test]
fn bad_alignments_are_named() {
    let refuse = |d, keys: &[f64], draws: &[f64], target| {
        align_calls(d, keys, draws, target)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(refuse(1, &[], &[], 0), "target: is 0, expected >= 1");
    assert_eq!(refuse(3, &[0.1, 0.2], &[], 2), "`keys` has 2 entries, expected 3");
    assert_eq!(refuse(2, &[0.1, f64::NAN], &[], 1), "index 1: `keys` is NaN");
    assert_eq!(refuse(1, &[], &[0.5], 3), "`draws` has 1 entries, expected 2");
    assert_eq!(refuse(1, &[], &[0.5, 1.0], 3), "draw 1: 1 is not in [0, 1)");
    assert_eq!(refuse(1, &[], &[-0.1, 0.5], 3), "draw 0: -0.1 is not in [0, 1)");
    assert_eq!(refuse(1, &[], &[f64::NAN], 2), "draw 0: NaN is not in [0, 1)");
    let (queries, calls) = (Offsets::from_lengths([1]), Offsets::from_lengths([2]));
    let nested = NestedRollouts::new(queries.spans(), calls.spans()).expect("fits");
    let block = GroupRelative::new(GroupRelativeConfig::default()).expect("valid");
    let refuse = |rewards: &[f64], selected: &[Vec<usize>]| {
        let found = aligned_advantages(&block, &nested, rewards, selected, None);
        found.expect_err("refused").to_string()
    };
    assert_eq!(
        refuse(&[1.0], &[vec![]]),
        "`rewards of calls` has 1 entries, expected 2"
    );
    assert_eq!(refuse(&[1.0, 0.0], &[]), "`selected` has 0 entries, expected 1");
    assert_eq!(
        refuse(&[1.0, 0.0], &[vec![0, 2]]),
        "rollout 0: has no call 2, only 2"
    );
}

#[test]
fn a_queue_mixes_queries() {
    let (queries, calls) = (Offsets::from_lengths([1, 1]), Offsets::from_lengths([2, 3]));
    let nested = NestedRollouts::new(queries.spans(), calls.spans()).expect("fits");
    let block = GroupRelative::new(GroupRelativeConfig::default()).expect("valid");
    let (rewards, selected) = ([1.0, 1.0, 0.0, 1.0, 0.0], [vec![0, 1], vec![0, 1, 2]]);
    let run = |queue| aligned_advantages(&block, &nested, &rewards, &selected, queue).expect("valid");
    // Per query: equal rewards, then 0, 1, 0.  By three: 1, 1, 0 and the rest 1, 0.
    let (s3, s2) = ((1.0_f64 / 3.0).sqrt() + 1e-6, 0.5_f64.sqrt() + 1e-6);
    let expected = [0.0, 0.0, -1.0 / 3.0 / s3, 2.0 / 3.0 / s3, -1.0 / 3.0 / s3];
    assert!(run(None).iter().zip(expected).all(|(a, b)| close(*a, b)));
    let expected = [
        1.0 / 3.0 / s3,
        1.0 / 3.0 / s3,
        -2.0 / 3.0 / s3,
        0.5 / s2,
        -0.5 / s2,
    ];
    assert!(run(Some(3)).iter().zip(expected).all(|(a, b)| close(*a, b)));
}

#[test]
fn the_population_deviation_divides_by_the_number_of_rollouts() {
    // Rewards 1 and 0, of the main agent and of the calls alike: squared deviations 1/2.
    let batch = vec![vec![
        (Some(1.0), vec![(Some(1.0), 1)]),
        (Some(0.0), vec![(Some(0.0), 1)]),
    ]];
    for (spread, s) in [(Spread::Population, 0.5), (Spread::Sample, 0.5_f64.sqrt())] {
        let config = MGrpoConfig {
            spread,
            eps: 0.25,
            target: 1,
            ..Default::default()
        };
        let (main, sub) = run(&config, &batch).expect("valid");
        let a = 0.5 / (s + 0.25);
        let found = [main, sub.concat()].concat();
        assert!(
            found.iter().zip([a, -a, a, -a]).all(|(f, e)| close(*f, e)),
            "{found:?}"
        );
    }
}

#[test]
fn copies_count_and_the_share_of_the_sub_agent_stays() {
    // Target 2: rollout 0's only call (1 token) stands twice, rollout 1's two calls (3 tokens each) once.
    let batch = vec![vec![
        (Some(1.0), vec![(Some(1.0), 1)]),
        (Some(0.0), vec![(Some(0.0), 3), (Some(1.0), 3)]),
    ]];
    let s = 0.5 + 1e-6; // Values 1, 1, 0, 1: mean 3/4, sample deviation 1/2.
    let seq = MGrpoConfig {
        target: 2,
        ..Default::default()
    };
    let (main, sub) = run(&seq, &batch).expect("valid");
    let a = 0.5 / (0.5_f64.sqrt() + 1e-6);
    assert!(close(main[0], a) && close(main[1], -a));
    // Three sub trajectories, four samples: lambda = 3/4 per copy.
    let expected = [2.0 * 0.25 / s * 0.75, -0.75 / s * 0.75, 0.25 / s * 0.75];
    assert!(
        sub.concat().iter().zip(expected).all(|(a, b)| close(*a, b)),
        "{sub:?}"
    );
    // Under token-mean: 7 tokens of sub trajectories, 1 + 1 + 3 + 3 = 8 of samples.
    let token = MGrpoConfig {
        objective_aggregation: ObjectiveAggregation::TokenMean,
        ..seq
    };
    let (_, sub) = run(&token, &batch).expect("valid");
    let expected = [
        2.0 * 0.25 / s * 7.0 / 8.0,
        -0.75 / s * 7.0 / 8.0,
        0.25 / s * 7.0 / 8.0,
    ];
    assert!(
        sub.concat().iter().zip(expected).all(|(a, b)| close(*a, b)),
        "{sub:?}"
    );
}

#[test]
fn rollouts_without_calls_lone_samples_and_unscorable_calls() {
    let config = MGrpoConfig {
        target: 1,
        ..Default::default()
    };
    // The only scorable call of the query is alone, whatever its neighbours.
    let batch = vec![vec![
        (Some(1.0), vec![]),
        (Some(0.0), vec![(None, 2), (Some(1.0), 2), (None, 2)]),
        (None, vec![]),
    ]];
    let (main, sub) = run(&config, &batch).expect("valid");
    assert!(main[0] > 0.7 && main[1] < -0.7 && main[2] == 0.0);
    assert_eq!(sub.concat(), [0.0; 3]);
    // No counted token in any sample: nothing to share out, and nothing divided by zero.
    let silent = vec![vec![
        (Some(1.0), vec![(Some(1.0), 0), (Some(0.0), 0)]),
        (Some(0.0), vec![]),
    ]];
    let two = MGrpoConfig {
        target: 2,
        ..Default::default()
    };
    let (_, sub) = run(&two, &silent).expect("valid");
    assert!(sub[0][0] > 0.7 && sub[0][1] < -0.7, "{sub:?}");
}

#[test]
fn draws_depend_on_seed_version_task_and_sample_only() {
    let config = MGrpoConfig {
        target: 3,
        ..Default::default()
    };
    let part = |config: &MGrpoConfig| MGrpo {
        relative: GroupRelative::new(config.settings()).expect("valid"),
        config: config.clone(),
    };
    let base = trajectory(None, 1, 1);
    let chosen = |config: &MGrpoConfig, t: &Trajectory| part(config).select(t, 40).expect("valid");
    let here = chosen(&config, &base);
    // Pinned: another choice for the same seed is a change of what published runs mean.
    assert_eq!(here, PINNED);
    assert_eq!(here, chosen(&config, &base));
    let moved = [
        Trajectory {
            version: 1,
            ..base.clone()
        },
        Trajectory {
            task: 1,
            ..base.clone()
        },
        Trajectory {
            sample: 2,
            ..base.clone()
        },
    ];
    assert!(moved.iter().all(|t| chosen(&config, t) != here));
    assert_ne!(
        chosen(
            &MGrpoConfig {
                seed: 1,
                ..config.clone()
            },
            &base
        ),
        here
    );
    let repeated = part(&MGrpoConfig { target: 40, ..config })
        .select(&base, 10)
        .expect("valid");
    assert_eq!(repeated[..10], (0..10).collect::<Vec<_>>());
    assert!(
        (0..10).filter(|j| repeated[10..].contains(j)).count() > 5,
        "{repeated:?}"
    );
    let off = MGrpoConfig {
        alignment: Alignment::None,
        ..Default::default()
    };
    assert_eq!(
        part(&off).select(&base, 10).expect("valid"),
        (0..10).collect::<Vec<_>>()
    );
}

const PINNED: [usize; 3] = [4, 23, 37];

#[test]
fn every_refusal_is_named() {
    let refuse = |config: MGrpoConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    let default = MGrpoConfig::default;
    assert_eq!(
        refuse(MGrpoConfig {
            target: 0,
            ..default()
        }),
        "`target` = 0: must be >= 1"
    );
    assert_eq!(
        refuse(MGrpoConfig {
            queue_size: 0,
            ..default()
        }),
        "`queue_size` = 0: must be >= 1"
    );
    assert_eq!(
        refuse(MGrpoConfig {
            eps: f64::INFINITY,
            ..default()
        }),
        "`eps` = inf: must be a finite number >= 0"
    );
    assert_eq!(
        refuse(MGrpoConfig {
            sub_agent: "main".into(),
            ..default()
        }),
        "`sub_agent` = main: must be another name than `main_agent`"
    );
    let part = default().build(&()).expect("valid");
    assert_eq!(part.needs(), Needs::TOKENS | Needs::TRAJECTORIES);
    let (groups, rewards, mask) = (Offsets::from_lengths([1]), [Some(1.0)], [true]);
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    batch.tokens = Some(groups.spans());
    batch.mask = Some(&mask);
    assert_eq!(
        part.estimate(&batch).expect_err("refused").to_string(),
        "`trajectories` is missing, and `m-grpo` needs it"
    );
}

#[test]
fn the_formula_names_every_choice() {
    let formula = |text: &str| {
        serde_json::from_str::<AdvantageSpec>(text)
            .expect("known keys")
            .formula()
    };
    assert_eq!(
        formula(r#"{"m-grpo": {}}"#),
        "A_i = (r_i - mean(r)) / (std(r; n - 1) + 1e-6); equal rewards: 0; spread 0: undivided; lone member: 0; `main`: \
         over the query; `sub`: calls cut or repeated to 8 per rollout, over all of the query, objective \
         seq-mean-token-mean"
    );
    let other =
        r#"{"m-grpo": {"alignment": "none", "grouping": "queue", "queue_size": 4, "std": "population"}}"#;
    let ablated = formula(other);
    assert!(
        ablated.ends_with(
            "`sub`: every call once, over all 4 at a time, whatever the query, objective \
                           seq-mean-token-mean"
        ),
        "{ablated}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn selected_calls_are_valid_and_as_many_as_asked_for(
        d in 0usize..8, target in 1usize..8,
        keys in prop::collection::vec(prop::sample::select(vec![0.1, 0.2, 0.3, 0.9]), 8),
        draws in prop::collection::vec(0.0..1.0f64, 8),
    ) {
        let chosen = align_calls(d, &keys[..d], &draws, target)?;
        prop_assert_eq!(chosen.len(), if d == 0 { 0 } else { target });
        prop_assert!(chosen.iter().all(|j| *j < d));
        let times = |j: usize| chosen.iter().filter(|k| **k == j).count();
        if d >= target {
            prop_assert!((0..d).all(|j| times(j) <= 1));
            prop_assert!(chosen.is_sorted());
            // Nothing that was left out has a smaller key than something kept.
            for (left, kept) in (0..d).filter(|j| times(*j) == 0).flat_map(|l| chosen.iter().map(move |k| (l, *k))) {
                prop_assert!((keys[kept], kept) < (keys[left], left));
            }
        }
        if d <= target {
            prop_assert!((0..d).all(|j| times(j) >= 1));
        }
    }

    #[test]
    fn sub_advantages_of_a_query_sum_to_zero_over_the_aligned_samples(batch in batches(), target in 1usize..5) {
        // With one counted token everywhere lambda is the same for all copies, so sums over trajectories are too.
        let even: Batch = batch
            .iter()
            .map(|q| q.iter().map(|(r, calls)| (*r, calls.iter().map(|c| (c.0, 1)).collect())).collect())
            .collect();
        let config = MGrpoConfig { target, ..Default::default() };
        let (_, sub) = run(&config, &even)?;
        let mut next = sub.iter();
        for query in &even {
            let total: f64 = next.by_ref().take(query.len()).flatten().sum();
            prop_assert!(total.abs() < 1e-8, "{total}");
        }
    }

    #[test]
    fn main_advantages_are_grpo_whatever_the_alignment(batch in batches(), target in 1usize..5, seed in any::<u64>()) {
        let groups = Offsets::from_lengths(batch.iter().map(Vec::len));
        let rewards: Vec<Option<f64>> = batch.iter().flatten().map(|r| r.0).collect();
        let grpo = GroupRelative::new(GroupRelativeConfig::default())?.advantages(groups.spans(), &rewards)?;
        let config = MGrpoConfig { target, seed, ..Default::default() };
        prop_assert_eq!(run(&config, &batch)?.0, grpo);
    }

    #[test]
    fn without_alignment_every_call_counts_once(batch in batches()) {
        let config = MGrpoConfig { alignment: Alignment::None, ..Default::default() };
        let (_, sub) = run(&config, &batch)?;
        let calls = Offsets::from_lengths(batch.iter().map(|q| q.iter().map(|r| r.1.len()).sum()));
        let values: Vec<Option<f64>> = batch.iter().flatten().flat_map(|r| r.1.iter().map(|c| c.0)).collect();
        let block = GroupRelative::new(GroupRelativeConfig::default())?;
        let mut found = sub.concat().into_iter();
        for own in calls.spans().iter().filter(|own| !own.is_empty()) {
            let one = Offsets::from_lengths([own.len()]);
            for expected in block.advantages(one.spans(), &values[own])? {
                let found = found.next().expect("as many");
                prop_assert!(close(found, expected), "{found} {expected}");
            }
        }
    }

    #[test]
    fn dropped_calls_have_no_weight(batch in batches()) {
        let config = MGrpoConfig { target: 1, ..Default::default() };
        let (_, sub) = run(&config, &batch)?;
        for calls in sub {
            prop_assert!(calls.iter().filter(|a| **a != 0.0).count() <= 1);
        }
    }
}
