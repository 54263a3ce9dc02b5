//! Edge cases and invariants of Flow-GRPO.

use groupwise_core::Offsets;
use proptest::prelude::*;

use super::*;
use crate::AdvantageSpec;

/// Group -> rollout: reward and tokens of each turn.
type Batch = Vec<Vec<(Option<f64>, Vec<usize>)>>;

/// Advantages, group -> rollout -> turn -> token; every turn is preceded by one masked token, as an observation is.
fn run(config: &FlowGrpoConfig, batch: &Batch) -> Result<Vec<Vec<Vec<f64>>>, DataError> {
    let rollouts: Vec<_> = batch.iter().flatten().collect();
    let groups = Offsets::from_lengths(batch.iter().map(Vec::len));
    let steps = Offsets::from_lengths(rollouts.iter().map(|r| r.1.len()));
    let tokens = Offsets::from_lengths(rollouts.iter().map(|r| r.1.iter().map(|n| n + 1).sum()));
    let rewards: Vec<Option<f64>> = rollouts.iter().map(|r| r.0).collect();
    let (mut mask, mut ranges) = (Vec::new(), Vec::new());
    for n in rollouts.iter().flat_map(|r| &r.1) {
        mask.push(false);
        ranges.push(mask.len()..mask.len() + n);
        mask.resize(mask.len() + n, true);
    }
    let mut reward_batch = RewardBatch::new(groups.spans(), &rewards);
    reward_batch.steps = Some(steps.spans());
    reward_batch.step_tokens = Some(&ranges);
    reward_batch.tokens = Some(tokens.spans());
    reward_batch.mask = Some(&mask);
    let Advantages::Token(a) = config.build(&()).expect("valid").estimate(&reward_batch)? else {
        return Err(DataError::value("test", "not per token"));
    };
    // Observations carry no advantage.
    for (t, a) in a.iter().enumerate().filter(|(t, _)| !mask[*t]) {
        assert_eq!(*a, 0.0, "token {t}");
    }
    let turns = |i: usize| {
        steps
            .range(i)
            .map(|k| a[ranges[k].clone()].to_vec())
            .collect::<Vec<_>>()
    };
    Ok((0..rollouts.len()).map(turns).collect())
}

fn batches() -> impl Strategy<Value = Batch> {
    let rollout = (
        prop::option::weighted(0.85, prop::sample::select(vec![0.0, 1.0, 0.5])),
        prop::collection::vec(0usize..4, 0..4),
    );
    prop::collection::vec(prop::collection::vec(rollout, 1..5), 1..4)
}

fn with(aggregation: TurnAggregation, objective_aggregation: ObjectiveAggregation) -> FlowGrpoConfig {
    FlowGrpoConfig {
        aggregation,
        objective_aggregation,
        ..Default::default()
    }
}

fn unweighted(episode_stats: EpisodeStats) -> FlowGrpoConfig {
    FlowGrpoConfig {
        episode_stats,
        ..with(TurnAggregation::TokenMean, ObjectiveAggregation::TokenMean)
    }
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9 * (1.0 + expected.abs())
}

#[test]
fn rollouts_of_unequal_turns_by_hand() {
    // Rewards 1 and 0: advantages +-a.  P = 1, G = 2; rollout 0: T = 2, n = 1 and 3; rollout 1: T = 1, n = 2.
    let batch = vec![vec![(Some(1.0), vec![1, 3]), (Some(0.0), vec![2])]];
    let a = 0.5 / (0.5_f64.sqrt() + 1e-6);
    for (config, weights) in [
        // w = 1/4, 1/12, 1/4 against 1/(2*4), 1/(2*4), 1/(2*2).
        (FlowGrpoConfig::default(), [2.0, 2.0 / 3.0, 1.0]),
        // Against 1/6.
        (
            with(TurnAggregation::RolloutTurnToken, ObjectiveAggregation::TokenMean),
            [1.5, 0.5, 1.5],
        ),
        // w = 1/3, 1/9, 1/6.
        (
            with(TurnAggregation::TurnToken, ObjectiveAggregation::TokenMean),
            [2.0, 2.0 / 3.0, 1.0],
        ),
        // w = 1/6 against 1/8, 1/8, 1/4.
        (
            with(TurnAggregation::TokenMean, ObjectiveAggregation::SeqMeanTokenMean),
            [4.0 / 3.0, 4.0 / 3.0, 2.0 / 3.0],
        ),
    ] {
        let found = run(&config, &batch).expect("valid");
        let expected = [
            vec![vec![weights[0] * a], vec![weights[1] * a; 3]],
            vec![vec![-weights[2] * a; 2]],
        ];
        for (found, expected) in found.concat().concat().iter().zip(expected.concat().concat()) {
            assert!(close(*found, expected), "{config:?}: {found} {expected}");
        }
    }
}

