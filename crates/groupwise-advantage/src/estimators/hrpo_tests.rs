use groupwise_core::{Offsets, stats};
use proptest::prelude::*;

use super::*;
use crate::AdvantageSpec;
use crate::estimators::GrpoConfig;
use crate::steps_fixture::{Fixture, Step};

/// One construction: outcome, cost, rewards of its actions.
type Row = (Option<f64>, f64, Vec<f64>);

fn run(config: &HrpoConfig, rows: &[Vec<Row>]) -> Result<HrpoAdvantages, DataError> {
    let flat = || rows.iter().flatten();
    let groups = Offsets::from_lengths(rows.iter().map(Vec::len));
    let steps = Offsets::from_lengths(flat().map(|row| row.2.len()));
    Hrpo::new(config).expect("valid").advantages(&Constructions {
        groups: groups.spans(),
        steps: steps.spans(),
        outcomes: &flat().map(|row| row.0).collect::<Vec<_>>(),
        costs: &flat().map(|row| row.1).collect::<Vec<_>>(),
        action_rewards: &flat().flat_map(|row| row.2.clone()).collect::<Vec<_>>(),
    })
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (k, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < 1e-7, "entry {k}: {f} instead of {e}");
    }
}

fn worked() -> Vec<Vec<Row>> {
    vec![vec![
        (Some(1.0), 2.0, vec![0.1, 0.0]),
        (Some(1.0), 4.0, vec![0.1, -0.1, -0.1, 0.0]),
        (Some(0.0), 1.0, vec![0.0]),
    ]]
}

#[test]
fn the_worked_example() {
    let a = run(&HrpoConfig::default(), &worked()).expect("valid");
    assert_near(
        &a.rewards.iter().map(|r| r.expect("scored")).collect::<Vec<_>>(),
        &[0.9, 0.8, -0.05],
    );
    assert_near(&a.group, &[0.670_477_1, 0.478_912_2, -1.149_389_3]);
    assert_near(&a.actions[..3], &[0.770_477_1, 0.670_477_1, 0.578_912_2]);
    let undivided = HrpoConfig {
        std: Spread::None,
        ..Default::default()
    };
    assert_near(
        &run(&undivided, &worked()).expect("valid").group,
        &[0.35, 0.25, -0.6],
    );
    let weighted = HrpoConfig {
        group_weight: 2.0,
        action_weight: 3.0,
        ..undivided
    };
    assert_near(
        &run(&weighted, &worked()).expect("valid").actions[..2],
        &[1.0, 0.7],
    );
}

#[test]
fn cost_and_action_rewards_teach_where_every_outcome_is_right() {
    let rows = vec![vec![
        (Some(1.0), 1.0, vec![0.1]),
        (Some(1.0), 3.0, vec![0.1, -0.1, -0.1]),
    ]];
    let a = run(&HrpoConfig::default(), &rows).expect("valid");
    assert!(a.group[0] > 0.7 && a.group[1] < -0.7);
    let free = HrpoConfig {
        cost_weight: 0.0,
        ..Default::default()
    };
    let a = run(&free, &rows).expect("valid");
    assert_eq!(a.group, [0.0, 0.0]);
    assert_eq!(a.actions, [0.1, 0.1, -0.1, -0.1]);
}

#[test]
fn a_lone_construction_has_its_action_rewards_only() {
    let a = run(&HrpoConfig::default(), &[vec![(Some(1.0), 2.0, vec![0.1, -0.2])]]).expect("valid");
    assert_eq!(a.actions, [0.1, -0.2]);
}

#[test]
fn an_empty_construction_counts_in_the_statistics() {
    let undivided = HrpoConfig {
        std: Spread::None,
        cost_weight: 0.0,
        ..Default::default()
    };
    let rows = vec![vec![(Some(1.0), 0.0, vec![0.0]), (Some(0.0), 0.0, vec![])]];
    let a = run(&undivided, &rows).expect("valid");
    assert_eq!((a.actions, a.group), (vec![0.5], vec![0.5, -0.5]));
}

