//! Edge cases and invariants of Hi-Agent.

use groupwise_core::Offsets;
use proptest::prelude::*;

use super::*;
use crate::AdvantageSpec;
use crate::delegation::testing::trajectory;

/// State -> subgoal: format, judge's score, rewards of its executions.
type Batch = Vec<Vec<(bool, Option<f64>, Vec<Option<f64>>)>>;

/// Advantages of subgoals and of executions: each state's subgoals first, then their executions.
fn run(config: &HiAgentConfig, batch: &Batch) -> Result<(Vec<f64>, Vec<Vec<f64>>), DataError> {
    let (mut all, mut rewards, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for state in batch {
        let before = all.len();
        for (i, (well_formed, judge, _)) in state.iter().enumerate() {
            let mut subgoal = trajectory(None, i as u64, 1);
            subgoal.turns[0].valid = *well_formed;
            all.push(subgoal);
            rewards.push(*judge);
        }
        for (i, (.., executions)) in state.iter().enumerate() {
            all.extend(executions.iter().map(|_| trajectory(Some("low"), i as u64, 1)));
            rewards.extend(executions);
        }
        lengths.push(all.len() - before);
    }
    let groups = Offsets::from_lengths(lengths);
    let mut reward_batch = RewardBatch::new(groups.spans(), &rewards);
    reward_batch.trajectories = Some(&all);
    let Advantages::Trajectory(a) = config.build(&()).expect("valid").estimate(&reward_batch)? else {
        return Err(DataError::value("test", "not per trajectory"));
    };
    let (mut high, mut low, mut next) = (Vec::new(), Vec::new(), a.into_iter());
    for state in batch {
        high.extend(next.by_ref().take(state.len()));
        low.extend(
            state
                .iter()
                .map(|s| next.by_ref().take(s.2.len()).collect::<Vec<_>>()),
        );
    }
    Ok((high, low))
}

fn batches() -> impl Strategy<Value = Batch> {
    let execution = prop::option::weighted(0.9, prop::sample::select(vec![0.0, 0.5, 1.0]));
    let subgoal = (
        prop::bool::weighted(0.8),
        prop::option::weighted(0.9, 0.0..1.0f64),
        prop::collection::vec(execution, 0..4),
    );
    prop::collection::vec(prop::collection::vec(subgoal, 1..5), 1..4)
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9
}

#[test]
fn executions_rank_subgoals_and_a_bad_format_earns_nothing() {
    let some = |x: [f64; 2]| x.map(Some).to_vec();
    let batch = vec![vec![
        (true, Some(0.0), some([0.0, 1.0])),
        (false, Some(0.0), some([1.0, 1.0])),
        (true, Some(0.0), some([0.0, 0.0])),
    ]];
    let (high, low) = run(&HiAgentConfig::default(), &batch).expect("valid");
    let expected = [
        1.140_643_315_827_409_6,
        -0.725_863_928_253_806_1,
        -0.414_779_387_573_603_4,
    ];
    assert!(high.iter().zip(expected).all(|(a, b)| close(*a, b)), "{high:?}");
    let one = 0.707_105_781_187_961_6;
    let expected = [-one, one, 0.0, 0.0, 0.0, 0.0];
    assert!(
        low.concat().iter().zip(expected).all(|(a, b)| close(*a, b)),
        "{low:?}"
    );
}

#[test]
fn weights_multiply_their_own_parts() {
    let config = HiAgentConfig {
        format_weight: 2.0,
        execution_weight: 3.0,
        judge_weight: 5.0,
        ..Default::default()
    };
    let executions = Offsets::from_lengths([3, 0, 1]);
    let subgoals = Subgoals {
        executions: executions.spans(),
        format_ok: &[true, true, false],
        execution_rewards: &[Some(1.0), None, Some(0.5), Some(1.0)],
        judge: Some(&[0.5, 1.0, 1.0]),
    };
    // 2 + 3 * 0.75 + 5 * 0.5; not executed: 2 + 5 * 1; badly formed: 0.
    assert_eq!(foresight_rewards(&config, &subgoals), Ok(vec![6.75, 7.0, 0.0]));
    let without = Subgoals {
        judge: None,
        ..subgoals
    };
    assert_eq!(foresight_rewards(&config, &without), Ok(vec![4.25, 2.0, 0.0]));
}

#[test]
fn a_lone_subgoal_an_unscorable_one_and_equal_ones_get_nothing() {
    let lone = vec![vec![(true, Some(0.0), vec![Some(1.0), Some(0.0)])]];
    let (high, low) = run(&HiAgentConfig::default(), &lone).expect("valid");
    assert_eq!(high, [0.0]);
    assert!(low[0][0] > 0.7 && low[0][1] < -0.7);
    // The unscorable one is in no statistic: the others are compared as two, its executions as ever.
    let batch = vec![vec![
        (true, Some(0.0), vec![Some(1.0)]),
        (true, None, vec![Some(1.0), Some(0.0)]),
        (true, Some(0.0), vec![Some(0.0)]),
    ]];
    let (high, low) = run(&HiAgentConfig::default(), &batch).expect("valid");
    let a = 0.5 / (0.5_f64.sqrt() + 1e-6);
    assert!(
        close(high[0], a) && high[1] == 0.0 && close(high[2], -a),
        "{high:?}"
    );
    assert!(low[1][0] > 0.7, "{low:?}");
    let all_succeed = vec![vec![(true, Some(0.0), vec![Some(1.0)]); 3]];
    let (high, low) = run(&HiAgentConfig::default(), &all_succeed).expect("valid");
    assert!(high.iter().chain(low.iter().flatten()).all(|a| *a == 0.0));
}

#[test]
fn a_subgoal_without_turns_is_badly_formed() {
    let mut subgoal = trajectory(None, 0, 1);
    assert!(well_formed(&subgoal));
    let turn = subgoal.turns[0].clone();
    subgoal
        .turns
        .push(crate::delegation::testing::trajectory(None, 0, 1).turns[0].clone());
    subgoal.turns[1].valid = false;
    assert!(!well_formed(&subgoal));
    subgoal.turns = vec![turn];
    assert!(well_formed(&subgoal));
    subgoal.turns.clear();
    assert!(!well_formed(&subgoal));
}

#[test]
fn refused_parameters_are_named() {
    let refuse = |config: HiAgentConfig| config.build(&()).map(|_| ()).expect_err("refused").to_string();
    let default = HiAgentConfig::default;
    for (config, key) in [
        (
            HiAgentConfig {
                format_weight: -1.0,
                ..default()
            },
            "format_weight",
        ),
        (
            HiAgentConfig {
                execution_weight: -1.0,
                ..default()
            },
            "execution_weight",
        ),
        (
            HiAgentConfig {
                judge_weight: -1.0,
                ..default()
            },
            "judge_weight",
        ),
        (
            HiAgentConfig {
                eps: -1.0,
                ..default()
            },
            "eps",
        ),
    ] {
        assert_eq!(
            refuse(config),
            format!("`{key}` = -1: must be a finite number >= 0")
        );
    }
    let same = HiAgentConfig {
        low_agent: "high".into(),
        ..default()
    };
    assert_eq!(
        refuse(same),
        "`low_agent` = high: must be another name than `high_agent`"
    );
}

#[test]
fn every_refusal_is_named() {
    let default = HiAgentConfig::default;
    let groups = Offsets::from_lengths([1]);
    let part = default().build(&()).expect("valid");
    assert_eq!(part.needs(), Needs::TRAJECTORIES);
    let rewards = [Some(1.0)];
    let mut batch = RewardBatch::new(groups.spans(), &rewards);
    assert_eq!(
        part.estimate(&batch).expect_err("refused").to_string(),
        "`trajectories` is missing, and `hi-agent` needs it"
    );
    batch.trajectories = Some(&[]);
    assert_eq!(
        part.estimate(&batch).expect_err("refused").to_string(),
        "`trajectories` has 0 entries, expected 1"
    );
}

#[test]
fn subgoals_that_do_not_fit_are_named() {
    let default = HiAgentConfig::default;
    let executions = Offsets::from_lengths([1]);
    let good = Subgoals {
        executions: executions.spans(),
        format_ok: &[true],
        execution_rewards: &[Some(1.0)],
        judge: None,
    };
    let refuse = |subgoals: Subgoals<'_>| {
        foresight_rewards(&default(), &subgoals)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refuse(Subgoals {
            format_ok: &[],
            ..good
        }),
        "`format_ok` has 0 entries, expected 1"
    );
    assert_eq!(
        refuse(Subgoals {
            execution_rewards: &[],
            ..good
        }),
        "`execution rewards` has 0 entries, expected 1"
    );
    assert_eq!(
        refuse(Subgoals {
            judge: Some(&[]),
            ..good
        }),
        "`judge` has 0 entries, expected 1"
    );
    assert_eq!(
        refuse(Subgoals {
            judge: Some(&[f64::NAN]),
            ..good
        }),
        "index 0: `judge` is NaN"
    );
    assert_eq!(
        refuse(Subgoals {
            execution_rewards: &[Some(f64::INFINITY)],
            ..good
        }),
        "index 0: `execution rewards of subgoal 0` is inf"
    );
}

