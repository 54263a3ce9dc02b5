//! Edge cases, invariants and the law of the draw.

use groupwise_core::Offsets;
use proptest::prelude::*;

use super::*;

fn trajectory(task: usize, sample: u64, version: u64) -> Trajectory {
    Trajectory {
        task,
        sample,
        version,
        ..Trajectory::of_reply("", 1)
    }
}

fn estimate(
    config: &RecConfig,
    lengths: &[usize],
    rewards: &[Option<f64>],
    members: &[Trajectory],
) -> Vec<f64> {
    let groups = Offsets::from_lengths(lengths.iter().copied());
    let mut batch = RewardBatch::new(groups.spans(), rewards);
    batch.trajectories = Some(members);
    match config.build(&()).unwrap().estimate(&batch).unwrap() {
        Advantages::Trajectory(a) => a,
        Advantages::Token(_) => panic!("one per trajectory"),
    }
}

fn red_drop(seed: u64, rewards: &[Option<f64>], version: u64) -> Vec<f64> {
    let members: Vec<Trajectory> = (0..rewards.len() as u64)
        .map(|sample| trajectory(3, sample, version))
        .collect();
    let config = RedDropConfig {
        seed,
        ..Default::default()
    };
    estimate(&config.general(), &[rewards.len()], rewards, &members)
}

fn rewards() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec(
        prop_oneof![1 => Just(None), 6 => prop::sample::select(vec![0.0, 0.1, 0.5, 1.0]).prop_map(Some)],
        1..12,
    )
}

proptest! {
    #[test]
    fn balance_leaves_no_more_answers_below_the_mean_than_others(rewards in rewards(), seed in any::<u64>()) {
        let scored: Vec<f64> = rewards.iter().flatten().copied().collect();
        let mean = stats::mean(&scored);
        let a = red_drop(seed, &rewards, 0);
        let (below, surplus) = surplus_below_mean(&rewards);
        // Nothing is dropped that is at or above the mean; a dropped answer has 0, a kept one of a mixed group below
        // the mean of the whole group may not.
        let kept = |i: &usize| a[*i] != 0.0;
        let rest = scored.len() - below.len();
        let n_kept = below.len() - surplus;
        prop_assert!(n_kept <= rest || stats::is_constant(&scored));
        prop_assert_eq!(surplus, below.len().saturating_sub(rest));
        prop_assert!(below.iter().filter(|i| kept(i)).count() <= n_kept);
        prop_assert!(below.iter().all(|i| rewards[*i].is_some_and(|r| r < mean)));
        prop_assert!(a.iter().sum::<f64>().abs() < 1e-12);
        // Mean over what was kept: the advantages of the others say which it is.
        if let Some(i) = (0..rewards.len()).find(|i| rewards[*i].is_some() && !below.contains(i)) {
            let baseline = rewards[i].unwrap_or(0.0) - a[i];
            prop_assert!(baseline >= mean - 1e-12, "dropping low rewards cannot lower the mean");
        }
    }

    #[test]
    fn order_of_members_and_groups_changes_nothing(rewards in rewards(), seed in any::<u64>(), turn in 0usize..12) {
        let n = rewards.len();
        let members: Vec<Trajectory> = (0..n as u64).map(|s| trajectory(1, s, 4)).collect();
        let config = RecConfig { drop: Drop::Balance, seed, ..Default::default() };
        let a = estimate(&config, &[n], &rewards, &members);
        let order: Vec<usize> = (0..n).map(|i| (i + turn) % n).rev().collect();
        let moved: Vec<Option<f64>> = order.iter().map(|i| rewards[*i]).collect();
        let people: Vec<Trajectory> = order.iter().map(|i| members[*i].clone()).collect();
        let b = estimate(&config, &[n], &moved, &people);
        for (k, i) in order.iter().enumerate() {
            prop_assert!((b[k] - a[*i]).abs() < 1e-12);
        }
        let twice = [moved.clone(), moved].concat();
        let both = [people.clone(), people].concat();
        prop_assert_eq!(estimate(&config, &[n, n], &twice, &both), [b.clone(), b].concat());
    }

    #[test]
    fn a_shift_of_the_rewards_changes_nothing(rewards in rewards(), seed in any::<u64>(), shift in -4.0..4.0f64) {
        let moved: Vec<Option<f64>> = rewards.iter().map(|r| r.map(|r| r + shift)).collect();
        for (a, b) in red_drop(seed, &rewards, 0).iter().zip(red_drop(seed, &moved, 0)) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }

    #[test]
    fn without_dropping_it_is_the_centred_reward(rewards in rewards()) {
        let groups = Offsets::from_lengths([rewards.len()]);
        let centred = GroupRelative::new(GroupRelativeConfig::centred(Centre::Mean, Singleton::Zero))?;
        let expected = centred.advantages(groups.spans(), &rewards)?;
        prop_assert_eq!(estimate(&RecConfig::default(), &[rewards.len()], &rewards, &[]), expected);
    }
}

#[test]
fn a_reward_at_the_mean_is_not_below_it_whichever_way_the_mean_rounds() {
    let rewards = [0.5, 0.0, 1.0, 0.0, 1.0];
    for shift in [0.0, -0.707_958_479_000_207_7, 0.1, 1e6 / 3.0] {
        assert_eq!(
            surplus_below_mean(&rewards.map(|r| Some(r + shift))),
            (vec![1, 3], 0)
        );
    }
    // By the size of the rewards: 1e-7 is rounding beside 3e6, 1e-3 is not.
    let around = |off: f64| surplus_below_mean(&[1.1e6, 2.2e6 - off, 3.3e6].map(Some)).0;
    assert_eq!((around(1e-7), around(1e-3)), (vec![0], vec![0, 1]));
}