#[test]
fn an_unscorable_construction_gets_nothing_and_changes_nobody() {
    let mut rows = worked();
    rows[0].insert(1, (None, 7.0, vec![0.3, 0.3]));
    let (with, without) = (
        run(&HrpoConfig::default(), &rows),
        run(&HrpoConfig::default(), &worked()),
    );
    let (mut with, without) = (with.expect("valid"), without.expect("valid"));
    assert_eq!(with.actions.drain(2..4).collect::<Vec<_>>(), [0.0, 0.0]);
    assert_eq!((with.rewards.remove(1), with.group.remove(1)), (None, 0.0));
    assert_eq!(with, without);
}

#[test]
fn the_estimator_counts_actions_as_cost() {
    let step = |u: f64| -> Step { (u, "graph", "add", true) };
    let rows: Vec<Vec<(Option<f64>, Vec<Step>)>> = vec![vec![
        (Some(1.0), vec![step(0.1), step(0.0)]),
        (Some(1.0), vec![step(0.1), step(-0.1), step(-0.1), step(0.0)]),
        (Some(0.0), vec![step(0.0)]),
    ]];
    let hrpo = HrpoConfig::default().build(&()).expect("valid");
    let fixture = Fixture::of(&rows);
    let expected = run(&HrpoConfig::default(), &worked()).expect("valid").actions;
    assert_eq!(fixture.estimate(hrpo.as_ref()).expect("valid"), expected);
    assert_eq!(hrpo.needs(), Needs::STEP_REWARDS | Needs::TOKENS);
    let mut missing = fixture.missing(hrpo.as_ref());
    missing.dedup();
    let names = ["steps", "step_tokens", "tokens", "step_rewards"];
    assert_eq!(
        missing,
        names.map(|name| format!("`{name}` is missing, and `hrpo` needs it"))
    );
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |json: &str| {
        let config: HrpoConfig = serde_json::from_str(json).expect("a config");
        config.build(&()).map(|_| ()).expect_err("refused").to_string()
    };
    for key in ["group_weight", "action_weight", "cost_weight", "eps"] {
        let message = format!("`{key}` = -0.5: must be a finite number >= 0");
        assert_eq!(refused(&format!(r#"{{"{key}": -0.5}}"#)), message);
    }
    assert_eq!(
        refused(r#"{"std": "mean"}"#),
        "`std` = mean: must be none, sample or population"
    );
    for key in ["useful", "useless", "harmful"] {
        let json = format!(r#"{{"{key}": -0.5}}"#);
        let config: ActionRewardConfig = serde_json::from_str(&json).expect("a config");
        let message = format!("`{key}` = -0.5: must be a finite number >= 0");
        assert_eq!(
            ActionReward::new(&config).expect_err("refused").to_string(),
            message
        );
    }
}

#[test]
fn bad_data_is_named() {
    let nan = vec![vec![
        (Some(1.0), 1.0, vec![0.0]),
        (Some(0.0), 1.0, vec![0.0, f64::NAN]),
    ]];
    let message = |rows: &[Vec<Row>]| {
        run(&HrpoConfig::default(), rows)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        message(&nan),
        "group 0, trajectory 1, step 1: `action reward` is NaN"
    );
    assert_eq!(
        message(&[vec![(Some(1.0), f64::INFINITY, vec![])]]),
        "index 0: `costs` is inf"
    );
    assert_eq!(message(&[vec![]]), "group 0: holds no trajectory");
    let (groups, steps) = (Offsets::from_lengths([1]), Offsets::from_lengths([2]));
    let batch = Constructions {
        groups: groups.spans(),
        steps: steps.spans(),
        outcomes: &[Some(1.0)],
        costs: &[1.0],
        action_rewards: &[0.0, 0.0],
    };
    let hrpo = Hrpo::new(&HrpoConfig::default()).expect("valid");
    let message = |batch: Constructions<'_>| hrpo.advantages(&batch).expect_err("refused").to_string();
    let two = Offsets::from_lengths([2]);
    for (bad, expected) in [
        (
            Constructions {
                groups: two.spans(),
                ..batch
            },
            "`constructions` has 1 entries, expected 2",
        ),
        (
            Constructions {
                outcomes: &[],
                ..batch
            },
            "`outcomes` has 0 entries, expected 1",
        ),
        (
            Constructions { costs: &[], ..batch },
            "`costs` has 0 entries, expected 1",
        ),
        (
            Constructions {
                action_rewards: &[0.0],
                ..batch
            },
            "`action_rewards` has 1 entries, expected 2",
        ),
    ] {
        assert_eq!(message(bad), expected);
    }
}

#[test]
fn an_action_is_worth_what_its_absence_changes() {
    let config = ActionRewardConfig {
        useful: 1.0,
        useless: 2.0,
        harmful: 3.0,
    };
    let reward = ActionReward::new(&config).expect("valid");
    for (with, without, expected) in [
        (1.0, Some(0.0), 1.0),
        (1.0, Some(1.0), -2.0),
        (0.0, Some(1.0), -3.0),
        (0.0, Some(0.0), 0.0),
        (0.5, Some(0.5), 0.0),
        (0.5, Some(0.25), 1.0),
        (0.5, Some(0.75), -3.0),
        (1.0, None, 0.0),
    ] {
        assert_eq!(reward.of(with, without), Ok(expected), "{with} and {without:?}");
    }
    for (with, without) in [(1.5, None), (f64::NAN, None), (1.0, Some(-0.5))] {
        let shown = without.unwrap_or(with);
        let error = reward.of(with, without).expect_err("refused").to_string();
        assert_eq!(error, format!("outcome: {shown} is not in [0, 1]"));
    }
}

#[test]
fn illegal_actions_cannot_be_taken() {
    let message = |logits: &[f64], legal: &[bool], action| {
        legal_log_probability(logits, legal, action)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(message(&[0.0, 0.0], &[true, false], 1), "action 1: is not legal");
    assert_eq!(message(&[0.0, 0.0], &[true, false], 2), "action 2: is not legal");
    assert_eq!(
        message(&[0.0, 0.0], &[true], 0),
        "`legal` has 1 entries, expected 2"
    );
    assert_eq!(
        message(&[f64::NAN, 0.0], &[true, true], 1),
        "logits: NaN of a legal action"
    );
    // What is not legal is not read.
    assert_eq!(
        legal_log_probability(&[0.0, f64::NAN], &[true, false], 0),
        Ok((0.0, vec![0.0, 0.0]))
    );
}

#[test]
fn the_formula_says_the_weights() {
    let config = HrpoConfig {
        group_weight: 0.5,
        action_weight: 2.0,
        ..Default::default()
    };
    assert_eq!(
        config.formula(),
        "A_ik = 0.5 (R_i - mean(R)) / (std(R; n - 1) + 1e-6) + 2 u_ik; R_i = y_i - 0.05 n_i; equal R or lone member: \
         first part 0"
    );
    let by_n = HrpoConfig {
        std: Spread::Population,
        ..Default::default()
    };
    assert!(
        by_n.formula().contains("/ (std(R; n) + 1e-6)"),
        "{}",
        by_n.formula()
    );
}

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (
        prop::option::weighted(0.85, 0.0..1.0f64),
        (0u8..6).prop_map(f64::from),
        prop::collection::vec(-0.5..0.5f64, 0..5),
    );
    prop::collection::vec(prop::collection::vec(row, 1..6), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn without_action_rewards_it_is_grpo_on_the_net_reward(rows in rows()) {
        let config = HrpoConfig { action_weight: 0.0, ..Default::default() };
        let a = run(&config, &rows)?;
        let net: Vec<Option<f64>> = rows.iter().flatten().map(|(y, n, _)| y.map(|y| y - 0.05 * n)).collect();
        prop_assert_eq!(&a.rewards, &net);
        let groups = Offsets::from_lengths(rows.iter().map(Vec::len));
        let grpo = AdvantageSpec::Grpo(GrpoConfig::default()).build(&()).expect("valid");
        let Advantages::Trajectory(expected) = grpo.estimate(&RewardBatch::new(groups.spans(), &net))? else {
            return Err(TestCaseError::fail("GRPO is per trajectory"));
        };
        prop_assert_eq!(&a.group, &expected);
        let spread: Vec<f64> =
            rows.iter().flatten().zip(expected).flat_map(|(row, a)| vec![a; row.2.len()]).collect();
        prop_assert_eq!(a.actions, spread);
    }

    #[test]
    fn without_the_group_part_it_is_the_absolute_rewards(rows in rows()) {
        let config = HrpoConfig { group_weight: 0.0, ..Default::default() };
        let expected: Vec<f64> = rows
            .iter()
            .flatten()
            .flat_map(|(y, _, u)| u.iter().map(|u| if y.is_some() { *u } else { 0.0 }).collect::<Vec<_>>())
            .collect();
        prop_assert_eq!(run(&config, &rows)?.actions, expected);
    }

    #[test]
    fn the_group_part_sums_to_zero_and_action_rewards_are_not_centered(rows in rows(), shift in -1.0..1.0f64) {
        let a = run(&HrpoConfig::default(), &rows)?;
        let groups = Offsets::from_lengths(rows.iter().map(Vec::len));
        for members in groups.spans().iter() {
            prop_assert!(a.group[members].iter().sum::<f64>().abs() < 1e-8);
        }
        let mut moved = rows;
        moved.iter_mut().flatten().flat_map(|row| &mut row.2).for_each(|u| *u += shift);
        let b = run(&HrpoConfig::default(), &moved)?;
        let scored = moved.iter().flatten().flat_map(|row| row.2.iter().map(|_| row.0.is_some()));
        for ((x, y), scored) in a.actions.iter().zip(&b.actions).zip(scored) {
            let expected = if scored { shift } else { 0.0 };
            prop_assert!((y - x - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn masked_actions_have_probability_and_gradient_zero(
        head in prop::collection::vec((-5.0..5.0f64, prop::bool::weighted(0.6)), 1..8), chosen in 0usize..8,
    ) {
        let mut legal: Vec<bool> = head.iter().map(|h| h.1).collect();
        let action = chosen % head.len();
        legal[action] = true;
        let logits: Vec<f64> = head.iter().map(|h| h.0).collect();
        let (_, slope) = legal_log_probability(&logits, &legal, action)?;
        // Probabilities of the legal actions alone make up 1.
        let all: Vec<f64> = (0..logits.len())
            .filter(|j| legal[*j])
            .map(|j| legal_log_probability(&logits, &legal, j).map(|p| p.0.exp()))
            .collect::<Result<_, _>>()?;
        prop_assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert!(slope.iter().sum::<f64>().abs() < 1e-12);
        for j in 0..logits.len() {
            let at = |delta: f64| -> Result<f64, DataError> {
                let mut moved = logits.clone();
                moved[j] += delta;
                Ok(legal_log_probability(&moved, &legal, action)?.0)
            };
            let numeric = (at(1e-5)? - at(-1e-5)?) / 2e-5;
            prop_assert!((numeric - slope[j]).abs() < 1e-8);
            prop_assert!(legal[j] || slope[j] == 0.0);
        }
    }

    #[test]
    fn more_cost_never_raises_the_net_reward(rows in rows(), weight in 0.0..1.0f64) {
        let config = HrpoConfig { cost_weight: weight, ..Default::default() };
        let a = run(&config, &rows)?;
        for ((y, n, _), r) in rows.iter().flatten().zip(&a.rewards) {
            prop_assert_eq!(*r, y.map(|y| y - weight * n));
        }
        let scored: Vec<f64> = rows[0].iter().zip(&a.rewards).filter_map(|(_, r)| *r).collect();
        prop_assert!(scored.is_empty() || stats::mean(&scored) <= 1.0);
    }
}