#[test]
fn the_population_deviation_divides_by_the_number_of_rollouts() {
    // Rewards 1 and 0: squared deviations 1/2, so 1/2 over n = 2 and sqrt(1/2) over n - 1.
    let batch = vec![vec![(Some(1.0), vec![2]), (Some(0.0), vec![2])]];
    for (spread, s) in [(Spread::Population, 0.5), (Spread::Sample, 0.5_f64.sqrt())] {
        let config = FlowGrpoConfig {
            spread,
            eps: 0.25,
            ..unweighted(EpisodeStats::Trajectory)
        };
        let found = run(&config, &batch).expect("valid").concat().concat();
        let a = 0.5 / (s + 0.25);
        assert!(
            found.iter().zip([a, a, -a, -a]).all(|(f, e)| close(*f, e)),
            "{found:?}"
        );
    }
}

#[test]
fn an_over_long_turn_counts_in_the_statistics_and_not_in_the_loss() {
    // The second turn of rollout 0 has no counted token: under `turn` its reward still counts twice.
    let config = FlowGrpoConfig {
        episode_stats: EpisodeStats::Turn,
        ..Default::default()
    };
    let found = run(
        &config,
        &vec![vec![(Some(1.0), vec![2, 0]), (Some(0.0), vec![1])]],
    )
    .expect("valid");
    let s = (1.0_f64 / 3.0).sqrt() + 1e-6;
    assert!(close(found[0][0][0], 1.0 / 3.0 / s), "{found:?}");
    assert_eq!(found[0][1], [0.0; 0]);
    assert!(close(found[1][0][0], -2.0 / 3.0 / s), "{found:?}");
}

#[test]
fn an_unscorable_rollout_changes_no_weight() {
    for objective in [
        ObjectiveAggregation::SeqMeanTokenMean,
        ObjectiveAggregation::TokenMean,
    ] {
        let config = with(TurnAggregation::RolloutTurnToken, objective);
        let mut batch = vec![vec![(Some(1.0), vec![1, 3]), (Some(0.0), vec![2])]];
        let without = run(&config, &batch).expect("valid");
        batch[0].push((None, vec![4, 1]));
        let with_it = run(&config, &batch).expect("valid");
        assert_eq!(with_it[..2], without);
        assert_eq!(with_it[2].concat(), [0.0; 5]);
    }
}

#[test]
fn equal_rewards_and_lone_rollouts_get_nothing() {
    for stats in [EpisodeStats::Trajectory, EpisodeStats::Turn] {
        let config = FlowGrpoConfig {
            episode_stats: stats,
            ..Default::default()
        };
        let batch = vec![
            vec![(Some(1.0), vec![1, 2]), (Some(1.0), vec![3])],
            vec![(Some(1.0), vec![1, 2]), (Some(0.0), vec![]), (None, vec![1])],
        ];
        let found = run(&config, &batch).expect("valid");
        assert!(found.concat().concat().iter().all(|a| *a == 0.0), "{found:?}");
    }
}