#[test]
fn mean_and_deviation_are_those_of_the_kept_answers() {
    // One right, three wrong: two wrong ones go, whichever, and the rest is [1, 0].
    let rewards = [Some(1.0), Some(0.0), Some(0.0), Some(0.0), None];
    let a = red_drop(7, &rewards, 0);
    assert_eq!(a[0], 0.5);
    assert_eq!(a[1..].iter().filter(|a| **a == -0.5).count(), 1);
    assert_eq!(a[1..].iter().filter(|a| **a == 0.0).count(), 3);
    assert_eq!(a[4], 0.0);
    let scaled = RecConfig {
        drop: Drop::Balance,
        scale_rewards: ScaleRewards::Group,
        eps: 0.5,
        seed: 7,
    };
    let members: Vec<Trajectory> = (0..5).map(|s| trajectory(3, s, 0)).collect();
    assert_eq!(
        estimate(&scaled, &[5], &rewards, &members)[0],
        0.5,
        "0.5 / (0.5 + 0.5)"
    );
}

#[test]
fn groups_without_surplus_stay_whole() {
    for rewards in [
        vec![Some(1.0), Some(0.0)],
        vec![Some(1.0), Some(1.0), Some(0.0)],
        vec![Some(0.1); 7],
        vec![Some(0.3)],
        vec![None],
    ] {
        assert_eq!(surplus_below_mean(&rewards).1, 0);
        let plain = estimate(&RecConfig::default(), &[rewards.len()], &rewards, &[]);
        assert_eq!(red_drop(0, &rewards, 0), plain);
    }
    assert_eq!(red_drop(0, &[Some(0.3)], 0), [0.0], "a group of one");
}

/// Chi-square at alpha 0.001: every subset of the surplus is equally likely, over seeds and over policy versions.
#[test]
fn every_subset_of_the_surplus_is_equally_likely() {
    let rewards = [Some(0.0), Some(1.0), Some(0.0), Some(0.0), Some(0.0)];
    for vary_seed in [true, false] {
        let mut counts = [0u32; 4];
        for draw in 0..8_000 {
            let (seed, version) = if vary_seed { (draw, 0) } else { (0, draw) };
            let a = red_drop(seed, &rewards, version);
            let kept: Vec<usize> = [0, 2, 3, 4].into_iter().filter(|i| a[*i] != 0.0).collect();
            assert_eq!(kept.len(), 1);
            counts[kept[0].saturating_sub(1)] += 1;
        }
        let chi: f64 = counts.iter().map(|c| (f64::from(*c) - 2e3).powi(2) / 2e3).sum();
        assert!(chi < 16.27, "chi-square {chi} of {counts:?}");
    }
}

#[test]
fn the_draw_is_pinned() {
    // Value stability: a change here changes which answers every run drops.
    let rewards = [Some(0.0), Some(1.0), Some(0.0), Some(0.0), Some(0.0)];
    let kept = |seed, version| {
        let a = red_drop(seed, &rewards, version);
        [0, 2, 3, 4].into_iter().find(|i| a[*i] != 0.0).unwrap()
    };
    assert_eq!([kept(0, 0), kept(0, 1), kept(1, 0), kept(2, 5)], PINNED);
}
const PINNED: [usize; 4] = [3, 4, 2, 0];

#[test]
fn what_is_refused() {
    let groups = Offsets::from_lengths([2]);
    let rewards = [Some(1.0), Some(0.0)];
    let batch = RewardBatch::new(groups.spans(), &rewards);
    let part = RedDropConfig::default().build(&()).unwrap();
    assert_eq!(part.needs(), Needs::TRAJECTORIES);
    assert_eq!(
        part.estimate(&batch).unwrap_err().to_string(),
        "`trajectories` is missing, and `red-drop` needs it"
    );
    let members = [trajectory(0, 0, 0)];
    let mut short = batch;
    short.trajectories = Some(&members);
    assert_eq!(
        part.estimate(&short).unwrap_err().to_string(),
        "`trajectories` has 1 entries, expected 2"
    );
    let bad = [Some(1.0), Some(f64::NAN)];
    assert!(
        part.estimate(&RewardBatch::new(groups.spans(), &bad))
            .unwrap_err()
            .to_string()
            .contains("`reward` is NaN")
    );
    for eps in [-1.0, f64::NAN] {
        let config = RecConfig {
            eps,
            ..Default::default()
        };
        assert_eq!(
            config.build(&()).unwrap_err().to_string(),
            format!("`eps` = {eps}: must be a finite number >= 0")
        );
    }
}

#[test]
fn the_formula_says_what_is_dropped() {
    assert_eq!(
        RecConfig::default().formula(),
        "A_i = r_i - mean(r); lone member: 0"
    );
    assert_eq!(
        RedDropConfig {
            seed: 9,
            ..Default::default()
        }
        .formula(),
        "A_i = r_i - mean(r); lone member: 0; before that, max(n(r < mean) - n(r >= mean), 0) of those below the \
         mean are dropped at random (seed 9): 0"
    );
    let grpo = RecConfig {
        scale_rewards: ScaleRewards::Group,
        ..Default::default()
    };
    assert!(
        grpo.formula()
            .starts_with("A_i = (r_i - mean(r)) / (std(r; n) + 1e-6)")
    );
}