#[test]
fn the_formula_prints_the_numbers() {
    let spec: AdvantageSpec =
        serde_json::from_str(r#"{"hi-agent": {"judge_weight": 0.5, "std": "population"}}"#)
            .expect("known keys");
    assert_eq!(
        spec.formula(),
        "A_i = (r_i - mean(r)) / (std(r; n) + 1e-6); equal rewards: 0; spread 0: undivided; lone member: 0; `high`: \
         r_i = 0.1 f_i + f_i (1 mean_e x_ie + 0.5 j_i), over the state; `low`: r = x, over the subgoal"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn high_advantages_sum_to_zero_per_state_and_low_ones_per_subgoal(batch in batches()) {
        let config = HiAgentConfig { judge_weight: 0.3, ..Default::default() };
        let (high, low) = run(&config, &batch)?;
        let mut next = high.iter();
        for state in &batch {
            let total: f64 = next.by_ref().take(state.len()).sum();
            prop_assert!(total.abs() < 1e-8);
        }
        prop_assert!(low.iter().all(|l| l.iter().sum::<f64>().abs() < 1e-8));
    }

    #[test]
    fn a_constant_on_all_executions_of_well_formed_subgoals_changes_nothing(batch in batches(), shift in 0.0..3.0f64) {
        // Holds where every subgoal is well formed and executed: elsewhere the constant does not reach R.
        let even: Batch = batch
            .iter()
            .map(|s| s.iter().map(|(_, j, x)| {
                let mut x: Vec<_> = x.iter().flatten().map(|x| Some(*x)).collect();
                if x.is_empty() { x.push(Some(0.5)) }
                (true, *j, x)
            }).collect())
            .collect();
        let moved: Batch = even
            .iter()
            .map(|s| s.iter().map(|(f, j, x)| (*f, *j, x.iter().map(|x| x.map(|x| x + shift)).collect())).collect())
            .collect();
        let (one, two) = (run(&HiAgentConfig::default(), &even)?, run(&HiAgentConfig::default(), &moved)?);
        prop_assert!(one.0.iter().zip(&two.0).all(|(a, b)| (a - b).abs() < 1e-6));
        prop_assert!(one.1.concat().iter().zip(two.1.concat()).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn without_a_judge_the_reward_tends_to_the_success_rate(successes in 0usize..50, failures in 0usize..50) {
        let m = successes + failures;
        let x: Vec<Option<f64>> = (0..m).map(|e| Some(f64::from(u8::from(e < successes)))).collect();
        let executions = Offsets::from_lengths([m]);
        let config = HiAgentConfig { format_weight: 0.0, ..Default::default() };
        let reward = foresight_rewards(&config, &Subgoals {
            executions: executions.spans(), format_ok: &[true], execution_rewards: &x, judge: None,
        })?[0];
        let rate = if m == 0 { 0.0 } else { successes as f64 / m as f64 };
        prop_assert!(close(reward, rate));
    }

    #[test]
    fn a_badly_formed_subgoal_never_beats_a_well_formed_one(
        x in prop::collection::vec(0.0..1.0f64, 0..4), judge in 0.0..1.0f64, weights in prop::array::uniform3(0.0..2.0f64),
    ) {
        let twice: Vec<Option<f64>> = [x.clone(), x.clone()].concat().into_iter().map(Some).collect();
        let executions = Offsets::from_lengths([x.len(), x.len()]);
        let config = HiAgentConfig {
            format_weight: weights[0], execution_weight: weights[1], judge_weight: weights[2], ..Default::default()
        };
        let r = foresight_rewards(&config, &Subgoals {
            executions: executions.spans(), format_ok: &[true, false], execution_rewards: &twice,
            judge: Some(&[judge, judge]),
        })?;
        prop_assert!(r[0] >= r[1]);
        prop_assert_eq!(r[1], 0.0);
    }

    #[test]
    fn the_order_of_subgoals_is_carried_along(batch in batches()) {
        let config = HiAgentConfig { judge_weight: 0.3, ..Default::default() };
        let reversed: Batch = batch.iter().map(|s| s.iter().rev().cloned().collect()).collect();
        let (one, two) = (run(&config, &batch)?, run(&config, &reversed)?);
        let mut start = 0;
        for state in &batch {
            let end = start + state.len();
            for k in 0..state.len() {
                prop_assert!(close(one.0[start + k], two.0[end - 1 - k]));
                prop_assert_eq!(&one.1[start + k], &two.1[end - 1 - k]);
            }
            start = end;
        }
    }
}