#[test]
fn the_formula_names_every_choice() {
    assert_eq!(
        FlowGrpoConfig::default().formula(),
        "A_i = (r_i - mean(r)) / (std(r; n - 1) + 1e-6); equal rewards: 0; spread 0: undivided; lone member: 0; \
         statistics over rollouts; copied to turns, times w / w_objective: w = 1 / (P G T n), objective \
         seq-mean-token-mean"
    );
    let authors: AdvantageSpec = serde_json::from_str(
        r#"{"flow-grpo": {"episode_stats": "turn", "aggregation": "token-mean", "std": "population",
            "objective_aggregation": "token-mean"}}"#,
    )
    .expect("known keys");
    assert!(
        authors.formula().ends_with(
            "statistics over turns, each with its rollout's reward; copied to turns, times w / w_objective: \
             w = 1 / (sum of n), objective token-mean"
        ),
        "{}",
        authors.formula()
    );
}

#[test]
fn bad_parameters_and_data_are_named() {
    let config = FlowGrpoConfig {
        eps: -1.0,
        ..Default::default()
    };
    assert_eq!(
        config.build(&()).map(|_| ()).expect_err("refused").to_string(),
        "`eps` = -1: must be a finite number >= 0"
    );
    let (groups, tokens) = (Offsets::from_lengths([2]), Offsets::from_lengths([2, 1]));
    let (rewards, mask) = ([Some(1.0), Some(0.0)], [true; 3]);
    let flow = FlowGrpoConfig::default().build(&()).expect("valid");
    assert_eq!(flow.needs(), Needs::TOKENS);
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    let refuse = |batch: &RewardBatch<'_>| flow.estimate(batch).expect_err("refused").to_string();
    assert_eq!(refuse(&batch), "`tokens` is missing, and `flow-grpo` needs it");
    batch.tokens = Some(tokens.spans());
    assert_eq!(refuse(&batch), "`mask` is missing, and `flow-grpo` needs it");
    batch.mask = Some(&mask);
    assert_eq!(refuse(&batch), "`steps` is missing, and `flow-grpo` needs it");
    batch.steps = Some(tokens.spans());
    assert_eq!(
        refuse(&batch),
        "`step_tokens` is missing, and `flow-grpo` needs it"
    );
    for (ranges, message) in [
        (
            [0..1, 1..3, 2..3],
            "trajectory 0, step 1: tokens 1..3 leave the trajectory's 0..2",
        ),
        (
            [0..1, 1..2, 1..3],
            "trajectory 1, step 0: tokens 1..3 leave the trajectory's 2..3",
        ),
        (
            [0..1, std::ops::Range { start: 2, end: 1 }, 2..3],
            "trajectory 0, step 1: tokens 2..1 leave the trajectory's 0..2",
        ),
    ] {
        let with_ranges = RewardBatch {
            step_tokens: Some(&ranges),
            ..batch
        };
        assert_eq!(refuse(&with_ranges), message);
    }
    let both = (TurnAggregation::TokenMean, ObjectiveAggregation::TokenMean);
    let weigh = |ranges: &[Range<usize>], n_i: &[usize]| {
        let found = folded_turn_weights(both, groups.spans(), groups.spans(), ranges, &mask, n_i);
        found.expect_err("refused").to_string()
    };
    assert_eq!(
        weigh(&[0..1, 1..2], &[1, 1]),
        "`counted tokens per rollout` has 2 entries, expected 1"
    );
    assert_eq!(
        weigh(&[0..1, 2..4], &[2]),
        "turn 1: tokens 2..4 leave the batch of 3"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn all_turns_of_a_rollout_share_one_advantage(batch in batches(), turn in any::<bool>()) {
        let stats = if turn { EpisodeStats::Turn } else { EpisodeStats::Trajectory };
        // With both means over tokens the folded weight is 1, unless unscorable tokens count for the objective.
        let scored: Batch =
            batch.iter().map(|g| g.iter().map(|(r, n)| (Some(r.unwrap_or(0.0)), n.clone())).collect()).collect();
        for rollout in run(&unweighted(stats), &scored)? {
            let all = rollout.concat();
            prop_assert!(all.iter().all(|a| (a - all[0]).abs() < 1e-12), "{all:?}");
        }
    }

    #[test]
    fn single_turns_in_groups_of_one_size_are_grpo(
        rewards in prop::collection::vec(prop::collection::vec((-2.0..2.0f64, 1usize..4), 3), 1..4),
        turn in any::<bool>(),
    ) {
        let batch: Batch = rewards.iter().map(|g| g.iter().map(|(r, n)| (Some(*r), vec![*n])).collect()).collect();
        let flat: Vec<Option<f64>> = batch.iter().flatten().map(|r| r.0).collect();
        let groups = Offsets::from_lengths(batch.iter().map(Vec::len));
        let grpo = GroupRelative::new(GroupRelativeConfig::default())?.advantages(groups.spans(), &flat)?;
        let config = FlowGrpoConfig {
            episode_stats: if turn { EpisodeStats::Turn } else { EpisodeStats::Trajectory },
            ..Default::default()
        };
        for (found, expected) in run(&config, &batch)?.iter().zip(grpo) {
            prop_assert!(found[0].iter().all(|a| close(*a, expected)), "{found:?} {expected}");
        }
    }

    #[test]
    fn trajectory_statistics_sum_to_zero_over_rollouts_and_turn_statistics_over_turns(batch in batches()) {
        for stats in [EpisodeStats::Trajectory, EpisodeStats::Turn] {
            // Every turn one token, so that each shows its advantage.
            let shown: Batch = batch
                .iter()
                .map(|g| g.iter().map(|(r, n)| (Some(r.unwrap_or(0.0)), vec![1; n.len()])).collect())
                .collect();
            let found = run(&unweighted(stats), &shown)?;
            let mut next = found.iter();
            for group in &shown {
                let rollouts: Vec<_> = next.by_ref().take(group.len()).collect();
                let total: f64 = match stats {
                    EpisodeStats::Trajectory => rollouts.iter().filter_map(|r| r.first()).map(|t| t[0]).sum(),
                    EpisodeStats::Turn => rollouts.iter().flat_map(|r| r.iter()).map(|t| t[0]).sum(),
                };
                prop_assert!(total.abs() < 1e-8, "{stats:?}: {total}");
            }
        }
    }

    #[test]
    fn repeating_the_turns_of_a_rollout_halves_the_weight_of_each(batch in batches(), which in 0usize..8) {
        // Sums over the rollout stay: the advantage does not change, and each token counts half.
        let mut doubled = batch.clone();
        let n = batch.iter().flatten().count();
        let Some((_, turns)) = doubled.iter_mut().flatten().nth(which % n) else { return Ok(()) };
        turns.extend(turns.clone());
        let config = with(TurnAggregation::RolloutTurnToken, ObjectiveAggregation::SeqMeanTokenMean);
        let (one, two) = (run(&config, &batch)?, run(&config, &doubled)?);
        for (one, two) in one.iter().zip(&two) {
            // lambda has n_i in it, which doubles too: so a token keeps its advantage under a mean per rollout.
            for (a, b) in one.concat().iter().zip(two.concat()) {
                prop_assert!(close(b, *a), "{a} {b}");
            }
        }
    }

    #[test]
    fn the_order_of_rollouts_is_carried_along(batch in batches()) {
        let config = FlowGrpoConfig { episode_stats: EpisodeStats::Turn, ..Default::default() };
        let reversed: Batch = batch.iter().map(|g| g.iter().rev().cloned().collect()).collect();
        let (one, two) = (run(&config, &batch)?, run(&config, &reversed)?);
        let mut start = 0;
        for group in &batch {
            let end = start + group.len();
            for (a, b) in one[start..end].iter().zip(two[start..end].iter().rev()) {
                for (a, b) in a.concat().iter().zip(b.concat()) {
                    prop_assert!(close(b, *a));
                }
            }
            start = end;
        }
    }
}
